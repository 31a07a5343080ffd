/** The files of a result: a link for each format. The server makes a file when it is first asked for; the page waits and says so. */

import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import type { FlowType } from "../api/types";
import { address } from "../api/urls";
import { announce } from "../ui/announce";
import { Refusal } from "../ui/Notice";
import { fileName, saveBlob } from "../ui/save";
import { send, sendJson, token } from "./access";
import { bytes, type Job, titleOf } from "./job";
import { patient } from "./result";

interface ResultFile {
  name: string;
  url: string;
  size: number | null;
}

const FLOW_WORDS: Record<FlowType, string> = {
  distance: "comoving distance, Mpc", comoving: "comoving distance, h⁻¹ Mpc", luminosity: "luminosity distance, Mpc", hubble: "Hubble velocity, km/s",
};
const SHORT: Record<string, string> = { vot: "VOTable", msgpack: "msgpack", parquet: "Parquet" };
/** Which distance the files hold. */
const flowType = signal<FlowType>("distance");

/** Links to all files of a job. */
export function Downloads({ job }: { job: Job }) {
  const [files, setFiles] = useState<ResultFile[]>([]);
  const [error, setError] = useState<ApiError | null>(null);
  const [waits, setWaits] = useState("");
  const flow = flowType.value;
  const left = useRef(new AbortController());
  useEffect(() => () => left.current.abort(), []);
  useEffect(() => {
    const off = new AbortController();
    void list(job, flow, off.signal).then(setFiles, (cause: unknown) => {
      if (off.signal.aborted) return;
      if (cause instanceof ApiError) setError(cause);
      else throw cause;
    });
    return () => off.abort();
  }, [job.results_url, job.phase, flow]);
  const fetch = async (file: ResultFile): Promise<void> => {
    setError(null);
    setWaits(file.name);
    try {
      await save(job, file, flow, left.current.signal);
      setFiles(await list(job, flow));
    } catch (cause) {
      if (left.current.signal.aborted) return;
      if (!(cause instanceof ApiError)) throw cause;
      setError(cause);
    } finally {
      setWaits("");
    }
  };
  return (
    <div class="downloads">
      <div class="line">
        <span>Download</span>
        {files.map((file) => {
          const ending = file.name.split(".").at(-1) ?? "";
          return (
            <a
              key={file.name} href={withFlow(file.url, job, flow)} download={nameOf(job, ending)} aria-disabled={waits !== ""}
              onClick={(event) => {
                event.preventDefault();
                if (waits === "") void fetch(file);
              }}
            >
              {SHORT[ending] ?? ending.toUpperCase()}{file.size === null ? "" : <small> {bytes(file.size)}</small>}
            </a>
          );
        })}
      </div>
      {job.kind === "distance" ? (
        <label class="line">
          <small>with distances as</small>
          <select value={flow} onChange={(e) => (flowType.value = e.currentTarget.value as FlowType)}>
            {Object.entries(FLOW_WORDS).map(([type, text]) => <option key={type} value={type}>{text}</option>)}
          </select>
        </label>
      ) : null}
      <p role="status">{waits === "" ? "" : <small>The server makes {waits} …</small>}</p>
      {error === null ? null : <Refusal error={error} />}
    </div>
  );
}

async function list(job: Job, flow: FlowType, signal_?: AbortSignal): Promise<ResultFile[]> {
  const url = withFlow(job.results_url, job, flow);
  return (await sendJson<{ results: ResultFile[] }>(url, signal_ ? { signal: signal_ } : {})).results;
}

const withFlow = (url: string, job: Job, flow: FlowType): string =>
  job.kind === "distance" && flow !== "distance" ? address(url, { flow_type: flow }) : url;

const nameOf = (job: Job, ending: string): string => `${fileName(titleOf(job))}-flow.${ending}`;

async function save(job: Job, file: ResultFile, flow: FlowType, signal_: AbortSignal): Promise<void> {
  const url = withFlow(file.url, job, flow);
  const name = nameOf(job, file.name.split(".").at(-1) ?? "");
  const asWell = { Accept: "*/*" };
  const told = (): void => announce(`The server still makes ${file.name}`);
  if (token.peek() === "") {
    // first have it made, then let the browser fetch it: onto the disk, however large it is
    try {
      await patient(url, { method: "HEAD", headers: asWell }, told, signal_);
    } catch (cause) {
      // an answer to HEAD has no body: the words of a refusal come with GET
      if (cause instanceof ApiError && !cause.isTransient) await send(url, { headers: asWell, signal: signal_ });
      throw cause;
    }
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
  } else {
    // a link cannot carry the token
    const response = await patient(url, { headers: asWell }, told, signal_);
    saveBlob(name, await response.blob());
  }
}

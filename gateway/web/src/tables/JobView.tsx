/** One job: how far it is, what can be done with it, its files, and the rows that could not be read. */

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { announce } from "../ui/announce";
import { toClipboard } from "../ui/CopyMenu";
import { Notice, Refusal } from "../ui/Notice";
import { wantsToken } from "./access";
import { Downloads } from "./Downloads";
import { count, duration, hasEnded, type Job, stateOf, titleOf } from "./job";
import { cancelJob, deleteJob, openJob, renameJob, sentFor, shareJob, unshareJob, wasOpenedByHand } from "./jobs";
import { LogIn } from "./LogIn";
import { ResultView } from "./ResultView";

/** The open job, or nothing. */
export function JobView() {
  const job = openJob.value;
  return <div id="job">{job === null ? null : <One key={job.id} job={job} />}</div>;
}

function One({ job }: { job: Job }) {
  const [error, setError] = useState<ApiError | null>(null);
  const root = useRef<HTMLElement>(null);
  // a job that a reload opens again takes the focus from nobody
  useEffect(() => {
    const now = document.activeElement;
    if (wasOpenedByHand() && (now === null || now === document.body || now.closest("#tables") !== null)) root.current?.focus({ preventScroll: true });
  }, []);
  const run = async (what: () => Promise<unknown>): Promise<void> => {
    setError(null);
    try {
      await what();
    } catch (cause) {
      if (!(cause instanceof ApiError)) throw cause;
      setError(cause);
    }
  };
  const sent = sentFor(job.id);
  return (
    <article class="one" aria-label={titleOf(job)} tabIndex={-1} ref={root}>
      <Name job={job} run={run} />
      <Progress job={job} />
      {job.error === null || job.phase !== "ERROR" ? null : <Notice bad><p>{job.error.detail}</p></Notice>}
      {(sent?.told.notes ?? []).length === 0 ? null : <Notice>{sent?.told.notes.map((text) => <p key={text}>{text}</p>)}</Notice>}
      <div class="line">
        {hasEnded(job) ? null : <button type="button" onClick={() => void run(() => cancelJob(job))}>Cancel</button>}
        {hasEnded(job) ? <Share job={job} run={run} /> : null}
        <Delete job={job} run={run} />
      </div>
      {error === null ? null : <Refusal error={error} />}
      {error !== null && wantsToken(error) ? <LogIn open /> : null}
      {hasEnded(job) && job.phase !== "ERROR" ? (
        <>
          <Downloads job={job} />
          <ResultView job={job} />
        </>
      ) : null}
    </article>
  );
}

type Run = (what: () => Promise<unknown>) => Promise<void>;

function Name({ job, run }: { job: Job; run: Run }) {
  const [text, setText] = useState<string | null>(null);
  const [input, button] = useFocusOf<HTMLInputElement>(text !== null);
  if (text === null) {
    return (
      <div class="line">
        <h3 class="clip" title={titleOf(job)}>{titleOf(job)}</h3>
        <small>job {job.id}, field {job.field.id}, {job.kind === "velocity" ? "velocities" : "distances"}, H₀ {job.options.H0} km/s/Mpc</small>
        <button type="button" class="small" ref={button} onClick={() => setText(job.run_id ?? "")}>Rename</button>
      </div>
    );
  }
  return (
    <form
      class="line" onSubmit={(event) => {
        event.preventDefault();
        void run(() => renameJob(job, text.trim())).then(() => setText(null));
      }}
    >
      <input
        type="text" ref={input} maxLength={64} aria-label="Name of the job" value={text} onFocus={(e) => e.currentTarget.select()} onInput={(e) => setText(e.currentTarget.value)}
        onKeyDown={(e) => e.key === "Escape" && setText(null)}
      />
      <button type="submit" disabled={text.trim() === ""}>Keep</button>
      <button type="button" onClick={() => setText(null)}>Leave</button>
    </form>
  );
}

/** Places for what opens and for the button that opens it: the focus goes there, and back to the button. */
function useFocusOf<T extends HTMLElement>(isOpen: boolean): [RefObject<T | null>, RefObject<HTMLButtonElement | null>] {
  const inside = useRef<T>(null);
  const button = useRef<HTMLButtonElement>(null);
  const wasOpen = useRef(false);
  useEffect(() => {
    if (isOpen) inside.current?.focus();
    else if (wasOpen.current) button.current?.focus();
    wasOpen.current = isOpen;
  }, [isOpen]);
  return [inside, button];
}

function Progress({ job }: { job: Job }) {
  const { words, mark, tone } = stateOf(job);
  const left = job.eta_seconds === null ? "" : `, ${duration(job.eta_seconds)} left`;
  const rows = `${count(job.rows_done)} of ${count(job.rows_total)} rows`;
  return (
    <div class="line">
      {hasEnded(job) ? null : (
        <progress max={job.rows_total} value={job.rows_done} aria-label={`Progress of ${titleOf(job)}`} aria-valuetext={`${rows}${left}`} />
      )}
      <small><span class={`state ${tone}`}><span aria-hidden="true">{mark} </span>{words}</span>: {rows}{hasEnded(job) ? took(job) : left}</small>
    </div>
  );
}

function took(job: Job): string {
  if (job.start === null || job.end === null) return "";
  const seconds = (Date.parse(job.end) - Date.parse(job.start)) / 1000;
  return `, took ${duration(seconds)}; kept until ${job.destruction.slice(0, 10)}`;
}

function Share({ job, run }: { job: Job; run: Run }) {
  const [link, setLink] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const make = async (): Promise<void> => {
    const made = await shareJob(job);
    setLink(made);
    await copied(made, field.current);
  };
  return (
    <>
      <button type="button" onClick={() => void run(make)}>{job.shared ? "New link" : "Share"}</button>
      {job.shared ? <button type="button" onClick={() => void run(() => unshareJob(job).then(() => setLink("")))}>End the link</button> : null}
      {link === "" ? null : (
        <span class="line link">
          <input type="text" readOnly ref={field} aria-label="Link to the result" value={link} onFocus={(e) => e.currentTarget.select()} />
          <button type="button" onClick={() => void copied(link, field.current)}>Copy</button>
          <small>Whoever has it sees the result. It is shown this once.</small>
        </span>
      )}
    </>
  );
}

async function copied(text: string, field: HTMLInputElement | null): Promise<void> {
  if (await toClipboard(text)) return announce("The link is copied");
  field?.focus();
  announce("The link is made; copy it from the field");
}

function Delete({ job, run }: { job: Job; run: Run }) {
  const [isAsking, setAsking] = useState(false);
  const [yes, button] = useFocusOf<HTMLButtonElement>(isAsking);
  if (!isAsking) return <button type="button" ref={button} onClick={() => setAsking(true)}>Delete</button>;
  return (
    <span class="line" role="group" aria-label="Delete this job?">
      <small>Delete it with its result, for good?</small>
      <button type="button" ref={yes} class="danger" onClick={() => void run(() => deleteJob(job))}>Delete</button>
      <button type="button" onClick={() => setAsking(false)}>Keep</button>
    </span>
  );
}

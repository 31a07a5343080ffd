/** What becomes of one job while it happens: Server-Sent Events over fetch (an EventSource cannot carry a token), else by asking again. */

import { ApiError } from "../api/client";
import { address } from "../api/urls";
import { server } from "../state/server";
import { pause, send, sendJson } from "./access";
import { hasEnded, type Job } from "./job";

/** One event of a stream. */
export interface Event_ {
  event: string;
  data: string;
  id: string;
}

/** Cut a stream of text into events; `push` takes what came and returns what is whole. */
export function eventReader(): { push(text: string): Event_[] } {
  let rest = "";
  return {
    push(text) {
      // a CR at the end may be half of a line's end: it waits for the next piece
      const whole = rest + text;
      const held = whole.endsWith("\r") ? "\r" : "";
      const blocks = whole.slice(0, whole.length - held.length).replace(/\r\n?/g, "\n").split("\n\n");
      rest = (blocks.pop() ?? "") + held;
      return blocks.map(readBlock).filter((e) => e.data !== "");
    },
  };
}

function readBlock(block: string): Event_ {
  const found: Event_ = { event: "message", data: "", id: "" };
  const data: string[] = [];
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at === 0) continue;
    const [name, value] = at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1).replace(/^ /, "")];
    if (name === "data") data.push(value);
    else if (name === "event" || name === "id") found[name] = value;
  }
  return { ...found, data: data.join("\n") };
}

const AGAIN_MS = 1000;
const WAIT_S = 20;

/** Follow a job until it has ended, is gone, or `signal` calls off; outages of the server are waited for. */
export async function follow(url: string, told: (job: Job) => void, signal: AbortSignal): Promise<void> {
  let last = "";
  let streams = true;
  while (!signal.aborted) {
    await serverThere(signal);
    if (signal.aborted) return;
    try {
      if (streams) {
        const end = await listen(url, last, (job, id) => ((last = id), told(job)), signal);
        if (end) return;
      } else {
        const job = await sendJson<Job>(address(url, { wait: WAIT_S }), { signal });
        told(job);
        if (hasEnded(job)) return;
      }
      await pause(AGAIN_MS, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError) {
        if (!error.isTransient) throw error;
        // too many streams are open, of this client or of all: asking again costs no stream
        if (error.problem.status === 429 || error.problem.status === 503) streams = false;
        await pause((error.retryAfter ?? 0) * 1000 || AGAIN_MS, signal);
      } else {
        // the line broke in the middle of a stream: come again with the number of the last event
        await pause(AGAIN_MS, signal);
      }
    }
  }
}

async function listen(url: string, last: string, told: (job: Job, id: string) => void, signal: AbortSignal): Promise<boolean> {
  const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
  const response = await send(`${url}/events`, { headers, signal });
  if (response.status === 204 || response.body === null) return response.status === 204;
  const events = eventReader();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return false;
    for (const { event, data, id } of events.push(value)) {
      const job = JSON.parse(data) as Job;
      told(job, id);
      if (event === "end") {
        void reader.cancel();
        return true;
      }
    }
  }
}

/** Wait until the server is there again. */
export function serverThere(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (server.peek() === "there" || signal.aborted) return resolve();
    const stop = server.subscribe((state) => {
      if (state === "there") done();
    });
    const done = (): void => {
      queueMicrotask(() => stop());
      signal.removeEventListener("abort", done);
      resolve();
    };
    signal.addEventListener("abort", done);
  });
}

/** A job as the service shows it, and how views of it join to what the page shows. No DOM. */

import type { SkyFrame, VelocityFrame } from "../api/types";
import type { Kind } from "./choice";

export type Phase = "PENDING" | "QUEUED" | "EXECUTING" | "COMPLETED" | "ERROR" | "ABORTED" | "ARCHIVED";

/** GET /v1/jobs/N. */
export interface Job {
  id: number;
  phase: Phase;
  kind: Kind | "sightline";
  run_id: string | null;
  field: { id: string; version: string };
  rows_total: number;
  rows_done: number;
  quarantined: number;
  queuepos: number | null;
  eta_seconds: number | null;
  creation: string;
  start: string | null;
  end: string | null;
  destruction: string;
  shared: boolean;
  options: { frame: SkyFrame; cz_frame: VelocityFrame; H0: number; Om: number };
  error: { code: string; detail: string } | null;
  url: string;
  result_url: string;
  results_url: string;
}

/** What the answer to a table says once. */
export interface TableTold {
  name: string;
  format: string;
  notes: string[];
  faults: { rows: number; first: Fault[] };
  choice: Record<string, string | boolean>;
}

/** A row that could not be read; `row` counts from 0. */
export interface Fault {
  row: number;
  line?: number;
  status: string;
  reason: string;
}

const ORDER: Record<Phase, number> = { PENDING: 0, QUEUED: 1, EXECUTING: 2, COMPLETED: 3, ERROR: 3, ABORTED: 3, ARCHIVED: 4 };

/** True when a job will not change any more by itself. */
export const hasEnded = (job: Job): boolean => ORDER[job.phase] >= 3;

/** Return what is known of a job after another view of it came; views of different requests may overtake each other. */
export function joined(before: Job | undefined, view: Job): Job {
  if (before === undefined || before.creation !== view.creation) return view;
  if (ORDER[view.phase] < ORDER[before.phase]) return before;
  if (hasEnded(view)) return view;
  return view.rows_done < before.rows_done && view.phase === before.phase ? before : view;
}

/** Return the list with some views joined to it, newest first; `all` says between which ids, both included, they are all there are. */
export function folded(list: readonly Job[], views: readonly Job[], all?: readonly [number, number]): Job[] {
  const jobs = new Map(list.map((job) => [job.id, job]));
  if (all !== undefined) {
    const shown = new Set(views.map((v) => v.id));
    for (const id of jobs.keys()) if (!shown.has(id) && id >= all[0] && id <= all[1]) jobs.delete(id);
  }
  for (const view of views) jobs.set(view.id, joined(jobs.get(view.id), view));
  return [...jobs.values()].filter((job) => job.phase !== "ARCHIVED").sort((a, b) => b.id - a.id);
}

/** What a job is called. */
export const titleOf = (job: Job): string => job.run_id ?? `job ${job.id}`;

/** A state in words, with a mark that is told without colour, too. */
export function stateOf(job: Job): { mark: string; words: string; tone: "calm" | "busy" | "good" | "bad" | "warn" } {
  switch (job.phase) {
    case "PENDING": return { mark: "‖", words: "held", tone: "calm" };
    case "QUEUED": return { mark: "◦", words: job.queuepos ? `waiting behind ${count(job.queuepos)} ${job.queuepos === 1 ? "part" : "parts"}` : "waiting", tone: "calm" };
    case "EXECUTING": return { mark: "▸", words: "computing", tone: "busy" };
    case "COMPLETED": return job.quarantined > 0
      ? { mark: "✓", words: `done, ${count(job.quarantined)} ${job.quarantined === 1 ? "row" : "rows"} given up`, tone: "warn" }
      : { mark: "✓", words: "done", tone: "good" };
    case "ERROR": return { mark: "✕", words: "failed", tone: "bad" };
    case "ABORTED": return { mark: "■", words: "cancelled", tone: "warn" };
    case "ARCHIVED": return { mark: "–", words: "deleted", tone: "calm" };
  }
}

/** A whole number with thin spaces between thousands. */
export const count = (n: number): string => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A name short enough for a sentence. */
export const short = (name: string): string => (name.length > 40 ? `${name.slice(0, 37)}…` : name);

/** Seconds as people say them. */
export function duration(seconds: number): string {
  if (seconds < 1) return "less than 1 s";
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** Bytes as people say them. */
export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  const power = Math.min(3, Math.floor(Math.log10(n) / 3));
  return `${(n / 1000 ** power).toPrecision(3)} ${["B", "kB", "MB", "GB"][power]}`;
}

/** The table that waits for its job: taken, looked at, asked, sent. */

import { signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { chosenField } from "../state/fields";
import { question } from "../state/question";
import { announce } from "../ui/announce";
import { keep, recall, sendJson, unique } from "./access";
import { type Preview, type Reading, sent, type Words } from "./choice";
import { count, type Job, short, type TableTold } from "./job";
import { open, remember, tell } from "./jobs";
import { dropTable, upload } from "./upload";

/** The file at hand. */
export const file = signal<File | null>(null);
/** The part of it that has arrived while it is on its way (0 to 1); null when nothing is. */
export const part = signal<number | null>(null);
/** What the service found in it. */
export const preview = signal<Preview | null>(null);
/** Why it was refused: as a table, or as a job. */
export const refusal = signal<ApiError | null>(null);
/** How it is read. */
export const reading = signal<Reading>({ kind: "distance" });
/** What the visitor chose instead of what was found. */
export const words = signal<Words>({});
/** What the run is to be called. */
export const runName = signal("");
/** True while the job is being submitted. */
export const isSending = signal(false);

const KEPT = "cosmicflows.table";
const NAME_MAX = 64;
let running: AbortController | undefined;
let last = { body: "", key: "" };

// a table of an earlier visit waits for nobody, and the service keeps few
dropLeft();

function dropLeft(): void {
  const left = recall(KEPT);
  if (left.startsWith("/v1/tables/")) dropTable(left);
  keep(KEPT, "");
}

/** Take a file and look into it. */
export function takeFile(taken: File): void {
  forgetFile();
  open(null);
  file.value = taken;
  words.value = {};
  reading.value = { kind: reading.peek().kind };
  runName.value = taken.name.replace(/(\.(csv|tsv|txt|dat|ecsv|fits?|vot|votable|xml|parquet|pq))?(\.gz)?$/i, "").slice(0, NAME_MAX);
  void look();
}

/** Read the file in another way: it is sent again. */
export function readAs(parts: Partial<Reading>): void {
  const next = Object.fromEntries(Object.entries({ ...reading.peek(), ...parts }).filter(([, value]) => value !== ""));
  reading.value = next as unknown as Reading;
  if (file.peek() !== null) void look();
}

/** Send the file again as it was to be read: the service forgets a table after an hour. */
export async function look(): Promise<void> {
  const looked = file.peek();
  if (looked === null) return;
  running?.abort();
  dropLeft();
  const mine = new AbortController();
  running = mine;
  refusal.value = null;
  part.value = 0;
  try {
    const seen = await upload(looked, reading.peek(), (p) => {
      if (running === mine) part.value = p;
    }, mine.signal);
    if (mine.signal.aborted) {
      dropTable(seen.url);
      return;
    }
    keep(KEPT, seen.url);
    preview.value = seen;
    announce(seen.choice === null ? `${short(seen.name)} is read; choose its columns` : `${short(seen.name)} is read${seen.rows === null ? "" : `: ${count(seen.rows)} rows`}`);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    preview.value = null;
    refusal.value = error;
  } finally {
    if (running === mine) part.value = null;
  }
}

/** Put the file away. */
export function forgetFile(): void {
  running?.abort();
  running = undefined;
  dropLeft();
  file.value = null;
  preview.value = null;
  refusal.value = null;
  part.value = null;
}

/** What POST /v1/jobs is to get, but for the table. */
function jobWords(): Record<string, string | number> {
  const q = question.peek();
  const said = {
    kind: reading.peek().kind, ...sent(words.peek(), reading.peek().kind), field: chosenField.peek()?.id ?? q.field, H0: q.H0, Om: q.Om,
    sigma_v: q.sigma_v, prior: q.prior, run_id: runName.peek().trim().slice(0, NAME_MAX),
  };
  return Object.fromEntries(Object.entries(said).filter(([, v]) => v !== null && v !== "")) as Record<string, string | number>;
}

/** Submit the job; asked again after a lost answer it is the same job. */
export async function submit(): Promise<void> {
  const seen = preview.peek();
  if (seen === null || isSending.peek()) return;
  isSending.value = true;
  refusal.value = null;
  const asked = jobWords();
  const body = JSON.stringify({ table: seen.table, ...asked });
  if (last.body !== body) last = { body, key: unique() };
  try {
    const headers = { "Content-Type": "application/json", "Idempotency-Key": last.key };
    const job = await sendJson<Job & { table: TableTold }>("/v1/jobs", { method: "POST", headers, body });
    const reads = Object.fromEntries(Object.entries(reading.peek()).filter(([key]) => key !== "kind")) as Record<string, string>;
    remember(job.id, { file: seen.name, words: { ...asked, ...reads }, told: job.table });
    if (preview.peek() === seen) forgetFile();
    tell(job);
    open(job.id);
    announce(`${count(job.rows_total)} rows are submitted`);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    refusal.value = error;
  } finally {
    isSending.value = false;
  }
}

/** The jobs of whoever asks: the list, the one that is open, and what can be done with them. The server keeps them; this tab remembers which is open. */

import { computed, effect, signal } from "@preact/signals";
import { ApiError } from "../api/client";
import { address } from "../api/urls";
import { EMPTY, type Loaded, loading } from "../state/loaded";
import { returns, server } from "../state/server";
import { announce } from "../ui/announce";
import { keep, recall, send, sendJson, token } from "./access";
import { follow } from "./events";
import { folded, hasEnded, type Job, short, stateOf, type TableTold, titleOf } from "./job";

/** What this tab sent for a job: shown beside it, and made into "copy as". */
export interface Sent {
  file: string;
  words: Record<string, string | number>;
  told: TableTold;
}

const PAGE = 8;
const LOOK_MS = 3000;
const OPEN = "cosmicflows.job";
const SENT = "cosmicflows.sent.";

/** The list, newest first. */
export const jobs = signal<Loaded<Job[]>>(EMPTY);
/** Address of the next page of the list, or null. */
export const nextPage = signal<string | null>(null);
/** Id of the job that is looked at. */
export const openId = signal<number | null>(Number(recall(OPEN)) || null);
/** The job that is looked at. */
export const openJob = computed<Job | null>(() => jobs.value.data?.find((job) => job.id === openId.value) ?? null);

let isByHand = false;

/** True when the open job was opened since the page was loaded, not remembered from before. */
export const wasOpenedByHand = (): boolean => isByHand;

/** Look at a job, or at none. */
export function open(id: number | null): void {
  isByHand = true;
  openId.value = id;
  keep(OPEN, id === null ? "" : String(id));
}

/** Remember what was sent for a job. */
export function remember(id: number, sent: Sent): void {
  keep(SENT + id, JSON.stringify(sent));
}

/** Return what this tab sent for a job, or null when another did. */
export function sentFor(id: number): Sent | null {
  try {
    return JSON.parse(recall(SENT + id) || "null") as Sent | null;
  } catch {
    return null;
  }
}

/** Take a view of a job into the list. */
export function tell(view: Job): void {
  const before = jobs.peek().data?.find((job) => job.id === view.id);
  jobs.value = { ...jobs.peek(), data: folded(jobs.peek().data ?? [], [view]) };
  if (before !== undefined && !hasEnded(before) && hasEnded(view)) announce(`${short(titleOf(view))}: ${stateOf(view).words}`);
}

interface Page {
  jobs: Job[];
  next: string | null;
}

/** Load the newest jobs, or the next page of older ones. */
export async function loadJobs(older = false): Promise<void> {
  const url = older ? nextPage.peek() : address("/v1/jobs", { limit: PAGE });
  if (url === null) return;
  const who = token.peek();
  if (jobs.peek().data === null) jobs.value = loading(jobs.peek());
  try {
    const page = await sendJson<Page>(url);
    if (who !== token.peek()) return;
    const before = jobs.peek().data ?? [];
    // who has paged on keeps the way to the older ones
    const deeper = !older && before.length > page.jobs.length && before.some((job) => job.id < (page.jobs.at(-1)?.id ?? 0));
    jobs.value = { data: folded(before, page.jobs, range(page, older)), error: null, isLoading: false };
    if (!deeper) nextPage.value = page.next;
    const wanted = openId.peek();
    if (wanted !== null && openJob.peek() === null) await loadOpen(wanted);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    jobs.value = { ...jobs.peek(), error: error.isUnreachable ? null : error, isLoading: false };
  }
}

function range(page: Page, older: boolean): [number, number] {
  const least = page.next === null ? 0 : page.jobs.at(-1)?.id ?? 0;
  return [least, older ? page.jobs[0]?.id ?? 0 : Number.POSITIVE_INFINITY];
}

async function loadOpen(id: number): Promise<void> {
  try {
    tell(await sendJson<Job>(`/v1/jobs/${id}`));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (!error.isTransient) open(null);
  }
}

/** Keep list and open job up to date; returns the way to stop. */
export function watchJobs(): () => void {
  const stopList = effect(() => {
    void returns.value;
    void token.value;
    jobs.value = { ...EMPTY, data: token.value === lastToken ? jobs.peek().data : null };
    lastToken = token.value;
    void loadJobs();
  });
  // a stream for the open job alone: browsers open six connections to a server, and others need them
  const followed = computed(() => (openJob.value !== null && !hasEnded(openJob.value) ? openJob.value.url : null));
  const stopOpen = effect(() => {
    const url = followed.value;
    if (url === null) return undefined;
    const off = new AbortController();
    follow(url, tell, off.signal).catch((error: unknown) => {
      if (error instanceof ApiError) void loadJobs();
      else throw error;
    });
    return () => off.abort();
  });
  const others = computed(() => (jobs.value.data ?? []).some((job) => !hasEnded(job) && job.id !== openId.value));
  const stopOthers = effect(() => {
    if (!others.value) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden && server.peek() === "there") void loadJobs();
    }, LOOK_MS);
    return () => clearInterval(timer);
  });
  return () => (stopList(), stopOpen(), stopOthers());
}

let lastToken = token.peek();

/** End a job; what is ready is its result. */
export async function cancelJob(job: Job): Promise<void> {
  tell(await sendJson<Job>(`${job.url}/cancel`, { method: "POST" }));
}

/** Destroy a job with its result. */
export async function deleteJob(job: Job): Promise<void> {
  await send(job.url, { method: "DELETE" });
  jobs.value = { ...jobs.peek(), data: (jobs.peek().data ?? []).filter((other) => other.id !== job.id) };
  keep(SENT + job.id, "");
  if (openId.peek() === job.id) open(null);
  announce(`${short(titleOf(job))} is deleted`);
}

/** Give a job another name. */
export async function renameJob(job: Job, name: string): Promise<void> {
  const headers = { "Content-Type": "application/json" };
  tell(await sendJson<Job>(job.url, { method: "PATCH", headers, body: JSON.stringify({ run_id: name }) }));
}

/** Make a link that shows a job and its result to whoever has it; earlier ones end. */
export async function shareJob(job: Job): Promise<string> {
  const link = await sendJson<{ url: string; results_url: string }>(`${job.url}/share`, { method: "POST" });
  tell({ ...job, shared: true });
  return new URL(link.results_url, location.origin).href;
}

/** End the link of a job. */
export async function unshareJob(job: Job): Promise<void> {
  await send(`${job.url}/share`, { method: "DELETE" });
  tell({ ...job, shared: false });
}

/** Is the server there. When it is gone or cannot answer now, look again until it can, and let everything be asked anew. */

import { signal } from "@preact/signals";
import { ApiError, get, witness } from "../api/client";
import { readyUrl } from "../api/urls";

/** "gone": nobody answers; "unready": somebody answers that nothing can be answered now. */
export type ServerState = "there" | "gone" | "unready";

/** Whether somebody answers; the page says so when not. */
export const server = signal<ServerState>("there");
/** Counts returns of the server: whoever depends on it asks again. */
export const returns = signal(0);

const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 4000;
/** A server that says it is ready and refuses all the same is asked ever more slowly, up to this. */
const LAST_PATIENCE_MS = 30_000;
/** How often a page that somebody looks at, but asks nothing, looks whether the server is there. */
const HEARTBEAT_MS = 15_000;
let timer: ReturnType<typeof setTimeout> | undefined;
let patience = FIRST_WAIT_MS;
let returnedAt = 0;

/** Begin to watch; returns the way to stop. */
export function watchServer(): () => void {
  const forget = witness((error) => {
    if (server.value !== "there" || (error !== null && !error.isUnreachable && !error.isUnready)) return;
    if (error === null) {
      if (performance.now() - returnedAt > LAST_PATIENCE_MS) patience = FIRST_WAIT_MS;
      return;
    }
    server.value = error.isUnreachable ? "gone" : "unready";
    const asked = Math.max(patience, Math.min((error.retryAfter ?? 0) * 1000, LAST_PATIENCE_MS));
    patience = Math.min(2 * patience, LAST_PATIENCE_MS);
    wait(error.isUnreachable ? FIRST_WAIT_MS : asked);
  });
  const now = (): void => {
    if (document.visibilityState === "hidden") return;
    if (server.value === "gone") wait(0);
    else if (server.value === "there") void get(readyUrl()).catch(() => undefined);
  };
  const beat = setInterval(now, HEARTBEAT_MS);
  addEventListener("online", now);
  document.addEventListener("visibilitychange", now);
  return () => {
    forget();
    clearInterval(beat);
    removeEventListener("online", now);
    document.removeEventListener("visibilitychange", now);
    clearTimeout(timer);
  };
}

function wait(ms: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => void look(Math.min(Math.max(2 * ms, FIRST_WAIT_MS), LAST_WAIT_MS)), ms);
}

async function look(next: number): Promise<void> {
  try {
    await get(readyUrl());
  } catch (error) {
    // a server that says "not ready yet" is there, but nothing can be asked of it
    if (!(error instanceof ApiError) || error.isTransient) {
      server.value = error instanceof ApiError && error.isUnready ? "unready" : "gone";
      wait(next);
      return;
    }
  }
  returnedAt = performance.now();
  server.value = "there";
  returns.value += 1;
}

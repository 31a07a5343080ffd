/** Names to choose from while somebody types: asked after a short pause, and only the last question is answered. */

import { signal } from "@preact/signals";
import { ApiError, get } from "../api/client";
import type { Hint, Hints } from "../api/types";
import { hintsUrl } from "../api/urls";

/** Pause in typing after which the server is asked. */
const PAUSE_MS = 120;
/** How many names are listed. */
const HINTS_MOST = 8;

/** Names that go on as `text`. */
export interface Found {
  text: string;
  hints: readonly Hint[];
  hasMore: boolean;
}

/** The names for what is being typed. */
export class HintSource {
  /** The last names that came; null when nothing is typed. */
  readonly found = signal<Found | null>(null);
  /** True from the first key until the names for what is typed are here. */
  readonly isPending = signal(false);
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | undefined;

  /** Ask for names that go on as `text`, soon. */
  type(text: string): void {
    this.stop();
    if (text.trim() === "") {
      this.found.value = null;
      return;
    }
    this.isPending.value = true;
    this.#timer = setTimeout(() => void this.#ask(text), PAUSE_MS);
  }

  /** Let go of what is asked. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = undefined;
    this.isPending.value = false;
  }

  async #ask(text: string): Promise<void> {
    const running = new AbortController();
    this.#running = running;
    let hints: Hints = { hints: [], more_results: false };
    try {
      hints = await get<Hints>(hintsUrl(text.trim(), HINTS_MOST), running.signal);
    } catch (error) {
      if (running.signal.aborted) return;
      // a server that is gone says so at the top; a name too strange for hints is judged when it is asked
      if (!(error instanceof ApiError)) throw error;
    }
    if (running.signal.aborted) return;
    this.found.value = { text, hints: hints.hints, hasMore: hints.more_results };
    this.isPending.value = false;
  }
}

/** Return how many names there are, in words for those who do not see them. */
export function counted({ hints, hasMore }: Found): string {
  if (hints.length === 0) return "No galaxy is called so; Enter asks for it all the same";
  const names = hints.length === 1 ? "1 name" : `${hints.length} names`;
  return hasMore ? `${names}, and more: type on` : `${names}; arrow down to choose`;
}

/** A place for one answer that is asked again and again: the same address is asked once, an older answer never follows a newer. */

import type { Signal } from "@preact/signals";
import { ApiError, get } from "../api/client";
import { arrived, EMPTY, type Loaded, loading, refused } from "./loaded";

/** Where a slot keeps what it loaded. */
export type Target<T> = Pick<Signal<Loaded<T>>, "value" | "peek">;

/** Loads into a signal. What it holds of another galaxy or place is never shown under the new one's name. */
export class Slot<T> {
  #url = "";
  #subject = "";
  #epoch = -1;
  #running: AbortController | undefined;
  #done: Promise<void> = Promise.resolve();
  /** How the address ended; null while it is on its way. */
  #ended: Loaded<T> | null = null;

  constructor(readonly target: Target<T>) {}

  /**
   * Load an address unless it is here or on its way already; resolves when it is here or refused.
   * `subject` is what it is about, `epoch` counts the returns of the server.
   */
  fill(url: string, subject: string, epoch: number): Promise<void> {
    if (url === this.#url && epoch === this.#epoch) {
      // nothing comes that would end what `expect` began
      if (this.#ended !== null && this.target.peek() !== this.#ended) this.target.value = this.#ended;
      return this.#done;
    }
    const before = subject === this.#subject ? this.target.peek() : EMPTY;
    this.#running?.abort();
    this.#running = new AbortController();
    [this.#url, this.#subject, this.#epoch, this.#ended] = [url, subject, epoch, null];
    this.target.value = loading(before);
    this.#done = this.#load(url, this.#running.signal);
    return this.#done;
  }

  /** Hold nothing, and let go of what is on its way. */
  clear(): void {
    this.put(EMPTY, "");
  }

  /** Hold this until something else is asked, and let go of what is on its way. */
  put(what: Loaded<T>, subject: string): void {
    this.#running?.abort();
    [this.#url, this.#subject, this.#epoch, this.#ended] = ["", subject, -1, null];
    this.#done = Promise.resolve();
    this.target.value = what;
  }

  /** Keep what is here, but as something on its way: its address follows. */
  expect(subject: string): void {
    if (subject !== this.#subject) this.put(loading(EMPTY), subject);
    else if (!this.target.peek().isLoading) this.target.value = loading(this.target.peek());
  }

  async #load(url: string, signal: AbortSignal): Promise<void> {
    let result: Loaded<T>;
    try {
      result = arrived(await get<T>(url, signal));
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      result = refused(error);
    }
    if (!signal.aborted) this.target.value = this.#ended = result;
  }
}

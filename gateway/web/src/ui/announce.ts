/** Short sentences for everybody: shown for some seconds at the foot of the page, and read aloud by screen readers. */

import { signal } from "@preact/signals";

/** What was said last. */
export const said = signal("");
const SHOWN_MS = 4000;
let timer: ReturnType<typeof setTimeout> | undefined;

/** Say a sentence. */
export function announce(sentence: string): void {
  said.value = sentence;
  clearTimeout(timer);
  timer = setTimeout(() => (said.value = ""), SHOWN_MS);
}

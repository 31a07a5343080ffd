/** When the heavy parts may begin: the page has been painted, and what was asked first has its answer. Words come before pictures. */

import { answer } from "./answers";
import { hasVelocity, question } from "./question";

/** An answer that takes longer than this is not waited for. */
const PATIENCE_MS = 600;

/** Resolves when the page has been painted once; in a hidden tab, which is never painted, after a while. */
export function painted(): Promise<void> {
  return new Promise((done) => {
    setTimeout(done, PATIENCE_MS);
    // the first frame callback runs before the frame is painted, the second after it
    requestAnimationFrame(() => requestAnimationFrame(() => done()));
  });
}

/** Resolves when nobody waits for words any more. */
export async function calm(): Promise<void> {
  await painted();
  if (!hasVelocity(question.peek()) || hasSpoken()) return;
  await new Promise<void>((done) => {
    const timer = setTimeout(finish, PATIENCE_MS);
    const stop = answer.subscribe(() => {
      if (hasSpoken()) finish();
    });
    function finish(): void {
      clearTimeout(timer);
      stop();
      done();
    }
  });
  await painted();
}

function hasSpoken(): boolean {
  const { data, error, isLoading } = answer.peek();
  return !isLoading && (data !== null || error !== null);
}

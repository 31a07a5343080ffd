/** A number of the service on the page: rounded for the eye, whole for whoever reads the markup. */

import { fixed } from "../ui/numbers";

/** One number; `text` is what is seen, when it is more than the rounded number. */
export function Value({ x, decimals = 0, text }: { x: number | null | undefined; decimals?: number; text?: string }) {
  if (x === null || x === undefined) return <span>—<span class="unseen"> unknown</span></span>;
  return <data value={String(x)}>{text ?? fixed(x, decimals)}</data>;
}

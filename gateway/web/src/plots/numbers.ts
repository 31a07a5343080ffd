/** Numbers as the plots write them: as many digits as are worth reading; signs and thousands as on the card. */

import { format } from "d3-format";
import { fixed } from "../ui/numbers";

/** Velocities, km/s. */
export const kms = (x: number | null | undefined): string => (x == null || Number.isNaN(x) ? "unknown" : fixed(x));
/** Differences of velocities, km/s, always with their sign. */
export const kmsSigned = (x: number): string => `${x > 0 ? "+" : ""}${fixed(x)}`;
/** Distances: hundredths below ten, tenths beyond. */
export const far = (x: number | null | undefined): string =>
  x == null || Number.isNaN(x) ? "unknown" : x === 0 ? "0" : fixed(x, Math.abs(x) < 9.995 ? 2 : 1);
/** Densities: three digits. */
export const three = (x: number): string => (x === 0 ? "0" : format(".3~g")(x));
/** Values of an axis: as many decimals as they have. */
export function tick(value: number): string {
  const text = String(Number(value.toPrecision(10)));
  return text.includes("e") ? text.replaceAll("-", "−") : fixed(Number(text), text.split(".")[1]?.length ?? 0);
}

/** Numbers as people read them: as many digits as the error leaves, a true minus sign, thin spaces between thousands. */

/** Shown where the service says null. */
const UNKNOWN = "—";
const MINUS = "−";
/** Thin, and lines do not break at it. */
const THIN = "\u202f";

/** Return a number with so many decimals; 10 000 and more in groups of three. */
export function fixed(x: number | null | undefined, decimals = 0): string {
  if (x === null || x === undefined || !Number.isFinite(x)) return UNKNOWN;
  const [whole = "0", rest] = Math.abs(x).toFixed(Math.min(Math.max(decimals, 0), 12)).split(".");
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, THIN) : whole;
  const text = rest === undefined ? grouped : `${grouped}.${rest}`;
  // what rounds to zero has no sign
  return x < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

/** Return how many decimals a value needs so that its error shows two digits; at most `most`. */
export function decimalsFor(error: number | null | undefined, most = 3): number {
  if (error === null || error === undefined || !(Math.abs(error) > 0) || !Number.isFinite(error)) return 0;
  const digits = 1 - Math.floor(Math.log10(Number(Math.abs(error).toPrecision(2))));
  return Math.min(Math.max(digits, 0), most);
}

/** Return "value ± error" with the digits that the error leaves. */
export function plusMinus(value: number | null, error: number | null, most = 3): string {
  if (value === null) return UNKNOWN;
  if (error === null) return fixed(value, most);
  const decimals = decimalsFor(error, most);
  return `${fixed(value, decimals)}${THIN}±${THIN}${fixed(error, decimals)}`;
}

/** Return "least to greatest" with so many decimals. */
export function range(least: number | null, greatest: number | null, decimals: number, between = " to "): string {
  return least === null || greatest === null ? UNKNOWN : fixed(least, decimals) + between + fixed(greatest, decimals);
}

/** Return a share as per cent: whole ones, finer near 0 and 1 so that "almost" is not "all". */
export function percent(share: number | null): string {
  if (share === null) return UNKNOWN;
  const p = 100 * share;
  if (p > 0 && p < 0.1) return `<${THIN}0.1${THIN}%`;
  if (p < 100 && p > 99.9) return `>${THIN}99.9${THIN}%`;
  return `${fixed(p, (p > 0 && p < 1) || (p > 99 && p < 100) ? 1 : 0)}${THIN}%`;
}

/** Return the unit of an answer as it is written: "h^-1 Mpc" becomes "h⁻¹ Mpc". */
export function unitShown(unit: string): string {
  return unit.replaceAll(/\^(-?\d+)/g, (_, power: string) =>
    [...power].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)])).join(""));
}

/** Return a right ascension in degrees as hours, minutes, seconds. */
export function asHours(deg: number): string {
  const [h, m, s] = parts((((deg % 360) + 360) % 360) / 15, 2);
  return `${pad(Number(h) % 24)}h ${pad(m)}m ${pad(s, 2)}s`;
}

/** Return a declination in degrees as degrees, minutes, seconds. */
export function asDegrees(deg: number): string {
  const [d, m, s] = parts(Math.abs(deg), 1);
  const isZero = d === 0 && m === 0 && s === 0;
  return `${deg < 0 && !isZero ? MINUS : "+"}${pad(d)}° ${pad(m)}′ ${pad(s, 1)}″`;
}

/** Split into wholes, sixtieths and their sixtieths, rounded so that no part shows 60. */
function parts(value: number, decimals: number): [number, number, number] {
  const unit = 10 ** decimals;
  const ticks = Math.round(value * 3600 * unit);
  return [Math.floor(ticks / (3600 * unit)), Math.floor(ticks / (60 * unit)) % 60, (ticks % (60 * unit)) / unit];
}

function pad(value: number, decimals = 0): string {
  return value.toFixed(decimals).padStart(decimals > 0 ? decimals + 3 : 2, "0");
}

/** What the sky shows, in words: for the readout, for screen readers, and at the head of saved files. */

import type { SkyFrame } from "../api/types";
import type { ShellKind, ShellSummary } from "../field/shell";

/** The frames of the sky and their two coordinates. */
export const SKY_FRAMES: Record<SkyFrame, { title: string; names: readonly [string, string] }> = {
  supergalactic: { title: "supergalactic", names: ["SGL", "SGB"] },
  galactic: { title: "galactic", names: ["l", "b"] },
  icrs: { title: "ICRS", names: ["RA", "Dec"] },
};

/** What a shell shows, as a title. */
export const KIND_WORDS: Record<ShellKind, string> = { velocity: "Radial velocity", density: "Density" };

const signed = (value: number, digits: number): string => {
  const text = Math.abs(value).toFixed(digits);
  return `${Number(text) === 0 ? "" : value < 0 ? "−" : "+"}${text}`;
};

/** Two coordinates with their names, degrees. */
export function placeWords([lon, lat]: readonly [number, number], frame: SkyFrame): string {
  const [a, b] = SKY_FRAMES[frame].names;
  return `${a} ${(Number(lon.toFixed(1)) % 360).toFixed(1)}°, ${b} ${signed(lat, 1)}°`;
}

/** A value with its unit: whole km/s in tens for velocities, two digits for densities; it comes from a preview. */
export function valueWords(value: number | null, kind: ShellKind): string {
  if (value === null || Number.isNaN(value)) return "the field is not there";
  return kind === "velocity" ? `v_rad ≈ ${signed(Math.round(value / 10) * 10, 0)} km/s` : `δ ≈ ${signed(value, 2)}`;
}

/** Labels of the colour bar: least, middle, greatest. */
export function scaleWords(limit: number, kind: ShellKind): [string, string, string] {
  if (kind === "velocity") return [signed(-limit, 0), "0", `${signed(limit, 0)} km/s`];
  return [`δ ${signed(Math.exp(-limit) - 1, 2)}`, "0", signed(Math.exp(limit) - 1, 1)];
}

/** One or two sentences that tell the shell. */
export function summaryWords(summary: ShellSummary, kind: ShellKind, r: number, field: string): string {
  const { least, greatest, covered } = summary;
  if (least === null || greatest === null) return `The field ${field} is not there at ${r} h⁻¹ Mpc.`;
  const at = (e: { value: number; sgl: number; sgb: number }): string =>
    `${valueWords(e.value, kind)} at ${placeWords([e.sgl, e.sgb], "supergalactic")}`;
  const [low, high] = kind === "velocity" ? ["Fastest towards us", "Fastest away from us"] : ["Emptiest", "Densest"];
  const part = covered > 0.995 ? "" : ` The field covers ${Math.round(covered * 100)} % of this shell.`;
  return `${KIND_WORDS[kind]} of the field ${field} on a shell of ${r} h⁻¹ Mpc around us. ${low}: ${at(least)}. ${high}: ${at(greatest)}.${part}`;
}

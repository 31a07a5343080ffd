/** Densities of the posterior: the window that holds them, the shaded parts, other fields in the same variable. No DOM. */

import type { Flow, FlowType, Root, Sightline } from "../api/types";
import { C_KMS } from "../field/velocityFrames";
import { interpolate } from "./curves";

/** A density as columns: `pdf` per unit of `x`. */
export interface Density {
  x: readonly number[];
  pdf: readonly number[];
}

/** What is looked at in the tails, as a part of the peak. */
const TAIL = 2e-3;

/** The four variables in words, with their units. */
export const VARIABLES: Record<FlowType, { name: string; unit: string }> = {
  distance: { name: "Distance", unit: "Mpc" },
  luminosity: { name: "Luminosity distance", unit: "Mpc" },
  comoving: { name: "Comoving distance", unit: "h⁻¹ Mpc" },
  hubble: { name: "Hubble velocity", unit: "km/s" },
};

/** The range of x that holds the density and every value of `also`, with some room. */
export function densityWindow({ x, pdf }: Density, also: readonly (number | null)[]): [number, number] {
  const peak = Math.max(0, ...pdf);
  const within = x.filter((_, i) => (pdf[i] ?? 0) > TAIL * peak);
  const seen = [...within, ...also.filter((v): v is number => v !== null && Number.isFinite(v))];
  if (seen.length === 0) return [x[0] ?? 0, x.at(-1) ?? 1];
  const [least, greatest] = [Math.min(...seen), Math.max(...seen)];
  const room = 0.06 * (greatest - least || Math.abs(greatest) || 1);
  return [Math.max(least - room, x[0] ?? 0), Math.min(greatest + room, Math.max(x.at(-1) ?? greatest, greatest))];
}

/** The density between two values, its ends interpolated: the outline of a shaded part. */
export function part({ x, pdf }: Density, from: number | null, to: number | null): [number, number][] {
  if (from === null || to === null || !(to > from)) return [];
  const inside = x.flatMap((v, i): [number, number][] => (v > from && v < to ? [[v, pdf[i] ?? 0]] : []));
  const end = (v: number): [number, number][] => {
    const y = interpolate(x, pdf, v);
    return Number.isFinite(y) ? [[v, y]] : [];
  };
  return [...end(from), ...inside, ...end(to)];
}

/** A root in one of the four variables; `czHel` is the observed heliocentric velocity, km/s. */
export function rootIn(flow: FlowType, root: Root, czHel: number): number {
  switch (flow) {
    case "comoving":
      return root.r_hmpc;
    case "hubble":
      return root.cz_hubble;
    case "luminosity":
      return root.d_mpc * (1 + czHel / C_KMS);
    case "distance":
      return root.d_mpc;
  }
}

/** The density that came with a line of sight (per Mpc), in one of the four variables; null without an observed velocity. */
export function densityOf(s: Sightline, flow: FlowType, czHel: number): Density | null {
  const { d_mpc, r_hmpc, cz_hubble, p } = s.columns;
  if (p === undefined) return null;
  const d = d_mpc.map((v) => v ?? Number.NaN);
  const factor = flow === "comoving" ? s.cosmology.H0 / 100 : 1 + czHel / C_KMS;
  const x =
    flow === "distance"
      ? d
      : flow === "luminosity"
        ? d.map((v) => v * factor)
        : (flow === "comoving" ? r_hmpc : cz_hubble).map((v) => v ?? Number.NaN);
  // p(x) = p(D) dD/dx; the Hubble law is so nearly straight that differences over two steps are exact to 1e-6
  const slope = (i: number): number => {
    const [a, b] = [Math.max(i - 1, 0), Math.min(i + 1, d.length - 1)];
    return ((d[b] ?? 0) - (d[a] ?? 0)) / ((x[b] ?? 1) - (x[a] ?? 0));
  };
  return { x, pdf: p.map((v, i) => (v ?? 0) * (flow === "distance" ? 1 : slope(i))) };
}

/** The density in words, for those who do not see it. */
export function densityWords(flow: Flow, of: FlowType, number: (x: number | null) => string): string {
  const { name, unit } = VARIABLES[of];
  const s = flow[of];
  const roots = flow.roots.map((r) => `${number(rootIn(of, r, flow.cz.hel))} (${percent(r.weight)})`);
  return [
    `${name} given cz and field ${flow.field.id}: median ${number(s.median)} ${unit},`,
    `68 % between ${number(s.p16)} and ${number(s.p84)},`,
    `95 % between ${number(s.p2_5)} and ${number(s.p97_5)}, most probable ${number(s.mode)}.`,
    roots.length === 0
      ? "No distance shows exactly the observed velocity."
      : `The observed velocity is met at ${roots.length === 1 ? "one value" : `${roots.length} values`}: ${roots.join(", ")}.`,
  ].join(" ");
}

/** A weight as whole percent; small ones are not called nothing. */
export function percent(weight: number): string {
  const p = 100 * weight;
  return p > 0 && p < 1 ? "< 1 %" : `${Math.round(p)} %`;
}

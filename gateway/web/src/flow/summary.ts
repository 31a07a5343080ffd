/** The view in words, for those who do not see it. Pure. */

import type { Critical } from "../field/critical";
import { STRUCTURES } from "../field/structures";
import { direction, type TileHeader } from "../field/tile";
import type { Layer } from "../state/view";
import { fixed } from "../ui/numbers";
import type { Target } from "./target";

/** What is on show. */
export interface Shown {
  header: TileHeader | null;
  reach: number;
  layers: readonly Layer[];
  delta: number;
  /** Density contrast of the void surface, where one is drawn. */
  voidDelta: number | null;
  galaxies: number;
  target: Target | null;
  critical: readonly Critical[];
}

const LAYER_WORDS: Partial<Record<Layer, string>> = {
  streamlines: "streamlines coloured by speed", arrows: "arrows of the velocity", slice: "a plane through the field",
  labels: "names of known structures", axes: "supergalactic axes and rings of distance",
};

/** Nearer than this to a root a structure is worth naming, h^-1 Mpc. */
const NEAR = 40;

/** Say what is shown. */
export function describe(shown: Shown): string {
  const { header, layers, target } = shown;
  if (header === null) return "No field is shown yet.";
  const has = (layer: Layer): boolean => layers.includes(layer);
  const parts = layers.flatMap((l) => LAYER_WORDS[l] ?? []);
  if (has("density") && header.planes.includes("delta")) parts.push(`the surface of density contrast ${number(shown.delta)}`);
  if (has("voids") && shown.voidDelta !== null) parts.push(`the surface of voids, density contrast ${number(shown.voidDelta)}`);
  if (has("galaxies") && shown.galaxies > 0) parts.push(`${fixed(shown.galaxies)} galaxies of the catalogue`);
  const out = [
    `Field ${header.field.title}, supergalactic axes, the Milky Way at the centre, up to ${round(shown.reach)} h⁻¹ Mpc.`,
    parts.length > 0 ? `Shown: ${parts.join("; ")}.` : "All layers are off.",
  ];
  if (target !== null) out.push(targetWords(target));
  if (has("critical")) {
    for (const c of shown.critical) {
      out.push(`The flow ${c.kind} about ${round(Math.hypot(...c.at))} h⁻¹ Mpc away${beside(c.at)}, a hint of this reconstruction.`);
    }
  }
  return out.join(" ");
}

function targetWords(target: Target): string {
  const name = target.name ?? "The asked direction";
  const range = target.range ? `; 68 % of its distance lies between ${round(target.range[0])} and ${round(target.range[1])} h⁻¹ Mpc` : "";
  if (target.roots.length === 0) return `${name}: its line of sight is drawn${range}.`;
  const roots = target.roots.map((r) => `${round(r.r_hmpc)} h⁻¹ Mpc (weight ${Math.round(100 * r.weight)} %)`);
  const best = [...target.roots].sort((a, b) => b.weight - a.weight)[0]!;
  const at = target.direction.map((x) => x * best.r_hmpc) as [number, number, number];
  return `${name}: the model shows its velocity at ${roots.join(", ")}${range}${beside(at)}.`;
}

function beside(at: readonly [number, number, number]): string {
  const near = STRUCTURES.map((s) => {
    const d = direction(s.sgl, s.sgb);
    return { name: s.name, gap: Math.hypot(...d.map((x, i) => x * s.r_hmpc - at[i]!)) };
  }).sort((a, b) => a.gap - b.gap)[0]!;
  return near.gap < NEAR ? `, ${round(near.gap)} h⁻¹ Mpc from ${near.name}` : "";
}

const round = (x: number): string => x.toFixed(x < 10 ? 1 : 0);
const number = (x: number): string => x.toFixed(2).replace("-", "−");
// not toLocaleString: its first call loads tables of the language, a frame's worth of time

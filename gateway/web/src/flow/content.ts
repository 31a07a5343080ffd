/** What stands in the scene, made from a tile and a palette: arrows, plane, ray, axes and rings, and the names of all. */

import type { Critical } from "../field/critical";
import type { Lines } from "../field/streamlines";
import { STRUCTURES } from "../field/structures";
import { direction, type Tile, velocityAt } from "../field/tile";
import type { Vector } from "../field/frames";
import type { Label } from "./overlay";
import { colourAt, type Rgb } from "../ui/ramp";
import { type PALETTES, SPEED_TOP, table } from "./palette";
import { type Actor, lineActor, sheetActor, solidActor } from "./parts";
import { circle, Solids } from "./shapes";
import { onPlane, type Slice, sliceColours } from "./slice";
import { ringsWithin, type Target } from "./target";
import { BEYOND } from "./work";

type Palette = (typeof PALETTES)["dark"];

/** Arrows along a diameter of the sphere. */
const ARROWS = 13;
/** Points along an edge of the plane. */
const SHEET = 161;
const STEPS = 256;
/** In units of the reach: half an axis, and where lines begin to fade. */
const AXIS = 1.06;
const FADING = 0.85;

const bytes = (c: Rgb, opacity = 1): number[] => [...c.map((x) => x * 255), opacity * 255];
const times = (p: Vector, s: number): Vector => [p[0] * s, p[1] * s, p[2] * s];

/** Streamlines `from` up to, not including, `until`, coloured by speed; they fade out beyond the sphere that is shown, where the field says little. */
export function flowActor(lines: Lines, from: number, until: number, reach: number, palette: Palette): Actor {
  const colours = table(palette.speed, STEPS, palette.lineOpacity);
  const starts = lines.starts.map((at) => at - lines.starts[from]!).subarray(from, until + 1);
  const points = lines.points.subarray(3 * lines.starts[from]!, 3 * lines.starts[until]!);
  const speeds = lines.speeds.subarray(lines.starts[from], lines.starts[until]);
  const out = new Uint8Array(4 * speeds.length);
  const fades = new Float32Array(speeds.length);
  for (let i = 0; i < speeds.length; i++) {
    const at = 4 * Math.round(Math.min(speeds[i]! / SPEED_TOP, 1) * (STEPS - 1));
    const r = Math.hypot(points[3 * i]!, points[3 * i + 1]!, points[3 * i + 2]!) / reach;
    const fade = (fades[i] = Math.min(Math.max((BEYOND - r) / (BEYOND - FADING), 0), 1) ** 2);
    out.set([colours[at]!, colours[at + 1]!, colours[at + 2]!, colours[at + 3]! * fade], 4 * i);
  }
  return lineActor(points, brightFirst(starts, fades), out);
}

/**
 * Cut lines into pieces, the faint ones last: a faint piece that were drawn before what lies behind it would hide it, and be
 * seen as a dark thread.
 */
function brightFirst(starts: Uint32Array, fades: Float32Array): [number, number][] {
  const groups: [number, number][][] = [[], [], [], []];
  const groupOf = (i: number): number => (fades[i]! >= 1 ? 0 : fades[i]! > 0.4 ? 1 : fades[i]! > 0.1 ? 2 : 3);
  for (let line = 0; line + 1 < starts.length; line++) {
    const end = starts[line + 1]!;
    for (let from = starts[line]!; from < end - 1; ) {
      const group = groupOf(from);
      let to = from + 1;
      while (to < end - 1 && groupOf(to) === group) to += 1;
      groups[group]!.push([from, to + 1]);
      from = to;
    }
  }
  return groups.flat();
}

/** Arrows on a coarse lattice, or on the plane where there is one. */
export function arrowActor(tile: Tile, reach: number, slice: Slice | null, palette: Palette): Actor {
  const solids = new Solids();
  const gap = (2 * reach) / (slice === null ? ARROWS : 1.6 * ARROWS);
  const most = Math.floor(reach / gap);
  const v = new Float64Array(3);
  const put = (p: Vector): void => {
    if (Math.hypot(...p) > reach || !velocityAt(tile, p[0], p[1], p[2], v)) return;
    const speed = Math.hypot(v[0]!, v[1]!, v[2]!);
    if (!(speed > 0)) return;
    const length = gap * Math.min(speed / SPEED_TOP, 1.5);
    const way = times([v[0]!, v[1]!, v[2]!], length / speed);
    const tail: Vector = [p[0] - way[0] / 2, p[1] - way[1] / 2, p[2] - way[2] / 2];
    solids.dart(tail, way, (slice === null ? 0.09 : 0.15) * Math.sqrt(gap * length), bytes(colourAt(palette.speed, speed / SPEED_TOP)));
  };
  for (let i = -most; i <= most; i++) {
    for (let j = -most; j <= most; j++) {
      if (slice !== null) put(onPlane(slice, i * gap, j * gap));
      else for (let k = -most; k <= most; k++) put([i * gap, j * gap, k * gap]);
    }
  }
  return solidActor(solids, true);
}

/** A plane through the field. */
export function planeActor(tile: Tile, slice: Slice, reach: number, palette: Palette): Actor {
  const points = new Float32Array(3 * SHEET * SHEET);
  for (let i = 0; i < SHEET; i++) {
    for (let j = 0; j < SHEET; j++) {
      const p = onPlane(slice, -reach + (2 * reach * i) / (SHEET - 1), -reach + (2 * reach * j) / (SHEET - 1));
      points.set(p, 3 * (i * SHEET + j));
    }
  }
  const scale = slice.of === "speed" ? palette.speed : palette.diverging;
  return sheetActor(points, sliceColours(tile, slice, reach, SHEET, scale), SHEET);
}

/** The ray of the target with its roots, sized by weight, and the 68 % range as the thicker piece. */
export function targetActor(target: Target, reach: number, palette: Palette): Actor {
  const solids = new Solids();
  const colour = bytes(palette.target);
  const thin = 0.0035 * reach;
  const farthest = Math.max(reach, ...target.roots.map((r) => 1.05 * r.r_hmpc), target.range?.[1] ?? 0);
  solids.rod([0, 0, 0], times(target.direction, farthest), thin, colour);
  if (target.range !== null) {
    solids.rod(times(target.direction, target.range[0]), times(target.direction, target.range[1]), 2.6 * thin, colour);
  }
  // the volume grows with the weight, as the eye expects of a ball
  for (const root of target.roots) {
    solids.ball(times(target.direction, root.r_hmpc), reach * (0.008 + 0.022 * Math.cbrt(Math.max(root.weight, 0))), colour);
  }
  return solidActor(solids, true);
}

/** Supergalactic axes and rings of distance in the plane SGX-SGY. */
export function gridActor(reach: number, palette: Palette): Actor {
  const rings = ringsWithin(reach).map((r) => circle(r));
  const ends = AXIS * reach;
  const axes = [[ends, 0, 0], [0, ends, 0], [0, 0, ends]].map((e) => Float32Array.of(-e[0]!, -e[1]!, -e[2]!, e[0]!, e[1]!, e[2]!));
  const pieces: [number, number][] = [];
  let n = 0;
  for (const line of [...rings, ...axes]) pieces.push([n, (n += line.length / 3)]);
  const points = new Float32Array(3 * n);
  [...rings, ...axes].forEach((line, i) => points.set(line, 3 * pieces[i]![0]));
  const colours = new Uint8Array((4 * points.length) / 3);
  for (let i = 0; i < colours.length; i += 4) colours.set(bytes(palette.grid), i);
  return lineActor(points, pieces, colours);
}

/** Names of axes, rings (at the given azimuth, degrees) and the Milky Way. */
export function gridLabels(reach: number, azimuth: number): Label[] {
  const a = (azimuth * Math.PI) / 180;
  const end = AXIS * reach;
  return [
    { text: "Milky Way", at: [0, 0, 0], kind: "home", priority: 90 },
    { text: "SGX", at: [end, 0, 0], kind: "axis", priority: 60 },
    { text: "SGY", at: [0, end, 0], kind: "axis", priority: 60 },
    { text: "SGZ", at: [0, 0, end], kind: "axis", priority: 60 },
    ...ringsWithin(reach).map((r): Label => (
      { text: `${r} h⁻¹ Mpc`, at: [r * Math.cos(a), r * Math.sin(a), 0], kind: "ring", priority: 30 + r / 100 }
    )),
  ];
}

/** Names of known structures in reach. */
export function structureLabels(reach: number): Label[] {
  return STRUCTURES.filter((s) => s.r_hmpc <= 1.2 * reach).map((s, i) => ({
    text: s.name, at: times(direction(s.sgl, s.sgb), s.r_hmpc), kind: s.kind === "void" ? "void" : "structure", priority: 80 - i,
  }));
}

/** Name of the target at its heaviest root (or its range), and the weights where there are several roots. */
export function targetLabels(target: Target): Label[] {
  const roots = [...target.roots].sort((a, b) => b.weight - a.weight);
  const best = roots[0]?.r_hmpc ?? (target.range ? (target.range[0] + target.range[1]) / 2 : null);
  const out: Label[] = [];
  if (best !== null) {
    out.push({ text: target.name ?? "asked", at: times(target.direction, best), kind: "target", priority: 100 });
  }
  if (roots.length > 1) {
    for (const root of roots) {
      const text = `${root.r_hmpc.toFixed(0)} h⁻¹ Mpc · ${(100 * root.weight).toFixed(0)} %`;
      out.push({ text, at: times(target.direction, root.r_hmpc), kind: "root", priority: 94 + root.weight });
    }
  }
  return out;
}

/** Hints of where the flow gathers and parts. */
export function criticalLabels(points: readonly Critical[]): Label[] {
  return points.map((c) => ({
    text: c.kind === "converges" ? "▸◂ flow converges" : "◂▸ flow diverges", at: c.at, kind: "critical", priority: 50 + 10 * c.share,
  }));
}

/** Marks at these places: three short lines crossing. */
export function criticalActor(points: readonly Critical[], reach: number, palette: Palette): Actor {
  const solids = new Solids();
  for (const c of points) {
    const colour = bytes(c.kind === "converges" ? palette.density : palette.void);
    for (const axis of [0, 1, 2] as const) {
      const [a, b]: [[number, number, number], [number, number, number]] = [[...c.at], [...c.at]];
      a[axis] -= 0.03 * reach;
      b[axis] += 0.03 * reach;
      solids.rod(a, b, 0.002 * reach, colour, 6);
    }
  }
  return solidActor(solids, false);
}

/** A shell of the preview: radial velocity or density in every direction at one distance. Pure numbers, for looking. */

import { type Matrix, toVector } from "./frames";
import type { Tile } from "./tile";

/** What is shown on a shell: radial velocity (km/s, CMB frame, positive away from us) or density contrast. */
export type ShellKind = "velocity" | "density";

const IDENTITY: Matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1];
/** Cells of the grid that is saved, degrees. */
const GRID_STEP = 2;
/** Share of the values that the colours tell apart; the rest has the colour of the end. */
const SHOWN_SHARE = 0.98;

/** True when the preview has what `kind` shows. */
export const hasKind = (tile: Tile, kind: ShellKind): boolean => kind === "velocity" || tile.delta !== null;

/**
 * Fill `out` with the values at `r` h^-1 Mpc in many directions; NaN where the field is not there.
 *
 * `directions` are unit vectors, three numbers each; `turn` brings them to supergalactic axes.
 */
export function fillShell(
  tile: Tile, kind: ShellKind, r: number, directions: Float32Array, out: Float32Array, turn: Matrix = IDENTITY,
): void {
  const { n, half, spacing, vx, vy, vz, delta } = tile;
  const [xx, xy, xz, yx, yy, yz, zx, zy, zz] = turn;
  const last = n - 1;
  const nn = n * n;
  const cells = r / spacing;
  const centre = half / spacing;
  for (let p = 0, q = 0; p < out.length; p++, q += 3) {
    const a = directions[q]!;
    const b = directions[q + 1]!;
    const c = directions[q + 2]!;
    const x = xx * a + xy * b + xz * c;
    const y = yx * a + yy * b + yz * c;
    const z = zx * a + zy * b + zz * c;
    const fx = centre + cells * x;
    const fy = centre + cells * y;
    const fz = centre + cells * z;
    if (!(fx >= 0 && fy >= 0 && fz >= 0 && fx <= last && fy <= last && fz <= last)) {
      out[p] = Number.NaN;
      continue;
    }
    const i = fx < last ? fx | 0 : last - 1;
    const j = fy < last ? fy | 0 : last - 1;
    const k = fz < last ? fz | 0 : last - 1;
    const u = fx - i;
    const v = fy - j;
    const w = fz - k;
    const s = (i * n + j) * n + k;
    // corner weights are shared by the three components
    const v1 = 1 - v;
    const w1 = 1 - w;
    const w00 = v1 * w1;
    const w01 = v1 * w;
    const w10 = v * w1;
    const w11 = v * w;
    if (kind === "velocity") {
      out[p] = x * eight(vx, s, n, nn, u, w00, w01, w10, w11) + y * eight(vy, s, n, nn, u, w00, w01, w10, w11) +
        z * eight(vz, s, n, nn, u, w00, w01, w10, w11);
    } else out[p] = delta === null ? Number.NaN : eight(delta, s, n, nn, u, w00, w01, w10, w11);
  }
}

function eight(
  plane: Float32Array, s: number, n: number, nn: number, u: number, w00: number, w01: number, w10: number, w11: number,
): number {
  const t = s + nn;
  const low = plane[s]! * w00 + plane[s + 1]! * w01 + plane[s + n]! * w10 + plane[s + n + 1]! * w11;
  const high = plane[t]! * w00 + plane[t + 1]! * w01 + plane[t + n]! * w10 + plane[t + n + 1]! * w11;
  return low + (high - low) * u;
}

/** Value at `r` h^-1 Mpc in one supergalactic direction (unit vector); NaN where the field is not there. */
export function shellValue(tile: Tile, kind: ShellKind, r: number, n: readonly [number, number, number]): number {
  const out = new Float32Array(1);
  fillShell(tile, kind, r, Float32Array.from(n), out);
  return out[0]!;
}

/** A shell on a grid of supergalactic longitude and latitude (cell centres, degrees). */
export interface ShellGrid {
  sgl: number[];
  sgb: number[];
  value: (number | null)[];
}

/** Return the shell on a grid of `step` degrees; null where the field is not there. */
export function shellGrid(tile: Tile, kind: ShellKind, r: number, step = GRID_STEP): ShellGrid {
  const grid: ShellGrid = { sgl: [], sgb: [], value: [] };
  for (let b = -90 + step / 2; b < 90; b += step) {
    for (let l = step / 2; l < 360; l += step) {
      grid.sgl.push(l);
      grid.sgb.push(b);
    }
  }
  const directions = Float32Array.from(grid.sgl.flatMap((l, i) => toVector(l, grid.sgb[i]!)));
  const out = new Float32Array(grid.sgl.length);
  fillShell(tile, kind, r, directions, out);
  grid.value = [...out].map((v) => (Number.isNaN(v) ? null : v));
  return grid;
}

/** What somebody who does not see the shell wants to know of it. */
export interface ShellSummary {
  /** Least and greatest value, each with its direction, supergalactic degrees; null when the shell is empty. */
  least: { value: number; sgl: number; sgb: number } | null;
  greatest: { value: number; sgl: number; sgb: number } | null;
  /** Mean over the sky that is there. */
  mean: number;
  /** Share of the sky where the field is. */
  covered: number;
}

/** Summarise a shell over the sky, by area. */
export function summarise(grid: ShellGrid): ShellSummary {
  let [low, high, sum, there, all] = [-1, -1, 0, 0, 0];
  grid.value.forEach((value, i) => {
    const area = Math.cos((grid.sgb[i]! * Math.PI) / 180);
    all += area;
    if (value === null) return;
    there += area;
    sum += area * value;
    if (low < 0 || value < grid.value[low]!) low = i;
    if (high < 0 || value > grid.value[high]!) high = i;
  });
  const at = (i: number): ShellSummary["least"] =>
    i < 0 ? null : { value: grid.value[i]!, sgl: grid.sgl[i]!, sgb: grid.sgb[i]! };
  return { least: at(low), greatest: at(high), mean: there > 0 ? sum / there : Number.NaN, covered: all > 0 ? there / all : 0 };
}

/**
 * Return where the colours of a field end, the same for all its shells: so shells can be compared.
 *
 * In km/s for velocities, in |ln(1+delta)| for densities; a round number that holds 98 of 100 values where the field is trusted.
 */
export function colourLimit(tile: Tile, kind: ShellKind): number {
  // reconstructions run wild towards their edges; those values would leave no colours for the rest
  const far = Math.min(tile.half, tile.header.trusted_hmpc ?? tile.half);
  const radii = Array.from({ length: 10 }, (_, i) => ((i + 1) / 10.5) * far);
  const values = radii.flatMap((r) => shellGrid(tile, kind, r, 10).value).filter((v) => v !== null)
    .map((v) => (kind === "velocity" ? Math.abs(v) : Math.abs(Math.log(Math.max(1 + v, 1e-3))))).sort((a, b) => a - b);
  const limit = values[Math.floor(SHOWN_SHARE * (values.length - 1))] ?? 0;
  if (kind === "density") return Math.max(Math.ceil(limit * 5) / 5, 0.2);
  const step = limit > 1000 ? 250 : 50;
  return Math.max(Math.ceil(limit / step) * step, 50);
}

/** A plane through the field: where its points lie, and what is seen on it. Shared by the view in space and the flat slices. Pure. */

import { sample, type Tile } from "../field/tile";
import type { Vector } from "../field/frames";
import type { Rgb } from "../ui/ramp";
import { LOG_DENSITY_TOP, SPEED_TOP, table, VELOCITY_TOP } from "./palette";

/** The axis that stands upright on the plane. */
export type Upright = "sgx" | "sgy" | "sgz";
/** What a plane is coloured by. */
export type SliceOf = "delta" | "velocity" | "speed";

export interface Slice {
  upright: Upright;
  /** Where the plane cuts that axis, h^-1 Mpc. */
  at: number;
  of: SliceOf;
}

/** The axes of a plane: the first to the right, the second upwards, the third upright on it. */
const AXES: Record<Upright, readonly [0 | 1 | 2, 0 | 1 | 2, 0 | 1 | 2]> = { sgz: [0, 1, 2], sgy: [0, 2, 1], sgx: [1, 2, 0] };
export const AXIS_NAMES = ["SGX", "SGY", "SGZ"] as const;

/** Return the axes of a plane, as indices of SGX, SGY, SGZ. */
export function axesOf(upright: Upright): readonly [0 | 1 | 2, 0 | 1 | 2, 0 | 1 | 2] {
  return AXES[upright];
}

/** Return the words for a plane: "SGX–SGY". */
export function planeName(upright: Upright): string {
  const [right, up] = axesOf(upright);
  return `${AXIS_NAMES[right]}–${AXIS_NAMES[up]}`;
}

/** Return the point of space at a place (u right, v up) of a plane. */
export function onPlane(slice: Pick<Slice, "upright" | "at">, u: number, v: number): Vector {
  const [right, up, upright] = axesOf(slice.upright);
  const p: [number, number, number] = [0, 0, 0];
  p[right] = u;
  p[up] = v;
  p[upright] = slice.at;
  return p;
}

/** Return a function that gives the place of a value on its colour scale, 0 ... 1; NaN where nothing is known. */
export function scaled(tile: Tile, of: SliceOf): (p: Vector) => number {
  const { delta } = tile;
  if (of === "delta" && delta !== null) {
    return ([x, y, z]) => 0.5 + (0.5 * Math.log(1 + sample(tile, delta, x, y, z))) / LOG_DENSITY_TOP;
  }
  return ([x, y, z]) => {
    const v = [sample(tile, tile.vx, x, y, z), sample(tile, tile.vy, x, y, z), sample(tile, tile.vz, x, y, z)] as const;
    if (of === "speed") return Math.hypot(...v) / SPEED_TOP;
    const r = Math.hypot(x, y, z);
    // at the observer himself there is no direction: neither approaching nor receding
    return 0.5 + (r > 0 ? (0.5 * (v[0] * x + v[1] * y + v[2] * z)) / r / VELOCITY_TOP : 0);
  };
}

/** Return the colours (bytes, four a point) of n x n points of a plane from -reach to reach, u slowest; clear where nothing is known. */
export function sliceColours(tile: Tile, slice: Slice, reach: number, n: number, scale: readonly Rgb[]): Uint8Array {
  const STEPS = 256;
  const colours = table(scale, STEPS);
  const value = scaled(tile, slice.of);
  const out = new Uint8Array(4 * n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const t = value(onPlane(slice, -reach + (2 * reach * i) / (n - 1), -reach + (2 * reach * j) / (n - 1)));
      if (!(t === t)) continue;
      const at = 4 * Math.round(Math.min(Math.max(t, 0), 1) * (STEPS - 1));
      out.set(colours.subarray(at, at + 4), 4 * (i * n + j));
    }
  }
  return out;
}

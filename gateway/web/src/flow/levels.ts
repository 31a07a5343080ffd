/** How far a field is worth seeing, and which density contrasts its surfaces can have. Pure. */

import type { Tile } from "../field/tile";

/** Least density contrast of what is called a void here, where the field goes so low. */
const VOID = -0.6;
/** Part of the sphere that the void surface may hold at least: smooth fields hardly go below zero. */
const VOID_PART = 0.05;
const DENSE_PART = 0.9985;

/** Return the radius of the sphere that is shown: as far as the field is trusted, h^-1 Mpc. */
export function reachOf(tile: Tile): number {
  return Math.min(tile.half, tile.header.trusted_hmpc ?? tile.half, tile.header.r_max_hmpc);
}

/** Density contrasts: of the void surface, and the greatest for the slider. */
export interface Levels {
  empty: number;
  top: number;
}

const known = new WeakMap<Tile, { reach: number; levels: Levels | null }>();

/** Return the levels of a tile; null for a field without a density. Remembered: page and scene both ask. */
export function levelsOf(tile: Tile, reach: number): Levels | null {
  const before = known.get(tile);
  if (before?.reach === reach) return before.levels;
  const levels = measured(tile, reach);
  known.set(tile, { reach, levels });
  return levels;
}

/** Nodes along the diameter of the sphere are enough for a percentile. */
const NODES = 32;

function measured({ delta, n, half, spacing }: Tile, reach: number): Levels | null {
  if (delta === null) return null;
  const first = Math.max(Math.ceil((half - reach) / spacing), 0);
  const last = n - 1 - first;
  const stride = Math.max(Math.round((last - first) / NODES), 1);
  const values = new Float32Array((Math.floor((last - first) / stride) + 1) ** 3);
  let count = 0;
  for (let i = first; i <= last; i += stride) {
    for (let j = first; j <= last; j += stride) {
      const side = (i * spacing - half) ** 2 + (j * spacing - half) ** 2;
      for (let k = first; k <= last; k += stride) {
        const value = delta[(i * n + j) * n + k]!;
        if (side + (k * spacing - half) ** 2 <= reach * reach && value === value) values[count++] = value;
      }
    }
  }
  if (count === 0) return null;
  const sorted = values.subarray(0, count).sort();
  const part = (q: number): number => sorted[Math.min(Math.floor(q * count), count - 1)]!;
  return { empty: Math.max(VOID, part(VOID_PART)), top: Math.max(0.5, Math.ceil(10 * part(DENSE_PART)) / 10) };
}

/** Where the galaxies of the catalogue stand in space. Pure. */

import type { Galaxies } from "../api/types";
import { direction } from "../field/tile";

/**
 * Return the places of galaxies at cz_cmb / 100, h^-1 Mpc, three numbers each: where they would be without peculiar velocities.
 * Those that come nearer in this frame have no such place; they stand at home.
 */
export function placesOf({ columns }: Galaxies): Float32Array<ArrayBuffer> {
  const out = new Float32Array(3 * columns.name.length);
  columns.cz_cmb.forEach((cz, i) => {
    const r = Math.max(cz, 0) / 100;
    out.set(direction(columns.sgl[i]!, columns.sgb[i]!).map((x) => x * r), 3 * i);
  });
  return out;
}

/** Return the points no farther than `reach` from the observer. */
export function within(points: Float32Array, reach: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(points.length);
  let n = 0;
  for (let i = 0; i < points.length; i += 3) {
    if (Math.hypot(points[i]!, points[i + 1]!, points[i + 2]!) > reach) continue;
    out.set(points.subarray(i, i + 3), n);
    n += 3;
  }
  return out.slice(0, n);
}

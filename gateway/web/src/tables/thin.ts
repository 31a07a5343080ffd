/** Fewer points than there are, and the nearest of many: what the plots need of a million rows. No DOM. */

import { C_KMS } from "../field/velocityFrames";

/** Return the places of at most `most` of those that `fits`, evenly spread over the rows. */
export function thinned(n: number, most: number, fits: (i: number) => boolean): number[] {
  const all: number[] = [];
  for (let i = 0; i < n; i++) if (fits(i)) all.push(i);
  if (all.length <= most) return all;
  // whole steps would drop up to half of what may be shown
  return Array.from({ length: most }, (_, k) => all[Math.floor((k * all.length) / most)] as number);
}

/** Points on a plane in a coarse grid, to find the nearest to a pointer. */
export interface Finder {
  /** Return the place in the arrays of the nearest point within `reach` pixels, or -1. */
  nearest(x: number, y: number, reach: number): number;
}

/** Sort points (pixels) into cells. */
export function finder(xs: ArrayLike<number>, ys: ArrayLike<number>, cell = 16): Finder {
  const cells = new Map<number, number[]>();
  const key = (i: number, j: number): number => i * 100_003 + j;
  for (let k = 0; k < xs.length; k++) {
    const at = key(Math.floor((xs[k] as number) / cell), Math.floor((ys[k] as number) / cell));
    const there = cells.get(at);
    if (there) there.push(k);
    else cells.set(at, [k]);
  }
  return {
    nearest(x, y, reach) {
      let best = -1;
      let least = reach * reach;
      const [i0, i1, j0, j1] = [x - reach, x + reach, y - reach, y + reach].map((v) => Math.floor(v / cell)) as [number, number, number, number];
      for (let i = i0; i <= i1; i++) {
        for (let j = j0; j <= j1; j++) {
          for (const k of cells.get(key(i, j)) ?? []) {
            const d = ((xs[k] as number) - x) ** 2 + ((ys[k] as number) - y) ** 2;
            if (d <= least) {
              least = d;
              best = k;
            }
          }
        }
      }
      return best;
    },
  };
}

/** Comoving distance in Mpc at c z in km/s without any peculiar velocity, flat Lambda-CDM. */
export function hubbleDistance(cz: number, H0: number, Om: number): number {
  const z = cz / C_KMS;
  const steps = 16;
  let sum = 0;
  for (let k = 0; k < steps; k++) sum += 1 / Math.sqrt(Om * (1 + (z * (k + 0.5)) / steps) ** 3 + 1 - Om);
  return ((C_KMS / H0) * z * sum) / steps;
}

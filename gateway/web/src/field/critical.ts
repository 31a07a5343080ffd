/**
 * Where the flow gathers and whence it parts: follow it from many seeds to the end, with it and against it, and see where
 * the ends crowd. Hints for the eye: such a point says where the streamlines of this reconstruction meet, in the frame
 * of the cosmic microwave background, and no more.
 */

import { Follower, seedsIn } from "./streamlines";
import type { Tile } from "./tile";

export interface Critical {
  kind: "converges" | "diverges";
  /** h^-1 Mpc, supergalactic. */
  at: [number, number, number];
  /** Part of the seeds that end here. */
  share: number;
}

/** Seeds that are followed; two thousand lines of the finest preview take a tenth of a second. */
const SEEDS = 700;
/** Path of one line in units of the reach: enough to arrive from anywhere inside. */
const PATH = 5;
/** Steps between two looks whether the line still gets anywhere. */
const LOOK_BACK = 10;
/** Ends closer than this many cells are the same place. */
const SAME = 3;
/** Fewer of the seeds than this make no basin. */
const LEAST_SHARE = 0.02;

/** Find the points, those with most lines first. Seeds and points lie within `reach` (h^-1 Mpc) of the observer. */
export function criticalPoints(tile: Tile, reach: number, most = 6): Critical[] {
  const seeds = seedsIn(reach, SEEDS);
  const found = (["converges", "diverges"] as const).flatMap((kind) =>
    clusters(ends(tile, seeds, reach, kind === "converges" ? 1 : -1), SAME * tile.spacing)
      .filter((c) => c.n >= LEAST_SHARE * SEEDS)
      .map((c): Critical => ({ kind, at: c.at, share: c.n / SEEDS })),
  );
  return found.sort((a, b) => b.share - a.share).slice(0, most);
}

/** Where lines come to rest inside the sphere; those that leave it have no end. */
function ends(tile: Tile, seeds: Float64Array, reach: number, sign: 1 | -1): [number, number, number][] {
  const follower = new Follower(tile);
  const step = tile.spacing / 2;
  const most = Math.ceil((PATH * reach) / step);
  const p = new Float64Array(3);
  const out: [number, number, number][] = [];
  for (let s = 0; s < seeds.length; s += 3) {
    p.set(seeds.subarray(s, s + 3));
    const mean = [0, 0, 0];
    let mark: [number, number, number] = [p[0]!, p[1]!, p[2]!];
    for (let i = 1; i <= most; i++) {
      if (!follower.advance(p, sign * step) || Math.hypot(p[0]!, p[1]!, p[2]!) > reach) break;
      for (let c = 0; c < 3; c++) mean[c]! += p[c]! / LOOK_BACK;
      if (i % LOOK_BACK !== 0) continue;
      // with steps of fixed length a line at rest jumps to and fro around the point: their mean is the point
      if (Math.hypot(p[0]! - mark[0], p[1]! - mark[1], p[2]! - mark[2]) < 2 * step && spread(mark, mean) < 2 * step) {
        out.push([mean[0]!, mean[1]!, mean[2]!]);
        break;
      }
      mark = [p[0]!, p[1]!, p[2]!];
      mean.fill(0);
    }
  }
  return out;
}

function spread(a: readonly number[], b: readonly number[]): number {
  return Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!);
}

/** Gather points greedily: each joins the first cluster whose mean is near. */
function clusters(points: readonly [number, number, number][], near: number): { at: [number, number, number]; n: number }[] {
  const out: { at: [number, number, number]; n: number }[] = [];
  for (const p of points) {
    const home = out.find((c) => spread(c.at, p) < near);
    if (home === undefined) {
      out.push({ at: [...p], n: 1 });
      continue;
    }
    home.n += 1;
    for (let c = 0; c < 3; c++) home.at[c]! += (p[c]! - home.at[c]!) / home.n;
  }
  return out;
}

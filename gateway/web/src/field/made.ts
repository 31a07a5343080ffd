/** Tiles from formulas, for tests. */

import type { Tile } from "./tile";

/** A tile of n nodes an axis from -half to half whose velocity (and density contrast) are functions of the place. */
export function tileOf(
  n: number, half: number, velocity: (x: number, y: number, z: number) => readonly [number, number, number],
  delta?: (x: number, y: number, z: number) => number,
): Tile {
  const spacing = (2 * half) / (n - 1);
  const planes = [0, 1, 2, 3].map(() => new Float32Array(n ** 3));
  for (let i = 0, at = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      for (let k = 0; k < n; k++, at++) {
        const p = [i * spacing - half, j * spacing - half, k * spacing - half] as const;
        velocity(...p).forEach((v, c) => (planes[c]![at] = v));
        planes[3]![at] = delta?.(...p) ?? 0;
      }
    }
  }
  return {
    header: {
      format: "cosmicflows-preview", n, origin_hmpc: [-half, -half, -half], spacing_hmpc: spacing, frame: "supergalactic",
      field: { id: "made", version: "1-0", title: "Made for a test" }, r_max_hmpc: half * Math.sqrt(3), trusted_hmpc: null,
      planes: delta ? ["vx", "vy", "vz", "delta"] : ["vx", "vy", "vz"], velocity: { unit: "km/s", scale: 500, power: 2 }, density: null,
    },
    n, half, spacing, vx: planes[0]!, vy: planes[1]!, vz: planes[2]!, delta: delta ? planes[3]! : null,
  };
}

/**
 * Surfaces of equal value in a plane of the preview, by surface nets: one vertex in each cell that the surface crosses, at
 * the mean of the crossings of its edges, and a quad for each crossed edge. Smoother than marching cubes and half as many
 * triangles. S. F. Gibson, "Constrained elastic surface nets", MICCAI 1998, doi:10.1007/BFb0056277.
 */

import type { Tile } from "./tile";

export interface Mesh {
  /** x, y, z, h^-1 Mpc. */
  points: Float32Array<ArrayBuffer>;
  /** Unit normals, towards smaller values. */
  normals: Float32Array<ArrayBuffer>;
  /** Three vertices a triangle. */
  triangles: Uint32Array<ArrayBuffer>;
}

/** The two corners of each edge of a cell; bit 0 of a corner is +x, bit 1 +y, bit 2 +z. */
const EDGES = [
  [0, 1], [2, 3], [4, 5], [6, 7], [0, 2], [1, 3], [4, 6], [5, 7], [0, 4], [1, 5], [2, 6], [3, 7],
] as const;

/** Return ln(1+delta) of a tile: its steps are even, so that surfaces of it are smooth at every level. */
export function logDensity(delta: Float32Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(delta, (d) => Math.log(1 + d));
}

/** Average each node with its six neighbours once: the steps of one byte would be seen as terraces. */
export function softened(values: Float32Array, n: number): Float32Array<ArrayBuffer> {
  const out = Float32Array.from(values);
  const slab = n * n;
  for (let i = 1; i < n - 1; i++) {
    for (let j = 1; j < n - 1; j++) {
      for (let at = i * slab + j * n + 1, end = at + n - 2; at < end; at++) {
        const around =
          values[at - 1]! + values[at + 1]! + values[at - n]! + values[at + n]! + values[at - slab]! + values[at + slab]!;
        const mean = 0.5 * values[at]! + around / 12;
        if (mean === mean) out[at] = mean;
      }
    }
  }
  return out;
}

/**
 * Return the surface where `values` has `level`, no farther than `reach` (h^-1 Mpc) from the observer: what goes on beyond is
 * closed by a piece of the sphere, so that a body cut there does not look hollow, nor its edge like stairs.
 */
export function surface(tile: Pick<Tile, "n" | "half" | "spacing">, values: Float32Array, level: number, reach: number): Mesh {
  const { n, half, spacing } = tile;
  const slab = n * n;
  const points: number[] = [];
  const normals: number[] = [];
  const triangles: number[] = [];
  const vertex = new Int32Array(n * n * n).fill(-1);
  const corner = new Float32Array(8);
  // farther out than this no corner of a cell lies inside
  const far = (reach + 2 * spacing) ** 2;
  const inner = Math.max(reach - 3 * spacing, 0) ** 2;
  const near = (at: number): number => -half + at * spacing;
  for (let i = 0; i < n - 1; i++) {
    for (let j = 0; j < n - 1; j++) {
      const side = near(i) ** 2 + near(j) ** 2;
      if (side > far) continue;
      for (let k = 0; k < n - 1; k++) {
        const r2 = side + near(k) ** 2;
        if (r2 > far) continue;
        const at = i * slab + j * n + k;
        let above = 0;
        for (let c = 0; c < 8; c++) {
          let value = values[at + (c & 1) * slab + ((c >> 1) & 1) * n + (c >> 2)]! - level;
          if (r2 > inner) {
            const r = Math.hypot(near(i + (c & 1)), near(j + ((c >> 1) & 1)), near(k + (c >> 2)));
            value = Math.min(value, (reach - r) / spacing);
          }
          corner[c] = value;
          if (value > 0) above += 1;
        }
        if (above === 0 || above === 8) continue;
        const gx = corner[1]! + corner[3]! + corner[5]! + corner[7]! - corner[0]! - corner[2]! - corner[4]! - corner[6]!;
        const gy = corner[2]! + corner[3]! + corner[6]! + corner[7]! - corner[0]! - corner[1]! - corner[4]! - corner[5]!;
        const gz = corner[4]! + corner[5]! + corner[6]! + corner[7]! - corner[0]! - corner[1]! - corner[2]! - corner[3]!;
        const size = Math.hypot(gx, gy, gz);
        // NaN of any corner is in the sum: beside nodes that are not there the surface is unknown
        if (!(size > 0)) continue;
        let x = 0;
        let y = 0;
        let z = 0;
        let crossings = 0;
        for (const [a, b] of EDGES) {
          const va = corner[a]!;
          const vb = corner[b]!;
          if (va > 0 === vb > 0) continue;
          const t = va / (va - vb);
          x += (a & 1) + t * ((b & 1) - (a & 1));
          y += ((a >> 1) & 1) + t * (((b >> 1) & 1) - ((a >> 1) & 1));
          z += (a >> 2) + t * ((b >> 2) - (a >> 2));
          crossings += 1;
        }
        vertex[at] = points.length / 3;
        points.push(near(i + x / crossings), near(j + y / crossings), near(k + z / crossings));
        normals.push(-gx / size, -gy / size, -gz / size);
        // the quads around the three edges that begin in corner 0; the cells around them were visited before
        const inside = corner[0]! > 0;
        if (j > 0 && k > 0 && inside !== corner[1]! > 0) quad(at, at - n, at - n - 1, at - 1, inside);
        if (i > 0 && k > 0 && inside !== corner[2]! > 0) quad(at, at - 1, at - slab - 1, at - slab, inside);
        if (i > 0 && j > 0 && inside !== corner[4]! > 0) quad(at, at - slab, at - slab - n, at - n, inside);
      }
    }
  }
  return { points: Float32Array.from(points), normals: Float32Array.from(normals), triangles: Uint32Array.from(triangles) };

  function quad(a: number, b: number, c: number, d: number, isFront: boolean): void {
    const [va, vb, vc, vd] = [vertex[a]!, vertex[b]!, vertex[c]!, vertex[d]!];
    if (vb < 0 || vc < 0 || vd < 0) return;
    if (isFront) triangles.push(va, vb, vc, va, vc, vd);
    else triangles.push(va, vc, vb, va, vd, vc);
  }
}

// @vitest-environment node
import { describe, expect, it } from "vitest";
import { tileOf } from "./made";
import { type Mesh, softened, surface } from "./surface";

const ball = tileOf(41, 50, () => [0, 0, 0], (x, y, z) => 20 - Math.hypot(x - 3, y + 2, z));

/** Volume inside a closed mesh; positive when its triangles look outwards. */
function volume({ points, triangles }: Mesh): number {
  let sum = 0;
  for (let t = 0; t < triangles.length; t += 3) {
    const [a, b, c] = [0, 1, 2].map((i) => points.subarray(3 * triangles[t + i]!, 3 * triangles[t + i]! + 3)) as [Float32Array, Float32Array, Float32Array];
    sum += a[0]! * (b[1]! * c[2]! - b[2]! * c[1]!) + a[1]! * (b[2]! * c[0]! - b[0]! * c[2]!) + a[2]! * (b[0]! * c[1]! - b[1]! * c[0]!);
  }
  return sum / 6;
}

describe("a surface of equal value", () => {
  it("lies where the value is, looks outwards and is closed", () => {
    const mesh = surface(ball, ball.delta!, 5, 1000);
    for (let i = 0; i < mesh.points.length; i += 3) {
      const d = [mesh.points[i]! - 3, mesh.points[i + 1]! + 2, mesh.points[i + 2]!];
      expect(Math.abs(Math.hypot(...d) - 15)).toBeLessThan(0.3 * ball.spacing);
      const along = d.reduce((s, x, c) => s + x * mesh.normals[i + c]!, 0) / Math.hypot(...d);
      expect(along).toBeGreaterThan(0.97);
    }
    expect(volume(mesh) / ((4 / 3) * Math.PI * 15 ** 3)).toBeCloseTo(1, 1);
    const edges = new Map<string, number>();
    for (let t = 0; t < mesh.triangles.length; t += 3) {
      for (const [a, b] of [[0, 1], [1, 2], [2, 0]] as const) {
        const [p, q] = [mesh.triangles[t + a]!, mesh.triangles[t + b]!];
        const key = `${Math.min(p, q)} ${Math.max(p, q)}`;
        edges.set(key, (edges.get(key) ?? 0) + 1);
      }
    }
    expect([...edges.values()].every((n) => n === 2)).toBe(true);
  });

  it("is closed by the sphere that is shown", () => {
    const everywhere = tileOf(31, 50, () => [0, 0, 0], () => 1);
    const mesh = surface(everywhere, everywhere.delta!, 0.5, 30);
    for (let i = 0; i < mesh.points.length; i += 3) expect(Math.abs(Math.hypot(...mesh.points.subarray(i, i + 3)) - 30)).toBeLessThan(1.5);
    expect(volume(mesh) / ((4 / 3) * Math.PI * 30 ** 3)).toBeCloseTo(1, 1);
  });

  it("has holes where the field is not, and never a point that is no number", () => {
    const torn = tileOf(41, 50, () => [0, 0, 0], (x, y, z) => (x > 6 ? Number.NaN : 20 - Math.hypot(x, y, z)));
    const mesh = surface(torn, softened(torn.delta!, torn.n), 5, 1000);
    expect(mesh.points.length).toBeGreaterThan(300);
    expect(mesh.points.every(Number.isFinite)).toBe(true);
    expect(Math.max(...mesh.points.filter((_, i) => i % 3 === 0))).toBeLessThanOrEqual(7.5);
  });
});

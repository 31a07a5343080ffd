// @vitest-environment node
import { describe, expect, it } from "vitest";
import { criticalPoints } from "./critical";
import { tileOf } from "./made";

describe("hints of where the flow gathers", () => {
  it("find a made attractor and a made repeller within a cell", () => {
    const sink = [22, -11, 6] as const;
    const source = [-20, 14, -9] as const;
    const pull = (p: readonly number[], q: readonly number[]): number[] => {
      const d = q.map((x, i) => x - p[i]!);
      const s = 300 / (60 + d[0]! ** 2 + d[1]! ** 2 + d[2]! ** 2);
      return d.map((x) => x * s);
    };
    const tile = tileOf(48, 60, (...p) => {
      const [a, b] = [pull(p, sink), pull(p, source)];
      return [a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!];
    });
    const found = criticalPoints(tile, 55);
    const best = (kind: string): readonly number[] => found.find((c) => c.kind === kind)!.at;
    // the other one pushes each of them a little off its centre; where the made flow stands still is what counts
    expect(Math.hypot(...best("converges").map((x, i) => x - sink[i]!))).toBeLessThan(tile.spacing);
    expect(Math.hypot(...best("diverges").map((x, i) => x - source[i]!))).toBeLessThan(tile.spacing);
    expect(found.filter((c) => c.kind === "converges")).toHaveLength(1);
    expect(found.filter((c) => c.kind === "diverges")).toHaveLength(1);
    expect(found[0]!.share).toBeGreaterThan(0.3);
  });

  it("find nothing in a flow that only passes through", () => {
    expect(criticalPoints(tileOf(16, 60, () => [200, 0, 0]), 50)).toEqual([]);
  });
});

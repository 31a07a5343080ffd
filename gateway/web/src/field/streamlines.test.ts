// @vitest-environment node
import { describe, expect, it } from "vitest";
import { tileOf } from "./made";
import { type Lines, seedsIn, streamlines } from "./streamlines";

const HOW = { step: 1, most: 200, reach: 1000 };

/** Points of one line as rows. */
function line(lines: Lines, at = 0): number[][] {
  const rows: number[][] = [];
  for (let i = lines.starts[at]!; i < lines.starts[at + 1]!; i++) rows.push([...lines.points.subarray(3 * i, 3 * i + 3)]);
  return rows;
}

describe("streamlines", () => {
  it("are straight in a constant field, run with the flow, and end at the edge of the lattice", () => {
    const tile = tileOf(17, 50, () => [300, 400, 0]);
    const lines = streamlines(tile, Float64Array.of(1, 2, 3), HOW);
    const rows = line(lines);
    for (const [x, y, z] of rows) {
      expect((y! - 2) * 3 - (x! - 1) * 4).toBeCloseTo(0, 3);
      expect(z).toBeCloseTo(3, 5);
    }
    expect(rows.at(-1)![1]).toBeGreaterThan(50 - 1);
    expect(rows.at(-1)![1]).toBeLessThanOrEqual(50);
    expect(rows[0]![1]).toBeLessThan(-50 + 1);
    expect(rows[1]![0]!).toBeGreaterThan(rows[0]![0]!);
    expect(lines.speeds[5]).toBeCloseTo(500, 2);
  });

  it("are circles in a solid rotation", () => {
    const tile = tileOf(33, 50, (x, y) => [-10 * y, 10 * x, 0]);
    const rows = line(streamlines(tile, Float64Array.of(30, 0, 7), { ...HOW, most: 180 }));
    // thinned, but never a chord longer than five degrees of bend and a step
    expect(rows.length).toBeGreaterThan(360 / 9);
    const turn = rows.map(([x, y]) => Math.atan2(y!, x!));
    for (let i = 1; i < turn.length; i++) expect((turn[i]! - turn[i - 1]! + 4 * Math.PI) % (2 * Math.PI)).toBeLessThan(0.18);
    for (const [x, y, z] of rows) {
      expect(Math.hypot(x!, y!)).toBeCloseTo(30, 3);
      expect(z).toBeCloseTo(7, 5);
    }
  });

  it("end before nodes that are not there, in any component", () => {
    const tile = tileOf(21, 50, (x) => [200, x > 12 ? Number.NaN : 0, 0]);
    const rows = line(streamlines(tile, Float64Array.of(0, 1, 1), HOW));
    expect(rows.at(-1)![0]).toBeLessThanOrEqual(15);
    expect(rows.at(-1)![0]).toBeGreaterThan(8);
    expect(rows.flat().every(Number.isFinite)).toBe(true);
  });

  it("end where the flow has arrived instead of knotting there", () => {
    const tile = tileOf(33, 50, (x, y, z) => [-10 * x, -10 * y, -10 * z]);
    const rows = line(streamlines(tile, Float64Array.of(30, 0, 0), { ...HOW, most: 2000 }));
    expect(rows.length).toBeLessThan(120);
    expect(Math.hypot(...rows.at(-1)!)).toBeLessThan(13);
  });

  it("do not begin outside the lattice nor where nothing moves", () => {
    const lines = streamlines(tileOf(9, 50, (x) => [x > 0 ? 100 : 0, 0, 0]), Float64Array.of(60, 0, 0, -30, 0, 0, 30, 0, 0), HOW);
    expect(lines.starts.length).toBe(2);
  });

  it("leave the sphere no farther than they are told", () => {
    const lines = streamlines(tileOf(17, 50, () => [0, 0, 500]), seedsIn(20, 40), { ...HOW, reach: 25 });
    for (let i = 0; i < lines.points.length; i += 3) expect(Math.hypot(...lines.points.subarray(i, i + 3))).toBeLessThanOrEqual(25);
  });
});

describe("seeds", () => {
  it("fill the sphere evenly", () => {
    const seeds = seedsIn(10, 4000);
    const octants = new Array<number>(8).fill(0);
    let near = 0;
    let farthest = 0;
    for (let i = 0; i < seeds.length; i += 3) {
      const [x, y, z] = [seeds[i]!, seeds[i + 1]!, seeds[i + 2]!];
      octants[(x > 0 ? 1 : 0) + (y > 0 ? 2 : 0) + (z > 0 ? 4 : 0)]! += 1;
      if (Math.hypot(x, y, z) < 5) near += 1;
      farthest = Math.max(farthest, Math.hypot(x, y, z));
    }
    expect(farthest).toBeLessThanOrEqual(10);
    for (const n of octants) expect(Math.abs(n - 500)).toBeLessThan(25);
    expect(near / 4000).toBeCloseTo(1 / 8, 2);
  });
});

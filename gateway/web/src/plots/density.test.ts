// @vitest-environment node
import { describe, expect, it } from "vitest";
import { densityOf, densityWindow, densityWords, part, percent, rootIn } from "./density";
import { handFlow, handLine } from "./hand";
import { far } from "./numbers";

const TRIANGLE = { x: [0, 20, 60, 100, 120], pdf: [0, 0, 0.025, 0, 0] };
const area = (p: [number, number][]): number =>
  p.slice(1).reduce((s, [x, y], i) => s + ((x - (p[i]?.[0] ?? 0)) * (y + (p[i]?.[1] ?? 0))) / 2, 0);

describe("a density", () => {
  it("is cut at two values with its ends interpolated", () => {
    expect(part(TRIANGLE, 40, 80)).toEqual([
      [40, 0.0125],
      [60, 0.025],
      [80, 0.0125],
    ]);
    expect(area(part(TRIANGLE, 0, 120))).toBeCloseTo(1, 12);
    expect(area(part(TRIANGLE, 40, 80))).toBeCloseTo(0.75, 12);
    expect(part(TRIANGLE, null, 80)).toEqual([]);
  });

  it("is shown where it is, not over the whole axis", () => {
    const x = Array.from({ length: 401 }, (_, i) => i);
    const pdf = x.map((v) => Math.exp(-0.5 * ((v - 40) / 2) ** 2));
    const [low, high] = densityWindow({ x, pdf }, [36, 44, null, 60]);
    expect(low).toBeGreaterThan(30);
    expect(low).toBeLessThan(34);
    expect(high).toBeGreaterThan(60);
    expect(high).toBeLessThan(64);
    expect(densityWindow({ x, pdf: x.map(() => 0) }, [])).toEqual([0, 400]);
  });

  it("does not go below its axis", () => {
    const x = [0, 1, 2, 3, 4];
    expect(densityWindow({ x, pdf: [1, 2, 1, 0.5, 0] }, [])[0]).toBe(0);
  });
});

describe("the four variables", () => {
  const root = { r_hmpc: 30, d_mpc: 60, cz_hubble: 3000, v_rad: 0, slope: 1, weight: 1 };
  it("place a root", () => {
    expect((["comoving", "distance", "hubble"] as const).map((f) => rootIn(f, root, 2997.92458))).toEqual([30, 60, 3000]);
    expect(rootIn("luminosity", root, 2997.92458)).toBeCloseTo(60.6, 10);
  });

  it("keep the integral of a density that came with a line of sight", () => {
    // per Mpc over D = 0, 20, 40 ... Mpc: integral 20 * 0.05 = 1
    const s = handLine("f", [0, 1000, 2000, 3000, 4000], { p: [0, 0.02, 0.02, 0.01, 0], observed: 2000 });
    for (const flow of ["distance", "luminosity", "comoving", "hubble"] as const) {
      const d = densityOf(s, flow, 2997.92458);
      expect(area((d?.x ?? []).map((x, i): [number, number] => [x, d?.pdf[i] ?? 0]))).toBeCloseTo(1, 10);
    }
    expect(densityOf(s, "comoving", 0)?.pdf[1]).toBeCloseTo(0.04, 12);
    expect(densityOf(s, "hubble", 0)?.x.at(-1)).toBe(4000);
    expect(densityOf(handLine("f", [0, 1000]), "distance", 0)).toBeNull();
  });
});

describe("words", () => {
  it("tell every root with its weight", () => {
    const words = densityWords(handFlow("f"), "distance", far);
    expect(words).toContain("median 60.0 Mpc, 68 % between 44.0 and 76.0");
    expect(words).toContain("met at 3 values: 40.0 (25 %), 60.0 (< 1 %), 100.0 (75 %)");
    expect(densityWords({ ...handFlow("f"), roots: [] }, "distance", far)).toContain("No distance shows exactly");
  });

  it("do not call a small weight nothing", () => {
    expect([percent(0), percent(0.004), percent(0.5), percent(1)]).toEqual(["0 %", "< 1 %", "50 %", "100 %"]);
  });
});

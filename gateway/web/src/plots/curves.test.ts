// @vitest-environment node
import { describe, expect, it } from "vitest";
import { curveOf, disagreements, endOf, fallingStretches, farEnd, interpolate, lengthIn, velocityRange } from "./curves";
import { handLine } from "./hand";

const HUBBLE = [0, 1000, 2000, 3000, 4000, 5000];

describe("a line of sight as a curve", () => {
  it("has the scatter sigma_v, and an ensemble's spread in quadrature, stretched by 1 + zbar", () => {
    expect(curveOf(handLine("mean", HUBBLE)).total).toEqual(HUBBLE.map(() => 200));
    const c = curveOf(handLine("ensemble", HUBBLE, { spread: HUBBLE.map(() => 150) }));
    expect(c.own?.[0]).toBe(150);
    expect(c.total[0]).toBe(250);
    expect(c.own?.[5]).toBeCloseTo(150 * (1 + 5000 / 299792.458), 9);
  });

  it("shows an error cube but adds it only when the answer says that it counted", () => {
    const line = handLine("cube", HUBBLE, { sigma: HUBBLE.map(() => 150) });
    expect(curveOf(line).own?.[0]).toBe(150);
    expect(curveOf(line).total[0]).toBe(200);
    expect(curveOf({ ...line, use_field_sigma: true }).total[0]).toBe(250);
  });

  it("ends where the lattice ends", () => {
    const c = curveOf(handLine("short", [0, 1000, 2000, null, null]));
    expect(endOf(c)).toBe(20);
    expect(interpolate(c.r, c.cz, 20)).toBe(2000);
    expect(interpolate(c.r, c.cz, 15)).toBe(1500);
    expect(interpolate(c.r, c.cz, 21)).toBeNaN();
    expect(interpolate(c.r, c.cz, -1)).toBeNaN();
  });

  it("knows pure Hubble flow in the frame of the plot", () => {
    // three rows of NGC 4993 in ongc-linear, heliocentric, as the service gave them
    const line = handLine("f", [-20.21744599055703, 1676.2996761549537, 3286.974701730029, null]);
    line.columns.cz_hubble = [0, 1704.683637520415, 3413.767697988204, 5127.302211703192];
    line.columns.v_rad = [291.0815727584958, 283.06722819411283, 185.82438066043915, null];
    const c = curveOf(line);
    expect(c.hubble[0]).toBeCloseTo(-310.997, 2);
    for (const i of [0, 1, 2]) {
      const flow = (line.columns.v_rad[i] ?? 0) * (1 + (c.hubble[i] ?? 0) / 299792.458);
      expect((c.cz[i] ?? 0) - (c.hubble[i] ?? 0)).toBeCloseTo(flow, 6);
    }
    expect(c.hubble[3]).toBeCloseTo(5127.302 - 310.997 * (1 + 5127.302 / 299792.458), 2);
  });

  it("turns h^-1 Mpc into Mpc by H0", () => {
    expect([lengthIn("mpc", 30, 75), lengthIn("hmpc", 30, 75)]).toEqual([40, 30]);
  });
});

describe("the window", () => {
  const c = curveOf(handLine("f", [...HUBBLE, 6000, 7000, 8000, null]));
  it("goes to 1.6 times the greatest root or beyond the 97.5 % point, within the field", () => {
    expect(farEnd(c, { roots: [{ r_hmpc: 10 }, { r_hmpc: 20 }], p97_5: 22 })).toBe(32);
    expect(farEnd(c, { roots: [{ r_hmpc: 20 }], p97_5: 40 })).toBe(50);
    expect(farEnd(c, { roots: [{ r_hmpc: 70 }], p97_5: 75 })).toBe(80);
  });

  it("is never tiny, and is the whole line when nothing is asked of it", () => {
    expect(farEnd(c, { roots: [], p97_5: 1.2 })).toBe(8);
    expect(farEnd(c, null)).toBe(80);
    expect(farEnd(c, { roots: [], p97_5: null })).toBe(80);
  });

  it("holds band and observed velocity in height", () => {
    const [low, high] = velocityRange([c], 20, [-900]);
    expect(low).toBeLessThan(-900);
    expect(high).toBeGreaterThan(2200);
    expect(high).toBeLessThan(2500);
  });
});

describe("disagreement", () => {
  const a = curveOf(handLine("a", HUBBLE, { sigma_v: 300 }));
  it("is none where the difference stays within both scatters in quadrature", () => {
    const b = curveOf(handLine("b", HUBBLE.map((x) => x + 499), { sigma_v: 400 }));
    expect(disagreements(a, b, 50)).toEqual([]);
  });

  it("says from where to where and by how much, with its sign", () => {
    // the difference is 0 0 -1000 0 0 0 and 500 km/s are allowed: crossed half way up and half way down
    const b = curveOf(handLine("b", [0, 1000, 1000, 3000, 4000, 5000], { sigma_v: 400 }));
    expect(disagreements(a, b, 50)).toEqual([{ from: 15, to: 25, most: -1000, at: 20, allowed: 500 }]);
    expect(disagreements(a, b, 14)).toEqual([]);
  });

  it("ends where one of the fields ends, and begins at the observer if it must", () => {
    const b = curveOf(handLine("b", [700, 1800, 2600, null, null, null], { sigma_v: 400 }));
    expect(disagreements(a, b, 50)).toEqual([{ from: 0, to: 20, most: 800, at: 10, allowed: 500 }]);
  });

  it("compares fields of different step", () => {
    const b = curveOf(handLine("b", [0, 4000], { sigma_v: 400 }));
    expect(disagreements(a, { ...b, r: [0, 50] }, 50)[0]).toMatchObject({ to: 50, most: -1000, at: 50 });
  });
});

describe("falling stretches", () => {
  it("are those of a triple-valued line, small ones left out", () => {
    const c = curveOf(handLine("f", [0, 2000, 1500, 1200, 3000, 2990, 4000]));
    expect(fallingStretches(c, 60)).toEqual([[10, 30]]);
    expect(fallingStretches(c, 20)).toEqual([[10, 20]]);
    expect(fallingStretches(curveOf(handLine("f", HUBBLE)), 50)).toEqual([]);
  });
});

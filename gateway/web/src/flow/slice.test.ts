// @vitest-environment node
import { describe, expect, it } from "vitest";
import { tileOf } from "../field/made";
import { FIRST_VIEW, readView, writeView } from "../state/view";
import { levelsOf, reachOf } from "./levels";
import { onPlane, planeName, scaled } from "./slice";
import { describe as words } from "./summary";

describe("a plane through the field", () => {
  it("has its axes in the order of its name", () => {
    expect(onPlane({ upright: "sgy", at: 7 }, 1, 2)).toEqual([1, 7, 2]);
    expect(["sgz", "sgy", "sgx"].map((u) => planeName(u as "sgz"))).toEqual(["SGX–SGY", "SGX–SGZ", "SGY–SGZ"]);
  });

  it("is neutral at mean density and at rest, and unknown outside", () => {
    const tile = tileOf(9, 40, () => [0, 300, 0], () => 0);
    expect(scaled(tile, "delta")([1, 2, 3])).toBeCloseTo(0.5, 9);
    expect(scaled(tile, "velocity")([30, 0, 0])).toBeCloseTo(0.5, 9);
    expect(scaled(tile, "velocity")([0, 30, 0])).toBeCloseTo(0.75, 6);
    expect(scaled(tile, "velocity")([0, -30, 0])).toBeCloseTo(0.25, 6);
    expect(scaled(tile, "velocity")([0, 0, 0])).toBe(0.5);
    expect(scaled(tile, "speed")([41, 0, 0])).toBeNaN();
  });
});

describe("the plane in a link", () => {
  it("comes back as it was", () => {
    const words = new URLSearchParams();
    const plane = { upright: "sgx", at: -35, of: "velocity" } as const;
    writeView({ ...FIRST_VIEW, slice: plane }, words);
    expect(readView(words).slice).toEqual(plane);
  });

  it("is the first one when the words make no sense, and is not written then", () => {
    expect(readView(new URLSearchParams("slice=up,far,red")).slice).toEqual(FIRST_VIEW.slice);
    expect(readView(new URLSearchParams("slice=sgy,1e9,delta")).slice).toEqual({ ...FIRST_VIEW.slice, upright: "sgy" });
    const words = new URLSearchParams();
    writeView(FIRST_VIEW, words);
    expect(words.has("slice")).toBe(false);
  });
});

describe("levels", () => {
  it("come from the sphere that is shown, not from the corners", () => {
    const tile = tileOf(33, 50, () => [0, 0, 0], (x, y, z) => (Math.hypot(x, y, z) > 40 ? 90 : x / 40));
    expect(levelsOf(tile, 39)!.top).toBeLessThanOrEqual(1);
    expect(levelsOf(tile, 39)!.empty).toBe(-0.6);
    expect(levelsOf(tileOf(5, 50, () => [0, 0, 0]), 40)).toBeNull();
  });

  it("reach as far as the field is trusted", () => {
    const tile = tileOf(5, 50, () => [0, 0, 0]);
    expect(reachOf(tile)).toBe(50);
    expect(reachOf({ ...tile, header: { ...tile.header, trusted_hmpc: 30 } })).toBe(30);
  });
});

describe("the summary", () => {
  it("names field, layers, roots with weights and the structure nearby", () => {
    const text = words({
      header: tileOf(5, 50, () => [0, 0, 0], () => 0).header, reach: 50, layers: ["streamlines", "density"], delta: 0.8, voidDelta: null,
      galaxies: 0, critical: [],
      // towards Virgo
      target: { name: "M 87", direction: [-0.223, 0.974, -0.04], roots: [{ r_hmpc: 12, weight: 0.7 }, { r_hmpc: 17, weight: 0.3 }], range: [11, 18] },
    });
    expect(text).toContain("Field Made for a test");
    expect(text).toContain("streamlines coloured by speed; the surface of density contrast 0.80");
    expect(text).toContain("M 87: the model shows its velocity at 12 h⁻¹ Mpc (weight 70 %), 17 h⁻¹ Mpc (weight 30 %)");
    expect(text).toMatch(/0\.\d h⁻¹ Mpc from Virgo/);
  });

  it("says so when there is nothing", () => {
    expect(words({ header: null, reach: 1, layers: [], delta: 1, voidDelta: null, galaxies: 0, target: null, critical: [] })).toBe("No field is shown yet.");
  });
});

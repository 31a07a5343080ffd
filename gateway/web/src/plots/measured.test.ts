import { afterEach, describe, expect, it, vi } from "vitest";
import type { KnownDistance, MeasuredCone } from "../api/types";
import { toVector } from "../field/frames";
import { pointsInCone } from "./known";
import { bestDistance, isMeasuredShown, loadMeasured, measured, measuredIn, measuredWords } from "./measured";

const far = (d_mpc: number, more: Partial<KnownDistance> = {}): KnownDistance => ({ method: "TRGB", d_mpc, source: "EDD", ...more });
const at = (lon: number, lat: number) => ({ icrs: { lon, lat } });

function coneOf(objects: MeasuredCone["objects"], more: Partial<MeasuredCone> = {}): MeasuredCone {
  return { n: objects.length, more_results: false, distance_catalogs: ["EDD", "CF4"], objects, ...more };
}

const VIRGO = coneOf([
  {
    name: "NGC 1",
    cz_helio: 1500,
    position: at(10, 0),
    distances: [far(16, { error_mpc: 2 }), far(17, { method: "SBF", source: "CF4", modulus_error: 0.1 })],
  },
  { name: "NGC 2", cz_helio: null, position: at(11, 0), distances: [far(20)] },
  { name: "NGC 3", cz_helio: 2997.92458, position: at(12, 0), distances: [far(101, { error_mpc: 10.1 })] },
]);

afterEach(() => {
  isMeasuredShown.value = false;
  loadMeasured(null, 1, 0);
  vi.unstubAllGlobals();
});

describe("the distance that stands for a galaxy", () => {
  it("has the smallest stated error for its size, in Mpc or in magnitudes", () => {
    // 0.1 mag are 4.6 %: better than 2 of 16 Mpc, worse than 0.5 of 16
    const modulus = far(17, { modulus_error: 0.1 });
    expect(bestDistance([far(16, { error_mpc: 2 }), modulus])).toBe(modulus);
    expect(bestDistance([modulus, far(16, { error_mpc: 0.5 })])?.error_mpc).toBe(0.5);
    // the same error in magnitudes is smaller in Mpc for the nearer one, which is no reason to prefer it
    expect(bestDistance([far(20, { error_mpc: 1 }), far(10, { error_mpc: 0.6 })])?.d_mpc).toBe(20);
  });

  it("is one with a stated error before one without, the first listed among equals, and never one of no length", () => {
    expect(bestDistance([far(16), far(18, { error_mpc: 9 })])?.d_mpc).toBe(18);
    expect(bestDistance([far(16), far(18, { error_mpc: 0 })])?.d_mpc).toBe(16);
    expect(bestDistance([far(0, { error_mpc: 0.1 }), far(5)])?.d_mpc).toBe(5);
    expect(bestDistance([far(0)])).toBeNull();
    expect(bestDistance([])).toBeNull();
  });
});

describe("galaxies of a cone", () => {
  it("become one point each, comoving and with their error, the asked one and those without a velocity left out", () => {
    const points = pointsInCone(measuredIn(VIRGO, "NGC 1"), toVector(12, 0), 5, "hel", 50);
    expect(points.map((p) => [p.name, p.r.toFixed(6), p.low.toFixed(6), p.high.toFixed(6), p.cz.toFixed(5)])).toEqual([
      ["NGC 3 (TRGB)", "50.000000", "45.000000", "55.000000", "2997.92458"],
    ]);
    expect(measuredIn(VIRGO, null).map((k) => [k.name, k.d, k.error?.toFixed(4)])).toEqual([
      ["NGC 1 (SBF)", 17, "0.7829"],
      ["NGC 3 (TRGB)", 101, "10.1000"],
    ]);
  });

  it("are told with their number, catalogues and limits", () => {
    expect(measuredWords(VIRGO, 10)).toBe(
      "3 galaxies with a measured distance within 10°; from CF4: 1; EDD: 2. 1 of them without a velocity: not drawn.",
    );
    expect(measuredWords({ ...VIRGO, n: 900, more_results: true }, 45)).toContain(
      "900 galaxies with a measured distance within 30° (the service looks no further than 30°), the 3 nearest to the line are taken",
    );
    expect(measuredWords(coneOf([]), 2)).toBe("No galaxy within 2° has a measured distance in EDD, CF4: widen the cone.");
    expect(measuredWords(coneOf([], { distance_catalogs: [] }), 2)).toBe("The catalogues here hold no measured distances.");
  });
});

describe("asking for the cone", () => {
  it("asks nothing until it is wanted, gives up what is stale, and asks the same once", async () => {
    const asked: { url: string; signal: AbortSignal }[] = [];
    vi.stubGlobal("fetch", (url: string, init: { signal: AbortSignal }) => {
      asked.push({ url, signal: init.signal });
      return url.includes("ra=12") ? Promise.resolve(Response.json(VIRGO)) : new Promise(() => undefined);
    });
    loadMeasured({ lon: 10, lat: 0 }, 10, 0);
    expect(asked).toEqual([]);
    isMeasuredShown.value = true;
    loadMeasured({ lon: 10, lat: 0 }, 10, 0);
    loadMeasured({ lon: 10, lat: 0 }, 10, 0);
    loadMeasured({ lon: 12, lat: 0 }, 80, 0);
    expect(asked.map((a) => [a.url, a.signal.aborted])).toEqual([
      ["/v1/cone?ra=10&dec=0&radius=10&limit=500&distances=true", true],
      ["/v1/cone?ra=12&dec=0&radius=30&limit=500&distances=true", false],
    ]);
    await vi.waitFor(() => expect(measured.value.data?.n).toBe(3));
    isMeasuredShown.value = false;
    loadMeasured({ lon: 12, lat: 0 }, 80, 0);
    expect(measured.value.data).toBeNull();
  });
});

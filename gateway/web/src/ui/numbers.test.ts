// @vitest-environment node
import { describe, expect, it } from "vitest";
import { asDegrees, asHours, decimalsFor, fixed, percent, plusMinus, range, unitShown } from "./numbers";

describe("numbers", () => {
  it("show as many digits as the error leaves", () => {
    expect(plusMinus(40.70683, 2.8701)).toBe("40.7\u202f±\u202f2.9");
    expect(plusMinus(3060.09, 216.26)).toBe("3060\u202f±\u202f216");
    expect(plusMinus(33.06405, 0.15401)).toBe("33.06\u202f±\u202f0.15");
    expect(plusMinus(0.12345, 0.00004)).toBe("0.123\u202f±\u202f0.000");
    expect(plusMinus(40, null, 1)).toBe("40.0");
    expect([0.0996, 0.996, 9.96, 9.94, 0, Number.NaN].map((e) => decimalsFor(e))).toEqual([2, 1, 0, 1, 0, 0]);
  });

  it("have a true minus, and none before a zero", () => {
    expect(fixed(-299.79)).toBe("−300");
    expect(fixed(-0.04, 1)).toBe("0.0");
    expect(fixed(-0.05, 2)).toBe("−0.05");
  });

  it("are grouped from 10 000 on", () => {
    expect([2934, 10_000, -1_234_567.89].map((x) => fixed(x, 1))).toEqual(["2934.0", "10\u202f000.0", "−1\u202f234\u202f567.9"]);
  });

  it("are a dash when nobody knows them", () => {
    expect([fixed(null), fixed(Number.NaN), plusMinus(null, 2), range(null, 1, 1), percent(null)]).toEqual(Array(5).fill("—"));
  });

  it("never round almost nothing to nothing, nor almost all to all", () => {
    expect([0, 0.0004, 0.004, 0.456, 0.994, 0.99995, 1].map(percent)).toEqual(
      ["0", "<\u202f0.1", "0.4", "46", "99.4", ">\u202f99.9", "100"].map((t) => `${t}\u202f%`));
  });

  it("carry units with true powers", () => {
    expect(["h^-1 Mpc", "km/s", "deg^2"].map(unitShown)).toEqual(["h⁻¹ Mpc", "km/s", "deg²"]);
  });
});

describe("sexagesimal positions", () => {
  it("never show sixty seconds", () => {
    expect(asHours(14.9999999)).toBe("01h 00m 00.00s");
    expect(asHours(359.99999999)).toBe("00h 00m 00.00s");
    expect(asDegrees(-23.99999999)).toBe("−24° 00′ 00.0″");
  });

  it("keep the sign of a declination just south of the equator", () => {
    expect(asDegrees(-0.5)).toBe("−00° 30′ 00.0″");
    expect(asDegrees(-0.000001)).toBe("+00° 00′ 00.0″");
  });

  it("are those of NGC 4993", () => {
    expect([asHours(197.44875), asDegrees(-23.383888888889)]).toEqual(["13h 09m 47.70s", "−23° 23′ 02.0″"]);
  });
});

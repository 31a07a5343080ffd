// @vitest-environment node
import { describe, expect, it } from "vitest";
import { readAngle, splitPair } from "./angle";

const deg = (...asked: Parameters<typeof readAngle>): number | string => {
  const found = readAngle(...asked);
  return "deg" in found ? found.deg : found.wrong;
};

describe("angles as typed", () => {
  it("are degrees when they are one number", () => {
    expect([deg("197.4488", "lon", "icrs"), deg("-.5", "lat", "icrs"), deg("−23.38", "lat", "galactic"), deg("12°", "lon", "icrs")])
      .toEqual([197.4488, -0.5, -23.38, 12]);
    expect(readAngle("13", "lon", "icrs")).toEqual({ deg: 13, read: null });
  });

  it("are hours in a right ascension of three parts, and say so", () => {
    for (const text of ["13 09 47.7", "13:09:47.7", "13h09m47.7s", "13h 09m 47.7s"]) expect(deg(text, "lon", "icrs")).toBe(197.44875);
    expect(readAngle("13 09 47.7", "lon", "icrs")).toMatchObject({ read: expect.stringContaining("read as hours") });
    expect(readAngle("13h09m47.7s", "lon", "icrs")).toMatchObject({ read: "13h 09m 47.7s → 197.44875°" });
  });

  it("are degrees where hours cannot be meant", () => {
    expect(deg("197 26 55.5", "lon", "icrs")).toBe(197.44875);
    expect(deg("13d 30m", "lon", "icrs")).toBe(13.5);
    expect(deg("13:30:00", "lon", "galactic")).toBe(13.5);
    expect(deg("-00 30 00", "lat", "icrs")).toBe(-0.5);
    expect(deg("-23° 23′ 02″", "lat", "icrs")).toBe(-23.3838889);
  });

  it("say what is wrong with them", () => {
    expect(deg("95", "lat", "icrs")).toContain("Dec = 95° lies outside");
    expect(deg("13h", "lat", "icrs")).toContain("not measured in hours");
    expect(deg("12 61 00", "lon", "icrs")).toContain("below 60");
    expect(deg("12.5 30", "lon", "icrs")).toContain("only the last part");
    expect(deg("25h", "lon", "icrs")).toContain("hours run from 0 to 24");
    expect(deg("197,45", "lon", "icrs")).toContain("197.45");
    for (const text of ["", "north", "1 2 3 4", "1e", "NaN"]) expect(readAngle(text, "lon", "icrs")).toHaveProperty("wrong");
  });

  it("are parted when two are pasted at once", () => {
    expect(splitPair("13:09:47.7 -23:23:02")).toEqual(["13:09:47.7", "-23:23:02"]);
    expect(splitPair("13 09 47.7 −23 23 02")).toEqual(["13 09 47.7", "-23 23 02"]);
    expect(splitPair("197.4488, -23.3839")).toEqual(["197.4488", "-23.3839"]);
    expect(splitPair("187.7 12.39")).toEqual(["187.7", "12.39"]);
    for (const one of ["13 09 47.7", "12 30", "197.4", "-23 23 02", "13h 09m"]) expect(splitPair(one)).toBeNull();
  });
});

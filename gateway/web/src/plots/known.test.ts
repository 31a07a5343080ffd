// @vitest-environment node
import { describe, expect, it } from "vitest";
import { separation, toVector } from "../field/frames";
import { inFrame } from "../field/velocityFrames";
import { fromCatalogue, pointsInCone, readKnown, TableRefusal } from "./known";

describe("frames", () => {
  it("give the service's velocities of NGC 4993", () => {
    const n = toVector(197.44875, -23.383888888889);
    const frames = ["cmb", "lg", "ls", "gsr"] as const;
    const expected = [3248.4356890109784, 2719.2635589088545, 2722.2806752765405, 2800.7111611685623];
    frames.forEach((f, i) => expect(inFrame(2934.068786446, "hel", f, n)).toBeCloseTo(expected[i] ?? 0, 3));
    expect(inFrame(inFrame(2934, "hel", "cmb", n), "cmb", "hel", n)).toBeCloseTo(2934, 8);
  });

  it("measure small and large angles", () => {
    expect(separation(toVector(10, 0), toVector(10.0001, 0))).toBeCloseTo(1e-4, 10);
    expect(separation(toVector(10, 0), toVector(190, 0))).toBeCloseTo(180, 4);
  });
});

describe("an own table", () => {
  it("says what was taken for what and which rows were passed over", () => {
    const { objects, words } = readKnown(
      [
        "# kept from a paper",
        "Name,RAJ2000,DEJ2000,Vcmb,Vhel,Dist (Mpc),e_Dist",
        '"NGC 4970, host",196.9,-24.0,3500,3210,43.1,4',
        "bad,197,-95,3000,2700,40,1",
        "no distance,197,-24,3000,2700,,1",
        "",
      ].join("\r\n"),
    );
    expect(objects).toEqual([{ name: "NGC 4970, host", n: toVector(196.9, -24), cz: 3500, frame: "cmb", d: 43.1, error: 4 }]);
    expect(words[0]).toContain("Position from “RAJ2000” and “DEJ2000” (ICRS), velocity from “Vcmb” (km/s, CMB)");
    expect(words[0]).toContain("distance from “Dist (Mpc)” (luminosity distance in Mpc), its error from “e_Dist”");
    expect(words.join(" ")).toContain("Not used: the velocities “Vhel”");
    expect(words.join(" ")).toContain("Passed over: 2 of 3 rows; the first is line 4: a declination or a distance out of range");
  });

  it("takes moduli, redshifts, tabs and sexagesimal places", () => {
    const {
      objects: [o],
    } = readKnown("ra\tdec\tzHEL\tmu\tmu_err\n13:09:47.7\t-23 23 02\t0.01\t33\t0.1\n");
    expect(o?.n[2]).toBeCloseTo(Math.sin((-23.383889 * Math.PI) / 180), 7);
    expect(o?.cz).toBeCloseTo(2997.92458, 6);
    expect(o?.d).toBeCloseTo(39.8107, 4);
    expect(o?.error).toBeCloseTo(39.8107 * 0.1 * 0.460517, 4);
  });

  it("takes a right ascension that says degrees as degrees", () => {
    const { objects } = readKnown("ra,dec,cz,d\n197d26m55s,-23d23m02s,2934,40\n13h09m47.7s,-23d23m02s,2934,40\n");
    expect(separation(objects[0]?.n ?? [0, 0, 0], objects[1]?.n ?? [0, 0, 0])).toBeLessThan(1e-3);
  });

  it("takes kpc when the title says so, and blanks between columns", () => {
    expect(readKnown("ra,dec,cz,D [kpc]\n10,41,-300,770\n").objects[0]?.d).toBeCloseTo(0.77, 12);
    expect(readKnown("  ra  dec  cz  dist\n  10  41  -300  0.77\n").objects[0]?.d).toBe(0.77);
  });

  it.each([
    ["", "empty"],
    ["ra,dec,cz,d\n", "empty"],
    ["name,dec,cz,d\na,1,2,3\n", "right ascension"],
    ["ra,dec,d\n1,2,3\n", "observed velocity"],
    ["ra,dec,cz\n1,2,3\n", "No column for the distance: the table has ra, dec, cz"],
    ["ra,dec,cz,d\nx,2,3,4\n", "None of the 1 rows"],
  ])("is refused in words: %j", (text, words) => {
    expect(() => readKnown(text)).toThrow(TableRefusal);
    expect(() => readKnown(text)).toThrow(words);
  });
});

describe("points in a cone", () => {
  const objects = readKnown(
    "name,ra,dec,cz,d,e_d\nnear,10,0,2997.92458,101,10\nbeside,10,8,3000,50,\nfar,40,0,3000,50,\n",
  ).objects;
  it("are those within the angle, nearest first, as comoving h^-1 Mpc in the frame of the plot", () => {
    const points = pointsInCone(objects, toVector(10, 1), 10, "hel", 50);
    expect(points.map((p) => p.name)).toEqual(["near", "beside"]);
    expect(points[0]?.r).toBeCloseTo(50, 9);
    expect([points[0]?.low, points[0]?.high].map((x) => x?.toFixed(3))).toEqual(["45.050", "54.950"]);
    expect(points[1]?.low).toBe(points[1]?.high);
    expect(points[0]?.apart).toBeCloseTo(1, 9);
    expect(pointsInCone(objects, toVector(10, 1), 10, "cmb", 50)[0]?.cz).not.toBeCloseTo(2997.9, 0);
  });

  it("may come from the catalogue, with an error in Mpc or in magnitudes", () => {
    const known = fromCatalogue(
      "NGC 1",
      [
        { d_mpc: 10, modulus: 30, modulus_error: 0.1, method: "TRGB", source: "EDD" },
        { d_mpc: 12, method: "SBF", source: "EDD", error_mpc: 0.5 },
        { d_mpc: 0, method: "odd", source: "none" },
      ],
      toVector(0, 0),
      800,
    );
    expect(known.map((k) => [k.name, k.d, k.error?.toFixed(3)])).toEqual([
      ["NGC 1 (TRGB, EDD)", 10, "0.461"],
      ["NGC 1 (SBF, EDD)", 12, "0.500"],
    ]);
    expect(fromCatalogue("NGC 1", [{ d_mpc: 10, method: "TRGB", source: "EDD" }], toVector(0, 0), null)).toEqual([]);
  });
});

import { describe, expect, it } from "vitest";
import { colourLimit, fillShell, shellGrid, shellValue, summarise } from "../field/shell";
import type { Tile } from "../field/tile";
import { paint, palette } from "./colours";
import { convert, product, rotation, toLonLat, toVector, transpose, turn } from "../field/frames";
import { fit, forward, inverse, type Kind, lines, pixelDirections, viewMatrix } from "./projection";
import { placeWords, scaleWords, summaryWords, valueWords } from "./words";

/** A field that moves as a whole, with matter that grows to +x; nothing beyond `absent` on x. */
function dipole(v: readonly [number, number, number], absent = 1e9): Tile {
  const n = 21;
  const half = 100;
  const spacing = (2 * half) / (n - 1);
  const plane = (f: (x: number) => number): Float32Array => Float32Array.from({ length: n ** 3 }, (_, i) => {
    const x = -half + spacing * Math.floor(i / (n * n));
    return x > absent ? Number.NaN : f(x);
  });
  return {
    header: {
      format: "cosmicflows-preview", n, origin_hmpc: [-half, -half, -half], spacing_hmpc: spacing, frame: "supergalactic",
      field: { id: "made", version: "1-0", title: "made" }, r_max_hmpc: half, trusted_hmpc: null, planes: ["vx", "vy", "vz", "delta"],
      velocity: { unit: "km/s", scale: 1, power: 2 }, density: { scale: 1 },
    },
    n, half, spacing, vx: plane(() => v[0]), vy: plane(() => v[1]), vz: plane(() => v[2]), delta: plane((x) => x / half),
  };
}

const angle = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  (2 * Math.asin(Math.min(1, Math.hypot(a[0]! - b[0]!, a[1]! - b[1]!, a[2]! - b[2]!) / 2)) * 180) / Math.PI;
/** Directions all over the sky, none on a seam. */
const everywhere = Array.from({ length: 400 }, (_, i) =>
  toVector((i * 137.50776) % 360, (Math.asin(1 - (2 * (i + 0.5)) / 400) * 180) / Math.PI));

describe("sky frames", () => {
  it("are rotations, and going back comes home", () => {
    for (const source of ["icrs", "galactic", "supergalactic"] as const) {
      for (const target of ["icrs", "galactic", "supergalactic"] as const) {
        const m = rotation(source, target);
        product(m, transpose(m)).forEach((value, i) => expect(value).toBeCloseTo(i % 4 === 0 ? 1 : 0, 12));
        const [lon, lat] = convert(...convert(123.4, -56.7, source, target), target, source);
        expect([lon, lat]).toEqual([expect.closeTo(123.4, 9), expect.closeTo(-56.7, 9)]);
      }
    }
  });

  it("agree with the literature and with astropy", () => {
    // the supergalactic pole and origin as defined, the galactic pole in ICRS (Hipparcos)
    expect(angle(toVector(...convert(0, 90, "supergalactic", "galactic")), toVector(47.37, 6.32))).toBeLessThan(1e-9);
    expect(angle(toVector(...convert(0, 0, "supergalactic", "galactic")), toVector(137.37, 0))).toBeLessThan(1e-9);
    expect(angle(toVector(...convert(0, 90, "galactic", "icrs")), toVector(192.85948, 27.12825))).toBeLessThan(1e-5);
    // M 87 by astropy: SkyCoord(...).supergalactic
    expect(angle(toVector(...convert(187.70593, 12.39112, "icrs", "supergalactic")), toVector(102.88057613, -2.34791985))).toBeLessThan(1e-4);
  });

  it("give longitudes from 0 up to 360 only", () => {
    expect(toLonLat([1, -1e-18, 0])[0]).toBeLessThan(360);
    expect(toLonLat([-1, 0, 0])[0]).toBeCloseTo(180, 12);
    expect(toLonLat([0, -1, 0])[0]).toBeCloseTo(270, 12);
  });
});

describe.each<Kind>(["mollweide", "orthographic"])("the %s picture", (kind) => {
  const frame = fit(kind, 900, 450, 3);

  it("leads from pixel to direction and back", () => {
    let seen = 0;
    for (const d of everywhere) {
      const at = forward(frame, d);
      if (at === null) continue;
      seen++;
      expect(angle(inverse(frame, ...at)!, d)).toBeLessThan(kind === "mollweide" ? 1e-4 : 0.02);
    }
    expect(seen).toBe(kind === "mollweide" ? 400 : everywhere.filter((d) => d[0] >= 0).length);
  });

  it("lays its lines where d3-geo does", () => {
    const drawn = lines(frame, 40, kind === "mollweide" ? 0 : 25);
    const toView = transpose(viewMatrix(40, kind === "mollweide" ? 0 : 25));
    for (const d of everywhere) {
      const at = forward(frame, turn(toView, d));
      const [x, y] = drawn(toLonLat(d))!;
      if (at !== null) expect(Math.hypot(at[0] - x, at[1] - y)).toBeLessThan(0.01);
    }
  });

  it("is the sky from within: longitude grows to the left, latitude upwards", () => {
    const middle = forward(frame, toVector(0, 0))!;
    expect(forward(frame, toVector(20, 0))![0]).toBeLessThan(middle[0]);
    expect(forward(frame, toVector(0, 20))![1]).toBeLessThan(middle[1]);
    expect(inverse(frame, 1, 1)).toBeNull();
  });

  it("gives each pixel within it a unit vector, and none far outside", () => {
    const small = fit(kind, 80, 40, 2);
    const all = pixelDirections(small);
    for (let row = 0; row < 40; row++) {
      for (let column = 0; column < 80; column++) {
        const d = all.subarray(3 * (row * 80 + column), 3 * (row * 80 + column) + 3);
        const asked = inverse(small, column + 0.5, row + 0.5);
        if (asked !== null) expect(angle(d, asked)).toBeLessThan(0.6);
        else if (!Number.isNaN(d[0]!)) expect(Math.hypot(...d)).toBeCloseTo(1, 5);
      }
    }
    expect(all[0]).toBeNaN();
  });
});

describe("a shell", () => {
  it("of a field that moves as a whole shows the cosine of the angle to its apex", () => {
    const made = dipole([300, -100, 50]);
    const speed = Math.hypot(300, 100, 50);
    for (const d of everywhere) {
      const cosine = (300 * d[0] - 100 * d[1] + 50 * d[2]) / speed;
      expect(shellValue(made, "velocity", 60, d)).toBeCloseTo(speed * cosine, 2);
    }
  });

  it("turns with the picture: the apex is seen where it lies", () => {
    const made = dipole([300, 0, 0]);
    const apex = convert(0, 0, "supergalactic", "galactic");
    const frame = fit("orthographic", 41, 41, 0);
    const out = new Float32Array(41 * 41);
    fillShell(made, "velocity", 50, pixelDirections(frame), out, product(rotation("galactic", "supergalactic"), viewMatrix(...apex)));
    expect(out[20 * 41 + 20]).toBeCloseTo(300, 0);
    expect(Math.max(...out.filter((v) => !Number.isNaN(v)))).toBeLessThan(300.01);
  });

  it("is exact on a field that changes evenly, up to the last node, and empty beyond", () => {
    const made = dipole([0, 0, 0]);
    expect(shellValue(made, "density", 37.3, [0.6, 0.8, 0])).toBeCloseTo(0.37300 * 0.6, 6);
    expect(shellValue(made, "density", 100, [1, 0, 0])).toBeCloseTo(1, 6);
    expect(shellValue(made, "density", 100.1, [1, 0, 0])).toBeNaN();
    expect(shellValue({ ...made, delta: null }, "density", 10, [1, 0, 0])).toBeNaN();
  });

  it("is told in words, with what is not there", () => {
    const whole = summarise(shellGrid(dipole([300, 0, 0]), "velocity", 60));
    expect(whole.greatest).toMatchObject({ value: expect.closeTo(300, 0), sgb: expect.closeTo(0, -0.5) });
    expect(Math.abs(whole.mean)).toBeLessThan(0.01);
    expect(whole.covered).toBe(1);
    const half = summarise(shellGrid(dipole([300, 0, 0], 0), "velocity", 60));
    expect(half.covered).toBeCloseTo(0.5, 1);
    expect(half.greatest!.value).toBeLessThan(10);
    expect(summaryWords(half, "velocity", 60, "made")).toMatch(/Fastest towards us: v_rad ≈ −300 km\/s at SGL .* covers (49|50|51) % of this shell/);
    expect(summaryWords(summarise(shellGrid(dipole([1, 0, 0], -1e9), "velocity", 60)), "velocity", 60, "made")).toContain("not there");
  });

  it("has colours that end at a round number holding nearly all values", () => {
    expect(colourLimit(dipole([290, 0, 0]), "velocity")).toBe(300);
    expect(colourLimit(dipole([0, 0, 0]), "velocity")).toBe(50);
    expect(colourLimit(dipole([0, 0, 0], -1e9), "density")).toBe(0.2);
  });
});

describe("colours and words", () => {
  it("paint ends, middle and absence apart", () => {
    const pixels = new Uint32Array(5);
    const colours = palette("dark");
    paint(Float32Array.of(-900, 0, 900, Number.NaN, 300), "velocity", 300, colours, pixels);
    expect([pixels[0], pixels[2], pixels[3], pixels[4]]).toEqual([colours[0], colours[511], 0, colours[511]]);
    expect(pixels[1]! >>> 24).toBe(255);
    paint(Float32Array.of(-1, Math.E - 1), "density", 1, colours, pixels);
    expect([pixels[0], pixels[1]]).toEqual([colours[0], colours[511]]);
  });

  it("say coordinates and values with sign and unit", () => {
    expect(placeWords([359.97, -0.04], "supergalactic")).toBe("SGL 0.0°, SGB 0.0°");
    expect(placeWords([12.34, -5.67], "galactic")).toBe("l 12.3°, b −5.7°");
    expect([valueWords(-234, "velocity"), valueWords(0.514, "density"), valueWords(Number.NaN, "velocity")])
      .toEqual(["v_rad ≈ −230 km/s", "δ ≈ +0.51", "the field is not there"]);
    expect(scaleWords(300, "velocity")).toEqual(["−300", "0", "+300 km/s"]);
  });
});

import { describe, expect, it } from "vitest";
import { decodeTile, sample } from "./tile";

/** A preview whose planes are made by functions of the node; -128 is absent. */
function madeTile(n: number, planes: ((i: number, j: number, k: number) => number)[]): ArrayBuffer {
  const header = {
    format: "cosmicflows-preview", n, origin_hmpc: [-10, -10, -10], spacing_hmpc: 20 / (n - 1), frame: "supergalactic",
    field: { id: "made", version: "1-0", title: "made" }, r_max_hmpc: 10, trusted_hmpc: null,
    planes: ["vx", "vy", "vz", "delta"].slice(0, planes.length), velocity: { unit: "km/s", scale: 127 ** 2, power: 2 },
    density: { scale: Math.LN2 },
  };
  let text = JSON.stringify(header);
  while ((12 + text.length) % 8) text += " ";
  const body = new Uint8Array(12 + text.length + planes.length * n ** 3);
  body.set(new TextEncoder().encode("CFTILE01"));
  new DataView(body.buffer).setUint32(8, text.length, true);
  body.set(new TextEncoder().encode(text), 12);
  let at = 12 + text.length;
  for (const value of planes) {
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let k = 0; k < n; k++) body[at++] = value(i, j, k) & 255;
  }
  return body.buffer;
}

describe("a preview", () => {
  it("decodes companded velocities, densities and what is not there", () => {
    const tile = decodeTile(madeTile(3, [(i) => i - 1, () => -2, () => 3, (_, __, k) => (k === 0 ? -128 : 127)]));
    expect([tile.vx[0], tile.vx[26]]).toEqual([-1, 1]);
    expect(tile.vy[5]).toBeCloseTo(-4, 4);
    expect(tile.vz[5]).toBeCloseTo(9, 4);
    expect(tile.delta?.[0]).toBeNaN();
    expect(tile.delta?.[1]).toBeCloseTo(1, 5);
  });

  it("interpolates linearly between nodes and nowhere beyond them", () => {
    const tile = decodeTile(madeTile(3, [(i) => i - 1, () => 0, () => 0]));
    expect(sample(tile, tile.vx, 5, 3, -9)).toBeCloseTo(0.5, 6);
    expect(sample(tile, tile.vx, 10, 10, 10)).toBeCloseTo(1, 6);
    expect(sample(tile, tile.vx, 10.01, 0, 0)).toBeNaN();
  });

  it("is refused when it is cut or something else", () => {
    const body = madeTile(3, [() => 0, () => 0, () => 0]);
    expect(() => decodeTile(body.slice(0, -1))).toThrow("cut short");
    expect(() => decodeTile(new TextEncoder().encode("<html></html>").buffer as ArrayBuffer)).toThrow("no preview");
  });
});

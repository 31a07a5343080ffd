/** Directions, and sky frames as constant rotations; the same numbers as the server's (cfcore/frames.py). */

import type { SkyFrame } from "../api/types";
/** A unit vector. */
export type Vector = readonly [number, number, number];
/** Rows of a 3x3 matrix, one after another. */
export type Matrix = readonly [number, number, number, number, number, number, number, number, number];

const DEGREE = Math.PI / 180;

/** ICRS to galactic: Hipparcos definition (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, eq. 1.5.11). */
const ICRS_TO_GALACTIC: Matrix = [
  -0.0548755604162154, -0.8734370902348850, -0.4838350155487132,
  +0.4941094278755837, -0.4448296299600112, +0.7469822444972189,
  -0.8676661490190047, -0.1980763734312015, +0.4559837761750669,
];

/** Unit vector of longitude and latitude, degrees. */
export function toVector(lon: number, lat: number): [number, number, number] {
  const c = Math.cos(lat * DEGREE);
  return [c * Math.cos(lon * DEGREE), c * Math.sin(lon * DEGREE), Math.sin(lat * DEGREE)];
}

/** Longitude in [0, 360) and latitude, degrees, of a vector. */
export function toLonLat([x, y, z]: Vector): [number, number] {
  const lon = Math.atan2(y, x) / DEGREE;
  // -1e-15 + 360 rounds to 360 itself
  return [lon < 0 ? (lon + 360) % 360 : lon, Math.atan2(z, Math.hypot(x, y)) / DEGREE];
}

/** The vector product. */
export const cross = (a: Vector, b: Vector): readonly [number, number, number] => [
  a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0],
];

// Supergalactic pole l = 47.37, b = +6.32; origin of longitude l = 137.37, b = 0
// (de Vaucouleurs et al. 1991, RC3; Lahav et al. 2000, MNRAS 312, 166).
const SGZ = toVector(47.37, 6.32);
const SGX = toVector(137.37, 0);
const GALACTIC_TO_SUPERGALACTIC: Matrix = [...SGX, ...cross(SGZ, SGX), ...SGZ];

/** The inverse of a rotation. */
export const transpose = (m: Matrix): Matrix => [m[0], m[3], m[6], m[1], m[4], m[7], m[2], m[5], m[8]];

/** The rotation b first, then a. */
export function product(a: Matrix, b: Matrix): Matrix {
  const entry = (i: number, j: number): number => a[3 * i]! * b[j]! + a[3 * i + 1]! * b[3 + j]! + a[3 * i + 2]! * b[6 + j]!;
  return [entry(0, 0), entry(0, 1), entry(0, 2), entry(1, 0), entry(1, 1), entry(1, 2), entry(2, 0), entry(2, 1), entry(2, 2)];
}

/** Turn a vector. */
export const turn = (m: Matrix, [x, y, z]: Vector): Vector => [
  m[0] * x + m[1] * y + m[2] * z, m[3] * x + m[4] * y + m[5] * z, m[6] * x + m[7] * y + m[8] * z,
];

const TO_SUPERGALACTIC: Record<SkyFrame, Matrix> = {
  supergalactic: [1, 0, 0, 0, 1, 0, 0, 0, 1],
  galactic: GALACTIC_TO_SUPERGALACTIC,
  icrs: product(GALACTIC_TO_SUPERGALACTIC, ICRS_TO_GALACTIC),
};

/** The rotation that brings vectors of one sky frame to another. */
export const rotation = (source: SkyFrame, target: SkyFrame): Matrix =>
  product(transpose(TO_SUPERGALACTIC[target]), TO_SUPERGALACTIC[source]);

/** Bring longitude and latitude (degrees) from one sky frame to another. */
export const convert = (lon: number, lat: number, source: SkyFrame, target: SkyFrame): [number, number] =>
  toLonLat(turn(rotation(source, target), toVector(lon, lat)));

/** Angle between two unit vectors, degrees; good for small angles too. */
export function separation(a: Vector, b: Vector): number {
  const chord = Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  return (2 * Math.asin(Math.min(1, chord / 2))) / DEGREE;
}

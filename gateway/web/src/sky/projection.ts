/**
 * The sky on a plane, seen from within: longitude grows to the left. Pixel to direction and back.
 *
 * Directions "of the view" have x towards the middle of the picture, y to its left and z to its top; `viewMatrix` turns them
 * into the frame that is shown. Lines (graticule, outline) are drawn by d3-geo with the same geometry (`lines`).
 */

import { type GeoProjection, geoOrthographic } from "d3-geo";
import { geoMollweide } from "d3-geo-projection";
import { type Matrix, toVector, type Vector } from "../field/frames";

export type Kind = "mollweide" | "orthographic";

/** Where the picture lies on its canvas, pixels. */
export interface Frame {
  kind: Kind;
  width: number;
  height: number;
  /** Half the height of the ellipse or disc. */
  radius: number;
}

/** Pixels just outside the edge take the edge's value: then a clipped edge has no gaps. */
const EDGE = 1.04;

/** Fit a picture into a canvas with a margin, all in pixels. */
export function fit(kind: Kind, width: number, height: number, margin: number): Frame {
  const aspect = kind === "mollweide" ? 2 : 1;
  return { kind, width, height, radius: Math.max(1, Math.min((width / 2 - margin) / aspect, height / 2 - margin)) };
}

/** Direction of the view at a pixel; null outside the picture. */
export function inverse(frame: Frame, px: number, py: number): Vector | null {
  const x = (frame.width / 2 - px) / frame.radius;
  const y = (frame.height / 2 - py) / frame.radius;
  const aspect = frame.kind === "mollweide" ? 2 : 1;
  return (x / aspect) ** 2 + y * y > 1 ? null : unproject(frame.kind, x, y);
}

function unproject(kind: Kind, x: number, y: number): Vector {
  if (kind === "orthographic") return [Math.sqrt(Math.max(0, 1 - x * x - y * y)), x, y];
  const theta = Math.asin(y);
  const lat = Math.asin((2 * theta + Math.sin(2 * theta)) / Math.PI);
  const c = Math.cos(theta);
  const lon = c > 1e-9 ? (Math.PI * x) / (2 * c) : 0;
  return [Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat)];
}

/** Pixel of a direction of the view; null when it lies on the far side. */
export function forward(frame: Frame, [x, y, z]: Vector): [number, number] | null {
  const { width, height, radius } = frame;
  if (frame.kind === "orthographic") return x < 0 ? null : [width / 2 - y * radius, height / 2 - z * radius];
  // 2 theta + sin 2 theta = pi sin lat by Newton's way; at the poles the slope is nothing and the answer known
  const wanted = Math.PI * Math.max(-1, Math.min(1, z));
  let theta = Math.asin(Math.max(-1, Math.min(1, z)));
  if (Math.abs(z) > 1 - 1e-12) theta = (Math.sign(z) * Math.PI) / 2;
  else for (let i = 0; i < 40; i++) {
    const step = (2 * theta + Math.sin(2 * theta) - wanted) / (2 + 2 * Math.cos(2 * theta));
    theta = Math.max(-Math.PI / 2, Math.min(Math.PI / 2, theta - step));
    if (Math.abs(step) < 1e-12) break;
  }
  const lon = Math.atan2(y, x);
  return [width / 2 - ((2 * lon) / Math.PI) * Math.cos(theta) * radius, height / 2 - Math.sin(theta) * radius];
}

/** Directions of the view of all pixels, row by row, three numbers each; NaN outside. */
export function pixelDirections(frame: Frame): Float32Array {
  const { kind, width, height, radius } = frame;
  const aspect = kind === "mollweide" ? 2 : 1;
  const out = new Float32Array(3 * width * height).fill(Number.NaN);
  for (let row = 0; row < height; row++) {
    const y = (height / 2 - row - 0.5) / radius;
    for (let column = 0; column < width; column++) {
      const x = (width / 2 - column - 0.5) / radius;
      const rho = Math.hypot(x / aspect, y);
      if (rho > EDGE) continue;
      const pull = rho > 0.99999 ? 0.99999 / rho : 1;
      const at = 3 * (row * width + column);
      [out[at], out[at + 1], out[at + 2]] = unproject(kind, x * pull, y * pull);
    }
  }
  return out;
}

/** The matrix that turns directions of the view into the shown frame, for the middle at (lon, lat) degrees. */
export function viewMatrix(lon: number, lat: number): Matrix {
  const [x, y, z] = toVector(lon, lat);
  const [ux, uy] = toVector(lon + 90, 0);
  // third axis: first x second
  return [x, ux, -z * uy, y, uy, z * ux, z, 0, x * uy - y * ux];
}

/** The same picture for d3-geo: what draws lines. */
export function lines(frame: Frame, lon: number, lat: number): GeoProjection {
  const drawn = frame.kind === "mollweide"
    ? geoMollweide().scale(frame.radius / Math.SQRT2)
    : geoOrthographic().clipAngle(90).scale(frame.radius);
  return drawn.translate([frame.width / 2, frame.height / 2]).rotate([-lon, -lat]).reflectX(true).precision(0.4);
}

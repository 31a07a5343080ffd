/** The eye: an orbit around the observer, and where points of space come to lie on the screen. Pure. */

import type { Vector } from "../field/frames";

/** Azimuth and elevation in degrees (supergalactic longitude and latitude of the eye), distance in h^-1 Mpc. */
export interface Orbit {
  azimuth: number;
  elevation: number;
  distance: number;
}

/** Full angle of the view upwards, degrees. */
export const VIEW_ANGLE = 30;
/** At the poles "up" would have no direction; so close to them nobody sees the difference. */
const STEEPEST = 89.5;

/** Return an orbit that can be shown: elevation short of the poles, azimuth from -180 to 180, distance within bounds. */
export function tamed(orbit: Orbit, nearest: number, farthest: number): Orbit {
  return {
    azimuth: ((((orbit.azimuth + 180) % 360) + 360) % 360) - 180,
    elevation: Math.min(Math.max(orbit.elevation, -STEEPEST), STEEPEST),
    distance: Math.min(Math.max(orbit.distance, nearest), farthest),
  };
}

/** The eye and its axes. */
export interface Eye {
  position: Vector;
  /** Towards the observer. */
  forward: Vector;
  right: Vector;
  up: Vector;
}

/** Return the eye of an orbit. */
export function eyeOf({ azimuth, elevation, distance }: Orbit): Eye {
  const a = (azimuth * Math.PI) / 180;
  const e = (elevation * Math.PI) / 180;
  const out: Vector = [Math.cos(e) * Math.cos(a), Math.cos(e) * Math.sin(a), Math.sin(e)];
  return {
    position: [out[0] * distance, out[1] * distance, out[2] * distance],
    forward: [-out[0], -out[1], -out[2]],
    right: [-Math.sin(a), Math.cos(a), 0],
    up: [-Math.sin(e) * Math.cos(a), -Math.sin(e) * Math.sin(a), Math.cos(e)],
  };
}

/** A place on the screen in CSS pixels, with the distance from the eye along its axis (h^-1 Mpc). */
export interface Seen {
  x: number;
  y: number;
  depth: number;
}

/** Return a function that says where a point lies on a screen; null when it lies behind the eye. */
export function projector(orbit: Orbit, width: number, height: number): (p: Vector) => Seen | null {
  const { position, forward, right, up } = eyeOf(orbit);
  const scale = height / 2 / Math.tan((VIEW_ANGLE * Math.PI) / 360);
  return (p) => {
    const d: Vector = [p[0] - position[0], p[1] - position[1], p[2] - position[2]];
    const depth = dot(d, forward);
    if (!(depth > 1e-6 * orbit.distance)) return null;
    return { x: width / 2 + (scale * dot(d, right)) / depth, y: height / 2 - (scale * dot(d, up)) / depth, depth };
  };
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/** Return the distance from which a sphere fills the smaller side of the screen. */
export function distanceFor(radius: number, width: number, height: number): number {
  const half = (VIEW_ANGLE * Math.PI) / 360;
  return radius / Math.sin(Math.atan(Math.tan(half) * Math.min(1, width / Math.max(height, 1))));
}

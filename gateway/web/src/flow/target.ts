/** The object that was asked for, as it stands in space, and the rings of distance around the observer. Pure. */

import type { Vector } from "../field/frames";

/** The object that was asked for, as the service answered; lengths in comoving h^-1 Mpc. */
export interface Target {
  name: string | null;
  /** Unit vector, supergalactic. */
  direction: Vector;
  roots: readonly { r_hmpc: number; weight: number }[];
  /** 16 % and 84 % points of the distance. */
  range: readonly [number, number] | null;
}

/** Distances of the rings, h^-1 Mpc. */
const RINGS = [25, 50, 100, 150, 200, 300, 400];

/** Distances of the rings that fit, h^-1 Mpc; the nearest only where there is room for it. */
export function ringsWithin(reach: number): number[] {
  return RINGS.filter((r) => r <= 1.001 * reach && (r >= 50 || reach < 110));
}

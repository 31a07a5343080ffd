/** Rest frames of velocities in the browser, for the visitor's own table only; everything else comes from the service. */

import type { VelocityFrame } from "../api/types";
import { rotation, toVector, turn, type Vector } from "./frames";

/** Speed of light, km/s. */
export const C_KMS = 299792.458;

/** The Sun's velocity in each frame, km/s, galactic axes; the frames of the service's answers (cfcore/frames.py). */
const SUN: Record<VelocityFrame, Vector> = {
  hel: [0, 0, 0],
  cmb: apex(369.82, 264.021, 48.253),
  lg: apex(316, 93, -4),
  // Tully et al. 2008, ApJ 676, 184
  ls: [-26, 317, -8],
  gsr: apex(232.3, 87.8, 1.7),
};
const TO_GALACTIC = rotation("icrs", "galactic");

function apex(speed: number, lon: number, lat: number): Vector {
  const [x, y, z] = toVector(lon, lat);
  return [speed * x, speed * y, speed * z];
}

/** c times redshift of an object at an ICRS direction in another frame, by 1+z_hel = (1+z_X)(1 - v_sun,X.n/c). */
export function inFrame(cz: number, from: VelocityFrame, to: VelocityFrame, n: Vector): number {
  const [x, y, z] = turn(TO_GALACTIC, n);
  const beta = (frame: VelocityFrame): number => (SUN[frame][0] * x + SUN[frame][1] * y + SUN[frame][2] * z) / C_KMS;
  return ((1 + cz / C_KMS) * ((1 - beta(from)) / (1 - beta(to))) - 1) * C_KMS;
}

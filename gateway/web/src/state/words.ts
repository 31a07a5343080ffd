/** Frames in words, as every choice of the page shows them. */

import type { SkyFrame, VelocityFrame } from "../api/types";

/** Rest frames of velocities. */
export const FRAME_WORDS: Record<VelocityFrame, string> = {
  hel: "heliocentric", cmb: "CMB", lg: "Local Group", ls: "Local Sheet", gsr: "Galactic centre",
};

/** Systems of positions. */
export const SKY_WORDS: Record<SkyFrame, string> = { icrs: "ICRS", galactic: "galactic", supergalactic: "supergalactic" };

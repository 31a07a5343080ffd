/** The four distances in words. */

import type { FlowType } from "../api/types";

/** Name of each variable. */
export const FLOW_WORDS: Record<FlowType, string> = {
  distance: "distance", luminosity: "luminosity distance", comoving: "comoving distance", hubble: "Hubble velocity",
};
/** The same where the column says that they are distances. */
export const FLOW_SHORT: Record<FlowType, string> = {
  distance: "distance", luminosity: "luminosity", comoving: "comoving", hubble: "Hubble",
};
/** As the card lists them. */
export const FLOW_ORDER: readonly FlowType[] = ["distance", "luminosity", "comoving", "hubble"];

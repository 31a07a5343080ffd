/** Which input a refusal belongs to: the server names the parameter, the page has its own groups of inputs. */

import type { ApiError } from "../api/client";

/** Groups of inputs, and `other` for what no input of the page can mend. */
export type Place = "name" | "position" | "velocity" | "options" | "field" | "other";

const PLACES: Record<Exclude<Place, "other">, readonly string[]> = {
  name: ["name"],
  position: ["lon", "lat", "ra", "dec", "glon", "glat", "sgl", "sgb", "frame"],
  velocity: ["cz", "z", "sigma_cz", "cz_frame", "velocity"],
  options: ["H0", "Om", "sigma_v", "prior"],
  field: ["field"],
};

/** Return the group of inputs that a refusal is about. */
export function placeOf(error: ApiError | null): Place | null {
  if (error === null) return null;
  const { where, code } = error.problem;
  // a galaxy without a velocity is a good name: what is missing is the velocity
  if (code === "no_velocity") return "velocity";
  const found = Object.entries(PLACES).find(([, words]) => where !== undefined && words.includes(where));
  return (found?.[0] as Place | undefined) ?? "other";
}

/** True when a refusal names one of these parameters. */
export function isAbout(error: ApiError | null, ...words: string[]): boolean {
  return error?.problem.where !== undefined && words.includes(error.problem.where);
}

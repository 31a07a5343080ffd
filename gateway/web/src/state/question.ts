/** What is asked: one galaxy or one place, of one field (and others beside it), with the options of the physics. */

import { signal } from "@preact/signals";
import type { FlowType, SkyFrame, VelocityFrame } from "../api/types";

export interface Question {
  /** Name of a galaxy, or null when a place is asked. */
  name: string | null;
  /** Degrees, in `frame`. */
  lon: number | null;
  lat: number | null;
  frame: SkyFrame;
  /** Observed velocity, km/s in `givenFrame`; null: the catalogue's. */
  cz: number | null;
  /** Its error, km/s; only with `cz`. */
  sigma_cz: number | null;
  /** Frame in which `cz` was given: it stays what it is when another frame is looked at. */
  givenFrame: VelocityFrame;
  /** Frame of the velocities on show: in the plot and first on the card. */
  czFrame: VelocityFrame;
  /** Whose velocity of the catalogue: the galaxy's own or its group's mean. */
  velocity: "own" | "group";
  /** Id of the field; null: the server's default. */
  field: string | null;
  /** Ids of fields drawn beside it. */
  compare: string[];
  /** Which of the four distances is shown first. */
  flow: FlowType;
  H0: number | null;
  Om: number | null;
  sigma_v: number | null;
  prior: string | null;
}

/** Fields drawn beside the chosen one: as many as there are looks of lines. */
export const COMPARE_MAX = 4;

export const NOTHING_ASKED: Question = {
  name: null, lon: null, lat: null, frame: "icrs", cz: null, sigma_cz: null, givenFrame: "hel", czFrame: "hel", velocity: "own",
  field: null, compare: [], flow: "distance", H0: null, Om: null, sigma_v: null, prior: null,
};

/** The question that the whole page answers. */
export const question = signal<Question>(NOTHING_ASKED);

/** Change parts of the question. */
export function ask(parts: Partial<Question>): void {
  question.value = { ...question.value, ...parts };
}

/** Ask for a galaxy by name, with its catalogue velocity; the options stay. */
export function askName(name: string): void {
  ask({ name, lon: null, lat: null, cz: null, sigma_cz: null, velocity: "own" });
}

/** Ask for a place; without `cz` only its line of sight is shown. */
export function askPlace(
  lon: number, lat: number, frame: SkyFrame, cz: number | null = null, givenFrame: VelocityFrame = "hel",
  sigma_cz: number | null = null,
): void {
  ask({ name: null, lon, lat, frame, cz, givenFrame, sigma_cz: cz === null ? null : sigma_cz, velocity: "own" });
}

/** True when a galaxy or a place is asked at all. */
export function isAsked(q: Question): boolean {
  return q.name !== null || (q.lon !== null && q.lat !== null);
}

/** True when the question can have distances: a galaxy, or a place with a velocity. */
export function hasVelocity(q: Question): boolean {
  return q.name !== null || (isAsked(q) && q.cz !== null);
}

/** The galaxy or place that is asked, as text; equal for two questions about the same one, empty for none. */
export function subject(q: Question): string {
  if (q.name !== null) return q.name;
  return isAsked(q) ? `${q.lon} ${q.lat} ${q.frame}` : "";
}

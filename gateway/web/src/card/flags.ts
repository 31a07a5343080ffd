/** What the service's flags and states mean, one plain sentence each (docs/conventions.md). */

import type { Flow } from "../api/types";
import { fixed, percent } from "../ui/numbers";

/** The order in which they matter to a reader; what is not named here comes last. */
const ORDER = ["blueshift", "multi_root", "no_root", "nearby", "outside", "beyond_data", "beyond_local_sheet", "roots_truncated"];

type Sentence = (flow: Flow, trusted: number | null) => string;

const SENTENCES: Record<string, Sentence> = {
  blueshift: (flow) =>
    `It comes towards us (cz ${fixed(flow.cz.hel)} km/s, heliocentric): such a velocity says little about the distance.`,
  multi_root: (flow) => {
    const places = flow.roots.map((r) => fixed(r.r_hmpc, 1)).join(", ");
    const weights = flow.roots.map((r) => percent(r.weight)).join(", ");
    return `${flow.roots.length} distances give this velocity (${places} h⁻¹ Mpc, with weights ${weights}): use the distribution, not one number.`;
  },
  no_root: () => "No distance in this field has exactly this velocity: the answer is what scatter and prior leave possible.",
  nearby: () => "Nearer than 6 h⁻¹ Mpc, where the scatter σ_v is as large as the velocity: a distance measured otherwise is better.",
  outside: (flow) =>
    flow.inside_fraction === null ? "It lies outside the field."
      : `Only ${percent(flow.inside_fraction)} of the probability lies inside the field; beyond it no flow is known and none is assumed.`,
  beyond_data: (_, trusted) =>
    `It lies beyond the data of this field${trusted === null ? "" : ` (trusted to ${fixed(trusted)} h⁻¹ Mpc)`}: the flow there is mostly the model’s guess.`,
  beyond_local_sheet: () => "It lies beyond 8 Mpc, where velocities relative to the Local Sheet lose their meaning.",
  roots_truncated: () => "More than eight distances give this velocity; the nearest eight are listed.",
};

const STATES: Record<string, string> = {
  not_finite: "A number is missing.",
  lon_out_of_range: "The longitude lies outside −360° to 360°.",
  lat_out_of_range: "The latitude lies outside −90° to 90°.",
  cz_out_of_range: "The velocity lies outside −3000 to 3 000 000 km/s.",
  sigma_cz_out_of_range: "The error of the velocity lies outside 0 to 5000 km/s.",
  distance_out_of_range: "The distance is out of range.",
  outside_field: "It lies beyond the end of this field’s lines of sight: no distance can be given.",
  crashed: "The server cannot compute this one: it failed every time.",
};

/** Return a sentence for each flag, those that matter most first; a flag this page does not know is shown as it is. */
export function flagSentences(flow: Flow, trusted: number | null): { flag: string; sentence: string }[] {
  const rank = (flag: string): number => (ORDER.includes(flag) ? ORDER.indexOf(flag) : ORDER.length);
  return [...flow.flags].sort((a, b) => rank(a) - rank(b)).map((flag) => ({
    flag, sentence: Object.hasOwn(SENTENCES, flag) ? (SENTENCES[flag]?.(flow, trusted) ?? flag) : `Flag: ${flag}`,
  }));
}

/** Return why an answer has no numbers; null when it has. */
export function statusSentence(flow: Flow): string | null {
  return flow.status === "ok" ? null : Object.hasOwn(STATES, flow.status) ? (STATES[flow.status] ?? null) : `Status: ${flow.status}`;
}

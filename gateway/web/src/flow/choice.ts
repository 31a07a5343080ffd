/** What the view in space shows beyond `state/view`: the galaxies, the target as lengths; shared by space and slices. */

import { computed, signal } from "@preact/signals";
import { ApiError, get } from "../api/client";
import type { Flow, Galaxies, LonLat } from "../api/types";
import { galaxiesUrl } from "../api/urls";
import { direction } from "../field/tile";
import { answer, sightlines } from "../state/answers";
import { isAsked, question } from "../state/question";
import type { Target } from "./target";

/** Galaxies of the catalogue, once somebody wanted them. */
export const galaxies = signal<Galaxies | null>(null);
let isAsking = false;

/** Load the galaxies, once; a refusal leaves the view without them, and they are wanted again after the server's return. */
export async function wantGalaxies(): Promise<void> {
  if (galaxies.peek() !== null || isAsking) return;
  isAsking = true;
  try {
    galaxies.value = await get<Galaxies>(galaxiesUrl());
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  } finally {
    isAsking = false;
  }
}

/** What was asked for, as it stands in space; null when nothing is asked or no position is known yet. */
export const target = computed<Target | null>(() => {
  const q = question.value;
  if (!isAsked(q)) return null;
  const flow = answer.value.data;
  if (flow !== null) return targetOf(flow);
  const line = [...sightlines.value.values()].find((l) => l.data !== null)?.data;
  return line ? { name: line.name, direction: toward(line.position.supergalactic), roots: [], range: null } : null;
});

/** Take from an answer what is drawn; its comoving distances are in h^-1 Mpc already. */
export function targetOf(flow: Flow): Target {
  const { p16, p84 } = flow.comoving;
  return {
    name: flow.name ?? flow.canonical ?? null,
    direction: toward(flow.position.supergalactic),
    roots: flow.roots.map(({ r_hmpc, weight }) => ({ r_hmpc, weight })),
    range: p16 === null || p84 === null ? null : [p16, p84],
  };
}

function toward({ lon, lat }: LonLat): [number, number, number] {
  return direction(lon, lat);
}

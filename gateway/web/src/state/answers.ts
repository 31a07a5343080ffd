/** The answers to the question: distances, what the catalogue knows, and the line of sight through each chosen field. */

import { computed, effect, signal } from "@preact/signals";
import { ApiError } from "../api/client";
import type { Detail, Flow, Sightline } from "../api/types";
import { detailUrl, flowUrl, sightlineUrl } from "../api/urls";
import { fields } from "./fields";
import { EMPTY, type Loaded, refused } from "./loaded";
import { forgetNames, meaningOf, withoutVelocity } from "./names";
import { hasVelocity, isAsked, type Question, question, subject } from "./question";
import { returns } from "./server";
import { Slot } from "./slot";

/** Distances of what is asked in the chosen field, with the density of `question.flow`. */
export const answer = signal<Loaded<Flow>>(EMPTY);
/** What the catalogue knows of the galaxy; empty for a place. */
export const detail = signal<Loaded<Detail>>(EMPTY);
/** Field id -> line of sight: the chosen field first, then those beside it. */
export const sightlines = signal<ReadonlyMap<string, Loaded<Sightline>>>(new Map());
/** Why the question has no answer; for a place without a velocity, why it has no line of sight in the chosen field. */
export const refusal = computed<ApiError | null>(() => {
  const [chosen] = sightlines.value.values();
  return answer.value.error ?? (hasVelocity(question.value) ? null : (chosen?.error ?? null));
});

const answerSlot = new Slot(answer);
const detailSlot = new Slot(detail);
let namesEpoch = 0;
const sightlineSlots = new Map<string, Slot<Sightline>>();

/** Ids to ask, the chosen field first; "" while the list of fields is on its way. Text, so that it changes only when they do. */
const askedFields = computed(() => {
  const q = question.value;
  const { data, error } = fields.value;
  const known = data?.fields.map((f) => f.id) ?? [];
  // an unknown field is asked for as well: the server's refusal says which there are
  const first = q.field ?? data?.default ?? null;
  if (first === null || (data === null && error === null)) return "";
  return [first, ...q.compare.filter((id) => id !== first && known.includes(id))].join("\n");
});

/** Answer whenever the question, the fields or the server's presence change; returns the way to stop. */
export function watchQuestion(): () => void {
  return effect(() => {
    const epoch = returns.value;
    const q = question.value;
    const ids = askedFields.value;
    if (!isAsked(q)) {
      forget();
      return;
    }
    if (epoch !== namesEpoch) forgetNames();
    namesEpoch = epoch;
    // a name needs no field: it is asked while the list of fields is on its way
    if (q.name !== null) meaningOf(q.name).catch(() => undefined);
    if (ids !== "") {
      void answerAll(q, ids.split("\n"), epoch);
      return;
    }
    forget();
    const { error } = fields.value;
    if (error !== null) answerSlot.put(refused(error), subject(q));
    else answerSlot.expect(subject(q));
  });
}

function forget(): void {
  answerSlot.clear();
  detailSlot.clear();
  placeSightlines([]);
}

async function answerAll(q: Question, ids: readonly string[], epoch: number): Promise<void> {
  const about = subject(q);
  const [first = ""] = ids;
  if (q.name !== null) {
    answerSlot.expect(about);
    detailSlot.expect(about);
    for (const slot of placeSightlines(ids)) slot.expect(about);
    const refusal = await faultOf(q, q.name);
    if (!isStill(q, ids, epoch)) return;
    if (refusal !== null) {
      answerSlot.put(refused(refusal), about);
      const isGalaxy = refusal.problem.code === "no_velocity";
      if (isGalaxy) void detailSlot.fill(detailUrl(q.name), about, epoch);
      else detailSlot.clear();
      placeSightlines(ids).forEach((slot, i) =>
        isGalaxy ? void slot.fill(sightlineUrl(q, ids[i] ?? first, null), about, epoch) : slot.put(EMPTY, about));
      return;
    }
  }
  let flowDone: Promise<void> | undefined;
  if (hasVelocity(q)) flowDone = answerSlot.fill(flowUrl(q, first, q.flow), about, epoch);
  else answerSlot.clear();
  if (q.name === null) detailSlot.clear();
  else void detailSlot.fill(detailUrl(q.name), about, epoch);
  const slots = placeSightlines(ids);
  for (const slot of slots) slot.expect(about);
  await flowDone;
  // somebody may have asked something else in the meantime, or the fields have changed; then this is no longer our page
  if (!isStill(q, ids, epoch)) return;
  const { data: found, error } = answer.peek();
  if (error !== null) {
    // what the server does not know has no line of sight, and one refusal is enough
    for (const slot of slots) slot.put(EMPTY, about);
    return;
  }
  // the plot shows the velocity that the distances came from, in the frame of the plot
  const cz = found?.cz[q.czFrame] ?? null;
  slots.forEach((slot, i) => void slot.fill(sightlineUrl(q, ids[i] ?? first, cz), about, epoch));
}

const isStill = (q: Question, ids: readonly string[], epoch: number): boolean =>
  question.peek() === q && returns.peek() === epoch && askedFields.peek() === ids.join("\n");

/** Why nothing can be asked of a name, or null. */
async function faultOf(q: Question, name: string): Promise<ApiError | null> {
  try {
    const meaning = await meaningOf(name);
    if ("refusal" in meaning) return meaning.refusal;
    return meaning.cz === null && q.cz === null && q.velocity === "own" ? withoutVelocity(meaning.name, meaning.catalog) : null;
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return error;
  }
}

/** Have a place for each of these lines of sight, in this order, and for no other. */
function placeSightlines(ids: readonly string[]): Slot<Sightline>[] {
  const before = sightlines.peek();
  for (const [id, slot] of sightlineSlots) {
    if (ids.includes(id)) continue;
    slot.clear();
    sightlineSlots.delete(id);
  }
  if (ids.join("\n") !== [...before.keys()].join("\n")) sightlines.value = new Map(ids.map((id) => [id, before.get(id) ?? EMPTY]));
  return ids.map((id) => {
    const slot = sightlineSlots.get(id) ?? new Slot(entryOf(id));
    sightlineSlots.set(id, slot);
    return slot;
  });
}

function entryOf(id: string): Slot<Sightline>["target"] {
  const peek = (): Loaded<Sightline> => sightlines.peek().get(id) ?? EMPTY;
  return {
    peek,
    get value() {
      return peek();
    },
    set value(next: Loaded<Sightline>) {
      if (sightlineSlots.has(id) && sightlines.peek().has(id)) sightlines.value = new Map(sightlines.peek()).set(id, next);
    },
  };
}

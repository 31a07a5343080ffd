/** The fields the server has, and which of them is asked. */

import { computed, effect, signal } from "@preact/signals";
import { ApiError, get } from "../api/client";
import type { FieldRecord, Fields } from "../api/types";
import { fieldsUrl } from "../api/urls";
import { arrived, EMPTY, type Loaded, loading, refused } from "./loaded";
import { question } from "./question";
import { returns } from "./server";

export const fields = signal<Loaded<Fields>>(EMPTY);

/** The record of the field that is asked; null until the list is here, or when there is no such field. */
export const chosenField = computed<FieldRecord | null>(() => fieldRecord(question.value.field));

/** The record of a field by its id; the default's for null. */
export function fieldRecord(id: string | null): FieldRecord | null {
  const list = fields.value.data;
  if (list === null) return null;
  const wanted = id ?? list.default;
  return list.fields.find((f) => f.id === wanted) ?? null;
}

/** Load the list now and whenever the server returns. */
export function watchFields(): () => void {
  let running: AbortController | undefined;
  const stop = effect(() => {
    void returns.value;
    running?.abort();
    running = new AbortController();
    void load(running.signal);
  });
  return () => {
    stop();
    running?.abort();
  };
}

async function load(signal_: AbortSignal): Promise<void> {
  const before = fields.peek();
  fields.value = loading(before);
  try {
    const list = await get<Fields>(fieldsUrl(), signal_);
    if (!signal_.aborted) fields.value = arrived(list);
  } catch (error) {
    if (signal_.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    // the list of before is still the best guess of what is there
    fields.value = { ...refused(error), data: before.data };
  }
}

/** The preview tile of the chosen field, loaded when somebody looks (`wantTile`), 64 nodes an axis first. */

import { computed, effect, signal } from "@preact/signals";
import { ApiError, getBytes } from "../api/client";
import type { Problem } from "../api/types";
import { decodeTile, type Tile } from "../field/tile";
import { painted } from "./calm";
import { chosenField } from "./fields";
import { arrived, EMPTY, type Loaded, loading, refused } from "./loaded";
import { returns } from "./server";
import { view } from "./view";

/** The tile on show: that of the chosen field, in the finest detail that was asked for and is there. */
export const tile = signal<Loaded<Tile>>(EMPTY);
const wanted = signal(false);
let running: AbortController | undefined;

/** Say that something on the page draws the tile. */
export function wantTile(): void {
  void painted().then(() => (wanted.value = true));
}

/** Address of the tile to show, "" for none: text, so that a move of the camera does not begin the loading anew. */
const address = computed(() => {
  const record = chosenField.value;
  if (!wanted.value || record === null) return "";
  return record.previews[String(view.value.detail)] ?? record.previews["64"] ?? "";
});

/** Load the tile whenever the field or the detail changes, and again when a server returns that could not give it. */
export function watchTile(): () => void {
  let loaded = "";
  return effect(() => {
    void returns.value;
    const url = address.value;
    if (url === loaded && (url === "" || tile.peek().error === null)) return;
    loaded = url;
    running?.abort();
    if (url === "") {
      // a field that is not there has nothing to show, least of all another one's flow
      tile.value = EMPTY;
      return;
    }
    running = new AbortController();
    void load(url, running.signal);
  });
}

async function load(url: string, signal_: AbortSignal): Promise<void> {
  tile.value = loading(tile.peek());
  try {
    const body = await getBytes(url, signal_);
    if (!signal_.aborted) tile.value = arrived(decodeTile(body));
  } catch (error) {
    if (signal_.aborted) return;
    tile.value = refused(error instanceof ApiError ? error : new ApiError(notATile(error)));
  }
}

/** What came and cannot be decoded: a proxy's page, or a preview of another version of this page. */
function notATile(cause: unknown): Problem {
  const why = cause instanceof Error ? cause.message : String(cause);
  return { type: "about:blank", title: "Not read", status: 200, code: "bad_answer", detail: `${why}; load the page again` };
}

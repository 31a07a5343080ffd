/** The other thread of the view in space: takes a tile, then tasks; the page stays quick meanwhile. */

import type { Tile } from "../field/tile";
import { buffersOf, type Task, work } from "./work";

/** Messages to the worker. */
export type Order = { tile: Tile } | { id: number; task: Task };

let tile: Tile | null = null;

addEventListener("message", (event: MessageEvent<Order>) => {
  const order = event.data;
  if ("tile" in order) {
    tile = order.tile;
    return;
  }
  if (tile === null) return;
  const result = work(tile, order.task);
  // the lib of windows has another postMessage than that of workers
  (postMessage as (message: unknown, transfer: Transferable[]) => void)({ id: order.id, result }, buffersOf(result));
});

/** Hands heavy tasks to a worker; where no worker may run (a notebook, an old browser) they are done here, one at a time. */

import type { Tile } from "../field/tile";
import type { Order } from "./worker";
import { type Results, type Task, work } from "./work";

/** Computes on the tile that was given last. */
export interface Compute {
  setTile(tile: Tile): void;
  /** Do a task; the promise never settles when another tile came meanwhile, for nobody wants its result. */
  run<K extends Task["kind"]>(task: Extract<Task, { kind: K }>): Promise<Results[K]>;
  dispose(): void;
}

/** Begin; the worker starts at once and waits. */
export function createCompute(): Compute {
  const waiting = new Map<number, { task: Task; done: (result: never) => void }>();
  let count = 0;
  let tile: Tile | null = null;
  let worker: Worker | null = start();

  function start(): Worker | null {
    try {
      const made = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
      made.addEventListener("message", (event: MessageEvent<{ id: number; result: never }>) => {
        waiting.get(event.data.id)?.done(event.data.result);
        waiting.delete(event.data.id);
      });
      made.addEventListener("error", (event) => {
        event.preventDefault();
        made.terminate();
        worker = null;
        for (const id of waiting.keys()) void here(id);
      });
      return made;
    } catch {
      return null;
    }
  }

  async function here(id: number): Promise<void> {
    // after the next frame: what is on the screen already should be seen first
    await new Promise((resolve) => setTimeout(resolve, 0));
    const order = waiting.get(id);
    if (order === undefined || tile === null) return;
    waiting.delete(id);
    order.done(work(tile, order.task) as never);
  }

  return {
    setTile(next) {
      waiting.clear();
      tile = next;
      worker?.postMessage({ tile: next } satisfies Order);
    },
    run(task) {
      const id = ++count;
      return new Promise((resolve) => {
        waiting.set(id, { task, done: resolve });
        if (worker === null) void here(id);
        else worker.postMessage({ id, task } satisfies Order);
      });
    },
    dispose() {
      waiting.clear();
      worker?.terminate();
    },
  };
}

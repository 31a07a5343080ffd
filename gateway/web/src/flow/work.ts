/** The heavy computing of the view in space, as one function from a task to arrays; runs in the worker, or where there is none. */

import { type Critical, criticalPoints } from "../field/critical";
import { type Lines, seedsIn, streamlines } from "../field/streamlines";
import { logDensity, type Mesh, softened, surface } from "../field/surface";
import type { Tile } from "../field/tile";

/** What can be asked of the worker; lengths in h^-1 Mpc. */
export type Task =
  | { kind: "streamlines"; lines: number; reach: number }
  | { kind: "surface"; delta: number; reach: number; inverted: boolean }
  | { kind: "critical"; reach: number };

export interface Results {
  streamlines: Lines;
  surface: Mesh;
  critical: Critical[];
}

/** Lines run on beyond the sphere of their seeds by this factor, fading: the flow does not end where trust does. */
export const BEYOND = 1.5;
/** Longest way in one direction, in units of the reach. */
const WAY = 0.8;

/** The density of a tile, prepared once. */
const prepared = new WeakMap<Tile, Float32Array>();

/** Do one task on a tile. */
export function work(tile: Tile, task: Task): Results[Task["kind"]] {
  switch (task.kind) {
    case "streamlines": {
      const step = Math.min(tile.spacing / 2, task.reach / 60);
      const how = { step, most: Math.ceil((WAY * task.reach) / step), reach: BEYOND * task.reach };
      return streamlines(tile, seedsIn(task.reach, task.lines), how);
    }
    case "surface": {
      if (tile.delta === null) return { points: new Float32Array(0), normals: new Float32Array(0), triangles: new Uint32Array(0) };
      let values = prepared.get(tile);
      if (values === undefined) prepared.set(tile, (values = softened(logDensity(tile.delta), tile.n)));
      const level = Math.log(1 + task.delta);
      return task.inverted
        ? surface(tile, values.map((v) => -v), -level, task.reach)
        : surface(tile, values, level, task.reach);
    }
    case "critical":
      return criticalPoints(tile, task.reach);
  }
}

/** The buffers of a result, to be handed over without a copy. */
export function buffersOf(result: Results[Task["kind"]]): ArrayBuffer[] {
  return Array.isArray(result) ? [] : Object.values(result).map((a: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>) => a.buffer);
}

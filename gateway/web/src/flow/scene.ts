/**
 * The view in space: what is shown on the stage, and when it is computed. No page framework in here: the page and the notebook
 * widget use the same scene. Heavy computing happens in a worker; here actors are made from its arrays.
 */

import type { Galaxies } from "../api/types";
import type { Critical } from "../field/critical";
import type { Lines } from "../field/streamlines";
import type { Mesh } from "../field/surface";
import type { Tile } from "../field/tile";
import type { Layer } from "../state/view";
import type { Theme } from "../state/theme";
import { type Caption, writeCaption } from "./caption";
import { distanceFor, type Orbit, projector, tamed } from "./camera";
import { createCompute } from "./compute";
import {
  arrowActor, criticalActor, criticalLabels, flowActor, gridActor, gridLabels, planeActor, structureLabels,
  targetActor, targetLabels,
} from "./content";
import { attachControls } from "./controls";
import { placesOf, within } from "./galaxies";
import { levelsOf, reachOf } from "./levels";
import { createOverlay, type Label } from "./overlay";
import { PALETTES, scaleWords } from "./palette";
import { type Actor, pointActor, surfaceActor } from "./parts";
import type { Slice } from "./slice";
import { makeCanvas } from "./graphics";
import { createStage, type StageLayer } from "./stage";
import { describe } from "./summary";
import type { Target } from "./target";
import "./scene.css";

export type { Target } from "./target";
export type { Slice } from "./slice";

/** What a scene is told at its beginning. */
export interface SceneOptions {
  theme: Theme;
  /** A canvas that has its graphics already; else one is made. */
  canvas?: HTMLCanvasElement;
  /** True when nothing may move by itself. */
  still: boolean;
  /** The eye was moved by hand: degrees, degrees, h^-1 Mpc. */
  onCamera?(azimuth: number, elevation: number, distance: number): void;
  /** The view was brought back to its beginning by hand. */
  onReset?(): void;
  /** A galaxy was clicked. */
  onPick?(galaxy: { name: string }): void;
  /** Something computed has arrived: the summary says more now. */
  onChange?(): void;
  /** The graphics were taken away: dispose of this scene and make another. */
  onLost?(): void;
}

/** The view in space. */
export interface Scene {
  /** Null: no field is on show. */
  setTile(tile: Tile | null): void;
  setLayers(layers: readonly Layer[]): void;
  /** Density contrast of the surface. */
  setDelta(delta: number): void;
  setSlice(slice: Slice): void;
  /** Galaxies at cz_cmb / 100, h^-1 Mpc: where they would be in a flow without peculiar velocities. */
  setGalaxies(galaxies: Galaxies | null): void;
  setTarget(target: Target | null): void;
  setTheme(theme: Theme): void;
  /** Azimuth, elevation (degrees), distance (h^-1 Mpc; 0 keeps the one there is); null: as it begins. */
  setCamera(camera: readonly [number, number, number] | null): void;
  screenshot(): Promise<Blob>;
  summary(): string;
  resize(): void;
  dispose(): void;
}

/** Lines of a scene: enough to fill it, few enough for graphics in software. */
const LINES = 1100;
const FIRST_AZIMUTH = -65;
const FIRST_ELEVATION = 24;
/** Room around the sphere when the view begins. */
const ROOM = 1.12;
const TRAVEL_MS = 350;
/** Galaxies are shown this much farther than the field is trusted, in units of that: peculiar velocities blur the edge. */
const ROUND = 1.15;
/** While the hand moves a slow picture, one of so many lines is drawn. */
const FEW = 4;
/** Frames that come slower than this are slow; ms. */
const SLOW_MS = 60;
/** The hand rests when it did nothing for so long. */
const REST_MS = 180;
/** Pixels a click may miss a galaxy by. */
const MISS = 8;

/** Put a scene into an element. Throws where there is no WebGL 2. */
export function createScene(host: HTMLElement, options: SceneOptions): Scene {
  const canvas = options.canvas ?? makeCanvas();
  // first what may throw: nothing else is to be taken away then
  if (canvas === null) throw new Error("this browser gives no WebGL 2");
  const stage = createStage(host, canvas, framed, () => options.onLost?.());
  const compute = createCompute();
  const overlay = createOverlay(host);
  const actors = new Map<string, Actor>();
  let theme = options.theme;
  let tile: Tile | null = null;
  let reach = 100;
  let layers: readonly Layer[] = [];
  let delta = 0.8;
  let voidDelta: number | null = null;
  let slice: Slice = { upright: "sgz", at: 0, of: "delta" };
  let target: Target | null = null;
  let galaxies: { names: string[]; points: Float32Array } | null = null;
  // what the worker found for this tile; kept for changes of theme and layers
  let lines: Lines | null = null;
  let dense: Mesh | null = null;
  let empty: Mesh | null = null;
  let critical: Critical[] | null = null;
  const asked = new Set<string>();
  let isMoved = false;
  let orbit: Orbit = { azimuth: FIRST_AZIMUTH, elevation: FIRST_ELEVATION, distance: 400 };
  let travel = 0;
  let ringAzimuth = Number.NaN;
  let lastFrame = 0;
  let isMoving = false;
  let resting: ReturnType<typeof setTimeout> | undefined;

  const has = (layer: Layer): boolean => layers.includes(layer);
  const palette = (): (typeof PALETTES)[Theme] => PALETTES[theme];

  /** Put an actor on its place, instead of the one before. */
  function put(name: string, actor: Actor | null, layer: StageLayer = "field"): void {
    const before = actors.get(name);
    if (before !== undefined) stage.remove(before);
    actors.delete(name);
    if (actor === null) return;
    actors.set(name, actor);
    stage.add(actor, layer);
  }

  const drawn: Record<string, () => void> = {
    streamlines: () => {
      const n = lines ? Math.ceil((lines.starts.length - 1) / FEW) : 0;
      const isShown = has("streamlines") && lines !== null;
      put("streamlines", isShown ? flowActor(lines!, 0, n, reach, palette()) : null);
      put("more streamlines", isShown ? flowActor(lines!, n, lines!.starts.length - 1, reach, palette()) : null);
    },
    density: () => put("density", has("density") && dense && dense.triangles.length > 0 ? surfaceActor(dense, palette().density, 0.5) : null, "veil"),
    voids: () => put("voids", has("voids") && empty && empty.triangles.length > 0 ? surfaceActor(empty, palette().void, 0.34) : null, "veil"),
    arrows: () => put("arrows", has("arrows") && tile ? arrowActor(tile, reach, has("slice") ? slice : null, palette()) : null),
    slice: () => put("slice", has("slice") && tile ? planeActor(tile, slice, Math.min(1.1 * reach, tile.half), palette()) : null),
    galaxies: () => {
      const points = has("galaxies") && tile && galaxies ? within(galaxies.points, ROUND * reach) : null;
      put("galaxies", points && pointActor(points, palette().galaxy, 1.4 * stage.ratio(), 0.55));
    },
    axes: () => put("axes", has("axes") && tile ? gridActor(reach, palette()) : null),
    critical: () => put("critical", has("critical") && critical ? criticalActor(critical, reach, palette()) : null, "front"),
    target: () => put("target", target && tile ? targetActor(target, reach, palette()) : null, "front"),
  };

  /** Draw parts anew; all of them when none is named. */
  function draw(...names: string[]): void {
    // without a field there is nothing to see, whatever still comes from the worker
    if (tile === null) for (const name of [...actors.keys()]) put(name, null);
    else for (const name of names.length > 0 ? names : Object.keys(drawn)) drawn[name]!();
    label();
    stage.request();
  }

  function label(): void {
    ringAzimuth = orbit.azimuth;
    const labels: Label[] = tile === null ? [] : [
      ...(has("axes") ? gridLabels(reach, orbit.azimuth - 62) : []),
      ...(has("labels") ? structureLabels(reach) : []),
      ...(has("critical") && critical ? criticalLabels(critical) : []),
      ...(target ? targetLabels(target) : []),
    ];
    overlay.setLabels(labels);
  }

  /** Ask the worker for what the layers need and nobody asked for yet. */
  function fetchMissing(): void {
    if (tile === null) return;
    const once = (name: string, start: () => void): void => {
      if (asked.has(name)) return;
      asked.add(name);
      start();
    };
    const arrive = (name: string): void => {
      draw(name);
      options.onChange?.();
    };
    if (has("streamlines")) {
      once("streamlines", () => void compute.run<"streamlines">({ kind: "streamlines", lines: LINES, reach }).then((r) => {
        lines = r;
        arrive("streamlines");
      }));
    }
    if (has("density")) once("density", () => void surfaceAt(delta));
    if (has("voids") && voidDelta !== null) {
      const level = voidDelta;
      once("voids", () => void compute.run<"surface">({ kind: "surface", delta: level, reach, inverted: true }).then((r) => {
        empty = r;
        arrive("voids");
      }));
    }
    if (has("critical")) once("critical", () => void compute.run<"critical">({ kind: "critical", reach }).then((r) => {
      critical = r;
      arrive("critical");
    }));
  }

  /** Compute the surface; the slider may move on meanwhile, then the newest level follows and those between are passed over. */
  async function surfaceAt(level: number): Promise<void> {
    dense = await compute.run<"surface">({ kind: "surface", delta: level, reach, inverted: false });
    draw("density");
    options.onChange?.();
    if (level !== delta) await surfaceAt(delta);
    else asked.delete("density-busy");
  }

  function caption({ header, delta: plane }: Tile): Caption {
    const of = !has("slice") ? "speed" : slice.of === "delta" && plane === null ? "velocity" : slice.of;
    const { what, colours, from, to } = scaleWords(of, palette());
    return { text: `${header.field.title} · supergalactic · velocities in the CMB frame`, colours, ends: [`${what} ${from}`, to], ink: palette().galaxy };
  }

  function begin(): Orbit {
    return { azimuth: FIRST_AZIMUTH, elevation: FIRST_ELEVATION, distance: distanceFor(ROOM * reach, host.clientWidth, host.clientHeight) };
  }

  function look(next: Orbit): void {
    orbit = tamed(next, 0.05 * reach, 12 * reach);
    stage.setOrbit(orbit, Math.max(1.3 * reach, 3 * Math.max(0, ...(target?.roots.map((r) => r.r_hmpc) ?? []))));
    // the names of the rings stay at the side of the screen
    if (Math.abs(orbit.azimuth - ringAzimuth) > 2) label();
  }

  /** After each frame. Graphics in software draw all lines too slowly to follow a hand: then most wait until it rests. */
  function framed(): void {
    overlay.place(orbit, ...stage.size());
    const now = performance.now();
    if (isMoving && lastFrame > 0 && now - lastFrame > SLOW_MS) actors.get("more streamlines")?.setVisibility(false);
    lastFrame = isMoving ? now : 0;
    // a frame may take longer than the hand's rest: that begins when the frame is there
    if (isMoving) moving();
  }

  /** Something moves; when nothing does for a while, all is drawn. */
  function moving(): void {
    isMoving = true;
    clearTimeout(resting);
    resting = setTimeout(() => {
      isMoving = false;
      lastFrame = 0;
      const rest = actors.get("more streamlines");
      if (rest === undefined || rest.getVisibility()) return;
      rest.setVisibility(true);
      stage.request();
    }, REST_MS);
  }

  function travelTo(next: Orbit): void {
    cancelAnimationFrame(travel);
    const from = orbit;
    const turn = ((next.azimuth - from.azimuth + 540) % 360) - 180;
    if (options.still || tile === null) {
      look(next);
      return;
    }
    const start = performance.now();
    const step = (now: number): void => {
      moving();
      const t = Math.min(Math.max((now - start) / TRAVEL_MS, 0), 1);
      const s = t * t * (3 - 2 * t);
      look({
        azimuth: from.azimuth + s * turn,
        elevation: from.elevation + s * (next.elevation - from.elevation),
        distance: from.distance * (next.distance / from.distance) ** s,
      });
      if (t < 1) travel = requestAnimationFrame(step);
    };
    travel = requestAnimationFrame(step);
  }

  function pick(x: number, y: number): void {
    if (galaxies === null || !has("galaxies") || options.onPick === undefined) return;
    const project = projector(orbit, ...stage.size());
    let best = MISS;
    let found = -1;
    const { points, names } = galaxies;
    for (let i = 0; i < names.length; i++) {
      const p = [points[3 * i]!, points[3 * i + 1]!, points[3 * i + 2]!] as const;
      if (Math.hypot(...p) > ROUND * reach) continue;
      const seen = project(p);
      const gap = seen ? Math.hypot(seen.x - x, seen.y - y) : Infinity;
      if (gap < best) [best, found] = [gap, i];
    }
    if (found >= 0) options.onPick({ name: names[found]! });
  }

  const detach = attachControls(host, {
    orbit: () => orbit,
    move(next) {
      cancelAnimationFrame(travel);
      isMoved = true;
      moving();
      look(next);
      options.onCamera?.(orbit.azimuth, orbit.elevation, orbit.distance);
    },
    reset() {
      isMoved = false;
      travelTo(begin());
      options.onReset?.();
    },
    point: pick,
  });
  const watcher = new ResizeObserver(() => scene.resize());
  watcher.observe(host);
  stage.setBackground(palette().background, palette().galaxy);

  const scene: Scene = {
    setTile(next) {
      const isOther = tile?.header.field.id !== next?.header.field.id;
      tile = next;
      lines = dense = empty = critical = null;
      asked.clear();
      if (next === null) {
        draw();
        return;
      }
      reach = reachOf(next);
      voidDelta = levelsOf(next, reach)?.empty ?? null;
      compute.setTile(next);
      if (isOther && !isMoved) look(begin());
      else look(orbit);
      draw();
      fetchMissing();
    },
    setLayers(next) {
      const changed = [...new Set([...layers, ...next])].filter((l) => layers.includes(l) !== next.includes(l));
      layers = next;
      // the arrows stand on the plane while there is one
      draw(...changed.filter((l) => l in drawn), ...(changed.includes("slice") ? ["arrows"] : []), "target");
      fetchMissing();
    },
    setDelta(next) {
      if (next === delta) return;
      delta = next;
      if (tile === null || !asked.has("density") || asked.has("density-busy")) return;
      asked.add("density-busy");
      void surfaceAt(delta);
    },
    setSlice(next) {
      if (next === slice) return;
      slice = next;
      if (has("slice")) draw("slice", "arrows");
    },
    setGalaxies(next) {
      galaxies = next && { names: next.columns.name, points: placesOf(next) };
      draw("galaxies");
      options.onChange?.();
    },
    setTarget(next) {
      target = next;
      look(orbit);
      draw("target");
    },
    setTheme(next) {
      if (next === theme) return;
      theme = next;
      stage.setBackground(palette().background, palette().galaxy);
      draw();
    },
    setCamera(camera) {
      isMoved = camera !== null;
      if (camera === null) travelTo(begin());
      else travelTo({ azimuth: camera[0], elevation: camera[1], distance: camera[2] > 0 ? camera[2] : orbit.distance });
    },
    screenshot() {
      const canvas = document.createElement("canvas");
      stage.drawNow(() => {
        canvas.width = stage.canvas.width;
        canvas.height = stage.canvas.height;
        const context = canvas.getContext("2d");
        context?.drawImage(stage.canvas, 0, 0);
        if (context === null) return;
        overlay.paint(context, stage.ratio());
        if (tile !== null) writeCaption(context, caption(tile), stage.ratio());
      });
      return new Promise((resolve, reject) => {
        canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the browser makes no picture of this view"))), "image/png");
      });
    },
    summary: () => describe({
      header: tile?.header ?? null, reach, layers, delta, voidDelta, target, critical: critical ?? [],
      galaxies: galaxies && tile ? within(galaxies.points, ROUND * reach).length / 3 : 0,
    }),
    resize() {
      if (!isMoved && tile !== null) look(begin());
      stage.request();
    },
    dispose() {
      cancelAnimationFrame(travel);
      clearTimeout(resting);
      watcher.disconnect();
      detach();
      compute.dispose();
      for (const name of [...actors.keys()]) put(name, null);
      overlay.dispose();
      stage.dispose();
    },
  };
  return scene;
}

/** What is shown in space and on the sky; it travels in the link. */

import { signal } from "@preact/signals";
import type { Slice } from "../flow/slice";

export type Layer = "streamlines" | "density" | "voids" | "arrows" | "slice" | "galaxies" | "labels" | "axes" | "critical";
export const LAYERS: readonly Layer[] = [
  "streamlines", "density", "voids", "arrows", "slice", "galaxies", "labels", "axes", "critical",
];

export interface View {
  layers: readonly Layer[];
  /** Density contrast of the isosurface. */
  delta: number;
  /** The plane of the slice mode. */
  slice: Slice;
  /** Detail of the preview: nodes an axis. */
  detail: 64 | 128;
  /** Camera: azimuth and elevation in degrees (supergalactic), distance in h^-1 Mpc; null: as it begins. */
  camera: readonly [number, number, number] | null;
  /** Shell of the sky, h^-1 Mpc, and what it shows. */
  shell: number;
  sky: "velocity" | "density";
  projection: "mollweide" | "orthographic";
}

export const FIRST_VIEW: View = {
  layers: ["streamlines", "density", "galaxies", "labels", "axes"], delta: 0.8,
  slice: { upright: "sgz", at: 0, of: "delta" }, detail: 64, camera: null, shell: 40, sky: "velocity", projection: "mollweide",
};

export const view = signal<View>(FIRST_VIEW);

/** Change parts of the view. */
export function show(parts: Partial<View>): void {
  view.value = { ...view.value, ...parts };
}

/** Show a layer, or no longer. */
export function toggle(layer: Layer): void {
  const { layers } = view.value;
  show({ layers: layers.includes(layer) ? layers.filter((l) => l !== layer) : [...layers, layer] });
}

/** Put a view into the words of a link; what is as it begins is left out. */
export function writeView(v: View, words: URLSearchParams): void {
  const layers = LAYERS.filter((l) => v.layers.includes(l)).join(",");
  if (layers !== FIRST_VIEW.layers.join(",")) words.set("layers", layers || "none");
  if (v.delta !== FIRST_VIEW.delta) words.set("delta", String(v.delta));
  const plane = sliceWords(v.slice);
  if (plane !== sliceWords(FIRST_VIEW.slice)) words.set("slice", plane);
  if (v.detail !== FIRST_VIEW.detail) words.set("detail", String(v.detail));
  if (v.camera !== null) words.set("camera", v.camera.map((x) => Math.round(x)).join(","));
  if (v.shell !== FIRST_VIEW.shell) words.set("shell", String(v.shell));
  if (v.sky !== FIRST_VIEW.sky) words.set("sky", v.sky);
  if (v.projection !== FIRST_VIEW.projection) words.set("projection", v.projection);
}

/** Read the view from the words of a link; what makes no sense stays as it begins. */
export function readView(words: URLSearchParams): View {
  const within = (key: string, least: number, greatest: number, usual: number): number => {
    const value = Number(words.get(key) ?? Number.NaN);
    return value >= least && value <= greatest ? value : usual;
  };
  const named = words.get("layers");
  const camera = words.get("camera")?.split(",").map(Number) ?? [];
  return {
    layers: named === null ? FIRST_VIEW.layers : LAYERS.filter((l) => named.split(",").includes(l)),
    delta: within("delta", -1, 100, FIRST_VIEW.delta),
    slice: readSlice(words.get("slice") ?? ""),
    detail: words.get("detail") === "128" ? 128 : 64,
    camera: camera.length === 3 && camera.every(Number.isFinite) ? (camera as [number, number, number]) : null,
    shell: within("shell", 1, 1000, FIRST_VIEW.shell),
    sky: words.get("sky") === "density" ? "density" : "velocity",
    projection: words.get("projection") === "orthographic" ? "orthographic" : "mollweide",
  };
}

const sliceWords = ({ upright, at, of }: Slice): string => `${upright},${at},${of}`;

function readSlice(text: string): Slice {
  const [upright, at, of] = text.split(",");
  const first = FIRST_VIEW.slice;
  const place = at?.trim() ? Number(at) : Number.NaN;
  return {
    upright: (["sgx", "sgy", "sgz"] as const).find((u) => u === upright) ?? first.upright,
    at: Math.abs(place) <= 1000 ? Math.round(place) : first.at,
    of: (["delta", "velocity", "speed"] as const).find((o) => o === of) ?? first.of,
  };
}

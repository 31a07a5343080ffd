/** The tools of the view in space: layers, the level of the surface, the plane, the views. */

import type { ComponentChildren } from "preact";
import { type Layer, show, toggle, view } from "../state/view";
import { planeName, type Slice, type SliceOf, type Upright } from "./slice";

const LAYER_NAMES: readonly (readonly [Layer, string, string])[] = [
  ["streamlines", "Streamlines", "Lines along the flow, coloured by speed"],
  ["density", "δ surface", "Where the density contrast is as great as the slider says"],
  ["voids", "Voids", "Where the field is emptiest"],
  ["galaxies", "Galaxies", "Galaxies of the catalogue at cz/H0 in the CMB frame"],
  ["arrows", "Arrows", "Velocity on a coarse lattice"],
  ["slice", "Slice", "A plane through the field"],
  ["labels", "Names", "Known structures"],
  ["axes", "Axes", "Supergalactic axes and rings of distance"],
  ["critical", "Sinks & sources", "Hints of where the flow converges and diverges in this reconstruction"],
];

interface Props {
  /** Greatest density contrast of the slider; null for a field without density. */
  top: number | null;
  /** Radius that is shown, h^-1 Mpc. */
  reach: number;
  /** Only what flat slices have. */
  isFlat?: boolean;
  children?: ComponentChildren;
}

/** Layers and their settings. */
export function Toolbar({ top, reach, isFlat = false, children }: Props) {
  const { layers, delta } = view.value;
  const { upright, at, of } = view.value.slice;
  const cut = (parts: Partial<Slice>): void => show({ slice: { ...view.value.slice, ...parts } });
  const hasSlice = layers.includes("slice") && !isFlat;
  return (
    <div class="flow-tools">
      {isFlat ? null : (
        <div class="flow-row" role="group" aria-label="Layers">
          {LAYER_NAMES.map(([layer, name, words]) => (
            <button
              key={layer} type="button" title={words} aria-pressed={layers.includes(layer)}
              disabled={top === null && (layer === "density" || layer === "voids")} onClick={() => toggle(layer)}
            >
              {name}
            </button>
          ))}
        </div>
      )}
      {layers.includes("density") && top !== null && !isFlat ? (
        <label class="flow-choice">
          δ &gt;
          <input
            type="range" min={0.1} max={Math.max(top, delta)} step={0.05} value={delta} aria-label="Density contrast of the surface"
            onInput={(e) => show({ delta: Number(e.currentTarget.value) })}
          />
          <output>{delta.toFixed(2)}</output>
        </label>
      ) : null}
      {hasSlice ? (
        <div class="flow-row" role="group" aria-label="Slice">
          <select aria-label="Plane" value={upright} onChange={(e) => cut({ upright: e.currentTarget.value as Upright })}>
            {(["sgz", "sgy", "sgx"] as const).map((u) => <option key={u} value={u}>{planeName(u)}</option>)}
          </select>
          <label class="flow-choice">
            {upright.toUpperCase()} =
            <input
              type="range" min={-Math.floor(reach)} max={Math.floor(reach)} step={1} value={at}
              aria-label={`Position of the plane, ${upright.toUpperCase()} in h⁻¹ Mpc`}
              onInput={(e) => cut({ at: Number(e.currentTarget.value) })}
            />
            <output>{String(at).replace("-", "−")} h⁻¹ Mpc</output>
          </label>
          <select
            aria-label="Colour of the plane" value={of === "delta" && top === null ? "velocity" : of}
            onChange={(e) => cut({ of: e.currentTarget.value as SliceOf })}
          >
            <option value="delta" disabled={top === null}>density</option>
            <option value="velocity">radial velocity</option>
            <option value="speed">speed</option>
          </select>
        </div>
      ) : null}
      {children}
    </div>
  );
}

/** Three flat slices through the Milky Way, drawn by the browser alone: what is shown where there is no WebGL. */

import { useEffect, useRef } from "preact/hooks";
import type { Tile } from "../field/tile";
import { theme } from "../state/theme";
import { show, view } from "../state/view";
import { target } from "./choice";
import { ColourBar } from "./ColourBar";
import { drawFlat } from "./flat";
import { reachOf } from "./levels";
import { AXIS_NAMES, axesOf, planeName, type SliceOf, type Upright } from "./slice";
import { describe } from "./summary";

const UPRIGHTS = ["sgz", "sgy", "sgx"] as const;

/** Slices of a field, with what was asked for. */
export function Slices({ tile }: { tile: Tile }) {
  const of = view.value.slice.of === "delta" && tile.delta === null ? "velocity" : view.value.slice.of;
  const reach = reachOf(tile);
  const words = describe({
    header: tile.header, reach, layers: ["slice", "arrows", "axes"], delta: view.value.delta, voidDelta: null, galaxies: 0,
    target: target.value, critical: [],
  });
  return (
    <>
      <div class="slices" role="group" aria-label="Three slices through the Milky Way" aria-describedby="flow-summary">
        {UPRIGHTS.map((upright) => <OneSlice key={upright} tile={tile} upright={upright} of={of} reach={reach} />)}
      </div>
      <div class="slices-foot">
        <label class="flow-choice">
          Colour
          <select value={of} onChange={(e) => show({ slice: { ...view.value.slice, of: e.currentTarget.value as SliceOf } })}>
            <option value="delta" disabled={tile.delta === null}>density</option>
            <option value="velocity">radial velocity</option>
            <option value="speed">speed</option>
          </select>
        </label>
        <ColourBar of={of} theme={theme.value} />
        {of === "speed" ? null : <span class="flow-choice">arrows: <ColourBar of="speed" theme={theme.value} /></span>}
      </div>
      <p class="unseen" id="flow-summary">{words}</p>
    </>
  );
}

function OneSlice({ tile, upright, of, reach }: { tile: Tile; upright: Upright; of: SliceOf; reach: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const asked = target.value;
  const shade = theme.value;
  useEffect(() => {
    const element = canvas.current;
    if (element === null) return undefined;
    const draw = (): void => drawFlat(element, { tile, slice: { upright, at: 0, of }, reach, target: asked, theme: shade });
    // it draws at once when it begins to watch, and whenever the element changes its width
    const watcher = new ResizeObserver(draw);
    watcher.observe(element);
    return () => watcher.disconnect();
  }, [tile, upright, of, reach, asked, shade]);
  const name = planeName(upright);
  return (
    <figure>
      <canvas ref={canvas} role="img" aria-label={`Slice ${name} through the Milky Way`} />
      <figcaption>{name} at {AXIS_NAMES[axesOf(upright)[2]]} = 0</figcaption>
    </figure>
  );
}

/**
 * The view in space as a notebook widget (anywidget): the scene of the page, fed by a model in Python instead of a server.
 *
 * Owns the few controls around the scene; what is shown travels as traits of cfcore/notebook.py: `tile` (bytes of a preview),
 * `layers`, `delta`, `target`, `height`, `theme`. Nothing is fetched.
 */

import { decodeTile } from "../field/tile";
import { createScene, type Scene, type Target } from "../flow/scene";
import { type Layer, LAYERS } from "../state/view";
import type { Theme } from "../state/theme";
import "./widget.css";

/** The traits that Python and the view share. */
export interface Traits {
  tile: DataView;
  layers: string[];
  delta: number;
  target: Target | null;
  height: number;
  theme: "auto" | Theme;
}

/** As much of anywidget's model as is used here. */
export interface Model {
  get<K extends keyof Traits>(name: K): Traits[K];
  set<K extends keyof Traits>(name: K, value: Traits[K]): void;
  save_changes(): void;
  on(event: `change:${keyof Traits}`, listener: () => void): void;
  off(event: `change:${keyof Traits}`, listener: () => void): void;
}

/** Buttons of the layers; galaxies are no part of a field and not here. */
const BUTTONS: readonly (readonly [Layer, string])[] = [
  ["streamlines", "Streamlines"], ["density", "δ surface"], ["voids", "Voids"], ["arrows", "Arrows"], ["slice", "Slice"],
  ["critical", "Attractors"], ["labels", "Names"], ["axes", "Axes"],
];
/** So often lost graphics are asked for again; then something is wrong with them. */
const LOSSES = 2;
/** A browser gives no new ones in the moment of the loss. */
const PATIENCE_MS = 1000;
const DELTA = { least: 0.1, greatest: 5, step: 0.1 };

/** Is the notebook dark? JupyterLab and VS Code say so on the body; else the system decides. */
export function themeOf(chosen: Traits["theme"], body: HTMLElement): Theme {
  if (chosen !== "auto") return chosen;
  const said = body.dataset["jpThemeLight"];
  if (said !== undefined) return said === "false" ? "dark" : "light";
  if (body.classList.contains("vscode-light") || body.classList.contains("vscode-high-contrast-light")) return "light";
  if (body.dataset["vscodeThemeKind"] !== undefined || body.classList.contains("vscode-dark")) return "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function make<K extends keyof HTMLElementTagNameMap>(name: K, className: string, text = ""): HTMLElementTagNameMap[K] {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}

/** Put the view into an output cell; returns how to take it away. */
export function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const root = make("div", "cf-view");
  const bar = make("div", "cf-bar");
  const stage = make("div", "cf-stage");
  const note = make("p", "cf-note");
  const summary = make("p", "cf-unseen");
  // JupyterLab would take the arrow keys for its cells
  root.dataset["lmSuppressShortcuts"] = "true";
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label", "Flow in space: drag or arrow keys turn it, + and − come nearer and go away");
  root.append(bar, stage, note, summary);
  el.append(root);

  const theme = (): Theme => themeOf(model.get("theme"), document.body);
  const layers = (): Layer[] => LAYERS.filter((l) => model.get("layers").includes(l));
  const put = <K extends keyof Traits>(name: K, value: Traits[K]): void => {
    model.set(name, value);
    model.save_changes();
  };

  let scene: Scene | null = null;
  const tell = (): void => void (summary.textContent = scene?.summary() ?? "");
  const buttons = BUTTONS.map(([layer, words]) => {
    const button = make("button", "", words);
    button.type = "button";
    button.addEventListener("click", () => {
      const shown = layers();
      put("layers", shown.includes(layer) ? shown.filter((l) => l !== layer) : [...shown, layer]);
    });
    bar.append(button);
    return [layer, button] as const;
  });
  const label = make("label", "", "δ > ");
  const slider = make("input", "");
  const shown = make("output", "");
  Object.assign(slider, { type: "range", min: String(DELTA.least), max: String(DELTA.greatest), step: String(DELTA.step) });
  slider.addEventListener("input", () => (shown.textContent = slider.value));
  slider.addEventListener("change", () => put("delta", slider.valueAsNumber));
  label.append(slider, shown);
  const reset = make("button", "", "Reset view");
  reset.type = "button";
  reset.addEventListener("click", () => scene?.setCamera(null));
  bar.append(label, reset);

  const show: { [K in keyof Traits]: () => void } = {
    tile() {
      const bytes = model.get("tile");
      const body = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
      try {
        const tile = decodeTile(body);
        scene?.setTile(tile);
        const { field, trusted_hmpc } = tile.header;
        note.textContent = `${field.title || field.id}: a preview of ${tile.n} nodes an axis, supergalactic axes, h⁻¹ Mpc${
          trusted_hmpc === null ? "" : `; trusted to ${trusted_hmpc} h⁻¹ Mpc`}`;
        label.hidden = tile.delta === null;
        for (const [layer, button] of buttons) if (layer === "density" || layer === "voids") button.disabled = tile.delta === null;
      } catch (error) {
        note.textContent = error instanceof Error ? error.message : String(error);
      }
    },
    layers() {
      const on = layers();
      scene?.setLayers(on);
      for (const [layer, button] of buttons) button.setAttribute("aria-pressed", String(on.includes(layer)));
    },
    delta() {
      const delta = model.get("delta");
      scene?.setDelta(delta);
      slider.value = String(delta);
      shown.textContent = String(delta);
    },
    target: () => scene?.setTarget(model.get("target")),
    height() {
      stage.style.height = `${model.get("height")}px`;
      scene?.resize();
    },
    theme() {
      root.dataset["theme"] = theme();
      scene?.setTheme(theme());
    },
  };
  show.height();
  show.theme();
  let losses = 0;
  let isGone = false;
  const begin = (): void => {
    scene = createScene(stage, {
      theme: theme(), still: matchMedia("(prefers-reduced-motion: reduce)").matches, onChange: tell,
      // a browser takes graphics away when there are too many, and gives new ones a moment later
      onLost() {
        scene?.dispose();
        scene = null;
        losses += 1;
        if (losses > LOSSES) note.textContent = "The graphics were taken away from this view; run the cell again to have it back.";
        else setTimeout(() => isGone || begin(), PATIENCE_MS);
      },
    });
    // layers before the tile: then only what is shown is computed
    for (const name of ["layers", "delta", "tile", "target"] as const) show[name]();
    tell();
  };
  try {
    begin();
  } catch {
    bar.hidden = true;
    stage.hidden = true;
    note.textContent = "This browser has no WebGL 2, which the view in space needs. The page of `cosmicflows serve` shows slices instead.";
    return () => root.remove();
  }
  const names = Object.keys(show) as (keyof Traits)[];
  const listeners = names.map((name) => {
    const listener = (): void => {
      show[name]();
      tell();
    };
    model.on(`change:${name}`, listener);
    return [name, listener] as const;
  });
  // notebooks change their theme without a word to the widgets
  const watcher = new MutationObserver(show.theme);
  watcher.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-vscode-theme-kind"] });
  return () => {
    isGone = true;
    watcher.disconnect();
    for (const [name, listener] of listeners) model.off(`change:${name}`, listener);
    scene?.dispose();
    root.remove();
  };
}

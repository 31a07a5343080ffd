/** Draws one flat slice on a canvas: colours, arrows, rings, the galaxy with its ray and roots, a scale. No WebGL. */

import { type Tile, velocityAt } from "../field/tile";
import type { Theme } from "../state/theme";
import { colourAt } from "../ui/ramp";
import { css, PALETTES, SPEED_TOP } from "./palette";
import { AXIS_NAMES, axesOf, onPlane, type Slice, sliceColours } from "./slice";
import { ringsWithin, type Target } from "./target";

/** Points of the coloured picture along an edge; the browser smooths between them. */
const PIXELS = 128;
/** Arrows along an edge. */
const ARROWS = 15;

/** What stands on a slice. */
export interface Flat {
  tile: Tile;
  slice: Slice;
  /** Half the edge, h^-1 Mpc. */
  reach: number;
  target: Target | null;
  theme: Theme;
}

/** Draw a slice; the canvas takes the size of its element. */
export function drawFlat(canvas: HTMLCanvasElement, flat: Flat): void {
  const context = canvas.getContext("2d");
  const edge = Math.max(canvas.clientWidth, 1);
  const ratio = Math.min(devicePixelRatio || 1, 3);
  canvas.width = canvas.height = Math.round(edge * ratio);
  if (context === null) return;
  const { reach } = flat;
  const palette = PALETTES[flat.theme];
  context.scale(ratio, ratio);
  context.fillStyle = css(palette.background);
  context.fillRect(0, 0, edge, edge);
  const to = (u: number, v: number): [number, number] => [(edge * (u + reach)) / (2 * reach), (edge * (reach - v)) / (2 * reach)];
  context.drawImage(picture(flat), 0, 0, edge, edge);
  rings(context, reach, edge, css(palette.grid));
  arrows(context, flat, to);
  if (flat.target !== null) ray(context, flat, to, css(palette.target));
  words(context, flat, edge, css(palette.galaxy), css(palette.background));
}

function picture({ tile, slice, reach, theme }: Flat): HTMLCanvasElement {
  const palette = PALETTES[theme];
  const colours = sliceColours(tile, slice, reach, PIXELS, slice.of === "speed" ? palette.speed : palette.diverging);
  const small = document.createElement("canvas");
  small.width = small.height = PIXELS;
  const context = small.getContext("2d");
  const image = context?.createImageData(PIXELS, PIXELS);
  if (!context || !image) return small;
  // colours run upwards along v, pictures downwards
  for (let i = 0; i < PIXELS; i++) {
    for (let j = 0; j < PIXELS; j++) {
      const from = 4 * (i * PIXELS + j);
      image.data.set(colours.subarray(from, from + 4), 4 * ((PIXELS - 1 - j) * PIXELS + i));
    }
  }
  context.putImageData(image, 0, 0);
  return small;
}

function rings(context: CanvasRenderingContext2D, reach: number, edge: number, colour: string): void {
  context.strokeStyle = colour;
  context.lineWidth = 1;
  for (const r of ringsWithin(reach)) {
    context.beginPath();
    context.arc(edge / 2, edge / 2, (edge * r) / (2 * reach), 0, 2 * Math.PI);
    context.stroke();
  }
  context.beginPath();
  context.moveTo(0, edge / 2);
  context.lineTo(edge, edge / 2);
  context.moveTo(edge / 2, 0);
  context.lineTo(edge / 2, edge);
  context.stroke();
}

type ToScreen = (u: number, v: number) => [number, number];

function arrows(context: CanvasRenderingContext2D, { tile, slice, reach, theme }: Flat, to: ToScreen): void {
  const [right, up] = axesOf(slice.upright);
  const gap = (2 * reach) / ARROWS;
  const v = new Float64Array(3);
  context.lineWidth = 1.3;
  for (let i = 0; i < ARROWS; i++) {
    for (let j = 0; j < ARROWS; j++) {
      const [u, w] = [-reach + (i + 0.5) * gap, -reach + (j + 0.5) * gap];
      const p = onPlane(slice, u, w);
      if (!velocityAt(tile, p[0], p[1], p[2], v)) continue;
      const [du, dw] = [v[right]! * (gap / SPEED_TOP), v[up]! * (gap / SPEED_TOP)];
      const size = Math.hypot(du, dw);
      const shrink = size > 1.4 * gap ? (1.4 * gap) / size : 1;
      const [x0, y0] = to(u - (du * shrink) / 2, w - (dw * shrink) / 2);
      const [x1, y1] = to(u + (du * shrink) / 2, w + (dw * shrink) / 2);
      const a = Math.atan2(y1 - y0, x1 - x0);
      const head = Math.min(4, 0.4 * Math.hypot(x1 - x0, y1 - y0));
      context.strokeStyle = slice.of === "speed" ? css(PALETTES[theme].galaxy) : css(colourAt(PALETTES[theme].speed, Math.hypot(...v) / SPEED_TOP));
      context.beginPath();
      context.moveTo(x0, y0);
      context.lineTo(x1, y1);
      context.lineTo(x1 - head * Math.cos(a - 0.5), y1 - head * Math.sin(a - 0.5));
      context.moveTo(x1, y1);
      context.lineTo(x1 - head * Math.cos(a + 0.5), y1 - head * Math.sin(a + 0.5));
      context.stroke();
    }
  }
}

/** The ray as it is seen from the upright axis: shortened where it leaves the plane. */
function ray(context: CanvasRenderingContext2D, { target, slice, reach }: Flat, to: ToScreen, colour: string): void {
  if (target === null) return;
  const [right, up] = axesOf(slice.upright);
  const at = (r: number): [number, number] => to(r * target.direction[right], r * target.direction[up]);
  const line = (from: number, until: number, width: number): void => {
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(...at(from));
    context.lineTo(...at(until));
    context.stroke();
  };
  context.strokeStyle = context.fillStyle = colour;
  line(0, 2 * reach, 1.3);
  if (target.range !== null) line(...target.range, 4);
  for (const root of target.roots) {
    context.beginPath();
    context.arc(...at(root.r_hmpc), 2 + 5 * Math.cbrt(Math.max(root.weight, 0)), 0, 2 * Math.PI);
    context.fill();
  }
}

function words(context: CanvasRenderingContext2D, flat: Flat, edge: number, colour: string, halo: string): void {
  const [right, up] = axesOf(flat.slice.upright);
  context.font = '12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  context.lineWidth = 3;
  context.lineJoin = "round";
  const put = (text: string, x: number, y: number, align: CanvasTextAlign, fill = colour): void => {
    context.textAlign = align;
    context.strokeStyle = halo;
    context.strokeText(text, x, y);
    context.fillStyle = fill;
    context.fillText(text, x, y);
  };
  put(AXIS_NAMES[right], edge - 5, edge / 2 - 6, "right");
  put(AXIS_NAMES[up], edge / 2 + 6, 15, "left");
  // a scale as long as the nearest ring is far
  const length = ringsWithin(flat.reach)[0] ?? flat.reach / 2;
  const long = (edge * length) / (2 * flat.reach);
  context.fillStyle = colour;
  context.fillRect(8, edge - 10, long, 3);
  put(`${length} h⁻¹ Mpc`, 8, edge - 15, "left");
  const best = flat.target && [...flat.target.roots].sort((a, b) => b.weight - a.weight)[0];
  if (best && flat.target?.name) {
    const pixels = (edge * best.r_hmpc) / (2 * flat.reach);
    const x = edge / 2 + pixels * flat.target.direction[right];
    const y = edge / 2 - pixels * flat.target.direction[up];
    const isFar = x > edge * 0.7;
    put(flat.target.name, x + (isFar ? -9 : 9), y + 4, isFar ? "right" : "left", css(PALETTES[flat.theme].target));
  }
}

/** The picture of the sky on a canvas: colours of the shell, lines of longitude and latitude, the zone of avoidance, marks. */

import { geoCircle, geoGraticule, geoPath } from "d3-geo";
import type { SkyFrame } from "../api/types";
import { fillShell, type ShellKind } from "../field/shell";
import type { Tile } from "../field/tile";
import type { Theme } from "../state/theme";
import { paint, palette } from "./colours";
import { convert, product, rotation, toVector, transpose, turn, type Vector } from "../field/frames";
import { fit, forward, type Frame, type Kind, lines, pixelDirections, viewMatrix } from "./projection";

/** Something with a name on the sky; `direction` is supergalactic. */
export interface Mark {
  name: string;
  direction: Vector;
  kind: "chosen" | "structure";
}

/** All that the picture shows. */
export interface Look {
  tile: Tile | null;
  kind: ShellKind;
  /** Radius of the shell, h^-1 Mpc. */
  r: number;
  /** Where the colours end, see `colourLimit`. */
  limit: number;
  projection: Kind;
  frame: SkyFrame;
  /** Middle of the picture, degrees in `frame`. */
  centre: readonly [number, number];
  theme: Theme;
  marks: readonly Mark[];
  /** Keyboard cursor, degrees in `frame`. */
  cursor: readonly [number, number] | null;
}

/** Colours and letters of the page, read from its style sheet. */
export interface Ink {
  page: string;
  text: string;
  dim: string;
  line: string;
  accent: string;
  font: string;
}

/** Space around the picture, CSS pixels: room for the outline and the ring of a mark at the edge. */
const MARGIN = 3;
/** Half the width of the zone of avoidance, degrees of galactic latitude. */
const AVOIDED = 10;
/** The values vary over cells of some degrees: more pixels than these show nothing more, and cost frames. */
const RASTER_PIXELS = { still: 420_000, moving: 100_000 };
const LABEL_PX = 11;

/** The frame of a look on a canvas of CSS pixels. */
export const frameOf = (look: Pick<Look, "projection">, width: number, height: number): Frame =>
  fit(look.projection, width, height, MARGIN);

/** Pixel of a supergalactic direction; null on the far side. */
export function placeOf(look: Pick<Look, "frame" | "centre">, frame: Frame, direction: Vector): [number, number] | null {
  const shown = turn(rotation("supergalactic", look.frame), direction);
  return forward(frame, turn(transpose(viewMatrix(...look.centre)), shown));
}

/** Read the inks that hold for an element. */
export function inkOf(element: Element): Ink {
  const style = getComputedStyle(element);
  const read = (name: string, usual: string): string => style.getPropertyValue(name).trim() || usual;
  return {
    page: read("--panel", "#111726"), text: read("--text", "#e8ecf6"), dim: read("--text-dim", "#a3adc6"),
    line: read("--line-strong", "#47557d"), accent: read("--accent", "#ffb454"), font: style.fontFamily || "sans-serif",
  };
}

/** Draws looks; keeps what depends on size only. */
export interface Painter {
  /** Draw in CSS pixels on a context that is scaled by `ratio`; `isMoving` trades fineness for speed. */
  draw(context: CanvasRenderingContext2D, look: Look, width: number, height: number, ratio: number, ink: Ink, isMoving: boolean): void;
}

interface Raster {
  key: string;
  directions: Float32Array;
  values: Float32Array;
  image: ImageData;
  pixels: Uint32Array;
  canvas: HTMLCanvasElement;
}

/** Create a painter; one for each canvas. */
export function createPainter(): Painter {
  const kept: { still?: Raster; moving?: Raster } = {};
  const colours: Partial<Record<Theme, Uint32Array>> = {};
  return {
    draw(context, look, width, height, ratio, ink, isMoving) {
      const frame = frameOf(look, width, height);
      const path = geoPath(lines(frame, ...look.centre), context);
      context.clearRect(0, 0, width, height);
      context.save();
      context.beginPath();
      path({ type: "Sphere" });
      context.clip();
      hatch(context, width, height, ink);
      if (look.tile !== null) {
        const speed = isMoving ? "moving" : "still";
        const raster = (kept[speed] = rasterOf(kept[speed], frame, ratio, RASTER_PIXELS[speed]));
        const toField = product(rotation(look.frame, "supergalactic"), viewMatrix(...look.centre));
        fillShell(look.tile, look.kind, look.r, raster.directions, raster.values, toField);
        paint(raster.values, look.kind, look.limit, (colours[look.theme] ??= palette(look.theme)), raster.pixels);
        raster.canvas.getContext("2d", { willReadFrequently: true })?.putImageData(raster.image, 0, 0);
        context.drawImage(raster.canvas, 0, 0, width, height);
      }
      context.restore();
      drawLines(context, path, look, ink);
      drawWords(context, frame, look, ink);
    },
  };
}

function rasterOf(before: Raster | undefined, frame: Frame, ratio: number, most: number): Raster {
  const scale = Math.min(ratio, Math.sqrt(most / (frame.width * frame.height)));
  const width = Math.max(1, Math.round(frame.width * scale));
  const height = Math.max(1, Math.round(frame.height * scale));
  const key = `${frame.kind} ${width} ${height} ${frame.radius * scale}`;
  if (before?.key === key) return before;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  return {
    key, canvas, image, pixels: new Uint32Array(image.data.buffer), values: new Float32Array(width * height),
    directions: pixelDirections({ kind: frame.kind, width, height, radius: frame.radius * scale }),
  };
}

/** Thin oblique lines where the field is not there: neither of the colours, and no zero. */
function hatch(context: CanvasRenderingContext2D, width: number, height: number, ink: Ink): void {
  context.fillStyle = ink.page;
  context.fillRect(0, 0, width, height);
  context.beginPath();
  for (let x = -height; x < width; x += 7) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.strokeStyle = ink.line;
  context.lineWidth = 1;
  context.stroke();
}

function drawLines(context: CanvasRenderingContext2D, path: ReturnType<typeof geoPath>, look: Look, ink: Ink): void {
  const stroke = (shape: Parameters<typeof path>[0], style: string, width: number, alpha: number, dash: number[] = []): void => {
    context.save();
    context.globalAlpha = alpha;
    context.setLineDash(dash);
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    path(shape);
    context.stroke();
    context.restore();
  };
  stroke(geoGraticule().step([30, 30])(), ink.text, 0.7, 0.32);
  for (const lat of [90, -90]) {
    const ring = geoCircle().center(convert(0, lat, "galactic", look.frame)).radius(90 - AVOIDED).precision(3)();
    stroke(ring, ink.text, 1.1, 0.75, [4, 4]);
  }
  stroke({ type: "Sphere" }, ink.line, 1.5, 1);
}

function drawWords(context: CanvasRenderingContext2D, frame: Frame, look: Look, ink: Ink): void {
  const taken: [number, number, number, number][] = [];
  context.lineJoin = "round";
  const place = (lon: number, lat: number): [number, number] | null =>
    placeOf(look, frame, turn(rotation(look.frame, "supergalactic"), toVector(lon, lat)));
  const write = (text: string, x: number, y: number, style: string, bold: boolean, must: boolean): void => {
    context.font = `${bold ? "600 " : ""}${LABEL_PX}px ${ink.font}`;
    const half = context.measureText(text).width / 2 + 3;
    const at = Math.max(half, Math.min(frame.width - half, x));
    const box: [number, number, number, number] = [at - half, y - LABEL_PX, at + half, y + 4];
    if (!must && (box[1] < 0 || box[3] > frame.height || taken.some((b) => overlaps(b, box)))) return;
    taken.push(box);
    context.textAlign = "center";
    context.strokeStyle = ink.page;
    context.lineWidth = 3.5;
    context.strokeText(text, at, y);
    context.fillStyle = style;
    context.fillText(text, at, y);
  };
  for (const mark of [...look.marks].sort((a, b) => Number(b.kind === "chosen") - Number(a.kind === "chosen"))) {
    const at = placeOf(look, frame, mark.direction);
    if (at === null) continue;
    const isChosen = mark.kind === "chosen";
    if (isChosen) {
      ring(context, at, 6, ink.page, 4.5);
      ring(context, at, 6, ink.accent, 2);
    } else {
      context.fillStyle = ink.text;
      context.fillRect(at[0] - 1.5, at[1] - 1.5, 3, 3);
    }
    taken.push([at[0] - 7, at[1] - 7, at[0] + 7, at[1] + 7]);
    write(mark.name, at[0], at[1] - 11 > LABEL_PX ? at[1] - 11 : at[1] + 20, isChosen ? ink.accent : ink.text, isChosen, isChosen);
  }
  // one degree beside the meridian of the edge, where the label would lie half outside
  for (let lon = 0; lon < 360; lon += 60) {
    const at = place(lon, 0);
    if (at !== null && Math.abs(at[0] - frame.width / 2) < frame.radius * (frame.kind === "mollweide" ? 1.8 : 0.85)) {
      write(`${lon}°`, at[0], at[1] - 3, ink.dim, false, false);
    }
  }
  for (const lat of [-60, -30, 30, 60]) {
    const at = place(look.centre[0], lat);
    if (at !== null) write(`${lat > 0 ? "+" : "−"}${Math.abs(lat)}°`, at[0], at[1] - 3, ink.dim, false, false);
  }
  const cursor = look.cursor === null ? null : place(...look.cursor);
  if (cursor !== null) {
    for (const [style, width] of [[ink.page, 4], [ink.text, 1.6]] as const) {
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
        context.moveTo(cursor[0] + 4 * dx, cursor[1] + 4 * dy);
        context.lineTo(cursor[0] + 12 * dx, cursor[1] + 12 * dy);
      }
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke();
    }
  }
}

function ring(context: CanvasRenderingContext2D, [x, y]: readonly [number, number], radius: number, style: string, width: number): void {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.strokeStyle = style;
  context.lineWidth = width;
  context.stroke();
}

const overlaps = (a: readonly number[], b: readonly number[]): boolean =>
  a[0]! < b[2]! && b[0]! < a[2]! && a[1]! < b[3]! && b[1]! < a[3]!;

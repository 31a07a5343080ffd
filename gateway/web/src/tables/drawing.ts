/** The plots of a result on canvas: distance against cz with the Hubble line, and the sky. Drawing only; what is chosen is above it. */

import { extent, quantile } from "d3-array";
import { geoGraticule, geoPath } from "d3-geo";
import { scaleLinear } from "d3-scale";
import { tick } from "../plots/numbers";
import { fit, lines } from "../sky/projection";
import type { Theme } from "../state/theme";
import { colourAt, type Rgb } from "../ui/ramp";
import type { Rows } from "./result";
import { hubbleDistance, thinned } from "./thin";

/** What the colour of a point says. */
export type ColourBy = "v_rad" | "flags";
/** At most so many points are drawn. */
export const DRAWN_MAX = 100_000;
/** Up to so many points have bars of 68 %. */
const BARS_MAX = 300;
const STEPS = 64;

/** Points that were drawn: place in the rows, and pixels. */
export interface Drawn {
  index: number[];
  x: Float32Array;
  y: Float32Array;
}

// from us: orange; towards us: blue; in between a grey that stands off the panel. Safe for the colour-blind.
const STOPS: Record<Theme, readonly Rgb[]> = {
  dark: [[92, 150, 255], [176, 184, 204], [255, 150, 66]],
  light: [[22, 84, 208], [118, 126, 144], [196, 82, 0]],
};

/** Colour of a radial velocity, `part` from 0 (towards us) to 1 (away). */
export function velocityColour(theme: Theme, part: number): string {
  return `rgb(${colourAt(STOPS[theme], part).map(Math.round).join(" ")})`;
}

/** A round limit for the colours, km/s: 95 % of the velocities lie within. */
export function velocityLimit(rows: Rows): number {
  const sizes = rows.vRad.filter((v) => !Number.isNaN(v)).map(Math.abs);
  return Math.max(100, Math.ceil((quantile(sizes, 0.95) ?? 100) / 100) * 100);
}

interface Ink {
  text: string;
  dim: string;
  line: string;
  model: string;
  accent: string;
  bad: string;
}

function ink(canvas: HTMLCanvasElement): Ink {
  const style = getComputedStyle(canvas);
  const of = (name: string): string => style.getPropertyValue(name).trim();
  return { text: of("--text"), dim: of("--text-dim"), line: of("--line"), model: of("--model"), accent: of("--accent"), bad: of("--bad") };
}

function begin(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const ratio = Math.min(devicePixelRatio || 1, 3);
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  context.scale(ratio, ratio);
  context.font = `12px ${getComputedStyle(canvas).fontFamily}`;
  return context;
}

/** Draw distance against cz (kind velocity: v_rad against distance). */
export function drawScatter(canvas: HTMLCanvasElement, width: number, height: number, rows: Rows, by: ColourBy, theme: Theme): Drawn {
  const context = begin(canvas, width, height);
  const colours = ink(canvas);
  const index = thinned(rows.n, DRAWN_MAX, (i) => Number.isFinite(rows.x[i]) && Number.isFinite(rows.y[i]));
  const isDistance = rows.kind === "distance";
  const ys = index.flatMap((i) => (isDistance && index.length <= BARS_MAX ? [rows.low[i] as number, rows.high[i] as number] : [rows.y[i] as number]));
  const box = { left: 58, right: width - 10, top: 10, bottom: height - 38 };
  const [x0, x1] = extent([0, ...index.map((i) => rows.x[i] as number)]) as [number, number];
  const [y0, y1] = extent([0, ...ys.filter(Number.isFinite)]) as [number, number];
  const x = scaleLinear([x0, x1 > x0 ? x1 : x0 + 1], [box.left, box.right]).nice();
  const y = scaleLinear([y0, y1 > y0 ? y1 : y0 + 1], [box.bottom, box.top]).nice();
  axes(context, colours, box, x, y, isDistance ? "cz, CMB frame [km/s]" : "distance [Mpc]", isDistance ? "distance [Mpc]" : "v_rad [km/s]");
  context.strokeStyle = colours.dim;
  context.setLineDash([5, 4]);
  context.beginPath();
  for (let k = 0; k <= 60; k++) {
    const cz = (x.domain()[0] as number) + (((x.domain()[1] as number) - (x.domain()[0] as number)) * k) / 60;
    const value = isDistance ? hubbleDistance(cz, rows.H0, rows.Om) : 0;
    if (value >= (y.domain()[0] as number) && value <= (y.domain()[1] as number)) context.lineTo(x(cz), y(value));
  }
  context.stroke();
  context.setLineDash([]);
  const drawn: Drawn = {
    index, x: Float32Array.from(index, (i) => x(rows.x[i] as number)), y: Float32Array.from(index, (i) => y(rows.y[i] as number)),
  };
  if (isDistance && index.length <= BARS_MAX) {
    context.globalAlpha = 0.45;
    context.strokeStyle = colours.text;
    context.beginPath();
    index.forEach((i, k) => {
      context.moveTo(drawn.x[k] as number, y(rows.low[i] as number));
      context.lineTo(drawn.x[k] as number, y(rows.high[i] as number));
    });
    context.stroke();
    context.globalAlpha = 1;
  }
  points(context, drawn, rows, by, theme, colours);
  return drawn;
}

/** Draw where the rows lie on the sky, in the frame of the table; rows without an answer are crosses. */
export function drawSky(canvas: HTMLCanvasElement, width: number, height: number, rows: Rows, by: ColourBy, theme: Theme): Drawn {
  const context = begin(canvas, width, height);
  const colours = ink(canvas);
  const sky = lines(fit("mollweide", width, height, 4), 0, 0);
  const path = geoPath(sky, context);
  context.strokeStyle = colours.line;
  context.beginPath();
  path(geoGraticule().step([30, 30])());
  context.stroke();
  context.strokeStyle = colours.dim;
  context.beginPath();
  path({ type: "Sphere" });
  context.stroke();
  const index: number[] = [];
  const xs: number[] = [];
  const ys: number[] = [];
  for (const i of thinned(rows.n, DRAWN_MAX, (k) => Number.isFinite(rows.lon[k]) && Number.isFinite(rows.lat[k]))) {
    const place = sky([rows.lon[i] as number, rows.lat[i] as number]);
    if (place === null) continue;
    index.push(i);
    xs.push(place[0]);
    ys.push(place[1]);
  }
  const drawn: Drawn = { index, x: Float32Array.from(xs), y: Float32Array.from(ys) };
  points(context, drawn, rows, by, theme, colours);
  context.fillStyle = colours.dim;
  context.textAlign = "center";
  for (const lon of [60, 120, 0, 300, 240]) {
    const place = sky([lon, 0]);
    if (place !== null) context.fillText(`${lon}°`, place[0], place[1] + 13);
  }
  return drawn;
}

type Scale = ReturnType<typeof scaleLinear<number, number>>;

function axes(
  context: CanvasRenderingContext2D, colours: Ink, box: { left: number; right: number; top: number; bottom: number }, x: Scale, y: Scale,
  xName: string, yName: string,
): void {
  context.strokeStyle = colours.line;
  context.fillStyle = colours.dim;
  context.textAlign = "center";
  for (const t of x.ticks(Math.max(2, (box.right - box.left) / 80))) {
    line(context, x(t), box.top, x(t), box.bottom);
    context.fillText(tick(t), Math.min(x(t), box.right - 12), box.bottom + 15);
  }
  context.textAlign = "right";
  for (const t of y.ticks(Math.max(2, (box.bottom - box.top) / 45))) {
    line(context, box.left, y(t), box.right, y(t));
    context.fillText(tick(t), box.left - 5, y(t) + 4);
  }
  context.fillStyle = colours.text;
  context.textAlign = "center";
  context.fillText(xName, (box.left + box.right) / 2, box.bottom + 32);
  context.save();
  context.translate(12, (box.top + box.bottom) / 2);
  context.rotate(-Math.PI / 2);
  context.fillText(yName, 0, 0);
  context.restore();
}

function line(context: CanvasRenderingContext2D, x1: number, y1: number, x2: number, y2: number): void {
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
}

function points(context: CanvasRenderingContext2D, drawn: Drawn, rows: Rows, by: ColourBy, theme: Theme, colours: Ink): void {
  const n = drawn.index.length;
  const limit = velocityLimit(rows);
  const size = n > 20_000 ? 1.5 : n > 2000 ? 2.5 : n > 300 ? 4 : 6;
  // points of one colour at once: changing the colour is what takes time
  const groups = new Map<string, number[]>();
  drawn.index.forEach((i, k) => {
    const key = groupOf(rows, i, by, limit);
    const there = groups.get(key);
    if (there) there.push(k);
    else groups.set(key, [k]);
  });
  context.globalAlpha = n > 20_000 ? 0.7 : 0.9;
  for (const [key, members] of [...groups].sort(([a], [b]) => Number(a === "none") - Number(b === "none"))) {
    const colour = key === "none" ? colours.bad : key === "plain" ? colours.model : key === "flagged" ? colours.accent
      : velocityColour(theme, Number(key) / (STEPS - 1));
    context.fillStyle = colour;
    context.strokeStyle = colour;
    context.beginPath();
    for (const k of members) {
      const [px, py] = [drawn.x[k] as number, drawn.y[k] as number];
      if (key === "none") {
        const arm = Math.max(3, size / 2 + 1);
        context.moveTo(px - arm, py - arm);
        context.lineTo(px + arm, py + arm);
        context.moveTo(px + arm, py - arm);
        context.lineTo(px - arm, py + arm);
      } else if (key === "flagged" && size > 3) context.rect(px - size / 2, py - size / 2, size, size);
      else if (size > 3) {
        context.moveTo(px + size / 2, py);
        context.arc(px, py, size / 2, 0, 2 * Math.PI);
      } else context.rect(px - size / 2, py - size / 2, size, size);
    }
    if (key === "none" || (key === "flagged" && size > 3)) context.stroke();
    else context.fill();
  }
  context.globalAlpha = 1;
}

function groupOf(rows: Rows, i: number, by: ColourBy, limit: number): string {
  if (rows.status[i] !== "ok") return "none";
  if (by === "flags") return rows.flags[i] === "" ? "plain" : "flagged";
  const part = (rows.vRad[i] as number) / limit / 2 + 0.5;
  return Number.isNaN(part) ? "none" : String(Math.round(Math.min(1, Math.max(0, part)) * (STEPS - 1)));
}

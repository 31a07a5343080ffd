/** What a saved picture says of itself: which field, in which frame, and what its colours mean. */

import type { Rgb } from "../ui/ramp";
import { css } from "./palette";

/** The foot of a picture. */
export interface Caption {
  text: string;
  colours: readonly Rgb[];
  /** Words at both ends of the colours. */
  ends: readonly [string, string];
  ink: Rgb;
}

const EDGE = 10;
const BAR = [130, 7] as const;

/** Write a caption at the foot of a picture; `ratio` is device pixels a CSS pixel. */
export function writeCaption(context: CanvasRenderingContext2D, caption: Caption, ratio: number): void {
  const { width, height } = context.canvas;
  const base = height - EDGE * ratio;
  context.font = `${12 * ratio}px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif`;
  context.textBaseline = "alphabetic";
  context.fillStyle = css(caption.ink);
  context.textAlign = "left";
  context.fillText(caption.text, EDGE * ratio, base);
  context.textAlign = "right";
  let x = width - EDGE * ratio;
  context.fillText(caption.ends[1], x, base);
  x -= context.measureText(caption.ends[1]).width + (6 + BAR[0]) * ratio;
  const gradient = context.createLinearGradient(x, 0, x + BAR[0] * ratio, 0);
  caption.colours.forEach((c, i) => gradient.addColorStop(i / (caption.colours.length - 1), css(c)));
  context.fillText(caption.ends[0], x - 6 * ratio, base);
  context.fillStyle = gradient;
  context.fillRect(x, base - BAR[1] * ratio, BAR[0] * ratio, BAR[1] * ratio);
}

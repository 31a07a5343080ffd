/** Two opposite colours with the page between them: blue comes or is empty, orange goes or is dense. Safe for the colour-blind. */

import type { ShellKind } from "../field/shell";
import type { Theme } from "../state/theme";
import { colourAt, type Rgb } from "../ui/ramp";

// Ends, flanks and middle; the lightness runs evenly from the middle to both ends.
const STOPS: Record<Theme, readonly Rgb[]> = {
  dark: [[120, 170, 255], [61, 114, 240], [40, 72, 158], [14, 16, 26], [146, 68, 28], [226, 110, 52], [255, 178, 110]],
  light: [[20, 52, 140], [60, 110, 220], [160, 190, 242], [250, 250, 248], [248, 190, 140], [222, 106, 36], [132, 50, 4]],
};
const STEPS = 512;

/** Colours as rows of canvas pixels (0xAABBGGRR), from least to greatest. */
export function palette(theme: Theme): Uint32Array {
  return Uint32Array.from({ length: STEPS }, (_, i) => {
    const [r, g, b] = colourAt(STOPS[theme], i / (STEPS - 1));
    return ((255 << 24) | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
  });
}

/** The palette as a CSS gradient, least at the left. */
export const gradient = (theme: Theme): string =>
  `linear-gradient(to right, ${STOPS[theme].map((c) => `rgb(${c.join(" ")})`).join(", ")})`;

/** Colour the values of a shell: from -limit to limit; densities by ln(1+delta). What is not there stays clear. */
export function paint(values: Float32Array, kind: ShellKind, limit: number, colours: Uint32Array, pixels: Uint32Array): void {
  const last = colours.length - 1;
  const factor = last / (2 * limit);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value !== value) {
      pixels[i] = 0;
      continue;
    }
    const shown = kind === "velocity" ? value : Math.log(Math.max(1 + value, 1e-6));
    const step = Math.round((shown + limit) * factor);
    pixels[i] = colours[step < 0 ? 0 : step > last ? last : step]!;
  }
}

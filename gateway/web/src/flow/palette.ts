/** Colours of the view in space, for both themes. Scales grow evenly in lightness, so they read without colour vision too. */

import type { Theme } from "../state/theme";
import { colourAt, type Rgb } from "../ui/ramp";

/** Speed of the last colour, km/s; faster is drawn as this. */
export const SPEED_TOP = 500;
/** Radial velocity of the last colours of a slice, km/s. */
export const VELOCITY_TOP = 600;
/** ln(1+delta) of the last colours of a slice. */
export const LOG_DENSITY_TOP = 1.4;

const rgb = (hex: string): Rgb => [1, 3, 5].map((i) => Number.parseInt(hex.slice(i, i + 2), 16) / 255) as unknown as Rgb;

/** What a scale of colours explains. */
export type Scale = "speed" | "velocity" | "delta";

interface Palette {
  background: Rgb;
  /** From still to fast; on light ground the fast ones are the dark ones. */
  speed: readonly Rgb[];
  /** Opacity of a still and of a fast line. */
  lineOpacity: readonly [number, number];
  /** Approaching or empty, neutral, receding or dense. */
  diverging: readonly Rgb[];
  density: Rgb;
  void: Rgb;
  galaxy: Rgb;
  grid: Rgb;
  target: Rgb;
}

/** The colours of each theme; background, grid and target equal those of styles/tokens.css. */
export const PALETTES: Record<Theme, Palette> = {
  dark: {
    background: rgb("#05070d"),
    speed: ["#2f4fc4", "#2f86d0", "#35b8bd", "#9ed484", "#ffe04f"].map(rgb),
    lineOpacity: [0.4, 0.55],
    diverging: ["#6aa2ff", "#2a52ba", "#131a30", "#a8481a", "#ff9a5c"].map(rgb),
    density: rgb("#f2995a"),
    void: rgb("#4767e0"),
    galaxy: rgb("#eef1ff"),
    grid: rgb("#54689c"),
    target: rgb("#ffb454"),
  },
  light: {
    background: rgb("#f7f9fc"),
    speed: ["#93aee2", "#5b9bc4", "#2c8a8a", "#46651d", "#5c2c00"].map(rgb),
    lineOpacity: [0.5, 0.75],
    diverging: ["#173f9c", "#7ea3e6", "#f2f3f5", "#e89b6d", "#9c3b0a"].map(rgb),
    density: rgb("#d9772e"),
    void: rgb("#4a63c9"),
    galaxy: rgb("#27304a"),
    grid: rgb("#8592b4"),
    target: rgb("#a85400"),
  },
};

/** Return a table of n colours as bytes, three or (with the opacities of its ends) four a colour. */
export function table(scale: readonly Rgb[], n: number, opacity: readonly [number, number] = [1, 1]): Uint8Array {
  const out = new Uint8Array(4 * n);
  for (let i = 0; i < n; i++) {
    const t = i / (n - 1);
    const c = colourAt(scale, t);
    out.set([c[0] * 255, c[1] * 255, c[2] * 255, 255 * (opacity[0] + t * (opacity[1] - opacity[0]))], 4 * i);
  }
  return out;
}

/** Return a colour in the words of CSS. */
export function css([r, g, b]: Rgb): string {
  return `rgb(${Math.round(r * 255)} ${Math.round(g * 255)} ${Math.round(b * 255)})`;
}

/** Return the colours of a scale, what they mean, and the numbers at its ends. */
export function scaleWords(of: Scale, palette: Palette): { colours: readonly Rgb[]; from: string; to: string; what: string } {
  switch (of) {
    case "speed":
      return { colours: palette.speed, from: "0", to: `${SPEED_TOP} km/s`, what: "speed" };
    case "velocity":
      return { colours: palette.diverging, from: `−${VELOCITY_TOP}`, to: `+${VELOCITY_TOP} km/s`, what: "radial velocity (CMB)" };
    case "delta": {
      const top = Math.exp(LOG_DENSITY_TOP);
      return { colours: palette.diverging, from: (1 / top).toFixed(2), to: top.toFixed(1), what: "density 1+δ, in logarithm" };
    }
  }
}

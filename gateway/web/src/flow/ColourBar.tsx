/** The scale of a colour, with its unit. */

import type { Theme } from "../state/theme";
import { css, PALETTES, type Scale, scaleWords } from "./palette";

/** A bar of colours between two numbers. */
export function ColourBar({ of, theme }: { of: Scale; theme: Theme }) {
  const palette = PALETTES[theme];
  const { colours, from, to, what } = scaleWords(of, palette);
  return (
    <div class="colourbar" role="img" aria-label={`Colours: ${what}, from ${from} to ${to}`}>
      <span>{what}</span>
      <span>{from}</span>
      <i style={{ background: `linear-gradient(to right, ${colours.map(css).join(", ")})` }} />
      <span>{to}</span>
    </div>
  );
}

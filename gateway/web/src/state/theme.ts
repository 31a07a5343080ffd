/** Dark or light: what the visitor chose, else what the system prefers. Kept in the browser only. */

import { effect, signal } from "@preact/signals";

export type Theme = "dark" | "light";
const KEY = "cosmicflows.theme";

/** The theme in use. */
export const theme = signal<Theme>(first());

function first(): Theme {
  try {
    const kept = localStorage.getItem(KEY);
    if (kept === "dark" || kept === "light") return kept;
  } catch {
    // storage may be forbidden: then the system decides each time
  }
  return matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
}

/** Choose a theme and keep the choice. */
export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // see above
  }
}

/** Tell the style sheets. */
export function watchTheme(): () => void {
  return effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
  });
}

/** True when the visitor wants nothing to move. */
export const wantsStillness = (): boolean => matchMedia("(prefers-reduced-motion: reduce)").matches;

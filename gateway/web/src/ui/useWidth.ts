/** How wide an element is, for drawings that fill their place. */

import { useLayoutEffect, useState } from "preact/hooks";

/**
 * The width of an element in whole CSS pixels, followed as it changes; read before the first paint, so that nothing jumps.
 * `unknown` stands where nothing is laid out (tests, a hidden panel).
 */
export function useWidth(place: { current: HTMLElement | null }, unknown = 0): number {
  const [width, setWidth] = useState(unknown);
  useLayoutEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const measure = (): void => {
      const found = Math.floor(element.getBoundingClientRect().width);
      if (found > 0) setWidth(found);
    };
    measure();
    if (typeof ResizeObserver === "undefined") return undefined;
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return width;
}

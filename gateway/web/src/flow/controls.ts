/** Hands on the view: drag turns, wheel and pinch come closer, arrow keys, + - and 0 do the same; a click without a drag points. */

import type { Orbit } from "./camera";

/** What the hands move. */
export interface Held {
  orbit(): Orbit;
  move(orbit: Orbit): void;
  reset(): void;
  /** A click or tap at a place in CSS pixels. */
  point(x: number, y: number): void;
}

/** Degrees a drag of the whole height turns. */
const TURN = 180;
/** Degrees of an arrow key; a tenth of it with Shift. */
const KEY_TURN = 10;
const KEY_ZOOM = 1.2;
/** Pixels a pointer may tremble in a click. */
const TREMBLE = 4;

/** Let an element be turned; returns the way to stop. */
export function attachControls(element: HTMLElement, held: Held): () => void {
  const pointers = new Map<number, { x: number; y: number }>();
  let travelled = 0;
  const gap = (): number => {
    const [a, b] = [...pointers.values()];
    return a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  };
  const zoom = (factor: number): void => {
    const o = held.orbit();
    held.move({ ...o, distance: o.distance * factor });
  };
  const turn = (azimuth: number, elevation: number): void => {
    const o = held.orbit();
    held.move({ ...o, azimuth: o.azimuth + azimuth, elevation: o.elevation + elevation });
  };
  const down = (e: PointerEvent): void => {
    if (e.button !== 0) return;
    if (pointers.size === 0) travelled = 0;
    pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
    element.setPointerCapture(e.pointerId);
  };
  const move = (e: PointerEvent): void => {
    const before = pointers.get(e.pointerId);
    if (before === undefined) return;
    const gapBefore = gap();
    pointers.set(e.pointerId, { x: e.clientX, y: e.clientY });
    const [dx, dy] = [e.clientX - before.x, e.clientY - before.y];
    travelled += Math.hypot(dx, dy);
    if (pointers.size === 2 && gapBefore > 0) zoom(gapBefore / Math.max(gap(), 1));
    else if (pointers.size === 1 && travelled > TREMBLE) {
      const degrees = TURN / Math.max(element.clientHeight, 1);
      turn(-dx * degrees, dy * degrees);
    }
  };
  const up = (e: PointerEvent): void => {
    if (!pointers.delete(e.pointerId) || e.type === "pointercancel") return;
    if (pointers.size === 0 && travelled <= TREMBLE) {
      const box = element.getBoundingClientRect();
      held.point(e.clientX - box.left, e.clientY - box.top);
    }
  };
  const wheel = (e: WheelEvent): void => {
    // the page scrolls past the picture; only who holds it, or pinches a pad, comes closer
    if (!e.ctrlKey && document.activeElement !== element) return;
    e.preventDefault();
    const lines = e.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(Math.min(Math.max(e.deltaY * lines, -120), 120) * (e.ctrlKey ? 0.01 : 0.0015)));
  };
  const key = (e: KeyboardEvent): void => {
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    const step = e.shiftKey ? KEY_TURN / 10 : KEY_TURN;
    switch (e.key) {
      case "ArrowLeft": turn(-step, 0); break;
      case "ArrowRight": turn(step, 0); break;
      case "ArrowUp": turn(0, step); break;
      case "ArrowDown": turn(0, -step); break;
      case "+": case "=": zoom(1 / KEY_ZOOM); break;
      case "-": case "_": zoom(KEY_ZOOM); break;
      case "0": held.reset(); break;
      default: return;
    }
    e.preventDefault();
  };
  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("wheel", wheel, { passive: false });
  element.addEventListener("keydown", key);
  return () => {
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
    element.removeEventListener("wheel", wheel);
    element.removeEventListener("keydown", key);
  };
}

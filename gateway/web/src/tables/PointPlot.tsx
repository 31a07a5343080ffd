/** A canvas full of points that can be pointed at: by mouse, touch and arrow keys. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { theme } from "../state/theme";
import { useWidth } from "../ui/useWidth";
import type { ColourBy, Drawn } from "./drawing";
import type { Rows } from "./result";
import { finder } from "./thin";

interface Props {
  rows: Rows;
  by: ColourBy;
  /** Height for a width. */
  aspect: number;
  /** What is seen, in words. */
  label: string;
  draw: (canvas: HTMLCanvasElement, width: number, height: number, rows: Rows, by: ColourBy, theme_: typeof theme.value) => Drawn;
  /** The row that is looked at, a place in the columns; -1: none. */
  at: number;
  look: (at: number, byKey: boolean) => void;
  ask: (at: number) => void;
}

const REACH = 14;

/** The plot, with a ring about the row that is looked at. */
export function PointPlot({ rows, by, aspect, label, draw, at, look, ask }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const width = useWidth(host);
  const [drawn, setDrawn] = useState<Drawn | null>(null);
  const shade = theme.value;
  const height = Math.round(width * aspect);
  useEffect(() => {
    if (width < 40 || canvas.current === null) return undefined;
    // in the next frame: the style sheets of a new theme are in force then
    const frame = requestAnimationFrame(() => setDrawn(draw(canvas.current as HTMLCanvasElement, width, height, rows, by, shade)));
    return () => cancelAnimationFrame(frame);
  }, [rows, by, width, shade]);
  const find = useMemo(() => (drawn === null ? null : finder(drawn.x, drawn.y)), [drawn]);
  // arrow keys walk along the plot from left to right
  const order = useMemo(() => (drawn === null ? [] : Array.from(drawn.index.keys()).sort((a, b) => (drawn.x[a] as number) - (drawn.x[b] as number))), [drawn]);
  const k = drawn === null || at < 0 ? -1 : drawn.index.indexOf(at);
  const nearest = (event: MouseEvent): number => {
    const box = host.current?.getBoundingClientRect();
    const found = box && find ? find.nearest(event.clientX - box.left, event.clientY - box.top, REACH) : -1;
    return found < 0 ? -1 : drawn?.index[found] ?? -1;
  };
  const keys = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageDown: -25, PageUp: 25 }[event.key];
    if (event.key === "Enter" && at >= 0) ask(at);
    else if (event.key === "Home" || event.key === "End" || step !== undefined) {
      const place = k < 0 ? (step !== undefined && step < 0 ? order.length : -1) : order.indexOf(k);
      const next = event.key === "Home" ? 0 : event.key === "End" ? order.length - 1 : Math.min(order.length - 1, Math.max(0, place + (step ?? 0)));
      const found = order[next];
      if (found !== undefined) look(drawn?.index[found] ?? -1, true);
    } else return;
    event.preventDefault();
  };
  return (
    <div
      class="pointplot" ref={host} tabIndex={0} role="group" aria-roledescription="scatter plot" aria-label={`${label} Arrow keys go from row to row, Enter asks one.`}
      style={{ height: `${height}px` }} onKeyDown={keys}
      onPointerMove={(event) => {
        const found = nearest(event);
        if (found >= 0) look(found, false);
      }}
      onClick={(event) => {
        const found = nearest(event);
        if (found >= 0) look(found, false);
      }}
    >
      <canvas ref={canvas} aria-hidden="true" style={{ width: `${width}px`, height: `${height}px` }} />
      {drawn === null || k < 0 ? null : (
        <svg width={width} height={height} aria-hidden="true"><circle cx={drawn.x[k]} cy={drawn.y[k]} r="7" /></svg>
      )}
    </div>
  );
}

/** A drawing with two axes, a legend and a crosshair, as SVG that can be saved alone. What is drawn in it is its caller's. */

import { type ScaleLinear, scaleLinear } from "d3-scale";
import type { ComponentChildren, TargetedKeyboardEvent, TargetedPointerEvent } from "preact";
import { useRef, useState } from "preact/hooks";
import { useWidth } from "../ui/useWidth";
import { type LegendItem, legendRows, LegendMark } from "./Legend";
import { tick } from "./numbers";
import "./chart.css";

export type Scale = ScaleLinear<number, number>;

/** The plot area: scales in pixels of the drawing, and its sides. */
export interface Frame {
  x: Scale;
  y: Scale;
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** What the crosshair reads: words for eyes and ears, and marks on the curves. */
export interface Reading {
  words: string;
  marks: { x: number; y: number; colour: string }[];
}

interface Axis {
  domain: readonly [number, number];
  label: string;
}

interface Props {
  id: string;
  x: Axis;
  y: Axis;
  title: string;
  /** The content in words. */
  desc: string;
  legend: readonly LegendItem[];
  draw: (frame: Frame) => ComponentChildren;
  /** Read the curves at a value of x; `pointer` is the place of the pointer in the drawing, if there is one. */
  readAt: (x: number, frame: Frame, pointer: { x: number; y: number } | null) => Reading;
  /** The drawing belongs to an older question. */
  isOld: boolean;
  onSvg: (svg: SVGSVGElement | null) => void;
}

const RIGHT = 12;
const TOP = 12;
const FOOT = 40;
const LEGEND_ROW = 18;
const STEPS = 200;
/** Room of the label of the y axis, and of one digit of its ticks. */
const Y_LABEL = 30;
const DIGIT = 7;
/** Width that is assumed where nothing is laid out (tests, a hidden panel). */
const WIDTH_UNKNOWN = 400;

/** An SVG drawing as wide as its place, with a crosshair for pointer and arrow keys. */
export function Chart(props: Props) {
  const { id, x, y, title, desc, legend, isOld } = props;
  const place = useRef<HTMLDivElement>(null);
  const width = useWidth(place, WIDTH_UNKNOWN);
  const [at, setAt] = useState<{ value: number; pointer: { x: number; y: number } | null } | null>(null);
  const rows = legendRows(legend, width - 8);
  const plot = Math.round(Math.min(Math.max(0.52 * width, 190), 420));
  const height = TOP + plot + FOOT + LEGEND_ROW * rows.length + 4;
  const yScale = scaleLinear([...y.domain], [TOP + plot, TOP]);
  const left = Y_LABEL + DIGIT * Math.max(...yTicks(yScale).map((v) => tick(v).length));
  const frame: Frame = {
    left,
    right: width - RIGHT,
    top: TOP,
    bottom: TOP + plot,
    y: yScale,
    x: scaleLinear([...x.domain], [left, width - RIGHT]),
  };
  const [from, to] = x.domain;
  const seen = at !== null && at.value >= from && at.value <= to ? at : null;
  const reading = seen === null ? null : props.readAt(seen.value, frame, seen.pointer);

  const point = (event: TargetedPointerEvent<HTMLDivElement>): void => {
    const box = event.currentTarget.getBoundingClientRect();
    const [px, py] = [left + event.clientX - box.left, TOP + event.clientY - box.top];
    setAt({ value: Math.min(Math.max(frame.x.invert(px), from), to), pointer: { x: px, y: py } });
  };
  const key = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    const step = ((to - from) / STEPS) * (event.shiftKey ? 10 : 1);
    const now = seen?.value ?? (from + to) / 2;
    const moves: Record<string, number> = {
      ArrowLeft: now - step,
      ArrowDown: now - step,
      ArrowRight: now + step,
      ArrowUp: now + step,
      PageDown: now - 10 * step,
      PageUp: now + 10 * step,
      Home: from,
      End: to,
    };
    const next = moves[event.key];
    if (event.key === "Escape") setAt(null);
    else if (next !== undefined) {
      event.preventDefault();
      setAt({ value: Math.min(Math.max(next, from), to), pointer: null });
    }
  };
  return (
    <div class={isOld ? "chart old" : "chart"} aria-busy={isOld}>
      <div class="chart-place" ref={place}>
        <svg
          ref={props.onSvg}
          role="img"
          aria-labelledby={`${id}-svg-title ${id}-svg-desc`}
          viewBox={`0 0 ${width} ${height}`}
          width={width}
          height={height}
          font-family="system-ui, Segoe UI, Roboto, Noto Sans, DejaVu Sans, sans-serif"
          font-size="12"
          fill="none"
        >
          <title id={`${id}-svg-title`}>{title}</title>
          <desc id={`${id}-svg-desc`}>{desc}</desc>
          <clipPath id={`${id}-clip`}>
            <rect x={frame.left} y={frame.top} width={Math.max(0, frame.right - frame.left)} height={plot} />
          </clipPath>
          <Axes frame={frame} xLabel={x.label} yLabel={y.label} />
          {props.draw(frame)}
          <g transform={`translate(4 ${TOP + plot + FOOT + 12})`}>
            {rows.map((row, i) =>
              row.map(({ item, x: dx }) => (
                <g key={item.label} transform={`translate(${dx} ${i * LEGEND_ROW})`}>
                  <LegendMark item={item} />
                  <text x="28" dy="4" fill="var(--text-dim)">
                    {item.label}
                  </text>
                </g>
              )),
            )}
          </g>
          {seen === null ? null : (
            <g data-save="no">
              <line
                x1={frame.x(seen.value)}
                x2={frame.x(seen.value)}
                y1={frame.top}
                y2={frame.bottom}
                stroke="var(--text)"
                stroke-opacity="0.7"
              />
              {reading?.marks
                .filter((m) => m.y >= frame.top && m.y <= frame.bottom)
                .map((m) => (
                  <circle key={`${m.x} ${m.y}`} cx={m.x} cy={m.y} r="3.5" fill={m.colour} stroke="var(--panel)" />
                ))}
            </g>
          )}
        </svg>
        <div
          class="crosshair"
          role="slider"
          tabIndex={0}
          aria-label={`Crosshair: ${x.label}`}
          aria-orientation="horizontal"
          aria-valuemin={from}
          aria-valuemax={to}
          aria-valuenow={seen?.value ?? (from + to) / 2}
          aria-valuetext={reading?.words ?? "not shown; arrow keys show it"}
          style={{ left: `${left}px`, top: `${TOP}px`, width: `${Math.max(0, frame.right - frame.left)}px`, height: `${plot}px` }}
          onPointerMove={point}
          onPointerDown={point}
          onPointerLeave={() => setAt(null)}
          onKeyDown={key}
        />
      </div>
      <p class="reading" aria-hidden="true">
        {reading?.words ?? "Point at the drawing, or focus it and use the arrow keys."}
      </p>
    </div>
  );
}

function yTicks(y: Scale): number[] {
  const [bottom = 0, top = 0] = y.range();
  return y.ticks(Math.max(3, Math.floor((bottom - top) / 45)));
}

function Axes({ frame, xLabel, yLabel }: { frame: Frame; xLabel: string; yLabel: string }) {
  const { x, y, left, right, top, bottom } = frame;
  const across = x.ticks(Math.max(3, Math.floor((right - left) / 70)));
  const up = yTicks(y);
  return (
    <g>
      {across.map((v) => (
        <line key={v} x1={x(v)} x2={x(v)} y1={top} y2={bottom} stroke="var(--line)" />
      ))}
      {up.map((v) => (
        <line key={v} x1={left} x2={right} y1={y(v)} y2={y(v)} stroke="var(--line)" />
      ))}
      {across.map((v) => (
        <text key={v} x={x(v)} y={bottom + 16} text-anchor="middle" fill="var(--text-dim)">
          {tick(v)}
        </text>
      ))}
      {up.map((v) => (
        <text key={v} x={left - 6} y={y(v)} dy="4" text-anchor="end" fill="var(--text-dim)">
          {tick(v)}
        </text>
      ))}
      <text x={(left + right) / 2} y={bottom + 34} text-anchor="middle" fill="var(--text-dim)">
        {xLabel}
      </text>
      <text transform={`translate(12 ${(top + bottom) / 2}) rotate(-90)`} text-anchor="middle" fill="var(--text-dim)">
        {yLabel}
      </text>
      <path d={`M${left},${top}V${bottom}H${right}`} stroke="var(--line-strong)" />
    </g>
  );
}

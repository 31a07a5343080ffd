/** The drawing V(d): curves, band, observed velocity, roots, disagreements, known distances. */

import { area, line } from "d3-shape";
import type { Root, VelocityFrame } from "../api/types";
import { Chart, type Frame, type Reading } from "./Chart";
import { type Curve, type Disagreement, endOf, interpolate, type LengthUnit, lengthIn, velocityRange } from "./curves";
import { percent } from "./density";
import type { KnownPoint } from "./known";
import type { LegendItem } from "./Legend";
import { far, kms } from "./numbers";
import { FRAME_OF, rootAt, UNIT_WORDS } from "./sightlineWords";

/** How the fields beside the chosen one look: colour and dash both tell. */
export const OTHER_FIELDS = [
  { colour: "var(--field-2)", dash: "9 3" },
  { colour: "var(--field-3)", dash: "9 3 2 3" },
  { colour: "var(--field-4)", dash: "5 2 2 2 2 2" },
  { colour: "var(--text)", dash: "2 2" },
] as const;

export interface SightlineDrawing {
  /** The chosen field first. */
  curves: readonly Curve[];
  /** Where the drawing ends, h^-1 Mpc. */
  end: number;
  unit: LengthUnit;
  frame: VelocityFrame;
  observed: number | null;
  roots: readonly Root[];
  /** Trusted radius of the chosen field, h^-1 Mpc. */
  trusted: number | null;
  disagreements: ReadonlyMap<string, readonly Disagreement[]>;
  points: readonly KnownPoint[];
  title: string;
  desc: string;
  isOld: boolean;
  onSvg: (svg: SVGSVGElement | null) => void;
}

const POINTS_DRAWN = 3000;
const NEAR_PX = 10;

/** V(d) as a chart. */
export function SightlineChart(d: SightlineDrawing) {
  const [chosen, ...others] = d.curves;
  if (chosen === undefined) return null;
  const at = (r: number): number => lengthIn(d.unit, r, chosen.H0);
  const points = d.points.filter((p) => p.r <= d.end).slice(0, POINTS_DRAWN);
  const yDomain = velocityRange(d.curves, d.end, [d.observed ?? Number.NaN, ...points.map((p) => p.cz)]);
  const unit = UNIT_WORDS[d.unit];
  return (
    <Chart
      id="sightline"
      title={d.title}
      desc={d.desc}
      isOld={d.isOld}
      onSvg={d.onSvg}
      legend={legendOf(d, points)}
      x={{ domain: [0, at(d.end)], label: `comoving distance [${unit}]` }}
      y={{ domain: yDomain, label: `cz, ${FRAME_OF[d.frame]} [km/s]` }}
      readAt={(x, frame, pointer) => reading(d, points, x, frame, pointer)}
      draw={(frame) => {
        const path = (c: Curve, y: readonly number[]): string =>
          line<number>()
            .defined((i) => Number.isFinite(y[i]))
            .x((i) => frame.x(at(c.r[i] ?? 0)))
            .y((i) => frame.y(y[i] ?? 0))(c.r.map((_, i) => i)) ?? "";
        const band = (width: readonly number[]): string =>
          area<number>()
            .defined((i) => Number.isFinite(chosen.cz[i]))
            .x((i) => frame.x(at(chosen.r[i] ?? 0)))
            .y0((i) => frame.y((chosen.cz[i] ?? 0) - (width[i] || 0)))
            .y1((i) => frame.y((chosen.cz[i] ?? 0) + (width[i] || 0)))(chosen.r.map((_, i) => i)) ?? "";
        const beyond = d.trusted === null ? frame.right : frame.x(at(d.trusted));
        return (
          <>
            <g clip-path="url(#sightline-clip)">
              {beyond < frame.right ? (
                <g>
                  <rect
                    x={beyond}
                    y={frame.top}
                    width={frame.right - beyond}
                    height={frame.bottom - frame.top}
                    fill="var(--text-dim)"
                    fill-opacity="0.13"
                  />
                  <line
                    x1={beyond}
                    x2={beyond}
                    y1={frame.top}
                    y2={frame.bottom}
                    stroke="var(--text-dim)"
                    stroke-dasharray="1 4"
                  />
                </g>
              ) : null}
              <path d={band(chosen.total)} fill="var(--model)" fill-opacity="0.24" />
              {chosen.own === null ? null : <path d={band(chosen.own)} fill="var(--model)" fill-opacity="0.3" />}
              <path d={path(chosen, chosen.hubble)} stroke="var(--text-dim)" stroke-width="1.5" stroke-dasharray="5 4" />
              {others.map((c, i) => {
                const look = OTHER_FIELDS[i % OTHER_FIELDS.length];
                return (
                  <path key={c.field} d={path(c, c.cz)} stroke={look?.colour} stroke-width="1.75" stroke-dasharray={look?.dash} />
                );
              })}
              <path d={path(chosen, chosen.cz)} stroke="var(--model)" stroke-width="2.25" stroke-linejoin="round" />
              {others.map((c, i) =>
                d.disagreements
                  .get(c.field)
                  ?.map((x) => (
                    <rect
                      key={`${c.field} ${x.from}`}
                      x={frame.x(at(x.from))}
                      width={Math.max(2, frame.x(at(x.to)) - frame.x(at(x.from)))}
                      y={frame.bottom - 5 - 6 * i}
                      height="4"
                      fill={OTHER_FIELDS[i % OTHER_FIELDS.length]?.colour}
                      data-disagreement={c.field}
                    />
                  )),
              )}
              <Known points={points} frame={frame} at={at} />
              {d.observed === null ? null : (
                <line
                  x1={frame.left}
                  x2={frame.right}
                  y1={frame.y(d.observed)}
                  y2={frame.y(d.observed)}
                  stroke="var(--accent)"
                  stroke-width="1.5"
                  stroke-dasharray="2 3"
                />
              )}
            </g>
            {d.observed === null ? null : (
              <Observed cz={d.observed} xs={d.roots.map((r) => frame.x(rootAt(r, d.unit)))} frame={frame} />
            )}
            {d.observed === null ? null : <Roots roots={d.roots} cz={d.observed} unit={d.unit} frame={frame} />}
          </>
        );
      }}
    />
  );
}

const HALO = { stroke: "var(--panel)", "stroke-width": "3", "paint-order": "stroke", "stroke-linejoin": "round" } as const;

/** The value beside its line, at an end where no root is labelled; the legend has it in any case. */
function Observed({ cz, xs, frame }: { cz: number; xs: readonly number[]; frame: Frame }) {
  const y = frame.y(cz);
  const words = `cz = ${kms(cz)} km/s`;
  const needs = 7 * words.length + 30;
  const isLeft = Math.min(frame.right, ...xs) - frame.left >= needs;
  if (!isLeft && frame.right - Math.max(frame.left, ...xs) < needs) return null;
  return (
    <text
      x={isLeft ? frame.left + 6 : frame.right - 6}
      y={y - frame.top < 22 ? y + 15 : y - 7}
      text-anchor={isLeft ? "start" : "end"}
      fill="var(--text)"
      {...HALO}
    >
      {words}
    </text>
  );
}

/** Dots on the observed line, larger with weight, dropped to the axis; labels change sides when they would touch. */
function Roots({ roots, cz, unit, frame }: { roots: readonly Root[]; cz: number; unit: LengthUnit; frame: Frame }) {
  const y = frame.y(cz);
  const lastX: number[] = [-1e9, -1e9];
  return (
    <g>
      {roots.map((root) => {
        const x = frame.x(rootAt(root, unit));
        const words = roots.length > 1 ? percent(root.weight) : `${far(rootAt(root, unit))} ${UNIT_WORDS[unit]}`;
        const wide = 7 * words.length + 6;
        const side = x - (lastX[0] ?? 0) >= wide || x - (lastX[1] ?? 0) < wide ? 0 : 1;
        lastX[side] = x;
        return (
          <g key={root.r_hmpc} data-root={root.weight}>
            <line x1={x} x2={x} y1={y} y2={frame.bottom} stroke="var(--accent)" stroke-opacity="0.7" stroke-dasharray="1 3" />
            <circle
              cx={x}
              cy={y}
              r={3.5 + 3 * Math.sqrt(Math.max(0, root.weight))}
              fill="var(--accent)"
              stroke="var(--panel)"
              stroke-width="1.5"
            />
            <text
              x={Math.min(x, frame.right - wide / 2)}
              y={side === 0 ? y - 12 : y + 22}
              text-anchor="middle"
              fill="var(--text)"
              font-weight="600"
              {...HALO}
            >
              {words}
            </text>
          </g>
        );
      })}
    </g>
  );
}

function Known({ points, frame, at }: { points: readonly KnownPoint[]; frame: Frame; at: (r: number) => number }) {
  return (
    <g stroke="var(--text)" stroke-opacity="0.85">
      {points.map((p, i) => {
        const [x, y] = [frame.x(at(p.r)), frame.y(p.cz)];
        return (
          <g key={i}>
            {p.high > p.low ? <line x1={frame.x(at(p.low))} x2={frame.x(at(p.high))} y1={y} y2={y} stroke-opacity="0.5" /> : null}
            {p.isAsked ? (
              <rect x={x - 4} y={y - 4} width="8" height="8" fill="var(--panel)" stroke="var(--accent)" stroke-width="2" data-asked />
            ) : (
              <rect x={x - 3} y={y - 3} width="6" height="6" fill="var(--panel)" stroke-width="1.25" />
            )}
          </g>
        );
      })}
    </g>
  );
}

function legendOf(d: SightlineDrawing, points: readonly KnownPoint[]): LegendItem[] {
  const [chosen, ...others] = d.curves;
  if (chosen === undefined) return [];
  const spread = chosen.total.some((x) => x > chosen.sigmaV + 0.5);
  return [
    { label: chosen.field, kind: "line", colour: "var(--model)" },
    {
      label: `± σ_v ${kms(chosen.sigmaV)} km/s${spread ? " and the field's error" : ""}`,
      kind: "band",
      colour: "var(--model)",
      opacity: 0.24,
    },
    ...(chosen.own === null
      ? []
      : [{ label: "error of the field", kind: "band" as const, colour: "var(--model)", opacity: 0.5 }]),
    { label: "pure Hubble flow", kind: "line", colour: "var(--text-dim)", dash: "5 4" },
    ...others.map((c, i): LegendItem => {
      const look = OTHER_FIELDS[i % OTHER_FIELDS.length] ?? OTHER_FIELDS[0];
      return { label: c.field, kind: "line", ...look };
    }),
    ...(d.observed === null
      ? []
      : [{ label: `observed cz ${kms(d.observed)} km/s`, kind: "line" as const, colour: "var(--accent)", dash: "2 3" }]),
    ...(d.roots.length === 0
      ? []
      : [{ label: d.roots.length > 1 ? "roots, weight" : "root", kind: "dot" as const, colour: "var(--accent)" }]),
    ...(d.trusted !== null && d.trusted < d.end
      ? [{ label: "beyond trusted radius", kind: "band" as const, colour: "var(--text-dim)", opacity: 0.25 }]
      : []),
    ...([...d.disagreements.values()].some((x) => x.length > 0)
      ? [{ label: "fields disagree", kind: "band" as const, colour: "var(--field-2)" }]
      : []),
    ...(points.some((p) => !p.isAsked) ? [{ label: "known distance", kind: "square" as const, colour: "var(--text)" }] : []),
    ...(points.some((p) => p.isAsked)
      ? [{ label: "known distance of the galaxy asked", kind: "square" as const, colour: "var(--accent)" }]
      : []),
  ];
}

function reading(
  d: SightlineDrawing,
  points: readonly KnownPoint[],
  x: number,
  frame: Frame,
  pointer: { x: number; y: number } | null,
): Reading {
  const [chosen] = d.curves;
  if (chosen === undefined) return { words: "", marks: [] };
  const at = (r: number): number => lengthIn(d.unit, r, chosen.H0);
  const near =
    pointer === null
      ? undefined
      : points
          .map((p) => ({ p, px: Math.hypot(frame.x(at(p.r)) - pointer.x, frame.y(p.cz) - pointer.y) }))
          .sort((a, b) => a.px - b.px)
          .find(({ px }) => px < NEAR_PX)?.p;
  if (near !== undefined) {
    const error = near.high > near.low ? ` (${far(at(near.low))} to ${far(at(near.high))})` : "";
    return {
      words:
        `${near.name}: ${far(at(near.r))}${error} ${UNIT_WORDS[d.unit]}, cz ${kms(near.cz)} km/s, ` +
        `${near.apart.toFixed(1)}° from the line of sight`,
      marks: [{ x: frame.x(at(near.r)), y: frame.y(near.cz), colour: "var(--text)" }],
    };
  }
  const r = x / at(1);
  const values = d.curves.map((c, i) => ({
    field: c.field,
    cz: interpolate(c.r, c.cz, r),
    total: interpolate(c.r, c.total, r),
    colour: i === 0 ? "var(--model)" : (OTHER_FIELDS[(i - 1) % OTHER_FIELDS.length]?.colour ?? "var(--text)"),
  }));
  const hubble = interpolate(chosen.r, chosen.hubble, r);
  const words = values.map((v) =>
    Number.isFinite(v.cz)
      ? `${v.field} ${kms(v.cz)} ± ${kms(v.total)}`
      : `${v.field} ends at ${far(at(endOf(d.curves.find((c) => c.field === v.field) ?? chosen)))} ${UNIT_WORDS[d.unit]}`,
  );
  return {
    words: `${far(x)} ${UNIT_WORDS[d.unit]}: ${words.join(", ")}, Hubble flow ${kms(hubble)} km/s`,
    marks: [
      ...values.filter((v) => Number.isFinite(v.cz)).map((v) => ({ x: frame.x(x), y: frame.y(v.cz), colour: v.colour })),
      { x: frame.x(x), y: frame.y(hubble), colour: "var(--text-dim)" },
    ],
  };
}

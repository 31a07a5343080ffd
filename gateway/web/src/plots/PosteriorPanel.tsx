/** The distribution of the distance in one of four variables: shaded, marked, saved. */

import { area, curveLinear, curveCatmullRom, line } from "d3-shape";
import { useRef } from "preact/hooks";
import type { Flow, FlowType, Grid } from "../api/types";
import { flowUrl } from "../api/urls";
import { FLOW_ORDER } from "../card/words";
import { answer, sightlines } from "../state/answers";
import { ask, hasVelocity, isAsked, question } from "../state/question";
import { CopyMenu } from "../ui/CopyMenu";
import { Panel } from "../ui/Panel";
import { fileName, saveCsv } from "../ui/save";
import { Chart, type Frame } from "./Chart";
import { answerTheSame, interpolate } from "./curves";
import { type Density, densityOf, densityWindow, densityWords, part, percent, rootIn, VARIABLES } from "./density";
import type { LegendItem } from "./Legend";
import { far, kms, three } from "./numbers";
import { SaveButtons } from "./SaveButtons";
import { OTHER_FIELDS } from "./SightlineChart";
import { provenanceNotes } from "./sightlineWords";

const SHORT: Record<FlowType, string> = {
  distance: "Distance",
  luminosity: "Luminosity",
  comoving: "Comoving",
  hubble: "Hubble",
};

/** The panel p(x | cz, field). */
export function PosteriorPanel() {
  const q = question.value;
  const { data: flow, error, isLoading } = answer.value;
  const field = flow?.field.id ?? q.field;
  const copy =
    flow === null || field === null ? undefined : (
      <CopyMenu of="this distribution" cite={[field]} urls={[flowUrl(q, field, q.flow)]} />
    );
  return (
    <Panel id="posterior" title="Distance probability" note="p(d | cz, field)" tools={copy}>
      <div class="plot-choices">
        <div class="segments" role="group" aria-label="Which distance">
          {FLOW_ORDER.map((f) => (
            <button key={f} type="button" aria-pressed={q.flow === f} onClick={() => ask({ flow: f })}>
              {SHORT[f]}
            </button>
          ))}
        </div>
      </div>
      {flow?.grid === undefined || flow.status !== "ok" ? (
        <p class={isAsked(q) ? "plot-empty" : "plot-empty idle"}>{emptyWords(flow, isLoading, error !== null)}</p>
      ) : (
        <Drawn flow={flow} grid={flow.grid} isOld={isLoading} />
      )}
    </Panel>
  );
}

function emptyWords(flow: Flow | null, isLoading: boolean, isRefused: boolean): string {
  // why stands beside the inputs or on the card, and is read aloud there
  if (isRefused) return "Nothing to draw.";
  if (isLoading) return "Asking …";
  if (flow !== null && flow.status !== "ok") return flow.detail ?? "No distance of this field fits the velocity.";
  if (isAsked(question.value) && !hasVelocity(question.value))
    return "A place without a velocity has a line of sight, but no distance: give cz.";
  return "Ask for a galaxy: here stands how probable each distance is.";
}

function Drawn({ flow, grid, isOld }: { flow: Flow; grid: Grid; isOld: boolean }) {
  const svg = useRef<SVGSVGElement | null>(null);
  const of = grid.flow_type;
  const s = flow[of];
  const { unit, name: variable } = VARIABLES[of];
  const number = of === "hubble" ? kms : far;
  const roots = flow.roots.map((r) => ({ x: rootIn(of, r, flow.cz.hel), weight: r.weight }));
  const others = besides(flow, of);
  const window = densityWindow(grid, [s.p2_5, s.p97_5, s.mode, ...roots.filter((r) => r.weight > 0.005).map((r) => r.x)]);
  const peak = Math.max(...[grid, ...others].map((d) => Math.max(0, ...d.pdf)));
  const words = densityWords(flow, of, number);
  const object = flow.name ?? `${flow.position.icrs.lon.toFixed(3)} ${flow.position.icrs.lat.toFixed(3)}`;
  return (
    <>
      <Chart
        id="posterior"
        title={`${variable} of ${object}, probability density`}
        desc={words}
        isOld={isOld}
        onSvg={(e) => (svg.current = e)}
        x={{ domain: window, label: `${variable} [${unit}]` }}
        y={{ domain: [0, 1.12 * peak || 1], label: `density [per ${unit}]` }}
        legend={legendOf(flow, others)}
        readAt={(x, frame) => readDensity(x, frame, grid, others, (v) => `${number(v)} ${unit}`, unit)}
        draw={(frame) => (
          <>
            <g clip-path="url(#posterior-clip)">
              <path d={outline(part(grid, s.p2_5, s.p97_5), frame)} fill="var(--accent)" fill-opacity="0.2" />
              <path d={outline(part(grid, s.p16, s.p84), frame)} fill="var(--accent)" fill-opacity="0.28" />
              {others.map((d, i) => (
                <path
                  key={d.field}
                  d={curve(d, frame, true)}
                  stroke={OTHER_FIELDS[i % OTHER_FIELDS.length]?.colour}
                  stroke-width="1.5"
                  stroke-dasharray={OTHER_FIELDS[i % OTHER_FIELDS.length]?.dash}
                />
              ))}
              <path d={curve(grid, frame)} stroke="var(--accent)" stroke-width="2" stroke-linejoin="round" />
              <Upright at={s.median} density={grid} frame={frame} dash={undefined} />
              <Upright at={s.mode} density={grid} frame={frame} dash="3 3" />
            </g>
            <RootTicks roots={roots} frame={frame} />
          </>
        )}
      />
      <p class="plot-words">
        Median {number(s.median)} {unit}{" "}
        <span class="dim">
          (−{number(less(s.median, s.p16))} +{number(less(s.p84, s.median))}, 68 %)
        </span>
      </p>
      <SaveButtons
        of="this distribution"
        name={fileName(object, of, flow.field.id)}
        svg={() => svg.current}
        onCsv={() => saveDensity(object, flow, grid)}
      />
    </>
  );
}

const less = (a: number | null, b: number | null): number | null => (a === null || b === null ? null : a - b);

/** The other fields' densities; only those that answer the same question. */
function besides(flow: Flow, of: FlowType): (Density & { field: string })[] {
  return [...sightlines.value].slice(1).flatMap(([field, { data }]) => {
    if (data === null || !answerTheSame(flow, data)) return [];
    const density = densityOf(data, of, flow.cz.hel);
    return density === null ? [] : [{ ...density, field }];
  });
}

/** `isCoarse`: columns of a whole line of sight have few points in a narrow peak; a curve through them is nearer than chords. */
function curve({ x, pdf }: Density, frame: Frame, isCoarse = false): string {
  return (
    line<number>(
      (v) => frame.x(v),
      (_, i) => frame.y(pdf[i] ?? 0),
    ).curve(isCoarse ? curveCatmullRom : curveLinear)(x) ?? ""
  );
}

function outline(points: [number, number][], frame: Frame): string {
  return (
    area<[number, number]>(
      (p) => frame.x(p[0]),
      frame.bottom,
      (p) => frame.y(p[1]),
    )(points) ?? ""
  );
}

function Upright({ at, density, frame, dash }: { at: number | null; density: Density; frame: Frame; dash: string | undefined }) {
  if (at === null) return null;
  const top = frame.y(interpolate(density.x, density.pdf, at) || 0);
  return (
    <line
      x1={frame.x(at)}
      x2={frame.x(at)}
      y1={frame.bottom}
      y2={top}
      stroke="var(--text)"
      stroke-width="1.5"
      stroke-dasharray={dash}
    />
  );
}

/** Roots as triangles on the axis, each with its weight when there are several. */
function RootTicks({ roots, frame }: { roots: readonly { x: number; weight: number }[]; frame: Frame }) {
  let last = -1e9;
  return (
    <g>
      {roots.map(({ x, weight }) => {
        const px = frame.x(x);
        const isClose = px - last < 36;
        last = isClose ? -1e9 : px;
        return (
          <g key={x} data-root={weight}>
            <path d={`M${px - 5},${frame.bottom}h10l-5,-9Z`} fill="var(--model)" stroke="var(--panel)" />
            {roots.length > 1 ? (
              <text
                x={px}
                y={frame.bottom - (isClose ? 26 : 13)}
                text-anchor="middle"
                fill="var(--text)"
                font-weight="600"
                stroke="var(--panel)"
                stroke-width="3"
                paint-order="stroke"
              >
                {percent(weight)}
              </text>
            ) : null}
          </g>
        );
      })}
    </g>
  );
}

function legendOf(flow: Flow, others: readonly { field: string }[]): LegendItem[] {
  return [
    { label: flow.field.id, kind: "line", colour: "var(--accent)" },
    { label: "68 %", kind: "band", colour: "var(--accent)", opacity: 0.44 },
    { label: "95 %", kind: "band", colour: "var(--accent)", opacity: 0.2 },
    { label: "median", kind: "line", colour: "var(--text)" },
    { label: "mode", kind: "line", colour: "var(--text)", dash: "3 3" },
    ...(flow.roots.length === 0
      ? []
      : [{ label: flow.roots.length > 1 ? "roots, weight" : "root", kind: "tick" as const, colour: "var(--model)" }]),
    ...others.map(({ field }, i): LegendItem => ({
      label: field,
      kind: "line",
      ...(OTHER_FIELDS[i % OTHER_FIELDS.length] ?? OTHER_FIELDS[0]),
    })),
  ];
}

function readDensity(
  x: number,
  frame: Frame,
  grid: Density,
  others: readonly (Density & { field: string })[],
  words: (x: number) => string,
  unit: string,
) {
  const y = interpolate(grid.x, grid.pdf, x);
  const beside = others.map((o, i) => ({
    field: o.field,
    y: interpolate(o.x, o.pdf, x),
    colour: OTHER_FIELDS[i % OTHER_FIELDS.length]?.colour ?? "var(--text)",
  }));
  const densities = [three(y || 0), ...beside.map((b) => `${b.field} ${three(b.y || 0)}`)];
  return {
    words: `${words(x)}: ${densities.join(", ")} per ${unit}; ${percent(below(grid, x))} of the probability lies below`,
    marks: [{ y, colour: "var(--accent)" }, ...beside]
      .filter((m) => Number.isFinite(m.y))
      .map((m) => ({ x: frame.x(x), y: frame.y(m.y), colour: m.colour })),
  };
}

/** Probability below a value, by trapezoids as the service integrates. */
function below({ x, pdf }: Density, at: number): number {
  let sum = 0;
  for (let i = 1; i < x.length && (x[i - 1] ?? at) < at; i += 1) {
    const [a = 0, b = 0, ya = 0] = [x[i - 1], x[i], pdf[i - 1]];
    const to = Math.min(b, at);
    sum += ((to - a) * (ya + interpolate(x, pdf, to))) / 2;
  }
  return Math.min(1, sum);
}

function saveDensity(object: string, flow: Flow, grid: Grid): void {
  const s = flow[grid.flow_type];
  saveCsv(`${fileName(object, grid.flow_type, flow.field.id)}.csv`, { [grid.flow_type]: grid.x, pdf: grid.pdf }, [
    "probability density of the distance, given position, observed velocity and field",
    ...provenanceNotes(flow),
    `units: ${grid.flow_type} [${grid.unit}], pdf [1/(${grid.unit})]; integral 1`,
    `cz: ${Object.entries(flow.cz)
      .map(([f, v]) => `${f} ${v}`)
      .join(", ")} km/s`,
    `mean ${s.mean}, std ${s.std}, mode ${s.mode}, median ${s.median} ${s.unit}`,
    `p2.5 ${s.p2_5}, p16 ${s.p16}, p84 ${s.p84}, p97.5 ${s.p97_5} ${s.unit}`,
    ...flow.roots.map((r) => `root: ${rootIn(grid.flow_type, r, flow.cz.hel)} ${grid.unit}, weight ${r.weight}`),
  ]);
}

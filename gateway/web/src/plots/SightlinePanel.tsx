/** Velocity along the line of sight: chooses what is drawn, says what it means, saves it. */

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Flow, Sightline } from "../api/types";
import { flowUrl, sightlineUrl } from "../api/urls";
import { toVector } from "../field/frames";
import { answer, detail, sightlines } from "../state/answers";
import { fieldRecord, fields } from "../state/fields";
import { ask, COMPARE_MAX, hasVelocity, isAsked, question, subject } from "../state/question";
import { returns } from "../state/server";
import { CopyMenu } from "../ui/CopyMenu";
import { Refusal } from "../ui/Notice";
import { Panel } from "../ui/Panel";
import { fileName, saveCsv } from "../ui/save";
import { answerTheSame, curveOf, disagreements, endOf, farEnd, type LengthUnit } from "./curves";
import { fromCatalogue, type KnownTable, pointsInCone } from "./known";
import { CONE_DEG, KnownBox } from "./KnownBox";
import { isMeasuredShown, loadMeasured, measured, measuredIn } from "./measured";
import { far } from "./numbers";
import { SaveButtons } from "./SaveButtons";
import { SightlineChart } from "./SightlineChart";
import { disagreementWords, provenanceNotes, rootAt, sightlineWords, UNIT_WORDS } from "./sightlineWords";

const unit = signal<LengthUnit>("mpc");
const isWhole = signal(false);
const cone = signal(CONE_DEG);
const table = signal<{ name: string; read: KnownTable } | null>(null);

/** The panel V(d). */
export function SightlinePanel() {
  const q = question.value;
  const [first, ...rest] = sightlines.value.entries();
  const chosen = first?.[1].data ?? null;
  const about = subject(q);
  const last = useRef<{ about: string; lines: readonly Sightline[] }>({ about, lines: [] });
  if (chosen !== null) last.current = { about, lines: [chosen, ...rest.flatMap(([, l]) => (l.data === null ? [] : [l.data]))] };
  // another field has no old line of its own: the old field's stays until the new one is here, but not under another name
  else if (first?.[1].isLoading !== true || last.current.about !== about) last.current = { about, lines: [] };
  const shown = last.current.lines;
  const isOld = first?.[1].isLoading === true || answer.value.isLoading;
  const refused = [...sightlines.value].filter(([, l]) => l.error !== null);
  const cz = chosen?.cz_observed ?? null;
  const ids = [...sightlines.value.keys()];
  const copy =
    chosen === null ? undefined : (
      <CopyMenu
        of="this line of sight"
        cite={ids}
        urls={[...ids.map((id) => sightlineUrl(q, id, cz)), ...(hasVelocity(q) ? [flowUrl(q, ids[0] ?? "", q.flow)] : [])]}
      />
    );
  return (
    <Panel id="sightline" title="Velocity along this line of sight" note="V(d)" tools={copy}>
      {refused.map(([id, l]) => (l.error === null ? null : <Refusal key={id} error={l.error} />))}
      {shown.length === 0 ? (
        <p class={isAsked(q) ? "plot-empty" : "plot-empty idle"}>
          {refused.length > 0 || answer.value.error !== null
            ? "Nothing to draw."
            : isAsked(q)
              ? "Asking …"
              : "Ask for a galaxy or a place: here stands which velocity the model gives at each distance."}
        </p>
      ) : (
        <Drawn lines={shown} found={answer.value.data} isOld={isOld} />
      )}
    </Panel>
  );
}

function Drawn({ lines, found, isOld }: { lines: readonly Sightline[]; found: Flow | null; isOld: boolean }) {
  const svg = useRef<SVGSVGElement | null>(null);
  const [chosen] = lines;
  // distances arrive before their line: until then the old line keeps the old ones
  const kept = useRef<{ line: Sightline; flow: Flow } | null>(null);
  if (chosen !== undefined && found !== null && belong(found, chosen)) kept.current = { line: chosen, flow: found };
  const flow = kept.current !== null && kept.current.line === chosen ? kept.current.flow : null;
  const curves = useMemo(() => lines.map(curveOf), [...lines]);
  const [curve, ...others] = curves;
  const icrs = chosen?.position.icrs;
  const frame = chosen?.cz_frame ?? "hel";
  const H0 = curve?.H0 ?? 75;
  const catalogued = useMemo(() => {
    const d = detail.value.data;
    return d === null
      ? []
      : fromCatalogue(d.name, d.distances, toVector(d.position.icrs.lon, d.position.icrs.lat), d.cz_helio);
  }, [detail.value.data]);
  const around = measured.value.data;
  const neighbours = useMemo(
    () => (around === null ? [] : measuredIn(around, detail.value.data?.canonical ?? null)),
    [around, detail.value.data],
  );
  const epoch = returns.value;
  useEffect(
    () => loadMeasured(icrs ?? null, cone.value, epoch),
    [isMeasuredShown.value, icrs?.lon, icrs?.lat, cone.value, epoch],
  );
  const [byCatalogue = [], byTable = [], byCone = []] = useMemo(
    () =>
      icrs === undefined
        ? []
        : [catalogued, table.value?.read.objects ?? [], neighbours].map((known) =>
            pointsInCone(known, toVector(icrs.lon, icrs.lat), cone.value, frame, H0),
          ),
    [catalogued, table.value, neighbours, cone.value, frame, H0, icrs?.lon, icrs?.lat],
  );
  if (chosen === undefined || curve === undefined || icrs === undefined) return null;
  const end = isWhole.value
    ? Math.max(...curves.map(endOf))
    : farEnd(curve, flow === null ? null : { roots: flow.roots, p97_5: flow.comoving.p97_5 });
  // the asked galaxy comes last: it is drawn over the others
  const points = [...byTable, ...byCone, ...byCatalogue.map((p) => ({ ...p, isAsked: true }))];
  const differences = new Map(others.map((c) => [c.field, disagreements(curve, c, end)]));
  const observed = chosen.cz_observed;
  const trusted = fieldRecord(curve.field)?.trusted_hmpc ?? null;
  const words = sightlineWords({ curve, end, unit: unit.value, frame, observed, flow, points, trusted });
  const differ = [...differences].map(([id, found]) => disagreementWords(curve.field, id, found, unit.value, H0));
  const name = chosen.name ?? `${icrs.lon.toFixed(3)} ${icrs.lat.toFixed(3)}`;
  return (
    <>
      <div class="plot-choices">
        <div class="segments" role="group" aria-label="Unit of distance">
          {(["mpc", "hmpc"] as const).map((u) => (
            <button key={u} type="button" aria-pressed={unit.value === u} onClick={() => (unit.value = u)}>
              {UNIT_WORDS[u]}
            </button>
          ))}
        </div>
        <Beside chosen={curve.field} />
        <button
          type="button"
          class="aside"
          disabled={flow === null}
          aria-pressed={isWhole.value}
          onClick={() => (isWhole.value = !isWhole.value)}
        >
          Whole line
        </button>
      </div>
      <SightlineChart
        curves={curves}
        end={end}
        unit={unit.value}
        frame={frame}
        observed={observed}
        roots={flow?.roots ?? []}
        trusted={trusted}
        disagreements={differences}
        points={points}
        title={`Velocity along the line of sight of ${name}`}
        desc={[words, ...differ].join(" ")}
        isOld={isOld}
        onSvg={(element) => (svg.current = element)}
      />
      {differ.map((sentence) => (
        <p key={sentence} class="plot-words">
          {sentence}
        </p>
      ))}
      {observed !== null && flow !== null && !isOld && flow.roots.length !== 1 ? (
        <p class="plot-words">
          {flow.roots.length === 0
            ? "No distance on this line shows exactly the observed velocity; the distribution below still holds."
            : `The observed velocity is met at ${flow.roots.length} distances (${flow.roots
                .map((r) => far(rootAt(r, unit.value)))
                .join(", ")} ${UNIT_WORDS[unit.value]}): use the distribution, not one number.`}
        </p>
      ) : null}
      <SaveButtons
        of="this plot"
        name={fileName(name, "sightline", curve.field)}
        svg={() => svg.current}
        onCsv={() => saveLines(fileName(name, "sightline"), lines, flow)}
      />
      <KnownBox
        table={table.value}
        cone={cone.value}
        within={byTable.length}
        catalogued={byCatalogue.length}
        onTable={(t) => (table.value = t)}
        onCone={(degrees) => (cone.value = degrees)}
      />
    </>
  );
}

/** Which other fields are drawn as well. */
function Beside({ chosen }: { chosen: string }) {
  const others = (fields.value.data?.fields ?? []).filter((f) => f.id !== chosen);
  if (others.length === 0) return null;
  const { compare } = question.value;
  return (
    <div class="segments" role="group" aria-label="Fields beside it">
      {others.map(({ id, title }) => {
        const isOn = compare.includes(id);
        return (
          <button
            key={id}
            type="button"
            aria-pressed={isOn}
            title={title}
            disabled={!isOn && compare.length >= COMPARE_MAX}
            onClick={() => ask({ compare: isOn ? compare.filter((other) => other !== id) : [...compare, id] })}
          >
            {isOn ? "−" : "+"} {id}
          </button>
        );
      })}
    </div>
  );
}

/** True when these distances are those of this line: the same question of the same field. */
function belong(flow: Flow, line: Sightline): boolean {
  return (
    flow.field.version === line.field.version &&
    flow.field.id === line.field.id &&
    flow.sigma_v === line.sigma_v &&
    answerTheSame(flow, line)
  );
}

const KEPT = ["r_hmpc", "d_mpc", "cz_hubble", "cz", "v_rad", "v_rad_std", "delta", "sigma", "inside", "p"] as const;

function saveLines(name: string, lines: readonly Sightline[], flow: Flow | null): void {
  const [chosen] = lines;
  if (chosen === undefined) return;
  const columns: Record<string, (number | string | null)[]> = {
    field: lines.flatMap((s) => s.columns.r_hmpc.map(() => s.field.id)),
  };
  for (const key of KEPT) {
    if (lines.some((s) => s.columns[key]?.some((v) => v !== null)))
      columns[key] = lines.flatMap((s) => s.columns[key] ?? s.columns.r_hmpc.map(() => null));
  }
  saveCsv(`${name}.csv`, columns, [
    "velocity along a line of sight",
    ...lines.flatMap(provenanceNotes),
    `units: ${Object.entries(chosen.unit)
      .map(([k, u]) => `${k} [${u || "1"}]`)
      .join(", ")}`,
    `cz: ${chosen.cz_frame} frame${chosen.cz_observed === null ? "" : `; observed cz ${chosen.cz_observed} km/s`}`,
    ...(flow?.roots ?? []).map((r) => `root: r ${r.r_hmpc} h^-1 Mpc, D ${r.d_mpc} Mpc, weight ${r.weight}`),
  ]);
}

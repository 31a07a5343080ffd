/** The sky: radial velocity or density on a shell around us; pointing reads it, a click asks that direction. */

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { SkyFrame } from "../api/types";
import { sightlineUrl } from "../api/urls";
import { colourLimit, hasKind, type ShellKind, shellGrid, shellValue, summarise } from "../field/shell";
import { answer, sightlines } from "../state/answers";
import { chosenField } from "../state/fields";
import { askPlace, isAsked, question } from "../state/question";
import { theme } from "../state/theme";
import { tile, wantTile } from "../state/tile";
import { show, view } from "../state/view";
import { announce } from "../ui/announce";
import { CopyMenu } from "../ui/CopyMenu";
import { Refusal } from "../ui/Notice";
import { Panel } from "../ui/Panel";
import { gradient } from "./colours";
import type { Look, Mark } from "./draw";
import { convert, toVector } from "../field/frames";
import { savePicture, saveShell } from "./save";
import { SkyMap } from "./SkyMap";
import { placeWords, scaleWords, SKY_FRAMES, summaryWords, valueWords } from "./words";
import "./sky.css";

/** A place with a name that everybody knows: supergalactic degrees and distance in h^-1 Mpc. */
export interface Known {
  name: string;
  sgl: number;
  sgb: number;
  r_hmpc: number;
}

const NONE: readonly Known[] = [];
/** How the sky is turned, degrees in `frame`; kept while the page is open, for it is no part of what is asked. */
const turned = signal<{ frame: SkyFrame; centre: readonly [number, number] }>({ frame: "supergalactic", centre: [0, 0] });
/** The map of a sky that nobody scrolled to may wait so long. */
const UNSEEN_MS = 2500;
/** A structure is named on shells between these parts of its distance. */
const NEAR = [0.6, 1.6] as const;

/** The panel; `structures` are named where they fit. */
export function SkyPanel({ structures = NONE }: { structures?: readonly Known[] }) {
  const root = useRef<HTMLDivElement>(null);
  const [draft, setDraft] = useState<number | null>(null);
  const [pointed, setPointed] = useState<{ place: readonly [number, number]; byKey: boolean } | null>(null);
  const [isSeen, setSeen] = useState(false);
  const shown = isSeen ? tile.value.data : null;
  const { frame, centre } = turned.value;
  const { projection, sky } = view.value;
  const kind: ShellKind = shown !== null && !hasKind(shown, sky) ? "velocity" : sky;
  const reach = shown === null ? null : Math.floor(shown.half);
  const r = Math.min(draft ?? view.value.shell, reach ?? Number.POSITIVE_INFINITY);

  useEffect(() => whenSeen(root.current, () => {
    wantTile();
    setSeen(true);
  }), []);
  const limit = useMemo(() => (shown === null ? 1 : colourLimit(shown, kind)), [shown, kind]);
  const marks = useMemo(() => [...chosen(), ...structures
    .filter((s) => r > s.r_hmpc * NEAR[0] && r < s.r_hmpc * NEAR[1])
    .map((s): Mark => ({ name: s.name, direction: toVector(s.sgl, s.sgb), kind: "structure" }))],
  [question.value, answer.value, sightlines.value, structures, r]);
  const cursor = pointed?.byKey ? pointed.place : null;
  const look = useMemo<Look>(
    () => ({ tile: shown, kind, r, limit, projection, frame, centre, theme: theme.value, marks, cursor }),
    [shown, kind, r, limit, projection, frame, centre, theme.value, marks, cursor],
  );
  const said = useMemo(
    () => (shown === null || draft !== null ? "" : summaryWords(summarise(shellGrid(shown, kind, r, 5)), kind, r, shown.header.field.id)),
    [shown, kind, r, draft],
  );

  const read = (place: readonly [number, number]): string =>
    shown === null ? "" : valueWords(shellValue(shown, kind, r, toVector(...convert(...place, frame, "supergalactic"))), kind);
  const ask = (place: readonly [number, number]): void => {
    const [sgl, sgb] = convert(...place, frame, "supergalactic");
    const rounded: [number, number] = [Number(sgl.toFixed(1)) % 360, Number(sgb.toFixed(1)) + 0];
    askPlace(...rounded, "supergalactic");
    announce(`Asked: ${placeWords(rounded, "supergalactic")}`);
  };
  const changeFrame = (to: SkyFrame): void => {
    const [lon, lat] = convert(...centre, frame, to);
    // a map as it begins stays one with the origin of the new frame in its middle
    const isTurned = centre[0] !== 0 || centre[1] !== 0;
    turned.value = { frame: to, centre: isTurned ? [lon, projection === "mollweide" ? 0 : lat] : [0, 0] };
    setPointed(null);
  };
  const changeProjection = (to: Look["projection"]): void => {
    show({ projection: to });
    if (to === "mollweide") turned.value = { frame, centre: [centre[0], 0] };
    setPointed(null);
  };
  const trusted = shown?.header.trusted_hmpc ?? null;
  const field = chosenField.value;
  return (
    <Panel
      id="sky"
      title="Sky"
      note={`${SKY_FRAMES[frame].title}, ${kind === "velocity" ? "radial velocity (CMB frame)" : "density contrast δ"}`}
      tools={
        <>
          {isAsked(question.value) && field !== null
            ? <CopyMenu urls={[sightlineUrl(question.value, field.id, question.value.cz, question.value.givenFrame)]} cite={[field.id]} of="this line of sight" />
            : null}
          <button type="button" disabled={shown === null} onClick={() => void savePicture(look, root.current!).catch(() => announce("The browser could not make the PNG"))}>PNG</button>
          <button type="button" disabled={shown === null} onClick={() => saveShell(look)}>CSV</button>
        </>
      }
    >
      <div class="sky-choices" ref={root}>
        <label class="sky-shell">
          Shell
          <input
            type="range" min={1} max={reach ?? 100} step={1} value={r} disabled={shown === null}
            aria-valuetext={`${r} h⁻¹ Mpc`}
            onInput={(e) => setDraft(e.currentTarget.valueAsNumber)}
            onChange={(e) => {
              show({ shell: e.currentTarget.valueAsNumber });
              setDraft(null);
            }}
          />
          <output>{r} h⁻¹ Mpc</output>
        </label>
        <Choice label="Show" value={kind} onChoose={(sky_) => show({ sky: sky_ })}
          of={[["velocity", "velocity"], ["density", "density"]]} without={shown !== null && !hasKind(shown, "density") ? "density" : null} />
        <Choice label="As" value={projection} onChoose={changeProjection} of={[["mollweide", "Mollweide"], ["orthographic", "globe"]]} />
        <Choice label="Frame" value={frame} onChoose={changeFrame}
          of={(Object.keys(SKY_FRAMES) as SkyFrame[]).map((f) => [f, SKY_FRAMES[f].title] as const)} />
      </div>
      {tile.value.error !== null ? <Refusal error={tile.value.error} /> : null}
      <SkyMap
        look={look}
        isWanted={isSeen}
        describedBy="sky-summary"
        onPoint={(place, byKey) => setPointed(place === null ? null : { place, byKey })}
        onTurn={(to) => (turned.value = { frame, centre: to })}
        onAsk={ask}
      />
      <p class="unseen" id="sky-summary">{said}</p>
      <p class="unseen" aria-live="polite">{cursor === null ? "" : `${placeWords(cursor, frame)}: ${read(cursor)}`}</p>
      <div class="sky-foot">
        <p class="sky-read">
          {pointed !== null && shown !== null
            ? <><strong>{placeWords(pointed.place, frame)}</strong> · {read(pointed.place)} <small>(preview)</small><br />Click or Enter asks this direction.</>
            : hint(shown === null, tile.value.isLoading, trusted !== null && r > trusted ? trusted : null)}
        </p>
        <div class="sky-scale" aria-hidden="true">
          <div class="bar" style={{ background: gradient(theme.value) }} />
          <p class="ticks">{scaleWords(limit, kind).map((text) => <span key={text}>{text}</span>)}</p>
          <p><span>{kind === "velocity" ? "towards us" : "empty"}</span><span>{kind === "velocity" ? "away from us" : "dense"}</span></p>
        </div>
      </div>
    </Panel>
  );
}

function hint(isEmpty: boolean, isLoading: boolean, beyond: number | null) {
  if (isEmpty) return isLoading ? "The preview of the field is on its way." : "No preview of a field is here yet.";
  if (beyond !== null) return <>This shell lies beyond {beyond} h⁻¹ Mpc, to where the field is trusted. Click to ask a direction.</>;
  return <>Point to read, click to ask a direction; dashed: the zone of avoidance, |b| &lt; 10°; hatched: outside the field.</>;
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  of: readonly (readonly [T, string])[];
  /** One that cannot be chosen now. */
  without?: T | null;
  onChoose(value: T): void;
}

function Choice<T extends string>({ label, value, of, without = null, onChoose }: ChoiceProps<T>) {
  return (
    <label>
      {label}
      <select value={value} onChange={(e) => onChoose(e.currentTarget.value as T)}>
        {of.map(([key, words]) => <option key={key} value={key} disabled={key === without}>{words}</option>)}
      </select>
    </label>
  );
}

/** The object or place that is asked, where the answer says that it lies. */
function chosen(): Mark[] {
  const q = question.value;
  if (!isAsked(q)) return [];
  if (q.name === null) {
    return [{ name: "asked", direction: toVector(...convert(q.lon!, q.lat!, q.frame, "supergalactic")), kind: "chosen" }];
  }
  const found = answer.value.data ?? [...sightlines.value.values()].find((s) => s.data !== null)?.data;
  if (!found) return [];
  const { lon, lat } = found.position.supergalactic;
  return [{ name: found.name ?? q.name, direction: toVector(lon, lat), kind: "chosen" }];
}

/** Do something once an element comes into the window, or when everything else had its time: its words are read without a look, too. */
function whenSeen(element: Element | null, act: () => void): (() => void) | undefined {
  if (element === null) return undefined;
  const stop = (): void => {
    watcher.disconnect();
    clearTimeout(timer);
  };
  const begin = (): void => {
    stop();
    act();
  };
  const watcher = new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting)) begin();
  });
  const timer = setTimeout(begin, UNSEEN_MS);
  watcher.observe(element);
  return stop;
}

/** A table before it is asked: what was found in it, which column is what, and the way to a job. */

import { Fragment } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { FRAME_WORDS } from "../state/words";
import { chosenField } from "../state/fields";
import { Notice, Refusal } from "../ui/Notice";
import { wantsToken } from "./access";
import {
  chosen, type Column, found, held, howFound, type Kind, missing, nameOf, placeOf, type Place, type Preview, type Role, rolesOf, shortened,
  taken, waysOf, type Words, withColumn,
} from "./choice";
import { bytes, count } from "./job";
import { LogIn } from "./LogIn";
import { ReadOtherwise } from "./ReadOtherwise";
import { file, forgetFile, isSending, look, part, preview, readAs, reading, refusal, runName, submit, words } from "./table";

const ROLE_WORDS: Record<Role, string> = { lon: "Longitude", lat: "Latitude", velocity: "Velocity", sigma: "Its error", distance: "Distance" };
const ICRS_WORDS: Record<string, string> = { icrs: "Right ascension", galactic: "Longitude l", supergalactic: "Longitude SGL" };
const LAT_WORDS: Record<string, string> = { icrs: "Declination", galactic: "Latitude b", supergalactic: "Latitude SGB" };
const SKY_WORDS = { icrs: "equatorial (ICRS)", galactic: "galactic", supergalactic: "supergalactic" };

/** The table at hand, or nothing. */
export function Looked() {
  const taken_ = file.value;
  if (taken_ === null) return null;
  const seen = preview.value;
  const error = refusal.value;
  return (
    <div class="looked" aria-busy={part.value !== null}>
      <div class="line">
        <b class="clip" title={taken_.name}>{taken_.name}</b>
        <small>{seen === null ? bytes(taken_.size) : `${seen.format.toUpperCase()}, ${rowsOf(seen)}, ${count(seen.columns.length)} columns, ${bytes(taken_.size)}`}</small>
        <button type="button" class="small" onClick={forgetFile}>Put away</button>
      </div>
      {part.value === null ? null : <Sending name={taken_.name} arrived={part.value} />}
      {seen === null && error !== null ? <NotRead /> : null}
      {seen === null ? null : <Form seen={seen} />}
    </div>
  );
}

function Sending({ name, arrived }: { name: string; arrived: number }) {
  const percent = Math.floor(100 * arrived);
  return (
    <div class="line">
      <progress max={100} {...(percent < 100 ? { value: percent } : {})} aria-label={`${name} on its way`} />
      <small>{percent < 100 ? `${percent} % sent` : "being read"}</small>
    </div>
  );
}

/** A file that is no table, or not as it was read. */
function NotRead() {
  const error = refusal.value;
  if (error === null) return null;
  return (
    <>
      <Refusal error={error} />
      <p class="line"><button type="button" onClick={() => void look()}>Send it again</button></p>
      {wantsToken(error) ? <LogIn open /> : null}
      {error.problem.status === 422 && error.problem.code !== "empty_table" ? <ReadOtherwise open /> : null}
    </>
  );
}

function Form({ seen }: { seen: Preview }) {
  const kind = reading.value.kind;
  const error = refusal.value;
  const form = useRef<HTMLFormElement>(null);
  // a refusal of the job goes before what the look found
  const sentence = error?.problem.detail ?? seen.why ?? "";
  const code = error === null ? seen.code : error.problem.code;
  const ways = waysOf(sentence, error === null ? seen.candidates : candidatesOf(error.problem.candidates));
  const shown: Place[] = kind === "distance" ? ["position", "velocity", "sigma"] : ["position", "distance"];
  const wanted = placeOf(code, error?.problem.where, ways);
  const place: Place = wanted === "reading" || shown.includes(wanted) ? wanted : "else";
  const open = missing(seen, words.value, kind, place);
  const isSettled = error === null && (seen.why === null || (Object.keys(words.value).length > 0 && open.length === 0));
  const trouble = code === null || isSettled ? null : (
    <Notice bad>
      <p class="why">{shortened(sentence, ways)}</p>
      {ways.length === 0 ? null : (
        <p class="ways">
          {ways.map((w) => (
            <button type="button" key={JSON.stringify(w.words)} onClick={() => takeWay(w)}>{w.label}</button>
          ))}
        </p>
      )}
      {code === "unknown_table" ? <p><button type="button" onClick={() => void look()}>Send the table again</button></p> : null}
    </Notice>
  );
  useEffect(() => {
    if (seen.code !== null) form.current?.querySelector<HTMLElement>(".notice.bad button, .open select")?.focus({ preventScroll: true });
  }, [seen]);
  const go = (event: Event): void => {
    event.preventDefault();
    const first = form.current?.querySelector<HTMLElement>(".open select");
    if (open.length > 0 && first) first.focus();
    else void submit();
  };
  const at = (where: Place) => (place === where ? trouble : null);
  return (
    <form class="asked" ref={form} onSubmit={go} aria-label={`Ask ${seen.name}`}>
      <label class="field">
        <span>What is asked</span>
        <select value={kind} onChange={(e) => readAs({ kind: e.currentTarget.value as Kind })}>
          <option value="distance">distances, from positions and velocities</option>
          <option value="velocity">velocities, at known distances</option>
        </select>
      </label>
      {rolesOf(kind).map((role) => (
        <Fragment key={role}>
          {role === "lon" ? at("position") : role === "velocity" ? at("velocity") : role === "sigma" ? at("sigma") : role === "distance" ? at("distance") : null}
          <Chooser seen={seen} role={role} isOpen={open.includes(role)} />
          {role === "velocity" ? <Holds /> : null}
        </Fragment>
      ))}
      <label class="field">
        <span>Position in</span>
        <select value={words.value["frame"] ?? ""} onChange={(e) => put("frame", e.currentTarget.value)}>
          <option value="">{seen.choice === null ? "as the columns say, else equatorial" : SKY_WORDS[seen.choice.frame as keyof typeof SKY_WORDS] ?? seen.choice.frame}</option>
          {Object.entries(SKY_WORDS).map(([frame, text]) => <option key={frame} value={frame}>{text}</option>)}
        </select>
      </label>
      {kind === "distance" ? (
        <label class="field">
          <span>Velocity in</span>
          <select value={words.value["cz_frame"] ?? ""} onChange={(e) => put("cz_frame", e.currentTarget.value)}>
            <option value="">{restFrame(seen)}</option>
            {Object.entries(FRAME_WORDS).map(([frame, text]) => <option key={frame} value={frame}>{text}</option>)}
          </select>
        </label>
      ) : null}
      <label class="field">
        <span>Name of the run</span>
        <input type="text" maxLength={64} value={runName.value} onInput={(e) => (runName.value = e.currentTarget.value)} />
      </label>
      {place === "else" ? trouble : null}
      {error !== null && wantsToken(error) ? <LogIn open /> : null}
      {seen.notes.length === 0 ? null : <Notice>{seen.notes.map((text) => <p key={text}>{text}</p>)}</Notice>}
      <div class="line">
        <button type="submit" class="go" disabled={isSending.value || part.value !== null || seen.rows === 0}>
          {isSending.value ? "Being submitted …" : `Compute ${seen.rows === null ? "the" : count(seen.rows)} ${kind === "distance" ? "distances" : "velocities"}`}
        </button>
        <small>{chosenField.value === null ? "" : `in the field ${chosenField.value.id}`}</small>
      </div>
      {at("reading")}
      <Head seen={seen} />
      <ReadOtherwise open={place === "reading"} />
    </form>
  );

  function takeWay(w: Parameters<typeof taken>[1]): void {
    const { delimiter, input_format, extension, ...rest } = w.words;
    const reads = Object.fromEntries(Object.entries({ delimiter, input_format, extension }).filter(([, v]) => v !== undefined));
    if (Object.keys(reads).length > 0) readAs(reads as Record<string, string>);
    else change(taken(words.peek(), { ...w, words: rest as Words }));
  }
}

function Chooser({ seen, role, isOpen }: { seen: Preview; role: Role; isOpen: boolean }) {
  const own = chosen(words.value, role);
  const theirs = found(seen, role);
  const column = seen.columns.find((c, i) => (own === "" ? c.name === theirs && c.role !== null : nameOf(seen.columns, i) === own));
  const auto = theirs ?? (role === "sigma" ? "none, or as found" : seen.choice === null && isOpen ? "choose …" : "as found");
  const frame = words.value["frame"] ?? seen.choice?.frame ?? "";
  const label = role === "lon" ? ICRS_WORDS[frame] ?? "Longitude" : role === "lat" ? LAT_WORDS[frame] ?? "Latitude" : ROLE_WORDS[role];
  return (
    <label class={isOpen ? "field open" : "field"}>
      <span>{label}</span>
      <select value={own} onChange={(e) => change(withColumn(words.peek(), role, e.currentTarget.value))}>
        <option value="">{clipped(auto)}</option>
        {role === "sigma" ? <option value="0">none: velocities are exact</option> : null}
        {seen.columns.map((c, i) => {
          const name = nameOf(seen.columns, i);
          return <option key={name} value={name}>{clipped(c.name || name)}{c.unit ? ` [${c.unit}]` : ""}</option>;
        })}
      </select>
      {column === undefined ? null : <small>{own === "" ? `found ${howFound(column)}` : aboutColumn(column)}</small>}
    </label>
  );
}

function Holds() {
  return (
    <label class="field">
      <span>It holds</span>
      <select value={held(words.value)} onChange={(e) => change(withColumn(words.peek(), "velocity", chosen(words.peek(), "velocity"), e.currentTarget.value))}>
        <option value="">what its name and unit say</option>
        <option value="km/s">c z in km/s</option>
        <option value="m/s">c z in m/s</option>
        <option value="z">redshift z</option>
      </select>
    </label>
  );
}

/** The first rows, with the columns marked that are read. */
function Head({ seen }: { seen: Preview }) {
  const marks = new Map(rolesOf(reading.value.kind).map((role) => [chosen(words.value, role), ROLE_WORDS[role].toLowerCase()]));
  return (
    <details>
      <summary>The first {seen.head.length} rows</summary>
      <div class="rows" tabIndex={0} role="region" aria-label={`First rows of ${seen.name}`}>
        <table>
          <thead>
            <tr>
              {seen.columns.map((c, i) => {
                const mark = marks.get(nameOf(seen.columns, i)) ?? c.role;
                return <th key={i} scope="col" class={mark ? "read" : ""} title={[c.name, c.description, c.ucd].filter(Boolean).join("\n")}>{c.name}{c.unit ? ` [${c.unit}]` : ""}{mark ? <small> {mark}</small> : null}</th>;
              })}
            </tr>
          </thead>
          <tbody>
            {seen.head.map((row, k) => <tr key={k}>{row.map((cell, i) => <td key={i} title={cell.length > 30 ? cell : undefined}>{cell}</td>)}</tr>)}
          </tbody>
        </table>
      </div>
    </details>
  );
}

function change(next: Words): void {
  words.value = next;
  refusal.value = null;
}

function put(key: string, value: string): void {
  const { [key]: _, ...rest } = words.peek();
  change(value === "" ? rest : { ...rest, [key]: value });
}

function restFrame(seen: Preview): string {
  const frame = seen.choice?.cz_frame;
  if (frame === undefined) return "as the column says, else heliocentric";
  return `${FRAME_WORDS[frame]}${seen.choice?.cz_frame_is_said ? ", as the table says" : ", taken since the table says none"}`;
}

function candidatesOf(list: unknown): Preview["candidates"] {
  return Array.isArray(list) && list.every((c) => typeof (c as { way?: unknown } | null)?.way === "string") ? (list as Preview["candidates"]) : [];
}

const rowsOf = (seen: Preview): string => (seen.rows === null ? "many rows" : seen.rows === 0 ? "no rows" : `${count(seen.rows)} rows`);
const aboutColumn = (column: Column): string => [column.description, column.ucd, column.kind === "number" ? "" : column.kind].filter(Boolean).join(", ");
const clipped = (text: string): string => (text.length > 48 ? `${text.slice(0, 45)}…` : text);

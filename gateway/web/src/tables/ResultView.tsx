/** The result of a job to look at: rows without an answer by name, distance against cz, and where the rows lie on the sky. */

import { useEffect, useState } from "preact/hooks";
import { ApiError } from "../api/client";
import { askPlace } from "../state/question";
import { theme } from "../state/theme";
import { FRAME_WORDS } from "../state/words";
import { announce } from "../ui/announce";
import { Refusal } from "../ui/Notice";
import { type ColourBy, DRAWN_MAX, drawScatter, drawSky, velocityColour, velocityLimit } from "./drawing";
import { bytes, count, type Job } from "./job";
import { sentFor } from "./jobs";
import { PointPlot } from "./PointPlot";
import { type BadRow, readRows, type Rows, ROWS_MAX } from "./result";

/** Results of at most so many rows open at once. */
const SMALL = 10_000;
/** Bytes of a row, roughly: to say beforehand how much is read. */
const ROW_BYTES = 350;
const BAD_SHOWN = 20;
const SKY_WORDS: Record<string, string> = { icrs: "right ascension and declination", galactic: "galactic", supergalactic: "supergalactic" };

/** Return rows of the job that was looked at last: opening it again reads nothing. */
let kept: { key: string; rows: Rows } | null = null;
const keyOf = (job: Job): string => `${job.id} ${job.creation} ${job.end} ${job.quarantined}`;

/** What a job found. */
export function ResultView({ job }: { job: Job }) {
  const key = keyOf(job);
  const [rows, setRows] = useState<Rows | null>(kept?.key === key ? kept.rows : null);
  const [wanted, setWanted] = useState(job.rows_done <= SMALL);
  const [error, setError] = useState<ApiError | null>(null);
  const [progress, setProgress] = useState({ n: 0, waits: false });
  useEffect(() => {
    if (!wanted || rows !== null || job.kind === "sightline") return undefined;
    const off = new AbortController();
    let shown = 0;
    const told = (n: number, waits: boolean): void => {
      if (!waits && performance.now() - shown < 100) return;
      shown = performance.now();
      setProgress({ n, waits });
    };
    setError(null);
    readRows(job, told, off.signal).then((read) => {
      kept = { key, rows: read };
      setRows(read);
    }, (cause: unknown) => {
      if (off.signal.aborted) return;
      if (cause instanceof ApiError) setError(cause);
      else setError(new ApiError({ type: "about:blank", title: "Cut", status: 0, code: "unreachable", detail: "the result did not come to its end; look again" }));
      setWanted(false);
    });
    return () => off.abort();
  }, [wanted, key]);
  if (job.kind === "sightline" || job.rows_done === 0) return null;
  if (rows !== null) return <Shown rows={rows} />;
  const most = Math.min(job.rows_done, ROWS_MAX);
  return (
    <>
      <Unread job={job} />
      {error === null ? null : <Refusal error={error} />}
      {wanted ? (
        <div class="line">
          <progress max={most} {...(progress.n > 0 ? { value: progress.n } : {})} aria-label="Result on its way" />
          <small>{progress.waits || progress.n === 0 ? "the server makes the file …" : `${count(progress.n)} rows read`}</small>
        </div>
      ) : (
        <p class="line">
          <button type="button" onClick={() => setWanted(true)}>Look at the result</button>
          <small>reads {most < job.rows_done ? `the first ${count(most)} rows` : `${count(most)} rows`}, some {bytes(most * ROW_BYTES)}</small>
        </p>
      )}
    </>
  );
}

/** What the server told of unreadable rows when it took the table: known before the result is read. */
function Unread({ job }: { job: Job }) {
  const faults = sentFor(job.id)?.told.faults;
  if (faults === undefined || faults.rows === 0) return null;
  return <Bad bad={faults.first.map((f) => ({ ...f, name: "" }))} total={faults.rows} of={job.rows_total} named="" />;
}

function Shown({ rows }: { rows: Rows }) {
  const [by, setBy] = useState<ColourBy>("v_rad");
  const [{ at, byKey }, setLooked] = useState({ at: -1, byKey: false });
  const look = (next: number, isKey: boolean): void => setLooked({ at: next, byKey: isKey });
  const hasAnswers = rows.badCount < rows.n;
  const ask = (i: number): void => {
    if (!Number.isFinite(rows.lon[i]) || !Number.isFinite(rows.lat[i])) return;
    const cz = rows.kind === "distance" && Number.isFinite(rows.cz[i]) ? (rows.cz[i] as number) : null;
    askPlace(rows.lon[i] as number, rows.lat[i] as number, rows.frame, cz, rows.czFrame);
    announce(`${called(rows, i)} is asked`);
    document.getElementById("search-input")?.focus();
  };
  const drawn = Math.min(rows.n - rows.badCount, DRAWN_MAX);
  return (
    <div class="shown">
      {rows.n < rows.total && rows.n >= ROWS_MAX ? <p><small>The first {count(rows.n)} of {count(rows.total)} rows are read here; the files hold all.</small></p> : null}
      {rows.badCount === 0 ? <p><small>Every row has an answer.</small></p> : <Bad bad={rows.bad} total={rows.badCount} of={rows.n} named={rows.named} />}
      {!hasAnswers ? null : (
        <>
          <div class="line">
            <label class="line">
              <small>Colour</small>
              <select value={by} onChange={(e) => setBy(e.currentTarget.value as ColourBy)}>
                <option value="v_rad">radial peculiar velocity</option>
                {rows.kind === "distance" ? <option value="flags">remarks</option> : null}
              </select>
            </label>
            <Legend rows={rows} by={by} />
          </div>
          {drawn < rows.n - rows.badCount ? <p><small>{count(drawn)} of {count(rows.n)} rows are drawn, evenly chosen.</small></p> : null}
          <div class="plots">
            <PointPlot rows={rows} by={by} aspect={0.66} draw={drawScatter} at={at} look={look} ask={ask} label={scatterWords(rows, drawn)} />
            <figure>
              <PointPlot rows={rows} by={by} aspect={0.52} draw={drawSky} at={at} look={look} ask={ask} label={`${count(drawn)} rows on the sky, ${SKY_WORDS[rows.frame] ?? rows.frame}.`} />
              <figcaption><small>Mollweide, {SKY_WORDS[rows.frame] ?? rows.frame}{rows.badCount > 0 ? "; × no answer" : ""}</small></figcaption>
            </figure>
          </div>
          {/* read aloud for the keyboard; a pointer passes over hundreds of rows */}
          <p class="readout" aria-live={byKey ? "polite" : "off"}>
            {at < 0 ? <small>Point at a row, or walk with the arrow keys.</small> : (
              <>
                <span>{rowWords(rows, at)}</span>
                <button type="button" class="small" onClick={() => ask(at)}>Ask this row</button>
              </>
            )}
          </p>
        </>
      )}
    </div>
  );
}

function Bad({ bad, total, of, named }: { bad: readonly (BadRow & { line?: number })[]; total: number; of: number; named: string }) {
  const shown = bad.slice(0, BAD_SHOWN);
  const hasLine = shown.some((b) => b.line !== undefined);
  return (
    <div class="bad-rows">
      <p>{count(total)} of {count(of)} rows {total === 1 ? "has" : "have"} no answer</p>
      <div class="rows" tabIndex={0} role="region" aria-label="Rows without an answer">
        <table>
          <thead><tr><th scope="col">Row</th>{hasLine ? <th scope="col">Line</th> : null}{named ? <th scope="col">{named}</th> : null}<th scope="col">Why</th></tr></thead>
          <tbody>
            {shown.map((b) => (
              <tr key={b.row}><td>{count(b.row + 1)}</td>{hasLine ? <td>{b.line === undefined ? "" : count(b.line)}</td> : null}{named ? <td>{b.name}</td> : null}<td>{b.reason || b.status.replaceAll("_", " ")}</td></tr>
            ))}
          </tbody>
        </table>
      </div>
      <small>The first row is row 1.{total > shown.length ? ` ${count(total - shown.length)} more are named in the column “reason” of the files.` : ""}</small>
    </div>
  );
}

function Legend({ rows, by }: { rows: Rows; by: ColourBy }) {
  if (by === "flags") {
    return <small class="legend"><i class="dot" /> no remark <i class="square" /> a remark: point at it</small>;
  }
  const limit = velocityLimit(rows);
  const stops = [0, 0.5, 1].map((t) => velocityColour(theme.value, t)).join(", ");
  return (
    <small class="legend">
      −{limit} <i class="ramp" style={{ background: `linear-gradient(to right, ${stops})` }} /> +{limit} km/s, + is away from us
    </small>
  );
}

const called = (rows: Rows, i: number): string => rows.name[i] || `row ${count((rows.row[i] as number) + 1)}`;

function scatterWords(rows: Rows, drawn: number): string {
  return rows.kind === "distance"
    ? `Distance in Mpc against cz in the CMB frame, ${count(drawn)} rows${drawn <= 300 ? " with bars of 68 %" : ""}; dashed: no peculiar velocities, H0 ${rows.H0} km/s/Mpc.`
    : `Radial velocity in km/s against distance in Mpc, ${count(drawn)} rows.`;
}

function rowWords(rows: Rows, i: number): string {
  const number = (x: number | undefined, digits: number): string => (x === undefined || Number.isNaN(x) ? "unknown" : x.toFixed(digits).replace("-", "−"));
  const name = rows.name[i] ? `${rows.name[i]} (row ${count((rows.row[i] as number) + 1)})` : `Row ${count((rows.row[i] as number) + 1)}`;
  if (rows.status[i] !== "ok") return `${name}: no answer`;
  const flags = rows.flags[i] ? `; ${(rows.flags[i] as string).replaceAll(" ", ", ").replaceAll("_", " ")}` : "";
  const v = `v_rad ${number(rows.vRad[i], 0)} km/s`;
  if (rows.kind === "velocity") return `${name}: at ${number(rows.x[i], 2)} Mpc ${v}${flags}`;
  return `${name}: cz ${number(rows.cz[i], 0)} km/s ${FRAME_WORDS[rows.czFrame]}, distance ${number(rows.y[i], 1)} Mpc (68 %: ${number(rows.low[i], 1)}–${number(rows.high[i], 1)}), ${v}${flags}`;
}

/** The rows of a result as the plots and the list of bad rows want them, read from the CSV file while it comes. */

import { ApiError } from "../api/client";
import type { SkyFrame, VelocityFrame } from "../api/types";
import { address } from "../api/urls";
import { readSexagesimal } from "../search/angle";
import { pause, send } from "./access";
import type { Kind } from "./choice";
import { csvReader } from "./csv";
import { serverThere } from "./events";
import type { Job } from "./job";

/** At most so many rows are read for the plots; the files hold all. */
export const ROWS_MAX = 300_000;
/** So many bad rows are kept to be named. */
const BAD_MAX = 1000;

/** A row without an answer; `row` counts from 0. */
export interface BadRow {
  row: number;
  name: string;
  status: string;
  reason: string;
}

/** Rows as columns; unknown numbers are NaN. */
export interface Rows {
  kind: Kind;
  /** Rows that were read, and how many the result has. */
  n: number;
  total: number;
  /** Which column of the table names a row; empty: none does. */
  named: string;
  frame: SkyFrame;
  czFrame: VelocityFrame;
  H0: number;
  Om: number;
  row: number[];
  name: string[];
  /** Degrees in `frame`. */
  lon: number[];
  lat: number[];
  /** cz in the CMB frame, km/s; of kind velocity the distance, Mpc. */
  x: number[];
  /** Median distance, Mpc; of kind velocity v_rad, km/s. */
  y: number[];
  low: number[];
  high: number[];
  /** Radial peculiar velocity, km/s. */
  vRad: number[];
  /** cz as it was observed, km/s in `czFrame`. */
  cz: number[];
  status: string[];
  /** Words about an answer, with blanks between them. */
  flags: string[];
  bad: BadRow[];
  badCount: number;
}

/** Collect rows from the cells of a file. */
export function collector(kind: Kind, total: number): {
  rows: Rows;
  begin(names: readonly string[], notes: Record<string, unknown>): void;
  take(cells: readonly string[]): void;
} {
  const rows: Rows = {
    kind, n: 0, total, named: "", frame: "icrs", czFrame: "hel", H0: 75, Om: 0.3, row: [], name: [], lon: [], lat: [], x: [], y: [],
    low: [], high: [], vRad: [], cz: [], status: [], flags: [],
    bad: [], badCount: 0,
  };
  let at: Record<string, number> = {};
  let scale = { lon: (text: string) => Number(text), lat: (text: string) => Number(text), value: 1 };
  let numberOf = (i: number): number => i;
  const number = (cells: readonly string[], i: number | undefined): number => {
    const text = i === undefined || i < 0 ? "" : cells[i] ?? "";
    return text === "" ? Number.NaN : Number(text);
  };
  return {
    rows,
    begin(names, notes) {
      rows.frame = (notes["frame"] as SkyFrame | undefined) ?? "icrs";
      rows.czFrame = (notes["cz_frame"] as VelocityFrame | undefined) ?? "hel";
      rows.H0 = Number(notes["H0"] ?? 75);
      rows.Om = Number(notes["Om"] ?? 0.3);
      const sent = String(notes["columns"] ?? "").split(", ");
      const units = (notes["units"] ?? {}) as Record<string, string>;
      // a column of the table keeps its name and stands before ours, which may have cf_ before it
      const ours = (name: string): number => Math.max(names.lastIndexOf(name), names.lastIndexOf(`cf_${name}`));
      const theirs = (name: string | undefined): number => (name === undefined ? -1 : names.indexOf(name));
      at = {
        lon: theirs(sent[0]), lat: theirs(sent[1]), status: ours("status"), reason: ours("reason"), flags: ours("flags"), vRad: ours("v_rad"),
        x: kind === "distance" ? ours("cz_cmb") : theirs(sent[2]), y: ours(kind === "distance" ? "distance_median" : "v_rad"),
        low: kind === "distance" ? ours("distance_p16") : -1, high: kind === "distance" ? ours("distance_p84") : -1,
        cz: kind === "distance" ? ours(`cz_${rows.czFrame}`) : ours("cz_cmb"),
      };
      if (kind === "velocity") rows.czFrame = "cmb";
      const first = ours(kind === "distance" ? "distance_mean" : "sgx");
      const label = labelOf(names.slice(0, first < 0 ? 0 : first), sent);
      at["name"] = theirs(label);
      rows.named = label ?? "";
      scale = {
        lon: angle(units[sent[0] ?? ""] ?? "", true), lat: angle(units[sent[1] ?? ""] ?? "", false),
        value: { kpc: 1e-3, pc: 1e-6 }[(units[sent[2] ?? ""] ?? "").trim()] ?? 1,
      };
      numberOf = numbering(String(notes["rows"] ?? ""));
    },
    take(cells) {
      const row = numberOf(rows.n);
      const status = cells[at["status"] ?? -1] ?? "";
      const name = cells[at["name"] ?? -1] ?? "";
      if (status !== "ok") {
        rows.badCount++;
        if (rows.bad.length < BAD_MAX) rows.bad.push({ row, name, status, reason: cells[at["reason"] ?? -1] ?? "" });
      }
      rows.n++;
      rows.row.push(row);
      rows.name.push(name);
      rows.lon.push(scale.lon(cells[at["lon"] ?? -1] ?? ""));
      rows.lat.push(scale.lat(cells[at["lat"] ?? -1] ?? ""));
      rows.x.push(number(cells, at["x"]) * (kind === "velocity" ? scale.value : 1));
      for (const key of ["y", "low", "high", "vRad", "cz"] as const) rows[key].push(number(cells, at[key]));
      rows.status.push(status);
      rows.flags.push(cells[at["flags"] ?? -1] ?? "");
    },
  };
}

const NAMES = /^(name|id|object|objname|galaxy|source|sn|cid|pgc|target|designation|main_id|identifier)$/i;

/** Return the column that names a row: one that is called so, which none of the columns that were read is. */
export function labelOf(names: readonly string[], used: readonly string[]): string | undefined {
  const free = names.filter((name) => !used.includes(name));
  return free.find((name) => NAMES.test(name.trim())) ?? free.find((name) => /name|(^|_)id$/i.test(name));
}

/** Return how the rows of a file are numbered: `0-999, 2000-2999` are the ranges it holds, both ends included. */
export function numbering(ranges: string): (i: number) => number {
  const found = [...ranges.matchAll(/(\d+)-(\d+)/g)].map((m) => [Number(m[1]), Number(m[2])] as const);
  return (i) => {
    let left = i;
    for (const [from, to] of found) {
      const n = to - from + 1;
      if (left < n) return from + left;
      left -= n;
    }
    return i;
  };
}

/** Return how an angle of a unit is read as degrees; text with parts is sexagesimal, longitudes of it in hours unless the unit says degrees. */
export function angle(unit: string, isLon: boolean): (text: string) => number {
  const key = unit.trim().toLowerCase();
  const factor = { rad: 180 / Math.PI, radian: 180 / Math.PI, hourangle: 15, h: 15, hour: 15, arcmin: 1 / 60, arcsec: 1 / 3600 }[key] ?? 1;
  const hours = isLon && !/^d/.test(key);
  return (text) => {
    const plain = text.trim();
    if (plain === "") return Number.NaN;
    const value = Number(plain);
    if (!Number.isNaN(value)) return value * factor;
    const parts = readSexagesimal(plain);
    return parts === null ? Number.NaN : parts.value * (parts.unit === "h" || (hours && parts.unit === null) ? 15 : 1);
  };
}

/** Read the first rows of a result; `told` hears how many are here, or that the server still makes the file. */
export async function readRows(job: Job, told: (n: number, waits: boolean) => void, signal: AbortSignal): Promise<Rows> {
  const response = await patient(address(`${job.results_url}/result.csv`, {}), { headers: { Accept: "text/csv" } }, () => told(0, true), signal);
  const { rows, begin, take } = collector(job.kind === "velocity" ? "velocity" : "distance", job.rows_total);
  const reader = (response.body as ReadableStream<Uint8Array<ArrayBuffer>>).pipeThrough(new TextDecoderStream()).getReader();
  const csv = csvReader();
  let begun = false;
  const all = (records: string[][]): void => {
    if (!begun && csv.names.length > 0) {
      begun = true;
      begin(csv.names, csv.notes);
    }
    for (const record of records) if (rows.n < ROWS_MAX) take(record);
  };
  for (;;) {
    const { value, done } = await reader.read();
    all(done ? csv.end() : csv.push(value));
    told(rows.n, false);
    if (done) return rows;
    if (rows.n >= ROWS_MAX) {
      void reader.cancel();
      return rows;
    }
  }
}

/** Send a request until a file is made: the server says when to come again, and outages are waited for. */
export async function patient(
  url: string, init: { method?: string; headers?: Record<string, string> }, waits: (seconds: number) => void, signal: AbortSignal,
): Promise<Response> {
  for (;;) {
    await serverThere(signal);
    try {
      return await send(url, { ...init, signal });
    } catch (error) {
      if (!(error instanceof ApiError) || !error.isTransient || error.problem.status === 429) throw error;
      const seconds = Math.min(Math.max(error.retryAfter ?? 2, 1), 30);
      waits(seconds);
      await pause(seconds * 1000, signal);
      signal.throwIfAborted();
    }
  }
}

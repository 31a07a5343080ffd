/** Which column of a table is what: what the service found, what the visitor chose instead, and the ways out of a refusal. No DOM. */

import type { VelocityFrame } from "../api/types";
import { FRAME_WORDS } from "../state/words";

export type Kind = "distance" | "velocity";
/** The parts of a question that a table answers. */
export type Role = "lon" | "lat" | "velocity" | "sigma" | "distance";

export interface Column {
  name: string;
  unit: string;
  description: string;
  ucd: string;
  kind: string;
  role: string | null;
}

export interface Candidate {
  column: string;
  kind: string;
  frame: string | null;
  way: string;
}

/** POST /v1/tables. */
export interface Preview {
  table: string;
  url: string;
  name: string;
  bytes: number;
  format: string;
  delimiter: string | null;
  /** Null: more than were looked at. */
  rows: number | null;
  columns: Column[];
  choice: (Record<string, string | boolean> & { frame: string; cz_frame?: VelocityFrame; cz_frame_is_said?: boolean }) | null;
  why: string | null;
  code: string | null;
  candidates: Candidate[];
  head: string[][];
  notes: string[];
}

/** How a table is read; a change sends it again. */
export interface Reading {
  kind: Kind;
  input_format?: string;
  extension?: string;
  delimiter?: string;
}

/** Words of the job that name columns, units and frames; what is missing is left to the service. */
export type Words = Readonly<Record<string, string>>;

const COLUMN_WORDS: Record<Role, readonly string[]> = {
  lon: ["lon_column", "ra_column"], lat: ["lat_column", "dec_column"], velocity: ["cz_column", "z_column"],
  sigma: ["sigma_cz_column"], distance: ["distance_column"],
};
const ROLE_KEYS: Record<Role, readonly string[]> = {
  lon: ["lon"], lat: ["lat"], velocity: ["cz", "z"], sigma: ["sigma_cz"], distance: ["distance"],
};
const WORDS = /\b(lon_column|lat_column|ra_column|dec_column|cz_column|z_column|sigma_cz_column|distance_column|cz_unit|cz_frame|frame|delimiter|input_format|extension)=('(?:[^'\\]|\\'|'\\'')*'|[^\s;,()'"]+)/g;

/** The roles of a kind of question, in the order they are shown; the error of the velocity may be missing. */
export const rolesOf = (kind: Kind): Role[] => (kind === "distance" ? ["lon", "lat", "velocity", "sigma"] : ["lon", "lat", "distance"]);

/** Return how a column is named to the service: by number when its name is not its alone, looks like a number, or is too long. */
export function nameOf(columns: readonly Column[], index: number): string {
  const name = columns[index]?.name ?? "";
  const same = columns.filter((c) => c.name.toLowerCase() === name.toLowerCase()).length;
  return same === 1 && name.length <= 80 && name.trim() === name && name !== "" && !name.startsWith("#") ? name : `#${index + 1}`;
}

/** Return the column of a role as the visitor chose it; empty: as the service found it; "0" for the error: none. */
export function chosen(words: Words, role: Role): string {
  if (role === "sigma" && words["sigma_cz"] === "0") return "0";
  for (const word of COLUMN_WORDS[role]) if (words[word]) return words[word];
  return "";
}

/** Return the column of a role as the service found it, or null. */
export function found(preview: Preview, role: Role): string | null {
  for (const key of ROLE_KEYS[role]) {
    const name = preview.choice?.[key];
    if (typeof name === "string") return name;
  }
  return null;
}

/** Return the words with another column for a role; empty leaves it to the service. */
export function withColumn(words: Words, role: Role, column: string, holds: string = held(words)): Words {
  const next: Record<string, string> = { ...words };
  for (const word of COLUMN_WORDS[role]) delete next[word];
  if (role === "sigma") {
    delete next["sigma_cz"];
    if (column === "0") next["sigma_cz"] = "0";
    else if (column) next["sigma_cz_column"] = column;
  } else if (role === "velocity") {
    delete next["cz_unit"];
    if (column) next[holds === "z" ? "z_column" : "cz_column"] = column;
    if (holds && (holds !== "z" || !column)) next["cz_unit"] = holds;
  } else if (column) next[COLUMN_WORDS[role][0] as string] = column;
  return next;
}

/** Return what the velocity column holds as the visitor said: km/s, m/s, z, or empty. */
export function held(words: Words): string {
  return words["cz_unit"] ?? (words["z_column"] ? "z" : "");
}

/** Return the words as the service may have them: half a position is none, and of each kind only its own. */
export function sent(words: Words, kind: Kind): Record<string, string | number> {
  const foreign = kind === "distance" ? ["distance_column"] : ["cz_column", "z_column", "cz_unit", "sigma_cz_column", "sigma_cz", "cz_frame"];
  const kept = Object.entries(words).filter(([key, value]) => value !== "" && !foreign.includes(key));
  return Object.fromEntries(kept.map(([key, value]) => [key, key === "sigma_cz" ? Number(value) : value]));
}

/** Return the roles that a refusal found no column for and the visitor has not chosen one for; the error of the velocity is none of them. */
export function missing(preview: Preview, words: Words, kind: Kind, place: Place): Role[] {
  if (preview.choice !== null) return [];
  // the service names one trouble at a time: what it did not complain about may well be found
  const open = rolesOf(kind).filter((role) => role !== "sigma" && chosen(words, role) === "");
  if (place === "position") return open.filter((role) => role === "lon" || role === "lat");
  if (place === "velocity") return words["cz_unit"] ? [] : open.filter((role) => role === "velocity");
  return place === "distance" ? open.filter((role) => role === "distance") : [];
}

/** A way out of a refusal: words that settle it, and what they mean. */
export interface Way {
  words: Words;
  label: string;
}

/** Return the ways a refusal names, from its candidates or its sentence. */
export function waysOf(sentence: string, candidates: readonly Candidate[] = []): Way[] {
  if (candidates.length > 0) return candidates.map((c) => way(wordsIn(c.way), c)).filter((w) => Object.keys(w.words).length > 0);
  const ways: Way[] = [];
  for (const [key, value] of Object.entries(wordsIn(sentence))) {
    if (value !== "NAME" && value !== "ID") ways.push(way({ [key]: value }));
  }
  return ways;
}

/** Return the words after a way out was taken: what it contradicts is gone. */
export function taken(words: Words, way_: Way): Words {
  let next = words;
  const keys = Object.keys(way_.words);
  for (const role of ["lon", "lat", "velocity", "sigma", "distance"] as const) {
    if (keys.some((key) => COLUMN_WORDS[role].includes(key))) next = withColumn(next, role, "", "");
  }
  return { ...next, ...way_.words };
}

function wordsIn(text: string): Record<string, string> {
  const words: Record<string, string> = {};
  for (const [, key, value] of text.matchAll(WORDS)) {
    if (key !== undefined && value !== undefined && !(key in words)) words[key] = unquoted(value);
  }
  return words;
}

function unquoted(text: string): string {
  return text.startsWith("'") ? text.slice(1, -1).replaceAll("'\\''", "'") : text.replace(/\.$/, "");
}

function way(words: Words, candidate?: Candidate): Way {
  if (candidate !== undefined) {
    const kind = { cz: "c z", z: "redshift z", position: "position", sigma_cz: "error", distance: "distance" }[candidate.kind] ?? candidate.kind;
    const frame = candidate.frame === null ? "" : `, ${FRAME_WORDS[candidate.frame as VelocityFrame] ?? candidate.frame}`;
    return { words, label: `${candidate.column} (${kind}${frame})` };
  }
  const [key, value] = Object.entries(words)[0] as [string, string];
  const label = {
    z_column: `${value} holds redshifts z`, cz_column: `${value} holds c z`,
    cz_unit: value === "z" ? "they are redshifts z" : `they are velocities in ${value}`,
  }[key] ?? `${key.replaceAll("_", " ")}: ${value}`;
  return { words, label };
}

export type Place = "position" | "velocity" | "sigma" | "distance" | "reading" | "else";

/** Return beside which choice a refusal belongs. */
export function placeOf(code: string | null, where: string | null | undefined, ways: readonly Way[]): Place {
  const keys = ways.flatMap((w) => Object.keys(w.words));
  const has = (...names: string[]): boolean => names.some((name) => keys.includes(name) || where === name);
  if (code === "ambiguous_table" || code === "ambiguous_delimiter" || code === "unknown_format" || code === "no_header"
    || has("delimiter", "input_format", "extension")) return "reading";
  if (code === "no_position" || has("lon_column", "lat_column", "ra_column", "dec_column", "lon", "lat", "frame")) return "position";
  if (has("sigma_cz_column", "sigma_cz", "sigma_z")) return "sigma";
  if (code === "no_distance" || code === "wrong_distance" || has("distance_column", "distance")) return "distance";
  if (code === "no_velocity" || code === "not_observed" || code === "cz_looks_like_z" || code === "z_looks_like_cz"
    || code === "unit_contradicts" || has("cz_column", "z_column", "cz_unit", "cz_frame", "cz", "z")) return "velocity";
  return "else";
}

/** Return the sentence of a refusal without the list of ways that the page offers as buttons. */
export function shortened(sentence: string, ways: readonly Way[]): string {
  if (ways.length === 0 || !sentence.includes("\n")) return sentence;
  const [first, ...lines] = sentence.split("\n");
  const asides = lines.map((line) => line.trim()).filter((line) => line.startsWith("("));
  return [(first as string).replace(/ by adding$/, ""), ...asides].join("\n");
}

/** Say how a column was recognised. */
export function howFound(column: Column): string {
  return [column.ucd === "" ? "by its name" : `by its UCD ${column.ucd}`, column.unit === "" ? "" : `unit ${column.unit}`]
    .filter(Boolean).join(", ");
}

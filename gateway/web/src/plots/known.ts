/** Distances measured without a redshift: the visitor's own small table, and what the catalogue knows. No DOM, no request. */

import type { KnownDistance, VelocityFrame } from "../api/types";
import { separation, toVector, type Vector } from "../field/frames";
import { C_KMS, inFrame } from "../field/velocityFrames";
import { readSexagesimal } from "../search/angle";
import { cells as cellsOf } from "../tables/csv";

/** One object with a velocity and a distance of its own. */
export interface Known {
  name: string;
  n: Vector;
  cz: number;
  frame: VelocityFrame;
  /** Luminosity distance, Mpc, and its error, null when unknown. */
  d: number;
  error: number | null;
}

/** A table that was read: its objects, what was taken for what, what was passed over. */
export interface KnownTable {
  objects: Known[];
  /** Sentences: which column was taken as what. */
  words: string[];
}

/** What a point of the drawing needs. */
export interface KnownPoint {
  name: string;
  /** Comoving distance, h^-1 Mpc, and its two ends. */
  r: number;
  low: number;
  high: number;
  /** In the frame of the plot, km/s. */
  cz: number;
  /** Degrees from the line of sight. */
  apart: number;
  /** A distance of the galaxy that is asked. */
  isAsked?: boolean;
}

/** Why a table cannot be used, in words for the visitor. */
export class TableRefusal extends Error {}

const ROWS_MAX = 200_000;
/** Bytes of a file that is read in the browser. */
export const BYTES_MAX = 20_000_000;

const RA = ["ra", "raj2000", "ra_j2000", "radeg", "ra_deg", "raicrs", "ra_icrs", "alpha"];
const DEC = [
  "dec",
  "de",
  "decj2000",
  "dej2000",
  "dec_j2000",
  "de_j2000",
  "dedeg",
  "decdeg",
  "dec_deg",
  "de_icrs",
  "dec_icrs",
  "delta",
];
const NAME = ["name", "object", "galaxy", "objname", "object_name", "main_id", "sn", "cid", "id", "pgc"];
const MPC = ["d", "dist", "distance", "d_mpc", "dist_mpc", "distance_mpc", "dl", "d_l", "dl_mpc", "luminosity_distance", "d_lum"];
const MODULUS = ["mu", "dm", "dmod", "modulus", "distmod", "dist_mod", "distance_modulus", "mod", "m_m", "mu_shoes"];
const VELOCITY = new Map<string, [VelocityFrame, "cz" | "z"]>([
  ...(["hel", "cmb", "lg", "ls", "gsr"] as const).flatMap((f) =>
    [`cz_${f}`, `cz${f}`, `v_${f}`, `v${f}`, `vel_${f}`].map((k): [string, [VelocityFrame, "cz"]] => [k, [f, "cz"]]),
  ),
  ...["cz_helio", "czhelio", "v_helio", "vhelio", "cz", "v", "vel", "velocity", "rv", "hrv", "vh", "czh"].map(
    (k): [string, [VelocityFrame, "cz"]] => [k, ["hel", "cz"]],
  ),
  ...["z_hel", "zhel", "z_helio", "zhelio", "z", "redshift"].map((k): [string, [VelocityFrame, "z"]] => [k, ["hel", "z"]]),
  ...["z_cmb", "zcmb"].map((k): [string, [VelocityFrame, "z"]] => [k, ["cmb", "z"]]),
]);

/** Read a table of objects with ra, dec, a velocity and a distance in Mpc or a modulus; refuse in words what cannot be. */
export function readKnown(text: string): KnownTable {
  if (text.includes("\0")) throw new TableRefusal("This is no text: save the table as CSV or TSV first.");
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r\n|\n|\r/)
    .map((line, i) => ({ line, at: i + 1 }))
    .filter(({ line }) => line.trim() !== "" && !line.startsWith("#"));
  const [head, ...rows] = lines;
  if (head === undefined || rows.length === 0)
    throw new TableRefusal("The table is empty: give one line of column names and one line an object.");
  if (rows.length > ROWS_MAX)
    throw new TableRefusal(
      `The table has ${rows.length} rows; at most ${ROWS_MAX} are read here. Cut it to the part of the sky that you look at.`,
    );
  const split = splitter(head.line);
  const titles = split(head.line).map((t) => t.trim());
  const columns = titles.map(plain);
  const find = (known: readonly string[]): number => columns.findIndex((c) => known.includes(c));
  const missing = (what: string, known: readonly string[]): never => {
    throw new TableRefusal(
      `No column for ${what}: the table has ${titles.slice(0, 12).join(", ")}${titles.length > 12 ? ", …" : ""}. ` +
        `Name one of them ${known.slice(0, 3).join(" or ")}.`,
    );
  };
  const [ra, dec, name, mpc, modulus] = [find(RA), find(DEC), find(NAME), find(MPC), find(MODULUS)];
  if (ra < 0) missing("right ascension", RA);
  if (dec < 0) missing("declination", DEC);
  const velocities = columns.flatMap((c, i) => (VELOCITY.has(c) ? [i] : []));
  const velocity = velocities[0] ?? missing("the observed velocity", ["cz_hel", "cz_cmb", "z"]);
  if (mpc < 0 && modulus < 0) missing("the distance", ["d_mpc", "modulus"]);
  const far = mpc >= 0 ? mpc : modulus;
  const error = errorColumn(columns, far);
  const [frame, kind] = VELOCITY.get(columns[velocity] ?? "") ?? (["hel", "cz"] as const);
  const scale = mpc >= 0 && /\bkpc\b/i.test(titles[mpc] ?? "") ? 1e-3 : 1;

  const objects: Known[] = [];
  let first = "";
  for (const { line, at } of rows) {
    const cells = split(line);
    const read = (i: number, parse: (t: string) => number = Number): number => {
      const cell = (cells[i] ?? "").trim();
      return cell === "" ? Number.NaN : parse(cell);
    };
    const [lon, lat, v, x] = [
      read(ra, (t) => degrees(t, 15)),
      read(dec, (t) => degrees(t, 1)),
      read(velocity),
      read(far),
    ];
    const e = error === null ? Number.NaN : read(error);
    const d = mpc >= 0 ? x * scale : 10 ** ((x - 25) / 5);
    if (![lon, lat, v, d].every(Number.isFinite) || Math.abs(lat) > 90 || !(d > 0)) {
      const isComplete = [lon, lat, v, x].every(Number.isFinite);
      first ||= `line ${at}: ${isComplete ? "a declination or a distance out of range" : "a number is missing"}`;
      continue;
    }
    const spread = mpc >= 0 ? e * scale : e * 0.2 * Math.LN10 * d;
    objects.push({
      name: name >= 0 ? (cells[name] ?? "").trim() : `line ${at}`,
      n: toVector(lon, lat),
      cz: kind === "z" ? C_KMS * v : v,
      frame,
      d,
      error: spread > 0 ? spread : null,
    });
  }
  if (objects.length === 0) throw new TableRefusal(`None of the ${rows.length} rows could be read; ${first}.`);
  const title = (i: number): string => `“${titles[i] ?? ""}”`;
  const unnamed = !/hel|cmb|lg|ls|gsr/.test(columns[velocity] ?? "");
  return {
    objects,
    words: [
      `${objects.length} objects read. Position from ${title(ra)} and ${title(dec)} (ICRS), velocity from ${title(velocity)} ` +
        `(${kind === "z" ? "redshift, c·z" : "km/s"}, ${frame === "hel" ? "heliocentric" : frame.toUpperCase()}` +
        `${unnamed ? ", as it says nothing else" : ""}), ` +
        `distance from ${title(far)} (${mpc >= 0 ? `luminosity distance in ${scale === 1 ? "Mpc" : "kpc"}` : "modulus, mag"})` +
        `${error === null ? ", without errors." : `, its error from ${title(error)}.`}`,
      ...(velocities.length > 1 ? [`Not used: the velocities ${velocities.slice(1).map(title).join(", ")}.`] : []),
      ...(first === "" ? [] : [`Passed over: ${rows.length - objects.length} of ${rows.length} rows; the first is ${first}.`]),
    ],
  };
}

/** The objects within `cone` degrees of a direction, nearest to it first, in the frame and lengths of the plot. */
export function pointsInCone(objects: readonly Known[], n: Vector, cone: number, frame: VelocityFrame, H0: number): KnownPoint[] {
  const near = objects.map((o) => ({ o, apart: separation(o.n, n) })).filter(({ apart }) => apart <= cone);
  return near
    .sort((a, b) => a.apart - b.apart)
    .map(({ o, apart }) => {
      // luminosity distance -> comoving: divide by 1 + z_hel; then to h^-1 Mpc
      const factor = H0 / 100 / (1 + inFrame(o.cz, o.frame, "hel", o.n) / C_KMS);
      const e = o.error ?? 0;
      return {
        name: o.name,
        apart,
        r: o.d * factor,
        low: Math.max(0, o.d - e) * factor,
        high: (o.d + e) * factor,
        cz: inFrame(o.cz, o.frame, frame, o.n),
      };
    });
}

/** Distances of the catalogue for one galaxy; without a velocity none has a place in the plot. */
export function fromCatalogue(name: string, distances: readonly KnownDistance[], at: Vector, czHel: number | null): Known[] {
  if (czHel === null) return [];
  return distances.flatMap((d): Known[] => {
    if (!(d.d_mpc > 0)) return [];
    return [{ name: `${name} (${d.method}, ${d.source})`, n: at, cz: czHel, frame: "hel", d: d.d_mpc, error: errorOf(d) }];
  });
}

/** The stated error of a distance, Mpc, also where the catalogue states it in magnitudes; null when it states none. */
export function errorOf(d: KnownDistance): number | null {
  return d.error_mpc ?? (d.modulus_error === undefined ? null : 0.2 * Math.LN10 * d.d_mpc * d.modulus_error);
}

/** A title as the lists above have it: lower case, without unit in brackets and without odd signs. */
function plain(title: string): string {
  return title
    .toLowerCase()
    .replace(/[[(].*?[\])]/g, "")
    .replace(/^_+/, "")
    .trim()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/_+$/, "");
}

function errorColumn(columns: readonly string[], of: number): number | null {
  const name = columns[of] ?? "";
  const stem = name.replace(/_mpc$/, "");
  const known = [name, stem].flatMap((s) => [
    `e_${s}`,
    `${s}_err`,
    `${s}_error`,
    `err_${s}`,
    `sigma_${s}`,
    `${s}_sigma`,
    `${s}_e`,
    `e${s}`,
    `${s}_err_diag`,
  ]);
  const at = columns.findIndex((c, i) => i !== of && (known.includes(c) || known.includes(c.replace(/_mpc$/, ""))));
  return at < 0 ? null : at;
}

function splitter(head: string): (line: string) => string[] {
  const mark = ["\t", ",", ";", "|"].find((m) => head.includes(m));
  if (mark === undefined) return (line) => line.trim().split(/\s+/);
  return (line) => cellsOf(line, mark);
}

/** Degrees from decimal degrees or from "hh mm ss", "hh:mm:ss"; `turn` is 15 where bare numbers are hours. */
function degrees(text: string, turn: 1 | 15): number {
  const parts = readSexagesimal(text);
  if (parts === null) return Number(text);
  return parts.value * (parts.unit === "d" ? 1 : turn);
}

/** What the service answers, in its own words; units stand beside each number. `null` is unknown. */

export type SkyFrame = "icrs" | "galactic" | "supergalactic";
export type VelocityFrame = "hel" | "cmb" | "lg" | "ls" | "gsr";
export type FlowType = "distance" | "hubble" | "luminosity" | "comoving";

/** Longitude and latitude, degrees. */
export interface LonLat {
  lon: number;
  lat: number;
}

export type Position = Record<SkyFrame, LonLat>;
/** c times redshift in five frames, km/s. */
export type Velocities = Record<VelocityFrame, number>;

/** Summary of one distribution, in `unit`. */
export interface Summary {
  mean: number | null;
  std: number | null;
  mode: number | null;
  p2_5: number | null;
  p16: number | null;
  median: number | null;
  p84: number | null;
  p97_5: number | null;
  unit: string;
}

export interface Modulus {
  mean: number | null;
  std: number | null;
  median: number | null;
  p16: number | null;
  p84: number | null;
}

/** A distance at which the model shows exactly the observed velocity. */
export interface Root {
  r_hmpc: number;
  d_mpc: number;
  cz_hubble: number;
  v_rad: number;
  slope: number;
  weight: number;
}

/** A distribution function: density of `flow_type` at `x`, per `unit`. */
export interface Grid {
  flow_type: FlowType;
  unit: string;
  x: number[];
  pdf: number[];
}

export interface CatalogRecord {
  name: string;
  version: string;
  licence: string;
}

/** What every answer repeats: which field, frames, cosmology, scatter, prior, code. */
export interface Provenance {
  field: { id: string; version: string; citation: string };
  frame: SkyFrame;
  cz_frame: VelocityFrame;
  cosmology: { H0: number; Om: number };
  sigma_v: number;
  prior: string;
  alpha?: number;
  use_field_sigma?: boolean;
  observer?: string;
  composition?: string;
  cfcore: string;
}

/** One object: GET /get_flow_galaxy and, without the names, /get_flow_by_position. */
export interface Flow extends Provenance, Record<FlowType, Summary> {
  name: string | null;
  position: Position;
  cz: Velocities;
  modulus: Modulus;
  roots: Root[];
  v_rad: number | null;
  v_rad_std: number | null;
  v_pec: { sgx: number | null; sgy: number | null; sgz: number | null };
  delta: number | null;
  inside_fraction: number;
  evidence: number | null;
  flags: string[];
  status: string;
  detail?: string;
  grid?: Grid;
  canonical?: string;
  object_type?: string;
  matched_as?: string;
  redirected_from?: string | null;
  cz_source?: string;
  catalog?: CatalogRecord;
  velocity?: VelocityUsed;
}

/** Which velocity of a named galaxy was used; `why` when it is not the one that was asked. */
export interface VelocityUsed {
  used: "own" | "group" | "given";
  why?: string;
  group?: Group;
  /** Greatest difference between catalogues, km/s, with its sentence. */
  spread?: number;
  warning?: string;
}

/** A group of galaxies that holds the one asked. */
export interface Group {
  name: string;
  n_members: number | null;
  cz: { hel: number; cmb: number };
  sigma_p: number | null;
  distance_mpc: number | null;
  membership: string;
  source: string;
  citation: string;
}

export interface CatalogVelocity {
  value: number;
  error: number | null;
  frame: VelocityFrame;
  convention: string;
  source: string;
  reference: string | null;
  is_photometric: boolean;
  used: boolean;
  /** As the catalogue holds it, in its own frame and convention. */
  given?: { value: number; frame: string; convention: string };
}

/** A distance of the catalogues, measured without the redshift; `modulus` in mag where the catalogue holds that. */
export interface KnownDistance {
  method: string;
  d_mpc: number;
  error_mpc?: number;
  modulus?: number;
  modulus_error?: number;
  source: string;
}

/** GET /v1/cone with distances=true: galaxies whose distance was measured, nearest to the axis first. */
export interface MeasuredCone {
  n: number;
  more_results: boolean;
  /** Catalogues that hold measured distances, wherever on the sky. */
  distance_catalogs: string[];
  objects: { name: string; cz_helio: number | null; position: Pick<Position, "icrs">; distances: KnownDistance[] }[];
}

/** GET /get_galaxy_detail. */
export interface Detail {
  name: string;
  canonical: string;
  object_type: string;
  matched_as: string;
  redirected_from: string | null;
  position: Position;
  z_helio: number | null;
  cz_helio: number | null;
  velocities: CatalogVelocity[];
  magnitudes: Record<string, number | null> | null;
  morphology: string | null;
  /** Axes in arcmin, position angle in degrees. */
  size_arcmin: { major?: number | null; minor?: number | null; pa?: number | null } | null;
  cross_ids: string[];
  common_names: string[];
  distances: KnownDistance[];
  notes: string[];
  catalog: CatalogRecord;
  catalogs: (CatalogRecord & { id: string })[];
  group: Group | null;
}

/** GET /get_distance_table: one line of sight as columns; `p` is there with an observed velocity. */
export interface Sightline extends Provenance {
  name: string | null;
  position: Position;
  cz_observed: number | null;
  n: number;
  unit: Record<string, string>;
  columns: Record<
    "r_hmpc" | "d_mpc" | "cz_hubble" | "cz" | "v_rad" | "delta" | "sigma" | "inside",
    (number | null)[]
  > & { p?: (number | null)[]; v_rad_std?: (number | null)[] };
}

export interface Hint {
  name: string;
  canonical: string;
  object_type: string;
  cz_helio: number | null;
  also: string | null;
}

export interface Hints {
  hints: Hint[];
  more_results: boolean;
}

export interface FieldRecord {
  id: string;
  version: string;
  title: string;
  citation: string;
  bibtex: string;
  licence: string;
  sky_frame: string;
  shape: [number, number, number];
  r_max_hmpc: number;
  trusted_hmpc: number | null;
  sigma_v: number;
  realisations: number | null;
  has_density: boolean | null;
  has_sigma: boolean | null;
  default: boolean;
  /** Nodes an axis -> immutable address of the preview tile. */
  previews: Record<string, string>;
}

export interface Fields {
  default: string | null;
  fields: FieldRecord[];
  software_bibtex: string;
}

/** Galaxies with a velocity: sgl, sgb in degrees, cz_cmb in km/s. */
export interface Galaxies {
  n: number;
  total: number;
  columns: { name: string[]; sgl: number[]; sgb: number[]; cz_cmb: number[] };
  catalog: CatalogRecord;
}

/** Names to suggest to somebody who asked one that is none. */
export interface Suggestion {
  name: string;
  reason: string;
}

/** One name of POST /v1/resolve: what it is, or why it is none. */
export interface Resolution {
  status: string;
  name: string | null;
  cz_helio?: number | null;
  catalog?: CatalogRecord;
  detail?: string;
  suggestions?: Problem["suggestions"];
  candidates?: Problem["candidates"];
}

/** Problem JSON (RFC 9457) of every refusal. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  where?: string;
  hint?: string;
  suggestions?: Suggestion[];
  /** Galaxies that share an ambiguous name; ICRS degrees. */
  candidates?: { name: string; reason: string; ra: number; dec: number }[];
  object_type?: string;
  canonical?: string;
  known?: string[];
  request_id?: string;
}

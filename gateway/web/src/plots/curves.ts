/** Lines of sight as curves: what the model predicts, how sure it is, where fields disagree, how far to look. No DOM. */

import { bisector } from "d3-array";
import type { Flow, Sightline } from "../api/types";
import { C_KMS } from "../field/velocityFrames";

/** Lengths of the axis: Mpc need H0, h^-1 Mpc do not. */
export type LengthUnit = "mpc" | "hmpc";

/** One line of sight. Lengths in comoving h^-1 Mpc, velocities in km/s; NaN where the field is not there. */
export interface Curve {
  field: string;
  r: number[];
  /** Predicted velocity in the frame of the plot. */
  cz: number[];
  /** Velocity without any flow, in the frame of the plot: what parts the model from it is the peculiar velocity alone. */
  hubble: number[];
  /** Scatter of observed velocities about the prediction: sigma_v and the field's own spread in quadrature. */
  total: number[];
  /** The field's own error alone (spread of its realisations, or its error cube); null when it has none. */
  own: number[] | null;
  sigmaV: number;
  H0: number;
}

/** A stretch of the line where two fields differ by more than their scatters together. */
export interface Disagreement {
  from: number;
  to: number;
  /** The largest difference, second minus first, km/s, and where. */
  most: number;
  at: number;
  /** The scatters together at that place, km/s. */
  allowed: number;
}

const numberOr = (x: number | null | undefined): number => x ?? Number.NaN;
const HMPC_LEAST = 8;

/** Read a line of sight as a curve. */
export function curveOf(s: Sightline): Curve {
  const c = s.columns;
  const r = c.r_hmpc.map(numberOr);
  const isThere = r.map((_, i) => (c.inside[i] ?? 0) > 0 && c.cz[i] !== null);
  const zbar = c.cz_hubble.map((x) => numberOr(x) / C_KMS);
  // 1+z = (1+zbar)(1+v_r/c) times what the frame adds, which is the same all along one line
  const i0 = isThere.indexOf(true);
  const one = (x: number | null | undefined): number => 1 + numberOr(x) / C_KMS;
  const added = i0 < 0 ? 1 : one(c.cz[i0]) / (one(c.v_rad[i0]) * (1 + numberOr(zbar[i0])));
  const hubble = zbar.map((z) => C_KMS * ((1 + z) * added - 1));
  const spread = c.v_rad_std?.some((x) => x !== null) ? c.v_rad_std : null;
  const cube = c.sigma.some((x) => x !== null) ? c.sigma : null;
  // an error of v_r moves cz by (1 + zbar) times as much
  const own = (spread ?? cube)?.map((x, i) => numberOr(x) * (1 + numberOr(zbar[i]))) ?? null;
  const counts = spread !== null || s.use_field_sigma === true;
  return {
    field: s.field.id,
    r,
    hubble,
    own,
    sigmaV: s.sigma_v,
    H0: s.cosmology.H0,
    cz: c.cz.map((x, i) => (isThere[i] ? numberOr(x) : Number.NaN)),
    total: r.map((_, i) => Math.hypot(s.sigma_v, counts ? (own?.[i] ?? 0) || 0 : 0)),
  };
}

/** True when distances and a line of sight answer the same question, of whatever field. */
export function answerTheSame(flow: Flow, line: Sightline): boolean {
  const [a, b] = [flow.position.icrs, line.position.icrs];
  return (
    a.lon === b.lon &&
    a.lat === b.lat &&
    flow.cosmology.H0 === line.cosmology.H0 &&
    flow.cosmology.Om === line.cosmology.Om &&
    flow.prior === line.prior &&
    line.cz_observed !== null &&
    Math.abs(flow.cz[line.cz_frame] - line.cz_observed) < 0.5
  );
}

/** A length of the curves in the unit of the axis. */
export function lengthIn(unit: LengthUnit, r: number, H0: number): number {
  return unit === "mpc" ? r / (H0 / 100) : r;
}

const place = bisector((x: number) => x);

/** Linear interpolation of `y` over rising `x`; NaN outside and beside gaps. */
export function interpolate(x: readonly number[], y: readonly number[], at: number): number {
  const n = x.length;
  if (n === 0 || !(at >= (x[0] ?? Number.NaN)) || !(at <= (x[n - 1] ?? Number.NaN))) return Number.NaN;
  const j = Math.min(place.right(x, at), n - 1);
  const i = Math.max(j - 1, 0);
  const [xi = 0, xj = 0, yi = Number.NaN, yj = Number.NaN] = [x[i], x[j], y[i], y[j]];
  // a value beside a gap still stands on its own node
  if (at === xi || xj === xi) return yi;
  return at === xj ? yj : yi + ((yj - yi) * (at - xi)) / (xj - xi);
}

/** Where the field ends on this line, h^-1 Mpc. */
export function endOf(curve: Curve): number {
  for (let i = curve.r.length - 1; i >= 0; i -= 1) if (Number.isFinite(curve.cz[i])) return curve.r[i] ?? 0;
  return curve.r.at(-1) ?? 1;
}

/** How far the drawing goes, h^-1 Mpc: what may be the distance and some way beyond; without an answer the whole line. */
export function farEnd(curve: Curve, found: { roots: readonly { r_hmpc: number }[]; p97_5: number | null } | null): number {
  const end = endOf(curve);
  const far = Math.max(1.6 * Math.max(0, ...(found?.roots ?? []).map((x) => x.r_hmpc)), 1.25 * (found?.p97_5 ?? 0));
  return far > 0 ? Math.min(Math.max(far, HMPC_LEAST), end) : end;
}

/** Range of velocities that shows all curves up to `far`, with room above and below. */
export function velocityRange(curves: readonly Curve[], far: number, others: readonly number[]): [number, number] {
  const seen = others.filter(Number.isFinite);
  curves.forEach((c, k) => {
    c.r.forEach((r, i) => {
      if (r > far) return;
      const [cz = Number.NaN, total = 0] = [c.cz[i], c.total[i]];
      if (Number.isFinite(cz)) seen.push(...(k === 0 ? [cz - total, cz + total] : [cz]));
    });
    seen.push(0, ...[c.hubble[0] ?? 0, interpolate(c.r, c.hubble, far)].filter(Number.isFinite));
  });
  const [least, greatest] = seen.length > 0 ? [Math.min(...seen), Math.max(...seen)] : [0, 1000];
  const room = 0.05 * (greatest - least || 1000);
  return [least - room, greatest + room];
}

/** Stretches up to `far` where curve `b` differs from curve `a` by more than both scatters in quadrature. */
export function disagreements(a: Curve, b: Curve, far: number): Disagreement[] {
  const out: Disagreement[] = [];
  let open: Disagreement | null = null;
  let before: { r: number; excess: number } | null = null;
  const crossing = (r: number, excess: number): number =>
    before === null ? r : before.r + ((r - before.r) * before.excess) / (before.excess - excess);
  for (const [i, r] of a.r.entries()) {
    if (r > far) break;
    const difference = interpolate(b.r, b.cz, r) - (a.cz[i] ?? Number.NaN);
    const allowed = Math.hypot(a.total[i] ?? 0, interpolate(b.r, b.total, r));
    const excess = Math.abs(difference) - allowed;
    if (Number.isNaN(excess)) {
      if (open !== null) out.push(open);
      [open, before] = [null, null];
      continue;
    }
    if (excess > 0) {
      open ??= { from: crossing(r, excess), to: r, most: difference, at: r, allowed };
      open.to = r;
      if (Math.abs(difference) > Math.abs(open.most)) Object.assign(open, { most: difference, at: r, allowed });
    } else if (open !== null) {
      out.push({ ...open, to: crossing(r, excess) });
      open = null;
    }
    before = { r, excess };
  }
  if (open !== null) out.push(open);
  return out;
}

/** Stretches up to `far` where the predicted velocity falls by at least `least` km/s while the distance grows. */
export function fallingStretches(curve: Curve, far: number, least = 20): [number, number][] {
  const out: [number, number][] = [];
  let top: { r: number; cz: number } | null = null;
  let low: { r: number; cz: number } | null = null;
  const close = (): void => {
    if (top !== null && low !== null && top.cz - low.cz >= least) out.push([top.r, low.r]);
    [top, low] = [null, null];
  };
  let last = Number.NaN;
  for (const [i, r] of curve.r.entries()) {
    const cz = curve.cz[i] ?? Number.NaN;
    if (r > far) break;
    if (cz < last) {
      top ??= { r: curve.r[i - 1] ?? r, cz: last };
      low = { r, cz };
    } else close();
    last = cz;
  }
  close();
  return out;
}

/** Hand-made answers for tests of the plots: simple enough to check by head. */

import type { Flow, Sightline, Summary } from "../api/types";

const PLACE = { icrs: { lon: 10, lat: 20 }, galactic: { lon: 0, lat: 0 }, supergalactic: { lon: 0, lat: 0 } };

/** A line of sight at H0 = 50 (so that D = 2 r) with steps of 10 h^-1 Mpc; `cz` null is outside the lattice. */
export function handLine(
  field: string,
  cz: readonly (number | null)[],
  more: { spread?: number[]; sigma?: number[]; p?: number[]; observed?: number | null; sigma_v?: number } = {},
): Sightline {
  const r = cz.map((_, i) => 10 * i);
  return {
    name: "Hand 1",
    position: PLACE,
    cz_observed: more.observed ?? null,
    n: cz.length,
    unit: { r_hmpc: "h^-1 Mpc", cz: "km/s" },
    columns: {
      r_hmpc: r,
      d_mpc: r.map((x) => 2 * x),
      cz_hubble: r.map((x) => 100 * x),
      cz: [...cz],
      v_rad: cz.map(() => 0),
      delta: cz.map(() => 0),
      sigma: cz.map((_, i) => more.sigma?.[i] ?? null),
      inside: cz.map((x) => (x === null ? 0 : 1)),
      ...(more.spread ? { v_rad_std: more.spread } : {}),
      ...(more.p ? { p: more.p } : {}),
    },
    field: { id: field, version: "1-abc", citation: "by hand" },
    frame: "icrs",
    cz_frame: "cmb",
    cosmology: { H0: 50, Om: 0.3 },
    sigma_v: more.sigma_v ?? 200,
    prior: "volume",
    cfcore: "0.1.0",
  };
}

/** Distances with three roots at 20, 30 and 50 h^-1 Mpc, and a triangle as density of D. */
export function handFlow(field: string): Flow {
  const summary = (k: number, unit: string): Summary => ({
    mean: 60 * k,
    std: 20 * k,
    mode: 60 * k,
    p2_5: 30 * k,
    p16: 44 * k,
    median: 60 * k,
    p84: 76 * k,
    p97_5: 90 * k,
    unit,
  });
  const root = (r: number, weight: number) => ({ r_hmpc: r, d_mpc: 2 * r, cz_hubble: 100 * r, v_rad: 0, slope: 1, weight });
  return {
    name: "Hand 1",
    position: PLACE,
    cz: { hel: 2500, cmb: 2500, lg: 2500, ls: 2500, gsr: 2500 },
    distance: summary(1, "Mpc"),
    luminosity: summary(1.01, "Mpc"),
    comoving: summary(0.5, "h^-1 Mpc"),
    hubble: summary(50, "km/s"),
    modulus: { mean: 34, std: 0.5, median: 34, p16: 33.5, p84: 34.5 },
    roots: [root(20, 0.25), root(30, 0.004), root(50, 0.746)],
    v_rad: 0,
    v_rad_std: null,
    v_pec: { sgx: 0, sgy: 0, sgz: 0 },
    delta: 0,
    inside_fraction: 1,
    evidence: 1,
    flags: ["multi_root"],
    status: "ok",
    grid: { flow_type: "distance", unit: "Mpc", x: [0, 20, 60, 100, 120], pdf: [0, 0, 0.025, 0, 0] },
    field: { id: field, version: "1-abc", citation: "by hand" },
    frame: "icrs",
    cz_frame: "cmb",
    cosmology: { H0: 50, Om: 0.3 },
    sigma_v: 200,
    prior: "volume",
    cfcore: "0.1.0",
  };
}

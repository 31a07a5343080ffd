/** Well-known structures of the nearby Universe, to find one's way. Names on a map: nothing is computed from them. */

export interface Structure {
  name: string;
  /** Supergalactic longitude and latitude, degrees. */
  sgl: number;
  sgb: number;
  /** Comoving distance, h^-1 Mpc. */
  r_hmpc: number;
  kind: "cluster" | "void";
  /** Where the numbers come from. */
  reference: string;
}

// Abell clusters: positions of Abell, Corwin & Olowin (1989, ApJS 70, 1), redshifts of Struble & Rood (1999, ApJS 125, 35):
// A3526 0.0114, A1060 0.0126, A1656 0.0231, A426 0.0179, A3558 0.0480. They were brought to the CMB frame and to a comoving
// distance (Omega_m = 0.3) as if the clusters were at rest; peculiar velocities move them by a few h^-1 Mpc.
const ABELL = "Abell, Corwin & Olowin 1989, ApJS 70, 1; Struble & Rood 1999, ApJS 125, 35";

/** The structures, those that matter most for orientation first. */
export const STRUCTURES: readonly Structure[] = [
  // M 87; 16.5 Mpc by surface brightness fluctuations, with H0 = 74.6 of Tully et al. (2023, ApJ 944, 94)
  { name: "Virgo", sgl: 102.9, sgb: -2.3, r_hmpc: 12.3, kind: "cluster", reference: "Mei et al. 2007, ApJ 655, 144" },
  { name: "Shapley", sgl: 148.9, sgb: -1.4, r_hmpc: 145.2, kind: "cluster", reference: `A3558: ${ABELL}` },
  { name: "Perseus–Pisces", sgl: 347.9, sgb: -14.3, r_hmpc: 51.8, kind: "cluster", reference: `A426: ${ABELL}` },
  { name: "Coma", sgl: 89.6, sgb: 8.3, r_hmpc: 71.6, kind: "cluster", reference: `A1656: ${ABELL}` },
  { name: "Centaurus", sgl: 156.4, sgb: -11.4, r_hmpc: 36.9, kind: "cluster", reference: `A3526: ${ABELL}` },
  { name: "Hydra", sgl: 139.4, sgb: -37.6, r_hmpc: 41.1, kind: "cluster", reference: `A1060: ${ABELL}` },
  // NGC 1399; 20.0 Mpc, with the same H0 as Virgo
  { name: "Fornax", sgl: 262.5, sgb: -42.1, r_hmpc: 14.9, kind: "cluster", reference: "Blakeslee et al. 2009, ApJ 694, 556" },
  // direction of the emptiest circle; its centre lies at least 23 Mpc away, with the same H0
  {
    name: "Local Void", sgl: 86.5, sgb: 85.3, r_hmpc: 17.2, kind: "void",
    reference: "Karachentseva et al. 1999, A&AS 135, 221; Tully et al. 2008, ApJ 676, 184",
  },
];

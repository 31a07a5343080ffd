/** The preview of a field: int8 planes on supergalactic axes, decoded and interpolated. For looking; numbers come from the API. */

import { toVector } from "./frames";

const MAGIC = "CFTILE01";
const ABSENT = -128;
const STEPS = 127;

/** Header of a preview, as the server writes it (docs/preview.md). */
export interface TileHeader {
  format: "cosmicflows-preview";
  n: number;
  origin_hmpc: [number, number, number];
  spacing_hmpc: number;
  frame: "supergalactic";
  field: { id: string; version: string; title: string };
  r_max_hmpc: number;
  trusted_hmpc: number | null;
  planes: string[];
  velocity: { unit: "km/s"; scale: number; power: number };
  density: { scale: number } | null;
}

/** A decoded preview. Arrays have n*n*n values, x slowest and z fastest; NaN where the field is not there. */
export interface Tile {
  header: TileHeader;
  n: number;
  /** Half the edge of the cube, h^-1 Mpc; the observer stands at its centre. */
  half: number;
  spacing: number;
  /** Velocity components, km/s, CMB frame. */
  vx: Float32Array;
  vy: Float32Array;
  vz: Float32Array;
  /** Density contrast, or null when the field has none. */
  delta: Float32Array | null;
}

/** Decode the body of a preview. Throws when it is none. */
export function decodeTile(body: ArrayBuffer): Tile {
  const head = new DataView(body);
  const text = new TextDecoder();
  if (body.byteLength < 12 || text.decode(new Uint8Array(body, 0, 8)) !== MAGIC) throw new Error("this is no preview of a field");
  const length = head.getUint32(8, true);
  const header = JSON.parse(text.decode(new Uint8Array(body, 12, length))) as TileHeader;
  const { n } = header;
  const cells = n ** 3;
  if (body.byteLength !== 12 + length + header.planes.length * cells) throw new Error("the preview of the field is cut short");
  const plane = (name: string, table: Float32Array): Float32Array | null => {
    const at = header.planes.indexOf(name);
    if (at < 0) return null;
    const bytes = new Uint8Array(body, 12 + length + at * cells, cells);
    const out = new Float32Array(cells);
    for (let i = 0; i < cells; i++) out[i] = table[bytes[i]!]!;
    return out;
  };
  const { scale, power } = header.velocity;
  const velocity = codes((q) => Math.sign(q) * Math.abs(q) ** power * scale);
  const [vx, vy, vz] = ["vx", "vy", "vz"].map((name) => plane(name, velocity));
  if (!vx || !vy || !vz) throw new Error("the preview of the field lacks a component");
  const density = header.density;
  return {
    header, n, spacing: header.spacing_hmpc, half: -header.origin_hmpc[0], vx, vy, vz,
    delta: density ? plane("delta", codes((q) => Math.exp(q * density.scale) - 1)) : null,
  };
}

/** Value of each byte (as unsigned), from its signed fraction q in -1 ... 1. */
function codes(value: (q: number) => number): Float32Array {
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const code = byte > STEPS ? byte - 256 : byte;
    return code === ABSENT ? Number.NaN : value(code / STEPS);
  });
}

/** Interpolate a plane trilinearly at a point in h^-1 Mpc; NaN outside, and beside nodes that are not there. */
export function sample(tile: Tile, plane: Float32Array, x: number, y: number, z: number): number {
  const { n, half, spacing } = tile;
  const last = n - 1;
  const fx = (x + half) / spacing;
  const fy = (y + half) / spacing;
  const fz = (z + half) / spacing;
  if (!(fx >= 0 && fy >= 0 && fz >= 0 && fx <= last && fy <= last && fz <= last)) return Number.NaN;
  const i = Math.min(Math.floor(fx), last - 1);
  const j = Math.min(Math.floor(fy), last - 1);
  const k = Math.min(Math.floor(fz), last - 1);
  const u = fx - i;
  const v = fy - j;
  const w = fz - k;
  const a = (i * n + j) * n + k;
  const b = a + n * n;
  const low =
    (plane[a]! * (1 - w) + plane[a + 1]! * w) * (1 - v) + (plane[a + n]! * (1 - w) + plane[a + n + 1]! * w) * v;
  const high =
    (plane[b]! * (1 - w) + plane[b + 1]! * w) * (1 - v) + (plane[b + n]! * (1 - w) + plane[b + n + 1]! * w) * v;
  return low * (1 - u) + high * u;
}

/** Velocity at a point, km/s; written into `out` to spare the garbage of a million calls. False outside. */
export function velocityAt(tile: Tile, x: number, y: number, z: number, out: Float64Array): boolean {
  out[0] = sample(tile, tile.vx, x, y, z);
  out[1] = sample(tile, tile.vy, x, y, z);
  out[2] = sample(tile, tile.vz, x, y, z);
  return out[0] === out[0];
}

/** Unit vector of supergalactic longitude and latitude, degrees. */
export const direction = toVector;

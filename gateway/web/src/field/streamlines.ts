/** Streamlines of a preview: where a drop of matter would drift if the flow of today stood still. Pure; draws nothing. */

import { type Tile, velocityAt } from "./tile";

/** Lines one after another: line i holds the points `starts[i]` ... `starts[i + 1] - 1`. */
export interface Lines {
  /** x, y, z of each point, h^-1 Mpc. */
  points: Float32Array<ArrayBuffer>;
  /** Speed at each point, km/s. */
  speeds: Float32Array<ArrayBuffer>;
  starts: Uint32Array<ArrayBuffer>;
}

/** How to follow the flow; lengths in h^-1 Mpc. */
export interface Following {
  /** Arc length of one step. */
  step: number;
  /** Steps in one direction. */
  most: number;
  /** Lines end beyond this distance from the observer. */
  reach: number;
}

/** Slower than this (km/s) the direction is rounding of the preview, not flow. */
const STILL = 1e-3;
/** Lines shorter than this many points are dust, not lines. */
const FEWEST_POINTS = 6;
/** Every so many steps a line is asked whether it still gets anywhere. */
const LOOK_BACK = 12;
/** A line that came this part of its path away from where it was turns on the spot. */
const PROGRESS = 0.25;

/**
 * Return n quasi-random points in a sphere around the observer: a Halton sequence in the bases 2, 3, 5 leaves neither
 * clumps nor holes, which random points do and which a lattice would show as planes.
 */
export function seedsIn(radius: number, n: number, first = 1): Float64Array {
  const out = new Float64Array(3 * n);
  for (let found = 0, i = first; found < n; i++) {
    const x = 2 * halton(i, 2) - 1;
    const y = 2 * halton(i, 3) - 1;
    const z = 2 * halton(i, 5) - 1;
    if (x * x + y * y + z * z > 1) continue;
    out.set([x * radius, y * radius, z * radius], 3 * found++);
  }
  return out;
}

function halton(index: number, base: number): number {
  let sum = 0;
  for (let i = index, part = 1 / base; i > 0; i = Math.floor(i / base), part /= base) sum += (i % base) * part;
  return sum;
}

/** Follows the flow; keeps its working arrays, so that a million steps make no garbage. */
export class Follower {
  private readonly v = new Float64Array(3);
  private readonly k = new Float64Array(12);

  constructor(private readonly tile: Tile) {}

  /** Write the unit direction of the flow into k at `at`; false where there is none. */
  private direction(x: number, y: number, z: number, at: number): boolean {
    const { v, k } = this;
    if (!velocityAt(this.tile, x, y, z, v)) return false;
    const speed = Math.hypot(v[0]!, v[1]!, v[2]!);
    // written so that NaN of any component ends the line as well
    if (!(speed > STILL)) return false;
    k[at] = v[0]! / speed;
    k[at + 1] = v[1]! / speed;
    k[at + 2] = v[2]! / speed;
    return true;
  }

  /** Speed at a point, km/s; NaN where the field is not. */
  speed(x: number, y: number, z: number): number {
    return velocityAt(this.tile, x, y, z, this.v) ? Math.hypot(this.v[0]!, this.v[1]!, this.v[2]!) : Number.NaN;
  }

  /** One step of fourth-order Runge and Kutta in arc length (h < 0: against the flow); false when the flow ends on the way. */
  advance(p: Float64Array, h: number): boolean {
    const { k } = this;
    const [x, y, z] = p as unknown as [number, number, number];
    if (!this.direction(x, y, z, 0)) return false;
    if (!this.direction(x + (h / 2) * k[0]!, y + (h / 2) * k[1]!, z + (h / 2) * k[2]!, 3)) return false;
    if (!this.direction(x + (h / 2) * k[3]!, y + (h / 2) * k[4]!, z + (h / 2) * k[5]!, 6)) return false;
    if (!this.direction(x + h * k[6]!, y + h * k[7]!, z + h * k[8]!, 9)) return false;
    for (let c = 0; c < 3; c++) p[c] = p[c]! + (h / 6) * (k[c]! + 2 * k[c + 3]! + 2 * k[c + 6]! + k[c + 9]!);
    return true;
  }

  /** Follow from a point; the points behind it are written into `out` from `at` on, their number is returned. */
  follow(seed: ArrayLike<number>, sign: 1 | -1, how: Following, out: Float32Array, at: number): number {
    const p = Float64Array.of(seed[0]!, seed[1]!, seed[2]!);
    const far = how.reach ** 2;
    const least = (PROGRESS * LOOK_BACK * how.step) ** 2;
    for (let i = 0; i < how.most; i++) {
      if (!this.advance(p, sign * how.step) || p[0]! ** 2 + p[1]! ** 2 + p[2]! ** 2 > far) return i;
      const to = at + 3 * i;
      out[to] = p[0]!;
      out[to + 1] = p[1]!;
      out[to + 2] = p[2]!;
      if (i % LOOK_BACK === 0 && i > 0) {
        const before = to - 3 * LOOK_BACK;
        const way = (out[to]! - out[before]!) ** 2 + (out[to + 1]! - out[before + 1]!) ** 2 + (out[to + 2]! - out[before + 2]!) ** 2;
        // it has arrived: what would follow is a knot of the step's size
        if (way < least) return i - LOOK_BACK + 1;
      }
    }
    return how.most;
  }
}

/** Follow the flow from each seed, with it and against it. */
export function streamlines(tile: Tile, seeds: Float64Array, how: Following): Lines {
  const follower = new Follower(tile);
  const n = seeds.length / 3;
  const back = new Float32Array(3 * how.most);
  const room = 2 * how.most + 1;
  let points = new Float32Array(3 * room * Math.min(n, 64));
  const starts = new Uint32Array(n + 1);
  let lines = 0;
  let used = 0;
  for (let s = 0; s < n; s++) {
    const seed = seeds.subarray(3 * s, 3 * s + 3);
    if (!(follower.speed(seed[0]!, seed[1]!, seed[2]!) > STILL)) continue;
    if (points.length < 3 * (used + room)) points = grown(points, 3 * (used + room));
    const behind = follower.follow(seed, -1, how, back, 0);
    for (let i = 0; i < behind; i++) {
      const from = 3 * (behind - 1 - i);
      points.set([back[from]!, back[from + 1]!, back[from + 2]!], 3 * (used + i));
    }
    points.set(seed, 3 * (used + behind));
    const ahead = follower.follow(seed, 1, how, points, 3 * (used + behind + 1));
    const length = behind + 1 + ahead;
    if (length < FEWEST_POINTS) continue;
    used += thinned(points, used, length);
    starts[++lines] = used;
  }
  const kept = points.slice(0, 3 * used);
  const speeds = new Float32Array(used);
  for (let i = 0; i < used; i++) speeds[i] = follower.speed(kept[3 * i]!, kept[3 * i + 1]!, kept[3 * i + 2]!);
  return { points: kept, speeds, starts: starts.slice(0, lines + 1) };
}

/** A line bends no more than this between two of its points (cosine of 5 degrees), */
const BEND = Math.cos((5 * Math.PI) / 180);
/** and so many steps lie between them at most: colours change along straight lines too. */
const STRIDE = 5;

/** Leave out points where a line is straight, in place; most points are such, and each costs time in every frame. */
function thinned(points: Float32Array, first: number, length: number): number {
  const at = 3 * first;
  let kept = 1;
  let last = 0;
  // direction of the line where it left the last point that stays
  let [ax, ay, az] = [points[at + 3]! - points[at]!, points[at + 4]! - points[at + 1]!, points[at + 5]! - points[at + 2]!];
  for (let i = 1; i < length; i++) {
    const from = at + 3 * i;
    const isLast = i === length - 1;
    const bx = isLast ? 0 : points[from + 3]! - points[from]!;
    const by = isLast ? 0 : points[from + 4]! - points[from + 1]!;
    const bz = isLast ? 0 : points[from + 5]! - points[from + 2]!;
    const isStraight = ax * bx + ay * by + az * bz > BEND * Math.hypot(ax, ay, az) * Math.hypot(bx, by, bz);
    if (!isLast && isStraight && i - last < STRIDE) continue;
    points.copyWithin(at + 3 * kept, from, from + 3);
    kept += 1;
    last = i;
    [ax, ay, az] = [bx, by, bz];
  }
  return kept;
}

function grown(old: Float32Array<ArrayBuffer>, least: number): Float32Array<ArrayBuffer> {
  const more = new Float32Array(Math.max(least, 2 * old.length));
  more.set(old);
  return more;
}

/** Small solids made of triangles: rods, balls and darts, gathered into one mesh. Pure; lengths in h^-1 Mpc. */

import { cross, type Vector } from "../field/frames";

/** Gathers triangles, each vertex with a normal and a colour (bytes, with opacity). */
export class Solids {
  readonly points: number[] = [];
  readonly normals: number[] = [];
  readonly colours: number[] = [];
  readonly triangles: number[] = [];

  private vertex(p: Vector, n: Vector, colour: ArrayLike<number>): number {
    this.points.push(...p);
    this.normals.push(...n);
    this.colours.push(colour[0]!, colour[1]!, colour[2]!, colour[3] ?? 255);
    return this.points.length / 3 - 1;
  }

  /** A rod from a to b. */
  rod(a: Vector, b: Vector, radius: number, colour: ArrayLike<number>, sides = 10): void {
    const [u, v] = across(minus(b, a));
    let before: [number, number] | null = null;
    for (let i = 0; i <= sides; i++) {
      const n = turned(u, v, (2 * Math.PI * i) / sides);
      const now: [number, number] = [this.vertex(plus(a, n, radius), n, colour), this.vertex(plus(b, n, radius), n, colour)];
      if (before !== null) this.triangles.push(before[0], now[0], now[1], before[0], now[1], before[1]);
      before = now;
    }
  }

  /** A ball. */
  ball(at: Vector, radius: number, colour: ArrayLike<number>, rings = 12): void {
    const sides = 2 * rings;
    const first = this.points.length / 3;
    for (let i = 0; i <= rings; i++) {
      const t = (Math.PI * i) / rings;
      for (let j = 0; j <= sides; j++) {
        const p = (2 * Math.PI * j) / sides;
        const n: Vector = [Math.sin(t) * Math.cos(p), Math.sin(t) * Math.sin(p), Math.cos(t)];
        this.vertex(plus(at, n, radius), n, colour);
        if (i === rings || j === sides) continue;
        const a = first + i * (sides + 1) + j;
        const b = a + sides + 1;
        this.triangles.push(a, b, b + 1, a, b + 1, a + 1);
      }
    }
  }

  /** A dart: three-sided, pointed at its head, so that its direction is seen from everywhere. */
  dart(tail: Vector, way: Vector, width: number, colour: ArrayLike<number>): void {
    const [u, v] = across(way);
    const head = plus(tail, way, 1);
    for (let i = 0; i < 3; i++) {
      const n = turned(u, v, (2 * Math.PI * (i + 0.5)) / 3);
      const a = this.vertex(plus(tail, turned(u, v, (2 * Math.PI * i) / 3), width), n, colour);
      const b = this.vertex(plus(tail, turned(u, v, (2 * Math.PI * (i + 1)) / 3), width), n, colour);
      this.triangles.push(a, b, this.vertex(head, n, colour));
    }
  }
}

/** Return the points of a circle in the plane SGX-SGY. */
export function circle(radius: number, n = 128): Float32Array<ArrayBuffer> {
  const out = new Float32Array(3 * (n + 1));
  for (let i = 0; i <= n; i++) {
    const a = (2 * Math.PI * i) / n;
    out.set([radius * Math.cos(a), radius * Math.sin(a), 0], 3 * i);
  }
  return out;
}

/** Two unit vectors across a direction and each other. */
function across(d: Vector): [Vector, Vector] {
  const size = Math.hypot(...d) || 1;
  const w: Vector = [d[0] / size, d[1] / size, d[2] / size];
  const other: Vector = Math.abs(w[2]) < 0.9 ? [0, 0, 1] : [1, 0, 0];
  const u = cross(w, other);
  const length = Math.hypot(...u);
  const first: Vector = [u[0] / length, u[1] / length, u[2] / length];
  return [first, cross(w, first)];
}

function turned(u: Vector, v: Vector, angle: number): Vector {
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return [c * u[0] + s * v[0], c * u[1] + s * v[1], c * u[2] + s * v[2]];
}

function minus(a: Vector, b: Vector): Vector {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function plus(a: Vector, b: Vector, times: number): Vector {
  return [a[0] + times * b[0], a[1] + times * b[1], a[2] + times * b[2]];
}

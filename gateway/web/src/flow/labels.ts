/** Which names can stand where without touching one another. Pure: sizes in, places out. */

/** A name that would like to stand beside a point; all in CSS pixels. */
export interface Wish {
  x: number;
  y: number;
  width: number;
  height: number;
  /** The greater, the earlier it chooses. */
  priority: number;
}

export interface Place {
  left: number;
  top: number;
}

/** Distance of a name from its point. */
const GAP = 7;
/** Least distance between two names. */
const BETWEEN = 2;

/** Return for each wish its place, or null where every side is taken or off the screen; important names choose first. */
export function placed(wishes: readonly Wish[], width: number, height: number): (Place | null)[] {
  const order = wishes.map((_, i) => i).sort((a, b) => wishes[b]!.priority - wishes[a]!.priority || a - b);
  const out: (Place | null)[] = wishes.map(() => null);
  const taken: { left: number; top: number; right: number; bottom: number }[] = [];
  for (const i of order) {
    const w = wishes[i]!;
    for (const { left, top } of sides(w)) {
      const box = { left, top, right: left + w.width, bottom: top + w.height };
      if (left < 0 || top < 0 || box.right > width || box.bottom > height) continue;
      const isFree = taken.every(
        (t) => box.left >= t.right + BETWEEN || t.left >= box.right + BETWEEN || box.top >= t.bottom + BETWEEN || t.top >= box.bottom + BETWEEN,
      );
      if (!isFree) continue;
      taken.push(box);
      out[i] = { left, top };
      break;
    }
  }
  return out;
}

/** Right of the point, left, above, below, as a cartographer tries. */
function sides({ x, y, width, height }: Wish): Place[] {
  return [
    { left: x + GAP, top: y - height / 2 },
    { left: x - GAP - width, top: y - height / 2 },
    { left: x - width / 2, top: y - GAP - height },
    { left: x - width / 2, top: y + GAP },
  ];
}

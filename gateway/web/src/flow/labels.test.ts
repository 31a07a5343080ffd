// @vitest-environment node
import { describe, expect, it } from "vitest";
import { type Wish, placed } from "./labels";

/** Made-up wishes crowding a screen; the seed is in the test's name. */
function crowd(n: number, seed: number): Wish[] {
  let state = seed;
  const next = (): number => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648;
  return Array.from({ length: n }, () => ({ x: 400 * next(), y: 300 * next(), width: 30 + 60 * next(), height: 16, priority: next() }));
}

describe("names over the picture", () => {
  it.each([1, 7, 99])("never overlap nor leave the screen (seed %i)", (seed) => {
    const wishes = crowd(60, seed);
    const places = placed(wishes, 400, 300);
    const boxes = places.flatMap((p, i) => (p ? [{ ...p, right: p.left + wishes[i]!.width, bottom: p.top + wishes[i]!.height }] : []));
    expect(boxes.length).toBeGreaterThan(15);
    for (const [i, a] of boxes.entries()) {
      expect(a.left >= 0 && a.top >= 0 && a.right <= 400 && a.bottom <= 300).toBe(true);
      for (const b of boxes.slice(i + 1)) {
        expect(a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top).toBe(true);
      }
    }
  });

  it("give way to more important ones", () => {
    const wish = (priority: number): Wish => ({ x: 50, y: 10, width: 80, height: 18, priority });
    const places = placed([wish(1), wish(5), wish(3)], 140, 20);
    expect(places.map((p) => p !== null)).toEqual([false, true, false]);
  });
});

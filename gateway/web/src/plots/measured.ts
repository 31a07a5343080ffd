/** Measured distances of the catalogues around the line of sight: asked only while they are shown, one point a galaxy. */

import { signal } from "@preact/signals";
import type { KnownDistance, LonLat, MeasuredCone } from "../api/types";
import { measuredUrl } from "../api/urls";
import { EMPTY, type Loaded } from "../state/loaded";
import { Slot } from "../state/slot";
import { toVector } from "../field/frames";
import { errorOf, type Known } from "./known";

/** Most galaxies of one drawing. */
export const MEASURED_MAX = 500;
/** The service looks no further, degrees. */
export const RADIUS_MAX = 30;
/** Whether they are wanted. */
export const isMeasuredShown = signal(false);
/** What the service knows around the line of sight. */
export const measured = signal<Loaded<MeasuredCone>>(EMPTY);
const slot = new Slot(measured);

/** Ask for the cone around a direction unless it is here; let go of everything when they are not wanted. */
export function loadMeasured(axis: LonLat | null, cone: number, epoch: number): void {
  if (!isMeasuredShown.peek() || axis === null) slot.clear();
  else void slot.fill(measuredUrl(axis.lon, axis.lat, Math.min(cone, RADIUS_MAX), MEASURED_MAX), `${axis.lon} ${axis.lat}`, epoch);
}

/** The distance that stands for a galaxy: of the smallest stated error for its size, the first listed when none states one. */
export function bestDistance(distances: readonly KnownDistance[]): KnownDistance | null {
  const share = (d: KnownDistance): number => {
    const error = errorOf(d);
    return error !== null && error > 0 ? error / d.d_mpc : Number.POSITIVE_INFINITY;
  };
  const sound = distances.filter((d) => d.d_mpc > 0);
  return sound.reduce<KnownDistance | null>((best, d) => (best === null || share(d) < share(best) ? d : best), null);
}

/** The galaxies of a cone that have a velocity, each with its one distance; the asked one has its own points. */
export function measuredIn(found: MeasuredCone, asked: string | null): Known[] {
  return found.objects.flatMap(({ name, cz_helio, position, distances }): Known[] => {
    const best = bestDistance(distances);
    if (best === null || cz_helio === null || name === asked) return [];
    const n = toVector(position.icrs.lon, position.icrs.lat);
    return [{ name: `${name} (${best.method})`, n, cz: cz_helio, frame: "hel", d: best.d_mpc, error: errorOf(best) }];
  });
}

/** How many there are, of which catalogues, and what is not drawn. */
export function measuredWords(found: MeasuredCone, cone: number): string {
  const radius = Math.min(cone, RADIUS_MAX);
  const limit = cone > RADIUS_MAX ? ` (the service looks no further than ${RADIUS_MAX}°)` : "";
  if (found.distance_catalogs.length === 0) return "The catalogues here hold no measured distances.";
  if (found.n === 0)
    return `No galaxy within ${radius}°${limit} has a measured distance in ${found.distance_catalogs.join(", ")}: widen the cone.`;
  const bySource = new Map<string, number>();
  for (const { distances } of found.objects) {
    const source = bestDistance(distances)?.source;
    if (source !== undefined) bySource.set(source, (bySource.get(source) ?? 0) + 1);
  }
  const without = found.objects.filter((o) => o.cz_helio === null).length;
  const shown = found.more_results ? `, the ${found.objects.length} nearest to the line are taken` : "";
  return (
    `${found.n} ${found.n === 1 ? "galaxy" : "galaxies"} with a measured distance within ${radius}°${limit}${shown}; ` +
    `from ${[...bySource].map(([source, n]) => `${source}: ${n}`).join("; ")}.` +
    (without === 0 ? "" : ` ${without} of them without a velocity: not drawn.`)
  );
}

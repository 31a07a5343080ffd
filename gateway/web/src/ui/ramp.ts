/** Scales of colours: stops with straight ways between them. */

/** Red, green, blue; in whatever unit the stops have. */
export type Rgb = readonly [number, number, number];

/** Return the colour at t (0 ... 1) of a scale. */
export function colourAt(stops: readonly Rgb[], t: number): Rgb {
  const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(at), stops.length - 2);
  const [a, b] = [stops[i]!, stops[i + 1]!];
  const u = at - i;
  return [a[0] + u * (b[0] - a[0]), a[1] + u * (b[1] - a[1]), a[2] + u * (b[2] - a[2])];
}

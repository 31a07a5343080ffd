/** Every address the page asks, made from the question; "copy as" shows the same ones. */

import type { Question } from "../state/question";
import type { FlowType, VelocityFrame } from "./types";

/** Rows of a sightline: about one a pixel of the plot. */
const SIGHTLINE_ROWS = 401;

type Words = Record<string, string | number | boolean | null | undefined>;

/** Return path?query, leaving out what is null or undefined. */
export function address(path: string, words: Words): string {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(words)) {
    if (value !== null && value !== undefined && value !== "") query.set(key, String(value));
  }
  const text = query.toString().replaceAll("+", "%20");
  return text ? `${path}?${text}` : path;
}

function options(q: Question, field: string): Words {
  return { field, H0: q.H0, Om: q.Om, sigma_v: q.sigma_v, prior: q.prior };
}

function place(q: Question): Words {
  const names = { icrs: ["ra", "dec"], galactic: ["glon", "glat"], supergalactic: ["sgl", "sgb"] } as const;
  const [lon, lat] = names[q.frame];
  return { [lon]: q.lon, [lat]: q.lat };
}

/** The distances of what is asked, with the density in one variable when `grid` names it. */
export function flowUrl(q: Question, field: string, grid: FlowType | null = null): string {
  // an error of a velocity without the velocity is refused
  const asked = q.cz === null ? {} : { cz: q.cz, cz_frame: q.givenFrame, sigma_cz: q.sigma_cz };
  return q.name !== null
    ? address("/get_flow_galaxy", {
        name: q.name, ...asked, velocity: q.cz === null && q.velocity === "group" ? "group" : null, ...options(q, field), grid,
      })
    : address("/get_flow_by_position", { ...place(q), ...asked, ...options(q, field), grid });
}

/** The line of sight with velocities in `frame`, which is the frame of `cz` too. */
export function sightlineUrl(q: Question, field: string, cz: number | null, frame: VelocityFrame = q.czFrame): string {
  const where = q.name !== null ? { name: q.name } : place(q);
  return address("/get_distance_table", {
    ...where, cz, cz_frame: frame, sigma_cz: cz === null ? null : q.sigma_cz, ...options(q, field), n: SIGHTLINE_ROWS,
  });
}

/** All that the catalogue knows of a galaxy. */
export const detailUrl = (name: string): string => address("/get_galaxy_detail", { name });
/** Galaxies with measured distances around a direction, the nearest ones. */
export const measuredUrl = (ra: number, dec: number, radius: number, limit: number): string =>
  address("/v1/cone", { ra, dec, radius, limit, distances: true });
/** Names that go on as typed. */
export const hintsUrl = (name: string, limit = 8): string => address("/v1/hints", { name, limit });
/** The fields the server has. */
export const fieldsUrl = (): string => "/v1/fields";
/** The galaxies to draw. */
export const galaxiesUrl = (): string => "/v1/galaxies";
/** Is somebody there, and ready. */
export const readyUrl = (): string => "/readyz";

/** What names mean, each with its own status. */
export const resolveUrl = (): string => "/v1/resolve";

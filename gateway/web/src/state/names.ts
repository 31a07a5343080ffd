/**
 * Names before they are asked: the service says of each in a success what it is, or why it is none. A refused question would do so
 * too, but browsers write every refused request on their console, where it looks like a fault of the page.
 */

import { ApiError, post } from "../api/client";
import type { Resolution } from "../api/types";
import { resolveUrl } from "../api/urls";

/** What a name is: its velocity in the catalogue, km/s heliocentric (null: none known), or why it is no galaxy. */
export type Meaning = { cz: number | null; name: string; catalog: string } | { refusal: ApiError };

const KEPT = 50;
const known = new Map<string, Promise<Meaning>>();

/** Return what a name means, asked once; throws ApiError when nobody can be asked. */
export function meaningOf(name: string): Promise<Meaning> {
  const kept = known.get(name);
  if (kept !== undefined) return kept;
  if (known.size >= KEPT) known.clear();
  const meaning = ask(name);
  known.set(name, meaning);
  // what was not answered is asked anew
  meaning.catch(() => {
    if (known.get(name) === meaning) known.delete(name);
  });
  return meaning;
}

async function ask(name: string): Promise<Meaning> {
  const { results } = await post<{ results: Resolution[] }>(resolveUrl(), { names: [name] });
  const [found] = results;
  if (found === undefined) throw new Error("a name was asked and none was answered");
  return read(found);
}

/** Forget all: the catalogue may be another one after the server's return. */
export function forgetNames(): void {
  known.clear();
}

/** The refusal of a galaxy whose velocity nobody knows. */
export function withoutVelocity(name: string, catalog: string): ApiError {
  return refusal(422, "no_velocity", { detail: `${name} is in the catalogue (${catalog}) without a velocity; give one (cz, km/s)` });
}

function read(found: Resolution): Meaning {
  if (found.status === "ok") return { cz: found.cz_helio ?? null, name: found.name ?? "", catalog: found.catalog?.name ?? "" };
  const { detail, suggestions, candidates } = found;
  return {
    refusal: refusal(found.status === "ambiguous_name" ? 409 : 404, found.status, {
      detail: detail ?? `there is no galaxy of this name (${found.status})`,
      ...(suggestions ? { suggestions } : {}),
      ...(candidates ? { candidates } : {}),
    }),
  };
}

function refusal(status: number, code: string, words: Partial<ApiError["problem"]> & { detail: string }): ApiError {
  return new ApiError({ type: `urn:cosmicflows:problem:${code}`, title: "", status, code, where: "name", ...words });
}

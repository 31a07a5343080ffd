/** Whose velocity is used for a named galaxy: the catalogue's own, its group's, or one that is typed. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { fixed } from "../ui/numbers";
import { detail, refusal } from "../state/answers";
import { ask, question } from "../state/question";
import { isAbout } from "./faults";
import { readNumber } from "./NumberBox";
import { type TypedVelocity, VelocityFields } from "./VelocityFields";

/** The velocity of the galaxy that is asked. */
export function VelocityForm() {
  const q = question.value;
  const typed = useSignal<TypedVelocity>({ cz: "", sigma: "", frame: "hel" });
  const isTried = useSignal(false);
  useEffect(() => {
    typed.value = { cz: q.cz === null ? "" : String(q.cz), sigma: q.sigma_cz === null ? "" : String(q.sigma_cz), frame: q.givenFrame };
    isTried.value = false;
  }, [q.name, q.cz, q.sigma_cz, q.givenFrame]);
  if (q.name === null) return null;

  const known = detail.value.data;
  const group = known?.group ?? null;
  const cz = readNumber(typed.value.cz);
  const sigma = readNumber(typed.value.sigma);
  const error = refusal.value;
  const said = (...words: string[]): string | null => (isAbout(error, ...words) ? (error?.message ?? null) : null);
  const wrong = {
    cz: isTried.value && typeof cz === "string" ? `cz: ${cz}`
      : error?.problem.code === "no_velocity" ? error.message : said("cz", "z", "cz_frame"),
    sigma: isTried.value && typeof sigma === "string" ? `σ(cz): ${sigma}`
      : isTried.value && sigma !== null && cz === null ? "σ(cz) needs a cz" : said("sigma_cz"),
  };
  const submit = (event: Event): void => {
    event.preventDefault();
    isTried.value = true;
    if (typeof cz === "string" || typeof sigma === "string" || (sigma !== null && cz === null)) return;
    ask({ cz, sigma_cz: sigma, givenFrame: cz === null ? "hel" : typed.value.frame, velocity: "own" });
  };
  const usual = known === null ? "" : known.cz_helio === null ? "none" : fixed(known.cz_helio);
  const groupWrong = said("velocity");
  return (
    <form class="byhand" onSubmit={submit}>
      {group === null && q.velocity !== "group" ? null : (
        <fieldset>
          <legend>Velocity of the catalogue</legend>
          {(["own", "group"] as const).map((which) => (
            <label key={which} class="pick">
              <input
                type="radio" name="whose-velocity" value={which} checked={q.cz === null && q.velocity === which}
                onChange={() => ask({ velocity: which, cz: null, sigma_cz: null })}
              />
              {which === "own" ? "the galaxy’s own" : "its group’s mean"}
              {which === "group" && group !== null
                ? <small>{group.name}{group.n_members === null ? "" : `, ${group.n_members} members`}: cz(CMB) {fixed(group.cz.cmb)} km/s</small>
                : null}
            </label>
          ))}
          {groupWrong === null ? null : <p class="wrong" role="alert">{groupWrong}</p>}
        </fieldset>
      )}
      <VelocityFields
        id="galaxy" typed={typed.value} usual={usual} wrong={wrong}
        onType={(parts) => (typed.value = { ...typed.value, ...parts })}
      />
      <div class="row">
        <button type="submit" class="go">Use this velocity</button>
        {q.cz === null ? null : (
          <button type="button" onClick={() => ask({ cz: null, sigma_cz: null, givenFrame: "hel" })}>Back to the catalogue’s</button>
        )}
      </div>
    </form>
  );
}

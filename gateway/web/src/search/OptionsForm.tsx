/** The options of the physics, and the fields drawn beside the chosen one. Empty boxes take what the server takes. */

import { refusal } from "../state/answers";
import { chosenField, fields } from "../state/fields";
import { ask, COMPARE_MAX, question } from "../state/question";
import { isAbout } from "./faults";
import { NumberBox } from "./NumberBox";

/** The service's own default and limits (cfcore/options.py); its refusals are shown here if they ever differ. */
const PRIORS: readonly [string, string][] = [
  ["volume", "volume: r² (default)"], ["density", "density: r² (1+δ), galaxies where matter is"], ["flat", "flat"],
];

/** H0, Om, sigma_v, prior, and the comparison. */
export function OptionsForm() {
  const q = question.value;
  const error = refusal.value;
  const said = (word: string): string | null => (isAbout(error, word) ? (error?.message ?? null) : null);
  const others = (fields.value.data?.fields ?? []).filter((f) => f.id !== chosenField.value?.id);
  const isChanged = q.H0 !== null || q.Om !== null || q.sigma_v !== null || q.prior !== null || q.compare.length > 0;
  const sigma = chosenField.value?.sigma_v;
  return (
    <div class="byhand">
      <div class="inputs">
        <NumberBox id="option-H0" label="H₀" unit="km/s/Mpc" limits="20 to 200" value={q.H0} usual="75" error={said("H0")} onSet={(H0) => ask({ H0 })} />
        <NumberBox id="option-Om" label="Ωm" unit="flat ΛCDM" limits="0 to 1" value={q.Om} usual="0.3" error={said("Om")} onSet={(Om) => ask({ Om })} />
        <NumberBox
          id="option-sigma" label="σ_v" unit="km/s" limits="50 to 600; empty: the field’s own" value={q.sigma_v}
          usual={sigma === undefined ? "" : String(sigma)} error={said("sigma_v")} onSet={(sigma_v) => ask({ sigma_v })}
        />
      </div>
      <label class="input">
        <span>prior on the distance</span>
        <select value={q.prior ?? "volume"} onChange={(e) => ask({ prior: e.currentTarget.value === "volume" ? null : e.currentTarget.value })}>
          {PRIORS.map(([key, words]) => <option key={key} value={key}>{words}</option>)}
          {q.prior === null || PRIORS.some(([key]) => key === q.prior) ? null : <option value={q.prior}>{q.prior}</option>}
        </select>
        {said("prior") === null ? null : <small class="wrong" role="alert">{said("prior")}</small>}
        {error?.problem.code === "no_density" ? <small class="wrong" role="alert">{error.message}</small> : null}
      </label>
      {others.length === 0 ? null : (
        <fieldset>
          <legend>Draw beside it</legend>
          {others.map((f) => {
            const isOn = q.compare.includes(f.id);
            return (
              <label key={f.id} class="pick">
                <input
                  type="checkbox" checked={isOn} disabled={!isOn && q.compare.length >= COMPARE_MAX}
                  onChange={() => ask({ compare: isOn ? q.compare.filter((id) => id !== f.id) : [...q.compare, f.id] })}
                />
                {f.id} <small>{f.title}</small>
              </label>
            );
          })}
        </fieldset>
      )}
      {isChanged ? (
        <button type="button" onClick={() => ask({ H0: null, Om: null, sigma_v: null, prior: null, compare: [] })}>All as usual</button>
      ) : null}
    </div>
  );
}

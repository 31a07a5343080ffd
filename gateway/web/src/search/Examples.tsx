/** Something to begin with, while nothing is asked. */

import { fieldRecord } from "../state/fields";
import { ask, askName } from "../state/question";

/** A direction near Virgo in which the three attractors of `mould2000` give three distances for one velocity. */
const TRIPLE = {
  name: null, lon: 106, lat: 2, frame: "supergalactic", cz: 900, givenFrame: "hel", sigma_cz: null, velocity: "own",
  field: "mould2000",
} as const;

const NAMES: readonly [string, string][] = [
  ["NGC 4993", "host of GW170817"], ["M 31", "comes towards us"], ["Coma cluster", "a rich cluster"],
];

/** Galaxies and a place to press. */
export function Examples() {
  return (
    <div class="examples">
      <p class="dim" id="examples-title">For example</p>
      <ul aria-labelledby="examples-title">
        {NAMES.map(([name, why]) => (
          <li key={name}><button type="button" onClick={() => askName(name)}>{name} <small>{why}</small></button></li>
        ))}
        {fieldRecord(TRIPLE.field) === null ? null : (
          <li>
            <button type="button" onClick={() => ask(TRIPLE)}>Beside Virgo <small>one velocity, three distances</small></button>
          </li>
        )}
      </ul>
    </div>
  );
}

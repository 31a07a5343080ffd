/** The four distances beside each other; the chosen one stands first on the card and in the plot. */

import type { Flow } from "../api/types";
import { ask, question } from "../state/question";
import { decimalsFor, plusMinus, range, unitShown } from "../ui/numbers";
import { Value } from "./Value";
import { FLOW_ORDER, FLOW_SHORT, FLOW_WORDS } from "./words";

/** Median, 68 % interval, mean ± std of each. */
export function Distances({ flow }: { flow: Flow }) {
  return (
    <table class="distances">
      <caption class="unseen">The four distances; choose the one that the plot shows</caption>
      <thead>
        <tr><th scope="col">shown</th><th scope="col">median</th><th scope="col">68 %</th><th scope="col">mean ± std</th></tr>
      </thead>
      <tbody>
        {FLOW_ORDER.map((type) => {
          const s = flow[type];
          const decimals = decimalsFor(s.std, 2);
          return (
            <tr key={type} data-flow={type}>
              <th scope="row">
                <label class="pick" title={FLOW_WORDS[type]}>
                  <input type="radio" name="flow-type" checked={question.value.flow === type} onChange={() => ask({ flow: type })} />
                  <span>{FLOW_SHORT[type]}, <small>{unitShown(s.unit)}</small></span>
                </label>
              </th>
              <td><Value x={s.median} decimals={decimals} /></td>
              <td>{range(s.p16, s.p84, decimals, "–")}</td>
              <td>{plusMinus(s.mean, s.std, 2)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

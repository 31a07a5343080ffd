/** The four numbers most people come for. */

import type { Flow } from "../api/types";
import { question } from "../state/question";
import { FRAME_WORDS } from "../state/words";
import { decimalsFor, fixed, plusMinus, range, unitShown } from "../ui/numbers";
import { Value } from "./Value";
import { FLOW_WORDS } from "./words";

/** Distance, observed velocity, peculiar velocity, modulus. */
export function Headline({ flow }: { flow: Flow }) {
  const { flow: type, czFrame } = question.value;
  const main = flow[type];
  const decimals = decimalsFor(main.std, 2);
  const { sgx, sgy, sgz } = flow.v_pec;
  const speed = sgx === null || sgy === null || sgz === null ? null : Math.hypot(sgx, sgy, sgz);
  const { modulus } = flow;
  return (
    <dl class="headline">
      <div>
        <dt>{FLOW_WORDS[type]}</dt>
        <dd>
          <span class="big"><Value x={main.median} decimals={decimals} /></span> {unitShown(main.unit)}
          <small>68 %: {range(main.p16, main.p84, decimals)}</small>
        </dd>
      </div>
      <div>
        <dt>observed cz</dt>
        <dd>
          <span class="big"><Value x={flow.cz[czFrame]} /></span> km/s
          <small>{FRAME_WORDS[czFrame]}</small>
        </dd>
      </div>
      <div>
        <dt>peculiar velocity</dt>
        <dd>
          <span class="big"><Value x={flow.v_rad} /></span> km/s radial
          <small>
            ± {fixed(flow.v_rad_std)} km/s; |v| {fixed(speed)} km/s
            {directionOf(flow)}
          </small>
        </dd>
      </div>
      <div>
        <dt>distance modulus μ</dt>
        <dd>
          <span class="big"><Value x={modulus.median} decimals={2} /></span> mag
          <small>68 %: {range(modulus.p16, modulus.p84, 2)}; mean {plusMinus(modulus.mean, modulus.std, 2)}</small>
        </dd>
      </div>
    </dl>
  );
}

/** Which way it moves, when the flow is surer of it than its own spread. */
function directionOf({ v_rad, v_rad_std }: Flow): string {
  if (v_rad === null || Math.abs(v_rad) <= (v_rad_std ?? 0)) return "";
  return v_rad < 0 ? ", towards us" : ", away from us";
}

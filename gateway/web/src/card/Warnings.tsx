/** What a reader must know before using the numbers: why there are none, and every flag in plain words. */

import type { Flow } from "../api/types";
import { fieldRecord } from "../state/fields";
import { flagSentences, statusSentence } from "./flags";
import { fixed } from "../ui/numbers";

/** Sentences, the gravest first. */
export function Warnings({ flow }: { flow: Flow }) {
  const state = statusSentence(flow);
  // without numbers there is nothing that flags could qualify
  const flags = state !== null ? [] : flagSentences(flow, fieldRecord(flow.field.id)?.trusted_hmpc ?? null);
  const [only] = flow.roots;
  const used = flow.velocity;
  return (
    <ul class="warnings" aria-label="To know before using these numbers">
      {state === null ? null : <li class="bad">{state} {flow.detail === undefined ? null : <small>{flow.detail}.</small>}</li>}
      {flags.map(({ flag, sentence }) => <li key={flag} data-flag={flag}>{sentence}</li>)}
      {used?.why === undefined ? null : <li>Its own velocity was used: {used.why}.</li>}
      {used?.warning === undefined ? null : <li>{used.warning.replace(/; \/get_galaxy_detail .*$/, "")}: see the velocities below.</li>}
      {flow.roots.length === 1 && only !== undefined ? (
        <li class="plain">One distance has exactly this velocity: {fixed(only.r_hmpc, 1)} h⁻¹ Mpc ({fixed(only.d_mpc, 1)} Mpc).</li>
      ) : null}
    </ul>
  );
}

/** Velocities: the observed one in five frames with its source, and the flow at the place. */

import type { CatalogVelocity, Detail, Flow, VelocityFrame } from "../api/types";
import { question } from "../state/question";
import { FRAME_WORDS } from "../state/words";
import { fixed, percent } from "../ui/numbers";
import { Value } from "./Value";

const FRAMES = Object.keys(FRAME_WORDS) as VelocityFrame[];

/** Observed, by frame; then what the catalogues hold. */
export function ObservedVelocities({ flow, detail }: { flow: Flow; detail: Detail | null }) {
  const { givenFrame, czFrame, sigma_cz, cz } = question.value;
  const held = detail?.velocities.filter((v) => v.source !== "computed") ?? [];
  const used = held.find((v) => v.used);
  const how = flow.velocity?.used ?? "given";
  const from: VelocityFrame = how === "group" ? "cmb" : how === "given" ? givenFrame : (used?.frame ?? "hel");
  const words = how === "group" ? "group’s mean" : how === "given" ? "as given" : "measured";
  const error = how === "given" && cz !== null ? sigma_cz : how === "own" ? (used?.error ?? null) : null;
  return (
    <>
      <table>
        <caption class="unseen">Observed velocity c·z in five rest frames</caption>
        <thead><tr><th scope="col">rest frame</th><th scope="col">cz, km/s</th><th scope="col">how</th></tr></thead>
        <tbody>
          {FRAMES.map((frame) => (
            <tr key={frame} class={frame === czFrame ? "chosen" : undefined}>
              <th scope="row">{FRAME_WORDS[frame]}</th>
              <td><Value x={flow.cz[frame]} />{frame === from && error !== null ? ` ± ${fixed(error)}` : null}</td>
              <td class="dim">{frame === from ? words : "converted"}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {how === "group" ? <p class="dim">Group: {flow.velocity?.group?.name}; {flow.velocity?.group?.source}</p> : null}
      {how === "own" ? <p class="dim">Source: {flow.cz_source ?? used?.source}{used?.reference ? `; ${used.reference}` : null}{error === null ? "; no error is given" : null}</p> : null}
      {held.length > 1 || (how !== "own" && held.length > 0) ? (
        <>
          <h3>In the catalogues</h3>
          <ul>{held.map((v, i) => <li key={i}>{heldWords(v, how === "own")}</li>)}</ul>
        </>
      ) : null}
    </>
  );
}

function heldWords(v: CatalogVelocity, isAsked: boolean): string {
  const value = `${fixed(v.value)}${v.error === null ? "" : ` ± ${fixed(v.error)}`} km/s, ${FRAME_WORDS[v.frame] ?? v.frame}`;
  return [value, v.source, v.reference, v.is_photometric ? "photometric" : null, v.used && isAsked ? "used" : null].filter(Boolean).join("; ");
}

/** The flow where it probably is. */
export function FlowThere({ flow }: { flow: Flow }) {
  const { sgx, sgy, sgz } = flow.v_pec;
  return (
    <dl class="facts">
      <dt>radial</dt>
      <dd><Value x={flow.v_rad} /> ± {fixed(flow.v_rad_std)} km/s</dd>
      <dt>SGX, SGY, SGZ</dt>
      <dd><Value x={sgx} />, <Value x={sgy} />, <Value x={sgz} /> km/s</dd>
      <dt>density contrast δ</dt>
      <dd><Value x={flow.delta} decimals={2} /></dd>
      <dt>inside the field</dt>
      <dd><Value x={flow.inside_fraction} text={percent(flow.inside_fraction)} /> of the probability</dd>
      <dt>roots</dt>
      <dd>{flow.roots.length === 0 ? "none" : flow.roots.map((r) => `${fixed(r.r_hmpc, 1)} h⁻¹ Mpc (v ${fixed(r.v_rad)} km/s)`).join("; ")}</dd>
    </dl>
  );
}

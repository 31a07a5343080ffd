/** The card of what is asked: names, distances, velocities, warnings, and where it all comes from. */

import type { ComponentChildren } from "preact";
import type { Detail, Flow } from "../api/types";
import { detailUrl, flowUrl } from "../api/urls";
import { placeOf } from "../search/faults";
import { answer, detail, refusal, sightlines } from "../state/answers";
import { hasVelocity, isAsked, question } from "../state/question";
import { CopyMenu } from "../ui/CopyMenu";
import { Refusal } from "../ui/Notice";
import { Panel } from "../ui/Panel";
import { Known, Places } from "./Catalogue";
import { Distances } from "./Distances";
import { Headline } from "./Headline";
import { decimalsFor, fixed, range, unitShown } from "../ui/numbers";
import { Provenance } from "./Provenance";
import { FlowThere, ObservedVelocities } from "./Velocities";
import { Warnings } from "./Warnings";
import { FLOW_WORDS } from "./words";
import "./card.css";

/** Everything that is known of one galaxy or place. */
export function Card() {
  const q = question.value;
  const { data: flow, isLoading } = answer.value;
  const known = detail.value.data;
  const error = refusal.value;
  if (!isAsked(q)) {
    return (
      <Panel id="card" title="How far is it, and how does it move?">
        <p class="dim">
          Ask for a galaxy by name, or for a place with its velocity: the distance follows from a reconstructed flow of
          the local Universe, with its honest uncertainty.
        </p>
      </Panel>
    );
  }
  const position = flow?.position ?? known?.position ?? [...sightlines.value.values()].find((s) => s.data)?.data?.position ?? null;
  const field = flow?.field.id ?? q.field;
  const urls = [flowUrl(q, field ?? "", q.flow), ...(q.name === null ? [] : [detailUrl(q.name)])];
  return (
    <Panel
      id="card"
      title={flow?.name ?? known?.name ?? q.name ?? "A place"}
      note={noteOf(known, flow)}
      tools={flow === null ? undefined : <CopyMenu urls={urls} cite={[field]} of="this answer" />}
    >
      <div class="card" aria-busy={isLoading}>
        <p class="unseen" role="status">{isLoading || flow === null ? "" : spoken(flow)}</p>
        {error === null ? null : <Refused />}
        {isLoading && flow === null ? <p class="dim">asking …</p> : null}
        {!hasVelocity(q) ? (
          <p class="dim">A direction without a velocity has a line of sight but no distance: give its cz under Position.</p>
        ) : null}
        {flow === null ? null : (
          <>
            {flow.distance.median === null ? null : <Headline flow={flow} />}
            <Warnings flow={flow} />
          </>
        )}
        <div class="folds">
          {flow === null ? null : (
            <>
              {flow.distance.median === null ? null : <Part title="Four distances" isOpen><Distances flow={flow} /></Part>}
              <Part title="Observed velocity"><ObservedVelocities flow={flow} detail={known} /></Part>
              {flow.distance.median === null ? null : <Part title="Flow at this place"><FlowThere flow={flow} /></Part>}
            </>
          )}
          {position === null ? null : <Part title="Position"><Places position={position} /></Part>}
          {known === null ? null : <Part title="Names and catalogue"><Known detail={known} /></Part>}
          {flow === null ? null : <Part title="How it was computed"><Provenance flow={flow} /></Part>}
        </div>
      </div>
    </Panel>
  );
}

/** What stands beside the inputs is not said twice; here is where to look. */
function Refused() {
  const error = refusal.value;
  if (error === null) return null;
  const place = placeOf(error);
  if (place === "name") return <p class="dim">No answer to show.</p>;
  if (place === "position" || place === "velocity" || place === "options") return <p class="dim">No answer: see the inputs above.</p>;
  return <Refusal error={error} />;
}

function noteOf(known: Detail | null, flow: Flow | null): string | undefined {
  const type = known?.object_type ?? flow?.object_type;
  if (type === undefined) return undefined;
  const shown = known?.name ?? flow?.name;
  const canonical = known?.canonical ?? flow?.canonical;
  return [canonical === shown ? null : canonical, known?.common_names.find((n) => n !== shown), type, known?.morphology].filter(Boolean).join(" · ");
}

/** The answer in one sentence, for those who hear it. */
function spoken(flow: Flow): string {
  const { flow: type } = question.value;
  const s = flow[type];
  const name = flow.name ?? "This place";
  if (s.median === null) return `${name}: no distance. ${flow.detail ?? ""}`;
  const decimals = decimalsFor(s.std, 2);
  return `${name}: ${FLOW_WORDS[type]} ${fixed(s.median, decimals)} ${unitShown(s.unit)}, 68 per cent within ${range(s.p16, s.p84, decimals)}.`;
}

function Part({ title, isOpen = false, children }: { title: string; isOpen?: boolean; children: ComponentChildren }) {
  return (
    <details class="fold" open={isOpen}>
      <summary>{title}</summary>
      {children}
    </details>
  );
}

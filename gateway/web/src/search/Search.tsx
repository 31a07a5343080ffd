/** The way in: a name, or by hand a place, a velocity, and the options. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { refusal } from "../state/answers";
import { isAsked, question, subject } from "../state/question";
import { Panel } from "../ui/Panel";
import { Examples } from "./Examples";
import { placeOf } from "./faults";
import { NameBox } from "./NameBox";
import { NameRefusal } from "./NameRefusal";
import { OptionsForm } from "./OptionsForm";
import { PositionForm } from "./PositionForm";
import { VelocityForm } from "./VelocityForm";
import "./search.css";

type Part = "position" | "velocity" | "options";
const WORDS: Record<Part, string> = { position: "Position", velocity: "Velocity", options: "Options" };
const REFUSED = "search-refused";

/** Everything that is asked. */
export function Search() {
  const open = useSignal<Part | null>(null);
  const q = question.value;
  const error = refusal.value;
  const place = placeOf(error);
  // inputs that were refused are opened, so that nobody looks for the place of the fault
  useEffect(() => {
    if (place === "position" || place === "options") open.value = place;
    else if (place === "velocity") open.value = q.name === null ? "position" : "velocity";
    else if (error?.problem.code === "no_density") open.value = "options";
  }, [error]);
  // a velocity belongs to the galaxy that is asked, a position to a place
  useEffect(() => {
    if (open.peek() === (q.name === null ? "velocity" : "position")) open.value = null;
  }, [subject(q)]);
  const parts: Part[] = q.name === null || place === "name" ? ["position", "options"] : ["position", "velocity", "options"];
  const isSpecial: Record<Part, boolean> = {
    position: q.lon !== null,
    velocity: q.name !== null && (q.cz !== null || q.velocity === "group"),
    options: q.H0 !== null || q.Om !== null || q.sigma_v !== null || q.prior !== null || q.compare.length > 0,
  };
  return (
    <Panel id="search" title="Galaxy or place">
      <NameBox error={error !== null && place === "name" ? REFUSED : null} />
      {error !== null && place === "name" ? <NameRefusal id={REFUSED} error={error} /> : null}
      {isAsked(q) ? null : <Examples />}
      <div class="parts">
        {parts.map((part) => (
          <button
            key={part} type="button" aria-expanded={open.value === part} aria-controls={`search-${part}`}
            onClick={() => (open.value = open.value === part ? null : part)}
          >
            {WORDS[part]}{isSpecial[part] ? <span class="mark"> •<span class="unseen"> in use</span></span> : null}
          </button>
        ))}
      </div>
      {parts.map((part) => (
        <div key={part} id={`search-${part}`} class="part" hidden={open.value !== part} role="group" aria-label={WORDS[part]}>
          {part === "position" ? <PositionForm /> : part === "velocity" ? <VelocityForm /> : <OptionsForm />}
        </div>
      ))}
    </Panel>
  );
}

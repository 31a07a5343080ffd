/** A name that was refused: why, and the names that may have been meant, to ask with one press. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError, get } from "../api/client";
import type { Hints, Problem } from "../api/types";
import { hintsUrl } from "../api/urls";
import { askName, askPlace, question } from "../state/question";
import { Notice } from "../ui/Notice";

interface Way {
  name: string;
  reason: string;
  ask(): void;
}

/** Why the name has no answer, and the ways on. */
export function NameRefusal({ id, error }: { id: string; error: ApiError }) {
  const { problem } = error;
  const begun = useSignal<Hints["hints"]>([]);
  const ways = waysOf(problem);
  const name = question.value.name;
  const hasWays = ways.length > 0;
  useEffect(() => {
    begun.value = [];
    if (hasWays || name === null) return undefined;
    const running = new AbortController();
    get<Hints>(hintsUrl(name, 5), running.signal).then(
      (found) => (begun.value = found.hints),
      // without these names the sentence still says it all
      () => undefined,
    );
    return () => running.abort();
  }, [error]);
  const listed = hasWays ? ways : begun.value.map((h) => ({ name: h.name, reason: h.object_type, ask: () => askName(h.name) }));
  return (
    <Notice bad>
      <p id={id}>{said(problem)}</p>
      {listed.length > 0 ? (
        <>
          <p class="dim" id={`${id}-ways`}>{problem.code === "ambiguous_name" ? "Which one?" : hasWays ? "Perhaps:" : "Names that begin so:"}</p>
          <ul class="ways" aria-labelledby={`${id}-ways`}>
            {listed.map((way, i) => (
              <li key={`${way.name} ${i}`}>
                <button type="button" onClick={way.ask}>{way.name}</button> <small>{way.reason}</small>
              </li>
            ))}
          </ul>
        </>
      ) : problem.hint === undefined ? null : (
        <p class="dim">{problem.hint.charAt(0).toUpperCase() + problem.hint.slice(1)}.</p>
      )}
    </Notice>
  );
}

/** The server's sentence without its list of names, which stands below as buttons. */
function said(problem: Problem): string {
  const { detail } = problem;
  const text = problem.suggestions?.length ? detail.replace(/; did you mean .*\?$/, "")
    : problem.hint !== undefined && detail.endsWith(`; ${problem.hint}`) ? detail.slice(0, -problem.hint.length - 2) : detail;
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function waysOf(problem: Problem): Way[] {
  const candidates = problem.candidates ?? [];
  // galaxies of one and the same name can only be asked by their places
  const areAlike = new Set(candidates.map((c) => c.name)).size < candidates.length;
  return [
    ...(problem.suggestions ?? []).map((s) => ({ name: s.name, reason: s.reason, ask: () => askName(s.name) })),
    ...candidates.map((c) => ({
      name: areAlike ? `${c.name} at ${c.ra.toFixed(4)}, ${c.dec.toFixed(4)}°` : c.name,
      reason: c.reason,
      ask: areAlike ? () => askPlace(c.ra, c.dec, "icrs") : () => askName(c.name),
    })),
  ];
}

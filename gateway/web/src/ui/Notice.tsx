/** Refusals and warnings in words: what is wrong, and the way out. */

import type { ComponentChildren } from "preact";
import type { ApiError } from "../api/client";

/** A sentence that matters, announced to screen readers. */
export function Notice({ bad = false, children }: { bad?: boolean; children: ComponentChildren }) {
  return <div class={bad ? "notice bad" : "notice"} role={bad ? "alert" : "status"}>{children}</div>;
}

/** What the server refused, in its words. */
export function Refusal({ error }: { error: ApiError }) {
  const { detail, hint } = error.problem;
  return (
    <Notice bad>
      <p>{sentence(detail)}</p>
      {hint === undefined ? null : <p class="dim">{sentence(hint)}</p>}
    </Notice>
  );
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

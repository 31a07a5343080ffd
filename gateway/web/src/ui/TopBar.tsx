/** The bar at the top: who we are, which field and frame, the ways on; and whether the server is there. */

import { useSignalEffect } from "@preact/signals";
import type { VelocityFrame } from "../api/types";
import { answer, detail } from "../state/answers";
import { chosenField, fields } from "../state/fields";
import { ask, isAsked, NOTHING_ASKED, question } from "../state/question";
import { server } from "../state/server";
import { chooseTheme, theme } from "../state/theme";
import { FRAME_WORDS } from "../state/words";
import "./topbar.css";

const TITLE = "Cosmic Flows";

/** Name, choices, ways on. */
export function TopBar() {
  const list = fields.value.data?.fields ?? [];
  const chosen = question.value.field;
  const isUnknown = chosen !== null && fields.value.data !== null && !list.some((f) => f.id === chosen);
  useSignalEffect(() => {
    document.title = titleOf();
  });
  return (
    <header class="top">
      <a class="skip" href="#main" onClick={(e) => go(e, "main")}>Skip to the page</a>
      <a class="brand" href="/" title="Begin anew" onClick={begin}>
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <circle cx="16" cy="16" r="13" fill="none" stroke="currentColor" stroke-width="3" />
          <circle cx="16" cy="16" r="5" fill="currentColor" />
        </svg>
        <h1>cosmic flows</h1>
      </a>
      <label class="choice" title={chosenField.value?.title}>
        Field
        <select
          id="field-select" value={chosenField.value?.id ?? chosen ?? ""} disabled={list.length === 0}
          onChange={(e) => ask({ field: e.currentTarget.value === fields.value.data?.default ? null : e.currentTarget.value })}
        >
          {list.length === 0 ? <option value="">…</option> : null}
          {isUnknown ? <option value={chosen}>{chosen} (not here)</option> : null}
          {list.map((f) => <option key={f.id} value={f.id} title={f.title}>{f.default ? `${f.id} (default)` : f.id}</option>)}
        </select>
      </label>
      <label class="choice" title="Rest frame in which velocities are shown; it changes no distance">
        Frame
        <select id="frame-select" value={question.value.czFrame} onChange={(e) => ask({ czFrame: e.currentTarget.value as VelocityFrame })}>
          {Object.entries(FRAME_WORDS).map(([frame, words]) => <option key={frame} value={frame}>{words} cz</option>)}
        </select>
      </label>
      <nav aria-label="Elsewhere">
        <a href="#tables" onClick={(e) => go(e, "tables")}>Tables &amp; jobs</a>
        <a href="/docs">API</a>
        <ThemeButton />
      </nav>
      <div class="presence" role="alert">
        {server.value === "gone" ? <p class="gone">The server does not answer. This page asks again by itself; nothing you see is lost.</p> : null}
        {server.value === "unready" ? <p class="gone">The server is there but cannot answer now. This page asks again by itself.</p> : null}
      </div>
    </header>
  );
}

function ThemeButton() {
  const other = theme.value === "dark" ? "light" : "dark";
  return (
    <button type="button" class="theme" onClick={() => chooseTheme(other)}>
      <svg viewBox="0 0 20 20" aria-hidden="true">
        <circle cx="10" cy="10" r="7" fill="none" stroke="currentColor" stroke-width="2" />
        <path d="M10 3a7 7 0 0 1 0 14z" fill="currentColor" />
      </svg>
      {other === "light" ? "Light" : "Dark"}<span class="unseen"> theme</span>
    </button>
  );
}

function titleOf(): string {
  const q = question.value;
  if (!isAsked(q)) return TITLE;
  if (q.name === null) return `${q.lon}°, ${q.lat}° · ${TITLE}`;
  // the catalogue's spelling, once it is here and belongs to this question
  const found = detail.value.isLoading ? null : (detail.value.data?.name ?? answer.value.data?.name ?? null);
  return `${found ?? q.name} · ${TITLE}`;
}

/** Go to a part of the page; the hash of the address belongs to the question. */
function go(event: Event, id: string): void {
  event.preventDefault();
  const target = document.getElementById(id);
  if (target === null) return;
  if (target.tabIndex < 0) target.tabIndex = -1;
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
}

/** Begin anew without loading the page again; with a modifier the browser opens it elsewhere. */
function begin(event: MouseEvent): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  question.value = { ...NOTHING_ASKED, czFrame: question.peek().czFrame, field: question.peek().field };
  scrollTo({ top: 0 });
}

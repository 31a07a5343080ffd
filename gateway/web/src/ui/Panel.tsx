/** The frame of each part of the page: a heading, tools at its right, and the part itself. */

import type { ComponentChildren } from "preact";
import "./panel.css";

interface Props {
  id: string;
  title: string;
  /** Said beside the title, smaller. */
  note?: ComponentChildren;
  /** Buttons at the right of the title. */
  tools?: ComponentChildren;
  children: ComponentChildren;
}

/** A titled part of the page; a landmark for screen readers. */
export function Panel({ id, title, note, tools, children }: Props) {
  return (
    <section class="panel" id={id} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {note === undefined ? null : <small>{note}</small>}
        {tools === undefined ? null : <div class="panel-tools">{tools}</div>}
      </header>
      {children}
    </section>
  );
}

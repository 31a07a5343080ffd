/** "Copy as": the same question as a curl line, as Python, and the field as BibTeX. */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { fieldRecord, fields } from "../state/fields";
import { announce } from "./announce";
import { asCurl, asPython } from "./snippets";
import "./copymenu.css";

interface Props {
  /** Addresses (path and query) that give what the panel shows. */
  urls: readonly string[];
  /** Ids of the fields to cite; null is the default. */
  cite: readonly (string | null)[];
  /** What is copied, in words: "these distances". */
  of: string;
  /** Given, these are copied for curl and Python: of requests that an address alone does not make. */
  texts?: { curl: string; python: string };
}

/** A menu button at the head of a panel. */
export function CopyMenu({ urls, cite, of, texts }: Props) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  // before the next key can come, or it would go to the button
  useLayoutEffect(() => {
    if (!isOpen) return undefined;
    const away = (event: Event): void => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("pointerdown", away);
    root.current?.querySelector<HTMLElement>('[role="menuitem"]')?.focus();
    return () => removeEventListener("pointerdown", away);
  }, [isOpen]);
  const copy = async (name: string, text: string): Promise<void> => {
    setOpen(false);
    root.current?.querySelector("button")?.focus();
    announce((await toClipboard(text)) ? `Copied as ${name}` : "The browser does not let this page copy");
  };
  const bibtex = (): string =>
    [...new Set([...cite.map((id) => fieldRecord(id)?.bibtex ?? ""), fields.value.data?.software_bibtex ?? ""])].filter(Boolean).join("\n\n");
  const items: [string, () => string][] = [
    ["curl", () => texts?.curl ?? urls.map(asCurl).join("\n")], ["Python", () => texts?.python ?? asPython(urls)], ["BibTeX", bibtex],
  ];
  const move = (event: KeyboardEvent): void => {
    const all = [...(root.current?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])];
    const at = all.indexOf(document.activeElement as HTMLElement);
    if (event.key === "Escape") {
      setOpen(false);
      root.current?.querySelector("button")?.focus();
    } else if (event.key === "ArrowDown") all[(at + 1) % all.length]?.focus();
    else if (event.key === "ArrowUp") all[(at - 1 + all.length) % all.length]?.focus();
    else if (event.key === "Home") all[0]?.focus();
    else if (event.key === "End") all.at(-1)?.focus();
    else return;
    event.preventDefault();
  };
  // Tab leaves a menu, and what is left closes
  const leave = (event: FocusEvent): void => {
    if (!root.current?.contains(event.relatedTarget as Node | null)) setOpen(false);
  };
  return (
    <div class="copymenu" ref={root} onKeyDown={isOpen ? move : undefined} onFocusOut={isOpen ? leave : undefined}>
      <button type="button" aria-haspopup="menu" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        Copy as<span class="unseen">: {of}</span>
      </button>
      {isOpen ? (
        <ul role="menu" aria-label={`Copy ${of} as`}>
          {items.map(([name, text]) => (
            <li key={name} role="none">
              <button type="button" role="menuitem" tabIndex={-1} onClick={() => void copy(name, text())}>{name}</button>
            </li>
          ))}
        </ul>
      ) : null}
    </div>
  );
}

/** Put a text into the clipboard; tells whether the browser let it. */
export async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // plain http outside loopback has no clipboard: the old way still works there
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

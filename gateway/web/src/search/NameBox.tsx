/** Where a name is typed: a combobox (ARIA 1.2) whose list holds the names that go on as typed. */

import { computed, effect, untracked, useComputed, useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef } from "preact/hooks";
import type { Hint } from "../api/types";
import { fixed } from "../ui/numbers";
import { askName, question } from "../state/question";
import { counted, HintSource, type Found } from "./hints";
import "./namebox.css";

const LIST = "search-hints";
const optionId = (i: number): string => `search-hint-${i}`;

/** The name of a galaxy, with hints. `error` is the id of the sentence that says why a name was refused. */
export function NameBox({ error }: { error: string | null }) {
  const source = useMemo(() => new HintSource(), []);
  const text = useSignal(question.peek().name ?? "");
  const active = useSignal(-1);
  const isOpen = useSignal(false);
  /** Keys that came before the names did: they are meant for the names. */
  const eager = useRef({ steps: 0, enter: false });
  const input = useRef<HTMLInputElement>(null);
  const hints = useComputed<readonly Hint[]>(() => source.found.value?.hints ?? []);
  const isShown = useComputed(() => isOpen.value && hints.value.length > 0);

  useEffect(() => () => source.stop(), [source]);
  // at once, not after the next paint as useSignalEffect: a key pressed in between would be lost
  useLayoutEffect(() => {
    // what is asked by a link, an example or the way back stands in the box too
    const asked = computed(() => question.value.name);
    return effect(() => {
      text.value = asked.value ?? "";
      untracked(close);
    });
  }, []);
  useLayoutEffect(() => effect(() => {
    const found = source.found.value;
    if (found !== null) untracked(() => take(found));
  }), [source]);

  function take(found: Found): void {
    const { steps, enter } = eager.current;
    const last = found.hints.length - 1;
    active.value = steps > 0 ? Math.min(steps - 1, last) : -1;
    eager.current = { steps: 0, enter: false };
    if (enter) choose(found.hints[active.peek()]?.name ?? text.peek());
  }
  function close(): void {
    source.stop();
    isOpen.value = false;
    active.value = -1;
    eager.current = { steps: 0, enter: false };
  }
  function choose(name: string): void {
    const wanted = name.trim();
    close();
    if (wanted === "") return;
    text.value = wanted;
    askName(wanted);
  }
  function type(typed: string): void {
    text.value = typed;
    active.value = -1;
    isOpen.value = true;
    eager.current = { steps: 0, enter: false };
    source.type(typed);
  }
  function step(by: number): void {
    if (source.isPending.peek()) {
      eager.current.steps = Math.max(eager.current.steps + by, 0);
      return;
    }
    const count = hints.peek().length;
    if (!isOpen.peek() || source.found.peek()?.text !== text.peek()) {
      isOpen.value = true;
      if (by > 0) eager.current.steps = 1;
      source.type(text.peek());
    } else if (count > 0) active.value = active.peek() < 0 && by < 0 ? count - 1 : (active.peek() + by + count) % count;
  }
  /** True when the key was for the list. */
  function isForList(event: KeyboardEvent): boolean {
    const at = active.peek();
    const chosen = isShown.peek() ? hints.peek()[at] : undefined;
    switch (event.key) {
      case "ArrowDown":
        step(1);
        return true;
      case "ArrowUp":
        if (event.altKey) close();
        else step(-1);
        return true;
      case "Home":
      case "End":
        // without a choice the keys belong to the text
        if (chosen === undefined) return false;
        active.value = event.key === "Home" ? 0 : hints.peek().length - 1;
        return true;
      case "Enter":
        if (chosen === undefined && source.isPending.peek() && eager.current.steps > 0) eager.current.enter = true;
        else choose(chosen?.name ?? text.peek());
        return true;
      case "Escape":
        if (isShown.peek()) close();
        else if (text.peek() !== "") type("");
        else return false;
        return true;
      case "Tab":
        // a choice that is left is a choice made; focus goes on as always
        if (chosen !== undefined) choose(chosen.name);
        else close();
        return false;
      default:
        return false;
    }
  }

  const found = source.found.value;
  return (
    <form class="namebox" role="search" onSubmit={(e) => e.preventDefault()}>
      <label class="unseen" for="search-input">Name of a galaxy</label>
      <input
        id="search-input"
        ref={input}
        type="text"
        role="combobox"
        value={text.value}
        placeholder="A galaxy: NGC 4993, M 31, Sombrero …"
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        maxLength={128}
        enterkeyhint="search"
        aria-autocomplete="list"
        aria-haspopup="listbox"
        aria-expanded={isShown.value}
        aria-controls={LIST}
        aria-activedescendant={isShown.value && active.value >= 0 ? optionId(active.value) : undefined}
        aria-invalid={error === null ? undefined : true}
        aria-describedby={error ?? undefined}
        onInput={(e) => type(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (!e.isComposing && isForList(e)) e.preventDefault();
        }}
        onBlur={close}
      />
      <button type="button" class="go" onClick={() => choose(text.peek())}>Ask</button>
      {/* a press must not take the focus from the box, or the list is gone before it counts */}
      <div class="hints" hidden={!isShown.value} onMouseDown={(e) => e.preventDefault()}>
        <ul id={LIST} role="listbox" aria-label="Galaxies that are called so">
          {hints.value.map((hint, i) => (
            <li
              key={hint.name}
              id={optionId(i)}
              role="option"
              aria-selected={i === active.value}
              ref={i === active.value ? seen : null}
              onClick={() => choose(hint.name)}
            >
              <span class="hint-name">
                {hint.name}
                {hint.also === null || hint.also === hint.name ? null : <small>also {hint.also}</small>}
              </span>
              <small class="hint-facts">
                {hint.object_type === "Galaxy" ? null : <span>{hint.object_type}</span>}
                <span>{hint.cz_helio === null ? "no cz" : `cz ${fixed(hint.cz_helio)}`}</span>
              </small>
            </li>
          ))}
        </ul>
        {found?.hasMore ? <p class="hints-more" aria-hidden="true">more: type on…</p> : null}
      </div>
      <p class="unseen" role="status">{isOpen.value && found !== null && !source.isPending.value ? counted(found) : ""}</p>
    </form>
  );
}

function seen(element: HTMLElement | null): void {
  element?.scrollIntoView({ block: "nearest" });
}

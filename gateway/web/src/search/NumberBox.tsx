/** One labelled number with its unit, asked when somebody leaves it or presses Enter; what is wrong with it stands below. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

interface Props {
  id: string;
  label: string;
  unit: string;
  value: number | null;
  /** What holds when the box is empty. */
  usual: string;
  /** Least and greatest, in words. */
  limits?: string;
  /** What the server refused about it. */
  error: string | null;
  /** Called with a number, or null for none. */
  onSet(value: number | null): void;
}

/** A number to type; empty is "as usual". */
export function NumberBox({ id, label, unit, value, usual, limits, error, onSet }: Props) {
  const text = useSignal(value === null ? "" : String(value));
  const wrong = useSignal<string | null>(null);
  useEffect(() => {
    text.value = value === null ? "" : String(value);
    wrong.value = null;
  }, [value]);
  const set = (): void => {
    const typed = readNumber(text.peek());
    wrong.value = typeof typed === "string" ? `${label}: ${typed}` : null;
    if (typeof typed !== "string" && typed !== value) onSet(typed);
  };
  const said = wrong.value ?? error;
  return (
    <div class="numberbox">
      <label for={id}>{label}</label>
      <input
        id={id}
        type="text"
        inputMode="decimal"
        autocomplete="off"
        value={text.value}
        placeholder={usual}
        aria-invalid={said === null ? undefined : true}
        aria-describedby={`${id}-about`}
        onInput={(e) => (text.value = e.currentTarget.value)}
        onBlur={set}
        onKeyDown={(e) => {
          if (e.key === "Enter") set();
        }}
      />
      <small id={`${id}-about`}>
        {limits === undefined ? unit : `${unit}, ${limits}`}
        {said === null ? null : <span class="wrong" role="alert">{said}</span>}
      </small>
    </div>
  );
}

/** Return the number that a text is; null for none, a sentence for what is no number. */
export function readNumber(text: string): number | null | string {
  const plain = text.trim().replaceAll(/[−–]/g, "-").replaceAll(/[\s\u202f]/g, "");
  if (plain === "") return null;
  if (/^[+-]?\d+,\d+$/.test(plain)) return `write ${plain.replace(",", ".")} with a point`;
  const value = Number(plain);
  return /^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(plain) && Number.isFinite(value) ? value : `“${text.trim()}” is no number`;
}

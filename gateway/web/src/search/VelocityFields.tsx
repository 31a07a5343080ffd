/** An observed velocity: cz, its frame and its error. Used for a place and for a galaxy whose catalogue value is to be replaced. */

import type { VelocityFrame } from "../api/types";
import { FRAME_WORDS } from "../state/words";

/** What is typed; numbers are text until they are asked. */
export interface TypedVelocity {
  cz: string;
  sigma: string;
  frame: VelocityFrame;
}

interface Props {
  id: string;
  typed: TypedVelocity;
  /** What an empty cz means. */
  usual: string;
  wrong: { cz: string | null; sigma: string | null };
  onType(parts: Partial<TypedVelocity>): void;
}

/** Three inputs in a row. */
export function VelocityFields({ id, typed, usual, wrong, onType }: Props) {
  return (
    <>
      <div class="inputs">
        <label class="input">
          <span>cz, km/s</span>
          <input
            id={`${id}-cz`} type="text" inputMode="decimal" autocomplete="off" value={typed.cz} placeholder={usual}
            aria-invalid={wrong.cz === null ? undefined : true} aria-describedby={`${id}-cz-wrong`}
            onInput={(e) => onType({ cz: e.currentTarget.value })}
          />
        </label>
        <label class="input">
          <span>σ(cz), km/s</span>
          <input
            id={`${id}-sigma`} type="text" inputMode="decimal" autocomplete="off" value={typed.sigma} placeholder="0"
            aria-invalid={wrong.sigma === null ? undefined : true} aria-describedby={`${id}-cz-wrong`}
            onInput={(e) => onType({ sigma: e.currentTarget.value })}
          />
        </label>
        <label class="input">
          <span>frame of cz</span>
          <select id={`${id}-frame`} value={typed.frame} onChange={(e) => onType({ frame: e.currentTarget.value as VelocityFrame })}>
            {Object.entries(FRAME_WORDS).map(([frame, words]) => <option key={frame} value={frame}>{words}</option>)}
          </select>
        </label>
      </div>
      <p id={`${id}-cz-wrong`} class="wrong" role="alert">{[wrong.cz, wrong.sigma].filter(Boolean).join(" ")}</p>
    </>
  );
}

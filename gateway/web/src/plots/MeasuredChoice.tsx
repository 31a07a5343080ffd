/** Whether the catalogues' measured distances are drawn, and what was found. */

import { Notice, Refusal } from "../ui/Notice";
import { isMeasuredShown, measured, measuredWords } from "./measured";

/** A box to tick, and the words for what it brought. */
export function MeasuredChoice({ cone }: { cone: number }) {
  const { data, error, isLoading } = measured.value;
  return (
    <>
      <label class="known-tick">
        <input
          type="checkbox"
          checked={isMeasuredShown.value}
          onChange={(e) => (isMeasuredShown.value = e.currentTarget.checked)}
        />
        Measured distances of the catalogues within this angle
      </label>
      {error === null ? null : <Refusal error={error} />}
      {isMeasuredShown.value && isLoading ? <p class="dim">Asking …</p> : null}
      {data === null || isLoading ? null : (
        <Notice>
          <p>{measuredWords(data, cone)}</p>
          {data.distance_catalogs.length === 0 ? (
            <p>
              Whoever runs this server can add some: <code>cosmicflows catalog import FILE --profile edd-cf4</code> takes
              Cosmicflows-4 with its 56,000 distances.
            </p>
          ) : null}
          {data.n === 0 ? null : (
            <p class="dim">
              One point a galaxy: of its distances the one with the smallest stated error for its size, often the catalogue's
              mean over all methods. The reading names the method.
            </p>
          )}
        </Notice>
      )}
    </>
  );
}

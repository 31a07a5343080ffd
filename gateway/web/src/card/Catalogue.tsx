/** What the catalogue knows: position, names, size, light, distances measured otherwise, notes. */

import { useSignal } from "@preact/signals";
import type { Detail, KnownDistance, Position } from "../api/types";
import { asDegrees, asHours, fixed, plusMinus } from "../ui/numbers";

/** A position in three systems. */
export function Places({ position }: { position: Position }) {
  const { icrs, galactic, supergalactic } = position;
  return (
    <dl class="facts">
      <dt>RA, Dec <small>ICRS</small></dt>
      <dd>{asHours(icrs.lon)}, {asDegrees(icrs.lat)}<br /><small>{fixed(icrs.lon, 5)}°, {fixed(icrs.lat, 5)}°</small></dd>
      <dt>l, b <small>galactic</small></dt>
      <dd>{fixed(galactic.lon, 4)}°, {fixed(galactic.lat, 4)}°</dd>
      <dt>SGL, SGB <small>supergalactic</small></dt>
      <dd>{fixed(supergalactic.lon, 4)}°, {fixed(supergalactic.lat, 4)}°</dd>
    </dl>
  );
}

const NAMES_FIRST = 5;

/** Everything else of the catalogue. */
export function Known({ detail }: { detail: Detail }) {
  const isLong = useSignal(false);
  const names = detail.cross_ids.filter((n) => n !== detail.name);
  const listed = isLong.value ? names : names.slice(0, NAMES_FIRST);
  const { size_arcmin: size, magnitudes } = detail;
  const light = Object.entries(magnitudes ?? {}).filter(([band, m]) => m !== null && band !== "surface_brightness");
  const surface = magnitudes?.["surface_brightness"] ?? null;
  return (
    <>
      <dl class="facts">
        <dt>type</dt>
        <dd>{[detail.object_type, detail.morphology].filter(Boolean).join(", ")}</dd>
        <dt>canonical name</dt>
        <dd>{detail.canonical}</dd>
        {detail.redirected_from === null ? null : <><dt>asked as</dt><dd>{detail.redirected_from}, another name of it</dd></>}
        {detail.common_names.length === 0 ? null : <><dt>called</dt><dd>{detail.common_names.join(", ")}</dd></>}
        {names.length === 0 ? null : (
          <>
            <dt>also</dt>
            <dd>
              {listed.join(", ")}{" "}
              {names.length > NAMES_FIRST ? (
                <button type="button" class="more" aria-expanded={isLong.value} onClick={() => (isLong.value = !isLong.value)}>
                  {isLong.value ? "fewer" : `${names.length - NAMES_FIRST} more`}
                </button>
              ) : null}
            </dd>
          </>
        )}
        {size?.major == null ? null : (
          <>
            <dt>size</dt>
            <dd>{fixed(size.major, 2)}′{size.minor == null ? null : ` × ${fixed(size.minor, 2)}′`}{size.pa == null ? null : `, position angle ${fixed(size.pa)}°`}</dd>
          </>
        )}
        {light.length === 0 ? null : <><dt>magnitudes</dt><dd>{light.map(([band, m]) => `${band} ${fixed(m, 2)}`).join(", ")} mag</dd></>}
        {surface === null ? null : <><dt>surface brightness</dt><dd>{fixed(surface, 2)} mag/arcsec²</dd></>}
        {detail.group === null ? null : (
          <><dt>group</dt><dd>{detail.group.name}{detail.group.n_members == null ? null : `, ${detail.group.n_members} members`}</dd></>
        )}
      </dl>
      {detail.distances.length === 0 ? null : (
        <>
          <h3>Distances measured without the redshift</h3>
          <ul>{detail.distances.map((d, i) => <li key={i}>{distanceWords(d)}</li>)}</ul>
        </>
      )}
      {detail.notes.length === 0 ? null : (
        <>
          <h3>Notes</h3>
          <ul>{detail.notes.map((note) => <li key={note}>{note}</li>)}</ul>
        </>
      )}
      <p class="dim">{detail.catalogs.map((c) => `${c.name}, version ${c.version}, ${c.licence || "no licence stated"}`).join("; ")}</p>
    </>
  );
}

function distanceWords(d: KnownDistance): string {
  const modulus = d.modulus === undefined ? "" : ` (μ ${plusMinus(d.modulus, d.modulus_error ?? null, 2)} mag)`;
  return `${plusMinus(d.d_mpc, d.error_mpc ?? null, 2)} Mpc${modulus}: ${d.method}; ${d.source}`;
}

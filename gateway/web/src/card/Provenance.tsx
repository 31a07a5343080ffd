/** Where the numbers come from: the field, the options, the code. */

import type { Flow } from "../api/types";
import { fieldRecord } from "../state/fields";
import { fixed } from "../ui/numbers";

/** Everything needed to get the same numbers again, and whom to cite. */
export function Provenance({ flow }: { flow: Flow }) {
  const record = fieldRecord(flow.field.id);
  return (
    <dl class="facts">
      <dt>field</dt>
      <dd>{flow.field.id} {flow.field.version}{record === null ? null : <><br /><small>{record.title}</small></>}</dd>
      <dt>cite</dt>
      <dd>{flow.field.citation}</dd>
      {record?.licence ? <><dt>licence</dt><dd>{record.licence}</dd></> : null}
      <dt>cosmology</dt>
      <dd>H₀ {flow.cosmology.H0} km/s/Mpc, Ωm {flow.cosmology.Om}, flat ΛCDM</dd>
      <dt>scatter σ_v</dt>
      <dd>{fixed(flow.sigma_v)} km/s</dd>
      <dt>prior</dt>
      <dd>{flow.prior}{flow.alpha === undefined || flow.prior !== "density" ? null : `, exponent ${flow.alpha}`}</dd>
      <dt>code</dt>
      <dd>Cosmic Flows {flow.cfcore}</dd>
    </dl>
  );
}

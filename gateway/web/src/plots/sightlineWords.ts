/** The line of sight in sentences: for screen readers, for the title of a saved drawing, and for who wants to be sure. */

import type { Flow, Root, Sightline, VelocityFrame } from "../api/types";
import { type Curve, type Disagreement, endOf, fallingStretches, interpolate, type LengthUnit, lengthIn } from "./curves";
import { percent } from "./density";
import type { KnownPoint } from "./known";
import { far, kms, kmsSigned } from "./numbers";

/** Units of length as they are written. */
export const UNIT_WORDS: Record<LengthUnit, string> = { mpc: "Mpc", hmpc: "h⁻¹ Mpc" };

/** Frames as they stand in a sentence before "velocity". */
export const FRAME_OF: Record<VelocityFrame, string> = {
  hel: "heliocentric",
  cmb: "CMB frame",
  lg: "Local Group frame",
  ls: "Local Sheet frame",
  gsr: "Galactic standard of rest",
};

/** Stretches of disagreement that a sentence names. */
const STRETCHES = 4;

/** A root in the unit of the axis. */
export const rootAt = (root: Root, unit: LengthUnit): number => (unit === "mpc" ? root.d_mpc : root.r_hmpc);

/** Where and how much one field differs from the chosen one. */
export function disagreementWords(
  chosen: string,
  other: string,
  found: readonly Disagreement[],
  unit: LengthUnit,
  H0: number,
): string {
  if (found.length === 0) return `${other} agrees with ${chosen} within both scatters on all that is shown.`;
  const at = (r: number): string => far(lengthIn(unit, r, H0));
  const parts = found
    .slice(0, STRETCHES)
    .map((d) => `from ${at(d.from)} to ${at(d.to)} ${UNIT_WORDS[unit]} by up to ${kmsSigned(d.most)} km/s`);
  const more = found.length > STRETCHES ? `, and on ${found.length - STRETCHES} more stretches` : "";
  const allowed = [...new Set(found.map((d) => kms(d.allowed)))];
  const both = `more than both scatters together (${allowed.join(", ")} km/s)`;
  return `${other} differs from ${chosen} by ${both} ${listed(parts)}${more}.`;
}

/** What is drawn, in words. */
export function sightlineWords(o: {
  curve: Curve;
  end: number;
  unit: LengthUnit;
  frame: VelocityFrame;
  observed: number | null;
  flow: Flow | null;
  points: readonly KnownPoint[];
  /** Trusted radius of the field, h^-1 Mpc. */
  trusted: number | null;
}): string {
  const { curve, unit, frame, observed, flow } = o;
  const end = Math.min(o.end, endOf(curve));
  const u = UNIT_WORDS[unit];
  const at = (r: number): string => far(lengthIn(unit, r, curve.H0));
  const first = curve.cz.find(Number.isFinite);
  const last = interpolate(curve.r, curve.cz, end);
  const falls = fallingStretches(curve, end).map(([a, b]) => `from ${at(a)} to ${at(b)} ${u}`);
  const out = [
    `Model velocity (${FRAME_OF[frame]}) of field ${curve.field} goes from ${kms(first)} km/s at the observer ` +
      `to ${kms(last)} km/s at ${at(end)} ${u}${falls.length === 0 ? "" : `, falling ${listed(falls)}`}; ` +
      `pure Hubble flow reaches ${kms(interpolate(curve.r, curve.hubble, end))} km/s there.`,
  ];
  if (observed !== null) {
    const roots = flow?.roots.map((r) => `${far(rootAt(r, unit))} ${u} (weight ${percent(r.weight)})`);
    const met =
      roots === undefined
        ? ""
        : roots.length === 0
          ? " is met at no distance"
          : ` is met at ${roots.length} ${roots.length === 1 ? "distance" : "distances"}: ${listed(roots)}`;
    out.push(`Observed cz ${kms(observed)} km/s${met}.`);
  }
  if (o.trusted !== null && o.trusted < end) out.push(`The field is trusted to ${at(o.trusted)} ${u}.`);
  // several distances of the galaxy that is asked are one object
  const known = o.points.filter((p) => !p.isAsked).length + (o.points.some((p) => p.isAsked) ? 1 : 0);
  if (known === 1) out.push("1 object with a known distance lies in the cone.");
  else if (known > 1) out.push(`${known} objects with known distances lie in the cone.`);
  return out.join(" ");
}

/** Comment lines of a saved table: what it is and where it comes from. */
export function provenanceNotes(s: Sightline | Flow): string[] {
  const { field, cosmology } = s;
  return [
    `field ${field.id} ${field.version}: ${field.citation}`,
    `H0 = ${cosmology.H0} km/s/Mpc, Om = ${cosmology.Om}, sigma_v = ${s.sigma_v} km/s, prior ${s.prior}, cfcore ${s.cfcore}`,
    `ICRS ${s.position.icrs.lon} ${s.position.icrs.lat} deg${s.name === null ? "" : `, ${s.name}`}`,
  ];
}

function listed(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1) ?? ""}`;
}

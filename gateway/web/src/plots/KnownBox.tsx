/** The part of the line-of-sight panel where distances known otherwise come in: an own table, the cone, what was read. */

import { useState } from "preact/hooks";
import { Notice } from "../ui/Notice";
import { MeasuredChoice } from "./MeasuredChoice";
import { BYTES_MAX, type KnownTable, readKnown, TableRefusal } from "./known";

export const CONE_DEG = 10;

interface Props {
  table: { name: string; read: KnownTable } | null;
  cone: number;
  /** Objects of the table within the cone; null without a line of sight. */
  within: number | null;
  /** Distances of the asked galaxy in the catalogue. */
  catalogued: number;
  onTable: (table: { name: string; read: KnownTable } | null) => void;
  onCone: (degrees: number) => void;
}

/** Choose or drop a table, set the cone, read what was taken. */
export function KnownBox({ table, cone, within, catalogued, onTable, onCone }: Props) {
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isOver, setOver] = useState(false);
  const take = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    try {
      if (file.size > BYTES_MAX) {
        throw new TableRefusal(
          `${Math.round(file.size / 1e6)} MB; at most ${BYTES_MAX / 1e6} MB are read here. “Tables” takes larger ones.`,
        );
      }
      onTable({ name: file.name, read: readKnown(await file.text()) });
      setRefusal(null);
    } catch (error) {
      if (!(error instanceof TableRefusal)) throw error;
      setRefusal(`${file.name}: ${error.message}`);
    }
  };
  const drop = (event: DragEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    void take(event.dataTransfer?.files[0]);
  };
  const over = (event: DragEvent): void => {
    event.preventDefault();
    event.stopPropagation();
    setOver(true);
  };
  return (
    <details class="known">
      <summary>
        Known distances{table === null ? "" : `: ${within ?? 0} of ${table.read.objects.length} within ${cone}°`}
      </summary>
      <div class={isOver ? "known-drop over" : "known-drop"} onDragOver={over} onDragLeave={() => setOver(false)} onDrop={drop}>
        <p class="dim">
          Points beside the line: choose or drop a CSV or TSV table with columns ra, dec (degrees), cz (km/s) and a distance in
          Mpc or a modulus. It is read in this browser and sent nowhere.
        </p>
        <label>
          Table
          <input
            type="file"
            accept=".csv,.tsv,.txt,.dat,text/csv,text/plain"
            onChange={(e) => {
              void take(e.currentTarget.files?.[0]);
              e.currentTarget.value = "";
            }}
          />
        </label>
        <label>
          Within
          <input
            type="number"
            min={0.1}
            max={90}
            step="any"
            value={cone}
            aria-label="Angle of the cone in degrees"
            onChange={(e) => {
              const value = e.currentTarget.valueAsNumber;
              if (value > 0 && value <= 90) onCone(value);
              else e.currentTarget.value = String(cone);
            }}
          />
          degrees of the line of sight
        </label>
        {refusal === null ? null : <Notice bad>{refusal}</Notice>}
        {table === null ? null : (
          <>
            <p>
              {table.name}: {table.read.words.join(" ")}
            </p>
            <p class="dim">
              Distances are taken as luminosity distances and divided by 1 + z.{" "}
              {within === 0 ? "None lies within the cone: widen it." : ""}
            </p>
            <p>
              <button type="button" onClick={() => onTable(null)}>
                Take the table away
              </button>
            </p>
          </>
        )}
        <MeasuredChoice cone={cone} />
        {catalogued > 0 ? (
          <p class="dim">
            The catalogue knows {catalogued} {catalogued === 1 ? "distance" : "distances"} of this galaxy; shown as well.
          </p>
        ) : null}
      </div>
    </details>
  );
}

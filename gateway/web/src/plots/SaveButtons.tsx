/** "Save as": the drawing of a panel as SVG or PNG, its numbers as CSV. */

import { useState } from "preact/hooks";
import { announce } from "../ui/announce";
import { type Backing, savePng, saveSvg } from "../ui/save";

interface Props {
  /** Of the file, without its ending. */
  name: string;
  /** The drawing; null while there is none. */
  svg: () => SVGSVGElement | null;
  onCsv: () => void;
  /** What is saved, in words: "this plot". */
  of: string;
}

/** Three buttons and the choice of the ground. */
export function SaveButtons({ name, svg, onCsv, of }: Props) {
  const [backing, setBacking] = useState<Backing>("panel");
  const save = async (kind: "SVG" | "PNG" | "CSV"): Promise<void> => {
    const drawing = svg();
    if (kind === "CSV") onCsv();
    else if (drawing === null) return;
    else if (kind === "SVG") saveSvg(`${name}.svg`, drawing, backing);
    else await savePng(`${name}.png`, drawing, backing);
    announce(`Saved ${name}.${kind.toLowerCase()}`);
  };
  return (
    <div class="plot-choices" role="group" aria-label={`Save ${of}`}>
      <span class="dim" aria-hidden="true">
        Save
      </span>
      {(["SVG", "PNG", "CSV"] as const).map((kind) => (
        <button
          key={kind}
          type="button"
          aria-label={`Save ${of} as ${kind}`}
          onClick={() => void save(kind).catch(() => announce(`The browser could not make the ${kind}`))}
        >
          {kind}
        </button>
      ))}
      <label>
        <input
          type="checkbox"
          checked={backing === "white"}
          onChange={(e) => setBacking(e.currentTarget.checked ? "white" : "panel")}
        />
        on white
      </label>
    </div>
  );
}

/** The legend of a drawing, inside its SVG so that a saved one keeps it. */

/** One line of a legend: what stands for what. */
export interface LegendItem {
  label: string;
  kind: "line" | "band" | "dot" | "square" | "tick" | "diamond";
  colour: string;
  dash?: string;
  opacity?: number;
}

const MARK = 28;
const GAP = 14;
/** Mean width of a letter at 12 px; a little generous, for the width is not measured. */
const LETTER = 6.5;

/** Lay items into rows of a width, in their order. */
export function legendRows(items: readonly LegendItem[], width: number): { item: LegendItem; x: number }[][] {
  const rows: { item: LegendItem; x: number }[][] = [];
  let x = 0;
  for (const item of items) {
    const needs = MARK + LETTER * item.label.length;
    const row = rows.at(-1);
    if (row === undefined || (x > 0 && x + needs > width)) {
      rows.push([{ item, x: 0 }]);
      x = needs + GAP;
    } else {
      row.push({ item, x });
      x += needs + GAP;
    }
  }
  return rows;
}

/** The small sign before a label. */
export function LegendMark({ item }: { item: LegendItem }) {
  const { colour, dash, opacity = 1 } = item;
  switch (item.kind) {
    case "line": return <line x1="0" x2="22" y1="0" y2="0" stroke={colour} stroke-width="2" stroke-dasharray={dash} />;
    case "band": return <rect x="0" y="-6" width="22" height="12" fill={colour} fill-opacity={opacity} />;
    case "dot": return <circle cx="11" cy="0" r="5" fill={colour} stroke="var(--panel)" />;
    case "square": return <rect x="7" y="-4" width="8" height="8" fill="var(--panel)" stroke={colour} stroke-width="1.5" />;
    case "diamond": return <path d="M11,-6L16,0L11,6L6,0Z" fill={colour} />;
    case "tick": return <path d="M6,5L11,-5L16,5Z" fill={colour} />;
  }
}

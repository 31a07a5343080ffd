/** Save what is shown: drawings as SVG or PNG, columns as CSV. */

/** Behind a saved drawing: the page's own panel in the theme on show, or white with the colours of the light theme. */
export type Backing = "panel" | "white";

/** Return a file name of some words, without signs that file systems dislike. */
export function fileName(...parts: (string | null)[]): string {
  return parts.filter(Boolean).join("_").replaceAll(/[^\p{L}\p{N}._+-]+/gu, "-");
}

/** Let the browser save a file. */
export function saveBlob(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Save columns of one length as CSV, with comment lines before them. */
export function saveCsv(
  name: string,
  columns: Record<string, readonly (number | string | null)[]>,
  notes: readonly string[],
): void {
  saveBlob(name, new Blob([csvText(columns, notes)], { type: "text/csv" }));
}

/** Columns of one length as the text of a CSV file, with comment lines before them. */
export function csvText(columns: Record<string, readonly (number | string | null)[]>, notes: readonly string[]): string {
  const names = Object.keys(columns);
  const n = Math.max(0, ...Object.values(columns).map((c) => c.length));
  const rows = Array.from({ length: n }, (_, i) => names.map((c) => cell(columns[c]?.[i] ?? null)).join(","));
  return [...notes.map((t) => `# ${t.replaceAll(/[\r\n]+/g, " ")}`), names.map(cell).join(","), ...rows, ""].join("\n");
}

function cell(value: number | string | null): string {
  if (value === null || (typeof value === "number" && Number.isNaN(value))) return "";
  // text that a spreadsheet would take for a formula is told to be text; numbers keep their signs
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Save a drawing as SVG that stands alone: colours are numbers, nothing of the page is needed. */
export function saveSvg(name: string, svg: SVGSVGElement, backing: Backing = "panel"): void {
  saveBlob(name, new Blob([svgText(svg, backing)], { type: "image/svg+xml" }));
}

/** Save a drawing or a canvas as PNG; drawings with twice the pixels they have on the page. */
export async function savePng(
  name: string,
  source: SVGSVGElement | HTMLCanvasElement,
  backing: Backing = "panel",
): Promise<void> {
  const canvas = source instanceof HTMLCanvasElement ? source : await painted(source, backing);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (blob === null) throw new Error(`the browser made no PNG of ${canvas.width} x ${canvas.height} pixels`);
  saveBlob(name, blob);
}

/** The text of an SVG file of a drawing; parts marked data-save="no" (crosshairs) are left out. */
export function svgText(svg: SVGSVGElement, backing: Backing = "panel"): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const [width, height] = sizeOf(svg);
  for (const part of [...copy.querySelectorAll('[data-save="no"]')]) part.remove();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  copy.removeAttribute("class");
  const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [key, value] of Object.entries({ width: "100%", height: "100%", fill: "var(--panel)" }))
    ground.setAttribute(key, value);
  const titles = [...copy.children].filter((e) => e.tagName === "title" || e.tagName === "desc").length;
  copy.insertBefore(ground, copy.children[titles] ?? null);
  withColours(backing, (colour) => {
    for (const element of [copy, ...copy.querySelectorAll("*")]) {
      for (const { name, value } of [...element.attributes]) {
        if (value.includes("var(--"))
          element.setAttribute(
            name,
            value.replaceAll(/var\((--[\w-]+)\)/g, (_, token: string) => colour(token)),
          );
      }
    }
  });
  return new XMLSerializer().serializeToString(copy);
}

function sizeOf(svg: SVGSVGElement): [number, number] {
  const box = svg.getBoundingClientRect();
  return [
    Math.round(box.width) || Number(svg.getAttribute("width")),
    Math.round(box.height) || Number(svg.getAttribute("height")),
  ];
}

/** The light theme's colours can only be read while it is on; it is off again before the browser paints. */
function withColours(backing: Backing, use: (colour: (token: string) => string) => void): void {
  const root = document.documentElement;
  const before = root.dataset["theme"];
  if (backing === "white") root.dataset["theme"] = "light";
  const style = getComputedStyle(root);
  try {
    use((token) =>
      backing === "white" && token === "--panel" ? "#ffffff" : style.getPropertyValue(token).trim() || "currentColor",
    );
  } finally {
    if (before === undefined) delete root.dataset["theme"];
    else root.dataset["theme"] = before;
  }
}

const PIXELS = 2;

async function painted(svg: SVGSVGElement, backing: Backing): Promise<HTMLCanvasElement> {
  const [width, height] = sizeOf(svg);
  const url = URL.createObjectURL(new Blob([svgText(svg, backing)], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [PIXELS * width, PIXELS * height];
    canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
    return canvas;
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** The sky as files: a picture with its title and scale, and the shell as columns. */

import { shellGrid } from "../field/shell";
import { fileName, saveCsv, savePng } from "../ui/save";
import { palette } from "./colours";
import { createPainter, type Ink, inkOf, type Look } from "./draw";
import { heightFor } from "./SkyMap";
import { KIND_WORDS, scaleWords, SKY_FRAMES } from "./words";

const PICTURE = { width: 1200, ratio: 2, head: 34, foot: 56 };

/** Name of a file, without its ending. */
const nameOf = (look: Look): string =>
  fileName("sky", look.tile?.header.field.id ?? "field", look.kind === "velocity" ? "v_rad" : "delta", `${look.r}hmpc`);

/** What a saved file says of itself. */
function title(look: Look): string {
  const what = look.kind === "velocity" ? "radial velocity (CMB frame)" : "density contrast δ";
  return `${look.tile?.header.field.title ?? ""}: ${what} at ${look.r} h⁻¹ Mpc, ${SKY_FRAMES[look.frame].title} coordinates`;
}

/** Save the picture as PNG, in the theme on show; `element` lends its inks. */
export async function savePicture(look: Look, element: Element): Promise<void> {
  const { width, ratio, head, foot } = PICTURE;
  const height = heightFor(look.projection, width);
  const canvas = document.createElement("canvas");
  canvas.width = width * ratio;
  canvas.height = (height + head + foot) * ratio;
  const context = canvas.getContext("2d");
  if (context === null) return;
  const ink = inkOf(element);
  const map = document.createElement("canvas");
  map.width = width * ratio;
  map.height = height * ratio;
  const drawn = map.getContext("2d");
  if (drawn === null) return;
  drawn.scale(ratio, ratio);
  createPainter().draw(drawn, { ...look, cursor: null }, width, height, ratio, ink, false);
  context.scale(ratio, ratio);
  context.fillStyle = ink.page;
  context.fillRect(0, 0, width, height + head + foot);
  context.font = `600 16px ${ink.font}`;
  context.fillStyle = ink.text;
  context.textAlign = "center";
  context.fillText(title(look), width / 2, 23, width - 20);
  context.drawImage(map, 0, head, width, height);
  drawScale(context, look, width / 2 - 180, head + height + 10, 360, ink);
  await savePng(`${nameOf(look)}.png`, canvas);
}

function drawScale(context: CanvasRenderingContext2D, look: Look, x: number, y: number, width: number, ink: Ink): void {
  const colours = palette(look.theme);
  for (let i = 0; i < width; i++) {
    const c = colours[Math.floor((i / width) * colours.length)]!;
    context.fillStyle = `rgb(${c & 255} ${(c >> 8) & 255} ${(c >> 16) & 255})`;
    context.fillRect(x + i, y, 1.5, 12);
  }
  context.font = `12px ${ink.font}`;
  context.fillStyle = ink.text;
  scaleWords(look.limit, look.kind).forEach((text, i) => {
    context.textAlign = (["left", "center", "right"] as const)[i]!;
    context.fillText(text, x + (width * i) / 2, y + 28);
  });
}

/** Save the shell as CSV on a grid of two degrees, supergalactic. */
export function saveShell(look: Look): void {
  if (look.tile === null) return;
  const grid = shellGrid(look.tile, look.kind, look.r);
  const { field, trusted_hmpc } = look.tile.header;
  saveCsv(`${nameOf(look)}.csv`, {
    sgl_deg: grid.sgl, sgb_deg: grid.sgb,
    [look.kind === "velocity" ? "v_rad_kms" : "delta"]: grid.value.map((v) => (v === null ? null : Number(v.toFixed(look.kind === "velocity" ? 1 : 4)))),
  }, [
    title({ ...look, frame: "supergalactic" }), `field ${field.id}, version ${field.version}`,
    `r = ${look.r} h^-1 Mpc comoving${trusted_hmpc === null ? "" : `; the field is trusted to ${trusted_hmpc} h^-1 Mpc`}`,
    `${KIND_WORDS[look.kind]} from the preview of ${look.tile.n} nodes an axis, for looking: ask /get_distance_table for numbers`,
  ]);
}

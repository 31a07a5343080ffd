/** The canvas of the view in space with its graphics, made before vtk.js is there: a browser answers soonest while nothing is drawn yet. */

/** Names under which graphics without a card are known. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** True when a graphics card draws. */
function hasCard(gl: WebGL2RenderingContext): boolean {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  return !SOFTWARE.test(String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER)));
}

let early: HTMLCanvasElement | null = null;

/** Make the first canvas before anything is drawn: later the answer to it waits behind the first pictures of the page. */
export function prepareCanvas(): void {
  early = makeCanvas();
}

/** Return the canvas that was prepared, or another one; null where there is no WebGL 2. */
export function takeCanvas(): HTMLCanvasElement | null {
  const canvas = early ?? makeCanvas();
  early = null;
  return canvas;
}

/**
 * Make a canvas with graphics, with smooth edges where a card draws: in software they make a frame take three times as long.
 * Null where there is no WebGL 2.
 */
export function makeCanvas(): HTMLCanvasElement | null {
  const rough = withGraphics(false);
  if (rough === null || !hasCard(rough.gl)) return rough?.canvas ?? null;
  // smooth edges must be asked for first of all, so on a canvas of its own, which costs little where there is a card
  const smooth = withGraphics(true);
  if (smooth === null) return rough.canvas;
  // browsers keep only some contexts alive: the first one has done its work
  rough.gl.getExtension("WEBGL_lose_context")?.loseContext();
  return smooth.canvas;
}

function withGraphics(antialias: boolean): { canvas: HTMLCanvasElement; gl: WebGL2RenderingContext } | null {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { depth: true, alpha: true, powerPreference: "low-power", antialias });
  return gl === null ? null : { canvas, gl };
}

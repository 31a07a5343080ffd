/** The canvas of the view in space with its graphics, made before vtk.js is there: a browser answers soonest while nothing is drawn yet. */

/** Names under which graphics without a card are known. */
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** True when a graphics card draws. Asked of a canvas of its own: what the real one gets must be said when it is asked first. */
function hasCard(): boolean {
  const gl = document.createElement("canvas").getContext("webgl2");
  if (gl === null) return false;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const isSoftware = SOFTWARE.test(String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER)));
  // browsers keep only some contexts alive: this one has done its work
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return !isSoftware;
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
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { depth: true, alpha: true, powerPreference: "low-power", antialias: hasCard() });
  return gl === null ? null : canvas;
}

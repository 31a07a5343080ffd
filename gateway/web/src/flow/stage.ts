/** The window of vtk.js: three layers of drawing, one eye, a frame only when asked. */

import "@kitware/vtk.js/Rendering/OpenGL/Actor";
import "@kitware/vtk.js/Rendering/OpenGL/Camera";
import "@kitware/vtk.js/Rendering/OpenGL/PolyDataMapper";
import "@kitware/vtk.js/Rendering/OpenGL/Renderer";
import vtkRenderer from "@kitware/vtk.js/Rendering/Core/Renderer";
import vtkRenderWindow from "@kitware/vtk.js/Rendering/Core/RenderWindow";
import vtkOpenGLRenderWindow from "@kitware/vtk.js/Rendering/OpenGL/RenderWindow";
import { eyeOf, type Orbit, VIEW_ANGLE } from "./camera";
import type { Actor } from "./parts";
import type { Rgb } from "../ui/ramp";
import { css } from "./palette";

/** More pixels a CSS pixel than this cost much and show nothing. */
const RATIO_MAX = 2;

/** Clear surfaces, drawn first so that lines within them are seen; the field itself; before all what must not be hidden. */
export type StageLayer = "veil" | "field" | "front";

/** Where actors play. */
export interface Stage {
  readonly canvas: HTMLCanvasElement;
  /** Size in CSS pixels, as of the last frame. */
  size(): readonly [number, number];
  /** Device pixels a CSS pixel. */
  ratio(): number;
  add(actor: Actor, layer: StageLayer): void;
  remove(actor: Actor): void;
  /** Colours of the ground and of what is written on it. */
  setBackground(colour: Rgb, ink: Rgb): void;
  setOrbit(orbit: Orbit, reach: number): void;
  /** Draw one frame soon; many calls make one. */
  request(): void;
  /** Draw now and run `then` while the drawing buffer still holds the picture. */
  drawNow(then?: () => void): void;
  dispose(): void;
}

/**
 * Set up the stage in an element, on a canvas that has its graphics; `onFrame` runs after each frame, `onLost` when they are taken
 * away. The library cannot forget all it kept there, so that another stage must be made then.
 */
export function createStage(host: HTMLElement, canvas: HTMLCanvasElement, onFrame: () => void, onLost: () => void): Stage {
  const window_ = vtkRenderWindow.newInstance();
  const layers = { veil: vtkRenderer.newInstance(), field: vtkRenderer.newInstance(), front: vtkRenderer.newInstance() };
  const all = Object.values(layers);
  const camera = layers.veil.getActiveCamera();
  camera.setViewAngle(VIEW_ANGLE);
  window_.setNumberOfLayers(all.length);
  all.forEach((renderer, i) => {
    renderer.setLayer(i);
    renderer.setPreserveColorBuffer(i > 0);
    renderer.setActiveCamera(camera);
    window_.addRenderer(renderer);
  });
  const view = vtkOpenGLRenderWindow.newInstance();
  view.setCanvas(canvas);
  Object.assign(canvas.style, { display: "block", position: "absolute", inset: "0", width: "100%", height: "100%" });
  if (getComputedStyle(host).position === "static") host.style.position = "relative";
  view.setContainer(host);

  let size: readonly [number, number] = [0, 0];
  let ratio = 1;
  let wanted = 0;
  let frames = 0;
  let isLost = false;

  const fit = (): void => {
    size = [Math.max(1, host.clientWidth), Math.max(1, host.clientHeight)];
    ratio = Math.min(devicePixelRatio || 1, RATIO_MAX);
    const [w, h] = [Math.round(size[0] * ratio), Math.round(size[1] * ratio)];
    const [now, then] = view.getSize();
    if (now !== w || then !== h) view.setSize(w, h);
  };
  // the size first: each change of it makes the graphics wait
  fit();
  window_.addView(view);
  const drawNow = (then?: () => void): void => {
    cancelAnimationFrame(wanted);
    wanted = 0;
    if (isLost || host.clientWidth === 0) return;
    fit();
    window_.render();
    // read by tests: a page at rest must not draw
    canvas.dataset["frames"] = String(++frames);
    then?.();
    onFrame();
  };
  const request = (): void => {
    if (wanted === 0) wanted = requestAnimationFrame(() => drawNow());
  };
  const lost = (): void => {
    isLost = true;
    onLost();
  };
  canvas.addEventListener("webglcontextlost", lost);
  fit();

  return {
    canvas,
    size: () => size,
    ratio: () => ratio,
    add(actor, layer) {
      layers[layer].addActor(actor);
      request();
    },
    remove(actor) {
      for (const renderer of all) renderer.removeActor(actor);
      actor.getMapper()?.delete();
      actor.delete();
      request();
    },
    setBackground(colour, ink) {
      // for the names: a notebook has no style sheet of the page that would say them
      host.style.setProperty("--flow-halo", css(colour));
      host.style.setProperty("--flow-ink", css(ink));
      layers.veil.setBackground(...colour);
      request();
    },
    setOrbit(orbit, reach) {
      const { position, up } = eyeOf(orbit);
      camera.setPosition(...position);
      camera.setFocalPoint(0, 0, 0);
      camera.setViewUp(...up);
      camera.setClippingRange(Math.max(orbit.distance - 2 * reach, orbit.distance / 200), orbit.distance + 2 * reach);
      request();
    },
    request,
    drawNow,
    dispose() {
      cancelAnimationFrame(wanted);
      canvas.removeEventListener("webglcontextlost", lost);
      for (const renderer of all) {
        for (const actor of renderer.getActors()) renderer.removeActor(actor);
      }
      window_.removeView(view);
      view.delete();
      canvas.remove();
    },
  };
}

/** The canvas of the sky: draws a look when it changes, and tells where somebody points, turns or asks. */

import { useEffect, useRef } from "preact/hooks";
import { toLonLat, turn, type Vector } from "../field/frames";
import { useWidth } from "../ui/useWidth";
import { createPainter, frameOf, inkOf, type Look } from "./draw";
import { inverse, viewMatrix } from "./projection";

interface Props {
  look: Look;
  /** Draw it: nobody sees what is below the window. */
  isWanted: boolean;
  /** Id of the element that tells in words what the canvas shows. */
  describedBy: string;
  /** Somebody points at a place (degrees in the shown frame), or at none; `byKey` is the keyboard's cursor. */
  onPoint(place: readonly [number, number] | null, byKey: boolean): void;
  /** Somebody turns the sky so that this place is in the middle. */
  onTurn(centre: readonly [number, number]): void;
  /** Somebody asks this place. */
  onAsk(place: readonly [number, number]): void;
}

/** Pointers that move less than this have clicked. */
const CLICK_PX = 4;
/** Steps of the keyboard cursor, degrees; finer with Shift. */
const STEP = { wide: 5, fine: 0.5 };
/** After this rest the picture is drawn in full fineness. */
const REST_MS = 140;
const GLOBE_LEAST_PX = 280;

const wrap = (lon: number): number => ((lon % 360) + 360) % 360;
const clampLat = (lat: number): number => Math.max(-90, Math.min(90, lat));

/** Height of the picture for its width, CSS pixels. */
export const heightFor = (projection: Look["projection"], width: number): number =>
  Math.round(projection === "mollweide" ? width / 2 : Math.min(width, Math.max(width / 2, GLOBE_LEAST_PX)));

/** The map. */
export function SkyMap({ look, isWanted, describedBy, onPoint, onTurn, onAsk }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const painter = useRef(createPainter());
  const width = useWidth(host);
  const press = useRef<{ x: number; y: number; centre: readonly [number, number]; isDrag: boolean } | null>(null);
  const height = heightFor(look.projection, width);

  const rest = useRef(0);
  useEffect(() => {
    if (!isWanted || width < 1) return undefined;
    // the processor makes every pixel of it: the graphics would only have them sent
    const context = canvas.current?.getContext("2d", { willReadFrequently: true });
    if (!canvas.current || !context) return undefined;
    const ratio = devicePixelRatio || 1;
    const draw = (isMoving: boolean): void => {
      if (!canvas.current) return;
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      if (canvas.current.width !== w || canvas.current.height !== h) Object.assign(canvas.current, { width: w, height: h });
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      painter.current.draw(context, look, width, height, ratio, inkOf(canvas.current), isMoving);
    };
    // the first of several looks is drawn finely; quick ones coarsely, until they rest
    const isMoving = performance.now() - rest.current < REST_MS;
    rest.current = performance.now();
    let frame = requestAnimationFrame(() => draw(isMoving));
    const later = isMoving ? setTimeout(() => (frame = requestAnimationFrame(() => draw(false))), REST_MS) : undefined;
    return () => {
      cancelAnimationFrame(frame);
      clearTimeout(later);
    };
  }, [look, isWanted, width, height]);

  const placeAt = (event: PointerEvent): [number, number] | null => {
    const box = canvas.current!.getBoundingClientRect();
    const seen: Vector | null = inverse(frameOf(look, width, height), event.clientX - box.left, event.clientY - box.top);
    return seen === null ? null : toLonLat(turn(viewMatrix(...look.centre), seen));
  };
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    press.current = { x: event.clientX, y: event.clientY, centre: look.centre, isDrag: false };
    canvas.current?.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    const begun = press.current;
    if (begun === null) return onPoint(placeAt(event), false);
    const [dx, dy] = [event.clientX - begun.x, event.clientY - begun.y];
    if (!begun.isDrag && Math.hypot(dx, dy) < CLICK_PX) return;
    begun.isDrag = true;
    const { radius } = frameOf(look, width, height);
    const isGlobe = look.projection === "orthographic";
    const degrees = (isGlobe ? 180 / Math.PI : 90) / radius;
    onTurn([wrap(begun.centre[0] + dx * degrees), isGlobe ? clampLat(begun.centre[1] + dy * degrees) : 0]);
  };
  const up = (event: PointerEvent): void => {
    const begun = press.current;
    press.current = null;
    if (begun === null || begun.isDrag) return;
    const place = placeAt(event);
    if (place !== null) onAsk(place);
  };
  const key = (event: KeyboardEvent): void => {
    const step = event.shiftKey ? STEP.fine : STEP.wide;
    const [lon, lat] = look.cursor ?? look.centre;
    const moves: Record<string, readonly [number, number]> = {
      ArrowLeft: [lon + step, lat], ArrowRight: [lon - step, lat], ArrowUp: [lon, lat + step], ArrowDown: [lon, lat - step],
      Home: [0, 0],
    };
    const to = moves[event.key];
    if (to !== undefined) {
      const next = [wrap(to[0]), clampLat(to[1])] as const;
      onPoint(next, true);
      // the globe keeps the cursor in its middle: so every direction can be reached
      if (look.projection === "orthographic") onTurn(next);
      else if (event.key === "Home") onTurn([0, 0]);
    } else if (event.key === "Enter" || event.key === " ") onAsk([lon, lat]);
    else if (event.key === "Escape") onPoint(null, true);
    else return;
    event.preventDefault();
  };
  return (
    <div class="sky-map" ref={host}>
      <canvas
        ref={canvas}
        style={{ width: `${width}px`, height: `${height}px` }}
        class={look.projection}
        tabIndex={0}
        role="application"
        aria-roledescription="sky map"
        aria-label="Map of the sky: arrow keys move the cursor, Enter asks its direction, Home goes back to the origin"
        aria-describedby={describedBy}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={() => (press.current = null)}
        onPointerLeave={() => onPoint(null, false)}
        onKeyDown={key}
      />
    </div>
  );
}

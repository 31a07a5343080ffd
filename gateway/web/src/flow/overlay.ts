/** Names over the picture: HTML, placed anew each frame so that none touches another. Screen readers get the summary instead. */

import type { Vector } from "../field/frames";
import { projector, type Orbit } from "./camera";
import { placed } from "./labels";

export type LabelKind = "target" | "root" | "structure" | "void" | "axis" | "ring" | "home" | "critical";

export interface Label {
  text: string;
  at: Vector;
  kind: LabelKind;
  /** The greater, the earlier it finds a place. */
  priority: number;
}

/** Names that are drawn. */
export interface Overlay {
  setLabels(labels: readonly Label[]): void;
  place(orbit: Orbit, width: number, height: number): void;
  /** Draw the names as they stand into a picture, `ratio` device pixels a CSS pixel. */
  paint(context: CanvasRenderingContext2D, ratio: number): void;
  dispose(): void;
}

/** Put names over an element. */
export function createOverlay(host: HTMLElement): Overlay {
  const layer = document.createElement("div");
  layer.className = "flow-labels";
  layer.setAttribute("aria-hidden", "true");
  host.append(layer);
  let labels: readonly Label[] = [];
  let spans: HTMLSpanElement[] = [];
  let sizes: (readonly [number, number])[] | null = null;

  return {
    setLabels(next) {
      labels = next;
      spans = next.map((label) => {
        const span = document.createElement("span");
        span.className = `flow-label ${label.kind}`;
        span.textContent = label.text;
        return span;
      });
      layer.replaceChildren(...spans);
      sizes = null;
    },
    place(orbit, width, height) {
      sizes ??= spans.map((s) => [s.offsetWidth, s.offsetHeight]);
      const project = projector(orbit, width, height);
      const seen = labels.map((l) => project(l.at));
      const inside = seen.map((p) => p !== null && p.x >= 0 && p.y >= 0 && p.x <= width && p.y <= height);
      const indices = labels.map((_, i) => i).filter((i) => inside[i]);
      const places = placed(
        indices.map((i) => ({
          x: seen[i]!.x, y: seen[i]!.y, width: sizes![i]![0], height: sizes![i]![1], priority: labels[i]!.priority,
        })),
        width, height,
      );
      for (const span of spans) span.hidden = true;
      indices.forEach((i, at) => {
        const place = places[at];
        const span = spans[i]!;
        if (!place) return;
        span.hidden = false;
        span.style.transform = `translate(${Math.round(place.left)}px, ${Math.round(place.top)}px)`;
      });
    },
    paint(context, ratio) {
      const origin = layer.getBoundingClientRect();
      for (const span of spans) {
        if (span.hidden) continue;
        const box = span.getBoundingClientRect();
        const style = getComputedStyle(span);
        context.font = `${style.fontWeight} ${Number.parseFloat(style.fontSize) * ratio}px ${style.fontFamily}`;
        context.textBaseline = "middle";
        context.textAlign = "left";
        const [x, y] = [(box.left - origin.left) * ratio, (box.top - origin.top + box.height / 2) * ratio];
        context.lineWidth = 3 * ratio;
        context.lineJoin = "round";
        context.strokeStyle = style.getPropertyValue("--flow-halo").trim() || "#000";
        context.strokeText(span.textContent ?? "", x, y);
        context.fillStyle = style.color;
        context.fillText(span.textContent ?? "", x, y);
      }
    },
    dispose() {
      layer.remove();
    },
  };
}

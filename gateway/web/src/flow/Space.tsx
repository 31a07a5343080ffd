/** The element in which the scene lives: loads vtk.js when it is needed and hands the state of the page to the scene. */

import { effect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { calm, painted } from "../state/calm";
import { askName } from "../state/question";
import { returns } from "../state/server";
import { theme, wantsStillness } from "../state/theme";
import { tile } from "../state/tile";
import { show, view } from "../state/view";
import { galaxies, target, wantGalaxies } from "./choice";
import { takeCanvas } from "./graphics";
import type { Scene } from "./scene";

/** Whether space can be drawn, and why not. */
export type SpaceFate = "space" | "no webgl" | "not loaded" | "lost";

interface Props {
  onScene(scene: Scene | null): void;
  onFate(fate: SpaceFate): void;
  /** The graphics were taken away, and the scene with them: this element wants to be made anew. */
  onLost(): void;
  children: ComponentChildren;
}

/** The hand rests so long before the link is written. */
const REST_MS = 300;

/** The view in space, turned by hand and keyboard. */
export function Space({ onScene, onFate, onLost, children }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const [words, setWords] = useState("The view in space is on its way.");
  useEffect(() => {
    let stop: (() => void) | null = null;
    let isGone = false;
    // at once: later, what belonged to the lost graphics would be given to the new ones
    const lost = (): void => {
      stop?.();
      stop = null;
      onScene(null);
      onLost();
    };
    const canvas = takeCanvas();
    if (canvas === null) {
      onFate("no webgl");
      return undefined;
    }
    const code = painted().then(() => import("./scene"));
    // told below, when it is wanted
    code.catch(() => undefined);
    // the first pictures take the processor for a while: not before the words are there
    void calm().then(() => code).then(
      ({ createScene }) => {
        if (isGone || host.current === null) return;
        try {
          stop = live(createScene, host.current, canvas, { onScene, onLost: lost, onWords: setWords });
        } catch {
          // there are graphics, but not for this
          onFate("not loaded");
        }
      },
      () => {
        if (!isGone) onFate("not loaded");
      },
    );
    return () => {
      isGone = true;
      onScene(null);
      stop?.();
    };
  }, []);
  return (
    <>
      <div class="flow-frame">
        <div
          ref={host} class="flow-space" tabIndex={0} role="application" aria-roledescription="3-D view"
          aria-label="The flow in space" aria-describedby="flow-keys flow-summary"
        />
        {children}
      </div>
      <p class="flow-keys dim" id="flow-keys">
        Drag or arrow keys turn · + and − (or, once clicked, the wheel) come closer · 0 resets · a click on a galaxy asks for it
      </p>
      <p class="unseen" id="flow-summary">{words}</p>
    </>
  );
}

interface Ears {
  onScene(scene: Scene | null): void;
  onLost(): void;
  onWords(words: string): void;
}

/** Make a scene and keep it equal to the page; returns the way to end it. */
function live(
  create: typeof import("./scene").createScene, host: HTMLElement, canvas: HTMLCanvasElement, ears: Ears,
): () => void {
  let resting: ReturnType<typeof setTimeout> | undefined;
  let speaking = 0;
  // the camera that came from the hand: it need not be handed back
  let own: readonly number[] | null = null;
  const speak = (): void => {
    cancelAnimationFrame(speaking);
    speaking = requestAnimationFrame(() => ears.onWords(scene.summary()));
  };
  const scene = create(host, {
    canvas,
    theme: theme.peek(),
    still: wantsStillness(),
    onCamera(azimuth, elevation, distance) {
      clearTimeout(resting);
      resting = setTimeout(() => {
        own = [azimuth, elevation, distance].map((x) => Math.round(10 * x) / 10);
        show({ camera: own as [number, number, number] });
      }, REST_MS);
    },
    onReset() {
      clearTimeout(resting);
      own = null;
      show({ camera: null });
    },
    onPick: ({ name }) => askName(name),
    onChange: speak,
    onLost: ears.onLost,
  });
  ears.onScene(scene);
  const stops = [
    effect(() => scene.setTheme(theme.value)),
    effect(() => scene.setLayers(view.value.layers)),
    effect(() => scene.setDelta(view.value.delta)),
    effect(() => scene.setSlice(view.value.slice)),
    effect(() => {
      const { camera } = view.value;
      if (camera !== own) scene.setCamera(camera);
      own = camera;
    }),
    effect(() => {
      const { data, isLoading } = tile.value;
      // the old field stays while the new one is on its way, and goes when there is none
      if (data !== null || !isLoading) scene.setTile(data);
    }),
    effect(() => scene.setGalaxies(galaxies.value)),
    effect(() => scene.setTarget(target.value)),
    effect(() => {
      void returns.value;
      if (tile.value.data !== null && view.value.layers.includes("galaxies")) void wantGalaxies();
    }),
    effect(() => {
      void [view.value, tile.value, target.value, galaxies.value];
      speak();
    }),
  ];
  return () => {
    clearTimeout(resting);
    cancelAnimationFrame(speaking);
    for (const stop of stops) stop();
    scene.dispose();
  };
}

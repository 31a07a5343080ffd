/** The flow in space: the scene of vtk.js with its tools, or flat slices where a browser draws no space. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { fieldRecord } from "../state/fields";
import { question } from "../state/question";
import { theme } from "../state/theme";
import { tile, wantTile } from "../state/tile";
import { show, view } from "../state/view";
import { announce } from "../ui/announce";
import { CopyMenu } from "../ui/CopyMenu";
import { Notice, Refusal } from "../ui/Notice";
import { Panel } from "../ui/Panel";
import { saveBlob } from "../ui/save";
import { ColourBar } from "./ColourBar";
import { levelsOf, reachOf } from "./levels";
import type { Scene } from "./scene";
import { Slices } from "./Slices";
import { Space, type SpaceFate } from "./Space";
import { Toolbar } from "./Toolbar";
import "./flow.css";

/** Looking along each axis, from its positive end; degrees of azimuth and elevation. */
const VIEWS = [["SGX", 0, 0], ["SGY", 90, 0], ["SGZ", -90, 89.5]] as const;

/** So often lost graphics are asked for again without a word; then something is wrong with them. */
const LOSSES = 2;
/** A browser gives no new ones in the moment of the loss. */
const PATIENCE_MS = 1000;

/** The panel of the flow. */
export function FlowView() {
  const [fate, setFate] = useState<SpaceFate>(typeof WebGL2RenderingContext === "undefined" ? "no webgl" : "space");
  const [tries, setTries] = useState(0);
  const scene = useRef<Scene | null>(null);
  const losses = useRef(0);
  const body = useRef<HTMLDivElement>(null);
  useEffect(wantTile, []);
  const { data, error, isLoading } = tile.value;
  const reach = data ? reachOf(data) : 100;
  const levels = useMemo(() => (data ? levelsOf(data, reach) : null), [data]);
  const isFlat = fate !== "space";
  const record = fieldRecord(question.value.field);
  const { layers, slice } = view.value;
  const scale = !layers.includes("slice") ? "speed" : slice.of === "delta" && levels === null ? "velocity" : slice.of;
  const save = async (): Promise<void> => {
    try {
      const blob = await scene.current?.screenshot();
      if (blob) saveBlob(`flow-${data?.header.field.id ?? "field"}.png`, blob);
    } catch {
      announce("The browser makes no picture of this view");
    }
  };
  const again = (): void => {
    losses.current = 0;
    setTries((n) => n + 1);
    setFate("space");
  };
  return (
    <Panel
      id="flow" title="The flow in space"
      note={data ? `${data.header.field.title} · supergalactic, velocities in the CMB frame` : "supergalactic"}
      tools={
        <>
          {isFlat ? null : <button type="button" onClick={() => void save()}>PNG</button>}
          {document.fullscreenEnabled ? <button type="button" onClick={() => void wholeScreen(body.current)}>Full screen</button> : null}
          <CopyMenu
            urls={record ? Object.values(record.previews).slice(0, 1) : []} cite={[question.value.field]} of="the preview of this field"
          />
        </>
      }
    >
      <div class="flow-body" ref={body}>
        <Toolbar top={levels?.top ?? null} reach={reach} isFlat={isFlat}>
          {isFlat ? null : (
            <div class="flow-row" role="group" aria-label="Look along">
              <span class="dim">along</span>
              {VIEWS.map(([name, azimuth, elevation]) => (
                <button
                  key={name} type="button" aria-label={`Look along ${name}`}
                  onClick={() => show({ camera: [azimuth, elevation, view.value.camera?.[2] ?? 0] })}
                >
                  {name}
                </button>
              ))}
              <button type="button" onClick={() => show({ camera: null })}>Reset</button>
              <Detail previews={record?.previews ?? {}} />
            </div>
          )}
        </Toolbar>
        {error === null ? null : <Refusal error={error} />}
        {fate === "space" ? (
          <Space
            key={tries}
            onLost={() => {
              losses.current += 1;
              if (losses.current > LOSSES) setFate("lost");
              else setTimeout(() => setTries((n) => n + 1), PATIENCE_MS);
            }}
            onScene={(made) => (scene.current = made)}
            onFate={(next) => {
              setFate(next === "no webgl" && losses.current > 0 ? "lost" : next);
              if (next !== "space") announce("The view in space is not possible; slices are shown instead");
            }}
          >
            {isLoading && data === null ? <p class="flow-wait">The field is on its way …</p> : null}
            <ColourBar of={scale} theme={theme.value} />
          </Space>
        ) : (
          <>
            <Notice>
              <p>
                {fate === "no webgl"
                  ? "This browser draws no 3-D graphics (WebGL 2), so three slices through the Milky Way are shown instead; everything else works."
                  : fate === "lost"
                    ? "The graphics were taken away from this page, so three slices through the Milky Way are shown instead."
                    : "The 3-D view could not be loaded, so three slices through the Milky Way are shown instead."}{" "}
                {fate === "no webgl" ? null : <button type="button" onClick={again}>Try 3-D again</button>}
              </p>
            </Notice>
            {data ? <Slices tile={data} /> : null}
          </>
        )}
      </div>
    </Panel>
  );
}

/** The choice of detail, where the field has a finer preview. */
function Detail({ previews }: { previews: Record<string, string> }) {
  if (!("128" in previews)) return null;
  const isFine = view.value.detail === 128;
  return (
    <button type="button" aria-pressed={isFine} title="The finer preview: up to 4 MB to load" onClick={() => show({ detail: isFine ? 64 : 128 })}>
      128³ detail
    </button>
  );
}

async function wholeScreen(element: HTMLElement | null): Promise<void> {
  try {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await element?.requestFullscreen();
  } catch {
    announce("The browser does not allow the full screen here");
  }
}

import { afterEach, describe, expect, it, vi } from "vitest";
import type { Tile } from "../field/tile";
import { type Model, render, themeOf, type Traits } from "./view";

const scene = vi.hoisted(() => ({
  calls: [] as [string, unknown][],
  isPossible: true,
}));
// jsdom has no WebGL; the scene itself is tested in Chromium
vi.mock("../flow/scene", () => ({
  createScene: () => {
    if (!scene.isPossible) throw new Error("no WebGL");
    const note = (name: string) => (value: unknown) => void scene.calls.push([name, value]);
    return {
      ...Object.fromEntries(["setTile", "setLayers", "setDelta", "setTarget", "setTheme", "setCamera", "resize", "dispose"].map((n) => [n, note(n)])),
      summary: () => "what is seen",
    };
  },
}));

/** A model like anywidget's; `tile` lies within a larger buffer, as its messages do. */
function model(parts: Partial<Traits> = {}): Model & { values: Traits; saved: number } {
  const header = {
    format: "cosmicflows-preview", n: 2, origin_hmpc: [-10, -10, -10], spacing_hmpc: 20, frame: "supergalactic",
    field: { id: "made", version: "1-0", title: "Made" }, r_max_hmpc: 10, trusted_hmpc: 8, planes: ["vx", "vy", "vz"],
    velocity: { unit: "km/s", scale: 100, power: 2 },
  };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const body = new Uint8Array(5 + 12 + text.length + 24);
  body.set(new TextEncoder().encode("CFTILE01"), 5);
  new DataView(body.buffer).setUint32(13, text.length, true);
  body.set(text, 17);
  const listeners = new Map<string, Set<() => void>>();
  const made = {
    values: {
      tile: new DataView(body.buffer, 5), layers: ["streamlines", "axes"], delta: 0.8, target: null, height: 300, theme: "auto", ...parts,
    } as Traits,
    saved: 0,
    get: <K extends keyof Traits>(name: K) => made.values[name],
    set<K extends keyof Traits>(name: K, value: Traits[K]) {
      made.values[name] = value;
      listeners.get(`change:${name}`)?.forEach((f) => f());
    },
    save_changes: () => void made.saved++,
    on: (event: string, f: () => void) => void listeners.set(event, (listeners.get(event) ?? new Set()).add(f)),
    off: (event: string, f: () => void) => void listeners.get(event)?.delete(f),
  };
  return made;
}

const calls = (name: string): unknown[] => scene.calls.filter(([n]) => n === name).map(([, value]) => value);

describe("the widget", () => {
  afterEach(() => {
    scene.calls.length = 0;
    scene.isPossible = true;
    document.body.replaceChildren();
    vi.unstubAllGlobals();
  });

  const start = (parts: Partial<Traits> = {}) => {
    vi.stubGlobal("matchMedia", () => ({ matches: false }));
    const made = model(parts);
    const stop = render({ model: made, el: document.body });
    return { made, stop, button: (words: string) => [...document.querySelectorAll("button")].find((b) => b.textContent === words)! };
  };

  it("shows the tile and the layers of the model, and what the tile is", () => {
    const { button } = start();
    expect((calls("setTile")[0] as Tile).header.field.id).toBe("made");
    expect(calls("setLayers")).toEqual([["streamlines", "axes"]]);
    expect(document.querySelector(".cf-note")!.textContent).toContain("Made: a preview of 2 nodes");
    expect([button("Streamlines").getAttribute("aria-pressed"), button("Arrows").getAttribute("aria-pressed")]).toEqual(["true", "false"]);
    expect(button("δ surface").disabled).toBe(true);
  });

  it("tells Python of a layer that somebody shows, and follows Python", () => {
    const { made, button } = start();
    button("Arrows").click();
    expect(made.values.layers).toEqual(["streamlines", "axes", "arrows"]);
    expect(made.saved).toBe(1);
    made.set("target", { name: "NGC 4993", direction: [1, 0, 0], roots: [], range: null });
    expect(calls("setTarget").at(-1)).toMatchObject({ name: "NGC 4993" });
    made.set("height", 500);
    expect(document.querySelector<HTMLElement>(".cf-stage")!.style.height).toBe("500px");
  });

  it("takes everything away at its end", () => {
    const { made, stop } = start();
    stop();
    const before = scene.calls.length;
    made.set("delta", 2);
    expect([scene.calls.length, document.body.childElementCount, calls("dispose").length]).toEqual([before, 0, 1]);
  });

  it("says in words when there is no WebGL, or no tile", () => {
    scene.isPossible = false;
    start();
    expect(document.querySelector(".cf-note")!.textContent).toContain("no WebGL 2");
    document.body.replaceChildren();
    scene.isPossible = true;
    start({ tile: new DataView(new ArrayBuffer(20)) });
    expect(document.querySelector(".cf-note")!.textContent).toContain("no preview of a field");
  });

  it("takes its theme from the notebook unless it was chosen", () => {
    vi.stubGlobal("matchMedia", () => ({ matches: true }));
    const body = document.createElement("body");
    expect(themeOf("auto", body)).toBe("dark");
    expect(themeOf("light", body)).toBe("light");
    body.dataset["jpThemeLight"] = "true";
    expect(themeOf("auto", body)).toBe("light");
    delete body.dataset["jpThemeLight"];
    body.className = "vscode-light";
    expect(themeOf("auto", body)).toBe("light");
  });
});

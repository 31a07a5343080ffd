import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

vi.hoisted(() => {
  // what browsers have and jsdom has not
  class Watcher {
    observe(): void {}
    disconnect(): void {}
  }
  // everything is in the window
  class Seen extends Watcher {
    constructor(private readonly tell: (entries: { isIntersecting: boolean }[]) => void) {
      super();
    }
    override observe(): void {
      this.tell([{ isIntersecting: true }]);
    }
  }
  Object.assign(globalThis, { ResizeObserver: Watcher, IntersectionObserver: Seen, matchMedia: () => ({ matches: false }) });
  HTMLCanvasElement.prototype.getContext = () => null;
});
const { decodeTile } = await import("../field/tile");
const { NOTHING_ASKED, question } = await import("../state/question");
const { tile } = await import("../state/tile");
const { FIRST_VIEW, view } = await import("../state/view");
const { SkyPanel } = await import("./SkyPanel");

/** A field of 100 h^-1 Mpc that moves to +SGX with 400 km/s, without densities. */
function moving(): ReturnType<typeof decodeTile> {
  const n = 5;
  const header = JSON.stringify({
    format: "cosmicflows-preview", n, origin_hmpc: [-100, -100, -100], spacing_hmpc: 50, frame: "supergalactic",
    field: { id: "made", version: "1-0", title: "made" }, r_max_hmpc: 100, trusted_hmpc: 60, planes: ["vx", "vy", "vz"],
    velocity: { unit: "km/s", scale: 400, power: 2 },
  });
  const body = new Uint8Array(12 + header.length + 3 * n ** 3);
  body.set(new TextEncoder().encode("CFTILE01"));
  new DataView(body.buffer).setUint32(8, header.length, true);
  body.set(new TextEncoder().encode(header), 12);
  body.fill(127, 12 + header.length, 12 + header.length + n ** 3);
  return decodeTile(body.buffer);
}

describe("the sky panel", () => {
  beforeEach(() => {
    question.value = NOTHING_ASKED;
    view.value = FIRST_VIEW;
    tile.value = { data: moving(), error: null, isLoading: false };
  });
  afterEach(cleanup);
  const map = (): HTMLElement => screen.getByRole("application");
  const press = (...keys: string[]): void => keys.forEach((key) => fireEvent.keyDown(map(), { key }));

  it("asks the direction of the keyboard's cursor, which is read out with its value", () => {
    render(<SkyPanel />);
    press("ArrowLeft", "ArrowLeft", "ArrowUp");
    expect(document.querySelector('#sky [aria-live="polite"]')!.textContent).toBe("SGL 10.0°, SGB +5.0°: v_rad ≈ +390 km/s");
    press("Enter");
    expect(question.value).toMatchObject({ name: null, lon: 10, lat: 5, frame: "supergalactic", cz: null });
  });

  it("asks in supergalactic degrees whatever frame is shown", () => {
    render(<SkyPanel />);
    fireEvent.change(screen.getByLabelText("Frame"), { target: { value: "galactic" } });
    press("Home", "Enter");
    // the galactic centre
    expect(question.value).toMatchObject({ lon: 185.8, lat: 42.3, frame: "supergalactic" });
    fireEvent.change(screen.getByLabelText("Frame"), { target: { value: "supergalactic" } });
  });

  it("keeps the cursor in the middle of the globe, over the poles no farther than they are", () => {
    render(<SkyPanel />);
    fireEvent.change(screen.getByLabelText("As"), { target: { value: "orthographic" } });
    expect(view.value.projection).toBe("orthographic");
    press("Home", ...Array.from({ length: 25 }, () => "ArrowUp"), "ArrowRight", "Enter");
    expect(question.value).toMatchObject({ lat: 90 });
    press("Home");
  });

  it("changes the shell within the field, and the link only when the slider is let go", () => {
    render(<SkyPanel />);
    const slider = screen.getByRole<HTMLInputElement>("slider");
    expect([slider.max, slider.value]).toEqual(["100", "40"]);
    fireEvent.input(slider, { target: { value: "80" } });
    expect(view.value.shell).toBe(40);
    expect(document.querySelector("#sky output")!.textContent).toBe("80 h⁻¹ Mpc");
    fireEvent.change(slider);
    expect(view.value.shell).toBe(80);
    expect(document.querySelector(".sky-read")!.textContent).toContain("beyond 60 h⁻¹ Mpc");
  });

  it("shows velocities of a field without densities, and tells them in words", () => {
    view.value = { ...FIRST_VIEW, sky: "density", shell: 900 };
    render(<SkyPanel />);
    expect(screen.getByLabelText<HTMLSelectElement>("Show").value).toBe("velocity");
    expect(document.getElementById("sky-summary")!.textContent).toMatch(/^Radial velocity of the field made on a shell of 100 h⁻¹ Mpc/);
    tile.value = { data: null, error: null, isLoading: true };
  });
});

// @vitest-environment node
import { signal } from "@preact/signals";
import { afterEach, describe, expect, it, vi } from "vitest";
import { EMPTY, type Loaded } from "./loaded";
import { Slot } from "./slot";

/** Stands where the network is: each address waits until a test answers it. */
function network() {
  const waiting = new Map<string, (body: unknown, status?: number) => void>();
  const asked: string[] = [];
  vi.stubGlobal("fetch", (url: string, init: RequestInit = {}) => {
    asked.push(url);
    return new Promise<Response>((resolve, reject) => {
      waiting.set(url, (body, status = 200) => resolve(new Response(JSON.stringify(body), { status })));
      init.signal?.addEventListener("abort", () => reject(new DOMException("aborted", "AbortError")));
    });
  });
  return { asked, answer: (url: string, body: unknown, status?: number) => waiting.get(url)?.(body, status) };
}

const settle = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

describe("a slot", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("never shows an answer that is older than the question", async () => {
    const { answer } = network();
    const shown = signal<Loaded<string>>(EMPTY);
    const slot = new Slot(shown);
    void slot.fill("/slow", "A", 0);
    void slot.fill("/quick", "B", 0);
    answer("/quick", "of B");
    answer("/slow", "of A");
    await settle();
    expect(shown.value).toEqual({ data: "of B", error: null, isLoading: false });
  });

  it("keeps what is shown while the same thing is asked otherwise, and nothing of another thing", async () => {
    const { answer } = network();
    const shown = signal<Loaded<string>>(EMPTY);
    const slot = new Slot(shown);
    const done = slot.fill("/a", "A", 0);
    answer("/a", "of A");
    await done;
    void slot.fill("/a?H0=70", "A", 0);
    expect(shown.value).toEqual({ data: "of A", error: null, isLoading: true });
    void slot.fill("/b", "B", 0);
    expect(shown.value).toEqual({ data: null, error: null, isLoading: true });
  });

  it("asks an address once, and once more when the server has returned", async () => {
    const { answer, asked } = network();
    const slot = new Slot(signal<Loaded<string>>(EMPTY));
    const done = slot.fill("/a", "A", 0);
    expect(slot.fill("/a", "A", 0)).toBe(done);
    answer("/a", "of A");
    await done;
    void slot.fill("/a", "A", 0);
    void slot.fill("/a", "A", 1);
    expect(asked).toEqual(["/a", "/a"]);
  });

  it("shows again what it holds, answer or refusal, when nothing new is to be asked after all", async () => {
    const { answer } = network();
    for (const [url, status] of [["/good", 200], ["/bad", 422]] as const) {
      const shown = signal<Loaded<unknown>>(EMPTY);
      const slot = new Slot(shown);
      const done = slot.fill(url, "A", 0);
      answer(url, { detail: "no", code: "no" }, status);
      await done;
      const before = shown.value;
      slot.expect("A");
      expect(shown.value.isLoading).toBe(true);
      await slot.fill(url, "A", 0);
      expect(shown.value).toEqual(before);
    }
  });

  it("shows nothing but the refusal when it is refused", async () => {
    const { answer } = network();
    const shown = signal<Loaded<string>>(EMPTY);
    const done = new Slot(shown).fill("/a", "A", 0);
    answer("/a", { detail: "no such galaxy", code: "unknown_name" }, 404);
    await done;
    expect(shown.value).toMatchObject({ data: null, isLoading: false, error: { problem: { code: "unknown_name", status: 404 } } });
  });
});

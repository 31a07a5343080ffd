import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NOTHING_ASKED, question } from "../state/question";
import { NameBox } from "./NameBox";

const NAMES = ["NGC 49", "NGC 490", "NGC 491"];
let asked: string[];

beforeEach(() => {
  asked = [];
  question.value = NOTHING_ASKED;
  Element.prototype.scrollIntoView = () => undefined;
  vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
    const text = new URL(url, "http://page").searchParams.get("name") ?? "";
    asked.push(text);
    // the shorter the text, the later its names: what is older arrives last
    await new Promise((done) => setTimeout(done, text.length < 5 ? 60 : 5));
    init.signal?.throwIfAborted();
    const hints = NAMES.filter((n) => n.toLowerCase().startsWith(text.toLowerCase()))
      .map((name) => ({ name, canonical: name, object_type: "Galaxy", cz_helio: 5000, also: null }));
    return new Response(JSON.stringify({ hints, more_results: true }));
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const box = (): HTMLElement => screen.getByRole("combobox");
/** Type all at once: between keys of userEvent a busy machine may take longer than the pause after which names are asked. */
function typed(text: string): void {
  box().focus();
  for (let n = 1; n <= text.length; n += 1) fireEvent.input(box(), { target: { value: text.slice(0, n) } });
}
const options = async (): Promise<string[]> => (await screen.findAllByRole("option")).map((o) => o.textContent ?? "");

describe("the box for a name", () => {
  it("lists names after a pause, once for several keys, and says how many there are", async () => {
    render(<NameBox error={null} />);
    typed("ngc 49");
    expect(await options()).toHaveLength(3);
    expect(asked).toEqual(["ngc 49"]);
    expect(screen.getByRole("status").textContent).toBe("3 names, and more: type on");
    expect(box().getAttribute("aria-expanded")).toBe("true");
  });

  it("is walked with the arrows, Home and End, round and round, and Enter asks the choice", async () => {
    render(<NameBox error={null} />);
    typed("ngc 49");
    await options();
    const chosen = (): string | null => box().getAttribute("aria-activedescendant");
    const walk = ["{ArrowDown}", "{End}", "{ArrowDown}", "{ArrowUp}", "{Home}", "{ArrowDown}"];
    const seen: (string | null)[] = [];
    for (const key of walk) {
      await userEvent.keyboard(key);
      seen.push(chosen());
    }
    expect(seen).toEqual([0, 2, 0, 2, 0, 1].map((i) => `search-hint-${i}`));
    await userEvent.keyboard("{Enter}");
    expect(question.value.name).toBe("NGC 490");
    expect(box().getAttribute("aria-expanded")).toBe("false");
  });

  it("keeps keys that come before the names for the names", async () => {
    render(<NameBox error={null} />);
    await userEvent.type(box(), "ngc 49{ArrowDown}{ArrowDown}{Enter}");
    expect(question.value.name).toBeNull();
    await vi.waitFor(() => expect(question.value.name).toBe("NGC 490"));
  });

  it("asks what is typed when nothing is chosen, and opens no list afterwards", async () => {
    render(<NameBox error={null} />);
    await userEvent.type(box(), "  Sombrero {Enter}");
    expect(question.value.name).toBe("Sombrero");
    await new Promise((done) => setTimeout(done, 250));
    expect(asked).toEqual([]);
    expect(box().getAttribute("aria-expanded")).toBe("false");
  });

  it("closes with Escape, and empties with the next", async () => {
    render(<NameBox error={null} />);
    typed("ngc 49");
    await options();
    await userEvent.keyboard("{Escape}");
    expect([box().getAttribute("aria-expanded"), (box() as HTMLInputElement).value]).toEqual(["false", "ngc 49"]);
    await userEvent.keyboard("{Escape}");
    expect((box() as HTMLInputElement).value).toBe("");
  });

  it("takes what is chosen when somebody goes on with Tab", async () => {
    render(<NameBox error={null} />);
    typed("ngc 49");
    await options();
    await userEvent.keyboard("{ArrowDown}{Tab}");
    expect(question.value.name).toBe("NGC 49");
    expect(document.activeElement).not.toBe(box());
  });

  it("keeps what is being typed when something else of the question changes", async () => {
    render(<NameBox error={null} />);
    await userEvent.type(box(), "ngc");
    question.value = { ...question.value, H0: 70 };
    await Promise.resolve();
    expect((box() as HTMLInputElement).value).toBe("ngc");
  });
});

/** The docs follow the system's choice of dark or light. */
import { describe, expect, it } from "vitest";
import { followTheme } from "./theme";

/** A system whose choice the test makes: jsdom has no media queries. */
class Choice extends EventTarget {
  matches = false;

  choose(dark: boolean): void {
    this.matches = dark;
    this.dispatchEvent(new Event("change"));
  }
}

describe("followTheme", () => {
  it("begins with what is chosen and follows every change", () => {
    const root = document.createElement("html");
    const choice = new Choice();
    choice.matches = true;
    followTheme(root, choice as unknown as MediaQueryList);
    expect(root.classList.contains("dark-mode")).toBe(true);
    choice.choose(false);
    expect(root.classList.contains("dark-mode")).toBe(false);
    choice.choose(true);
    expect(root.classList.contains("dark-mode")).toBe(true);
  });
});

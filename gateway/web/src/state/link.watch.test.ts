import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { watchLink } from "./link";
import { ask, askName, NOTHING_ASKED, question } from "./question";
import { FIRST_VIEW, show, view } from "./view";

let stop = (): void => undefined;
const turned = (): Promise<void> => new Promise((done) => addEventListener("hashchange", () => done(), { once: true }));

beforeEach(() => {
  history.replaceState(null, "", "/");
  question.value = NOTHING_ASKED;
  view.value = FIRST_VIEW;
  stop = watchLink();
});
afterEach(() => stop());

describe("the link of the page", () => {
  it("has one step of the history for each galaxy, and none for an option", () => {
    const before = history.length;
    askName("NGC 4993");
    ask({ H0: 70 });
    askName("M 31");
    expect(history.length - before).toBe(2);
    expect(location.hash).toBe("#name=M%2031&H0=70");
  });

  it("brings back what was asked before, and goes on from there", async () => {
    askName("NGC 4993");
    askName("M 31");
    let back = turned();
    history.back();
    await back;
    expect(question.value.name).toBe("NGC 4993");
    // a second way to M 31 is a step of its own
    askName("M 31");
    expect(location.hash).toBe("#name=M%2031");
    back = turned();
    history.back();
    await back;
    expect(question.value.name).toBe("NGC 4993");
  });

  it("leaves the question alone when a part of the page is meant", async () => {
    askName("NGC 4993");
    const jump = turned();
    location.hash = "#tables";
    await jump;
    expect(question.value.name).toBe("NGC 4993");
  });

  it("follows the camera without asking the browser at every move", async () => {
    const before = history.length;
    for (let i = 1; i <= 100; i++) show({ camera: [i, 0, 300] });
    expect(location.hash).toBe("");
    await new Promise((done) => setTimeout(done, 260));
    expect([location.hash, history.length]).toEqual(["#camera=100%2C0%2C300", before]);
  });

  it("takes question and view of another link at once", async () => {
    const seen: string[] = [];
    const end = question.subscribe((q) => seen.push(`${q.name} ${view.peek().shell}`));
    const jump = turned();
    location.hash = "#name=M%2031&shell=80";
    await jump;
    end();
    expect(seen).toEqual(["null 40", "M 31 80"]);
    expect(location.hash).toBe("#name=M%2031&shell=80");
  });
});

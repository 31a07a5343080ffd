import { describe, expect, it } from "vitest";
import { fromHash, toHash } from "./link";
import { NOTHING_ASKED } from "./question";
import { FIRST_VIEW } from "./view";

describe("links", () => {
  it("say nothing of a page as it begins", () => {
    expect(toHash(NOTHING_ASKED, FIRST_VIEW)).toBe("");
  });

  it("bring back every part of a question and a view", () => {
    const question = {
      ...NOTHING_ASKED, name: "NGC 4993", cz: -300.5, givenFrame: "lg" as const, czFrame: "cmb" as const, sigma_cz: 12, field: "cf4gp", compare: ["mould2000"],
      flow: "luminosity" as const, H0: 70,
    };
    const view = { ...FIRST_VIEW, layers: ["density" as const], delta: 1.25, camera: [30, -10, 400] as const, shell: 80 };
    expect(fromHash(toHash(question, view))).toEqual({ question, view });
    const place = { ...NOTHING_ASKED, lon: 197.4488, lat: -23.3839, frame: "galactic" as const, cz: 2916 };
    expect(fromHash(`#${toHash(place, FIRST_VIEW)}`).question).toEqual(place);
  });

  it("pass over words that make no sense", () => {
    const { question, view } = fromHash("#lon=12&frame=zodiac&cz=12&H0=fast&layers=&delta=1e9&camera=1,2");
    expect(question).toEqual(NOTHING_ASKED);
    expect(view).toEqual({ ...FIRST_VIEW, layers: [] });
  });

  it("take each field beside the chosen one once, and no more than can be drawn", () => {
    expect(fromHash("#compare=a,a,,b,c,a,d,e").question.compare).toEqual(["a", "b", "c", "d"]);
    const long = ["x", "y", "z"].map((c) => c.repeat(60));
    expect(fromHash(`#compare=${long.join(",")}`).question.compare).toEqual(long);
  });
});

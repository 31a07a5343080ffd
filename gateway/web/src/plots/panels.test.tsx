import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, describe, expect, it } from "vitest";
import { ApiError } from "../api/client";
import { answer, sightlines } from "../state/answers";
import { arrived, EMPTY, loading, refused } from "../state/loaded";
import { NOTHING_ASKED, question } from "../state/question";
import { csvText, svgText } from "../ui/save";
import { handFlow, handLine } from "./hand";
import { PosteriorPanel } from "./PosteriorPanel";
import { SightlinePanel } from "./SightlinePanel";

const TRIPLE = [0, 1500, 2500, 2500, 2000, 2500, 5000, 7000];

function askHand(): void {
  question.value = { ...NOTHING_ASKED, name: "Hand 1", field: "f" };
  answer.value = arrived(handFlow("f"));
  sightlines.value = new Map([
    ["f", arrived(handLine("f", TRIPLE, { observed: 2500, spread: TRIPLE.map(() => 150) }))],
    [
      "g",
      arrived(
        handLine(
          "g",
          TRIPLE.map((x, i) => (i > 4 ? x + 900 : x)),
          { observed: 2500, p: TRIPLE.map(() => 0.01) },
        ),
      ),
    ],
  ]);
}

/** By its role, without the slow search for roles of all elements. */
function crosshairOf(): Element {
  return document.querySelector("[role=slider]") ?? fail();
}

function fail(): never {
  throw new Error("not on the page");
}

afterEach(() => {
  cleanup();
  question.value = NOTHING_ASKED;
  [answer.value, sightlines.value] = [EMPTY, new Map()];
});

describe("the line of sight", () => {
  it("shows every root with its weight and says in words what is drawn", () => {
    askHand();
    const { container } = render(<SightlinePanel />);
    expect([...container.querySelectorAll("[data-root] text")].map((t) => t.textContent)).toEqual(["25 %", "< 1 %", "75 %"]);
    const words = container.querySelector("svg desc")?.textContent ?? "";
    expect(words).toContain("met at 3 distances: 40.0 Mpc (weight 25 %), 60.0 Mpc (weight < 1 %) and 100.0 Mpc (weight 75 %)");
    expect(words).toContain("falling from 60.0 to 80.0 Mpc");
    expect(words).toMatch(
      /g differs from f by more than both scatters together \(321 km\/s\) from 87\.1 to 140\.0 Mpc by up to \+900 km\/s/,
    );
    expect(container.querySelectorAll("[data-disagreement=g]")).toHaveLength(1);
  });

  it("draws nothing where the field is not there", () => {
    askHand();
    sightlines.value = new Map([["f", arrived(handLine("f", [0, 1000, null, null]))]]);
    answer.value = EMPTY;
    const { container } = render(<SightlinePanel />);
    expect(container.innerHTML).not.toContain("NaN");
    expect(container.querySelector("svg desc")?.textContent).toContain("1000 km/s at 20.0 Mpc");
  });

  it("is read by the arrow keys, in both units", () => {
    askHand();
    render(<SightlinePanel />);
    const crosshair = crosshairOf();
    fireEvent.keyDown(crosshair, { key: "Home" });
    expect(crosshair.getAttribute("aria-valuetext")).toContain("0 Mpc: f 0 ± 250, g 0 ± 200, Hubble flow 0 km/s");
    fireEvent.keyDown(crosshair, { key: "End" });
    expect(crosshair.getAttribute("aria-valuetext")).toContain("140.0 Mpc: f 7000");
    fireEvent.keyDown(crosshair, { key: "ArrowLeft" });
    expect(crosshair.getAttribute("aria-valuetext")).toContain("139.3 Mpc");
    fireEvent.click(screen.getByText("h⁻¹ Mpc", { selector: "button" }));
    fireEvent.keyDown(crosshair, { key: "End" });
    expect(crosshair.getAttribute("aria-valuetext")).toContain("70.0 h⁻¹ Mpc: f 7000");
    fireEvent.click(screen.getByText("Mpc", { selector: "button" }));
  });

  it("keeps the old drawing, dimmed, with its own roots, while the next is on its way", () => {
    askHand();
    const { container } = render(<SightlinePanel />);
    const before = sightlines.value.get("f") ?? EMPTY;
    const other = handFlow("f");
    other.position = { ...other.position, icrs: { lon: 99, lat: 0 } };
    sightlines.value = new Map([["f", loading(before)]]);
    answer.value = arrived({ ...other, roots: [] });
    return waitFor(() => {
      expect(container.querySelector(".chart.old")).not.toBeNull();
      expect(container.querySelectorAll("[data-root]")).toHaveLength(3);
    });
  });

  it("keeps the old field's drawing while another field's is on its way", async () => {
    askHand();
    const { container } = render(<SightlinePanel />);
    sightlines.value = new Map([["other", loading(EMPTY)]]);
    await waitFor(() => expect(container.querySelector(".chart.old")).not.toBeNull());
    expect(container.querySelectorAll("[data-root]")).toHaveLength(3);
    sightlines.value = new Map([["other", arrived(handLine("other", TRIPLE, { observed: 2500 }))]]);
    await waitFor(() => expect(container.querySelector("svg desc")?.textContent).toContain("field other"));
  });

  it("shows nothing of the galaxy before under the name of the next", async () => {
    askHand();
    const { container } = render(<SightlinePanel />);
    question.value = { ...question.value, name: "Hand 2" };
    sightlines.value = new Map([["f", loading(EMPTY)]]);
    await waitFor(() => expect(container.querySelector("svg")).toBeNull());
  });

  it("says a refusal in the server's words, and what to do when nothing is asked", async () => {
    render(<SightlinePanel />);
    expect(screen.getByText(/Ask for a galaxy or a place/)).toBeTruthy();
    const error = new ApiError({ type: "", title: "", status: 404, detail: "field 'x' is not here", code: "unknown_field" });
    sightlines.value = new Map([["x", refused(error)]]);
    expect((await waitFor(() => document.querySelector("[role=alert]") ?? fail())).textContent).toContain(
      "Field 'x' is not here.",
    );
  });
});

describe("the distribution", () => {
  it("shows shades, marks and roots, and asks for another variable", () => {
    askHand();
    const { container } = render(<PosteriorPanel />);
    expect(container.querySelectorAll("[data-root]")).toHaveLength(3);
    expect(container.innerHTML).not.toContain("NaN");
    const crosshair = crosshairOf();
    for (const key of ["Home", "End"]) fireEvent.keyDown(crosshair, { key });
    expect(crosshair.getAttribute("aria-valuetext")).toContain("100 % of the probability lies below");
    fireEvent.click(screen.getByText("Hubble", { selector: "button" }));
    expect(question.value.flow).toBe("hubble");
  });

  it("gives the reason when there is no distance", () => {
    question.value = { ...NOTHING_ASKED, name: "Hand 1" };
    answer.value = arrived({ ...handFlow("f"), status: "outside_field", detail: "beyond the field" });
    render(<PosteriorPanel />);
    expect(screen.getByText("beyond the field")).toBeTruthy();
  });
});

describe("both", () => {
  it("save an SVG that needs nothing of the page", () => {
    askHand();
    document.documentElement.style.setProperty("--model", "#4fd1d9");
    const { container } = render(<SightlinePanel />);
    fireEvent.keyDown(crosshairOf(), { key: "Home" });
    const svg = container.querySelector("svg");
    if (svg === null) throw new Error("no drawing");
    expect(svg.querySelector('[data-save="no"]')).not.toBeNull();
    const text = svgText(svg, "white");
    expect(text).not.toContain("var(--");
    expect(text).not.toContain("data-save");
    expect(text).toContain('xmlns="http://www.w3.org/2000/svg"');
    expect(text).toContain('stroke="#4fd1d9"');
    expect(text).toMatch(/<desc[^>]*>.*<\/desc><rect width="100%" height="100%" fill="#ffffff"/);
  });

  it("save columns with comments before them", () => {
    expect(csvText({ "a,b": [1, null, Number.NaN], name: ["x", 'say "y"', null] }, ["one\ntwo"])).toBe(
      '# one two\n"a,b",name\n1,x\n,"say ""y"""\n,\n',
    );
  });

  it("save no cell that a spreadsheet would compute, and leave numbers alone", () => {
    expect(csvText({ name: ["=1+1", "@x", "-M 31", "+A"], cz: [-300, 1, 2, 3] }, ["a\r\n=1"])).toBe(
      "# a =1\nname,cz\n'=1+1,-300\n'@x,1\n'-M 31,2\n'+A,3\n",
    );
  });
});

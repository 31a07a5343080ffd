// @vitest-environment node
import { describe, expect, it } from "vitest";
import type { Flow } from "../api/types";
import { flagSentences, statusSentence } from "./flags";

const flow = (parts: Partial<Flow>): Flow => ({
  flags: [], status: "ok", roots: [], inside_fraction: 1, cz: { hel: 900, cmb: 0, lg: 0, ls: 0, gsr: 0 }, ...parts,
}) as unknown as Flow;
const root = (r_hmpc: number, weight: number) => ({ r_hmpc, weight, d_mpc: 0, cz_hubble: 0, v_rad: 0, slope: 1 });

describe("flags", () => {
  it("name every distance and weight of a velocity that has several", () => {
    const [found] = flagSentences(flow({ flags: ["multi_root"], roots: [root(51.2, 0.2), root(64.21, 0.3), root(78.4, 0.5)] }), null);
    expect(found?.sentence).toBe("3 distances give this velocity (51.2, 64.2, 78.4 h⁻¹ Mpc, with weights 20\u202f%, 30\u202f%, 50\u202f%): "
      + "use the distribution, not one number.");
  });

  it("begin with what matters most", () => {
    expect(flagSentences(flow({ flags: ["nearby", "no_root", "blueshift"] }), null).map((f) => f.flag)).toEqual(["blueshift", "no_root", "nearby"]);
  });

  it("are shown as they are when this page does not know them", () => {
    expect(flagSentences(flow({ flags: ["new_one", "toString", "outside"], inside_fraction: 0.83 }), 200).map((f) => f.sentence)).toEqual([
      expect.stringContaining("Only 83\u202f%"), "Flag: new_one", "Flag: toString",
    ]);
  });

  it("leave an answered row without a word of its state", () => {
    expect(statusSentence(flow({}))).toBeNull();
    expect(statusSentence(flow({ status: "outside_field" }))).toContain("no distance");
    expect(statusSentence(flow({ status: "asleep" }))).toBe("Status: asleep");
  });
});

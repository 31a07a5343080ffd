import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { asCurl, asPython } from "./snippets";

const URL_OF_A_NASTY_NAME = "/get_flow_galaxy?name=" + encodeURIComponent("O'Neill \"$HOME\" `id` \\ !x").replaceAll("%27", "'");

describe("copied requests", () => {
  it("reach a shell as one word, whatever the name", () => {
    const line = asCurl(URL_OF_A_NASTY_NAME).replace(/^curl/, "printf '%s|'");
    const { stdout, stderr } = spawnSync("sh", ["-c", line], { encoding: "utf8" });
    expect(stderr).toBe("");
    const words = stdout.split("|").slice(0, -1);
    expect(words[0]).toBe("-sS");
    expect(words).toHaveLength(2);
    expect(new URL(words[1] ?? "").searchParams.get("name")).toBe("O'Neill \"$HOME\" `id` \\ !x");
  });

  it("are Python that asks every address in order", () => {
    const text = asPython(["/a?name=M%2031", URL_OF_A_NASTY_NAME]);
    expect(text).toContain(`urls = [\n    "${location.origin}/a?name=M%2031",\n    "${location.origin}/get_flow_galaxy?name=`);
    expect(text).not.toContain("`id`");
  });
});

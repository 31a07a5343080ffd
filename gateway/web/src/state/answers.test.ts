import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { answer, detail, refusal, sightlines, watchQuestion } from "./answers";
import { fields, watchFields } from "./fields";
import { ask, askName, askPlace, NOTHING_ASKED, question } from "./question";
import { server, watchServer } from "./server";

const FIELDS = { default: "one", fields: [{ id: "one" }, { id: "two" }], software_bibtex: "" };
/** What stands for the service: path -> status and body. */
let service: (path: string, words: URLSearchParams) => [number, unknown];
let asked: string[];
let isGone: boolean;
let stops: (() => void)[];

const usual: typeof service = (path, words) => {
  const name = words.get("name");
  if (path === "/v1/fields") return [200, FIELDS];
  if (path === "/v1/resolve" && name === "Xyz") return [200, { results: [{ status: "unknown_name", name, detail: "no galaxy is called 'Xyz'" }] }];
  if (path === "/v1/resolve") return [200, { results: [{ status: "ok", name, cz_helio: name === "Dark" ? null : 3000 }] }];
  if (path.startsWith("/get_flow")) return [200, { name, cz: { hel: 3000, cmb: 3300 }, field: { id: words.get("field") } }];
  return [200, { name, of: path }];
};

beforeEach(() => {
  vi.useFakeTimers();
  [service, asked, isGone] = [usual, [], false];
  vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
    asked.push(url);
    await new Promise((done) => setTimeout(done, 5));
    init.signal?.throwIfAborted();
    if (isGone) throw new TypeError("Failed to fetch");
    const { pathname, searchParams } = new URL(url, "http://page");
    if (typeof init.body === "string") searchParams.set("name", (JSON.parse(init.body) as { names: string[] }).names[0] ?? "");
    const [status, body] = service(pathname, searchParams);
    return new Response(JSON.stringify(body), { status });
  });
  question.value = NOTHING_ASKED;
  stops = [watchServer(), watchFields(), watchQuestion()];
});
afterEach(() => {
  question.value = NOTHING_ASKED;
  for (const stop of stops) stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const later = (ms = 50): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const words = (path: string): URLSearchParams[] =>
  asked.filter((url) => url.startsWith(path)).map((url) => new URL(url, "http://page").searchParams);

describe("answers", () => {
  it("come for a galaxy in the default field, its line of sight with the velocity that was used, in the frame on show", async () => {
    ask({ czFrame: "cmb" });
    askName("NGC 4993");
    await later();
    expect(answer.value.data?.name).toBe("NGC 4993");
    expect(detail.value.data?.name).toBe("NGC 4993");
    expect([...sightlines.value.keys()]).toEqual(["one"]);
    expect(Object.fromEntries(words("/get_distance_table")[0] ?? [])).toMatchObject({ cz: "3300", cz_frame: "cmb", field: "one" });
  });

  it("keep a velocity that was given what it is when another frame is looked at", async () => {
    askPlace(10, 20, "galactic", 3000, "hel", 12);
    await later();
    ask({ czFrame: "cmb" });
    await later();
    const flows = words("/get_flow_by_position");
    expect(flows).toHaveLength(1);
    expect(Object.fromEntries(flows[0] ?? [])).toMatchObject({ glon: "10", glat: "20", cz: "3000", cz_frame: "hel", sigma_cz: "12" });
    expect(words("/get_distance_table").map((w) => [w.get("cz"), w.get("cz_frame")])).toEqual([["3000", "hel"], ["3300", "cmb"]]);
  });

  it("ask only for what a change touches", async () => {
    askName("NGC 4993");
    await later();
    asked = [];
    ask({ compare: ["two", "three"] });
    await later();
    expect(asked.map((url) => url.split("?")[0])).toEqual(["/get_distance_table"]);
    expect([...sightlines.value].map(([id, s]) => [id, s.data !== null, s.isLoading])).toEqual([["one", true, false], ["two", true, false]]);
    expect([answer.value.isLoading, detail.value.isLoading]).toEqual([false, false]);
    ask({ flow: "hubble" });
    await later();
    expect([...sightlines.value.values()].map((s) => s.isLoading)).toEqual([false, false]);
  });

  it("stand although a field beside the chosen one refuses", async () => {
    service = (path, w) => (path === "/get_distance_table" && w.get("field") === "two" ? [422, { code: "no_density", detail: "no", where: "prior" }] : usual(path, w));
    ask({ compare: ["two"], prior: "density" });
    askName("NGC 4993");
    await later();
    expect(sightlines.value.get("two")?.error?.problem.code).toBe("no_density");
    expect(refusal.value).toBeNull();
  });

  it("show one refusal of an unknown name, and no line of sight of what was asked before", async () => {
    askName("NGC 4993");
    await later();
    askName("Xyz");
    expect([answer.value.data, detail.value.data]).toEqual([null, null]);
    await later();
    expect(refusal.value?.problem.code).toBe("unknown_name");
    expect([...sightlines.value.values()].map((s) => [s.data, s.error, s.isLoading])).toEqual([[null, null, false]]);
  });

  it("show the line of sight of a galaxy without a velocity", async () => {
    askName("Dark");
    await later();
    expect(refusal.value?.problem.code).toBe("no_velocity");
    expect(sightlines.value.get("one")?.data).not.toBeNull();
    expect(words("/get_distance_table")[0]?.has("cz")).toBe(false);
  });

  it("come by themselves when a server that was gone is back", async () => {
    isGone = true;
    askName("NGC 4993");
    await later(1200);
    expect([server.value, answer.value.data]).toEqual(["gone", null]);
    isGone = false;
    await later(5000);
    expect([server.value, answer.value.data?.name, answer.value.error, fields.value.error]).toEqual(["there", "NGC 4993", null, null]);
  });

  it("are asked again, ever more slowly, of a server that says it is ready and refuses all the same", async () => {
    service = (path, w) => (path.startsWith("/get_flow") ? [503, { code: "busy", detail: "busy" }] : usual(path, w));
    askName("NGC 4993");
    await later(60_000);
    const tries = words("/get_flow_galaxy").length;
    expect(tries).toBeGreaterThan(3);
    expect(tries).toBeLessThan(12);
    service = usual;
    await later(31_000);
    expect(answer.value.data?.name).toBe("NGC 4993");
  });
});

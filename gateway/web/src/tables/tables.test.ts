import { describe, expect, it } from "vitest";
import { chosen, held, missing, nameOf, placeOf, type Preview, sent, shortened, taken, waysOf, withColumn } from "./choice";
import { csvReader } from "./csv";
import { eventReader } from "./events";
import { folded, hasEnded, type Job, joined, stateOf } from "./job";
import { angle, collector, labelOf, numbering } from "./result";
import { jobAsCurl, jobAsPython } from "./snippets";
import { finder, hubbleDistance, thinned } from "./thin";

const column = (name: string, ucd = "") => ({ name, unit: "", description: "", ucd, kind: "number", role: null });
const AMBIGUOUS = "2 columns could be the observed velocity; choose one by adding\n  cz_column=vhel   (c z in km/s, heliocentric)\n"
  + "  cz_column=vcmb   (c z in km/s, CMB frame)\n  (zHD: corrected for peculiar velocity, not observed)";
const CANDIDATES = [
  { column: "vhel", kind: "cz", frame: "hel", way: "cz_column=vhel" }, { column: "v cmb", kind: "cz", frame: "cmb", way: "cz_column='v cmb'" },
];
const preview = (parts: Partial<Preview>): Preview => ({
  table: "t", url: "/v1/tables/t", name: "t.csv", bytes: 1, format: "csv", delimiter: ",", rows: 1, columns: [column("ra")], choice: null,
  why: null, code: null, candidates: [], head: [], notes: [], ...parts,
});

describe("choosing columns", () => {
  it("offers each candidate of an ambiguous table as words for the job", () => {
    const ways = waysOf(AMBIGUOUS, CANDIDATES);
    expect(ways.map((w) => w.words)).toEqual([{ cz_column: "vhel" }, { cz_column: "v cmb" }]);
    expect(ways[1]?.label).toBe("v cmb (c z, CMB)");
    expect(placeOf("ambiguous_column", null, ways)).toBe("velocity");
    expect(shortened(AMBIGUOUS, ways)).toBe(
      "2 columns could be the observed velocity; choose one\n(zHD: corrected for peculiar velocity, not observed)");
  });

  it("offers both columns of a position and its frame at once", () => {
    const ways = waysOf("", [{ column: "l, b", kind: "position", frame: "galactic", way: "lon_column=l lat_column=b frame=galactic" }]);
    expect(ways[0]?.words).toEqual({ lon_column: "l", lat_column: "b", frame: "galactic" });
    expect(placeOf("ambiguous_column", "lon", ways)).toBe("position");
  });

  it("reads the ways out of a sentence, and passes over what only stands for a name", () => {
    const ways = waysOf("column 'cz' has values about 0.02 km/s, which look like redshifts; add z_column=cz if they are, or cz_unit=km/s if they are velocities");
    expect(ways.map((w) => w.words)).toEqual([{ z_column: "cz" }, { cz_unit: "km/s" }]);
    expect(waysOf("add ra_column=NAME dec_column=NAME (or lon_column, lat_column and frame)")).toEqual([]);
    expect(waysOf("add delimiter=semicolon.").map((w) => w.words)).toEqual([{ delimiter: "semicolon" }]);
  });

  it("takes a way and drops what it contradicts", () => {
    const [asZ, asVelocity] = waysOf("add z_column=cz if they are, or cz_unit=km/s");
    const words = taken(withColumn({ run_id: "a" }, "velocity", "old", "m/s"), asZ!);
    expect(words).toEqual({ run_id: "a", z_column: "cz" });
    expect(held(words)).toBe("z");
    expect(taken({ cz_column: "v" }, asVelocity!)).toEqual({ cz_column: "v", cz_unit: "km/s" });
  });

  it("keeps what a column holds when another column is chosen, and the other way round", () => {
    const z = withColumn({}, "velocity", "a", "z");
    expect(z).toEqual({ z_column: "a" });
    expect(withColumn(z, "velocity", "b")).toEqual({ z_column: "b" });
    expect(withColumn(z, "velocity", "a", "m/s")).toEqual({ cz_column: "a", cz_unit: "m/s" });
    expect(withColumn({}, "velocity", "", "z")).toEqual({ cz_unit: "z" });
    expect(chosen(withColumn({}, "sigma", "0"), "sigma")).toBe("0");
  });

  it("sends no word of the other kind of question, and zero as a number", () => {
    expect(sent({ distance_column: "d", cz_column: "v", frame: "icrs" }, "velocity")).toEqual({ distance_column: "d", frame: "icrs" });
    expect(sent({ distance_column: "d", sigma_cz: "0" }, "distance")).toEqual({ sigma_cz: 0 });
  });

  it("names columns by number when their names would mislead", () => {
    const columns = ["z", "Z", "#2", "", "x".repeat(90), "ok name"].map((name) => column(name));
    expect(columns.map((_, i) => nameOf(columns, i))).toEqual(["#1", "#2", "#3", "#4", "#5", "ok name"]);
  });

  it("says which roles are still open", () => {
    const none = preview({ code: "no_position" });
    expect(missing(none, {}, "distance", "position")).toEqual(["lon", "lat"]);
    expect(missing(none, { lon_column: "a" }, "distance", "position")).toEqual(["lat"]);
    expect(missing(none, {}, "distance", "velocity")).toEqual(["velocity"]);
    expect(missing(preview({ choice: { frame: "icrs" } }), {}, "distance", "velocity")).toEqual([]);
    expect(placeOf("no_velocity", undefined, [])).toBe("velocity");
    expect(placeOf("ambiguous_table", "extension", [])).toBe("reading");
    expect(placeOf("budget", undefined, [])).toBe("else");
  });
});

const JOB: Job = {
  id: 7, phase: "EXECUTING", kind: "distance", run_id: "it's mine", field: { id: "f", version: "1" }, rows_total: 100, rows_done: 40,
  quarantined: 0, queuepos: null, eta_seconds: 3, creation: "2026-01-01T00:00:00Z", start: null, end: null, destruction: "2026-02-01",
  shared: false, options: { frame: "icrs", cz_frame: "hel", H0: 75, Om: 0.3 }, error: null, url: "/v1/jobs/7",
  result_url: "/v1/jobs/7/result", results_url: "/v1/jobs/7/results",
};

describe("views of jobs", () => {
  it("that overtake each other never take a job back", () => {
    const done = joined(JOB, { ...JOB, phase: "COMPLETED", rows_done: 100 });
    expect(joined(done, { ...JOB, rows_done: 90 })).toBe(done);
    expect(joined({ ...JOB, rows_done: 60 }, JOB).rows_done).toBe(60);
    expect(hasEnded(done)).toBe(true);
  });

  it("of another job under the same number replace it", () => {
    expect(joined({ ...JOB, phase: "COMPLETED" }, { ...JOB, creation: "later" }).phase).toBe("EXECUTING");
  });

  it("join to a list, newest first, without what is gone from the page that was asked", () => {
    const list = [9, 8, 7, 3].map((id) => ({ ...JOB, id }));
    expect(folded(list, [{ ...JOB, id: 10 }, { ...JOB, id: 8 }], [8, Number.POSITIVE_INFINITY]).map((j) => j.id)).toEqual([10, 8, 7, 3]);
    expect(folded(list, [{ ...JOB, id: 7, phase: "ARCHIVED" }]).map((j) => j.id)).toEqual([9, 8, 3]);
    expect(folded(list, [], [0, Number.POSITIVE_INFINITY])).toEqual([]);
    expect(folded(list, [{ ...JOB, id: 6 }, { ...JOB, id: 5 }], [0, 6]).map((j) => j.id)).toEqual([9, 8, 7, 6, 5]);
  });

  it("say their state in words", () => {
    expect(stateOf({ ...JOB, phase: "QUEUED", queuepos: 12 }).words).toBe("waiting behind 12 parts");
    expect(stateOf({ ...JOB, phase: "COMPLETED", quarantined: 1 }).words).toBe("done, 1 row given up");
  });
});

describe("streams of events", () => {
  it("are read whole whatever pieces they come in", () => {
    const text = "retry: 2000\n\n: beat\n\nevent: job\nid: 4\ndata: {\"a\":1}\n\nevent: end\r\nid: 5\r\ndata: x\r\ndata: y\r\n\r\n";
    for (const size of [1, 2, 3, 7, 1000]) {
      const reader = eventReader();
      const found = [];
      for (let i = 0; i < text.length; i += size) found.push(...reader.push(text.slice(i, i + size)));
      expect(found).toEqual([{ event: "job", id: "4", data: '{"a":1}' }, { event: "end", id: "5", data: "x\ny" }]);
    }
  });
});

const FILE = [
  '# frame: "galactic"', '# cz_frame: "cmb"', '# H0: 70.0', '# rows: "0-1, 5-6"', '# columns: "glon, glat, cz_cmb"', '# units: {"glon": "deg"}',
  "Name,glon,glat,cz_cmb,note,distance_mean,distance_p16,distance_median,distance_p84,cf_cz_cmb,v_rad,flags,status,reason",
  'A,10,20,1000,"=1+1, ""x""\nnext",14,13,14,15,1000.5,-30,outside beyond_data,ok,', "B,11,21,2000,,28,27,28,29,2000,5,,ok,",
  "C,12,x,3000,,,,,,,,,not_a_number,glat = 'x' is not a number", "D,13,23,,,,,,,,,,missing,cz_cmb is empty", "",
].join("\n");

describe("the file of a result", () => {
  it("gives rows, notes and bad rows whatever pieces it comes in", () => {
    for (const size of [1, 5, 64, 10_000]) {
      const csv = csvReader();
      const { rows, begin, take } = collector("distance", 10);
      let begun = false;
      const all = (records: string[][]): void => {
        if (!begun && csv.names.length > 0) {
          begun = true;
          begin(csv.names, csv.notes);
        }
        records.forEach(take);
      };
      for (let i = 0; i < FILE.length; i += size) all(csv.push(FILE.slice(i, i + size)));
      all(csv.end());
      expect([rows.n, rows.frame, rows.czFrame, rows.H0, rows.named]).toEqual([4, "galactic", "cmb", 70, "Name"]);
      expect(rows.row).toEqual([0, 1, 5, 6]);
      expect(rows.x.slice(0, 2)).toEqual([1000.5, 2000]);
      expect(rows.cz[0]).toBe(1000.5);
      expect(rows.flags).toEqual(["outside beyond_data", "", "", ""]);
      expect(rows.bad).toEqual([
        { row: 5, name: "C", status: "not_a_number", reason: "glat = 'x' is not a number" },
        { row: 6, name: "D", status: "missing", reason: "cz_cmb is empty" },
      ]);
      expect(rows.lat[2]).toBeNaN();
    }
  });

  it("reads quoted cells with separators and quotes in them", () => {
    const csv = csvReader();
    expect(csv.push('a,b\r\n"1,""2""",\r\n,"x"\r\n')).toEqual([['1,"2"', ""], ["", "x"]]);
  });

  it("names rows by a column that is no part of the question", () => {
    expect(labelOf(["id", "ra", "dec"], ["id", "ra", "dec"])).toBeUndefined();
    expect(labelOf(["ra", "galaxy_name"], ["ra"])).toBe("galaxy_name");
    expect(numbering("")(3)).toBe(3);
  });

  it("reads angles in the units of the table", () => {
    expect(angle("hourangle", true)("12.5")).toBe(187.5);
    expect(angle("", true)("12:30:00")).toBe(187.5);
    expect(angle("", false)("-00:30:00")).toBe(-0.5);
    expect(angle("d:m:s", true)("10 30 36")).toBeCloseTo(10.51, 10);
    expect(angle("rad", false)(String(Math.PI))).toBeCloseTo(180, 10);
    expect(angle("", false)("")).toBeNaN();
  });
});

describe("plots of many points", () => {
  it("thin evenly and never show more than they may", () => {
    const all = thinned(1000, 300, (i) => i % 2 === 0);
    expect([all.length, all[0], all.at(-1)]).toEqual([300, 0, 996]);
    expect(new Set(all).size).toBe(300);
    expect(thinned(5, 300, () => true)).toEqual([0, 1, 2, 3, 4]);
  });

  it("find the nearest point across the cells of the grid, and none beyond reach", () => {
    const xs = [15.9, 16.1, 100];
    const found = finder(xs, [0, 0, 0]);
    expect(found.nearest(16, 0, 5)).toBeGreaterThanOrEqual(0);
    expect(found.nearest(15.95, 0.1, 5)).toBe(0);
    expect(found.nearest(60, 0, 14)).toBe(-1);
  });

  it("draw the distance without peculiar velocity", () => {
    expect(hubbleDistance(3000, 75, 0.3)).toBeCloseTo(39.91, 2);
    expect(hubbleDistance(-300, 75, 0.3)).toBeLessThan(0);
  });
});

describe("a job in other words", () => {
  const told = { file: 'my "best" file.csv', words: { kind: "distance", cz_column: "v cmb", sigma_cz: 0 }, told: { name: "", format: "", notes: [], faults: { rows: 0, first: [] }, choice: {} } };

  it("survives quotes in names", () => {
    const curl = jobAsCurl(JOB, told, "http://h");
    expect(curl).toContain(`-F 'file=@"my \\"best\\" file.csv"' -F 'kind=distance' -F 'cz_column=v cmb'`);
    expect(curl).toContain(`'distance-it'\\''s mine.fits'`);
  });

  it("is Python for the client, with columns under their short names", () => {
    expect(jobAsPython(JOB, told, "http://h")).toContain('client.submit("my \\"best\\" file.csv", kind="distance", sigma_cz=0, columns={"cz": "v cmb"}).wait()');
    expect(jobAsPython(JOB, null, "http://h")).toContain("client.job(7).wait()");
  });
});

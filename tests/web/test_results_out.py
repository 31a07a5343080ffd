"""The files of a job's result over HTTP: what there is, whole and in part, unchanged and changed, refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from astropy.table import Table
from running import House, Reply

BODY = {"ra": [10.0, 20.0, 30.0], "dec": [1.0, 100.0, 5.0], "cz": [3000.0, 4000.0, None], "H0": 70}


def ended(house: House, body: dict[str, Any], timeout_s: float = 60.0) -> Any:
    url = house.post("/v1/jobs", body).json["url"]
    begin = time.monotonic()
    while (job := house.ask(url).json)["phase"] in ("QUEUED", "EXECUTING"):
        assert time.monotonic() - begin < timeout_s, job
        time.sleep(0.02)
    return job


@pytest.fixture(scope="module")
def job(house: House) -> Any:
    """Return a job that has ended."""
    return ended(house, BODY)


def refused(reply: Reply, status: int, code: str) -> Any:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body[:300]
    return reply.json


def test_what_there_is_is_listed_with_size_and_digest_once_it_was_made(house: House, job: Any) -> None:
    listed = house.ask(job["results_url"]).json
    assert (listed["job"], listed["phase"], listed["rows_done"]) == (job["id"], "COMPLETED", 3)
    assert [r["name"] for r in listed["results"]] == [f"result.{s}" for s in (
        "csv", "tsv", "ecsv", "fits", "vot", "parquet", "json", "msgpack")]
    entry = next(r for r in house.ask(job["results_url"], {"flow_type": "hubble"}).json["results"] if r["name"] == "result.csv")
    assert entry["size"] is None and entry["sha256"] is None and entry["url"].endswith("result.csv?flow_type=hubble")
    reply = house.ask(entry["url"])
    assert reply.status == 200 and reply.media == "text/csv" and b"hubble_median" in reply.body
    again = next(r for r in house.ask(job["results_url"], {"flow_type": "hubble"}).json["results"] if r["name"] == "result.csv")
    assert (again["size"], again["sha256"]) == (len(reply.body), hashlib.sha256(reply.body).hexdigest())
    assert house.ask(job["results_url"], {"format": "msgpack"}).msgpack["job"] == job["id"]


def test_every_file_holds_the_rows_and_comes_as_an_attachment(house: House, job: Any) -> None:
    listed = house.ask(job["results_url"]).json["results"]
    with ThreadPoolExecutor(len(listed)) as pool:
        replies = dict(zip([r["name"] for r in listed], pool.map(lambda r: house.ask(r["url"], timeout=110.0), listed)))
    for entry in listed:
        reply = replies[entry["name"]]
        digest = hashlib.sha256(reply.body).digest()
        assert reply.status == 200 and reply.media == entry["media_type"], entry
        suffix = entry["name"].partition(".")[2]
        assert reply.headers["content-disposition"] == f'attachment; filename="distance-{job["id"]}.{suffix}"'
        assert reply.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
        assert reply.headers["etag"] == f'"{digest.hex()}"' and reply.headers["x-content-type-options"] == "nosniff"
    plain = house.ask(job["result_url"]).json
    whole = replies["result.json"].json
    assert {k: v for k, v in whole.items() if k != "phase"} == {k: v for k, v in plain.items() if k != "phase"}
    table = Table.read(io.BytesIO(replies["result.fits"].body), format="fits", hdu=1)
    assert float(table["distance_median"][0]) == plain["columns"]["median"][0] and table["status"].tolist()[0] in ("ok", b"ok")
    assert table.meta["CF_H0"] == 70.0 and table.meta["CF_JOB"] == job["id"] and "CF_SHA" in table.meta


def test_a_part_a_tag_and_a_head_are_answered_as_http_has_it(house: House, job: Any) -> None:
    url = f"{job['results_url']}/result.csv"
    whole = house.ask(url)
    size, tag = len(whole.body), whole.headers["etag"]
    for asked, start, stop in (("bytes=0-9", 0, 10), ("bytes=10-", 10, size), ("bytes=-7", size - 7, size),
                               (f"bytes=5-{size + 99}", 5, size), (f"bytes=-{size + 5}", 0, size)):
        part = house.ask(url, headers={"Range": asked})
        assert part.status == (206 if stop - start < size else 200) and part.body == whole.body[start:stop], asked
        if part.status == 206:
            assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert (part.headers["etag"], part.headers["accept-ranges"]) == (tag, "bytes")
    for asked in ("lines=1-2", "bytes=3-1", "bytes=a-b", "bytes=0-1,4-5"):
        assert house.ask(url, headers={"Range": asked}).status == 200, asked
    assert refused(house.ask(url, headers={"Range": f"bytes={size}-"}), 416, "bad_range")["size"] == size
    assert house.ask(url, headers={"Range": "bytes=0-9", "If-Range": tag}).body == whole.body[:10]
    assert house.ask(url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).body == whole.body
    for tags in (tag, f'"x", {tag}', "*", f"W/{tag}"):
        reply = house.ask(url, headers={"If-None-Match": tags})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert house.ask(url, headers={"If-None-Match": '"x"'}).status == 200
    assert house.ask(url, headers={"If-Match": tag}).status == 200
    refused(house.ask(url, headers={"If-Match": '"x"'}), 412, "changed")
    head = house.ask(url, method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))


def test_what_is_not_there_is_refused_in_words(house: House, job: Any) -> None:
    answer = refused(house.ask(f"{job['results_url']}/result.xlsx"), 404, "unknown_result")
    assert "result.fits" in answer["known"]
    refused(house.ask(f"{job['results_url']}/result.csv", {"flow_type": "speed"}), 404, "unknown_flow_type")
    refused(house.ask(f"{job['results_url']}/result.csv", {"flow": "hubble"}), 422, "unknown_parameter")
    for tail in ("", "/result.csv"):
        refused(house.ask(f"/v1/jobs/999999/results{tail}"), 404, "unknown_job")


def test_an_unfinished_job_has_no_files_and_a_cancelled_one_has_its_rows_until_it_is_deleted(house: House) -> None:
    rng = np.random.default_rng(6)
    n = 400_000
    body = {"kind": "distance", "lon": rng.uniform(0, 360, n).round(4).tolist(), "lat": rng.uniform(-80, 80, n).round(4).tolist(),
            "cz": rng.uniform(500, 8000, n).round(1).tolist()}
    url = house.post("/v1/jobs", body).json["url"]
    for tail in ("/results", "/results/result.csv"):
        assert refused(house.ask(url + tail), 409, "not_finished")["rows_total"] == n
    begin = time.monotonic()
    while not (seen := house.ask(url).json)["rows_done"]:
        assert time.monotonic() - begin < 60, seen
        time.sleep(0.01)
    assert house.ask(f"{url}/cancel", method="POST").status == 200
    seen = house.ask(url).json
    reply = house.ask(f"{url}/results/result.csv", timeout=110.0)
    lines = [line for line in reply.body.decode().splitlines() if not line.startswith("#")]
    told = json.loads(next(line for line in reply.body.decode().splitlines() if line.startswith("# rows: "))[8:])
    ranges = [[int(x) for x in part.split("-")] for part in told.split(",")]
    rows = [i for a, b in ranges for i in range(a, b + 1)]
    assert seen["phase"] == "ABORTED" and len(lines) - 1 == len(rows) == seen["rows_done"] < n
    assert [float(line.partition(",")[0]) for line in lines[1::997]] == [body["lon"][i] for i in rows[::997]]
    folder = house.jobs / "renders"
    number = url.rpartition("/")[2]
    assert [p.name for p in folder.iterdir() if p.name.startswith(f"{number}-")]
    assert house.ask(url, method="DELETE").status == 200
    assert not [p.name for p in folder.iterdir() if p.name.startswith(f"{number}-")]
    refused(house.ask(f"{url}/results/result.csv"), 410, "job_gone")


def test_a_failed_job_has_no_files(house: House) -> None:
    # longer than the half second between two looks at the clock
    job = ended(house, {**BODY, "ra": [10.0] * 500_000, "dec": [1.0] * 500_000, "cz": [3000.0] * 500_000,
                        "execution_duration": 1e-3})
    assert job["phase"] == "ERROR"
    refused(house.ask(f"{job['results_url']}/result.csv"), 409, "job_failed")

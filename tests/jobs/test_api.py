"""Jobs over HTTP, with real workers."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from running import House, Reply

from cfcore.cli import main
from cfcore.registry import Registry

TOKEN = "secret of the house"
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"lon": [10.0, 20.0, 30.0, 40.0], "lat": [1.0, 100.0, 5.0, -20.0], "cz": [3000.0, 4000.0, None, 5000.0], "H0": 70}


@pytest.fixture(scope="module")
def desk(house_data: Path) -> Iterator[House]:
    """Return a house with an administrator."""
    before = os.environ.get("CF_ADMIN_TOKEN_SHA256")
    os.environ["CF_ADMIN_TOKEN_SHA256"] = hashlib.sha256(TOKEN.encode()).hexdigest()
    try:
        running = House(house_data, "--workers", "2")
    finally:
        os.environ.pop("CF_ADMIN_TOKEN_SHA256")
        if before is not None:
            os.environ["CF_ADMIN_TOKEN_SHA256"] = before
    yield running
    running.stop()


def ended(house: House, url: str, timeout_s: float = 30.0) -> Any:
    """Wait for the end of a job and return it."""
    begin = time.monotonic()
    while (job := house.ask(url).json)["phase"] in ("QUEUED", "EXECUTING"):
        assert time.monotonic() - begin < timeout_s, job
        time.sleep(0.02)
    return job


def refused(reply: Reply, status: int, code: str) -> Any:
    """Return a refusal that is what it should be."""
    assert (reply.status, reply.json["code"]) == (status, code), reply.body[:300]
    return reply.json


def test_a_job_answers_what_the_list_answers(desk: House) -> None:
    reply = desk.post("/v1/jobs", {**BODY, "run_id": "mine"})
    assert reply.status == 202 and reply.headers["location"] == reply.json["url"]
    job = ended(desk, reply.json["url"])
    assert (job["phase"], job["rows_done"], job["rows_total"], job["run_id"], job["error"]) == ("COMPLETED", 4, 4, "mine", None)
    assert job["creation"].endswith("Z") and job["start"] <= job["end"] < job["destruction"]
    for flow in ("distance", "hubble"):
        whole = desk.post(f"/get_flow/{flow}", {**BODY, "grid": False}).json
        got = desk.ask(job["result_url"], {"flow_type": flow}).json
        assert {k: v for k, v in got.items() if k not in ("job", "kind", "phase", "rows", "rows_total")} == whole
    packed = desk.ask(job["result_url"], {"format": "msgpack"}).msgpack
    whole = desk.ask("/get_flow/distance", method="POST", body=json.dumps(BODY).encode(),
                     headers={"Content-Type": "application/json", "Accept": "application/msgpack"}).msgpack
    assert packed["columns"] == whole["columns"] and packed["roots"] == whole["roots"] and packed["dtype"] == "<f8"
    lines = desk.ask(job["result_url"], headers={"Accept": "text/csv"}).body.decode().splitlines()
    header, *rows = [line.split(",") for line in lines if not line.startswith("#")]
    assert [row[-1] for row in rows] == ["ok", "lat_out_of_range", "not_finite", "ok"]
    assert float(rows[3][header.index("median")]) == np.frombuffer(whole["columns"]["median"])[3]


def test_a_large_job_is_cut_computed_and_streamed_in_order(desk: House) -> None:
    n = 30_500
    rng = np.random.default_rng(1)
    columns = {"lon": rng.uniform(0, 360, n), "lat": rng.uniform(-80, 80, n), "distance": rng.uniform(1, 90, n)}
    body = msgpack.packb({"kind": "velocity", **{k: v.tobytes() for k, v in columns.items()}})
    reply = desk.ask("/v1/jobs", method="POST", body=body, headers={"Content-Type": "application/msgpack"})
    job = ended(desk, reply.json["url"])
    assert job["phase"] == "COMPLETED" and job["rows_done"] == n
    packed = desk.ask(job["result_url"], {"format": "msgpack"}).msgpack
    v_rad = np.frombuffer(packed["columns"]["v_rad"])
    assert packed["n"] == n == len(v_rad) and packed["rows"] == [[0, n]]
    as_json = desk.ask(job["result_url"]).json["columns"]["v_rad"]
    np.testing.assert_array_equal(np.array(as_json, float), v_rad)
    lines = [line for line in desk.ask(job["result_url"], {"format": "csv"}).body.decode().splitlines() if line[0] != "#"]
    at = lines[0].split(",").index("v_rad")
    np.testing.assert_array_equal(np.array([line.split(",")[at] or "nan" for line in lines[1:]], float), v_rad)
    for i in (0, 9_999, 10_000, n - 1):
        one = desk.ask("/get_flow_by_position", {k: repr(float(v[i])) for k, v in columns.items()}).json
        assert one["v_rad"] == (None if np.isnan(v_rad[i]) else v_rad[i])


def test_a_hundred_threads_with_one_key_make_one_job(desk: House) -> None:
    found: list[tuple[int, int]] = []

    def send() -> None:
        reply = desk.post("/v1/jobs", BODY, **{"Idempotency-Key": "all the same"})
        found.append((reply.status, reply.json.get("id")))
    threads = [threading.Thread(target=send) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 100 and len(set(found)) == 1 and found[0][0] == 202
    refused(desk.post("/v1/jobs", {**BODY, "H0": 71}, **{"Idempotency-Key": "all the same"}), 409, "idempotency_conflict")
    refused(desk.post("/v1/jobs", BODY, **{"Idempotency-Key": "x" * 129}), 422, "bad_idempotency_key")


@pytest.mark.parametrize(("change", "status", "code"), [
    ({"cz": None}, 422, "missing_parameter"), ({"cz": [1.0]}, 422, "unequal_lengths"),
    ({"kind": "velocity"}, 422, "two_questions"), ({"distance": [1, 2, 3, 4]}, 422, "two_questions"),
    ({"kind": "spectrum"}, 422, "bad_parameter"), ({"grid": True}, 422, "unknown_parameter"),
    ({"lon": [], "lat": [], "cz": []}, 422, "empty_lists"), ({"field": "nonsense"}, 404, "unknown_field"),
    ({"H0": 5}, 422, "out_of_range"), ({"cz": [0.01, 0.02, 0.03, 0.04]}, 422, "cz_looks_like_z"),
    ({"execution_duration": -1}, 422, "bad_parameter")])
def test_a_wrong_job_is_refused_at_the_door(desk: House, change: dict[str, Any], status: int, code: str) -> None:
    refused(desk.post("/v1/jobs", {**BODY, **change}), status, code)


def test_a_million_rows_is_the_limit(desk: House) -> None:
    column = np.zeros(1_000_001).tobytes()
    reply = desk.ask("/v1/jobs", method="POST", headers={"Content-Type": "application/msgpack"},
                     body=msgpack.packb({"lon": column, "lat": column, "cz": column}))
    assert refused(reply, 413, "too_many_rows")["limit"] == 1_000_000


def test_jobs_that_are_not_there_or_gone_are_told_apart(desk: House) -> None:
    for name in ("999999", "0", "x", "-1", "9" * 40, "%00"):
        refused(desk.ask(f"/v1/jobs/{name}"), 404, "unknown_job")
    url = desk.post("/v1/jobs", BODY).json["url"]
    ended(desk, url)
    assert desk.ask(url, method="DELETE").json["phase"] == "ARCHIVED"
    for path, method in ((url, "GET"), (f"{url}/result", "GET"), (f"{url}/cancel", "POST"), (url, "DELETE")):
        refused(desk.ask(path, method=method), 410, "job_gone")


def test_somebody_elses_job_is_not_there(desk: House) -> None:
    url = desk.post("/v1/jobs", BODY).json["url"]
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, source_address=("127.0.0.2", 0), timeout=20)
    try:
        for method in ("GET", "DELETE"):
            connection.request(method, url)
            answer = connection.getresponse()
            assert answer.status == 404 and json.loads(answer.read())["code"] == "unknown_job"
        connection.request("GET", "/v1/jobs")
        assert json.loads(connection.getresponse().read())["jobs"] == []
    finally:
        connection.close()
    assert desk.ask(url).status == 200


def test_jobs_are_listed_newest_first(desk: House) -> None:
    ids = [desk.post("/v1/jobs", BODY).json["id"] for _ in range(5)]
    page = desk.ask("/v1/jobs", {"limit": 3}).json
    assert [job["id"] for job in page["jobs"]] == ids[:1:-1] and page["after"] == ids[2]
    assert [job["id"] for job in desk.ask("/v1/jobs", {"limit": 2, "after": page["after"]}).json["jobs"]] == ids[1::-1]


def test_the_quarantine_is_for_the_administrator(desk: House) -> None:
    for path, method in (("", "GET"), ("/1", "GET"), ("/1", "DELETE"), ("/1/release", "POST")):
        refused(desk.ask(f"/v1/admin/quarantine{path}", method=method), 401, "token_missing")
        reply = desk.ask(f"/v1/admin/quarantine{path}", method=method, headers=ADMIN)
        if path:
            refused(reply, 404, "unknown_record")
        else:
            assert reply.json == {"quarantine": []}


def test_a_gateway_that_is_killed_goes_on_with_what_it_had_accepted(tmp_path: Path) -> None:
    Registry(tmp_path).ensure_ongc_linear()
    jobs = tmp_path / "kept"
    house = House(tmp_path, "--workers", "1", jobs=jobs)
    n = 60_000
    rng = np.random.default_rng(3)
    body = msgpack.packb({k: v.tobytes() for k, v in (("lon", rng.uniform(0, 360, n)), ("lat", rng.uniform(-80, 80, n)),
                                                      ("cz", rng.uniform(500, 8000, n)))})
    large = house.ask("/v1/jobs", method="POST", body=body, headers={"Content-Type": "application/msgpack"}).json["url"]
    small = [house.post("/v1/jobs", BODY).json["url"] for _ in range(20)]
    house.process.send_signal(signal.SIGKILL)
    house.process.wait(10)
    again = House(tmp_path, "--workers", "2", jobs=jobs)
    try:
        for url in (large, *small):
            job = ended(again, url, 60.0)
            assert job["phase"] == "COMPLETED" and job["rows_done"] == job["rows_total"]
        assert len(np.frombuffer(again.ask(f"{large}/result", {"format": "msgpack"}).msgpack["columns"]["median"])) == n
    finally:
        again.stop()
    assert again.log.read_text().count("Traceback") == 0


def test_two_gateways_never_share_their_jobs(desk: House) -> None:
    with pytest.raises(AssertionError, match="another gateway keeps its jobs"):
        House(desk.data, "--bus", f"ipc://{desk.data}/other", command="gateway", wait=False, jobs=desk.jobs)


def test_a_backup_and_a_list_come_from_the_command_line_too(desk: House, tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    desk.post("/v1/jobs", {**BODY, "run_id": "from afar"})
    assert main(["jobs", "backup", str(tmp_path / "copy"), "--jobs", str(desk.jobs)]) == 0
    assert "jobs and" in capsys.readouterr().out
    assert main(["jobs", "list", "--jobs", str(tmp_path / "copy")]) == 0
    assert "from afar" in capsys.readouterr().out
    assert main(["jobs", "backup", str(tmp_path / "copy"), "--jobs", str(desk.jobs)]) == 2
    assert main(["jobs", "list", "--jobs", str(tmp_path / "nothing")]) == 2


@pytest.mark.parametrize("after", [2**63, 10**30])
def test_a_cursor_beyond_all_numbers_is_the_mistake_of_the_client(desk: House, after: int) -> None:
    refused(desk.ask("/v1/jobs", {"after": after}), 422, "bad_parameter")


@pytest.mark.parametrize("fmt", ["json", "csv"])
def test_a_result_destroyed_on_its_way_is_cut_off_and_not_completed_with_something_else(desk: House, fmt: str) -> None:
    n = 120_000
    columns = {name: np.linspace(low, high, n).tobytes()
               for name, low, high in (("lon", 0, 359), ("lat", -80, 80), ("distance", 5, 90))}
    made = desk.ask("/v1/jobs", method="POST", body=msgpack.packb({"kind": "velocity", **columns}),
                    headers={"Content-Type": "application/msgpack"}).json
    assert ended(desk, made["url"])["phase"] == "COMPLETED"
    with socket.create_connection(("127.0.0.1", desk.port), timeout=20) as connection:
        connection.sendall(f"GET {made['result_url']}?format={fmt} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        got = connection.recv(1000)
        time.sleep(0.3)  # the buffers between us are full
        assert desk.ask(made["url"], method="DELETE").status == 200
        with pytest.raises(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got = got[-1000:] + piece
        assert b"HTTP/1.1 500" not in got and not got.endswith(b"0\r\n\r\n")

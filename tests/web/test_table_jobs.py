"""Tables over HTTP: previewed, submitted as a body, as a form or by id, and refused in the words of HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import House, Reply

CSV = {"Content-Type": "text/csv"}
TABLE = b"name,ra,dec,cz_cmb,e_cz_cmb\nA,10,20,3000,10\nB,30,40,x,20\nC,50,60,5000,30\n"
EDGE = "CosmicBoundary7"


@pytest.fixture(scope="module")
def desk(house_data: Path) -> Iterator[House]:
    """Return a house whose jobs are its own."""
    running = House(house_data, "--workers", "1")
    yield running
    running.stop()


def send(house: House, data: bytes, path: str = "/v1/jobs", query: dict[str, object] | None = None, **headers: str) -> Reply:
    return house.ask(path, query, method="POST", body=data, headers=CSV | headers)


def form(*parts: tuple[str, str | None, bytes], end: str = "--") -> tuple[bytes, dict[str, str]]:
    """Return a form: (name, file name, content) of each part."""
    body = b"".join(b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (
        EDGE.encode(), name.encode(), b"" if file is None else b'; filename="%b"' % file.encode(), content)
        for name, file, content in parts)
    return body + f"--{EDGE}{end}\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={EDGE}"}


def ended(house: House, url: str) -> Any:
    begin = time.monotonic()
    while (job := house.ask(url).json)["phase"] in ("QUEUED", "EXECUTING"):
        assert time.monotonic() - begin < 60, job
        time.sleep(0.02)
    return job


def refused(reply: Reply, status: int, code: str) -> Any:
    assert (reply.status, reply.json["code"]) == (status, code), reply.body[:500]
    assert "--" not in reply.json["detail"] and "/uploads" not in reply.json["detail"]
    return reply.json


def nothing_is_left(house: House) -> bool:
    return not os.listdir(house.jobs / "uploads")


def test_a_table_as_body_form_or_id_gives_the_answers_of_its_lists(desk: House) -> None:
    lists = {"ra": [10, 30, 50], "dec": [20, 40, 60], "cz": [3000, None, 5000], "sigma_cz": [10, 20, 30], "cz_frame": "cmb",
             "H0": 70}
    body, headers = form(("H0", None, b"70"), ("file", "x.csv", TABLE), ("run_id", None, b"form"))
    preview = send(desk, TABLE, "/v1/tables").json
    replies = [desk.post("/v1/jobs", lists), send(desk, TABLE, query={"H0": 70}),
               desk.ask("/v1/jobs", method="POST", body=body, headers=headers),
               desk.post("/v1/jobs", {"table": preview["table"], "H0": 70}), send(desk, gzip.compress(TABLE), query={"H0": 70}),
               send(desk, gzip.compress(TABLE), query={"H0": 70}, **{"Content-Encoding": "gzip"})]
    assert [r.status for r in replies] == [202] * 6, [r.body[:300] for r in replies]
    assert replies[2].json["run_id"] == "form"
    assert replies[2].headers["location"] == replies[2].json["url"]
    told = replies[1].json["table"]
    assert told["choice"] == {"lon": "ra", "lat": "dec", "cz": "cz_cmb", "sigma_cz": "e_cz_cmb", "frame": "icrs",
                              "cz_frame": "cmb", "cz_frame_is_said": True}
    assert told["faults"] == {"rows": 1, "first": [
        {"row": 1, "line": 3, "status": "not_a_number", "reason": "cz_cmb = 'x' is not a number"}]}
    answers = []
    for reply in replies:
        job = ended(desk, reply.json["url"])
        assert job["phase"] == "COMPLETED" and job["options"]["cz_frame"] == "cmb"
        answers.append(desk.ask(job["result_url"]).json)
    assert answers[0]["status"] == ["ok", "not_finite", "ok"] and answers[0]["errors"][0]["column"] == "cz"
    for answer in answers[1:]:
        assert [answer[k] for k in ("columns", "status", "errors")] == [answers[0][k] for k in ("columns", "status", "errors")]
    assert desk.ask(preview["url"], method="DELETE").json == {"dropped": preview["table"]}
    refused(desk.post("/v1/jobs", {"table": preview["table"]}), 404, "unknown_table")
    refused(desk.ask(preview["url"], method="DELETE"), 404, "unknown_table")
    assert nothing_is_left(desk)


@pytest.mark.parametrize(("row", "reason"), [("x,20,3000", "ra = 'x'"), ("10,20,-9999", "cz is missing"), ("10,20", "2 fields")])
def test_a_first_row_that_cannot_be_read_costs_nobody_the_result(desk: House, row: str, reason: str) -> None:
    reply = send(desk, f"ra,dec,cz\n{row}\n30,40,4000\n".encode())
    assert reply.status == 202 and [f["row"] for f in reply.json["table"]["faults"]["first"]] == [0], reply.body
    job = ended(desk, reply.json["url"])
    assert desk.ask(job["result_url"]).json["status"] == ["not_finite", "ok"]
    fits = desk.ask(f"{job['results_url']}/result.fits", timeout=60.0)
    assert fits.status == 200 and fits.body.startswith(b"SIMPLE"), fits.body[:300]
    text = desk.ask(f"{job['results_url']}/result.csv", timeout=60.0).body.decode()
    assert "NaN" not in text and reason in text.splitlines()[-2], text


def test_a_table_without_its_content_type_is_told_which_to_send(desk: House) -> None:
    forgotten = {"Content-Type": "application/x-www-form-urlencoded"}
    error = refused(desk.ask("/v1/jobs", {"H0": 70}, method="POST", body=TABLE, headers=forgotten), 415, "wrong_content_type")
    assert "Content-Type: text/csv" in error["detail"] and "application/json" in error["detail"]


def test_a_preview_says_what_was_found(desk: House) -> None:
    told = send(desk, TABLE, "/v1/tables", {"filename": "../../my galaxies.csv"}).json
    assert (told["name"], told["format"], told["rows"], told["bytes"]) == ("my galaxies.csv", "csv", 3, len(TABLE))
    assert [(c["name"], c["kind"], c["role"]) for c in told["columns"]] == [
        ("name", "text", None), ("ra", "number", "lon"), ("dec", "number", "lat"), ("cz_cmb", "number", "cz"),
        ("e_cz_cmb", "number", "sigma_cz")]
    assert told["head"][0] == ["A", "10", "20", "3000", "10"] and told["why"] is None and len(told["table"]) >= 32
    desk.ask(told["url"], method="DELETE")


def test_an_ambiguous_table_lists_its_candidates_in_the_words_of_http(desk: House) -> None:
    text = b"ra,dec,vhel,z cmb\n1,2,3000,0.0100\n"
    error = refused(send(desk, text), 422, "ambiguous_column")
    assert error["candidates"] == [{"column": "vhel", "kind": "cz", "frame": "hel", "way": "cz_column=vhel"},
                                   {"column": "z cmb", "kind": "z", "frame": "cmb", "way": "z_column='z cmb'"}]
    assert "\n  cz_column=vhel   (c z in km/s, heliocentric)" in error["detail"]
    told = send(desk, text, "/v1/tables").json
    assert told["choice"] is None and told["code"] == "ambiguous_column" and told["candidates"] == error["candidates"]
    reply = desk.post("/v1/jobs", {"table": told["table"], "z_column": "z cmb"})
    assert reply.status == 202 and reply.json["table"]["choice"]["z"] == "z cmb" and reply.json["options"]["cz_frame"] == "cmb"
    assert send(desk, text, query={"cz_column": "#3"}).json["table"]["choice"]["cz"] == "vhel"
    desk.ask(told["url"], method="DELETE")


def test_one_key_and_one_table_make_one_job(desk: House) -> None:
    key = {"Idempotency-Key": "a table once"}
    first, again = send(desk, TABLE, **key), send(desk, TABLE, **key)
    assert first.json["id"] == again.json["id"] and (first.status, again.status) == (202, 202)
    refused(send(desk, TABLE + b"D,1,2,3000,1\n", **key), 409, "idempotency_conflict")
    refused(send(desk, TABLE, query={"H0": 71}, **key), 409, "idempotency_conflict")
    desk.ask(first.json["url"], method="DELETE")
    assert not [name for name in os.listdir(desk.jobs / "spool") if name.endswith(".tmp")] and nothing_is_left(desk)


@pytest.mark.parametrize(("query", "status", "code"), [
    ({"H0": 1e9}, 422, "out_of_range"), ({"field": "nowhere"}, 404, "unknown_field"), ({"no": 1}, 422, "unknown_parameter"),
    ({"cz_column": "nothing"}, 422, "unknown_column"), ({"kind": "velocity"}, 422, "no_distance"),
    ({"kind": "velocity", "cz_column": "cz_cmb"}, 422, "two_questions"), ({"frame": "galactic"}, 422, "no_position"),
    ({"ra_column": "ra", "lon_column": "ra"}, 422, "contradiction"), ({"cz_frame": "hel"}, 422, "frame_contradicts"),
    ({"extension": "1"}, 422, "bad_parameter"), ({"input_format": "xlsx"}, 422, "bad_parameter"),
    ({"input_format": "fits"}, 422, "unreadable_table"), ({"delimiter": "x"}, 422, "bad_parameter"),
    ({"sigma_cz": "wxyz"}, 422, "not_a_number"), ({"cz_unit": "mph"}, 422, "bad_parameter"),
    ({"table": "x" * 32}, 422, "contradiction"), ({"filename": "x.zip", "cz_unit": "km/s"}, 202, "")])
def test_words_that_do_not_fit_the_table_are_refused(desk: House, query: dict[str, object], status: int, code: str) -> None:
    reply = send(desk, TABLE, query=query)
    if status == 202:
        assert reply.status == 202, reply.body
    else:
        refused(reply, status, code)
    assert nothing_is_left(desk)


def test_a_delimiter_may_be_named(desk: House) -> None:
    text = TABLE.replace(b",", b";")
    for word in ("semicolon", ";"):
        assert send(desk, text, query={"delimiter": word}).status == 202
    refused(send(desk, text, query={"delimiter": "comma"}), 422, "no_position")


@pytest.mark.parametrize(("headers", "status", "code"), [
    ({"Content-Type": "application/json"}, 415, "wrong_content_type"), ({"Content-Type": "image/png"}, 415, "wrong_content_type"),
    ({"Content-Encoding": "snappy"}, 415, "wrong_content_encoding"), ({"Content-Encoding": "gzip"}, 400, "bad_request")])
def test_a_body_that_is_no_table_is_refused(desk: House, headers: dict[str, str], status: int, code: str) -> None:
    refused(send(desk, TABLE, "/v1/tables", **headers), status, code)
    assert nothing_is_left(desk)


@pytest.mark.parametrize(("parts", "status", "code"), [
    ([], 422, "missing_parameter"), ([("H0", None, b"70")], 422, "missing_parameter"), ([("file", "a", b"")], 422, "empty_table"),
    ([("file", "a.csv", TABLE)] * 2, 400, "bad_request"), ([("picture", "a.csv", TABLE)], 400, "bad_request"),
    ([("H0", None, b"70"), ("H0", None, b"71"), ("file", "a", TABLE)], 400, "repeated_parameter"),
    ([("file", "a", TABLE), ("nonsense", None, b"1")], 422, "unknown_parameter"),
    ([("file", "a", TABLE), ("run_id", None, b"x" * 5000)], 400, "bad_request"),
    ([("file", "a", TABLE), ("run_id", None, b"\xff\xfe")], 400, "bad_request"),
    ([("file", "a", TABLE), *((f"p{i}", None, b"1") for i in range(99))], 400, "bad_request")])
def test_a_form_that_is_not_ours_is_refused(desk: House, parts: list[Any], status: int, code: str) -> None:
    body, headers = form(*parts)
    refused(desk.ask("/v1/jobs", method="POST", body=body, headers=headers), status, code)
    assert nothing_is_left(desk)


def test_a_form_that_breaks_off_leaves_nothing(desk: House) -> None:
    body, headers = form(("file", "a.csv", TABLE * 50_000))
    for text in (body[:-3000], b"no form at all", body.replace(EDGE.encode(), b"other")):
        reply = desk.ask("/v1/jobs", method="POST", body=text, headers=headers)
        assert reply.status in (400, 422), reply.body[:300]
    connection = http.client.HTTPConnection("127.0.0.1", desk.port)
    connection.putrequest("POST", "/v1/tables")
    connection.putheader("Content-Type", "text/csv")
    connection.putheader("Content-Length", "100000000")
    connection.endheaders()
    connection.send(TABLE * 50_000)
    assert isinstance(connection.sock, socket.socket)
    connection.close()
    begin = time.monotonic()
    while not nothing_is_left(desk):
        assert time.monotonic() - begin < 10, os.listdir(desk.jobs / "uploads")
        time.sleep(0.02)


def test_lists_beside_a_table_are_refused(desk: House) -> None:
    error = refused(desk.post("/v1/jobs", {"table": "x" * 32, "lon": [1], "lat": [2]}), 422, "unknown_parameter")
    assert "cz_column" in error["known"]
    refused(desk.post("/v1/jobs", {"table": None, "lon": [1], "lat": [2]}), 422, "unknown_parameter")
    refused(desk.post("/v1/jobs", {"table": "x" * 32}), 404, "unknown_table")


def test_a_long_table_is_accepted_at_once_and_the_gateway_stays_small(desk: House) -> None:
    rng = np.random.default_rng(7)
    n = 200_000
    ra, dec, cz = rng.uniform(0, 360, n).round(5), rng.uniform(-80, 80, n).round(5), rng.uniform(500, 9000, n).round(1)
    text = b"name,ra,dec,cz\n" + "\n".join(f"G{i},{a},{d},{v}" for i, (a, d, v) in enumerate(zip(ra, dec, cz))).encode()
    begin = time.monotonic()
    reply = send(desk, text)
    seconds = time.monotonic() - begin
    assert reply.status == 202 and reply.json["rows_total"] == n and reply.json["table"]["faults"]["rows"] == 0
    assert seconds < 20.0  # an idle machine takes less than one
    peak = next(int(line.split()[1]) for line in Path(f"/proc/{desk.process.pid}/status").read_text().splitlines()
                if line.startswith("VmHWM"))
    assert peak < 300 << 10
    assert desk.ask(reply.json["url"] + "/cancel", method="POST").status == 200
    desk.ask(reply.json["url"], method="DELETE")
    assert json.loads(desk.ask("/v1/jobs").body)["jobs"][0]["id"] != reply.json["id"]

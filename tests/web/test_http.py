"""HTTP itself: what cannot be read is refused in our words too, and an answer comes in the format that was asked for."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import msgpack
import pytest
from running import House, Reply

GOOD = {"lon": [10.0, 20.0], "lat": [1.0, 2.0], "cz": [3000.0, 4000.0]}
END = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def send(house: House, data: bytes) -> Reply:
    """Send bytes as they are; return the answer."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as connection:
        connection.sendall(data)
        raw = b""
        while part := connection.recv(65536):
            raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
    return Reply(int(first.split()[1]), headers["content-type"].partition(";")[0], headers, body)


@pytest.mark.parametrize(("data", "status", "code", "word"), [
    (b"FOO /livez" + END, 501, "unknown_method", "GET, HEAD or POST"),
    (b"\x16\x03\x01\x02\x00\r\n\r\n", 501, "unknown_method", "http://"),
    (b"PROPFIND /livez" + END, 405, "method_not_allowed", "PROPFIND"),
    (b"GET /hint_byname?name=\xff\xfe" + END, 400, "bad_request", "percent-encoded"),
    (b"GET /hint\x80" + END, 400, "bad_request", "percent-encoded"),
    (b"GET http://[::1" + END, 400, "bad_request", "address"),
    (b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n", 400, "bad_request", "Host"),
    (b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431, "headers_too_large", "8190"),
    (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"X-Many: a\r\n" * 200 + b"\r\n", 431, "headers_too_large", "too many"),
    (b"GET /livez HTTP/1.1\r\nHost: x\r\nExpect: money\r\nConnection: close\r\n\r\n", 417, "expectation_failed", "Expect"),
    (b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: some\r\n\r\n", 400, "bad_request", "Content-Length"),
])
def test_what_is_no_request_is_refused_in_problem_json(house: House, data: bytes, status: int, code: str, word: str) -> None:
    reply = send(house, data)
    assert (reply.status, reply.media, reply.json["code"]) == (status, "application/problem+json", code)
    assert reply.json["status"] == status and reply.json["title"] and word in reply.json["detail"]
    assert "b'" not in reply.json["detail"] and house.ask("/livez").status == 200


@pytest.mark.parametrize(("encoding", "status", "code"), [
    ("br", 415, "wrong_content_encoding"), ("zstd", 415, "wrong_content_encoding"), ("rot13", 415, "wrong_content_encoding"),
    ("gzip", 400, "bad_request"), ("deflate", 400, "bad_request"), ("identity", 200, None)])
def test_an_encoding_we_cannot_read_is_named(house: House, encoding: str, status: int, code: str | None) -> None:
    reply = house.post("/get_flow/distance", GOOD, **{"Content-Encoding": encoding})
    assert reply.status == status and reply.json.get("code") == code
    if status == 415:
        assert encoding in reply.json["detail"] and "gzip" in reply.json["detail"]


def test_a_client_that_leaves_in_the_middle_of_its_body_costs_one_line(house: House) -> None:
    head = b"POST /get_flow/hubble HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
    with socket.create_connection(("127.0.0.1", house.port)) as connection:
        connection.sendall(head + b'{"lon"')
        time.sleep(0.2)
    deadline = time.monotonic() + 5
    while "left in the middle" not in house.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    log = house.log.read_text()
    assert log.count("left in the middle of its body: POST /get_flow/hubble") == 1 and "Traceback" not in log


JSON, MSGPACK, CSV, VOTABLE = "application/json", "application/msgpack", "text/csv", "application/x-votable+xml"


@pytest.mark.parametrize(("accept", "media"), [
    ("", JSON), ("*/*", JSON), ("application/*", JSON), ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
    (MSGPACK, MSGPACK), ("application/x-msgpack", MSGPACK), (f"{MSGPACK};q=0", JSON), (f"{MSGPACK};q=0, */*", JSON),
    (f"{MSGPACK};q=0.1, {JSON}", JSON), (f"{JSON};q=0.1, {MSGPACK};q=0.2", MSGPACK), (f"{MSGPACK}, {JSON}", MSGPACK),
    (f"{JSON}, {MSGPACK}", JSON), (f"{JSON};q=0, */*", MSGPACK), (f"*/*;q=0.5, {MSGPACK}", MSGPACK),
    (f"{MSGPACK};q=0.3, application/*;q=0.5", JSON), (f"{JSON}; charset=utf-8 ; q=0.2 , {CSV};Q=0.9", CSV),
    (f"{VOTABLE}, {JSON};q=0.9", VOTABLE), ("text/*", CSV), (f"{MSGPACK};q=nonsense", MSGPACK), (",", JSON)])
def test_accept_is_weighed(house: House, accept: str, media: str) -> None:
    reply = house.ask("/get_distance_table?lon=1&lat=2&n=3", headers={"Accept": accept})
    assert (reply.status, reply.media) == (200, media)


@pytest.mark.parametrize("accept", ["image/png", CSV, "*/*;q=0", f"{JSON};q=0, {MSGPACK};q=0, image/*"])
def test_an_accept_header_that_leaves_nothing_is_a_406_that_names_the_formats(house: House, accept: str) -> None:
    reply = house.ask("/get_coords?lon=1&lat=2", headers={"Accept": accept})
    assert (reply.status, reply.media, reply.json["code"]) == (406, "application/problem+json", "not_acceptable")
    assert JSON in reply.json["detail"] and MSGPACK in reply.json["detail"]
    assert house.ask("/get_coords?lon=1&lat=2&format=json", headers={"Accept": accept}).status == 200


def packed_twice(_: str) -> bytes:
    pairs = [*GOOD.items(), ("cz", [1.0, 2.0])]
    return bytes([0x80 + len(pairs)]) + b"".join(msgpack.packb(k) + msgpack.packb(v) for k, v in pairs)


@pytest.mark.parametrize(("media", "spelled", "make"), [
    (JSON, "cz", str.encode), (JSON, "c\\u007a", str.encode), (MSGPACK, "cz", packed_twice)])
def test_a_key_given_twice_in_a_body_is_refused_by_name(house: House, media: str, spelled: str,
                                                        make: Callable[[str], bytes]) -> None:
    text = json.dumps(GOOD)[:-1] + f', "{spelled}" : [3000, 4000]}}'
    reply = house.ask("/get_flow/distance", method="POST", body=make(text), headers={"Content-Type": media})
    assert reply.status == 400 and reply.json["code"] == "repeated_parameter" and reply.json["where"] == "cz"


def test_text_that_looks_like_keys_is_no_key(house: House) -> None:
    body = {**GOOD, "cz": ["cz", '"cz":'], "frame": "icrs"}
    assert house.post("/get_flow/distance", body).json["status"] == ["not_finite", "not_finite"]

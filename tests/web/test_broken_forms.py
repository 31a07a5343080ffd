"""Multipart forms that are none: each door refuses them in its words, and none takes them for a fault of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import House

KIND = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n'


@pytest.fixture(scope="module")
def home(house_data: Path) -> Iterator[House]:
    """Return a house whose jobs are its own."""
    running = House(house_data, "--workers", "1")
    yield running
    running.stop()


@pytest.mark.parametrize(("body", "kind"), [
    (b"", KIND), (b"--b", KIND), (b"no form at all", KIND), (b"--b\r\n", KIND), (b"x", "multipart/form-data"),
    (PART % b"ra" + b"\r\n1", KIND), (PART % b"ra" + b"X: " + b"y" * 20_000 + b"\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"X: y\r\n" * 500 + b"\r\n1\r\n--b--\r\n", KIND), (PART % b"ra" + b"no header\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Length: -4\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Length: 9999\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Type: multipart/mixed\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Type: text/plain; charset=none\r\n\r\n\xff\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Transfer-Encoding: base64\r\n\r\n=\r\n--b--\r\n", KIND),
    (PART % b"ra" + b"Content-Encoding: gzip\r\n\r\n1\r\n--b--\r\n", KIND),
    (PART % b"\xff\x00" + b"\r\n1\r\n--b--\r\n", KIND)])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tables", "/uws/flow", "/api-token-auth/"])
def test_a_form_that_is_none_is_refused_at_every_door(home: House, path: str, body: bytes, kind: str) -> None:
    refused = home.ask(path, method="POST", body=body, headers={"Content-Type": kind})
    assert 400 <= refused.status < 500, (refused.status, refused.body[:300])


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/tables", "/uws/flow", "/api-token-auth/"])
def test_a_form_of_very_many_parts_does_not_hold_up_the_others(home: House, path: str) -> None:
    body = (PART % b"lon" + b"\r\n\r\n") * 20_000 + b"--b--\r\n"
    began = time.monotonic()
    refused = home.ask(path, method="POST", body=body, headers={"Content-Type": KIND})
    seconds = time.monotonic() - began
    # one that is read to its end takes fifteen seconds and more
    assert refused.status == 400 and seconds < 3.0, (seconds, refused.body[:200])


def test_the_parts_of_a_form_come_to_the_queue(home: House) -> None:
    body = b"".join(PART % name + b"\r\n" + value + b"\r\n" for name, value in ((b"username", b" me "), (b"password", b"no")))
    refused = home.ask("/api-token-auth/", method="POST", body=body + b"--b--\r\n", headers={"Content-Type": KIND})
    assert refused.json == {"non_field_errors": ["Unable to log in with provided credentials."]}

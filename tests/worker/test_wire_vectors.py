"""The bytes printed in docs/wire.md are those we send and those we read."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cfcore import wire

PAGE = Path(__file__).parents[2] / "docs" / "wire.md"
WORKER, TOKEN = b"\x01" + 15 * b"\xa1", 16 * b"\x70"
ROWS = {"lon": np.array([197.5, 0.0]), "lat": np.array([-23.25, 90.0])}
ANSWER = {"values": np.array([[1.5], [2.0]], "<f4")}
MESSAGES = {
    "hello": wire.Hello("h1", 4, "0.1.0", [{"id": "toy", "sha": "00c0ffee"}], 2, 1, 3, [(7, 1)], [8]),
    "welcome": wire.Welcome(TOKEN, 5600, 5572, 1000, 4000, 6, 2),
    "who": wire.Who(),
    "heartbeat": wire.Heartbeat(3, [(7, 1)], [8], 120, [(7, 55)]),
    "pong": wire.Pong(9),
    "ack": wire.Ack([7, 8]),
    "cancel": wire.Cancel([7], "unwanted"),
    "bounce": wire.Bounce([(7, TOKEN)], "draining"),
    "askdrain": wire.AskDrain(),
    "drain": wire.Drain(),
    "bye": wire.Bye(),
    "job": wire.Job(7, 1, TOKEN, WORKER, "velocity", "toy", "00c0ffee", 0, 2, {"H0": 75.0}, ROWS, "bulk", 600_000),
    "result": wire.Result(7, 1, TOKEN, WORKER, "ok", 2, 12, columns=ANSWER, sha=wire.digest([ANSWER["values"].tobytes()]),
                          prov={"cf": "0.1.0", "fv": "00c0ffee", "abi": 3}),
    "result-crash": wire.Result(7, 2, TOKEN, WORKER, "crash", 0, 12, err={
        "kind": "fatal", "code": "worker_crash", "message": "killed by signal 11"}),
}
EVERY = wire.TO_GATEWAY | wire.TO_WORKER | wire.LANE | wire.RESULTS


def printed() -> dict[str, list[bytes]]:
    lines = re.findall(r"^([a-z-]+) ([0-9a-f.]+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: [bytes.fromhex(frame) for frame in frames.split(".")] for name, frames in lines}


def test_every_kind_of_message_has_a_vector():
    assert set(printed()) == set(MESSAGES) and {type(m) for m in MESSAGES.values()} == EVERY


@pytest.mark.parametrize("name", MESSAGES)
def test_message_has_the_printed_bytes(name):
    assert [bytes(frame) for frame in wire.pack(MESSAGES[name])] == printed()[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_printed_bytes_are_read_as_the_message(name):
    got, sent = wire.unpack(printed()[name], EVERY), MESSAGES[name]
    assert type(got) is type(sent)
    for field in type(sent).__dataclass_fields__:
        mine, its = getattr(got, field), getattr(sent, field)
        if field in ("columns", "shared"):
            assert {k: v.tolist() for k, v in mine.items()} == {k: v.tolist() for k, v in its.items()}
        else:
            assert mine == its

"""The hub alone: what it makes of results that cannot be true, in bytes as they come over the wire."""

from __future__ import annotations

from typing import Any

import numpy as np

from cfcore import wire
from cfcore.errors import CosmicFlowsError
from gateway.hub import Hub
from gateway.served import Served

ID, KEY = b"\x01" + 15 * b"w", ("toy", "1")


class Post:
    """Keep what is sent."""

    results_place, place = 5572, 5600

    def __init__(self) -> None:
        self.told: list[wire.Message] = []
        self.jobs: list[wire.Job] = []
        self.is_there = True

    def tell(self, worker_id: bytes, message: wire.Message) -> bool:
        self.told.append(message)
        return self.is_there

    def send_job(self, lane: Any, frames: list[Any]) -> bool:
        self.jobs.append(wire.unpack([bytes(frame) for frame in frames], wire.LANE))
        return True

    def open_lane(self, on_change: Any, worker_id: bytes) -> Any:
        return self

    def close_lane(self, lane: Any) -> None:
        pass

    def is_open(self) -> bool:
        return True

    def may_speak_for(self, worker_id: bytes) -> bool:
        return True


class Rows:
    """Two rows that somebody keeps."""

    kind, trace, rows = "toy", "", 2
    options: dict[str, object] = {}

    def __init__(self) -> None:
        self.ends: list[str] = []

    def columns(self) -> dict[str, np.ndarray]:
        return {"x": np.ones(2)}

    def is_wanted(self) -> bool:
        return True

    def accept(self, result: wire.Result, settled: Any) -> None:
        self.ends.append("accepted")
        settled()

    def refuse(self, error: CosmicFlowsError) -> None:
        self.ends.append(error.code)

    def quarantine(self, error: CosmicFlowsError) -> None:
        self.ends.append(f"quarantine: {error.code}")


def play(answers: list[dict[str, Any]]) -> tuple[Hub, Post, Rows]:
    """Give one job to one worker that answers so."""
    post, rows = Post(), Rows()
    hub = Hub(post, Served("ipc:///x", 3.0), lambda: None)
    hub.on_control(ID, wire.pack(wire.Hello("h", 1, "1", [{"id": "toy", "sha": "1"}], 1)), 0.0)
    hub.on_lane(ID)
    hub.add(rows, KEY, float("inf"), cls=wire.BULK, job_id=7)
    for answer in answers:
        hub.pump(1.0)
        job = post.jobs[-1]
        sound = {"columns": {"x": np.ones(2)}, "sha": wire.digest([np.ones(2).tobytes()]), "n": 2}
        hub.on_result([bytes(f) for f in wire.pack(wire.Result(j=job.j, a=job.a, tok=job.tok, w=ID, st="ok", us=5, **(
            sound | answer)))], 1.0)
    hub.send_acks()
    return hub, post, rows


def test_columns_that_were_changed_on_their_way_are_computed_again():
    hub, post, rows = play([{"sha": 32 * b"?"}, {}])
    assert rows.ends == ["accepted"] and len(post.jobs) == 2 and hub.counters()["bad_results"] == 1
    assert [m.jobs for m in post.told if isinstance(m, wire.Ack)] == [[7, 7]]


def test_worker_that_never_answers_for_all_rows_does_not_hold_a_job_for_ever():
    hub, post, rows = play(3 * [{"columns": {"x": np.ones(1)}, "sha": b"", "n": 1}])
    assert rows.ends == ["quarantine: bad_result"] and not hub.ledger.jobs and hub.counters()["requeued_crash"] == 2


def test_pause_of_the_gateway_is_held_against_no_worker_and_silence_after_it_is():
    hub, _, _ = play([{}])
    for moment in (1.0, 1.05, 9.0, 9.05, 11.9):
        hub.tick(moment)
    assert hub.counters().get("workers_lost", 0) == 0
    for tenth in range(120, 160):
        hub.tick(tenth / 10)
    assert hub.counters()["workers_lost"] == 1


def test_connection_that_broke_in_a_pause_of_the_gateway_has_its_whole_grace_time_after_it():
    hub, post, _ = play([{}])
    post.is_there = False
    hub.tick(1.0)
    hub.tick(9.0)
    hub.tick(9.2)
    assert hub.counters().get("workers_lost", 0) == 0
    hub.tick(9.4)
    assert hub.counters()["workers_lost"] == 1

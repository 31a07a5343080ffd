"""The rules of a worker as a pure state machine: no process, no socket, and time is a number."""

from __future__ import annotations

import random
from math import inf

import numpy as np
import pytest

from cfcore import wire
from flow_worker.bench import Facts, Gone, Join, Kill, Leave, Post, Rejoin, Run, Say, Spawn
from flow_worker.manners import Manners

ME = b"\x01" + 15 * b"m"


def job(j: int, *, cls: str = wire.INTERACTIVE, fv: str = "1", ms: int = 0, limit: int = 0, a: int = 1,
        w: bytes = ME) -> wire.Job:
    return wire.Job(j=j, a=a, tok=bytes([a]) + 15 * b"t", w=w, kind="echo", f="toy", fv=fv, ms=ms, n=1, options={},
                    columns={"x": np.ones(1)}, cls=cls, limit=limit)


def welcome(*, gid: bytes = 16 * b"g", epoch: int = 1, lane: int = 5600, credit: int = 8) -> wire.Welcome:
    return wire.Welcome(gid, lane, 5572, 1000, 4000, credit, epoch)


class Stage:
    """A worker with children that do what the test says."""

    def __init__(self, slots: int = 1, reserve: int = 0, **options: int) -> None:
        self.now = 100.0
        self.it = Manners(Facts(ME, "h", 1, "1", 1, slots, reserve), self.now)
        self.it.advertise([{"id": "toy", "sha": "1"}], self.now)
        self.log: list[object] = []
        self.step()
        self.it.ready(0, self.now)
        self.pass_time(1.0)
        for seat in range(1, slots):
            self.it.ready(seat, self.now)
        self.it.heard(welcome(**options), self.now)
        self.step()
        self.log.clear()

    def step(self, can_talk: bool = True) -> list[object]:
        """Let it do what is due; return the actions."""
        self.it.tick(self.now, can_talk)
        done = self.it.do()
        self.log += done
        return done

    def pass_time(self, seconds: float, can_talk: bool = True) -> list[object]:
        """Let time pass in small steps."""
        done, end = [], self.now + seconds
        while self.now < end:
            self.now = min(end, max(self.now + 0.01, min(self.it.due(self.now), self.now + 1.0)))
            done += self.step(can_talk)
        return done

    def offer(self, *jobs: wire.Job) -> list[object]:
        """Offer jobs."""
        for one in jobs:
            self.it.offered(one, [one.j], self.now)
        return self.step()

    def said(self, kind: type) -> list[object]:
        """Return the messages of a kind said so far."""
        return [action.message for action in self.log if isinstance(action, Say) and isinstance(action.message, kind)]

    def ran(self) -> list[int]:
        """Return the jobs given to children so far."""
        return [action.frames[0] for action in self.log if isinstance(action, Run)]

    def posted(self) -> list[int]:
        """Return the jobs whose results were sent so far."""
        return [action.job for action in self.log if isinstance(action, Post)]

    def bounced(self) -> dict[int, str]:
        """Return job -> reason."""
        return {j: b.why for b in self.said(wire.Bounce) for j, _ in b.jobs}


def result_of(action: Post) -> wire.Result:
    return wire.unpack(action.frames, wire.RESULTS)


def test_interactive_jobs_go_first_and_bulk_leaves_the_reserve() -> None:
    stage = Stage(slots=3, reserve=1)
    stage.offer(*(job(j, cls=wire.BULK) for j in (1, 2, 3)), job(4), job(5))
    assert stage.ran() == [1, 2, 4]
    seat = next(a.seat for a in stage.log if isinstance(a, Run) and a.frames == [1])
    stage.it.answered(seat, [b"R"], stage.now)
    stage.step()
    assert stage.ran() == [1, 2, 4, 5] and stage.posted() == [1]
    stage.it.answered(next(a.seat for a in stage.log if isinstance(a, Run) and a.frames == [4]), [b"R"], stage.now)
    stage.step()
    assert stage.ran() == [1, 2, 4, 5, 3] and len(stage.it.current(stage.now)) == 3


def test_while_a_child_is_away_bulk_does_not_take_its_place_in_the_reserve() -> None:
    stage = Stage(slots=2, reserve=1)
    stage.offer(job(1, cls=wire.BULK), job(2, cls=wire.BULK))
    seat = stage.log[0].seat
    stage.it.gone(seat, Gone(11, None), stage.now)
    stage.step()
    assert stage.ran() == [1]
    stage.it.ready(seat, stage.now)
    stage.step()
    assert stage.ran() == [1, 2]


@pytest.mark.parametrize(("offered", "why"), [
    (job(9, w=16 * b"x"), "not for me"), (job(9, fv="abcdefghij"), "no field toy version abcdefgh here")])
def test_what_is_not_ours_goes_back_with_the_reason(offered: wire.Job, why: str) -> None:
    stage = Stage()
    stage.offer(offered)
    assert stage.bounced() == {9: why} and not stage.it.held


def test_jobs_beyond_the_credit_go_back() -> None:
    stage = Stage(credit=2)
    stage.offer(*(job(j) for j in range(1, 6)))
    assert stage.bounced() == {4: "full", 5: "full"}


def test_a_job_that_comes_twice_runs_once_and_its_result_is_sent_again() -> None:
    stage = Stage()
    stage.offer(job(1), job(1, a=2))
    assert stage.ran() == [1] and stage.it._pairs() == [(1, 2)]
    stage.it.answered(0, [b"R"], stage.now)
    stage.step()
    stage.offer(job(1, a=3))
    assert stage.ran() == [1] and stage.posted() == [1, 1]


def test_results_are_sent_again_later_and_later_until_the_ack() -> None:
    stage = Stage()
    stage.offer(job(1))
    stage.it.answered(0, [b"R"], stage.now)
    stage.step()
    sent, start = [], stage.now
    while stage.now < start + 70:
        stage.it.heard(wire.Pong(1), stage.now)
        sent += [stage.now - start for a in stage.pass_time(0.5) if isinstance(a, Post)]
    assert [round(t) for t in sent] == [2, 6, 14, 30, 60]
    stage.it.heard(wire.Ack([1]), stage.now)
    assert not [a for a in stage.pass_time(1.0) if isinstance(a, Post)] and stage.it._outbox_bytes == 0


def test_a_result_that_the_socket_did_not_take_is_tried_again_soon() -> None:
    stage = Stage()
    stage.offer(job(1))
    stage.it.answered(0, [b"R"], stage.now)
    stage.step()
    stage.it.unsent(1, stage.now)
    assert [a.job for a in stage.pass_time(0.06) if isinstance(a, Post)] == [1]
    assert not [a for a in stage.pass_time(1.9) if isinstance(a, Post)]


def test_a_restarted_gateway_finds_bulk_and_another_finds_nothing() -> None:
    for new, kept, out in ((welcome(epoch=2, lane=5601), {2, 4, 6}, {8}), (welcome(gid=16 * b"o"), set(), set()),
                           (welcome(lane=5601), {1, 2}, {7, 8}), (welcome(), {1, 2, 3, 4, 5, 6}, {7, 8})):
        stage = Stage(slots=2, credit=16)
        stage.offer(job(7), job(8, cls=wire.BULK))
        for seat in (0, 1):
            stage.it.answered(seat, [b"R"], stage.now)
        stage.offer(*(job(j, cls=wire.CLASSES[1 - j % 2]) for j in range(1, 7)))
        # interactive jobs first: 1 and 3 run; let a bulk job run, too
        stage.step()
        if set(dict(stage.it.current(stage.now))) != {1, 2}:
            stage = Stage(slots=2, credit=16)
            stage.offer(job(7), job(8, cls=wire.BULK))
            for seat in (0, 1):
                stage.it.answered(seat, [b"R"], stage.now)
            for j in range(1, 7):
                stage.offer(job(j, cls=wire.CLASSES[1 - j % 2]))
        assert set(dict(stage.it.current(stage.now))) == {1, 2} and set(stage.it.outbox) == {7, 8}
        stage.log.clear()
        stage.it.heard(new, stage.now)
        stage.step()
        assert set(stage.it.held) == kept and set(stage.it.outbox) == out
        is_known = new == welcome()
        assert bool([a for a in stage.log if isinstance(a, Join)]) != is_known
        assert set(stage.posted()) == (set() if is_known else out)
        assert bool([a for a in stage.log if isinstance(a, Kill)]) == (2 not in kept)


def test_cancel_stops_bulk_and_forgets_the_rest() -> None:
    stage = Stage(slots=2, credit=16)
    for one in (job(1), job(2, cls=wire.BULK), job(3), job(4, cls=wire.BULK)):
        stage.offer(one)
    stage.it.heard(wire.Cancel([1, 2, 3, 4, 77], "nobody waits"), stage.now)
    actions = stage.step()
    assert stage.bounced() == dict.fromkeys((1, 2, 3, 4), "cancelled") and not stage.it.held
    assert [a.is_asked for a in actions if isinstance(a, Kill)] == [False]
    killed = next(a.seat for a in actions if isinstance(a, Kill))
    stage.it.gone(killed, Gone(9, None), stage.now)
    stage.it.answered(1 - killed, [b"R"], stage.now)
    assert [a.seat for a in stage.step() if isinstance(a, Spawn)] == [killed]
    assert not stage.it.outbox and not stage.posted()


def test_limits_of_the_job_or_ours_end_a_computation() -> None:
    for given, cls, limit in ((700, wire.BULK, 0.7), (0, wire.INTERACTIVE, 5.0), (0, wire.BULK, 600.0)):
        stage = Stage()
        stage.offer(job(1, cls=cls, limit=given))
        start = stage.now
        while not [a for a in stage.pass_time(0.1) if isinstance(a, Kill)]:
            stage.it.heard(wire.Pong(1), stage.now)
        assert stage.now - start == pytest.approx(limit, abs=0.11)
        stage.it.gone(0, Gone(6, None, "it was here"), stage.now)
        late = result_of(next(a for a in stage.step() if isinstance(a, Post)))
        assert (late.st, late.err["code"], late.err["extra"]) == ("timeout", "compute_timeout",
                                                                  {"stderr": "it was here", "signal": 6})


def test_a_worker_that_stood_still_blames_nobody_for_it() -> None:
    stage = Stage()
    stage.offer(job(1))
    stage.now += 60.0
    stage.it.heard(wire.Pong(1), stage.now)
    assert not [a for a in stage.step() if isinstance(a, Kill)]
    stage.it.answered(0, [b"R"], stage.now)
    stage.step()
    assert stage.posted() == [1]


def test_a_job_whose_time_was_over_before_it_began_is_not_computed() -> None:
    stage = Stage()
    stage.offer(job(1), job(2, ms=500))
    stage.pass_time(1.0)
    stage.it.answered(0, [b"R"], stage.now)
    late = result_of([a for a in stage.step() if isinstance(a, Post)][-1])
    assert stage.ran() == [1] and (late.j, late.st, late.err["code"]) == (2, "error", "deadline")


def test_blame_names_no_place_and_fits_the_wire() -> None:
    stage = Stage()
    stage.offer(job(1))
    stage.it.gone(0, Gone(11, None, "\N{GREEK SMALL LETTER ALPHA}" * 9000 + "/secret/path end"), stage.now)
    crash = result_of(next(a for a in stage.step() if isinstance(a, Post)))
    assert crash.err["extra"]["stderr"].endswith("?/secret/path end") and len(crash.err["extra"]["stderr"]) == 2000
    assert "/" not in crash.err["message"] and crash.w == ME and crash.tok == job(1).tok


def test_children_that_die_before_they_begin_are_tried_again_more_slowly() -> None:
    stage = Stage()
    stage.it.gone(0, Gone(9, None), stage.now)
    spawned = [a for a in stage.step() if isinstance(a, Spawn)]
    assert len(spawned) == 1
    pauses = []
    for _ in range(9):
        died = stage.now
        stage.it.gone(0, Gone(None, 1), stage.now)
        while not [a for a in stage.pass_time(0.01) if isinstance(a, Spawn)]:
            stage.it.heard(wire.Pong(1), stage.now)
        pauses.append(stage.now - died)
    assert pauses[0] < 0.1 and pauses == sorted(pauses) and pauses[-1] == pytest.approx(2.0, abs=0.05)
    stage.offer(job(1))
    for _ in range(8):
        stage.it.heard(wire.Pong(1), stage.now)
        stage.it.gone(0, Gone(None, 1), stage.now)
        stage.pass_time(1.0)
    assert stage.bounced() == {1: "no compute process runs here"}


def test_only_a_first_child_that_refuses_ends_the_worker() -> None:
    stage = Stage()
    stage.it.gone(0, Gone(9, None), stage.now)
    stage.step()
    stage.it.gone(0, Gone(None, 2, "no field"), stage.now)
    assert stage.it.refusal is None
    fresh = Manners(Facts(ME), 0.0)
    fresh.tick(0.0)
    fresh.gone(0, Gone(None, 2, "warning\nno field can be read\n"), 0.1)
    assert fresh.refusal == "no field can be read"


def test_a_silent_gateway_is_looked_for_and_greeted_again() -> None:
    stage = Stage()
    actions = stage.pass_time(4.5)
    assert [a for a in actions if isinstance(a, Rejoin)] and stage.said(wire.Hello) and stage.it.is_alone
    stage.log.clear()
    stage.pass_time(3.0, can_talk=False)
    assert not stage.said(wire.Hello) and stage.it.due(stage.now) > stage.now


def test_draining_ends_in_order() -> None:
    stage = Stage()
    stage.offer(job(1), job(2), job(3, cls=wire.BULK))
    stage.it.drain(stage.now)
    stage.step()
    stage.offer(job(4))
    assert stage.bounced() == {3: "draining", 4: "draining"}
    for j in (1, 2):
        stage.it.heard(wire.Pong(1), stage.now)
        stage.it.answered(0, [b"R"], stage.now)
        assert Leave() not in stage.step() and stage.posted()[-1] == j
    stage.it.heard(wire.Ack([1, 2]), stage.now)
    stage.step()
    words = [type(a.message) for a in stage.log if isinstance(a, Say)]
    assert words[0] is wire.Drain and words[-1] is wire.Bye and isinstance(stage.log[-1], Leave)


def test_draining_ends_after_thirty_seconds_and_gives_back_what_still_runs() -> None:
    stage = Stage()
    stage.offer(job(1, cls=wire.BULK))
    stage.it.drain(stage.now)
    start = stage.now
    while not stage.it.has_left:
        stage.it.heard(wire.Pong(1), stage.now)
        stage.pass_time(0.1)
    assert stage.now - start == pytest.approx(30.0, abs=0.3)
    assert stage.bounced() == {1: "the time to finish was over"} and isinstance(stage.log[-1], Leave)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_job_ends_here_once_and_nothing_is_forgotten(seed: int) -> None:
    print("seed", seed)
    rng = random.Random(seed)
    stage = Stage(slots=3, reserve=1, credit=6)
    running: dict[int, int] = {}
    offered: dict[int, str] = {}
    ended: dict[int, str] = {}
    starting: set[int] = set()

    def look(actions: list[object]) -> None:
        for a in actions:
            if isinstance(a, Run):
                assert a.seat not in running and a.frames[0] not in running.values()
                running[a.seat] = a.frames[0]
            elif isinstance(a, Spawn):
                assert a.seat not in running
                starting.add(a.seat)
            elif isinstance(a, Kill):
                running.pop(a.seat, None)
                killed.append(a.seat)
            elif isinstance(a, Post):
                ended.setdefault(a.job, "result")
            elif isinstance(a, Say) and isinstance(a.message, wire.Bounce):
                for j, _ in a.message.jobs:
                    assert j not in ended, f"job {j} ended twice"
                    ended[j] = "bounce"
        bulk = [j for j in running.values() if offered[j] == wire.BULK]
        assert len(bulk) <= 2

    killed: list[int] = []
    for j in range(1, 400):
        stage.it.heard(wire.Pong(j), stage.now)
        what = rng.random()
        if what < 0.5:
            offered[j] = rng.choice(wire.CLASSES)
            look(stage.offer(job(j, cls=offered[j], limit=rng.choice((0, 50)), fv=rng.choice("1112"))))
        elif what < 0.7 and running:
            seat = rng.choice(list(running))
            del running[seat]
            if rng.random() < 0.3:
                stage.it.gone(seat, Gone(11, None), stage.now)
            else:
                stage.it.answered(seat, [b"R"], stage.now)
        elif what < 0.8 and starting:
            stage.it.ready(starting.pop(), stage.now)
        elif what < 0.9 and offered:
            stage.it.heard(wire.Cancel([rng.choice(list(offered))], "x"), stage.now)
        elif stage.it.outbox:
            stage.it.heard(wire.Ack([rng.choice(list(stage.it.outbox))]), stage.now)
        look(stage.pass_time(rng.random() * 0.05))
        while killed:
            stage.it.gone(killed.pop(), Gone(9, None), stage.now)
            look(stage.step())
        assert set(stage.it.held) | set(ended) == set(offered) and not set(stage.it.held) & set(ended)
        assert {h.job.j for s in stage.it.seats if (h := s.held) and h.is_wanted} <= set(stage.it.held)
    assert stage.it.due(stage.now) < inf and len(ended) > 100

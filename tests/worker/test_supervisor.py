"""A real supervisor with real children: jobs that kill, hang and swallow memory are blamed alone, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running import is_running

from cfcore import wire

from .raw_gateway import Gateway, children, joined, start


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    """Return a folder for sockets and logs."""
    return tmp_path


@pytest.fixture
def another() -> Iterator[Callable[..., Gateway]]:
    """Return a maker of further gateways, which closes them."""
    made: list[Gateway] = []

    def make(*arguments: object, **options: object) -> Gateway:
        made.append(Gateway(*arguments, **options))
        return made[-1]

    yield make
    for gateway in made:
        gateway.close()


@pytest.mark.parametrize(("kind", "signum"), [
    ("crash", None), ("die-abort", signal.SIGABRT), ("die-segv", signal.SIGSEGV), ("die-bus", signal.SIGBUS),
    ("die-kill", signal.SIGKILL), ("die-stack", signal.SIGSEGV)])
def test_job_that_kills_its_process_is_blamed_alone_and_the_worker_lives(bus: Path, kind: str, signum: int | None) -> None:
    with joined(bus) as (gateway, process):
        gateway.job(1, kind, x=-1.0)
        gateway.job(2, "double", x=4.0)
        crash, good = gateway.result(1), gateway.result(2)
        assert crash.st == "crash" and crash.err["code"] == "worker_crash" and crash.err["kind"] == "fatal"
        assert crash.err["extra"]["signal"] == (None if signum is None else int(signum))
        assert good.st == "ok" and good.columns["x"][0] == 8.0
        assert "/" not in crash.err["message"] and len(crash.err["extra"]["stderr"]) <= 2000
        if kind == "die-stack":
            assert "in <lambda>" in crash.err["extra"]["stderr"]
        elif kind != "crash":
            assert f"about to die by {kind[4:]}" in crash.err["extra"]["stderr"]
        if kind == "die-segv":
            assert "Segmentation fault" in crash.err["extra"]["stderr"]
        assert process.poll() is None and len(children(bus)) == 2
        assert len(gateway.all(wire.Hello)) == 1


def test_job_beyond_its_memory_is_blamed_alone(bus: Path) -> None:
    with joined(bus, "--memory-mb", "300") as (gateway, process):
        gateway.job(1, "die-memory")
        gateway.job(2, "double", x=4.0)
        crash = gateway.result(1)
        assert (crash.st, crash.err["code"]) == ("crash", "memory_limit")
        assert gateway.result(2).st == "ok" and process.poll() is None


@pytest.mark.parametrize("how", ["loop", "gil"])
def test_endless_loop_is_stopped_at_its_limit_while_heartbeats_go_on(bus: Path, how: str) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, f"die-{how}", limit=800)
        gateway.job(2, "double", x=4.0)
        began = time.monotonic()
        gateway.until(lambda: gateway.beat().cur)
        late = gateway.result(1)
        assert 0.5 < time.monotonic() - began < 4.0
        assert (late.st, late.err["code"]) == ("timeout", "compute_timeout") and 800_000 <= late.us < 3_000_000
        # the process was asked where it was before it was killed
        assert "in die" in late.err["extra"]["stderr"]
        assert gateway.result(2).st == "ok"


def test_a_stopped_child_counts_as_endless(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        os.kill(children(bus)[0], signal.SIGSTOP)
        gateway.job(1, "echo", limit=300)
        assert gateway.result(1).st == "timeout"
        gateway.job(2, "echo")
        assert gateway.result(2).st == "ok"


def test_crash_of_the_reserve_leaves_the_bulk_job_alone(bus: Path) -> None:
    with joined(bus, "--slots", "2", "--reserve", "1", wait_for=2) as (gateway, _):
        gateway.job(1, "sleep", {"s": 1.5}, cls=wire.BULK)
        gateway.until(lambda: gateway.beat().cur)
        gateway.job(2, "crash", x=-1.0)
        assert gateway.result(2).st == "crash"
        assert gateway.results[0].j != 1
        assert gateway.result(1).st == "ok"


def test_twenty_crashes_in_a_row_are_twenty_results(bus: Path) -> None:
    with joined(bus, credit=16) as (gateway, process):
        for first in (1, 11):
            for j in range(first, first + 10):
                gateway.job(j, "crash", x=-1.0)
            assert {gateway.result(j, 60.0).st for j in range(first, first + 10)} == {"crash"}
        gateway.job(99, "echo")
        assert gateway.result(99).st == "ok" and process.poll() is None and len(children(bus)) == 21


def test_an_idle_child_that_is_killed_is_replaced_and_nobody_is_blamed(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        os.kill(children(bus)[0], signal.SIGKILL)
        gateway.until(lambda: len(children(bus)) == 2)
        gateway.job(1, "echo")
        assert gateway.result(1).st == "ok" and [r.j for r in gateway.results] == [1]


def test_bulk_leaves_the_reserve_to_interactive_jobs_and_computes_with_low_priority(bus: Path) -> None:
    with joined(bus, "--slots", "2", "--reserve", "1", wait_for=2) as (gateway, _):
        for j in (1, 2, 3):
            gateway.job(j, "sleep", {"s": 0.4}, cls=wire.BULK)
        gateway.until(lambda: gateway.beat().cur)
        began = time.monotonic()
        gateway.job(4, "nice")
        gateway.job(5, "nice", cls=wire.BULK)
        fast = gateway.result(4)
        assert time.monotonic() - began < 0.35 and fast.info["nice"] == os.getpriority(os.PRIO_PROCESS, 0)
        assert {len(gateway.beat().cur) for _ in range(3)} == {1}
        assert gateway.result(5).info["nice"] == min(19, 10 + fast.info["nice"])
        assert [r.j for r in gateway.results] == [4, 1, 2, 3, 5]


def test_results_carry_their_digest_and_what_computed_them(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, "double", x=3.0, n=5)
        gateway.job(2, "raise", x=-1.0)
        good, bad = gateway.result(1), gateway.result(2)
        assert good.sha == wire.digest(next(raw for raw, r in zip(gateway.raw, gateway.results) if r.j == 1)[2:])
        assert good.prov == {"cf": "test", "abi": 7, "fv": "1"}
        assert (bad.st, bad.err["code"]) == ("error", "bad_parameter")


def test_large_jobs_and_results_pass_unharmed_and_quickly(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, "echo")
        gateway.result(1)
        took = []
        for j in range(2, 12):
            began = time.monotonic()
            gateway.job(j, "large", {"width": 5}, n=100_000, x=float(j))
            result = gateway.result(j)
            took.append(time.monotonic() - began)
            assert result.columns["v"].shape == (100_000, 5) and (result.columns["x"] == j).all()
            assert result.sha == wire.digest(gateway.raw[-1][2:])
        # some 20 ms on a free machine
        assert min(took) < 0.2


def test_cancelled_jobs_are_let_go_within_half_a_second(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, "sleep", {"s": 30}, cls=wire.BULK)
        gateway.job(2, "echo", cls=wire.BULK)
        gateway.until(lambda: gateway.beat().cur)
        began = time.monotonic()
        gateway.tell(wire.Cancel([1, 2], "nobody wants them"))
        gateway.until(lambda: set(gateway.bounces()) == {1, 2})
        assert time.monotonic() - began < 0.5 and set(gateway.bounces().values()) == {"cancelled"}
        assert gateway.beat().held == []
        gateway.job(3, "echo", cls=wire.BULK)
        assert gateway.result(3).st == "ok" and [r.j for r in gateway.results] == [3]


def test_job_for_a_field_that_is_not_here_goes_back_with_the_reason(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, "echo", field=("toy", "0123456789abcdef"))
        gateway.job(2, "lacking")
        gateway.until(lambda: len(gateway.bounces()) == 2)
        assert gateway.bounces() == {1: "no field toy version 01234567 here", 2: "no field toy version 1 here"}
        gateway.job(3, "echo")
        assert gateway.result(3).st == "ok"


def test_field_that_goes_away_takes_no_job_with_it(bus: Path) -> None:
    listing = bus / "fields.txt"
    listing.write_text("toy:1")
    with joined(bus, "--fields-file", str(listing)) as (gateway, _):
        gateway.job(1, "sleep", {"s": 1.0})
        gateway.until(lambda: gateway.beat().cur)
        gateway.job(2, "echo")
        listing.write_text("toy:2")
        gateway.until(lambda: gateway.bounces())
        assert gateway.bounces() == {2: "no field toy version 1 here"} and gateway.result(1).st == "ok"
        assert [f["sha"] for f in gateway.all(wire.Hello)[-1].fields] == ["2"]
        # a child that dies over a field which was taken away is not its job's fault
        gateway.job(3, "sleep", {"s": 5}, field=("toy", "2"))
        gateway.until(lambda: gateway.beat().cur)
        listing.write_text("toy:3")
        os.kill(children(bus)[-1], signal.SIGBUS)
        gateway.until(lambda: 3 in gateway.bounces())
        assert [r.j for r in gateway.results] == [1]


def test_sigterm_finishes_what_runs_gives_bulk_back_and_leaves(bus: Path) -> None:
    with joined(bus) as (gateway, process):
        gateway.job(1, "sleep", {"s": 0.6})
        gateway.job(2, "echo")
        gateway.job(3, "echo", cls=wire.BULK)
        gateway.until(lambda: gateway.beat().cur)
        process.send_signal(signal.SIGTERM)
        assert gateway.result(1).st == "ok" and gateway.result(2).st == "ok"
        gateway.until(lambda: process.poll() is not None, 5.0)
        gateway.pump()
        words = [type(m) for m in gateway.said if not isinstance(m, (wire.Hello, wire.Heartbeat))]
        assert words == [wire.Drain, wire.Bounce, wire.Bye] and gateway.bounces() == {3: "draining"}
        assert process.returncode == 0 and not any(map(is_running, children(bus)))


def test_the_gateway_can_ask_a_worker_to_drain(bus: Path) -> None:
    with joined(bus) as (gateway, process):
        gateway.tell(wire.AskDrain())
        gateway.until(lambda: process.poll() is not None, 5.0)
        gateway.pump()
        assert process.returncode == 0 and gateway.all(wire.Bye)


def test_a_draining_worker_does_not_wait_for_a_dead_gateway(bus: Path) -> None:
    with joined(bus, "--slots", "2") as (gateway, process):
        gateway.job(1, "echo")
        gateway.until(lambda: gateway.results)  # never acknowledged
        gateway.job(2, "sleep", {"s": 20})
        gateway.until(lambda: gateway.beat().cur)
        gateway.is_mute = True
        time.sleep(1.2)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0 and time.monotonic() - began < 3.0
        assert not any(map(is_running, children(bus)))


def test_second_interrupt_ends_at_once_and_leaves_no_child(bus: Path) -> None:
    with joined(bus) as (gateway, process):
        gateway.job(1, "die-loop", limit=60_000)
        gateway.until(lambda: gateway.beat().cur)
        process.send_signal(signal.SIGINT)
        gateway.until(lambda: gateway.all(wire.Drain))
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == -signal.SIGINT
        deadline = time.monotonic() + 5
        while any(map(is_running, children(bus))) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(is_running, children(bus)))


def test_no_child_outlives_a_killed_supervisor(bus: Path) -> None:
    with joined(bus, "--slots", "3", wait_for=3) as (gateway, process):
        gateway.job(1, "die-gil", limit=60_000)
        gateway.job(2, "die-loop", limit=60_000)
        gateway.until(lambda: len(gateway.beat().cur) == 2)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 5
        while any(map(is_running, children(bus))) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(map(is_running, children(bus)))


def test_a_restarted_gateway_gets_bulk_results_and_no_others(bus: Path, another: Callable[..., Gateway]) -> None:
    with joined(bus, "--slots", "2", wait_for=2) as (gateway, _):
        gateway.job(1, "echo")
        gateway.job(2, "echo", cls=wire.BULK)
        gateway.until(lambda: len(gateway.results) == 2)
        gateway.job(3, "sleep", {"s": 2.0, "k": 1})
        gateway.job(4, "sleep", {"s": 2.0}, cls=wire.BULK)
        gateway.job(5, "double", cls=wire.BULK)
        gateway.job(6, "double")
        gateway.until(lambda: len(gateway.beat().cur) == 2)
        gateway.close()
        again = another(bus, epoch=2, lane="lane-2")
        again.until(lambda: again.all(wire.Heartbeat) or again.all(wire.Hello))
        again.tell(wire.Who())
        again.until(lambda: again.all(wire.Hello))
        assert {job for job, _ in again.all(wire.Hello)[0].held} >= {4, 5} and set(again.all(wire.Hello)[0].out) == {1, 2}
        assert [again.result(j).st for j in (2, 4, 5)] == ["ok"] * 3
        beat = again.until(lambda: (b := again.beat()) and not b.held and not b.out and b)
        assert beat.cur == [] and {r.j for r in again.results} == {2, 4, 5}


def test_another_gateway_gets_nothing_of_the_former(bus: Path, another: Callable[..., Gateway]) -> None:
    with joined(bus) as (gateway, _):
        gateway.job(1, "echo", cls=wire.BULK)
        gateway.until(lambda: gateway.results)
        gateway.job(2, "sleep", {"s": 30}, cls=wire.BULK)
        gateway.until(lambda: gateway.beat().cur)
        gateway.close()
        other = another(bus, gid=16 * b"o", lane="lane-2")
        other.until(lambda: other.all(wire.Heartbeat) or other.all(wire.Hello))
        other.tell(wire.Who())
        other.until(lambda: other.all(wire.Hello))
        other.until(lambda: (b := other.beat()) and not b.held and not b.out and not b.cur)
        other.job(3, "echo")
        assert other.result(3).st == "ok" and [r.j for r in other.results] == [3]


def test_wrong_settings_of_the_children_end_the_worker_with_the_reason(bus: Path) -> None:
    (bus / "refuse").touch()
    process = start(f"ipc://{bus}", bus)
    try:
        assert process.wait(60) != 0
    finally:
        process.kill()
        process.wait()
    assert "these settings are wrong" in (bus / "worker.log").read_text()


def test_worker_whose_children_cannot_start_does_not_join_until_they_can(bus: Path) -> None:
    (bus / "die").touch()
    gateway = Gateway(bus)
    process = start(gateway.bus, bus)
    try:
        gateway.until(lambda: len(children(bus)) >= 3)
        assert not gateway.all(wire.Hello) and "before it could begin" in (bus / "worker.log").read_text()
        (bus / "die").unlink()
        gateway.until(lambda: gateway.all(wire.Hello))
        gateway.job(1, "echo")
        assert gateway.result(1).st == "ok"
    finally:
        process.kill()
        process.wait()
        gateway.close()


def test_numbers_cross_the_link_to_the_children_with_the_same_bits(bus: Path) -> None:
    with joined(bus) as (gateway, _):
        rng = np.random.default_rng(5)
        for j, n in enumerate((0, 1, 4000, 8191, 8192, 40_000), 1):
            x = rng.standard_normal(n)
            gateway.lane.send_multipart(wire.pack(wire.Job(
                j=j, a=1, tok=16 * b"t", w=gateway.worker, kind="echo", f="toy", fv="1", ms=0, n=n, options={},
                columns={"x": x, "i": np.arange(n, dtype="<i4"), "b": np.zeros((n, 3), "|u1")})))
            result = gateway.result(j)
            assert result.columns["x"].tobytes() == x.tobytes() and (result.columns["i"] == np.arange(n)).all()

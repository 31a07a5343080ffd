"""Workers are killed, stopped, resumed and drained under load; the gateway is frozen. Every job ends once, rightly."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from random import Random

import pytest
from chaos.load import Driving, ipc, kill_one, pause_until, tcp, toy_crew
from chaos.processes import Ward, send, wait_for

TTL_S = 4.0
KILLS = 12


@pytest.mark.timeout(120)
def test_twenty_thousand_jobs_survive_a_kill_every_0_4_s(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng)
    crew = toy_crew(ward, bus)
    crew.hire(6)
    driving = Driving(ward, bus, {"name": "asked", "kind": "double", "jobs": 12_000, "at_once": 24, "rate": 2500},
                      {"name": "stored", "way": "bulk", "kind": "double", "jobs": 8000, "at_once": 200, "rate": 1700}, workers=6)
    driving.until_ready()
    began = time.monotonic()
    while len(crew.kills) < KILLS and not driving.is_done():
        pause_until(began + 0.4 * (1 + len(crew.kills)))
        kill_one(driving, crew, rng)
    driving.until_done(60)
    outcome = driving.finish()
    outcome.check("asked")
    outcome.check("stored")
    rerun = outcome.rerun_s("stored", crew.kills)
    assert len(crew.kills) >= 7 and rerun and max(rerun) < 1.0, rerun
    say(f"{len(crew.kills)} kills, 20000 jobs in {outcome.span_s('asked'):.1f} s, 0 lost, "
        f"{outcome.counters['requeued_lost']} run again, the slowest {max(rerun):.2f} s after a kill, "
        f"p99 {1000 * outcome.p(99, 'asked'):.0f} ms")


@pytest.mark.timeout(90)
def test_stopped_worker_is_replaced_and_poison_is_told_from_bad_luck(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng)
    crew = toy_crew(ward, bus, "--slots", "2", "--reserve", "1")
    crew.hire(5)
    poison = sorted(rng.sample(range(200, 3000), 5))
    driving = Driving(ward, bus, {"name": "stored", "way": "bulk", "jobs": 4000, "at_once": 300, "sleep_ms": 4, "bad": poison},
                      {"name": "asked", "jobs": 10**5, "rate": 200, "at_once": 1000, "sleep_ms": 4, "until": "enough"},
                      workers=5)
    driving.until_ready()
    time.sleep(0.5)
    stopped = crew.members[0]
    moment = crew.stop(0)
    # kills around it, but not while its jobs are being run again: that is what is measured
    for later in (0.7, 1.4, 2.1, TTL_S + 1.5, TTL_S + 2.2):
        pause_until(moment + later)
        kill_one(driving, crew, rng, spare=[stopped.pid])
    pause_until(moment + TTL_S + 3.0)
    crew.resume()
    wait_for(lambda: stopped.pid in driving.ready_pids(), 10, "the stopped worker joins again")
    driving.enough()
    driving.until_done(60)
    outcome = driving.finish()
    outcome.check("asked")
    outcome.check("stored", quarantined=poison)
    rerun = max([outcome.recovery_s("asked", moment), *outcome.rerun_s("stored", [moment])])
    gone = outcome.gone_s(stopped.pid, moment)
    stall = outcome.stall_s("asked", moment, moment + TTL_S + 1.0)
    late = outcome.counters.get("results_duplicate", 0)
    assert rerun <= TTL_S + 1.0 and stall < 0.5 and late >= 1
    say(f"a worker stopped for {TTL_S + 3:.0f} s with {len(crew.kills)} kills beside it: taken for lost after {gone:.2f} s, its "
        f"jobs done after {rerun:.2f} s, {late} late results dropped, longest stall {stall:.2f} s, {len(poison)} of "
        f"{len(poison)} poison jobs quarantined, no other of {outcome.loads['asked']['begun'] + 4000}")


@pytest.mark.timeout(60)
def test_frozen_gateway_loses_and_blames_nobody(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng)
    crew = toy_crew(ward, bus)
    crew.hire(2)
    driving = Driving(ward, bus, {"name": "asked", "jobs": 2000, "at_once": 64, "sleep_ms": 2}, workers=2)
    driving.until_ready()
    time.sleep(0.5)
    send(driving.process.pid, signal.SIGSTOP)
    time.sleep(2 * TTL_S)
    send(driving.process.pid, signal.SIGCONT)
    resumed = time.monotonic()
    driving.until_done(20)
    outcome = driving.finish()
    outcome.check("asked")
    assert outcome.counters.get("workers_lost", 0) == 0
    back = max(outcome.joined_s(worker.pid, resumed) for worker in crew.members)
    say(f"2000 jobs, frozen for {2 * TTL_S:.0f} s, all workers ready {back:.2f} s after, none blamed, "
        f"{outcome.counters.get('results_duplicate', 0)} double results dropped")


@pytest.mark.timeout(90)
def test_fifty_rolling_drains_are_not_noticed(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = ipc(ward)
    crew = toy_crew(ward, bus)
    crew.hire(3)
    driving = Driving(ward, bus, {"name": "asked", "jobs": 100_000, "at_once": 12, "sleep_ms": 5, "until": "enough"}, workers=3)
    driving.until_ready()
    exits = []
    crew.hire()
    for _ in range(50):
        # the next one starts while this one joins
        crew.hire()
        wait_for(lambda: crew.members[3].pid in driving.ready_pids(), 20, "the new worker joins")
        old = crew.members.pop(0)
        began = time.monotonic()
        old.send_signal(signal.SIGTERM)
        assert old.wait(30) == 0
        exits.append(time.monotonic() - began)
    driving.enough()
    driving.until_done(20)
    outcome = driving.finish()
    outcome.check("asked")
    assert outcome.counters.get("workers_lost", 0) == 0 and outcome.counters["workers_left"] == 50
    say(f"50 drains, {outcome.loads['asked']['begun']} jobs, no failure, exits p50 {sorted(exits)[25]:.2f} s, "
        f"max {max(exits):.2f} s, {outcome.counters.get('requeued_bounce', 0)} bounced")


@pytest.mark.timeout(100)
def test_worker_told_to_end_does_so_with_a_frozen_and_with_a_dead_gateway(ward: Ward, rng: Random,
                                                                         say: Callable[[str], None]) -> None:
    bus = tcp(rng)
    crew = toy_crew(ward, bus, "--slots", "2", "--reserve", "1")
    crew.hire(2)
    driving = Driving(ward, bus, {"name": "stored", "way": "bulk", "jobs": 8, "at_once": 8, "sleep_ms": 4000}, workers=2)
    driving.until_ready()
    time.sleep(1.0)
    took = []
    for worker, harm in zip(crew.members, (signal.SIGSTOP, signal.SIGKILL), strict=True):
        send(driving.process.pid, harm)
        time.sleep(0.2)
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(40) == 0
        took.append(time.monotonic() - began)
    assert max(took) <= 30
    say(f"in the middle of jobs of 4 s: gone {took[0]:.1f} s after SIGTERM with a frozen gateway, {took[1]:.1f} s with a dead "
        "one")

"""The network between gateway and workers breaks: cut, reset, slow, silent. Nothing is lost, everybody finds back."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest
from chaos.load import Bus, Driving, Outcome, tcp, toy_crew
from chaos.namespaces import Network, missing
from chaos.processes import Ward, wait_for
from chaos.proxy import Proxy

TTL_S = 4.0
CUT_S = 8.0
DETECT_S, REJOIN_S = TTL_S + 1.0, 6.0


@pytest.mark.timeout(60)
def test_fifty_resets_and_a_slow_link_lose_nothing(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng, worker_host="127.0.0.2")
    with Proxy("127.0.0.2", "127.0.0.1", bus.all_ports) as proxy:
        crew = toy_crew(ward, bus)
        crew.hire(3)
        driving = Driving(ward, bus, {"name": "asked", "jobs": 100_000, "at_once": 24, "sleep_ms": 5, "until": "enough"},
                          workers=3)
        driving.until_ready()
        resets = 0
        while resets < 50:
            time.sleep(0.2)
            resets += proxy.reset(min(rng.choice((1, 1, 2, 5, 9)), 50 - resets), rng)
        proxy.delay_s = 0.2
        time.sleep(4.0)
        slow = driving.ready_pids()
        proxy.delay_s = 0.0
        time.sleep(1.0)
        driving.enough()
        driving.until_done(20)
        outcome = driving.finish()
    outcome.check("asked")
    assert len(slow) == 3
    say(f"{resets} resets, then 200 ms of delay each way: {outcome.loads['asked']['begun']} jobs, 0 lost, "
        f"{proxy.opened} connections, longest stall {max_stall(outcome):.2f} s, {trouble(outcome)}")


@pytest.mark.timeout(60)
def test_half_open_connections_are_noticed_and_replaced(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng, worker_host="127.0.0.2")
    with Proxy("127.0.0.2", "127.0.0.1", bus.all_ports) as proxy:
        crew = toy_crew(ward, bus)
        crew.hire(2)
        # nobody can serve for a while: let clients wait, for none to be refused
        driving = Driving(ward, bus, {"name": "asked", "jobs": 100_000, "at_once": 12, "sleep_ms": 5, "until": "enough"},
                          workers=2, options={"worker_grace_s": 60})
        driving.until_ready()
        time.sleep(0.5)
        silent = proxy.fall_silent()
        moment = time.monotonic()
        done = driving.last_event()["done"]["asked"]
        wait_for(lambda: driving.last_event()["done"]["asked"] > done + 400, DETECT_S + REJOIN_S, "work goes on", 0.1)
        driving.enough()
        driving.until_done(20)
        outcome = driving.finish()
    outcome.check("asked")
    # a worker may be back before it was given up, so what counts is that its jobs and new ones are done
    rerun, served = outcome.recovery_s("asked", moment), outcome.served_s("asked", moment, 300)
    assert silent >= 6 and rerun < DETECT_S + REJOIN_S and served < DETECT_S + REJOIN_S
    say(f"{silent} connections fell silent: what was under way done after {rerun:.2f} s, 300 new jobs after {served:.2f} s, "
        f"{outcome.loads['asked']['begun']} jobs, 0 lost, {trouble(outcome)}")


@pytest.mark.timeout(120)
def test_partitions_between_hosts_are_noticed_and_mended(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    if reason := missing():
        pytest.skip(reason)
    cuts = []
    with Network() as network:
        bus = Bus(f"tcp://{network.addresses['gw']}:5573", {"results_port": 5572, "lane_ports": [5600, 5699]})
        crews = []
        for place in ("w1", "w2"):
            made = ward.command("keys", "new", place, "--data", str(ward.folder), log="keys.log")
            assert made.wait(20) == 0, ward.log("keys.log")
            crew = toy_crew(ward, bus, "--key", str(ward.folder / f"{place}.key"), prefix=network.inside(place))
            crew.hire(2)
            crews.append(crew)
        driving = Driving(ward, bus, {"name": "asked", "jobs": 10**6, "at_once": 24, "sleep_ms": 5, "until": "enough"},
                          workers=4, prefix=network.inside("gw"), keys=str(ward.folder / "keys"), options={"worker_grace_s": 60})
        driving.until_ready()
        for cut, mend, place, crew in ((network.unplug, network.plug, "w1", crews[0]), (network.down, network.up, "gw", None)):
            time.sleep(1.0)
            cut(place)
            begin = time.monotonic()
            time.sleep(CUT_S)
            mend(place)
            cuts.append((begin, time.monotonic(), crew))
            everybody = {worker.pid for one in crews for worker in one.members}
            wait_for(lambda everybody=everybody: driving.ready_pids() == everybody, REJOIN_S, "all workers are back")
        time.sleep(1.0)
        driving.enough()
        driving.until_done(20)
        outcome = driving.finish()
    outcome.check("asked")
    said = []
    for begin, mended, crew in cuts:
        cut_off = [worker.pid for one in ([crew] if crew else crews) for worker in one.members]
        detected = max(outcome.gone_s(pid, begin) for pid in cut_off)
        back = max(outcome.joined_s(pid, mended) for pid in cut_off)
        assert detected <= DETECT_S and back <= REJOIN_S, (detected, back)
        if crew:
            # what the other host has must go on, and what the lost one had is run again
            assert outcome.recovery_s("asked", begin) <= DETECT_S
        said.append(f"{len(cut_off)} workers noticed after {detected:.1f} s, back {back:.1f} s after mending")
    say(f"two cuts of {CUT_S:.0f} s: {'; '.join(said)}; {outcome.loads['asked']['begun']} jobs, 0 lost, {trouble(outcome)}")


def max_stall(outcome: Outcome) -> float:
    """Return the longest time without any job ending."""
    begin, end = outcome.bounds("asked")
    return outcome.stall_s("asked", begin, end)


def trouble(outcome: Outcome) -> dict[str, int]:
    """Return the counters that tell of trouble."""
    wanted = ("requeued", "workers_", "results_duplicate", "results_forged")
    return {name: count for name, count in outcome.counters.items() if name.startswith(wanted)}

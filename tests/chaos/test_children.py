"""Jobs that crash, hang or exhaust the process that computes them: each is blamed alone, the worker goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

import pytest
from chaos.load import Driving, ipc, toy_crew
from chaos.processes import Ward

WAYS = {"die-abort": "worker_crash", "die-segv": "worker_crash", "die-bus": "worker_crash", "die-kill": "worker_crash",
        "die-stack": "worker_crash", "die-memory": "memory_limit", "die-loop": "compute_timeout", "die-gil": "compute_timeout"}
ASKED = ("die-segv", "die-bus", "die-memory", "die-loop")


@pytest.mark.timeout(90)
def test_twelve_ways_to_die_are_blamed_on_their_jobs_alone(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = ipc(ward)
    crew = toy_crew(ward, bus, "--slots", "5", "--reserve", "2", "--memory-mb", "300")
    crew.hire(1)
    stored, asked = rng.sample(range(100, 900), len(WAYS)), rng.sample(range(50, 400), len(ASKED))
    driving = Driving(
        ward, bus, {"name": "stored", "way": "bulk", "jobs": 1000, "at_once": 20, "sleep_ms": 2,
                    "kinds": dict(zip(map(str, stored), WAYS, strict=True))},
        {"name": "asked", "jobs": 20_000, "at_once": 2, "rate": 100, "until": "stored", "least": 400,
         "kinds": dict(zip(map(str, asked), ASKED, strict=True))},
        workers=1, options={"limits_s": [2.0, 2.0]})
    driving.until_ready()
    began = time.monotonic()
    driving.until_done(70)
    took = time.monotonic() - began
    worker, = crew.members
    assert worker.poll() is None
    outcome = driving.finish()
    outcome.check("stored", quarantined=stored)
    assert outcome.failures("stored") == dict(zip(stored, WAYS.values(), strict=True))
    assert outcome.failures("asked") == dict.fromkeys(asked, "crashed")
    outcome.check("asked", refused=asked)
    assert {pid for event in outcome.events for pid in event["workers"]} == {str(worker.pid)}
    assert outcome.counters.get("workers_lost", 0) == 0
    say(f"{len(stored)} stored and {len(asked)} asked jobs died in {len(WAYS)} ways, 3 times each, in {took:.1f} s; "
        f"{outcome.loads['stored']['begun'] + outcome.loads['asked']['begun'] - 12} others right, one worker all the time, "
        f"p99 of asked {1000 * outcome.p(99, 'asked'):.0f} ms")

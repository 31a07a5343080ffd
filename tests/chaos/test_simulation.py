"""Ten thousand schedules of faults, played on the real state machines of both sides in virtual time."""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from chaos.simulation import play

SCHEDULES = 10_000


def run(seeds: list[int]) -> tuple[Counter[str], list[str]]:
    """Play some schedules; return what happened in them, and what went wrong."""
    logging.disable(logging.CRITICAL)
    seen: Counter[str] = Counter()
    wrong = []
    for seed in seeds:
        try:
            world = play(seed)
        except Exception as error:
            wrong.append(f"CF_CHAOS_SEED={seed}: {type(error).__name__}: {error}")
            continue
        seen.update(world.hub.counters())
        seen["faults"] += len(world.faults)
        seen["commits"] += world.store.commits
        seen["restarts"] += world.epoch - 1
    return seen, wrong


@pytest.mark.timeout(400)
def test_ten_thousand_schedules_of_faults_lose_nothing_and_invent_nothing():
    if "CF_CHAOS_SEED" in os.environ:
        seeds = [int(os.environ["CF_CHAOS_SEED"])]
    else:
        first = random.SystemRandom().randrange(10**9)
        seeds = list(range(first, first + SCHEDULES))
    print(f"schedules {seeds[0]} to {seeds[-1]}; one alone: CF_CHAOS_SEED=NUMBER")
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for counts, faults in pool.map(run, [seeds[k:k + 250] for k in range(0, len(seeds), 250)]):
            seen.update(counts)
            wrong += faults
    print(dict(seen))
    assert not wrong, f"{len(wrong)} schedules of {len(seeds)} went wrong: {wrong[:5]}"
    if len(seeds) == SCHEDULES:
        # a simulation in which nothing goes wrong proves nothing
        for what in ("restarts", "adopted", "workers_lost", "requeued_crash", "requeued_timeout", "requeued_missing",
                     "requeued_bounce", "results_duplicate", "jobs_quarantined", "jobs_cancelled", "requeued_lost"):
            assert seen[what] > 100, f"{what} happened {seen[what]} times in {SCHEDULES} schedules"

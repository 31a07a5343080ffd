"""Whole posteriors: ours end to end, `FlowField.distance`, against the loops people write; then in two threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import Distances

from . import ensemble, ours, peers, questions
from .made_field import Made, make
from .questions import Line, Objects, options
from .timing import BUSY, Contender, Idle, duel, lap
from .verdict import NOT_INSTALLED, Ratio, missing

F64 = NDArray[np.float64]

NODES = 128
JUDGED: dict[str, tuple[str, int, float, float]] = {
    "rgi_loop": ("scipy", 20, 700, 300), "map_coordinates_batch": ("scipy", 500, 170, 80), "numba": ("numba", 1000, 20, 10)}
"""peer -> (package, objects a call, target, floor)."""
THREADS, TARGET, FLOOR = 2, 1.9, 1.6


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure one realisation, then threads, then an ensemble."""
    n, seconds = (2_000, 0.3) if quick else (10_000, 1.0)
    made, line, objects = make(NODES), Line.make(), Objects.make(n)
    times: dict[str, Any] = {}
    ratios = []
    work = ours.posteriors(made.field, objects.lon, objects.lat, objects.cz, options())
    mine, expected = Contender(work, n), table(work())
    for name, (package, count, target, floor) in JUDGED.items():
        title = f"posterior_vs_{name}"
        if not peers.installed(package):
            ratios.append(missing(title, target, floor, package))
            continue
        theirs = peer(name, made, line, objects.first(count))
        agree(title, theirs(), expected[:count])
        result = duel(mine, Contender(theirs, count), seconds)
        times[name], times["ours"] = micro(result.peer), min(times.get("ours", np.inf), micro(result.ours))
        ratios.append(Ratio(title, result.ratio, target, floor))
    facts: dict[str, Any] = {"objects": n, "lattice": f"{NODES}^3", "steps": len(line.r) - 1, "prior": "volume", "threads": 1,
                             "us_per_object": times, "density_prior": density(made, line, objects, seconds)}
    facts["two_threads"], ratio = threads(made, Objects.make(max(n, 20_000)), seconds)
    del made
    facts["ensemble"], more = ensemble.measure(quick)
    return facts, [*ratios, ratio, *more]


def peer(name: str, made: Made, line: Line, objects: Objects, prior: str = "volume") -> Callable[[], F64]:
    """Return the work of a peer, its library loaded now."""
    if name == "numba":
        from .numba_posterior import fused
        return fused(made, line, objects, prior)
    from . import posterior_peers
    return {"rgi_loop": posterior_peers.regular_grid_loop,
            "map_coordinates_batch": posterior_peers.map_coordinates_batch}[name](made, line, objects)


def table(answer: Distances) -> F64:
    """Return our answer in the columns all contenders give, shape (n, 10)."""
    if answer.status.any():
        raise AssertionError("an object of the benchmark was not answered")
    return np.stack([answer.column(name) for name in questions.SUMMARY], axis=1)


def agree(title: str, theirs: F64, expected: F64) -> None:
    """Raise AssertionError where two contenders differ by more than storage in float32 explains."""
    worst = np.abs(theirs - expected).max(axis=0)
    bad = ~(worst <= questions.TOLERANCE)
    if bad.any():
        raise AssertionError(f"{title}: the answers differ: " + ", ".join(
            f"{questions.SUMMARY[i]} by {worst[i]:.2g}" for i in np.flatnonzero(bad)))


def density(made: Made, line: Line, objects: Objects, seconds: float) -> dict[str, Any]:
    """Measure the prior that follows the density, which needs the whole line of sight of ours too; for information."""
    work = ours.posteriors(made.field, objects.lon, objects.lat, objects.cz, options("density"))
    expected = table(work())
    if not peers.installed("numba"):
        alone = lap(Contender(work, len(objects.cz)), time.process_time, 3)
        return {"us_per_object": {"ours": micro(alone)}, "ratio_numba": NOT_INSTALLED}
    few = objects.first(1000)
    theirs = peer("numba", made, line, few, "density")
    agree("density prior", theirs(), expected[:1000])
    result = duel(Contender(work, len(objects.cz)), Contender(theirs, 1000), 0.5 * seconds)
    return {"us_per_object": {"ours": micro(result.ours), "numba": micro(result.peer)}, "ratio_numba": round(result.ratio, 2)}


def threads(made: Made, objects: Objects, seconds: float) -> tuple[dict[str, Any], Ratio]:
    """Compare two threads with one, both ours, on the wall; not judged where the second processor was not free."""
    def skipped(why: str) -> Ratio:
        return Ratio("posterior_2_threads_vs_1", None, TARGET, FLOOR, why=f"skipped: {why}")

    if not ours.has_threads():
        return {}, skipped("this version has no threads=")
    if (os.cpu_count() or 1) < THREADS:
        return {}, skipped("one processor")
    one, two = (Contender(ours.posteriors(made.field, objects.lon, objects.lat, objects.cz, options(), count), len(objects.cz))
                for count in (1, THREADS))
    two.work()
    time.sleep(0.05)
    with Idle() as spell:
        result = duel(two, one, seconds, one_thread=False, least=5)
    facts = {"objects": len(objects.cz), "us_per_object": {"1": micro(result.peer), "2": micro(result.ours)},
             "ratio": round(result.ratio, 3), "idle": spell.idle, "taken_by_others": spell.others}
    if (spell.others or 0.0) > BUSY / 3:
        return facts, skipped(f"others took {spell.others:.0%} of the processors ({result.ratio:.2f}x seen)")
    return facts, Ratio("posterior_2_threads_vs_1", result.ratio, TARGET, FLOOR)


def micro(seconds: float) -> float:
    """Return microseconds to three digits."""
    return float(f"{seconds * 1e6:.3g}")

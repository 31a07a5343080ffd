"""Random points and lines of sight: ours against the interpolators people use, and against the memory itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from . import machine, ours, peers
from .made_field import Made, make
from .timing import Contender, duel, lap
from .verdict import Ratio, missing

TOLERANCE = 1e-5
"""Agreement asked of everybody, in units of the greatest |v| (and of the greatest density)."""
LINES_PER_POINT = 5
"""Cache lines under the eight corners of a cell: four pairs of 32 bytes, every fourth of them on two lines."""
JUDGED: dict[int, dict[str, tuple[float, float]]] = {
    128: {"numba": (7, 4), "interpn": (15, 8), "map_coordinates": (40, 20), "rgi": (75, 40)},
    64: {"numba": (3, 2), "interpn": (10, 5)}}
"""nodes -> peer -> (target, floor)."""
MEMORY = ("points_256_vs_memory_limit", 0.95, 0.7)


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure points on three sizes of lattice, and lines of sight on one."""
    n = 100_000 if quick else 1_000_000
    seconds = 0.3 if quick else 1.0
    facts: dict[str, Any] = {"points": n, "threads": 1, "ns_per_point": {}, "memory": {}}
    ratios: list[Ratio] = []
    for nodes, judged in JUDGED.items():
        made = make(nodes)
        times, found = points(made, n, judged, seconds)
        facts["ns_per_point"][f"{nodes}^3"] = times
        ratios += found
        if nodes == 128:
            facts["ns_per_sample"], ratio = sightlines(made, n, seconds)
            ratios.append(ratio)
    del made
    facts["memory"], ratio = memory(n, seconds, quick)
    return facts, [*ratios, ratio]


def points(made: Made, n: int, judged: dict[str, tuple[float, float]], seconds: float) -> tuple[dict[str, Any], list[Ratio]]:
    """Check that a peer agrees with us, then run against it; for each of the judged peers."""
    xyz = _inside(made, n)
    work = ours.points(made.field, xyz)
    mine = Contender(work, n)
    answer = work()
    expected = np.concatenate([answer.v_pec[:, :, 0], 1.0 + answer.overdensity], axis=1)
    scale = np.array([made.v_max] * 3 + [made.cells[..., 3, 0].max()])
    times: dict[str, Any] = {"velocity_at": _ns(lap_of(ours.velocities(made.field, xyz), n))}
    ratios = []
    for name, (target, floor) in judged.items():
        title = f"points_{made.n}_vs_{name}"
        package, maker = peers.MAKERS[name]
        if not peers.installed(package):
            ratios.append(missing(title, target, floor, package))
            continue
        theirs, left = maker(made, xyz)
        theirs()
        worst = float((np.abs(left() - expected) / scale).max())
        if not worst <= TOLERANCE:
            raise AssertionError(f"{title}: the answers differ by {worst:.2g} of the greatest value")
        result = duel(mine, Contender(theirs, n), seconds)
        times[name], times["ours"] = _ns(result.peer), min(times.get("ours", np.inf), _ns(result.ours))
        ratios.append(Ratio(title, result.ratio, target, floor))
    return times, ratios


def sightlines(made: Made, n: int, seconds: float) -> tuple[dict[str, float], Ratio]:
    """Compare a sample on a line of sight with a random point, both ours."""
    rng = np.random.default_rng(11)
    r = np.arange(512) * 0.25
    count = n // len(r)
    lon, lat = rng.uniform(0, 360, count), np.rad2deg(np.arcsin(rng.uniform(-1, 1, count)))
    along = ours.sightlines(made.field, lon, lat, r)
    at = ours.points(made.field, _inside(made, n))
    line, lam, phi = along(), np.deg2rad(lon[0]), np.deg2rad(lat[0])
    to = np.array([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])
    v_rad = made.field.sample_at(r[:, None] * to).v_pec[:, :, 0] @ to
    if not np.abs(line.v_rad[0] - v_rad).max() <= TOLERANCE * made.v_max:
        raise AssertionError("a line of sight differs from the points on it")
    result = duel(Contender(along, count * len(r)), Contender(at, n), seconds)
    return ({"ray": _ns(result.ours), "random_point": _ns(result.peer)},
            Ratio("ray_sample_vs_random_point", result.ratio, 3.5, 2))


def memory(n: int, seconds: float, quick: bool) -> tuple[dict[str, Any], Ratio]:
    """Hold points on a lattice far larger than any cache to the time of the cache lines they touch."""
    made = make(256, planes=False)
    read, lines = machine.random_line(made.cells)
    result = duel(Contender(ours.points(made.field, _inside(made, n)), n), Contender(read, lines), seconds)
    facts = {"ours_ns_per_point_256^3": _ns(result.ours), "random_line_ns": _ns(result.peer),
             "by": "numba" if peers.installed("numba") else "numpy gather"}
    if not quick:
        latency = machine.latency_ns()
        facts |= {"random_latency_ns": None if latency is None else round(latency, 1),
                  "stream_gb_per_s": round(machine.stream_gb_per_s(), 1)}
    if not peers.installed("numba"):
        # a gather of NumPy's takes twice the time of the memory itself: worth stating, no limit to judge by
        return facts, missing(MEMORY[0], *MEMORY[1:], "numba")
    return facts, Ratio(MEMORY[0], LINES_PER_POINT * result.ratio, *MEMORY[1:])


def lap_of(work: Callable[[], object], units: int) -> float:
    """Return the processor seconds a unit of one call, after one that is not counted."""
    work()
    return lap(Contender(work, units), time.process_time)


def _inside(made: Made, n: int) -> np.ndarray:
    far = made.origin + (made.n - 1) * made.spacing
    return np.random.default_rng(10).uniform(made.origin, far, (n, 3))


def _ns(seconds: float) -> float:
    return float(f"{seconds * 1e9:.3g}")

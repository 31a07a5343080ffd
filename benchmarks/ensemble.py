"""Posteriors over 57 realisations: the mixture of all, as an ensemble of constrained fields gives it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import ours, peers, posterior
from .made_field import make
from .questions import Line, Objects, options
from .timing import Contender, duel
from .verdict import Ratio, missing

REALISATIONS = 57
JUDGED: dict[str, tuple[str, int, float, float]] = {"numba": ("numba", 20, 50, 25), "scipy_loop": ("scipy", 2, 600, 250)}
"""peer -> (package, objects a call, target, floor)."""
NEEDED_GB = 4.0
"""The cells of 128^3 nodes (2.1 GB), which all contenders share, and room."""


def measure(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Run against a compiled loop and against SciPy; on 64^3 when quick or where memory is short."""
    nodes = 64 if quick or free_gb() < NEEDED_GB else 128
    n, seconds = (200, 0.3) if quick else (1_000, 1.0)
    made, line, objects = make(nodes, realisations=REALISATIONS), Line.make(), Objects.make(n)
    work = ours.posteriors(made.field, objects.lon, objects.lat, objects.cz, options())
    expected = posterior.table(work())
    times: dict[str, float] = {}
    ratios = []
    for name, (package, count, target, floor) in JUDGED.items():
        title = f"posterior_R{REALISATIONS}_vs_{name}"
        if not peers.installed(package):
            ratios.append(missing(title, target, floor, package))
            continue
        few = objects.first(count)
        if name == "numba":
            theirs = posterior.peer(name, made, line, few)
        else:
            from .posterior_peers import map_coordinates_ensemble
            theirs = map_coordinates_ensemble(made, line, few)
        posterior.agree(title, theirs(), expected[:count])
        result = duel(Contender(work, n), Contender(theirs, count), seconds)
        times[name], times["ours"] = posterior.micro(result.peer), posterior.micro(result.ours)
        ratios.append(Ratio(title, result.ratio, target, floor))
    return {"lattice": f"{nodes}^3", "realisations": REALISATIONS, "objects": n, "us_per_object": times}, ratios


def free_gb() -> float:
    """Return the memory that can be had without swapping; 0 where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) / 2 ** 20
    except OSError:
        pass
    return 0.0

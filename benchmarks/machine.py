"""What the machine itself can do: the line one cannot get below, measured beside the work that is held to it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .peers import installed

LINE = 16
"""float32 numbers in a cache line of 64 bytes."""
PEERS = ("numpy", "scipy", "numba", "interpn", "flask", "rq", "redis")


def about() -> dict[str, object]:
    """Return the processor, the number of cores and the versions of everything measured."""
    return {"machine": _model(), "cores": os.cpu_count(), "python": platform.python_version(),
            **{name: _version(name) for name in PEERS}}


def random_line(memory: NDArray[np.float32], count: int = 2_000_000) -> tuple[Callable[[], object], int]:
    """Return the work of reading random cache lines, many in flight at once, and how many lines one call reads.

    Parameters
    ----------
    memory : ndarray of float32
        The very cells that are interpolated in, so that both meet the same pages and the same cache.
    """
    lines = memory.reshape(-1)[: memory.size // LINE * LINE].reshape(-1, LINE)
    places = np.random.default_rng(5).integers(0, len(lines), count).astype(np.uint32)
    if not installed("numba"):
        first = lines[:, 0]
        return (lambda: first[places]), count
    import numba

    def read(lines: NDArray[np.float32], places: NDArray[np.uint32]) -> float:
        # four sums: the processor keeps as many reads in flight as it can
        a = b = c = d = np.float32(0)
        for q in range(0, len(places) - 3, 4):
            a += lines[places[q], 0]
            b += lines[places[q + 1], 0]
            c += lines[places[q + 2], 0]
            d += lines[places[q + 3], 0]
        return a + b + c + d

    compiled = numba.njit(read)
    return (lambda: compiled(lines, places)), count


def latency_ns(megabytes: int = 128, steps: int = 300_000) -> float | None:
    """Return the nanoseconds of a random read that waits for the one before; None without numba."""
    if not installed("numba"):
        return None
    import numba

    count = megabytes * 2 ** 20 // 64
    order = np.random.default_rng(6).permutation(count).astype(np.int64)
    chain = np.zeros((count, 8), np.int64)
    chain[order, 0] = np.roll(order, -1)

    def follow(chain: NDArray[np.int64], at: int, steps: int) -> int:
        for _ in range(steps):
            at = chain[at, 0]
        return at

    compiled = numba.njit(follow)
    return _best(lambda: compiled(chain, 0, steps), 3) / steps * 1e9


def stream_gb_per_s(megabytes: int = 128) -> float:
    """Return how fast one core reads memory from one end to the other."""
    row = np.ones(megabytes * 2 ** 20 // 8)
    work: Callable[[], object] = lambda: np.dot(row, row)
    return row.nbytes / _best(work, 5) / 1e9


def _best(work: Callable[[], object], rounds: int) -> float:
    work()
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

"""Time two contenders in turns, and tell how much of the machine others took meanwhile."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

BUSY = 0.15
"""Share of the machine in other hands from which a run is called busy."""
_STAT = Path("/proc/stat")


class Contender(NamedTuple):
    """Hold one piece of work and how many units (points, objects, requests) one call of it does."""

    work: Callable[[], object]
    units: int


class Duel(NamedTuple):
    """Hold what a duel found."""

    ratio: float
    """Median over the rounds of peer's over our seconds a unit: above 1, ours is the faster."""
    ours: float
    """Median seconds a unit."""
    peer: float
    rounds: int


def pairwise(ours: list[float], peer: list[float]) -> float:
    """Return the median of the ratios peer/ours, each of two neighbours in time."""
    return statistics.median(p / o for o, p in zip(ours, peer, strict=True))


def lap(contender: Contender, clock: Callable[[], float], calls: int = 1) -> float:
    """Return the seconds a unit that some calls in a row took."""
    began = clock()
    for _ in range(calls):
        contender.work()
    return (clock() - began) / (calls * contender.units)


def duel(ours: Contender, peer: Contender, seconds: float, *, one_thread: bool = True, least: int = 3,
         most: int = 15) -> Duel:
    """Run ours, peer, ours, peer ... until the time is spent.

    Parameters
    ----------
    ours, peer : Contender
    seconds : float
        Time for all rounds together; the least number of rounds is run anyhow.
    one_thread : bool
        Count the processor seconds of this process, which do not grow while a neighbour holds the core; otherwise the
        seconds on the wall, which is what several threads are for.
    least, most : int
        Bounds of the number of rounds.

    Notes
    -----
    Both should have run before, which a check of their answers sees to; one more call of each only tells how long it
    takes. A contender quicker than 10 ms is called several times in a row, so that the clock and a single interruption
    do not count.
    """
    clock = time.process_time if one_thread else time.perf_counter
    calls = []
    for contender in (ours, peer):
        once = lap(contender, time.perf_counter) * contender.units
        calls.append(max(1, round(0.01 / max(once, 1e-7))))
    mine: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + seconds
    while len(mine) < least or (len(mine) < most and time.perf_counter() < end):
        mine.append(lap(ours, clock, calls[0]))
        theirs.append(lap(peer, clock, calls[1]))
    return Duel(pairwise(mine, theirs), statistics.median(mine), statistics.median(theirs), len(mine))


class Idle:
    """Measure, from entering to leaving a block, who used the processors.

    Attributes
    ----------
    idle : float or None
        Share of all processors' time that nobody used; None where /proc/stat is not there.
    others : float or None
        Share that went to anybody but this process and the children it has waited for.
    """

    idle: float | None = None
    others: float | None = None

    def __enter__(self) -> Idle:
        self._began, self._own = _jiffies(), _own_seconds()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        now = _jiffies()
        if self._began is None or now is None or now[1] == self._began[1]:
            return
        total = (now[1] - self._began[1]) / os.sysconf("SC_CLK_TCK")
        idle = (now[0] - self._began[0]) / os.sysconf("SC_CLK_TCK")
        self.idle = round(idle / total, 3)
        self.others = round(max(0.0, total - idle - (_own_seconds() - self._own)) / total, 3)


def watch(seconds: float = 0.5) -> Idle:
    """Do nothing for a moment, and return how idle the machine is."""
    with Idle() as spell:
        time.sleep(seconds)
    return spell


def _jiffies() -> tuple[int, int] | None:
    """Return (idle, total) clock ticks of all processors since the start of the machine."""
    try:
        ticks = [int(word) for word in _STAT.read_text().splitlines()[0].split()[1:9]]
    except (OSError, ValueError, IndexError):
        return None
    return ticks[3] + ticks[4], sum(ticks)


def _own_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in
               (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)))

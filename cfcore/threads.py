"""Share rows among threads: the loops run without the interpreter lock, so plain threads use every core."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from itertools import count

import numpy as np
from numpy.typing import NDArray

from .errors import BadParameter

THREADS_MAX = 256
_kept = threading.local()


def spread(work: Callable[[int, int], None], n: int, threads: int, grain: int) -> None:
    """Call ``work(begin, end)`` until rows 0..n-1 are done.

    Parameters
    ----------
    work : callable
        Does rows begin..end-1 and holds no lock meanwhile.
    n : int
    threads : int
        How many threads take part; 0: one per core. A table of one `grain` runs inline: starting a thread costs more.
    grain : int
        Rows a thread takes at a time; whoever is free takes the next.

    Raises
    ------
    BadParameter
        When `threads` is not 0 ... 256.
    """
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or not 0 <= threads <= THREADS_MAX:
        raise BadParameter(f"threads = {threads!r:.40} is not a number 0 ... {THREADS_MAX} (0: one per core)",
                           code="out_of_range", where="threads")
    # the affinity of the process, not the cores of the machine: containers get fewer
    wanted = threads or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
    if wanted == 1 or n <= grain:
        work(0, n)
        return
    turns, faults = count(), []

    def take() -> None:
        try:
            while (begin := next(turns) * grain) < n:
                work(begin, min(begin + grain, n))
        except BaseException as exc:  # handed to the caller below
            faults.append(exc)

    team = [threading.Thread(target=take, daemon=True) for _ in range(min(wanted, -(-n // grain)) - 1)]
    for member in team:
        member.start()
    take()
    for member in team:
        member.join()
    if faults:
        raise faults[0]


def scratch_of(size: int) -> NDArray[np.uint8]:
    """Return this thread's scratch of at least `size` bytes; its contents are left over from the last use."""
    scratch: NDArray[np.uint8] | None = getattr(_kept, "scratch", None)
    if scratch is None or len(scratch) < size:
        scratch = _kept.scratch = np.empty(size, np.uint8)
    return scratch

"""Token buckets, many at once: each holds so much, and fills again with time. In memory, bounded, one clock reading a call."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

KEPT = 100_000


class Buckets:
    """Keep the buckets that are not full; one that nobody knows is full.

    Parameters
    ----------
    kept : int
        How many; beyond that the one that was asked for longest ago is forgotten, and so is full again.
    clock : callable
        Gives seconds.
    """

    def __init__(self, kept: int = KEPT, clock: Callable[[], float] = monotonic) -> None:
        self._kept, self._clock = kept, clock
        self._levels: OrderedDict[str, tuple[float, float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: str, amount: float, capacity: float, seconds: float) -> tuple[float, float]:
        """Take an amount out of a bucket that fills within some seconds, if it holds so much.

        Returns
        -------
        (float, float)
            What it holds now, and for how many seconds one has to wait until the amount is there: 0 when it was taken.
        """
        now = self._clock()
        level = self._level(key, capacity, seconds, now)
        wait = (amount - level) * seconds / capacity
        if wait <= 0.0:
            level -= amount
            wait = 0.0
        self._levels[key] = level, now, capacity
        self._levels.move_to_end(key)
        if len(self._levels) > self._kept:
            self._levels.popitem(last=False)
        return level, wait

    def give_back(self, key: str, amount: float) -> None:
        """Put back what was taken for nothing."""
        found = self._levels.get(key)
        if found is not None:
            level, since, capacity = found
            self._levels[key] = min(capacity, level + amount), since, capacity

    def _level(self, key: str, capacity: float, seconds: float, now: float) -> float:
        found = self._levels.get(key)
        if found is None:
            return capacity
        level, since, before = found
        if before != capacity:  # it was made larger or smaller meanwhile: what was used of it stays used
            level = max(0.0, level + capacity - before)
        return min(capacity, level + (now - since) * capacity / seconds)


def whole_seconds(wait: float) -> int:
    """Return a time to wait as the whole number of seconds after which it is certainly over; at least one."""
    return max(1, math.ceil(wait))

"""How fast work goes, from the time its computation takes; what is long ago fades."""

from __future__ import annotations

from math import exp

MEMORY_S = 10.0
"""What was computed this many seconds of computing ago counts a third of what is computed now."""

MEASURED_S = 0.1
"""Less computing than this is no measure: the first rows of a process pay for opening files and filling caches."""


class Pace:
    """Measure one class of work.

    Time on the clock would say nothing: ten tiny jobs that come one after the other keep nobody busy.
    """

    def __init__(self) -> None:
        self._rows = self._seconds = 0.0
        self._run_s: float | None = None

    def done(self, rows: int, run_s: float) -> None:
        """Note a job that has ended well, and how long it was computed."""
        fade = exp(-run_s / MEMORY_S)
        self._rows = self._rows * fade + rows
        self._seconds = self._seconds * fade + run_s
        self._run_s = run_s if self._run_s is None else self._run_s + 0.1 * (run_s - self._run_s)

    @property
    def rows_per_s(self) -> float | None:
        """How many rows one slot computes in a second; None before enough has been computed to tell."""
        return self._rows / self._seconds if self._seconds >= MEASURED_S else None

    @property
    def run_s(self) -> float | None:
        """How long a job is computed, newer ones counting more."""
        return self._run_s

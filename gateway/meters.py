"""What is counted as it happens: durations in buckets, and a few labelled counts. Plain numbers, no lock, no library.

All of it lives on the event loop, so nothing here is locked; an observation costs less than a microsecond. What others keep
books of anyway (jobs, requeues, workers) is not counted a second time here: `vitals` reads it from them. The names that
Prometheus sees stand here too, so that one table tells what can be measured.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

QUICK_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
LONG_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
CLASSES = ("interactive", "bulk")
OTHER = "other"
LABELS_MAX = 250
"""Label sets of one family; whatever clients and workers send, what comes later is counted as `OTHER`."""


@dataclass(frozen=True)
class Times:
    """Describe durations: their name outside, what they say, the one label, its known values, the buckets in seconds."""

    name: str
    text: str
    bounds: tuple[float, ...] = QUICK_S
    label: str = ""
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Counts:
    """Describe a count: its name outside, what it says, its labels."""

    name: str
    text: str
    labels: tuple[str, ...]


TIMES: dict[str, Times] = {
    "job_queue": Times("cf_job_queue_seconds", "From the queue to the first worker that took the job", LONG_S, "class", CLASSES),
    "job_run": Times("cf_job_run_seconds", "Compute time of a job, as the worker measured it", LONG_S, "class", CLASSES),
    "commit": Times("cf_commit_seconds", "One group commit of the job store, from its first operation to the disk"),
    "heartbeat_lag": Times("cf_heartbeat_lag_seconds", "How much later than agreed the heartbeat of a worker came"),
    "loop_lag": Times("cf_loop_lag_seconds", "How much later than due the gateway's event loop ran a timer")}
HTTP = Times("cf_http_request_seconds", "From the head of a request to its answer, by route pattern", label="route")
COUNTS: dict[str, Counts] = {
    "rows": Counts("cf_rows_total", "Rows computed, by kind of question and field", ("product", "field"))}


class Series:
    """Hold the buckets of one label value: how many fell into each, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0

    @classmethod
    def sum(cls, parts: Sequence[Series]) -> Series:
        """Return several added up."""
        made = cls(0)
        made.counts = [sum(column) for column in zip(*(part.counts for part in parts))]
        made.total = sum(part.total for part in parts)
        return made


class Meters:
    """Count what happens. Whoever is given none makes its own, which nobody reads."""

    def __init__(self) -> None:
        self.times: dict[str, dict[str, Series]] = {what: {} for what in TIMES}
        self.http: dict[tuple[str, int], Series] = {}
        self.counts: dict[str, dict[tuple[str, ...], int]] = {what: {} for what in COUNTS}
        for what, family in TIMES.items():
            for label in family.known or (() if family.label else ("",)):
                self.times[what][label] = Series(len(family.bounds))

    def observe(self, what: str, seconds: float, label: str = "") -> None:
        """Enter a duration of one of `TIMES`."""
        series = self.times[what].get(label) or self._enter(what, label)
        series.counts[bisect_left(TIMES[what].bounds, seconds)] += 1
        series.total += seconds

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Enter an HTTP answer: how often each (route pattern, status) occurs, and how long they take."""
        series = self.http.get((route, status))
        if series is None:
            key = (route, status) if len(self.http) < LABELS_MAX else (OTHER, status // 100 * 100)
            series = self.http.setdefault(key, Series(len(HTTP.bounds)))
        series.counts[bisect_left(HTTP.bounds, seconds)] += 1
        series.total += seconds

    def count(self, what: str, labels: tuple[str, ...], n: int = 1) -> None:
        """Enter `n` events of one of `COUNTS`."""
        held = self.counts[what]
        if labels not in held:
            if len(held) >= LABELS_MAX:
                labels = (OTHER,) * len(labels)
            held.setdefault(labels, 0)
        held[labels] += n

    def _enter(self, what: str, label: str) -> Series:
        held, family = self.times[what], TIMES[what]
        if family.known or len(held) >= LABELS_MAX:
            label = OTHER
        return held.setdefault(label, Series(len(family.bounds)))

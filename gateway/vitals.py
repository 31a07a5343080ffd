"""How the service is: what the dispatcher, the job store and the meters know, read together and said in plain numbers.

Autoscalers, metrics, administrators and `cosmicflows doctor` all look through this one window. Nothing is counted here, so
nothing can disagree with those who keep the books.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import cfcore

from .meters import Meters

KEPT_S = 0.25
"""How old the numbers of `stats` may be: anybody may ask for them, as often as they like."""
ASSUMED_ROWS_PER_S = 50_000.0
"""What one slot is taken to do while nothing has been measured: posteriors over a short line of sight on one core."""
WORKER_STATES = ("ready", "draining", "unreachable")


class Pool(Protocol):
    """What is asked of the dispatcher."""

    @property
    def epoch(self) -> int:
        """Which start of a durable gateway this is; 0 when nothing is durable."""

    def counters(self) -> dict[str, int]:
        """Return every count since the start."""

    def workers(self) -> list[dict[str, Any]]:
        """Describe the connected workers."""

    def rates(self) -> Mapping[str, float | None]:
        """Return rows a second by class, as measured."""

    def backlog(self) -> Mapping[str, Any]:
        """Return what waits: jobs, rows, and seconds where a rate is known."""

    def standing(self) -> Mapping[tuple[str, str], int]:
        """Return the jobs that have not ended, by (class, ``queued`` or ``leased``)."""


class Store(Protocol):
    """What is asked of the job store."""

    def counts(self) -> Mapping[str, int]:
        """Return how many stored jobs are in each phase."""

    def health(self) -> Mapping[str, Any]:
        """Return ``ok``, ``why``, and how many jobs are ``quarantined``."""


class Vitals:
    """Read the state of the service.

    Parameters
    ----------
    pool : Pool
        The dispatcher.
    meters : Meters

    Attributes
    ----------
    store : Store or None
        The job store, once there is one.
    """

    def __init__(self, pool: Pool, meters: Meters) -> None:
        self.pool, self.meters = pool, meters
        self.store: Store | None = None
        self._began = time.monotonic()
        self._kept: dict[str, Any] = {}
        self._until = 0.0

    def uptime_s(self) -> float:
        """Return how long this gateway has run."""
        return time.monotonic() - self._began

    def stats(self) -> dict[str, Any]:
        """Return the numbers an autoscaler needs, at most a quarter of a second old; no names, no addresses."""
        now = time.monotonic()
        if now >= self._until:
            self._kept, self._until = self._read(), now + KEPT_S
        return self._kept

    def workers_by_state(self, workers: list[dict[str, Any]]) -> dict[str, int]:
        """Count workers by state; every state is there."""
        return {**dict.fromkeys(WORKER_STATES, 0), **Counter(w["state"] for w in workers)}

    def backlog(self, slots: int) -> dict[str, Any]:
        """Return jobs, rows and seconds of what waits; where nothing has been measured yet, `is_measured` is false."""
        found = self.pool.backlog()
        seconds, rows = found["seconds"], int(found["rows"])
        return {"jobs": int(found["jobs"]), "rows": rows, "is_measured": seconds is not None or not rows,
                "seconds": round(rows / (ASSUMED_ROWS_PER_S * max(1, slots)) if seconds is None else float(seconds), 3)}

    def _read(self) -> dict[str, Any]:
        workers, counters = self.pool.workers(), self.pool.counters()
        slots = sum(w["slots"] for w in workers if w["state"] == "ready")
        backlog = self.backlog(slots)
        health = {} if self.store is None else self.store.health()
        fields: dict[str, Counter[str]] = {}
        for worker in workers:
            for name, sha in worker["versions"].items():
                fields.setdefault(name, Counter())[sha] += 1
        return {
            "version": cfcore.__version__, "uptime_s": round(self.uptime_s(), 1), "epoch": self.pool.epoch,
            "workers": len(workers), "workers_by_state": self.workers_by_state(workers), "slots": slots, "busy": busy(workers),
            "silent_s": max((w["silent_s"] for w in workers), default=None),
            "worker_versions": dict(Counter(str(w["version"]) for w in workers)),
            "worker_abis": dict(Counter(str(w["abi"]) for w in workers)), "fields": {k: dict(v) for k, v in fields.items()},
            "backlog_jobs": backlog["jobs"], "backlog_rows": backlog["rows"], "backlog_seconds": backlog["seconds"],
            "backlog_is_measured": backlog["is_measured"], "rates": dict(self.pool.rates()),
            "phases": {} if self.store is None else dict(self.store.counts()),
            "jobs_ok": None if self.store is None else bool(health.get("ok")), "jobs_why": str(health.get("why") or ""),
            "quarantined": int(health.get("quarantined", counters.get("jobs_quarantined", 0))),
            "requests": counters.get("requests", 0), "workers_lost": counters.get("workers_lost", 0),
            "result_mismatches": counters.get("results_mismatch", 0)}


def busy(workers: list[dict[str, Any]]) -> int:
    """Count the slots at work: a worker holds more jobs than it has slots, so that it never waits for the wire."""
    return sum(min(w["jobs"], w["slots"]) for w in workers)

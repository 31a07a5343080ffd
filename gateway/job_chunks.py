"""A chunk of a stored job as the dispatcher sees it: `Work` whose rows lie on disk and whose end is written down.

Nothing of rows or results stays in memory: rows are read each time they go to a worker, a result is let go once it is
committed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from cfcore import distances, sightlines, wire
from cfcore.errors import CosmicFlowsError, InternalError, TransientError

from . import job_records as records
from . import spool
from .job_records import Step
from .store import Store
from .work import Columns, Work

WORKER_KINDS = {"distance": "posterior", "velocity": "velocity", "sightline": "sightline"}
"""What clients ask for -> what workers call it."""
_RESULTS: dict[str, dict[str, tuple[int | None, ...]]] = {
    # a row of the job is a table of its own: each column has as many numbers as were asked for
    "sightline": {name: (None,) for name in sightlines.COLUMNS},
    "posterior": {"values": (len(distances.VALUES),), "codes": (3,), "roots": (distances.MAX_ROOTS, len(distances.ROOT))},
    "velocity": {"values": (len(distances.VELOCITY_VALUES),), "codes": (2,)}}


class Pool(Protocol):
    """What jobs need of the dispatcher."""

    def submit(self, work: Work, field: tuple[str, str], *, job_id: int, owner: str, suspicion: int = 0) -> None:
        """Have work done, however long it takes."""

    def withdraw(self, job_ids: list[int], why: str) -> None:
        """Forget work."""

    def pause_bulk(self, is_paused: bool) -> None:
        """Give no work away for a while."""

    def ahead_of(self, job_id: int) -> int:
        """Count the work that starts before this."""

    def rates(self) -> dict[str, float | None]:
        """Return the measured rows per second."""

    def backlog(self) -> dict[str, Any]:
        """Return jobs, rows and seconds of the work that has not ended."""


class Owner(Protocol):
    """What a chunk needs of `Jobs`."""

    store: Store
    retention_days: float

    def started(self, active: Active) -> None:
        """Note that a chunk has gone to a worker."""

    def write(self, chunk: Chunk, run: Callable[[sqlite3.Connection], Step], then: Callable[[], None] | None = None) -> None:
        """Write what became of a chunk."""

    def later(self, chunk: Chunk) -> None:
        """Give a chunk to the dispatcher again."""

    def input(self, job: int, start: int, stop: int, file: str | None = None) -> Columns:
        """Return rows of a job."""


@dataclass(slots=True, eq=False)
class Active:
    """A job with chunks under way; `is_ended` may be true of it when rows are run again that were in quarantine."""

    jobs: Owner
    job: int
    owner: str
    kind: str
    field: tuple[str, str]
    options: dict[str, object]
    file: str | None
    nbytes: int
    duration: float
    started: float = 0.0
    is_ended: bool = False
    chunks: dict[int, Chunk] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Chunk:
    """Rows start to stop of a job; implements `gateway.work.Work`."""

    active: Active
    id: int
    start: int
    stop: int
    suspicion: int

    @property
    def kind(self) -> str:
        """What the worker computes."""
        return self.active.kind

    @property
    def options(self) -> dict[str, object]:
        """The options of the job."""
        return self.active.options

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.stop - self.start

    @property
    def trace(self) -> str:
        """No request waits for it that could be traced."""
        return ""

    def columns(self) -> Columns:
        """Read the rows from disk.

        Raises
        ------
        InternalError
            Code ``input_damaged``.
        TransientError
            When the store cannot be read just now; the chunk then comes again.
        """
        active = self.active
        try:
            found = active.jobs.input(active.job, self.start, self.stop, active.file)
        except (OSError, sqlite3.OperationalError) as error:
            raise TransientError(f"the store cannot be read ({type(error).__name__})", code="store_unavailable") from None
        except (sqlite3.Error, ValueError, TypeError, OverflowError):
            raise InternalError("the rows of this job are damaged in the store; send them again", code="input_damaged") from None
        active.jobs.started(active)
        return found

    def is_wanted(self) -> bool:
        """Whether its job still waits for it."""
        return self.id in self.active.chunks

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        """Write the result; the worker may forget it after the commit."""
        jobs = self.active.jobs
        if (why := misfit(self.kind, result.columns)):
            error = InternalError(f"a worker answered with other columns than expected ({why}); it is of another version",
                                  code="worker_mismatch")
            jobs.write(self, lambda db: records.refuse(db, self.id, error, time.time(), jobs.retention_days), settled)
            return
        columns, sha = lean(result.columns), result.sha
        if columns is not result.columns:
            sha = b""
        packed: list[tuple[bytes, list[np.ndarray]]] = []
        start, now, attempt = self.active.started or time.time(), time.time(), result.a

        def run(db: sqlite3.Connection) -> Step:
            # in the writer's thread: copies and digests of megabytes are not for the event loop
            nonlocal sha
            if not packed:
                packed.append(spool.pack(columns))
                sha = sha or wire.digest([column.data if column.size else b"" for column in packed[0][1]])
            return records.accept(db, jobs.store.results, self.id, attempt, *packed[0], sha, start, now, jobs.retention_days)
        jobs.write(self, run, settled)

    def refuse(self, error: CosmicFlowsError) -> None:
        """Write that the job is wrong; what may work later comes again."""
        jobs, now = self.active.jobs, time.time()
        if error.kind == "transient" and error.code != "field_changed":
            jobs.later(self)
            return
        jobs.write(self, lambda db: records.refuse(db, self.id, error, now, jobs.retention_days))

    def quarantine(self, error: CosmicFlowsError) -> None:
        """Write two halves, or set a single row aside."""
        jobs, start, now = self.active.jobs, self.active.started or time.time(), time.time()

        def run(db: sqlite3.Connection) -> Step:
            return records.quarantine(db, self.id, error, self._row_values(), start, now, jobs.retention_days)
        jobs.write(self, run)

    def _row_values(self) -> dict[str, float | None]:
        """Return the numbers of a single row, for whoever looks into the quarantine."""
        if self.rows > 1:
            return {}
        try:
            row = self.active.jobs.input(self.active.job, self.start, self.stop, self.active.file)
        except (InternalError, OSError, sqlite3.Error):
            return {}
        return {name: None if column[0] != column[0] else float(column[0]) for name, column in row.items()}


def misfit(kind: str, columns: Columns) -> str:
    """Say what is wrong with the columns of a result; nothing else than these could ever be read."""
    for name, shape in _RESULTS[kind].items():
        column = columns.get(name)
        if column is None or len(column.shape) != 1 + len(shape) or any(
                wanted not in (None, n) for n, wanted in zip(column.shape[1:], shape)):
            return f"{name}: {'missing' if column is None else column.shape[1:]}, not {shape}"
        if column.dtype != (np.int32 if name == "codes" else np.float64):
            return f"{name}: numbers of type {column.dtype}"
    return ""


def lean(columns: Columns) -> Columns:
    """Return result columns without the empty end of the table of roots, which is most of it."""
    roots, codes = columns.get("roots"), columns.get("codes")
    if roots is None or codes is None:
        return columns
    most = min(max(int(codes[:, 2].max(initial=0)), 0), roots.shape[1])
    return columns if most == roots.shape[1] else {**columns, "roots": roots[:, :most]}

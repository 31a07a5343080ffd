"""What the ledger keeps books of: jobs, leases and workers. What may happen to them is told in `ledger.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cfcore.errors import CosmicFlowsError
from cfcore.messages import BULK, INTERACTIVE

FieldKey = tuple[str, str]
MAX_CREDIT = 16


class State(Enum):
    """Where a job stands; all but the first two are final."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Verdict(Enum):
    """What a result turned out to be."""

    ACCEPTED = "accepted"
    REQUEUED = "crashed"
    DUPLICATE = "duplicate"
    FORGED = "forged"


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work; `payload` belongs to the caller. `crashes_left`: compute processes it may still take with it."""

    id: int
    field: FieldKey
    payload: Any
    deadline: float
    cls: str
    owner: str
    crashes_left: int
    rows: int = 0
    state: State = State.QUEUED
    attempts: int = 0
    losses: int = 0
    queued_at: float | None = None
    lease: Lease | None = None
    error: CosmicFlowsError | None = None
    ticket: int = 0
    seq: int = 0

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a worker."""
        return self.state is State.QUEUED


@dataclass(slots=True, eq=False)
class Lease:
    """A job in the hands of a worker; it may outlive the job, which can end elsewhere while this worker is busy."""

    job: Job
    token: bytes
    attempt: int
    worker: Worker
    missed: int = 0


@dataclass(slots=True, eq=False)
class Worker:
    """What is known of a connected worker; `bulk_slots` of its `slots` may compute bulk jobs."""

    id: bytes
    slots: int
    bulk_slots: int
    prefetch: int
    seen: float
    fields: frozenset[FieldKey] = frozenset()
    is_open: bool = False
    is_draining: bool = False
    suspect_since: float | None = None
    leases: dict[int, Lease] = field(default_factory=dict)
    turn: int = 0
    n_bulk: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether new jobs may go to it."""
        return self.is_open and not self.is_draining and self.suspect_since is None

    @property
    def credit(self) -> int:
        """How many jobs it may hold."""
        return min(MAX_CREDIT, self.slots + self.bulk_slots + 2 * self.prefetch)

    def has_room(self, cls: str) -> bool:
        """Whether it may hold one more job of a class."""
        if len(self.leases) >= self.credit:
            return False
        if cls == BULK:
            return self.n_bulk < self.bulk_slots + self.prefetch
        return len(self.leases) - self.n_bulk < self.slots + self.prefetch

    def load(self, cls: str) -> tuple[float, int]:
        """Return how busy it is for a job of a class, for choosing the least busy; equals take turns."""
        busy = len(self.leases) / self.slots if cls == INTERACTIVE else self.n_bulk / self.bulk_slots
        return busy, self.turn

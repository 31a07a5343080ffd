"""Who runs what: the state of every job and every worker, as a plain state machine.

    queued ──lease──▶ leased ──result──▶ done | failed
      ▲  └─────────────┼── deadline ──▶ expired        (cancelled: nobody waits for it any more)
      └── worker lost, bounce, missing from two heartbeats

No socket, no clock and no randomness live here: callers pass `now` (monotonic seconds) and a token maker, so that
tests can play thousands of schedules. Jobs are pure functions of their payload and field version; the first result
that shows a token of the job therefore wins, whichever attempt it comes from.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from cfcore.errors import CosmicFlowsError, DeadlineExceeded, TransientError

FieldKey = tuple[str, str]
MAX_CREDIT = 16


class State(Enum):
    """Where a job stands; all but the first two are final."""

    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Verdict(Enum):
    """What a result turned out to be."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    FORGED = "forged"


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work; `payload` belongs to the caller."""

    id: int
    field: FieldKey
    payload: Any
    deadline: float
    state: State = State.QUEUED
    attempts: int = 0
    losses: int = 0
    token: bytes = b""
    tokens: set[bytes] = field(default_factory=set)
    error: CosmicFlowsError | None = None


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
    """What is known of a connected worker."""

    id: bytes
    credit: int
    slots: int
    seen: float
    fields: frozenset[FieldKey] = frozenset()
    is_open: bool = False
    is_draining: bool = False
    suspect_since: float | None = None
    leases: dict[int, Lease] = field(default_factory=dict)
    turn: int = 0

    @property
    def is_usable(self) -> bool:
        """Whether new jobs may go to it."""
        return self.is_open and not self.is_draining and self.suspect_since is None


class Ledger:
    """Keep jobs and workers; decide who gets what.

    Parameters
    ----------
    new_token : callable
        Makes the 16 random bytes that prove a lease.
    ttl_s, grace_s : float
        A worker is lost after this silence, or this long after its connection broke.
    prefetch : int
        Jobs a worker may hold beyond the ones it computes, so that it never waits for the wire.
    max_losses : int
        A job that lost so many workers is taken to be the cause and fails.
    """

    def __init__(self, new_token: Callable[[], bytes], *, ttl_s: float = 4.0, grace_s: float = 0.3, prefetch: int = 1,
                 max_losses: int = 3) -> None:
        self.jobs: dict[int, Job] = {}
        self.workers: dict[bytes, Worker] = {}
        self.counts: Counter[str] = Counter()
        self._queue: deque[Job] = deque()
        self._ended: list[Job] = []
        self._active: Counter[FieldKey] = Counter()
        self._new_token = new_token
        self.ttl_s, self._grace_s, self._prefetch, self._max_losses = ttl_s, grace_s, prefetch, max_losses
        self._last_id = 0
        self._turn = 0

    # Jobs

    def add(self, key: FieldKey, payload: Any, deadline: float) -> Job:
        """Queue a job that needs this field; past its deadline it expires."""
        self._last_id += 1
        job = self.jobs[self._last_id] = Job(self._last_id, key, payload, deadline)
        self._queue.append(job)
        self._active[key] += 1
        return job

    def active(self, key: FieldKey) -> int:
        """Count the jobs of a field that have not ended."""
        return self._active[key]

    def queued(self) -> list[Job]:
        """Return the jobs that no worker has."""
        return list(self._queue)

    def cancel(self, job: Job) -> None:
        """End a job nobody waits for; a worker that runs it keeps its credit in use until it says so."""
        if job.id in self.jobs:
            self._end(job, State.CANCELLED)

    def assign(self) -> list[Lease]:
        """Lease queued jobs, oldest first, to the least busy workers that have the field and credit left."""
        leases: list[Lease] = []
        waiting: deque[Job] = deque()
        saved: set[bytes] = set()
        while self._queue:
            job = self._queue.popleft()
            able = [w for w in self.workers.values() if w.is_usable and job.field in w.fields and w.id not in saved]
            free = [w for w in able if self._has_room(w, job)]
            if free:
                leases.append(self._lease(job, min(free, key=_load)))
                continue
            waiting.append(job)
            if job.losses and able:
                # It has to run alone: keep the least busy worker for it, or a busy queue would never let it in.
                saved.add(min(able, key=_load).id)
        self._queue = waiting
        return leases

    def unsend(self, lease: Lease) -> None:
        """Take back a lease whose message did not leave."""
        lease.worker.leases.pop(lease.job.id, None)
        self._requeue(lease, "unsent")

    def result(self, job_id: int, token: bytes, worker_id: bytes, is_ok: bool) -> Verdict:
        """Take a result; only a token that was once leased for the job makes it valid."""
        worker = self.workers.get(worker_id)
        lease = worker.leases.get(job_id) if worker else None
        if lease and lease.token == token:
            del lease.worker.leases[job_id]
        job = self.jobs.get(job_id)
        if job is None:
            verdict = Verdict.DUPLICATE if 0 < job_id <= self._last_id else Verdict.FORGED
        elif token not in job.tokens:
            verdict = Verdict.FORGED
        else:
            self._end(job, State.DONE if is_ok else State.FAILED)
            verdict = Verdict.ACCEPTED
        self.counts[f"results_{verdict.value}"] += 1
        return verdict

    def take_ended(self) -> list[Job]:
        """Return the jobs that ended without a result (failed, expired) since the last call."""
        ended, self._ended = self._ended, []
        return ended

    # Workers

    def hello(self, worker_id: bytes, fields: Iterable[FieldKey], slots: int, now: float) -> Worker:
        """Enter a worker, or renew what is known of it."""
        worker = self.workers.get(worker_id)
        if worker is None:
            worker = self.workers[worker_id] = Worker(worker_id, min(MAX_CREDIT, slots + self._prefetch), slots, now)
        worker.fields = frozenset(fields)
        self.alive(worker, now)
        return worker

    def alive(self, worker: Worker, now: float) -> None:
        """Note a sign of life."""
        worker.seen = now
        worker.suspect_since = None

    def open_lane(self, worker: Worker, is_open: bool) -> None:
        """Note whether its lane can carry jobs."""
        worker.is_open = is_open

    def heartbeat(self, worker: Worker, present: set[int], now: float) -> None:
        """Compare what a worker says it has (held or waiting for ACK) with its leases.

        A job may be on its way during one heartbeat; missing from two in a row it never arrived.
        """
        self.alive(worker, now)
        for lease in list(worker.leases.values()):
            lease.missed = 0 if lease.job.id in present else lease.missed + 1
            if lease.missed >= 2:
                del worker.leases[lease.job.id]
                self._requeue(lease, "missing")

    def bounce(self, pairs: Iterable[tuple[int, bytes]]) -> None:
        """Take jobs back. The token proves that the sender got the message, be it the addressee or not."""
        for job_id, token in pairs:
            job = self.jobs.get(job_id)
            for worker in self.workers.values():
                lease = worker.leases.get(job_id)
                if lease and lease.token == token:
                    del worker.leases[job_id]
                    self._requeue(lease, "bounce")
                    break
            else:
                self.counts["bounces_unknown" if job is None or token not in job.tokens else "bounces_late"] += 1

    def drain(self, worker: Worker, now: float) -> None:
        """Stop giving jobs to a worker that wants to leave."""
        self.alive(worker, now)
        worker.is_draining = True

    def reach(self, worker: Worker, is_reachable: bool, now: float) -> None:
        """Note whether its connection stands; when it broke, it has the grace time to come back."""
        if is_reachable:
            worker.suspect_since = None
        elif worker.suspect_since is None:
            worker.suspect_since = now

    def lose(self, worker: Worker, *, is_blamed: bool = True) -> None:
        """Forget a worker and put its jobs back to the front of the queue, in their order.

        With `is_blamed` each of its jobs is a suspect: it runs alone from now on, so that an innocent neighbour of
        the culprit is blamed once and no more, and at `max_losses` it fails.
        """
        del self.workers[worker.id]
        self.counts["workers_lost" if is_blamed else "workers_left"] += 1
        for lease in reversed(worker.leases.values()):
            job = lease.job
            if is_blamed and job.token == lease.token and job.state is State.LEASED:
                job.losses += 1
                if job.losses >= self._max_losses:
                    job.error = TransientError(f"the worker was lost {job.losses} times while it ran this request",
                                               code="worker_lost")
                    self._end(job, State.FAILED, tell=True)
                    continue
            self._requeue(lease, "lost")
        worker.leases.clear()

    def tick(self, now: float) -> list[Worker]:
        """Let time pass: return the workers that are lost by now, and expire jobs past their deadline."""
        lost = [w for w in self.workers.values() if now - w.seen > self.ttl_s
                or (w.suspect_since is not None and now - w.suspect_since > self._grace_s)]
        for worker in lost:
            self.lose(worker)
        for job in [job for job in self.jobs.values() if now > job.deadline]:
            job.error = DeadlineExceeded("the request did not end within its time")
            self._end(job, State.EXPIRED, tell=True)
        return lost

    # Inside

    def _has_room(self, worker: Worker, job: Job) -> bool:
        if job.losses:
            return not worker.leases
        return len(worker.leases) < worker.credit and not any(lease.job.losses for lease in worker.leases.values())

    def _lease(self, job: Job, worker: Worker) -> Lease:
        job.attempts += 1
        job.state = State.LEASED
        job.token = self._new_token()
        job.tokens.add(job.token)
        self._turn += 1
        worker.turn = self._turn
        lease = worker.leases[job.id] = Lease(job, job.token, job.attempts, worker)
        self.counts["leases"] += 1
        return lease

    def _requeue(self, lease: Lease, why: str) -> None:
        job = lease.job
        if job.state is State.LEASED and job.token == lease.token:
            job.state = State.QUEUED
            self._queue.appendleft(job)
            self.counts[f"requeued_{why}"] += 1

    def _end(self, job: Job, state: State, *, tell: bool = False) -> None:
        if job.state is State.QUEUED:
            self._queue.remove(job)
        job.state = state
        del self.jobs[job.id]
        self._active[job.field] -= 1
        if not self._active[job.field]:
            del self._active[job.field]
        self.counts[f"jobs_{state.value}"] += 1
        if tell:
            self._ended.append(job)


def _load(worker: Worker) -> tuple[float, int]:
    return len(worker.leases) / worker.slots, worker.turn

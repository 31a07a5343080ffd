"""Who runs what: the state of every job and every worker, as a plain state machine.

    queued ──lease──▶ leased ──result──▶ done | failed
      ▲  └─────────────┼── deadline ──▶ expired        (cancelled: nobody wants it any more)
      │                └── crashed again and again ──▶ quarantined
      └── worker lost, crash, bounce, missing from two heartbeats

No socket, no clock and no randomness live here: callers pass `now` (monotonic seconds) and a signer of leases, so that
tests can play thousands of schedules. Jobs are pure functions of their payload and field version; the first result that
shows the token of one of the job's leases therefore wins, whichever attempt it comes from.
"""

from __future__ import annotations

import heapq
import hmac
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from math import inf, isfinite
from typing import Any

from cfcore.errors import CosmicFlowsError, DeadlineExceeded, InternalError
from cfcore.messages import BULK, CLASSES, INTERACTIVE

from .leases import FieldKey, Job, Lease, State, Verdict, Worker
from .lines import Line

Sign = Callable[[int, int, bytes], bytes]
NO_FIELD = "no field"
"""A BOUNCE for a reason that begins so tells that the worker has not got the field it once offered."""


class Ledger:
    """Keep jobs and workers; decide who gets what.

    Parameters
    ----------
    sign : callable
        Returns the 16 bytes that prove the lease (job, attempt, worker); the same for the same lease for ever, so that a
        gateway that was started again knows the leases of its former life.
    ttl_s, grace_s : float
        A worker is lost after this silence, or this long after its connection broke.
    prefetch : int
        Jobs of each class a worker may hold beyond the ones it computes, so that it never waits for the wire.
    max_crashes : int
        A job that took so many compute processes with it is put into quarantine.
    alone_at, max_losses : int
        A job that lost so many whole workers runs alone from then on; at the second number it is taken to be the cause.
    """

    def __init__(self, sign: Sign, *, ttl_s: float = 4.0, grace_s: float = 0.3, prefetch: int = 1, max_crashes: int = 3,
                 alone_at: int = 3, max_losses: int = 12) -> None:
        self.jobs: dict[int, Job] = {}
        self.workers: dict[bytes, Worker] = {}
        self.counts: Counter[str] = Counter()
        self.is_bulk_paused = False
        self.rows: Counter[str] = Counter()
        self._jobs_of: Counter[str] = Counter()
        self._sign = sign
        self._lines: dict[str, dict[FieldKey, Line]] = {INTERACTIVE: {}, BULK: {}}
        self._suspects: dict[int, Job] = {}
        self._ended: list[Job] = []
        self._deadlines: list[tuple[float, int]] = []
        self._active: Counter[tuple[str, FieldKey]] = Counter()
        self._digests: OrderedDict[int, bytes] = OrderedDict()
        self.ttl_s, self._grace_s, self._prefetch = ttl_s, grace_s, prefetch
        self._max_crashes, self._alone_at, self._max_losses = max_crashes, alone_at, max_losses
        self._turn = 0

    # Jobs

    def add(self, job_id: int, key: FieldKey, payload: Any, deadline: float, *, cls: str = INTERACTIVE, owner: str = "",
            rows: int = 0, suspicion: int = 0) -> Job:
        """Queue a job that needs this field; past its deadline it expires. `suspicion`: crashes to count already."""
        if job_id in self.jobs:
            raise InternalError(f"job {job_id} is under way already")
        job = self.jobs[job_id] = Job(job_id, key, payload, deadline, cls, owner, max(1, self._max_crashes - suspicion), rows)
        if isfinite(deadline):
            heapq.heappush(self._deadlines, (deadline, job_id))
        self._active[cls, key] += 1
        self._jobs_of[cls] += 1
        self.rows[cls] += rows
        self.counts["jobs_added"] += 1
        self._line(job).append(job)
        return job

    def active(self, key: FieldKey, cls: str = INTERACTIVE) -> int:
        """Count the jobs of a class and field that have not ended."""
        return self._active[cls, key]

    def count(self, cls: str) -> int:
        """Count the jobs of a class that have not ended."""
        return self._jobs_of[cls]

    def keys_waited_for(self) -> set[FieldKey]:
        """Return the fields that queued jobs need."""
        return {key for lines in self._lines.values() for key, line in lines.items() if line} | {
            job.field for job in self._suspects.values()}

    def queued(self, key: FieldKey) -> list[Job]:
        """Return the jobs of a field that no worker has."""
        waiting = [job for lines in self._lines.values() if key in lines for job in lines[key]]
        return [*waiting, *(job for job in self._suspects.values() if job.field == key)]  # type: ignore[list-item]

    def standing(self) -> dict[tuple[str, str], int]:
        """Count the jobs that have not ended, by class and state."""
        leased = Counter(lease.job.cls for w in self.workers.values() for lease in w.leases.values() if _is_current(lease))
        return {(cls, state): n for cls in CLASSES for state, n in (("leased", leased[cls]),
                                                                   ("queued", self.count(cls) - leased[cls]))}

    def ahead_of(self, job_id: int) -> int:
        """Count, to a few, the queued jobs of its class and field that start before this one."""
        job = self.jobs.get(job_id)
        line = self._lines[job.cls].get(job.field) if job and job.is_queued else None
        return line.ahead_of(job) if line and job else 0

    def cancel(self, job: Job) -> Lease | None:
        """End a job nobody wants; return the lease of the worker that has it: its credit stays in use until it lets go."""
        if job.id not in self.jobs:
            return None
        lease = job.lease if job.state is State.LEASED else None
        self._end(job, State.CANCELLED)
        return lease

    def fail(self, job: Job) -> None:
        """End a job that cannot be done."""
        if job.id in self.jobs:
            self._end(job, State.FAILED)

    def assign(self) -> list[Lease]:
        """Lease queued jobs to the least busy workers that have the field and room: interactive ones first."""
        leases: list[Lease] = []
        saved: set[bytes] = set()
        for job in sorted(self._suspects.values(), key=lambda job: job.id) if self._suspects else ():
            # It has to run alone: keep the least busy worker for it, or a busy line would never let it in.
            able = [w for w in self._able(job.field) if w.id not in saved]
            if able and not (self.is_bulk_paused and job.cls == BULK):
                worker = min(able, key=lambda w: (len(w.leases), w.turn))
                saved.add(worker.id)
                if not worker.leases:
                    del self._suspects[job.id]
                    leases.append(self._lease(job, worker))
        for cls in (INTERACTIVE,) if self.is_bulk_paused else (INTERACTIVE, BULK):
            self._assign_class(cls, saved, leases)
        return leases

    def unsend(self, lease: Lease) -> None:
        """Take back a lease whose message did not leave."""
        self._release(lease)
        self._requeue(lease, "unsent")

    def is_genuine(self, job_id: int, attempt: int, token: bytes, worker_id: bytes) -> bool:
        """Whether this token was leased for this job, attempt and worker, by us or in a former life."""
        return hmac.compare_digest(token, self._sign(job_id, attempt, worker_id))

    def result(self, job_id: int, attempt: int, token: bytes, worker_id: bytes, state: str, sha: bytes = b"") -> Verdict:
        """Take a result: ``ok``, ``error``, ``crash`` or ``timeout``; only the token of a lease of the job makes it valid."""
        verdict = self._judge(job_id, attempt, token, worker_id, state, sha)
        self.counts[f"results_{verdict.value}"] += 1
        return verdict

    def take_ended(self) -> list[Job]:
        """Return the jobs that ended without a result (quarantined, expired) since the last call."""
        ended, self._ended = self._ended, []
        return ended

    # Workers

    def hello(self, worker_id: bytes, fields: Iterable[FieldKey], slots: int, now: float, *, reserve: int = 0,
              held: Iterable[tuple[int, int]] = (), out: Iterable[int] = ()) -> Worker:
        """Enter a worker, or renew what is known of it; queued jobs that it holds or has done already become its leases."""
        worker = self.workers.get(worker_id)
        if worker is None:
            worker = self.workers[worker_id] = Worker(worker_id, slots, max(1, slots - reserve), self._prefetch, now)
            for job_id, attempt in [*held, *((job_id, 0) for job_id in out)]:
                self._adopt(worker, job_id, attempt)
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
                self._release(lease)
                self._requeue(lease, "missing")

    def bounce(self, pairs: Iterable[tuple[int, bytes]], why: str = "") -> None:
        """Take jobs back. The token proves that the sender got the message, be it the addressee or not."""
        for job_id, token in pairs:
            for worker in self.workers.values():
                lease = worker.leases.get(job_id)
                if lease and hmac.compare_digest(lease.token, token):
                    self._release(lease)
                    if why.startswith(NO_FIELD):
                        worker.fields -= {lease.job.field}
                    self._requeue(lease, "bounce")
                    break
            else:
                self.counts["bounces_unknown"] += 1

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

    def excuse(self, pause_s: float, now: float) -> None:
        """Hold the last seconds against no worker: we ourselves did not listen."""
        for worker in self.workers.values():
            worker.seen = min(now, worker.seen + pause_s)
            if worker.suspect_since is not None:
                worker.suspect_since = min(now, worker.suspect_since + pause_s)

    def lose(self, worker: Worker, *, is_blamed: bool = True) -> None:
        """Forget a worker and put its jobs back to the front of their lines, in their order.

        With `is_blamed` each of its jobs may have been the cause. Which one, only time tells: one that has seen many
        workers die runs alone, so that it can be told from its neighbours, and is given up much later than one whose
        own compute process crashed.
        """
        del self.workers[worker.id]
        self.counts["workers_lost" if is_blamed else "workers_left"] += 1
        for lease in reversed(list(worker.leases.values())):
            job = lease.job
            if is_blamed and _is_current(lease):
                job.losses += 1
                if job.losses >= self._max_losses:
                    self._quarantine(job, InternalError(f"{job.losses} workers were lost while they ran this",
                                                        code="worker_lost"))
                    continue
            self._requeue(lease, "lost")
        worker.leases.clear()

    def tick(self, now: float) -> list[Worker]:
        """Let time pass: return the workers that are lost by now, and expire jobs past their deadline."""
        lost = [w for w in self.workers.values() if now - w.seen > self.ttl_s
                or (w.suspect_since is not None and now - w.suspect_since > self._grace_s)]
        for worker in lost:
            self.lose(worker)
        while self._deadlines and self._deadlines[0][0] < now:
            job = self.jobs.get(heapq.heappop(self._deadlines)[1])
            if job:
                job.error = DeadlineExceeded("the request did not end within its time")
                self._end(job, State.EXPIRED, tell=True)
        return lost

    # Inside

    def _able(self, key: FieldKey) -> list[Worker]:
        return [w for w in self.workers.values() if w.is_usable and key in w.fields]

    def _assign_class(self, cls: str, saved: set[bytes], leases: list[Lease]) -> None:
        lines = self._lines[cls]
        # fields take turns, too: one job of each, as long as any line moves
        moving = list(lines)
        while moving:
            moving = [key for key in moving if self._assign_one(cls, key, lines[key], saved, leases)]
        for key in [key for key, line in lines.items() if not line] if lines else ():
            del lines[key]

    def _assign_one(self, cls: str, key: FieldKey, line: Line, saved: set[bytes], leases: list[Lease]) -> bool:
        best, least = None, (inf, 0)
        for worker in self.workers.values():
            if worker.has_room(cls) and worker.is_usable and key in worker.fields and worker.id not in saved \
                    and not self._is_watched(worker) and (load := worker.load(cls)) < least:
                best, least = worker, load
        job = line.pop() if best else None
        if best is None or job is None:
            return False
        leases.append(self._lease(job, best))  # type: ignore[arg-type]
        return bool(line)

    def _is_watched(self, worker: Worker) -> bool:
        return any([self._is_suspect(lease.job) for lease in worker.leases.values()])

    def _is_suspect(self, job: Job) -> bool:
        return job.losses >= self._alone_at

    def _line(self, job: Job) -> Line:
        lines = self._lines[job.cls]
        line = lines.get(job.field)
        if line is None:
            line = lines[job.field] = Line()
        return line

    def _judge(self, job_id: int, attempt: int, token: bytes, worker_id: bytes, state: str, sha: bytes) -> Verdict:
        worker = self.workers.get(worker_id)
        lease = worker.leases.get(job_id) if worker else None
        if lease is not None and lease.attempt == attempt:
            is_genuine = hmac.compare_digest(token, lease.token)
        else:
            is_genuine = self.is_genuine(job_id, attempt, token, worker_id)
        if not is_genuine:
            return Verdict.FORGED
        is_final = state in ("ok", "error")
        # A final result of an earlier attempt is all there will be of a later one; after a crash the later one still comes.
        is_released = lease is not None and (is_final or lease.attempt <= attempt)
        if lease and is_released:
            self._release(lease)
        job = self.jobs.get(job_id)
        if job is None:
            if state == "ok" and self._digests.get(job_id, sha) != sha:
                self.counts["results_mismatch"] += 1
            return Verdict.DUPLICATE
        if is_final:
            self._end(job, State.DONE if state == "ok" else State.FAILED)
            self._remember(job_id, sha)
            return Verdict.ACCEPTED
        if lease is None or not is_released or not _is_current(lease):
            return Verdict.DUPLICATE  # this attempt was given up before; another one runs or waits
        job.crashes_left -= 1
        if job.crashes_left > 0:
            self._requeue(lease, state)
            return Verdict.REQUEUED
        self._end(job, State.QUARANTINED)
        return Verdict.ACCEPTED

    def _remember(self, job_id: int, sha: bytes) -> None:
        if sha:
            self._digests[job_id] = sha
            if len(self._digests) > 10_000:
                self._digests.popitem(last=False)

    def _adopt(self, worker: Worker, job_id: int, attempt: int) -> None:
        job = self.jobs.get(job_id)
        if job and job.is_queued and job_id not in worker.leases:
            self._suspects.pop(job_id, None)
            job.attempts = max(job.attempts, attempt)
            job.lease = worker.leases[job_id] = Lease(job, self._sign(job_id, attempt, worker.id), attempt, worker)
            worker.n_bulk += job.cls == BULK
            job.state = State.LEASED
            self.counts["adopted"] += 1

    def _lease(self, job: Job, worker: Worker) -> Lease:
        job.attempts += 1
        job.state = State.LEASED
        self._turn += 1
        worker.turn = self._turn
        worker.n_bulk += job.cls == BULK
        token = self._sign(job.id, job.attempts, worker.id)
        job.lease = worker.leases[job.id] = Lease(job, token, job.attempts, worker)
        self.counts["leases"] += 1
        return job.lease

    def _release(self, lease: Lease) -> None:
        del lease.worker.leases[lease.job.id]
        lease.worker.n_bulk -= lease.job.cls == BULK

    def _requeue(self, lease: Lease, why: str) -> None:
        job = lease.job
        if not _is_current(lease):
            return
        job.lease = None
        job.state = State.QUEUED
        if self._is_suspect(job):
            self._suspects[job.id] = job
        else:
            self._line(job).put_back(job)
        self.counts[f"requeued_{why}"] += 1

    def _quarantine(self, job: Job, error: CosmicFlowsError) -> None:
        job.error = error
        self._end(job, State.QUARANTINED, tell=True)

    def _end(self, job: Job, state: State, *, tell: bool = False) -> None:
        self._suspects.pop(job.id, None)
        job.state = state
        del self.jobs[job.id]
        self.rows[job.cls] -= job.rows
        self._jobs_of[job.cls] -= 1
        key = job.cls, job.field
        self._active[key] -= 1
        if not self._active[key]:
            del self._active[key]
        self.counts[f"jobs_{state.value}"] += 1
        if tell:
            self._ended.append(job)


def _is_current(lease: Lease) -> bool:
    return lease.job.lease is lease and lease.job.state is State.LEASED

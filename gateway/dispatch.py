"""The asyncio face of the worker pool: `await dispatcher.run(...)` and the columns come back; `submit` for kept work.

Natural micro-batching: while fewer jobs are in flight than workers can start at once (at least 2), everything that
waits goes out as one job per group; otherwise it waits, and merges, until a result returns. No timers: a 1 ms window
halved the throughput. But as long as each turn of the loop brings more requests, what waits lets them join it: a job
costs those who send and take it as much as thirty rows in it do. Requests live in memory; they are sent again when
their worker is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from math import ceil, inf
from pathlib import Path
from typing import Any

from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, TransientError, from_dict
from cfcore.messages import BULK, INTERACTIVE

from .batches import Answer, Asked, Batch, FieldKey, Piece, Request, Waiting
from .hub import OWN_IDS, Hub
from .lanes import Lanes
from .meters import Meters
from .served import Served
from .work import Work

__all__ = ["Answer", "Dispatcher"]
TICK_S = 0.05
QUEUE_BYTES = 1 << 30
COMPUTE_LIMIT_S = (5.0, 600.0)
GATHER_S = 0.003
"""Those who come one after the other travel together: what came first leaves after this time at the latest."""
WAIT_MAX_S = 0.15
"""A request that would wait longer than this for its turn is refused: it is quicker to ask again than to stand in line."""


class Dispatcher:
    """Take requests, give them to workers, give the answers back.

    Parameters
    ----------
    bus : str
        `ipc:///folder` or `tcp://127.0.0.1:5573`; see `docs/wire.md`.
    results_port, lane_ports : int, (int, int)
        Further ports of a tcp bus.
    queue_max : int
        Most requests that may be under way at once; `run` refuses more.
    worker_grace_s : float
        How long requests wait for a worker after the last one that could serve them went away.
    limits_s : (float, float), s
        Most time that one computation may take, interactive and bulk, before its process is ended and the job blamed.
    merge : bool
        Off: every request is a job of its own; for measuring what merging gains.
    meters : Meters, optional
        Where waiting and running times are noted.
    keys, bus_encrypt : Path, str
        The folder of keys, and when the bus is encrypted; see `Lanes`.
    """

    def __init__(self, bus: str, *, results_port: int = 5572, lane_ports: tuple[int, int] = (5600, 5799),
                 queue_max: int = 20_000, worker_grace_s: float = 3.0, limits_s: tuple[float, float] = COMPUTE_LIMIT_S,
                 merge: bool = True, meters: Meters | None = None, keys: Path | None = None,
                 bus_encrypt: str = "off-loopback") -> None:
        self.bus = bus
        self._lanes = Lanes(bus, results_port, lane_ports, self._on_control, self._on_result, keys=keys, encrypt=bus_encrypt,
                            on_revoked=self._on_revoked)
        self._served = Served(bus, worker_grace_s)
        self._hub = Hub(self._lanes, self._served, self._pump_soon,
                        limits_ms=(int(1000 * limits_s[0]), int(1000 * limits_s[1])), meters=meters)
        self.stats = self._hub.stats
        self._queue_max = queue_max
        self._merge = merge
        self._requests: set[Request] = set()
        self._nbytes = 0
        self._waiting: dict[FieldKey, Waiting] = {}
        self._is_pump_due = self._is_draining = self._is_closed = False
        self._ticker: asyncio.TimerHandle | None = None
        self._gathered, self._leave_by = 0, 0.0

    def identify(self, gid: bytes, epoch: int, secret: bytes) -> None:
        """Take the identity of a gateway that keeps jobs over restarts; call it before `start`."""
        self._hub.identify(gid, epoch, secret)

    async def start(self) -> None:
        """Bind the bus and begin; raises `UsageError` (insecure_bus, bus_in_use) when that cannot be."""
        self._loop = asyncio.get_running_loop()
        self._lanes.open()
        self._tick()

    async def drain(self, grace_s: float) -> None:
        """Take nothing new; what has not ended within the grace time fails as "draining"."""
        self._is_draining = True
        if self._requests:
            await asyncio.wait([request.future for request in self._requests], timeout=grace_s)
        for request in list(self._requests):
            request.fail(_draining())

    async def close(self) -> None:
        """End: everything outstanding fails as "draining", the bus is released."""
        await self.drain(0.0)
        self._is_closed = True
        if self._ticker:
            self._ticker.cancel()
            self._hub.send_acks()
        self._lanes.close()

    async def run(self, kind: str, field: FieldKey, options: dict[str, object], columns: Asked, *,
                  budget_s: float = 30.0, is_alone: bool = False, trace: str = "") -> Answer:
        """Compute something on a worker that has the field.

        Parameters
        ----------
        kind : str
            What to compute; a word known to the workers.
        field : (str, str)
            Id and sha of the field, as in `fields`.
        options : dict
            Plain data, the same for all rows.
        columns : dict of ndarray, shape (n, ...), or of lists of numbers
            The rows. They are not copied: leave them alone until the answer is there.
        budget_s : float, s
            Time to answer, waiting included.
        is_alone : bool
            Never merge it with others: its answer has many values per row, and a message has a size.
        trace : str
            W3C traceparent of the request it is for.

        Raises
        ------
        TransientError
            no_worker, busy, draining, field_changed.
        UsageError
            field_not_installed, and whatever the worker finds wrong.
        DeadlineExceeded
            When the budget is spent.
        InternalError
            crashed: the computation fails every time.
        """
        now = time.monotonic()
        request = Request(kind, field, options, columns, _row_count(columns), now + budget_s,
                          self._loop.create_future(), is_alone or not self._merge, trace)
        group, nbytes = request.group(), request.nbytes
        self._admit(field, nbytes, now)
        self.stats["requests"] += 1
        self.stats["rows"] += request.rows
        self._requests.add(request)
        self._nbytes += nbytes
        waiting = self._waiting.get(field)
        if waiting is None:
            waiting = self._waiting[field] = Waiting()
        waiting.put(group, request.pieces())
        self._pump_soon()
        try:
            return await request.future
        except BaseException:
            if request.future.cancelled():
                self.stats["cancelled"] += 1
            self._drop_unwanted()
            raise
        finally:
            self._requests.discard(request)
            self._nbytes -= nbytes

    def _admit(self, field: FieldKey, nbytes: int, now: float) -> None:
        if self._is_draining:
            raise _draining()
        refusal = self._served.refusal(field, self._hub.ledger.workers.values(), now)
        if refusal:
            raise refusal
        wait_s = self._wait_s()
        if len(self._requests) >= self._queue_max or self._nbytes + nbytes > QUEUE_BYTES or wait_s > WAIT_MAX_S:
            self.stats["refused_busy"] += 1
            seconds = max(1, ceil(wait_s))
            raise TransientError(f"{len(self._requests)} requests are waiting already; try again, available in {seconds} "
                                 "seconds", code="busy", extra={"retry_after_s": seconds})

    def _wait_s(self) -> float:
        """Return how long a request that comes now would wait for its turn."""
        jobs = self._hub.ledger.count(INTERACTIVE)
        for waiting in self._waiting.values():
            jobs += len(waiting.groups)
        run_s = self._hub.pace[INTERACTIVE].run_s
        slots = max(1, sum(worker.slots for worker in self._hub.ledger.workers.values()))
        # as many as are computed at once, and as many behind them, are no crowd however slow they are
        return 0.0 if run_s is None or jobs <= 2 * slots else run_s * jobs / slots

    # Kept work

    def submit(self, work: Work, field: FieldKey, *, job_id: int, owner: str, suspicion: int = 0) -> None:
        """Have kept work done, however long it takes and whatever dies meanwhile.

        Parameters
        ----------
        work : Work
            Gets the result, or the reason why there is none.
        field : (str, str)
            Id and sha of the field.
        job_id : int
            Below 2**62; chosen by the caller, the same after a restart, never used again for other work.
        owner : str
            Owners take turns.
        suspicion : int
            Compute processes it has crashed already, as part of larger work.
        """
        if not 0 < job_id < OWN_IDS:
            raise ValueError(f"job id {job_id} lies outside 1 ... 2**62 - 1")
        self._hub.add(work, field, inf, cls=BULK, owner=owner, job_id=job_id, suspicion=suspicion,
                      now=time.monotonic())
        self._pump_soon()

    def withdraw(self, job_ids: Iterable[int], why: str) -> None:
        """Forget kept work: what waits at once, what runs as soon as its worker lets go of it."""
        jobs = self._hub.ledger.jobs
        self._hub.withdraw([jobs[job_id] for job_id in job_ids if job_id in jobs], why)
        self._pump_soon()

    def pause_bulk(self, is_paused: bool) -> None:
        """Give no kept work to workers while its results could not be kept."""
        self._hub.ledger.is_bulk_paused = is_paused
        self._pump_soon()

    def ahead_of(self, job_id: int) -> int:
        """Count, to a few, the kept jobs that start before this one."""
        return self._hub.ledger.ahead_of(job_id)

    def rates(self) -> dict[str, float | None]:
        """Return the rows per second of each class, as measured, over all slots; None before enough was computed to tell."""
        workers = self._hub.ledger.workers.values()
        slots = {INTERACTIVE: sum(w.slots for w in workers), BULK: sum(w.bulk_slots for w in workers)}
        return {cls: None if pace.rows_per_s is None else pace.rows_per_s * max(1, slots[cls])
                for cls, pace in self._hub.pace.items()}

    @property
    def epoch(self) -> int:
        """Which start of a gateway that keeps jobs this is; 0 when none are kept."""
        return self._hub.epoch

    def standing(self) -> dict[tuple[str, str], int]:
        """Count the jobs that have not ended, by class and by whether a worker has them."""
        return self._hub.ledger.standing()

    def backlog(self) -> dict[str, Any]:
        """Return the kept work that has not ended: jobs, rows, and the seconds it takes at the measured rate."""
        jobs, rows, rate = self._hub.ledger.count(BULK), self._hub.ledger.rows[BULK], self.rates()[BULK]
        return {"jobs": jobs, "rows": rows, "seconds": 0.0 if not rows else rows / rate if rate else None}

    # What there is to know

    def check_worker(self) -> None:
        """Raise `TransientError` no_worker when requests could only fail for want of any worker."""
        error = self._served.refusal(None, self._hub.ledger.workers.values(), time.monotonic())
        if error:
            raise error

    def explain(self, why: str) -> None:
        """Say from now on, to those who find no worker, why none runs."""
        self._served.explain(why)

    def fields(self) -> dict[str, dict[str, Any]]:
        """Return the newest record of each field that a worker has, or had within the grace time; read them only."""
        return dict(self._served.records)

    def workers(self) -> list[dict[str, Any]]:
        """Describe the connected workers."""
        return self._hub.workers(time.monotonic())

    def drain_worker(self, worker_id: str) -> bool:
        """Ask a worker, by the id that `workers` shows, to finish and leave; False when it is not here."""
        return self._hub.ask_to_drain(worker_id)

    def counters(self) -> dict[str, int]:
        """Return every count since the start, the ledger's included."""
        return self._hub.counters() | dict(self._lanes.counts)

    # Batches

    def _pump_soon(self) -> None:
        # Once per turn of the loop: requests that arrive in the same turn travel together.
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if self._is_closed:
            return
        now = time.monotonic()
        if self._gather(now):
            self._pump_soon()
            return
        ledger = self._hub.ledger
        for key, waiting in list(self._waiting.items()):
            room = max(2, len([w for w in ledger.workers.values() if w.is_usable and key in w.fields]))
            while ledger.active(key) < room:
                pieces = waiting.take()
                if not pieces:
                    del self._waiting[key]
                    break
                self._add(pieces, 0)
        self._hub.pump(now)

    def _gather(self, now: float) -> bool:
        """Note what came since the last turn of the loop; return whether to wait a turn for what may come with the next."""
        came = self.stats["requests"]
        if came != self._gathered:
            self._gathered = came
            self._leave_by = self._leave_by or now + GATHER_S
            if now < self._leave_by:
                return True
        self._leave_by = 0.0
        return False

    def _add(self, pieces: list[Piece], suspicion: int) -> None:
        batch = Batch(pieces, self._rerun)
        self._hub.add(batch, batch.head.field, batch.deadline, suspicion=suspicion, now=time.monotonic())

    def _rerun(self, pieces: list[Piece], suspicion: int) -> None:
        self.stats["isolated"] += 1
        if suspicion or len(pieces) == 1:
            self._add(pieces, suspicion)
        else:
            waiting = self._waiting.setdefault(pieces[0].request.field, Waiting())
            for piece in pieces:
                waiting.put((piece,), [piece])
        self._pump_soon()

    def _drop_unwanted(self) -> None:
        """Take jobs out of the ledger for which nobody waits any more, after a request that got no answer."""
        if not self._is_closed:
            jobs = self._hub.ledger.jobs.values()
            self._hub.withdraw([job for job in jobs if job.cls == INTERACTIVE and not job.payload.is_wanted()], "nobody waits")
            self._pump_soon()

    # Messages and time

    def _on_control(self, worker_id: bytes, frames: list[Any]) -> None:
        self._hub.on_control(worker_id, frames, time.monotonic())

    def _on_revoked(self, worker_ids: list[bytes]) -> None:
        self._hub.expel(worker_ids, time.monotonic())

    def _on_result(self, frames: list[Any]) -> None:
        self._hub.on_result(frames, time.monotonic())

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_S, self._tick)
        # First read what has arrived: after a pause of this process every worker would seem silent.
        self._lanes.receive()
        now = time.monotonic()
        self._hub.tick(now)
        for request in self._requests:
            if now > request.deadline:
                request.fail(DeadlineExceeded("the request did not end within its time; try again, or ask for "
                                              "fewer rows"))
        self._fail_unserved(now)

    def _fail_unserved(self, now: float) -> None:
        """Fail what no worker has and none will have."""
        for key in list(self._waiting):
            error = self._served.refusal(key, self._hub.ledger.workers.values(), now)
            if error is not None:
                for group in self._waiting.pop(key).groups.values():
                    for piece in group:
                        piece.request.fail(from_dict(error.as_dict()))


def _draining() -> CosmicFlowsError:
    return TransientError("the service is shutting down; try again in a few seconds", code="draining")


def _row_count(columns: Asked) -> int:
    # the first axis of each, () of a single number
    axes = {(len(column),) if type(column) is list else column.shape[:1] for column in columns.values()}
    if len(axes) > 1:
        lengths = {name: len(column) if type(column) is list else column.shape[:1] for name, column in columns.items()}
        raise BadParameter(f"columns of unequal length: {lengths}", where="columns")
    return sum(next(iter(axes), ()))

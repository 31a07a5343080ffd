"""The asyncio face of the worker pool: `await dispatcher.run(...)` and the columns come back.

Natural micro-batching: while fewer jobs are in flight than workers can start at once (at least 2), everything that
waits goes out as one job per group; otherwise it waits, and merges, until a result returns. No timers: a 1 ms window
halved the throughput. Requests live in memory; they are sent again when their worker is lost.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from itertools import count
from typing import Any

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, TransientError, from_dict

from .batches import Answer, Batch, Columns, FieldKey, Request, Waiting
from .lanes import Lane, Lanes
from .ledger import Lease, Ledger, State, Verdict, Worker
from .served import Served

__all__ = ["Answer", "Dispatcher"]
log = logging.getLogger("cosmicflows.dispatch")
HEARTBEAT_MS = 1000
TICK_S = 0.05
PING_S = 0.25
QUEUE_BYTES = 1 << 30
ACKS_AT_ONCE = 32
ACK_SOON_BYTES = 64 << 10


@dataclass(slots=True, eq=False)
class Peer:
    """What the dispatcher keeps of a worker beside the ledger's entry."""

    worker: Worker
    lane: Lane
    hello: wire.Hello
    rss_mb: int = 0


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
    """

    def __init__(self, bus: str, *, results_port: int = 5572, lane_ports: tuple[int, int] = (5600, 5799),
                 queue_max: int = 20_000, worker_grace_s: float = 3.0) -> None:
        self.bus = bus
        self.stats: Counter[str] = Counter()
        self._ledger = Ledger(lambda: secrets.token_bytes(wire.TOKEN_BYTES))
        self._lanes = Lanes(bus, results_port, lane_ports, self._on_control, self._on_result)
        self._gid = secrets.token_bytes(wire.TOKEN_BYTES)
        self._queue_max = queue_max
        self._peers: dict[bytes, Peer] = {}
        self._requests: set[Request] = set()
        self._nbytes = 0
        self._waiting: dict[FieldKey, Waiting] = {}
        self._served = Served(bus, worker_grace_s)
        self._acks: dict[bytes, list[int]] = {}
        self._is_pump_due = self._is_draining = self._is_closed = False
        self._seq = count(1)
        self._next_ping = 0.0
        self._ticker: asyncio.TimerHandle | None = None

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
            self._send_acks()
        self._lanes.close()

    async def run(self, kind: str, field: FieldKey, options: dict[str, object], columns: Columns, *,
                  budget_s: float = 30.0, is_alone: bool = False) -> Answer:
        """Compute something on a worker that has the field.

        Parameters
        ----------
        kind : str
            What to compute; a word known to the workers.
        field : (str, str)
            Id and sha of the field, as in `fields`.
        options : dict
            Plain data, the same for all rows.
        columns : dict of ndarray, shape (n, ...)
            The rows. They are not copied: leave them alone until the answer is there.
        budget_s : float, s
            Time to answer, waiting included.
        is_alone : bool
            Never merge it with others: its answer has many values per row, and a message has a size.

        Raises
        ------
        TransientError
            no_worker, busy, draining, worker_lost, field_changed.
        UsageError
            field_not_installed, and whatever the worker finds wrong.
        DeadlineExceeded
            When the budget is spent.
        """
        now = time.monotonic()
        request = Request(kind, field, options, columns, _row_count(columns), now + budget_s,
                          asyncio.get_running_loop().create_future(), is_alone)
        group, nbytes = request.group(), request.nbytes
        if self._is_draining:
            raise _draining()
        refusal = self._served.refusal(field, self._workers(), now)
        if refusal:
            raise refusal
        if len(self._requests) >= self._queue_max or self._nbytes + nbytes > QUEUE_BYTES:
            raise TransientError(f"{len(self._requests)} requests are waiting already; try again in a few seconds",
                                 code="busy")
        self.stats["requests"] += 1
        self.stats["rows"] += request.rows
        self._requests.add(request)
        self._nbytes += nbytes
        self._waiting.setdefault(field, Waiting()).put(group, request.pieces())
        self._pump_soon()
        try:
            return await request.future
        finally:
            self._requests.discard(request)
            self._nbytes -= nbytes
            if request.future.cancelled():
                self.stats["cancelled"] += 1
            self._drop_unwanted(request)

    def check_worker(self) -> None:
        """Raise `TransientError` no_worker when requests could only fail for want of any worker."""
        error = self._served.refusal(None, self._workers(), time.monotonic())
        if error:
            raise error

    def explain(self, why: str) -> None:
        """Say from now on, to those who find no worker, why none runs."""
        self._served.explain(why)

    def fields(self) -> dict[str, dict[str, Any]]:
        """Return the newest record of each field that a worker has, or had within the grace time."""
        return {name: dict(record) for name, record in self._served.records.items()}

    def workers(self) -> list[dict[str, Any]]:
        """Describe the connected workers."""
        now = time.monotonic()
        return [{"id": worker_id.hex(), "host": peer.hello.host, "pid": peer.hello.pid, "version": peer.hello.ver,
                 "fields": sorted(name for name, _ in peer.worker.fields), "slots": peer.worker.slots,
                 "jobs": len(peer.worker.leases), "rss_mb": peer.rss_mb, "silent_s": round(now - peer.worker.seen, 3),
                 "state": _state_of(peer.worker)}
                for worker_id, peer in self._peers.items()]

    def counters(self) -> dict[str, int]:
        """Return every count since the start, the ledger's included."""
        return dict(self.stats + self._ledger.counts)

    def _workers(self) -> Collection[Worker]:
        return self._ledger.workers.values()

    # Sending

    def _pump_soon(self) -> None:
        # Once per turn of the loop: requests that arrive in the same turn travel together.
        if not self._is_pump_due:
            self._is_pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_pump_due = False
        if self._is_closed:
            return
        for key, waiting in list(self._waiting.items()):
            slots = sum(w.slots for w in self._ledger.workers.values() if w.is_usable and key in w.fields)
            while self._ledger.active(key) < max(2, slots):
                batch = waiting.take()
                if batch is None:
                    del self._waiting[key]
                    break
                self._ledger.add(key, batch, batch.deadline)
        while leases := self._ledger.assign():
            for lease in leases:
                self._send(lease)

    def _send(self, lease: Lease) -> None:
        job, batch = lease.job, lease.job.payload
        left_ms = int(1000 * (job.deadline - time.monotonic()))
        try:
            frames = wire.pack(wire.Job(
                j=job.id, a=lease.attempt, tok=lease.token, w=lease.worker.id, kind=batch.head.kind,
                f=job.field[0], fv=job.field[1], ms=max(1, left_ms), n=batch.rows, options=batch.head.options,
                columns=batch.columns()))
        except wire.WireError as error:
            self._ledger.unsend(lease)
            self._ledger.cancel(job)
            self._fail(batch, BadParameter(f"the request cannot be sent to a worker: {error}"))
            return
        if self._lanes.send_job(self._peers[lease.worker.id].lane, frames):
            self.stats["jobs_sent"] += 1
        else:
            self._ledger.unsend(lease)
            self._ledger.open_lane(lease.worker, False)

    def _drop_unwanted(self, request: Request) -> None:
        """Take jobs out of the ledger for which nobody waits any more."""
        if request.future.cancelled() or request.future.exception():
            for job in [j for j in self._ledger.jobs.values() if not j.payload.is_wanted()]:
                self._ledger.cancel(job)
            self._pump_soon()

    # Receiving

    def _on_control(self, worker_id: bytes, frames: list[bytes]) -> None:
        try:
            if len(worker_id) != wire.TOKEN_BYTES or worker_id[0] != 1:
                raise wire.WireError("not a worker's identity")
            message = wire.unpack(frames, wire.TO_GATEWAY)
        except wire.WireError as error:
            self.stats["bad_control"] += 1
            log.debug("control message dropped: %s", error)
            return
        now = time.monotonic()
        peer = self._peers.get(worker_id)
        if isinstance(message, wire.Hello):
            self._on_hello(worker_id, message, now)
        elif peer is None:
            if not isinstance(message, wire.Bye):
                self._lanes.tell(worker_id, wire.Who())
        elif isinstance(message, wire.Heartbeat):
            peer.rss_mb = message.rss_mb
            self._ledger.heartbeat(peer.worker, {job for job, _ in message.held} | set(message.out), now)
        elif isinstance(message, wire.Bounce):
            self._ledger.alive(peer.worker, now)
            self._ledger.bounce(message.jobs)
        elif isinstance(message, wire.Drain):
            self._ledger.drain(peer.worker, now)
            self._served.note(peer.worker, now)
        elif isinstance(message, wire.Bye):
            self._ledger.lose(peer.worker, is_blamed=False)
            self._forget(peer.worker, now)
        self._pump_soon()

    def _on_hello(self, worker_id: bytes, hello: wire.Hello, now: float) -> None:
        peer = self._peers.get(worker_id)
        if peer is None:
            try:
                lane = self._lanes.open_lane(lambda: self._on_lane(worker_id))
            except TransientError as error:
                log.warning("worker %s refused: %s", worker_id.hex()[:8], error)
                return
        else:
            self._served.note(peer.worker, now)
        keys = {(record["id"], record["sha"]) for record in hello.fields}
        worker = self._ledger.hello(worker_id, keys, hello.slots, now)
        if peer is None:
            peer = self._peers[worker_id] = Peer(worker, lane, hello)
            log.info("worker %s on %s (pid %d) joined", worker_id.hex()[:8], hello.host, hello.pid)
        peer.hello = hello
        self._served.records.update({record["id"]: record for record in hello.fields})
        self._lanes.tell(worker_id, wire.Welcome(
            gid=self._gid, lane=peer.lane.place, results=self._lanes.results_place, hb_ms=HEARTBEAT_MS,
            ttl_ms=int(1000 * self._ledger.ttl_s), credit=worker.credit))

    def _on_lane(self, worker_id: bytes) -> None:
        peer = self._peers.get(worker_id)
        if peer:
            self._ledger.open_lane(peer.worker, peer.lane.is_open())
            self._pump_soon()

    def _on_result(self, frames: list[Any]) -> None:
        try:
            result: wire.Result = wire.unpack(frames, wire.RESULTS)
            job = self._ledger.jobs.get(result.j)
            if job and result.st == "ok" and result.n != job.payload.rows:
                raise wire.WireError(f"{result.n} rows instead of {job.payload.rows}")
        except wire.WireError as error:
            self.stats["bad_results"] += 1
            log.debug("result dropped: %s", error)
            return
        verdict = self._ledger.result(result.j, result.tok, result.w, result.st == "ok")
        peer = self._peers.get(result.w)
        if verdict is Verdict.FORGED:
            return
        if peer:
            self._ledger.alive(peer.worker, time.monotonic())
            self._acks.setdefault(result.w, []).append(result.j)
            # An ACK costs as much as a job; small results may wait for the next tick in the worker's outbox.
            if len(self._acks[result.w]) >= ACKS_AT_ONCE or any(len(frame) > ACK_SOON_BYTES for frame in frames):
                self._send_acks()
        if verdict is Verdict.ACCEPTED and job:
            if result.err is None:
                job.payload.deliver(Answer(result.columns, result.shared, result.info, result.us))
            else:
                self._fail(job.payload, from_dict(result.err))
        self._pump_soon()

    def _send_acks(self) -> None:
        acks, self._acks = self._acks, {}
        for worker_id, jobs in acks.items():
            self._lanes.tell(worker_id, wire.Ack(jobs))

    def _fail(self, batch: Batch, error: CosmicFlowsError) -> None:
        """Fail a request; when several travelled together, run each alone first: one of them is to blame, not all."""
        if len(batch.pieces) == 1:
            batch.head.fail(error)
            return
        self.stats["isolated"] += 1
        waiting = self._waiting.setdefault(batch.head.field, Waiting())
        for piece in batch.pieces:
            waiting.put((piece,), [piece])
        self._pump_soon()

    # Time

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(TICK_S, self._tick)
        # First read what has arrived: after a pause of this process every worker would seem silent.
        self._lanes.receive()
        self._send_acks()
        now = time.monotonic()
        self._ping(now)
        for worker in self._ledger.tick(now):
            log.warning("worker %s lost", worker.id.hex()[:8])
            self._forget(worker, now)
        for job in self._ledger.take_ended():
            if job.error and job.state is State.FAILED:
                self._fail(job.payload, job.error)
        for request in self._requests:
            if now > request.deadline:
                request.fail(DeadlineExceeded("the request did not end within its time; try again, or ask for "
                                              "fewer rows"))
        self._fail_unserved(now)
        self._served.renew(self._workers(), (record for peer in self._peers.values() if not peer.worker.is_draining
                                             for record in peer.hello.fields), now)
        self._pump_soon()

    def _ping(self, now: float) -> None:
        is_due = now >= self._next_ping
        if is_due:
            self._next_ping = now + PING_S
        for worker_id, peer in self._peers.items():
            if is_due or peer.worker.suspect_since is not None:
                self._ledger.reach(peer.worker, self._lanes.tell(worker_id, wire.Pong(next(self._seq))), now)
            if not peer.worker.is_open:
                self._on_lane(worker_id)

    def _forget(self, worker: Worker, now: float) -> None:
        self._lanes.close_lane(self._peers.pop(worker.id).lane)
        self._served.note(worker, now)

    def _fail_unserved(self, now: float) -> None:
        """Fail what no worker has and none will have."""
        queued = self._ledger.queued()
        for key in {*self._waiting, *(job.field for job in queued)}:
            error = self._served.refusal(key, self._workers(), now)
            if error is None:
                continue
            waiting = self._waiting.pop(key, Waiting())
            pieces = [piece for group in waiting.groups.values() for piece in group]
            for job in queued:
                if job.field == key:
                    self._ledger.cancel(job)
                    pieces += job.payload.pieces
            for piece in pieces:
                piece.request.fail(from_dict(error.as_dict()))


def _draining() -> TransientError:
    return TransientError("the service is shutting down; try again in a few seconds", code="draining")


def _state_of(worker: Worker) -> str:
    if worker.is_draining:
        return "draining"
    return "ready" if worker.is_usable else "unreachable"


def _row_count(columns: Columns) -> int:
    lengths = {name: len(column) if column.ndim else 0 for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise BadParameter(f"columns of unequal length: {lengths}", where="columns")
    return next(iter(lengths.values()), 0)

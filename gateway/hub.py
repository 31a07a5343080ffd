"""The gateway's side of the protocol: messages in, messages out, work given away and taken back.

Owns the ledger and the peers. Knows no socket and no clock: `Post` carries the messages and every call says what time it
is, so that a seeded simulation can play it against the workers' side (tests/chaos). What the rules mean is told in
docs/wire.md; `dispatch.py` puts it on asyncio.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Any, Protocol

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, TransientError, from_dict

from .leases import FieldKey, Job, Lease, State, Verdict, Worker
from .ledger import Ledger
from .meters import Meters
from .pace import Pace
from .served import Served
from .work import Work

log = logging.getLogger("cosmicflows.dispatch")
HEARTBEAT_MS = 1000
PING_S = 0.25
ACKS_AT_ONCE = 32
ACK_SOON_BYTES = 64 << 10
OWN_IDS = 1 << 62
"""Jobs from here on live in memory only; below are those that somebody keeps, with ids of their own."""
PAUSE_S = 0.5
"""A gap between two ticks that is no lateness of the loop: this process stood still, and heard nobody."""
FIELD_GONE_S = 60.0
"""A kept job whose field version no worker has any more is given up after this time with workers around."""


class Gate(Protocol):
    """A lane to one worker."""

    place: int | str

    def is_open(self) -> bool:
        """Whether the worker is connected and its queue has room."""


class Post(Protocol):
    """What carries the messages."""

    results_place: int | str

    def tell(self, worker_id: bytes, message: wire.Message) -> bool:
        """Send on control; False when no such worker is connected."""

    def send_job(self, lane: Any, frames: list[object]) -> bool:
        """Send a packed job; False when the lane cannot carry it now."""

    def open_lane(self, on_change: Callable[[], None], worker_id: bytes) -> Gate:
        """Make a lane for a worker; `on_change` is called when it may have opened or closed."""

    def may_speak_for(self, worker_id: bytes) -> bool:
        """Whether the sender of the result that is handed over may answer for this worker."""

    def close_lane(self, lane: Any) -> None:
        """Close a lane."""


@dataclass(slots=True, eq=False)
class Peer:
    """What is kept of a worker beside the ledger's entry."""

    worker: Worker
    lane: Gate
    hello: wire.Hello
    beat: float | None = None
    rss_mb: int = 0
    cur: list[tuple[int, int]] | None = None
    done: int = 0
    crashes: int = 0


class Hub:
    """Give work to workers and take the results.

    Parameters
    ----------
    post : Post
        Carries the messages.
    served : Served
        Remembers which fields there are.
    changed : callable
        Called when there may be something to send: the caller then calls `pump`, once for many changes.
    limits_ms : (int, int)
        Most time one computation may take, interactive and bulk; 0 leaves it to the worker.
    meters : Meters, optional
        Where waiting and running times are noted.
    """

    def __init__(self, post: Post, served: Served, changed: Callable[[], None], *, limits_ms: tuple[int, int] = (0, 0),
                 meters: Meters | None = None) -> None:
        self.stats: Counter[str] = Counter()
        self.peers: dict[bytes, Peer] = {}
        self.served = served
        self.pace = {wire.INTERACTIVE: Pace(), wire.BULK: Pace()}
        self.ledger = Ledger(self._sign)
        self._post, self._changed = post, changed
        self._meters = meters or Meters()
        self._limits = dict(zip(wire.CLASSES, limits_ms, strict=True))
        self._gid = secrets.token_bytes(wire.TOKEN_BYTES)
        self.epoch, self._secret = 0, secrets.token_bytes(32)
        self._ids = count(OWN_IDS)
        self._acks: dict[bytes, list[int]] = {}
        self._unsettled: dict[int, set[bytes]] = {}
        self._gone_since: dict[FieldKey, float] = {}
        self._seq = count(1)
        self._next_ping = 0.0
        self._ticked = inf

    def identify(self, gid: bytes, epoch: int, secret: bytes) -> None:
        """Take the identity of a gateway that has lived before: workers then keep what they hold for it."""
        self._gid, self.epoch, self._secret = gid, epoch, secret
        self._ids = count(OWN_IDS + (epoch << 32))

    def _sign(self, job_id: int, attempt: int, worker_id: bytes) -> bytes:
        return hashlib.blake2b(b"%d %d " % (job_id, attempt) + worker_id, key=self._secret,
                               digest_size=wire.TOKEN_BYTES).digest()

    # Work

    def add(self, work: Work, key: FieldKey, deadline: float, *, cls: str = wire.INTERACTIVE, owner: str = "",
            job_id: int | None = None, suspicion: int = 0, now: float | None = None) -> Job:
        """Queue work; without an id it gets one that is good while this process lives."""
        job = self.ledger.add(next(self._ids) if job_id is None else job_id, key, work, deadline, cls=cls, owner=owner,
                              rows=work.rows, suspicion=suspicion)
        job.queued_at = now
        return job

    def withdraw(self, jobs: Iterable[Job], why: str) -> None:
        """End jobs nobody wants any more; workers are told to let go of them."""
        self._recall([lease for lease in map(self.ledger.cancel, jobs) if lease], why)

    def _recall(self, leases: Iterable[Lease], why: str) -> None:
        orders: dict[bytes, list[int]] = {}
        for lease in leases:
            orders.setdefault(lease.worker.id, []).append(lease.job.id)
        for worker_id, ids in orders.items():
            self._post.tell(worker_id, wire.Cancel(ids, why[:200]))

    def pump(self, now: float) -> None:
        """Send what can be sent."""
        is_again = True
        while is_again:
            is_again = False
            for lease in self.ledger.assign():
                # what a worker cannot get now may go to another one
                is_again |= not self._send(lease, now)

    def _send(self, lease: Lease, now: float) -> bool:
        job, work = lease.job, lease.job.payload
        left_ms = 0 if job.deadline == inf else max(1, int(1000 * (job.deadline - now)))
        try:
            frames = wire.pack(wire.Job(
                j=job.id, a=lease.attempt, tok=lease.token, w=lease.worker.id, kind=work.kind, f=job.field[0], fv=job.field[1],
                ms=left_ms, n=work.rows, options=work.options, columns=work.columns(), cls=job.cls,
                limit=self._limits[job.cls], tp=work.trace))
        except wire.WireError as error:
            self._give_up(lease, BadParameter(f"the request cannot be sent to a worker: {error}"))
        except CosmicFlowsError as error:
            self._give_up(lease, error)
        else:
            if self._post.send_job(self.peers[lease.worker.id].lane, frames):
                self.stats["jobs_sent"] += 1
                if job.queued_at is not None:
                    self._meters.observe("job_queue", now - job.queued_at, job.cls)
                    job.queued_at = None
                return True
            self.ledger.unsend(lease)
            self.ledger.open_lane(lease.worker, False)
        return False

    def _give_up(self, lease: Lease, error: CosmicFlowsError) -> None:
        self.ledger.unsend(lease)
        self.ledger.fail(lease.job)
        lease.job.payload.refuse(error)

    # Control

    def on_control(self, worker_id: bytes, frames: Sequence[Any], now: float) -> None:
        """Take a message from the control socket; one that is not right as a whole changes nothing."""
        try:
            if len(worker_id) != wire.TOKEN_BYTES or worker_id[0] != 1:
                raise wire.WireError("not a worker's identity")
            message = wire.unpack(frames, wire.TO_GATEWAY)
        except wire.WireError as error:
            self.stats["bad_control"] += 1
            log.debug("control message dropped: %s", error)
            return
        peer = self.peers.get(worker_id)
        if isinstance(message, wire.Hello):
            self._on_hello(worker_id, message, now)
        elif peer is None:
            if not isinstance(message, wire.Bye):
                self._post.tell(worker_id, wire.Who())
        elif isinstance(message, wire.Heartbeat):
            if peer.beat is not None:
                self._meters.observe("heartbeat_lag", max(0.0, now - peer.beat - HEARTBEAT_MS / 1000))
            peer.beat, peer.rss_mb, peer.cur = now, message.rss_mb, message.cur
            self.ledger.heartbeat(peer.worker, {job for job, _ in message.held} | set(message.out), now)
        elif isinstance(message, wire.Bounce):
            self.ledger.alive(peer.worker, now)
            self.ledger.bounce(message.jobs, message.why)
        elif isinstance(message, wire.Drain):
            self.ledger.drain(peer.worker, now)
            self.served.note(peer.worker, now)
        elif isinstance(message, wire.Bye):
            self.ledger.lose(peer.worker, is_blamed=False)
            self._forget(peer.worker, now)
        self._changed()

    def _on_hello(self, worker_id: bytes, hello: wire.Hello, now: float) -> None:
        peer = self.peers.get(worker_id)
        if peer is None or hello.fresh:
            try:
                lane = self._post.open_lane(lambda: self.on_lane(worker_id), worker_id)
            except TransientError as error:
                log.warning("worker %s refused: %s", worker_id.hex()[:8], error)
                return
        if peer is not None:
            self.served.note(peer.worker, now)
            if hello.fresh:
                # the worker found its connections silent: a lane that bytes vanish in must not get any more jobs
                self._post.close_lane(peer.lane)
                peer.lane = lane
                self.ledger.open_lane(peer.worker, lane.is_open())
        keys = {(record["id"], record["sha"]) for record in hello.fields}
        worker = self.ledger.hello(worker_id, keys, hello.slots, now, reserve=min(hello.reserve, hello.slots - 1),
                                   held=hello.held, out=hello.out)
        if peer is None:
            peer = self.peers[worker_id] = Peer(worker, lane, hello)
            log.info("worker %s on %s (pid %d) joined", worker_id.hex()[:8], hello.host, hello.pid)
        peer.hello = hello
        self.served.records.update({record["id"]: record for record in hello.fields})
        self._post.tell(worker_id, wire.Welcome(
            gid=self._gid, lane=peer.lane.place, results=self._post.results_place, hb_ms=HEARTBEAT_MS,
            ttl_ms=int(1000 * self.ledger.ttl_s), credit=worker.credit, epoch=self.epoch))

    def on_lane(self, worker_id: bytes) -> None:
        """Look whether the lane of a worker is open."""
        peer = self.peers.get(worker_id)
        if peer:
            self.ledger.open_lane(peer.worker, peer.lane.is_open())
            self._changed()

    def expel(self, worker_ids: Iterable[bytes], now: float) -> None:
        """Part from workers that may not work for us any more; others get their jobs."""
        for worker_id in worker_ids:
            peer = self.peers.get(worker_id)
            if peer:
                log.warning("worker %s on %s given up: its key was revoked", worker_id.hex()[:8], peer.hello.host,
                            extra={"worker": worker_id.hex()[:8], "why": "revoked"})
                self.ledger.lose(peer.worker, is_blamed=False)
                self._forget(peer.worker, now)
        self._changed()

    def ask_to_drain(self, handle: str) -> bool:
        """Ask a worker, by the handle that `workers` shows, to finish what it holds and leave; False when it is not here."""
        return any(self._post.tell(worker_id, wire.AskDrain()) for worker_id in list(self.peers) if _handle(worker_id) == handle)

    # Results

    def on_result(self, frames: list[Any], now: float) -> None:
        """Take a message from the results socket."""
        try:
            result: wire.Result = wire.unpack(frames, wire.RESULTS)
            if not self._post.may_speak_for(result.w):
                raise wire.WireError("a result in the name of another key's worker")
        except wire.WireError as error:
            self.stats["bad_results"] += 1
            log.debug("result dropped: %s", error)
            return
        job = self.ledger.jobs.get(result.j)
        if why := _misfit(job, result, frames):
            # not dropped in silence: its worker would send the same again for an hour, and nobody else would get the job
            self.stats["bad_results"] += 1
            result.st, result.err = "crash", InternalError(why, code="bad_result").as_dict()
        verdict = self.ledger.result(result.j, result.a, result.tok, result.w, result.st, result.sha)
        if verdict is Verdict.FORGED:
            return
        peer = self.peers.get(result.w)
        if peer:
            self.ledger.alive(peer.worker, now)
            peer.done += result.st in ("ok", "error")
            peer.crashes += result.st in ("crash", "timeout")
        if result.st in ("crash", "timeout"):
            log.warning("a computation failed: %s", (result.err or {}).get("message"), extra={
                "job": result.j, "attempt": result.a, "worker": result.w.hex()[:8], "why": result.st})
        is_large = sum(map(len, frames)) > ACK_SOON_BYTES
        if verdict is not Verdict.ACCEPTED and result.j in self._unsettled:
            self._unsettled[result.j].add(result.w)  # sent again before the first one was safe: it waits for the same moment
        elif verdict is Verdict.ACCEPTED and job and result.err is None:
            if job.payload.kind != "preview":
                # the one row of a preview is no galaxy: it would tell all others to expect a slow crowd
                self.pace[job.cls].done(job.rows, result.us * 1e-6)
            self._meters.observe("job_run", 1e-6 * result.us, job.cls)
            if job.cls == wire.BULK:
                self._unsettled[result.j] = {result.w}
                job.payload.accept(result, lambda: self._settle(result.j))
            else:
                self._ack(result.w, result.j, is_large)
                job.payload.accept(result, _nothing)
        else:
            self._ack(result.w, result.j, is_large)
            if verdict is Verdict.ACCEPTED and job and result.err is not None:
                error = from_dict(result.err)
                (job.payload.quarantine if job.state is State.QUARANTINED else job.payload.refuse)(error)
        self._changed()

    def _settle(self, job_id: int) -> None:
        for worker_id in self._unsettled.pop(job_id, ()):
            self._ack(worker_id, job_id, False)

    def _ack(self, worker_id: bytes, job_id: int, is_large: bool) -> None:
        if worker_id not in self.peers:
            return
        waiting = self._acks.setdefault(worker_id, [])
        waiting.append(job_id)
        # An ACK costs as much as a job; small results may wait for the next tick in the worker's outbox.
        if is_large or len(waiting) >= ACKS_AT_ONCE:
            self.send_acks()

    def send_acks(self) -> None:
        """Tell the workers which results have arrived."""
        acks, self._acks = self._acks, {}
        for worker_id, jobs in acks.items():
            self._post.tell(worker_id, wire.Ack(jobs))

    # Time

    def tick(self, now: float) -> None:
        """Let time pass; whatever has arrived must have been handed over before, or a pause of ours would look like theirs."""
        if now - self._ticked > PAUSE_S:
            # not all of it may have been handed over: after a pause the threads of ZeroMQ have their own backlog to read
            self.ledger.excuse(now - self._ticked, now)
        self._ticked = now
        self.send_acks()
        self._ping(now)
        for worker in self.ledger.tick(now):
            log.warning("worker %s lost", worker.id.hex()[:8], extra={"worker": worker.id.hex()[:8], "why": "lost"})
            self._forget(worker, now)
        ended = self.ledger.take_ended()
        self._recall([job.lease for job in ended if job.lease and job.state is State.EXPIRED], "its time is over")
        for job in ended:
            assert job.error is not None
            (job.payload.quarantine if job.state is State.QUARANTINED else job.payload.refuse)(job.error)
        self._drop_gone(now)
        workers = self.ledger.workers.values()
        self.served.renew(workers, (record for peer in self.peers.values() if not peer.worker.is_draining
                                    for record in peer.hello.fields), now)
        self._changed()

    def _ping(self, now: float) -> None:
        is_due = now >= self._next_ping
        if is_due:
            self._next_ping = now + PING_S
        for worker_id, peer in list(self.peers.items()):
            if is_due or peer.worker.suspect_since is not None:
                self.ledger.reach(peer.worker, self._post.tell(worker_id, wire.Pong(next(self._seq))), now)
            if not peer.worker.is_open:
                self.on_lane(worker_id)

    def _forget(self, worker: Worker, now: float) -> None:
        self._post.close_lane(self.peers.pop(worker.id).lane)
        self.served.note(worker, now)

    def _drop_gone(self, now: float) -> None:
        """Fail waiting requests that no worker can serve; kept jobs only when their field has long been replaced."""
        waited = self.ledger.keys_waited_for()
        self._gone_since = {key: since for key, since in self._gone_since.items() if key in waited}
        for key in waited:
            error = self.served.refusal(key, self.ledger.workers.values(), now)
            if error is None:
                self._gone_since.pop(key, None)
                continue
            is_gone = error.code != "no_worker" and now - self._gone_since.setdefault(key, now) > FIELD_GONE_S
            for job in self.ledger.queued(key):
                if job.cls == wire.INTERACTIVE or is_gone:
                    self.ledger.fail(job)
                    job.payload.refuse(from_dict(error.as_dict()))

    # What there is to know

    def counters(self) -> dict[str, int]:
        """Return every count since the start."""
        return dict(self.stats + self.ledger.counts)

    def workers(self, now: float) -> list[dict[str, Any]]:
        """Describe the connected workers."""
        return [{"id": _handle(worker_id), "host": peer.hello.host, "pid": peer.hello.pid, "version": peer.hello.ver,
                 "abi": peer.hello.abi, "fields": sorted(name for name, _ in peer.worker.fields),
                 "versions": {name: sha[:8] for name, sha in sorted(peer.worker.fields)}, "slots": peer.worker.slots,
                 "reserve": peer.worker.slots - peer.worker.bulk_slots, "jobs": len(peer.worker.leases),
                 "current": [{"job": job, "ms": ms} for job, ms in peer.cur or ()], "done": peer.done,
                 "crashes": peer.crashes, "rss_mb": peer.rss_mb, "silent_s": round(now - peer.worker.seen, 3),
                 "state": _state_of(peer.worker)}
                for worker_id, peer in self.peers.items()]


def _misfit(job: Job | None, result: wire.Result, frames: Sequence[Any]) -> str:
    """Say why a result cannot be that of its job; empty when it can."""
    if job is None or result.st != "ok":
        return ""
    if result.n != job.payload.rows:
        return f"the result has {result.n} rows instead of {job.payload.rows}"
    if job.cls == wire.BULK and result.sha and wire.digest(frames[2:]) != result.sha:
        return "the columns of the result are not those it was signed for"
    return ""


def _handle(worker_id: bytes) -> str:
    # whoever knows the whole of it, and has a key, could stand in a worker's place for a while: half of it names it well
    return worker_id.hex()[:16]


def _nothing() -> None:
    pass


def _state_of(worker: Worker) -> str:
    if worker.is_draining:
        return "draining"
    return "ready" if worker.is_usable else "unreachable"

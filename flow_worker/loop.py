"""The loop of a worker: join the gateway, take jobs, send results until they are acknowledged.

The main thread talks and never computes; one compute thread computes and never talks. So heartbeats go on during a
long job, since the kernels release the GIL. What is computed is injected (`Computer`); this module knows no physics.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import zmq

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, InternalError

log = logging.getLogger("cosmicflows.worker")
RESEND_S, RESEND_MAX_S = 2.0, 30.0
SEND_AT_MOST = 10
OUTBOX_MAX = 256
DRAIN_S = 9.0
DESERTED_S = 1.0
HELLO_AGAIN_S = 1.0
SILENCE_S = 4.0
Columns = dict[str, np.ndarray]


class Computer(Protocol):
    """What a worker computes with. `fields` and `changed` are called while `compute` runs in another thread."""

    def fields(self) -> list[dict[str, object]]:
        """Return a record per field: id, sha, version, default, free plain data; the last of equal ids is current."""

    def changed(self) -> bool:
        """Whether `fields` would now answer differently than last time; must be cheap."""

    def compute(self, kind: str, field: str, sha: str, options: dict[str, object],
                columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
        """Return columns with one entry per row, columns common to all rows, and plain facts."""


@dataclass(slots=True, eq=False)
class Sent:
    """A result on its way, kept until the gateway has it."""

    frames: list[Any]
    due: float = 0.0
    wait_s: float = RESEND_S
    times: int = 0


@dataclass(slots=True, eq=False)
class Session:
    """What the gateway told us in its WELCOME."""

    gid: bytes = b""
    lane: str = ""
    results: str = ""
    hb_s: float = 1.0
    ttl_s: float = SILENCE_S
    credit: int = 0


class ComputeThread(threading.Thread):
    """Run jobs one after the other; `done` collects (job, packed result), `wake` is called after each."""

    def __init__(self, computer: Computer, wake: Callable[[], None]) -> None:
        super().__init__(name="compute", daemon=True)
        self.todo: queue.SimpleQueue[tuple[wire.Job, float]] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[wire.Job, list[Any]]] = queue.SimpleQueue()
        self.current: wire.Job | None = None
        self.dropped: set[bytes] = set()
        self._computer, self._wake = computer, wake

    def run(self) -> None:
        """Work until the process ends."""
        while True:
            job, deadline = self.todo.get()
            if job.tok in self.dropped:
                self.dropped.discard(job.tok)
                continue
            self.current = job
            frames = self._answer(job, deadline)
            # in this order: at no moment is the job neither current nor done
            self.done.put((job, frames))
            self.current = None
            self._wake()

    def _answer(self, job: wire.Job, deadline: float) -> list[Any]:
        begin = time.perf_counter_ns()
        try:
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the request waited in the worker until its time was over")
            columns, shared, info = self._computer.compute(job.kind, job.f, job.fv, job.options, job.columns)
            us = (time.perf_counter_ns() - begin) // 1000
            return wire.pack(wire.Result(j=job.j, a=job.a, tok=job.tok, w=job.w, st="ok", n=job.n, us=us, info=info,
                                         columns=columns, shared=shared))
        except CosmicFlowsError as error:
            return _error_frames(job, error, begin)
        except Exception:
            log.exception("job %d (%s) failed", job.j, job.kind)
            fault = InternalError("the worker failed on this request; its log has the details")
            return _error_frames(job, fault, begin)


def _error_frames(job: wire.Job, error: CosmicFlowsError, begin: int) -> list[Any]:
    us = (time.perf_counter_ns() - begin) // 1000
    result = wire.Result(j=job.j, a=job.a, tok=job.tok, w=job.w, st="error", n=0, us=us, err=error.as_dict())
    try:
        frames = wire.pack(result)
        wire.unpack(frames, wire.RESULTS)
    except wire.WireError:
        # Details that cannot travel must not hide the failure itself.
        plain = {"kind": error.kind, "code": error.code, "message": error.message[:1000], "where": error.where}
        frames = wire.pack(wire.Result(j=job.j, a=job.a, tok=job.tok, w=job.w, st="error", n=0, us=us, err=plain))
    return frames


class Worker:
    """Hold the connection to one gateway.

    Parameters
    ----------
    connect : str
        `ipc:///folder` or `tcp://HOST:PORT`, the address the gateway was given as its bus.
    computer : Computer
        Does the work.
    parent_fd : int, optional
        Read end of a pipe whose write end the parent holds; its end means that the parent has died.
    version : str
        Told to the gateway.
    """

    def __init__(self, connect: str, computer: Computer, *, parent_fd: int | None = None, version: str = "0") -> None:
        self.id = b"\x01" + os.urandom(15)
        self._control_end, self._host = control_endpoint(connect)
        self._computer, self._parent_fd, self._version = computer, parent_fd, version
        self._session = Session()
        self._held: dict[int, wire.Job] = {}
        self._outbox: dict[int, Sent] = {}
        self._is_draining = self._is_alone = False
        self._hello_due: float = 0.0
        self._heard = self._next_beat = time.monotonic()
        self._seq = 0
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._thread = ComputeThread(computer, self._wake)
        self._context: zmq.Context[zmq.Socket] = zmq.Context()
        self._control = self._socket(zmq.DEALER, wire.MAX_CONTROL, {zmq.IMMEDIATE: 1, zmq.ROUTING_ID: self.id})
        self._results = self._socket(zmq.PUSH, wire.MAX_FRAME, {zmq.IMMEDIATE: 1, zmq.SNDHWM: 1000})
        self._lane = self._socket(zmq.PULL, wire.MAX_FRAME, {zmq.RCVHWM: 64})

    def drain(self, *_: object) -> None:
        """Finish what is held, take nothing new, leave; a signal handler, too."""
        if self._is_draining:
            return
        self._is_draining = True
        self._leave_by = time.monotonic() + DRAIN_S
        self._wake()

    def run(self) -> None:
        """Work until drained. A gateway that goes away is waited for, however long."""
        self._thread.start()
        self._control.connect(self._control_end)
        poller = zmq.Poller()
        for source in (self._lane, self._control, self._wake_in, self._parent_fd):
            if source is not None:
                poller.register(source, zmq.POLLIN)
        has_told = False
        while True:
            # Awaiting the chance to say HELLO, any writable moment counts.
            poller.modify(self._control, zmq.POLLIN | (zmq.POLLOUT if self._is_hello_due() else 0))
            events = dict(poller.poll(self._pause_ms()))
            if self._parent_fd in events and not os.read(self._parent_fd, 1):
                os._exit(0)
            if self._wake_in in events:
                os.read(self._wake_in, 4096)
            self._read_control()
            self._collect()
            self._read_lane()
            self._keep_time()
            if self._is_draining:
                has_told = has_told or self._tell(wire.Drain())
                if self._may_leave():
                    break
        self._tell(wire.Bye())
        self._context.destroy(linger=200)

    # In

    def _read_control(self) -> None:
        while True:
            try:
                frames = self._control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.unpack(frames, wire.TO_WORKER)
            except wire.WireError as error:
                log.warning("message of the gateway dropped: %s", error)
                continue
            self._heard = time.monotonic()
            if isinstance(message, wire.Welcome):
                self._on_welcome(message)
            elif isinstance(message, wire.Who):
                self._hello_due = min(self._hello_due, self._heard)
            elif isinstance(message, wire.Ack):
                for job in message.jobs:
                    self._outbox.pop(job, None)

    def _on_welcome(self, welcome: wire.Welcome) -> None:
        old = self._session
        new = Session(welcome.gid, self._endpoint(welcome.lane), self._endpoint(welcome.results),
                      welcome.hb_ms / 1000, welcome.ttl_ms / 1000, welcome.credit)
        self._session, self._hello_due, self._is_alone = new, float("inf"), False
        if (new.gid, new.lane) == (old.gid, old.lane):
            return
        # The gateway had given us up (or is another one): others run our jobs by now. Keep the one that is running, and
        # what has just been done.
        running = self._thread.current
        self._collect()
        for job in [job for job in self._held.values() if job is not running]:
            self._thread.dropped.add(job.tok)
            del self._held[job.j]
        if new.gid != old.gid:
            self._held.clear()
            self._outbox.clear()
        _reconnect(self._lane, old.lane, new.lane)
        _reconnect(self._results, old.results, new.results)
        log.info("joined the gateway at %s", self._control_end)

    def _read_lane(self) -> None:
        refused: list[tuple[int, bytes]] = []
        while True:
            try:
                frames = self._lane.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            try:
                job: wire.Job = wire.unpack(frames, wire.LANE)
            except wire.WireError as error:
                log.warning("job dropped: %s", error)
                continue
            if job.j in self._outbox:
                self._outbox[job.j].due = 0.0
            elif job.j in self._held:
                log.debug("job %d is here already", job.j)
            elif job.w != self.id or self._is_draining or self._is_full():
                refused.append((job.j, job.tok))
            else:
                self._held[job.j] = job
                self._thread.todo.put((job, time.monotonic() + job.ms / 1000))
        if refused:
            self._tell(wire.Bounce(refused[:OUTBOX_MAX], "draining" if self._is_draining else "not for me"))

    def _collect(self) -> None:
        while not self._thread.done.empty():
            job, frames = self._thread.done.get()
            if self._held.get(job.j) is job:
                del self._held[job.j]
                self._outbox[job.j] = Sent(frames)

    # Out

    def _keep_time(self) -> None:
        now = time.monotonic()
        for job_id, sent in list(self._outbox.items()):
            if now < sent.due:
                continue
            if sent.times >= SEND_AT_MOST:
                # Some four minutes without an ACK from a gateway that lives: it does not know the job.
                log.warning("the result of job %d was never acknowledged; dropped", job_id)
                del self._outbox[job_id]
                continue
            self._send_result(sent, now)
        if now - self._heard > self._session.ttl_s:
            if not self._is_alone:
                self._is_alone = True
                log.warning("the gateway at %s is silent; waiting for it" if self._session.gid else
                            "no gateway at %s yet; waiting for it", self._control_end)
            self._heard = now
            _reconnect(self._control, self._control_end, self._control_end)
            self._hello_due = min(self._hello_due, now)
        if now >= self._next_beat:
            self._next_beat = now + self._session.hb_s
            if self._computer.changed():
                self._hello_due = min(self._hello_due, now)
            if self._session.gid:
                self._seq += 1
                self._tell(wire.Heartbeat(self._seq, self._pairs(), list(self._outbox), _rss_mb()))
        if self._is_hello_due():
            hello = wire.Hello(socket.gethostname(), os.getpid(), self._version, self._computer.fields(), 1,
                               self._pairs(), list(self._outbox))
            if self._tell(hello):
                self._hello_due = now + HELLO_AGAIN_S

    def _send_result(self, sent: Sent, now: float) -> None:
        try:
            self._results.send_multipart(sent.frames, zmq.NOBLOCK)
        except zmq.Again:
            sent.due = now + 0.05
        else:
            sent.times += 1
            sent.due = now + sent.wait_s
            sent.wait_s = min(2 * sent.wait_s, RESEND_MAX_S)

    def _tell(self, message: wire.Message) -> bool:
        try:
            self._control.send_multipart(wire.pack(message), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    # Inside

    def _pairs(self) -> list[tuple[int, int]]:
        return [(job.j, job.a) for job in self._held.values()]

    def _may_leave(self) -> bool:
        now = time.monotonic()
        # Nobody is left to acknowledge a result when the gateway, too, has gone.
        is_deserted = now - self._heard > DESERTED_S
        return now > self._leave_by or not self._held and (is_deserted or not self._outbox)

    def _is_full(self) -> bool:
        # One above the credit: the job that runs since before the gateway gave us up is not in its count.
        return len(self._held) > self._session.credit or len(self._outbox) >= OUTBOX_MAX

    def _is_hello_due(self) -> bool:
        return not self._is_draining and time.monotonic() >= self._hello_due

    def _pause_ms(self) -> int:
        now = time.monotonic()
        dues = [self._next_beat, self._heard + self._session.ttl_s, *(sent.due for sent in self._outbox.values())]
        if self._is_draining:
            dues += [self._leave_by, now + 0.1]
        elif self._hello_due > now:
            dues.append(self._hello_due)
        return max(0, min(1000, int(1000 * (min(dues) - now)) + 1))

    def _wake(self) -> None:
        try:
            os.write(self._wake_out, b"w")
        except BlockingIOError:
            pass  # a full pipe wakes as well

    def _endpoint(self, place: int | str) -> str:
        return place if isinstance(place, str) else f"tcp://{self._host}:{place}"

    def _socket(self, kind: int, limit: int, options: dict[int, Any]) -> zmq.Socket:
        socket_ = self._context.socket(kind)
        for name, value in ({zmq.LINGER: 0, zmq.MAXMSGSIZE: limit, zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 15,
                             zmq.HANDSHAKE_IVL: 5000, zmq.RECONNECT_IVL: 100, zmq.RECONNECT_IVL_MAX: 2000,
                             zmq.IPV6: int("[" in self._host)} | options).items():
            socket_.set(name, value)
        return socket_


def control_endpoint(connect: str) -> tuple[str, str]:
    """Return the control endpoint of a bus address, and the host its other ports are on ("" for ipc)."""
    scheme, _, rest = connect.partition("://")
    if scheme == "ipc" and rest.startswith("/"):
        return f"ipc://{rest.rstrip('/')}/control", ""
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal():
        raise BadParameter(f"{connect!r} is no address of a gateway; write ipc:///folder or tcp://HOST:5573",
                           where="connect")
    return connect, host


def run(connect: str, computer: Computer, *, parent_fd: int | None = None, version: str = "0") -> None:
    """Run a worker in this process until SIGTERM or Ctrl-C drains it, a second Ctrl-C ends it at once."""
    # The threads take turns on the GIL; 5 ms, the default turn, is longer than most jobs.
    sys.setswitchinterval(0.0005)
    worker = Worker(connect, computer, parent_fd=parent_fd, version=version)

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        worker.drain()

    signal.signal(signal.SIGTERM, worker.drain)
    signal.signal(signal.SIGINT, interrupt)
    worker.run()


def _reconnect(socket_: zmq.Socket, old: str, new: str) -> None:
    if old:
        try:
            socket_.disconnect(old)
        except zmq.ZMQError:
            pass  # libzmq has dropped it already
    socket_.connect(new)


def _rss_mb() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
    except (OSError, ValueError):
        return 0

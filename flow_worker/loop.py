"""The supervisor of a worker: join the gateway, hand jobs to compute children, send results until they are acknowledged.

A thin shell: it moves bytes between sockets and children and asks `Manners` what to do. It never computes, so nothing a
job does can stop its heartbeats; what is computed is made in the children by a factory that the start names.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zmq

from cfcore import wire
from cfcore.errors import BadParameter, UsageError

from .bench import Facts, Gone, Join, Kill, Leave, Post, Rejoin, Run, Say, Spawn
from .children import Children, Recipe, memory_mb
from .framing import READY, REFUSED
from .manners import Manners

log = logging.getLogger("cosmicflows.worker")
Columns = dict[str, np.ndarray]
SMALL_BYTES, ZERO_COPY_BYTES = 4 << 10, 256 << 10
"""What is quicker copied than looked after, and what is not copied when it is sent."""
JOBS_AT_ONCE = 64
LOCAL = ("", "127.0.0.1", "localhost", "[::1]")
CURVE_ROOM = 1 << 10
"""MAXMSGSIZE counts encrypted bytes."""
BYE_MS = 200
NOW, NOW_AND_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
EVENTS, INCOMING, OUTGOING = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.POLLOUT)
"""As plain numbers: every use of an enum costs as much as the frame that is sent with it."""
SEND = zmq.backend.Socket.send
"""What Socket.send ends in, at a third of its cost; takes frame, flags, whether to copy."""


class Fields(Protocol):
    """What a worker can serve."""

    def fields(self) -> list[dict[str, object]]:
        """Return a record per field: id, sha, version, default, free plain data; the last of equal ids is current."""

    def changed(self) -> bool:
        """Whether `fields` would now answer differently than last time. Both must be quick: heartbeats wait for them."""


class Worker:
    """Hold the connection to one gateway.

    Parameters
    ----------
    connect : str
        `ipc:///folder` or `tcp://HOST:PORT`, the address the gateway was given as its bus.
    open_fields : callable
        Makes the `Fields`, while the first child is starting.
    recipe : Recipe
        Makes the children.
    slots, reserve : int
        Children, and how many of them never compute a bulk job.
    parent_fd : int, optional
        Read end of a pipe whose write end the parent holds; its end means that the parent has died.
    version, abi : str, int
        Told to the gateway.
    key : Path, optional
        File with this host's keys: everything is then encrypted.
    """

    def __init__(self, connect: str, open_fields: Callable[[], Fields], recipe: Recipe, *, slots: int = 1, reserve: int = 0,
                 parent_fd: int | None = None, version: str = "0", abi: int = 0, key: Path | None = None) -> None:
        if not 1 <= slots <= 64:
            raise BadParameter(f"slots = {slots} lies outside 1 ... 64", where="slots")
        if not 0 <= reserve < slots:
            raise BadParameter(f"reserve = {reserve} must leave one of {slots} slots for bulk jobs: 0 ... {slots - 1}",
                               where="reserve")
        self.id = b"\x01" + os.urandom(15)
        self._control_end, self._host = control_endpoint(connect)
        self._parent_fd = parent_fd
        self._curve = _curve(key)
        self._lane_end = self._results_end = ""
        # a gateway that other hosts can reach turns strangers away without a word, so the word is said here
        self._doubt = "" if self._host in LOCAL else (
            " (it admits known keys only: cosmicflows keys list, on its host, tells whether this one is among them)" if key else
            " (it admits workers with a key only: name yours with --key FILE)")
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._poller = select.epoll()
        self._children = Children(recipe, self._poller)
        self._open_fields = open_fields
        self._must_drain = self._is_control_due = self._is_lane_due = False
        self._manners = Manners(Facts(self.id, socket.gethostname()[:255], os.getpid(), version, abi, slots, reserve),
                                time.monotonic())
        self._context: zmq.Context[zmq.Socket] = zmq.Context()
        self._control = self._socket(zmq.DEALER, wire.MAX_CONTROL, {zmq.IMMEDIATE: 1, zmq.ROUTING_ID: self.id})
        self._results = self._socket(zmq.PUSH, wire.MAX_FRAME, {zmq.IMMEDIATE: 1, zmq.SNDHWM: 1000})
        self._lane = self._socket(zmq.PULL, wire.MAX_FRAME, {zmq.RCVHWM: 64})

    def drain(self, *_: object) -> None:
        """Finish what is held, take nothing new, leave; a signal handler, too."""
        self._must_drain = True
        try:
            os.write(self._wake_out, b"d")
        except BlockingIOError:
            pass  # a full pipe wakes as well

    def run(self) -> None:
        """Work until drained. A gateway that goes away is waited for, however long.

        Raises
        ------
        CosmicFlowsError
            When the fields cannot be opened, or the first child refuses to start.
        """
        manners = self._manners
        try:
            self._control.connect(self._control_end)
            self._lane_fd, self._control_fd = self._lane.get(zmq.FD), self._control.get(zmq.FD)
            for source in (self._lane_fd, self._control_fd, self._wake_in, self._parent_fd):
                if source is not None:
                    self._poller.register(source, select.EPOLLIN)
            manners.tick(time.monotonic(), False)
            self._act()
            self._fields = self._open_fields()
            manners.advertise(self._fields.fields(), time.monotonic())
            self._next_look = time.monotonic() + 1.0
            while not manners.has_left:
                self._turn()
        finally:
            self._children.close()
            self._context.destroy(linger=BYE_MS if manners.has_left else 0)

    def _turn(self) -> None:
        events = self._poller.poll(self._pause_s())
        now = time.monotonic()
        for fd, _ in events:
            if fd == self._lane_fd:
                self._is_lane_due = True
            elif fd == self._control_fd:
                self._is_control_due = True
            elif fd == self._wake_in:
                os.read(self._wake_in, 4096)
            elif fd == self._parent_fd and not os.read(self._parent_fd, 1):
                os._exit(0)  # the children follow by themselves
        # What has arrived comes before what is due: after a pause of this process all would seem late.
        if self._is_control_due:
            self._read_control(now)
        for seat, what in self._children.events(events):
            self._on_child(seat, what, now)
        if self._is_lane_due:
            self._read_lane(now)
        if now >= self._next_look:
            self._look_around(now)
        if self._must_drain:
            self._manners.drain(now)
        self._children.keep_time(now)
        was_alone = self._manners.is_alone
        self._manners.tick(now, self._manners.has_words(now) and self._can_talk())
        if self._manners.is_alone and not was_alone:
            log.warning("the gateway at %s is silent; waiting for it%s" if self._manners.session.gid else
                        "no gateway at %s yet; waiting for it%s", self._control_end, self._doubt)
        self._act()

    # In

    # ZeroMQ's descriptor tells once that something came, and any other call on the socket may eat that notice. Hence: read
    # until nothing is left, and after each send or look at the control socket (`_is_control_due`) read again before waiting.

    def _read_control(self, now: float) -> None:
        self._is_control_due = False
        while frames := _receive(self._control):
            try:
                self._manners.heard(wire.unpack(frames, wire.TO_WORKER), now)
            except wire.WireError as error:
                log.warning("message of the gateway dropped: %s", error)

    def _read_lane(self, now: float) -> None:
        for _ in range(JOBS_AT_ONCE):
            frames = _receive(self._lane)
            if not frames:
                self._is_lane_due = False
                return
            try:
                job = wire.unpack(frames, wire.LANE, with_columns=False)
            except wire.WireError as error:
                log.warning("job dropped: %s", error)
            else:
                self._manners.offered(job, frames, now)

    def _on_child(self, seat: int, what: list[Any] | Gone, now: float) -> None:
        if isinstance(what, Gone):
            # Was a field cut under the child? Then the job is not to blame.
            self._look_at_fields(now)
            self._manners.gone(seat, what, now)
            if self._manners.refusal is not None:
                raise UsageError(self._manners.refusal, code="child_refused")
        elif what[0] == READY:
            self._manners.ready(seat, now)
        elif what[0] == REFUSED:
            self._manners.declined(seat, bytes(what[1]).decode("utf-8", "replace"), now)
        else:
            self._manners.answered(seat, what, now)

    def _look_around(self, now: float) -> None:
        self._next_look = now + self._manners.session.hb_s
        self._manners.rss_mb = memory_mb(self._children.pids())
        self._look_at_fields(now)

    def _look_at_fields(self, now: float) -> None:
        if self._fields.changed():
            self._manners.advertise(self._fields.fields(), now)

    # Out

    def _act(self) -> None:
        while actions := self._manners.do():
            for action in actions:
                if type(action) is Post:
                    self._post(action)
                elif type(action) is Run:
                    self._children.run(action.seat, action.frames)
                elif type(action) is Say:
                    self._tell(action.message)
                elif type(action) is Spawn:
                    if failure := self._children.spawn(action.seat):
                        self._manners.gone(action.seat, failure, time.monotonic())
                elif type(action) is Kill:
                    self._children.kill(action.seat, is_asked=action.is_asked)
                elif type(action) is Join:
                    self._join(action)
                elif type(action) is Rejoin:
                    _reconnect(self._control, self._control_end, self._control_end)
                elif type(action) is Leave:
                    return

    def _can_talk(self) -> bool:
        events = self._control.get(EVENTS)
        self._is_control_due = bool(events & INCOMING)
        return bool(events & OUTGOING)

    def _post(self, post: Post) -> None:
        try:
            _send(self._results, post.frames)
        except zmq.Again:
            self._manners.unsent(post.job, time.monotonic())

    def _tell(self, message: wire.Message) -> None:
        self._is_control_due = True
        try:
            _send(self._control, wire.pack(message))
        except zmq.Again:
            pass  # said again with the next heartbeat, or found out by it

    def _join(self, join: Join) -> None:
        lane, results = self._endpoint(join.lane), self._endpoint(join.results)
        _reconnect(self._lane, self._lane_end, lane)
        _reconnect(self._results, self._results_end, results)
        self._lane_end, self._results_end = lane, results
        self._is_lane_due = True
        log.info("joined the gateway at %s", self._control_end)

    # Inside

    def _pause_s(self) -> float:
        if self._is_control_due or self._is_lane_due:
            return 0.0
        now = time.monotonic()
        due = min(self._manners.due(now), self._children.due(), self._next_look)
        return max(0.0, min(1.0, due - now))

    def _endpoint(self, place: int | str) -> str:
        return place if isinstance(place, str) else f"tcp://{self._host}:{place}"

    def _socket(self, kind: int, limit: int, options: dict[int, Any]) -> zmq.Socket:
        socket_ = self._context.socket(kind)
        limit += CURVE_ROOM if self._curve else 0
        for name, value in ({zmq.LINGER: 0, zmq.MAXMSGSIZE: limit, zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 15,
                             zmq.HANDSHAKE_IVL: 5000, zmq.RECONNECT_IVL: 100, zmq.RECONNECT_IVL_MAX: 2000,
                             zmq.IPV6: int("[" in self._host)} | self._curve | options).items():
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


def run(connect: str, open_fields: Callable[[], Fields], recipe: Recipe, **options: Any) -> None:
    """Run a worker in this process until SIGTERM or Ctrl-C drains it, a second Ctrl-C ends it at once.

    The parameters are those of `Worker`.
    """
    worker = Worker(connect, open_fields, recipe, **options)

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        worker.drain()

    signal.signal(signal.SIGTERM, worker.drain)
    signal.signal(signal.SIGINT, interrupt)
    worker.run()


def _send(socket_: zmq.Socket, frames: Sequence[Any]) -> None:
    for frame in frames[:-1]:
        SEND(socket_, frame, NOW_AND_MORE, len(frame) < ZERO_COPY_BYTES)
    SEND(socket_, frames[-1], NOW, len(frames[-1]) < ZERO_COPY_BYTES)


def _receive(socket_: zmq.Socket) -> list[Any]:
    """Return the frames of a message, small ones as bytes; none when there is no message."""
    # to ask first costs half of what the exception of an empty socket costs
    if not socket_.get(EVENTS) & INCOMING:
        return []
    frames: list[Any] = []
    try:
        while True:
            frame = socket_.recv(NOW, copy=False)
            frames.append(frame.bytes if len(frame) <= SMALL_BYTES else frame)
            if not frame.more:
                return frames
    except zmq.Again:
        return []  # its connection went away in between


def _curve(key: Path | None) -> dict[int, Any]:
    if key is None:
        return {}
    from cfcore import keyfile
    keys = keyfile.load(key)
    return {zmq.CURVE_PUBLICKEY: keys.public, zmq.CURVE_SECRETKEY: keys.secret, zmq.CURVE_SERVERKEY: keys.gateway}


def _reconnect(socket_: zmq.Socket, old: str, new: str) -> None:
    if old:
        try:
            socket_.disconnect(old)
        except zmq.ZMQError:
            pass  # libzmq has dropped it already
    socket_.connect(new)

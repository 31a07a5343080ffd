"""The sockets of the gateway: control, results, and one lane per worker, inside one asyncio loop.

Owns addresses, socket options and readiness; what a message means is `dispatch.py`'s business. One PUSH lane per
worker, because a PUSH shared by several keeps feeding one that has stopped (41,523 jobs swallowed in a trial).

ZeroMQ's FD is edge-triggered: it tells that something happened, once, and a send may eat that notice. Hence the rule
here: after every send on a socket that also receives, and whenever the FD fires, receive until nothing is left.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import secrets
import socket as net
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from cfcore import wire
from cfcore.errors import BadParameter, TransientError, UsageError

from . import admission
from .admission import Admission
from .keyring import Keyring

BURST = 500
IPC_PATH_LIMIT = 100
MAX_IPC_LANES = 1000
LOOK_S = 0.2
# as plain numbers: every use of an enum costs as much as the frame that is sent with it
NOW, NOW_AND_MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
EVENTS, INCOMING = int(zmq.EVENTS), int(zmq.POLLIN)
# what Socket.send ends in, at a third of its cost
SEND = zmq.backend.Socket.send


class Lane:
    """The socket that carries jobs to one worker; `owner` is the key that worker joined with, empty on a plain bus."""

    def __init__(self, socket: zmq.Socket, endpoint: str, place: int | str, worker_id: bytes, owner: bytes) -> None:
        self.socket = socket
        self.endpoint = endpoint
        self.place = place
        self.worker_id = worker_id
        self.owner = owner

    def is_open(self) -> bool:
        """Whether the worker is connected and its queue has room."""
        return bool(self.socket.get(zmq.EVENTS) & zmq.POLLOUT)


class Lanes:
    """Bind the bus and carry messages.

    Parameters
    ----------
    bus : str
        `ipc:///folder` or `tcp://HOST:PORT` (the control port). Beyond loopback tcp is encrypted, always.
    results_port, lane_ports : int, (int, int)
        Used with tcp only.
    on_control, on_results : callable
        Get (worker identity, frames) and (frames) of each message, unchecked.
    keys : Path, optional
        The folder of keys, for an encrypted bus.
    encrypt : str
        "off-loopback", or "always" to encrypt tcp on loopback too. ipc is guarded by the mode of its folder.
    on_revoked : callable, optional
        Gets the ids of the workers whose key was revoked; their connections are shut down already.

    Attributes
    ----------
    counts : Counter
        What the guard of an encrypted bus has refused.

    Raises
    ------
    UsageError
        Code ``insecure_bus``: other hosts could reach the bus, and there is no key to encrypt it with.
    """

    def __init__(self, bus: str, results_port: int, lane_ports: tuple[int, int],
                 on_control: Callable[[bytes, list[zmq.Frame]], None],
                 on_result: Callable[[list[zmq.Frame]], None], *, keys: Path | None = None, encrypt: str = "off-loopback",
                 on_revoked: Callable[[list[bytes]], None] = lambda _: None) -> None:
        self._control_end, self._results_end, self.results_place, self._lane_base = _addresses(bus, results_port)
        self.counts: Counter[str] = Counter()
        self._guard = self._new_guard(bus, keys, encrypt)
        self._on_revoked = on_revoked
        self._speaker = b""
        self._owned: dict[bytes, Lane] = {}
        self._looker: asyncio.TimerHandle | None = None
        self._ports = None if bus.startswith("ipc:") else range(lane_ports[0], lane_ports[1] + 1)
        # Not from the start of the range: a worker of a gateway that died may still knock at its old lane.
        self._next = secrets.randbelow(len(self._ports)) if self._ports else secrets.randbits(32)
        self._on_control, self._on_result = on_control, on_result
        self._context: zmq.Context[zmq.Socket] | None = None
        self._lanes: set[Lane] = set()
        self._lock: int | None = None
        self._is_control_due = self._is_results_due = False

    def open(self) -> None:
        """Bind control and results, and listen within the running loop."""
        self._loop = asyncio.get_running_loop()
        if self._ports is None:
            self._claim_folder(Path(self._lane_base).parent)
        self._context = zmq.Context()
        if self._guard:
            self._guard.start(self._context)
            for end in (self._control_end, self._results_end):
                self._guard.watch_port(int(end.rpartition(":")[2]))
        try:
            # HANDOVER: after a cut a worker comes back before its old connection is known to be dead.
            self._control = self._socket(zmq.ROUTER, self._control_end, wire.MAX_CONTROL,
                                         {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1})
            self._results = self._socket(zmq.PULL, self._results_end, wire.MAX_FRAME, {zmq.RCVHWM: 1000})
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(f"cannot bind the bus at {self._control_end} and {self._results_end}: {error.strerror}; "
                             "stop the other gateway or choose another address", code="bus_in_use") from None
        self._fds = [self._control.get(zmq.FD), self._results.get(zmq.FD)]
        for fd, read in zip(self._fds, (self._read_control, self._read_results), strict=True):
            self._loop.add_reader(fd, read)
        self._look()
        self.receive()

    def close(self) -> None:
        """Close everything; safe to call twice."""
        if self._context is None:
            return
        if self._looker:
            self._looker.cancel()
        for lane in list(self._lanes):
            self.close_lane(lane)
        if self._guard:
            self._guard.stop()
        for fd in getattr(self, "_fds", []):
            self._loop.remove_reader(fd)
        self._context.destroy(linger=50)  # time for the last ACKs, no more
        self._context = None
        if self._lock is not None:
            os.close(self._lock)

    def open_lane(self, on_change: Callable[[], None], worker_id: bytes) -> Lane:
        """Bind a lane at the next free address; `on_change` is called when it may have opened or closed.

        On an encrypted bus the worker belongs from now on to the key whose message is being handed over (its HELLO): no other
        key may use its id or connect to its lane.

        Raises
        ------
        TransientError
            When every address is in use.
        """
        for _ in range(len(self._ports) if self._ports else MAX_IPC_LANES - len(self._lanes)):
            self._next += 1
            if self._ports:
                place: int | str = self._ports[self._next % len(self._ports)]
                endpoint = f"{self._lane_base}:{place}"
            else:
                place = endpoint = f"ipc://{self._lane_base}-{self._next}"
            if self._guard:
                self._guard.reserve(endpoint, self._speaker)
            try:
                socket = self._socket(zmq.PUSH, endpoint, wire.MAX_FRAME, {zmq.SNDHWM: 64, zmq.IMMEDIATE: 1}, endpoint)
            except zmq.ZMQError:
                if self._guard:
                    self._guard.release(endpoint)
                continue
            lane = Lane(socket, endpoint, place, worker_id, self._speaker)
            self._lanes.add(lane)
            self._owned[worker_id] = lane
            self._loop.add_reader(socket.get(zmq.FD), on_change)
            return lane
        raise TransientError("every lane is taken; widen the range of lane ports", code="no_lane")

    def close_lane(self, lane: Lane) -> None:
        """Close a lane; what was still in it is the ledger's to send again."""
        if lane in self._lanes:
            self._lanes.remove(lane)
            if self._owned.get(lane.worker_id) is lane:
                del self._owned[lane.worker_id]
            if self._guard:
                self._guard.release(lane.endpoint)
            self._loop.remove_reader(lane.socket.get(zmq.FD))
            lane.socket.close(0)

    def may_speak_for(self, worker_id: bytes) -> bool:
        """Tell whether the message being handed over may be of this worker: its key is the one the worker joined with.

        A worker that is not here (lost, or of a gateway before us) has no key to compare; the token of the lease, which went to
        it alone and encrypted, decides then.
        """
        lane = self._owned.get(worker_id)
        return lane is None or lane.owner == self._speaker

    def tell(self, worker_id: bytes, message: wire.Message) -> bool:
        """Send on control; False when no such worker is connected."""
        try:
            _send(self._control, [worker_id, *wire.pack(message)])
        except zmq.Again:
            return True  # connected, but its queue is full: it has stopped reading, and the silence limit will tell
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        finally:
            self._control_soon()
        return True

    def send_job(self, lane: Lane, frames: list[object]) -> bool:
        """Send a packed job; False when the lane cannot carry it now."""
        try:
            _send(lane.socket, frames)
        except zmq.Again:
            return False
        return True

    def receive(self) -> None:
        """Hand over everything that has arrived, in bursts that leave the loop some air."""
        self._read_control()
        self._read_results()

    def _read_control(self) -> None:
        self._is_control_due = False
        for _ in range(BURST):
            frames = _receive(self._control) if self._context else ()
            if not frames:
                return
            identity = frames.pop(0).bytes
            if self._guard is None or self._is_its_own(identity, frames):
                self._on_control(identity, frames)
        self._control_soon()

    def _read_results(self) -> None:
        self._is_results_due = False
        for _ in range(BURST):
            frames = _receive(self._results) if self._context else ()
            if not frames:
                return
            if self._guard:
                key = self._guard.key_of(frames[-1])
                if key is None:
                    continue
                self._speaker = key
            self._on_result(frames)
        if not self._is_results_due:
            self._is_results_due = True
            self._loop.call_soon(self._read_results)

    def _is_its_own(self, identity: bytes, frames: list[zmq.Frame]) -> bool:
        """Tell whether a control message comes from the key its sender's id belongs to; put an impostor out."""
        assert self._guard is not None
        key = self._guard.key_of(frames[-1]) if frames else None
        if key is None:
            return False
        self._speaker = key
        if self.may_speak_for(identity):
            return True
        self.counts["identity_stolen"] += 1
        self._guard.put_out(frames[-1], self._owned[identity].owner)
        return False

    def _look(self) -> None:
        """See whether keys were revoked: their connections are cut, then their workers are given up."""
        if self._guard is None:
            return
        revoked = self._guard.look()
        lost = [lane.worker_id for lane in self._lanes if lane.owner in revoked]
        if lost:
            self._on_revoked(lost)
        self._looker = self._loop.call_later(LOOK_S, self._look)

    def _new_guard(self, bus: str, keys: Path | None, encrypt: str) -> Admission | None:
        if self._control_end.startswith("ipc:"):
            return None
        host = self._control_end.removeprefix("tcp://").rpartition(":")[0]
        if _is_loopback(host) and encrypt != "always":
            return None
        ring = Keyring(keys) if keys else None
        pair = ring.gateway_pair() if ring else None
        if ring is None or pair is None:
            raise UsageError(f"refusing to bind {bus} without keys: anyone who reaches that address could take jobs and forge "
                             "answers; make a key for each worker host with 'cosmicflows keys new NAME', on this host and with "
                             "the gateway's data directory, or use a loopback address (tcp://127.0.0.1:5573)",
                             code="insecure_bus", where="bus")
        return Admission(ring, pair, self.counts)

    def _control_soon(self) -> None:
        if not self._is_control_due:
            self._is_control_due = True
            self._loop.call_soon(self._read_control)

    def _socket(self, kind: int, endpoint: str, limit: int, options: dict[int, int],
                domain: str = admission.BUS) -> zmq.Socket:
        assert self._context is not None
        socket = self._context.socket(kind)
        if self._guard:
            limit += admission.OVERHEAD
            self._guard.secure(socket, domain)
        # ZMTP heartbeats stay off: libzmq 4.3.5 cuts busy, healthy peers once a receive pipe is full.
        for name, value in ({zmq.LINGER: 0, zmq.MAXMSGSIZE: limit, zmq.TCP_KEEPALIVE: 1, zmq.TCP_KEEPALIVE_IDLE: 15,
                             zmq.HANDSHAKE_IVL: 5000, zmq.IPV6: int("[" in endpoint)} | options).items():
            socket.set(name, value)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError:
            socket.close(0)
            raise
        return socket

    def _claim_folder(self, folder: Path) -> None:
        """Make the folder ours alone. libzmq would silently take a live socket file over, so a lock guards it."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_uid != os.getuid():
            raise UsageError(f"the bus folder {folder} belongs to another user", code="insecure_bus")
        folder.chmod(0o700)
        self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            self._lock = None
            raise UsageError(f"another gateway uses the bus folder {folder}; stop it or choose another folder",
                             code="bus_in_use") from None


def _send(socket: zmq.Socket, frames: Sequence[Any]) -> None:
    for frame in frames[:-1]:
        SEND(socket, frame, NOW_AND_MORE)
    SEND(socket, frames[-1], NOW)


def _receive(socket: zmq.Socket) -> list[zmq.Frame]:
    """Return the frames of a message; none when there is no message."""
    # to ask first costs half of what the exception of an empty socket costs
    if not socket.get(EVENTS) & INCOMING:
        return []
    try:
        # a frame knows whether more follow; of bytes the socket would have to be asked
        frames = [socket.recv(NOW, copy=False)]
        while frames[-1].more:
            frames.append(socket.recv(NOW, copy=False))
    except zmq.Again:
        return []  # its connection went away in between
    return frames


def _addresses(bus: str, results_port: int) -> tuple[str, str, int | str, str]:
    """Return the endpoints of control and results, what a worker is told of the latter, and the stem of lanes."""
    if bus.startswith("ipc:///"):
        folder = bus.removeprefix("ipc://").rstrip("/")
        if not folder or len(os.fsencode(folder)) + len("/lane-4294967295") > IPC_PATH_LIMIT:
            raise BadParameter(f"the bus folder {folder or '/'} cannot hold sockets: the path must have 1 to "
                               f"{IPC_PATH_LIMIT - 16} bytes", where="bus")
        return f"ipc://{folder}/control", f"ipc://{folder}/results", f"ipc://{folder}/results", f"{folder}/lane"
    scheme, _, rest = bus.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme != "tcp" or not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise BadParameter(f"{bus!r} is no address of a bus; write ipc:///folder or tcp://127.0.0.1:5573",
                           where="bus")
    host = _numeric(host)
    return f"tcp://{host}:{port}", f"tcp://{host}:{results_port}", results_port, f"tcp://{host}"


def _numeric(host: str) -> str:
    """Return the address libzmq is to bind: it takes numbers, * and interfaces, but no names of hosts."""
    try:
        ip = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        try:
            found = net.getaddrinfo(host, None, type=net.SOCK_STREAM) if host != "*" else []
        except OSError:
            found = []
        if not found:
            return host
        # one address is bound, IPv4 when there is a choice, as the workers' example addresses are
        ip = ipaddress.ip_address(min(found, key=lambda entry: entry[0] != net.AF_INET)[4][0].partition("%")[0])
    return f"[{ip}]" if ip.version == 6 else str(ip)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

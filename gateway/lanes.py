"""The sockets of the gateway: control, results, and one lane per worker, inside one asyncio loop.

Owns addresses, socket options and readiness; what a message means is `dispatch.py`'s business. One PUSH lane per
worker, because a PUSH shared by several keeps feeding one that has stopped (41,523 jobs swallowed in a trial).

ZeroMQ's FD is edge-triggered: it tells that something happened, once, and a send may eat that notice. Hence the rule
here: after every send, and whenever the FD fires, receive until nothing is left.
"""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import zmq

from cfcore import wire
from cfcore.errors import BadParameter, TransientError, UsageError

BURST = 500
IPC_PATH_LIMIT = 100
MAX_IPC_LANES = 1000


class Lane:
    """The socket that carries jobs to one worker."""

    def __init__(self, socket: zmq.Socket, endpoint: str, place: int | str) -> None:
        self.socket = socket
        self.endpoint = endpoint
        self.place = place

    def is_open(self) -> bool:
        """Whether the worker is connected and its queue has room."""
        return bool(self.socket.get(zmq.EVENTS) & zmq.POLLOUT)


class Lanes:
    """Bind the bus and carry messages.

    Parameters
    ----------
    bus : str
        `ipc:///folder` or `tcp://HOST:PORT` (the control port) with a loopback host.
    results_port, lane_ports : int, (int, int)
        Used with tcp only.
    on_control, on_results : callable
        Get (worker identity, frames) and (frames) of each message, unchecked.
    """

    def __init__(self, bus: str, results_port: int, lane_ports: tuple[int, int],
                 on_control: Callable[[bytes, list[bytes]], None],
                 on_result: Callable[[list[zmq.Frame]], None]) -> None:
        self._control_end, self._results_end, self.results_place, self._lane_base = _addresses(bus, results_port)
        self._ports = None if bus.startswith("ipc:") else range(lane_ports[0], lane_ports[1] + 1)
        # Not from the start of the range: a worker of a gateway that died may still knock at its old lane.
        self._next = secrets.randbelow(len(self._ports)) if self._ports else secrets.randbits(32)
        self._on_control, self._on_result = on_control, on_result
        self._context: zmq.Context[zmq.Socket] | None = None
        self._lanes: set[Lane] = set()
        self._lock: int | None = None
        self._is_due = False

    def open(self) -> None:
        """Bind control and results, and listen within the running loop."""
        self._loop = asyncio.get_running_loop()
        if self._ports is None:
            self._claim_folder(Path(self._lane_base).parent)
        self._context = zmq.Context()
        try:
            self._control = self._socket(zmq.ROUTER, self._control_end, wire.MAX_CONTROL,
                                         {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 1})
            self._results = self._socket(zmq.PULL, self._results_end, wire.MAX_FRAME, {zmq.RCVHWM: 1000})
        except zmq.ZMQError as error:
            self.close()
            raise UsageError(f"cannot bind the bus at {self._control_end} and {self._results_end}: {error.strerror}; "
                             "stop the other gateway or choose another address", code="bus_in_use") from None
        self._fds = [self._control.get(zmq.FD), self._results.get(zmq.FD)]
        for fd in self._fds:
            self._loop.add_reader(fd, self.receive)
        self.receive()

    def close(self) -> None:
        """Close everything; safe to call twice."""
        if self._context is None:
            return
        for lane in list(self._lanes):
            self.close_lane(lane)
        for fd in getattr(self, "_fds", []):
            self._loop.remove_reader(fd)
        self._context.destroy(linger=50)  # time for the last ACKs, no more
        self._context = None
        if self._lock is not None:
            os.close(self._lock)

    def open_lane(self, on_change: Callable[[], None]) -> Lane:
        """Bind a lane at the next free address; `on_change` is called when it may have opened or closed.

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
            try:
                socket = self._socket(zmq.PUSH, endpoint, wire.MAX_FRAME, {zmq.SNDHWM: 64, zmq.IMMEDIATE: 1})
            except zmq.ZMQError:
                continue
            lane = Lane(socket, endpoint, place)
            self._lanes.add(lane)
            self._loop.add_reader(socket.get(zmq.FD), on_change)
            return lane
        raise TransientError("every lane is taken; widen the range of lane ports", code="no_lane")

    def close_lane(self, lane: Lane) -> None:
        """Close a lane; what was still in it is the ledger's to send again."""
        if lane in self._lanes:
            self._lanes.remove(lane)
            self._loop.remove_reader(lane.socket.get(zmq.FD))
            lane.socket.close(0)

    def tell(self, worker_id: bytes, message: wire.Message) -> bool:
        """Send on control; False when no such worker is connected."""
        try:
            self._control.send_multipart([worker_id, *wire.pack(message)], zmq.NOBLOCK)
        except zmq.Again:
            return True  # connected, but its queue is full: it has stopped reading, and the silence limit will tell
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        finally:
            self._receive_soon()
        return True

    def send_job(self, lane: Lane, frames: list[object]) -> bool:
        """Send a packed job; False when the lane cannot carry it now."""
        try:
            lane.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> None:
        """Hand over everything that has arrived, in bursts that leave the loop some air."""
        self._is_due = False
        if self._context is None:
            return
        for _ in range(BURST):
            try:
                identity, *frames = self._control.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            self._on_control(identity, frames)
        else:
            self._receive_soon()
        for _ in range(BURST):
            try:
                frames = self._results.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                break
            self._on_result(frames)
        else:
            self._receive_soon()

    def _receive_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self.receive)

    def _socket(self, kind: int, endpoint: str, limit: int, options: dict[int, int]) -> zmq.Socket:
        assert self._context is not None
        socket = self._context.socket(kind)
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
    if not _is_loopback(host):
        raise UsageError(f"refusing to bind {bus}: encryption of the bus is not available yet, so anyone who reaches "
                         "that address could take jobs and forge answers; use a loopback address "
                         "(tcp://127.0.0.1:5573), or let the containers share a network namespace as "
                         "docker-compose.yml does", code="insecure_bus", where="bus")
    host = "127.0.0.1" if host == "localhost" else host
    return f"tcp://{host}:{port}", f"tcp://{host}:{results_port}", results_port, f"tcp://{host}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

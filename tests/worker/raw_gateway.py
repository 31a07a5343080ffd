"""A gateway of three bare sockets for one worker: tests that must see every message speak through it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from cfcore import wire

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("arithmetic_worker.py")


class Gateway:
    """Bind a bus in a folder, welcome whoever comes, keep what was said.

    `said` has the control messages, `results` the results, in the order they came.
    """

    def __init__(self, folder: Path, *, gid: bytes = 16 * b"g", epoch: int = 1, lane: str = "lane-1", credit: int = 8) -> None:
        self.bus = f"ipc://{folder}"
        self.gid, self.epoch, self.lane_place, self.credit = gid, epoch, f"{self.bus}/{lane}", credit
        self.context: zmq.Context[zmq.Socket] = zmq.Context()
        self.control, self.results_socket, self.lane = (
            self._bind(kind, place) for kind, place in
            ((zmq.ROUTER, f"{self.bus}/control"), (zmq.PULL, f"{self.bus}/results"), (zmq.PUSH, self.lane_place)))
        self.worker = b""
        self.said: list[wire.Message] = []
        self.results: list[wire.Result] = []
        self.raw: list[list[bytes]] = []
        self.is_mute = False

    def _bind(self, kind: int, place: str) -> zmq.Socket:
        socket = self.context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.bind(place)
        return socket

    def close(self) -> None:
        """End as suddenly as a killed process."""
        self.context.destroy(0)

    def tell(self, message: wire.Message) -> None:
        """Say something to the worker."""
        self.control.send_multipart([self.worker, *wire.pack(message)])

    def job(self, j: int, kind: str, options: dict[str, object] | None = None, *, x: float = 1.0, cls: str = wire.INTERACTIVE,
            limit: int = 0, n: int = 1, ms: int = 0, field: tuple[str, str] = ("toy", "1"), a: int = 1) -> wire.Job:
        """Send a job; return it."""
        job = wire.Job(j=j, a=a, tok=bytes([j % 256, a]) + 14 * b"t", w=self.worker, kind=kind, f=field[0], fv=field[1], ms=ms,
                       n=n, options=options or {}, columns={"x": np.full(n, x)}, cls=cls, limit=limit)
        self.lane.send_multipart(wire.pack(job))
        return job

    def pump(self) -> None:
        """Take what has come, answer HELLO and heartbeats."""
        while self.control.poll(0):
            self.worker, *frames = self.control.recv_multipart()
            message = wire.unpack(frames, wire.TO_GATEWAY)
            self.said.append(message)
            if self.is_mute:
                continue
            if isinstance(message, wire.Hello):
                self.tell(wire.Welcome(self.gid, self.lane_place, f"{self.bus}/results", 200, 4000, self.credit, self.epoch))
            elif isinstance(message, wire.Heartbeat):
                self.tell(wire.Pong(message.seq))
        while self.results_socket.poll(0):
            self.raw.append(self.results_socket.recv_multipart())
            self.results.append(wire.unpack(self.raw[-1], wire.RESULTS))

    def until(self, condition: Callable[[], Any], timeout_s: float = 20.0) -> Any:
        """Pump until something is true; return it."""
        deadline = time.monotonic() + timeout_s
        while not (found := (self.pump(), condition())[1]):
            assert time.monotonic() < deadline, f"waited in vain; said {self.said[-3:]}, results {self.results[-3:]}"
            time.sleep(0.002)
        return found

    def all(self, kind: type) -> list[Any]:
        """Return what was said of one kind."""
        return [message for message in self.said if isinstance(message, kind)]

    def result(self, j: int, timeout_s: float = 20.0) -> wire.Result:
        """Wait for the result of a job, and acknowledge it."""
        result = self.until(lambda: next((r for r in self.results if r.j == j), None), timeout_s)
        self.tell(wire.Ack([j]))
        return result

    def bounces(self) -> dict[int, str]:
        """Return job -> reason of all that was given back."""
        return {job: bounce.why for bounce in self.all(wire.Bounce) for job, _ in bounce.jobs}

    def beat(self) -> wire.Heartbeat:
        """Wait for the next heartbeat."""
        before = len(self.all(wire.Heartbeat))
        return self.until(lambda: self.all(wire.Heartbeat)[before:])[0]


def start(bus: str, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the arithmetic worker; its log is worker.log in the folder, the pids of its children in `starts`."""
    with open(folder / "worker.log", "ab") as log:
        return subprocess.Popen([sys.executable, str(SCRIPT), "--connect", bus, "--starts", str(folder / "starts"), *arguments],
                                env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=log)


def children(folder: Path) -> list[int]:
    """Return the pids of all children that have started, in order."""
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@contextmanager
def joined(folder: Path, *arguments: str, wait_for: int = 1, **options: Any) -> Iterator[tuple[Gateway, subprocess.Popen[bytes]]]:
    """Give a gateway and a worker with so many children."""
    gateway = Gateway(folder, **options)
    process = start(gateway.bus, folder, *arguments)
    try:
        gateway.until(lambda: gateway.all(wire.Hello))
        gateway.until(lambda: len(children(folder)) >= wait_for)
        yield gateway, process
    finally:
        process.kill()
        process.wait()
        gateway.close()

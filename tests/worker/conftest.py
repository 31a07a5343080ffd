"""A gateway side in this process, workers as real processes, on ipc and on tcp."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.dispatch import Dispatcher

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("arithmetic_worker.py")


@dataclass
class House:
    """One bus and whatever was started on it."""

    bus: str
    ports: dict[str, Any]
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def worker(self, *arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a worker; it is killed at the end of the test if it still runs."""
        return self.python(str(SCRIPT), "--connect", self.bus, *arguments, pass_fds=pass_fds)

    def python(self, *arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a Python process that sees the house."""
        with open(self.folder / "stderr.log", "ab") as log:
            process = subprocess.Popen([sys.executable, *arguments], env=os.environ | {"PYTHONPATH": str(ROOT)},
                                       stdout=subprocess.DEVNULL, stderr=log, pass_fds=pass_fds)
        self.processes.append(process)
        return process

    @asynccontextmanager
    async def dispatcher(self, workers: int = 0, **options: Any) -> AsyncIterator[Dispatcher]:
        """Run a dispatcher and so many workers, joined."""
        dispatcher = Dispatcher(self.bus, **(self.ports | options))
        await dispatcher.start()
        try:
            for _ in range(workers):
                self.worker()
            await until(lambda: ready(dispatcher) >= workers)
            yield dispatcher
        finally:
            await dispatcher.close()


def ready(dispatcher: Dispatcher) -> int:
    """Count the workers that can take jobs."""
    return sum(worker["state"] == "ready" for worker in dispatcher.workers())


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> float:
    """Wait until the condition holds; return how long it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() - begin > timeout_s:
            pytest.fail(f"waited {timeout_s} s in vain")
        await asyncio.sleep(0.005)
    return time.monotonic() - begin


def _free_ports(n: int) -> int:
    """Return the first of n neighbouring ports that are free."""
    for _ in range(100):
        first = random.randrange(20_000, 30_000)
        sockets = [socket.socket() for _ in range(n)]
        try:
            for k, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", first + k))
            return first
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
    raise RuntimeError("no free ports")


@pytest.fixture(params=["ipc", "tcp"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """Give a bus of each kind."""
    if request.param == "ipc":
        built = House(f"ipc://{tmp_path}/bus", {}, tmp_path)
    else:
        first = _free_ports(12)
        ports = {"results_port": first + 1, "lane_ports": (first + 2, first + 11)}
        built = House(f"tcp://127.0.0.1:{first}", ports, tmp_path)
    yield built
    for process in built.processes:
        process.kill()
        process.wait()


@pytest.fixture
def ipc(tmp_path: Path) -> Iterator[House]:
    """Give an ipc bus, where the kind of the bus does not matter."""
    built = House(f"ipc://{tmp_path}/bus", {}, tmp_path)
    yield built
    for process in built.processes:
        process.kill()
        process.wait()

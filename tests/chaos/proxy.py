"""A TCP proxy between workers and gateway that can reset, delay and fall silent.

It listens on another loopback address than the gateway, on the same ports, so that lanes chosen later go through it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterable
from random import Random


class Side(asyncio.Protocol):
    """One end of a connection through the proxy; what it reads goes to the other end, later if so wished."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self.is_silent = False
        self._late: deque[tuple[float, bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        # a silent connection swallows what it is sent, as behind a firewall that has forgotten it
        if not self.is_silent:
            loop = asyncio.get_running_loop()
            due = max(loop.time() + self._proxy.delay_s, self._late[-1][0] if self._late else 0.0)
            self._late.append((due, data))
            loop.call_at(due, self._pass_on)

    def _pass_on(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._late and self._late[0][0] <= now + 1e-3:
            _, data = self._late.popleft()
            if self.other and self.other.transport and not self.is_silent:
                self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.is_silent:
            self.reset()

    def reset(self) -> None:
        """Break both ends with RST."""
        self._proxy.wires.discard(self)
        for side in (self, self.other):
            if side and side.transport:
                raw = side.transport.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                side.transport.abort()
                side.transport = None


class Front(Side):
    """The end a worker has connected to; opens the way to the gateway."""

    def __init__(self, proxy: Proxy, port: int) -> None:
        super().__init__(proxy)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.pause_reading()  # type: ignore[union-attr]
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, far = await loop.create_connection(lambda: Side(self._proxy), self._proxy.target, self._port)
        except OSError:
            self.reset()
            return
        self.other, far.other = far, self
        if self.transport is None:
            self.reset()
            return
        self._proxy.wires.add(self)
        self._proxy.opened += 1
        self.transport.resume_reading()


class Proxy:
    """Forward `host:port` to `target:port` for all ports, in a thread with a loop of its own."""

    def __init__(self, host: str, target: str, ports: Iterable[int]) -> None:
        self.target, self._host, self._ports = target, host, list(ports)
        self.delay_s = 0.0
        self.wires: set[Side] = set()
        self.opened = 0
        self._silent: list[Side] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._act(self._close)
        # one more turn: aborted transports report their end
        self._act(lambda: 0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def reset(self, count: int, rng: Random) -> int:
        """Reset so many of the open connections, by lot; return how many there were to reset."""
        def act() -> int:
            chosen = rng.sample(sorted(self.wires, key=id), min(count, len(self.wires)))
            for wire in chosen:
                wire.reset()
            return len(chosen)
        return self._act(act)

    def fall_silent(self) -> int:
        """Carry nothing more on the connections that are open, without closing them; new ones work. Return how many."""
        def act() -> int:
            count = len(self.wires)
            for wire in self.wires:
                for side in (wire, wire.other):
                    side.is_silent = True  # type: ignore[union-attr]
                self._silent.append(wire)
            self.wires.clear()
            return count
        return self._act(act)

    def _act(self, job: Callable[[], int]) -> int:
        async def run() -> int:
            return job()
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._servers = [await loop.create_server(lambda p=port: Front(self, p), self._host, port) for port in self._ports]

    def _close(self) -> int:
        for server in self._servers:
            server.close()
        for wire in [*self.wires, *self._silent]:
            wire.reset()
        return 0

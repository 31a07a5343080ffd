"""The connections of the HTTP door: how slow a client may be, how many there may be, and how both are said.

Owns what happens before and around a request; what is asked is the business of the handlers. aiohttp alone waits for the rest of
a request, and for a client that does not read its answer, without end (0 of 400 half-sent requests closed in a trial).

One sweep a second looks at all connections, so that a request pays for no timer of its own: limits hold to within that second.

    head     10 s from the connection, or from the first byte of a further request
    body     30 s, and one second more for each 64 KiB that has come: a slow line may send much, nobody may hold us with little
    answer   60 s in which the client took nothing
    idle     75 s between two requests (the proxies in front of us keep theirs for 60 s)

Descriptors: ZeroMQ, SQLite and the catalogue need some, always. A connection whose descriptor is among the last quarter of the
limit (RLIMIT_NOFILE) shows that the table is nearly full, whoever filled it: then the client that has kept us waiting longest is
closed for it, and when there is none the new one gets a 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from cfcore.errors import TransientError, UsageError

from . import doorway, problems, tracing
from .keys import METERS, WATCHERS
from .meters import Meters

log = logging.getLogger("gateway")
HEAD_S = 10.0
BODY_S = 30.0
BODY_BYTES_A_SECOND = 64 << 10
ANSWER_S = 60.0
IDLE_S = 75.0
SWEEP_S = 1.0
DRAIN_LOOK_S = 0.01
# struct tcp_info of Linux: tcpi_bytes_acked, since 4.1
TCP_INFO_BYTES, BYTES_ACKED_AT, _BYTES_ACKED = 256, 120, struct.Struct("=Q")
# A client sends the head of its request at once; one that has not after this may be closed for another.
PATIENCE_S = 1.0


class Connection(web.RequestHandler):
    """Know how long the client has kept us waiting, and say in problem JSON what is refused before there is a request."""

    __slots__ = ("_body", "_counted", "_since", "_fed", "_is_in_head", "_is_ending", "_stuck")

    def __init__(self, manager: Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self._counted = 0
        self._body: StreamReader = EMPTY_PAYLOAD
        self._since = 0.0
        self._fed = 0
        self._is_in_head = True
        self._is_ending = False
        self._stuck = (-1, 0.0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless there are too many already."""
        self._since = self._loop.time()
        super().connection_made(transport)
        server = self._manager
        if isinstance(server, Server) and not server.has_room(self):
            server.refused += 1
            _discard(transport)
            self._end_with(TransientError("too many connections are open; try again in a few seconds",
                                          code="too_many_connections"))

    def data_received(self, data: bytes) -> None:
        """Take bytes, and note what they belong to."""
        is_between = self._body.is_eof()
        super().data_received(data)
        if self._request_count != self._counted:
            self._counted = self._request_count
            self._body = self._messages[-1][1] if self._messages else EMPTY_PAYLOAD
            self._since, self._fed, self._is_in_head = self._loop.time(), 0, False
        elif not is_between:
            self._fed += len(data)
        elif data and not self._is_in_head:
            self._since, self._is_in_head = self._loop.time(), True
        if self._is_ending and self._body.is_eof():
            super().close()

    def close(self) -> None:
        """Take no further request; the body of one that is coming is still read, or its client would never be answered."""
        if self.is_at_work and not self._body.is_eof():
            self._is_ending = True
        else:
            super().close()

    def handle_error(self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None,
                     message: str | None = None) -> web.StreamResponse:
        """Return the answer to a request that could not be read, or that failed outside the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("half of an answer has left already")
        tracing.enter(request.headers)
        if status >= 500:
            response = problems.unexpected(request, exc)
        else:
            response = problems.problem(problems.from_parser(exc))
        response.force_close()
        doorway.unread(getattr(self._manager, "meters", None), response)
        return response

    @property
    def is_at_work(self) -> bool:
        """Whether a request, or its answer, is under way."""
        return self._request_in_progress or bool(self._messages)

    @property
    def waited_since(self) -> float:
        """When the client last gave us something to do, in seconds of the loop's clock."""
        return self._since if self._is_in_head else max(self._since, self._next_keepalive_close_time - self._keepalive_timeout)

    def look(self, transport: asyncio.Transport, now: float) -> None:
        """End the connection if its client is too slow."""
        if transport.get_write_buffer_size():
            # our own buffer tells nothing of a slow client: the kernel takes from it in pieces of a third of its own, megabytes
            taken = _taken(transport)
            before, since = self._stuck
            if taken != before:
                self._stuck = (taken, now)
            elif now - since > ANSWER_S:
                log.info("a client took nothing of its answer for %.0f s; its connection is closed", ANSWER_S)
                transport.abort()
            return
        self._stuck = (-1, 0.0)
        if transport.is_closing():
            return
        if not self.is_at_work:
            if self._is_in_head and now - self._since > HEAD_S:
                self._end_with(slow(f"the head of the request was not complete within {HEAD_S:.0f} s; an empty line ends it"))
        elif not self._body.is_eof() and not self._reading_paused and (
                now - self._since > BODY_S + self._fed / BODY_BYTES_A_SECOND) and self._body.exception() is None:
            # whoever reads the body gets this instead, and the middleware makes it an answer
            self._body.set_exception(slow(
                f"the body did not come within {BODY_S:.0f} s and a second for each {BODY_BYTES_A_SECOND >> 10} KiB; "
                f"{self._body.total_bytes} bytes did; send it in one go, or in smaller parts"))
            self._keepalive = False
            self._close = True

    def _end_with(self, error: UsageError | TransientError) -> None:
        """Say an error to a client that has no request under way, and close."""
        transport = self.transport
        if transport is not None:  # not "is an asyncio.Transport": uvloop has transports of its own
            answer = problems.problem(error)
            body = bytes(answer.body) if isinstance(answer.body, bytes) else b""
            head = [f"HTTP/1.1 {answer.status} {answer.reason}", f"Content-Type: {answer.content_type}",
                    f"Content-Length: {len(body)}", "Connection: close", "X-Content-Type-Options: nosniff"]
            if "Retry-After" in answer.headers:
                head.append(f"Retry-After: {answer.headers['Retry-After']}")
            transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.force_close()


class Server(web.Server):
    """Make connections of our own kind, sweep over them, and keep them below the limit of descriptors."""

    refused = 0
    meters: Meters | None = None
    _sweeper: asyncio.TimerHandle | None = None

    def __call__(self) -> Connection:
        """Return the protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)

    def start(self) -> None:
        """Begin to sweep."""
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    async def shutdown(self, timeout: float | None = None) -> None:
        """End every connection."""
        if self._sweeper:
            self._sweeper.cancel()
        await super().shutdown(timeout)

    def has_room(self, newcomer: Connection) -> bool:
        """Tell whether a new connection may stay, after closing another for it where that helps."""
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        sock = newcomer.transport.get_extra_info("socket") if newcomer.transport else None
        # descriptors are given out from the lowest free number
        if sock is None or soft == resource.RLIM_INFINITY or sock.fileno() < soft - max(16, soft // 4):
            return True
        limit = self._loop.time() - PATIENCE_S
        kept = [c for c in self._connections if isinstance(c, Connection) and not c.is_at_work and c.waited_since < limit
                and c.transport is not None]
        if not kept:
            return False
        min(kept, key=lambda c: c.waited_since).force_close()
        return True

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        now = self._loop.time()
        for connection, transport in list(self._connections.items()):
            if isinstance(connection, Connection):
                connection.look(transport, now)


class Runner(web.AppRunner):
    """Run an application behind our `Server`.

    Parameters
    ----------
    app : aiohttp.web.Application
    drain_s : float, s
        At the end, how long those who have asked may wait for their answers.
    """

    def __init__(self, app: web.Application, *, drain_s: float, **options: Any) -> None:
        super().__init__(app, **options)
        self._drain_s = drain_s

    async def shutdown(self) -> None:
        """Let those who have asked get their answers, whatever part of the house they wait for; then end the application."""
        self.app[WATCHERS].end()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_s
        server = self.server
        while server is not None and loop.time() < until and any(
                isinstance(c, Connection) and c.is_at_work for c in server.connections):
            await asyncio.sleep(DRAIN_LOOK_S)
        await super().shutdown()

    async def _make_server(self) -> Server:
        made = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPException as exc:  # the header Expect is looked at outside of the middleware
                tracing.enter(request.headers)
                response = problems.problem(problems.from_http(exc, request))
                doorway.unread(server.meters, response)
                return response
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] = handle
        server = Server(handler, request_factory=made.request_factory, loop=asyncio.get_running_loop(), **self._kwargs)
        server.meters = self.app[METERS]
        server.start()
        return server


def _discard(transport: asyncio.BaseTransport) -> None:
    """Read what has come: closing with bytes unread sends a reset, and the client might never see why."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        os.read(sock.fileno(), 1 << 16)


def _taken(transport: asyncio.Transport) -> int:
    """Return how many bytes the host of the client has acknowledged."""
    try:
        facts = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        return int(_BYTES_ACKED.unpack_from(facts, BYTES_ACKED_AT)[0])
    except (OSError, struct.error):
        return 0


def slow(message: str) -> UsageError:
    """Return the refusal of a client that takes too long to ask."""
    return UsageError(message, code="request_timeout")

"""Run a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

from aiohttp import web

from cfcore import logs
from cfcore.errors import TransientError
from cfcore.settings import Settings

from . import loop
from .app import LINE_MAX, build_app
from .connections import IDLE_S, Runner

log = logging.getLogger("gateway")
SHUTDOWN_S = 1.0
DRAIN_S = 10.0
"""How long a gateway that is told to end goes on answering those who have asked."""
# asyncio accepts so many connections in one turn of the loop, and it takes four turns until one that is refused has given its
# descriptor back: more at once could use up those kept free. The kernel keeps those that have to wait.
ACCEPT_AT_ONCE = 2
BACKLOG = 1024


def set_up_logging(level: str, form: str = "text") -> None:
    """Send log lines to stderr; the access log stays off the hot path."""
    logs.set_up(level, form)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


async def start(settings: Settings, drain_s: float = DRAIN_S) -> web.AppRunner:
    """Start serving; return the runner whose `cleanup` ends it, `drain_s` after those who have asked at the latest.

    Raises
    ------
    TransientError
        When the port is taken.
    """
    runner = Runner(build_app(settings), drain_s=drain_s, access_log=None, max_line_size=LINE_MAX, handle_signals=False,
                    shutdown_timeout=SHUTDOWN_S, keepalive_timeout=IDLE_S)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=ACCEPT_AT_ONCE)
        await site.start()
    except OSError as exc:
        await runner.cleanup()
        raise TransientError(f"port {settings.port} on {settings.host} cannot be opened ({exc.strerror}); choose another "
                             "with --port", code="port_taken") from None
    for listener in getattr(site._server, "sockets", ()):
        with socket.socket(fileno=os.dup(listener.fileno())) as copy:
            copy.listen(BACKLOG)
    loop.settle()
    return runner


async def until_signal() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    await stop.wait()


def address(runner: web.AppRunner) -> str:
    """Return the URL a started runner serves."""
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(settings: Settings) -> None:
    """Run the gateway alone: workers and the catalogue service are started elsewhere."""
    runner = await start(settings)
    log.warning("gateway on %s, workers meet at %s, catalogue at %s", address(runner), settings.bus, settings.catalog)
    try:
        await until_signal()
    finally:
        await runner.cleanup()

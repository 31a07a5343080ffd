"""Run a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal

from aiohttp import web

from cfcore.errors import TransientError
from cfcore.settings import Settings

from .app import LINE_MAX, build_app

log = logging.getLogger("gateway")
SHUTDOWN_S = 1.0


def set_up_logging(level: str) -> None:
    """Send log lines to stderr; the access log stays off the hot path."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


async def start(settings: Settings) -> web.AppRunner:
    """Start serving; return the runner whose `cleanup` ends it.

    Raises
    ------
    TransientError
        When the port is taken.
    """
    runner = web.AppRunner(build_app(settings), access_log=None, max_line_size=LINE_MAX, handle_signals=False,
                           shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as exc:
        await runner.cleanup()
        raise TransientError(f"port {settings.port} on {settings.host} cannot be opened ({exc.strerror}); choose another "
                             "with --port", code="port_taken") from None
    return runner


async def until_signal() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
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

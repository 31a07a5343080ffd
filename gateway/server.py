"""Run a gateway until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal

from aiohttp import web

from cfcore.errors import TransientError
from cfcore.settings import LOG_FORMAT, Settings

from . import problems
from .app import LINE_MAX, build_app

log = logging.getLogger("gateway")
SHUTDOWN_S = 1.0


class Connection(web.RequestHandler):
    """Say in problem JSON, too, what is refused before the application sees a request."""

    __slots__ = ()

    def handle_error(self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None,
                     message: str | None = None) -> web.StreamResponse:
        """Return the answer to a request that could not be read, or that failed outside the application."""
        if request.writer.output_size > 0:
            raise ConnectionError("half of an answer has left already")
        if status >= 500:
            response = problems.unexpected(request, exc)
        else:
            response = problems.problem(problems.from_parser(exc))
        response.force_close()
        return response


class Server(web.Server):
    """Make connections of our own kind, which aiohttp has no setting for."""

    def __call__(self) -> Connection:
        """Return the protocol of one connection."""
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Run an application behind our `Server`."""

    async def _make_server(self) -> Server:
        made = await super()._make_server()

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await made.request_handler(request)
            except web.HTTPException as exc:  # the header Expect is looked at outside of the middleware
                return problems.problem(problems.from_http(exc, request))
        return Server(handle, request_factory=made.request_factory, loop=asyncio.get_running_loop(), **self._kwargs)


def set_up_logging(level: str) -> None:
    """Send log lines to stderr; the access log stays off the hot path."""
    logging.basicConfig(level=level.upper(), format=LOG_FORMAT)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


async def start(settings: Settings) -> web.AppRunner:
    """Start serving; return the runner whose `cleanup` ends it.

    Raises
    ------
    TransientError
        When the port is taken.
    """
    runner = Runner(build_app(settings), access_log=None, max_line_size=LINE_MAX, handle_signals=False,
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

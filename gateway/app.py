"""Wiring: settings in, application out. Nothing happens at import."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
from aiohttp import web

from cfcore.settings import Settings

from . import openapi, problems, routes
from .catalog import CatalogClient
from .dispatch import Dispatcher
from .keys import CATALOG, DISPATCHER, HINTS, OPENAPI, SETTINGS
from .ready import ReadyAnswers

BODY_MAX = 64 * 2**20
# A name of a mebibyte is to be refused in our words (bad_name), not cut off as a bad request line by the HTTP parser.
LINE_MAX = 2 * 2**20
DRAIN_S = 1.0


def build_app(settings: Settings) -> web.Application:
    """Return the gateway application; sockets open when it starts and close when it ends."""
    app = web.Application(middlewares=[problems.middleware], client_max_size=BODY_MAX)
    app[SETTINGS] = settings
    app[CATALOG] = CatalogClient(settings.catalog)
    app[DISPATCHER] = Dispatcher(settings.bus, results_port=settings.results_port, lane_ports=settings.lane_range())
    app[HINTS] = ReadyAnswers()
    app[OPENAPI] = orjson.dumps(openapi.document(routes.ROUTES, routes.PREFIXES))
    routes.register(app)
    app.cleanup_ctx.append(_connections)
    app.on_shutdown.append(_drain)
    return app


async def _connections(app: web.Application) -> AsyncIterator[None]:
    await app[DISPATCHER].start()
    await app[CATALOG].start()
    yield
    await app[DISPATCHER].close()
    await app[CATALOG].close()


async def _drain(app: web.Application) -> None:
    # nobody new can come in by now; those who wait get their answer, or a 503 that says why
    await app[DISPATCHER].drain(DRAIN_S)

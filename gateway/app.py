"""Wiring: settings in, application out. Nothing happens at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
from aiohttp import web

from cfcore.settings import Settings

from . import doorway, metrics, openapi, routes
from .catalog import CatalogClient
from .dispatch import Dispatcher
from .job_results import Downloads
from .jobs import Jobs
from .keys import CATALOG, DISPATCHER, DOWNLOADS, HINTS, JOBS, METERS, OPENAPI, SETTINGS, VITALS
from .meters import Meters
from .ready import ReadyAnswers
from .vitals import Vitals

BODY_MAX = 64 * 2**20
# A name of a mebibyte is to be refused in our words (bad_name), not cut off as a bad request line by the HTTP parser.
LINE_MAX = 2 * 2**20


def build_app(settings: Settings) -> web.Application:
    """Return the gateway application; sockets open when it starts and close when it ends."""
    meters = Meters()
    app = web.Application(middlewares=[doorway.middleware(meters)], client_max_size=BODY_MAX)
    app[SETTINGS] = settings
    app[CATALOG] = CatalogClient(settings.catalog)
    app[METERS] = meters
    app[DISPATCHER] = Dispatcher(settings.bus, results_port=settings.results_port, lane_ports=settings.lane_range(),
                                 meters=meters, keys=settings.data / "keys",
                                 bus_encrypt=settings.bus_encrypt)
    app[JOBS] = Jobs(settings.jobs_folder(), app[DISPATCHER], retention_days=settings.job_retention_days,
                     meters=meters)
    app[DOWNLOADS] = Downloads()
    app[VITALS] = Vitals(app[DISPATCHER], meters)
    app[VITALS].store = app[JOBS]
    app[HINTS] = ReadyAnswers()
    app[OPENAPI] = orjson.dumps(openapi.document(routes.ROUTES, routes.PREFIXES))
    routes.register(app)
    app.cleanup_ctx.append(_connections)
    app.cleanup_ctx.append(metrics.keep_time)
    app.on_shutdown.append(_drain)
    return app


async def _connections(app: web.Application) -> AsyncIterator[None]:
    jobs, dispatcher = app[JOBS], app[DISPATCHER]
    identity = await asyncio.to_thread(jobs.open)
    try:
        dispatcher.identify(identity.gid, identity.epoch, identity.secret)
        await dispatcher.start()
        await app[CATALOG].start()
        jobs.start()
        yield
        # what workers have sent is written, and they are told so, before the wires go down
        await jobs.flush()
        await dispatcher.close()
        await app[CATALOG].close()
    finally:
        await jobs.close()


async def _drain(app: web.Application) -> None:
    # the runner has waited for those who could still get their answer; the others get a 503 that says why
    app[JOBS].stop()
    await app[DISPATCHER].drain(0.0)

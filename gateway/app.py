"""Wiring: settings in, application out. Nothing happens at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

import orjson
from aiohttp import web

from cfcore.settings import Settings

from . import doorway, field_list, galaxies, metrics, openapi, pages, routes
from .buckets import Buckets
from .budget import BUDGET
from .callers import CALLERS, NEEDED, Callers
from .catalog import CatalogClient
from .dispatch import Dispatcher
from .faces import queue
from .intake import Intake
from .job_results import Downloads
from .jobs import Jobs
from .keys import (
    CATALOG,
    DISPATCHER,
    DOWNLOADS,
    GALAXIES,
    HINTS,
    INTAKE,
    JOBS,
    METERS,
    OPENAPI,
    PREVIEWS,
    SETTINGS,
    UPLOADS,
    VITALS,
    WATCHERS,
    WEBHOOKS,
)
from .meters import Meters
from .packed import Shelf
from .ready import ReadyAnswers
from .renders import RENDERS, Renders
from .uploads import Uploads
from .vitals import Vitals
from .watchers import Watchers
from .webhooks import Webhooks

BODY_MAX = 64 * 2**20
# A name of a mebibyte is to be refused in our words (bad_name), not cut off as a bad request line by the HTTP parser.
LINE_MAX = 2 * 2**20


def build_app(settings: Settings) -> web.Application:
    """Return the gateway application; sockets open when it starts and close when it ends."""
    meters = Meters()
    app = web.Application(middlewares=[doorway.middleware(meters)], client_max_size=BODY_MAX)
    app[SETTINGS] = settings
    app[CALLERS] = Callers(settings)
    app[BUDGET] = Buckets()
    app[NEEDED] = routes.needed()
    app[CATALOG] = CatalogClient(settings.catalog)
    app[METERS] = meters
    app[DISPATCHER] = Dispatcher(settings.bus, results_port=settings.results_port, lane_ports=settings.lane_range(),
                                 meters=meters, keys=settings.data / "keys",
                                 bus_encrypt=settings.bus_encrypt)
    app[JOBS] = Jobs(settings.jobs_folder(), app[DISPATCHER], retention_days=settings.job_retention_days,
                     meters=meters)
    app[WEBHOOKS] = Webhooks(app[JOBS], settings)
    app[DOWNLOADS] = Downloads()
    app[RENDERS] = Renders(app[JOBS])
    app[WATCHERS] = Watchers(app[JOBS])
    app[queue.LOCKS] = WeakValueDictionary()
    app[UPLOADS], app[INTAKE] = Uploads(settings.jobs_folder() / "uploads"), Intake()
    app[VITALS] = Vitals(app[DISPATCHER], meters)
    app[VITALS].store = app[JOBS]
    app[HINTS] = ReadyAnswers()
    app[PREVIEWS], app[GALAXIES] = Shelf(field_list.KEPT_BYTES), Shelf(galaxies.KEPT_BYTES)
    app[pages.PAGES] = pages.Pages(pages.STATIC)
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
        app[RENDERS].start()
        app[WEBHOOKS].start()
        # the folder is ours alone once the jobs are open
        await asyncio.to_thread(app[UPLOADS].open)
        app[UPLOADS].start()
        yield
        await app[WEBHOOKS].close()
        await app[RENDERS].close()
        # what workers have sent is written, and they are told so, before the wires go down
        await jobs.flush()
        await dispatcher.close()
        await app[CATALOG].close()
    finally:
        app[UPLOADS].close()
        await jobs.close()
        await app[CALLERS].close()


async def _drain(app: web.Application) -> None:
    # the runner has waited for those who could still get their answer; the others get a 503 that says why
    app[JOBS].stop()
    await app[DISPATCHER].drain(0.0)

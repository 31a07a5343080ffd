"""Is the service alive, is it ready, and what does it offer; the page for browsers is served by `pages`."""

from __future__ import annotations

from aiohttp import web

import cfcore
from cfcore.errors import TransientError

from . import answers
from .keys import CATALOG, DISPATCHER, OPENAPI

NOT_BUILT = "the page was not built where this server was installed; 'make page' in its source builds it"


async def livez(request: web.Request) -> web.Response:
    """GET /livez: whether this process answers."""
    return answers.respond({"ok": True}, "json")


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: whether a worker and the catalogue are there to answer questions."""
    dispatcher = request.app[DISPATCHER]
    fields, workers = dispatcher.fields(), len(dispatcher.workers())
    catalog = await request.app[CATALOG].is_alive()
    facts = {"ready": bool(workers and fields and catalog), "workers": workers, "catalog": catalog,
             "fields": sorted(fields), "default_field": next((k for k, f in fields.items() if f.get("default")), None)}
    if facts["ready"]:
        return answers.respond(facts, "json")
    try:
        dispatcher.check_worker()
    except TransientError as exc:
        exc.extra.update(facts)
        raise
    missing = "the catalogue service does not answer" if not catalog else "no worker has a field to serve"
    raise TransientError(f"not ready: {missing}; try again in a moment", code="not_ready", extra=facts)


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json: the API document, OpenAPI 3.1."""
    return web.Response(body=request.app[OPENAPI], content_type="application/json", charset="utf-8")


def index(request: web.Request, *, has_page: bool, has_docs: bool) -> web.Response:
    """Say what this service is and where to go on, in JSON."""
    fields = request.app[DISPATCHER].fields()
    return answers.respond({
        "service": "Cosmic Flows", "version": cfcore.__version__, "page": "/" if has_page else None,
        "docs": "/docs" if has_docs else None, **({} if has_page else {"note": NOT_BUILT}),
        "api": "/openapi.json", "ready": "/readyz",
        "examples": ["/get_flow_galaxy?name=NGC%204993", "/hint_byname?name=MESSIER",
                     "/get_flow_by_position?ra=197.4488&dec=-23.3839&cz=2916"],
        "fields": [{k: f.get(k) for k in ("id", "version", "title", "citation", "licence", "sky_frame", "shape",
                                          "r_max_hmpc", "sigma_v", "trusted_hmpc", "default")}
                   for _, f in sorted(fields.items())]}, "json")

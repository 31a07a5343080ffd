"""The service's HTTP face: four addresses, JSON in and out, over a store it is handed.

    GET /livez
    GET /v1/resolve?name=
    GET /v1/detail?name=
    GET /v1/hints?name=&limit=50&require_velocity=true

It is meant for the gateway, not for browsers; still nothing that arrives may bring it down or out of its words.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import orjson
from aiohttp import web

from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, UsageError

from .names import quote
from .store import Store

STORE: web.AppKey[Store] = web.AppKey("store", Store)
LOG = logging.getLogger("catalog_svc")

MAX_HINTS = 1000
# The gateway decides the status it shows; this is the one between the two processes, and it says the same.
_STATUS = {"bad_name": 422, "bad_parameter": 422, "unknown_name": 404, "not_a_galaxy": 404, "ambiguous_name": 409}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
# aiohttp's own limit of 8 kB would answer a long name in its words (plain text) instead of ours.
_LINE_BYTES = 64 * 1024


def build_app(store: Store) -> web.Application:
    """Return the application over an open store; the caller closes the store."""
    app = web.Application(middlewares=[_errors_as_json])
    app[STORE] = store
    app.add_routes([web.get("/livez", _livez), web.get("/v1/resolve", _resolve), web.get("/v1/detail", _detail),
                    web.get("/v1/hints", _hints)])
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """Return the runner the service uses: no access log, long request lines, half a second to end."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=0.5, max_line_size=_LINE_BYTES,
                         max_field_size=_LINE_BYTES)


async def _livez(request: web.Request) -> web.Response:
    """GET /livez: the process answers."""
    return _json({"ok": True})


async def _resolve(request: web.Request) -> web.Response:
    """GET /v1/resolve: position and velocity of a name."""
    return _json(request.app[STORE].resolve(_name(request)))


async def _detail(request: web.Request) -> web.Response:
    """GET /v1/detail: all the catalogue knows of a name."""
    return _json(request.app[STORE].detail(_name(request)))


async def _hints(request: web.Request) -> web.Response:
    """GET /v1/hints: names that begin as the given text does."""
    hints, more = request.app[STORE].hints(_name(request), limit=_limit(request),
                                           require_velocity=_boolean(request, "require_velocity", default=True))
    return _json({"hints": hints, "more_results": more})


def _name(request: web.Request) -> str:
    # A missing name is an empty one: the store words that refusal.
    return request.query.get("name", "")


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "50").strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and 1 <= int(text) <= MAX_HINTS):
        raise BadParameter(f"limit = {quote(text)} is not a whole number from 1 to {MAX_HINTS}", where="limit",
                           extra={"minimum": 1, "maximum": MAX_HINTS})
    return int(text)


def _boolean(request: web.Request, key: str, *, default: bool) -> bool:
    text = request.query.get(key)
    if text is None:
        return default
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise BadParameter(f"{key} = {quote(text)} is neither true nor false", where=key)
    return value


@web.middleware
async def _errors_as_json(request: web.Request,
                          handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except CosmicFlowsError as error:
        fallback = 422 if isinstance(error, UsageError) else 500
        return _json(error.as_dict(), _STATUS.get(error.code, fallback))
    except web.HTTPException as error:
        known = sorted({r.canonical for r in request.app.router.resources()})
        refusal = UsageError(f"{request.method} {quote(request.path)} is not served here ({error.reason}); "
                             f"GET one of {', '.join(known)}", code="not_found", where="path")
        return _json(refusal.as_dict(), error.status)
    except Exception:
        LOG.exception("unforeseen failure of %s", request.path)
        return _json(InternalError("the catalogue service failed on this request; its log holds the traceback")
                     .as_dict(), 500)


def _json(data: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, content_type="application/json")

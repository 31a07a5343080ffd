"""The service's HTTP face: JSON in and out, over the stores of a `Desk`.

    GET  /livez
    GET  /v1/resolve?name=[&group=true]        POST /v1/resolve {"names": [...]}
    GET  /v1/detail?name=                      GET  /v1/hints?name=&limit=50&require_velocity=true[&told=true]
    GET  /v1/galaxies?limit=
    GET  /v1/cone?ra=&dec=&radius=&limit=[&distances=true]
    GET  /v1/box?ra_min=&ra_max=&dec_min=&dec_max=&limit=
    POST /v1/crossmatch {"ra": [...], "dec": [...], "radius":, "which": "nearest"|"all"}
    GET  /v1/catalogs                          POST /v1/catalogs?filename=&profile= ...    DELETE /v1/catalogs/ID

It is meant for the gateway, which asks for a token where a catalogue is changed, not for browsers; still nothing that
arrives may bring it down or out of its words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, UnknownName, UsageError

from . import measured, sky, uploads
from .desk import Desk
from .names import quote
from .nearest import GALAXIES_MAX
from .store import NAMES_MAX

DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)
LOG = logging.getLogger("catalog_svc")

MAX_HINTS = 1000
MAX_TOLD = 50
"""Most hints that are resolved, too: this is done in the event loop."""
BODY_MAX = 64 * 2**20
RADIUS_MAX = 30.0
"""Greatest radius of a cone, deg; `sky.SCAN_MAX` bounds it where the sky is full."""
MATCH_RADIUS_MAX = 1.0
# The gateway decides the status it shows; this is the one between the two processes, and it says the same.
_STATUS = {"bad_name": 422, "bad_parameter": 422, "unknown_name": 404, "not_a_galaxy": 404, "ambiguous_name": 409,
           "unknown_catalog": 404, "body_too_large": 413, "too_many_rows": 413}
_BY_KIND = {"usage": 422, "transient": 503, "timeout": 504}
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
# aiohttp's own limit of 8 kB would answer a long name in its words (plain text) instead of ours.
_LINE_BYTES = 64 * 1024


def build_app(desk: Desk) -> web.Application:
    """Return the application over an open desk; the caller closes the desk."""
    app = web.Application(middlewares=[_errors_as_json], client_max_size=BODY_MAX)
    app[DESK] = desk
    app.add_routes([
        web.get("/livez", _livez), web.get("/v1/resolve", _resolve), web.post("/v1/resolve", _resolve_many),
        web.get("/v1/detail", _detail), web.get("/v1/hints", _hints), web.get("/v1/galaxies", _galaxies),
        web.get("/v1/cone", _cone), web.get("/v1/box", _box),
        web.post("/v1/crossmatch", _crossmatch), web.get("/v1/catalogs", _catalogs), web.post("/v1/catalogs", _import),
        web.delete("/v1/catalogs/{id}", _drop)])
    app.cleanup_ctx.append(_watching)
    return app


def build_runner(app: web.Application) -> web.AppRunner:
    """Return the runner the service uses: no access log, long request lines, half a second to end."""
    return web.AppRunner(app, access_log=None, shutdown_timeout=0.5, max_line_size=_LINE_BYTES,
                         max_field_size=_LINE_BYTES)


async def _watching(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[DESK].watch())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _livez(request: web.Request) -> web.Response:
    """GET /livez: the process answers."""
    return _json({"ok": True})


async def _resolve(request: web.Request) -> web.Response:
    """GET /v1/resolve: position and velocity of a name, with its group when asked."""
    name, group = _name(request), _boolean(request, "group", default=False)
    return _json(await request.app[DESK].quick(lambda store: store.group(name) if group else store.resolve(name)))


async def _resolve_many(request: web.Request) -> web.Response:
    """POST /v1/resolve: each of a list of names, in order."""
    body = await _body(request)
    asked = body.get("names")
    if not isinstance(asked, list) or not all(isinstance(n, str) for n in asked):
        raise BadParameter('send {"names": ["NGC 4993", "M 31"]}: a list of texts', where="names")
    if len(asked) > NAMES_MAX:
        raise BadParameter(f"{len(asked)} names are more than the {NAMES_MAX} of one request; send them in parts",
                           code="too_many_rows", where="names", extra={"limit": NAMES_MAX})
    results = await request.app[DESK].bulk(lambda store: store.resolve_many(asked))
    return _json({"n": len(results), "n_ok": sum(r["status"] == "ok" for r in results), "results": results})


async def _detail(request: web.Request) -> web.Response:
    """GET /v1/detail: all the catalogues know of a name."""
    name = _name(request)
    return _json(await request.app[DESK].quick(lambda store: store.detail(name)))


async def _hints(request: web.Request) -> web.Response:
    """GET /v1/hints: names that begin as the given text does."""
    name, limit = _name(request), int(_number(request, "limit", 1, MAX_HINTS, default=50, whole=True))
    velocity = _boolean(request, "require_velocity", default=True)
    told = _boolean(request, "told", default=False)
    hints, more = await request.app[DESK].quick(lambda store: (store.told_hints if told else store.hints)(
        name, limit=min(limit, MAX_TOLD) if told else limit, require_velocity=velocity))
    return _json({"hints": hints, "more_results": more})


async def _galaxies(request: web.Request) -> web.Response:
    """GET /v1/galaxies: the galaxies with a velocity as columns, nearest first."""
    limit = int(_number(request, "limit", 1, GALAXIES_MAX, default=GALAXIES_MAX, whole=True))
    # thousands of rows are written in the same thread
    return web.Response(body=await request.app[DESK].bulk(lambda store: orjson.dumps(store.nearest_galaxies(limit))),
                        content_type="application/json")


async def _cone(request: web.Request) -> web.Response:
    """GET /v1/cone: the objects around a direction, nearest first."""
    ra, dec = _number(request, "ra", -360.0, 360.0) % 360.0, _number(request, "dec", -90.0, 90.0)
    radius, limit = _number(request, "radius", 0.0, RADIUS_MAX), _limit(request)
    if _boolean(request, "distances", default=False):
        return _json(await request.app[DESK].bulk(lambda store: measured.answer(store.volumes, ra, dec, radius, limit)))

    def ask(store: Any) -> dict[str, Any]:
        found = sky.cone(store.volumes, ra, dec, radius)
        return {"n": len(found), "more_results": len(found) > limit, "objects": sky.listed(store.volumes, found[:limit])}

    is_small = radius <= 0.2 or (radius <= 1.0 and limit <= 20)
    return _json(await (request.app[DESK].quick if is_small else request.app[DESK].bulk)(ask))


async def _box(request: web.Request) -> web.Response:
    """GET /v1/box: the objects between two right ascensions and two declinations."""
    low = _number(request, "ra_min", 0.0, 360.0), _number(request, "dec_min", -90.0, 90.0)
    high = _number(request, "ra_max", 0.0, 360.0), _number(request, "dec_max", -90.0, 90.0)
    limit = _limit(request)
    if low[1] > high[1]:
        raise BadParameter(f"dec_min = {low[1]:g} lies above dec_max = {high[1]:g}; swap them", where="dec_min")

    def ask(store: Any) -> dict[str, Any]:
        found = sky.box(store.volumes, low, high)
        return {"n": len(found), "more_results": len(found) > limit,
                "objects": sky.listed(store.volumes, [(e, None) for e in found[:limit]])}

    return _json(await request.app[DESK].bulk(ask))


async def _crossmatch(request: web.Request) -> web.Response:
    """POST /v1/crossmatch: the objects around each of a list of directions."""
    body = await _body(request)
    ra, dec = (_floats(body, key) for key in ("ra", "dec"))
    if len(ra) != len(dec):
        raise BadParameter(f"ra has {len(ra)} entries, dec has {len(dec)}; send lists of one length", code="unequal_lengths",
                           where="dec")
    if len(ra) > NAMES_MAX:
        raise BadParameter(f"{len(ra)} positions are more than the {NAMES_MAX} of one request; send them in parts",
                           code="too_many_rows", where="ra", extra={"limit": NAMES_MAX})
    radius, which = body.get("radius"), body.get("which", "nearest")
    if isinstance(radius, bool) or not isinstance(radius, (int, float)) or not 0.0 < radius <= MATCH_RADIUS_MAX:
        raise BadParameter(f"radius = {quote(str(radius))} is not between 0 and {MATCH_RADIUS_MAX:g} deg", where="radius")
    if which not in ("nearest", "all"):
        raise BadParameter(f"which = {quote(str(which))} is neither nearest nor all", where="which")
    found = await request.app[DESK].bulk(
        lambda store: sky.crossmatch(store.volumes, ra, dec, float(radius), which == "nearest"))
    return _json({"n": len(found), "n_matched": sum(m["status"] == "ok" for m in found), "matches": found})


async def _catalogs(request: web.Request) -> web.Response:
    """GET /v1/catalogs: what is here."""
    return _json({"catalogs": await request.app[DESK].quick(lambda store: store.catalogs())})


async def _import(request: web.Request) -> web.Response:
    """POST /v1/catalogs: take in a file of galaxies, sent as the body; answer with the report."""
    report = await uploads.take_in(request, request.app[DESK].data, BODY_MAX)
    await request.app[DESK].look()
    return _json(report)


async def _drop(request: web.Request) -> web.Response:
    """DELETE /v1/catalogs/ID: take an imported catalogue out."""
    id = request.match_info["id"]
    if not await request.app[DESK].bulk(lambda store: uploads.drop(store.library, id)):
        known = [c["id"] for c in await request.app[DESK].quick(lambda store: store.catalogs())]
        raise UnknownName(f"there is no catalogue {quote(id)}; here are {', '.join(known)}", code="unknown_catalog", where="id",
                          extra={"known": known})
    await request.app[DESK].look()
    return _json({"dropped": id})


def _name(request: web.Request) -> str:
    # A missing name is an empty one: the store words that refusal.
    return request.query.get("name", "")


def _limit(request: web.Request) -> int:
    return int(_number(request, "limit", 1, sky.LIMIT_MAX, default=1000, whole=True))


def _number(request: web.Request, key: str, least: float, greatest: float, *, default: float | None = None,
            whole: bool = False) -> float:
    text = request.query.get(key, "" if default is None else str(default)).strip()
    kind = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole and text.isascii() and text.isdigit() and len(text) <= 6 else float("nan" if whole else text)
    except ValueError:
        value = float("nan")
    if not least <= value <= greatest or "_" in text:
        raise BadParameter(f"{key} = {quote(text)} is not {kind} from {least:g} to {greatest:g}", where=key,
                           extra={"minimum": least, "maximum": greatest})
    return value


def _boolean(request: web.Request, key: str, *, default: bool) -> bool:
    text = request.query.get(key)
    if text is None:
        return default
    value = _BOOLEANS.get(text.strip().lower())
    if value is None:
        raise BadParameter(f"{key} = {quote(text)} is neither true nor false", where=key)
    return value


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        data = orjson.loads(await request.read())
    except orjson.JSONDecodeError as exc:
        raise BadParameter(f"the body is not JSON: {exc.msg}", code="malformed_json", where="body") from None
    if not isinstance(data, dict):
        raise BadParameter("the body is not a JSON object", code="malformed_json", where="body")
    return data


def _floats(body: dict[str, Any], key: str) -> list[float]:
    """Return a list of numbers; an entry that is none is NaN, a fault of its row."""
    values = body.get(key)
    if not isinstance(values, list):
        raise BadParameter(f"{key} is not a list of numbers in degrees", where=key)
    return [float(v) if isinstance(v, (int, float)) and not isinstance(v, bool) else float("nan") for v in values]


@web.middleware
async def _errors_as_json(request: web.Request,
                          handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
    try:
        return await handler(request)
    except CosmicFlowsError as error:
        if error.kind == "fatal":
            LOG.error("%s failed: %s", request.path, error.message)
        return _json(error.as_dict(), _STATUS.get(error.code, _BY_KIND.get(error.kind, 500)))
    except web.HTTPRequestEntityTooLarge:
        refusal = UsageError(f"the body is larger than {BODY_MAX // 2**20} MiB; send it in parts", code="body_too_large",
                             where="body")
        return _json(refusal.as_dict(), 413)
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

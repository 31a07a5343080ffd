"""Names and places without a flow: lists of names, cones, boxes, cross-matches, and the catalogues themselves."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from cfcore import frames
from cfcore.errors import BadParameter, CosmicFlowsError, UnknownName

from . import answers, queries
from . import name_queries as asked
from .keys import CATALOG, HINTS
from .problems import unreadable_body
from .tokens import require_admin

log = logging.getLogger("gateway")
UPLOAD_MAX = 64 * 2**20
# names of columns -> unit; None is text
COLUMNS: dict[str, str | None] = {
    "name": None, "ra": "deg", "dec": "deg", "separation_deg": "deg", "object_type": None, "z_helio": "", "cz_helio": "km/s",
    "cz_error": "km/s", "cz_source": None, "catalog": None}
_ID = re.compile(r"[a-z0-9][a-z0-9_+-]{0,79}")


async def hint_byname(request: web.Request) -> web.Response:
    """GET /hint_byname: names that begin as the user typed; every hint resolves."""
    return await _hinted(request, asked.HintQuery, request.app[CATALOG].hints)


async def told_hints(request: web.Request) -> web.Response:
    """GET /v1/hints: the same with what each name stands for: type, velocity, and the galaxy that it is another name of."""
    return await _hinted(request, asked.ToldHintQuery, request.app[CATALOG].told_hints)


async def _hinted(request: web.Request, model: type[asked.HintQuery] | type[asked.ToldHintQuery],
                  ask: Callable[[str, int, bool], Awaitable[bytes]]) -> web.Response:
    question = f"{model.__name__}?{request.rel_url.raw_query_string}", ",".join(request.headers.getall("Accept", ()))
    ready = request.app[HINTS].get(question)
    if ready is None:
        q = queries.parse_query(model, request)
        fmt = answers.wanted(request, q.format)
        media, body = answers.encoded(await ask(q.name, q.limit, q.require_velocity), fmt)
        request.app[HINTS].put(question, media, body)
    else:
        _, media, body = ready
    return web.Response(body=body, headers={"Content-Type": media})


async def resolve_many(request: web.Request) -> web.Response:
    """POST /v1/resolve: position and velocity of each of a list of names, in order, each with its own status."""
    body = await queries.parse_body(asked.ResolveBody, request, "the list names")
    fmt = answers.wanted(request, body.format)
    names, faults = asked.name_list(body)
    found = await request.app[CATALOG].resolve_many(names)
    for row, reason in faults.items():
        found["results"][row] = {"status": "bad_name", "name": None, "detail": reason}
    return answers.respond(found, fmt)


async def cone(request: web.Request) -> web.Response:
    """GET /v1/cone: the objects around a position, nearest first."""
    q = queries.parse_query(asked.ConeQuery, request)
    fmt = answers.wanted(request, q.format, asked.TABLE_FORMATS)
    if q.distances and fmt in ("csv", "votable"):
        raise BadParameter(f"a galaxy has any number of distances, which {fmt} cannot hold in one row; ask for format=json or "
                           "msgpack, or leave distances out", where="distances")
    lon, lat, frame, pair = queries.need_place(q)
    answers.check_single({"lon": np.array([lon]), "lat": np.array([lat])}, pair)
    position = answers.position(lon, lat, frame)
    found = await request.app[CATALOG].cone(position["icrs"]["lon"], position["icrs"]["lat"], q.radius, q.limit,
                                            distances=q.distances)
    return await _listed({"position": position, "frame": frame, "radius": q.radius, **found}, fmt)


async def box(request: web.Request) -> web.Response:
    """GET /v1/box: the objects between two right ascensions and two declinations, by right ascension."""
    q = queries.parse_query(asked.BoxQuery, request)
    fmt = answers.wanted(request, q.format, asked.TABLE_FORMATS)
    bounds = {name: getattr(q, name) for name in ("ra_min", "ra_max", "dec_min", "dec_max")}
    found = await request.app[CATALOG].box(bounds, q.limit)
    return await _listed({"frame": "icrs", **bounds, **found}, fmt)


async def crossmatch(request: web.Request) -> web.Response:
    """POST /v1/crossmatch: the nearest object, or all of them, around each of a list of positions."""
    body = await queries.parse_body(asked.MatchBody, request, "two lists of positions and a radius")
    fmt = answers.wanted(request, body.format)
    sent, frame, pair, status = asked.match_columns(body)
    ok = np.array([s == "ok" for s in status])
    ra, dec = np.full((2, len(status)), np.nan)
    # a faulty row stays NaN: the turned direction of a latitude of 120 degrees would look like a sound one
    ra[ok], dec[ok] = frames.lon_lat(frames.rotate(frames.unit_vectors(sent["lon"][ok], sent["lat"][ok]), frame, "icrs"))
    if frame == "icrs":
        ra[ok], dec[ok] = sent["lon"][ok], sent["lat"][ok]
    found = await request.app[CATALOG].crossmatch({
        "ra": _null(ra), "dec": _null(dec), "radius": body.radius, "which": body.which})
    errors = [answers.row_fault(i, s, sent, pair) for i, s in enumerate(status) if s != "ok"]
    for fault in errors:
        found["matches"][fault["row"]]["status"] = fault["code"]
    data = {"frame": frame, "radius": body.radius, "which": body.which, **found, **({"errors": errors} if errors else {})}
    return answers.respond(data, fmt)


async def catalogs(request: web.Request) -> web.Response:
    """GET /v1/catalogs: the catalogues that are here, with version, citation, licence and counts."""
    q = queries.parse_query(asked.AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    return answers.respond(await request.app[CATALOG].catalogs(), fmt)


async def import_catalog(request: web.Request) -> web.Response:
    """POST /v1/catalogs: take in a table of galaxies, clusters or groups, sent as the body; the answer is the report."""
    await require_admin(request)
    queries.parse_query(asked.ImportQuery, request, many="map")
    fmt = answers.wanted(request, None)
    if (request.content_length or 0) > UPLOAD_MAX:
        raise _too_large()
    upload = _Upload(request)
    try:
        report = await request.app[CATALOG].take_in(request.query.items(), upload.pieces())
    except CosmicFlowsError:
        if upload.fault is not None:
            raise upload.fault from None
        raise
    request.app[HINTS].clear()
    if not report.get("is_dry"):
        log.warning("catalogue %s was imported over HTTP, version %.12s", report.get("catalog"), report.get("version"))
    return answers.respond(report, fmt)


async def drop_catalog(request: web.Request) -> web.Response:
    """DELETE /v1/catalogs/{id}: take an imported catalogue out; the built-in ones stay."""
    await require_admin(request)
    q = queries.parse_query(asked.AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    id = request.match_info["id"]
    if not _ID.fullmatch(id):
        raise UnknownName(f"there is no catalogue {id!r:.80}; GET /v1/catalogs lists those that are here", code="unknown_catalog",
                          where="id")
    dropped = await request.app[CATALOG].drop(id)
    request.app[HINTS].clear()
    log.warning("catalogue %s was dropped over HTTP", id)
    return answers.respond(dropped, fmt)


class _Upload:
    """Hand a body on in pieces and remember why it ended early: the HTTP client in between would tell something else."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.fault: CosmicFlowsError | None = None

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in; end with an error where it is too long or breaks off."""
        size = 0
        try:
            async for piece in self._request.content.iter_chunked(1 << 16):
                size += len(piece)
                if size > UPLOAD_MAX:
                    raise _too_large()
                yield piece
        except CosmicFlowsError as exc:
            self.fault = exc
            raise
        except (web.RequestPayloadError, PayloadEncodingError, ConnectionError):
            self.fault = unreadable_body()
            raise self.fault from None


def _too_large() -> BadParameter:
    return BadParameter(f"the body is larger than {UPLOAD_MAX // 2**20} MiB; import the file on the server with: cosmicflows "
                        "catalog import FILE", code="body_too_large", where="body", extra={"limit": UPLOAD_MAX})


def _null(values: np.ndarray) -> list[float | None]:
    return [None if v != v else v for v in values.tolist()]


async def _listed(found: dict[str, Any], fmt: str) -> web.Response:
    """Answer with a list of objects: as it is, or flat as a table."""
    if fmt not in ("csv", "votable"):
        return answers.respond(found, fmt)
    objects = found.pop("objects")
    columns = flat_columns(objects, [c for c in COLUMNS if c != "separation_deg" or "radius" in found])
    units = {name: COLUMNS[name] or "" for name in columns}
    # ten thousand rows take half a second: the loop has others to serve
    return await asyncio.to_thread(answers.respond_table, {**found, "columns": columns}, units, fmt)


def flat_columns(objects: list[dict[str, Any]], names: list[str]) -> dict[str, np.ndarray]:
    """Return listed objects as columns: float64 with NaN, or text with empty entries, where nothing is known."""
    flat: dict[str, list[Any]] = {
        "ra": [o["position"]["icrs"]["lon"] for o in objects], "dec": [o["position"]["icrs"]["lat"] for o in objects],
        "catalog": [o["catalog"]["name"] for o in objects]}
    out = {}
    for name in names:
        values = flat[name] if name in flat else [o.get(name) for o in objects]
        if COLUMNS[name] is None:
            out[name] = np.array([v or "" for v in values], dtype=str)
        else:
            out[name] = np.array([np.nan if v is None else v for v in values], dtype=float)
    return out

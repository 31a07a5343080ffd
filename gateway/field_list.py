"""Which fields are served, whom to cite for each, and small previews of them to look at: made by a worker, kept packed here.

A preview never changes under its address, so browsers keep it for good; whose version is gone is told which one is served.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from cfcore import citations, preview
from cfcore.errors import UnknownName
from cfcore.options import FlowOptions

from . import answers, name_queries, packed, queries, tracing
from .budget import charged
from .callers import caller_of
from .flows import one_row
from .keys import DISPATCHER, METERS, PREVIEWS

KEPT_BYTES = 64 << 20
"""Some twenty fields in both sizes."""
MEDIA = "application/octet-stream"
_SHOWN = ("id", "version", "title", "citation", "licence", "sky_frame", "shape", "r_max_hmpc", "trusted_hmpc", "sigma_v",
          "realisations", "has_density", "has_sigma", "default")


class PreviewQuery(queries.Strict):
    """Query of GET /v1/fields/{field}/{version}/preview-{n}.bin: there is nothing to choose."""


async def list_fields(request: web.Request) -> web.Response:
    """GET /v1/fields: the velocity fields that are served, whom to cite for each, and where its previews are."""
    q = queries.parse_query(name_queries.AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    dispatcher = request.app[DISPATCHER]
    dispatcher.check_worker()
    fields = [_told(record) for _, record in sorted(dispatcher.fields().items())]
    default = next((f["id"] for f in fields if f["default"]), None)
    response = answers.respond({"default": default, "software_bibtex": citations.SOFTWARE, "fields": fields}, fmt)
    response.headers["Cache-Control"] = "no-cache"
    return response


async def get_preview(request: web.Request) -> web.Response:
    """GET /v1/fields/{field}/{version}/preview-{n}.bin: a field as a cube of bytes to draw (docs/preview.md)."""
    queries.parse_query(PreviewQuery, request)
    record, n = _record(request), _nodes(request)
    key, shelf, dispatcher = (record["id"], record["sha"], n), request.app[PREVIEWS], request.app[DISPATCHER]
    found = shelf.get(key)
    if found is not None:
        return await packed.respond(request, found, packed.FOREVER)
    trace = tracing.current()

    async def make() -> packed.Packed:
        answer = await dispatcher.run("preview", key[:2], FlowOptions().as_dict(), one_row(n=n), is_alone=True, trace=trace)
        request.app[METERS].count("rows", ("preview", record["id"]), 1)
        return await asyncio.to_thread(packed.pack, answer.columns["tile"].tobytes(), MEDIA)

    # each of those who wait pays a row: for nothing, anybody could keep the workers busy with previews
    with charged(request, await caller_of(request), 1):
        found = await shelf.get_or_make(key, make)
    return await packed.respond(request, found, packed.FOREVER)


def sizes_of(record: dict[str, Any]) -> tuple[int, ...]:
    """Return the sizes of the previews of a field: a larger one only where the field holds more than the smaller one shows."""
    return tuple(n for i, n in enumerate(preview.SIZES) if i == 0 or max(record["shape"]) > preview.SIZES[i - 1])


def _told(record: dict[str, Any]) -> dict[str, Any]:
    """Return a field in the words of the API; what its worker did not say is null."""
    place = f"/v1/fields/{record['id']}/{record['version']}"
    return {**{key: record.get(key) for key in _SHOWN},
            "bibtex": citations.bibtex(record["id"], record.get("citation") or "", record.get("title") or ""),
            "default": bool(record.get("default")), "previews": {str(n): f"{place}/preview-{n}.bin" for n in sizes_of(record)}}


def _record(request: web.Request) -> dict[str, Any]:
    """Return the record of the field and version that the address names."""
    id, version = request.match_info["field"], request.match_info["version"]
    dispatcher = request.app[DISPATCHER]
    dispatcher.check_worker()
    fields = dispatcher.fields()
    record = fields.get(id)
    if record is None:
        raise UnknownName(f"field {id!r:.80} is not served here; GET /v1/fields lists {', '.join(sorted(fields))}",
                          code="unknown_field", where="field", extra={"known": sorted(fields)})
    if version != record["version"]:
        raise UnknownName(f"version {version!r:.80} of field {id} is not served, or not any more; it is {record['version']} now: "
                          "GET /v1/fields tells the addresses", code="unknown_version", where="version",
                          extra={"known": [record["version"]]})
    return record


def _nodes(request: web.Request) -> int:
    text = request.match_info["n"]
    if text not in map(str, preview.SIZES):
        raise UnknownName(f"there is no preview with {text!r:.20} nodes along an axis; there are "
                          f"{' and '.join(map(str, preview.SIZES))}", code="unknown_preview", where="n",
                          extra={"known": list(preview.SIZES)})
    return int(text)

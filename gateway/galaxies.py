"""The galaxies of the catalogues as columns to draw, nearest first: packed once for each state of the catalogues."""

from __future__ import annotations

import asyncio

from aiohttp import web

from . import answers, name_queries, packed, queries
from .budget import charged
from .callers import caller_of
from .keys import CATALOG, GALAXIES

KEPT_BYTES = 16 << 20


async def list_galaxies(request: web.Request) -> web.Response:
    """GET /v1/galaxies: the galaxies with a velocity, nearest first, as columns: name, direction, cz in the CMB frame."""
    q = queries.parse_query(name_queries.GalaxiesQuery, request)
    fmt = answers.wanted(request, q.format)
    catalog = request.app[CATALOG]
    state = tuple((c["id"], c["version"]) for c in (await catalog.catalogs())["catalogs"])

    async def make() -> packed.Packed:
        body = await catalog.galaxies(q.limit)
        return await asyncio.to_thread(_pack, body, fmt)

    key, shelf = (state, q.limit, fmt), request.app[GALAXIES]
    found = shelf.get(key)
    if found is None:
        # a row for each that is not kept, as for previews: there are many limits to ask with
        with charged(request, await caller_of(request), 1):
            found = await shelf.get_or_make(key, make)
    return await packed.respond(request, found, "no-cache")


def _pack(body: bytes, fmt: str) -> packed.Packed:
    media, body = answers.encoded(body, fmt)
    return packed.pack(body, media)

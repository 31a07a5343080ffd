"""The galaxies of the catalogues as columns to draw, nearest first: packed once for each state of the catalogues."""

from __future__ import annotations

import asyncio

from aiohttp import web

from . import answers, name_queries, packed, queries
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

    return await packed.respond(request, await request.app[GALAXIES].get_or_make((state, q.limit, fmt), make), "no-cache")


def _pack(body: bytes, fmt: str) -> packed.Packed:
    media, body = answers.encoded(body, fmt)
    return packed.pack(body, media)

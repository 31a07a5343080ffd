"""Large answers that many ask for: compressed once, kept as they travel, named by their content, sent to whoever lacks them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from functools import lru_cache
from typing import NamedTuple

from aiohttp import web
from multidict import istr

LEVEL = 6
"""Of gzip: level 9 takes three times as long for one part in a hundred."""
FOREVER = "public, max-age=31536000, immutable"
"""Cache-Control of what never changes under its address."""
_ACCEPTED = istr("Accept-Encoding")


class Packed(NamedTuple):
    """Hold an answer as it travels."""

    media: str
    body: bytes
    """Compressed with gzip."""
    digest: str


def pack(body: bytes, media: str) -> Packed:
    """Compress an answer; megabytes take tenths of a second, so not on the event loop."""
    return Packed(media, gzip.compress(body, LEVEL, mtime=0), hashlib.sha256(body).hexdigest()[:32])


async def respond(request: web.Request, packed: Packed, cache_control: str) -> web.Response:
    """Return the answer to a request: compressed where it may be, or that the client has it already."""
    headers = {"Content-Type": packed.media, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    if is_unchanged(request, packed.digest) or takes_gzip(request.headers.get(_ACCEPTED, "")):
        return send(request, packed.digest, None, packed.body, headers)
    return send(request, packed.digest, await asyncio.to_thread(gzip.decompress, packed.body), None, headers)


def is_unchanged(request: web.Request, digest: str) -> bool:
    """Tell whether the client has this content already, in either form."""
    return any(known.value in (digest, f"{digest}-gzip", "*") for known in request.if_none_match or ())


def send(request: web.Request, digest: str, plain: bytes | None, packed: bytes | None, headers: dict[str, str]) -> web.Response:
    """Return the answer of a content: packed for those who take it, or that it has not changed.

    Parameters
    ----------
    request : web.Request
    digest : str
        Of the content.
    plain, packed : bytes, optional
        Its two forms; one that will not be sent may be missing.
    headers : dict of str to str
        Those of the answer; the entity tag and the coding are added.
    """
    is_packed = packed is not None and takes_gzip(request.headers.get(_ACCEPTED, ""))
    # two codings of one content are two representations: RFC 9110, section 8.8.3.3
    headers = {**headers, "ETag": f'"{digest}{"-gzip" * is_packed}"'}
    if is_unchanged(request, digest):
        headers.pop("Content-Type", None)
        return web.Response(status=304, headers=headers)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=packed if is_packed else plain, headers=headers)


@lru_cache(maxsize=256)
def takes_gzip(accepted: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip (RFC 9110, section 12.5.3); without one the body stays as it is."""
    weights = {}
    for entry in accepted.lower().split(","):
        coding, _, rest = entry.partition(";")
        try:
            weights[coding.strip()] = float(rest.partition("=")[2] or 1.0)
        except ValueError:
            weights[coding.strip()] = 1.0
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0.0


class Shelf:
    """Keep packed answers, the latest used, up to so many bytes; many who ask for the same at once have it made once.

    Parameters
    ----------
    bytes_max : int
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._kept: OrderedDict[Hashable, Packed] = OrderedDict()
        self._made: dict[Hashable, asyncio.Task[Packed]] = {}

    def get(self, key: Hashable) -> Packed | None:
        """Return what is kept."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    async def get_or_make(self, key: Hashable, make: Callable[[], Awaitable[Packed]]) -> Packed:
        """Return what is kept, or wait until it is made; what fails is told to all who wait and made anew for the next."""
        if (found := self.get(key)) is not None:
            return found
        task = self._made.get(key)
        if task is None:
            # a task of its own: whoever asked first may go away, and the others still want it
            task = self._made[key] = asyncio.create_task(self._make(key, make))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    async def _make(self, key: Hashable, make: Callable[[], Awaitable[Packed]]) -> Packed:
        try:
            made = await make()
        finally:
            del self._made[key]
        self._put(key, made)
        return made

    def _put(self, key: Hashable, made: Packed) -> None:
        self._bytes += len(made.body)
        if (before := self._kept.pop(key, None)) is not None:
            self._bytes -= len(before.body)
        self._kept[key] = made
        while self._bytes > self._bytes_max and len(self._kept) > 1:
            self._bytes -= len(self._kept.popitem(last=False)[1].body)

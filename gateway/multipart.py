"""Multipart forms, part by part, for every door: bounds on their shape, and what is no form told in our words.

What the parts mean, and how long they may be, is the business of whoever reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiohttp import BodyPartReader, MultipartReader, StreamReader, web
from aiohttp.http_exceptions import HttpProcessingError

from cfcore.errors import BadParameter, CosmicFlowsError

from .problems import unreadable_body

FORM = "multipart/form-data"
PARTS_MAX = 64
"""To find where a part ends takes the event loop a millisecond: of ten thousand parts nobody else would hear for a minute."""

LINES_MAX = 16_384
"""Lines before the first part, of headers and of borders."""
_TURN = 128


class _Content:
    """Pass on the body of a request, and count the lines that are asked for.

    Reading a line that has come already lets nobody else have a turn, and a body may unpack to thousands of millions of
    empty ones: without a bound one small request would hold up all others for hours.
    """

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._lines = 0

    async def readline(self, **how: Any) -> bytes:
        """Return the next line; refuse one too many."""
        self._lines += 1
        if self._lines > LINES_MAX:
            raise refused(f"it has more than {LINES_MAX} lines outside the contents of its parts; send fewer parts, and nothing "
                          "before the first")
        if not self._lines % _TURN:
            await asyncio.sleep(0)
        return await self._content.readline(**how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


async def parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    """Yield the parts of a form; to be used, with what reads them, in a block of `in_our_words`.

    Raises
    ------
    BadParameter
        Code ``bad_request``.
    """
    reader = MultipartReader(request.headers, cast(StreamReader, _Content(request.content)))
    n = 0
    while (part := await reader.next()) is not None:
        n += 1
        if n > PARTS_MAX:
            raise refused(f"it has more than {PARTS_MAX} parts; give a list as one part, its numbers parted by commas")
        if not isinstance(part, BodyPartReader):
            raise refused("it has a part that is a form itself")
        yield part


async def pieces(part: BodyPartReader, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """Yield what a part holds, as it comes."""
    while piece := await part.read_chunk(size):
        yield bytes(piece)


@contextmanager
def in_our_words() -> Iterator[None]:
    """Raise what aiohttp raises on a form that is none, or breaks off, as `BadParameter` (bad_request)."""
    try:
        yield
    except CosmicFlowsError:
        raise
    except (HttpProcessingError, web.RequestPayloadError, ConnectionError, ValueError, LookupError, AssertionError, EOFError):
        raise unreadable_body() from None


def refused(why: str) -> BadParameter:
    """Return the refusal of a form."""
    return BadParameter(f"the form cannot be taken: {why}", code="bad_request", where="body")

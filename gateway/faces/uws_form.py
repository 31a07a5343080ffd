"""Forms as VO clients send them: urlencoded or multipart, the names of parameters in any case, some of them in the address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from cfcore.errors import BadParameter

from .. import bodies, multipart
from ..problems import unreadable_body, wrong_encoding
from .uws_xml import is_clean

FORM_MAX = 4 << 20
"""Bytes of a form: ten thousand objects with all their digits."""
FIELDS_MAX = 50_000
IGNORED = ("REQUEST", "LANG", "VERSION")
"""What clients of TAP send along."""
Take = Callable[[AsyncIterator[bytes], str, str], Awaitable[Any]]


class Table(NamedTuple):
    """Hold a table that is a part of a form: the name of the part, and what became of it when somebody took it."""

    part: str
    taken: Any = None


class Form(NamedTuple):
    """Hold a form: parameter in upper case -> values, and the table in it."""

    values: dict[str, list[str]]
    table: Table | None = None

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return a parameter that is given once; an empty one is not given.

        Raises
        ------
        BadParameter
            Code ``repeated_parameter``.
        """
        given = [text.strip() for text in self.values.get(name, ()) if text.strip()]
        if len(given) > 1:
            raise BadParameter(f"parameter {name} is given {len(given)} times; give it once", code="repeated_parameter",
                               where=name)
        return given[0] if given else default


async def read(request: web.Request, known: Iterable[str], take: Take | None = None) -> Form:
    """Read the form of a request, urlencoded or multipart, with what stands in the address.

    Parameters
    ----------
    request : aiohttp.web.Request
    known : iterable of str
        Names of parameters, in upper case.
    take : callable, optional
        Told the pieces of a table, the name of its file and its media type; without it nothing is read of a table, nor of what
        stands behind it.

    Raises
    ------
    BadParameter
        When it cannot be read, is too long, or holds a parameter that is not known.
    """
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    pairs, table = list(request.query.items()), None
    if kind == multipart.FORM:
        more, table = await _parts(request, take)
        pairs += more
    elif kind in ("application/x-www-form-urlencoded", ""):
        body = await _body(request)
        pairs += await asyncio.to_thread(_pairs, body) if len(body) > 1 << 16 else _pairs(body)
    else:
        raise BadParameter(f"content type {kind!r:.80} is no form; send application/x-www-form-urlencoded or multipart/form-data",
                           code="wrong_content_type", where="Content-Type")
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        values.setdefault(name.upper(), []).append(value)
    words = list(known)
    for name, given in values.items():
        if name not in words and name not in IGNORED:
            raise BadParameter(f"parameter {name!r:.80} is not known here; known are {', '.join(sorted(words))}",
                               code="unknown_parameter", where=name[:80])
        if not all(map(is_clean, given)):
            raise BadParameter(f"parameter {name} holds a control character; leave it out", code="bad_parameter", where=name)
    return Form({name: given for name, given in values.items() if name not in IGNORED}, table)


async def _body(request: web.Request) -> bytes:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in bodies.ENCODINGS:
        raise wrong_encoding(encoding)
    out = bytearray()
    try:
        async for piece in request.content.iter_any():
            out += piece
            _check_length(len(out))
    except (web.RequestPayloadError, PayloadEncodingError, ConnectionError) as exc:
        raise unreadable_body() from exc
    return bytes(out)


def _check_length(size: int) -> None:
    if size > FORM_MAX:
        raise BadParameter(f"the form is larger than {FORM_MAX >> 20} MiB; send long lists to POST /v1/jobs: the job will stand "
                           "in this list all the same", code="body_too_large", where="body", extra={"limit": FORM_MAX})


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadParameter("the form is not sound: it is not UTF-8, or it has too many fields", code="bad_request",
                           where="body") from None


async def _parts(request: web.Request, take: Take | None) -> tuple[list[tuple[str, str]], Table | None]:
    """Return the fields of a multipart form, and the table in it."""
    pairs: list[tuple[str, str]] = []
    table: Table | None = None
    size = 0
    with multipart.in_our_words():
        async for part in multipart.parts(request):
            if not part.name:
                raise multipart.refused("it has a part without a name")
            if part.filename is not None:
                if take is None:
                    return pairs, Table(part.name)
                if table is not None:
                    raise BadParameter("a form holds one table; send the others in forms of their own", code="bad_request",
                                       where=part.name[:80])
                media = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                table = Table(part.name, await take(multipart.pieces(part), part.filename, media))
                continue
            text = bytearray()
            async for piece in multipart.pieces(part):
                text += piece
                size += len(piece)
                _check_length(size)
            pairs.append((part.name, text.decode()))
    return pairs, table

"""The body of a request: bytes in, one object out, from JSON or msgpack; what it means is the business of `queries`."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import msgpack
import orjson
from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from cfcore.errors import BadParameter

from . import tracing
from .problems import unreadable_body, wrong_encoding

log = logging.getLogger("gateway")
LARGE = 1 << 20
"""A longer body is read beside the event loop."""
ENCODINGS = ("identity", "gzip", "deflate")
_KINDS = {bool: "true or false", int: "one number", float: "one number", str: "text", list: "a list", dict: "an object",
          bytes: "raw bytes that are no column of float64", type(None): "null"}
# A string and, when it is a key, its colon. Read from the start of sound JSON it never begins inside a string.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?', re.DOTALL)


async def read(request: web.Request, holds: str) -> dict[str, Any]:
    """Read the object a request carries.

    Parameters
    ----------
    request : aiohttp.web.Request
    holds : str
        What is expected in it, for refusals: ``"the lists lon, lat, cz"``.

    Raises
    ------
    BadParameter
        When its type or encoding is none of ours, when it is not what they say, or holds a key twice.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ENCODINGS:
        raise wrong_encoding(encoding)
    try:
        body = await received(request, request.client_max_size)
    except (web.RequestPayloadError, PayloadEncodingError) as exc:
        raise unreadable_body() from exc
    except ConnectionError:
        log.info("a client left in the middle of its body: %s %s", request.method, request.path[:200],
                 extra={"req_id": tracing.request_id()})
        raise BadParameter("the connection ended in the middle of the body", code="bad_request", where="body") from None
    kind = content_type(request)
    if kind in ("application/msgpack", "application/x-msgpack"):
        decode = _read_msgpack
    elif is_object(request):
        decode = _read_json
    else:
        raise BadParameter(f"content type {kind!r:.80} cannot be read; send JSON with the header "
                           "'Content-Type: application/json', or application/msgpack", code="wrong_content_type",
                           where="Content-Type")
    data = decode(body, holds) if len(body) <= LARGE else await asyncio.to_thread(decode, body, holds)
    if not isinstance(data, dict):
        raise BadParameter(f"an object with {holds} is expected, got {kind_of(data)}", code="bad_request",
                           where="body")
    return {str(k)[:200]: v for k, v in data.items()}


def content_type(request: web.Request) -> str:
    """Return the content type of a request without its parameters; empty when there is none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def is_object(request: web.Request) -> bool:
    """Tell whether `read` knows the type of a request's body: JSON, which is also what has no type, or msgpack."""
    kind = content_type(request)
    return kind in ("", "application/json", "application/msgpack", "application/x-msgpack") or kind.endswith("+json")


async def received(request: web.Request, most: int) -> bytes:
    """Return the body of a request, unpacked.

    Raises
    ------
    aiohttp.web.HTTPRequestEntityTooLarge
        When it has more bytes than that.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise web.HTTPRequestEntityTooLarge(most, size)
    except BaseException:
        # whoever keeps the exception keeps this frame; that must not be a body of many MiB
        pieces.clear()
        raise
    # joined once: what grows piece by piece is moved again and again
    return b"".join(pieces)


def kind_of(value: Any) -> str:
    """Say what a value of a body is, in words of JSON rather than of Python."""
    return _KINDS.get(type(value), "something else")


def _read_json(body: bytes, holds: str) -> Any:
    if not body:
        raise BadParameter(f"the body is empty; send a JSON object with {holds}", code="malformed_json", where="body")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        fault = f"{exc.msg} at line {exc.lineno}, column {exc.colno}"
    else:
        # orjson keeps the last of two equal keys in silence; to count the keys adds a fifth to the time of reading
        if not isinstance(data, dict) or sum(map(bool, _STRING.findall(body))) == len(data):
            return data
        fault = "it is nested too deeply"
    try:
        # Python's json module writes NaN, which is not JSON; a NaN is a fault of its row, not of the request.
        return json.loads(body, object_pairs_hook=_unique)
    except BadParameter:
        raise
    except (ValueError, RecursionError):
        raise BadParameter(f"the body is not JSON: {fault}", code="malformed_json", where="body") from None


def _read_msgpack(body: bytes, holds: str) -> Any:
    try:
        return msgpack.unpackb(body, max_ext_len=0, max_map_len=256, object_pairs_hook=_unique)
    except BadParameter:
        raise
    except Exception:
        # msgpack raises many unrelated classes on hostile input
        raise BadParameter(f"the body is not one whole msgpack object; send a map with {holds}",
                           code="malformed_msgpack", where="body") from None


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        seen: set[Any] = set()
        twice = str(next(key for key, _ in pairs if key in seen or seen.add(key)))[:80]
        raise BadParameter(f"{twice!r} stands in the body twice; give it once", code="repeated_parameter", where=twice)
    return data

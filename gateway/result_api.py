"""The results of a job as files over HTTP: what there is, and each of them with its digest, whole or in part.

aiohttp's own way to send files knows no entity tags but those it makes of time and size; ours is the SHA-256 of the content,
which is the same when the file was made anew.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from sqlite3 import Row
from typing import IO, Literal

from aiohttp import ETag, web
from pydantic import Field

from cfcore.errors import BadParameter, UnknownName
from cfcore.options import FLOW_TYPES

from . import answers, queries, renders
from .job_access import own_row
from .job_view import need_result
from .keys import JOBS
from .queries import Strict
from .renders import FORMATS, RENDERS, Rendered

STEP = 256 << 10
_NAMES = {f"result.{suffix}": fmt for fmt, (suffix, _) in FORMATS.items()}
_FLOW = Field(default=None, description="Of kind distance: " + ", ".join(FLOW_TYPES) + " (default distance)")


class ResultsQuery(Strict):
    """Query of GET /v1/jobs/{job}/results."""

    format: Literal["json", "msgpack"] | None = Field(default=None, description="json (default) or msgpack")
    flow_type: str | None = _FLOW


class ResultFileQuery(Strict):
    """Query of GET /v1/jobs/{job}/results/{name}."""

    flow_type: str | None = _FLOW


async def list_results(request: web.Request) -> web.Response:
    """GET /v1/jobs/{job}/results: the result in every format; size and digest of those that were made already."""
    row = await own_row(request)
    return listed(request, row, f"/v1/jobs/{row['id']}")


async def get_result_file(request: web.Request) -> web.StreamResponse:
    """GET /v1/jobs/{job}/results/{name}: the rows as they were sent, the flow beside them, as a file."""
    return await file_of(request, await own_row(request))


def listed(request: web.Request, row: Row, url: str) -> web.Response:
    """Answer with the files of a job that is found at an address of ours."""
    q = queries.parse_query(ResultsQuery, request)
    fmt = answers.wanted(request, q.format)
    flow = queries.flow_type(q.flow_type or "distance")
    need_result(request.app[JOBS], row)
    tail = f"?flow_type={flow}" if flow != "distance" and row["kind"] == "distance" else ""
    files = []
    for name, kind in _NAMES.items():
        made = request.app[RENDERS].peek(row, kind, flow)
        files.append({"name": name, "media_type": FORMATS[kind][1].partition(";")[0], "url": f"{url}/results/{name}{tail}",
                      "size": made and made.size, "sha256": made and made.sha256})
    return answers.respond({"job": row["id"], "phase": row["phase"], "rows_done": row["rows_done"],
                            "rows_total": row["rows_total"], "results": files}, fmt)


async def file_of(request: web.Request, row: Row) -> web.StreamResponse:
    """Answer with the file of a job that the address names."""
    q = queries.parse_query(ResultFileQuery, request)
    flow = queries.flow_type(q.flow_type or "distance")
    name = request.match_info["name"]
    if name not in _NAMES:
        raise UnknownName(f"a job has no result called {name!r:.60}; there are {', '.join(_NAMES)}", code="unknown_result",
                          where="name", extra={"known": list(_NAMES)})
    rendered = await renders.get(request.app, row, _NAMES[name], flow)
    suffix = FORMATS[_NAMES[name]][0]
    return await send(request, rendered, f"{flow if row['kind'] == 'distance' else row['kind']}-{row['id']}.{suffix}")


async def send(request: web.Request, rendered: Rendered, download_name: str) -> web.StreamResponse:
    """Answer with a file: whole, the part that is asked for, or that it has not changed.

    Raises
    ------
    BadParameter
        Codes ``bad_range`` (416) and ``changed`` (412: If-Match names another content).
    """
    headers = {
        "Content-Disposition": f'attachment; filename="{download_name}"', "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff", "ETag": f'"{rendered.sha256}"', "Cache-Control": "private, no-cache",
        "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(rendered.sha256)).decode()}:"}
    if request.if_match is not None and not _names(request.if_match, rendered, weak=False):
        raise BadParameter("the result is not the one that If-Match names; fetch it without that header", code="changed",
                           where="If-Match")
    if _names(request.if_none_match or (), rendered, weak=True):
        return web.Response(status=304, headers={k: headers[k] for k in ("ETag", "Cache-Control")})
    start, stop = _part(request, rendered)
    headers["Content-Type"] = rendered.media_type
    if (start, stop) != (0, rendered.size):
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{rendered.size}"
    try:
        stream = await asyncio.to_thread(open, rendered.path, "rb")
    except FileNotFoundError:
        raise renders.gone() from None
    try:
        response = web.StreamResponse(status=206 if "Content-Range" in headers else 200, headers=headers)
        response.content_length = stop - start
        await response.prepare(request)
        if request.method != "HEAD":
            await asyncio.to_thread(stream.seek, start)
            await _pour(stream, stop - start, response)
        await response.write_eof()
        return response
    finally:
        stream.close()


async def _pour(stream: IO[bytes], size: int, response: web.StreamResponse) -> None:
    while size > 0:
        piece = await asyncio.to_thread(stream.read, min(STEP, size))
        size -= len(piece)
        await response.write(piece)


def _names(tags: Iterable[ETag], rendered: Rendered, *, weak: bool) -> bool:
    return any(tag.value in (rendered.sha256, "*") and (weak or not tag.is_weak) for tag in tags)


def _part(request: web.Request, rendered: Rendered) -> tuple[int, int]:
    """Return the bytes that are asked for; all of them where the header is none we read, as RFC 9110 (14.2) has it."""
    asked, size = request.headers.get("Range", ""), rendered.size
    condition = request.headers.get("If-Range")
    if not asked.startswith("bytes=") or "," in asked or condition not in (None, f'"{rendered.sha256}"'):
        return 0, size
    try:
        wanted = request.http_range
    except ValueError:
        return 0, size
    start, stop = wanted.start or 0, wanted.stop
    if start < 0:
        start, stop = max(size + start, 0), size
    stop = size if stop is None else min(stop, size)
    if start >= stop:
        raise BadParameter(f"the header Range asks for {asked[:60]!r}, the file has {size} bytes; ask for some of these",
                           code="bad_range", where="Range", extra={"size": size})
    return start, stop

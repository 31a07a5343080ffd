"""The jobs over HTTP: submit, run, change, fetch, cancel, delete. Looking at them is the business of `job_watch`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from sqlite3 import Row
from types import MappingProxyType
from typing import Any

from aiohttp import web

from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, UsageError

from . import answers, bodies, job_queries, job_results, looks, problems, queries, table_api
from .callers import caller_of
from .flows import field_record
from .job_access import own_row, submitted
from .job_records import ENDED
from .job_shelf import Shelf
from .job_view import need_result, view
from .keys import DISPATCHER, DOWNLOADS, JOBS, SETTINGS, WATCHERS, WEBHOOKS
from .name_queries import AnswerQuery
from .webhook_address import check_callback

AT_ONCE_ROWS = 10_000
"""A result of so many rows is answered whole, with its length."""
NO_MORE: Mapping[str, str] = MappingProxyType({})


async def submit(request: web.Request) -> web.Response:
    """POST /v1/jobs: accept a list of up to a million objects, or a table, as a job; it is safe once this is answered."""
    caller = await caller_of(request, "submit")
    if table_api.is_table(request):
        return await _accepted(request, *await table_api.submit_table(request, caller))
    if not bodies.is_object(request):
        raise BadParameter(f"content type {bodies.content_type(request)!r:.80} cannot be read; send a table with the header "
                           "'Content-Type: text/csv' or application/octet-stream, lists as application/json or "
                           "application/msgpack", code="wrong_content_type", where="Content-Type")
    key = job_queries.idempotency_key(request.headers)
    data = await queries.read_body(request, "the lists lon, lat and cz or distance")
    if "table" in data:
        return await _accepted(request, *await table_api.submit_table(request, caller, data))
    body = queries.validate(job_queries.JobBody, data)
    fmt = answers.wanted(request, body.format)
    record = field_record(request.app[DISPATCHER], body.field)
    callback = None if body.callback is None else await check_callback(body.callback, request.app[SETTINGS])
    arguments = body, record, caller.owner, key, callback
    is_large = (request.content_length or bodies.LARGE + 1) > bodies.LARGE
    draft = await asyncio.to_thread(job_queries.draft, *arguments) if is_large else job_queries.draft(*arguments)
    return await _accepted(request, await submitted(request, caller, draft), fmt)


async def _accepted(request: web.Request, job: int, fmt: str, table: dict[str, Any] | None = None) -> web.Response:
    """Return the answer to a job that is on disk; of a table, also how it was read."""
    jobs = request.app[JOBS]
    row = jobs.shelf.row(job)
    assert row is not None
    seconds = looks.preferred_wait(request.headers)
    has_waited = seconds > 0 and await request.app[WATCHERS].wait(request, row, seconds, lambda row: False)
    row = jobs.shelf.row(job) or row
    secret = {} if row["callback"] is None else {"webhook_secret": request.app[WEBHOOKS].secret(row["owner"])}
    response = answers.respond({**view(jobs, row), **secret, **({} if table is None else {"table": table})}, fmt)
    response.set_status(202)
    if has_waited:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    response.headers["Location"] = f"/v1/jobs/{job}"
    return response


async def get_job_result(request: web.Request) -> web.StreamResponse:
    """GET /v1/jobs/{job}/result: the answers, rows in the order of the input; of a cancelled job those that were ready."""
    return await result_of(request, lambda: own_row(request))


async def result_of(request: web.Request, find: Callable[[], Awaitable[Row]], whose: str = "",
                    headers: Mapping[str, str] = NO_MORE) -> web.StreamResponse:
    """Answer with the result of a job.

    Parameters
    ----------
    request : aiohttp.web.Request
    find : callable
        Returns the row of the job, or refuses.
    whose : str, optional
        Whose long downloads it counts to; by default its owner's.
    headers : mapping, optional
        Further headers of the answer.
    """
    q = queries.parse_query(job_queries.ResultQuery, request)
    fmt = answers.wanted(request, q.format, ("json", "msgpack", "csv"))
    flow = queries.flow_type(q.flow_type or "distance")
    jobs, row = request.app[JOBS], await find()
    need_result(jobs, row)
    result = await asyncio.to_thread(job_results.of_job, Shelf(jobs.store), row, flow)
    media, writer = job_results.WRITERS[fmt]
    try:
        pieces = writer(result)
        if result.n <= AT_ONCE_ROWS:
            body = await asyncio.to_thread(b"".join, pieces)
            return web.Response(body=body, content_type=media, headers=headers,
                                charset=None if fmt == "msgpack" else "utf-8")
        with request.app[DOWNLOADS].one_more(whose or row["owner"]):
            kind = media if fmt == "msgpack" else f"{media}; charset=utf-8"
            return await _stream(request, pieces, {**headers, "Content-Type": kind})
    except InternalError:
        await find()  # destroyed meanwhile, it is gone and not damaged
        raise
    finally:
        result.close()


async def run_job(request: web.Request) -> web.Response:
    """POST /v1/jobs/{job}/run: put a job to work that was sent with hold; any other stays as it is."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    await jobs.run(row["id"])
    return answers.respond(view(jobs, await own_row(request, "submit")), fmt)


async def change_job(request: web.Request) -> web.Response:
    """PATCH /v1/jobs/{job}: change until when a job is kept, its name, or how long it may take."""
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    body = await queries.parse_body(looks.ChangesBody, request, "destruction or keep_days, run_id, execution_duration")
    fmt = answers.wanted(request, body.format)
    changes = body.changes(time.time(), jobs.retention_days)
    if "execution_duration" in changes and (phase := (await own_row(request, "submit"))["phase"]) in ENDED:
        raise UsageError(f"job {row['id']} is {phase}: how long it may take cannot be changed any more; leave out "
                         "execution_duration", code="already_ended", where="execution_duration")
    await jobs.amend(row["id"], **changes)
    return answers.respond(view(jobs, await own_row(request, "submit")), fmt)


async def cancel_job(request: web.Request) -> web.Response:
    """POST /v1/jobs/{job}/cancel: end a job; the rows that are done stay."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    await jobs.cancel(row["id"])
    return answers.respond(view(jobs, await own_row(request, "submit")), fmt)


async def delete_job(request: web.Request) -> web.Response:
    """DELETE /v1/jobs/{job}: destroy a job with its rows and its result."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    await jobs.delete(row["id"])
    return answers.respond({"id": row["id"], "phase": "ARCHIVED"}, fmt)


async def _stream(request: web.Request, pieces: Iterator[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            while (piece := await asyncio.to_thread(next, pieces, b"\0")) != b"\0":
                await response.write(piece)
        except (CosmicFlowsError, OSError, sqlite3.Error) as error:
            if not isinstance(error, ConnectionError):
                problems.logged(request, error)
            _cut(request)
            return response
    await response.write_eof()
    return response


def _cut(request: web.Request) -> None:
    """Reset a connection in the middle of an answer: nothing that is sent after this half may pass for the other one."""
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()

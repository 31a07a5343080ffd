"""The jobs over HTTP: submit, look, fetch, cancel, delete; and the quarantine for the administrator."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from sqlite3 import Row
from typing import Any

import orjson
from aiohttp import web

from cfcore.errors import CosmicFlowsError, InternalError, UsageError
from cfcore.options import FlowOptions

from . import answers, bodies, job_queries, job_results, problems, queries
from .flows import field_record
from .job_records import ENDED
from .job_shelf import Shelf
from .jobs import Jobs
from .keys import DISPATCHER, DOWNLOADS, JOBS
from .name_queries import AnswerQuery
from .tokens import require_operator

AT_ONCE_ROWS = 10_000
"""A result of so many rows is answered whole, with its length."""


def owner_of(request: web.Request) -> str:
    """Return whom a request's jobs belong to: its address."""
    return f"address:{request.remote or ''}"


async def submit(request: web.Request) -> web.Response:
    """POST /v1/jobs: accept a list of up to a million objects as a job; it is safe once this is answered."""
    key = job_queries.idempotency_key(request.headers)
    body = await queries.parse_body(job_queries.JobBody, request, "the lists lon, lat and cz or distance")
    fmt = answers.wanted(request, body.format)
    record = field_record(request.app[DISPATCHER], body.field)
    arguments = body, record, owner_of(request), key
    is_large = (request.content_length or bodies.LARGE + 1) > bodies.LARGE
    draft = await asyncio.to_thread(job_queries.draft, *arguments) if is_large else job_queries.draft(*arguments)
    jobs = request.app[JOBS]
    job, _ = await jobs.submit(draft)
    row = jobs.shelf.row(job)
    assert row is not None
    response = answers.respond(view(jobs, row), fmt)
    response.set_status(202)
    response.headers["Location"] = f"/v1/jobs/{job}"
    return response


async def list_jobs(request: web.Request) -> web.Response:
    """GET /v1/jobs: your jobs, newest first."""
    q = queries.parse_query(job_queries.JobsQuery, request)
    jobs = request.app[JOBS]
    rows = jobs.shelf.rows(owner_of(request), q.after, q.limit + 1)
    listed = [view(jobs, row) for row in rows[:q.limit]]
    after = listed[-1]["id"] if len(rows) > q.limit else None
    return answers.respond({"jobs": listed, "after": after}, answers.wanted(request, q.format))


async def get_job(request: web.Request) -> web.Response:
    """GET /v1/jobs/{job}: the phase of a job, how far it is, and when it may end."""
    q = queries.parse_query(AnswerQuery, request)
    return answers.respond(view(request.app[JOBS], _row(request)), answers.wanted(request, q.format))


async def get_job_result(request: web.Request) -> web.StreamResponse:
    """GET /v1/jobs/{job}/result: the answers, rows in the order of the input; of a cancelled job those that were ready."""
    q = queries.parse_query(job_queries.ResultQuery, request)
    fmt = answers.wanted(request, q.format, ("json", "msgpack", "csv"))
    flow = queries.flow_type(q.flow_type or "distance")
    jobs, row = request.app[JOBS], _row(request)
    if row["phase"] == "ERROR":
        raise UsageError(f"job {row['id']} has no result: {row['error_text']}", code="job_failed", where="job",
                         extra={"error": {"code": row["error_code"], "detail": row["error_text"]}})
    if row["phase"] not in ENDED:
        seen = view(jobs, row)
        raise UsageError(f"job {row['id']} is {seen['phase']}: {row['rows_done']} of {row['rows_total']} rows are done; ask "
                         "again when its phase is COMPLETED", code="not_finished", where="job",
                         extra={k: seen[k] for k in ("phase", "rows_done", "rows_total", "queuepos", "eta_seconds")})
    params, record = orjson.loads(row["params"]), orjson.loads(row["field_record"])
    opt = FlowOptions(**params["options"])
    head = {"job": row["id"], "kind": row["kind"], "phase": row["phase"], "rows_total": row["rows_total"],
            **answers.provenance(record, opt)}
    result = await asyncio.to_thread(job_results.Result, Shelf(jobs.store), row["id"], row["kind"], flow,
                                     (params["pair"][0], params["pair"][1]), head, opt.H0)
    media, writer = job_results.WRITERS[fmt]
    try:
        pieces = writer(result)
        if result.n <= AT_ONCE_ROWS:
            body = await asyncio.to_thread(b"".join, pieces)
            return web.Response(body=body, content_type=media, charset=None if fmt == "msgpack" else "utf-8")
        with request.app[DOWNLOADS].one_more(row["owner"]):
            return await _stream(request, pieces, media if fmt == "msgpack" else f"{media}; charset=utf-8")
    except InternalError:
        _row(request)  # destroyed meanwhile, it is gone and not damaged
        raise
    finally:
        result.close()


async def cancel_job(request: web.Request) -> web.Response:
    """POST /v1/jobs/{job}/cancel: end a job; the rows that are done stay."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], _row(request)
    await jobs.cancel(row["id"])
    return answers.respond(view(jobs, _row(request)), fmt)


async def delete_job(request: web.Request) -> web.Response:
    """DELETE /v1/jobs/{job}: destroy a job with its rows and its result."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], _row(request)
    await jobs.delete(row["id"])
    return answers.respond({"id": row["id"], "phase": "ARCHIVED"}, fmt)


async def list_quarantine(request: web.Request) -> web.Response:
    """GET /v1/admin/quarantine: the rows that ended every process which computed them."""
    require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    listed = [_record(row) for row in request.app[JOBS].shelf.quarantine()]
    return answers.respond({"quarantine": listed}, answers.wanted(request, q.format))


async def get_quarantined(request: web.Request) -> web.Response:
    """GET /v1/admin/quarantine/{record}: one such row, with the last words of its process."""
    require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    return answers.respond(_record(request.app[JOBS].shelf.quarantined(_number(request))), answers.wanted(request, q.format))


async def release_quarantined(request: web.Request) -> web.Response:
    """POST /v1/admin/quarantine/{record}/release: compute such a row again; its answer joins the result."""
    require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    record = _number(request)
    await request.app[JOBS].release(record)
    return answers.respond({"id": record, "state": "released"}, answers.wanted(request, q.format))


async def drop_quarantined(request: web.Request) -> web.Response:
    """DELETE /v1/admin/quarantine/{record}: take such a row off the list; in the result it stays without an answer."""
    require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    record = _number(request)
    await request.app[JOBS].drop(record)
    return answers.respond({"id": record, "state": "dropped"}, answers.wanted(request, q.format))


def view(jobs: Jobs, row: Row) -> dict[str, Any]:
    """Return a job as clients see it."""
    record = orjson.loads(row["field_record"])
    position, seconds = (None, None) if row["phase"] in ENDED else jobs.outlook(row["id"])
    error = None if row["error_code"] is None else {"code": row["error_code"], "detail": row["error_text"]}
    return {
        "id": row["id"], "phase": jobs.live_phase(row["id"], row["phase"]), "kind": row["kind"], "run_id": row["run_id"],
        "field": {"id": row["field"], "version": record["version"]}, "rows_total": row["rows_total"],
        "rows_done": row["rows_done"], "quarantined": row["quarantined"], "queuepos": position,
        "eta_seconds": None if seconds is None else round(seconds, 3), "creation": stamp(row["creation"]),
        "start": stamp(row["start"]), "end": stamp(row["end"]), "destruction": stamp(row["destruction"]),
        "execution_duration": row["execution_duration"], "options": orjson.loads(row["params"])["options"], "error": error,
        "url": f"/v1/jobs/{row['id']}", "result_url": f"/v1/jobs/{row['id']}/result"}


def stamp(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 in UTC, with Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _row(request: web.Request) -> Row:
    """Return the row of the job in the address, when it is there and the asker's own."""
    text = request.match_info["job"]
    job = job_queries.job_number(text)
    row = None if job is None else request.app[JOBS].shelf.row(job)
    if row is None or row["owner"] != owner_of(request):
        raise UsageError(f"there is no job {text:.40} of yours; GET /v1/jobs lists them", code="unknown_job", where="job")
    if row["phase"] == "ARCHIVED":
        raise UsageError(f"job {text} has been destroyed, with its result; submit the rows again", code="job_gone", where="job")
    return row


def _number(request: web.Request) -> int:
    return job_queries.job_number(request.match_info["record"]) or 0


def _record(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": row["id"], "job": row["job"], "chunk": row["chunk"], "row": row["row"], "input": orjson.loads(row["input"]),
            "code": row["code"], "why": row["why"], "stderr": row["stderr"], "time": stamp(row["time"])}


async def _stream(request: web.Request, pieces: Iterator[bytes], media: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": media})
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

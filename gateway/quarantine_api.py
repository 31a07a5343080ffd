"""The quarantine over HTTP, for the administrator: the rows that ended every process which computed them."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from . import answers, job_queries, queries
from .job_view import stamp
from .keys import JOBS
from .name_queries import AnswerQuery
from .tokens import require_operator


async def list_quarantine(request: web.Request) -> web.Response:
    """GET /v1/admin/quarantine: the rows that ended every process which computed them."""
    await require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    listed = [_record(row) for row in request.app[JOBS].shelf.quarantine()]
    return answers.respond({"quarantine": listed}, answers.wanted(request, q.format))


async def get_quarantined(request: web.Request) -> web.Response:
    """GET /v1/admin/quarantine/{record}: one such row, with the last words of its process."""
    await require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    return answers.respond(_record(request.app[JOBS].shelf.quarantined(_number(request))), answers.wanted(request, q.format))


async def release_quarantined(request: web.Request) -> web.Response:
    """POST /v1/admin/quarantine/{record}/release: compute such a row again; its answer joins the result."""
    await require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    record = _number(request)
    await request.app[JOBS].release(record)
    return answers.respond({"id": record, "state": "released"}, answers.wanted(request, q.format))


async def drop_quarantined(request: web.Request) -> web.Response:
    """DELETE /v1/admin/quarantine/{record}: take such a row off the list; in the result it stays without an answer."""
    await require_operator(request)
    q = queries.parse_query(AnswerQuery, request)
    record = _number(request)
    await request.app[JOBS].drop(record)
    return answers.respond({"id": record, "state": "dropped"}, answers.wanted(request, q.format))


def _number(request: web.Request) -> int:
    return job_queries.job_number(request.match_info["record"]) or 0


def _record(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": row["id"], "job": row["job"], "chunk": row["chunk"], "row": row["row"], "input": orjson.loads(row["input"]),
            "code": row["code"], "why": row["why"], "stderr": row["stderr"], "time": stamp(row["time"])}

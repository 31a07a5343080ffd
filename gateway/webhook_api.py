"""The webhooks over HTTP: what was told about a job and how that went, and the secret that signatures are checked with."""

from __future__ import annotations

from aiohttp import web

from . import answers, queries
from .callers import caller_of
from .job_access import own_row
from .keys import WEBHOOKS
from .name_queries import AnswerQuery


async def list_deliveries(request: web.Request) -> web.Response:
    """GET /v1/jobs/{job}/deliveries: the calls to the callback of a job, every try with its outcome."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    row = await own_row(request)
    return answers.respond({"job": row["id"], "deliveries": request.app[WEBHOOKS].deliveries(row["id"])}, fmt)


async def get_secret(request: web.Request) -> web.Response:
    """GET /v1/webhook-secret: the secret with which the calls about your jobs are signed."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    caller = await caller_of(request)
    response = answers.respond({"webhook_secret": request.app[WEBHOOKS].secret(caller.owner)}, fmt)
    response.headers["Cache-Control"] = "no-store"
    return response

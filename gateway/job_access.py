"""Whose a job is, who may see it, and what it costs whom."""

from __future__ import annotations

from sqlite3 import Row

from aiohttp import web

from cfcore.errors import UsageError

from . import job_queries
from .budget import charged, check_job, give_back
from .callers import Caller, caller_of
from .job_records import Draft
from .keys import JOBS


async def owner_of(request: web.Request, scope: str = "read") -> str:
    """Return whom a request's jobs belong to: its user, its token or its address."""
    return (await caller_of(request, scope)).owner


async def submitted(request: web.Request, caller: Caller, draft: Draft) -> int:
    """Submit a job and charge its rows; a repeated one, which is found, costs nothing.

    Raises
    ------
    CosmicFlowsError
        As `check_job`, `charge` and `Jobs.submit` refuse it.
    """
    check_job(caller, draft.rows)
    with charged(request, caller, draft.cost):
        job, is_new = await request.app[JOBS].submit(draft)
    if not is_new:
        give_back(request, caller, draft.cost)
    return job


async def own_row(request: web.Request, scope: str = "read") -> Row:
    """Return the row of the job in the address, when it is there and the asker's own."""
    text = request.match_info["job"]
    job = job_queries.job_number(text)
    row = None if job is None else request.app[JOBS].shelf.row(job)
    if row is None or row["owner"] != await owner_of(request, scope):
        raise UsageError(f"there is no job {text:.40} of yours; GET /v1/jobs lists them", code="unknown_job", where="job")
    if row["phase"] == "ARCHIVED":
        raise UsageError(f"job {text} has been destroyed, with its result; submit the rows again", code="job_gone", where="job")
    return row

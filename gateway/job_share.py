"""Links that show one job to whoever holds them: made, replaced and revoked by its owner, listed nowhere.

The address is the secret: 32 random bytes, of which the store keeps the SHA-256. It is found by that digest, so the time of a
refusal tells nothing of any other link. It shows the job and its result, nothing else of its owner's, and changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from sqlite3 import Row
from typing import Any

from aiohttp import web

from cfcore.errors import UsageError

from . import answers, job_api, job_watch, queries, result_api
from .job_access import own_row
from .job_view import stamp, view
from .keys import JOBS
from .name_queries import AnswerQuery

TOKEN_BYTES = 32
HIDDEN = ("run_id", "face", "shared", "execution_duration", "callback")
"""What of a view is between its owner and us."""
PRIVATE = {"Cache-Control": "private, no-cache", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex"}


async def share_job(request: web.Request) -> web.Response:
    """POST /v1/jobs/{job}/share: make a link that shows this job; one made before opens nothing any more."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    await jobs.amend(row["id"], share=_digest(token))
    row = await own_row(request, "submit")
    url = f"/v1/shared/{token}"
    response = answers.respond({"id": row["id"], "url": url, "result_url": f"{url}/result", "results_url": f"{url}/results",
                                "destruction": stamp(row["destruction"])}, fmt)
    response.headers["Cache-Control"] = "no-store"
    return response


async def unshare_job(request: web.Request) -> web.Response:
    """DELETE /v1/jobs/{job}/share: revoke the link to this job."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, row = request.app[JOBS], await own_row(request, "submit")
    await jobs.amend(row["id"], share=None)
    return answers.respond({"id": row["id"], "shared": False}, fmt)


async def get_shared(request: web.Request) -> web.Response:
    """GET /v1/shared/{token}: the job behind a link, as its owner sees it but for what is the owner's own."""
    jobs, url = request.app[JOBS], f"/v1/shared/{request.match_info['token']}"

    def shown(row: Row) -> dict[str, Any]:
        seen = {name: value for name, value in view(jobs, row).items() if name not in HIDDEN}
        return {**seen, "url": url, "result_url": f"{url}/result", "results_url": f"{url}/results"}
    response = await job_watch.look(request, lambda: shared_row(request), shown)
    response.headers.update(PRIVATE)
    return response


async def get_shared_result(request: web.Request) -> web.StreamResponse:
    """GET /v1/shared/{token}/result: the result of the job behind a link."""
    row = await shared_row(request)
    return await job_api.result_of(request, lambda: shared_row(request), f"shared:{row['id']}", PRIVATE)


async def list_shared_results(request: web.Request) -> web.Response:
    """GET /v1/shared/{token}/results: the result of the job behind a link in every format."""
    response = result_api.listed(request, await shared_row(request), f"/v1/shared/{request.match_info['token']}")
    response.headers.update(PRIVATE)
    return response


async def get_shared_file(request: web.Request) -> web.StreamResponse:
    """GET /v1/shared/{token}/results/{name}: a result of the job behind a link as a file."""
    return await result_api.file_of(request, await shared_row(request))


async def shared_row(request: web.Request) -> Row:
    """Return the row of the job that the token in the address opens.

    Raises
    ------
    UsageError
        Code ``unknown_share``.
    """
    row = request.app[JOBS].shelf.shared(_digest(request.match_info["token"]))
    if row is None:
        raise UsageError("this link opens nothing: it was revoked or replaced, its job has been destroyed, or it is not whole; "
                         "ask whoever gave it to you", code="unknown_share", where="token")
    return row


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()

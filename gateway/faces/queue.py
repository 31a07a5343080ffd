"""The door for scripts written for the ATLAS forced-photometry server: its URLs and words, our lines of sight.

A task is a job of the kind sightline that came through this door. What is asked is checked in `queue_forms`, how a job looks
as a task stands in `queue_tasks`, who asks is found in `queue_login`.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import statistics
from sqlite3 import Row
from typing import Any
from weakref import WeakValueDictionary

import orjson
from aiohttp import web

from cfcore.errors import BadParameter, InternalError, TransientError, UnknownName, UsageError
from cfcore.options import FlowOptions

from .. import job_queries
from ..flows import field_record, one_row
from ..job_records import ENDED, Draft
from ..job_shelf import Shelf
from ..jobs import Jobs
from ..keys import CATALOG, DISPATCHER, JOBS, WATCHERS
from . import queue_forms, queue_login, queue_pages, queue_tasks
from .queue_pages import FACE
from .queue_refusals import answer, shaped

UNSTARTED_MAX = 500
HOLD_S = 1.5
"""So long the answer about a task that is not done may wait for its end: what clients ask for next is ten seconds away."""
SOON_S = 3.0
RETRY_S = (5, 120)
LAST_JOBS = 1000
AT_ONCE = 50
Locks = WeakValueDictionary[str, asyncio.Lock]
LOCKS = web.AppKey("queue_locks", Locks)
"""Of each user who submits now: to count what waits and to add to it is one step."""


@shaped
async def log_in(request: web.Request) -> web.Response:
    """POST /api-token-auth/: user name and password in, the user's token out, the same on every call."""
    name, password = queue_forms.credentials(await queue_forms.read(request))
    try:
        token = await queue_login.token_of(request, name, password)
    except UsageError as exc:
        if exc.code == "password_wrong":
            raise BadParameter("Unable to log in with provided credentials.") from None
        raise
    return answer({"token": token})


@shaped
async def submit(request: web.Request) -> web.Response:
    """POST /queue/: accept a line of sight as a task, or a list of them, all or none; safe once this is answered."""
    caller = await queue_login.user_of(request, "submit")
    body = queue_forms.asked(await queue_forms.read(request))
    lines = queue_forms.lines_of(body)
    record = field_record(request.app[DISPATCHER], body.field)
    FlowOptions(rmax=body.rmax)
    if body.rmax is not None and body.rmax > record["r_max_hmpc"]:
        raise BadParameter(f"rmax = {body.rmax:g} h^-1 Mpc lies beyond field {record['id']} (limit {record['r_max_hmpc']:g})",
                           code="out_of_range", where="rmax")
    opt = body.model_copy(update={"rmax": None}).flow("icrs")
    targets = await queue_forms.targets(body, lines, opt, request.app[CATALOG])
    try:
        callback = await queue_login.callback(request, body.callback_url)
    except UsageError as exc:
        raise BadParameter(exc.message, where="callback_url") from None
    facts = {**{k: v for k, v in body.model_dump().items() if k in queue_forms.Remarks.model_fields and v is not None},
             "user_id": caller.user, "username": caller.name, "cz_frame": opt.cz_frame}
    jobs = request.app[JOBS]
    async with request.app[LOCKS].setdefault(caller.owner, asyncio.Lock()):
        waiting = len(jobs.shelf.waiting_tasks(caller.owner, FACE))
        if waiting + len(targets) > UNSTARTED_MAX:
            raise TransientError(f"{waiting} tasks of yours have not begun, of at most {UNSTARTED_MAX}; send more when some have",
                                 code="owner_full", extra={"retry_after_s": _until_room(request)})
        drafts = [_draft(caller.owner, record, opt, body, target, callback, {
            **facts, "userqueuedtasks_on_submit": waiting + k}) for k, target in enumerate(targets)]
        with queue_login.charge(request, caller, sum(draft.cost for draft in drafts)):
            ids = await jobs.submit_all(drafts)
    root = queue_tasks.base(request)
    tasks = [queue_tasks.told(jobs, row, root) for job in ids if (row := jobs.shelf.row(job)) is not None]
    return answer(tasks, 201) if body.radeclist else answer(tasks[0], 201, {"Location": tasks[0]["url"]})


@shaped
async def list_tasks(request: web.Request) -> web.Response:
    """GET /queue/: your tasks in pages, newest first."""
    caller = await queue_login.reader_of(request)
    jobs = request.app[JOBS]
    page = await asyncio.to_thread(queue_pages.load, Shelf(jobs.store), caller.owner, queue_pages.wanted(request.query))
    root = queue_tasks.base(request)

    def link(cursor: str | None) -> str | None:
        return None if cursor is None else f"{root}/queue/?{request.rel_url.update_query(cursor=cursor).raw_query_string}"
    return _tagged(request, {
        "next": link(page.next), "previous": link(page.previous), "pagefirsttaskposition": page.before, "taskcount": page.count,
        "results": [queue_tasks.told(jobs, row, root) for row in page.rows]})


@shaped
async def get_task(request: web.Request) -> web.Response:
    """GET /queue/{task}/: a task, and how far it is; the answer waits a moment for the end of one that runs."""
    jobs, row = request.app[JOBS], await _row(request)
    seconds = jobs.outlook(row["id"])[1]
    if row["phase"] not in ENDED and (seconds is None or seconds <= SOON_S):
        await request.app[WATCHERS].wait(request, row, HOLD_S, lambda row: False)
        row = _here(jobs, row["id"])
    return _tagged(request, queue_tasks.told(jobs, row, queue_tasks.base(request)))


@shaped
async def change_task(request: web.Request) -> web.Response:
    """PATCH /queue/{task}/: change the comment and what else is only kept; all other words are ignored. PUT is the same."""
    row = await _own_row(request)
    jobs = request.app[JOBS]
    changes = queue_forms.remarks(await queue_forms.read(request))
    facts = orjson.loads(_here(jobs, row["id"])["facts"] or "{}")
    if changes:
        await jobs.amend(row["id"], facts={k: v for k, v in {**facts, **changes}.items() if v is not None})
    return answer(queue_tasks.told(jobs, _here(jobs, row["id"]), queue_tasks.base(request)))


@shaped
async def delete_task(request: web.Request) -> web.Response:
    """DELETE /queue/{task}/: destroy a task with its result; one that is not done is cancelled."""
    row = await _own_row(request)
    await request.app[JOBS].delete(row["id"])
    return web.Response(status=204)


@shaped
async def get_result(request: web.Request) -> web.Response:
    """GET /queue/{task}/result.txt: the line of sight as a text table, distance by distance."""
    row = await _row(request)
    jobs = request.app[JOBS]
    why = queue_tasks.failure(row)
    if row["phase"] not in ENDED or why is not None:
        raise UnknownName(f"this task has no result: {why or 'it is not done; ask for the task until finishtimestamp is set'}",
                          code="not_found")
    has_velocity = orjson.loads(row["facts"] or "{}").get("cz") is not None
    try:
        body = await asyncio.to_thread(queue_tasks.result, Shelf(jobs.store), row["id"], has_velocity=has_velocity)
    except InternalError:
        _here(jobs, row["id"])  # destroyed meanwhile, it is gone and not damaged
        raise
    return web.Response(body=body, content_type="text/plain", charset="utf-8")


@shaped
async def get_positions(request: web.Request) -> web.Response:
    """GET /queuepositions.json: where each of your tasks stands that has not begun; 0 is next."""
    caller = await queue_login.reader_of(request)
    jobs = request.app[JOBS]
    places = {}
    for k, job in enumerate(jobs.shelf.waiting_tasks(caller.owner, FACE)):
        if k % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)  # others have their turn
        places[str(queue_tasks.number(jobs.store.identity.secret, job))] = jobs.outlook(job)[0] or 0
    return answer({"queuepositions": places, "queuedtypes": dict.fromkeys(places, "FP"), "queueoffset": 0})


@shaped
async def get_status(request: web.Request) -> web.Response:
    """GET /taskrunnerstatus.json: whether tasks are worked on, and how long one takes."""
    caller = await queue_login.anyone(request)
    jobs = request.app[JOBS]
    try:
        request.app[DISPATCHER].check_worker()
        is_running = True
    except TransientError:
        is_running = False
    seconds = jobs.shelf.task_seconds(FACE, LAST_JOBS)
    return answer({"running": is_running, "stale": not is_running,
                   "typical_runtime_seconds": round(statistics.median(seconds), 3) if seconds else None,
                   "user_queued_task_count": len(jobs.shelf.waiting_tasks(caller.owner, FACE))})


def _draft(owner: str, record: dict[str, Any], opt: FlowOptions, body: queue_forms.QueueTaskBody, target: queue_forms.Target,
           callback: str | None, facts: dict[str, Any]) -> Draft:
    columns = one_row(lon=target.ra, lat=target.dec, cz=math.nan if target.cz is None else target.cz,
                      sigma_cz=body.sigma_cz or 0.0)
    told = {key: value for key in ("ra", "dec", "cz", "name") if (value := getattr(target, key)) is not None}
    return job_queries.made(owner, "sightline", record, opt, columns, ("ra", "dec"), asked=body.field,
                            more={"n": body.n, "table_rmax": body.rmax}, face=FACE, facts={**facts, **told}, callback=callback)


async def _row(request: web.Request) -> Row:
    """Return the job of the task in the address, whoever asks."""
    caller = await queue_login.anyone(request)
    guess = queue_login.Guess(request, caller)
    jobs = request.app[JOBS]
    job = queue_tasks.job_of(jobs.store.identity.secret, request.match_info["task"])
    if job is None:
        raise UnknownName("Not found.", code="not_found")
    guess.was_right()
    return _here(jobs, job)


async def _own_row(request: web.Request) -> Row:
    """Return the job of the task in the address, when it is the asker's own."""
    caller = await queue_login.user_of(request, "submit")
    row = await _row(request)
    if row["owner"] != caller.owner:
        raise UsageError("You do not have permission to perform this action.", code="scope_missing")
    return row


def _here(jobs: Jobs, job: int) -> Row:
    row = jobs.shelf.row(job)
    if row is None or row["face"] != FACE or row["phase"] == "ARCHIVED":
        raise UnknownName("Not found.", code="not_found")
    return row


def _until_room(request: web.Request) -> int:
    """Return in how many seconds a user may look again: a tenth of the time that all that waits takes."""
    seconds = request.app[DISPATCHER].backlog()["seconds"]
    least, most = RETRY_S
    return min(max(math.ceil((seconds or 0.0) / 10.0), least), most)


def _tagged(request: web.Request, data: dict[str, Any]) -> web.Response:
    """Return data with an ETag, or 304 when the client has them already."""
    response = answer(data, headers={"Cache-Control": "private, no-cache"})
    assert isinstance(response.body, bytes)
    tag = hashlib.blake2b(response.body, digest_size=12).hexdigest()
    known = request.if_none_match or ()
    if any(entry.value in (tag, "*") for entry in known):
        response = web.Response(status=304, headers={"Cache-Control": "private, no-cache"})
    response.etag = tag
    return response

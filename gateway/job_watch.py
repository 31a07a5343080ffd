"""Looking at jobs over HTTP: one of them, a list, or what becomes of one while it happens.

Every view has an entity tag over all it says but the estimate of the time left, so that who asks again is told when there is
nothing new. Who need not ask again waits (`wait=`, ``Prefer: wait=``) or listens (Server-Sent Events).

An event carries the whole view, so nothing is missed between two connections: the number of an event is that of what it says,
not a count, and a client that comes back with it is told only what is new. An odd number is that of the last event.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from sqlite3 import Row
from typing import Any
from urllib.parse import urlencode

import orjson
from aiohttp import web

from . import answers, looks, queries, tracing
from .doorway import HELD
from .job_access import own_row, owner_of
from .job_records import ENDED
from .job_view import view
from .keys import JOBS, WATCHERS
from .watchers import LOOK_S, has_left

PACE_S = 0.2
"""At most five events a second."""
HEARTBEAT_S = 15.0
"""Proxies end what is silent for a minute, some for half of that."""
RETRY_MS = 2000
ROOM_BYTES = 16 << 10
"""A client that has so much still to read gets the next event when it has read, with what is new by then."""
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no",
          "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'self'"}
Seen = dict[str, Any]


async def list_jobs(request: web.Request) -> web.Response:
    """GET /v1/jobs: your jobs, newest first, all or those that some words are true of."""
    q = queries.parse_query(looks.JobsQuery, request)
    fmt = answers.wanted(request, q.format)
    jobs, only = request.app[JOBS], q.only()
    rows = jobs.shelf.rows(await owner_of(request), q.after, q.limit + 1, only)
    listed = [view(jobs, row) for row in rows[:q.limit]]
    after = rows[q.limit - 1]["id"] if len(rows) > q.limit else None
    if "phase" in only:
        # the store is told a moment later that a job executes: what is shown must be what was asked for
        listed = [seen for seen in listed if seen["phase"] in only["phase"]]
    words = {name: value for name, value in q.model_dump(exclude_none=True).items() if name in request.query}
    following = None if after is None else f"/v1/jobs?{urlencode({**words, 'after': after})}"
    response = tagged(request, {"jobs": listed, "after": after, "next": following}, fmt,
                      [{**seen, "eta_seconds": None} for seen in listed])
    if following is not None:
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


async def get_job(request: web.Request) -> web.Response:
    """GET /v1/jobs/{job}: the phase of a job, how far it is, and when it may end; at once, or when it has ended."""
    jobs = request.app[JOBS]
    return await look(request, lambda: own_row(request), lambda row: view(jobs, row))


async def look(request: web.Request, find: Callable[[], Awaitable[Row]], shown: Callable[[Row], Seen]) -> web.Response:
    """Answer with the view of a job, after the wait that was asked for.

    Parameters
    ----------
    request : aiohttp.web.Request
    find : callable
        Returns the row of the job, or refuses.
    shown : callable
        Returns what this asker sees of it.
    """
    q = queries.parse_query(looks.JobQuery, request)
    fmt = answers.wanted(request, q.format)
    row = await find()
    preferred = looks.preferred_wait(request.headers) if q.wait is None else 0
    seconds = q.wait or preferred
    has_waited = True
    if seconds:
        before = number_of(shown(row))
        is_news = q.wait_for == "change" and request.if_none_match is not None and not _is_known(request, _tag(before, fmt))
        if not is_news:
            has_waited = await request.app[WATCHERS].wait(
                request, row, seconds, lambda row: q.wait_for == "change" and number_of(shown(row)) != before)
            row = await find()
    response = tagged(request, shown(row), fmt)
    if not has_waited:
        response.headers["Retry-After"] = "1"
    elif preferred:
        response.headers["Preference-Applied"] = f"wait={preferred}"
    return response


async def job_events(request: web.Request) -> web.StreamResponse:
    """GET /v1/jobs/{job}/events: each change of a job as a Server-Sent Event, the first at once, until it has ended."""
    queries.parse_query(looks.StreamQuery, request)
    jobs, watchers, row = request.app[JOBS], request.app[WATCHERS], await own_row(request)
    seen = view(jobs, row)
    known = request.headers.get("Last-Event-ID", "")
    if seen["phase"] in ENDED:
        if known == str(number_of(seen) + 1):
            # by this answer an EventSource knows that it need not come again
            return web.Response(status=204, headers={"Cache-Control": "no-store"})
        return web.Response(body=_retry() + _events(seen, known), headers=EVENTS)
    with watchers.stream(row["owner"]):
        response = web.StreamResponse(headers={**EVENTS, tracing.REQUEST_ID: tracing.request_id()})
        await response.prepare(request)
        if request.method != "HEAD":
            begin = time.monotonic()
            try:
                await _tell(request, response, row["id"], known)
            except ConnectionError:
                pass  # the client has left, as clients do
            request[HELD] = time.monotonic() - begin
        return response


async def _tell(request: web.Request, response: web.StreamResponse, job: int, known: str) -> None:
    """Write the events of a job until it has ended, its client leaves or the gateway ends."""
    jobs, watchers = request.app[JOBS], request.app[WATCHERS]
    await response.write(_retry())
    beat = time.monotonic()
    while not watchers.is_ending and not has_left(request):
        number, row = jobs.news.number(job), jobs.shelf.row(job)
        if row is None or row["phase"] == "ARCHIVED":
            await response.write(_event("end", 1, {"id": job, "phase": "ARCHIVED"}))
            return
        seen = view(jobs, row)
        is_ended = seen["phase"] in ENDED
        if is_ended or known != str(number_of(seen)):
            if _has_room(request):
                await response.write(_events(seen, known))
                known, beat = str(number_of(seen)), time.monotonic()
                if is_ended:
                    return
            await asyncio.sleep(PACE_S)
            continue
        while not watchers.is_ending and not has_left(request):
            if (left := beat + HEARTBEAT_S - time.monotonic()) <= 0.0:
                if _has_room(request):
                    await response.write(b":\n\n")
                beat = time.monotonic()
                break  # what became of the job while this was written is looked for
            # the place in the queue changes with the jobs of others, of which no news is told
            if await jobs.news.told(job, number, min(left, LOOK_S)) or seen["queuepos"] is not None:
                break


def number_of(seen: Any) -> int:
    """Return the number of what is seen of a job, even, the same only for the same; the time left does not count."""
    said = {**seen, "eta_seconds": None} if isinstance(seen, dict) else seen
    return int.from_bytes(hashlib.sha256(orjson.dumps(said)).digest()[:6]) * 2


def tagged(request: web.Request, data: Seen, fmt: str, said: Any = None) -> web.Response:
    """Return an answer with its entity tag (over `said`, if that is less than all), or 304 when the client knows it."""
    tag = _tag(number_of(data if said is None else said), fmt)
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "private, no-cache"}
    if _is_known(request, tag):
        return web.Response(status=304, headers=headers)
    response = answers.respond(data, fmt)
    response.headers.update(headers)
    return response


def _tag(number: int, fmt: str) -> str:
    return f"{number:x}.{fmt}"


def _is_known(request: web.Request, tag: str) -> bool:
    return any(known.value in (tag, "*") for known in request.if_none_match or ())


def _has_room(request: web.Request) -> bool:
    return request.transport is not None and request.transport.get_write_buffer_size() < ROOM_BYTES


def _retry() -> bytes:
    return b"retry: %d\n\n" % RETRY_MS


def _events(seen: Seen, known: str) -> bytes:
    number = number_of(seen)
    news = b"" if known == str(number) else _event("job", number, seen)
    return news + (_event("end", number + 1, seen) if seen["phase"] in ENDED else b"")


def _event(name: str, number: int, data: Seen) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (name.encode(), number, orjson.dumps(data))

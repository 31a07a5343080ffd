"""The outermost door: every request gets an id and is counted, every answer names the id; slow and failed ones are logged.
Credentials that come along are checked here first, by `callers`; what `budget` has to tell leaves here, in headers. A browser
sends what it knows of us (a password, its address) along with a form of any page: what such a page would change is refused.

There is no access log of the others: it would cost more than the answer. What a request holds is never written.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter

from aiohttp import web
from multidict import istr

from cfcore.errors import UsageError

from . import budget, callers, problems, tracing
from .meters import OTHER, Meters

log = logging.getLogger("gateway.access")
SLOW_S = 1.0
HELD_S = 0.01
LINES_A_S = 20
"""A service without workers fails thousands of times a second; so many lines a second tell it well enough."""
GONE = 499
"""What is counted when the client went away before the answer: the status nginx gave it."""
HELD = web.RequestKey("held_s", float)
"""Of a request: the seconds for which it asked to be held; they are not the time of its answer."""
_FETCH_SITE, _ORIGIN = istr("Sec-Fetch-Site"), istr("Origin")
_SAFE = ("GET", "HEAD", "OPTIONS")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Middleware = Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


def middleware(meters: Meters) -> Middleware:
    """Return the middleware that counts in these meters."""
    @web.middleware
    async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        begin = perf_counter()
        visit = tracing.enter(request.headers)
        status = GONE
        try:
            if request.method not in _SAFE and is_from_elsewhere(request):
                handler = _refuse
            elif callers.AUTHORIZATION in request.headers:
                handler = callers.checked(handler)
            response = await problems.middleware(request, handler)
            status = response.status
            if budget.TOLD in request:
                budget.tell(request, response)
            response.headers[tracing.REQUEST_ID] = visit[0]
            return response
        except web.HTTPException as exc:
            status = exc.status
            exc.headers[tracing.REQUEST_ID] = visit[0]
            raise
        finally:
            seconds = perf_counter() - begin
            if seconds > HELD_S:
                # quick answers, which are nearly all, need not pay for the look
                seconds = max(0.0, seconds - request.get(HELD, 0.0))
            resource = request.match_info.route.resource
            # the pattern of the address, never what a client wrote
            route = OTHER if resource is None else resource.canonical
            meters.answered(route, status, seconds)
            if status >= 500 or seconds > SLOW_S:
                _lines.write(visit, request.method, route, status, seconds)
    return pass_through


def is_from_elsewhere(request: web.BaseRequest) -> bool:
    """Tell whether a browser sends a request for a page of another site; what is no browser sends neither header.

    References
    ----------
    W3C Fetch Metadata Request Headers, section 2.3. Over plain HTTP browsers send only Origin.
    """
    site = request.headers.get(_FETCH_SITE)
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get(_ORIGIN)
    return origin is not None and origin.partition("://")[2] != request.host


async def _refuse(request: web.Request) -> web.StreamResponse:
    raise UsageError("a page of another site has your browser send this; nothing was changed. Send it from a program, or from a "
                     "page of this server", code="cross_site", where="Origin")


def unread(meters: Meters | None, response: web.Response) -> None:
    """Count the answer to a request that could not be read, and put an id on it; after `tracing.enter`."""
    response.headers[tracing.REQUEST_ID] = tracing.request_id()
    if meters is not None:
        meters.answered(OTHER, response.status, 0.0)


class _Lines:
    """Write access lines, not too many a second; the next line says how many were left out."""

    def __init__(self) -> None:
        self._second = self._written = self._left_out = 0

    def write(self, visit: tracing.Visit, method: str, route: str, status: int, seconds: float) -> None:
        """Write one line, or count it."""
        second = int(monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        self._written += 1
        if self._written > LINES_A_S:
            self._left_out += 1
            return
        extra: dict[str, object] = {"req_id": visit[0], "route": route, "code": status, "ms": round(1000 * seconds, 1)}
        if visit[1]:
            extra["trace"] = visit[1].split("-")[1]
        if self._left_out:
            extra["left_out"], self._left_out = self._left_out, 0
        log.warning("%s %s", method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") else "?",
                    "failed" if status >= 500 else "was slow", extra=extra)


_lines = _Lines()

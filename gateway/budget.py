"""What callers may use: rows an hour, from a bucket that fills all the time; and what is told of it in headers.

A question about one object is one row, a list or a job as many as it has; names and hints are free. The headers are those of
the draft draft-ietf-httpapi-ratelimit-headers: ``q`` is the size of the bucket and ``w`` the seconds in which it fills, ``r``
what is in it and ``t`` the seconds until it is full.
"""

from __future__ import annotations

import math
from functools import lru_cache

from aiohttp import web
from multidict import istr

from cfcore.errors import BadParameter, TransientError

from .buckets import Buckets, whole_seconds
from .callers import Caller

WINDOW_S = 3600.0
TOLD = web.RequestKey("told", tuple[float, float])
BUDGET = web.AppKey("budget", Buckets)
_POLICY, _LIMIT = istr("RateLimit-Policy"), istr("RateLimit")


def charge(request: web.Request, caller: Caller, rows: int) -> None:
    """Take rows from a caller's budget; the answer will tell what is left.

    Raises
    ------
    TransientError
        Code ``too_many_requests``, with the seconds to wait in ``retry_after_s``.
    BadParameter
        Code ``over_budget``: more than an hour's rows at once, which no waiting helps.
    """
    if not rows:
        return
    capacity = caller.rows_per_hour
    if rows > capacity:
        raise BadParameter(f"{rows} rows at once are more than your {capacity:.0f} rows an hour; send fewer{way_to_more(caller)}",
                           code="over_budget", extra={"limit": int(capacity)})
    left, wait = request.app[BUDGET].take(caller.bucket, rows, capacity, WINDOW_S)
    request[TOLD] = capacity, left
    if wait:
        seconds = whole_seconds(wait)
        asked = f"{rows} rows are" if rows > 1 else "1 row is"
        raise TransientError(f"{asked} more than the {int(left)} left of your {capacity:.0f} rows an hour; available in "
                             f"{seconds} seconds{way_to_more(caller)}", code="too_many_requests",
                             extra={"retry_after_s": seconds, "limit": int(capacity)})


class charged:
    """Charge rows for what the block does; when it is refused or fails, they are given back.

    Raises
    ------
    TransientError, BadParameter
        As `charge`.
    """

    # written out: the library's contextmanager costs as much as the charge
    __slots__ = ("_what",)

    def __init__(self, request: web.Request, caller: Caller, rows: int) -> None:
        self._what = request, caller, rows

    def __enter__(self) -> None:
        charge(*self._what)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, Exception):
            give_back(*self._what)


def check_job(caller: Caller, rows: int) -> None:
    """Refuse a job that is larger than the caller's may be.

    Raises
    ------
    BadParameter
        Code ``too_many_rows``.
    """
    if rows > caller.rows_of_a_job:
        without = " without a token" if caller.is_anonymous else ""
        raise BadParameter(f"{rows} rows are more than the {caller.rows_of_a_job} of one job{without}; send "
                           f"fewer{way_to_more(caller)}", code="too_many_rows", extra={"limit": caller.rows_of_a_job})


def give_back(request: web.Request, caller: Caller, rows: int) -> None:
    """Put back what was charged for something that was not done."""
    request.app[BUDGET].give_back(caller.bucket, rows)
    if TOLD in request:
        capacity, left = request[TOLD]
        request[TOLD] = capacity, min(capacity, left + rows)


def tell(request: web.Request, response: web.StreamResponse) -> None:
    """Put the headers of a charged request on its answer."""
    capacity, left = request[TOLD]
    headers = response.headers
    headers[_POLICY] = _policy(capacity)
    headers[_LIMIT] = f'"rows";r={int(left)};t={math.ceil((capacity - left) * WINDOW_S / capacity)}'


@lru_cache(maxsize=256)
def _policy(capacity: float) -> str:
    return f'"rows";q={capacity:.0f};w={WINDOW_S:.0f}'


def way_to_more(caller: Caller) -> str:
    """Return the end of a refusal: who has no token may get more with one."""
    return ", or send a token, which has more" if caller.is_anonymous else ""

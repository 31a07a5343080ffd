"""Who asks at the queue: the one place of this face that knows how callers are found, charged and kept from guessing."""

from __future__ import annotations

from aiohttp import web

from cfcore.errors import TransientError, UsageError

from ..addresses import counted
from ..buckets import whole_seconds
from ..budget import BUDGET, charged
from ..callers import Caller, caller_of, known_caller, log_in, queue_token
from ..keys import SETTINGS
from ..webhook_address import check_callback

GUESSES, GUESSES_S = 600, 3600.0
"""So many numbers of tasks that are not there may be asked for in so many seconds from one address."""


async def token_of(request: web.Request, name: str, password: str) -> str:
    """Return the token of a user who says the right password; raises as `callers.log_in` does."""
    asker = await caller_of(request)
    return queue_token(request.app, await log_in(request.app, name, password, asker.address))


async def user_of(request: web.Request, scope: str) -> Caller:
    """Return who asks; the anonymous and those without the scope are refused."""
    return await known_caller(request, scope)


async def anyone(request: web.Request) -> Caller:
    """Return who asks, be it an address; wrong credentials are refused."""
    return await caller_of(request)


async def reader_of(request: web.Request) -> Caller:
    """Return who asks for lists of their own; the protocol's word for the anonymous is 403 here, not 401.

    Raises
    ------
    UsageError
        Code ``scope_missing``, and as `callers.caller_of`.
    """
    caller = await caller_of(request)
    if caller.is_anonymous:
        raise UsageError("Authentication credentials were not provided.", code="scope_missing", where="Authorization")
    return caller


def charge(request: web.Request, caller: Caller, rows: int) -> charged:
    """Charge what tasks cost; it is given back when the block fails."""
    return charged(request, caller, rows)


class Guess:
    """Count an attempt to name a task; when there is one, `was_right` gives the attempt back.

    A number holds 24 bits that nobody can know but from us. Whoever tries them all is stopped long before the end.
    """

    def __init__(self, request: web.Request, caller: Caller) -> None:
        self._buckets, self._key = request.app[BUDGET], f"guess:{counted(caller.address)}"
        _, wait = self._buckets.take(self._key, 1.0, GUESSES, GUESSES_S)
        if wait:
            raise TransientError("too many tasks were asked for that are not here", code="too_many_requests",
                                 extra={"retry_after_s": whole_seconds(wait)})

    def was_right(self) -> None:
        """Give the attempt back."""
        self._buckets.give_back(self._key, 1.0)


async def callback(request: web.Request, url: str | None) -> str | None:
    """Return the address of a webhook as it is to be kept; raises as `webhook_address.check_callback` does."""
    return None if url is None else await check_callback(url, request.app[SETTINGS])

"""Those who wait for jobs: how many there may be, how long each is held, and that none holds up the end of the gateway.

Who waits costs no time of the machine: `News` wakes it when its job changes. It costs a connection, and of those there are not
so many (see `connections`); that is what the bounds are for. Faces hold their own answers through `Watchers.wait`, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import Row

from aiohttp import web

from cfcore.errors import TransientError, UsageError

from .doorway import HELD
from .job_records import ENDED
from .jobs import Jobs

STREAMS_OF_ONE, STREAMS = 16, 500
"""Event streams of one owner's jobs, and of all: with the waits below less than three quarters of 1024 descriptors."""
WAITS_OF_ONE, WAITS = 50, 200
WAIT_MAX_S = 60.0
LOOK_S = 1.0
"""How long a client that has left may go unnoticed."""
ROOM_WAIT_S = 5


class Watchers:
    """Count who waits, and let them wait.

    Parameters
    ----------
    jobs : Jobs

    Attributes
    ----------
    is_ending : bool
        Nobody is held any longer: the gateway ends.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._streams: Counter[str] = Counter()
        self._waits: Counter[str] = Counter()
        self.is_ending = False

    def end(self) -> None:
        """Let everybody go with what there is to say now."""
        self.is_ending = True
        self._jobs.news.wake()

    @contextmanager
    def stream(self, owner: str) -> Iterator[None]:
        """Count an event stream in.

        Raises
        ------
        UsageError
            Code ``too_many_streams`` (429).
        TransientError
            Codes ``busy``, ``draining``.
        """
        mine, all_ = self._streams[owner], self._streams.total()
        if self.is_ending:
            raise TransientError("the service is shutting down; try again in a few seconds", code="draining")
        if mine >= STREAMS_OF_ONE:
            raise UsageError(f"{mine} event streams on your jobs are open, of at most {STREAMS_OF_ONE}; close one, or ask for "
                             f"the job with wait=; available in {ROOM_WAIT_S} seconds", code="too_many_streams",
                             extra={"retry_after_s": ROOM_WAIT_S})
        if all_ >= STREAMS:
            raise TransientError(f"{all_} event streams are open, of at most {STREAMS}; ask for the job with wait=, or try again "
                                 f"in {ROOM_WAIT_S} seconds", code="busy", extra={"retry_after_s": ROOM_WAIT_S})
        with _one_more(self._streams, owner):
            yield

    async def wait(self, request: web.Request, row: Row, seconds: float, is_over: Callable[[Row], bool]) -> bool:
        """Hold a request until something is true of a job, its client leaves, or so many seconds (at most 60) are over.

        Parameters
        ----------
        request : aiohttp.web.Request
            Its time of waiting is not counted as time of answering.
        row : sqlite3.Row
            Of the job.
        seconds : float, s
        is_over : callable
            Told the newest row. A job that has ended is over always: it will not change by itself.

        Returns
        -------
        bool
            Whether it could wait: False when too many wait already, who then has to ask again.
        """
        job, owner = row["id"], row["owner"]
        if self._waits[owner] >= WAITS_OF_ONE or self._waits.total() >= WAITS:
            return False
        loop, news = asyncio.get_running_loop(), self._jobs.news
        begin = loop.time()
        until = begin + min(seconds, WAIT_MAX_S)
        with _one_more(self._waits, owner):
            while not self.is_ending and not has_left(request):
                # the number before the row: a change that comes between them is seen twice, never missed
                seen, found = news.number(job), self._jobs.shelf.row(job)
                left = until - loop.time()
                if left <= 0.0 or found is None or found["phase"] in (*ENDED, "ARCHIVED") or is_over(found):
                    break
                while not (self.is_ending or has_left(request)) and (left := until - loop.time()) > 0.0:
                    if await news.told(job, seen, min(left, LOOK_S)):
                        break
        request[HELD] = request.get(HELD, 0.0) + loop.time() - begin
        return True


def has_left(request: web.Request) -> bool:
    """Tell whether the client of a request is gone."""
    return request.transport is None or request.transport.is_closing()


@contextmanager
def _one_more(counter: Counter[str], owner: str) -> Iterator[None]:
    counter[owner] += 1
    try:
        yield
    finally:
        counter[owner] -= 1
        if not counter[owner]:
            del counter[owner]

"""Who waits for news of which job: a number that grows with each change of it, and those who are woken by it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("gateway.jobs")


class News:
    """Wake those who watch jobs.

    Attributes
    ----------
    on_end : list of callables
        Told the id of each job whose end is on disk.
    on_gone : list of callables
        Told the id of each job that was destroyed.
    """

    def __init__(self) -> None:
        self._count = 0
        self._numbers: dict[int, int] = {}
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self.on_end: list[Callable[[int], None]] = []
        self.on_gone: list[Callable[[int], None]] = []

    def number(self, job: int) -> int:
        """Return the number of the last change of a job; 0 when nothing has changed that anybody was told of."""
        return self._numbers.get(job, 0)

    def tell(self, job: int, *, is_last: bool = False) -> None:
        """Wake those who wait for a job; after the last change nothing of it is kept."""
        self._count += 1
        self._numbers[job] = self._count
        for future in self._waiting.pop(job, ()):
            if not future.done():
                future.set_result(None)
        if is_last:
            del self._numbers[job]

    def wake(self) -> None:
        """Wake everybody, without news of any job."""
        for future in [future for waiting in self._waiting.values() for future in waiting]:
            if not future.done():
                future.set_result(None)

    def ended(self, job: int) -> None:
        """Tell that the end of a job is on disk."""
        self.tell(job, is_last=True)
        self._call(self.on_end, job)

    def gone(self, job: int) -> None:
        """Tell that a job was destroyed."""
        self.tell(job, is_last=True)
        self._call(self.on_gone, job)

    async def changed(self, job: int, seen: int, timeout: float) -> int:
        """Wait until a job has changed since a number of it, or for so many seconds; return its number now."""
        await self.told(job, seen, timeout)
        return self.number(job)

    async def told(self, job: int, seen: int, timeout: float) -> bool:
        """Wait as `changed` does; return whether there was news: after the last change of a job its number may be the old one."""
        if self.number(job) != seen:
            return True
        if timeout <= 0.0:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job, set()).add(future)
        try:
            await asyncio.wait_for(future, timeout)
            return True
        except TimeoutError:
            # news may have come in the turn of the loop in which the time ran out: then the future was taken out
            return future not in self._waiting.get(job, ())
        finally:
            if job in self._waiting:
                self._waiting[job].discard(future)
                if not self._waiting[job]:
                    del self._waiting[job]

    @staticmethod
    def _call(listeners: list[Callable[[int], None]], job: int) -> None:
        for listener in listeners:
            try:
                listener(job)
            except Exception:
                # one listener's fault must not keep the news from the others, nor the work from going on
                log.exception("whoever waited for job %d failed", job)

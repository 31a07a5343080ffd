"""The lines in which jobs wait: interactive ones by age, bulk ones by turns of their owners. Pure data, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol


class Waiter(Protocol):
    """What a line needs of a job."""

    owner: str
    ticket: int
    seq: int

    @property
    def is_queued(self) -> bool:
        """Whether it still waits."""


class Line:
    """Jobs that wait for one field, in turns of their owners; an owner's own jobs keep their order.

    A job that leaves otherwise than through `pop` (cancelled, adopted by a worker) is not searched for: its entry carries the
    ticket it was queued with and is passed over when its turn comes.
    """

    def __init__(self) -> None:
        self._owners: dict[str, deque[tuple[int, Waiter]]] = {}
        self._tickets = 0
        self._seq = 0

    def __bool__(self) -> bool:
        return self.peek() is not None

    def __iter__(self) -> Iterator[Waiter]:
        return (job for queue in self._owners.values() for ticket, job in queue if _is_valid(ticket, job))

    def append(self, job: Waiter) -> None:
        """Queue a job behind those of its owner."""
        self._seq += 1
        job.seq = self._seq
        self._owners.setdefault(job.owner, deque()).append(self._entry(job))

    def put_back(self, job: Waiter) -> None:
        """Queue a job again, first of its owner's: it has waited before, and its owner is next."""
        queue = self._owners.pop(job.owner, deque())
        queue.appendleft(self._entry(job))
        self._owners = {job.owner: queue, **self._owners}

    def peek(self) -> Waiter | None:
        """Return the job whose turn it is."""
        while self._owners:
            owner, queue = next(iter(self._owners.items()))
            while queue and not _is_valid(*queue[0]):
                queue.popleft()
            if queue:
                return queue[0][1]
            del self._owners[owner]
        return None

    def pop(self) -> Waiter | None:
        """Take the job whose turn it is; its owner goes to the end."""
        job = self.peek()
        if job is not None:
            queue = self._owners.pop(job.owner)
            queue.popleft()
            if queue:
                self._owners[job.owner] = queue
        return job

    def ahead_of(self, job: Waiter) -> int:
        """Count, to a few, the jobs that start before this one: as many of each other owner's as stand before it in its own."""
        mine = self._owners.get(job.owner)
        if not mine:
            return 0
        before = max(0, job.seq - next((j.seq for ticket, j in mine if _is_valid(ticket, j)), job.seq))
        before = min(before, len(mine) - 1)
        ahead, is_later = before, False
        for owner, queue in self._owners.items():
            if owner == job.owner:
                is_later = True
            else:
                ahead += min(len(queue), before + (0 if is_later else 1))
        return ahead

    def _entry(self, job: Waiter) -> tuple[int, Waiter]:
        self._tickets += 1
        job.ticket = self._tickets
        return self._tickets, job


def _is_valid(ticket: int, job: Waiter) -> bool:
    return job.is_queued and job.ticket == ticket

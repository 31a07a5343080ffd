"""How much work is unfinished, of everybody and of each owner, and when more of it may come."""

from __future__ import annotations

import math

from cfcore.errors import TransientError

from .job_chunks import Pool

RETRY_RANGE_S = (1, 300)
RETRY_UNKNOWN_S = 10
Weight = tuple[int, int]
"""Of work: chunks, bytes of rows."""


class Load:
    """Count unfinished work against its bounds.

    Parameters
    ----------
    pool : Pool
        Knows how fast the work goes.
    chunks_max, bytes_max : int
        What may be unfinished; of one owner half of it.

    Attributes
    ----------
    total : list of int
        Chunks and bytes of everybody.
    owners : dict
        The same of each owner that has any.
    """

    def __init__(self, pool: Pool, chunks_max: int, bytes_max: int) -> None:
        self._pool, self._bounds = pool, (chunks_max, bytes_max)
        self.total = [0, 0]
        self.owners: dict[str, list[int]] = {}

    def admit(self, owner: str, weight: Weight) -> None:
        """Let more work pass.

        Raises
        ------
        TransientError
            Codes ``queue_full``, ``owner_full``.
        """
        here = self.owners.get(owner, [0, 0])
        for all_, mine, more, bound, what in zip(self.total, here, weight, self._bounds, ("chunks", "bytes of rows")):
            over, over_mine = all_ + more - bound, mine + more - bound // 2
            if over <= 0 and over_mine <= 0:
                continue
            seconds = self._wait_s(max(over, over_mine) / max(1, all_))
            if over > 0:
                raise TransientError(f"{all_} {what} wait to be computed, of at most {bound}; try again, available in {seconds} "
                                     "seconds", code="queue_full", extra={"retry_after_s": seconds})
            if over_mine > 0 and mine:
                raise TransientError(f"{mine} {what} of yours wait to be computed, of at most {bound // 2} for one client; try "
                                     f"again, available in {seconds} seconds", code="owner_full",
                                     extra={"retry_after_s": seconds})

    def add(self, owner: str, chunks: int, nbytes: int) -> None:
        """Count work in, or out with negative numbers."""
        here = self.owners.setdefault(owner, [0, 0])
        for load in (here, self.total):
            load[0] += chunks
            load[1] += nbytes
        if not here[0] and not here[1]:
            del self.owners[owner]

    def _wait_s(self, share: float) -> int:
        seconds = self._pool.backlog()["seconds"]
        least, most = RETRY_RANGE_S
        return min(max(math.ceil(seconds * share), least), most) if seconds else RETRY_UNKNOWN_S

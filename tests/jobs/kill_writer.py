"""A gateway's jobs in a process of their own, which kills itself at the n-th time it comes to a named step.

    python kill_writer.py FOLDER STEP N

The steps are put in place here, around the product's functions; the product knows nothing of them. Whatever is confirmed is
printed, at once: `accepted JOB`, `settled CHUNK`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from computing_pool import ComputingPool, draft

from gateway import jobs, spool, store

# as in test_store
SIZES = (1, 12_000, 3, 1, 25_000, 2)
left = 0


def main(folder: Path, step: str, times: int) -> None:
    """Run jobs until the end comes."""
    global left
    left = times
    around(os, "rename", step == "input written", step == "input named")
    around(spool, "write_input", False, step == "input safe")
    around(spool.Results, "append", step == "result begun", step == "result written")
    around(spool.Results, "sync", False, step == "result safe")
    around(store, "_deliver", step == "after commit", step == "told")
    asyncio.run(work(folder, step))


def around(place: Any, name: str, before: bool, after: bool) -> None:
    """Die before or after a function."""
    real: Callable[..., Any] = getattr(place, name)

    def watched(*args: Any, **named: Any) -> Any:
        if before:
            reached()
        value = real(*args, **named)
        if after:
            reached()
        return value
    setattr(place, name, watched)


def reached() -> None:
    """Count down, and die."""
    global left
    left -= 1
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)


class Connection:
    """Stand around the writer's connection."""

    def __init__(self, real: Any, step: str) -> None:
        self._real, self._step = real, step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, sql: str, *args: Any) -> Any:
        """Watch the beginning and the end of transactions."""
        if sql == "COMMIT" and self._step == "before commit":
            reached()
        done = self._real.execute(sql, *args)
        if sql == "BEGIN IMMEDIATE" and self._step == "begin":
            reached()
        return done


async def work(folder: Path, step: str) -> None:
    """Submit jobs of all sizes, one after the other, and say what is confirmed."""
    pool = ComputingPool()
    kept = jobs.Jobs(folder, pool)
    kept.open()
    kept.store.writer = Connection(kept.store.writer, step)  # type: ignore[assignment]
    kept.start()
    told = 0
    for k in range(60):
        job, _ = await kept.submit(draft(SIZES[k % len(SIZES)], seed=k))
        say(f"accepted {job} {k}")
        for _ in range(20):
            await asyncio.sleep(0.001)
            for chunk in pool.settled[told:]:
                say(f"settled {chunk}")
            told = len(pool.settled)
    say("unharmed")


def say(text: str) -> None:
    """Print at once."""
    os.write(1, text.encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))

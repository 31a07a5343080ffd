"""Steps of a job that meet in one commit, and damage below it: each job still ends, and is counted once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from computing_pool import ComputingPool, Kept, draft, result_of

from cfcore.errors import TransientError
from gateway import job_records, job_results
from gateway.job_shelf import Shelf
from gateway.store import Store

Keep = Callable[..., Any]


class Held:
    """Keep the writer of a store busy, so that what comes meanwhile goes into one commit."""

    def __init__(self, store: Store) -> None:
        self._may_go = threading.Event()
        store.put(lambda db: self._may_go.wait(10))

    def let_go(self) -> None:
        """Let it write."""
        self._may_go.set()


async def turns(n: int = 5) -> None:
    """Let the loop do what is due."""
    for _ in range(n):
        await asyncio.sleep(0)


def counted(kept: Kept) -> dict[str, int]:
    """Return the jobs by phase as they are told, of those there are."""
    return {phase: n for phase, n in kept.jobs.counts().items() if n}


def test_a_job_cancelled_in_the_commit_of_its_last_result_is_counted_as_the_store_has_it(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            held = Held(kept.jobs.store)
            cancelling = asyncio.create_task(kept.jobs.cancel(job))
            await turns()
            pool.step()
            held.let_go()
            await cancelling
            await kept.jobs.flush()
            assert kept[job]["phase"] == "ABORTED" and counted(kept) == {"ABORTED": 1}
            assert len(pool.settled) == 1 and kept.jobs.load.total == [0, 0]
    asyncio.run(main())


def test_a_job_deleted_in_the_commit_of_its_last_result_is_counted_as_the_store_has_it(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            held = Held(kept.jobs.store)
            pool.step()
            deleting = asyncio.create_task(kept.jobs.delete(job))
            await turns()
            held.let_go()
            await deleting
            await kept.jobs.flush()
            assert kept[job]["phase"] == "ARCHIVED" and counted(kept) == {"ARCHIVED": 1}
    asyncio.run(main())


@pytest.mark.parametrize("damage", [b"[[\xff", b"[[1]]", b'[["lon", "<f8", "many"]]', b'[["lon", "<q8", [3]]]'])
def test_a_job_whose_rows_are_damaged_ends_as_an_error(tmp_path: Path, keep: Keep, damage: bytes) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3000))
            spooled, = kept.jobs.store.spool.iterdir()
            with spooled.open("r+b") as file:
                file.seek(8)
                file.write(damage.ljust(len("[['lon','<f8',[3000]],['lat','<f8',[3000]]")))
            pool.step()
            row = await kept.until(job, "ERROR")
            assert row["error_code"] == "input_damaged"
    asyncio.run(main())


def test_a_result_with_codes_that_are_no_whole_numbers_ends_the_job_in_words(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            chunk, (work, _, _) = next(iter(pool.waiting.items()))
            result = result_of(chunk, work, work.columns())
            result.columns["codes"] = np.full((3, 3), np.nan)
            work.accept(result, lambda: pool.settled.append(chunk))
            row = await kept.until(job, "ERROR")
            assert row["error_code"] == "worker_mismatch" and pool.settled == [chunk]
    asyncio.run(main())


def test_a_result_that_can_never_be_written_ends_its_job_and_may_be_forgotten(
        tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise ValueError("a fault of ours")

    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            monkeypatch.setattr(job_records, "accept", broken)
            pool.step()
            row = await kept.until(job, "ERROR", timeout_s=5.0)
            assert row["error_code"] == "internal" and len(pool.settled) == 1 and counted(kept) == {"ERROR": 1}
    asyncio.run(main())


def test_a_completed_result_keeps_a_row_while_it_is_computed_again(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(poison=lambda columns: bool((columns["cz"] == 666.0).any()))
        async with keep(tmp_path, pool, chunk_rows=4) as kept:
            job, _ = await kept.jobs.submit(draft(4, cz=[1000.0, 666.0, 3000.0, 4000.0]))
            await kept.until(job)
            pool.is_held, pool.poison = True, lambda columns: False
            await kept.jobs.release(kept.jobs.shelf.quarantine()[0]["id"])
            seen = job_results.Result(Shelf(kept.jobs.store), job, "distance", "distance", ("lon", "lat"), {}, 70.0)
            try:
                assert seen.head["rows"] == [[0, 4]] and [s for some in seen.status() for s in some][1] == "crashed"
            finally:
                seen.close()
            pool.release()
            while kept[job]["quarantined"]:
                await asyncio.sleep(0.003)
    asyncio.run(main())


def test_long_results_are_bounded_for_one_client_and_for_all() -> None:
    downloads = job_results.Downloads()
    passes = [downloads.one_more(owner) for owner in ("a", "b", "c", "d") for _ in range(job_results.DOWNLOADS_OF_ONE)]
    for k, one in enumerate(passes):
        if k == job_results.DOWNLOADS_OF_ONE:
            with pytest.raises(TransientError) as caught, downloads.one_more("a"):
                pass
            assert caught.value.code == "busy" and caught.value.extra["retry_after_s"] > 0
        one.__enter__()
    with pytest.raises(TransientError), downloads.one_more("e"):
        pass
    passes[0].__exit__(None, None, None)
    with downloads.one_more("e"):
        pass

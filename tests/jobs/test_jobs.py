"""The life of jobs on a real store: accepted once, ended once, answers those of cfcore."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from computing_pool import OPTIONS, ComputingPool, Kept, draft, result_of, the_field

from cfcore import distances
from cfcore.errors import BadParameter, TransientError, UsageError
from gateway import job_results, spool
from gateway.job_shelf import Shelf

Keep = Callable[..., Any]


def rows_of(n: int, seed: int = 1, kind: str = "distance") -> dict[str, np.ndarray]:
    """Return the rows of a draft."""
    made = draft(n, seed=seed, kind=kind)
    return spool.unpack(spool.joined(made.header, made.written))


def answer(kept: Kept, job: int, kind: str = "distance", fmt: str = "json") -> Any:
    """Return the result of a job as a client reads it."""
    result = job_results.Result(Shelf(kept.jobs.store), job, kind, "distance", ("lon", "lat"), {"job": job}, OPTIONS.H0)
    try:
        body = b"".join(job_results.WRITERS[fmt][1](result))
    finally:
        result.close()
    return orjson.loads(body) if fmt == "json" else body


@pytest.mark.parametrize("n", [1, 7, 25_001])
def test_a_result_is_what_cfcore_computes_to_the_last_bit(tmp_path: Path, keep: Keep, n: int) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=10_000) as kept:
            job, is_new = await kept.jobs.submit(draft(n))
            row = await kept.until(job)
            assert is_new and row["rows_done"] == row["rows_total"] == n and row["quarantined"] == 0
            rows = rows_of(n)
            oracle = distances.solve(the_field(), **rows, options=OPTIONS)
            got = answer(kept, job)
            assert got["rows"] == [[0, n]] and len(got["status"]) == n
            for name in ("median", "std"):
                np.testing.assert_array_equal(np.array(got["columns"][name], float), oracle.column(f"distance.{name}"))
            assert got["roots"][n - 1] == orjson.loads(orjson.dumps(oracle.roots(n - 1)))
            assert got["flags"][0] == oracle.flags(0)
            assert len(kept.pool.settled) == -(-n // 10_000) and kept.jobs.counts()["COMPLETED"] == 1
    asyncio.run(main())


def test_velocities_come_in_the_order_they_were_asked_in_json_and_csv(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=100) as kept:
            job, _ = await kept.jobs.submit(draft(1050, kind="velocity"))
            await kept.until(job)
            rows = rows_of(1050, kind="velocity")
            oracle = distances.velocities(the_field(), *rows.values(), options=OPTIONS).column("v_rad")
            np.testing.assert_array_equal(np.array(answer(kept, job, "velocity")["columns"]["v_rad"], float), oracle)
            lines = [line for line in answer(kept, job, "velocity", "csv").decode().splitlines() if not line.startswith("#")]
            at = lines[0].split(",").index("v_rad")
            assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1050))
            np.testing.assert_array_equal(np.array([line.split(",")[at] or "nan" for line in lines[1:]], float), oracle)
    asyncio.run(main())


def test_one_key_is_one_job_and_another_content_is_a_conflict(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            found = await asyncio.gather(*(kept.jobs.submit(draft(5, key="k")) for _ in range(100)))
            assert len({job for job, _ in found}) == 1 and sum(is_new for _, is_new in found) == 1
            with pytest.raises(UsageError, match="another request") as refused:
                await kept.jobs.submit(draft(5, key="k", seed=2))
            assert refused.value.code == "idempotency_conflict"
            other, is_new = await kept.jobs.submit(draft(5, key="k", owner="somebody else"))
            assert is_new and other != found[0][0]
            large = await asyncio.gather(*(kept.jobs.submit(draft(20_000, key="large")) for _ in range(5)))
            assert len({job for job, _ in large}) == 1
            await kept.until(large[0][0])
            assert len(list(kept.jobs.store.spool.glob("*.in"))) == 1
    asyncio.run(main())


def test_a_chunk_that_breaks_workers_is_halved_to_the_bad_rows(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        bad = {137, 4321, 9999}
        pool = ComputingPool(poison=lambda c: bool(np.any(c["lat"] == 12.34567)))
        lat = rows_of(10_000)["lat"].copy()
        lat[list(bad)] = 12.34567
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(10_000, lat=lat))
            row = await kept.until(job)
            assert (row["quarantined"], row["rows_done"]) == (3, 10_000)
            entries = kept.jobs.shelf.quarantine()
            assert {entry["row"] for entry in entries} == bad
            assert all(entry["stderr"] == "Segfault" and orjson.loads(entry["input"])["lat"] == 12.34567 for entry in entries)
            got = answer(kept, job)
            assert {i for i, s in enumerate(got["status"]) if s == "crashed"} == bad
            assert got["columns"]["median"][137] is None and got["columns"]["median"][138] is not None
            assert {e["row"] for e in got["errors"] if e["code"] == "crashed"} == bad
            first = pool.submitted[0]
            assert {s for k, s in pool.suspicions.items() if k != first} == {0, 2}
            assert len(set(pool.submitted)) == len(pool.submitted)

            pool.poison = lambda c: False
            await kept.jobs.release(entries[0]["id"])
            while kept[job]["quarantined"] == 3:
                await asyncio.sleep(0.003)
            await kept.jobs.drop(entries[1]["id"])
            assert len(kept.jobs.shelf.quarantine()) == 1 and kept[job]["phase"] == "COMPLETED"
            assert answer(kept, job)["status"][entries[0]["row"]] == "ok"
            with pytest.raises(UsageError) as refused:
                await kept.jobs.release(entries[0]["id"])
            assert refused.value.code == "unknown_record"
    asyncio.run(main())


def test_a_row_released_before_its_job_has_ended_is_counted_once(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True, poison=lambda c: bool(len(c["lat"]) == 1))
        async with keep(tmp_path, pool, chunk_rows=2) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            pool.waiting = dict(reversed(pool.waiting.items()))
            pool.step()
            while not kept.jobs.shelf.quarantine():
                await asyncio.sleep(0.003)
            pool.poison = lambda c: False
            await kept.jobs.release(kept.jobs.shelf.quarantine()[0]["id"])
            assert kept[job]["phase"] != "COMPLETED"
            pool.release()
            row = await kept.until(job)
            assert (row["rows_done"], row["quarantined"]) == (3, 0)
    asyncio.run(main())


def test_what_is_wrong_ends_the_job_and_withdraws_the_rest(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool, chunk_rows=10) as kept:
            job, _ = await kept.jobs.submit(draft(35))
            pool.fault = BadParameter("the field has no density", code="no_density")
            pool.step()
            row = await kept.until(job, "ERROR")
            assert (row["error_code"], row["error_text"]) == ("no_density", "the field has no density")
            await asyncio.sleep(0.02)
            assert len(pool.withdrawn) == 3 and not pool.waiting
            assert kept.jobs.counts() == {"PENDING": 0, "QUEUED": 0, "EXECUTING": 0, "COMPLETED": 0, "ERROR": 1, "ABORTED": 0,
                                          "ARCHIVED": 0}
    asyncio.run(main())


def test_a_worker_of_another_version_ends_the_job_in_words(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            chunk, (work, _, _) = next(iter(pool.waiting.items()))
            result = result_of(chunk, work, work.columns())
            result.columns["values"] = result.columns["values"][:, :-1]
            work.accept(result, lambda: pool.settled.append(chunk))
            row = await kept.until(job, "ERROR")
            assert row["error_code"] == "worker_mismatch" and "values" in row["error_text"] and pool.settled == [chunk]
    asyncio.run(main())


def test_a_client_that_leaves_while_its_job_is_written_leaves_no_job_behind_that_nobody_does(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            leaving = [asyncio.create_task(kept.jobs.submit(draft(2, key=str(k)))) for k in range(20)]
            await asyncio.sleep(0)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*leaving, return_exceptions=True)
            assert all(task.cancelled() for task in leaving)
            await asyncio.sleep(0.05)
            await kept.jobs.flush()
            rows = kept.jobs.shelf.rows("me", None, 100)
            for row in rows:
                await kept.until(row["id"])
            assert len(rows) == 20 and kept.jobs.load.total == [0, 0]
    asyncio.run(main())


def test_what_may_work_later_comes_again(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(fault=TransientError("not now", code="worker_lost"))
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(3))
            await asyncio.sleep(0.05)
            assert kept[job]["phase"] in ("QUEUED", "EXECUTING")
            pool.fault = None
            await kept.until(job)
    asyncio.run(main())


def test_a_cancelled_job_keeps_what_is_done(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool, chunk_rows=10) as kept:
            job, _ = await kept.jobs.submit(draft(35))
            pool.step()
            pool.waiting = dict(reversed(pool.waiting.items()))
            pool.step()
            while kept[job]["rows_done"] < 15:
                await asyncio.sleep(0.003)
            await kept.jobs.cancel(job)
            assert kept[job]["phase"] == "ABORTED" and len(pool.withdrawn) == 2
            got = answer(kept, job)
            assert got["rows"] == [[0, 10], [30, 35]] and got["n"] == 15
            whole = distances.solve(the_field(), **rows_of(35), options=OPTIONS)
            np.testing.assert_array_equal(got["columns"]["median"], whole.column("distance.median")[[*range(10), *range(30, 35)]])
            await kept.jobs.cancel(job)
            assert kept[job]["phase"] == "ABORTED"
    asyncio.run(main())


def test_a_late_result_changes_nothing_and_may_be_forgotten(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(5))
            chunk, (work, _, _) = next(iter(pool.waiting.items()))
            result = result_of(chunk, work, work.columns())
            await kept.jobs.cancel(job)
            work.accept(result, lambda: pool.settled.append(chunk))
            while not pool.settled:
                await asyncio.sleep(0.003)
            assert kept[job]["phase"] == "ABORTED" and kept[job]["rows_done"] == 0
    asyncio.run(main())


def test_a_job_past_its_execution_duration_ends_as_deadline(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool, chunk_rows=2) as kept:
            job, _ = await kept.jobs.submit(draft(4, duration=0.2))
            await asyncio.sleep(0.6)
            assert kept[job]["phase"] == "QUEUED"  # the time counts from its start
            pool.step()
            row = await kept.until(job, "ERROR", timeout_s=5.0)
            assert row["error_code"] == "deadline" and "0.2 s" in row["error_text"]
    asyncio.run(main())


def test_after_a_restart_work_goes_on_under_the_same_numbers(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        first = ComputingPool(is_held=True)
        async with keep(tmp_path, first, chunk_rows=10_000) as kept:
            large, _ = await kept.jobs.submit(draft(25_000))
            small, _ = await kept.jobs.submit(draft(2, seed=3))
            first.step()
            while kept[large]["rows_done"] < 10_000:
                await asyncio.sleep(0.003)
            before = kept.identity
            waiting = list(first.waiting)
        second = ComputingPool()
        async with keep(tmp_path, second, chunk_rows=10_000) as kept:
            assert (kept.identity.gid, kept.identity.secret) == (before.gid, before.secret)
            assert kept.identity.epoch == before.epoch + 1
            assert second.submitted == waiting
            await kept.until(large)
            await kept.until(small)
            whole = distances.solve(the_field(), **rows_of(25_000), options=OPTIONS)
            np.testing.assert_array_equal(answer(kept, large)["columns"]["median"], whole.column("distance.median"))
            await asyncio.sleep(0.05)
            new, _ = await kept.jobs.submit(draft(1))
            assert second.submitted[-1] > max(waiting) and new > small
            await kept.until(new)
            assert kept.jobs.load.total == [0, 0]
    asyncio.run(main())


def test_a_full_queue_is_refused_with_the_measured_wait(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True, rate=10.0)
        async with keep(tmp_path, pool, chunk_rows=10, chunks_max=10) as kept:
            await kept.jobs.submit(draft(50, owner="a"))
            with pytest.raises(TransientError, match=r"available in \d+ seconds") as mine:
                await kept.jobs.submit(draft(1, owner="a"))
            assert mine.value.code == "owner_full" and mine.value.extra["retry_after_s"] == 1
            await kept.jobs.submit(draft(50, owner="b"))
            with pytest.raises(TransientError) as full:
                await kept.jobs.submit(draft(45, owner="c"))
            assert full.value.code == "queue_full" and full.value.extra["retry_after_s"] == 5
            pool.release()
            for job in (1, 2):
                await kept.until(job)
            await asyncio.sleep(0.02)
            assert kept.jobs.load.total == [0, 0] and not kept.jobs.load.owners
            await kept.jobs.submit(draft(45, owner="c"))
    asyncio.run(main())


def test_the_place_in_the_queue_and_the_time_left_are_the_measured_ones(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True, rate=10.0)
        async with keep(tmp_path, pool, chunk_rows=10) as kept:
            first, _ = await kept.jobs.submit(draft(20))
            second, _ = await kept.jobs.submit(draft(20))
            assert kept.jobs.outlook(first) == (0, 2.0) and kept.jobs.outlook(second) == (2, 4.0)
            pool.step()
            await asyncio.sleep(0.05)
            assert kept.jobs.outlook(first)[0] is None and kept.jobs.live_phase(first, kept[first]["phase"]) == "EXECUTING"
            pool.release()
            await kept.until(second)
            await asyncio.sleep(0.02)
            assert kept.jobs.outlook(second) == (None, None)
    asyncio.run(main())


def test_what_has_stood_its_time_is_destroyed_and_leaves_a_stone(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=10_000, retention_days=0.2 / 86_400) as kept:
            job, _ = await kept.jobs.submit(draft(20_000))
            await kept.until(job)
            assert len(list(kept.jobs.store.spool.iterdir())) == 2
            await asyncio.sleep(0.25)
            kept.jobs._next_sweep = 0.0
            await kept.until(job, "ARCHIVED", timeout_s=5.0)
            await asyncio.sleep(0.05)
            assert not list(kept.jobs.store.spool.iterdir()) and not kept.jobs.shelf.parts(job)
            assert kept.jobs.counts()["ARCHIVED"] == 1 and kept.jobs.counts()["COMPLETED"] == 0
            assert not kept.jobs.shelf.rows("me", None, 10)
    asyncio.run(main())


def test_a_deleted_job_takes_its_work_and_its_files_along(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool, chunk_rows=10_000) as kept:
            job, _ = await kept.jobs.submit(draft(25_000, key="k"))
            await kept.jobs.delete(job)
            assert len(pool.withdrawn) == 3 and not list(kept.jobs.store.spool.iterdir())
            assert kept[job]["phase"] == "ARCHIVED" and kept.jobs.load.total == [0, 0]
            again, is_new = await kept.jobs.submit(draft(25_000, key="k"))
            assert is_new and again != job
    asyncio.run(main())


def test_jobs_are_found_newest_first_page_by_page(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, ComputingPool(is_held=True)) as kept:
            ids = [(await kept.jobs.submit(draft(1, owner="ab"[k % 2])))[0] for k in range(10)]
            assert [row["id"] for row in kept.jobs.shelf.rows("a", None, 3)] == ids[8:3:-2]
            assert [row["id"] for row in kept.jobs.shelf.rows("a", ids[4], 3)] == [ids[2], ids[0]]
    asyncio.run(main())


def test_thousands_of_small_jobs_are_accepted_in_a_second_or_two(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, ComputingPool(is_held=True)) as kept:
            began = time.monotonic()
            await asyncio.gather(*(kept.jobs.submit(draft(1)) for _ in range(3000)))
            rate = 3000 / (time.monotonic() - began)
            print(f"{rate:.0f} submissions/s in {kept.jobs.store.commits} commits")
            assert rate > 500
    asyncio.run(main())

"""What all doors share: jobs that wait for a word, words that change, news, tables of sightlines, stores of an older format."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from computing_pool import FIELD, OPTIONS, RECORD, draft, the_field

from cfcore import sightlines
from cfcore.errors import TransientError, UsageError
from gateway import job_queries, job_records, job_schema
from gateway.store import DATABASE

Keep = Callable[..., Any]
OLD_COLUMNS = ("face", "facts", "table_file", "table_about", "share", "is_destruction_set")


def pending(n: int = 3, **about: Any) -> Any:
    return dataclasses.replace(draft(n), phase="PENDING", **about)


def test_a_pending_job_runs_when_its_owner_says_so_and_survives_a_restart_before(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job, _ = await kept.jobs.submit(pending(70_000))
            assert kept[job]["phase"] == "PENDING" and kept.jobs.load.total == [0, 0] and not kept.pool.submitted
            assert kept.jobs.counts()["PENDING"] == 1
        async with keep(tmp_path) as kept:
            assert kept[job]["phase"] == "PENDING" and not kept.pool.submitted
            await kept.jobs.run(job)
            row = await kept.until(job)
            assert row["phase"] == "COMPLETED" and row["rows_done"] == 70_000 and kept.jobs.load.total == [0, 0]
            await kept.jobs.run(job)
            assert len(kept.pool.submitted) == 7
    asyncio.run(main())


def test_a_pending_job_can_be_cancelled_and_only_so_many_may_wait(tmp_path: Path, keep: Keep,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_records, "PENDING_MAX", 2)

    async def main() -> None:
        async with keep(tmp_path) as kept:
            first = (await kept.jobs.submit(pending()))[0]
            await kept.jobs.submit(pending())
            with pytest.raises(UsageError, match="2 jobs of yours are PENDING") as refused:
                await kept.jobs.submit(pending())
            assert refused.value.code == "too_many_pending" and kept.jobs.load.total == [0, 0]
            await kept.jobs.cancel(first)
            await kept.jobs.run(first)
            assert kept[first]["phase"] == "ABORTED" and not kept.pool.submitted
    asyncio.run(main())


def test_words_about_a_job_change_and_a_destruction_that_was_set_stays(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            kept.pool.is_held = True
            job, _ = await kept.jobs.submit(draft(5))
            until = time.time() + 3600.0
            await kept.jobs.amend(job, destruction=until, run_id="new", facts={"mjd": 59000})
            kept.pool.release()
            row = await kept.until(job)
            assert (row["destruction"], row["run_id"], row["facts"]) == (until, "new", '{"mjd":59000}')
            await kept.jobs.amend(job, destruction=time.time() - 1.0)
            await kept.until(job, "ARCHIVED")
            assert kept[job]["facts"] is None
    asyncio.run(main())


def test_some_jobs_are_accepted_all_or_none(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunks_max=8) as kept:
            kept.pool.is_held = True
            jobs = await kept.jobs.submit_all([draft(1, seed=k) for k in range(4)])
            assert jobs == sorted(jobs) and len(set(jobs)) == 4 and kept.jobs.load.total[0] == 4
            with pytest.raises(TransientError) as refused:
                await kept.jobs.submit_all([draft(1, seed=k) for k in range(5)])
            assert refused.value.code == "queue_full" and len(kept.jobs.shelf.rows("me", None, 100)) == 4
            kept.pool.release()
            for job in jobs:
                await kept.until(job)
            assert kept.jobs.load.total == [0, 0]
    asyncio.run(main())


def test_who_watches_is_woken_by_each_change_and_told_of_the_end(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=2) as kept:
            kept.pool.is_held = True
            ended: list[int] = []
            gone: list[int] = []
            kept.jobs.news.on_end.append(ended.append)
            kept.jobs.news.on_end.insert(0, lambda job: 1 // 0)
            kept.jobs.news.on_gone.append(gone.append)
            job, _ = await kept.jobs.submit(draft(6))
            seen, done = kept.jobs.news.number(job), []
            assert await kept.jobs.news.changed(job, seen, 0.01) == seen
            kept.pool.release()
            while not kept[job]["end"]:
                seen = await kept.jobs.news.changed(job, seen, 5.0)
                done.append(kept[job]["rows_done"])
            assert done == sorted(done) and done[-1] == 6 and ended == [job]
            await kept.jobs.delete(job)
            assert gone == [job] and kept.jobs.news.number(job) == 0
    asyncio.run(main())


def test_a_position_that_was_told_never_rises(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            kept.pool.is_held = True
            jobs = [(await kept.jobs.submit(draft(1, owner=f"u{k}")))[0] for k in range(3)]
            assert [kept.jobs.outlook(job)[0] for job in jobs] == [0, 1, 2]
            kept.pool.ahead_of = lambda job_id: 7
            assert [kept.jobs.outlook(job)[0] for job in jobs] == [0, 1, 2]
    asyncio.run(main())


@pytest.mark.parametrize("cz", [None, 2916.0])
def test_a_sightline_is_kept_as_the_table_cfcore_makes(tmp_path: Path, keep: Keep, cz: float | None) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            columns = {"lon": np.array([197.4]), "lat": np.array([-23.4]), "cz": np.array([np.nan if cz is None else cz]),
                       "sigma_cz": np.zeros(1)}
            made = job_queries.made("me", "sightline", {**RECORD, "sha": FIELD[1]}, OPTIONS, columns, ("ra", "dec"),
                                    more={"n": 41, "table_rmax": 50.0}, face="queue", facts={"comment": "hi"})
            job, _ = await kept.jobs.submit(made)
            row = await kept.until(job)
            part, = kept.jobs.shelf.parts(job)
            got = kept.jobs.shelf.part(job, part)
            oracle = sightlines.distance_table(the_field(), 197.4, -23.4, n=41, rmax=50.0, cz=cz, options=OPTIONS)
            for name, column in oracle.items():
                np.testing.assert_array_equal(got[name][0], column)
            assert row["face"] == "queue" and ("p" in oracle) == bool(cz) and np.isnan(got["p"]).all() == (cz is None)
    asyncio.run(main())


def test_a_store_of_the_first_format_is_brought_up_and_its_jobs_go_on(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            kept.pool.is_held = True
            job, _ = await kept.jobs.submit(draft(5))
        db = sqlite3.connect(tmp_path / DATABASE)
        for name in ("job_share", "job_looks", "job_task", "job_waiting", "job_tables"):
            db.execute(f"DROP INDEX {name}")
        db.execute("CREATE INDEX job_owner ON job (owner, id)")
        for column in OLD_COLUMNS:
            db.execute(f"ALTER TABLE job DROP COLUMN {column}")
        db.execute("UPDATE meta SET value = 1 WHERE key = 'version'")
        db.commit()
        db.close()
        async with keep(tmp_path) as kept:
            row = await kept.until(job)
            assert row["phase"] == "COMPLETED" and row["face"] == "v1"
        assert sqlite3.connect(tmp_path / DATABASE).execute("SELECT value FROM meta WHERE key = 'version'").fetchone() == (2,)
        assert sum(map(len, job_schema.SINCE.values())) == len(OLD_COLUMNS)
    asyncio.run(main())

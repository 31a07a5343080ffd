"""The store keeps what it has confirmed: killed at every step, cut at any byte, on a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from computing_pool import OPTIONS, ComputingPool, draft, the_field

from cfcore import distances
from cfcore.errors import TransientError, UsageError
from gateway import job_backup, spool
from gateway.job_shelf import Shelf
from gateway.jobs import Jobs
from gateway.store import DAMAGED, DATABASE, Store

Keep = Callable[..., Any]
STEPS = ("input written", "input named", "input safe", "begin", "result begun", "result written", "result safe", "before commit",
         "after commit", "told")
SIZES = (1, 12_000, 3, 1, 25_000, 2)
HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def medians(shelf: Shelf, job: int) -> np.ndarray:
    """Return the medians of a finished job."""
    parts = [shelf.part(job, part)["values"] for part in shelf.parts(job)]
    return np.concatenate(parts)[:, distances.VALUES.index("distance.median")]


def oracle(n: int, seed: int) -> np.ndarray:
    """Return what they should be."""
    made = draft(n, seed=seed)
    rows = spool.unpack(spool.joined(made.header, made.written))
    return distances.solve(the_field(), **rows, options=OPTIONS).column("distance.median")


@pytest.mark.parametrize("step", STEPS)
def test_what_was_confirmed_outlives_a_kill_at_any_step(tmp_path: Path, keep: Keep, step: str) -> None:
    seed = int(os.environ.get("CF_SEED", "7")) + STEPS.index(step)
    times = random.Random(seed).randint(2, 6)
    print(f"seed {seed}: {step}, the time {times}")
    done = subprocess.run([sys.executable, str(HERE / "kill_writer.py"), str(tmp_path), step, str(times)], timeout=60,
                          env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}, capture_output=True, text=True)
    assert done.returncode == -9, done.stdout + done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    accepted = {int(words[1]): int(words[2]) for words in said if words[0] == "accepted"}
    settled = [int(words[1]) for words in said if words[0] == "settled"]

    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            states = {row["id"]: row["state"] for job in accepted for row in kept.jobs.shelf.parts(job)}
            assert all(states[chunk] == "done" for chunk in settled)
            assert not set(settled) & set(pool.submitted)
            pool.release()
            for job, k in accepted.items():
                row = await kept.until(job)
                n = SIZES[k % len(SIZES)]
                assert row["rows_done"] == row["rows_total"] == n
                np.testing.assert_array_equal(medians(kept.jobs.shelf, job), oracle(n, k))
            named = {row[0] for row in kept.jobs.store.reader().execute(
                "SELECT input_file FROM job UNION SELECT result_file FROM job")}
            assert {path.name for path in kept.jobs.store.spool.iterdir()} <= named
    asyncio.run(main())


def test_three_hundred_torn_tails_of_the_log_leave_the_jobs_before_the_tear(tmp_path: Path, keep: Keep) -> None:
    seed = int(os.environ.get("CF_SEED", "11"))
    rng = random.Random(seed)
    print(f"seed {seed}")
    home, copy = tmp_path / "home", tmp_path / "copy"
    bounds: list[int] = []

    async def fill() -> None:
        async with keep(home, ComputingPool(is_held=True)) as kept:
            for k in range(40):
                await kept.jobs.submit(draft(rng.choice((1, 50, 400)), seed=k))
                bounds.append((home / f"{DATABASE}-wal").stat().st_size)
            for name in (DATABASE, f"{DATABASE}-wal"):
                shutil.copyfile(home / name, tmp_path / name)
    asyncio.run(fill())
    log = (tmp_path / f"{DATABASE}-wal").read_bytes()
    assert len(log) == bounds[-1] and len(set(bounds)) == 40
    for k in range(301):
        cut = len(log) if k == 300 else rng.randrange(len(log))
        tail = rng.choice((b"", b"\0" * 5000, rng.randbytes(5000))) if k < 300 else b""
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        shutil.copyfile(tmp_path / DATABASE, copy / DATABASE)
        (copy / f"{DATABASE}-wal").write_bytes(log[:cut] + tail)
        jobs = Jobs(copy, ComputingPool())
        jobs.open()
        try:
            whole = sum(bound <= cut for bound in bounds)
            found = [row["id"] for row in jobs.shelf.rows("me", None, 100)][::-1]
            assert found == list(range(1, whole + 1)), (cut, tail[:4])
            for job in found[-1:]:
                assert len(jobs.input(job, 0, 1)["lon"]) == 1
        finally:
            jobs.shelf.close()
            jobs.store.abandon()


# ---- disks that refuse -------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 6 MiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own can be mounted by root only")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


async def until(condition: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait for a condition."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() - begin < timeout_s, "waited in vain"
        await asyncio.sleep(0.01)


def test_on_a_full_disk_nothing_is_promised_and_nothing_lost(small_disk: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(small_disk / "jobs", pool) as kept:
            large, _ = await kept.jobs.submit(draft(6000, kind="velocity"))
            small, _ = await kept.jobs.submit(draft(3))
            filler = small_disk / "filler"
            with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(b"x" * 4096) == 4096:
                    pass
            pool.step()
            pool.step()
            await until(lambda: pool.is_paused)
            assert not pool.settled and kept.jobs.health().items() >= {"ok": False, "why": "the disk of the jobs is full"}.items()
            began = time.monotonic()
            for n in (1, 5000):
                with pytest.raises(TransientError) as refused:
                    await kept.jobs.submit(draft(n))
                assert refused.value.code == "store_full" and refused.value.extra["retry_after_s"]
            assert time.monotonic() - began < 0.2
            await asyncio.sleep(1.2)
            assert pool.is_paused and not pool.settled
            filler.unlink()
            await until(lambda: not pool.is_paused and len(pool.settled) == 2, 3.0)
            for job in (large, small):
                await kept.until(job)
            rows = draft(6000, kind="velocity")
            columns = spool.unpack(spool.joined(rows.header, rows.written))
            expected = distances.velocities(the_field(), *columns.values(), options=OPTIONS).values
            got = np.concatenate([kept.jobs.shelf.part(large, part)["values"] for part in kept.jobs.shelf.parts(large)])
            np.testing.assert_array_equal(got, expected)
            await kept.until((await kept.jobs.submit(draft(2)))[0], "QUEUED")
    asyncio.run(main())


def test_a_submission_that_fills_the_disk_is_refused_alone(small_disk: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(small_disk / "jobs", ComputingPool(is_held=True)) as kept:
            with pytest.raises(TransientError) as refused:
                await kept.jobs.submit(draft(300_000))
            assert refused.value.code == "store_full" and not list(kept.jobs.store.spool.iterdir())
            assert kept.jobs.load.total == [0, 0]
            await kept.jobs.submit(draft(100))
    asyncio.run(main())


def test_without_descriptors_results_wait_until_there_are_some(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool) as kept:
            job, _ = await kept.jobs.submit(draft(1000, kind="velocity"))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            taken: list[int] = []
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
            try:
                with contextlib.suppress(OSError):
                    while True:
                        taken.append(os.open("/dev/null", os.O_RDONLY))
                pool.step()
                await until(lambda: pool.is_paused)
                assert not pool.settled and "descriptor" in kept.jobs.health()["why"]
                with pytest.raises(TransientError) as refused:
                    await kept.jobs.submit(draft(1))
                assert refused.value.code == "store_unavailable"
            finally:
                for handle in taken:
                    os.close(handle)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: pool.settled and not pool.is_paused, 3.0)
            await kept.until(job)
    asyncio.run(main())


def test_a_folder_that_cannot_be_written_is_refused_in_words(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(UsageError, match="Read-only") as refused:
        Jobs(small_disk / "jobs", ComputingPool()).open()
    assert refused.value.code == "jobs_folder"


# ---- one gateway, a sound database -------------------------------------------------------------------------------

def test_a_second_gateway_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    first.open()
    with pytest.raises(UsageError, match="another gateway") as refused:
        second.open()
    assert refused.value.code == "jobs_in_use"
    first.abandon()
    second.open()
    second.abandon()


def test_a_damaged_database_is_set_aside_and_never_replaced_in_silence(tmp_path: Path, keep: Keep) -> None:
    async def fill() -> None:
        async with keep(tmp_path, ComputingPool(is_held=True)) as kept:
            for k in range(200):
                await kept.jobs.submit(draft(60, seed=k))
            kept.jobs.store.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copyfile(tmp_path / DATABASE, tmp_path / "unclean.db")
    asyncio.run(fill())
    data = bytearray((tmp_path / "unclean.db").read_bytes())
    for page in range(2, len(data) // 4096, 3):
        data[page * 4096:page * 4096 + 200] = b"\xa5" * 200
    (tmp_path / DATABASE).write_bytes(data)
    for _ in range(2):
        with pytest.raises(UsageError, match="damaged") as refused:
            Jobs(tmp_path, ComputingPool()).open()
        assert refused.value.code == "jobs_damaged" and (tmp_path / DAMAGED).exists() and not (tmp_path / DATABASE).exists()
    assert (tmp_path / DAMAGED).read_bytes() == bytes(data)
    (tmp_path / DAMAGED).unlink()
    jobs = Jobs(tmp_path, ComputingPool())
    jobs.open()
    assert jobs.shelf.rows("me", None, 5) == []
    jobs.shelf.close()
    jobs.store.abandon()


def test_the_start_brings_spool_and_store_to_one_story(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        pool = ComputingPool(is_held=True)
        async with keep(tmp_path, pool, chunk_rows=10_000) as kept:
            lost, _ = await kept.jobs.submit(draft(20_000, seed=1))
            torn, _ = await kept.jobs.submit(draft(20_000, seed=2))
            for chunk in pool.submitted[2:3]:
                pool.waiting = {chunk: pool.waiting[chunk], **pool.waiting}
            pool.step()
            await until(lambda: pool.settled)
            (kept.jobs.store.spool / kept.jobs.shelf.work(lost)["input_file"]).unlink()
            (kept.jobs.store.spool / f"{torn}.out").write_bytes(b"short")
            (kept.jobs.store.spool / "nobody.in").write_bytes(b"x")
        async with keep(tmp_path, ComputingPool(), chunk_rows=10_000) as kept:
            assert not (kept.jobs.store.spool / "nobody.in").exists()
            row = await kept.until(lost, "ERROR")
            assert row["error_code"] == "input_damaged"
            await kept.until(torn)
            np.testing.assert_array_equal(medians(kept.jobs.shelf, torn), oracle(20_000, 2))
    asyncio.run(main())


def test_a_result_that_was_changed_on_disk_is_never_handed_out(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job, _ = await kept.jobs.submit(draft(5000))
            await kept.until(job)
            with open(kept.jobs.store.spool / f"{job}.out", "r+b") as file:
                file.seek(200_000)
                file.write(b"\1")
            with pytest.raises(Exception, match="damaged"):
                medians(kept.jobs.shelf, job)
    asyncio.run(main())


def test_an_operation_that_fails_spoils_no_other_of_its_commit(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store(tmp_path)
        store.open()
        store.start(lambda why: None)

        def wrong(db: Any) -> None:
            db.execute("INSERT INTO meta VALUES ('half', 1)")
            raise ZeroDivisionError
        found = await asyncio.gather(*(store.write(wrong if k == 5 else lambda db, k=k: db.execute(
            "INSERT INTO meta VALUES (?, 1)", (f"k{k}",)).rowcount) for k in range(10)), return_exceptions=True)
        assert [type(value).__name__ for value in found] == ["int"] * 5 + ["InternalError"] + ["int"] * 4
        keys = {row[0] for row in store.reader().execute("SELECT key FROM meta WHERE value = 1")}
        assert keys >= {f"k{k}" for k in range(10) if k != 5} and "half" not in keys
        await store.close()
    asyncio.run(main())


def test_a_backup_of_a_store_that_is_written_to_is_whole(tmp_path: Path, keep: Keep) -> None:
    async def main() -> int:
        async with keep(tmp_path / "jobs", chunk_rows=10_000) as kept:
            first, _ = await kept.jobs.submit(draft(25_000))
            await kept.until(first)
            is_over = False

            async def press() -> None:
                k = 0
                while not is_over:
                    await kept.jobs.submit(draft((1, 6000)[k % 2], seed=k))
                    k += 1
            pressing = asyncio.create_task(press())
            await asyncio.sleep(0.2)
            done = await asyncio.to_thread(job_backup.backup, tmp_path / "jobs", tmp_path / "copy")
            is_over = True
            await pressing
            assert done["jobs"] >= 1 and kept.jobs.health()["ok"]
            with pytest.raises(UsageError) as refused:
                job_backup.backup(tmp_path / "jobs", tmp_path / "copy")
            assert refused.value.code == "backup_exists"
            return int(done["jobs"])

    async def check(n: int) -> None:
        async with keep(tmp_path / "copy", chunk_rows=10_000) as kept:
            rows = kept.jobs.shelf.rows("me", None, 10_000)
            assert len(rows) == n
            for row in rows:
                await kept.until(row["id"])
                assert len(medians(kept.jobs.shelf, row["id"])) == row["rows_total"]
            np.testing.assert_array_equal(medians(kept.jobs.shelf, 1), oracle(25_000, 1))
            assert kept.identity.gid != (tmp_path / "gid").read_bytes()

    n = asyncio.run(main())
    source = Store(tmp_path / "jobs")
    source.open()
    (tmp_path / "gid").write_bytes(source.identity.gid)
    source.abandon()
    asyncio.run(check(n))

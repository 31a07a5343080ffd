"""Workers, the command itself and a part that kills: finished files stay, the rest is made, the bytes are the same."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
from bulk_runs import PARTS, ROWS, Bulk, contents, drafts, finished, workers_of
from running import is_running

POISON = 7


def test_a_killed_dask_worker_costs_nothing(bulk: Bulk, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = bulk.start(table, out, "--workers", 2)
    bulk.wait(lambda: len(finished(out)) >= 0.3 * PARTS, process)
    victim, *_ = workers_of(process)
    os.kill(victim, signal.SIGKILL)
    assert process.wait(60) == 1, bulk.said(process)
    assert contents(out) == contents(undisturbed)
    assert not is_running(victim) and f"{PARTS} of {PARTS} parts are finished;" in bulk.said(process)


def test_a_killed_command_is_taken_up_by_the_next(bulk: Bulk, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = bulk.start(table, out, "--workers", 2)
    bulk.wait(lambda: len(finished(out)) >= 0.3 * PARTS, process)
    orphans = workers_of(process)
    process.kill()
    process.wait(10)
    end = time.monotonic() + 10
    while any(map(is_running, orphans)):
        assert time.monotonic() < end, "the workers outlive their command"
        time.sleep(0.02)
    before = {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in finished(out)}
    assert 0.3 * PARTS <= len(before) < PARTS and not (out / "_manifest.json").exists()
    # what a worker on another host leaves when it is cut off in the middle of a file
    torn = out / ".part-00039.parquet.1-0123abcd.part"
    torn.write_bytes((undisturbed / "part-00039.parquet").read_bytes()[:1000])

    code, said = bulk.run(table, out, "--workers", 2)

    assert code == 1 and f"finished, {len(before)} of them before;" in said, said
    assert contents(out) == contents(undisturbed)
    assert {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in finished(out) if p.name in before} == before


def test_a_part_that_kills_three_workers_is_given_up_and_all_others_are_finished(bulk: Bulk, table: Path, undisturbed: Path,
                                                                                tmp_path: Path) -> None:
    out, killed = tmp_path / "out", set()
    process = bulk.start(table, out, "--workers", 2)
    while process.poll() is None:
        for draft in drafts(out, f"{POISON:05d}"):
            pid = int(draft.name.split(".")[3].split("-")[0])
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.001)
    said = bulk.said(process)
    assert process.returncode == 3 and len(killed) == 3, said
    assert "part-00007.parquet (t.parquet, rows 7001 to 8000): 3 worker processes died" in said
    manifest = json.loads((out / "_manifest.json").read_text())
    assert manifest["failed"] == 1 and manifest["finished"] == PARTS - 1 and "died" in manifest["parts"][POISON]["failed"]
    assert len(finished(out)) == PARTS - 1 and not drafts(out)

    code, said = bulk.run(table, out, "--workers", 2)

    assert code == 1 and f"{PARTS} of {PARTS} parts are finished, {PARTS - 1} of them before" in said
    assert contents(out) == contents(undisturbed)


def test_an_interrupt_of_the_whole_group_ends_cleanly(bulk: Bulk, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # many parts: on a busy machine forty are done before the signal
    process = bulk.start(table, out, "--workers", 2, "--rows-per-part", 100)
    bulk.wait(lambda: len(finished(out)) >= 3, process)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(15) == 130, bulk.said(process)
    said = bulk.said(process)
    parts = (PARTS - 1) * ROWS // 100
    assert f"interrupted; {len(finished(out))} of {parts} parts are finished; run the same command again to go on" in said
    assert "Traceback" not in said and not drafts(out) and not any(map(is_running, workers))


def test_damaged_files_are_made_anew(bulk: Bulk, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name, body in contents(undisturbed).items():
        (out / name).write_bytes(body)
    (out / "part-00002.parquet").write_bytes(contents(undisturbed)["part-00002.parquet"][:-1])
    flipped = bytearray(contents(undisturbed)["part-00005.parquet"])
    flipped[2000] ^= 1
    (out / "part-00005.parquet").write_bytes(flipped)
    (out / "part-00009.parquet").unlink()
    code, said = bulk.run(table, out, "--workers", 1)
    assert code == 1 and f"{PARTS - 3} of them before" in said, said
    assert contents(out) == contents(undisturbed)
    assert pq.read_table(out).num_rows == 39000

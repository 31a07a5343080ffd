"""Tables that jobs keep: how much of the disk they may take, that clients take turns, and what is told when one is gone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from computing_pool import FIELD, OPTIONS, RECORD

from cfcore.errors import InternalError, TransientError, UsageError
from gateway import confined, intake, job_queries, job_records, render_table, renders
from gateway.intake import Intake, Question
from gateway.renders import Renders

Keep = Callable[..., Any]


def table_job(kept: Any, number: int, size: int, owner: str = "me", **about: Any) -> Any:
    name = f"{number}.table"
    (kept.jobs.store.spool / name).write_bytes(b"ra,dec,cz\n1,2,3000\n")
    sent = {key: np.array([value]) for key, value in (("lon", 1.0), ("lat", 2.0), ("cz", 3000.0), ("sigma_cz", 0.0))}
    return job_queries.made(owner, "distance", {**RECORD, "sha": FIELD[1]}, OPTIONS, sent, ("ra", "dec"), table_file=name,
                            table_about={"stored": size, "format": "csv", "name": "t.csv"}, **about)


def test_the_tables_of_one_owner_take_so_much_of_the_disk_and_no_more(tmp_path: Path, keep: Keep,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_records, "TABLES_BYTES", 10 << 20)

    async def main() -> None:
        async with keep(tmp_path) as kept:
            first = (await kept.jobs.submit(table_job(kept, 1, 6 << 20, idempotency="one")))[0]
            with pytest.raises(UsageError, match="take 6 MiB, of at most 10") as refused:
                await kept.jobs.submit(table_job(kept, 2, 5 << 20))
            assert refused.value.code == "owner_full" and not (kept.jobs.store.spool / "2.table").exists()
            assert (await kept.jobs.submit(table_job(kept, 3, 6 << 20, idempotency="one"))) == (first, False)
            await kept.jobs.submit(table_job(kept, 4, 6 << 20, owner="you"))
            await kept.jobs.delete(first)
            await kept.jobs.submit(table_job(kept, 5, 6 << 20))
            assert {entry.name for entry in kept.jobs.store.spool.glob("*.table")} == {"4.table", "5.table"}
    asyncio.run(main())


def test_a_table_that_is_gone_is_a_fault_of_ours_and_no_path_is_told(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job = (await kept.jobs.submit(table_job(kept, 1, 20)))[0]
            await kept.until(job)
            (kept.jobs.store.spool / "1.table").unlink()
            with pytest.raises(InternalError) as told:
                render_table.render({"folder": str(kept.jobs.store.folder), "job": job, "format": "csv", "flow": "distance",
                                     "out": str(tmp_path / "out.csv")})
            assert told.value.code == "input_damaged" and str(tmp_path) not in told.value.message
            assert not (tmp_path / "out.csv").exists()
    asyncio.run(main())


def test_files_of_results_are_bounded_in_number(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renders, "FILES", 2)

    async def quick(module: str, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        data = asked["format"].encode()
        Path(asked["out"]).write_bytes(data)
        return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    monkeypatch.setattr(confined, "run", quick)

    async def main() -> None:
        async with keep(tmp_path) as kept:
            row = await kept.until((await kept.jobs.submit(table_job(kept, 1, 20)))[0])
            shelf = Renders(kept.jobs)
            shelf.start()
            for fmt in ("csv", "tsv", "json"):
                await shelf.get(row, fmt)
            assert shelf.peek(row, "csv", "distance") is None and len(list(shelf.folder.iterdir())) == 2
            await shelf.close()
    asyncio.run(main())


def test_clients_take_turns_and_one_of_them_cannot_fill_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[str] = []
    most = 0

    async def held(module: str, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        nonlocal most
        running.append(asked["name"])
        most = max(most, running.count("me"))
        await asyncio.sleep(0.05)
        if asked["name"] == "you":
            assert not gate.is_set()
            gate.set()
        running.remove(asked["name"])
        return {"rows": 1}
    monkeypatch.setattr(confined, "run", held)
    gate = asyncio.Event()

    async def main() -> None:
        desk = Intake()
        mine = [asyncio.create_task(desk.rows(tmp_path / "t", Question("me", owner="me"), tmp_path))
                for _ in range(intake.WAITING_OF_ONE)]
        await asyncio.sleep(0)
        with pytest.raises(TransientError) as refused:
            await desk.rows(tmp_path / "t", Question("me", owner="me"), tmp_path)
        assert refused.value.code == "busy"
        await desk.rows(tmp_path / "t", Question("you", owner="you"), tmp_path)
        assert gate.is_set() and sum(task.done() for task in mine) <= 1, "who comes later need not wait for all of another's"
        await asyncio.gather(*mine)
        assert most == 1
    asyncio.run(main())

"""Work that somebody keeps: real workers, a keeper in this process instead of the store."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest

from cfcore import wire
from cfcore.errors import CosmicFlowsError, InternalError
from gateway.dispatch import Dispatcher

from .conftest import ready, until

TOY = ("toy", "1")


class Keeper:
    """Take what a dispatcher gives back; halve what is quarantined, as the store does."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher, self.ids = dispatcher, count(1)
        self.rows: dict[float, Any] = {}
        self.ends: dict[int, str] = {}
        self.order: list[str] = []
        self.settle: list[Callable[[], None]] = []
        self.settles_at_once = True

    def give(self, values: list[float], kind: str = "double", owner: str = "me", suspicion: int = 0,
             job_id: int | None = None, **options: object) -> int:
        """Submit one chunk."""
        job_id = next(self.ids) if job_id is None else job_id
        self.dispatcher.submit(Chunk(self, job_id, values, kind, owner, options), TOY, job_id=job_id, owner=owner,
                               suspicion=suspicion)
        return job_id


class Chunk:
    """One chunk."""

    trace = ""

    def __init__(self, keeper: Keeper, job_id: int, values: list[float], kind: str, owner: str,
                 options: dict[str, object]) -> None:
        self.keeper, self.id, self.values, self.kind, self.owner, self.options = keeper, job_id, values, kind, owner, options
        self.rows = len(values)

    def columns(self) -> dict[str, np.ndarray]:
        return {"x": np.array(self.values)}

    def is_wanted(self) -> bool:
        return True

    def _end(self, how: str) -> None:
        assert self.id not in self.keeper.ends
        self.keeper.ends[self.id] = how

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        self._end("done")
        self.keeper.order.append(self.owner)
        self.keeper.rows.update(zip(self.values, result.columns["x"].tolist()))
        if self.keeper.settles_at_once:
            settled()
        else:
            self.keeper.settle.append(settled)

    def refuse(self, error: CosmicFlowsError) -> None:
        self._end(error.code)

    def quarantine(self, error: CosmicFlowsError) -> None:
        self._end("quarantined" if self.rows == 1 else "split")
        if self.rows == 1:
            self.keeper.rows[self.values[0]] = error
            return
        middle = self.rows // 2
        for half in (self.values[:middle], self.values[middle:]):
            self.keeper.give(half, self.kind, self.owner, 2 if len(half) > 1 else 0, **self.options)


def test_kept_work_waits_for_a_worker_as_long_as_it_takes(ipc):
    async def scenario():
        async with ipc.dispatcher(worker_grace_s=0.1) as dispatcher:
            keeper = Keeper(dispatcher)
            keeper.give([1.0, 2.0])
            await asyncio.sleep(0.5)
            assert not keeper.ends
            ipc.worker()
            await until(lambda: keeper.ends)
            assert keeper.rows == {1.0: 2.0, 2.0: 4.0}
    asyncio.run(scenario())


def test_one_bad_row_among_a_thousand_costs_itself_only(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            values = [float(k) for k in range(1000)]
            values[617] = -5.0
            keeper.give(values, "crash")
            await until(lambda: len(keeper.rows) == 1000, 60.0)
            assert [v for v in values if isinstance(keeper.rows[v], CosmicFlowsError)] == [-5.0]
            assert keeper.rows[-5.0].code == "worker_crash"
            assert all(keeper.rows[v] == v for v in values if v >= 0)
            assert len(dispatcher.workers()) == 1 and dispatcher.counters().get("workers_lost", 0) == 0
    asyncio.run(scenario())


def test_interactive_list_with_one_bad_row_answers_all_others(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            x = np.arange(300.0)
            x[[7, 250]] = -1.0
            answer = await dispatcher.run("crash", TOY, {}, {"x": x}, budget_s=60.0)
            assert answer.bad == [7, 250]
            good = np.delete(np.arange(300), [7, 250])
            np.testing.assert_array_equal(answer.columns["x"][good], x[good])
            assert np.isnan(answer.columns["x"][[7, 250]]).all()
            with pytest.raises(InternalError, match="fails every time"):
                await dispatcher.run("crash", TOY, {}, {"x": np.array([-1.0])})
    asyncio.run(scenario())


def test_result_is_acknowledged_when_it_is_safe_and_not_before(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            keeper.settles_at_once = False
            keeper.give([3.0])
            await until(lambda: keeper.settle)
            # sent again after 2 s, because nobody has acknowledged it
            await until(lambda: dispatcher.counters().get("results_duplicate", 0) >= 1, 5.0)
            keeper.settle.pop()()
            await asyncio.sleep(0.3)
            seen = dispatcher.counters()["results_duplicate"]
            await asyncio.sleep(5.0)
            assert dispatcher.counters()["results_duplicate"] == seen
    asyncio.run(scenario())


def test_restarted_gateway_gets_what_the_worker_computed_meanwhile(ipc):
    identity = (16 * b"g", 32 * b"s")

    async def scenario():
        mark = ipc.folder / "mark"
        first = Dispatcher(ipc.bus, **ipc.ports)
        first.identify(identity[0], 1, identity[1])
        await first.start()
        ipc.worker()
        await until(lambda: ready(first) == 1)
        lost = Keeper(first)
        lost.give([7.0], "sleep", s=1.0, mark=str(mark))
        await until(mark.exists)
        await first.close()
        second = Dispatcher(ipc.bus, **ipc.ports)
        second.identify(identity[0], 2, identity[1])
        await second.start()
        keeper = Keeper(second)
        keeper.give([7.0], "sleep", job_id=1, s=1.0, mark=str(mark))
        await until(lambda: keeper.ends, 10.0)
        assert keeper.rows == {7.0: 7.0} and second.counters()["adopted"] == 1
        assert len(mark.read_text().splitlines()) == 1, "it was computed twice"
        await second.close()
    asyncio.run(scenario())


def test_withdrawn_work_frees_its_slot_at_once(ipc):
    async def scenario():
        mark = ipc.folder / "mark"
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            slow = [keeper.give([float(k)], "sleep", s=60.0, mark=str(mark)) for k in range(4)]
            await until(mark.exists)
            begin = time.monotonic()
            dispatcher.withdraw(slow, "the user asked")
            keeper.give([9.0])
            await until(lambda: 9.0 in keeper.rows)
            assert time.monotonic() - begin < 2.0
            assert set(keeper.ends.values()) == {"done"} and len(keeper.ends) == 1
            assert dispatcher.counters()["jobs_cancelled"] == 4
    asyncio.run(scenario())


def test_interactive_request_does_not_wait_behind_bulk(ipc):
    async def scenario():
        async with ipc.dispatcher() as dispatcher:
            ipc.worker("--slots", "2", "--reserve", "1")
            await until(lambda: ready(dispatcher))
            keeper = Keeper(dispatcher)
            for k in range(50):
                keeper.give([float(k)], "sleep", s=0.2)
            await until(lambda: len(keeper.ends) >= 1)
            took = []
            for k in range(30):
                begin = time.monotonic()
                await dispatcher.run("echo", TOY, {"k": k}, {"x": np.ones(1)})
                took.append(time.monotonic() - begin)
            assert sorted(took)[len(took) // 2] < 0.05
    asyncio.run(scenario())


def test_owners_take_turns_over_bulk(ipc):
    async def scenario():
        async with ipc.dispatcher() as dispatcher:
            keeper = Keeper(dispatcher)
            for k in range(40):
                keeper.give([float(k)], owner="many")
            for k in range(100, 104):
                keeper.give([float(k)], owner="few")
            ipc.worker()
            await until(lambda: len(keeper.ends) == 44)
            assert max(k for k, owner in enumerate(keeper.order) if owner == "few") < 14
    asyncio.run(scenario())


def test_paused_bulk_starts_nothing_and_goes_on_later(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            dispatcher.pause_bulk(True)
            keeper.give([1.0], "sleep", s=0.2)
            await asyncio.sleep(0.4)
            assert not keeper.ends and dispatcher.backlog() == {"jobs": 1, "rows": 1, "seconds": None}
            dispatcher.pause_bulk(False)
            await until(lambda: keeper.ends)
            assert dispatcher.backlog()["seconds"] == 0.0 and 3.0 < dispatcher.rates()["bulk"] < 6.0


def test_a_moment_of_computing_is_no_measure_of_speed(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            keeper.give([1.0])
            await until(lambda: keeper.ends)
            assert dispatcher.rates()["bulk"] is None
    asyncio.run(scenario())


def test_whole_worker_that_dies_under_a_job_is_replaced_and_the_job_done(ipc):
    async def scenario():
        mark = ipc.folder / "mark"
        async with ipc.dispatcher(1) as dispatcher:
            keeper = Keeper(dispatcher)
            keeper.give([4.0], "sleep", s=0.5, mark=str(mark))
            await until(mark.exists)
            os.kill(ipc.processes[0].pid, signal.SIGKILL)
            begin = time.monotonic()
            ipc.worker()
            await until(lambda: keeper.ends)
            assert keeper.rows == {4.0: 4.0} and time.monotonic() - begin < 4.0
            assert dispatcher.counters()["requeued_lost"] == 1
    asyncio.run(scenario())

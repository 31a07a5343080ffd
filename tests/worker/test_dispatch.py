"""Requests go through real sockets to real worker processes, and the right rows come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import numpy as np
import pytest

from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, InternalError, TransientError, UsageError
from gateway.dispatch import Dispatcher

from .conftest import ready, until

TOY = ("toy", "1")


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, float)}


async def code_of(awaitable) -> str:
    with pytest.raises(CosmicFlowsError) as caught:
        await awaitable
    return caught.value.code


def test_numbers_come_back_with_the_same_bits(house):
    async def scenario():
        columns = {"f8": np.array([1 / 3, np.nan, -0.0, 5e-324]), "f4": np.arange(8, dtype="f4").reshape(4, 2),
                   "i8": np.array([2**62, -1, 0, 1]), "i4": np.arange(4, dtype="i4"), "u1": np.arange(4, dtype="u1")}
        async with house.dispatcher(1) as dispatcher:
            answer = await dispatcher.run("echo", TOY, {"H0": 75.0}, columns)
        assert list(answer.columns) == list(columns)
        for name, column in columns.items():
            assert answer.columns[name].dtype == column.dtype and answer.columns[name].tobytes() == column.tobytes()
        np.testing.assert_array_equal(answer.shared["grid"], np.arange(4.0))
        assert answer.info["field"] == "toy" and answer.info["sha"] == "1" and answer.us >= 0
    asyncio.run(scenario())


def test_many_requests_travel_together_and_each_gets_its_own_rows(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            answers = await asyncio.gather(*(dispatcher.run("double", TOY, {}, rows(*range(k, k + 1 + k % 7)))
                                             for k in range(500)))
            for k, answer in enumerate(answers):
                np.testing.assert_array_equal(answer.columns["x"], 2.0 * np.arange(k, k + 1 + k % 7))
            assert dispatcher.counters()["jobs_sent"] <= 4
    asyncio.run(scenario())


def test_requests_that_differ_in_options_or_columns_do_not_mix(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            answers = await asyncio.gather(
                dispatcher.run("double", TOY, {"a": 1}, rows(1.0)), dispatcher.run("echo", TOY, {"a": 1}, rows(1.0)),
                dispatcher.run("double", TOY, {"a": 2}, rows(3.0)),
                dispatcher.run("double", TOY, {"a": 2}, {"y": np.ones(1)}),
                dispatcher.run("double", TOY, {"a": 2}, {"x": np.ones((1, 2))}))
            assert dispatcher.counters()["jobs_sent"] == 5
        assert [list(a.columns.values())[0].ravel()[0] for a in answers] == [2.0, 1.0, 6.0, 2.0, 2.0]
    asyncio.run(scenario())


def test_large_request_is_cut_spread_over_workers_and_joined_in_order(house):
    async def scenario():
        async with house.dispatcher(2) as dispatcher:
            x = np.arange(123_457.0)
            big = asyncio.create_task(dispatcher.run("double", TOY, {}, {"x": x, "v": np.stack([x, -x], axis=1)}))
            small = await dispatcher.run("double", TOY, {}, rows(21.0))
            assert small.columns["x"][0] == 42.0 and not big.done()
            answer = await big
            np.testing.assert_array_equal(answer.columns["x"], 2 * x)
            np.testing.assert_array_equal(answer.columns["v"], 2 * np.stack([x, -x], axis=1))
            assert dispatcher.counters()["jobs_sent"] == 26
    asyncio.run(scenario())


def test_request_without_columns_gets_its_shared_columns(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            for answer in await asyncio.gather(*(dispatcher.run("echo", TOY, {}, {}) for _ in range(3))):
                assert answer.columns == {} and len(answer.shared["grid"]) == 4
    asyncio.run(scenario())


def test_columns_of_unequal_length_and_options_that_cannot_travel_are_refused(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            with pytest.raises(BadParameter, match="unequal"):
                await dispatcher.run("echo", TOY, {}, {"x": np.ones(2), "y": np.ones(3)})
            with pytest.raises(BadParameter, match="options"):
                await dispatcher.run("echo", TOY, {"path": object()}, rows(1.0))
            with pytest.raises(BadParameter, match="sent"):
                await dispatcher.run("echo", TOY, {}, {"x": np.ones(2, complex)})
            assert (await dispatcher.run("echo", TOY, {}, rows(1.0))).columns["x"][0] == 1.0
            assert not dispatcher._hub.ledger.jobs and not dispatcher._requests
    asyncio.run(scenario())


def test_without_a_worker_the_answer_comes_at_once_and_says_what_to_do(house):
    # a folder of the server is nothing for its clients
    place = house.bus if house.bus.startswith("tcp") else "BUS"

    async def scenario():
        async with house.dispatcher() as dispatcher:
            begin = time.monotonic()
            with pytest.raises(TransientError, match=f"cosmicflows worker --connect {place} --data DATA ") as caught:
                await dispatcher.run("echo", TOY, {}, rows(1.0))
            assert caught.value.code == "no_worker" and time.monotonic() - begin < 0.1
            with pytest.raises(TransientError):
                dispatcher.check_worker()
    asyncio.run(scenario())


def test_waiting_requests_learn_that_no_worker_came_back_when_the_grace_ends(ipc):
    async def scenario():
        async with ipc.dispatcher(1, worker_grace_s=1.0) as dispatcher:
            tasks = [asyncio.create_task(code_of(dispatcher.run("sleep", TOY, {"s": 5, "k": k}, rows(1.0))))
                     for k in range(5)]
            await asyncio.sleep(0.2)
            ipc.processes[0].kill()
            begin = time.monotonic()
            await asyncio.sleep(0.8)
            tasks.append(asyncio.create_task(code_of(dispatcher.run("echo", TOY, {}, rows(1.0)))))
            assert set(await asyncio.gather(*tasks)) == {"no_worker"}
            assert 1.0 < time.monotonic() - begin < 2.2
            assert await code_of(dispatcher.run("echo", TOY, {}, rows(1.0))) == "no_worker"
            assert dispatcher.fields() == {}
    asyncio.run(scenario())


def test_unknown_field_is_a_usage_error_that_lists_the_installed_ones(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            with pytest.raises(UsageError, match="cosmicflows fields fetch nope.*toy") as caught:
                await dispatcher.run("echo", ("nope", "1"), {}, rows(1.0))
            assert caught.value.code == "field_not_installed" and caught.value.extra == {"installed": ["toy"]}
            assert await code_of(dispatcher.run("echo", ("toy", "older"), {}, rows(1.0))) == "field_changed"
    asyncio.run(scenario())


def test_field_added_while_the_worker_runs_is_announced(ipc):
    async def scenario():
        listing = ipc.folder / "fields.txt"
        listing.write_text("a:1")
        async with ipc.dispatcher(worker_grace_s=0.5) as dispatcher:
            ipc.worker("--fields-file", str(listing))
            await until(lambda: ready(dispatcher))
            assert dispatcher.fields() == {"a": {"id": "a", "sha": "1", "version": "1", "default": True}}
            listing.write_text("a:2,b:1")
            await until(lambda: dispatcher.fields().get("b"), 3.0)
            assert dispatcher.fields()["a"]["sha"] == "2"
            assert (await dispatcher.run("echo", ("b", "1"), {}, rows(1.0))).info["field"] == "b"
            listing.write_text("a:2")
            await until(lambda: "b" not in dispatcher.fields(), 5.0)
    asyncio.run(scenario())


def test_job_goes_to_the_worker_that_has_the_field(ipc):
    async def scenario():
        async with ipc.dispatcher() as dispatcher:
            one, two = ipc.worker("--fields", "a:1"), ipc.worker("--fields", "b:1")
            await until(lambda: ready(dispatcher) == 2)
            pairs = [("a", one.pid), ("b", two.pid)] * 20
            answers = await asyncio.gather(*(dispatcher.run("echo", (name, "1"), {"k": k}, rows(1.0))
                                             for k, (name, _) in enumerate(pairs)))
            assert [answer.info["pid"] for answer in answers] == [pid for _, pid in pairs]
    asyncio.run(scenario())


def test_error_of_the_worker_arrives_as_it_was_raised(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            with pytest.raises(UsageError, match="negative") as caught:
                await dispatcher.run("raise", TOY, {}, rows(1.0, -1.0))
            assert (caught.value.code, caught.value.where, caught.value.extra) == ("bad_parameter", "x", {"rows": 2})
            assert await code_of(dispatcher.run("busy", TOY, {}, rows(1.0))) == "cold"
    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["bug", "misfit"])
def test_bug_in_the_worker_is_fatal_and_tells_no_secrets(ipc, kind):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            with pytest.raises(InternalError) as caught:
                await dispatcher.run(kind, TOY, {}, rows(1.0, 2.0))
            assert caught.value.code == "internal" and "/etc" not in caught.value.message
            assert (await dispatcher.run("echo", TOY, {}, rows(1.0))).columns["x"][0] == 1.0
        assert kind == "misfit" or "ZeroDivisionError: secret path" in (ipc.folder / "stderr.log").read_text()
    asyncio.run(scenario())


def test_one_bad_request_does_not_fail_its_neighbours(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            asked = [dispatcher.run("raise", TOY, {}, rows(k if k != 13 else -1.0, k)) for k in range(40)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert isinstance(answers[13], UsageError) and answers[13].extra == {"rows": 2}
            for k, answer in enumerate(answers):
                if k != 13:
                    np.testing.assert_array_equal(answer.columns["x"], [k, k])
            assert dispatcher.counters()["isolated"] == 1
    asyncio.run(scenario())


def test_large_request_with_one_bad_row_fails_once(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            x = np.ones(40_000)
            x[17_000] = -1.0
            assert await code_of(dispatcher.run("raise", TOY, {}, {"x": x})) == "bad_parameter"
            await until(lambda: not dispatcher._hub.ledger.jobs)
            assert dispatcher.counters()["jobs_sent"] <= 6
    asyncio.run(scenario())


def test_deadline_is_kept_while_the_worker_is_busy(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            begin = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                await dispatcher.run("sleep", TOY, {"s": 0.7}, rows(1.0), budget_s=0.3)
            assert 0.3 <= time.monotonic() - begin < 0.6
            assert (await dispatcher.run("echo", TOY, {}, rows(1.0))).columns["x"][0] == 1.0
    asyncio.run(scenario())


def test_cancelled_request_is_dropped_while_it_waits(ipc):
    async def scenario():
        mark = str(ipc.folder / "mark")
        async with ipc.dispatcher(1) as dispatcher:
            busy = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.2, "k": k}, rows(1.0)))
                    for k in range(3)]
            await asyncio.sleep(0.05)
            gone = asyncio.create_task(dispatcher.run("echo", TOY, {"mark": mark}, rows(1.0)))
            await asyncio.sleep(0.05)
            gone.cancel()
            await asyncio.gather(*busy)
            await dispatcher.run("echo", TOY, {}, rows(1.0))
            assert gone.cancelled() and not os.path.exists(mark)
            assert not dispatcher._hub.ledger.jobs and not dispatcher._requests and dispatcher._nbytes == 0
            assert dispatcher.counters()["cancelled"] == 1
    asyncio.run(scenario())


def test_full_queue_refuses_at_once(ipc):
    async def scenario():
        async with ipc.dispatcher(1, queue_max=5) as dispatcher:
            tasks = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.1, "k": k}, rows(1.0)))
                     for k in range(5)]
            await asyncio.sleep(0)
            assert await code_of(dispatcher.run("echo", TOY, {}, rows(1.0))) == "busy"
            await asyncio.gather(*tasks)
            await dispatcher.run("echo", TOY, {}, rows(1.0))
    asyncio.run(scenario())


def test_closing_ends_everything_outstanding_as_draining(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            tasks = [asyncio.create_task(code_of(dispatcher.run("sleep", TOY, {"s": 3, "k": k}, rows(1.0))))
                     for k in range(5)]
            await asyncio.sleep(0.1)
            begin = time.monotonic()
            await dispatcher.close()
            assert set(await asyncio.gather(*tasks)) == {"draining"} and time.monotonic() - begin < 0.5
            assert await code_of(dispatcher.run("echo", TOY, {}, rows(1.0))) == "draining"
    asyncio.run(scenario())


def test_drained_worker_finishes_what_it_holds_and_leaves(house):
    async def scenario():
        async with house.dispatcher(1) as dispatcher:
            held = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.5, "k": k}, rows(k))) for k in range(2)]
            await asyncio.sleep(0.2)
            begin = time.monotonic()
            house.processes[0].send_signal(signal.SIGTERM)
            await until(lambda: dispatcher.workers()[0]["state"] == "draining")
            house.worker()
            later = asyncio.create_task(dispatcher.run("echo", TOY, {}, rows(9.0)))
            pids = [(await task).info["pid"] for task in held]
            assert (await later).info["pid"] == house.processes[1].pid and pids == [house.processes[0].pid] * 2
            await until(lambda: house.processes[0].poll() is not None)
            assert house.processes[0].returncode == 0 and time.monotonic() - begin < 3.0
            await until(lambda: len(dispatcher.workers()) == 1)
            assert dispatcher.counters().get("workers_lost", 0) == 0
    asyncio.run(scenario())


@pytest.mark.parametrize("bus", ["tcp://0.0.0.0:5573", "tcp://*:5573", "tcp://192.168.1.7:5573", "tcp://gw:5573"])
def test_bus_beyond_loopback_is_refused(bus):
    with pytest.raises(CosmicFlowsError, match="cosmicflows keys new NAME") as caught:
        Dispatcher(bus)
    assert caught.value.code == "insecure_bus"


@pytest.mark.parametrize("bus", ["", "5573", "ipc://@abstract", "ipc://relative", "udp://127.0.0.1:5573",
                                 "tcp://127.0.0.1", "tcp://127.0.0.1:99999", "ipc:///" + 120 * "x"])
def test_address_that_is_no_bus_is_refused(bus):
    with pytest.raises(BadParameter):
        Dispatcher(bus)


def test_second_gateway_on_the_same_bus_is_refused(house):
    async def scenario():
        async with house.dispatcher(1) as dispatcher:
            with pytest.raises(UsageError) as caught:
                await Dispatcher(house.bus, **house.ports).start()
            assert caught.value.code == "bus_in_use"
            assert (await dispatcher.run("echo", TOY, {}, rows(1.0))).columns["x"][0] == 1.0
    asyncio.run(scenario())


def test_bus_folder_is_closed_to_others(ipc):
    async def scenario():
        async with ipc.dispatcher():
            assert os.stat(ipc.folder / "bus").st_mode & 0o777 == 0o700
    asyncio.run(scenario())

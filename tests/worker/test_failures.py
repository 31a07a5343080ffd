"""Workers are killed, stopped, resumed; strangers talk nonsense; the gateway dies. Requests still end rightly."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import msgpack
import numpy as np
import pytest
import zmq

from cfcore import wire
from cfcore.errors import InternalError, TransientError

from .conftest import ready, until

TOY = ("toy", "1")


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, float)}


def ends(house) -> tuple[str, str]:
    """Return the control and the results endpoint of a bus."""
    if house.bus.startswith("ipc"):
        return f"{house.bus}/control", f"{house.bus}/results"
    return house.bus, f"tcp://127.0.0.1:{house.ports['results_port']}"


def test_killed_worker_is_noticed_within_a_second(house):
    async def scenario():
        async with house.dispatcher(1) as dispatcher:
            house.processes[0].kill()
            assert await until(lambda: not dispatcher.workers()) < 1.0
    asyncio.run(scenario())


def test_two_hundred_requests_survive_the_death_of_the_only_worker(house):
    async def scenario():
        async with house.dispatcher(1) as dispatcher:
            begin = time.monotonic()
            tasks = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.02, "k": k % 40}, rows(k, 2 * k)))
                     for k in range(200)]
            await until(lambda: dispatcher.counters().get("jobs_done", 0) >= 5)
            house.processes[0].kill()
            house.worker()
            for k, answer in enumerate(await asyncio.gather(*tasks)):
                np.testing.assert_array_equal(answer.columns["x"], [k, 2 * k])
            assert time.monotonic() - begin < 5.0
            assert dispatcher.counters()["workers_lost"] == 1 and dispatcher.counters()["requeued_lost"] >= 1
    asyncio.run(scenario())


def test_request_that_kills_its_compute_process_fails_alone_and_its_neighbours_are_answered(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            answers = await asyncio.gather(*(dispatcher.run("crash", TOY, {}, rows(k if k != 7 else -1.0))
                                             for k in range(20)), return_exceptions=True)
            assert isinstance(answers[7], InternalError) and answers[7].code == "crashed"
            assert [a.columns["x"][0] for k, a in enumerate(answers) if k != 7] == [k for k in range(20) if k != 7]
            assert ipc.processes[0].poll() is None and dispatcher.counters().get("workers_lost", 0) == 0
    asyncio.run(scenario())


def test_stopped_worker_is_replaced_and_its_late_result_is_dropped(house):
    async def scenario():
        mark = house.folder / "mark"
        async with house.dispatcher(1) as dispatcher:
            task = asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.2, "mark": str(mark)}, rows(4.0)))
            await until(mark.exists)
            stopped = house.processes[0]
            stopped.send_signal(signal.SIGSTOP)
            begin = time.monotonic()
            other = house.worker()
            await until(lambda: ready(dispatcher) == 2)
            quick = await asyncio.gather(*(dispatcher.run("echo", TOY, {"k": k}, rows(k)) for k in range(50)))
            answer = await task
            assert answer.info["pid"] == other.pid and time.monotonic() - begin < 5.0
            assert [a.columns["x"][0] for a in quick] == list(range(50))
            stopped.send_signal(signal.SIGCONT)
            await until(lambda: dispatcher.counters().get("results_duplicate", 0) >= 1)
            await until(lambda: ready(dispatcher) == 2)
            pids = {(await dispatcher.run("echo", TOY, {}, rows(1.0))).info["pid"] for _ in range(10)}
            assert pids == {stopped.pid, other.pid}
            assert dispatcher.counters().get("results_forged", 0) == 0
    asyncio.run(scenario())


def random_value(rng: random.Random, depth: int = 0):
    names = ["v", "j", "a", "tok", "w", "st", "n", "us", "info", "err", "cols", "held", "out", "fields", "slots"]
    pick = rng.randrange(10 if depth < 2 else 8)
    if pick == 9:
        return {rng.choice(names): random_value(rng, depth + 1) for _ in range(rng.randrange(8))}
    if pick == 8:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return (None, True, rng.randrange(-2**40, 2**40), rng.random(), float("nan"), "s" * rng.randrange(9),
            rng.randbytes(rng.randrange(20)), msgpack.ExtType(3, b"x"))[pick]


def hostile(rng: random.Random, is_result: bool) -> list[bytes]:
    """Make frames: noise, noise behind a valid kind, or a good message with something wrong in it."""
    if rng.random() < 0.4:
        return [rng.randbytes(rng.choice((0, 1, 1, 2, 40))) for _ in range(rng.randrange(1, 5))]
    if is_result:
        header = {"v": 1, "j": rng.randrange(1, 60), "a": 1, "tok": rng.randbytes(16), "w": 16 * b"\x01",
                  "st": "ok", "n": 1, "us": 1, "info": {}, "err": None,
                  "sha": b"", "prov": {}, "cols": [{"name": "x", "dtype": "<f8", "shape": [1]}]}
    else:
        header = {"v": 1, "host": "h", "pid": 1, "ver": "1", "fields": [{"id": "evil", "sha": "1"}], "slots": 1,
                  "reserve": 0, "abi": 1, "cur": [], "held": [], "out": [], "seq": 1, "rss_mb": 1,
                  "jobs": [[1, rng.randbytes(16)]], "why": "x"}
    # A Hello that is right in every part would be a worker; each message here has at least one part wrong,
    # save results, which may be flawless but for the token.
    if not is_result or rng.random() < 0.7:
        for name in rng.sample(sorted(header), len(header) if not is_result else rng.randrange(1, 4)):
            header[name] = random_value(rng)
    kind = b"R" if is_result else rng.choice([b"H", b"B", b"O", b"J", b"R", b"W", b"A"])
    return [kind, msgpack.packb(header), *([np.ones(1).tobytes()] if is_result else [])]


def test_hostile_frames_and_forged_results_change_nothing(house):
    async def scenario():
        rng = random.Random(11)
        context = zmq.Context()
        control, results = context.socket(zmq.DEALER), context.socket(zmq.PUSH)
        control.set(zmq.ROUTING_ID, b"\x01" + 15 * b"e")
        for stranger, end in zip((control, results), ends(house), strict=True):
            stranger.set(zmq.LINGER, 0)
            stranger.connect(end)
        async with house.dispatcher(1) as dispatcher:
            tasks = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.02, "k": k}, rows(k)))
                     for k in range(60)]
            sent = 0
            while sent < 2000:
                for stranger in (control, results):
                    stranger.send_multipart(hostile(rng, stranger is results))
                    sent += 1
                if sent % 40 == 0:
                    await asyncio.sleep(0.005)
            for k, answer in enumerate(await asyncio.gather(*tasks)):
                np.testing.assert_array_equal(answer.columns["x"], [k])
                assert answer.info["pid"] == house.processes[0].pid
            seen = dispatcher.counters()
            assert seen["bad_control"] > 500 and seen["bad_results"] > 300 and seen["results_forged"] > 50
            assert seen["jobs_sent"] == 60 and seen["results_accepted"] == 60
            assert [w["pid"] for w in dispatcher.workers()] == [house.processes[0].pid]
            assert list(dispatcher.fields()) == ["toy"]
        context.destroy(0)
    asyncio.run(scenario())


def test_result_with_a_wrong_token_for_a_running_job_is_refused(ipc):
    async def scenario():
        context = zmq.Context()
        results = context.socket(zmq.PUSH)
        async with ipc.dispatcher(1) as dispatcher:
            results.connect(ends(ipc)[1])
            task = asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.4}, rows(5.0)))
            await until(lambda: dispatcher.workers()[0]["jobs"])
            victim = next(iter(dispatcher._hub.peers))
            forged = wire.Result(j=1, a=1, tok=16 * b"?", w=victim, st="ok", n=1, us=1, columns=rows(666.0))
            results.send_multipart(wire.pack(forged))
            await until(lambda: dispatcher.counters().get("results_forged"))
            assert (await task).columns["x"][0] == 5.0
        context.destroy(0)
    asyncio.run(scenario())


def test_bounced_job_goes_to_another_worker(ipc):
    async def scenario():
        context = zmq.Context()
        async with ipc.dispatcher() as dispatcher:
            me = b"\x01" + 15 * b"b"
            control, lane = context.socket(zmq.DEALER), context.socket(zmq.PULL)
            control.set(zmq.ROUTING_ID, me)
            control.connect(ends(ipc)[0])
            control.send_multipart(wire.pack(wire.Hello("h", 1, "1", [{"id": "toy", "sha": "1"}], 1)))
            await until(lambda: control.poll(0))
            lane.connect(wire.unpack(control.recv_multipart(), wire.TO_WORKER).lane)
            await until(lambda: ready(dispatcher) == 1)
            task = asyncio.create_task(dispatcher.run("echo", TOY, {}, rows(3.0)))
            await until(lambda: lane.poll(0))
            job = wire.unpack(lane.recv_multipart(), wire.LANE)
            assert job.w == me
            control.send_multipart(wire.pack(wire.Drain()))
            control.send_multipart(wire.pack(wire.Bounce([(job.j, job.tok)], "not for me")))
            ipc.worker()
            assert (await task).columns["x"][0] == 3.0
            assert dispatcher.counters()["requeued_bounce"] == 1
        context.destroy(0)
    asyncio.run(scenario())


GATEWAY = """
import asyncio, sys
from gateway.dispatch import Dispatcher
async def main():
    d = Dispatcher(sys.argv[1], **eval(sys.argv[2]))
    await d.start()
    while not any(w["state"] == "ready" for w in d.workers()):
        await asyncio.sleep(0.01)
    open(sys.argv[3], "w").close()
    import numpy as np
    await asyncio.gather(*(d.run("sleep", ("toy", "1"), {"s": 0.2, "k": k}, {"x": np.ones(1)}) for k in range(100)))
asyncio.run(main())
"""


def test_worker_rejoins_by_itself_after_the_gateway_was_killed(house):
    flag = house.folder / "joined"
    gateway = house.python("-c", GATEWAY, house.bus, repr(house.ports), str(flag))
    worker = house.worker()

    async def scenario():
        await until(flag.exists)
        await asyncio.sleep(0.5)
        gateway.kill()
        gateway.wait()
        await asyncio.sleep(0.5)
        async with house.dispatcher() as dispatcher:
            assert await until(lambda: ready(dispatcher) == 1) < 4.0
            answers = await asyncio.gather(*(dispatcher.run("double", TOY, {"k": k}, rows(k)) for k in range(20)))
            assert [a.columns["x"][0] for a in answers] == [2.0 * k for k in range(20)]
            assert {a.info["pid"] for a in answers} == {worker.pid} and len(dispatcher.workers()) == 1
    asyncio.run(scenario())


@pytest.mark.parametrize("house", ["tcp"], indirect=True)
def test_worker_outlives_a_long_silence_of_the_gateway(house):
    async def scenario():
        async with house.dispatcher() as dispatcher:
            dispatcher._hub.ledger.ttl_s = 1.5
            house.worker()
            await until(lambda: ready(dispatcher))
        await asyncio.sleep(4.0)
        assert house.processes[0].poll() is None
        async with house.dispatcher() as dispatcher:
            assert await until(lambda: ready(dispatcher) == 1) < 4.0
            assert (await dispatcher.run("double", TOY, {}, rows(2.0))).columns["x"][0] == 4.0
    asyncio.run(scenario())


def test_worker_ends_when_its_parent_does(ipc):
    async def scenario():
        read_end, write_end = os.pipe()
        async with ipc.dispatcher() as dispatcher:
            ipc.worker("--parent-fd", str(read_end), pass_fds=(read_end,))
            os.close(read_end)
            await until(lambda: ready(dispatcher))
            os.close(write_end)
            assert await until(lambda: ipc.processes[0].poll() is not None) < 1.0
    asyncio.run(scenario())


def test_heartbeats_go_on_during_a_long_computation(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            dispatcher._hub.ledger.ttl_s = 1.5
            answer = await dispatcher.run("sleep", TOY, {"s": 2.5}, rows(1.0))
            assert answer.columns["x"][0] == 1.0 and dispatcher.counters()["leases"] == 1
    asyncio.run(scenario())


def test_worker_without_a_gateway_says_so_once(ipc):
    log = ipc.folder / "stderr.log"

    async def scenario():
        ipc.worker()
        await until(lambda: log.exists() and "no gateway at" in log.read_text())
        await asyncio.sleep(5.0)
        assert log.read_text().count("ipc://") == 1
        async with ipc.dispatcher() as dispatcher:
            await until(lambda: ready(dispatcher) == 1)
    asyncio.run(scenario())


def test_requests_under_way_end_within_the_grace_time_or_as_draining(ipc):
    async def scenario():
        async with ipc.dispatcher(1) as dispatcher:
            quick, slow = (asyncio.create_task(dispatcher.run("sleep", TOY, {"s": s}, rows(s))) for s in (0.2, 3.0))
            await until(lambda: dispatcher.counters().get("jobs_sent", 0) == 2)
            draining = asyncio.create_task(dispatcher.drain(1.0))
            await asyncio.sleep(0)
            with pytest.raises(TransientError, match="shutting down"):
                await dispatcher.run("echo", TOY, {}, rows(1.0))
            await draining
            assert (await quick).columns["x"][0] == 0.2
            with pytest.raises(TransientError) as caught:
                await slow
            assert caught.value.code == "draining"
    asyncio.run(scenario())

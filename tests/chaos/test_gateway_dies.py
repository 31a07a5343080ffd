"""The gateway is killed and ended with clients at its door: what it accepted is done, once, rightly."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest
from chaos.clients import Clients
from chaos.processes import Ward, send, wait_for
from chaos.town import Questions, Town

JOBS, GATEWAY_KILLS, WORKER_KILLS = 10_000, 5, 20
BACK_S = 5.0


class Chaos(threading.Thread):
    """Kill the gateway and workers beside the clients, and measure how soon the gateway is back."""

    def __init__(self, town: Town, rng: Random) -> None:
        super().__init__(daemon=True)
        self._town, self._rng = town, rng
        self.back: list[float] = []
        self.must_end = False
        self.fault: BaseException | None = None

    def run(self) -> None:
        """Kill until told to end, and at least as often as promised."""
        try:
            beats = 0
            while not self.must_end or len(self.back) < GATEWAY_KILLS or len(self._town.crew.kills) < WORKER_KILLS:
                beats += 1
                time.sleep(0.8)
                if beats % 5 and len(self._town.crew.kills) < WORKER_KILLS + 5:
                    self._town.crew.kill_any(self._rng)
                elif beats % 5 == 0 and len(self.back) < GATEWAY_KILLS + 1:
                    self._town.kill()
                    killed = self._town.deaths[-1]
                    wait_for(lambda: self._town.status("/v1/jobs?limit=1") == 200, 30, "the gateway is back")
                    self.back.append(time.monotonic() - killed)
        except BaseException as error:
            self.fault = error


@pytest.mark.timeout(200)
def test_ten_thousand_jobs_survive_the_death_of_gateways_and_workers(ward: Ward, rng: Random, chaos_data: Path,
                                                                     say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data)
    town.crew.hire(3)
    questions = Questions(chaos_data, JOBS, 2, rng)
    town.until_ready()
    clients = Clients(f"http://127.0.0.1:{town.port}", questions, at_once=48)
    killer = Chaos(town, rng)
    killer.start()
    began = time.monotonic()
    asyncio.run(clients.submit())
    submitted_s = time.monotonic() - began
    killer.must_end = True
    asyncio.run(clients.fetch(time.monotonic() + 100))
    took = time.monotonic() - began
    killer.join(60)
    assert killer.fault is None and not killer.is_alive(), killer.fault
    town.until_ready()
    listed = asyncio.run(clients.listed())
    assert len(clients.accepted) == JOBS == len(clients.answered) and not clients.wrong, clients.wrong[:3]
    assert len(listed) == JOBS and {job["id"] for job in listed} == set(clients.accepted.values())
    assert {job["phase"] for job in listed} == {"COMPLETED"}
    assert len(town.deaths) >= GATEWAY_KILLS and len(town.crew.kills) >= WORKER_KILLS and max(killer.back) <= BACK_S, killer.back
    say(f"{JOBS} jobs over HTTP in {took:.1f} s (accepted in {submitted_s:.1f} s), {len(town.deaths)} gateway and "
        f"{len(town.crew.kills)} worker kills, 0 lost, 0 twice, back after {max(killer.back):.2f} s at most, "
        f"clients tried again {sum(clients.retries.values())} times {dict(clients.retries)}")


@pytest.mark.timeout(100)
def test_gateway_ends_in_order_with_clients_in_flight(ward: Ward, rng: Random, chaos_data: Path,
                                                      say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data)
    town.crew.hire(2)
    questions = Questions(chaos_data, 400, 500, rng)
    town.until_ready()
    clients = Clients(f"http://127.0.0.1:{town.port}", questions, at_once=16)
    exits, codes = [], []

    def roll() -> None:
        for _ in range(3):
            time.sleep(1.0)
            exits.append(town.stop())
            codes.append(town.gateway.returncode)
            town.open()
            wait_for(lambda: town.status("/v1/jobs?limit=1") == 200, 30, "the gateway is back")

    rolling = threading.Thread(target=roll)
    rolling.start()
    asyncio.run(clients.submit())
    rolling.join()
    asyncio.run(clients.fetch(time.monotonic() + 60))
    assert not clients.wrong and len(clients.answered) == 400 and codes == [0, 0, 0] and max(exits) <= 30
    # with the peer dead: workers that hang, and one that stays alone
    town.until_ready()
    for worker in town.crew.members:
        send(worker.pid, signal.SIGSTOP)
    held = town.ask("/v1/jobs", questions.body(0), Idempotency_Key="held")
    assert held.status == 202
    alone_s = town.stop()
    for worker in town.crew.members:
        send(worker.pid, signal.SIGCONT)
    began = time.monotonic()
    for worker in town.crew.members:
        worker.send_signal(signal.SIGTERM)
    worker_s = [(worker.wait(35), time.monotonic() - began)[1] for worker in town.crew.members]
    assert alone_s <= 30 and max(worker_s) <= 30 and {w.returncode for w in town.crew.members} == {0}
    # and what was accepted last is still there
    town.open()
    town.crew.members.clear()
    town.crew.hire(1)
    town.until_ready()
    assert town.until_ended(held.json["id"])["phase"] == "COMPLETED"
    say(f"3 orderly ends with 16 clients at the door: {', '.join(f'{s:.2f}' for s in exits)} s, 400 jobs, 0 lost, retries "
        f"{dict(clients.retries)}; with hanging workers {alone_s:.2f} s; workers without a gateway {max(worker_s):.2f} s")


@pytest.mark.timeout(60)
def test_hundred_threads_with_one_key_make_one_job(ward: Ward, rng: Random, chaos_data: Path, say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data)
    town.crew.hire(1)
    questions = Questions(chaos_data, 2, 50, rng)
    town.until_ready()
    barrier = threading.Barrier(100)

    def submit(_: int) -> tuple[int, int]:
        barrier.wait(20)
        reply = town.ask("/v1/jobs", questions.body(0), Idempotency_Key="the one")
        return reply.status, reply.json["id"]

    began = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(submit, range(100)))
    took = time.monotonic() - began
    other = town.ask("/v1/jobs", questions.body(1), Idempotency_Key="the one")
    job = answers[0][1]
    assert set(answers) == {(202, job)} and other.status in (409, 422)
    assert town.until_ended(job)["phase"] == "COMPLETED"
    assert questions.is_right(0, town.ask(f"/v1/jobs/{job}/result").json)
    assert [listed["id"] for listed in town.ask("/v1/jobs").json["jobs"]] == [job]
    say(f"100 threads, one key: one job, 100 times 202 in {took:.2f} s; other rows with that key: {other.status} "
        f"{other.json['code']}")

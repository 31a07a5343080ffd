"""The house over HTTP: single questions against a hello world and a Flask + RQ + Redis server; lists; a kept job."""

from __future__ import annotations

import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import aiohttp
import msgpack
import numpy as np

from cfcore import FlowField, distances, open_field

from . import dispatching, rq_peer
from .timing import pairwise
from .verdict import NOT_INSTALLED, Ratio

QUESTION = "?lon={lon}&lat=20&cz=3000"
CLIENTS = (1, 16, 64)
ROWS = 10_000
_MEDIA = {"json": "application/json", "binary": "application/msgpack"}
HELLO = {16: (0.3, 0.15), 64: (0.65, 0.5)}
"""clients -> (target, floor) of our rate over that of a server that only says hello."""
RQ = {("simple", 1): (8.0, 3.0), ("simple", 16): (70.0, 40.0), ("forking", 1): (30.0, 3.0), ("forking", 16): (30.0, 3.0)}
"""(kind of worker, clients) -> (target, floor) of our rate over that of the Flask server."""
LIST = (2.0, 1.0)
"""(target, floor) of the time of a plain handler over ours, network and all."""
LIST_OF_KERNEL = {"json": (2.0, 3.0), "binary": (1.25, 1.6)}
"""(target, ceiling) of the time of a list over HTTP over one call of `cfcore` on one core."""
JOB_ROWS = {False: 1_000_000, True: 100_000}
"""quick -> rows of the kept job."""
JOB = (2.0, 2.0)
"""(target, floor) of million rows a second of velocities through the store."""
JOB_PATIENCE_S = 60.0
_HELLO = """
import asyncio
from aiohttp import web
from gateway import loop
async def hello(request): return web.Response(body=b'{"hello": "world"}', content_type="application/json")
async def main():
    app = web.Application(); app.router.add_get("/", hello)
    runner = web.AppRunner(app, access_log=None); await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0); await site.start()
    print("on http://127.0.0.1:%d ready in" % runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
loop.run(main())
"""
Ask = Callable[[str, int], float]


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure all of it; every server ends with the section."""
    seconds, rounds = (0.3, 2) if quick else (0.5, 3)
    lacking = rq_peer.lacking()
    with tempfile.TemporaryDirectory() as folder:
        field = open_field("ongc-linear", folder)
        with house_server(Path(folder)) as house:
            url = f"{house}/get_flow_by_position{QUESTION}"

            def ask(where: str, clients: int) -> float:
                return asyncio.run(rate(where, clients, seconds))

            with hello_server() as hello:
                facts, ratios = singles(ask, url, f"{hello}/", rounds)
            facts["list_of_10000_ms"], more = lists(house, field, 2 * rounds)
            ratios += more
            facts["kept_job"], ratio = kept_job(house, JOB_ROWS[quick])
            ratios.append(ratio)
            with nullcontext({}) if lacking else rq_peer.running(Path(folder), os.cpu_count() or 1) as servers:
                queued, against = queues(ask, url, servers, rounds, lacking)
    facts["requests_per_s"] |= queued
    facts["dispatcher"], alone = dispatching.run(rounds, seconds)
    return facts, [*ratios, *against, *alone]


def singles(ask: Ask, url: str, hello: str, rounds: int) -> tuple[dict[str, Any], list[Ratio]]:
    """Ask one question at a time, from 1, 16 and 64 clients; hello and the house in turns."""
    facts: dict[str, Any] = {}
    ratios = []
    for clients in CLIENTS:
        ratio, ours, theirs = _turns(ask, url, hello, clients, rounds)
        facts |= {f"ours_c{clients}": ours, f"hello_c{clients}": theirs}
        if clients in HELLO:
            ratios.append(Ratio(f"service_c{clients}_of_hello", ratio, *HELLO[clients]))
    return {"requests_per_s": facts}, ratios


def queues(ask: Ask, url: str, servers: dict[str, str], rounds: int, lacking: str) -> tuple[dict[str, Any], list[Ratio]]:
    """Ask the same of the Flask server, with workers that compute in place and with those that fork."""
    facts: dict[str, Any] = {}
    ratios = []
    for (kind, clients), (target, floor) in RQ.items():
        name = f"service_c{clients}_vs_rq_{kind}"
        if lacking:
            ratios.append(Ratio(name, None, target, floor, why=f"{NOT_INSTALLED} ({lacking})"))
            continue
        ratio, _, theirs = _turns(ask, url, servers[kind] + QUESTION, clients, rounds)
        facts[f"rq_{kind}_c{clients}"] = theirs
        ratios.append(Ratio(name, ratio, target, floor))
    return facts, ratios


def lists(house: str, field: FlowField, rounds: int) -> tuple[dict[str, float], list[Ratio]]:
    """Send a list through the house, in JSON and as raw columns; compare it with its computation alone, and with a plain handler.

    The handler stands for one that reads and writes the same with the json module, without its network: bytes in, one call
    of `cfcore`, all columns out as bytes.
    """
    rng = np.random.default_rng(3)
    columns = {"lon": rng.uniform(0, 360, ROWS), "lat": rng.uniform(-90, 90, ROWS), "cz": rng.uniform(500, 9000, ROWS)}
    body = json.dumps({name: values.tolist() for name, values in columns.items()}).encode()
    raw = msgpack.packb({name: values.tobytes() for name, values in columns.items()})

    def kernel() -> None:
        field.distance(columns["lon"], columns["lat"], columns["cz"])

    def handler() -> None:
        asked = json.loads(body)
        answer = field.distance(asked["lon"], asked["lat"], asked["cz"])
        table = {name: answer.column(name).tolist() for name in distances.VALUES}
        each = range(ROWS)
        json.dumps({"columns": table, "roots": [answer.roots(i) for i in each], "flags": [answer.flags(i) for i in each],
                    "status": answer.status.tolist()}).encode()

    times = asyncio.run(_list_turns(house, {"json": body, "binary": raw}, {"cfcore": kernel, "plain_handler": handler}, rounds))
    return ({name: round(statistics.median(spent) * 1e3, 1) for name, spent in times.items()},
            [*(Ratio(f"service_list_{name}_vs_kernel", pairwise(times["cfcore"], times[name]), *limits, at_most=True)
               for name, limits in LIST_OF_KERNEL.items()),
             Ratio("service_list_vs_plain_handler", pairwise(times["json"], times["plain_handler"]), *LIST)])


async def _list_turns(house: str, bodies: dict[str, bytes], works: dict[str, Callable[[], None]],
                      rounds: int) -> dict[str, list[float]]:
    """Time each in turns, over one connection that stays open; the first turn warms up."""
    times: dict[str, list[float]] = {name: [] for name in [*bodies, *works]}
    async with aiohttp.ClientSession() as session:
        for turn in range(rounds + 1):
            for name in times:
                began = time.perf_counter()
                if name in bodies:
                    await post(session, f"{house}/get_flow/distance", bodies[name], _MEDIA[name])
                else:
                    works[name]()
                if turn:
                    times[name].append(time.perf_counter() - began)
    return times


def kept_job(house: str, rows: int) -> tuple[dict[str, float], Ratio]:
    """Have velocities at many points computed as a kept job: from the first byte sent to the phase COMPLETED."""
    rng = np.random.default_rng(4)
    body = msgpack.packb({"kind": "velocity", "lon": rng.uniform(0, 360, rows).tobytes(),
                          "lat": rng.uniform(-90, 90, rows).tobytes(), "distance": rng.uniform(5, 110, rows).tobytes()})
    found = asyncio.run(_kept(f"{house}/v1/jobs", body))
    if found is None:
        return {}, Ratio("service_kept_job_million_rows_per_s", None, *JOB, why="not there: this server keeps no jobs")
    accepted_s, ended_s = found
    return ({"rows": rows, "accepted_ms": round(accepted_s * 1e3, 1), "completed_ms": round(ended_s * 1e3, 1)},
            Ratio("service_kept_job_million_rows_per_s", rows / ended_s / 1e6, *JOB, unit=" M/s"))


async def _kept(jobs: str, body: bytes) -> tuple[float, float] | None:
    """Return the seconds until a job is accepted and until it is done; None where there are no jobs."""
    async with aiohttp.ClientSession() as session:
        began = time.perf_counter()
        async with session.post(jobs, data=body, headers={"Content-Type": _MEDIA["binary"]}) as answer:
            if answer.status in (404, 405):
                return None
            job = await answer.json()
            if answer.status != 202:
                raise AssertionError(f"the job was answered with {answer.status}: {job}")
        accepted_s = time.perf_counter() - began
        # not asked again and again: on a small machine the answers would cost what is measured
        async with session.get(f"{jobs}/{job['id']}?wait={JOB_PATIENCE_S:.0f}") as answer:
            phase = (await answer.json())["phase"]
        if phase == "COMPLETED":
            return accepted_s, time.perf_counter() - began
    raise AssertionError(f"the kept job ended as {phase}")


async def rate(url: str, clients: int, seconds: float) -> float:
    """Return answered requests per second of some clients that ask one after the other, about another place each time."""
    count, end = 0, time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        async def client(number: int) -> None:
            nonlocal count
            lon = number
            while time.perf_counter() < end:
                lon = (lon + 7) % 360
                async with session.get(url.format(lon=lon)) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise AssertionError(f"{url} answered {answer.status}")
                count += 1
        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(clients)))
        return count / (time.perf_counter() - began)


async def post(session: aiohttp.ClientSession, url: str, body: bytes, media: str) -> None:
    """Send a list in some encoding and read the answer in the same."""
    async with session.post(url, data=body, headers={"Content-Type": media, "Accept": media}) as answer:
        await answer.read()
        if answer.status != 200:
            raise AssertionError(f"the list was answered with {answer.status}")


def _turns(ask: Ask, ours: str, theirs: str, clients: int, rounds: int) -> tuple[float, int, int]:
    """Return the median of our rate over theirs, and both rates."""
    mine, peer = [], []
    for _ in range(rounds):
        mine.append(ask(ours, clients))
        peer.append(ask(theirs, clients))
    return pairwise(peer, mine), round(statistics.median(mine)), round(statistics.median(peer))


def house_server(data: Path) -> AbstractContextManager[str]:
    """Run the whole house with its data in a folder."""
    return _server("-m", "cfcore.cli", "serve", "--port", "0", "--data", str(data))


def hello_server() -> AbstractContextManager[str]:
    """Run an aiohttp server that only says hello until the block ends; gives its address."""
    return _server("-c", _HELLO)


@contextmanager
def _server(*command: str) -> Iterator[str]:
    """Run a server until the block ends; yield its address."""
    # the lists of a long run may be more than an hour's rows
    with rq_peer.children(["env", "CF_ROWS_PER_HOUR=1e12", sys.executable, *command]) as (child,):
        assert child.stdout is not None
        text = ""
        while "ready in" not in text:
            line = child.stdout.readline()
            if not line:
                raise AssertionError("the server did not start")
            text += line
        found = re.search(r"http://[\d.:]+", text)
        assert found is not None
        yield found[0]

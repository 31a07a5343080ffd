"""The dispatcher alone: what merging brings, and what a job costs the gateway's process."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cfcore import open_field
from cfcore.errors import TransientError
from cfcore.options import FlowOptions
from gateway import loop
from gateway.dispatch import Dispatcher

from . import rq_peer
from .timing import pairwise
from .verdict import Ratio

CLIENTS = 64
MERGING = (1.6, 1.3)
"""(target, floor) of the rate of merged questions over that of one job per question."""
CPU_US = (150.0, 150.0)
"""(target, ceiling) of processor time of a job in the process of the dispatcher, everything counted."""
JOIN_S = 15.0


def run(rounds: int, seconds: float) -> tuple[dict[str, Any], list[Ratio]]:
    """Ask single questions without HTTP, merged and one by one in turns, of a worker each."""
    with tempfile.TemporaryDirectory() as folder:
        open_field("ongc-linear", folder)
        # on the gateway's own event loop
        with asyncio.Runner(loop_factory=loop.factory()) as runner:
            rates, cpu_us = runner.run(_turns(Path(folder), rounds, seconds))
    facts = {("merged" if merge else "single"): {"requests_per_s": round(statistics.median(rates[merge])),
                                                 "cpu_us": round(statistics.median(cpu_us[merge]), 1)} for merge in rates}
    return facts, [Ratio("service_merged_vs_single_jobs", pairwise(rates[False], rates[True]), *MERGING),
                   Ratio("service_dispatch_cpu_us", statistics.median(cpu_us[False]), *CPU_US, at_most=True, unit=" us")]


async def _turns(folder: Path, rounds: int, seconds: float) -> tuple[dict[bool, list[float]], dict[bool, list[float]]]:
    rates: dict[bool, list[float]] = {True: [], False: []}
    cpu_us: dict[bool, list[float]] = {True: [], False: []}
    async with AsyncExitStack() as stack:
        ready = {merge: await stack.enter_async_context(_dispatcher(folder, merge)) for merge in (True, False)}
        for turn in range(rounds + 1):
            for merge, dispatcher in ready.items():
                began, cpu = time.perf_counter(), time.process_time()
                count = await _ask(dispatcher, seconds if turn else 0.2)
                if turn:
                    rates[merge].append(count / (time.perf_counter() - began))
                    cpu_us[merge].append((time.process_time() - cpu) / count * 1e6)
    return rates, cpu_us


async def _ask(dispatcher: Dispatcher, seconds: float) -> int:
    """Have some clients ask one after the other; return how many answers came."""
    record = next(iter(dispatcher.fields().values()))
    key, options = (record["id"], record["sha"]), FlowOptions().as_dict()
    count, end = 0, time.perf_counter() + seconds

    async def client(number: int) -> None:
        nonlocal count
        columns = dict(zip(("lon", "lat", "cz", "sigma_cz"), np.array([[5.0 * number], [20.0], [3000.0], [0.0]])))
        while time.perf_counter() < end:
            try:
                await dispatcher.run("posterior", key, options, columns)
            except TransientError as refusal:
                if refusal.code != "busy":
                    raise
                # a machine that others use: the queue is longer than what it can promise
                await asyncio.sleep(0.01)
            else:
                count += 1

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return count


@asynccontextmanager
async def _dispatcher(folder: Path, merge: bool) -> AsyncIterator[Dispatcher]:
    """Run a dispatcher with one worker until the block ends."""
    with tempfile.TemporaryDirectory(prefix="cf-") as place:
        dispatcher = Dispatcher(f"ipc://{place}/bus", merge=merge)
        await dispatcher.start()
        with rq_peer.children([sys.executable, "-m", "flow_worker", "--connect", dispatcher.bus, "--data", str(folder)]):
            try:
                end = time.monotonic() + JOIN_S
                while not dispatcher.fields():
                    if time.monotonic() > end:
                        raise AssertionError("the worker did not join")
                    await asyncio.sleep(0.02)
                yield dispatcher
            finally:
                await dispatcher.close()

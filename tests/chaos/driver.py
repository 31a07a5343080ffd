"""A gateway's dispatcher in a process of its own, with the clients inside it: it makes the load and checks every answer.

    python driver.py SPEC.json

The tests freeze, cut off and kill around it, so it must not share a process with them. It writes into the folder of its
spec: `events.jsonl` (every 50 ms who is connected and how much is done), `report.json` and `times.npz` (start and end of
each job on the machine's monotonic clock) when the load is done and the file `stop` appears.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cfcore.errors import CosmicFlowsError
from gateway.dispatch import Dispatcher

TOY = ("toy", "1")
WAITING, RIGHT, WRONG, REFUSED, QUARANTINED = range(5)


@dataclass
class Load:
    """Jobs of one sort and what became of each.

    Attributes
    ----------
    way : str
        ``run``: a client awaits each; ``bulk``: given away as stored jobs are.
    jobs, at_once, rate : int, int, float
        How many in all, how many under way at most, how many begun in a second at most (0: no limit).
    least : int
        Begin so many whatever `until` says.
    kinds : dict
        Number of a job -> kind, where it is not `kind`.
    until : str
        Begin no more once the load of this name is done; "enough": once the file of that name is there.
    is_patient : bool
        Ask again when told that the service is full.
    bad : list of int
        Numbers of the jobs that crash the process that computes them.
    """

    name: str
    way: str = "run"
    kind: str = "sleep"
    jobs: int = 0
    at_once: int = 64
    rate: float = 0.0
    sleep_ms: float = 0.0
    rows: int = 1
    bad: list[int] = field(default_factory=list)
    budget_s: float = 60.0
    until: str = ""
    least: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    is_patient: bool = True

    def __post_init__(self) -> None:
        self.begun = 0
        self.start, self.end = np.zeros(self.jobs), np.zeros(self.jobs)
        self.state, self.ends = np.zeros(self.jobs, "i1"), np.zeros(self.jobs, "i4")
        self.codes: Counter[str] = Counter()
        self.failures: dict[int, str] = {}
        self.texts: dict[str, str] = {}
        self.tries_again = 0
        self.sent: list[tuple[int, float]] = []
        self.advised: list[float] = []
        self.is_finished = False

    def columns(self, k: int) -> dict[str, np.ndarray]:
        """Make the rows of job k: no two jobs have the same."""
        x = k + np.arange(1, self.rows + 1) / (self.rows + 1)
        return {"x": -x if k in self.bad else x}

    def ended(self, k: int, state: int) -> None:
        """Note the end of job k; a second one is remembered too."""
        self.end[k], self.state[k] = time.monotonic(), state
        self.ends[k] += 1

    def check(self, k: int, columns: dict[str, np.ndarray]) -> int:
        """Compare an answer with the oracle."""
        want = self.columns(k)["x"] * (2 if self.kind == "double" else 1)
        return RIGHT if list(columns) == ["x"] and np.array_equal(columns["x"], want) else WRONG

    def failed(self, k: int, error: CosmicFlowsError, state: int = REFUSED) -> None:
        """Note a failure and its reason."""
        self.codes[error.code] += 1
        if len(self.failures) < 100:
            self.failures[k] = error.code
        self.texts[error.code] = error.message
        self.ended(k, state)

    def kind_of(self, k: int) -> str:
        """Return what is to be computed: some jobs are worse than others."""
        return "crash" if k in self.bad else self.kinds.get(str(k), self.kind)

    def options(self, k: int) -> dict[str, object]:
        """Make options that differ between neighbours, so that each request stays a job of its own."""
        return {"s": self.sleep_ms / 1000, "k": k % 50_000}


class BulkWork:
    """A stored job as the dispatcher sees it: the protocol `gateway.work.Work`."""

    trace = ""

    def __init__(self, load: Load, k: int, is_over: Callable[[], None]) -> None:
        self.kind, self.options, self.rows = load.kind_of(k), load.options(k), load.rows
        self._load, self._k, self._is_over = load, k, is_over

    def columns(self) -> dict[str, np.ndarray]:
        # asked for whenever the work goes to a worker
        self._load.sent.append((self._k, time.monotonic()))
        return self._load.columns(self._k)

    def is_wanted(self) -> bool:
        return True

    def accept(self, result: Any, settled: Callable[[], None]) -> None:
        self._load.ended(self._k, self._load.check(self._k, dict(result.columns)))
        # a commit takes its time
        asyncio.get_running_loop().call_later(0.003, settled)
        self._is_over()

    def refuse(self, error: CosmicFlowsError) -> None:
        self._load.failed(self._k, error)
        self._is_over()

    def quarantine(self, error: CosmicFlowsError) -> None:
        self._load.failed(self._k, error, QUARANTINED)
        self._is_over()


class Driver:
    """One dispatcher and its loads."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec, self.folder = spec, Path(spec["folder"])
        self.loads = {entry["name"]: Load(**entry) for entry in spec["loads"]}
        self.next_id = 0
        self.max_lag = 0.0
        self.has_enough = False

    async def run(self) -> None:
        """Serve until the loads are done and the stop file is there."""
        self.dispatcher = Dispatcher(self.spec["bus"], **self._options())
        await self.dispatcher.start()
        with open(self.folder / "events.jsonl", "a", buffering=1, encoding="ascii") as events:
            telling = asyncio.create_task(self._tell(events))
            while sum(w["state"] == "ready" for w in self.dispatcher.workers()) < self.spec["workers"]:
                await asyncio.sleep(0.01)
            (self.folder / "ready").touch()
            await asyncio.gather(*(self._carry(load) for load in self.loads.values()))
            (self.folder / "done").touch()
            while not (self.folder / "stop").exists():
                await asyncio.sleep(0.02)
            telling.cancel()
            self._report()
        await self.dispatcher.close()

    def _options(self) -> dict[str, Any]:
        options = dict(self.spec.get("ports") or {})
        if "lane_ports" in options:
            options["lane_ports"] = tuple(options["lane_ports"])
        if keys := self.spec.get("keys"):
            options["keys"] = Path(keys)
        return options | self.spec.get("options", {})

    async def _carry(self, load: Load) -> None:
        room = asyncio.Semaphore(load.at_once)
        began = time.monotonic()
        tasks: set[asyncio.Task[None]] = set()
        for k in range(load.jobs):
            if k >= load.least and self._is_enough(load.until):
                break
            await room.acquire()
            if load.rate and (early := began + k / load.rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            load.begun += 1
            load.start[k] = time.monotonic()
            if load.way == "run":
                task = asyncio.create_task(self._ask(load, k, room))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            else:
                self.next_id += 1
                self.dispatcher.submit(BulkWork(load, k, room.release), TOY, job_id=self.next_id, owner=f"owner{k % 3}")
        while (load.ends[:load.begun] == 0).any():
            await asyncio.sleep(0.01)
        load.is_finished = True

    def _is_enough(self, name: str) -> bool:
        return self.has_enough if name == "enough" else bool(name) and self.loads[name].is_finished

    async def _ask(self, load: Load, k: int, room: asyncio.Semaphore) -> None:
        give_up = time.monotonic() + load.budget_s
        try:
            while True:
                try:
                    answer = await self.dispatcher.run(load.kind_of(k), TOY, load.options(k), load.columns(k),
                                                       budget_s=load.budget_s)
                    return load.ended(k, load.check(k, answer.columns))
                except CosmicFlowsError as error:
                    if error.code != "busy" or not load.is_patient or time.monotonic() > give_up:
                        load.advised.append(float(str((error.extra or {}).get("retry_after_s", 0))))
                        return load.failed(k, error)
                    # what the client of a full service is told to do
                    load.tries_again += 1
                    await asyncio.sleep(0.1)
        finally:
            room.release()

    async def _tell(self, events: Any) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.05)
            now = time.monotonic()
            self.has_enough = (self.folder / "enough").exists()
            self.max_lag, last = max(self.max_lag, now - last - 0.05), now
            workers = {w["pid"]: w["state"] for w in self.dispatcher.workers()}
            done = {name: int(load.ends.astype(bool).sum()) for name, load in self.loads.items()}
            events.write(json.dumps({"t": now, "workers": workers, "done": done}) + "\n")

    def _report(self) -> None:
        loads = {}
        arrays = {}
        for name, load in self.loads.items():
            n = load.begun
            loads[name] = {"begun": n, "codes": dict(load.codes), "texts": load.texts,
                           "states": {state: int((load.state[:n] == state).sum()) for state in range(5)},
                           "tries_again": load.tries_again, "failures": load.failures,
                           "advised": [min(load.advised, default=0), max(load.advised, default=0)],
                           "twice": int((load.ends[:n] > 1).sum()),
                           "quarantined": np.flatnonzero(load.state[:n] == QUARANTINED).tolist()}
            arrays |= {f"{name}_start": load.start[:n], f"{name}_end": load.end[:n], f"{name}_state": load.state[:n],
                       f"{name}_sent": np.array(load.sent, "f8").reshape(-1, 2)}
        np.savez(self.folder / "times.npz", **arrays)
        report = {"loads": loads, "counters": self.dispatcher.counters(), "max_lag_s": self.max_lag}
        part = self.folder / "report.part"
        part.write_text(json.dumps(report))
        part.rename(self.folder / "report.json")


if __name__ == "__main__":
    asyncio.run(Driver(json.loads(Path(sys.argv[1]).read_text())).run())

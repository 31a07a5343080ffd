"""The driver seen from the test: start it, wait for it, read what it measured."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from chaos.processes import TOY, Crew, Ward, free_ports, wait_for

DRIVER = Path(__file__).with_name("driver.py")
LANES = 60


class Bus:
    """An address where gateway and workers meet; workers may know it by another host (a proxy's)."""

    def __init__(self, address: str, ports: dict[str, Any], worker_address: str = "") -> None:
        self.address, self.ports, self.worker_address = address, ports, worker_address or address

    @property
    def all_ports(self) -> list[int]:
        """Return control, results and lanes of a tcp bus."""
        first, last = self.ports["lane_ports"]
        return [int(self.address.rpartition(":")[2]), self.ports["results_port"], *range(first, last + 1)]


def tcp(rng: Random, host: str = "127.0.0.1", worker_host: str = "", lanes: int = LANES) -> Bus:
    """Choose free ports on a host."""
    first = free_ports(lanes + 2, rng, [h for h in (host, worker_host) if h.startswith("127.")] or ["127.0.0.1"])
    ports = {"results_port": first + 1, "lane_ports": [first + 2, first + 1 + lanes]}
    return Bus(f"tcp://{host}:{first}", ports, f"tcp://{worker_host or host}:{first}")


def ipc(ward: Ward) -> Bus:
    """Choose a folder."""
    return Bus(f"ipc://{ward.folder}/bus", {})


def toy_crew(ward: Ward, bus: Bus, *arguments: str, **how: Any) -> Crew:
    """Return workers (none started yet) that compute sums instead of flows."""
    return Crew(ward, str(TOY), "--connect", bus.worker_address, *arguments, **how)


class Driving:
    """A running driver.

    Parameters
    ----------
    loads : dict
        As `driver.Load`; the first is the one that matters.
    workers : int
        Begin when so many are ready.
    """

    def __init__(self, ward: Ward, bus: Bus, *loads: dict[str, Any], workers: int, prefix: Sequence[str] = (),
                 **more: Any) -> None:
        self.folder = ward.folder / "driver"
        self.folder.mkdir()
        self.bus = bus
        spec = {"bus": bus.address, "ports": bus.ports, "folder": str(self.folder), "workers": workers, "loads": loads} | more
        (self.folder / "spec.json").write_text(json.dumps(spec))
        self._ward = ward
        self.process: subprocess.Popen[bytes] = ward.python(str(DRIVER), str(self.folder / "spec.json"), log="driver.log",
                                                            prefix=prefix)

    def _has(self, name: str) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the driver ended with {self.process.returncode}:\n{self._ward.log('driver.log')[-3000:]}")
        return (self.folder / name).exists()

    def until_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the workers have joined and the load begins."""
        wait_for(lambda: self._has("ready"), timeout_s, "the workers join")

    def is_done(self) -> bool:
        """Whether every job has ended."""
        return self._has("done")

    def enough(self) -> None:
        """Let the loads that wait for it begin no more jobs."""
        (self.folder / "enough").touch()

    def until_done(self, timeout_s: float) -> None:
        """Wait for the last job."""
        wait_for(self.is_done, timeout_s, f"every job ends (the last event: {self.last_event()})")

    def events(self) -> list[dict[str, Any]]:
        """Return what was told so far."""
        path = self.folder / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")] \
            if path.exists() else []

    def last_event(self) -> dict[str, Any]:
        """Return the newest of them."""
        events = self.events()
        return events[-1] if events else {}

    def ready_pids(self) -> set[int]:
        """Return the workers that can take jobs now."""
        return {int(pid) for pid, state in self.last_event().get("workers", {}).items() if state == "ready"}

    def finish(self) -> Outcome:
        """End the driver and read its report."""
        (self.folder / "stop").touch()
        wait_for((self.folder / "report.json").exists, 10.0, "the driver reports")
        self.process.wait(10)
        return Outcome(json.loads((self.folder / "report.json").read_text()), dict(np.load(self.folder / "times.npz")),
                       self.events())


class Outcome:
    """What a driver measured."""

    def __init__(self, report: dict[str, Any], times: dict[str, np.ndarray], events: list[dict[str, Any]]) -> None:
        self.loads, self.counters, self.max_lag_s = report["loads"], report["counters"], report["max_lag_s"]
        self._times, self.events = times, events

    def check(self, name: str, *, quarantined: Sequence[int] = (), refused: Sequence[int] = ()) -> None:
        """Assert that each job ended once, with the right answer or, where so foretold, in quarantine or refused."""
        load = self.loads[name]
        right = load["begun"] - len(quarantined) - len(refused)
        said = f"{name}: {load['states']} {load['texts']} (0 lost, 1 right, 2 wrong, 3 refused, 4 quarantined)"
        assert load["states"] == {"0": 0, "1": right, "2": 0, "3": len(refused), "4": len(quarantined)}, said
        assert load["quarantined"] == sorted(quarantined), said
        assert load["twice"] == 0, f"{name}: {load['twice']} jobs ended more than once"

    def failures(self, name: str) -> dict[int, str]:
        """Return the codes with which jobs failed (of 100 at most)."""
        return {int(k): code for k, code in self.loads[name]["failures"].items()}

    def took_s(self, name: str) -> np.ndarray:
        """Return how long each job took."""
        return self._times[f"{name}_end"] - self._times[f"{name}_start"]

    def span_s(self, name: str) -> float:
        """Return the time from the first job's start to the last one's end."""
        return float(self._times[f"{name}_end"].max() - self._times[f"{name}_start"].min())

    def bounds(self, name: str) -> tuple[float, float]:
        """Return when the first and when the last job ended."""
        ends = self._times[f"{name}_end"]
        return float(ends.min()), float(ends.max())

    def served_s(self, name: str, moment: float, at_least: int) -> float:
        """Return how long after a moment so many jobs that began later had ended."""
        start, end = self._times[f"{name}_start"], self._times[f"{name}_end"]
        later = np.sort(end[start > moment])
        return float(later[at_least - 1] - moment) if later.size >= at_least else float("inf")

    def p(self, q: float, name: str, *, only_right: bool = True) -> float:
        """Return a percentile of the time jobs took, in seconds."""
        took = self.took_s(name)
        return float(np.percentile(took[self._times[f"{name}_state"] == 1] if only_right else took, q))

    def rerun_s(self, name: str, moments: Sequence[float]) -> list[float]:
        """Return, for each bulk job that was sent again, how long after the fault that was.

        The fault is the first of the moments since it was sent before: never too short a time, at times too long a one.
        """
        last: dict[int, float] = {}
        found = []
        for k, t in self._times[f"{name}_sent"]:
            faults = [moment for moment in moments if last.get(int(k), t) < moment < t]
            if faults:
                found.append(float(t - faults[0]))
            last[int(k)] = t
        return found

    def recovery_s(self, name: str, moment: float) -> float:
        """Return how long after a moment the last of the jobs ended that were under way then."""
        start, end = self._times[f"{name}_start"], self._times[f"{name}_end"]
        caught = end[(start < moment) & (end > moment)]
        return float(caught.max() - moment) if caught.size else 0.0

    def stall_s(self, name: str, begin: float, end: float) -> float:
        """Return the longest time between two ends of jobs within a stretch of time."""
        ends = np.sort(self._times[f"{name}_end"])
        within = ends[(ends > begin) & (ends < end)]
        return float(np.diff(np.concatenate([[begin], within, [end]])).max())

    def gone_s(self, pid: int, moment: float) -> float:
        """Return how long after a moment a worker was no longer taken to be ready."""
        return next((e["t"] for e in self.events if e["t"] > moment and e["workers"].get(str(pid)) != "ready"),
                    float("inf")) - moment

    def joined_s(self, pid: int, moment: float) -> float:
        """Return how long after a moment a worker was ready (again)."""
        return next((e["t"] for e in self.events if e["t"] > moment and e["workers"].get(str(pid)) == "ready"),
                    float("inf")) - moment


def kill_one(driving: Driving, crew: Crew, rng: Random, *, spare: Sequence[int] = ()) -> None:
    """Kill -9 a worker that has joined, as soon as another one is there to go on.

    A new worker takes its time on a busy machine; to kill it while it starts would show nothing.
    """
    def candidates() -> list[int]:
        ready = driving.ready_pids()
        return [k for k, worker in enumerate(crew.members) if worker.pid in ready and worker.pid not in spare]
    wait_for(lambda: len(candidates()) >= 2, 20, "two workers are ready")
    crew.kill(rng.choice(candidates()))


def pause_until(moment: float) -> None:
    """Sleep to a moment of the monotonic clock."""
    time.sleep(max(0.0, moment - time.monotonic()))

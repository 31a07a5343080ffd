"""A pool that computes in this process with the worker's `Computer`, one chunk at a time, when it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from made_fields import smooth_field

from cfcore import FlowField, distances, wire
from cfcore.errors import CosmicFlowsError, InternalError
from cfcore.options import OPTION_NAMES, FlowOptions
from flow_worker import compute
from gateway import spool
from gateway.job_records import Draft
from gateway.job_schema import Identity
from gateway.jobs import Jobs

FIELD = ("smooth", "0" * 64)
RECORD = {"id": "smooth", "version": "1", "citation": "made", "sigma_v": 150.0}
OPTIONS = FlowOptions()


@lru_cache(maxsize=1)
def the_field() -> FlowField:
    """Return the field all of them are asked of."""
    return smooth_field()


def crashed(**extra: object) -> CosmicFlowsError:
    """Return the error of a compute process that ended."""
    return InternalError("the compute process ended with signal 11", code="worker_crash", extra={"stderr": "Segfault", **extra})


@dataclass
class ComputingPool:
    """Stand where the dispatcher stands.

    `poison(columns)` says which chunks end their process; `fault` is what every chunk is refused with.
    """

    is_held: bool = False
    poison: Callable[[dict[str, np.ndarray]], bool] = lambda columns: False
    fault: CosmicFlowsError | None = None
    is_paused: bool = False
    rate: float | None = 1e6
    waiting: dict[int, tuple[Any, str, int]] = field(default_factory=dict)
    submitted: list[int] = field(default_factory=list)
    suspicions: dict[int, int] = field(default_factory=dict)
    settled: list[int] = field(default_factory=list)
    withdrawn: list[int] = field(default_factory=list)

    def submit(self, work: Any, key: tuple[str, str], *, job_id: int, owner: str, suspicion: int = 0) -> None:
        """Queue a chunk."""
        assert key == FIELD and job_id not in self.waiting
        self.waiting[job_id] = work, owner, suspicion
        self.submitted.append(job_id)
        self.suspicions[job_id] = suspicion
        if not self.is_held:
            asyncio.get_running_loop().call_soon(self.step)

    def withdraw(self, job_ids: list[int], why: str) -> None:
        """Forget chunks."""
        self.withdrawn += job_ids
        for job_id in job_ids:
            self.waiting.pop(job_id, None)

    def pause_bulk(self, is_paused: bool) -> None:
        """Begin nothing while it is true."""
        self.is_paused = is_paused
        if not is_paused and not self.is_held:
            for _ in self.waiting:
                asyncio.get_running_loop().call_soon(self.step)

    def ahead_of(self, job_id: int) -> int:
        """Count those before it."""
        return sum(1 for other in self.waiting if other < job_id)

    def rates(self) -> dict[str, float | None]:
        """Return a rate."""
        return {"interactive": None, "bulk": self.rate}

    def backlog(self) -> dict[str, Any]:
        """Return what waits."""
        rows = sum(work.rows for work, _, _ in self.waiting.values())
        return {"jobs": len(self.waiting), "rows": rows, "seconds": rows / self.rate if self.rate else None}

    def step(self) -> None:
        """Compute the oldest chunk, if any may begin."""
        if not self.waiting or self.is_paused:
            return
        job_id = next(iter(self.waiting))
        work, _, _ = self.waiting.pop(job_id)
        try:
            columns = work.columns()
        except CosmicFlowsError as error:
            work.refuse(error)
            return
        if self.fault is not None:
            work.refuse(self.fault)
        elif self.poison(columns):
            work.quarantine(crashed())
        else:
            work.accept(result_of(job_id, work, columns), lambda: self.settled.append(job_id))

    def release(self) -> None:
        """Compute everything that waits, and from now on at once."""
        self.is_held = False
        for _ in list(self.waiting):
            self.step()


def result_of(job_id: int, work: Any, columns: dict[str, np.ndarray]) -> wire.Result:
    """Compute a chunk as a worker does."""
    opt = FlowOptions(**{k: v for k, v in work.options.items() if k in OPTION_NAMES})
    if work.kind == "posterior":
        out, _, _ = compute._posterior(the_field(), opt, {}, columns)
    elif work.kind == "sightline":
        out, _, _ = compute._sightline(the_field(), opt, work.options, columns)
    else:
        v = distances.velocities(the_field(), columns["lon"], columns["lat"], columns["distance"], options=opt)
        out = {"values": v.values, "codes": np.stack([v.status, v.inside.astype(np.int32)], axis=1)}
    sha = wire.digest([np.ascontiguousarray(c).reshape(-1).data for c in out.values()])
    return wire.Result(j=job_id, a=1, tok=b"t" * 16, w=b"w" * 16, st="ok", n=work.rows, us=1, sha=sha, columns=out)


def draft(n: int = 1, *, owner: str = "me", kind: str = "distance", key: str | None = None, seed: int = 1, duration: float = 0.0,
          **columns: Any) -> Draft:
    """Return a job of n rows."""
    rng = np.random.default_rng(seed)
    rows = {"lon": rng.uniform(0, 360, n), "lat": rng.uniform(-80, 80, n),
            **({"cz": rng.uniform(500, 8000, n), "sigma_cz": np.full(n, 30.0)} if kind == "distance" else
               {"distance": rng.uniform(5, 90, n)}), **{k: np.asarray(v, float) for k, v in columns.items()}}
    header, written = spool.pack(rows)
    sha = hashlib.sha256(b"".join(c.tobytes() for c in written)).digest()
    return Draft(owner, kind, FIELD, RECORD, {"options": OPTIONS.as_dict(), "pair": ["lon", "lat"]}, n, sha, sha, header, written,
                 idempotency=key, execution_duration=duration)


@dataclass
class Kept:
    """Open jobs with their pool."""

    jobs: Jobs
    pool: ComputingPool
    identity: Identity

    def __getitem__(self, job: int) -> Any:
        row = self.jobs.shelf.row(job)
        assert row is not None
        return row

    async def until(self, job: int, *phases: str, timeout_s: float = 20.0) -> Any:
        """Wait until a job is in one of some phases; return its row."""
        begin = time.monotonic()
        while (row := self[job])["phase"] not in (phases or ("COMPLETED",)):
            if time.monotonic() - begin > timeout_s:
                raise AssertionError(f"job {job} is {row['phase']} after {timeout_s} s: {dict(row)}")
            await asyncio.sleep(0.003)
        await self.jobs.flush()  # and everybody has been told
        return row

"""Long work: jobs that are accepted once and end once, whatever dies meanwhile.

A job is cut into chunks that the dispatcher gives to workers; what becomes of them goes to the store, and only from there
to anybody else: a submission is answered after its commit, a worker may forget a result after its commit. This module owns
the life of jobs; `store` writes, `job_shelf` reads, `job_queries` says what may be asked for and `job_api` what is told.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from cfcore.errors import CosmicFlowsError, InternalError, TransientError

from . import job_records as records
from . import spool
from .job_chunks import WORKER_KINDS, Active, Chunk, Pool
from .job_load import Load, Weight
from .job_news import News
from .job_positions import Positions
from .job_reconciler import reconcile
from .job_records import Draft, Part, Step
from .job_schema import Identity
from .job_shelf import Shelf
from .meters import Meters
from .store import Store, refusal, spooled
from .work import Columns

log = logging.getLogger("gateway.jobs")
CHUNK_ROWS = 10_000
CHUNKS_MAX = 200_000
BYTES_MAX = 2 << 30
TICK_S = 0.5
SWEEP_S = 60.0
SWEEP_MOST = 200


class Jobs:
    """Keep jobs over restarts and have them done.

    Parameters
    ----------
    folder : Path
        Of the store.
    pool : Pool
        The dispatcher.
    retention_days : float
        How long a job that has ended, and its result, are kept.
    chunk_rows, chunks_max, bytes_max : int
        Rows of a chunk; bounds of what may be unfinished: chunks, and bytes of rows.
    """

    shelf: Shelf

    def __init__(self, folder: Path, pool: Pool, *, retention_days: float = 14.0, chunk_rows: int = CHUNK_ROWS,
                 chunks_max: int = CHUNKS_MAX, bytes_max: int = BYTES_MAX, meters: Meters | None = None) -> None:
        self.store = Store(folder)
        self._meters = meters or Meters()
        self.store.on_commit = lambda seconds: self._meters.observe("commit", seconds)
        self.retention_days = retention_days
        self._pool = pool
        self._chunk_rows = chunk_rows
        self.load = Load(pool, chunks_max, bytes_max)
        self.news = News()
        self._positions = Positions(folder)
        self._active: dict[int, Active] = {}
        self._ended: Counter[str] = Counter()
        self._unmarked: set[Active] = set()
        self._late: list[Chunk] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._is_open = self._is_closed = False
        self._next_sweep = 0.0

    # Beginning and end

    def open(self) -> Identity:
        """Open the store and return who we are to the workers; raises `UsageError` when it cannot be used."""
        self.store.open()
        try:
            self.shelf = Shelf(self.store)
            for line in reconcile(self.store.writer, self.store.spool, time.time(), self.retention_days):
                log.warning("%s", line)
        except BaseException:
            self.store.abandon()
            raise
        self._ended.update(self.shelf.ended())
        return self.store.identity

    def start(self) -> None:
        """Begin to work: what had not ended is given to the dispatcher again, under the numbers workers know it by."""
        self._loop = asyncio.get_running_loop()
        self.store.start(self._on_trouble)
        self._is_open = True
        chunks, waiting = 0, self.shelf.open_chunks()
        self._positions.open(row["job"] for row in waiting)
        for row in waiting:
            active = self._active.get(row["job"]) or self._revive(row["job"])
            self._hand_over(active, (row["id"], row["start"], row["stop"]), row["suspicion"])
            chunks += 1
        if chunks:
            log.warning("%d jobs go on where they were (%d chunks)", len(self._active), chunks)
        self._tick()

    def stop(self) -> None:
        """Accept no new job from now on."""
        self._is_open = False

    async def flush(self) -> None:
        """Wait until everything handed over so far is on disk, or the disk refuses."""
        if self.store.is_running:
            try:
                await self.store.write(lambda db: None)
            except TransientError as error:
                log.warning("%s", error.message)

    async def close(self) -> None:
        """End: what is on disk stays for the next start."""
        self._is_open, self._is_closed = False, True
        for timer in self._timers:
            timer.cancel()
        if self.store.is_open:
            self.shelf.close()
        self._positions.close()
        await self.store.close()

    # What clients do

    async def submit(self, draft: Draft) -> tuple[int, bool]:
        """Accept a job; return its id, and whether it is new: a repeated key finds the job of the first time.

        Raises
        ------
        TransientError
            Codes ``queue_full``, ``owner_full``, ``store_full``, ``store_unavailable``, ``draining``.
        UsageError
            Code ``idempotency_conflict``.
        """
        self._check_open()
        weight = self._weight(draft)
        self.load.admit(draft.owner, weight)
        (job, is_new), = await self._whole(self._submit([draft], [weight]))
        return job, is_new

    async def submit_all(self, drafts: list[Draft]) -> list[int]:
        """Accept some jobs of one owner, all of them or none; return their ids in the same order. Raises as `submit` does."""
        self._check_open()
        weights = [self._weight(draft) for draft in drafts]
        self.load.admit(drafts[0].owner, (sum(w[0] for w in weights), sum(w[1] for w in weights)))
        return [job for job, _ in await self._whole(self._submit(drafts, weights))]

    async def _submit(self, drafts: list[Draft], weights: list[Weight]) -> list[tuple[int, bool]]:
        for draft, weight in zip(drafts, weights):
            self.load.add(draft.owner, *weight)
        done: list[records.Submitted] = []
        try:
            for k, draft in enumerate(drafts):
                if draft.input_file is None and len(draft.header) + draft.nbytes > spool.INLINE_MAX:
                    drafts[k] = await asyncio.to_thread(spooled, self.store.spool, draft)
            now = time.time()
            done = await self.store.write(lambda db: [
                records.insert(db, draft, now, self.retention_days, self._chunk_rows) for draft in drafts])
            for draft, made in zip(drafts, done):
                if made.parts:
                    options = {**draft.params["options"], **draft.params.get("more", {})}
                    active = Active(self, made.job, draft.owner, WORKER_KINDS[draft.kind], draft.field, options,
                                    draft.input_file, draft.nbytes, draft.execution_duration)
                    self._active[made.job] = active
                    for part in made.parts:
                        self._hand_over(active, part, 0, is_counted=True)
            return [(made.job, made.is_new) for made in done]
        finally:
            for k, (draft, weight) in enumerate(zip(drafts, weights)):
                if not done or not done[k].parts:
                    self.load.add(draft.owner, -weight[0], -weight[1])
                if not done or not done[k].is_new:
                    for name in draft.files:
                        (self.store.spool / name).unlink(missing_ok=True)

    async def run(self, job: int) -> None:
        """Put a PENDING job to work; any other stays as it is. Raises as `submit` does."""
        self._check_open()
        row = self.shelf.row(job)
        if row is not None and row["phase"] == "PENDING":
            self.load.admit(row["owner"], (-(-row["rows_total"] // self._chunk_rows), self.shelf.work(job)["input_bytes"]))
            await self._whole(self._run(job))

    async def _run(self, job: int) -> None:
        step, parts = await self.store.write(lambda db: records.run(db, job, self._chunk_rows))
        active = self._revive(job) if parts else None
        for part in parts:
            assert active is not None
            self._hand_over(active, part, 0)
        self._count(job, step)

    async def amend(self, job: int, **changes: Any) -> None:
        """Change words about a job: `run_id`, `execution_duration` (s), `destruction` (Unix time), `facts`, `share` (SHA-256)."""
        await self.store.write(lambda db: records.amend(db, job, changes))
        active = self._active.get(job)
        if active is not None and "execution_duration" in changes:
            active.duration = changes["execution_duration"]
        self._next_sweep = 0.0 if "destruction" in changes else self._next_sweep
        self.news.tell(job, is_last=active is None)

    def _check_open(self) -> None:
        if not self._is_open:
            raise TransientError("the service is shutting down; try again in a few seconds", code="draining")
        if self.store.trouble:
            raise refusal(self.store.trouble)

    def _weight(self, draft: Draft) -> Weight:
        return -(-draft.rows // self._chunk_rows), draft.nbytes

    async def cancel(self, job: int) -> None:
        """End a job; its finished rows stay as a partial result. A job that has ended stays as it is."""
        await self._whole(self._cancel(job))

    async def _cancel(self, job: int) -> None:
        run = self._ending(job, "ABORTED", "cancelled", "cancelled by its owner")
        self._told_end(job, await self.store.write(run))

    async def delete(self, job: int) -> None:
        """Take a job, its rows and its result off the disk; an unfinished one is cancelled."""
        await self._whole(self._delete(job))

    async def _delete(self, job: int) -> None:
        self._archived(job, await self.store.write(lambda db: records.archive(db, job, time.time())))

    # What clients ask

    def live_phase(self, job: int, stored: str) -> str:
        """Return the phase now: work may have begun that the store is only told of later."""
        active = self._active.get(job)
        return "EXECUTING" if stored == "QUEUED" and active is not None and active.started else stored

    def outlook(self, job: int) -> tuple[int | None, float | None]:
        """Return how many chunks start before a job's first one (None: it has begun), and in how many seconds it may end."""
        active = self._active.get(job)
        if active is None or not active.chunks or active.is_ended:
            return None, None
        # who comes later may have a turn before the second job of an owner; what was told is kept all the same
        position = None if active.started else self._positions.tell(job, self._pool.ahead_of(min(active.chunks)))
        backlog = self._pool.backlog()
        if backlog["seconds"] is None or not backlog["jobs"]:
            return position, None
        share = (self._pool.ahead_of(max(active.chunks)) + 1) / backlog["jobs"]
        return position, float(min(1.0, share) * backlog["seconds"])

    def counts(self) -> dict[str, int]:
        """Return how many jobs are in each phase."""
        executing = sum(1 for active in self._active.values() if active.started and not active.is_ended)
        unfinished = sum(1 for active in self._active.values() if not active.is_ended)
        return {"PENDING": self.shelf.pending(), "QUEUED": unfinished - executing, "EXECUTING": executing,
                **{phase: self._ended[phase] for phase in (*records.ENDED, "ARCHIVED")}}

    def health(self) -> dict[str, Any]:
        """Say whether jobs can be accepted, and why not."""
        why = self.store.trouble or ("" if self._is_open else "shutting down")
        return {"ok": not why, "why": why, "quarantined": self.shelf.in_quarantine() if self._is_open else 0}

    # Quarantine

    async def release(self, record: int) -> None:
        """Run a row in quarantine again; the answer takes its place in the result."""
        await self._whole(self._release(record))

    async def _release(self, record: int) -> None:
        job, part = await self.store.write(lambda db: records.release(db, record, time.time()))
        self._hand_over(self._active.get(job) or self._revive(job), part, 0)

    async def drop(self, record: int) -> None:
        """Take a row off the list; in the result it stays without an answer."""
        await self.store.write(lambda db: records.drop(db, record, time.time()))

    # What chunks report (see `job_chunks`)

    def started(self, active: Active) -> None:
        """Note that a chunk of a job has gone to a worker."""
        if not active.started:
            active.started = time.time()
            self._positions.forget(active.job)
            self._unmarked.add(active)
            self.news.tell(active.job)

    def write(self, chunk: Chunk, run: Callable[[sqlite3.Connection], Step], then: Callable[[], None] | None = None) -> None:
        """Write what became of a chunk; `then` is called once it is on disk."""
        def done(step: Step | None, error: CosmicFlowsError | None) -> None:
            if error is not None or step is None:
                log.error("chunk %d of job %d: %s", chunk.id, chunk.active.job, error)
                self._give_up(chunk, error or InternalError("the store failed"), then)
            else:
                self._written(chunk, step, then)
        self.store.put(run, done, must=True)

    def _give_up(self, chunk: Chunk, error: CosmicFlowsError, then: Callable[[], None] | None) -> None:
        """End the job of a chunk whose end cannot be written, which is a fault of ours: it would be the same the next time."""
        def done(step: Step | None, worse: CosmicFlowsError | None) -> None:
            if step is None:
                log.error("chunk %d of job %d cannot be given up: %s", chunk.id, chunk.active.job, worse)
                self._late.append(chunk)
            else:
                self._written(chunk, step, then)
        self.store.put(lambda db: records.refuse(db, chunk.id, error, time.time(), self.retention_days), done, must=True)

    def _written(self, chunk: Chunk, step: Step, then: Callable[[], None] | None) -> None:
        active = chunk.active
        for part in step.parts:
            self._hand_over(active, part, records.suspicion(part[2] - part[1]))
        self._drop(chunk)
        self._count(active.job, step)
        self._ended_as(active, step)
        if then is not None:
            self._meters.count("rows", (chunk.kind, active.field[0]), chunk.rows)
            then()

    def later(self, chunk: Chunk) -> None:
        """Give a chunk to the dispatcher again, at the next tick."""
        self._late.append(chunk)

    def input(self, job: int, start: int, stop: int, file: str | None = None) -> Columns:
        """Return rows of a job, as `Shelf.input` does."""
        return self.shelf.input(job, start, stop, file)

    # Inside

    def _revive(self, job: int) -> Active:
        row = self.shelf.work(job)
        params = orjson.loads(row["params"])
        active = Active(self, job, row["owner"], WORKER_KINDS[row["kind"]], (row["field"], row["field_sha"]),
                        {**params["options"], **params.get("more", {})}, row["input_file"], row["input_bytes"],
                        row["execution_duration"])
        active.started = row["start"] or 0.0
        active.is_ended = row["phase"] in records.ENDED
        self._active[job] = active
        self.load.add(active.owner, 0, active.nbytes)
        return active

    def _hand_over(self, active: Active, part: Part, suspicion: int, *, is_counted: bool = False) -> None:
        chunk = active.chunks[part[0]] = Chunk(active, *part, suspicion)
        if not is_counted:
            self.load.add(active.owner, 1, 0)
        self._pool.submit(chunk, active.field, job_id=chunk.id, owner=active.owner, suspicion=suspicion)

    def _drop(self, chunk: Chunk) -> None:
        active = chunk.active
        if active.chunks.pop(chunk.id, None) is None:
            return
        self.load.add(active.owner, -1, 0)
        if not active.chunks and self._active.get(active.job) is active:
            del self._active[active.job]
            self._positions.forget(active.job)
            self._unmarked.discard(active)
            self.load.add(active.owner, 0, -active.nbytes)

    def _ended_as(self, active: Active, step: Step) -> None:
        """Take note of what a step did to a job."""
        for chunk in [active.chunks[k] for k in step.withdrawn if k in active.chunks]:
            self._drop(chunk)
        if step.withdrawn:
            self._pool.withdraw(list(step.withdrawn), f"the job is {step.phase}")
        active.is_ended |= step.phase in records.ENDED

    def _count(self, job: int, step: Step) -> None:
        """Keep the count of the ended jobs that of the store, and tell who watches: once of each step."""
        if step.phase != step.before:
            if step.before in self._ended:
                self._ended[step.before] -= 1
            if step.phase not in ("QUEUED", "EXECUTING"):
                self._ended[step.phase] += 1
            if step.phase in records.ENDED:
                return self.news.ended(job)
            if step.phase == "ARCHIVED":
                return self.news.gone(job)
        if step.phase:
            self.news.tell(job, is_last=step.phase not in ("QUEUED", "EXECUTING"))

    def _ending(self, job: int, phase: str, code: str, text: str) -> Callable[[sqlite3.Connection], Step]:
        return lambda db: records.end(db, job, phase, code, text, time.time(), self.retention_days)

    def _told_end(self, job: int, step: Step | None) -> None:
        active = self._active.get(job)
        if step is not None:
            self._count(job, step)
            if active is not None:
                self._ended_as(active, step)

    async def _whole(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do something to its end, even when whoever asked for it leaves: what is on disk must be known here, too."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def _archived(self, job: int, step: Step) -> None:
        if not step.phase:
            return
        active = self._active.get(job)
        if active is not None:
            active.is_ended = True
            self._ended_as(active, step)
        self._count(job, step)
        for name in step.files:
            (self.store.spool / name).unlink(missing_ok=True)

    def _on_trouble(self, why: str) -> None:
        self._pool.pause_bulk(bool(why))

    def _tick(self) -> None:
        if self._is_closed:
            return
        self._timers = [self._loop.call_later(TICK_S, self._tick)]
        late, self._late = self._late, []
        for chunk in late:
            if chunk.id in chunk.active.chunks:
                self._pool.submit(chunk, chunk.active.field, job_id=chunk.id, owner=chunk.active.owner, suspicion=chunk.suspicion)
        marks = [(active.started, active.job) for active in self._unmarked]
        self._unmarked.clear()
        if marks:
            self.store.put(lambda db: records.mark_started(db, marks), must=True)
        now = time.time()
        for active in [a for a in self._active.values() if a.duration and a.started and now - a.started > a.duration]:
            run = self._ending(active.job, "ERROR", "deadline", f"the job did not end within its execution_duration of "
                               f"{active.duration:g} s")
            active.duration = 0.0
            self.store.put(run, lambda step, error, job=active.job: self._told_end(job, step), must=True)  # type: ignore[misc]
        if self._loop.time() >= self._next_sweep and not self.store.trouble:
            self._next_sweep = self._loop.time() + SWEEP_S
            self._sweep(now)

    def _sweep(self, now: float) -> None:
        """Destroy jobs whose time on the shelf is over."""
        found = self.shelf.expired(now, SWEEP_MOST)
        if len(found) == SWEEP_MOST:
            self._next_sweep = 0.0
        for job in found:
            def done(step: Step | None, error: CosmicFlowsError | None, job: int = job) -> None:
                if step is not None:
                    self._archived(job, step)
            self.store.put(lambda db, job=job: records.archive(db, job, now), done)  # type: ignore[misc]


"""Results as files: made once, by another process, kept while there is room, gone with their job.

A file holds one result in one format. Those who ask for it while it is made wait together. The folder is emptied at the start:
whatever lies there can be made again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import shutil
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any

from aiohttp import web

from cfcore.errors import CosmicFlowsError, InternalError, TransientError

from . import confined
from .job_view import need_result
from .jobs import Jobs

log = logging.getLogger("gateway.renders")
FOLDER = "renders"
ROOM, FILES = 4 << 30, 10_000
"""Bytes of files that are kept, and how many: of each a word stands in memory."""
AT_ONCE, WAITING, WAITING_OF_ONE = 2, 64, 16
WAIT_S, RETRY_S, LIMIT_S = 100.0, 10, 600.0
LIMITS = {"memory": 6 << 30, "cpu_s": 580, "file_bytes": 8 << 30}
FORMATS: dict[str, tuple[str, str]] = {
    "csv": ("csv", "text/csv; charset=utf-8"), "tsv": ("tsv", "text/tab-separated-values; charset=utf-8"),
    "ecsv": ("ecsv", "application/x-ecsv"), "fits": ("fits", "application/fits"),
    "votable": ("vot", "application/x-votable+xml"), "parquet": ("parquet", "application/vnd.apache.parquet"),
    "json": ("json", "application/json"), "msgpack": ("msgpack", "application/msgpack")}
"""format -> end of a file's name, media type."""
Key = tuple[int, str, str, str]


@dataclass(frozen=True, slots=True)
class Rendered:
    """Name a file with the result of a job."""

    path: Path
    media_type: str
    size: int
    sha256: str


class Renders:
    """Make and keep files of results.

    Parameters
    ----------
    jobs : Jobs
        Open when `start` is called.
    room : int
        Bytes of files that are kept; a single larger one is kept until the next is made.
    limits : dict
        What the process that makes a file may use: ``memory``, ``cpu_s``, ``file_bytes``.
    """

    def __init__(self, jobs: Jobs, *, room: int = ROOM, limits: dict[str, int] | None = None) -> None:
        self.jobs, self._room, self._limits = jobs, room, limits or LIMITS
        self.folder = jobs.store.folder / FOLDER
        self._kept: OrderedDict[Key, Rendered] = OrderedDict()
        self._making: dict[Key, asyncio.Task[Rendered]] = {}
        self._owners: Counter[str] = Counter()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def start(self) -> None:
        """Begin with an empty folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.jobs.news.on_gone.append(self.forget)

    async def close(self) -> None:
        """End what is being made; the files stay until the next start."""
        tasks = list(self._making.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, job: int) -> None:
        """Remove the files of a job."""
        for key in [key for key in self._kept if key[0] == job]:
            self._remove(key)
        for key, task in self._making.items():
            if key[0] == job:
                task.cancel()

    def peek(self, row: Row, fmt: str, flow: str) -> Rendered | None:
        """Return a file when it is there; none is made."""
        return self._kept.get(self._key(row, fmt, flow))

    async def get(self, row: Row, fmt: str, flow: str = "distance", *, wait_s: float = WAIT_S) -> Rendered:
        """Return the file of a job's result, once it is there.

        Parameters
        ----------
        row : Row
            Of a job that has ended and has a result.
        fmt, flow : str
            One of `FORMATS`; a flow type, which matters to jobs of kind distance only.
        wait_s : float
            The longest to wait; what is being made goes on.

        Raises
        ------
        TransientError
            Codes ``rendering`` (not yet), ``busy`` (too many are being made), ``store_full``.
        UsageError
            When the format cannot hold a column of the table.
        """
        key = self._key(row, fmt, flow)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        task = self._making.get(key)
        if task is None:
            task = self._begin(key, row["owner"])
        await asyncio.wait({task}, timeout=wait_s)
        if not task.done():
            raise TransientError(f"{FORMATS[fmt][0]} of job {row['id']} is being made ({row['rows_done']} rows); available in "
                                 f"{RETRY_S} seconds", code="rendering", extra={"retry_after_s": RETRY_S})
        if task.cancelled():
            raise gone()
        return task.result()

    def _key(self, row: Row, fmt: str, flow: str) -> Key:
        # rows that are released from quarantine join the result of a job that has ended: then it is another file
        parts = hashlib.sha256(repr([(p["start"], p["state"], p["sha"]) for p in self.jobs.shelf.parts(row["id"])]).encode())
        return row["id"], fmt, flow if row["kind"] == "distance" else "distance", parts.hexdigest()[:16]

    def _begin(self, key: Key, owner: str) -> asyncio.Task[Rendered]:
        if len(self._making) >= WAITING or self._owners[owner] >= WAITING_OF_ONE:
            raise TransientError(f"{self._owners[owner]} files are being made for you, {len(self._making)} in all, of at most "
                                 f"{WAITING_OF_ONE} and {WAITING}; available in {RETRY_S} seconds", code="busy",
                                 extra={"retry_after_s": RETRY_S})
        self._owners[owner] += 1
        task = asyncio.create_task(self._make(key))
        self._making[key] = task

        def done(task: asyncio.Task[Rendered]) -> None:
            del self._making[key]
            self._owners[owner] -= 1
            if not self._owners[owner]:
                del self._owners[owner]
            if not task.cancelled():
                task.exception()  # those who wait are told; without them nobody needs to be
        task.add_done_callback(done)
        return task

    async def _make(self, key: Key) -> Rendered:
        job, fmt, flow, version = key
        suffix, media = FORMATS[fmt]
        draft = self.folder / f".{job}-{secrets.token_hex(8)}.part"
        path = self.folder / f"{job}-{flow}-{version}.{suffix}"
        asked: dict[str, Any] = {"folder": str(self.jobs.store.folder.absolute()), "job": job, "format": fmt, "flow": flow,
                                 "out": str(draft.absolute()), "limits": self._limits}
        async with self._slots:
            try:
                made = await confined.run("gateway.render_table", asked, LIMIT_S)
                draft.rename(path)
            except confined.Stopped as stopped:
                if not stopped.is_late:
                    log.error("job %d could not be written as %s: %s", job, fmt, stopped)
                    raise InternalError(f"the file could not be written: {stopped}") from None
                raise TransientError(f"{stopped} and has been given up; ask for another format, or when less is going on",
                                     code="rendering", extra={"retry_after_s": 60}) from None
            except CosmicFlowsError as error:
                if isinstance(error, InternalError):
                    log.error("job %d could not be written as %s: %s", job, fmt, error.message)
                raise
            finally:
                with suppress(OSError):
                    draft.unlink(missing_ok=True)
        rendered = Rendered(path, media, made["size"], made["sha256"])
        self._kept[key] = rendered
        self._make_room(key)
        return rendered

    def _make_room(self, newest: Key) -> None:
        size = sum(kept.size for kept in self._kept.values())
        while (size > self._room or len(self._kept) > FILES) and (oldest := next(iter(self._kept))) != newest:
            size -= self._kept[oldest].size
            self._remove(oldest)

    def _remove(self, key: Key) -> None:
        # who is reading it goes on: the file is there until it is closed
        with suppress(OSError):
            self._kept.pop(key).path.unlink(missing_ok=True)


RENDERS = web.AppKey("renders", Renders)


def gone() -> TransientError:
    """Return what is told when a file went away between two steps."""
    return TransientError("the file is not there any more: there was need of room, or its job was destroyed; available in "
                          f"{RETRY_S} seconds if the job is there", code="rendering", extra={"retry_after_s": RETRY_S})


async def get(app: web.Application, row: Row, fmt: str, flow: str = "distance") -> Rendered:
    """Return the file of a job's result, for a door; raises as `Renders.get` and, when the job is not finished, as `need_result`
    does."""
    renders = app[RENDERS]
    need_result(renders.jobs, row)
    return await renders.get(row, fmt, flow)

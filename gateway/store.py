"""The durable store of jobs: one SQLite file, one thread that writes it, and nothing is told before it is on disk.

Operations are functions of a connection. The writer takes all that have gathered, runs them in one transaction, brings the
result files they wrote to disk, commits, and only then tells the event loop. Where the disk refuses, operations that must
not be lost are kept and tried again until it takes them; the others are refused at once. What the tables mean is the
business of `job_records`.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfcore.errors import CosmicFlowsError, InternalError, TransientError, UsageError

from . import job_schema, spool
from .job_records import Draft, with_input_file

log = logging.getLogger("gateway.store")
GROUP_MAX = 512
GATHER_S = 0.003
"""The longest a commit waits for company, once more than one operation has come at a time."""
RETRY_S = 0.5
PROBE_BYTES = 1 << 18
DATABASE, DAMAGED, LOCK, SPOOL = "jobs.db", "jobs.db.damaged", "lock", "spool"
Run = Callable[[sqlite3.Connection], Any]
Done = Callable[[Any, "CosmicFlowsError | None"], None]


@dataclass(slots=True, eq=False)
class Operation:
    """Something to write, and whom to tell: `done(value, error)` is called in the event loop, after the commit."""

    run: Run
    done: Done | None
    must: bool
    value: Any = None
    error: CosmicFlowsError | None = None


class Store:
    """Own the folder of the jobs: the database, the spool and the lock that keeps a second gateway out.

    Parameters
    ----------
    folder : Path
        Made when it is not there.

    Attributes
    ----------
    identity : Identity
        Who this store is to the workers; known after `open`.
    results : Results
        The result files; for operations only.
    writer : sqlite3.Connection
        Of the writer's thread, once that runs.
    trouble : str
        Why nothing can be written at the moment; empty when all is well.
    on_commit : callable, optional
        Told, in the event loop, how many seconds each commit took.
    """

    identity: job_schema.Identity
    writer: sqlite3.Connection

    def __init__(self, folder: Path) -> None:
        self.folder, self.spool = folder, folder / SPOOL
        self.results = spool.Results(self.spool)
        self.trouble = ""
        self.commits = self.operations = 0
        self.commit_seconds = 0.0
        self._queue: queue.SimpleQueue[Operation | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock: int | None = None
        self._on_trouble: Callable[[str], None] = lambda why: None
        self.on_commit: Callable[[float], None] | None = None

    def open(self) -> None:
        """Take the folder, check the database after an unclean end, and begin a new epoch.

        Raises
        ------
        UsageError
            Codes ``jobs_folder`` (it cannot be used), ``jobs_in_use`` (another gateway has it), ``jobs_damaged``, ``jobs_newer``.
        """
        try:
            self.spool.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"the folder of the jobs {self.folder} cannot be used ({error.strerror}); name another one with "
                             "CF_JOBS, or another data directory with --data", code="jobs_folder") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._unlock()
            raise UsageError(f"another gateway keeps its jobs in {self.folder}; end it, or name another folder with CF_JOBS",
                             code="jobs_in_use") from None
        try:
            self.writer = self._open_checked()
        except BaseException:
            self._unlock()
            raise

    def start(self, on_trouble: Callable[[str], None]) -> None:
        """Begin to write; `on_trouble(why)` is called in this loop when the disk refuses, and with "" when it works again."""
        self._loop, self._on_trouble = asyncio.get_running_loop(), on_trouble
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def put(self, run: Run, done: Done | None = None, *, must: bool = False) -> None:
        """Hand over something to write.

        Parameters
        ----------
        run : callable
            Takes the connection, returns plain data. It may be run again, and raises `CosmicFlowsError` only before it has
            written anything.
        done : callable, optional
            Told the value, or the error, in the event loop.
        must : bool
            Keep it and try again while the disk refuses.
        """
        self._queue.put(Operation(run, done, must))

    async def write(self, run: Run) -> Any:
        """Write something and wait until it is on disk; return its value or raise its error.

        Raises
        ------
        TransientError
            Codes ``store_full``, ``store_unavailable``.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def done(value: Any, error: CosmicFlowsError | None) -> None:
            if not future.done():
                future.set_exception(error) if error else future.set_result(value)
        self.put(run, done)
        return await future

    def reader(self) -> sqlite3.Connection:
        """Return a new connection that can only read; it sees what is committed."""
        return connect(self.folder / DATABASE, "ro")

    async def close(self) -> None:
        """Write what was handed over, say that the end was clean, and give the folder free."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None
        if self._lock is not None:
            try:
                job_schema.mark(self.writer, is_clean=not self.trouble)
                self.writer.close()
            except sqlite3.Error as error:
                log.error("the store could not be closed in order: %s", error)
            self._unlock()

    @property
    def is_open(self) -> bool:
        """Whether the folder is ours."""
        return self._lock is not None

    @property
    def is_running(self) -> bool:
        """Whether somebody writes."""
        return self._thread is not None

    def abandon(self) -> None:
        """Give the folder free without a word, when the start fails."""
        self.writer.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _open_checked(self) -> sqlite3.Connection:
        path, aside = self.folder / DATABASE, self.folder / DAMAGED
        if aside.exists() and not path.exists():
            raise UsageError(f"the jobs were found damaged and lie in {aside}; put a backup in place as {path}, or remove the "
                             "damaged file to begin without jobs", code="jobs_damaged")
        why = ""
        connection = None
        try:
            connection = connect(path, "rwc")
            job_schema.tune(connection)
            if not job_schema.is_clean(connection):
                began = time.monotonic()
                why = "; ".join(row[0] for row in connection.execute("PRAGMA quick_check(3)") if row[0] != "ok")
                log.warning("the last end was not a clean one; the store was checked in %.2f s", time.monotonic() - began)
            if not why:
                self.identity = job_schema.begin(connection)
                return connection
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise UsageError(f"the jobs in {self.folder} cannot be opened ({error}); mend that, or name another folder with "
                                 "CF_JOBS", code="jobs_folder") from None
            why = str(error)
        except UsageError:
            connection.close()
            raise
        if connection is not None:
            connection.close()
        for suffix in ("", "-wal", "-shm"):
            if (found := Path(f"{path}{suffix}")).exists():
                found.rename(f"{aside}{suffix}")
        raise UsageError(f"the jobs in {path} are damaged ({why[:200]}); they have been set aside as {aside.name}. Put a backup "
                         "in its place, or remove that file to begin without jobs", code="jobs_damaged")

    # The writer thread

    def _run(self) -> None:
        kept: list[Operation] = []
        retry_at = 0.0
        while True:
            if self.trouble:
                last = self._gather_in_trouble(kept, retry_at)
                group, kept = kept, []
            else:
                group, last = self._gather()
            if group or self.trouble:
                kept = self._commit(group)
                retry_at = time.monotonic() + RETRY_S
            if last:
                if kept:
                    log.error("%d operations could not be written before the end; the workers keep their results", len(kept))
                return

    def _gather(self) -> tuple[list[Operation], bool]:
        first = self._queue.get()
        if first is None:
            return [], True
        group = [first]
        until = 0.0
        while len(group) < GROUP_MAX:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                # alone it goes at once; in company it is worth a moment's wait for those who are on their way
                if len(group) == 1:
                    break
                now = time.monotonic()
                until = until or now + GATHER_S
                if now >= until:
                    break
                try:
                    more = self._queue.get(timeout=until - now)
                except queue.Empty:
                    break
            if more is None:
                return group, True
            group.append(more)
        return group, False

    def _gather_in_trouble(self, kept: list[Operation], until: float) -> bool:
        """Keep what must not be lost and refuse the rest, until it is time to try again; True at the end of the store."""
        while (left := until - time.monotonic()) > 0:
            try:
                operation = self._queue.get(timeout=left)
            except queue.Empty:
                return False
            if operation is None:
                return True
            if operation.must:
                kept.append(operation)
            else:
                operation.error = refusal(self.trouble)
                self._tell([operation])
        return False

    def _commit(self, group: list[Operation]) -> list[Operation]:
        """Write a group; return what is to be tried again."""
        began = time.perf_counter()
        try:
            self._transaction(group)
        except (sqlite3.Error, OSError) as error:
            kept = [operation for operation in group if operation.must]
            self._set_trouble(_why(error))
            for operation in group:
                if not operation.must:
                    operation.error = refusal(self.trouble)
            self._tell([operation for operation in group if not operation.must])
            return kept
        except Exception as error:
            if len(group) > 1:
                # one of them is wrong: each gets its own transaction, so that only that one fails
                return [kept for operation in group for kept in self._commit([operation])]
            log.exception("an operation on the store failed")
            group[0].error = InternalError(f"the store failed ({type(error).__name__}); its log has the details")
        self.commits += 1
        self.operations += len(group)
        seconds = time.perf_counter() - began
        self.commit_seconds += seconds
        if self.on_commit is not None:
            self._call(self.on_commit, seconds)
        self._set_trouble("")
        self._tell(group)
        return []

    def _transaction(self, group: list[Operation]) -> None:
        connection = self.writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            if self.trouble:
                job_schema.probe(connection, PROBE_BYTES)
            for operation in group:
                operation.error = None
                try:
                    operation.value = operation.run(connection)
                except CosmicFlowsError as error:
                    operation.error = error
            self.results.sync()
            connection.execute("COMMIT")
        except BaseException:
            self.results.close()
            if connection.in_transaction:
                try:
                    connection.execute("ROLLBACK")
                except sqlite3.Error as error:
                    log.error("rollback: %s", error)
            raise

    def _set_trouble(self, why: str) -> None:
        if why == self.trouble:
            return
        log.log(logging.ERROR if why else logging.WARNING, "%s", why or "the store can write again")
        self.trouble = why
        self._call(self._on_trouble, why)

    def _tell(self, group: list[Operation]) -> None:
        if any(operation.done for operation in group):
            self._call(_deliver, group)

    def _call(self, function: Callable[[Any], None], value: Any) -> None:
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(function, value)
        except RuntimeError:
            log.warning("the store outlived its event loop")


def refusal(trouble: str) -> TransientError:
    """Return what a client is told while nothing can be written."""
    code = "store_full" if "full" in trouble else "store_unavailable"
    return TransientError(f"no job can be accepted: {trouble}; what was accepted is safe; available in 5 seconds if it is mended",
                          code=code, extra={"retry_after_s": 5})


def spooled(folder: Path, draft: Draft) -> Draft:
    """Write the rows of a draft into the spool; return it with the name of their file."""
    try:
        return with_input_file(draft, spool.write_input(folder, draft.header, draft.written))
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise refusal("the disk of the jobs is full" if is_full else "the store of the jobs cannot write") from None


def _deliver(group: list[Operation]) -> None:
    for operation in group:
        if operation.done is not None:
            try:
                operation.done(operation.value, operation.error)
            except Exception:
                # one listener's fault must not keep the news from the others
                log.exception("whoever waited for a commit failed")


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open a database file as SQLite modes say (ro, rw, rwc)."""
    connection = sqlite3.connect(f"file:{_quoted(path)}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False,
                                 timeout=5.0, cached_statements=256)
    connection.row_factory = sqlite3.Row
    return connection


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _why(error: Exception) -> str:
    """Say why nothing can be written, without a path of this machine."""
    code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
    number = error.errno if isinstance(error, OSError) else None
    if code == sqlite3.SQLITE_FULL or number in (28, 122):
        return "the disk of the jobs is full"
    if code == sqlite3.SQLITE_READONLY or number == 30:
        return "the disk of the jobs is read-only"
    if code == sqlite3.SQLITE_CANTOPEN or number in (23, 24):
        return "the server has no file descriptor left"
    log.error("the store cannot write: %r", error)
    return "the store of the jobs cannot write"

"""Copies of the store, made beside a gateway that goes on working.

The database is copied first, as it is at one moment; the files it names only grow or go, so that copying them afterwards
cannot miss anything it speaks of, but for jobs that were destroyed meanwhile: those are destroyed in the copy, too.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cfcore.errors import TransientError, UsageError

from . import job_records as records
from . import job_schema
from .spool import sync_folder
from .store import DATABASE, SPOOL, connect

PAGES = 512


def backup(folder: Path, target: Path) -> dict[str, Any]:
    """Copy the store in a folder to a new folder, which is there complete or not at all.

    Raises
    ------
    UsageError
        Codes ``no_jobs``, ``backup_exists``.
    TransientError
        Code ``backup_failed``, when the disk does not take it.
    """
    began = time.monotonic()
    if target.exists():
        raise UsageError(f"{target} is there already; name a folder that is not, for each backup a new one", code="backup_exists")
    part = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        (part / SPOOL).mkdir(parents=True)
        copied = _copy_database(_opened(folder), part / DATABASE)
        try:
            files = _copy_files(copied, folder / SPOOL, part / SPOOL)
            job_schema.renew(copied)
            jobs = int(copied.execute("SELECT COUNT(*) FROM job").fetchone()[0])
            copied.execute("PRAGMA journal_mode = DELETE")
        finally:
            copied.close()
        _sync(part / DATABASE)
        for kept in (part / SPOOL, part):
            sync_folder(kept)
        part.rename(target)
        sync_folder(target.parent)
    except (OSError, sqlite3.OperationalError) as error:
        why = getattr(error, "strerror", None) or error
        raise TransientError(f"the backup could not be written ({why}); nothing is left of it, mend that and try again",
                             code="backup_failed") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return {"jobs": jobs, "files": files, "seconds": time.monotonic() - began}


def listing(folder: Path, limit: int) -> list[dict[str, Any]]:
    """Return the newest jobs of a store, whoever they belong to."""
    source = _opened(folder)
    try:
        rows = source.execute("SELECT id, phase, kind, owner, run_id, rows_done, rows_total, creation FROM job ORDER BY id DESC "
                              "LIMIT ?", (max(0, limit),)).fetchall()
    finally:
        source.close()
    return [{**dict(row), "creation": f"{datetime.fromtimestamp(row['creation'], UTC):%Y-%m-%dT%H:%M:%SZ}"} for row in rows]


def _opened(folder: Path) -> sqlite3.Connection:
    if not (folder / DATABASE).is_file():
        raise UsageError(f"there are no jobs in {folder}; name their folder with --jobs or CF_JOBS", code="no_jobs")
    return connect(folder / DATABASE, "rw")


def _copy_database(source: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        copied = connect(path, "rwc")
        # a read transaction holds the moment, or every commit meanwhile would start the copy again
        source.execute("BEGIN")
        source.execute("SELECT COUNT(*) FROM meta").fetchone()
        source.backup(copied, pages=PAGES)
        return copied
    finally:
        source.close()


def _copy_files(copied: sqlite3.Connection, source: Path, target: Path) -> int:
    n = 0
    for row in copied.execute("SELECT id, input_file, result_file, table_file FROM job WHERE phase != 'ARCHIVED'").fetchall():
        for name in filter(None, row[1:]):
            try:
                shutil.copyfile(source / name, target / name)
                _sync(target / name)
                n += 1
            except FileNotFoundError:
                for gone in records.archive(copied, row["id"], time.time()).files:
                    (target / gone).unlink(missing_ok=True)
                break
    return n


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

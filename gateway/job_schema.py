"""The tables of the store, who the store is to the workers, and whether it ended well; what is written into them is told in
`job_records`."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from cfcore.errors import UsageError

from . import webhook_records

VERSION = 2
# `input` is the last column of `job`: to reach what stands behind 64 KiB of rows costs a walk through all their pages
TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job (
  id INTEGER PRIMARY KEY AUTOINCREMENT, submission INTEGER, parent INTEGER, owner TEXT NOT NULL, kind TEXT NOT NULL,
  field TEXT NOT NULL, field_sha TEXT NOT NULL, field_record TEXT NOT NULL, phase TEXT NOT NULL, run_id TEXT,
  creation REAL NOT NULL, start REAL, end REAL, destruction REAL, execution_duration REAL NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, params TEXT NOT NULL, rows_done INTEGER NOT NULL DEFAULT 0, rows_total INTEGER NOT NULL,
  chunks_left INTEGER NOT NULL, quarantined INTEGER NOT NULL DEFAULT 0, error_code TEXT, error_text TEXT,
  idempotency TEXT, content BLOB NOT NULL, callback TEXT, input_sha BLOB NOT NULL, input_bytes INTEGER NOT NULL,
  input_file TEXT, result_file TEXT, result_end INTEGER NOT NULL DEFAULT 0,
  face TEXT NOT NULL DEFAULT 'v1', facts TEXT, table_file TEXT, table_about TEXT, share BLOB,
  is_destruction_set INTEGER NOT NULL DEFAULT 0, input BLOB);
CREATE UNIQUE INDEX IF NOT EXISTS job_idempotency ON job (owner, idempotency) WHERE idempotency IS NOT NULL;
DROP INDEX IF EXISTS job_owner;
CREATE INDEX IF NOT EXISTS job_looks ON job (owner, id, phase, kind, face, run_id, creation);
CREATE UNIQUE INDEX IF NOT EXISTS job_share ON job (share) WHERE share IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_pending ON job (owner) WHERE phase = 'PENDING';
CREATE INDEX IF NOT EXISTS job_tables ON job (owner) WHERE table_file IS NOT NULL;
CREATE INDEX IF NOT EXISTS job_task ON job (face, owner, id) WHERE phase != 'ARCHIVED';
CREATE INDEX IF NOT EXISTS job_waiting ON job (face, owner, id) WHERE phase = 'QUEUED';
CREATE INDEX IF NOT EXISTS job_destruction ON job (destruction) WHERE destruction IS NOT NULL;
CREATE TABLE IF NOT EXISTS chunk (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
  state TEXT NOT NULL, suspicion INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0, place INTEGER, size INTEGER,
  sha BLOB, error TEXT, result BLOB);
CREATE INDEX IF NOT EXISTS chunk_job ON chunk (job, start);
CREATE INDEX IF NOT EXISTS chunk_open ON chunk (state) WHERE state = 'queued';
CREATE TABLE IF NOT EXISTS quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, chunk INTEGER NOT NULL, row INTEGER NOT NULL,
  input TEXT NOT NULL, code TEXT NOT NULL, why TEXT NOT NULL, stderr TEXT NOT NULL, time REAL NOT NULL, released REAL,
  dropped REAL);
CREATE INDEX IF NOT EXISTS quarantine_job ON quarantine (job);
"""
SINCE: dict[int, tuple[str, ...]] = {
    2: ("face TEXT NOT NULL DEFAULT 'v1'", "facts TEXT", "table_file TEXT", "table_about TEXT", "share BLOB",
        "is_destruction_set INTEGER NOT NULL DEFAULT 0")}
"""Format -> the columns of `job` that came with it: a store of an older one gets them at its first start."""


@dataclass(frozen=True)
class Identity:
    """Who a store is to the workers: its id for life, the number of this start, and the secret behind its lease tokens."""

    gid: bytes
    epoch: int
    secret: bytes


def tune(connection: sqlite3.Connection) -> None:
    """Set a connection up for writing: what is committed survives a power cut."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute("PRAGMA journal_size_limit = 67108864")


def is_clean(connection: sqlite3.Connection) -> bool:
    """Whether the store ended in order, or is new."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return True
    row = connection.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    return row is not None and bool(row[0])


def begin(connection: sqlite3.Connection) -> Identity:
    """Make the tables where they are not, count the start, and return who we are.

    Raises
    ------
    UsageError
        Code ``jobs_newer``, when a newer version of the program wrote the store.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        _bring_up(connection)
        for statement in filter(str.strip, TABLES.split(";")):
            connection.execute(statement)
        found = dict(connection.execute("SELECT key, value FROM meta WHERE key != 'probe'").fetchall())
        webhook_records.begin(connection)
        identity = Identity(found.get("gid") or os.urandom(16), int(found.get("epoch", 0)) + 1,
                            found.get("secret") or os.urandom(32))
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [
            ("version", VERSION), ("gid", identity.gid), ("epoch", identity.epoch), ("secret", identity.secret), ("clean", 0)])
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return identity


def _bring_up(connection: sqlite3.Connection) -> None:
    """Give a store of an older format the columns of this one; refuse that of a newer one."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'job'").fetchone():
        return
    row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    version = VERSION if row is None else row[0]
    if version > VERSION:
        raise UsageError(f"the jobs were stored by a newer version of the program (format {version}, here {VERSION}); start that "
                         "one, or name another folder with CF_JOBS", code="jobs_newer")
    for column in (c for since in range(version + 1, VERSION + 1) for c in SINCE[since]):
        connection.execute(f"ALTER TABLE job ADD COLUMN {column}")


def mark(connection: sqlite3.Connection, *, is_clean: bool) -> None:
    """Note whether the store ends in order."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('clean', ?)", (int(is_clean),))


def renew(connection: sqlite3.Connection) -> None:
    """Make a copy of a store another one: workers forget what they hold for the first, whose numbers are used again."""
    connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", [
        ("gid", os.urandom(16)), ("secret", os.urandom(32)), ("clean", 1)])


def probe(connection: sqlite3.Connection, size: int) -> None:
    """Write something of a size that shows whether there is room again; it stays, since pages freed at once are not written."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(?))", (size,))

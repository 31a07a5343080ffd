"""What is written about calls to webhooks: the table `delivery`, one row for each job that has ended and is to be told.

The row is written by the database itself, in the transaction that ends the job, whoever wrote that: there is no moment at
which a job has ended on disk and its call is not due. It goes with its job when that is destroyed.
"""

from __future__ import annotations

import os
import sqlite3
from typing import Any

import orjson

DUE = "due"
_ENDED = "('COMPLETED', 'ERROR', 'ABORTED')"
_TABLES = ("""
CREATE TABLE IF NOT EXISTS delivery (
  id INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL UNIQUE, host TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'due',
  tries INTEGER NOT NULL DEFAULT 0, next_try REAL, log TEXT NOT NULL DEFAULT '[]')
""", "CREATE INDEX IF NOT EXISTS delivery_due ON delivery (next_try) WHERE next_try IS NOT NULL")


def _host(url: str) -> str:
    """Return the SQL of the host in an address as `webhook_address.read` spells it: https://HOST[:PORT]/..."""
    place = f"substr({url}, 9, instr(substr({url}, 9) || '/', '/') - 1)"
    bare = f"rtrim({place}, '0123456789')"
    return f"CASE WHEN substr({bare}, -1) = ':' THEN rtrim({bare}, ':') ELSE {place} END"


_TRIGGERS = {"delivery_new": f"""
CREATE TRIGGER delivery_new AFTER UPDATE OF phase ON job
WHEN NEW.callback IS NOT NULL AND NEW.phase IN {_ENDED} AND OLD.phase NOT IN {_ENDED}
BEGIN INSERT OR IGNORE INTO delivery (job, host, next_try) VALUES (NEW.id, {_host('NEW.callback')}, COALESCE(NEW."end", 0)); END
""", "delivery_gone": """
CREATE TRIGGER delivery_gone AFTER UPDATE OF phase ON job WHEN NEW.phase = 'ARCHIVED'
BEGIN DELETE FROM delivery WHERE job = NEW.id; END
"""}


def begin(db: sqlite3.Connection) -> None:
    """Make what is missing, in the transaction of the store's start; jobs that ended without a row get theirs.

    The triggers are made anew each time: a table that is built again, as by a new format of the store, loses its own. The
    key of the signatures is not renewed with the identity of a copy: what clients check with must survive a restored backup.
    """
    for statement in _TABLES:
        db.execute(statement)
    for name, statement in _TRIGGERS.items():
        db.execute(f"DROP TRIGGER IF EXISTS {name}")
        db.execute(statement)
    db.execute("INSERT OR IGNORE INTO meta VALUES ('webhook_key', ?)", (os.urandom(32),))
    db.execute(f"INSERT OR IGNORE INTO delivery (job, host, next_try) SELECT id, {_host('callback')}, COALESCE(\"end\", 0) "
               f"FROM job WHERE callback IS NOT NULL AND phase IN {_ENDED}")


def key(db: sqlite3.Connection) -> bytes:
    """Return the key from which the secrets of owners are made."""
    return bytes(db.execute("SELECT value FROM meta WHERE key = 'webhook_key'").fetchone()[0])


def due(db: sqlite3.Connection, now: float, most: int, ids: list[int], hosts: list[str], owners: dict[str, int],
        of_an_owner: int) -> list[sqlite3.Row]:
    """Return calls whose time has come: those of owners with the fewest under way first, then the longest due.

    Left out are calls that are under way (`ids`), hosts that have enough, and owners with `of_an_owner` calls under way; else
    one with many dead receivers would keep all others waiting.
    """
    if most <= 0:
        return []
    return db.execute(
        "SELECT delivery.id, delivery.job, delivery.tries, delivery.host, owner, callback, phase, kind, run_id, rows_done, "
        "rows_total, error_code, error_text, \"end\" FROM delivery JOIN job ON job.id = delivery.job WHERE next_try <= :now AND "
        "delivery.id NOT IN (SELECT value FROM json_each(:ids)) AND host NOT IN (SELECT value FROM json_each(:hosts)) AND "
        "owner NOT IN (SELECT key FROM json_each(:owners) WHERE value >= :of_an_owner) ORDER BY "
        "COALESCE((SELECT value FROM json_each(:owners) WHERE key = owner), 0), next_try LIMIT :most",
        {"now": now, "ids": orjson.dumps(ids).decode(), "hosts": orjson.dumps(hosts).decode(), "most": most,
         "owners": orjson.dumps(owners).decode(), "of_an_owner": of_an_owner}).fetchall()


def soonest(db: sqlite3.Connection, now: float) -> float | None:
    """Return when the next call after now is due."""
    found: float | None = db.execute("SELECT MIN(next_try) FROM delivery WHERE next_try > ?", (now,)).fetchone()[0]
    return found


def tried(db: sqlite3.Connection, delivery: int, entry: dict[str, Any], state: str, next_try: float | None) -> None:
    """Write what a try came to, and when the next one is due (None: no more)."""
    row = db.execute("SELECT log FROM delivery WHERE id = ?", (delivery,)).fetchone()
    if row is not None:
        log = orjson.dumps([*orjson.loads(row["log"]), entry]).decode()
        db.execute("UPDATE delivery SET tries = tries + 1, log = ?, state = ?, next_try = ? WHERE id = ?",
                   (log, state, next_try, delivery))


def of_job(db: sqlite3.Connection, job: int) -> list[sqlite3.Row]:
    """Return the deliveries of a job: one when it has ended and was to be told, else none."""
    return db.execute("SELECT id, job, host, state, tries, next_try, log FROM delivery WHERE job = ?", (job,)).fetchall()

"""What the store holds, read: rows of jobs, parts of results, rows that were asked about, the quarantine.

Small questions have one connection, used in the event loop (some 20 µs each). Nothing here writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from cfcore import wire
from cfcore.errors import InternalError

from . import job_records as records
from . import spool
from .store import Store
from .work import Columns

VIEWED = ("id, submission, parent, owner, kind, field, field_sha, field_record, phase, run_id, creation, start, end, "
          "destruction, execution_duration, attempts, params, rows_done, rows_total, quarantined, error_code, error_text, "
          "callback, result_file, face, facts, table_file, table_about, share, input_sha")
NEWEST = 1 << 62
_FILTERS = {"kind": "kind = ?", "face": "face = ?", "run_id": "run_id = ?", "since": "creation >= ?", "until": "creation < ?"}


class Shelf:
    """Read a store.

    Parameters
    ----------
    store : Store
        Open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.reader()

    def close(self) -> None:
        """Let go of the store."""
        self._db.close()

    def row(self, job: int) -> sqlite3.Row | None:
        """Return the row of a job, without its input; None when there is none."""
        row: sqlite3.Row | None = self._db.execute(f"SELECT {VIEWED} FROM job WHERE id = ?", (job,)).fetchone()
        return row

    def rows(self, owner: str, after: int | None, limit: int, only: Mapping[str, Any] | None = None) -> list[sqlite3.Row]:
        """Return jobs of an owner, newest first, those older than `after`.

        Parameters
        ----------
        owner : str
        after : int or None
        limit : int
        only : mapping, optional
            Filters: ``kind``, ``face``, ``run_id``; ``phase``, some phases; ``since`` and ``until`` (Unix time), from the one
            on and before the other.
        """
        words = ["owner = ?", "id < ?", "phase != 'ARCHIVED'"]
        values: list[Any] = [owner, NEWEST if after is None else after]
        for name, value in (only or {}).items():
            phases = value if name == "phase" else ()
            words.append(f"phase IN ({', '.join('?' * len(phases))})" if phases else _FILTERS[name])
            values += phases or (value,)
        # which jobs they are is told by the index alone; their rows are long
        return self._db.execute(f"SELECT {VIEWED} FROM job WHERE id IN (SELECT id FROM job WHERE {' AND '.join(words)} "
                                "ORDER BY id DESC LIMIT ?) ORDER BY id DESC", (*values, limit)).fetchall()

    def tasks(self, owner: str, face: str, position: int | None, is_up: bool, started: bool | None, limit: int
              ) -> list[sqlite3.Row]:
        """Return jobs of an owner that came through a door: those beyond a position, in ascending or descending order."""
        where, values = _tasks(owner, face, started, position, is_up)
        return self._db.execute(f"SELECT {VIEWED} FROM job WHERE {where} ORDER BY id {'ASC' if is_up else 'DESC'} LIMIT ?",
                                (*values, limit)).fetchall()

    def count_tasks(self, owner: str, face: str, started: bool | None, beyond: int | None = None, is_up: bool = True) -> int:
        """Count what `tasks` returns without a limit."""
        where, values = _tasks(owner, face, started, beyond, is_up)
        return int(self._db.execute(f"SELECT COUNT(*) FROM job WHERE {where}", values).fetchone()[0])

    def waiting_tasks(self, owner: str, face: str) -> list[int]:
        """Return the jobs of an owner and a door that have not begun, oldest first."""
        return [row[0] for row in self._db.execute("SELECT id FROM job WHERE face = ? AND owner = ? AND phase = 'QUEUED' "
                                                   "ORDER BY id", (face, owner)).fetchall()]

    def task_seconds(self, face: str, last: int) -> list[float]:
        """Return how long the completed jobs of a door took that are among the last so many of all."""
        return [row[0] for row in self._db.execute(
            "SELECT end - start FROM job WHERE id > (SELECT MAX(id) FROM job) - ? AND face = ? AND phase = 'COMPLETED'",
            (last, face)).fetchall()]

    def shared(self, sha: bytes) -> sqlite3.Row | None:
        """Return the row of the job that a share token with this SHA-256 opens."""
        row: sqlite3.Row | None = self._db.execute(f"SELECT {VIEWED} FROM job WHERE share = ?", (sha,)).fetchone()
        return row

    def ended(self) -> dict[str, int]:
        """Count the jobs that have ended, by phase."""
        return {row[0]: row[1] for row in self._db.execute(
            "SELECT phase, COUNT(*) FROM job WHERE phase NOT IN ('PENDING', 'QUEUED', 'EXECUTING') GROUP BY phase")}

    def pending(self) -> int:
        """Count the jobs that wait for the word of their owners."""
        return int(self._db.execute("SELECT COUNT(*) FROM job WHERE phase = 'PENDING'").fetchone()[0])

    def open_chunks(self) -> list[sqlite3.Row]:
        """Return the chunks that have not ended, oldest first."""
        return self._db.execute("SELECT id, job, start, stop, suspicion FROM chunk WHERE state = 'queued' ORDER BY id").fetchall()

    def work(self, job: int) -> sqlite3.Row:
        """Return what is needed to go on with a job."""
        row: sqlite3.Row = self._db.execute(
            "SELECT id, owner, kind, field, field_sha, params, input_file, input_bytes, phase, start, execution_duration "
            "FROM job WHERE id = ?", (job,)).fetchone()
        return row

    def expired(self, now: float, most: int) -> list[int]:
        """Return jobs whose time on the shelf is over."""
        return records.expired(self._db, now, most)

    def parts(self, job: int) -> list[sqlite3.Row]:
        """Return where the parts of a result lie, in the order of the rows.

        A row that was released after its job had completed is in quarantine until its answer is there: a result keeps its rows.
        """
        return self._db.execute(
            "SELECT chunk.id, chunk.start, stop, CASE WHEN state = 'queued' AND phase = 'COMPLETED' THEN 'quarantined' "
            "ELSE state END AS state, place, size, sha FROM chunk JOIN job ON job.id = chunk.job WHERE job = ? "
            "AND state != 'split' ORDER BY chunk.start", (job,)).fetchall()

    def part(self, job: int, part: sqlite3.Row, *, check: bool = True) -> Columns:
        """Return the columns of a finished part, when they are what was stored (looked at if `check`).

        Raises
        ------
        InternalError
            Code ``result_damaged``.
        """
        if part["place"] is None:
            found = self._db.execute("SELECT result FROM chunk WHERE id = ?", (part["id"],)).fetchone()
            data = b"" if found is None else found["result"] or b""
        else:
            data = spool.read_part(self._store.spool / records.result_file(job), part["place"], part["size"])
        columns = spool.unpack(data)
        frames = [column.reshape(-1).data if column.size else b"" for column in columns.values()] if check else []
        if check and wire.digest(frames) != part["sha"]:
            raise InternalError("a part of the result is damaged in the store; submit the rows again", code="result_damaged")
        return columns

    def input(self, job: int, start: int, stop: int, file: str | None = None) -> Columns:
        """Return some of the rows a job was asked about; `file` saves a look into the store.

        Raises
        ------
        InternalError
            Code ``input_damaged``.
        """
        if file is None:
            row = self._db.execute("SELECT input, input_file FROM job WHERE id = ?", (job,)).fetchone()
            if row is None or (row["input"] is None and row["input_file"] is None):
                raise InternalError("the rows of this job are gone from the store; send them again", code="input_damaged")
            if row["input"] is not None:
                return spool.unpack(row["input"], start, stop)
            file = row["input_file"]
        return spool.read_rows(self._store.spool / str(file), start, stop)

    def quarantine(self, most: int = 1000) -> list[dict[str, Any]]:
        """Return the rows in quarantine, newest first."""
        return [dict(row) for row in self._db.execute("SELECT * FROM quarantine WHERE released IS NULL AND dropped IS NULL "
                                                      "ORDER BY id DESC LIMIT ?", (most,)).fetchall()]

    def in_quarantine(self) -> int:
        """Count the rows in quarantine."""
        return int(self._db.execute("SELECT count(*) FROM quarantine WHERE released IS NULL AND dropped IS NULL").fetchone()[0])

    def quarantined(self, record: int) -> dict[str, Any]:
        """Return one entry; raises `UsageError` (unknown_record)."""
        return dict(records.open_record(self._db, record))


def _tasks(owner: str, face: str, started: bool | None, position: int | None, is_up: bool) -> tuple[str, list[object]]:
    where, values = "face = ? AND owner = ? AND phase != 'ARCHIVED'", [face, owner]
    if started is not None:
        where += f" AND start IS {'NOT NULL' if started else 'NULL'}"
    if position is None:
        return where, [*values]
    return f"{where} AND id {'>' if is_up else '<'} ?", [*values, position]

"""What is written about jobs: one function for each step of a job's life, to be run by the writer of the store.

Every function takes the connection and checks before it writes. Phases are the words of IVOA UWS; a phase that is an end
(COMPLETED, ERROR, ABORTED) is left only for ARCHIVED. A chunk is queued, or has ended: done, failed, quarantined, cancelled,
or split into two others.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from cfcore.errors import CosmicFlowsError, UsageError

from . import spool

ENDED = ("COMPLETED", "ERROR", "ABORTED")
DAY_S = 86_400.0
PENDING_MAX = 200
"""Jobs of one owner that may wait for its word."""
TABLES_BYTES = 8 << 30
"""Bytes of the tables that jobs of one owner may keep on disk: a table of one row costs one row, and may be large."""
Part = tuple[int, int, int]
"""Of a chunk: id, first row, row after the last."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A job as it was asked for, checked, its rows packed.

    `content` is the SHA-256 of all that was asked, `input_sha` that of the rows. `input_file` names the rows in the spool, then
    `size` is their bytes; without it they go into the row. `table_file` names the table they were read from, as it was sent,
    in the spool, `table_about` says how it was read. `face` is the door the job came through, `facts` what that keeps of it.
    A job of the phase PENDING waits until its owner has it run.
    """

    owner: str
    kind: str
    field: tuple[str, str]
    field_record: dict[str, Any]
    params: dict[str, Any]
    rows: int
    content: bytes
    input_sha: bytes
    header: bytes
    written: list[np.ndarray] = field(repr=False)
    run_id: str | None = None
    idempotency: str | None = None
    execution_duration: float = 0.0
    callback: str | None = None
    parent: int | None = None
    submission: int | None = None
    input_file: str | None = None
    size: int | None = None
    phase: str = "QUEUED"
    face: str = "v1"
    facts: dict[str, Any] | None = None
    table_file: str | None = None
    table_about: dict[str, Any] | None = None
    destruction: float | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of its rows."""
        return sum(column.nbytes for column in self.written) if self.size is None else self.size

    @property
    def cost(self) -> int:
        """What it is charged for: its rows; of a sightline one for each hundred steps."""
        return self.rows * max(1, int(self.params.get("more", {}).get("n", 0)) // 100)

    @property
    def files(self) -> list[str]:
        """What it has in the spool."""
        return [name for name in (self.input_file, self.table_file) if name]


def with_input_file(draft: Draft, name: str) -> Draft:
    """Return a draft whose rows lie in the spool."""
    return dataclasses.replace(draft, input_file=name, size=draft.nbytes)


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a submission: the job, its chunks, and whether it is a new one."""

    job: int
    parts: list[Part]
    is_new: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What a step did: the phase of the job before and after ("" when it came too late), chunks nobody wants now, new ones."""

    before: str = ""
    phase: str = ""
    withdrawn: tuple[int, ...] = ()
    parts: tuple[Part, ...] = ()
    files: tuple[str, ...] = ()


TOO_LATE = Step()


def insert(db: sqlite3.Connection, draft: Draft, now: float, retention_days: float, chunk_rows: int) -> Submitted:
    """Write a new job, or find the one its key was used for.

    Raises
    ------
    UsageError
        Codes ``idempotency_conflict``, ``too_many_pending``, ``owner_full``.
    """
    if draft.idempotency is not None:
        found = db.execute("SELECT id, content FROM job WHERE owner = ? AND idempotency = ?",
                           (draft.owner, draft.idempotency)).fetchone()
        if found is not None:
            if found["content"] != draft.content:
                raise UsageError(f"the Idempotency-Key {draft.idempotency!r:.140} was used for another request, job "
                                 f"{found['id']}; take a new key for a new request", code="idempotency_conflict",
                                 where="Idempotency-Key", extra={"job": found["id"]})
            return Submitted(found["id"], [], False)
    is_pending = draft.phase == "PENDING"
    if is_pending:
        waiting = db.execute("SELECT COUNT(*) FROM job WHERE owner = ? AND phase = 'PENDING'", (draft.owner,)).fetchone()[0]
        if waiting >= PENDING_MAX:
            raise UsageError(f"{waiting} jobs of yours are PENDING, of at most {PENDING_MAX}; have them run, or delete some",
                             code="too_many_pending", extra={"retry_after_s": 60})
    if draft.table_file is not None:
        kept = db.execute("SELECT COALESCE(SUM(json_extract(table_about, '$.stored')), 0) FROM job WHERE owner = ? AND "
                          "table_file IS NOT NULL", (draft.owner,)).fetchone()[0]
        if kept + (draft.table_about or {}).get("stored", 0) > TABLES_BYTES:
            raise UsageError(f"the tables of your jobs take {kept >> 20} MiB, of at most {TABLES_BYTES >> 20}; DELETE jobs whose "
                             "results you have fetched", code="owner_full", extra={"retry_after_s": 60})
    bounds = range(0, draft.rows, chunk_rows)
    values = {
        "submission": draft.submission, "parent": draft.parent, "owner": draft.owner, "kind": draft.kind,
        "field": draft.field[0], "field_sha": draft.field[1], "field_record": _json(draft.field_record), "phase": draft.phase,
        "run_id": draft.run_id, "creation": now, "destruction": draft.destruction or now + retention_days * DAY_S,
        "is_destruction_set": int(draft.destruction is not None), "execution_duration": draft.execution_duration,
        "params": _json(draft.params), "rows_total": draft.rows, "chunks_left": 0 if is_pending else len(bounds),
        "idempotency": draft.idempotency, "content": draft.content, "callback": draft.callback, "input_sha": draft.input_sha,
        "input_bytes": draft.nbytes, "input_file": draft.input_file, "table_file": draft.table_file,
        "input": None if draft.input_file else spool.joined(draft.header, draft.written), "face": draft.face,
        "facts": _json(draft.facts), "table_about": _json(draft.table_about)}
    job = db.execute(f"INSERT INTO job ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                     tuple(values.values())).lastrowid
    assert job is not None
    return Submitted(job, [] if is_pending else _cut(db, job, draft.rows, chunk_rows), True)


def run(db: sqlite3.Connection, job: int, chunk_rows: int) -> tuple[Step, list[Part]]:
    """Put a job to work that waited for its owner's word; one that is under way or has ended stays as it is."""
    row = db.execute("SELECT phase, rows_total FROM job WHERE id = ?", (job,)).fetchone()
    if row is None or row["phase"] != "PENDING":
        return _same(row["phase"] if row else ""), []
    parts = _cut(db, job, row["rows_total"], chunk_rows)
    db.execute("UPDATE job SET phase = 'QUEUED', chunks_left = ? WHERE id = ?", (len(parts), job))
    return Step("PENDING", "QUEUED"), parts


AMENDABLE = ("run_id", "execution_duration", "destruction", "facts", "share")


def amend(db: sqlite3.Connection, job: int, changes: dict[str, Any]) -> None:
    """Write other words about a job: some of `AMENDABLE`; a destruction that is set stays when the job ends."""
    values = {name: _json(value) if name == "facts" else value for name, value in changes.items() if name in AMENDABLE}
    if "destruction" in values:
        values["is_destruction_set"] = 1
    if values:
        db.execute(f"UPDATE job SET {', '.join(f'{name} = ?' for name in values)} WHERE id = ? AND phase != 'ARCHIVED'",
                   (*values.values(), job))


def accept(db: sqlite3.Connection, results: spool.Results, chunk: int, attempt: int, header: bytes, written: list[np.ndarray],
           sha: bytes, start: float, now: float, retention_days: float) -> Step:
    """Write the result of a chunk; the last one completes the job."""
    row = db.execute("SELECT chunk.state, chunk.start, chunk.stop, job.id, job.phase, job.result_end FROM chunk JOIN job "
                     "ON job.id = chunk.job WHERE chunk.id = ?", (chunk,)).fetchone()
    if row is None or row["state"] != "queued":
        return TOO_LATE
    place = inline = None
    size = len(header) + sum(column.nbytes for column in written)
    if size <= spool.INLINE_MAX:
        inline = spool.joined(header, written)
    else:
        place = row["result_end"]
        results.append(result_file(row["id"]), place, header, written)
    db.execute("UPDATE chunk SET state = 'done', attempts = ?, place = ?, size = ?, sha = ?, result = ? WHERE id = ?",
               (attempt, place, size, sha, inline, chunk))
    if place is not None:
        db.execute("UPDATE job SET result_file = ?, result_end = ? WHERE id = ?",
                   (result_file(row["id"]), place + size, row["id"]))
    if row["phase"] in ENDED:
        # a row that was released from quarantine after the job had completed
        db.execute("UPDATE job SET quarantined = quarantined - 1 WHERE id = ?", (row["id"],))
        return _same(row["phase"])
    return _count(db, row["id"], row["phase"], row["stop"] - row["start"], 0, attempt, start, now, retention_days)


def refuse(db: sqlite3.Connection, chunk: int, error: CosmicFlowsError, now: float, retention_days: float) -> Step:
    """End a chunk whose request is wrong, and its job with it."""
    row = _of(db, chunk)
    if row is None or row["state"] != "queued":
        return TOO_LATE
    is_late = row["phase"] in ENDED
    db.execute("UPDATE chunk SET state = ?, error = ? WHERE id = ?",
               ("quarantined" if is_late else "failed", error.code, chunk))
    return _same(row["phase"]) if is_late else end(db, row["job"], "ERROR", error.code, error.message, now, retention_days)


def quarantine(db: sqlite3.Connection, chunk: int, error: CosmicFlowsError, values: dict[str, float | None], start: float,
               now: float, retention_days: float) -> Step:
    """Halve a chunk that keeps breaking its worker; note down a single row that does and go on without it."""
    row = _of(db, chunk)
    if row is None or row["state"] != "queued":
        return TOO_LATE
    first, stop = row["start"], row["stop"]
    if stop - first > 1:
        middle = (first + stop) // 2
        db.execute("UPDATE chunk SET state = 'split', error = ? WHERE id = ?", (error.code, chunk))
        parts = tuple(_new_chunk(db, row["job"], a, b, suspicion(b - a)) for a, b in ((first, middle), (middle, stop)))
        db.execute("UPDATE job SET chunks_left = chunks_left + 1, start = COALESCE(start, ?) WHERE id = ?", (start, row["job"]))
        return Step(row["phase"], row["phase"], parts=parts)
    db.execute("UPDATE chunk SET state = 'quarantined', error = ? WHERE id = ?", (error.code, chunk))
    db.execute("INSERT INTO quarantine (job, chunk, row, input, code, why, stderr, time) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
               (row["job"], chunk, first, orjson.dumps(values).decode(), error.code, error.message[:1000],
                str(error.extra.get("stderr") or "")[-2000:], now))
    if row["phase"] in ENDED:
        return _same(row["phase"])
    return _count(db, row["job"], row["phase"], 1, 1, 0, start, now, retention_days)


def suspicion(rows: int) -> int:
    """Return how much is held against a part of a chunk that broke its workers: for a single row, nothing yet."""
    return 2 if rows > 1 else 0


def end(db: sqlite3.Connection, job: int, phase: str, code: str, text: str, now: float, retention_days: float) -> Step:
    """End a job before its work is done; what is done stays."""
    row = db.execute("SELECT phase FROM job WHERE id = ?", (job,)).fetchone()
    if row is None or row["phase"] in ENDED or row["phase"] == "ARCHIVED":
        return _same(row["phase"] if row else "")
    gone = tuple(r[0] for r in db.execute("UPDATE chunk SET state = 'cancelled' WHERE job = ? AND state = 'queued' RETURNING id",
                                          (job,)).fetchall())
    db.execute("UPDATE job SET phase = ?, error_code = ?, error_text = ?, end = ?, chunks_left = 0, "
               "destruction = CASE WHEN is_destruction_set THEN destruction ELSE ? END WHERE id = ?",
               (phase, code, text[:4000], now, now + retention_days * DAY_S, job))
    return Step(row["phase"], phase, withdrawn=gone)


def archive(db: sqlite3.Connection, job: int, now: float) -> Step:
    """Leave of a job only that it was there."""
    row = db.execute("SELECT phase, input_file, result_file, table_file FROM job WHERE id = ?", (job,)).fetchone()
    if row is None or row["phase"] == "ARCHIVED":
        return TOO_LATE
    gone = tuple(r[0] for r in db.execute("SELECT id FROM chunk WHERE job = ? AND state = 'queued'", (job,)).fetchall())
    db.execute("DELETE FROM chunk WHERE job = ?", (job,))
    db.execute("DELETE FROM quarantine WHERE job = ?", (job,))
    db.execute("UPDATE job SET phase = 'ARCHIVED', end = COALESCE(end, ?), destruction = NULL, idempotency = NULL, input = NULL, "
               "input_file = NULL, result_file = NULL, table_file = NULL, table_about = NULL, facts = NULL, share = NULL, "
               "callback = NULL, chunks_left = 0 WHERE id = ?", (now, job))
    return Step(row["phase"], "ARCHIVED", withdrawn=gone, files=tuple(name for name in row[1:] if name))


def expired(db: sqlite3.Connection, now: float, most: int) -> list[int]:
    """Return jobs whose time on the shelf is over."""
    return [r[0] for r in db.execute(
        "SELECT id FROM job WHERE destruction <= ? AND (is_destruction_set OR phase IN ('PENDING', 'COMPLETED', 'ERROR', "
        "'ABORTED')) ORDER BY destruction LIMIT ?", (now, most)).fetchall()]


def mark_started(db: sqlite3.Connection, jobs: list[tuple[float, int]]) -> None:
    """Note that work on jobs has begun: (when, job)."""
    db.executemany("UPDATE job SET phase = 'EXECUTING', start = COALESCE(start, ?) WHERE id = ? AND phase = 'QUEUED'", jobs)


def release(db: sqlite3.Connection, record: int, now: float) -> tuple[int, Part]:
    """Put a row in quarantine back to work; return its job and its chunk.

    Raises
    ------
    UsageError
        Codes ``unknown_record``, ``not_releasable``.
    """
    found = open_record(db, record)
    row = _of(db, found["chunk"])
    if row is None or row["state"] != "quarantined" or row["phase"] in ("ERROR", "ABORTED", "ARCHIVED"):
        raise UsageError(f"row {found['row']} of job {found['job']} cannot be run again: the job ended as "
                         f"{row['phase'] if row else 'ARCHIVED'}; submit it anew", code="not_releasable", where="id")
    db.execute("UPDATE quarantine SET released = ? WHERE id = ?", (now, record))
    db.execute("UPDATE chunk SET state = 'queued', suspicion = 0 WHERE id = ?", (found["chunk"],))
    if row["phase"] not in ENDED:
        db.execute("UPDATE job SET quarantined = quarantined - 1, rows_done = rows_done - 1, chunks_left = chunks_left + 1 "
                   "WHERE id = ?", (found["job"],))
    return found["job"], (found["chunk"], row["start"], row["stop"])


def drop(db: sqlite3.Connection, record: int, now: float) -> None:
    """Take a row off the list of the quarantine; in the result it stays as it is."""
    open_record(db, record)
    db.execute("UPDATE quarantine SET dropped = ? WHERE id = ?", (now, record))


def open_record(db: sqlite3.Connection, record: int) -> sqlite3.Row:
    """Return an entry of the quarantine that is neither released nor dropped."""
    found: sqlite3.Row | None = db.execute("SELECT * FROM quarantine WHERE id = ? AND released IS NULL AND dropped IS NULL",
                                           (record,)).fetchone()
    if found is None:
        raise UsageError(f"there is no entry {record} in the quarantine; GET /v1/admin/quarantine lists them",
                         code="unknown_record", where="id")
    return found


def result_file(job: int) -> str:
    """Return the name of a job's result file."""
    return f"{job}.out"


def _of(db: sqlite3.Connection, chunk: int) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT chunk.state, chunk.start, chunk.stop, chunk.job, job.phase FROM chunk JOIN job "
                                         "ON job.id = chunk.job WHERE chunk.id = ?", (chunk,)).fetchone()
    return row


def _same(phase: str) -> Step:
    return Step(phase, phase)


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _cut(db: sqlite3.Connection, job: int, rows: int, chunk_rows: int) -> list[Part]:
    return [_new_chunk(db, job, k, min(k + chunk_rows, rows), 0) for k in range(0, rows, chunk_rows)]


def _new_chunk(db: sqlite3.Connection, job: int, start: int, stop: int, held: int) -> Part:
    chunk = db.execute("INSERT INTO chunk (job, start, stop, state, suspicion) VALUES (?, ?, ?, 'queued', ?)",
                       (job, start, stop, held)).lastrowid
    assert chunk is not None
    return chunk, start, stop


def _count(db: sqlite3.Connection, job: int, before: str, rows: int, bad: int, attempt: int, start: float, now: float,
           retention_days: float) -> Step:
    """Count rows as done; the last ones complete the job."""
    row = db.execute(
        "UPDATE job SET rows_done = rows_done + ?, quarantined = quarantined + ?, chunks_left = chunks_left - 1, "
        "attempts = MAX(attempts, ?), start = COALESCE(start, ?), "
        "phase = CASE WHEN chunks_left = 1 THEN 'COMPLETED' ELSE 'EXECUTING' END, "
        "end = CASE WHEN chunks_left = 1 THEN ? END, "
        "destruction = CASE WHEN chunks_left = 1 AND NOT is_destruction_set THEN ? ELSE destruction END "
        "WHERE id = ? RETURNING phase",
        (rows, bad, attempt, start, now, now + retention_days * DAY_S, job)).fetchone()
    return Step(before, row["phase"])

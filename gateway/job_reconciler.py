"""At the start: bring the spool and the store to one story, before anybody is served."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from . import job_records as records


def reconcile(db: sqlite3.Connection, spool: Path, now: float, retention_days: float) -> list[str]:
    """Remove files that no job names, and say which jobs miss theirs.

    An unfinished job whose rows are gone ends as ERROR; parts of an unfinished job whose result file is too short are computed
    again. Returns what was found, in sentences for the log.
    """
    found: list[str] = []
    here = {entry.name: entry.stat().st_size for entry in spool.iterdir()}
    db.execute("BEGIN IMMEDIATE")
    try:
        files = db.execute("SELECT input_file, result_file, table_file FROM job WHERE phase != 'ARCHIVED'")
        named = {name for row in files for name in row if name}
        unfinished = db.execute("SELECT id, input_file, input_bytes, result_file, result_end FROM job WHERE phase IN ('QUEUED', "
                                "'EXECUTING')").fetchall()
        for job in unfinished:
            if job["input_file"] and here.get(job["input_file"], 0) < job["input_bytes"]:
                found.append(f"the rows of job {job['id']} are gone from the spool")
                records.end(db, job["id"], "ERROR", "input_damaged", "the rows of this job are gone from the store; send them "
                            "again", now, retention_days)
            elif job["result_file"] and here.get(job["result_file"], 0) < job["result_end"]:
                again = _compute_again(db, job["id"], here.get(job["result_file"], 0))
                found.append(f"{again} parts of the result of job {job['id']} are gone from the spool and are computed again")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    orphans = here.keys() - named
    for name in orphans:
        (spool / name).unlink(missing_ok=True)
    if orphans:
        found.append(f"{len(orphans)} files of the spool belonged to no job and were removed")
    return found


def _compute_again(db: sqlite3.Connection, job: int, size: int) -> int:
    lost = db.execute("SELECT id, stop - start AS rows FROM chunk WHERE job = ? AND state = 'done' AND place + size > ?",
                      (job, size)).fetchall()
    db.executemany("UPDATE chunk SET state = 'queued', place = NULL, size = NULL, sha = NULL WHERE id = ?",
                   [(row["id"],) for row in lost])
    db.execute("UPDATE job SET rows_done = rows_done - ?, chunks_left = chunks_left + ?, result_end = ? WHERE id = ?",
               (sum(row["rows"] for row in lost), len(lost), size, job))
    return len(lost)

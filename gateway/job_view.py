"""A job in the words of our own API: what clients see of its row."""

from __future__ import annotations

from datetime import UTC, datetime
from sqlite3 import Row
from typing import Any

import orjson

from cfcore.errors import UsageError

from .job_records import ENDED
from .jobs import Jobs


def view(jobs: Jobs, row: Row) -> dict[str, Any]:
    """Return a job as clients see it."""
    record = orjson.loads(row["field_record"])
    position, seconds = (None, None) if row["phase"] in ENDED else jobs.outlook(row["id"])
    error = None if row["error_code"] is None else {"code": row["error_code"], "detail": row["error_text"]}
    return {
        "id": row["id"], "phase": jobs.live_phase(row["id"], row["phase"]), "kind": row["kind"], "face": row["face"],
        "run_id": row["run_id"],
        "field": {"id": row["field"], "version": record["version"]}, "rows_total": row["rows_total"],
        "rows_done": row["rows_done"], "quarantined": row["quarantined"], "queuepos": position,
        "eta_seconds": None if seconds is None else round(seconds, 3), "creation": stamp(row["creation"]),
        "start": stamp(row["start"]), "end": stamp(row["end"]), "destruction": stamp(row["destruction"]),
        "execution_duration": row["execution_duration"],
        "shared": row["share"] is not None, "callback": row["callback"],
        "options": orjson.loads(row["params"])["options"], "error": error,
        "url": f"/v1/jobs/{row['id']}", "result_url": f"/v1/jobs/{row['id']}/result",
        "results_url": f"/v1/jobs/{row['id']}/results"}


def need_result(jobs: Jobs, row: Row) -> None:
    """Refuse a job that has no result, or none yet.

    Raises
    ------
    UsageError
        Codes ``job_failed``, ``not_finished``.
    """
    if row["phase"] == "ERROR":
        raise UsageError(f"job {row['id']} has no result: {row['error_text']}", code="job_failed", where="job",
                         extra={"error": {"code": row["error_code"], "detail": row["error_text"]}})
    if row["phase"] not in ENDED:
        seen = view(jobs, row)
        raise UsageError(f"job {row['id']} is {seen['phase']}: {row['rows_done']} of {row['rows_total']} rows are done; ask "
                         "again when its phase is COMPLETED", code="not_finished", where="job",
                         extra={k: seen[k] for k in ("phase", "rows_done", "rows_total", "queuepos", "eta_seconds")})


def stamp(seconds: float | None, unit: str = "milliseconds") -> str | None:
    """Return a time as ISO 8601 in UTC, with Z, cut to a unit."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=unit).replace("+00:00", "Z")

"""A job in the words of the queue: its number, the task object, the table of its result.

The protocol lets anybody look at a task and its result who knows the number, without a login. Plain counting numbers would
open every task to whoever counts; so a task's number is the job's with 24 bits behind it that only we can compute (and wrong
ones are counted against whoever tries, see `queue_login.Guess`). Numbers still ascend, and are exact in a float64.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from sqlite3 import Row
from typing import Any

import numpy as np
import orjson
from aiohttp import web

from cfcore.errors import BadParameter, InternalError
from cfcore.sightlines import COLUMNS

from .. import job_view
from ..job_records import ENDED
from ..job_shelf import Shelf
from ..jobs import Jobs

PREFIX = "/forcedphot"
ERROR_MAX = 512
_BITS = 24
_JOBS_MAX = 1 << (53 - _BITS)
_CRASHED = "the computation of this line of sight fails every time; ask for another field, or without cz"


def number(secret: bytes, job: int) -> int:
    """Return the number of a job's task."""
    if job >= _JOBS_MAX:
        raise InternalError(f"job {job} is beyond the numbers of this protocol")
    return job << _BITS | _tail(secret, job)


def job_of(secret: bytes, text: str) -> int | None:
    """Return the job of a task's number; None when it is the number of none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 16):
        return None
    job, tail = divmod(int(text), 1 << _BITS)
    return job if hmac.compare_digest(tail.to_bytes(3), _tail(secret, job).to_bytes(3)) else None


def _tail(secret: bytes, job: int) -> int:
    return int.from_bytes(hmac.digest(secret, f"queue task {job}".encode(), hashlib.sha256)[:_BITS // 8])


def base(request: web.Request) -> str:
    """Return the address of this face as the client knows it.

    Raises
    ------
    BadParameter
        When the header Host is no name of a host.
    """
    try:
        origin = request.url.origin()
    except ValueError:
        raise BadParameter("the header Host is no name of a host", code="bad_request", where="Host") from None
    if request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https":
        # nobody but the client itself sees the addresses of this answer: its own invention would harm nobody else
        origin = origin.with_scheme("https")
    return str(origin) + (PREFIX if request.path.startswith(PREFIX + "/") else "")


def told(jobs: Jobs, row: Row, root: str) -> dict[str, Any]:
    """Return a job as a task object, at the addresses that begin with `root`."""
    facts = orjson.loads(row["facts"] or "{}")
    task = number(jobs.store.identity.secret, row["id"])
    url = f"{root}/queue/{task}/"
    error = failure(row)
    is_done = row["phase"] in ENDED
    position = (jobs.outlook(row["id"])[0] or 0) if row["phase"] == "QUEUED" else None
    return {
        "url": url, "id": task, "user_id": facts.get("user_id"), "username": facts.get("username"),
        "timestamp": stamp(row["creation"]), "mpc_name": facts.get("mpc_name"), "ra": facts.get("ra"), "dec": facts.get("dec"),
        "mjd_min": facts.get("mjd_min"), "mjd_max": facts.get("mjd_max"), "radec_epoch_year": facts.get("radec_epoch_year"),
        "propermotion_ra": facts.get("propermotion_ra"), "propermotion_dec": facts.get("propermotion_dec"),
        "use_reduced": bool(facts.get("use_reduced")), "finished": is_done,
        "result_url": f"{url}result.txt" if is_done and error is None else None, "comment": facts.get("comment"),
        "send_email": bool(facts.get("send_email")), "callback_url": row["callback"], "starttimestamp": stamp(row["start"]),
        "finishtimestamp": stamp(row["end"]) if is_done else None, "error_msg": error, "previewimage_url": None,
        "parent_task_id": None, "parent_task_url": None, "request_type": "FP", "pdfplot_url": None, "queuepos": position,
        "imagerequest_task_id": None, "imagerequest_url": None, "imagerequest_finished": None, "result_imagestack_url": None,
        "result_imagezip_url": None, "userqueuedtasks_on_submit": facts.get("userqueuedtasks_on_submit"),
        "waittime": _seconds(row["creation"], row["start"]), "runtime": _seconds(row["start"], row["end"]),
        "attempt_count": row["attempts"],
        # of ours: what the line of sight is
        "name": facts.get("name"), "cz": facts.get("cz"), "cz_frame": facts.get("cz_frame"), "field": row["field"]}


def failure(row: Row) -> str | None:
    """Return why a job has no result; None when it has one or may still get it."""
    if row["phase"] == "ABORTED":
        return "Aborted by user"
    if row["phase"] == "ERROR":
        return str(row["error_text"] or "failed")[:ERROR_MAX]
    return _CRASHED if row["phase"] == "COMPLETED" and row["quarantined"] else None


def stamp(seconds: float | None) -> str | None:
    """Return a time in UTC, to the second."""
    return job_view.stamp(seconds, "seconds")


def result(shelf: Shelf, job: int, *, has_velocity: bool) -> bytes:
    """Return the table of a task, read from a shelf of its own, which is closed.

    Raises
    ------
    InternalError
        Code ``result_damaged``.
    """
    try:
        parts = shelf.parts(job)
        if len(parts) != 1:
            raise InternalError("the result is gone from the store; submit the task again", code="result_damaged")
        return table(shelf.part(job, parts[0]), has_velocity=has_velocity)
    finally:
        shelf.close()


def table(columns: Mapping[str, np.ndarray], *, has_velocity: bool) -> bytes:
    """Return a sightline as text that pandas reads: ``###`` and the names, then the rows; what is not known is nan."""
    names = [name for name in COLUMNS if name != "p" or has_velocity]
    lists = [columns[name][0].astype(int if name == "inside" else float).tolist() for name in names]
    rows = (" ".join(map(repr, row)) for row in zip(*lists))
    return ("###" + " ".join(names) + "\n" + "\n".join(rows) + "\n").encode()


def _seconds(since: float | None, until: float | None) -> float | None:
    return None if since is None or until is None else round(until - since, 3)

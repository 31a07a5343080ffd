"""A job of the one table in the words of UWS: what its row says, whatever door it came through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from sqlite3 import Row
from typing import Any

import orjson

from cfcore.cosmology import C_KMS

from ..job_records import ENDED
from ..jobs import Jobs
from .uws_asked import COLUMNS, FORMATS, ROWS_MAX
from .uws_xml import Job, Result

PHASES = ("PENDING", "QUEUED", "EXECUTING", "COMPLETED", "ERROR", "UNKNOWN", "HELD", "SUSPENDED", "ABORTED", "ARCHIVED")
ACTIVE = ("PENDING", "QUEUED", "EXECUTING")


def job_of(jobs: Jobs, row: Row, base: str, owner: str | None) -> Job:
    """Return what is told of a job.

    Parameters
    ----------
    jobs : Jobs
    row : sqlite3.Row
    base : str
        Address of the list of jobs.
    owner : str or None
        Name of its owner, when that has one.
    """
    url = f"{base}/{row['id']}"
    phase = jobs.live_phase(row["id"], row["phase"])
    position, seconds = (None, None) if row["phase"] in ENDED else jobs.outlook(row["id"])
    info = {**{name: row[name] for name in ("rows_total", "rows_done", "quarantined")}, "queuepos": position}
    results = (Result("result", f"{url}/results/result", FORMATS[result_format(row)]),) if has_result(row) else ()
    return Job(str(row["id"]), url, phase, owner, row["run_id"], row["creation"], row["start"], row["end"],
               None if seconds is None else time.time() + seconds, row["execution_duration"], row["destruction"],
               parameters_of(row), results, row["error_text"] if row["phase"] in ("ERROR", "ABORTED") else None,
               {name: value for name, value in info.items() if value is not None})


def has_result(row: Row) -> bool:
    """Tell whether a job has a result: when it is complete, or was cancelled when some of its rows were done."""
    return bool(row["phase"] == "COMPLETED" or (row["phase"] == "ABORTED" and row["rows_done"]))


def result_format(row: Row) -> str:
    """Return the format its owner asked the result in."""
    return str(_facts(row).get("format", "votable"))


def result_flow(row: Row) -> str:
    """Return the flow type its owner asked for."""
    return str(_facts(row).get("flow", "distance"))


def parameters_of(row: Row) -> dict[str, str | None]:
    """Return the parameters of a job, as they were sent, or as they would have been; None stands for a long list."""
    known = _facts(row).get("parameters")
    if known is not None:
        return dict(known)
    params = orjson.loads(row["params"])
    options = {**params["options"], "field": row["field"], **{k: v for k, v in params.get("more", {}).items() if k == "n"}}
    pair = [name.upper() for name in params["pair"]]
    if not set(pair) <= set(COLUMNS):
        pair = ["LON", "LAT"]
    if pair != ["LON", "LAT"]:
        del options["frame"]
    lists = () if row["rows_total"] > ROWS_MAX else (*pair, *(("DISTANCE",) if row["kind"] == "velocity" else ("CZ", "SIGMA_CZ")))
    return {"KIND": row["kind"], **{name.upper(): _text(value) for name, value in options.items() if value is not None},
            **dict.fromkeys(lists)}


def value_of(jobs: Jobs, row: Row, parameters: Mapping[str, str | None], name: str) -> str:
    """Return the value of a parameter; that of a long list is read from the rows of the job."""
    text = parameters[name]
    if text is not None:
        return text
    column = jobs.shelf.input(row["id"], 0, row["rows_total"])[COLUMNS[name]]
    # 15 digits give back what was sent, also where a factor has been between
    return ",".join([f"{v:.15g}" for v in (column / C_KMS if name == "Z" else column).tolist()])


def _facts(row: Row) -> dict[str, Any]:
    return orjson.loads(row["facts"]) if row["face"] == "uws" and row["facts"] else {}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.15g}" if isinstance(value, float) else str(value)

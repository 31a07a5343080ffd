"""What may be asked of jobs: bodies and queries in, checked drafts out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import orjson
from pydantic import Field

from cfcore.errors import BadParameter
from cfcore.options import FLOW_TYPES, FlowOptions

from . import spool
from .job_records import Draft
from .queries import Format, Number, Options, Places, Strict, list_columns, need_place, numbers, one_length

ROWS_MAX = 1_000_000
"""Rows of one job."""
KEY_MAX = 128
RUN_ID_MAX = 64
AFTER_MAX = 10**18
_COLUMN = {"type": ["array", "null"], "items": {"type": ["number", "null"]}, "maxItems": ROWS_MAX}


class JobBody(Format, Places, Options):
    """Body of POST /v1/jobs: columns of one length, options, and what the job is called."""

    kind: Literal["distance", "velocity"] = Field(default="distance", description="distance: from cz; velocity: at a distance")
    cz: Any = Field(default=None, description="c times redshifts in `cz_frame`, km/s", json_schema_extra=_COLUMN)
    z: Any = Field(default=None, description="Redshifts in `cz_frame`, instead of cz", json_schema_extra=_COLUMN)
    sigma_cz: Any = Field(default=None, description="Errors of cz, km/s: one number or a list",
                          json_schema_extra={**_COLUMN, "type": ["array", "number", "null"]})
    distance: Any = Field(default=None, description="Comoving distances, Mpc, of kind velocity", json_schema_extra=_COLUMN)
    run_id: str | None = Field(default=None, max_length=RUN_ID_MAX, description="A name of yours for the job")
    callback: str | None = Field(default=None, description="An https address of yours that is told of the end of the job")
    execution_duration: Number = Field(default=0.0, ge=0.0, le=3.2e7,
                                       description="Seconds from its start in which the job must end; 0: no limit")
    hold: bool = Field(default=False, description="Keep it PENDING until POST /v1/jobs/{job}/run")


class ResultQuery(Strict):
    """Query of GET /v1/jobs/{job}/result."""

    format: Literal["json", "msgpack", "csv"] | None = Field(default=None, description="json (default), msgpack, csv")
    flow_type: str | None = Field(default=None, description="Of kind distance: " + ", ".join(FLOW_TYPES) + " (default distance)")


def job_number(text: str) -> int | None:
    """Return the number of a job in an address; None when it cannot be one."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the header Idempotency-Key.

    Raises
    ------
    BadParameter
        Code ``bad_idempotency_key``.
    """
    key = headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= KEY_MAX or not key.isascii() or not key.isprintable():
        raise BadParameter(f"the header Idempotency-Key has {len(key)} characters; send 1 to {KEY_MAX} printable ASCII ones, new "
                           "ones for each new request", code="bad_idempotency_key", where="Idempotency-Key")
    return key


def columns_of(body: JobBody) -> tuple[dict[str, np.ndarray], str, tuple[str, str]]:
    """Return the columns of a job (float64, one length), their sky frame and the names of the position's pair.

    Raises
    ------
    BadParameter
        As for a list of objects; also when the columns are not those of the kind.
    """
    wrong = ("distance",) if body.kind == "distance" else ("cz", "z", "sigma_cz")
    for name in wrong:
        if getattr(body, name) is not None:
            raise BadParameter(f"{name} is given, but a job of kind {body.kind} takes "
                               f"{'cz or z' if body.kind == 'distance' else 'distance'}; leave it out, or ask for kind "
                               f"{'velocity' if body.kind == 'distance' else 'distance'}", code="two_questions", where=name)
    if body.kind == "distance":
        return list_columns(body, ROWS_MAX)
    lon, lat, frame, pair = need_place(body)
    if body.distance is None:
        raise BadParameter("give the distances at which the velocity is asked, as distance (Mpc)", code="missing_parameter",
                           where="distance")
    lists = {k: numbers(k, v) for k, v in ((pair[0], lon), (pair[1], lat), ("distance", body.distance))}
    one_length(lists, ROWS_MAX)
    return {"lon": lists[pair[0]], "lat": lists[pair[1]], "distance": lists["distance"]}, frame, pair


def draft(body: JobBody, record: dict[str, Any], owner: str, key: str | None, callback: str | None = None) -> Draft:
    """Return a checked job as it is to be stored, on the field of a record; costs a digest of its rows.

    `callback` is the body's, as `webhook_address.check_callback` returned it.
    """
    columns, frame, pair = columns_of(body)
    return made(owner, body.kind, record, body.flow(frame), columns, pair, asked=body.field, run_id=body.run_id, idempotency=key,
                execution_duration=body.execution_duration, callback=callback, phase="PENDING" if body.hold else "QUEUED")


def made(owner: str, kind: str, record: dict[str, Any], opt: FlowOptions, columns: dict[str, np.ndarray], pair: tuple[str, str],
         *, asked: str | None = None, more: dict[str, object] | None = None, run_id: str | None = None,
         execution_duration: float = 0.0, **about: Any) -> Draft:
    """Return a job of checked columns, through whatever door it came.

    Parameters
    ----------
    owner, kind : str
    record : dict
        Of the field.
    opt : FlowOptions
    columns : dict of ndarray, float64, shape (n,)
        lon and lat, and cz and sigma_cz, or distance.
    pair : (str, str)
        What the client called longitude and latitude.
    asked : str, optional
        The field in the client's word.
    more : dict, optional
        What the worker is told beside the options; of a sightline ``n`` and ``table_rmax``.
    **about
        Further fields of `Draft`.
    """
    header, written = spool.pack(columns)
    rows = hashlib.sha256()
    for column in written:
        rows.update(column.data if column.size else b"")
    params = {"options": opt.as_dict(), "pair": list(pair), **({"more": more} if more else {})}
    words = orjson.dumps([kind, (asked or "").strip().lower(), params, run_id, execution_duration,
                          *([about["callback"]] if about.get("callback") else [])])
    kept = {name: record.get(name) for name in ("id", "version", "citation", "sigma_v")}
    return Draft(owner, kind, (record["id"], record["sha"]), kept, params, len(columns["lon"]),
                 hashlib.sha256(words + rows.digest()).digest(), rows.digest(), header, written, run_id=run_id,
                 execution_duration=execution_duration, **about)

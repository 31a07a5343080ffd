"""What may be asked of jobs: bodies and queries in, checked drafts out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import BeforeValidator, Field

from cfcore.errors import BadParameter
from cfcore.options import FLOW_TYPES

from . import spool
from .job_records import Draft
from .queries import Format, Number, Options, Places, Strict, list_columns, need_place, numbers, one_length, plain

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
    execution_duration: Number = Field(default=0.0, ge=0.0, le=3.2e7,
                                       description="Seconds from its start in which the job must end; 0: no limit")


class JobsQuery(Format):
    """Query of GET /v1/jobs."""

    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=1000, description="Most jobs to list")] = 100
    after: Annotated[int, BeforeValidator(plain),
                     Field(ge=0, le=AFTER_MAX, description="List jobs older than this one")] | None = None


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


def draft(body: JobBody, record: dict[str, Any], owner: str, key: str | None) -> Draft:
    """Return a checked job as it is to be stored, on the field of a record; costs a digest of its rows."""
    columns, frame, pair = columns_of(body)
    opt = body.flow(frame)
    header, written = spool.pack(columns)
    rows = hashlib.sha256()
    for column in written:
        rows.update(column.data if column.size else b"")
    params = {"options": opt.as_dict(), "pair": list(pair)}
    asked = orjson.dumps([body.kind, (body.field or "").strip().lower(), params, body.run_id, body.execution_duration])
    kept = {name: record.get(name) for name in ("id", "version", "citation", "sigma_v")}
    return Draft(owner, body.kind, (record["id"], record["sha"]), kept, params, len(columns["lon"]),
                 hashlib.sha256(asked + rows.digest()).digest(), rows.digest(), header, written, run_id=body.run_id,
                 idempotency=key, execution_duration=body.execution_duration)

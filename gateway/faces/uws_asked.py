"""What is asked of the UWS face: forms in, checked drafts of jobs out, and what is told again of what was asked.

Names of parameters have no case. What a list, an option or a name may be is the business of `queries`, `job_queries` and the
catalogue, as at every other door; here are only the words of a form.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
from aiohttp import web
from pydantic import Field, create_model

from cfcore import frames
from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter
from cfcore.options import FLOW_TYPES, FlowOptions

from .. import answers, job_queries, queries, renders
from ..flows import catalogue_velocity, field_record, one_row
from ..job_records import DAY_S, Draft
from ..keys import CATALOG, DISPATCHER, JOBS
from .uws_form import Form

ROWS_MAX = queries.ROWS_MAX
NAMES_MAX = 1000
SHORT = 1000
"""Longer values are told at an address of their own."""
KINDS = ("distance", "velocity", "sightline")
OPTIONS = {name.upper(): name for name in queries.Options.model_fields}
LISTS = {name.upper(): name for name in queries.Places.model_fields if name != "frame"} | {
    name: name.lower() for name in ("CZ", "Z", "SIGMA_CZ", "DISTANCE")}
# parameter -> the column of a job that holds its values
COLUMNS = {**{name: "lon" for name in ("LON", "RA", "GLON", "SGL")}, **{name: "lat" for name in ("LAT", "DEC", "GLAT", "SGB")},
           "CZ": "cz", "Z": "cz", "SIGMA_CZ": "sigma_cz", "DISTANCE": "distance"}
FORMATS = {name: media.partition(";")[0] for name, (_, media) in renders.FORMATS.items()}
FORMAT_WORDS = {**dict(zip(FORMATS, FORMATS)), **{media: name for name, media in FORMATS.items()}, "text/xml": "votable"}
OWN = ("PHASE", "RUNID", "EXECUTIONDURATION", "DESTRUCTION")
"""Parameters that stand in the job itself and not among its parameters."""
_TEXTS = {
    "KIND": "distance (default; from CZ or Z), velocity (at DISTANCE), or sightline (a table of one direction)",
    "NAME": "Names, parted by commas, instead of positions; without CZ or Z the catalogue's velocities are used",
    "FRAME": "Sky frame of LON, LAT: " + ", ".join(frames.SKY_FRAMES), "CZ": "c times redshifts in CZ_FRAME, km/s",
    "Z": "Redshifts in CZ_FRAME, instead of CZ", "SIGMA_CZ": "Errors of CZ, km/s: one number or as many as there are objects",
    "DISTANCE": "Comoving distances, Mpc, of kind velocity", "N": "Rows of a sightline (default 401)",
    "FLOW_TYPE": "Of kind distance: " + ", ".join(FLOW_TYPES) + " (default distance)",
    "RUNID": f"A name of yours, at most {job_queries.RUN_ID_MAX} characters",
    "EXECUTIONDURATION": "Seconds from its start in which the job must end; 0: no limit",
    "DESTRUCTION": "When the job is destroyed, ISO 8601, UTC", "PHASE": "RUN: begin at once",
    "RESPONSEFORMAT": "Format of the result: " + ", ".join(FORMATS) + " (default votable)", "FORMAT": "The same",
    "UPLOAD": "A table as a part of a multipart form"}
_OPTION_TEXTS = {name.upper(): str(entry.description) for name, entry in queries.Options.model_fields.items()}
_LIST_TEXTS = {name.upper(): str(entry.description) for name, entry in queries.Places.model_fields.items()}
KNOWN = {**_LIST_TEXTS, **_OPTION_TEXTS, **_TEXTS}
"""Every parameter of a new job, with what it means."""
JobForm = create_model("UwsJobForm", __doc__="Form of a new UWS job; names have no case.", **{  # type: ignore[call-overload]
    name: (str | None, Field(default=None, description=text)) for name, text in KNOWN.items()})
PhaseForm = create_model("UwsPhaseForm", __doc__="Form that changes a phase.", PHASE=(str, Field(description="RUN or ABORT")))
ChangeForm = create_model("UwsChangeForm", __doc__="Form that deletes or changes a job.", **{  # type: ignore[call-overload]
    name: (str | None, Field(default=None, description=text)) for name, text in (
        ("ACTION", "DELETE"), ("PHASE", "RUN or ABORT"), *((name, KNOWN[name]) for name in OWN[1:]))})
DurationForm = create_model("UwsDurationForm", __doc__="Form that sets a limit.",
                            EXECUTIONDURATION=(str, Field(description="Seconds; 0: no limit")))
DestructionForm = create_model("UwsDestructionForm", __doc__="Form that sets a time of destruction.",
                               DESTRUCTION=(str, Field(description="ISO 8601, UTC")))
ListQuery = create_model(
    "UwsListQuery", __doc__="Query of the list of jobs.",
    PHASE=(list[str] | None, Field(default=None, description="Jobs in these phases")),
    AFTER=(str | None, Field(default=None, description="Jobs made after this time, ISO 8601, UTC")),
    LAST=(int | None, Field(default=None, ge=0, le=10**9, description="The newest so many")))
JobQuery = create_model(
    "UwsJobQuery", __doc__="Query of a job.",
    WAIT=(int | None, Field(default=None, ge=-10**9, le=10**9,
                            description="Seconds to wait until the phase changes, at most 60; -1: as long as possible")),
    PHASE=(str | None, Field(default=None, description="Hold it only while the job is in this phase")))
_SEPARATOR = re.compile(r"\s*[,;]\s*|\s+")
_NAME_SEPARATOR = re.compile(r"\s*[,;\n]\s*")
_MISSING = ("", "nan", "null", "none")


async def draft(request: web.Request, form: Form, owner: str) -> Draft:
    """Return the checked job that a form asks for; it waits for its owner's word unless the form says PHASE=RUN.

    Raises
    ------
    CosmicFlowsError
        As a list of objects does; ``unknown_name`` when one of the names is none.
    """
    if form.table is not None or "UPLOAD" in form.values:
        raise BadParameter("tables are not taken here; send the columns as RA, DEC, CZ, or the table to POST /v1/jobs: the job "
                           "will stand in this list all the same", code="bad_parameter", where="UPLOAD")
    kind = str(form.one("KIND", "distance")).lower()
    if kind not in KINDS:
        raise BadParameter(f"KIND = {kind!r:.40} is not known; use one of {', '.join(KINDS)}", code="bad_parameter", where="KIND")
    told = {**about(request, form, kind), "idempotency": job_queries.idempotency_key(request.headers)}
    record = field_record(request.app[DISPATCHER], form.one("FIELD"))
    columns, opt, pair, more = await (_sightline if kind == "sightline" else _list)(request, form, kind)
    return job_queries.made(owner, kind, record, opt, columns, pair, asked=form.one("FIELD"), more=more, **told)


def about(request: web.Request, form: Form, kind: str) -> dict[str, Any]:
    """Return the fields of a draft that say nothing of what is computed."""
    return {"phase": "QUEUED" if is_run(form) else "PENDING", "face": "uws", "facts": facts(form, kind), "run_id": run_id(form),
            "execution_duration": duration(form), "destruction": destruction(request, form)}


def is_run(form: Form) -> bool:
    """Tell whether a form says that the job is to begin; raises `BadParameter` when it says another phase."""
    phase = form.one("PHASE")
    if phase is not None and phase.upper() != "RUN":
        raise BadParameter(f"PHASE = {phase!r:.40} is not possible for a new job; send RUN, or leave it out",
                           code="bad_parameter", where="PHASE")
    return phase is not None


def facts(form: Form, kind: str) -> dict[str, Any]:
    """Return what is kept of a form: the parameters as they were sent, long lists only by name, and the format."""
    flow, word = str(form.one("FLOW_TYPE", "distance")).lower(), form.one("RESPONSEFORMAT") or form.one("FORMAT") or "votable"
    if flow != "distance" and kind != "distance":
        raise BadParameter(f"FLOW_TYPE is given, but a job of kind {kind} has none; leave it out", code="two_questions",
                           where="FLOW_TYPE")
    fmt = FORMAT_WORDS.get(word.partition(";")[0].strip().lower())
    if fmt is None:
        raise BadParameter(f"RESPONSEFORMAT = {word!r:.80} is not offered; use one of {', '.join(FORMATS)}", code="bad_parameter",
                           where="RESPONSEFORMAT")
    told: dict[str, str | None] = {}
    for name, given in form.values.items():
        if name not in OWN and name != "UPLOAD":
            text = ",".join(given)
            told[name] = None if name in COLUMNS and len(text) > SHORT else text
    return {"parameters": told, "format": fmt, "flow": queries.flow_type(flow)}


def run_id(form: Form) -> str | None:
    """Return RUNID."""
    text = form.one("RUNID")
    if text is not None and len(text) > job_queries.RUN_ID_MAX:
        raise BadParameter(f"RUNID has {len(text)} characters; it may have at most {job_queries.RUN_ID_MAX}",
                           code="bad_parameter", where="RUNID")
    return text


def duration(form: Form) -> float:
    """Return EXECUTIONDURATION, s, bounded by what a job may have; 0 is no limit."""
    text = form.one("EXECUTIONDURATION", "0")
    try:
        seconds = float(str(text))
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds < math.inf:
        raise BadParameter(f"EXECUTIONDURATION = {text!r:.40} is no number of seconds; send one, or 0 for no limit",
                           code="not_a_number", where="EXECUTIONDURATION")
    return min(float(math.ceil(seconds)), 3.2e7)


def destruction(request: web.Request, form: Form) -> float | None:
    """Return DESTRUCTION in Unix seconds, no later than this server keeps jobs; None when it is not given."""
    text = form.one("DESTRUCTION")
    if text is None:
        return None
    when, now = instant(text, "DESTRUCTION"), datetime.now(UTC).timestamp()
    if when <= now:
        raise BadParameter(f"DESTRUCTION = {text:.40} lies in the past; DELETE destroys a job now", code="bad_parameter",
                           where="DESTRUCTION")
    return min(when, now + request.app[JOBS].retention_days * DAY_S)


def instant(text: str, name: str) -> float:
    """Return a time of ISO 8601 in Unix seconds; UTC when it does not say otherwise."""
    try:
        when = datetime.fromisoformat(text.strip())
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadParameter(f"{name} = {text!r:.40} is no time; write it as 2030-01-31T12:00:00Z", code="bad_parameter",
                           where=name) from None


_Asked = tuple[dict[str, np.ndarray], FlowOptions, tuple[str, str], dict[str, object] | None]


async def _list(request: web.Request, form: Form, kind: str) -> _Asked:
    """Return columns, options and the pair's names of a list of objects."""
    if form.one("N") is not None:
        raise BadParameter(f"N is given, but a job of kind {kind} has as many rows as objects; leave it out",
                           code="two_questions", where="N")
    lists: dict[str, Any] = {LISTS[name]: _numbers(name, form.values[name]) for name in LISTS if name in form.values}
    lists = {name: numbers for name, numbers in lists.items() if numbers}
    names = _names(form)
    if names:
        _check_alone(form)
        found = await _resolved(request, names)
        place = [f["position"]["icrs"] for f in found]
        lists |= {"ra": [p["lon"] for p in place], "dec": [p["lat"] for p in place]}
        if kind == "distance" and not {"cz", "z"} & set(lists):
            _check_frame(form)
            lists["cz"] = [catalogue_velocity(f) for f in found]
    if len(lists.get("sigma_cz", ())) == 1:
        lists["sigma_cz"] = lists["sigma_cz"][0]
    body = queries.validate(job_queries.JobBody, {
        "kind": kind, **_options(form), **({"frame": form.one("FRAME")} if form.one("FRAME") else {}), **lists})
    columns, frame, pair = job_queries.columns_of(body)
    return columns, body.flow(frame), pair, None


async def _sightline(request: web.Request, form: Form, kind: str) -> _Asked:
    """Return columns, options and the pair's names of one line of sight, and how long its table is."""
    given = {name.lower(): form.one(name) for name in (*LISTS, "FRAME", "N") if form.one(name) is not None}
    if "distance" in given:
        raise BadParameter("DISTANCE is given, but a sightline is a table of all distances; leave it out", code="two_questions",
                           where="DISTANCE")
    q = queries.validate(queries.TableQuery, {**_options(form), **given})
    cz, names = queries.velocity_km_s(q), _names(form)
    opt = q.model_copy(update={"rmax": None})
    if names:
        _check_alone(form)
        if len(names) > 1:
            raise BadParameter(f"NAME holds {len(names)} names; a sightline has one direction", code="two_positions",
                               where="NAME")
        found, = await _resolved(request, names)
        lon, lat, frame, pair = *(found["position"]["icrs"][k] for k in ("lon", "lat")), "icrs", ("ra", "dec")
    else:
        found = {"cz_helio": None}
        lon, lat, frame, pair = queries.need_place(q)
    flow = opt.flow(frame)
    FlowOptions(rmax=q.rmax)
    if cz is None and found["cz_helio"] is not None:
        n_gal = frames.rotate(frames.unit_vectors(lon, lat), frame, "galactic")
        cz = C_KMS * float(frames.convert_z(found["cz_helio"] / C_KMS, n_gal, "hel", flow.cz_frame, flow.composition)[0])
    sent = one_row(lon=lon, lat=lat, cz=math.nan if cz is None else cz, sigma_cz=q.sigma_cz or 0.0)
    answers.check_single(sent, pair)
    return sent, flow, pair, {"n": q.n, "table_rmax": q.rmax}


def _options(form: Form) -> dict[str, Any]:
    return {own: form.one(name) for name, own in OPTIONS.items() if form.one(name) is not None}


def _names(form: Form) -> list[str]:
    names = [name for text in form.values.get("NAME", ()) for name in _NAME_SEPARATOR.split(text.strip()) if name]
    if len(names) > NAMES_MAX:
        raise BadParameter(f"{len(names)} names are more than the {NAMES_MAX} of one job; send them in parts",
                           code="too_many_rows", where="NAME", extra={"limit": NAMES_MAX})
    return names


def _check_alone(form: Form) -> None:
    both = next((name for name, column in COLUMNS.items() if column in ("lon", "lat") and form.one(name) is not None), None)
    if both:
        raise BadParameter(f"NAME and {both} are both given; give names or positions", code="two_positions", where=both)


def _check_frame(form: Form) -> None:
    if form.one("CZ_FRAME") is not None:
        raise BadParameter("CZ_FRAME says how to read CZ, but no CZ is given; the catalogue's velocities are heliocentric",
                           code="missing_parameter", where="CZ")


async def _resolved(request: web.Request, names: list[str]) -> list[dict[str, Any]]:
    """Return what the catalogue says of each name; the whole is refused when it does not know one of them."""
    found: list[dict[str, Any]] = (await request.app[CATALOG].resolve_many(names))["results"]
    missing = [f for f in found if f["status"] != "ok"]
    if missing:
        more = f" (and {len(missing) - 3} others)" if len(missing) > 3 else ""
        raise BadParameter("; ".join(str(f.get("detail") or f["name"]) for f in missing[:3]) + f"{more}; mend the names, or "
                           "leave them out", code="unknown_name", where="NAME")
    return found


def _numbers(name: str, given: list[str]) -> list[float]:
    """Return the numbers of a parameter, parted by commas or blanks, or given many times; a missing one is NaN.

    Raises
    ------
    BadParameter
        Codes ``not_a_number``, ``sexagesimal``, ``too_many_rows``.
    """
    if len(given) == 1 and not given[0].strip():
        return []
    words = [word for text in given for word in _SEPARATOR.split(text.strip())]
    if len(words) > ROWS_MAX:
        raise BadParameter(f"{name} has {len(words)} entries, more than the {ROWS_MAX} of a form; send the table to POST "
                           "/v1/jobs: the job will stand in this list all the same", code="too_many_rows", where=name,
                           extra={"limit": ROWS_MAX})
    out = []
    for row, word in enumerate(words):
        try:
            out.append(math.nan if word.lower() in _MISSING else float(queries.plain(word)))
        except ValueError:
            is_sexagesimal = bool(re.search("[0-9][:hd\u00b0]", word))
            way = "; send decimal degrees (an hour of right ascension is 15 degrees)" if is_sexagesimal else ""
            raise BadParameter(f"{name}[{row}] = {word!r:.40} is not a number{way}",
                               code="sexagesimal" if is_sexagesimal else "not_a_number", where=f"{name}[{row}]") from None
    return out

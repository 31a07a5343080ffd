"""The door of IVOA UWS 1.1: the tree of jobs that pyvo, STILTS, TOPCAT and uws-client walk.

Jobs of all doors stand in one table, so all of an owner's are here. A change answers 303 to the job, a refusal is plain text.
What a form asks for is the business of `uws_asked`, what is told of a job that of `uws_words`, in the documents of `uws_xml`.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable
from sqlite3 import Row

from aiohttp import web

from cfcore.errors import BadParameter, CosmicFlowsError, DeadlineExceeded, UsageError

from .. import problems, renders, result_api
from ..callers import caller_of
from ..job_access import own_row, submitted
from ..job_records import ENDED
from ..keys import JOBS, WATCHERS
from . import uws_asked, uws_form, uws_table, uws_words, uws_xml, vo

PATH = "/uws/flow"
WAIT_MAX_S = 60.0
LIST_MAX = 1000
"""Most jobs of a list: the newest."""
_PAGE = 500
# clients of UWS know these; 404 and 409 about what a new job asks for are faults of the form
_STATUS = {409: 404, 410: 404, 422: 400, 504: 503}
_OF_A_FORM = {404: 400, 409: 400, 422: 400, 504: 503}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def in_text(handler: Handler) -> Handler:
    """Return a handler whose refusals are plain text with a status that clients of UWS know."""
    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except CosmicFlowsError as exc:
            return _refused(request, exc if exc.kind != "fatal" else problems.logged(request, exc))
        except web.HTTPException:
            raise
        except TimeoutError:
            return _refused(request, DeadlineExceeded("the answer did not come in time; ask again"))
        except Exception as exc:
            return _refused(request, problems.logged(request, exc))
    return answer


@in_text
async def list_jobs(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow: your jobs of every door, newest first; PHASE=, AFTER= and LAST= choose among them."""
    words = _words(request, ("PHASE", "AFTER", "LAST"), many="PHASE")
    phases = {text.upper() for text in words.get("PHASE", ())}
    if not phases <= set(uws_words.PHASES):
        raise BadParameter(f"PHASE = {min(phases - set(uws_words.PHASES))!r:.40} is none; use {', '.join(uws_words.PHASES)}",
                           code="bad_parameter", where="PHASE")
    after = uws_asked.instant(words["AFTER"][0], "AFTER") if "AFTER" in words else None
    most = min(_whole_number(words, "LAST", 0), LIST_MAX) if "LAST" in words else LIST_MAX
    owner, name = await _caller(request, "read")
    jobs, base = request.app[JOBS], _base(request)
    rows = await _rows(request, owner, phases, after, most)
    return _xml(uws_xml.jobs([uws_words.job_of(jobs, row, base, name) for row in rows]))


@in_text
async def create_job(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow: make a job of a form; with PHASE=RUN it begins at once."""
    caller = await caller_of(request, "submit")
    base = _base(request)
    async with uws_table.drafted(request, caller) as draft:
        job = await submitted(request, caller, draft)
    return _see(f"{base}/{job}")


@in_text
async def get_job(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}: all that is known of a job; WAIT=seconds holds the answer until its phase changes."""
    words = _words(request, ("WAIT", "PHASE"))
    row, name = await _row(request, "read")
    if "WAIT" in words:
        seconds = _whole_number(words, "WAIT", -1)
        await _hold(request, row, WAIT_MAX_S if seconds < 0 else min(float(seconds), WAIT_MAX_S),
                    words.get("PHASE", [""])[0].upper())
        row, name = await _row(request, "read")
    return _xml(uws_xml.job(uws_words.job_of(request.app[JOBS], row, _base(request), name)))


@in_text
async def act_on_job(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow/{job}: ACTION=DELETE destroys a job; what belongs to its phase and its parameters is taken here, too."""
    row, _ = await _row(request, "submit")
    form = await uws_form.read(request, (*uws_asked.KNOWN, "ACTION"))
    if "ACTION" not in form.values:
        return await _change(request, row, form)
    if len(form.values) > 1 or str(form.one("ACTION")).upper() != "DELETE":
        raise BadParameter("the one ACTION is DELETE; send it alone", code="bad_parameter", where="ACTION")
    await request.app[JOBS].delete(row["id"])
    return _see(_base(request))


@in_text
async def delete_job(request: web.Request) -> web.StreamResponse:
    """DELETE /uws/flow/{job}: destroy a job with its rows and its result."""
    row, _ = await _row(request, "submit")
    await request.app[JOBS].delete(row["id"])
    return _see(_base(request))


@in_text
async def get_phase(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/phase: the phase as one word."""
    row, _ = await _row(request, "read")
    return _text(request.app[JOBS].live_phase(row["id"], row["phase"]))


@in_text
async def set_phase(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow/{job}/phase: PHASE=RUN begins a job, PHASE=ABORT ends it; the rows that are done stay."""
    row, _ = await _row(request, "submit")
    phase = (await uws_form.read(request, ("PHASE",))).one("PHASE")
    return await _set_phase(request, row, phase or "")


@in_text
async def get_duration(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/executionduration: seconds from its start in which a job must end; 0 is no limit."""
    row, _ = await _row(request, "read")
    return _text(str(uws_xml.whole(row["execution_duration"])))


@in_text
async def set_duration(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow/{job}/executionduration: EXECUTIONDURATION=seconds; what is told afterwards is what was taken."""
    row, _ = await _row(request, "submit")
    return await _amend(request, row, await uws_form.read(request, ("EXECUTIONDURATION",)), "EXECUTIONDURATION")


@in_text
async def get_destruction(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/destruction: when a job is destroyed with its result."""
    row, _ = await _row(request, "read")
    return _text(uws_xml.stamp(row["destruction"]))


@in_text
async def set_destruction(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow/{job}/destruction: DESTRUCTION=time; not later than this server keeps jobs."""
    row, _ = await _row(request, "submit")
    return await _amend(request, row, await uws_form.read(request, ("DESTRUCTION",)), "DESTRUCTION")


@in_text
async def get_quote(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/quote: when a job may end, at the rate measured; empty when nothing is known."""
    row, name = await _row(request, "read")
    return _text(uws_xml.stamp(uws_words.job_of(request.app[JOBS], row, _base(request), name).quote))


@in_text
async def get_owner(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/owner: the name of the user whose job it is; empty of one that belongs to an address."""
    _, name = await _row(request, "read")
    return _text(name or "")


@in_text
async def get_error(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/error: why a job ended before its work was done, as a VOTable."""
    row, _ = await _row(request, "read")
    if row["phase"] not in ("ERROR", "ABORTED"):
        raise UsageError(f"job {row['id']} has no error; its phase is {row['phase']}", code="not_found", where="job")
    body = await asyncio.to_thread(vo.error_table, row["error_text"])
    return web.Response(body=body, content_type=vo.MEDIA)


@in_text
async def get_parameters(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/parameters: what was asked for."""
    row, name = await _row(request, "read")
    return _xml(uws_xml.parameters(uws_words.job_of(request.app[JOBS], row, _base(request), name)))


@in_text
async def set_parameters(request: web.Request) -> web.StreamResponse:
    """POST /uws/flow/{job}/parameters: RUNID, EXECUTIONDURATION and DESTRUCTION can be changed; what is computed cannot."""
    row, _ = await _row(request, "submit")
    return await _change(request, row, await uws_form.read(request, uws_asked.KNOWN))


@in_text
async def get_parameter(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/parameters/{parameter}: the value of one parameter as text."""
    row, _ = await _row(request, "read")
    parameters, name = uws_words.parameters_of(row), request.match_info["parameter"].upper()
    if name not in parameters:
        raise UsageError(f"job {row['id']} has no parameter {name!r:.80}; it has {', '.join(sorted(parameters))}",
                         code="not_found", where="parameter")
    return _text(uws_words.value_of(request.app[JOBS], row, parameters, name))


@in_text
async def get_results(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/results: what results there are."""
    row, name = await _row(request, "read")
    return _xml(uws_xml.results(uws_words.job_of(request.app[JOBS], row, _base(request), name)))


@in_text
async def get_result(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/{job}/results/{result}: the table; of a cancelled job the rows that were ready."""
    row, _ = await _row(request, "read")
    if request.match_info["result"] != "result":
        raise UsageError(f"job {row['id']} has no result {request.match_info['result']!r:.80}; it is called result",
                         code="not_found", where="result")
    if not uws_words.has_result(row):
        why = f": {row['error_text']}" if row["phase"] in ("ERROR", "ABORTED") else "; ask again when it is COMPLETED"
        raise UsageError(f"job {row['id']} has no result, its phase is {row['phase']}{why}", code="not_found", where="job")
    fmt = uws_words.result_format(row)
    rendered = await renders.get(request.app, row, fmt, uws_words.result_flow(row))
    return await result_api.send(request, rendered, f"uws-{row['id']}.{renders.FORMATS[fmt][0]}")


@in_text
async def availability(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/availability: VOSI 1.1, whether jobs are accepted."""
    health = request.app[JOBS].health()
    return vo.available(health["ok"], health["why"])


@in_text
async def capabilities(request: web.Request) -> web.StreamResponse:
    """GET /uws/flow/capabilities: VOSI 1.1, which resources there are, at which address."""
    return vo.document(_CAPABILITIES.format(base=vo.escape(_base(request))))


# ---- the seams to the rest of the house --------------------------------------------------------------------------

async def _caller(request: web.Request, scope: str) -> tuple[str, str | None]:
    """Return the owner whose jobs are asked for, and its name when it has one."""
    caller = await caller_of(request, scope)
    return caller.owner, caller.name


async def _row(request: web.Request, scope: str) -> tuple[Row, str | None]:
    """Return the row of the job in the address, when it is the caller's, and the caller's name."""
    _, name = await _caller(request, scope)
    return await own_row(request, scope), name


async def _rows(request: web.Request, owner: str, phases: set[str], after: float | None, most: int) -> list[Row]:
    """Return the newest jobs of an owner in some phases, made after a time as it is told: in whole seconds."""
    jobs, found, cursor = request.app[JOBS], [], None
    while len(found) < most and (page := jobs.shelf.rows(owner, cursor, _PAGE)):
        for row in page:
            if after is not None and math.floor(row["creation"]) <= after:
                return found[:most]
            if not phases or jobs.live_phase(row["id"], row["phase"]) in phases:
                found.append(row)
        cursor = page[-1]["id"]
        await asyncio.sleep(0)
    return found[:most]


async def _hold(request: web.Request, row: Row, seconds: float, phase: str) -> None:
    """Wait until a job has left a phase (that it is in now, when none is named), has ended, or the time is over."""
    jobs, job = request.app[JOBS], row["id"]
    now = jobs.live_phase(job, row["phase"])
    phase = phase or now
    if phase == now and phase in uws_words.ACTIVE:
        await request.app[WATCHERS].wait(request, row, seconds, lambda found: jobs.live_phase(job, found["phase"]) != phase)


# ---- words and answers -------------------------------------------------------------------------------------------

async def _set_phase(request: web.Request, row: Row, phase: str) -> web.Response:
    word = phase.upper()
    if word not in ("RUN", "ABORT"):
        raise BadParameter(f"PHASE = {phase!r:.40} cannot be set; send RUN or ABORT", code="bad_parameter", where="PHASE")
    if word == "RUN" and row["phase"] in ENDED:
        return _text(f"job {row['id']} has ended, its phase is {row['phase']}; make a new job\n", 403)
    jobs = request.app[JOBS]
    await (jobs.run if word == "RUN" else jobs.cancel)(row["id"])
    return _see(f"{_base(request)}/{row['id']}")


async def _change(request: web.Request, row: Row, form: uws_form.Form) -> web.Response:
    """Change what may be changed of a job, and then its phase; what is to be computed may not."""
    computed = sorted(set(form.values) - set(uws_asked.OWN)) + ([form.table.part] if form.table else [])
    if computed:
        return _text(f"{computed[0]:.80} cannot be changed: what is to be computed was checked when job {row['id']} was made; "
                     "make another job, and DELETE this one\n", 403)
    phase = form.one("PHASE")
    response = await _amend(request, row, form, *(name for name in form.values if name != "PHASE"))
    return response if phase is None or response.status != 303 else await _set_phase(request, row, phase)


async def _amend(request: web.Request, row: Row, form: uws_form.Form, *names: str) -> web.Response:
    """Change words about a job; a limit means nothing to one that has ended."""
    missing = next((name for name in names if name != "RUNID" and form.one(name) is None), None)
    if missing:
        raise BadParameter(f"parameter {missing} is missing", code="missing_parameter", where=missing)
    changes: dict[str, object] = {}
    if "EXECUTIONDURATION" in names:
        if row["phase"] in ENDED:
            return _text(f"job {row['id']} has ended, its phase is {row['phase']}; its EXECUTIONDURATION stays\n", 403)
        changes["execution_duration"] = uws_asked.duration(form)
    if "DESTRUCTION" in names:
        changes["destruction"] = uws_asked.destruction(request, form)
    if "RUNID" in names:
        changes["run_id"] = uws_asked.run_id(form)
    if changes:
        await request.app[JOBS].amend(row["id"], **changes)
    return _see(f"{_base(request)}/{row['id']}")


def _words(request: web.Request, known: tuple[str, ...], many: str = "") -> dict[str, list[str]]:
    """Return the parameters of an address in upper case, each given once but `many`; others are refused."""
    words: dict[str, list[str]] = {}
    for name, value in request.query.items():
        word = name.upper()
        if word in uws_form.IGNORED:
            continue
        if word not in known:
            raise BadParameter(f"parameter {name!r:.80} is not known here; known are {', '.join(known)}",
                               code="unknown_parameter", where=name[:80])
        if word in words and word != many:
            raise BadParameter(f"parameter {word} is given twice; give it once", code="repeated_parameter", where=word)
        words.setdefault(word, []).append(value.strip())
    return words


def _whole_number(words: dict[str, list[str]], name: str, least: int) -> int:
    text = words[name][0]
    digits = text.removeprefix("-" if least < 0 else "")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 9):
        raise BadParameter(f"{name} = {text!r:.40} is not a whole number, {least} or more", code="bad_parameter", where=name)
    return int(text)


def _base(request: web.Request) -> str:
    return vo.origin(request) + PATH


def _see(url: str) -> web.Response:
    return web.Response(status=303, headers={"Location": url})


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/plain", charset="utf-8")


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="text/xml", charset="utf-8")


def _refused(request: web.Request, error: CosmicFlowsError) -> web.Response:
    plain = problems.problem(error)
    status = (_STATUS if "job" in request.match_info else _OF_A_FORM).get(plain.status, plain.status)
    response = _text(f"{error.message}\n", status)
    for name, value in plain.headers.items():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    if plain.keep_alive is False:
        response.force_close()
    return response


_CAPABILITIES = """<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" \
xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/VOSI#capabilities"><interface xsi:type="vs:ParamHTTP" role="std">\
<accessURL use="full">{base}/capabilities</accessURL></interface></capability>
<capability standardID="ivo://ivoa.net/std/VOSI#availability"><interface xsi:type="vs:ParamHTTP" role="std">\
<accessURL use="full">{base}/availability</accessURL></interface></capability>
<capability standardID="ivo://ivoa.net/std/UWS"><interface xsi:type="vs:ParamHTTP" role="std" version="1.1">\
<accessURL use="base">{base}</accessURL></interface></capability>
</vosi:capabilities>"""

"""Tables over HTTP: look at one before it is asked, submit one as a job, take one away."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import BodyPartReader, web

from cfcore.errors import BadParameter, CosmicFlowsError, UnknownName

from . import answers, bodies, job_queries, multipart, queries, table_queries
from .budget import way_to_more
from .callers import Caller
from .flows import field_record
from .job_access import owner_of, submitted
from .job_records import Draft
from .job_view import stamp
from .keys import DISPATCHER, INTAKE, JOBS, SETTINGS, UPLOADS
from .multipart import FORM, refused
from .name_queries import AnswerQuery
from .problems import wrong_encoding
from .table_queries import PreviewQuery, TableJob
from .uploads import Upload
from .webhook_address import check_callback

MEDIA = frozenset((
    "text/csv", "text/tab-separated-values", "text/plain", "text/x-ecsv", "application/x-ecsv", "application/fits", "image/fits",
    "application/x-votable+xml", "text/xml", "application/xml", "application/vnd.apache.parquet", "application/x-parquet",
    "application/parquet", "application/gzip", "application/x-gzip", "application/octet-stream"))
"""Content types of a body that is a table; what it holds is told by its content."""
PART_BYTES = 4096
_PIECE = 1 << 16


def is_table(request: web.Request) -> bool:
    """Tell whether the body of a request is a table, or a form that holds one."""
    return _media(request) in MEDIA or _media(request) == FORM


async def preview(request: web.Request) -> web.Response:
    """POST /v1/tables: take a table, keep it for an hour, and say what it holds and which column would be read as what."""
    owner, uploads = await owner_of(request, "submit"), request.app[UPLOADS]
    words, upload = await _received(request, PreviewQuery, owner)
    try:
        fmt = answers.wanted(request, words.format)
        if upload is None:
            raise _no_table()
        asked = table_queries.question(words, upload)
        seen = await request.app[INTAKE].look(upload.path, asked)
        upload.reading = {"format": asked.format, "extension": asked.extension, "delimiter": asked.delimiter}
        await uploads.keep(upload)
    except BaseException:
        if upload is not None:
            uploads.drop(upload)
        raise
    choice, why = seen["choice"], seen["why"]
    roles = table_queries.roles(choice)
    told = {"table": upload.id, "url": f"/v1/tables/{upload.id}", "name": upload.name, "expires": stamp(upload.expires),
            "bytes": upload.size, "sha256": upload.sha256, **{k: seen[k] for k in ("format", "delimiter", "rows")},
            "columns": [{**column, "role": roles.get(i)} for i, column in enumerate(seen["columns"])],
            "choice": table_queries.told_choice(choice, words.kind), "why": None if why is None else why.message,
            "code": None if why is None else why.code, "candidates": [] if why is None else why.extra.get("candidates", []),
            "head": seen["head"], "notes": seen["notes"]}
    return answers.respond(told, fmt)


async def drop_table(request: web.Request) -> web.Response:
    """DELETE /v1/tables/{table}: remove a table before its hour is over; jobs that were made of it keep theirs."""
    q = queries.parse_query(AnswerQuery, request)
    fmt = answers.wanted(request, q.format)
    upload = request.app[UPLOADS].find(await owner_of(request, "submit"), request.match_info["table"])
    request.app[UPLOADS].drop(upload)
    return answers.respond({"dropped": upload.id}, fmt)


async def submit_table(request: web.Request, caller: Caller,
                       data: dict[str, Any] | None = None) -> tuple[int, str, dict[str, Any]]:
    """Accept a table as a job: the body, a part of a form, or one that was sent to /v1/tables before.

    Parameters
    ----------
    request : aiohttp.web.Request
    caller : Caller
    data : dict, optional
        The JSON or msgpack body, when it names a table.

    Returns
    -------
    job : int
    fmt : str
        The format of the answer.
    told : dict
        How the table was read.

    Raises
    ------
    CosmicFlowsError
        As the words, the table or the store refuse it; nothing of the table is left then.
    """
    uploads = request.app[UPLOADS]
    key = job_queries.idempotency_key(request.headers)
    if data is None:
        words, sent = await _received(request, TableJob, caller.owner)
    else:
        words, sent = queries.validate(TableJob, data), None
    try:
        fmt = answers.wanted(request, words.format)
        if (sent is None) == (words.table is None):
            raise _no_table() if sent is None else BadParameter(
                "a table is sent, and table= names another one; give one of them", code="contradiction", where="table")
        upload = sent or uploads.find(caller.owner, words.table or "")
        async with drafted(request, caller, words, upload, key) as draft:
            job = await submitted(request, caller, draft)
    finally:
        if sent is not None:
            uploads.drop(sent)
    about = draft.table_about or {}
    return job, fmt, {"name": upload.name, **{k: about[k] for k in ("format", "notes", "faults")},
                      "choice": table_queries.told_choice(about["choice"], words.kind)}


@asynccontextmanager
async def drafted(request: web.Request, caller: Caller, words: TableJob, upload: Upload,
                  key: str | None) -> AsyncIterator[Draft]:
    """Yield the job on a table that was taken; when the block fails, nothing of it is left in the spool."""
    spool, files = request.app[JOBS].store.spool, []
    try:
        record = _checked(request, words)
        callback = None if words.callback is None else await check_callback(words.callback, request.app[SETTINGS])
        asked = dataclasses.replace(table_queries.question(words, upload), rows_max=caller.rows_of_a_job)
        files.append(f"{secrets.token_hex(12)}.table")
        await asyncio.to_thread(_link, upload, spool / files[0])
        try:
            read = await request.app[INTAKE].rows(spool / files[0], asked, spool)
        except CosmicFlowsError as exc:
            if exc.code != "too_many_rows":
                raise
            # who reads the table does not know who sent it
            raise BadParameter(exc.message + way_to_more(caller), code=exc.code, where=exc.where, extra=exc.extra) from None
        files.append(read["input_file"])
        # from here on the files are the store's to remove, but for what is refused at its door
        yield dataclasses.replace(table_queries.draft(words, asked, upload, read, record, caller.owner, key, files[0]),
                                  callback=callback, phase="PENDING" if words.hold else "QUEUED")
    except Exception:
        # not when it is called off: the store may have taken the job all the same
        for name in files:
            (spool / name).unlink(missing_ok=True)
        raise


def _checked(request: web.Request, words: TableJob) -> dict[str, Any]:
    """Return the record of the field, after the options were looked at: nobody is to wait for a table that cannot be asked."""
    words.flow(words.frame or "icrs")
    return field_record(request.app[DISPATCHER], words.field)


def _link(upload: Upload, place: Any) -> None:
    try:
        os.link(upload.path, place)
    except FileNotFoundError:
        raise UnknownName(f"the table {upload.id!r:.60} has just been removed; send it again", code="unknown_table",
                          where="table") from None


# ---- what comes in -----------------------------------------------------------------------------------------------

async def _received(request: web.Request, model: type[queries.Model], owner: str) -> tuple[queries.Model, Upload | None]:
    """Return the words of a request and the table in it; words that come before the table are checked before it is taken."""
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in bodies.ENCODINGS:
        raise wrong_encoding(encoding)
    if _media(request) == FORM:
        return await _form(request, model, owner)
    if _media(request) and _media(request) not in MEDIA:
        raise BadParameter(f"content type {_media(request)!r:.80} is no table; send the file with the header 'Content-Type: "
                           "text/csv', or with application/octet-stream", code="wrong_content_type", where="Content-Type")
    words = queries.parse_query(model, request)
    early = getattr(words, "flow", None)
    if early is not None:
        _checked(request, words)  # type: ignore[arg-type]
    name = getattr(words, "filename", None) or ""
    return words, await request.app[UPLOADS].take(owner, request.content.iter_chunked(_PIECE), name, _media(request))


async def _form(request: web.Request, model: type[queries.Model], owner: str) -> tuple[queries.Model, Upload | None]:
    values: dict[str, Any] = {}
    sent: list[Upload] = []
    try:
        for name, value in request.query.items():
            _put(values, name, value)
        with multipart.in_our_words():
            async for part in multipart.parts(request):
                name = part.name or ""
                if part.headers.get("Content-Transfer-Encoding", "binary").lower() not in ("binary", "8bit", "7bit"):
                    raise refused(f"its part {name!r:.80} has a Content-Transfer-Encoding; send it as it is")
                if part.filename is None and name != "file":
                    _put(values, name, await _text(part, name))
                elif sent or name not in ("file", "table"):
                    raise refused("a form holds one table, in its part 'file' or 'table'")
                else:
                    media = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                    called = str(values.get("filename") or part.filename or "")
                    sent.append(await request.app[UPLOADS].take(owner, multipart.pieces(part), called, media))
        return queries.validate(model, values), sent[0] if sent else None
    except BaseException:
        for upload in sent:
            request.app[UPLOADS].drop(upload)
        raise


def _put(values: dict[str, Any], name: str, value: str) -> None:
    if name in values:
        raise BadParameter(f"{name!r:.80} is given twice; give it once", code="repeated_parameter", where=name[:80])
    values[name] = value


async def _text(part: BodyPartReader, name: str) -> str:
    text = b""
    async for piece in multipart.pieces(part, 8192):
        text += piece
        if len(text) > PART_BYTES:
            raise refused(f"its part {name!r:.80} has more than {PART_BYTES} bytes; only one with a file name, or called "
                          "'file', is a table")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise refused(f"its part {name!r:.80} is not UTF-8") from None


def _no_table() -> BadParameter:
    return BadParameter("no table is given; send it as the body, as the part 'file' of a form, or name one with table=ID",
                        code="missing_parameter", where="table")


def _media(request: web.Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()

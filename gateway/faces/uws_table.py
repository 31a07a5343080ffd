"""Tables in forms of the UWS face: the part of a form in, a checked draft out; how a table is read is `table_api`'s business."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from cfcore.errors import BadParameter

from .. import job_queries, queries, table_api
from ..callers import Caller
from ..job_records import Draft
from ..keys import UPLOADS
from ..table_queries import Reading, TableJob
from ..uploads import Upload
from . import uws_asked, uws_form

WORDS = {name.upper(): name for name, entry in Reading.model_fields.items()
         if name not in ("format", "filename", "kind", "frame", "sigma_cz")}
"""What may be said of a table beside what is said of lists: which column is what, and how it is written."""


@asynccontextmanager
async def drafted(request: web.Request, caller: Caller) -> AsyncIterator[Draft]:
    """Yield the job that a form asks for, with or without a table; nothing of the table is left when the block fails."""
    taken: list[Upload] = []

    async def take(pieces: AsyncIterator[bytes], name: str, media: str) -> Upload:
        taken.append(await request.app[UPLOADS].take(caller.owner, pieces, name, media))
        return taken[-1]
    try:
        form = await uws_form.read(request, (*uws_asked.KNOWN, *WORDS), take)
        if form.table is None:
            wrong = next((name for name in WORDS if name in form.values), None)
            if wrong:
                raise BadParameter(f"{wrong} says how to read a table, but none is sent; send one as a part of a multipart form",
                                   code="missing_parameter", where=wrong)
            yield await uws_asked.draft(request, form, caller.owner)
            return
        about = uws_asked.about(request, form, _kind(form))
        key = job_queries.idempotency_key(request.headers)
        async with table_api.drafted(request, caller, _words(form), form.table.taken, key) as draft:
            yield dataclasses.replace(draft, **{name: about[name] for name in ("phase", "face", "facts", "destruction")})
    finally:
        for upload in taken:
            request.app[UPLOADS].drop(upload)


def _kind(form: uws_form.Form) -> str:
    kind = str(form.one("KIND", "distance")).lower()
    if kind == "sightline":
        raise BadParameter("KIND = sightline takes one direction and no table; ask for distance or velocity", where="KIND",
                           code="two_questions")
    given = next((name for name in (*uws_asked.COLUMNS, "NAME", "N") if form.one(name) is not None and name != "SIGMA_CZ"), None)
    if given:
        raise BadParameter(f"{given} is given beside a table; say with its column, such as RA_COLUMN, what is read", where=given,
                           code="two_positions")
    return kind


def _words(form: uws_form.Form) -> TableJob:
    """Return what a form says of its table. UPLOAD=name,param:PART of TAP must name the part that is there."""
    assert form.table is not None
    said = form.one("UPLOAD")
    if said is not None and said.rpartition("param:")[2] != form.table.part:
        raise BadParameter(f"UPLOAD = {said!r:.80} does not name the part {form.table.part!r:.80}; write NAME,param:"
                           f"{form.table.part:.80}", code="bad_parameter", where="UPLOAD")
    names = {**uws_asked.OPTIONS, **WORDS, "KIND": "kind", "FRAME": "frame", "SIGMA_CZ": "sigma_cz", "RUNID": "run_id"}
    given: dict[str, Any] = {own: form.one(name) for name, own in names.items() if form.one(name) is not None}
    if "kind" in given:
        given["kind"] = given["kind"].lower()
    return queries.validate(TableJob, {**given, "execution_duration": uws_asked.duration(form)})

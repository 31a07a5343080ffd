"""The door of those who ask CDS Sesame for names: its URLs, its lines of text, our catalogues.

`astropy.coordinates.SkyCoord.from_name` and other clients read the line ``%J``. Clients search the whole text for ``%`` and
a letter, so nothing that a client sent may bring a ``%`` of its own.
"""

from __future__ import annotations

import math
import time
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter, CosmicFlowsError

from .. import problems
from ..keys import CATALOG
from ..queries import NAME_MAX

NAMES_MAX = 20
"""Most names of one request, parted by ``&``."""
# object type in words -> the short one of Sesame's line %C
_CODES = {"Galaxy": "G", "Galaxy Pair": "PaG", "Galaxy Triplet": "GrG", "Group of galaxies": "GrG", "Cluster of galaxies": "ClG"}


async def sesame(request: web.Request) -> web.Response:
    """GET /sesame/{database}: one name or several as CDS Sesame answers them, text; the query string is the name."""
    options, database = request.match_info.get("options", ""), request.match_info["database"]
    if database.startswith("-"):  # options alone, as in /sesame/-oI?M31
        options, database = database, ""
    lines: list[str] = []
    status = 200
    try:
        if set(options.lower()) & set("xhp"):
            raise BadParameter("XML and HTML are not offered here; ask without the options x, p and H")
        for number, name in enumerate(_names(request.rel_url.raw_query_string), 1):
            lines.append(f"# {_plain(name[:NAME_MAX])}\t#Q{number}")
            try:
                lines += await _found(request, name)
            except CosmicFlowsError as exc:
                if exc.kind != "usage":
                    raise
                lines.append(f"#! *** Nothing found *** {_plain(exc.message)}")
            lines.append("")
    except CosmicFlowsError as exc:
        status = 200 if exc.kind == "usage" else problems.status_of(exc)
        lines.append(f"#! {_plain(exc.message)}")
    except Exception as exc:
        fault = problems.logged(request, exc)
        status = problems.status_of(fault)
        lines.append(f"#! {fault.message}")
    lines.append(time.strftime("#====Done (%Y-%b-%d,%H:%M:%Sz)====", time.gmtime()))
    return web.Response(text="\n".join(lines) + "\n", status=status, content_type="text/plain", charset="utf-8",
                        headers={"Retry-After": str(problems.RETRY_AFTER_S)} if status == 503 else {})


def _names(query: str) -> list[str]:
    names = [unquote_plus(text, errors="replace") for text in query.split("&") if text]
    if not names:
        raise BadParameter("no name is given; it is all that follows the question mark: /sesame/A?NGC%204993")
    if len(names) > NAMES_MAX:
        raise BadParameter(f"{len(names)} names are more than the {NAMES_MAX} of one request; POST /v1/resolve takes lists")
    return names


async def _found(request: web.Request, name: str) -> list[str]:
    if len(name) > NAME_MAX:
        raise BadParameter(f"name has {len(name)} characters; names have at most {NAME_MAX}", code="bad_name", where="name")
    found = await request.app[CATALOG].detail(name)
    return [f"#=C=Cosmic Flows ({_plain(found['catalog']['name'])}):    1", *_lines(found)]


def _lines(found: dict[str, Any]) -> list[str]:
    place = found["position"]["icrs"]
    out = [f"%C.0 {_CODES.get(found['object_type'], _plain(found['object_type']))}",
           f"%J {place['lon']:.8f} {place['lat']:+.8f} = {_sexagesimal(place['lon'] / 15.0, 2)} "
           f"{'-' if place['lat'] < 0 else '+'}{_sexagesimal(abs(place['lat']), 1)}"]
    used = next((v for v in found["velocities"] if v["used"]), None)
    if used is not None:
        # a redshift, which has one meaning; a "v" in km/s would leave open by which convention
        error = "" if used["error"] is None else f" [{used['error'] / C_KMS:.3g}]"
        out.append(f"%V z {used['value'] / C_KMS:.9g}{error} {_plain(used['reference'] or used['source'])}")
    if found.get("morphology"):
        out.append(f"%T {_plain(found['morphology'])}")
    out.append(f"%I.0 {_plain(found['canonical'])}")
    out += [f"%I {_plain(other)}" for other in found["cross_ids"]]
    return out + [f"%I NAME {_plain(other)}" for other in found["common_names"]]


def _sexagesimal(value: float, digits: int) -> str:
    """Return hours or degrees, not negative, as ``HH:MM:SS.ss``; the last digit carries over (never 60 seconds)."""
    unit = 10**digits
    ticks = math.floor(value * 3600 * unit + 0.5)
    seconds, whole = ticks % (60 * unit), ticks // (60 * unit)
    return f"{whole // 60:02d}:{whole % 60:02d}:{seconds / unit:0{digits + 3}.{digits}f}"


def _plain(text: object) -> str:
    """Return a text as one line that no client takes for a line of ours."""
    return "".join(c if c.isprintable() else " " for c in str(text)).replace("%", "_")[:1000]

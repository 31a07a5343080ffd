"""The door of the Virtual Observatory: Simple Cone Search 1.03 with the VOSI resources that say what it is.

A question that cannot be answered is itself answered by a VOTable that holds the error (SCS section 2.3, erratum 1); words
it does not know it ignores, as the standard wants it.
"""

from __future__ import annotations

import asyncio
import io
import re
from typing import Annotated, Any
from xml.sax.saxutils import escape

import numpy as np
from aiohttp import web
from pydantic import BeforeValidator, Field

from cfcore.errors import BadParameter, CosmicFlowsError, InternalError

from .. import problems, queries
from ..keys import CATALOG
from ..name_queries import OBJECTS_MAX, RADIUS_MAX
from ..names import COLUMNS, flat_columns

MEDIA = "application/x-votable+xml"
# column -> (least VERB that shows it, UCD1 as SCS 1.03 wants it, what it is)
_SHOWN: dict[str, tuple[int, str, str]] = {
    "name": (1, "ID_MAIN", "Main designation"), "ra": (1, "POS_EQ_RA_MAIN", "Right ascension, ICRS"),
    "dec": (1, "POS_EQ_DEC_MAIN", "Declination, ICRS"), "z_helio": (1, "REDSHIFT_HC", "Heliocentric redshift"),
    "cz_helio": (1, "VELOC_HC", "c times heliocentric redshift"),
    "separation_deg": (2, "POS_ANG_DIST_GENERAL", "Distance from the position that was asked for"),
    "object_type": (2, "CLASS_OBJECT", "What it is"), "cz_error": (2, "ERROR", "Error of cz_helio"),
    "cz_source": (3, "REFER_CODE", "Where the velocity comes from"),
    "catalog": (3, "ID_CATALOG", "Catalogue that gives name and position")}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class ConeSearchQuery(queries.Strict):
    """Query of /vo/conesearch; the names may be written in any case, others are ignored."""

    RA: queries.Number = Field(ge=-360.0, le=360.0, description="Right ascension, ICRS, deg")
    DEC: queries.Number = Field(ge=-90.0, le=90.0, description="Declination, ICRS, deg")
    SR: queries.Number = Field(ge=0.0, le=RADIUS_MAX, description="Radius, deg; 0 asks for the columns only")
    VERB: Annotated[int, BeforeValidator(queries.plain), Field(ge=1, le=3, description="How many columns: 1, 2 or 3")] = 2
    MAXREC: Annotated[int, BeforeValidator(queries.plain), Field(ge=0, description="Most rows")] = OBJECTS_MAX


async def conesearch(request: web.Request) -> web.Response:
    """GET /vo/conesearch: IVOA Simple Cone Search 1.03; an error is a VOTable too."""
    try:
        q = _query(request)
        limit = min(q.MAXREC, OBJECTS_MAX)
        objects: list[dict[str, Any]] = []
        more = q.MAXREC == 0
        if q.SR > 0.0 and limit:
            found = await request.app[CATALOG].cone(q.RA % 360.0, q.DEC, q.SR, limit)
            objects, more = found["objects"], found["more_results"]
        return web.Response(body=await asyncio.to_thread(_table, objects, q.VERB, more), content_type=MEDIA)
    except CosmicFlowsError as exc:
        return await _refused(request, exc)
    except TimeoutError:
        return await _refused(request, InternalError("the answer did not come in time; ask for a smaller SR", code="deadline"))
    except Exception as exc:
        return await _refused(request, problems.logged(request, exc))


async def availability(request: web.Request) -> web.Response:
    """GET /vo/availability: VOSI 1.1, whether the catalogue service behind the cone search answers."""
    is_up = await request.app[CATALOG].is_alive()
    return available(is_up, "the catalogue service does not answer")


def available(is_up: bool, why: str) -> web.Response:
    """Return a VOSI 1.1 document that says whether a service is up, and if not, why."""
    note = "" if is_up else f"<vosi:note>{escape(why)}</vosi:note>"
    return document('<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
                    f"<vosi:available>{str(is_up).lower()}</vosi:available>{note}</vosi:availability>")


async def capabilities(request: web.Request) -> web.Response:
    """GET /vo/capabilities: VOSI 1.1, which resources there are, at which address, with which limits."""
    base = escape(origin(request)) + "/vo"
    return document(_CAPABILITIES.format(base=base, radius=f"{RADIUS_MAX:g}", records=OBJECTS_MAX))


def _query(request: web.Request) -> ConeSearchQuery:
    values: dict[str, str] = {}
    for key, value in request.query.items():
        word = key.upper()
        if word not in ConeSearchQuery.model_fields:
            continue
        if word in values:
            raise BadParameter(f"{word} is given twice; give it once", code="repeated_parameter", where=word)
        values[word] = value
    return queries.validate(ConeSearchQuery, values)


async def _refused(request: web.Request, error: CosmicFlowsError) -> web.Response:
    """Answer with a VOTable whose INFO is the error; what is the client's fault has status 200, as the standard says."""
    status = 200 if error.kind == "usage" else problems.status_of(error)
    headers = {"Retry-After": str(problems.RETRY_AFTER_S)} if status == 503 else {}
    body = await asyncio.to_thread(error_table, error.message)
    return web.Response(body=body, content_type=MEDIA, status=status, headers=headers)


def error_table(message: str) -> bytes:
    """Return a VOTable whose INFO is an error (DALI 1.1, section 4.2)."""
    from astropy.io.votable import tree
    file = tree.VOTableFile(version="1.3")
    # what a client sent stands in the message; XML has no way to write control characters
    text = "".join(c if c.isprintable() else "?" for c in message)[:1000]
    file.infos.append(tree.Info(ID="Error", name="Error", value=text))
    resource = tree.Resource(type="results")
    resource.infos.append(tree.Info(name="QUERY_STATUS", value="ERROR"))
    file.resources.append(resource)
    return _written(file)


def _table(objects: list[dict[str, Any]], verb: int, is_overflow: bool) -> bytes:
    """Return listed objects as a VOTable; without any it still has its columns."""
    from astropy.io.votable import tree
    file = tree.VOTableFile(version="1.3")
    file.description = "Cosmic Flows: galaxies and clusters of the catalogues of this server"
    file.coordinate_systems.append(tree.CooSys(ID="icrs", system="ICRS"))
    resource = tree.Resource(type="results")
    file.resources.append(resource)
    resource.infos.append(tree.Info(name="QUERY_STATUS", value="OVERFLOW" if is_overflow else "OK"))
    table = tree.TableElement(file, name="objects")
    resource.tables.append(table)
    names = [name for name, (least, _, _) in _SHOWN.items() if least <= verb]
    for name in names:
        _, ucd, text = _SHOWN[name]
        unit = COLUMNS[name]
        kind = {"datatype": "unicodeChar" if name != "name" else "char", "arraysize": "*"} if unit is None else {
            "datatype": "double"}
        field = tree.Field(file, name=name, ID=name, ucd=ucd, unit=unit or None, **kind)
        field.description = text
        if name in ("ra", "dec"):
            field.ref = "icrs"
        table.fields.append(field)
    table.create_arrays(len(objects))
    columns = flat_columns(objects, names)
    for name, values in columns.items():
        if COLUMNS[name] is None:
            values = np.array([_ascii(v) if name == "name" else v for v in values.tolist()], dtype=object)
        else:
            table.array.mask[name] = np.isnan(values)
        table.array[name] = values
    return _written(file)


def _ascii(text: str) -> str:
    # the main identifier is `char`, as clients of 2008 expect it
    return text.encode("ascii", "replace").decode()


def _written(file: Any) -> bytes:
    out = io.BytesIO()
    file.to_xml(out)
    return out.getvalue()


def origin(request: web.Request) -> str:
    """Return the address under which the client found us.

    Raises
    ------
    BadParameter
        When the header Host is no name of a host.
    """
    if not _HOST.fullmatch(request.host):
        raise BadParameter(f"the header Host = {request.host!r:.80} is no name of a host", code="bad_request", where="Host")
    return f"{request.scheme}://{request.host}"


def document(text: str) -> web.Response:
    """Return XML that is written but for its first line."""
    return web.Response(body=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode(), content_type="text/xml",
                        charset="utf-8")


def _parameter(name: str, unit: str, ucd: str, text: str, *, use: str = "required", kind: str = "real") -> str:
    return (f'<param use="{use}" std="true"><name>{name}</name><description>{text}</description>'
            f"{f'<unit>{unit}</unit>' if unit else ''}{f'<ucd>{ucd}</ucd>' if ucd else ''}<dataType>{kind}</dataType></param>")


_CAPABILITIES = """<vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" \
xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" xmlns:cs="http://www.ivoa.net/xml/ConeSearch/v1.0" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<capability standardID="ivo://ivoa.net/std/VOSI#capabilities"><interface xsi:type="vs:ParamHTTP" role="std">\
<accessURL use="full">{base}/capabilities</accessURL></interface></capability>
<capability standardID="ivo://ivoa.net/std/VOSI#availability"><interface xsi:type="vs:ParamHTTP" role="std">\
<accessURL use="full">{base}/availability</accessURL></interface></capability>
<capability standardID="ivo://ivoa.net/std/ConeSearch" xsi:type="cs:ConeSearch">\
<interface xsi:type="vs:ParamHTTP" role="std" version="1.0"><accessURL use="base">{base}/conesearch?</accessURL>\
<queryType>GET</queryType><resultType>""" + MEDIA + "</resultType>" + "".join((
    _parameter("RA", "deg", "pos.eq.ra", "Right ascension, ICRS"), _parameter("DEC", "deg", "pos.eq.dec", "Declination, ICRS"),
    _parameter("SR", "deg", "", "Radius"),
    _parameter("VERB", "", "", "How many columns: 1, 2 or 3", use="optional", kind="integer"),
    _parameter("MAXREC", "", "", "Most rows", use="optional", kind="integer"))) + """</interface>
<maxSR>{radius}</maxSR><maxRecords>{records}</maxRecords><verbosity>true</verbosity>\
<testQuery><ra>197.45</ra><dec>-23.38</dec><sr>0.1</sr></testQuery></capability>
</vosi:capabilities>"""

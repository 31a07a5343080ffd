"""What may be asked at the queue: forms and JSON in, checked lines of sight out.

Words of the other server that mean nothing here (dates, proper motions, choices of images) are checked, kept and told again;
words that neither of us knows are ignored, as the protocol has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, PayloadEncodingError
from pydantic import BeforeValidator, ConfigDict, Field

from cfcore import frames
from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter, CosmicFlowsError, UnknownName
from cfcore.options import FlowOptions

from .. import answers, bodies, multipart, queries
from ..catalog import CatalogClient
from ..flows import one_row
from ..problems import unreadable_body

BODY_MAX = 1 << 18
LINES_MAX = 100
COMMENT_MAX, URL_MAX = 300, 500
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_PARTS = re.compile(r"[\s,;:hms\u00b0d'\"]+")
_MARKS = re.compile(r"[:hms\u00b0d'\"]")


_WORDS = ConfigDict(extra="ignore", str_max_length=COMMENT_MAX, str_strip_whitespace=True)


class Remarks(queries.Strict):
    """What is kept of a task and told again, without any meaning for its answer."""

    model_config = _WORDS

    mpc_name: str | None = Field(default=None, description="Kept; bodies of the Solar System are not asked about here")
    mjd_min: queries.Number | None = Field(default=None, description="Kept")
    mjd_max: queries.Number | None = Field(default=None, description="Kept")
    radec_epoch_year: queries.Number | None = Field(default=None, description="Kept")
    propermotion_ra: queries.Number | None = Field(default=None, description="Kept")
    propermotion_dec: queries.Number | None = Field(default=None, description="Kept")
    use_reduced: bool | None = Field(default=None, description="Kept")
    send_email: bool | None = Field(default=None, description="Kept; no mail is sent")
    comment: str | None = Field(default=None, max_length=COMMENT_MAX, description="A remark of yours")


class QueueTaskBody(Remarks, queries.Options):
    """Body of POST /queue/: a line of sight, or a list of them, and options of the flow."""

    model_config = _WORDS

    ra: queries.Number | None = Field(default=None, description="Right ascension, ICRS, deg")
    dec: queries.Number | None = Field(default=None, description="Declination, ICRS, deg")
    name: str | None = Field(default=None, description="Name of a galaxy, instead of ra and dec")
    cz: queries.Number | None = Field(default=None, description="Observed velocity in `cz_frame`, km/s: adds p(d)")
    z: queries.Number | None = Field(default=None, description="Observed redshift, instead of cz")
    sigma_cz: queries.Number | None = Field(default=None, description="Error of cz, km/s")
    n: Annotated[int, BeforeValidator(queries.plain), Field(ge=2, le=queries.TABLE_ROWS_MAX,
                                                            description="Rows of the table")] = 401
    callback_url: str | None = Field(default=None, max_length=URL_MAX, description="An https address that is told of the end")
    radeclist: str | None = Field(default=None, max_length=BODY_MAX, description=f"Up to {LINES_MAX} lines, each `ra,dec`, "
                                  "`ra,dec,cz`, six sexagesimal numbers, or `name NGC 4993`: one task each")


class QueueLogin(queries.Strict):
    """Body of POST /api-token-auth/."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Line:
    """Hold one place that is asked about: degrees ICRS or a name, and its own velocity when the line has one; 0 is no line."""

    number: int = 0
    ra: float | None = None
    dec: float | None = None
    cz: float | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Hold a checked line of sight: degrees ICRS, and the velocity of its object in the frame that was asked for, km/s."""

    ra: float
    dec: float
    cz: float | None
    name: str | None


async def read(request: web.Request) -> dict[str, Any]:
    """Return what a request carries: a form of either kind, or a JSON object; words without a value are left out.

    Raises
    ------
    BadParameter
        Codes ``wrong_content_type``, ``body_too_large``, ``malformed_json``, ``bad_request``.
    """
    kind = request.content_type.lower() if "Content-Type" in request.headers else ""
    is_json = kind == "application/json" or kind.endswith("+json")
    small = request.clone(client_max_size=BODY_MAX)
    try:
        if kind == multipart.FORM:
            return await _parts(request)
        if kind == "application/x-www-form-urlencoded":
            fields = await small.post()
            return {key: value.strip() for key, value in fields.items() if isinstance(value, str)}
        if not is_json and (kind or request.body_exists):
            raise BadParameter(f'Unsupported media type "{kind:.80}" in request; send a form, or JSON with the header '
                               "'Content-Type: application/json'", code="wrong_content_type")
        body = await small.read()
    except web.HTTPRequestEntityTooLarge:
        raise _too_large() from None
    except (web.RequestPayloadError, PayloadEncodingError):
        raise unreadable_body() from None
    except (HttpProcessingError, ConnectionError, ValueError, LookupError, AssertionError) as exc:
        if isinstance(exc, CosmicFlowsError):
            raise
        raise BadParameter("the form cannot be read: it is not what its Content-Type says", code="bad_request") from None
    if not is_json:
        return {}
    try:
        data = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as exc:
        raise BadParameter(f"JSON parse error - {exc.msg} at line {exc.lineno}, column {exc.colno}",
                           code="malformed_json") from None
    if not isinstance(data, dict):
        raise BadParameter(f"Invalid data. Expected an object, but got {bodies.kind_of(data)}.")
    return {str(key): value.strip() if isinstance(value, str) else value for key, value in data.items()}


async def _parts(request: web.Request) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    size = 0
    with multipart.in_our_words():
        async for part in multipart.parts(request):
            text = bytearray()
            async for piece in multipart.pieces(part):
                text += piece
                size += len(piece)
                if size > BODY_MAX:
                    raise _too_large()
            if part.name and part.filename is None:
                fields[part.name] = text.decode().strip()
    return fields


def _too_large() -> BadParameter:
    return BadParameter(f"the body is larger than the {BODY_MAX // 1024} KiB of this queue; send fewer lines",
                        code="body_too_large")


def asked(sent: dict[str, Any]) -> QueueTaskBody:
    """Return the words of a submission; raises `BadParameter` with the field in ``where``."""
    return queries.validate(QueueTaskBody, _given(sent))


def remarks(sent: dict[str, Any]) -> dict[str, Any]:
    """Return the words of a change that may be changed; what is sent empty is taken away."""
    words = {key: value for key, value in sent.items() if key in Remarks.model_fields}
    made = queries.validate(Remarks, _given(words))
    return {key: getattr(made, key) for key in words}


def credentials(sent: dict[str, Any]) -> tuple[str, str]:
    """Return name and password of a log-in; raises `BadParameter` with the field in ``where``."""
    for field in ("username", "password"):
        if not isinstance(sent.get(field), str) or not sent[field]:
            raise BadParameter("This field is required.", code="missing_parameter", where=field)
    return sent["username"], sent["password"]


def lines_of(body: QueueTaskBody) -> list[Line]:
    """Return the places a submission asks about.

    Raises
    ------
    BadParameter
        When there is none or more than one in the place of one; of a list with the number of the line.
    """
    if body.radeclist:
        return _listed(body.radeclist)
    if body.name is not None and (body.ra is not None or body.dec is not None):
        raise BadParameter("name and ra, dec are both given; give one of them", code="two_positions", where="name")
    for one, other in (("ra", "dec"), ("dec", "ra")):
        if getattr(body, one) is None and getattr(body, other) is not None:
            raise BadParameter(f"{other} is given without {one}; a position needs both", code="missing_parameter", where=one)
    if body.name is None and body.ra is None:
        if body.mpc_name:
            raise BadParameter("a body of the Solar System lies in no flow of galaxies; give ra and dec, or name",
                               code="missing_parameter", where="mpc_name")
        raise BadParameter("give ra and dec (decimal degrees), name, or radeclist", code="missing_parameter")
    return [Line(0, body.ra, body.dec, None, body.name)]


async def targets(body: QueueTaskBody, lines: list[Line], opt: FlowOptions, catalog: CatalogClient) -> list[Target]:
    """Return the checked lines of sight of some places; names are looked up, with their velocity where none is given.

    Raises
    ------
    BadParameter, UnknownName
        When one cannot be asked about; of a list with the number of the line.
    """
    names = [line.name for line in lines if line.name is not None]
    found = iter((await catalog.resolve_many(names))["results"] if names else ())
    out = []
    for line in lines:
        try:
            out.append(_target(body, line, next(found) if line.name is not None else None, opt))
        except CosmicFlowsError as exc:
            raise _on_line(line.number, exc) from None
    return out


def _target(body: QueueTaskBody, line: Line, found: dict[str, Any] | None, opt: FlowOptions) -> Target:
    given = body if line.cz is None else body.model_copy(update={"cz": line.cz, "z": None})
    cz = None if given.cz is None and given.z is None else queries.velocity_km_s(given)
    if found is None:
        assert line.ra is not None and line.dec is not None
        ra, dec, name = line.ra, line.dec, None
        if cz is None and not line.number:
            queries.velocity_km_s(given)  # an error of a velocity that is not given
    elif found["status"] != "ok":
        raise UnknownName(found["detail"], code=found["status"], where="name")
    else:
        place, name = found["position"]["icrs"], found["name"]
        ra, dec = place["lon"], place["lat"]
        if cz is None and found["cz_helio"] is not None:
            n_gal = frames.rotate(frames.unit_vectors(ra, dec), "icrs", "galactic")
            cz = C_KMS * float(frames.convert_z(found["cz_helio"] / C_KMS, n_gal, "hel", opt.cz_frame, opt.composition)[0])
    known = {} if cz is None else {"cz": cz, "sigma_cz": body.sigma_cz or 0.0}
    answers.check_single(one_row(lon=ra, lat=dec, **known), ("ra", "dec"))
    return Target(ra, dec, cz, name)


def _listed(text: str) -> list[Line]:
    lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > LINES_MAX:
        raise BadParameter(f"{len(lines)} lines are more than the {LINES_MAX} of one list; send them in parts",
                           code="bad_parameter", where="radeclist")
    out = []
    for number, line in lines:
        try:
            out.append(_line(number, line))
        except CosmicFlowsError as exc:
            raise _on_line(number, exc) from None
    return out


def _line(number: int, text: str) -> Line:
    """Return what one line of a list says."""
    word, _, rest = text.partition(" ")
    if word.lower() == "name":
        if not rest.strip():
            raise BadParameter("no name stands behind the word name")
        return Line(number, name=rest.strip())
    is_sexagesimal = _MARKS.search(text) is not None
    words = [part for part in _PARTS.split(text) if part]
    if not all(map(_NUMBER.fullmatch, words)):
        raise BadParameter(f"{text!r:.80} is neither numbers nor 'name NGC 4993'")
    numbers = [float(part) for part in words]
    if len(words) == 6:
        return Line(number, *_sexagesimal(words, numbers))
    if is_sexagesimal or len(words) not in (2, 3):
        raise BadParameter(f"{text!r:.80} has {len(words)} numbers; give ra,dec in degrees, ra,dec,cz, or six numbers "
                           "hh mm ss dd mm ss")
    return Line(number, *numbers)


def _sexagesimal(words: list[str], numbers: list[float]) -> tuple[float, float]:
    hours, degrees = numbers[:3], [abs(numbers[3]), *numbers[4:]]
    for value, name, limit in zip((*hours, *degrees), ("hours", "minutes", "seconds", "degrees", "minutes", "seconds"),
                                  (24.0, 60.0, 60.0, 90.1, 60.0, 60.0)):
        if not 0.0 <= value < limit:
            raise BadParameter(f"{name} = {value:g} lie outside 0 ... {limit:.0f}")
    ra, dec = (a + b / 60.0 + c / 3600.0 for a, b, c in (hours, degrees))
    return 15.0 * ra, -dec if words[3].startswith("-") else dec


def _on_line(number: int, error: CosmicFlowsError) -> CosmicFlowsError:
    if not number or error.kind != "usage":
        return error
    return BadParameter(f"Error on line {number}: {error.message}", code="bad_parameter", where="radeclist")


def _given(sent: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in sent.items() if value is not None and value != ""}

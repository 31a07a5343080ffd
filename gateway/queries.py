"""Requests become checked values here: query strings and the objects of bodies in, models and arrays out.

pydantic checks types and unknown names; ranges of options live in `cfcore.options`, faults of single rows in
`cfcore.distances`. Each kind of mistake has its own code and sentence.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cfcore import frames
from cfcore.cosmology import C_KMS, H0_DEFAULT, OM_DEFAULT
from cfcore.errors import BadParameter, UnknownName, UsageError, shown
from cfcore.options import FLOW_TYPES, LIMITS, OBSERVERS, PRIORS, FlowOptions

from . import bodies
from .known_words import KnownWords

NAME_MAX = 128
ROWS_MAX = 10_000
GRID_ROWS_DEFAULT = 100
TABLE_ROWS_MAX = 10_000

_SEXAGESIMAL = (":", "h", "d", "m", "\u00b0")


def _decimal(value: Any) -> Any:
    """Refuse what pydantic would bend into a number, and say what sexagesimal text should have been."""
    if isinstance(value, bool):
        raise ValueError("is not a number")
    if isinstance(value, str):
        text = value.strip()
        if any(mark in text.lower() for mark in _SEXAGESIMAL) or len(text.split()) > 1:
            raise ValueError("looks sexagesimal; send decimal degrees (an hour of right ascension is 15 degrees)")
        return plain(text)
    return value


def plain(value: Any) -> Any:
    """Refuse digits in groups: 1_0 is ten in a program and a slip of the hand in a question."""
    if isinstance(value, str) and "_" in value:
        raise ValueError("is not a number; write the digits without _")
    return value


def _grid_word(value: Any) -> Any:
    """Return a truth value as the word for it; other words as they are."""
    text = str(value).strip().lower()
    return {"1": "true", "yes": "true", "on": "true", "0": "false", "no": "false", "off": "false"}.get(text, text)


Number = Annotated[float, BeforeValidator(_decimal), Field(allow_inf_nan=False)]
Name = Annotated[str, Field(description=f"Name of a galaxy, at most {NAME_MAX} characters")]


# every word of it, so that a refusal names them all; what is asked for is one of the four, or nothing
Grid = Annotated[Literal["true", "false", "distance", "hubble", "luminosity", "comoving"] | None, BeforeValidator(_grid_word),
                 AfterValidator(lambda word: {"true": "distance", "false": None}.get(word, word)),
                 Field(description="Add the distribution function, of the distance or of the variable that is named",
                       json_schema_extra={"default": "false"})]


def _limits(option: str, text: str) -> Any:
    least, greatest, unit = LIMITS[option]
    return Field(default=None, description=f"{text}; {least:g} to {greatest:g} {unit}".rstrip())


class Strict(BaseModel):
    """A request that knows all its words: any other one is refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=4096)


class Options(Strict):
    """Options every flow question takes."""

    field: str | None = Field(default=None, description="Velocity field; default: the server's")
    cz_frame: str | None = Field(default=None, description="Rest frame of cz: " + ", ".join(frames.VELOCITY_FRAMES))
    H0: Number | None = _limits("H0", f"Hubble constant (default {H0_DEFAULT:g}); scales Mpc only")
    Om: Number | None = _limits("Om", f"Matter density (default {OM_DEFAULT:g})")
    sigma_v: Number | None = _limits("sigma_v", "Scatter about the field (default: the field's own)")
    prior: str | None = Field(default=None, description="Distance prior: " + ", ".join(PRIORS))
    alpha: Number | None = _limits("alpha", "Exponent of the density prior (default 1)")
    use_field_sigma: bool | None = Field(default=None, description="Add the field's own velocity error in quadrature")
    rmax: Number | None = _limits("rmax", "End of the line of sight")
    dr: Number | None = _limits("dr", "Greatest step along the line of sight (default 0.25)")
    observer: str | None = Field(default=None, description="Frame of the prediction: " + ", ".join(OBSERVERS))
    composition: str | None = Field(default=None, description="Redshift frames: " + ", ".join(frames.COMPOSITIONS))

    def flow(self, frame: str, cz_frame: str | None = None) -> FlowOptions:
        """Return the options as cfcore takes them; `cz_frame` overrides what was asked."""
        return _flow_options(frame, self.cz_frame if cz_frame is None else cz_frame, self.H0, self.Om, self.sigma_v, self.prior,
                             self.alpha, self.use_field_sigma, self.rmax, self.dr, self.observer, self.composition)


@lru_cache(maxsize=1024)
def _flow_options(*given: Any) -> FlowOptions:
    # a question says little of all this, and mostly what another one has said before
    names = ("frame", "cz_frame", "H0", "Om", "sigma_v", "prior", "alpha", "use_field_sigma", "rmax", "dr", "observer",
             "composition")
    return FlowOptions(**{name: value for name, value in zip(names, given) if value is not None})


class Format(Strict):
    """The answer's media type, when the Accept header is not at hand."""

    format: Literal["json", "msgpack"] | None = Field(default=None, description="json (default) or msgpack")


class Place(Strict):
    """A position: one of four pairs, decimal degrees."""

    lon: Number | None = Field(default=None, description="Longitude in `frame`, deg")
    lat: Number | None = Field(default=None, description="Latitude in `frame`, deg")
    ra: Number | None = Field(default=None, description="Right ascension, ICRS, deg")
    dec: Number | None = Field(default=None, description="Declination, ICRS, deg")
    glon: Number | None = Field(default=None, description="Galactic longitude, deg")
    glat: Number | None = Field(default=None, description="Galactic latitude, deg")
    sgl: Number | None = Field(default=None, description="Supergalactic longitude, deg")
    sgb: Number | None = Field(default=None, description="Supergalactic latitude, deg")
    frame: str | None = Field(default=None, description="Sky frame of lon, lat: " + ", ".join(frames.SKY_FRAMES))


class PositionQuery(Format, Place, Options):
    """Query of /get_flow_by_position."""

    cz: Number | None = Field(default=None, description="c times redshift in `cz_frame`, km/s: asks for distances")
    z: Number | None = Field(default=None, description="Redshift in `cz_frame`, instead of cz")
    sigma_cz: Number | None = Field(default=None, description="Error of cz, km/s")
    distance: Number | None = Field(default=None, description="Comoving distance, Mpc: asks for the velocity there")
    grid: Grid = None


class GalaxyQuery(Format, Options):
    """Query of /get_flow_galaxy."""

    name: Name
    cz: Number | None = Field(default=None, description="Use this velocity (km/s, in `cz_frame`), not the catalogue's")
    z: Number | None = Field(default=None, description="Use this redshift")
    velocity: Literal["own", "group"] | None = Field(
        default=None, description="own (default), or group: the mean velocity of the group of galaxies that holds it")
    sigma_cz: Number | None = Field(default=None, description="Error of cz, km/s")
    grid: Grid = None


class TableQuery(Place, Options):
    """Query of /get_distance_table."""

    format: Literal["json", "msgpack", "csv", "votable"] | None = Field(default=None,
                                                                         description="json (default), msgpack, csv, votable")
    name: Name | None = None
    cz: Number | None = Field(default=None, description="Observed velocity in `cz_frame`, km/s: adds p(d)")
    z: Number | None = Field(default=None, description="Observed redshift, instead of cz")
    sigma_cz: Number | None = Field(default=None, description="Error of cz, km/s")
    n: Annotated[int, BeforeValidator(plain), Field(ge=2, le=TABLE_ROWS_MAX, description="Rows of the table")] = 401


_COLUMN = {"type": ["array", "null"], "items": {"type": ["number", "null"]}, "maxItems": ROWS_MAX}


def column(text: str) -> Any:
    """Return the field of a list of numbers that may be left out."""
    return Field(default=None, description=text, json_schema_extra=_COLUMN)


class Places(Strict):
    """Positions: one of four pairs of columns of one length, decimal degrees."""

    lon: Any = column("Longitudes in `frame`, deg")
    lat: Any = column("Latitudes in `frame`, deg")
    ra: Any = column("Right ascensions, ICRS, deg")
    dec: Any = column("Declinations, ICRS, deg")
    glon: Any = column("Galactic longitudes, deg")
    glat: Any = column("Galactic latitudes, deg")
    sgl: Any = column("Supergalactic longitudes, deg")
    sgb: Any = column("Supergalactic latitudes, deg")
    frame: str | None = Field(default=None, description="Sky frame of lon, lat: " + ", ".join(frames.SKY_FRAMES))


class ListBody(Format, Places, Options):
    """Body of /get_flow/<type>: columns of one length and options."""

    cz: Any = column("c times redshifts in `cz_frame`, km/s")
    z: Any = column("Redshifts in `cz_frame`, instead of cz")
    sigma_cz: Any = Field(default=None, description="Errors of cz, km/s: one number or a list",
                          json_schema_extra={**_COLUMN, "type": ["array", "number", "null"]})
    grid: bool | None = Field(default=None, description=f"Add the distribution functions (default up to "
                                                        f"{GRID_ROWS_DEFAULT} objects)")


Model = TypeVar("Model", bound=Strict)
_KNOWN = KnownWords()


def parse_query(model: type[Model], request: web.Request, many: str = "") -> Model:
    """Read a query string into a model.

    Parameters
    ----------
    model : type
    request : aiohttp.web.Request
    many : str
        The parameter that may be given many times and becomes a list.

    Raises
    ------
    UsageError
        When a parameter is unknown, repeated, missing or not of its type.
    """
    known, words = (None, None) if many else _KNOWN.find(model, request.rel_url.raw_query_string)
    if known is not None:
        return known
    values: dict[str, Any] = {}
    for key, value in request.query.items():
        if key == many:
            values.setdefault(key, []).append(value)
            continue
        if key in values:
            raise BadParameter(f"parameter {key!r:.80} is given twice; give it once", code="repeated_parameter",
                               where=key[:80])
        values[key] = value
    if len(values.get("name", "")) > NAME_MAX:
        raise BadParameter(f"name has {len(values['name'])} characters; names have at most {NAME_MAX}",
                           code="bad_name", where="name")
    made = validate(model, values)
    if words is not None:
        _KNOWN.keep(words, made)
    return made


async def parse_body(model: type[Model], request: web.Request, holds: str = "the lists lon, lat, cz") -> Model:
    """Read a JSON or msgpack body into a model; `holds` says in refusals what is expected in it."""
    return validate(model, await read_body(request, holds))


async def read_body(request: web.Request, holds: str) -> dict[str, Any]:
    """Read a JSON or msgpack body; beside it, the address holds no words."""
    if request.query:
        word = str(next(iter(request.query)))[:80]
        raise BadParameter(f"parameter {word!r} stands in the address; put it into the body",
                           code="unknown_parameter", where=word)
    return await bodies.read(request, holds)


def validate(model: type[Model], values: dict[str, Any]) -> Model:
    """Return values as a model; raise the first mistake in words."""
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        raise _complaint(model, exc) from None


def _complaint(model: type[Strict], exc: ValidationError) -> UsageError:
    errors = exc.errors(include_url=False)
    known = sorted(model.model_fields)
    for e in errors:
        if e["type"] == "extra_forbidden":
            name = str(e["loc"][0])[:80]
            return BadParameter(f"parameter {name!r} is not known here; known are {', '.join(known)}",
                                code="unknown_parameter", where=name, extra={"known": known})
    e = errors[0]
    where = ".".join(str(part) for part in e["loc"])[:80]
    if e["type"] == "missing":
        return BadParameter(f"parameter {where!r} is missing", code="missing_parameter", where=where)
    given = e.get("input")
    quoted = repr(given) if isinstance(given, (int, float, str)) and not isinstance(given, bool) else bodies.kind_of(given)
    if len(quoted) > 80:
        quoted = quoted[:77] + "..."
    code, text = _MISTAKES.get(e["type"], ("bad_parameter", e["msg"]))
    text = text.removeprefix("Value error, ").replace("Input should be", "must be")
    if e["type"] == "value_error":
        code = "sexagesimal" if "sexagesimal" in text else "not_a_number"
    return BadParameter(f"{where} = {quoted}: {text[0].lower() + text[1:]}", code=code, where=where)


_MISTAKES = {
    "finite_number": ("not_finite", "must be a finite number"), "float_parsing": ("not_a_number", "is not a number"),
    "float_type": ("not_a_number", "is not a number"), "int_parsing": ("bad_parameter", "is not a whole number"),
    "int_from_float": ("bad_parameter", "is not a whole number"), "int_type": ("bad_parameter", "is not a whole number"),
    "int_parsing_size": ("bad_parameter", "is too large"), "string_type": ("bad_parameter", "must be text"),
    "bool_parsing": ("bad_parameter", "must be true or false"), "bool_type": ("bad_parameter", "must be true or false")}
"""pydantic's kind of a mistake -> our code and words, where its own speak of Python."""


_PAIRS = (("lon", "lat", None), ("ra", "dec", "icrs"), ("glon", "glat", "galactic"), ("sgl", "sgb", "supergalactic"))


def place(query: Any) -> tuple[Any, Any, str, tuple[str, str]] | None:
    """Return (lon, lat, sky frame, names of the pair) of a query, or None when it holds no position.

    Raises
    ------
    BadParameter
        When a pair is torn, two pairs are given, or `frame` contradicts the pair.
    """
    found = [(a, b, f) for a, b, f in _PAIRS if getattr(query, a) is not None or getattr(query, b) is not None]
    if not found:
        return None
    if len(found) > 1:
        raise BadParameter(f"{found[0][0]}/{found[0][1]} and {found[1][0]}/{found[1][1]} are both given; give one "
                           "position", code="two_positions", where=found[1][0])
    a, b, implied = found[0]
    for one, other in ((a, b), (b, a)):
        if getattr(query, one) is None:
            raise BadParameter(f"{other} is given without {one}; a position needs both", code="missing_parameter",
                               where=one)
    asked = None if query.frame is None else frames.sky_frame(query.frame)
    if implied and asked and asked != implied:
        raise BadParameter(f"frame = {asked} contradicts {a}/{b}, which are {implied}; use lon, lat with frame",
                           code="frame_contradicts", where="frame")
    return getattr(query, a), getattr(query, b), implied or asked or "icrs", (a, b)


def need_place(query: Any) -> tuple[Any, Any, str, tuple[str, str]]:
    """Return the position of a query; refuse when there is none."""
    found = place(query)
    if found is None:
        raise BadParameter("no position is given; send lon and lat (with frame), ra and dec, glon and glat, or sgl "
                           "and sgb, in decimal degrees", code="missing_parameter", where="lon")
    return found


def velocity_km_s(query: Any) -> float | None:
    """Return the observed velocity of a single-object query, km/s, from cz or z."""
    if query.cz is not None and query.z is not None:
        raise BadParameter("cz and z are both given; give one of them", code="two_velocities", where="z")
    if query.z is not None:
        _check_z(np.array([query.z]))
        return float(query.z) * C_KMS
    if query.cz is not None:
        # for one velocity NumPy costs more than everything around it; only a suspicious one is looked at with care
        if abs(query.cz) < 1.0:
            _check_cz(np.array([query.cz]))
        return float(query.cz)
    if query.sigma_cz is not None:
        raise BadParameter("sigma_cz is given without cz", code="missing_parameter", where="cz")
    return None


def list_columns(body: Any, rows_max: int = ROWS_MAX) -> tuple[dict[str, np.ndarray], str, tuple[str, str]]:
    """Return the columns lon, lat, cz, sigma_cz (float64, one length) of a body, their sky frame and the pair's names.

    A null, NaN or text entry becomes NaN: a fault of its row. Wrong requests (no list, unequal lengths, no rows, too
    many rows, redshifts sent as cz) raise.
    """
    lon, lat, frame, pair = need_place(body)
    if (body.cz is None) == (body.z is None):
        raise BadParameter("give the observed velocities as cz (km/s) or as z, one of the two",
                           code="missing_parameter" if body.cz is None else "two_velocities", where="cz")
    name = "cz" if body.z is None else "z"
    raw = {pair[0]: lon, pair[1]: lat, name: body.cz if body.z is None else body.z}
    lists = {k: numbers(k, v) for k, v in raw.items()}
    n = one_length(lists, rows_max)
    value = lists[name]
    if name == "z":
        _check_z(value)
        value = value * C_KMS
    else:
        _check_cz(value)
    sigma: Any = 0.0 if body.sigma_cz is None else body.sigma_cz
    if isinstance(sigma, (int, float)) and not isinstance(sigma, bool):
        errors = np.full(n, float(sigma))
    else:
        errors = numbers("sigma_cz", sigma)
        if len(errors) != n:
            raise BadParameter(f"{pair[0]} has {n} entries, sigma_cz has {len(errors)}; send one number or a list of "
                               "that length", code="unequal_lengths", where="sigma_cz")
    return {"lon": lists[pair[0]], "lat": lists[pair[1]], "cz": value, "sigma_cz": errors}, frame, pair


def one_length(lists: dict[str, np.ndarray], rows_max: int) -> int:
    """Return the length of some lists, when they have one and it is fit for a request."""
    first, n = next((k, len(v)) for k, v in lists.items())
    for k, v in lists.items():
        if len(v) != n:
            raise BadParameter(f"{first} has {n} entries, {k} has {len(v)}; send lists of one length",
                               code="unequal_lengths", where=k)
    if n == 0:
        raise BadParameter("the lists are empty; send at least one object", code="empty_lists", where=first)
    if n > rows_max:
        way = ", or as a job (POST /v1/jobs)" if rows_max == ROWS_MAX else ""
        raise BadParameter(f"{n} objects are more than the {rows_max} of one request; send them in parts{way}",
                           code="too_many_rows", where=first, extra={"limit": rows_max})
    return n


def numbers(name: str, value: Any) -> np.ndarray:
    """Return a list of a body, or a raw column, as float64; an entry that is no number becomes NaN.

    Raises
    ------
    BadParameter
        Code ``not_a_list``.
    """
    if isinstance(value, bytes) and len(value) % 8 == 0:
        # a raw column of little-endian float64, as our own msgpack answers have
        return np.frombuffer(value, "<f8").astype(float)
    if not isinstance(value, list):
        raise BadParameter(f"{name}: a list of numbers is expected, got {bodies.kind_of(value)}", code="not_a_list", where=name)
    try:
        if set(map(type, value)) <= {int, float}:
            return np.array(value, dtype=float)
    except OverflowError:
        pass
    return np.array([_number(v) for v in value])


def _number(value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    return math.nan


def _check_cz(cz: np.ndarray) -> None:
    size = np.abs(cz[np.isfinite(cz) & (cz != 0.0)])
    # No galaxy catalogue is complete to 1 km/s; three values below 10 km/s are redshifts of distant galaxies.
    limit = 10.0 if size.size > 2 else 1.0
    if size.size and size.max() < limit:
        raise BadParameter(f"cz = {shown(cz[np.isfinite(cz) & (cz != 0.0)][0])} km/s looks like a redshift; send it as z, or "
                           f"cz = c z in km/s (c = {C_KMS})", code="cz_looks_like_z", where="cz")


def _check_z(z: np.ndarray) -> None:
    size = np.abs(z[np.isfinite(z)])
    if size.size and size.max() > 20.0:
        raise BadParameter(f"z = {shown(z[np.isfinite(z)][np.argmax(size)])} looks like a velocity; send it as cz in km/s",
                           code="z_looks_like_cz", where="z")


def flow_type(name: str) -> str:
    """Return the flow type of a path segment.

    Raises
    ------
    UnknownName
        When it is none of the four.
    """
    if name not in FLOW_TYPES:
        raise UnknownName(f"flow type {name!r:.80} is not known; use one of {', '.join(FLOW_TYPES)}",
                          code="unknown_flow_type", where="flow_type", extra={"known": list(FLOW_TYPES)})
    return name

"""What may be asked about names and places: the models of these requests, and their lists as arrays."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from cfcore.distances import ROW_LIMITS, STATUS
from cfcore.errors import BadParameter

from . import bodies
from .queries import NAME_MAX, ROWS_MAX, Format, Name, Number, Place, Places, Strict, need_place, numbers, plain

RADIUS_MAX = 30.0
"""Greatest radius of a cone, deg."""
MATCH_RADIUS_MAX = 1.0
OBJECTS_MAX = 10_000
GALAXIES_MAX = 50_000
TABLE_FORMATS = ("json", "msgpack", "csv", "votable")


class HintQuery(Format):
    """Query of /hint_byname."""

    name: Name
    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=1000, description="Most hints to return")] = 50
    require_velocity: bool = Field(default=True, description="Only galaxies with a known velocity")


class ToldHintQuery(Format):
    """Query of /v1/hints."""

    name: Name
    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=50, description="Most hints to return")] = 8
    require_velocity: bool = Field(default=True, description="Only galaxies with a known velocity")


class GalaxiesQuery(Format):
    """Query of /v1/galaxies."""

    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=GALAXIES_MAX, description="Most galaxies to return")] = 20_000


class NameQuery(Format):
    """Query of /get_galaxy_detail."""

    name: Name


class CoordsQuery(Format, Place):
    """Query of /get_coords."""

    name: Name | None = None
    distance: Number | None = Field(default=None, description="Comoving distance, Mpc, for SGX SGY SGZ", ge=0.0, le=1e5)


class AnswerQuery(Format):
    """A query that asks for nothing but a format."""


class _Table(Strict):
    format: Literal["json", "msgpack", "csv", "votable"] | None = Field(default=None,
                                                                         description="json (default), msgpack, csv, votable")
    limit: Annotated[int, BeforeValidator(plain), Field(ge=1, le=OBJECTS_MAX, description="Most objects to return")] = 1000


class ConeQuery(_Table, Place):
    """Query of /v1/cone: one of the four pairs of a position, and a radius."""

    radius: Number = Field(ge=0.0, le=RADIUS_MAX, description=f"Radius of the cone, deg; 0 to {RADIUS_MAX:g}")
    distances: bool = Field(default=False, description="Only galaxies whose distance was measured otherwise than by the "
                                                       "redshift, each with its distances; json and msgpack")


class BoxQuery(_Table):
    """Query of /v1/box: ICRS; a box whose ra_min is greater than its ra_max crosses the meridian."""

    ra_min: Number = Field(ge=0.0, le=360.0, description="Least right ascension, ICRS, deg")
    ra_max: Number = Field(ge=0.0, le=360.0, description="Greatest right ascension, ICRS, deg")
    dec_min: Number = Field(ge=-90.0, le=90.0, description="Least declination, ICRS, deg")
    dec_max: Number = Field(ge=-90.0, le=90.0, description="Greatest declination, ICRS, deg")


class ResolveBody(Format):
    """Body of /v1/resolve: a list of names."""

    names: Any = Field(description=f"Names, each of at most {NAME_MAX} characters",
                       json_schema_extra={"type": "array", "items": {"type": ["string", "null"]}, "maxItems": ROWS_MAX})


class MatchBody(Format, Places):
    """Body of /v1/crossmatch: columns of one length and a radius."""

    radius: Number = Field(gt=0.0, le=MATCH_RADIUS_MAX,
                           description=f"How far from a position its objects may be, deg; at most {MATCH_RADIUS_MAX:g}")
    which: Literal["nearest", "all"] = Field(default="nearest", description="The nearest object only, or all of them")


class ImportQuery(Strict):
    """Query of POST /v1/catalogs: what the file in the body is; everything but `map` and `filename` has its own default."""

    filename: str | None = Field(default=None, description="Name of the file; its suffix tells the format")
    profile: str | None = Field(default=None, description="How a known table is laid out, such as edd-cf4 or edd-groups")
    id: str | None = Field(default=None, description="Short name of the catalogue")
    kind: str | None = Field(default=None, description="galaxy, cluster or group")
    map: list[str] = Field(default=[], description="QUANTITY=COLUMN, such as ra=RAJ2000; may be given many times")
    frame: str | None = Field(default=None, description="Rest frame of the velocities")
    convention: str | None = Field(default=None, description="What the velocities are: cz, z, optical, radio, relativistic")
    format: str | None = Field(default=None, description="Format of the file, when its name does not tell")
    delimiter: str | None = Field(default=None, description="What divides the columns of text")
    title: str | None = Field(default=None, description="Name of the catalogue, for people")
    citation: str | None = Field(default=None, description="Whom to cite")
    licence: str | None = Field(default=None, description="Under which licence the table is published")
    link: Number | None = Field(default=None, description="Rows so close to a known object are that object, arcsec")
    max_bad: Annotated[int, BeforeValidator(plain), Field(ge=0)] | None = Field(
        default=None, description="Refuse the file when more rows than this are refused")
    dry_run: bool = Field(default=False, description="Read, check, count and link, but store nothing")


def name_list(body: ResolveBody) -> tuple[list[str], dict[int, str]]:
    """Return the names of a body, and why some entries are none: row -> reason; those stand as empty names in the list.

    Raises
    ------
    BadParameter
        Codes ``not_a_list``, ``empty_lists``, ``too_many_rows``.
    """
    given = body.names
    if not isinstance(given, list):
        raise BadParameter(f"names: a list of texts is expected, got {bodies.kind_of(given)}; send "
                           '{"names": ["NGC 4993", "M 31"]}', code="not_a_list", where="names")
    _check_length(len(given), "names")
    faults = {i: f"names[{i}] is {bodies.kind_of(n)}, not text" for i, n in enumerate(given) if not isinstance(n, str)}
    faults |= {i: f"names[{i}] holds half of a surrogate pair; send sound Unicode" for i, n in enumerate(given)
               if isinstance(n, str) and not n.isascii() and n != n.encode("utf-8", "replace").decode()}
    return ["" if i in faults else n for i, n in enumerate(given)], faults


def match_columns(body: MatchBody) -> tuple[dict[str, np.ndarray], str, tuple[str, str], list[str]]:
    """Return the columns lon and lat, their sky frame, the pair's names, and for each row ``ok`` or what is wrong with it.

    Raises
    ------
    BadParameter
        When there is no list, when lengths differ, when there are no rows or too many.
    """
    lon, lat, frame, pair = need_place(body)
    lists = {name: numbers(name, values) for name, values in zip(pair, (lon, lat))}
    a, b = lists.values()
    if len(a) != len(b):
        raise BadParameter(f"{pair[0]} has {len(a)} entries, {pair[1]} has {len(b)}; send lists of one length",
                           code="unequal_lengths", where=pair[1])
    _check_length(len(a), pair[0])
    status = np.zeros(len(a), int)
    for name, values in (("lat", b), ("lon", a)):
        least, greatest, _ = ROW_LIMITS[name]
        status[(values < least) | (values > greatest)] = STATUS.index(f"{name}_out_of_range")
    status[~(np.isfinite(a) & np.isfinite(b))] = STATUS.index("not_finite")
    return {"lon": a, "lat": b}, frame, pair, [STATUS[i] for i in status.tolist()]


def _check_length(n: int, where: str) -> None:
    if n == 0:
        raise BadParameter(f"{where} is an empty list; send at least one entry", code="empty_lists", where=where)
    if n > ROWS_MAX:
        raise BadParameter(f"{n} entries are more than the {ROWS_MAX} of one request; send them in parts",
                           code="too_many_rows", where=where, extra={"limit": ROWS_MAX})

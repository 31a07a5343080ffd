"""Which column of a table is the position and which the observed velocity, and in which frame: by well-known names only.

A name that does not say its frame is used when the caller states the frame; several candidates are never chosen from.
Names are compared without regard to case, blanks, dashes, underscores and a unit in brackets. The command line (`columns`)
and the astropy face (`quantity_tables`) share these names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from . import frames
from .errors import Ambiguous, BadParameter

BRACKET: re.Pattern[str] = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*$")

PAIRS: tuple[tuple[str | None, frozenset[str], frozenset[str]], ...] = (
    ("icrs", frozenset(("ra", "radeg", "radegrees", "raj2000", "raj2000deg", "raicrs", "ra2000", "rightascension",
                        "alphaj2000")),
     frozenset(("dec", "decdeg", "decdegrees", "decj2000", "decj2000deg", "decicrs", "dec2000", "declination", "decl",
                "deltaj2000", "de", "dedeg", "dej2000", "deicrs"))),
    ("galactic", frozenset(("glon", "glondeg", "gl", "gallon", "galacticlongitude")),
     frozenset(("glat", "glatdeg", "gb", "gallat", "galacticlatitude"))),
    ("supergalactic", frozenset(("sgl", "sgldeg", "sglon", "supergalacticlongitude")),
     frozenset(("sgb", "sgbdeg", "sglat", "supergalacticlatitude"))),
    (None, frozenset(("lon", "londeg", "longitude")), frozenset(("lat", "latdeg", "latitude"))))
"""Sky frame (None: the name does not say) -> names of longitude and of latitude, as `plain` returns them."""

_FRAME_WORDS = {"hel": ("hel", "helio", "heliocentric"), "cmb": ("cmb", "3k"), "lg": ("lg",), "ls": ("ls",),
                "gsr": ("gsr",)}
VELOCITIES: dict[str, tuple[str, str | None]] = {
    **{n: ("cz", None) for n in ("cz", "czobs", "vobs", "vel", "velocity", "rv", "radvel", "radialvelocity",
                                 "recessionvelocity")},
    **{n: ("z", None) for n in ("z", "zobs", "zspec", "specz", "redshift")},
    **{n: ("cz", "hel") for n in ("vh", "hrv")},
    **{n.format(stem=stem, word=word): (kind, frame) for frame, words in _FRAME_WORDS.items() for word in words
       for kind, stems in (("cz", ("cz", "v", "vel", "velocity")), ("z", ("z", "redshift")))
       for stem in stems for n in ("{stem}{word}", "{word}{stem}")}}
"""Name -> ("z" or "cz", the rest frame it implies, None when it implies none)."""
# A redshift with the peculiar velocity already taken out is not what an observer measures: the flow would count twice.
NOT_OBSERVED: frozenset[str] = frozenset(["zhd", "zcos", "zcosmo", "zcosmic", "zcosmological", "vcosmic", "vcos"])
ERROR_FORMS: tuple[str, ...] = ("e{}", "{}err", "{}error", "err{}", "sigma{}", "{}sigma", "d{}", "ue{}")
"""How the error of a column is called; the same forms as on the command line."""


class Velocity(NamedTuple):
    """Name the column of an observed velocity."""

    column: str
    kind: str
    """"z" or "cz"."""
    frame: str


def find_velocity(names: Iterable[str], *, z: str | None = None, cz: str | None = None,
                  frame: str | None = None) -> Velocity:
    """Return the column of the observed velocity, what it is, and its rest frame.

    Parameters
    ----------
    names : iterable of str
        The columns of the table.
    z, cz : str, optional
        The column, when the caller names it.
    frame : str, optional
        The rest frame, when the caller states it.

    Raises
    ------
    Ambiguous
        When several columns could be meant; each is listed with the frame it implies.
    BadParameter
        When there is none, its frame is not said, or the frame stated contradicts the name.
    """
    names = list(names)
    stated = None if frame is None else frames.velocity_frame(frame).key
    if z is not None and cz is not None:
        raise Ambiguous(f"z = {z!r:.80} and cz = {cz!r:.80} are both given; name one column", where="z")
    if z is not None or cz is not None:
        kind = "z" if z is not None else "cz"
        column = present(names, z if z is not None else cz, kind)
        if plain(column) in NOT_OBSERVED:
            raise BadParameter(f"column {column!r:.80} is corrected for peculiar velocity by its name and was not observed; "
                               "name the heliocentric or CMB one, or rename it if it was", code="not_observed", where=kind)
        return Velocity(column, kind, _frame(column, VELOCITIES.get(plain(column), (kind, None))[1] or "", stated))
    found = [Velocity(n, kind, implied or "") for n in names if plain(n) in VELOCITIES
             for kind, implied in (VELOCITIES[plain(n)],)]
    if stated is not None and len(found) > 1:
        found = [v for v in found if v.frame and _family(v.frame) == _family(stated)] or found
    if not found:
        raise BadParameter(f"no column of {_listed(names)} is known to be a redshift or velocity; name it with z= or cz=, and "
                           "its frame with z_frame=", code="column_missing", where="z")
    if len(found) > 1:
        listed = ", ".join(f"{v.column} ({v.kind}, {v.frame or 'frame not said'})" for v in found)
        raise Ambiguous(f"several columns could be the observed velocity: {listed}; name one with z= or cz=", where="z",
                        extra={"candidates": {v.column: v.frame for v in found}})
    return found[0]._replace(frame=_frame(found[0].column, found[0].frame, stated))


def find_position(names: Iterable[str], *, lon: str | None = None, lat: str | None = None,
                  frame: str | None = None) -> tuple[str, str, str]:
    """Return the columns of longitude and latitude and their sky frame.

    Parameters
    ----------
    names : iterable of str
        The columns of the table.
    lon, lat, frame : str, optional
        The columns and their sky frame, when the caller names them.

    Raises
    ------
    Ambiguous
        When two pairs of one frame are there.
    BadParameter
        When there is none, or the frame of named columns is not said.
    """
    names = list(names)
    stated = None if frame is None else frames.sky_frame(frame)
    if (lon is None) != (lat is None):
        raise BadParameter("name both columns of a position, longitude and latitude", code="column_missing",
                           where="lat" if lat is None else "lon")
    if lon is not None and lat is not None:
        lon, lat = present(names, lon, "lon"), present(names, lat, "lat")
        implied = [f for f, lons, lats in PAIRS if f and plain(lon) in lons and plain(lat) in lats]
        if stated is None and not implied:
            raise BadParameter(f"the names {lon}, {lat} do not say their sky frame; add frame=\"icrs\", \"galactic\" or "
                               "\"supergalactic\"", code="frame_missing", where="frame")
        if stated is not None and implied and stated != implied[0]:
            raise BadParameter(f"the names {lon}, {lat} say {implied[0]}, frame= says {stated}; rename the columns if the "
                               "frame is right", code="contradiction", where="frame")
        return lon, lat, stated or implied[0]
    for key, lons, lats in PAIRS:
        if key is not None and stated in (None, key):
            found = [(a, b) for a in names if plain(a) in lons for b in names if plain(b) in lats]
            if len(found) > 1:
                raise Ambiguous(f"several columns could be the position: {', '.join('/'.join(p) for p in found)}; name them "
                                "with ra= and dec=", where="ra", extra={"candidates": ["/".join(p) for p in found]})
            if found:
                return *found[0], key
    raise BadParameter(f"no columns of {_listed(names)} are known to be a position; name them with ra= and dec=, or with "
                       "lon=, lat= and frame=", code="column_missing", where="ra")


def find_error(names: Iterable[str], velocity: Velocity) -> str | None:
    """Return the column of the error of a velocity, None when no name says so.

    Parameters
    ----------
    names : iterable of str
        The columns of the table.
    velocity : Velocity
        The column it is the error of: zHELERR, e_zHEL, sigma_zHEL ... for zHEL; sigma_cz for any.

    Raises
    ------
    Ambiguous
        When several could be meant; each is listed.
    """
    own = {form.format(plain(velocity.column)) for form in ERROR_FORMS}
    own |= {"sigmacz", "czerr", "ecz"} if velocity.kind != "z" else {"sigmacz"}
    found = [n for n in names if plain(n) in own and n != velocity.column]
    if len(found) > 1:
        raise Ambiguous(f"several columns could be the error of {velocity.column}: {', '.join(found)}; name one with sigma_z= or "
                        "sigma_cz=, or say sigma_z=0 for none", where="sigma_z", extra={"candidates": found})
    return found[0] if found else None


def plain(name: str) -> str:
    """Return a column name as it is compared: no case, no unit in brackets, no blanks, dashes or underscores."""
    return re.sub(r"[\s_.#-]+", "", BRACKET.sub("", name.strip().lower()))


def present(names: Iterable[str], name: object, where: str) -> str:
    """Return a column's name that is in the table.

    Raises
    ------
    BadParameter
        When it is not; the message lists those that are.
    """
    if not isinstance(name, str) or name not in list(names):
        raise BadParameter(f"the table has no column {name!r:.80}; it has {_listed(names)}", code="column_missing", where=where)
    return name


def _frame(column: str, implied: str, stated: str | None) -> str:
    if stated is None and not implied:
        raise BadParameter(f"the name of column {column} does not say its rest frame; add z_frame=\"hel\", or the one it has "
                           f"({', '.join(frames.VELOCITY_FRAMES)})", code="frame_missing", where="z_frame")
    if stated is not None and implied and _family(stated) != _family(implied):
        raise BadParameter(f"the name of column {column} says {implied}, z_frame= says {stated}; rename the column if the "
                           "frame is right", code="contradiction", where="z_frame")
    return stated or implied


def _family(frame: str) -> str:
    return frame.partition("_")[0]


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "") if names else "an empty table"

"""Which column of a table is the position and which the observed velocity, and in which frame: by well-known names only.

A name that does not say its frame is used when the caller states the frame; several candidates are never chosen from.
Names are compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from . import frames
from .errors import Ambiguous, BadParameter

REDSHIFT_COLUMNS: dict[str, str] = {
    "zhel": "hel", "z_hel": "hel", "zhelio": "hel", "z_helio": "hel", "z_heliocentric": "hel",
    "zcmb": "cmb", "z_cmb": "cmb", "zlg": "lg", "z_lg": "lg", "z": "", "redshift": "", "z_obs": ""}
"""Names of redshifts and the frame each implies; "" where the name implies none."""
VELOCITY_COLUMNS: dict[str, str] = {
    "cz_hel": "hel", "czhel": "hel", "cz_helio": "hel", "czhelio": "hel", "vhel": "hel", "v_hel": "hel", "vhelio": "hel",
    "v_helio": "hel", "vh": "hel", "v_h": "hel", "cz_cmb": "cmb", "czcmb": "cmb", "vcmb": "cmb", "v_cmb": "cmb",
    "cz_lg": "lg", "czlg": "lg", "vlg": "lg", "v_lg": "lg", "cz_ls": "ls", "vls": "ls", "v_ls": "ls",
    "cz_gsr": "gsr", "vgsr": "gsr", "v_gsr": "gsr", "cz": ""}
"""Names of observed velocities c times redshift and the frame each implies."""
POSITION_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "icrs": (("ra", "dec"), ("raj2000", "dej2000"), ("raj2000", "decj2000"), ("ra_icrs", "de_icrs")),
    "galactic": (("glon", "glat"),), "supergalactic": (("sgl", "sgb"),)}
"""Pairs of names of longitude and latitude per sky frame, the frame used first where a table has several first."""


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
        known = REDSHIFT_COLUMNS | VELOCITY_COLUMNS
        return Velocity(column, kind, _frame(column, known.get(column.lower(), ""), stated))
    found = [Velocity(n, kind, table[n.lower()]) for n in names
             for kind, table in (("z", REDSHIFT_COLUMNS), ("cz", VELOCITY_COLUMNS)) if n.lower() in table]
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
        implied = [f for f, pairs in POSITION_COLUMNS.items() if (lon.lower(), lat.lower()) in pairs]
        if stated is None and not implied:
            raise BadParameter(f"the names {lon}, {lat} do not say their sky frame; add frame=\"icrs\", \"galactic\" or "
                               "\"supergalactic\"", code="frame_missing", where="frame")
        if stated is not None and implied and stated != implied[0]:
            raise BadParameter(f"the names {lon}, {lat} say {implied[0]}, frame= says {stated}; rename the columns if the "
                               "frame is right", code="contradiction", where="frame")
        return lon, lat, stated or implied[0]
    for key, pairs in POSITION_COLUMNS.items():
        if stated in (None, key):
            found = [(a, b) for pair in pairs for a in names if a.lower() == pair[0] for b in names if b.lower() == pair[1]]
            if len(found) > 1:
                raise Ambiguous(f"several columns could be the position: {', '.join('/'.join(p) for p in found)}; name them "
                                "with ra= and dec=", where="ra", extra={"candidates": ["/".join(p) for p in found]})
            if found:
                return *found[0], key
    raise BadParameter(f"no columns of {_listed(names)} are known to be a position; name them with ra= and dec=, or with "
                       "lon=, lat= and frame=", code="column_missing", where="ra")


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

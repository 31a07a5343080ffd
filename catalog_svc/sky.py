"""Objects by place: cones, boxes and the cross-match of lists, over all volumes.

An object stands where the first volume that holds it says; an entry of a later volume that lies elsewhere is not an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

from cfcore.errors import BadParameter, DeadlineExceeded

from . import objects, schema
from .objects import COLUMNS, Entry
from .sqlite import separation
from .volumes import Volume

LIMIT_MAX = 10_000
"""Most objects of one answer."""
SCAN_MAX = 200_000
"""Most entries that one question looks at."""

_PLACES = f"SELECT {COLUMNS} FROM entry e WHERE "
_EARLIER = "SELECT 1 FROM entry e WHERE e.uid = ? LIMIT 1"
_FIRST = "SELECT MIN(e.id) FROM entry e WHERE e.uid = ?"
MATCH_S = 25.0
"""Longest time of one cross-match."""
MATCHES_MAX = 100_000
"""Most objects of one cross-match."""


def within(volume: Volume, ra: float, dec: float, radius: float, only: str = "") -> list[tuple[Entry, float]]:
    """Return the entries of a volume in a cone with their distance from its axis, everything in degrees; in no order.

    Parameters
    ----------
    volume : Volume
    ra, dec, radius : float
    only : str
        A condition on the entries that an index by zones serves, such as `schema.HAS_DISTANCES`; empty: all.

    Raises
    ------
    BadParameter
        Code ``cone_too_large``, when there are more entries around than one question may look at.
    """
    own = None if only else volume.cone_sql()
    where = f"{only} AND " if only else ""
    if own is not None:
        rows = volume.rows(f"{_PLACES}{own} LIMIT {SCAN_MAX + 1}", (ra, dec, radius))
    else:
        low, high = schema.zone(max(dec - radius, -90.0)), schema.zone(min(dec + radius, 90.0))
        zones = "e.zone IN (" + ",".join("?" * (high - low + 1)) + ")" if high - low < 8 else "e.zone BETWEEN ? AND ?"
        bounds = tuple(range(low, high + 1)) if high - low < 8 else (low, high)
        strips = _strips(ra, dec, radius)
        rows = [row for a, b in strips
                for row in volume.rows(f"{_PLACES}{where}{zones} AND e.ra BETWEEN ? AND ? LIMIT {SCAN_MAX + 1}", (*bounds, a, b))]
    if len(rows) > SCAN_MAX:
        raise BadParameter(f"the cone around {ra:.4f} {dec:.4f} of radius {radius:g} deg touches more than {SCAN_MAX} entries of "
                           f"{volume.facts['name']}; ask for a smaller one", code="cone_too_large", where="radius")
    out = []
    for row in rows:
        apart = separation(ra, dec, row[4], row[5])
        if apart <= radius:
            out.append((Entry(volume, *row), apart))
    return out


def _strips(ra: float, dec: float, radius: float) -> list[tuple[float, float]]:
    """Return the ranges of right ascension that a cone touches: one, or two when it crosses the meridian."""
    if abs(dec) + radius >= 90.0:
        return [(0.0, 360.0)]
    half = math.degrees(math.asin(min(1.0, math.sin(math.radians(radius)) / math.cos(math.radians(dec))))) * (1 + 1e-9) + 1e-9
    low, high = ra - half, ra + half
    if low < 0.0:
        return [(0.0, high), (low + 360.0, 360.0)]
    return [(low, 360.0), (0.0, high - 360.0)] if high > 360.0 else [(low, high)]


def cone(volumes: Sequence[Volume], ra: float, dec: float, radius: float,
         wanted: frozenset[int] = frozenset((schema.GALAXY, schema.CLUSTER))) -> list[tuple[Entry, float]]:
    """Return one entry for each object in a cone, that of the first volume which holds it, nearest first.

    Entries of other kinds than those that are wanted are left out: always the stars and nebulae of OpenNGC, and groups.
    """
    out: list[tuple[Entry, float]] = []
    for place, volume in enumerate(volumes):
        kinds = wanted & set(volume.facts["kinds"])
        if not kinds:
            continue
        earlier = [v for v in volumes[:place] if kinds & set(v.facts["kinds"])]
        for entry, apart in within(volume, ra, dec, radius):
            if entry.kind in kinds and _stands_here(entry, earlier):
                out.append((entry, apart))
    out.sort(key=lambda found: (found[1], found[0].name))
    return out


def _stands_here(entry: Entry, earlier: Sequence[Volume]) -> bool:
    """Tell whether an object stands where this entry says: no earlier volume, and no earlier row of its own, holds it."""
    return (entry.volume.rows(_FIRST, (entry.uid,))[0][0] == entry.id
            and not any(v.rows(_EARLIER, (entry.uid,)) for v in earlier))


def box(volumes: Sequence[Volume], low: tuple[float, float], high: tuple[float, float]) -> list[Entry]:
    """Return one entry for each object in a box of right ascension and declination, deg, by right ascension.

    Parameters
    ----------
    low, high : tuple of (float, float)
        Least and greatest right ascension and declination; a box whose least right ascension is the greater one crosses
        the meridian.
    """
    out: list[Entry] = []
    strips = [(low[0], high[0])] if low[0] <= high[0] else [(low[0], 360.0), (0.0, high[0])]
    for place, volume in enumerate(volumes):
        kinds = set(volume.facts["kinds"]) & {schema.GALAXY, schema.CLUSTER}
        earlier = [v for v in volumes[:place] if kinds & set(v.facts["kinds"])]
        for a, b in strips if kinds else ():
            rows = volume.rows(f"{_PLACES} e.zone BETWEEN ? AND ? AND e.ra BETWEEN ? AND ? AND e.dec BETWEEN ? AND ? "
                               f"LIMIT {SCAN_MAX + 1}", (schema.zone(low[1]), schema.zone(high[1]), a, b, low[1], high[1]))
            if len(rows) > SCAN_MAX:
                raise BadParameter(f"the box holds more than {SCAN_MAX} entries of {volume.facts['name']}; ask for a smaller one",
                                   code="box_too_large", where="ra_max")
            out += [e for e in objects.entries(volume, rows)
                    if e.kind in kinds and _stands_here(e, earlier)]
    return sorted({e.uid: e for e in out}.values(), key=lambda e: (e.ra, e.name))


def listed(volumes: Sequence[Volume], found: Sequence[tuple[Entry, float | None]]) -> list[dict[str, Any]]:
    """Return entries as the objects they belong to, each with its distance from what was asked for, deg."""
    out = []
    for entry, apart in found:
        told = objects.brief(volumes, objects.members(volumes, entry))
        out.append({"name": told.pop("canonical"), **({} if apart is None else {"separation_deg": apart}), **told})
    return out


def crossmatch(volumes: Sequence[Volume], ra: Sequence[float], dec: Sequence[float], radius: float,
               nearest: bool) -> list[dict[str, Any]]:
    """Return for each position its ``status`` and the galaxies within a radius (deg), nearest first, or only the nearest.

    Clusters are left out: their centres are the places of their brightest galaxies, their velocities are not.
    The status is ``ok``, ``no_match``, ``not_finite`` or ``dec_out_of_range``.
    """
    out: list[dict[str, Any]] = []
    end, count = time.monotonic() + MATCH_S, 0
    for lon, lat in zip(ra, dec):
        if time.monotonic() > end:
            raise DeadlineExceeded(f"after {MATCH_S:g} s {len(out)} of {len(ra)} positions were matched; send fewer at once, or "
                                   "a smaller radius")
        if not (math.isfinite(lon) and math.isfinite(lat)):
            out.append({"status": "not_finite", "objects": []})
        elif abs(lat) > 90.0:
            out.append({"status": "dec_out_of_range", "objects": []})
        else:
            found = cone(volumes, lon % 360.0, lat, radius, frozenset((schema.GALAXY,)))
            count += 1 if nearest else len(found)
            if count > MATCHES_MAX:
                raise BadParameter(f"the first {len(out) + 1} positions have more than {MATCHES_MAX} objects around them; send "
                                   "fewer at once, a smaller radius, or which=nearest", code="too_many_objects", where="radius")
            out.append({"status": "ok" if found else "no_match", "objects": listed(volumes, found[:1] if nearest else found)})
    return out

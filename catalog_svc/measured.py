"""Galaxies around a place whose distance was measured by other means than the redshift.

A catalogue counts its entries with such a distance when it is published (``distances``) and has an index of these alone,
so a cone looks at nothing else, however many galaxies a catalogue holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cfcore.errors import BadParameter

from . import objects, schema
from .objects import Entry
from .sky import within
from .sqlite import separation
from .volumes import FIRST, Volume

MEASURED_MAX = 50_000
"""Most entries with a distance that one cone holds; all of Cosmicflows-4 has 56,000 on the whole sky."""
_ASIDE_DEG = 0.1
"""A row that names an object may lie so far from it; the object stands where its first catalogue says."""


def answer(volumes: Sequence[Volume], ra: float, dec: float, radius: float, limit: int) -> dict[str, Any]:
    """Return the galaxies with a measured distance in a cone, nearest to its axis first, each with all its distances.

    Raises
    ------
    BadParameter
        Code ``cone_too_large``.
    """
    found = cone(volumes, ra, dec, radius)
    return {"n": len(found), "more_results": len(found) > limit, "distance_catalogs": holders(volumes),
            "objects": [_told(volumes, members, apart) for members, apart in found[:limit]]}


def cone(volumes: Sequence[Volume], ra: float, dec: float, radius: float) -> list[tuple[list[Entry], float]]:
    """Return the entries of each galaxy with a measured distance in a cone, and its distance from the axis; nearest first."""
    near: dict[int, Entry] = {}
    for volume in volumes:
        if schema.GALAXY not in volume.facts["kinds"]:
            continue
        for entry, _ in _entries(volume, ra, dec, min(radius + _ASIDE_DEG, 180.0)):
            if entry.kind == schema.GALAXY:
                near.setdefault(entry.uid, entry)
        if len(near) > MEASURED_MAX:
            raise BadParameter(f"the cone around {ra:.4f} {dec:.4f} of radius {radius:g} deg holds more than {MEASURED_MAX} "
                               "galaxies with measured distances; ask for a smaller one", code="cone_too_large", where="radius")
    out = []
    for members in objects.members_of_many(volumes, list(near.values())).values():
        apart = separation(ra, dec, members[0].ra, members[0].dec)
        if apart <= radius:
            out.append((members, apart))
    out.sort(key=lambda found: (found[1], found[0][0].name))
    return out


def holders(volumes: Sequence[Volume]) -> list[str]:
    """Return the names of the catalogues of galaxies that hold measured distances, or in which these were never counted."""
    return [str(v.facts["name"]) for v in volumes
            if schema.GALAXY in v.facts["kinds"] and v.facts.get("distances", v.id not in FIRST)]


def _entries(volume: Volume, ra: float, dec: float, radius: float) -> list[tuple[Entry, float]]:
    if "distances" not in volume.facts:  # without the index: no more entries are looked at than a cone may touch
        return [(e, apart) for e, apart in within(volume, ra, dec, radius) if schema.DISTANCES_MARK in e.facts]
    return within(volume, ra, dec, radius, schema.HAS_DISTANCES) if volume.facts["distances"] else []


def _told(volumes: Sequence[Volume], members: Sequence[Entry], apart: float) -> dict[str, Any]:
    told = objects.brief(volumes, members)
    return {"name": told.pop("canonical"), "separation_deg": apart, **told, "distances": objects.distances(members)}

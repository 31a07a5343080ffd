"""The velocity of a multiple system for those of its members that have none of their own.

A survey measures one nucleus of a close pair, or takes the pair for one galaxy. NGC 4676 and its components NGC 4676A and
NGC 4676B are objects of their own; when none of an object's catalogues has its velocity, the mean over the measured members
of the system stands for it, and the answer says so. Only velocities with a stated error count: the redshifts of OpenNGC
have neither error nor reference, and serve their own object alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cfcore.cosmology import C_KMS

from . import names, schema
from .entries import place
from .objects import COLUMNS, Entry, chosen, entries, members
from .sqlite import separation
from .volumes import Volume

NEAR_DEG = 1.0 / 60.0
"""A suffix is also given to galaxies that are only near on the sky; members of a close system lie within a minute of arc."""
SPREAD_KMS = 500.0
"""Members whose velocities differ by more are no system, or their mean says nothing of a single one."""

_SAME_NUMBER = (f"SELECT {COLUMNS} FROM name n JOIN entry e ON e.id = n.entry "
                f"WHERE n.number = ? AND e.kind = {schema.GALAXY}")


class SystemVelocity(NamedTuple):
    """Hold the mean of the measured members of a system."""

    z: float
    source: str
    references: str | None


def velocity(volumes: Sequence[Volume], entry: Entry) -> SystemVelocity | None:
    """Return the velocity of the system that a galaxy without one belongs to, None when there is none."""
    spelled = names.read(entry.name) if entry.kind == schema.GALAXY else None
    if spelled is None or not spelled.numbers:
        return None
    number, _ = place(spelled)
    if number < schema.FAMILY_STEP:
        return None  # a number that its catalogue does not have stands among all plain names
    near: dict[int, Entry] = {}
    for volume in volumes:
        if number // schema.FAMILY_STEP in volume.families:
            for other in entries(volume, volume.rows(_SAME_NUMBER, (number,))):
                if other.uid != entry.uid and separation(entry.ra, entry.dec, other.ra, other.dec) <= NEAR_DEG:
                    near.setdefault(other.uid, other)
    used = [e for other in near.values() if (e := chosen([m for m in members(volumes, other) if m.z_error is not None]))]
    values = [float(e.z or 0.0) for e in used]
    if not used or C_KMS * (max(values) - min(values)) > SPREAD_KMS:
        return None
    listed = ", ".join(f"{e.name} ({e.volume.facts['name']})" for e in used)
    references = "; ".join(dict.fromkeys(str(r) for e in used if (r := e.known().get("reference"))))
    return SystemVelocity(sum(values) / len(values), f"no velocity of its own: that of its system, from {listed}",
                          references or None)

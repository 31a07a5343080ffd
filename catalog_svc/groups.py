"""The group of galaxies that holds a galaxy, from the catalogues of groups that were imported.

A virialised member moves inside its group by hundreds of km/s, which its own c z turns into a wrong distance; the mean
velocity of the group does not have that part. Membership follows Kourkchi & Tully 2017 (ApJ 843, 16): within the projected
second turnaround radius R_2t, and within two velocity dispersions of the group's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from cfcore.cosmology import C_KMS
from cfcore.frames import convert_z, rotate, unit_vectors

from . import schema
from .objects import COLUMNS, Entry, catalog, chosen, entries
from .volumes import Volume

F64 = NDArray[np.float64]
SIGMAS = 2.0
SIGMA_LEAST_KMS = 100.0
"""Dispersions of groups of two or three are not measured; below this one the errors of velocities decide."""
_ALL = f"SELECT e.id, e.ra, e.dec, e.z, e.facts FROM entry e WHERE e.kind = {schema.GROUP} AND e.z IS NOT NULL ORDER BY e.id"
_ONE = f"SELECT {COLUMNS} FROM entry e WHERE e.id = ?"


class Groups(NamedTuple):
    """Hold the groups of one catalogue as columns."""

    ids: NDArray[np.int64]
    towards: F64
    """Unit vectors of the centres, shape (n, 3), ICRS."""
    cz_cmb: F64
    sigma: F64
    reach: F64
    """Angle of R_2t at the group's distance, radians."""


@lru_cache(maxsize=8)
def groups(volume: Volume) -> Groups:
    """Return the groups of a catalogue of groups; single galaxies and associations of groups are left out."""
    ids, place, z, sigma, reach = [], [], [], [], []
    for id, ra, dec, redshift, text in volume.rows(_ALL):
        group = orjson.loads(text).get("group") or {}
        radius, distance = group.get("r2t_mpc"), group.get("distance_mpc")
        if str(group.get("what", "group")).startswith("group") and radius and distance:
            ids.append(id)
            place.append((ra, dec))
            z.append(redshift)
            sigma.append(max(dispersion(group) or 0.0, SIGMA_LEAST_KMS))
            reach.append(np.arctan2(radius, distance))
    ra_dec = np.array(place).reshape(-1, 2)
    towards = unit_vectors(ra_dec[:, 0], ra_dec[:, 1])
    return Groups(np.array(ids, dtype=np.int64), towards, _cz_cmb(np.array(z), towards), np.array(sigma), np.array(reach))


def of(volumes: Sequence[Volume], found: Sequence[Entry]) -> dict[str, Any] | None:
    """Return the group that holds an object, None when there is none or the object has no velocity of its own.

    Parameters
    ----------
    volumes : sequence of Volume
        The oldest catalogue of groups that has a group for the object decides.
    found : sequence of Entry
        The members of the object, as `objects.members` returns them.

    Returns
    -------
    dict
        ``name``, ``n_members``, ``position``, ``cz`` (km/s in the frames hel and cmb, at the centre of the group),
        ``sigma_p`` (km/s), ``r2t_mpc``, ``distance_mpc``, ``separation_deg``, ``membership``, ``given``, ``source``,
        ``citation``, ``catalog``.
    """
    used = chosen(found)
    if used is None or found[0].kind != schema.GALAXY:
        return None
    towards = unit_vectors(found[0].ra, found[0].dec)
    cz = _cz_cmb(np.array([used.z]), towards)[0]
    for volume in volumes:
        if schema.GROUP not in volume.facts["kinds"]:
            continue
        known = groups(volume)
        # the chord keeps its digits where the cosine of a small angle has lost them
        apart = 2.0 * np.arcsin(np.clip(np.linalg.norm(known.towards - towards, axis=1) / 2.0, 0.0, 1.0))
        holds = (apart <= known.reach) & (np.abs(known.cz_cmb - cz) <= SIGMAS * known.sigma)
        if holds.any():
            best = int(np.argmin(np.where(holds, apart / known.reach, np.inf)))
            entry, = entries(volume, volume.rows(_ONE, (int(known.ids[best]),)))
            return _told(entry, float(known.cz_cmb[best]), float(np.degrees(apart[best])))
    return None


def dispersion(group: dict[str, Any]) -> float | None:
    """Return the dispersion of a group, km/s: the greater of what its light and what its members say."""
    return max((s for key in ("sigma_p_lum_km_s", "sigma_p_dyn_km_s") if (s := group.get(key))), default=None)


def _told(entry: Entry, cz_cmb: float, apart: float) -> dict[str, Any]:
    group, about = entry.known()["group"], entry.volume.facts
    return {"name": entry.name, "n_members": group.get("n_members"), "position": {"icrs": {"lon": entry.ra, "lat": entry.dec}},
            "cz": {"hel": C_KMS * float(entry.z or 0.0), "cmb": cz_cmb}, "sigma_p": dispersion(group),
            "r2t_mpc": group.get("r2t_mpc"), "distance_mpc": group.get("distance_mpc"), "separation_deg": apart,
            "membership": f"within R_2t of the centre and {SIGMAS:g} sigma_p of the mean velocity",
            "given": {"value": entry.given, "frame": about["frame"], "convention": about["convention"]},
            "source": f"{entry.name} in {about['name']}", "citation": about["citation"], "catalog": catalog(entry.volume)}


def _cz_cmb(z: F64, towards: F64) -> F64:
    return C_KMS * convert_z(z, rotate(towards, "icrs", "galactic"), "hel", "cmb")

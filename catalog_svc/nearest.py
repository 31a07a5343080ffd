"""The galaxies with a velocity, nearest first, as columns to draw: put together once for each state of the catalogues.

Name and place are those of the first catalogue that holds a galaxy, its velocity the one that `objects.RULE` chooses; galaxies
that have none of their own are left out, even where the mean of their multiple system would answer for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cfcore.cosmology import C_KMS
from cfcore.frames import convert_z, lon_lat, rotate, unit_vectors

from . import objects, schema
from .objects import Entry
from .volumes import Volume

GALAXIES_MAX = 50_000
"""Most galaxies of an answer."""
ROWS_MAX = 1_000_000
"""Larger catalogues are left out, and this is said: to read one from end to end would hold others up for long."""
_AT_ONCE = 500
_MARGIN_Z = 0.003
"""The Sun's motion shifts redshifts by up to 0.00123 either way: whoever is near in one frame is within this in the other."""

_USABLE = f"e.kind = {schema.GALAXY} AND e.z IS NOT NULL AND e.is_photometric = 0"
_LAST = f"SELECT e.z FROM entry e WHERE {_USABLE} ORDER BY e.z LIMIT 1 OFFSET ?"
_NEAR = f"SELECT DISTINCT e.uid FROM entry e WHERE {_USABLE} AND e.z <= ?"
# without the further facts, which are most of a row
_COLUMNS = "e.id, e.uid, e.name, e.kind, e.ra, e.dec, e.z, e.z_error, e.given, e.is_photometric, ''"
_UNITS = {"sgl": "deg", "sgb": "deg", "cz_cmb": "km/s"}


class Nearest:
    """Hold the nearest galaxies of some volumes.

    Parameters
    ----------
    volumes : sequence of Volume
    """

    def __init__(self, volumes: Sequence[Volume]) -> None:
        holding = [v for v in volumes if schema.GALAXY in v.facts["kinds"]]
        self._volumes = [v for v in holding if v.facts.get("entries", 0) <= ROWS_MAX]
        self._left_out = [v for v in holding if v not in self._volumes]
        uids = self._near()
        found = [(members[0], used) for members in self._members(uids) if (used := objects.chosen(members)) is not None]
        # a galaxy whose chosen velocity lies beyond the margin stood here by another one of its velocities
        self.total = len(found) if len(found) < GALAXIES_MAX else self._count()
        ra, dec, z = np.array([(first.ra, first.dec, used.z) for first, used in found], float).reshape(-1, 3).T
        n_icrs = unit_vectors(ra, dec)
        cz_cmb = C_KMS * convert_z(z, rotate(n_icrs, "icrs", "galactic"), "hel", "cmb")
        order = np.argsort(cz_cmb, kind="stable")[:GALAXIES_MAX]
        sgl, sgb = lon_lat(rotate(n_icrs, "icrs", "supergalactic"))
        self._columns: dict[str, list[Any]] = {
            "name": [found[i][0].name for i in order], "sgl": np.round(sgl[order], 3).tolist(),
            "sgb": np.round(sgb[order], 3).tolist(), "cz_cmb": np.rint(cz_cmb[order]).astype(int).tolist()}

    def first(self, limit: int) -> dict[str, Any]:
        """Return the nearest galaxies in the words of docs/api.md."""
        catalogs = [objects.catalog(v) for v in self._volumes]
        columns = {name: values[:limit] for name, values in self._columns.items()}
        return {"n": len(columns["name"]), "total": self.total, "columns": columns, "unit": _UNITS,
                "catalog": catalogs[0] if catalogs else None, "catalogs": catalogs,
                "left_out": [objects.catalog(v) for v in self._left_out]}

    def _near(self) -> list[int]:
        """Return the objects that may be among the nearest."""
        last = [rows[0][0] for v in self._volumes if (rows := v.rows(_LAST, (GALAXIES_MAX - 1,)))]
        end = min(last) + _MARGIN_Z if last else 1e9
        return list(dict.fromkeys(row[0] for v in self._volumes for row in v.rows(_NEAR, (end,))))

    def _members(self, uids: Sequence[int]) -> list[list[Entry]]:
        """Return the entries of each object, in the order of the volumes."""
        out: dict[int, list[Entry]] = {uid: [] for uid in uids}
        for volume in self._volumes:
            for start in range(0, len(uids), _AT_ONCE):
                some = uids[start:start + _AT_ONCE]
                marks = ", ".join("?" * len(some))
                for entry in objects.entries(volume, volume.rows(
                        f"SELECT {_COLUMNS} FROM entry e WHERE e.uid IN ({marks}) AND e.kind = {schema.GALAXY} ORDER BY e.id",
                        some)):
                    out[entry.uid].append(entry)
        return list(out.values())

    def _count(self) -> int:
        """Count the galaxies with a velocity in all volumes; one that several hold counts once."""
        if len(self._volumes) == 1:
            return int(self._volumes[0].rows(f"SELECT COUNT(DISTINCT e.uid) FROM entry e WHERE {_USABLE}")[0][0])
        return len({row[0] for v in self._volumes for row in v.rows(f"SELECT DISTINCT e.uid FROM entry e WHERE {_USABLE}")})

"""Which rows of a new catalogue are objects that are known already: by name, then by place; all in the database.

Every step is one statement over whole tables, so its memory does not grow with the catalogue. An entry that is linked
takes over the `uid` of the object; nothing else of either volume changes, so every catalogue can be dropped again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from cfcore.cosmology import C_KMS

from . import schema
from .volumes import Draft, Row, Volume

NAME_DEG = {schema.GALAXY: 0.1, schema.CLUSTER: 1.0, schema.GROUP: 1.0, schema.OTHER: 0.1}
"""Entries of one name further apart are different objects, one of them misnamed; deg."""
SAME_Z = 1000.0 / C_KMS
"""Two objects at one place whose spectroscopic redshifts differ by more are a pair along the line of sight."""
DISCORD_Z = 500.0 / C_KMS
"""Velocities of one object that differ by more are told in the report."""
_BAND_DEG = 5.0


class Discord(NamedTuple):
    """Tell of an entry whose velocity is far from that of the object it was linked to."""

    line: int
    name: str
    known_as: str
    cz: float
    cz_known: float


class Conflict(NamedTuple):
    """Tell of an entry whose name belongs to an object elsewhere on the sky."""

    line: int
    name: str
    known_as: str
    separation_deg: float


@dataclass
class Links:
    """Count what was linked."""

    by_name: dict[str, int] = field(default_factory=dict)
    by_place: dict[str, int] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    n_conflicts: int = 0
    discords: list[Discord] = field(default_factory=list)
    n_discords: int = 0


def link(draft: Draft, volumes: list[Volume], kind: int, radius_deg: float, shown: int = 20) -> Links:
    """Give every entry of a draft the number of the object it is.

    Parameters
    ----------
    draft : Draft
        With its indexes and statistics made.
    volumes : list of Volume
        In order; the first that knows an object decides.
    kind : int
        Of the draft's entries: galaxies are never linked with clusters.
    radius_deg : float
        Greatest distance of a link by place; 0 links by name only.
    shown : int
        How many conflicts, and how many discords, to name.
    """
    found = Links()
    draft.run("CREATE TEMP TABLE link (entry INTEGER PRIMARY KEY, uid BIGINT NOT NULL, volume INTEGER NOT NULL)")
    draft.run("CREATE INDEX link_uid ON link (uid)")
    draft.run("CREATE TEMP TABLE elsewhere (entry INTEGER PRIMARY KEY)")
    for place, volume in enumerate(volumes):
        if kind not in volume.facts["kinds"]:
            continue
        draft.beside(volume)
        found.by_name[volume.id] = _by_name(draft, place, kind, found, shown)
        found.by_place[volume.id] = (_by_place(draft, place, kind, radius_deg, volume.facts["entries"]) if radius_deg > 0.0
                                     else 0)
        _discords(draft, place, found, shown)
    draft.run("UPDATE {s}entry SET uid = (SELECT l.uid FROM link l WHERE l.entry = id) WHERE id IN (SELECT entry FROM link)")
    draft.run("DROP TABLE link")
    draft.run("DROP TABLE elsewhere")
    return found


def _by_name(draft: Draft, place: int, kind: int, found: Links, shown: int) -> int:
    """Link by name: each entry takes the nearest object that has one of its names, unless even that stands elsewhere."""
    draft.run("CREATE TEMP TABLE pair (entry INTEGER NOT NULL, uid BIGINT NOT NULL, known_as TEXT NOT NULL, "
              "apart DOUBLE PRECISION NOT NULL)")
    draft.run("INSERT INTO pair SELECT d.id, o.uid, o.name, separation(d.ra, d.dec, o.ra, o.dec) FROM {s}name n "
              "JOIN {k}name m ON m.number = n.number AND m.tail = n.tail JOIN {k}entry o ON o.id = m.entry "
              "JOIN {s}entry d ON d.id = n.entry WHERE o.kind = ? AND NOT EXISTS (SELECT 1 FROM link l WHERE l.entry = d.id)",
              (kind,))
    draft.run("INSERT INTO link SELECT entry, uid, ? FROM (SELECT entry, uid, ROW_NUMBER() OVER (PARTITION BY entry "
              "ORDER BY apart, uid) AS turn FROM pair WHERE apart <= ?) AS nearest WHERE turn = 1", (place, NAME_DEG[kind]))
    elsewhere = "FROM pair p JOIN {s}entry d ON d.id = p.entry GROUP BY d.id, d.line, d.name HAVING MIN(p.apart) > ?"
    found.n_conflicts += draft.run(f"SELECT COUNT(*) FROM (SELECT d.id {elsewhere}) AS all_of_them", (NAME_DEG[kind],))[0][0]
    found.conflicts += [Conflict(*row) for row in draft.run(
        f"SELECT d.line, d.name, MIN(p.known_as), MIN(p.apart) {elsewhere} ORDER BY d.line LIMIT ?",
        (NAME_DEG[kind], shown - len(found.conflicts)))]
    draft.run("INSERT INTO elsewhere SELECT entry FROM pair GROUP BY entry HAVING MIN(apart) > ? "
              "AND NOT EXISTS (SELECT 1 FROM elsewhere c WHERE c.entry = pair.entry)", (NAME_DEG[kind],))
    draft.run("DROP TABLE pair")
    return _count(draft, place)


def _by_place(draft: Draft, place: int, kind: int, radius: float, known: int) -> int:
    """Link by place: of all pairs within the radius each entry and each object takes its nearest, when they choose each other."""
    before = _count(draft, place)
    draft.run("CREATE TEMP TABLE near (entry INTEGER NOT NULL, uid BIGINT NOT NULL, apart DOUBLE PRECISION NOT NULL)")
    size = draft.run("SELECT COUNT(*) FROM {s}entry")[0][0]
    # the smaller table is walked through, the larger one is asked by its index
    outer, inner = ("d", "o") if size <= known else ("o", "d")
    for condition, values in _strips(outer, inner, radius):
        draft.run("INSERT INTO near SELECT d.id, o.uid, separation(d.ra, d.dec, o.ra, o.dec) "
                  f"FROM {{{'s' if outer == 'd' else 'k'}}}entry {outer} JOIN {{{'k' if outer == 'd' else 's'}}}entry {inner} "
                  f"ON {condition} WHERE o.kind = ? AND (d.z IS NULL OR o.z IS NULL OR d.is_photometric + o.is_photometric > 0 "
                  "OR ABS(d.z - o.z) < ?) AND separation(d.ra, d.dec, o.ra, o.dec) <= ? "
                  "AND NOT EXISTS (SELECT 1 FROM link l WHERE l.entry = d.id) "
                  "AND NOT EXISTS (SELECT 1 FROM link l WHERE l.uid = o.uid) "
                  "AND NOT EXISTS (SELECT 1 FROM elsewhere c WHERE c.entry = d.id)", (*values, kind, SAME_Z, radius))
    draft.run("INSERT INTO link SELECT a.entry, a.uid, ? FROM (SELECT entry, uid, ROW_NUMBER() OVER "
              "(PARTITION BY entry ORDER BY apart, uid) AS mine, ROW_NUMBER() OVER (PARTITION BY uid ORDER BY apart, entry) "
              "AS its FROM near) AS a WHERE a.mine = 1 AND a.its = 1", (place,))
    draft.run("DROP TABLE near")
    return _count(draft, place) - before


def _strips(outer: str, inner: str, radius: float) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield the conditions that together hold every pair within the radius: bands of declination, edges and the meridian."""
    zone = 1.0 / schema.ZONES_A_DEGREE
    per_band = int(_BAND_DEG * schema.ZONES_A_DEGREE)
    for low in range(0, int(180.0 / zone), per_band):
        top = max(abs(low * zone - 90.0), abs((low + per_band) * zone - 90.0)) + radius
        width = 360.0 if top >= 89.9 else min(360.0, 1.01 * radius / math.cos(math.radians(top)))
        for step in (0, 1, -1):
            edge = {0: "", 1: f" AND ({outer}.dec + 90.0) * {schema.ZONES_A_DEGREE} - {outer}.zone >= ?",
                    -1: f" AND ({outer}.dec + 90.0) * {schema.ZONES_A_DEGREE} - {outer}.zone <= ?"}[step]
            inside = {0: (), 1: (1.0 - radius / zone,), -1: (radius / zone,)}[step]
            for shift in (0.0, 360.0, -360.0) if width < 360.0 else (0.0,):
                seam = {0.0: "", 360.0: f" AND {outer}.ra < {width!r}", -360.0: f" AND {outer}.ra > {360.0 - width!r}"}[shift]
                yield (f"{inner}.zone = {outer}.zone + {step} AND {inner}.ra BETWEEN {outer}.ra + ({shift - width!r}) "
                       f"AND {outer}.ra + ({shift + width!r}) AND {outer}.zone BETWEEN {low} AND {low + per_band - 1}"
                       f"{edge}{seam}", inside)


def _discords(draft: Draft, place: int, found: Links, shown: int) -> None:
    """Count entries whose spectroscopic velocity is more than 500 km/s from that of their object in this volume."""
    pairs = ("FROM link l JOIN {s}entry d ON d.id = l.entry JOIN {k}entry o ON o.uid = l.uid WHERE l.volume = ? "
             "AND d.is_photometric + o.is_photometric = 0 AND ABS(d.z - o.z) > ?")
    found.n_discords += draft.run(f"SELECT COUNT(DISTINCT l.entry) {pairs}", (place, DISCORD_Z))[0][0]
    found.discords += [Discord(line, name, known, C_KMS * z, C_KMS * known_z) for line, name, known, z, known_z in draft.run(
        f"SELECT d.line, d.name, o.name, d.z, o.z {pairs} ORDER BY d.line, o.id LIMIT ?",
        (place, DISCORD_Z, shown - len(found.discords)))]


def _count(draft: Draft, place: int) -> int:
    rows: list[Row] = draft.run("SELECT COUNT(*) FROM link WHERE volume = ?", (place,))
    return int(rows[0][0])

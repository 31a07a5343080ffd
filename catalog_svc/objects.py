"""One object of the sky from the entries of all volumes that hold it: its name, place and velocity by stated rules.

*Name and place* are those of the first volume that holds the object: OpenNGC before the clusters before what was imported,
older imports first. *The velocity* in use is chosen by `RULE`; the others stand beside it in the detail.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

from cfcore.cosmology import C_KMS
from cfcore.frames import REPORTED_FRAMES, SKY_FRAMES, convert_z, lon_lat, rotate, unit_vectors

from . import schema
from .volumes import Row, Volume

RULE = ("spectroscopic only; one with a stated error before one without; the smallest error; then OpenNGC, then the older "
        "import")
_AT_ONCE = 500
SPREAD_KMS = 500.0
"""Velocities of one object that differ by more are pointed out."""

COLUMNS = "e.id, e.uid, e.name, e.kind, e.ra, e.dec, e.z, e.z_error, e.given, e.is_photometric, e.facts"


class Entry(NamedTuple):
    """Hold one row of one volume."""

    volume: Volume
    id: int
    uid: int
    name: str
    kind: int
    ra: float
    dec: float
    z: float | None
    z_error: float | None
    given: float | None
    is_photometric: int
    facts: str

    @property
    def is_velocity(self) -> bool:
        """Whether it may be used as an observed velocity."""
        return self.z is not None and not self.is_photometric

    def known(self) -> dict[str, Any]:
        """Return the further facts."""
        return dict(orjson.loads(self.facts))


def entries(volume: Volume, rows: Sequence[Row]) -> list[Entry]:
    """Return rows of `COLUMNS` as entries of a volume."""
    return [Entry(volume, *row) for row in rows]


BY_UID = f"SELECT {COLUMNS} FROM entry e WHERE e.uid = ? ORDER BY e.id"


def members(volumes: Sequence[Volume], entry: Entry) -> list[Entry]:
    """Return all entries of the object of an entry, in the order of the volumes."""
    out: list[Entry] = []
    for volume in volumes:
        if entry.kind in volume.facts["kinds"]:
            out += entries(volume, volume.rows(BY_UID, (entry.uid,)))
    return out


def members_of_many(volumes: Sequence[Volume], wanted: Sequence[Entry]) -> dict[tuple[int, int], list[Entry]]:
    """Return `members` of many entries, by (kind, uid); hundreds of them are one look into each volume."""
    out: dict[tuple[int, int], list[Entry]] = {(e.kind, e.uid): [] for e in wanted}
    for volume in volumes:
        uids = [uid for kind, uid in out if kind in volume.facts["kinds"]]
        for start in range(0, len(uids), _AT_ONCE):
            some = uids[start:start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = volume.rows(f"SELECT {COLUMNS} FROM entry e WHERE e.uid IN ({marks}) ORDER BY e.id", some)
            for entry in entries(volume, rows):
                if (entry.kind, entry.uid) in out:
                    out[entry.kind, entry.uid].append(entry)
    return out


def chosen(found: Sequence[Entry]) -> Entry | None:
    """Return the entry whose velocity is used, by `RULE`; None when no entry has one."""
    usable = [e for e in found if e.is_velocity]
    return min(usable, key=lambda e: (e.z_error is None, e.z_error or 0.0)) if usable else None  # min keeps the first of equals


def spread(found: Sequence[Entry]) -> float | None:
    """Return how far the velocities of an object are apart, km/s; None when there are fewer than two."""
    values = [e.z for e in found if e.is_velocity and e.z is not None]
    return round(C_KMS * (max(values) - min(values)), 3) if len(values) > 1 else None


def catalog(volume: Volume) -> dict[str, Any]:
    """Return how an answer names the catalogue it comes from."""
    return {"name": volume.facts["name"], "version": volume.facts.get("release") or volume.version[:8],
            "licence": volume.facts["licence"]}


class Velocity(NamedTuple):
    """Hold the velocity that is used for an object, heliocentric; all None when there is none."""

    z: float | None = None
    z_error: float | None = None
    source: str | None = None
    reference: str | None = None


def observed(volumes: Sequence[Volume], found: Sequence[Entry]) -> Velocity:
    """Return the velocity used for an object: its own by `RULE`, else that of the multiple system it belongs to."""
    used = chosen(found)
    if used is not None:
        return _of(used, used.known())
    from .systems import velocity  # which asks this module about the other members
    system = velocity(volumes, found[0])
    return Velocity() if system is None else Velocity(system.z, None, system.source, system.references)


def _of(entry: Entry, facts: dict[str, Any]) -> Velocity:
    return Velocity(entry.z, entry.z_error, str(facts.get("source") or entry.volume.facts["name"]), facts.get("reference"))


def _head(first: Entry, velocity: Velocity, facts: dict[str, Any]) -> dict[str, Any]:
    return {"canonical": first.name, "object_type": facts.get("object_type") or schema.KINDS[first.kind].capitalize(),
            "z_helio": velocity.z, "cz_helio": _kms(velocity.z)}


def brief(volumes: Sequence[Volume], found: Sequence[Entry]) -> dict[str, Any]:
    """Return position and velocity of an object from its members over the volumes."""
    first, velocity = found[0], observed(volumes, found)
    facts = first.known()
    return {**_head(first, velocity, facts), "position": {"icrs": {"lon": first.ra, "lat": first.dec}},
            "cz_error": _error_kms(velocity.z_error), "cz_spread": spread(found), "cz_source": velocity.source,
            "cz_reference": velocity.reference, "catalog": catalog(first.volume)}


def full(volumes: Sequence[Volume], found: Sequence[Entry]) -> dict[str, Any]:
    """Return all that every volume knows of an object."""
    first, used, velocity = found[0], chosen(found), observed(volumes, found)
    known = [e.known() for e in found]
    n = {frame: rotate(unit_vectors(first.ra, first.dec), "icrs", frame) for frame in SKY_FRAMES}
    position = {frame: {"lon": float(lon[0]), "lat": float(lat[0])}
                for frame, (lon, lat) in ((f, lon_lat(v)) for f, v in n.items())}
    position["icrs"] = {"lon": first.ra, "lat": first.dec}  # as catalogued, without a rounding round trip
    velocities = [_velocity(e, facts, e is used) for e, facts in zip(found, known) if e.z is not None]
    if used is None and velocity.z is not None:
        velocities.append(_told(velocity.z, velocity, "hel", used=True))
    velocities.sort(key=lambda v: not v["used"])
    if velocity.z is not None:
        computed = velocity._replace(source="computed", reference=None)
        velocities += [_told(float(convert_z(velocity.z, n["galactic"], "hel", frame)[0]), computed, frame, used=False)
                       for frame in REPORTED_FRAMES if frame != "hel"]
    return {**_head(first, velocity, known[0]), "position": position, "velocities": velocities,
            "magnitudes": _merged(known, "magnitudes"), "morphology": _first(known, "morphology"),
            "size_arcmin": _merged(known, "size_arcmin"), "cross_ids": _cross_ids(found, known),
            "common_names": list(dict.fromkeys(name for facts in known for name in facts.get("common_names") or ())),
            "distances": distances(found, known),
            "notes": [*(note for facts in known for note in facts.get("notes") or ()), *_spread(found, used)],
            "catalog": catalog(first.volume), "catalogs": [{"id": e.volume.id, **catalog(e.volume)} for e in _each_volume(found)]}


def distances(found: Sequence[Entry], known: Sequence[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Return the distances of an object that do not come from its redshift, each with its source."""
    return [{**d, "source": d.get("source") or e.volume.facts["name"]}
            for e, facts in zip(found, known or [e.known() for e in found]) for d in facts.get("distances") or ()]


def _told(z: float, velocity: Velocity, frame: str, *, used: bool) -> dict[str, Any]:
    return {"value": C_KMS * z, "error": _error_kms(velocity.z_error), "frame": frame, "convention": "cz",
            "source": velocity.source, "reference": velocity.reference, "is_photometric": False, "used": used}


def _velocity(entry: Entry, facts: dict[str, Any], used: bool) -> dict[str, Any]:
    about = entry.volume.facts
    out = _told(entry.z or 0.0, _of(entry, facts), "hel", used=used) | {"is_photometric": bool(entry.is_photometric)}
    if (about["frame"], about["convention"]) != ("hel", "cz"):
        out["given"] = {"value": entry.given, "frame": about["frame"], "convention": about["convention"]}
    return out


def _spread(found: Sequence[Entry], used: Entry | None) -> Iterator[str]:
    for other in found:
        if used is None or other is used or not other.is_velocity:
            continue
        apart = C_KMS * abs((other.z or 0.0) - (used.z or 0.0))
        if apart > SPREAD_KMS:
            yield (f"Velocities differ by {apart:.0f} km/s: {C_KMS * (used.z or 0.0):.0f} in {used.volume.facts['name']} is "
                   f"used, {C_KMS * (other.z or 0.0):.0f} in {other.volume.facts['name']} is not; rule: {RULE}")


def _cross_ids(found: Sequence[Entry], known: Sequence[dict[str, Any]]) -> list[str]:
    own = found[0].name
    names = (n for e, facts in zip(found, known) for n in (e.name, *(facts.get("cross_ids") or ())))
    return [n for n in dict.fromkeys(names) if n != own]


def _merged(known: Sequence[dict[str, Any]], key: str) -> dict[str, Any] | None:
    """Return a dictionary of facts, each from the first entry that has it."""
    out: dict[str, Any] = {}
    for facts in known:
        for name, value in (facts.get(key) or {}).items():
            if out.get(name) is None:
                out[name] = value
    return out or None


def _first(known: Sequence[dict[str, Any]], key: str) -> Any:
    return next((facts[key] for facts in known if facts.get(key) is not None), None)


def _each_volume(found: Sequence[Entry]) -> list[Entry]:
    return list({e.volume.id: e for e in reversed(found)}.values())[::-1]


def _error_kms(z_error: float | None) -> float | None:
    # to the mm/s: an error of 4 km/s came as 4 and went through a division by c
    return None if z_error is None else round(C_KMS * z_error, 6)


def _kms(z: float | None) -> float | None:
    return None if z is None else C_KMS * z

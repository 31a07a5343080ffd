"""Turn the rows of OpenNGC into the rows of a volume: pure functions, no file.

Four things need care: duplicates point to their master, identifiers are written in several ways, one name may belong
to two objects, and a few entries are wrong (`corrections.csv`, each with its reason).
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field

import orjson

from cfcore.errors import InternalError

from . import entries, names, schema
from .families import ORDER, Designation
from .volumes import Row as StoredRow

GALAXY_TYPES = frozenset({"G", "GPair", "GTrpl", "GGroup"})

# The lower, the stronger the claim of an object on a name.
_OWN, _DUPLICATE, _MESSIER, _OTHER_NUMBER, _IDENTIFIER = range(5)

# Two identifiers of OpenNGC are glued together: "PGC 056771SDSS J160208.91+261945.5".
_GLUED = re.compile(r"(?<=[0-9])(?=SDSS|UGC|PGC)")
_NAME = re.compile(r"([A-Za-z]+)(.*)")

Row = dict[str, object]


@dataclass
class Tables:
    """Collect the rows of the volume, table by table, and what was counted on the way."""

    entry: list[StoredRow] = field(default_factory=list)
    name: list[StoredRow] = field(default_factory=list)
    common: list[StoredRow] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


@dataclass
class _Object:
    """Hold one object of the sky while its names are gathered."""

    id: int
    row: Row
    canonical: str
    is_galaxy: bool
    ra: float | None
    dec: float | None
    z_helio: float | None
    source: str
    reference: str | None
    common: list[str]
    notes: list[str]
    cross_ids: dict[str, tuple[object, ...]] = field(default_factory=dict)

    @property
    def flags(self) -> int:
        """Bits of the object's names."""
        return schema.HAS_VELOCITY if self.z_helio is not None else 0


def assemble(rows: list[Row], types: dict[str, str], *, version: str, corrections: list[dict[str, str]],
             aliases: list[dict[str, str]]) -> Tables:
    """Make the rows of the volume.

    Parameters
    ----------
    rows : list of dict
        Table ``objects`` of OpenNGC; positions in radians, ``redshift`` heliocentric.
    types : dict
        Table ``objTypes``: code to words.
    version : str
        Release of pyongc, for the source of velocities.
    corrections, aliases : list of dict
        Our own small tables.

    Raises
    ------
    InternalError
        When a row of our own tables names an object that is not there.
    """
    keys = {str(row["name"]): _canonical(str(row["name"])) for row in rows}
    objects = {keys[str(row["name"])]: _object(row, keys[str(row["name"])], version)
               for row in rows if row["type"] != "Dup"}
    masters = {keys[str(row["name"])]: _master(row, objects) for row in rows if row["type"] == "Dup"}
    dropped = _correct(objects, corrections)
    claims = [c for c in _claims(rows, keys, objects, masters) if (c[2], c[0]) not in dropped]
    for alias in aliases:
        owner = _find(objects, masters, alias["target"], "aliases.csv")
        claim = _claim(alias["alias"], _IDENTIFIER, owner.canonical)
        if isinstance(claim[3], Designation):
            claims.append(claim)  # 3C 274 and Arp 220 are written in many ways
        else:
            owner.common.append(alias["alias"])

    made = Tables()
    for key, found in _owners(claims).items():
        standing = min(s for s, _ in found.values())
        for obj, (_, spelled) in found.items():
            galaxy = objects[obj]
            place = entries.place(spelled) if isinstance(spelled, Designation) else (0, key)
            made.name.append((*place, galaxy.id, galaxy.flags | (schema.REDIRECT if standing == _DUPLICATE else 0)))
            if galaxy.is_galaxy and key != obj:
                shown = key if isinstance(spelled, Designation) else spelled
                family = spelled.family if isinstance(spelled, Designation) else ""
                galaxy.cross_ids[shown] = (ORDER.get(family, len(ORDER)), place[0], shown)
    made.common = _common(objects)
    made.entry = [_stored(obj, types) for obj in objects.values()]
    galaxies = [obj for obj in objects.values() if obj.is_galaxy]
    made.counts = {"galaxies": len(galaxies), "without_velocity": sum(g.z_helio is None for g in galaxies),
                   "velocities": sum(g.z_helio is not None for g in galaxies), "entries": len(objects),
                   "names": len(made.name), "duplicates": len(masters)}
    return made


def _canonical(name: str) -> str:
    spelled = names.read(names.clean(name))
    if spelled is not None:
        return spelled.key
    match = _NAME.fullmatch(name)
    return f"{match[1]} {match[2].lstrip('0')}" if match else name


def _object(row: Row, canonical: str, version: str) -> _Object:
    is_galaxy = row["type"] in GALAXY_TYPES
    z = row["redshift"] if is_galaxy else None
    notes = [f"{who}: {row[column]}" for who, column in (("NED", "nednotes"), ("OpenNGC", "ongcnotes"))
             if row[column]]
    return _Object(int(str(row["id"])), row, canonical, is_galaxy, _degrees(row["ra"]), _degrees(row["dec"]),
                   None if z is None else float(str(z)), f"OpenNGC (pyongc {version}), column redshift; cz = c * z", None,
                   [n.strip() for n in str(row["commonnames"] or "").split(",") if n.strip()], notes)


def _master(row: Row, objects: dict[str, _Object]) -> str | None:
    for word, column in (("NGC", "ngc"), ("IC", "ic"), ("M", "messier")):
        for number in _numbers(row, column):
            if column == "messier":  # M 102 is M 101 seen twice; only the master knows its NGC number
                owner = next((k for k, o in objects.items() if o.row["messier"] == number), None)
            else:
                owner = _canonical(word + number)
            if owner in objects:
                return owner
    return None


def _numbers(row: Row, column: str) -> list[str]:
    return [n.strip() for n in str(row[column] or "").split(",") if n.strip()]


def _correct(objects: dict[str, _Object], corrections: list[dict[str, str]]) -> set[tuple[str, str]]:
    """Apply our corrections, each with a note; return the identifiers to leave out as (object, key)."""
    dropped = set()
    for fix in corrections:
        obj, value = _find(objects, {}, fix["name"], "corrections.csv"), fix["value"]
        why = f"{fix['reason']} ({fix['reference']})"
        match fix["field"]:
            case "add_common_name":
                obj.common.append(value)
                obj.notes.append(f"Corrected: common name {value} added: {why}")
            case "remove_common_name":
                obj.common.remove(value)
                obj.notes.append(f"Corrected: common name {value} removed: {why}")
            case "remove_identifier":
                dropped.add((obj.canonical, _claim(value, _IDENTIFIER, obj.canonical)[0]))
                obj.notes.append(f"Corrected: identifier {value} removed: {why}")
            case "z_helio":
                obj.notes.append(f"Corrected: z_helio {value} instead of {obj.z_helio}: {why}")
                obj.z_helio, obj.source, obj.reference = float(value), "correction of OpenNGC", fix["reference"]
            case "ra" | "dec":
                obj.notes.append(f"Corrected: {fix['field']} {value} instead of {getattr(obj, fix['field']):.5f} deg: {why}")
                setattr(obj, fix["field"], float(value))
            case "type":
                obj.notes.append(f"Corrected: type {value} instead of {obj.row['type']}: {why}")
                obj.row["type"], obj.is_galaxy = value, value in GALAXY_TYPES
            case "note":
                obj.notes.append(f"Note: {value}: {why}")
            case other:
                raise InternalError(f"corrections.csv names the unknown field {other!r:.80}; use z_helio, ra, dec, type, "
                                    "add_common_name, remove_common_name, remove_identifier or note")
    return dropped


def _find(objects: dict[str, _Object], masters: dict[str, str | None], name: str, table: str) -> _Object:
    key = _canonical(name)
    obj = objects.get(masters.get(key) or key)
    if obj is None:
        raise InternalError(f"{table} names {name!r:.80}, which is not in OpenNGC; correct or drop that line")
    return obj


Claim = tuple[str, int, str, "Designation | str"]


def _claims(rows: list[Row], keys: dict[str, str], objects: dict[str, _Object],
            masters: dict[str, str | None]) -> list[Claim]:
    """List who calls itself what: (key, standing, canonical name of the object, spelling)."""
    out: list[Claim] = []
    for row in rows:
        key = keys[str(row["name"])]
        if row["type"] == "Dup":
            owner = masters[key]
            if owner is not None:
                out.append(_claim(str(row["name"]), _DUPLICATE, owner))
            continue
        out.append(_claim(key, _OWN, key))
        out.extend(_claim(f"M {n}", _MESSIER, key) for n in _numbers(row, "messier"))
        out.extend(_claim(f"{word} {n}", _OTHER_NUMBER, key)
                   for word, column in (("NGC", "ngc"), ("IC", "ic")) for n in _numbers(row, column))
        for text in str(row["identifiers"] or "").split(","):
            for piece in _GLUED.split(text):
                if any(c.isdigit() for c in piece):  # three entries are a bare "HD"
                    out.append(_claim(piece.strip(), _IDENTIFIER, key))
    return out


def _claim(text: str, standing: int, owner: str) -> Claim:
    spelled = names.read(names.clean(text))
    if spelled is None:
        return names.plain_key(text) or text, standing, owner, text
    return spelled.key, standing, owner, spelled


def _owners(claims: list[Claim]) -> dict[str, dict[str, tuple[int, Designation | str]]]:
    """Give each key to the objects with the strongest claim; more than one owner means an ambiguous name."""
    by_key: dict[str, dict[str, tuple[int, Designation | str]]] = defaultdict(dict)
    for key, standing, owner, spelled in sorted(claims, key=lambda c: c[1]):
        found = by_key[key]
        if owner not in found and (not found or min(s for s, _ in found.values()) == standing):
            found[owner] = (standing, spelled)
    return by_key


def _common(objects: dict[str, _Object]) -> list[StoredRow]:
    by_fold: dict[str, dict[tuple[int, str], _Object]] = defaultdict(dict)
    for obj in objects.values():
        for shown in obj.common:
            by_fold[names.fold(shown).short][obj.id, shown] = obj
    out: list[StoredRow] = []
    for short, found in by_fold.items():
        # Where a galaxy and something else share a name, who asks us for flows means the galaxy.
        galaxies = {k: o for k, o in found.items() if o.is_galaxy}
        out.extend((short, names.fold(shown).full, shown, number, obj.flags)
                   for (number, shown), obj in (galaxies or found).items())
    return out


def _stored(obj: _Object, types: dict[str, str]) -> StoredRow:
    row = obj.row
    facts: dict[str, object] = {"object_type": types[str(row["type"])], "common_names": obj.common}
    if obj.is_galaxy:
        if obj.ra is None or obj.dec is None:
            raise InternalError(f"{obj.canonical} has no position in OpenNGC; the tables of pyongc changed")
        facts |= {
            "magnitudes": {"B": row["bmag"], "V": row["vmag"], "J": row["jmag"], "H": row["hmag"], "K": row["kmag"],
                           "surface_brightness": row["sbrightn"]},
            "morphology": row["hubble"] or None,
            "size_arcmin": {"major": row["majax"], "minor": row["minax"], "pa": row["pa"]},
            "cross_ids": sorted(obj.cross_ids, key=lambda k: obj.cross_ids[k]), "notes": obj.notes,
            "source": obj.source, "reference": obj.reference}
    number = schema.uid("openngc", obj.canonical)
    return (obj.id, number, number, 0, obj.id, obj.canonical, schema.GALAXY if obj.is_galaxy else schema.OTHER, obj.ra, obj.dec,
            None if obj.dec is None else schema.zone(obj.dec), obj.z_helio, None, obj.z_helio, 0, orjson.dumps(facts).decode())


def _degrees(radians: object) -> float | None:
    # 12 digits undo the rounding of OpenNGC's radians: 3.5e-9 arcsec
    return None if radians is None else round(math.degrees(float(str(radians))), 12)

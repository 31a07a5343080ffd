"""Facts that a table of the user's own can carry: by well-known names of columns, or by `--map`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cfcore.column_names import plain
from cfcore.column_units import Column, unit_in
from cfcore.errors import Ambiguous

from .facts import Distance, Magnitudes, Note, Rule, Size, Word
from .plan import Places

BANDS: tuple[str, ...] = ("U", "B", "V", "R", "I", "g", "r", "i", "J", "H", "K", "W1", "W2")
_WORDS = {"type": ("object_type", ("type", "objtype", "objecttype")),
          "morphology": ("morphology", ("morphology", "morph", "morphtype", "hubbletype", "ttype", "mtype")),
          "reference": ("reference", ("reference", "ref", "refcode", "bibcode"))}
_NOTES = ("notes", "note", "remarks", "remark", "comment", "comments")
# "a", "b" and "v" alone are too often axes, latitudes and velocities
_ALONE = frozenset(("J", "H", "K", "Ks", "W1", "W2"))
_DISTANCES = ("dist", "distance", "distmpc", "distancempc", "dmpc", "bestdist")
_MODULI = ("dm", "mu", "modulus", "distancemodulus", "distmod")
_SIZES = ("sizearcmin", "diameterarcmin", "majdiam", "majax", "dmaj")
_PER_ARCMIN = {"arcmin": 1.0, "arcsec": 1.0 / 60.0, "deg": 60.0}


def mapped_facts(columns: tuple[Column, ...], mapping: Mapping[str, str], *, taken: set[str]) -> tuple[Rule, ...]:
    """Return the rules for facts of a table.

    Parameters
    ----------
    columns : tuple of Column
    mapping : mapping
        What the user says.
    taken : set of str
        Columns that are something else already.

    Raises
    ------
    Ambiguous
        When two columns fit a quantity.
    """
    rules: list[Rule] = []
    for key, (word, forms) in _WORDS.items():
        column = mapping.get(key) or _one(columns, forms, key, taken)
        if column:
            rules.append(Word(word, column))
    notes = mapping.get("notes") or _one(columns, _NOTES, "notes", taken)
    if notes:
        rules.append(Note("{}", notes))
    bands = {}
    for band in BANDS:
        column = mapping.get(f"mag_{band}") or _one(columns, _forms(band), f"mag_{band}", taken) or _bare(columns, band, taken)
        if column:
            bands[band] = column
    bands |= {key.removeprefix("mag_"): column for key, column in mapping.items() if key.startswith("mag_")}
    if bands:
        rules.append(Magnitudes(bands))
    rules += _sizes(columns, mapping, taken) + _distances(columns, mapping, taken)
    return tuple(rules)


def _one(columns: tuple[Column, ...], forms: Iterable[str], key: str, taken: set[str]) -> str | None:
    found = [c.name for c in columns if plain(c.name) in forms and c.name not in taken]
    if len(found) > 1:
        ways = [f"--map {key}={name}" for name in found]
        raise Ambiguous(f"more than one column could be {key}; choose one by adding\n  " + "\n  ".join(ways),
                        code="ambiguous_column", where=f"map.{key}", extra={"candidates": ways})
    return found[0] if found else None


def _forms(band: str) -> tuple[str, ...]:
    b = band.lower()
    # U and u, R and r are other bands of other systems; a name without case says the capital one only for the first
    if band in ("g", "r", "i"):
        return ()
    return (f"{b}mag", f"mag{b}", f"{b}tmag", f"{b}smag" if b == "k" else f"{b}mag")


def _bare(columns: tuple[Column, ...], band: str, taken: set[str]) -> str | None:
    own = {band, "Ks"} if band == "K" else {band}
    return next((c.name for c in columns if c.name in own & _ALONE and c.name not in taken), None)


def _sizes(columns: tuple[Column, ...], mapping: Mapping[str, str], taken: set[str]) -> list[Rule]:
    major = mapping.get("size") or _one(columns, _SIZES, "size", taken)
    if not major:
        return []
    found = Places(columns)(major)
    column = columns[0 if found is None else found]
    unit = column.unit.strip().lower() or unit_in(column.name)
    return [Size(major, minor=mapping.get("size_minor"), factor=_PER_ARCMIN.get(unit, 1.0))]


def _distances(columns: tuple[Column, ...], mapping: Mapping[str, str], taken: set[str]) -> list[Rule]:
    rules: list[Rule] = []
    for key, forms, is_modulus in (("distance", _DISTANCES, False), ("modulus", _MODULI, True)):
        column = mapping.get(key) or _one(columns, forms, key, taken)
        if column:
            base = plain(column)
            error = mapping.get(f"{key}_error") or _one(columns, (f"e{base}", f"{base}err", f"{base}error", f"err{base}",
                                                                  f"sigma{base}"), f"{key}_error", taken)
            rules.append(Distance("as catalogued", column, error, is_modulus=is_modulus))
    return rules

"""A column of a table, and the unit of its values: from the header where the format has one, else from its name in brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from .column_names import BRACKET
from .errors import BadParameter


class Column(NamedTuple):
    """Name a column of a table, with its unit, description and UCD where the format holds them."""

    name: str
    unit: str = ""
    description: str = ""
    ucd: str = ""


ANGLES: dict[str, float] = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / np.pi, "radian": 180.0 / np.pi,
                            "radians": 180.0 / np.pi, "hourangle": 15.0, "15deg": 15.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
SPEEDS: dict[str, float] = {"km/s": 1.0, "kms-1": 1.0, "kms^-1": 1.0, "km/sec": 1.0, "m/s": 1e-3, "ms-1": 1e-3,
                            "ms^-1": 1e-3}
LENGTHS: dict[str, float] = {"mpc": 1.0, "kpc": 1e-3, "pc": 1e-6}
OTHER_UNITS = frozenset(["mag", "dex", "jy", "erg", "yr", "myr", "gyr", "solmass", "msun", "arcsec2"])
SEXAGESIMAL = frozenset(("h:m:s", "d:m:s", "hms", "dms", "hh:mm:ss", "dd:mm:ss"))
NO_UNIT = frozenset(("", "-", "--", "1", "none", "redshift", "dimensionless"))
_UNIT_OF = {"angle": (ANGLES, "an angle (deg, rad, hourangle)"), "cz": (SPEEDS, "a velocity (km/s, m/s)"),
            "distance": (LENGTHS, "a distance (Mpc, kpc, pc)")}
"""What a quantity may be given in: unit -> factor to house units, and how a refusal says it."""


def unit_in(name: str) -> str:
    """Return the unit that a column name carries in brackets, such as ``"cz [km/s]"``; empty when it is none."""
    found = BRACKET.search(name.strip())
    text = _unit_key(found[1]) if found else ""
    return text if any(text in table for table in (ANGLES, SPEEDS, LENGTHS, OTHER_UNITS)) else ""


def told_unit(column: Column) -> str:
    """Return the unit of an angle, velocity or distance column as a header must tell it; empty when it is the house's.

    The name of a column is all that text holds: without ``[hourangle]`` there, a right ascension would be read as degrees.
    """
    key = _unit_key(column.unit)
    scale = next((table[key] for table, _ in _UNIT_OF.values() if key in table), 1.0)
    if scale == 1.0 or unit_in(column.name) == key:
        return ""
    # the standard of VOTable has no hours: astropy writes 15deg, which nobody else would understand
    return "hourangle" if key == "15deg" else column.unit.strip()


def factor(column: Column, what: str) -> float:
    """Return the factor to house units of an ``angle``, a velocity (``cz``) or a ``distance``.

    Raises
    ------
    BadParameter
        Code ``wrong_unit``.
    """
    table, words = _UNIT_OF[what]
    unit = unit_of(column)
    if unit in NO_UNIT:
        return 1.0
    if unit not in table:
        raise BadParameter(f"column {column.name!r:.80} has the unit {shown_unit(column)!r:.40}, which is not {words}; choose "
                           "another column or mend the unit", code="wrong_unit", where=column.name)
    return table[unit]


def unit_of(column: Column) -> str:
    """Return the unit of a column as it is compared: no case, no blanks, dots, stars or quotes."""
    return _unit_key(column.unit) if column.unit else unit_in(column.name)


def shown_unit(column: Column) -> str:
    """Return the unit as its author wrote it."""
    found = BRACKET.search(column.name.strip())
    return column.unit.strip() or (found[1].strip() if found else "")


def _unit_key(text: str) -> str:
    return re.sub(r"[\s.*'\"]+", "", text.strip().lower())

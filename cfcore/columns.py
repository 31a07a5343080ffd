"""Which column of a table is what: chosen by its name only when exactly one fits, else by the user.

A table with several velocities is never read by guess: the refusal lists each candidate, the frame its name implies
and the option that chooses it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .column_names import BRACKET, ERROR_FORMS, NOT_OBSERVED, PAIRS, VELOCITIES, plain
from .cosmology import C_KMS
from .errors import Ambiguous, BadParameter, UnknownName
from .frames import sky_frame, velocity_frame

F64 = NDArray[np.float64]

CZ_UNITS: dict[str, float] = {"km/s": 1.0, "m/s": 1e-3, "z": C_KMS}
"""What a velocity column may be said to hold, and the factor to km/s."""
LOOKS_LIKE_Z, LOOKS_LIKE_CZ = 10.0, 10.0
"""Velocities (km/s) below the first look like redshifts, redshifts above the second like velocities."""


class Column(NamedTuple):
    """Name a column of a table, with its unit and description where the format holds them."""

    name: str
    unit: str = ""
    description: str = ""


@dataclass(frozen=True)
class Chosen:
    """Say where a quantity stands and the factor to house units (deg, km/s, Mpc)."""

    index: int
    name: str
    factor: float = 1.0
    kind: str = ""


@dataclass(frozen=True)
class Choice:
    """Hold the columns of a question: position, value (cz or distance), its error, and the frames."""

    lon: Chosen
    lat: Chosen
    value: Chosen
    sigma: Chosen | None
    frame: str
    cz_frame: str
    implied: bool
    """Whether a name or an option said the velocity frame; else it is the default."""


@dataclass(frozen=True)
class Asked:
    """Hold what the user said about columns; None leaves the choice to the names."""

    lon: str | None = None
    lat: str | None = None
    cz: str | None = None
    z: str | None = None
    sigma_cz: str | None = None
    distance: str | None = None
    frame: str | None = None
    cz_frame: str | None = None
    cz_unit: str | None = None
    no_sigma: bool = False


_FAMILY = {"hel": "heliocentric", "cmb": "CMB frame", "lg": "Local Group", "ls": "Local Sheet",
           "gsr": "galactic standard of rest"}
_DISTANCES = frozenset(("distance", "dist", "distmpc", "distancempc", "dmpc", "dc", "dcmpc", "dcom", "dcomoving",
                        "comovingdistance"))
_LUMINOSITY = frozenset(["dl", "dlmpc", "dlum", "luminositydistance", "lumdist"])

_ANGLE = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180.0 / np.pi, "radian": 180.0 / np.pi,
          "radians": 180.0 / np.pi, "hourangle": 15.0, "15deg": 15.0, "arcmin": 1 / 60, "arcsec": 1 / 3600}
_SPEED = {"km/s": 1.0, "kms-1": 1.0, "kms^-1": 1.0, "km/sec": 1.0, "m/s": 1e-3, "ms-1": 1e-3, "ms^-1": 1e-3}
_LENGTH = {"mpc": 1.0, "kpc": 1e-3, "pc": 1e-6}
_OTHER = frozenset(["mag", "dex", "jy", "erg", "yr", "myr", "gyr", "solmass", "msun", "arcsec2"])
_NO_UNIT = frozenset(("", "-", "--", "1", "none", "redshift", "dimensionless"))
_UNIT_OF = {"angle": (_ANGLE, "an angle (deg, rad, hourangle)"), "cz": (_SPEED, "a velocity (km/s, m/s)"),
            "distance": (_LENGTH, "a distance (Mpc, kpc, pc)")}


def unit_in(name: str) -> str:
    """Return the unit that a column name carries in brackets, such as ``"cz [km/s]"``; empty when it is none."""
    found = BRACKET.search(name.strip())
    text = _unit_key(found[1]) if found else ""
    return text if any(text in table for table in (_ANGLE, _SPEED, _LENGTH, _OTHER)) else ""


def told_unit(column: Column) -> str:
    """Return the unit of an angle, velocity or distance column as a header must tell it; empty when it is the house's.

    The name of a column is all that text holds: without ``[hourangle]`` there, a right ascension would be read as degrees.
    """
    key = _unit_key(column.unit)
    factor = next((table[key] for table, _ in _UNIT_OF.values() if key in table), 1.0)
    if factor == 1.0 or unit_in(column.name) == key:
        return ""
    # the standard of VOTable has no hours: astropy writes 15deg, which nobody else would understand
    return "hourangle" if key == "15deg" else column.unit.strip()


def choose(columns: Sequence[Column], asked: Asked, question: str) -> Choice:
    """Choose the columns that a question needs.

    Parameters
    ----------
    columns : sequence of Column
        Of the table, in order.
    asked : Asked
    question : {"distance", "velocity"}
        A distance needs a velocity column, a velocity a distance column.

    Raises
    ------
    UnknownName
        When a column that was asked for is not there.
    Ambiguous
        When several columns fit; the message lists them with the options that choose.
    BadParameter
        When none fits, a unit is wrong, or a frame contradicts a name.
    """
    lon, lat, frame = _position(columns, asked)
    if question == "velocity":
        return Choice(lon, lat, _distance(columns, asked), None, frame, "hel", False)
    value, implied = _velocity(columns, asked)
    given = None if asked.cz_frame is None else velocity_frame(asked.cz_frame).key
    if given and implied and given.partition("_")[0] != implied:
        raise BadParameter(f"column {value.name!r:.80} is {_FAMILY[implied]} by its name, --cz-frame says {given}; leave "
                           "--cz-frame out, choose another column, or rename this one", code="frame_contradicts",
                           where="cz_frame")
    return Choice(lon, lat, value, _sigma(columns, asked, value), frame, given or implied or "hel",
                  bool(given or implied))


def check_velocities(values: F64, value: Chosen) -> None:
    """Refuse a column whose values cannot be what it was taken for; `values` are in km/s already.

    Raises
    ------
    BadParameter
        Code ``cz_looks_like_z`` or ``z_looks_like_cz``; half of the values decide, so marks for missing values do not.
    """
    size = np.abs(values[np.isfinite(values) & (values != 0.0)])
    if not size.size or value.kind == "stated":
        return
    middle = float(np.median(size))
    if value.kind == "cz" and middle < LOOKS_LIKE_Z:
        raise BadParameter(f"column {value.name!r:.80} has values about {middle:.3g} km/s, which look like redshifts; add "
                           f"--z-column {_quoted(value.name)} if they are, or --cz-unit km/s if they are velocities",
                           code="cz_looks_like_z", where=value.name)
    if value.kind == "z" and middle / C_KMS > LOOKS_LIKE_CZ:
        raise BadParameter(f"column {value.name!r:.80} has values about {middle / C_KMS:.4g}, which are no redshifts; add "
                           f"--cz-column {_quoted(value.name)} --cz-unit km/s if they are velocities, or choose another "
                           "column", code="z_looks_like_cz", where=value.name)


def find(columns: Sequence[Column], name: str, option: str) -> int:
    """Return the place of the column of a name, or of a number such as ``#2``.

    Raises
    ------
    UnknownName, Ambiguous
        When no column, or more than one, is called so.
    """
    for same in (lambda c: c == name, lambda c: c.strip().lower() == name.strip().lower()):
        places = [i for i, c in enumerate(columns) if same(c.name)]
        if len(places) == 1:
            return places[0]
        if places:
            numbers = " or ".join(f"{option} '#{i + 1}'" for i in places)
            raise Ambiguous(f"{len(places)} columns are called {name!r:.80}; rename one, or choose by number: {numbers}",
                            code="ambiguous_column", where=option)
    if re.fullmatch(r"#[1-9][0-9]{0,3}", name) and int(name[1:]) <= len(columns):
        return int(name[1:]) - 1
    raise UnknownName(f"{option} {name!r:.80}: the table has no such column; it has {_listed(columns)}",
                      code="unknown_column", where=option)


def _position(columns: Sequence[Column], asked: Asked) -> tuple[Chosen, Chosen, str]:
    wanted = None if asked.frame is None else sky_frame(asked.frame)
    if asked.lon is not None or asked.lat is not None:
        if asked.lon is None or asked.lat is None:
            raise BadParameter("--ra-column and --dec-column belong together (--lon-column and --lat-column are the same "
                               "options); give both", code="missing_parameter", where="lon")
        places = find(columns, asked.lon, "--lon-column"), find(columns, asked.lat, "--lat-column")
        implied = {f for f, *names in PAIRS for i, side in zip(places, names) if f and plain(columns[i].name) in side}
        if len(implied) > 1 or (wanted and implied and implied != {wanted}):
            raise BadParameter(f"columns {columns[places[0]].name!r:.80} and {columns[places[1]].name!r:.80} are "
                               f"{' and '.join(sorted(implied))} by their names"
                               + (f", --frame says {wanted}" if wanted else "") + "; choose columns of one frame",
                               code="frame_contradicts", where="frame")
        return _angle(columns, places[0]), _angle(columns, places[1]), wanted or (implied or {"icrs"}).pop()
    found: list[tuple[str | None, list[int], list[int]]] = []
    for frame, lons, lats in PAIRS:
        a, b = ([i for i, c in enumerate(columns) if plain(c.name) in side] for side in (lons, lats))
        if a and b and (wanted is None or frame in (None, wanted)):
            found.append((frame, a, b))
    if not found:
        of = f" in the frame {wanted}" if wanted else ""
        raise BadParameter(f"no columns are known as a position{of} by their names; add --ra-column NAME --dec-column NAME "
                           f"(or --lon-column, --lat-column and --frame); the table has {_listed(columns)}",
                           code="no_position", where="lon")
    if len(found) > 1 or len(found[0][1]) > 1 or len(found[0][2]) > 1:
        ways = [f"--lon-column {_way(columns, i)} --lat-column {_way(columns, j)}" + (f" --frame {frame}" if frame else "")
                for frame, a, b in found for i in a for j in b]
        raise Ambiguous("more than one pair of columns could be the position; choose one by adding\n  "
                        + "\n  ".join(ways[:12]), code="ambiguous_column", where="lon", extra={"candidates": ways})
    frame, (i,), (j,) = found[0]
    return _angle(columns, i), _angle(columns, j), frame or wanted or "icrs"


def _velocity(columns: Sequence[Column], asked: Asked) -> tuple[Chosen, str | None]:
    if asked.cz is not None and asked.z is not None:
        raise BadParameter("--cz-column and --z-column are both given; give one of them", code="two_velocities",
                           where="z_column")
    if asked.cz is not None or asked.z is not None:
        kind, option = ("cz", "--cz-column") if asked.z is None else ("z", "--z-column")
        i = find(columns, str(asked.cz if asked.z is None else asked.z), option)
        by_name, implied = VELOCITIES.get(plain(columns[i].name), (kind, None))
        _refuse_corrected(columns[i].name)
        if by_name != kind and implied and asked.cz_unit is None:
            raise BadParameter(f"column {columns[i].name!r:.80} is {_word(by_name)} by its name; choose it with "
                               f"--{by_name}-column, or say what it holds with --cz-unit", code="unit_contradicts",
                               where=option)
        return _with_unit(columns, i, kind, asked.cz_unit), implied
    fits = [(i, *VELOCITIES[plain(c.name)]) for i, c in enumerate(columns) if plain(c.name) in VELOCITIES]
    corrected = [c.name for c in columns if plain(c.name) in NOT_OBSERVED]
    aside = f"\n  ({', '.join(corrected[:3])}: corrected for peculiar velocity, not observed)" if corrected else ""
    if not fits:
        raise BadParameter("no column is known as an observed velocity or redshift by its name; add --cz-column NAME (km/s) "
                           f"or --z-column NAME; the table has {_listed(columns)}{aside}", code="no_velocity", where="cz")
    if len(fits) > 1:
        ways = [f"--{kind}-column {_way(columns, i)}   ({_word(kind)}, {_FAMILY.get(f or '', 'frame not named')})"
                for i, kind, f in fits]
        raise Ambiguous(f"{len(fits)} columns could be the observed velocity; choose one by adding\n  "
                        + "\n  ".join(ways[:12]) + aside, code="ambiguous_column", where="cz", extra={"candidates": ways})
    i, kind, implied = fits[0]
    return _with_unit(columns, i, kind, asked.cz_unit), implied


def _with_unit(columns: Sequence[Column], i: int, kind: str, stated: str | None) -> Chosen:
    """Return a velocity column with its factor: what the user stated, else the unit of the column, else its kind."""
    name, unit = columns[i].name, _unit(columns[i])
    if stated is not None:
        return Chosen(i, name, CZ_UNITS[stated], "stated")
    if kind == "z" and unit in _SPEED:
        raise BadParameter(f"column {name!r:.80} has the unit {unit}, a velocity, but its name or --z-column says "
                           f"redshift; add --cz-column {_quoted(name)} --cz-unit {unit if unit in CZ_UNITS else 'km/s'} or "
                           "--cz-unit z", code="unit_contradicts", where=name)
    if kind == "z":
        if unit not in _NO_UNIT:
            raise BadParameter(f"column {name!r:.80} has the unit {_shown_unit(columns[i])}; a redshift has none; choose another "
                               "column, or say what it holds with --cz-unit", code="wrong_unit", where=name)
        return Chosen(i, name, C_KMS, "z")
    return Chosen(i, name, _factor(columns[i], "cz"), "cz")


def _sigma(columns: Sequence[Column], asked: Asked, value: Chosen) -> Chosen | None:
    if asked.sigma_cz is not None:
        i = find(columns, asked.sigma_cz, "--sigma-cz-column")
    elif asked.no_sigma:
        return None
    else:
        base = plain(value.name)
        own = {form.format(base) for form in ERROR_FORMS}
        own |= {"sigmacz", "czerr", "ecz"} if value.kind != "z" else {"sigmacz"}
        fits = [i for i, c in enumerate(columns) if plain(c.name) in own and i != value.index]
        if not fits:
            return None
        if len(fits) > 1:
            ways = [f"--sigma-cz-column {_way(columns, i)}" for i in fits]
            raise Ambiguous(f"{len(fits)} columns could be the error of the velocity; choose one by adding\n  "
                            + "\n  ".join(ways[:12]) + "\n  --sigma-cz 0   (none of them)", code="ambiguous_column",
                            where="sigma_cz", extra={"candidates": ways})
        i = fits[0]
    key, unit = plain(columns[i].name), _unit(columns[i])
    if unit in _SPEED or (unit in _NO_UNIT and ("cz" in key or value.kind == "cz")):
        return Chosen(i, columns[i].name, _factor(columns[i], "cz"), "sigma")
    if unit in _NO_UNIT:
        return Chosen(i, columns[i].name, value.factor, "sigma")
    raise BadParameter(f"column {columns[i].name!r:.80} has the unit {_shown_unit(columns[i])}, which is no error of a "
                       "velocity; choose another with --sigma-cz-column, or --sigma-cz 0 for none", code="wrong_unit",
                       where="sigma_cz")


def _distance(columns: Sequence[Column], asked: Asked) -> Chosen:
    if asked.distance is not None:
        i = find(columns, asked.distance, "--distance-column")
    else:
        fits = [i for i, c in enumerate(columns) if plain(c.name) in _DISTANCES]
        if not fits:
            raise BadParameter("no column is known as a comoving distance by its name; add --distance-column NAME (Mpc); "
                               f"the table has {_listed(columns)}", code="no_distance", where="distance")
        if len(fits) > 1:
            ways = [f"--distance-column {_way(columns, i)}" for i in fits]
            raise Ambiguous(f"{len(fits)} columns could be the distance; choose one by adding\n  " + "\n  ".join(ways[:12]),
                            code="ambiguous_column", where="distance", extra={"candidates": ways})
        i = fits[0]
    if plain(columns[i].name) in _LUMINOSITY:
        raise BadParameter(f"column {columns[i].name!r:.80} is a luminosity distance by its name; the flow is asked at a "
                           "comoving distance, D_L / (1 + z): add that as a column", code="wrong_distance",
                           where="distance")
    return Chosen(i, columns[i].name, _factor(columns[i], "distance"), "distance")


def _angle(columns: Sequence[Column], i: int) -> Chosen:
    return Chosen(i, columns[i].name, _factor(columns[i], "angle"), "angle")


def _factor(column: Column, what: str) -> float:
    table, words = _UNIT_OF[what]
    unit = _unit(column)
    if unit in _NO_UNIT:
        return 1.0
    if unit not in table:
        raise BadParameter(f"column {column.name!r:.80} has the unit {_shown_unit(column)!r:.40}, which is not {words}; choose "
                           "another column or mend the unit", code="wrong_unit", where=column.name)
    return table[unit]


def _refuse_corrected(name: str) -> None:
    if plain(name) in NOT_OBSERVED:
        raise BadParameter(f"column {name!r:.80} is corrected for peculiar velocity by its name and was not observed; choose "
                           "the heliocentric or CMB one, or rename it if it was", code="not_observed", where=name)


def _unit(column: Column) -> str:
    return _unit_key(column.unit) if column.unit else unit_in(column.name)


def _shown_unit(column: Column) -> str:
    """Return the unit as its author wrote it."""
    found = BRACKET.search(column.name.strip())
    return column.unit.strip() or (found[1].strip() if found else "")


def _unit_key(text: str) -> str:
    return re.sub(r"[\s.*]+", "", text.strip().lower())


def _word(kind: str) -> str:
    return "a redshift" if kind == "z" else "c z in km/s"


def _way(columns: Sequence[Column], i: int) -> str:
    """Return how a column is named on the command line: by number when the name occurs twice."""
    name = columns[i].name
    return _quoted(name) if sum(c.name.lower() == name.lower() for c in columns) == 1 else f"'#{i + 1}'"


def _quoted(name: str) -> str:
    if re.fullmatch(r"[\w.+-]+", name):
        return name
    return "'" + name.replace("'", "'\\''") + "'"


def _listed(columns: Sequence[Column]) -> str:
    names = [c.name for c in columns]
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")

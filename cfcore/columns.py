"""Which column of a table is what: chosen by its UCD or its name only when exactly one fits, else by the user.

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

from .column_names import ERROR_FORMS, NOT_OBSERVED, PAIRS, VELOCITIES, plain
from .column_units import NO_UNIT, OTHER_UNITS, SEXAGESIMAL, SPEEDS, Column, factor, shown_unit, unit_of
from .cosmology import C_KMS
from .errors import Ambiguous, BadParameter, UnknownName
from .frames import sky_frame, velocity_frame
from .ucds import Meaning, meaning

F64 = NDArray[np.float64]

CZ_UNITS: dict[str, float] = {"km/s": 1.0, "m/s": 1e-3, "z": C_KMS}
"""What a velocity column may be said to hold, and the factor to km/s."""
LOOKS_LIKE_Z, LOOKS_LIKE_CZ = 10.0, 10.0
"""Velocities (km/s) below the first look like redshifts, redshifts above the second like velocities."""


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
        by, implied = "names", {f for f, *both in PAIRS for i, side in zip(places, both) if f and plain(columns[i].name) in side}
        if not implied:
            by, implied = "UCDs", {said.frame for i in places if (said := meaning(columns[i].ucd)) and said.frame
                                   and said.what in ("lon", "lat")}
        if len(implied) > 1 or (wanted and implied and implied != {wanted}):
            raise BadParameter(f"columns {columns[places[0]].name!r:.80} and {columns[places[1]].name!r:.80} are "
                               f"{' and '.join(sorted(implied))} by their {by}"
                               + (f", --frame says {wanted}" if wanted else "") + "; choose columns of one frame",
                               code="frame_contradicts", where="frame")
        return _angle(columns, places[0]), _angle(columns, places[1]), wanted or (implied or {"icrs"}).pop()
    found = _pairs(columns, wanted)
    if not found:
        of = f" in the frame {wanted}" if wanted else ""
        raise BadParameter(f"no columns are known as a position{of} by their names or UCDs; add --ra-column NAME --dec-column "
                           f"NAME (or --lon-column, --lat-column and --frame); the table has {_listed(columns)}",
                           code="no_position", where="lon")
    if len(found) > 1 or len(found[0][1]) > 1 or len(found[0][2]) > 1:
        ways = [Candidate(f"{columns[i].name}, {columns[j].name}", "position", frame, f"--lon-column {_way(columns, i)} "
                          f"--lat-column {_way(columns, j)}" + (f" --frame {frame}" if frame else ""))
                for frame, a, b in found for i in a for j in b]
        raise _ambiguous("more than one pair of columns could be the position", ways, "lon")
    frame, (i,), (j,) = found[0]
    return _angle(columns, i), _angle(columns, j), frame or wanted or "icrs"


def _pairs(columns: Sequence[Column], wanted: str | None) -> list[tuple[str | None, list[int], list[int]]]:
    """Return frame, longitudes and latitudes of each frame that has both; of several, the main ones by their UCD."""
    sides: dict[tuple[str | None, str], list[int]] = {}
    for i, column in enumerate(columns):
        said = meaning(column.ucd)
        by_name = next(((f, side) for f, *names in PAIRS for side, known in zip(("lon", "lat"), names)
                        if plain(column.name) in known), None)
        place = by_name
        if said is not None:
            # positions for the equinox of 1950 have the same UCD
            place = (said.frame, said.what) if said.what in ("lon", "lat") and "1950" not in column.name else None
            if place and by_name and by_name[0] and by_name != place and wanted in (None, place[0], by_name[0]):
                raise BadParameter(f"column {column.name!r:.80} is {by_name[0]} {by_name[1]} by its name and {place[0]} "
                                   f"{place[1]} by its UCD {column.ucd!r:.80}; choose with --lon-column and --lat-column",
                                   code="ucd_contradicts", where="lon")
        if place and (wanted is None or place[0] in (None, wanted)):
            sides.setdefault(place, []).append(i)

    every = _complete([(f, sides.get((f, "lon"), []), sides.get((f, "lat"), [])) for f, *_ in PAIRS])
    for keep in (lambda i: unit_of(columns[i]) not in SEXAGESIMAL, lambda i: _is_main(columns[i])):
        if sum(len(a) * len(b) for _, a, b in every) > 1:
            every = _complete([(f, [i for i in a if keep(i)], [i for i in b if keep(i)]) for f, a, b in every]) or every
    return every


def _complete(pairs: list[tuple[str | None, list[int], list[int]]]) -> list[tuple[str | None, list[int], list[int]]]:
    return [(frame, a, b) for frame, a, b in pairs if a and b]


def _is_main(column: Column) -> bool:
    said = meaning(column.ucd)
    return said is not None and said.is_main


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
        said = meaning(columns[i].ucd)
        return _with_unit(columns, i, kind, asked.cz_unit), implied or (said.frame if said and said.what in ("cz", "z") else None)
    fits = _velocities(columns)
    corrected = [c.name for c in columns if plain(c.name) in NOT_OBSERVED]
    listed = ", ".join(f"{name:.80}" for name in corrected[:3])
    aside = f"\n  ({listed}: corrected for peculiar velocity, not observed)" if corrected else ""
    if not fits:
        raise BadParameter("no column is known as an observed velocity or redshift by its name or UCD; add --cz-column NAME "
                           f"(km/s) or --z-column NAME; the table has {_listed(columns)}{aside}", code="no_velocity", where="cz")
    if len(fits) > 1:
        raise _ambiguous(f"{len(fits)} columns could be the observed velocity", [
            Candidate(columns[i].name, kind, f, f"--{kind}-column {_way(columns, i)}") for i, kind, f in fits], "cz", aside)
    i, kind, implied = fits[0]
    _check_ucd(columns[i], kind, implied, asked)
    return _with_unit(columns, i, kind, asked.cz_unit), implied


def _velocities(columns: Sequence[Column]) -> list[tuple[int, str, str | None]]:
    """Return place, kind and rest frame of each column that is an observed velocity; of several, the main ones by their UCD."""
    fits = []
    for i, column in enumerate(columns):
        said, key = meaning(column.ucd), plain(column.name)
        if said is None:
            if key in VELOCITIES:
                fits.append((i, *VELOCITIES[key]))
        elif said.what in ("cz", "z") and key not in NOT_OBSERVED:
            # catalogues call c z a redshift: the unit decides
            kind = "cz" if unit_of(column) in SPEEDS else said.what
            fits.append((i, kind, VELOCITIES.get(key, (kind, None))[1] or said.frame))
    return [f for f in fits if _is_main(columns[f[0]])] or fits if len(fits) > 1 else fits


def _check_ucd(column: Column, kind: str, implied: str | None, asked: Asked) -> None:
    """Refuse a column whose name says another thing than its UCD, when neither its unit nor the user says which is right."""
    said, known = meaning(column.ucd), VELOCITIES.get(plain(column.name))
    if said is None or known is None:
        return
    if known[0] != kind and asked.cz_unit is None and unit_of(column) not in SPEEDS:
        raise BadParameter(f"column {column.name!r:.80} is {_word(known[0])} by its name and {_word(kind)} by its UCD "
                           f"{column.ucd!r:.80}; say which with --cz-column {_quoted(column.name)} or --z-column "
                           f"{_quoted(column.name)}", code="ucd_contradicts", where="cz")
    if said.frame and known[1] and said.frame != known[1]:
        raise BadParameter(f"column {column.name!r:.80} is {_FAMILY[known[1]]} by its name and {_FAMILY[said.frame]} by its UCD "
                           f"{column.ucd!r:.80}; rename the column or mend its UCD", code="ucd_contradicts", where="cz_frame")


def _with_unit(columns: Sequence[Column], i: int, kind: str, stated: str | None) -> Chosen:
    """Return a velocity column with its factor: what the user stated, else the unit of the column, else its kind."""
    name, unit = columns[i].name, unit_of(columns[i])
    if stated is not None:
        return Chosen(i, name, CZ_UNITS[stated], "stated")
    if kind == "z" and unit in SPEEDS:
        raise BadParameter(f"column {name!r:.80} has the unit {unit}, a velocity, but its name or --z-column says "
                           f"redshift; add --cz-column {_quoted(name)} --cz-unit {unit if unit in CZ_UNITS else 'km/s'} or "
                           "--cz-unit z", code="unit_contradicts", where=name)
    if kind == "z":
        if unit not in NO_UNIT:
            raise BadParameter(f"column {name!r:.80} has the unit {shown_unit(columns[i])}; a redshift has none; choose another "
                               "column, or say what it holds with --cz-unit", code="wrong_unit", where=name)
        return Chosen(i, name, C_KMS, "z")
    return Chosen(i, name, factor(columns[i], "cz"), "cz")


_ANY_ERROR = Meaning("error of any")


def _sigma(columns: Sequence[Column], asked: Asked, value: Chosen) -> Chosen | None:
    if asked.sigma_cz is not None:
        i = find(columns, asked.sigma_cz, "--sigma-cz-column")
    elif asked.no_sigma:
        return None
    else:
        base = plain(value.name)
        own = {form.format(base) for form in ERROR_FORMS}
        own |= {"sigmacz", "czerr", "ecz"} if value.kind != "z" else {"sigmacz"}
        fits = [i for i, c in enumerate(columns) if plain(c.name) in own and i != value.index
                and (meaning(c.ucd) or _ANY_ERROR).what.startswith("error of")]
        kind = "z" if value.kind == "z" else "cz"
        if not fits and sum(k == kind for _, k, _ in _velocities(columns)) == 1:
            fits = [i for i, c in enumerate(columns) if (said := meaning(c.ucd)) and said.what == f"error of {kind}"]
        if not fits:
            return None
        if len(fits) > 1:
            raise _ambiguous(f"{len(fits)} columns could be the error of the velocity", [
                Candidate(columns[i].name, "sigma_cz", None, f"--sigma-cz-column {_way(columns, i)}") for i in fits], "sigma_cz",
                "\n  --sigma-cz 0   (none of them)")
        i = fits[0]
    key, unit = plain(columns[i].name), unit_of(columns[i])
    if unit in SPEEDS or (unit in NO_UNIT and ("cz" in key or value.kind == "cz")):
        return Chosen(i, columns[i].name, factor(columns[i], "cz"), "sigma")
    if unit in NO_UNIT:
        return Chosen(i, columns[i].name, value.factor, "sigma")
    raise BadParameter(f"column {columns[i].name!r:.80} has the unit {shown_unit(columns[i])}, which is no error of a "
                       "velocity; choose another with --sigma-cz-column, or --sigma-cz 0 for none", code="wrong_unit",
                       where="sigma_cz")


def _distance(columns: Sequence[Column], asked: Asked) -> Chosen:
    if asked.distance is not None:
        i = find(columns, asked.distance, "--distance-column")
    else:
        fits = []
        for i, column in enumerate(columns):
            said = meaning(column.ucd)
            is_by_ucd = said is not None and said.what == "distance"
            if (said is None and plain(column.name) in _DISTANCES) or (
                    is_by_ucd and plain(column.name) not in _LUMINOSITY and unit_of(column) not in OTHER_UNITS):
                fits.append(i)
        fits = [i for i in fits if _is_main(columns[i])] or fits if len(fits) > 1 else fits
        if not fits:
            raise BadParameter("no column is known as a comoving distance by its name or UCD; add --distance-column NAME (Mpc); "
                               f"the table has {_listed(columns)}", code="no_distance", where="distance")
        if len(fits) > 1:
            raise _ambiguous(f"{len(fits)} columns could be the distance", [
                Candidate(columns[i].name, "distance", None, f"--distance-column {_way(columns, i)}") for i in fits], "distance")
        i = fits[0]
    if plain(columns[i].name) in _LUMINOSITY:
        raise BadParameter(f"column {columns[i].name!r:.80} is a luminosity distance by its name; the flow is asked at a "
                           "comoving distance, D_L / (1 + z): add that as a column", code="wrong_distance",
                           where="distance")
    return Chosen(i, columns[i].name, factor(columns[i], "distance"), "distance")


class Candidate(NamedTuple):
    """Say what a column could be, in which frame, and the options that choose it."""

    column: str
    kind: str
    frame: str | None
    way: str


def _ambiguous(what: str, candidates: Sequence[Candidate], where: str, aside: str = "") -> Ambiguous:
    shown = [c.way + (f"   ({_word(c.kind)}, {_FAMILY.get(c.frame or '', 'frame not named')})" if where == "cz" else "")
             for c in candidates[:12]]
    return Ambiguous(f"{what}; choose one by adding\n  " + "\n  ".join(shown) + aside, code="ambiguous_column", where=where,
                     extra={"candidates": [c._asdict() for c in candidates[:100]]})


def _angle(columns: Sequence[Column], i: int) -> Chosen:
    return Chosen(i, columns[i].name, factor(columns[i], "angle"), "angle")


def _refuse_corrected(name: str) -> None:
    if plain(name) in NOT_OBSERVED:
        raise BadParameter(f"column {name!r:.80} is corrected for peculiar velocity by its name and was not observed; choose "
                           "the heliocentric or CMB one, or rename it if it was", code="not_observed", where=name)


def _word(kind: str) -> str:
    return "a redshift" if kind == "z" else "c z in km/s"


def _way(columns: Sequence[Column], i: int) -> str:
    """Return how a column is named on the command line: by number when the name occurs twice, or is too long to be typed."""
    name = columns[i].name
    return _quoted(name) if len(name) <= 80 and sum(c.name.lower() == name.lower() for c in columns) == 1 else f"'#{i + 1}'"


def _quoted(name: str) -> str:
    if re.fullmatch(r"[\w.+-]+", name):
        return name
    return "'" + name.replace("'", "'\\''") + "'"


def _listed(columns: Sequence[Column]) -> str:
    names = [c.name if len(c.name) <= 80 else f"{c.name[:77]}..." for c in columns]
    return ", ".join(names[:30]) + (f" and {len(names) - 30} more" if len(names) > 30 else "")

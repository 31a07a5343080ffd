"""A table of the user's own: which column is what, by well-known names where exactly one fits and by `--map` elsewhere.

Nothing is guessed. Two candidates, a velocity whose frame nobody says, a unit that contradicts: each stops with the option
that answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from cfcore import frames
from cfcore.column_names import ERROR_FORMS, NOT_OBSERVED, PAIRS, VELOCITIES, plain
from cfcore.column_units import Column, unit_in
from cfcore.errors import Ambiguous, BadParameter, UnknownName

from .mapped_facts import BANDS, mapped_facts
from .plan import Angles, Name, Places, Plan, Velocity
from .spellings import pgc
from .velocities import CONVENTIONS

POSITION_KEYS: tuple[str, ...] = ("ra", "dec", "lon", "lat", "sky_frame", "ra_unit")
VELOCITY_KEYS: tuple[str, ...] = ("velocity", "redshift", "velocity_error", "redshift_error", "velocity_unit", "photometric")
OTHER_KEYS: tuple[str, ...] = ("name", "names", "key", "pgc", "type", "morphology", "size", "size_minor", "distance",
                               "distance_error", "modulus", "modulus_error", "notes", "reference", "table")
RA_UNITS: tuple[str, ...] = ("deg", "hour", "rad", "sexagesimal")
_NAMES = frozenset(("name", "objname", "objectname", "galaxy", "galaxyname", "object", "designation", "mainid", "id", "cluster",
                    "group", "commonname", "source", "sourceid"))
_PGC = frozenset(("pgc", "pgcno", "pgcnumber", "pgcid"))
_TRUE = frozenset(("1", "1.0", "t", "true", "y", "yes", "p", "phot", "photometric", "photo-z", "photoz"))
_ANGLES = {"deg": "deg", "degree": "deg", "degrees": "deg", "hourangle": "hour", "15deg": "hour", "h": "hour", "hour": "hour",
           "hours": "hour", "rad": "rad", "radian": "rad", "radians": "rad"}
_SPEEDS = {"km/s": 1.0, "kms-1": 1.0, "kms^-1": 1.0, "km/sec": 1.0, "m/s": 1e-3, "ms-1": 1e-3, "ms^-1": 1e-3}
_SAYS_DEGREES = ("deg", "degrees")


def check_keys(mapping: Mapping[str, str]) -> None:
    """Refuse quantities that no catalogue is asked for.

    Raises
    ------
    BadParameter
    """
    known = (*POSITION_KEYS, *VELOCITY_KEYS, *OTHER_KEYS)
    for key, value in mapping.items():
        is_band = key.startswith(("mag_", "magerr_")) and key.partition("_")[2]
        if key not in known and not is_band:
            raise BadParameter(f"--map {key}=…: {key!r:.40} is no quantity that is read; known are {', '.join(known)} and "
                               f"mag_<band> ({', '.join(BANDS)} …)", code="unknown_quantity", where=f"map.{key}")
        if not value:
            raise BadParameter(f"--map {key}= names no column; write {key}=COLUMN", code="unknown_quantity", where=f"map.{key}")
    for one, other in (("velocity", "redshift"), ("ra", "lon"), ("dec", "lat"), ("velocity_error", "redshift_error")):
        if one in mapping and other in mapping:
            raise BadParameter(f"--map has both {one}={mapping[one]} and {other}={mapping[other]}; give one of them",
                               code="ambiguous_column", where=f"map.{other}")


def planned(columns: Sequence[Column], mapping: Mapping[str, str], *, frame: str | None, convention: str | None) -> Plan:
    """Return how a table is read.

    Parameters
    ----------
    columns : sequence of Column
        Of the table.
    mapping : mapping
        Quantity -> column; `check_keys` has passed it.
    frame : str, optional
        Rest frame of the velocities, when the user says it.
    convention : str, optional
        One of `velocities.CONVENTIONS`.

    Raises
    ------
    UnknownName
        When the table has no such column, or the frame is not known.
    Ambiguous
        When more than one column fits.
    BadParameter
        When a position is missing, or a frame, unit or convention is not said or contradicts.
    """
    table = tuple(columns)
    for key, column in mapping.items():
        if key not in ("sky_frame", "ra_unit", "velocity_unit", "names", "table") and column != "none":
            _present(table, column, key)
    for column in mapping.get("names", "").split(","):
        if column:
            _present(table, column, "names")
    velocity = _velocity(table, mapping, frame, convention)
    names = _names(table, mapping)
    own_key = mapping.get("key")
    pgc_column = next((n for n in names if n.form is pgc), None)
    plan = Plan(_angles(table, mapping), velocity, names, Name(own_key) if own_key else pgc_column,
                mapped_facts(table, mapping, taken={velocity.column} if velocity else set()))
    count = Counter(c.name for c in table)
    twice = [name for name in plan.used() if count[name] > 1]
    if twice:
        raise Ambiguous(f"{count[twice[0]]} columns are called {twice[0]!r:.80}; rename all but the one that is meant",
                        code="ambiguous_column", where="map")
    return plan


def _present(columns: tuple[Column, ...], name: str, key: str) -> int:
    found = Places(columns)(name)
    if found is None:
        raise UnknownName(f"--map {key}={name}: the table has no column {name!r:.80}; it has {listed(columns)}",
                          code="unknown_column", where=f"map.{key}")
    return found


def _angles(columns: tuple[Column, ...], mapping: Mapping[str, str]) -> Angles:
    stated = None if "sky_frame" not in mapping else frames.sky_frame(mapping["sky_frame"])
    lon, lat = mapping.get("ra") or mapping.get("lon"), mapping.get("dec") or mapping.get("lat")
    if not (lon or lat):
        lon, lat, frame = _position_by_name(columns, stated)
    elif not (lon and lat):
        raise BadParameter("both columns of a position must be named; add --map "
                           + ("ra=COLUMN (or lon=COLUMN)" if lon is None else "dec=COLUMN (or lat=COLUMN)"), code="no_position",
                           where="map.ra" if lon is None else "map.dec")
    else:
        frame = _frame_of_pair(lon, lat, stated, is_equatorial="ra" in mapping or "dec" in mapping)
    unit = mapping.get("ra_unit")
    column = columns[_present(columns, lon, "ra")]
    if unit is not None and unit not in RA_UNITS:
        raise BadParameter(f"--map ra_unit={unit}: not known; use one of {', '.join(RA_UNITS)}", code="wrong_unit",
                           where="map.ra_unit")
    told = _unit(column)
    if unit is None and told:
        unit = _ANGLES.get(told)
        if unit is None:
            raise BadParameter(f"column {column.name!r:.80} has the unit {told!r:.40}, which is no angle of a position; choose "
                               "another column with --map ra=COLUMN, or say --map ra_unit=deg", code="wrong_unit",
                               where="map.ra_unit")
    return Angles(lon, lat, frame, unit or "deg")


def says_unit(columns: Sequence[Column], mapping: Mapping[str, str], lon: str) -> bool:
    """Tell whether the unit of a longitude is known, by option, by its column or by its name, rather than taken for degrees."""
    found = Places(tuple(columns))(lon)
    column = columns[0 if found is None else found]
    return "ra_unit" in mapping or bool(_unit(column)) or plain(column.name).endswith(_SAYS_DEGREES)


def _position_by_name(columns: tuple[Column, ...], stated: str | None) -> tuple[str, str, str]:
    # the equatorial position comes first: tables repeat it in other frames for convenience
    for frame, lons, lats in PAIRS:
        found = [[c.name for c in columns if plain(c.name) in side] for side in (lons, lats)]
        if (stated is not None and frame not in (None, stated)) or not (found[0] and found[1]):
            continue
        if frame is None and stated is None:
            raise BadParameter(f"the names {found[0][0]}, {found[1][0]} do not say their sky frame; add --map sky_frame=icrs, "
                               "galactic or supergalactic", code="frame_missing", where="map.sky_frame")
        if len(found[0]) > 1 or len(found[1]) > 1:
            ways = [f"--map {_sides(frame)[0]}={a} {_sides(frame)[1]}={b}" for a in found[0] for b in found[1]]
            raise Ambiguous("more than one pair of columns could be the position; choose one by adding\n  "
                            + "\n  ".join(ways[:12]), code="ambiguous_column", where="map.ra", extra={"candidates": ways})
        return found[0][0], found[1][0], frame or stated or "icrs"
    raise BadParameter("no columns are known as a position by their names; add --map ra=COLUMN dec=COLUMN (or lon=, lat= and "
                       f"sky_frame=); the table has {listed(columns)}", code="no_position", where="map.ra")


def _sides(frame: str | None) -> tuple[str, str]:
    return ("ra", "dec") if frame == "icrs" else ("lon", "lat")


def _frame_of_pair(lon: str, lat: str, stated: str | None, *, is_equatorial: bool) -> str:
    implied = {f for f, lons, lats in PAIRS for name, side in ((lon, lons), (lat, lats)) if f and plain(name) in side}
    said = ({stated} if stated else set()) | ({"icrs"} if is_equatorial else set()) or implied
    if len(implied | said) > 1:
        raise BadParameter(f"columns {lon} and {lat} would be {' and '.join(sorted(implied | said))} at once, by their names and "
                           "--map; choose columns of one frame, and lon=, lat=, sky_frame= unless it is ra, dec",
                           code="frame_contradicts", where="map.sky_frame")
    if not said:
        raise BadParameter(f"the names {lon}, {lat} do not say their sky frame; add --map sky_frame=icrs, galactic or "
                           "supergalactic", code="frame_missing", where="map.sky_frame")
    return said.pop()


def _velocity(columns: tuple[Column, ...], mapping: Mapping[str, str], frame: str | None,
              convention: str | None) -> Velocity | None:
    stated = None if frame is None else frames.velocity_frame(frame).key
    if convention is not None and convention not in CONVENTIONS:
        raise BadParameter(f"--convention {convention!r:.40} is not known; use one of {', '.join(CONVENTIONS)}",
                           code="unknown_convention", where="convention")
    chosen = mapping.get("velocity", mapping.get("redshift"))
    if chosen == "none":
        return None
    if chosen is not None:
        column = columns[_present(columns, chosen, "velocity" if "velocity" in mapping else "redshift")]
        if plain(column.name) in NOT_OBSERVED:
            raise BadParameter(f"column {column.name!r:.80} is corrected for peculiar velocity by its name and was not observed; "
                               "map the observed one, or rename this one if it was", code="not_observed", where="map.velocity")
        kind, implied = "z" if "redshift" in mapping or convention == "z" else "cz", None
        if plain(column.name) in VELOCITIES:
            by_name, implied = VELOCITIES[plain(column.name)]
            if by_name != kind and _unit(column).lower() not in _SPEEDS:
                held, way = ("redshifts", "redshift") if by_name == "z" else ("velocities", "velocity")
                raise BadParameter(f"column {column.name!r:.80} holds {held} by its name; map it with {way}={column.name}, or "
                                   "rename it", code="unit_contradicts", where="map.velocity")
    else:
        found = _velocity_by_name(columns, stated)
        if found is None:
            if frame is not None or convention is not None:
                raise BadParameter("no column is known as an observed velocity or redshift by its name, so --frame and "
                                   f"--convention say nothing; add --map velocity=COLUMN or redshift=COLUMN; "
                                   f"the table has {listed(columns)}", code="no_velocity", where="map.velocity")
            return None
        column, kind, implied = found
    _check_convention(column, kind, convention)
    if stated and implied and stated.partition("_")[0] != implied:
        raise BadParameter(f"the name of column {column.name} says {implied}, --frame says {stated}; leave --frame out, or "
                           "rename the column if the option is right", code="frame_contradicts", where="frame")
    if not (stated or implied):
        raise BadParameter(f"the name of column {column.name} does not say the rest frame of its velocities; add --frame hel if "
                           f"they are heliocentric, or the one they have ({', '.join(frames.VELOCITY_FRAMES)}); "
                           "--map velocity=none reads the table without them", code="frame_missing", where="frame",
                           extra={"known": list(frames.VELOCITY_FRAMES)})
    factor = 1.0 if kind == "z" else _speed(column, mapping.get("velocity_unit"), kind)
    error, unit, error_factor = _error(columns, column, kind, mapping, factor)
    photometric = mapping.get("photometric")
    return Velocity(column.name, convention or kind, stated or implied or "hel", factor, error, unit, error_factor,
                    photometric=(photometric, _TRUE) if photometric else None)


def _velocity_by_name(columns: tuple[Column, ...], stated: str | None) -> tuple[Column, str, str | None] | None:
    found = [(c, *VELOCITIES[plain(c.name)]) for c in columns if plain(c.name) in VELOCITIES]
    if stated is not None and len(found) > 1:
        found = [f for f in found if f[2] == stated.partition("_")[0]] or found
    if len(found) > 1:
        ways = [f"--map {'redshift' if kind == 'z' else 'velocity'}={c.name}   ({'redshift' if kind == 'z' else 'c z'}, "
                f"{implied or 'frame not named: add --frame'})" for c, kind, implied in found]
        raise Ambiguous(f"{len(found)} columns could be the observed velocity; choose one by adding\n  " + "\n  ".join(ways[:12]),
                        code="ambiguous_column", where="map.velocity", extra={"candidates": ways})
    return found[0] if found else None


def _check_convention(column: Column, kind: str, convention: str | None) -> None:
    if convention is None or (kind == "z") == (convention == "z"):
        return
    way = "redshift" if convention == "z" else "velocity"
    raise BadParameter(f"column {column.name!r:.80} holds {'redshifts' if kind == 'z' else 'velocities'} by its name or --map, "
                       f"--convention says {convention}; leave --convention out, or map the column with {way}=",
                       code="convention_contradicts", where="convention")


def _speed(column: Column, stated: str | None, kind: str) -> float:
    unit = (stated or _unit(column)).lower()
    if not unit:
        return 1.0
    if unit not in _SPEEDS:
        raise BadParameter(f"column {column.name!r:.80} has the unit {unit!r:.40}, which is no velocity; choose another column, "
                           "or say --map velocity_unit=km/s or m/s", code="wrong_unit", where="map.velocity_unit")
    return _SPEEDS[unit]


def _error(columns: tuple[Column, ...], value: Column, kind: str, mapping: Mapping[str, str],
           factor: float) -> tuple[str | None, str | None, float]:
    chosen = mapping.get("velocity_error", mapping.get("redshift_error"))
    if chosen == "none":
        return None, None, 1.0
    if chosen is None:
        own = {form.format(plain(value.name)) for form in ERROR_FORMS} | {"sigmacz"}
        own |= {"czerr", "ecz"} if kind != "z" else set()
        found = [c.name for c in columns if plain(c.name) in own and c is not value]
        if len(found) > 1:
            ways = [*(f"--map velocity_error={name}" for name in found), "--map velocity_error=none"]
            raise Ambiguous(f"{len(found)} columns could be the error of {value.name}; choose one by adding\n  "
                            + "\n  ".join(ways), code="ambiguous_column", where="map.velocity_error", extra={"candidates": ways})
        if not found:
            return None, None, 1.0
        chosen = found[0]
    column = columns[_present(columns, chosen, "velocity_error")]
    if kind == "z":
        # an error in km/s beside a redshift: by its unit, its name, or because it was mapped as the error of a velocity
        is_speed = _unit(column).lower() in _SPEEDS or "cz" in plain(column.name) or "velocity_error" in mapping
        return column.name, "cz" if is_speed else None, _speed(column, None, "cz") if is_speed else 1.0
    if "redshift_error" in mapping:
        return column.name, "z", 1.0
    unit = _unit(column).lower()
    return column.name, None, _SPEEDS.get(unit, factor)


def _names(columns: tuple[Column, ...], mapping: Mapping[str, str]) -> tuple[Name, ...]:
    out: list[Name] = []
    if "name" in mapping:
        out.append(Name(mapping["name"]))
    else:
        found = [c.name for c in columns if plain(c.name) in _NAMES]
        if len(found) > 1 and "names" not in mapping:
            ways = [f"--map name={name}" for name in found] + [f"--map name={found[0]} names={','.join(found[1:])}   (all)"]
            raise Ambiguous("more than one column could hold the names; choose by adding\n  " + "\n  ".join(ways),
                            code="ambiguous_column", where="map.name", extra={"candidates": ways})
        out += [Name(n) for n in found if n not in mapping.get("names", "").split(",")][:1]
    out += [Name(n) for n in mapping.get("names", "").split(",") if n]
    number = mapping.get("pgc", next((c.name for c in columns if plain(c.name) in _PGC), None))
    if number:
        out.append(Name(number, pgc, "PGC n"))
    return tuple(out)


def _unit(column: Column) -> str:
    return "".join(column.unit.lower().split()).replace(".", "") or unit_in(column.name)


def listed(columns: Sequence[Column]) -> str:
    """Return the names of the columns for a message."""
    names = [c.name for c in columns]
    return ", ".join(names[:40]) + (f" and {len(names) - 40} more" if len(names) > 40 else "")

"""How a table is to be read: which column is what, in which unit, frame and convention. Names only; no file is open here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cfcore.column_names import plain
from cfcore.columns import Column

from .facts import Rule


@dataclass(frozen=True)
class Angles:
    """Say where the position stands.

    Parameters
    ----------
    lon, lat : str
    sky_frame : {"icrs", "galactic", "supergalactic"}
    unit : {"deg", "hour", "rad", "sexagesimal"}
        Of the longitude: ``hour`` has its latitude in degrees; ``sexagesimal`` is hours, minutes, seconds with degrees,
        minutes, seconds.
    """

    lon: str
    lat: str
    sky_frame: str = "icrs"
    unit: str = "deg"


@dataclass(frozen=True)
class Velocity:
    """Say where the velocity stands and what it is.

    Parameters
    ----------
    column : str
    convention : str
        One of `velocities.CONVENTIONS`.
    frame : str
        Key of `cfcore.frames.VELOCITY_FRAMES`.
    factor : float
        From the column to km/s; 1 for redshifts.
    error : str, optional
        Its column.
    error_convention : str, optional
        When the error is in another unit than the velocity (km/s beside a redshift).
    error_factor : float
    without : tuple, optional
        Column, value and note: where the column holds the value, the row has no velocity of its own, and the note says why.
    photometric : tuple, optional
        Column and the values that mark a photometric redshift.
    """

    column: str
    convention: str
    frame: str
    factor: float = 1.0
    error: str | None = None
    error_convention: str | None = None
    error_factor: float = 1.0
    without: tuple[str, str, str] | None = None
    photometric: tuple[str, frozenset[str]] | None = None


Form = Callable[[str], str] | type


@dataclass(frozen=True)
class Name:
    """Say how a column becomes an identifier.

    Parameters
    ----------
    column : str
    form : callable, optional
        Text of the field -> identifier, empty when it is none. A class is made anew for each reading: some numbers mean
        something only in the order of their table.
    label : str
        The same for people and for the version.
    """

    column: str
    form: Form | None = None
    label: str = ""

    def fresh(self) -> Name:
        """Return the same for one reading."""
        return replace(self, form=self.form()) if isinstance(self.form, type) else self


@dataclass(frozen=True)
class Plan:
    """Say how the rows of a table are read.

    Parameters
    ----------
    angles : Angles
    velocity : Velocity, optional
    names : tuple of Name
        The first that a row has is the one that is shown.
    key : Name, optional
        What tells the rows apart; None: the name that is shown.
    facts : tuple of Rule
    """

    angles: Angles
    velocity: Velocity | None = None
    names: tuple[Name, ...] = ()
    key: Name | None = None
    facts: tuple[Rule, ...] = ()

    def needed(self) -> tuple[str, ...]:
        """Return the columns without which nothing can be read."""
        v = self.velocity
        return (self.angles.lon, self.angles.lat, *(() if v is None else (v.column,)))

    def used(self) -> list[str]:
        """Return every column that is used."""
        v = self.velocity
        named = [*self.names, *((self.key,) if self.key else ())]
        own = [*self.needed(), *(n.column for n in named), *(c for rule in self.facts for c in rule.columns())]
        if v is not None:
            own += [c for c in (v.error, v.without and v.without[0], v.photometric and v.photometric[0]) if c]
        return own

    def described(self, columns: tuple[Column, ...]) -> dict[str, object]:
        """Return how the columns were understood, as plain data.

        Parameters
        ----------
        columns : tuple of Column
            Of the table.
        """
        at = Places(columns)
        a, v = self.angles, self.velocity
        out: dict[str, object] = {"position": {"columns": [at.name(a.lon), at.name(a.lat)], "sky_frame": a.sky_frame,
                                               "unit": a.unit}}
        if v is not None:
            out["velocity"] = {"column": at.name(v.column), "convention": v.convention, "frame": v.frame,
                               "unit": "" if v.convention == "z" else "km/s" if v.factor == 1.0 else f"{v.factor:g} km/s"}
            if v.error is not None and at(v.error) is not None:
                kind = v.error_convention or v.convention
                out["velocity_error"] = {"column": at.name(v.error), "unit": "" if kind == "z" else "km/s"}
            if v.without is not None:
                out["no_velocity_where"] = {"column": at.name(v.without[0]), "value": v.without[1]}
            if v.photometric is not None:
                out["photometric_where"] = {"column": at.name(v.photometric[0]), "values": sorted(v.photometric[1])}
        out["names"] = [{"column": at.name(n.column), **({"form": n.label} if n.label else {})} for n in self.names
                        if at(n.column) is not None]
        out["key"] = at.name(self.key.column) if self.key and at(self.key.column) is not None else "the name shown"
        out["facts"] = sorted({type(rule).__name__.lower() + ":" + at.name(c) for rule in self.facts for c in rule.columns()
                               if at(c) is not None})
        used = {at(c) for c in self.used()}
        out["unused"] = [c.name for i, c in enumerate(columns) if i not in used]
        return out


@dataclass
class Places:
    """Find columns by name: as it is written, else without regard to case, blanks and dashes; ``a|b`` names two spellings."""

    columns: tuple[Column, ...]
    _exact: Mapping[str, int] = field(init=False)
    _plain: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        last_first = list(enumerate(self.columns))[::-1]
        self._exact = {c.name: i for i, c in last_first}
        self._plain = {plain(c.name): i for i, c in last_first}

    def __call__(self, name: str) -> int | None:
        """Return the place of a column, None when the table has none of that name."""
        for spelling in name.split("|") if name not in self._exact else (name,):
            found = self._exact.get(spelling, self._plain.get(plain(spelling)))
            if found is not None:
                return found
        return None

    def name(self, name: str) -> str:
        """Return the name of a column as the table writes it."""
        found = self(name)
        return name if found is None else self.columns[found].name

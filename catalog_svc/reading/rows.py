"""From cells to batches: positions, velocities, names and facts of some rows, and the rows that are refused with their reasons.

A row is refused for its position, its velocity or the error of that; nothing else of it is worth losing the row for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cfcore import frames
from cfcore.columns import Column
from cfcore.cosmology import C_KMS

from ..records import Batch, Reject
from .cells import ANY_MARKS, REDSHIFT_MARKS, Cells
from .plan import Name, Places, Plan, Velocity
from .velocities import Z_LIMIT, heliocentric, redshift, redshift_error

F64 = NDArray[np.float64]

_PER_UNIT = {"deg": 1.0, "hour": 15.0, "rad": 180.0 / np.pi}
_LETTERS = str.maketrans(dict.fromkeys("hHdDmM°'\"sS:\u2032\u2033", " "))
_LONGEST_NAME = 128


class RowReader:
    """Turn the cells of one table into batches.

    Parameters
    ----------
    plan : Plan
    columns : tuple of Column
    prefix : str
        Of names made from positions.
    """

    def __init__(self, plan: Plan, columns: tuple[Column, ...], prefix: str) -> None:
        self._plan, self._columns, self._prefix = plan, columns, prefix
        self._at = Places(columns)
        self._named = [name.fresh() for name in plan.names]
        self._key = None if plan.key is None else plan.key.fresh()

    def read(self, cells: Cells) -> Batch:
        """Read some rows."""
        n = len(cells)
        faults: dict[int, tuple[int | None, str]] = {i: (None, why) for i, why in cells.faults.items()}
        ra, dec = self._position(cells, faults)
        given, z, error, photometric = self._velocity(cells, ra, dec, faults)
        facts: list[dict[str, object]] = [{} for _ in range(n)]
        for rule in self._plan.facts:
            rule.add(cells, self._at, facts)
        self._without(cells, facts, given, z, error, photometric)
        names = self._names(cells)
        for i in (i for i, row in enumerate(names) if any("\ufffd" in t for t in row)):
            faults.setdefault(i, (None, "a name holds bytes that are not UTF-8; save the table as UTF-8"))
        keep = [i for i in range(n) if i not in faults] if faults else range(n)
        shown = self._shown(names, ra, dec)
        keys = self._keys(cells, shown)
        rejects = [Reject(cells.rows[i], self._line(cells, i), "" if c is None else self._columns[c].name, cells.raw(i, c), why)
                   for i, (c, why) in sorted(faults.items())]
        if not faults:
            return Batch(list(cells.rows), list(cells.lines), keys, shown, names, ra, dec, z, error, given, photometric, facts)
        kept = np.array(keep, dtype=np.intp)
        return Batch([cells.rows[i] for i in keep], [cells.lines[i] for i in keep], [keys[i] for i in keep],
                     [shown[i] for i in keep], [names[i] for i in keep], ra[kept], dec[kept], z[kept], error[kept],
                     given[kept], photometric[kept], [facts[i] for i in keep], rejects)

    def _line(self, cells: Cells, place: int) -> int | None:
        return None if cells.lines is cells.rows else cells.lines[place]

    def _index(self, name: str) -> int:
        found = self._at(name)
        assert found is not None, name  # `source` has looked
        return found

    def _position(self, cells: Cells, faults: dict[int, tuple[int | None, str]]) -> tuple[F64, F64]:
        a = self._plan.angles
        sides = []
        for name, what in ((a.lon, "longitude" if a.sky_frame != "icrs" else "right ascension"),
                           (a.lat, "latitude" if a.sky_frame != "icrs" else "declination")):
            index = self._index(name)
            if a.unit == "sexagesimal":
                values, bad = sexagesimal(cells.texts(index))
                if name == a.lon:
                    values *= 15.0
                wanted = "hours minutes seconds" if name == a.lon else "degrees minutes seconds"
            else:
                values, bad = cells.numbers(index, ANY_MARKS)
                values *= _PER_UNIT[a.unit] if name == a.lon or a.unit == "rad" else 1.0
                wanted = "a number"
            for i in bad:
                faults.setdefault(i, (index, f"the {what} is not {wanted}"))
            for i in np.flatnonzero(np.isnan(values)).tolist():
                faults.setdefault(i, (index, f"the {what} is missing"))
            low, high = (-90.0, 90.0) if name == a.lat else (0.0 if a.sky_frame == "icrs" else -180.0, 360.0)
            for i in np.flatnonzero((values < low) | (values > high)).tolist():
                faults.setdefault(i, (index, f"the {what} {values[i]:g} deg lies outside {low:g} to {high:g}"))
            sides.append(np.where((values >= low) & (values <= high), values, 0.0))
        lon, lat = sides
        if a.sky_frame != "icrs":
            return frames.lon_lat(frames.rotate(frames.unit_vectors(lon, lat), a.sky_frame, "icrs"))
        return np.where(lon == 360.0, 0.0, lon), lat

    def _velocity(self, cells: Cells, ra: F64, dec: F64,
                  faults: dict[int, tuple[int | None, str]]) -> tuple[F64, F64, F64, NDArray[np.bool_]]:
        n, v = len(cells), self._plan.velocity
        if v is None:
            nothing = np.full(n, np.nan)
            return nothing, nothing.copy(), nothing.copy(), np.zeros(n, bool)
        index = self._index(v.column)
        given, bad = cells.numbers(index, REDSHIFT_MARKS if v.convention == "z" else ANY_MARKS)
        for i in bad:
            faults.setdefault(i, (index, "the velocity is not a number"))
        z = redshift(given * v.factor, v.convention)
        with np.errstate(invalid="ignore"):
            impossible = np.isfinite(given) & ~((z > -1.0) & (z <= Z_LIMIT))
        for i in np.flatnonzero(impossible).tolist():
            faults.setdefault(i, (index, _impossible(v, float(given[i]))))
        z[impossible] = np.nan
        error = self._error(cells, v, z, faults)
        z_hel, error = heliocentric(z, error, ra, dec, v.frame)
        error[np.isnan(z_hel)] = np.nan
        return given, z_hel, error, self._photometric(cells, v, z_hel)

    def _error(self, cells: Cells, v: Velocity, z: F64, faults: dict[int, tuple[int | None, str]]) -> F64:
        index = None if v.error is None else self._at(v.error)
        if index is None:
            return np.full(len(cells), np.nan)
        kind = v.error_convention or v.convention
        error, bad = cells.numbers(index, REDSHIFT_MARKS if kind == "z" else ANY_MARKS)
        for i in bad:
            faults.setdefault(i, (index, "the error of the velocity is not a number"))
        # zero and negative errors are how catalogues write "not known"
        return redshift_error(np.where(error > 0, error, np.nan) * v.error_factor, z, kind)

    def _photometric(self, cells: Cells, v: Velocity, z: F64) -> NDArray[np.bool_]:
        index = None if v.photometric is None else self._at(v.photometric[0])
        if index is None or v.photometric is None:
            return np.zeros(len(cells), bool)
        wanted = v.photometric[1]
        return np.array([t.lower() in wanted for t in cells.texts(index)], bool) & np.isfinite(z)

    def _without(self, cells: Cells, facts: list[dict[str, object]], *columns: NDArray[np.float64] | NDArray[np.bool_]) -> None:
        """Take the velocity from rows whose velocity is none of their own."""
        v = self._plan.velocity
        index = None if v is None or v.without is None else self._at(v.without[0])
        if index is None or v is None or v.without is None:
            return
        _, value, note = v.without
        for i, text in enumerate(cells.texts(index)):
            if text == value:
                for column in columns:
                    column[i] = False if column.dtype.kind == "b" else np.nan
                listed = facts[i].setdefault("notes", [])
                assert isinstance(listed, list)
                listed.append(note)

    def _names(self, cells: Cells) -> list[tuple[str, ...]]:
        columns = [texts for name in self._named if (texts := self._formed(cells, name)) is not None]
        for i, texts in enumerate(columns):
            # "17" names nothing beyond its own table
            if any(map(str.isdigit, texts)):
                columns[i] = [f"{self._prefix} {t}" if t.isdigit() else t for t in texts]
        if not columns:
            return [()] * len(cells)
        # a table often has one name in two columns
        return [tuple(dict.fromkeys(filter(None, row))) for row in zip(*columns)]

    def _formed(self, cells: Cells, name: Name) -> list[str] | None:
        index = self._at(name.column)
        if index is None:
            return None
        texts, form = cells.texts(index), name.form
        if form is not None:
            texts = [form(t) if t else "" for t in texts]
        return texts if max(map(len, texts), default=0) <= _LONGEST_NAME else [t[:_LONGEST_NAME] for t in texts]

    def _shown(self, names: list[tuple[str, ...]], ra: F64, dec: F64) -> list[str]:
        """Return the first name of each row; a row without any gets one from its position."""
        out = []
        for i, found in enumerate(names):
            if not found:
                found = names[i] = (position_name(self._prefix, float(ra[i]), float(dec[i])),)
            out.append(found[0])
        return out

    def _keys(self, cells: Cells, shown: list[str]) -> list[str]:
        keys = None if self._key is None else self._formed(cells, self._key)
        return list(shown) if keys is None else [k or s for k, s in zip(keys, shown)]


def _impossible(v: Velocity, given: float) -> str:
    if v.convention == "z":
        return f"the redshift {given:g} lies outside -1 to {Z_LIMIT:g}"
    speed = given * v.factor
    if v.convention in ("radio", "relativistic") and abs(speed) >= C_KMS:
        return f"the velocity {speed:g} km/s is not below c, as the {v.convention} convention demands"
    return f"the velocity {speed:g} km/s lies outside -c to {Z_LIMIT:g} c"


def sexagesimal(texts: list[str]) -> tuple[F64, list[int]]:
    """Return sexagesimal texts as numbers of their first unit, and the places of those that are none."""
    values, bad = np.full(len(texts), np.nan), []
    for i, text in enumerate(texts):
        if not text:
            continue
        parts = text.replace("\u2212", "-").translate(_LETTERS).split()
        try:
            whole, minutes, seconds = (float(p) for p in (*parts, *["0"] * (3 - len(parts))))
        except ValueError:
            bad.append(i)
            continue
        if len(parts) < 2 or not (0 <= minutes < 60 and 0 <= seconds <= 60):
            bad.append(i)
            continue
        size = abs(whole) + minutes / 60.0 + seconds / 3600.0
        # "-00 30 00" lies south although -0 is not negative
        values[i] = -size if parts[0].startswith("-") else size
    return values, bad


def position_name(prefix: str, ra: float, dec: float) -> str:
    """Return a name after the position, ``PREFIX Jhhmmss.s+ddmmss``, cut and not rounded as the IAU asks."""
    # what is exact in decimals may fall short in binary: 0.1 s is 1.5 arcsec, so a billionth of it decides nothing
    tenths = int(ra / 15.0 * 36000.0 + 1e-6) % 864000
    arcsec = int(abs(dec) * 3600.0 + 1e-6)
    return (f"{prefix} J{tenths // 36000:02d}{tenths // 600 % 60:02d}{tenths // 10 % 60:02d}.{tenths % 10}"
            f"{'-' if dec < 0 else '+'}{arcsec // 3600:02d}{arcsec // 60 % 60:02d}{arcsec % 60:02d}")

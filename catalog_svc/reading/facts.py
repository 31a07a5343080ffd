"""Further facts of a row, each by a small rule: which columns, and what they become in the words of a detail answer.

A fact that cannot be read is left out with a note; only position and velocity can refuse a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .cells import ANY_MARKS, MAGNITUDE_MARKS, Cells
from .spellings import is_number

F64 = NDArray[np.float64]
Facts = dict[str, object]
Place = Callable[[str], int | None]
"""Column as a rule names it -> its place in the table, None when the table has none."""


class Rule(Protocol):
    """A rule that turns columns into a fact."""

    def columns(self) -> tuple[str, ...]:
        """Return the columns that the rule uses."""

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the fact to the rows that know it."""


@dataclass(frozen=True)
class Word:
    """Take text as it stands, or by a table of codes.

    Parameters
    ----------
    key : str
    column : str
    codes : mapping
        Code -> words; an empty text leaves the fact out. Codes that are not in it stay as they are.
    """

    key: str
    column: str
    codes: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> tuple[str, ...]:
        """Return the column."""
        return (self.column,)

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the text."""
        index = at(self.column)
        if index is None:
            return
        texts, key, codes = cells.texts(index), self.key, self.codes
        if codes:
            texts = [codes.get(t, t) for t in texts]
        for fact, text in zip(facts, texts):
            if text:
                fact[key] = text


@dataclass(frozen=True)
class Note:
    """Add a sentence, with the value of a column in it, where the column has one of some values or any.

    Parameters
    ----------
    sentence : str
        With ``{}`` for the text of the column.
    column : str
    only : frozenset of str
        The values that call for the note; empty: all.
    """

    sentence: str
    column: str
    only: frozenset[str] = frozenset()

    def columns(self) -> tuple[str, ...]:
        """Return the column."""
        return (self.column,)

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the note."""
        index = at(self.column)
        if index is None:
            return
        for fact, text in zip(facts, cells.texts(index)):
            if text and (not self.only or text in self.only):
                _note(fact, self.sentence.format(text))


@dataclass(frozen=True)
class Magnitudes:
    """Collect magnitudes by band.

    Parameters
    ----------
    bands : mapping
        Name of the band in the answer -> column.
    measured : mapping
        Band -> flag column that must hold ``0``: what was computed from another band is not repeated as a measurement.
    """

    bands: Mapping[str, str]
    measured: Mapping[str, str] = field(default_factory=dict)

    def columns(self) -> tuple[str, ...]:
        """Return the columns."""
        return (*self.bands.values(), *self.measured.values())

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the magnitudes of each row."""
        names, columns = [], []
        for band, column in self.bands.items():
            values = _numbers(cells, at, column, facts, f"{band} magnitude", MAGNITUDE_MARKS)
            if values is None:
                continue
            values = np.where((values > -40.0) & (values < 60.0), values, np.nan)
            flag = at(self.measured[band]) if band in self.measured else None
            if flag is not None:
                values = np.where(_equal(cells.texts(flag), "0"), values, np.nan)
            names.append(band)
            columns.append(values.tolist())
        for fact, row in zip(facts, zip(*columns)):
            # v == v: not NaN
            known = {band: v for band, v in zip(names, row) if v == v}
            if known:
                fact["magnitudes"] = known


@dataclass(frozen=True)
class Size:
    """Give diameters in arcmin.

    Parameters
    ----------
    major : str
    minor, ratio : str, optional
        The minor diameter itself, or minor over major.
    pa : str, optional
        Position angle, deg.
    factor : float
        From the column to arcmin, diameters.
    is_log : bool
        Whether the column holds the decimal logarithm; the factor comes after.
    """

    major: str
    minor: str | None = None
    ratio: str | None = None
    pa: str | None = None
    factor: float = 1.0
    is_log: bool = False

    def columns(self) -> tuple[str, ...]:
        """Return the columns."""
        return tuple(c for c in (self.major, self.minor, self.ratio, self.pa) if c)

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the size."""
        major = self._diameters(cells, at, self.major, facts)
        if major is None:
            return
        minor = None
        if self.minor is not None:
            minor = self._diameters(cells, at, self.minor, facts)
        elif self.ratio is not None:
            ratio = _numbers(cells, at, self.ratio, facts, "axis ratio")
            minor = None if ratio is None else major * np.where((ratio > 0) & (ratio <= 1), ratio, np.nan)
        pa = None if self.pa is None else _numbers(cells, at, self.pa, facts, "position angle")
        shown = [_rounded(c, digits) for c, digits in ((major, 4), (minor, 4), (pa, 2)) if c is not None]
        words = [w for w, c in (("major", major), ("minor", minor), ("pa", pa)) if c is not None]
        for fact, row in zip(facts, zip(*shown)):
            if row[0] == row[0]:
                fact["size_arcmin"] = {w: v for w, v in zip(words, row) if v == v}

    def _diameters(self, cells: Cells, at: Place, column: str, facts: list[Facts]) -> F64 | None:
        values = _numbers(cells, at, column, facts, "size")
        if values is None:
            return None
        if self.is_log:
            values = 10.0 ** np.where(np.abs(values) < 6, values, np.nan)
        return np.where(values > 0, values * self.factor, np.nan)


@dataclass(frozen=True)
class Distance:
    """Add a distance that does not come from the redshift.

    Parameters
    ----------
    method : str
    value : str
        Column, Mpc, or distance modulus in magnitudes.
    error : str, optional
        In the unit of the value, or a fraction of it.
    is_modulus : bool
    error_is_fraction : bool
    where : tuple, optional
        Column and the one value it must hold, when the distances of other rows do come from the redshift.
    """

    method: str
    value: str
    error: str | None = None
    is_modulus: bool = False
    error_is_fraction: bool = False
    where: tuple[str, str] | None = None

    def columns(self) -> tuple[str, ...]:
        """Return the columns."""
        return tuple(c for c in (self.value, self.error, self.where[0] if self.where else None) if c)

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the distance to the list of the row."""
        places = None
        if self.where is not None:
            flag = at(self.where[0])
            places = [] if flag is None else [i for i, t in enumerate(cells.texts(flag)) if t == self.where[1]]
            if not places:
                return
        value = _numbers(cells, at, self.value, facts, f"distance ({self.method})", places=places)
        if value is None:
            return
        value = np.where(value > 0, value, np.nan)
        error = None if self.error is None else _numbers(cells, at, self.error, facts, f"error of the distance ({self.method})",
                                                         places=places)
        error = np.full(len(value), np.nan) if error is None else np.where(error > 0, error, np.nan)
        with np.errstate(over="ignore"):
            if self.is_modulus:
                mpc = 10.0 ** ((value - 25.0) / 5.0)
                mpc_error = mpc * error * (np.log(10.0) / 5.0)
            else:
                mpc, mpc_error = value, value * error if self.error_is_fraction else error
        known = np.flatnonzero(np.isfinite(mpc)).tolist()
        near, far = _rounded(mpc, 6), _rounded(mpc_error, 6)
        for i in known:
            found: Facts = {"method": self.method, "d_mpc": near[i]}
            if far[i] == far[i]:
                found["error_mpc"] = far[i]
            if self.is_modulus:
                found["modulus"] = float(value[i])
                if error[i] == error[i]:
                    found["modulus_error"] = float(error[i])
            listed = facts[i].setdefault("distances", [])
            assert isinstance(listed, list)
            listed.append(found)


@dataclass(frozen=True)
class StellarMass:
    """Give the decimal logarithm of the stellar mass in solar masses.

    Parameters
    ----------
    value : str
    error : str, optional
        In the unit of the value.
    unit : float, optional
        Solar masses that the column counts; None when it holds the logarithm already.
    may_be_log : bool
        Whether 20 and less is the logarithm all the same: there is no galaxy of twenty suns.
    """

    value: str
    error: str | None = None
    unit: float | None = None
    may_be_log: bool = False

    def columns(self) -> tuple[str, ...]:
        """Return the columns."""
        return tuple(c for c in (self.value, self.error) if c)

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the mass."""
        value = _numbers(cells, at, self.value, facts, "stellar mass")
        if value is None:
            return
        error = None if self.error is None else _numbers(cells, at, self.error, facts, "error of the stellar mass")
        error = np.full(len(value), np.nan) if error is None else np.where(error > 0, error, np.nan)
        if self.unit is not None:
            value = np.where(value > 0, value, np.nan)
            is_log = (value <= 20.0) & self.may_be_log
            error = np.where(is_log, error, error / value / np.log(10.0))
            value = np.where(is_log, value, np.log10(value * self.unit))
        shown, errors = _rounded(value, 4), _rounded(error, 4)
        for fact, v, e in zip(facts, shown, errors):
            if v == v:
                fact["stellar_mass"] = {"log10_msun": v, "error": e} if e == e else {"log10_msun": v}


@dataclass(frozen=True)
class Group:
    """Collect what a table of groups says of each: numbers by their words in the answer.

    Parameters
    ----------
    values : mapping
        Word -> column.
    whole : frozenset of str
        Words that are whole numbers.
    known_above : mapping
        Word -> the value at or below which the column says "not known".
    flags : tuple of str and mapping
        Column of the flag, and flag -> what it means.
    """

    values: Mapping[str, str]
    whole: frozenset[str] = frozenset()
    known_above: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, Mapping[str, str]] | None = None

    def columns(self) -> tuple[str, ...]:
        """Return the columns."""
        return (*self.values.values(), *((self.flags[0],) if self.flags else ()))

    def add(self, cells: Cells, at: Place, facts: list[Facts]) -> None:
        """Add the group."""
        words, columns = [], []
        for word, column in self.values.items():
            values = _numbers(cells, at, column, facts, word)
            if values is None:
                continue
            if word in self.known_above:
                values = np.where(values > self.known_above[word], values, np.nan)
            words.append(word)
            if word in self.whole:
                # beyond 2^53 a number that was read as a float64 is no longer the number that stood there
                columns.append([int(v) if abs(v) < 2.0 ** 53 else np.nan for v in values.tolist()])
            else:
                columns.append(values.tolist())
        for fact, row in zip(facts, zip(*columns)):
            fact["group"] = {w: v for w, v in zip(words, row) if v == v}
        flag = None if self.flags is None else at(self.flags[0])
        if flag is not None and self.flags is not None:
            for fact, text in zip(facts, cells.texts(flag)):
                group = fact.setdefault("group", {})
                assert isinstance(group, dict)
                group["flag"] = int(text) if is_number(text) else text
                group["what"] = self.flags[1].get(text, "not described")


def _numbers(cells: Cells, at: Place, column: str, facts: list[Facts], what: str,
             marks: tuple[float, ...] = ANY_MARKS, places: list[int] | None = None) -> F64 | None:
    """Return a column, with a note to the rows where it cannot be read; None when the table lacks it."""
    index = at(column)
    if index is None:
        return None
    values, bad = cells.numbers(index, marks, places)
    for i in bad:
        _note(facts[i], f"{what} {cells.raw(i, index)!r} (column {column}) is not a number and was left out")
    return values


def _equal(texts: list[str], value: str) -> NDArray[np.bool_]:
    return np.fromiter((t == value for t in texts), bool, len(texts))


def _note(fact: Facts, sentence: str) -> None:
    listed = fact.setdefault("notes", [])
    assert isinstance(listed, list)
    listed.append(sentence)


def _rounded(values: F64, digits: int) -> list[float]:
    return [float(v) for v in np.round(values, digits).tolist()]

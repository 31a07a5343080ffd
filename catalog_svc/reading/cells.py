"""One stretch of a table, column by column: texts and numbers, and what stood where a number should.

Text, fixed-width and binary tables look alike from here on. What counts as "no value" is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_WORDS = ("", "-", "--", "---", "----", "...", "\\N", "?", "null", "nan", "none", "n/a", "na", "masked", "undefined")
MISSING: frozenset[str] = frozenset(form for w in _WORDS for form in (w, w.upper(), w.capitalize())) | {"NaN"}
"""Texts that say that there is no value."""
ANY_MARKS: tuple[float, ...] = (-999.0, -999.9, -999.99, -9999.0, -9999.9, -9999.99, -99999.0, -999999.0, -32768.0, 1e20)
"""Numbers that say so in any column."""
REDSHIFT_MARKS: tuple[float, ...] = (*ANY_MARKS, -1.0, -9.0, -9.99, -99.0, -99.9, -99.99)
"""Numbers that say so among redshifts: none of them can be one."""
MAGNITUDE_MARKS: tuple[float, ...] = (*ANY_MARKS, -99.0, -99.9, -99.99, 99.0, 99.9, 99.99, 99.999, 999.0)
RAW_LENGTH = 80


class Cells(Protocol):
    """Hold some rows of a table."""

    rows: Sequence[int]
    lines: Sequence[int]
    faults: dict[int, str]
    """Place -> why the row cannot be read at all."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def texts(self, index: int) -> list[str]:
        """Return a column as printable text without blanks around it, empty where there is no value."""

    def numbers(self, index: int, marks: tuple[float, ...] = ANY_MARKS, places: list[int] | None = None) -> tuple[F64, list[int]]:
        """Return a column as numbers, NaN where there is none, and the places that hold something else.

        With `places`, only those are looked at; the others are NaN.
        """

    def raw(self, place: int, index: int | None) -> str:
        """Return a field as it stands in the file, or all of the row, printable and cut to 80 characters."""


class TextCells:
    """Hold rows of text that are cut into fields already."""

    def __init__(self, columns: Sequence[Sequence[str]], *, rows: Sequence[int], lines: Sequence[int], raws: Sequence[str],
                 faults: dict[int, str], stripped: bool, decimal_comma: bool) -> None:
        self.rows, self.lines, self.faults = rows, lines, faults
        self._columns, self._raws = columns, raws
        self._stripped, self._decimal_comma = stripped, decimal_comma
        self._known: dict[int, list[str]] = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def texts(self, index: int) -> list[str]:
        """Return a column as text."""
        if index not in self._known:
            self._known[index] = known_texts(self._fields(index))
        return self._known[index]

    def numbers(self, index: int, marks: tuple[float, ...] = ANY_MARKS, places: list[int] | None = None) -> tuple[F64, list[int]]:
        """Return a column as numbers."""
        if places is None:
            return unmarked(*parsed(self._fields(index), self._decimal_comma), marks)
        column, values = self._columns[index], np.full(len(self), np.nan)
        values[places], bad = unmarked(*parsed([column[i].strip() for i in places], self._decimal_comma), marks)
        return values, [places[i] for i in bad]

    def raw(self, place: int, index: int | None) -> str:
        """Return a field, or the row."""
        return printable(self._raws[place] if index is None else self._columns[index][place])[:RAW_LENGTH]

    def _fields(self, index: int) -> Sequence[str]:
        column = self._columns[index]
        return column if self._stripped else [t.strip() for t in column]


class ArrayCells:
    """Hold rows of a binary table."""

    def __init__(self, arrays: Sequence[np.ndarray], rows: Sequence[int]) -> None:
        self.rows = self.lines = rows
        self.faults: dict[int, str] = {}
        self._arrays = arrays

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def texts(self, index: int) -> list[str]:
        """Return a column as text; whole numbers without a decimal point, whatever type they have."""
        return known_texts(self._shown(index))

    def numbers(self, index: int, marks: tuple[float, ...] = ANY_MARKS, places: list[int] | None = None) -> tuple[F64, list[int]]:
        """Return a column as numbers."""
        if places is not None:
            whole, bad = self.numbers(index, marks)
            values = np.full(len(self), np.nan)
            values[places] = whole[places]
            return values, sorted(set(bad) & set(places))
        array = self._arrays[index]
        if array.dtype.kind not in "fiub":
            return unmarked(*parsed(self._shown(index), False), marks)
        data = np.ma.getdata(array)
        # 0.1 of a float32 is 0.1: the shortest decimal of its own precision, as in every text form of the table
        values = data.astype("U").astype(float) if data.dtype.kind == "f" and data.dtype.itemsize < 8 else data.astype(float)
        values[np.ma.getmaskarray(array)] = np.nan
        return unmarked(values, np.flatnonzero(np.isinf(values)).tolist(), marks)

    def raw(self, place: int, index: int | None) -> str:
        """Return a field, or the row."""
        if index is None:
            return printable(", ".join(str(a[place]) for a in self._arrays))[:RAW_LENGTH]
        value = self._arrays[index][place]
        return "" if value is np.ma.masked else printable(_shown(value))[:RAW_LENGTH]

    def _shown(self, index: int) -> list[str]:
        array = self._arrays[index]
        missing = np.ma.getmaskarray(array).tolist()
        data = np.ma.getdata(array)
        values = data if data.dtype.kind == "f" else data.tolist()
        return ["" if m else _shown(v) for v, m in zip(values, missing)]


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if abs(number) < 1e15 and number == int(number) else str(value)
    return "" if value is None else str(value).strip()


def known_texts(texts: Sequence[str]) -> list[str]:
    """Return texts with the marks for "no value" made empty and nothing unprintable in them."""
    mark = _first_mark(texts)
    # most columns with gaps have one mark: comparing with it spares the hash of every text
    out = list(texts) if mark is None else ["" if t == mark or t in MISSING else t for t in texts]
    return out if "".join(out).isprintable() else [printable(t) for t in out]


def parsed(texts: Sequence[str], decimal_comma: bool) -> tuple[F64, list[int]]:
    """Return texts as numbers and the places of those that are none."""
    mark = _first_mark(texts)
    try:
        if mark is None or 2 * texts.count(mark) < len(texts):
            filled = texts if mark is None else ["nan" if t == mark else t for t in texts]
            values = np.fromiter(map(float, filled), float, len(texts))
        else:
            known = [i for i, t in enumerate(texts) if t != mark]
            values = np.full(len(texts), np.nan)
            values[known] = np.fromiter((float(texts[i]) for i in known), float, len(known))
        bad = np.flatnonzero(np.isinf(values)).tolist()
        # Python also takes 1_000, which no catalogue means
        if not bad and "_" not in "".join(texts):
            return values, bad
    except ValueError:
        pass
    filled = [t if t not in MISSING else "nan" for t in texts]
    values, bad = np.full(len(texts), np.nan), []
    for i, text in enumerate(filled):
        if decimal_comma:
            text = text.replace(",", ".")
        try:
            values[i] = float(text)
            if "_" in text or np.isinf(values[i]):
                bad.append(i)
        except ValueError:
            bad.append(i)
    return values, bad


def _first_mark(texts: Sequence[str]) -> str | None:
    return next((t for t in texts if t in MISSING), None)


def unmarked(values: F64, bad: list[int], marks: tuple[float, ...]) -> tuple[F64, list[int]]:
    """Make NaN of what is no number or is one of the marks; a mark is no fault."""
    marked = np.isin(values, marks)
    if marked.any():
        values[marked] = np.nan
        bad = [i for i in bad if not marked[i]]
    values[bad] = np.nan
    return values, bad


def printable(text: str) -> str:
    """Return text that JSON and a terminal can take: bytes that are not UTF-8 and control characters are replaced."""
    if text.isprintable():
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)

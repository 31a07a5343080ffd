"""Files as tables of cells: delimited text, text without a header, fixed-width lines, and what `cfcore` reads through libraries.

`cfcore.tables` knows the formats; here rows are counted, comments and the lines of units under a header are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np

from cfcore.columns import Column
from cfcore.errors import BadParameter
from cfcore.tables import SEXAGESIMAL, Reader, open_reader
from cfcore.texttable import TextChunk, TextReader

from .cells import MISSING, ArrayCells, Cells, TextCells

CHUNK_ROWS = 4096
"""Rows at a time: with forty columns their text still fits into the caches; 16,384 rows take a fifth longer each."""
_HEADER_LINES = 6


class Table(Protocol):
    """A file that gives its rows in stretches."""

    columns: tuple[Column, ...]

    def cells(self) -> Iterator[Cells]:
        """Yield the rows in order."""

    def close(self) -> None:
        """Let go of the file."""


class DelimitedTable:
    """Read text that `cfcore.texttable` cuts into fields."""

    def __init__(self, reader: TextReader) -> None:
        self._reader = reader
        self.columns: tuple[Column, ...] = reader.columns

    def cells(self) -> Iterator[Cells]:
        """Yield the rows; comments and lines of units under the header are no rows."""
        row, top = 0, True
        delimiter = self._reader.delimiter
        for chunk in self._reader.chunks(CHUNK_ROWS):
            if not isinstance(chunk, TextChunk):
                raise TypeError(f"a text reader gave {type(chunk).__name__}")
            skip = {i for i, line in enumerate(chunk.raw) if line[:1] == "#"}
            if top:
                skip |= _header_lines(chunk.fields[:_HEADER_LINES], skip)
                top = False
            keep: Sequence[int] = range(len(chunk)) if not skip else [i for i in range(len(chunk)) if i not in skip]
            if not keep:
                continue
            place = {old: new for new, old in enumerate(keep)} if skip else None
            faults = {i if place is None else place[i]: reason for i, (_, reason) in chunk.faults.items() if i not in skip}
            # the reader fills short rows up with delimiters
            raws = [chunk.raw[i].rstrip(delimiter) if i in chunk.faults else chunk.raw[i] for i in keep]
            fields = chunk.fields if place is None else [chunk.fields[i] for i in keep]
            yield TextCells(list(zip(*fields)), rows=range(row + 1, row + 1 + len(keep)),
                            lines=[chunk.numbers[i] for i in keep], raws=raws,
                            faults=faults, stripped=delimiter in ("|", " "), decimal_comma=delimiter in (";", " "))
            row += len(keep)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


class FixedTable:
    """Read lines whose columns stand at fixed places.

    Parameters
    ----------
    path : Path
    layout : sequence of tuple
        Name, first and last byte (from 1, both included) as catalogues print them, and unit.
    needed : int
        The shortest line that is whole.
    """

    def __init__(self, path: Path, layout: Sequence[tuple[str, int, int, str]], needed: int) -> None:
        self._stream = open(path, encoding="utf-8", errors="surrogateescape", newline="\n")
        self._layout, self._needed = layout, needed
        self.columns: tuple[Column, ...] = tuple(Column(name, unit) for name, _, _, unit in layout)

    def cells(self) -> Iterator[Cells]:
        """Yield the rows."""
        row, line = 0, 0
        while taken := list(islice(self._stream, CHUNK_ROWS)):
            kept = [(line + i, t.rstrip("\r\n")) for i, t in enumerate(taken, 1) if not t.isspace() and t[0] != "#"]
            line += len(taken)
            if not kept:
                continue
            lines, raws = [n for n, _ in kept], [t for _, t in kept]
            faults = {i: f"the line has {len(t)} characters; this layout needs {self._needed}"
                      for i, t in enumerate(raws) if len(t) < self._needed}
            columns = [[t[first - 1:last].strip() for t in raws] for _, first, last, _ in self._layout]
            yield TextCells(columns, rows=range(row + 1, row + 1 + len(raws)), lines=lines, raws=raws, faults=faults,
                            stripped=True, decimal_comma=False)
            row += len(raws)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class BlankTable:
    """Read blank-separated text without a header line, with the names that its description gives to the columns.

    Quotes mean nothing here: a name that begins with one stays a word.
    """

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._stream = open(path, encoding="utf-8", errors="surrogateescape", newline="\n")
        self.columns: tuple[Column, ...] = tuple(map(Column, names))

    def cells(self) -> Iterator[Cells]:
        """Yield the rows."""
        row, line = 0, 0
        while raws := list(islice(self._stream, CHUNK_ROWS)):
            first, line = line + 1, line + len(raws)
            made = [self._cut(raws, first, row)]
            row += len(made[0])
            # nothing of them stays here: whoever takes the cells can let go of their memory
            del raws
            yield made.pop()

    def _cut(self, raws: list[str], first_line: int, rows_before: int) -> TextCells:
        width, lines = len(self.columns), range(first_line, first_line + len(raws))
        fields = [text.split() for text in raws]
        kept: Sequence[int] = lines
        faults: dict[int, str] = {}
        if set(map(len, fields)) != {width}:
            keep = [i for i, words in enumerate(fields) if words and words[0][0] != "#"]
            raws, fields, kept = [raws[i].strip() for i in keep], [fields[i] for i in keep], [lines[i] for i in keep]
            faults = {i: f"the row has {len(words)} fields; this layout has {width}" for i, words in enumerate(fields)
                      if len(words) != width}
            for i in faults:
                fields[i] = (fields[i] + [""] * width)[:width]
        columns: list[Sequence[str]] = list(zip(*fields)) or [()] * width
        return TextCells(columns, rows=range(rows_before + 1, rows_before + 1 + len(fields)), lines=kept, raws=raws,
                         faults=faults, stripped=True, decimal_comma=False)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class BinaryTable:
    """Read a FITS, VOTable, ECSV or Parquet file."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.columns: tuple[Column, ...] = reader.columns

    def cells(self) -> Iterator[Cells]:
        """Yield the rows."""
        for chunk in self._reader.chunks(CHUNK_ROWS):
            yield ArrayCells([_flat(a, len(chunk)) for a in chunk.arrays()], chunk.numbers)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()


def tabular(path: Path, fmt: str, *, extension: str | None, delimiter: str | None) -> Table:
    """Open a table in one of the formats of `cfcore.tables`."""
    reader = open_reader(str(path), fmt, stated=True, extension=extension, delimiter=delimiter)
    return DelimitedTable(reader) if isinstance(reader, TextReader) else BinaryTable(reader)


def _header_lines(fields: Sequence[Sequence[str]], comments: set[int]) -> set[int]:
    """Return the places of the lines under the header that hold units, types or rules instead of values.

    No field of such a line is a number or a sexagesimal angle; a row of a catalogue has a position at least.
    """
    found: set[int] = set()
    for i, row in enumerate(fields):
        if i in comments:
            continue
        cells = [t.strip() for t in row]
        # one word alone is rather the name of a row without anything else
        if any(_is_value(t) for t in cells) or sum(map(bool, cells)) < 2:
            break
        # names in a file of names and blanks only: rather a row that is refused than one that is lost
        if not all(_is_unit(t) for t in cells):
            break
        found.add(i)
    return found


_UNITS = frozenset((
    "deg", "degree", "degrees", "h", "hour", "hours", "hms", "dms", "km/s", "m/s", "kms-1", "kms^-1", "mpc", "kpc", "pc", "mag",
    "mags", "dex", "arcmin", "arcsec", "rad", "int", "integer", "float", "double", "char", "string", "str", "bool", "text",
    "short", "long", "real", "msun", "lsun", "solmass", "log", "unitless", "dimensionless"))


def _is_unit(text: str) -> bool:
    word = text.strip("[]()").lower().replace(" ", "").replace(".", "")
    # A16, I5, F8.4, E10.2 are the types of printed tables; dashes are rules
    is_type = word[:1] in ("a", "i", "f", "e", "d") and word[1:].isdigit()
    return text in MISSING or word in _UNITS or is_type or not word.strip("-=+~#")


def _is_value(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return SEXAGESIMAL.fullmatch(text) is not None
    return text.lower() != "nan"


def _flat(array: np.ndarray, rows: int) -> np.ndarray:
    """Return a column of single values; vectors cannot be a quantity of a row and become empty text."""
    return array if array.ndim == 1 else np.full(rows, "", dtype="U1")


def detected(path: Path) -> str | None:
    """Return the format that the first bytes prove, None for text.

    Raises
    ------
    BadParameter
        When the file cannot be opened or is empty.
    """
    try:
        if path.is_dir():
            raise BadParameter(f"{str(path)!r:.200} is a folder; name a table", code="no_table", where="table")
        with open(path, "rb") as stream:
            head = stream.read(2048).lstrip(b"\xef\xbb\xbf")
    except OSError as exc:
        raise BadParameter(f"{str(path)!r:.200} cannot be opened ({exc.strerror}); name a file that can be read", code="no_table",
                           where="table") from exc
    if not head:
        raise BadParameter(f"{str(path)!r:.200} is empty; a catalogue has rows", code="empty_table", where="table")
    for magic, fmt in ((b"SIMPLE  =", "fits"), (b"PAR1", "parquet"), (b"# %ECSV", "ecsv"), (b"<VOTABLE", "votable")):
        if head.startswith(magic):
            return fmt
    return "votable" if head.startswith(b"<?xml") and b"VOTABLE" in head else None

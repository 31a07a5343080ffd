"""Delimited text as a table: CSV, TSV and blank-separated columns, read and written in chunks.

What a row holds goes out as it came in, character by character; a row that cannot be read costs no other row its
answer. The csv module is asked only about chunks that hold a quote: splitting costs a third of it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress, groupby, islice
from operator import itemgetter, methodcaller
from typing import IO

import numpy as np
from numpy.typing import NDArray

from . import digits
from .column_units import Column, told_unit
from .errors import BadParameter
from .tables import Chunk, Faults, NewColumn, Ranges, Reader, numbers, within

F64 = NDArray[np.float64]

_BLANK = " "
# Where these divide the columns, a comma in a number is a decimal one.
_DECIMAL_COMMA = (";", _BLANK)
_LONGEST_LINE = 1 << 20


def reader(stream: IO[bytes], name: str, fmt: str, *, extension: str | None, delimiter: str | None) -> TextReader:
    """Open delimited text."""
    if extension is not None:
        raise BadParameter(f"--extension chooses a table of a FITS or VOTable file; {name} is text", where="extension")
    return TextReader(stream, name, fmt, delimiter)


def writer(stream: IO[bytes], fmt: str, source: Reader, facts: Mapping[str, object], *, comments: bool) -> TextWriter:
    """Return a writer of delimited text."""
    return TextWriter(stream, fmt, source, facts, comments=comments)


class TextReader:
    """Read delimited text in chunks of lines.

    Raises
    ------
    BadParameter
        When there is no header line, or the bytes are not text.
    """

    def __init__(self, stream: IO[bytes], name: str, fmt: str, delimiter: str | None = None) -> None:
        self.name, self.rows, self.notes = name, None, []
        self._stream = stream
        head = stream.peek(4096)[:4096] if hasattr(stream, "peek") else b""
        if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise BadParameter(f"{name} is UTF-16 text; save it as UTF-8 (in a spreadsheet: CSV UTF-8)",
                               code="not_text", where="table")
        if b"\0" in head:
            raise BadParameter(f"{name} is no text (it holds zero bytes); name its format with --input-format",
                               code="not_text", where="table")
        try:
            self._size: int | None = os.fstat(stream.fileno()).st_size or None
        except (OSError, io.UnsupportedOperation):
            self._size = None
        # surrogateescape: bytes that are not UTF-8 go out as they came in
        self._text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
        self._line = 0
        self.comments: list[str] = []
        header = self._header(fmt)
        self.line_end = "\r\n" if header.endswith("\r\n") else "\n"
        self.header = header.rstrip("\r\n")
        self.delimiter = delimiter or self._sniff(fmt)
        names = self.split([self.header.lstrip("#") if self._commented else self.header])[0]
        if self._commented:
            names = [n.strip() for n in names]
        elif 2 * sum(map(_is_number, names)) > len(names):
            raise BadParameter(f"{name} has no header line: line {self._line} is {self.header[:60]!r}; put a line with the "
                               "names of the columns above the rows", code="no_header", where="table")
        while len(names) > 1 and not names[-1].strip():
            # a delimiter at the end of the header, as spreadsheets leave it
            names.pop()
        self.columns: tuple[Column, ...] = tuple(Column(n.strip()) for n in names)
        self.decimal_comma = False
        self.not_utf8: int | None = None
        self._kept: Ranges | None = None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield chunks of at most `rows` rows."""
        first = 0
        while lines := self._take(rows):
            if chunk := self._chunk(lines):
                for a, b in within(self._kept, first, first + len(chunk)):
                    yield chunk.cut(a, b)
                first += len(chunk)

    def keep(self, ranges: Ranges) -> None:
        """Read only some of the rows."""
        self._kept = ranges

    def fraction(self) -> float | None:
        """Return how much of the file has been read."""
        if self._size is None:
            return None
        try:
            return min(self._stream.tell() / self._size, 1.0)
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _header(self, fmt: str) -> str:
        """Read comments and the header; a commented header (``# ra dec cz``) stands right above the first numbers."""
        self._commented, self._waiting = False, []
        for line in self._text:
            self._line += 1
            self._check_line(line)
            if not line.strip():
                continue
            if not line.startswith("#"):
                if self.comments and all(_is_number(f) for f in re.split(r"[,;\t|\s]+", line.strip()) if f):
                    self._commented, self._waiting = True, [line]
                    self._line -= 1
                    return self.comments.pop()
                return line
            self.comments.append(line)
            if len(self.comments) > 10_000:
                break
        raise BadParameter(f"{self.name} has no header line and no rows" if not self.comments else
                           f"{self.name} holds comments only; a table has a header line and rows",
                           code="empty_table", where="table")

    def _sniff(self, fmt: str) -> str:
        if fmt == "tsv":
            return "\t"
        header = re.sub(r'"[^"]*"', "", self.header)
        found = [d for d in (",", ";", "\t", "|") if d in header]
        if fmt == "text" and not found:
            return _BLANK
        if not found and len(header.split()) > 1:
            raise BadParameter(f"the header of {self.name} holds blanks and none of , ; | and tab; if blanks divide the columns, "
                               "add --input-format text", code="ambiguous_delimiter", where="delimiter")
        if len(found) > 1:
            # the delimiter is the one that cuts the header and the first row alike; the other stands in names
            if not self._waiting:
                self._waiting = list(islice(self._text, 1))
            row = re.sub(r'"[^"]*"', "", "".join(self._waiting))
            found = [d for d in found if header.count(d) == row.count(d)] or found
            if len(found) > 1:
                raise BadParameter(f"the header of {self.name} holds {' and '.join(map(repr, found))}; say which one divides "
                                   "the columns with --delimiter", code="ambiguous_delimiter", where="delimiter")
        return found[0] if found else ","

    def _take(self, rows: int) -> list[str]:
        lines = [*self._waiting, *islice(self._text, max(rows - len(self._waiting), 0))]
        self._waiting = []
        self._check_line(max(lines, key=len, default=""))
        return lines

    def _check_line(self, line: str) -> None:
        if len(line) > _LONGEST_LINE:
            raise BadParameter(f"{self.name} has a line of more than {_LONGEST_LINE} characters after line {self._line}; it "
                               "is no table of text", code="not_text", where="table")

    def _chunk(self, lines: list[str]) -> TextChunk | None:
        first, block, width = self._line + 1, "".join(lines), len(self.columns)
        fields: list[list[str]] | None = None
        if self.delimiter != _BLANK and '"' in block:
            raw, fields, numbers = self._quoted(lines)
            is_plain = all(map(_encodes, raw))
        else:
            self._line += len(lines)
            raw = [line.rstrip("\r\n") for line in lines] if "\r" in block else block.split("\n")[:len(lines)]
            numbers: Sequence[int] = range(first, first + len(raw))
            is_simple = width > 1 and (self.delimiter in (",", "\t") or (self.delimiter == ";" and "," not in block))
            if not is_simple or set(map(methodcaller("count", self.delimiter), raw)) != {width - 1} or any(map(str.isspace, raw)):
                raw, numbers = self._without_blank(raw, numbers)
                fields = self.split(raw)
            is_plain = _encodes(block)
        if not raw:
            return None
        if self.not_utf8 is None and not is_plain:
            self.not_utf8 = next((n for n, line in zip(numbers, raw) if not _encodes(line)), None)
            if self.not_utf8 is not None:
                self.notes.append(f"line {self.not_utf8} holds bytes that are not UTF-8; in text they pass as they are")
        return TextChunk(self, numbers, raw, fields)

    def _without_blank(self, raw: list[str], numbers: Sequence[int]) -> tuple[list[str], Sequence[int]]:
        keep = [bool(line) and not line.isspace() for line in raw]
        if self.delimiter == _BLANK:
            keep = [k and not line.lstrip().startswith("#") for k, line in zip(keep, raw)]
        return (raw, numbers) if all(keep) else (list(compress(raw, keep)), list(compress(numbers, keep)))

    def split(self, lines: list[str]) -> list[list[str]]:
        """Return the fields of lines."""
        if self.delimiter == _BLANK:
            if any('"' in line for line in lines):
                # line by line: a quote that is never closed would take the next lines with it, and every row after them
                return [next(csv.reader([line.strip()], delimiter=_BLANK, skipinitialspace=True), []) for line in lines]
            return [line.split() for line in lines]
        if any('"' in line for line in lines):
            return list(csv.reader(lines, delimiter=self.delimiter))
        delimiter = self.delimiter
        if delimiter == "|":
            # such tables are padded to be looked at
            return [[f.strip() for f in line.split(delimiter)] for line in lines]
        return [line.split(delimiter) for line in lines]

    def _quoted(self, lines: list[str]) -> tuple[list[str], list[list[str]], list[int]]:
        """Cut lines with quotes into records; a record may span lines, also beyond the end of `lines`."""
        taken: list[str] = []

        def feed() -> Iterator[str]:
            for line in chain(lines, self._text):
                taken.append(line)
                yield line

        raw, fields, numbers, used = [], [], [], 0
        try:
            for record in csv.reader(feed(), delimiter=self.delimiter):
                number = self._line + 1
                self._line += len(taken)
                used += len(taken)
                if record and "".join(taken).strip():
                    raw.append("".join(taken).rstrip("\r\n"))
                    fields.append(record)
                    numbers.append(number)
                taken.clear()
                if used >= len(lines):
                    break
        except csv.Error as exc:
            raise BadParameter(f"line {self._line + 1} of {self.name} cannot be read ({exc}); a quote that is opened there is "
                               "perhaps never closed", code="bad_quotes", where="table") from exc
        return raw, fields, numbers


class TextChunk:
    """Hold some rows of text: the lines as they came, and their fields."""

    def __init__(self, source: TextReader, numbers: Sequence[int], raw: list[str], fields: list[list[str]] | None) -> None:
        self.source, self.numbers, self.raw = source, numbers, raw
        self.faults: Faults = {}
        self._fields = fields
        width = len(source.columns)
        if fields is not None and set(map(len, fields)) != {width}:
            self._mend(width)

    @property
    def fields(self) -> list[list[str]]:
        """The fields of each row; simple lines are cut when somebody asks for them."""
        if self._fields is None:
            self._fields = self.source.split(self.raw)
        return self._fields

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.raw)

    def cut(self, start: int, stop: int) -> TextChunk:
        """Return the rows from start to stop; this chunk is used up."""
        if (start, stop) == (0, len(self)):
            return self
        # its rows have the width of the header by now: what was wrong with them is carried over
        rest = TextChunk(self.source, self.numbers[start:stop], self.raw[start:stop], self.fields[start:stop])
        rest.faults = {i - start: fault for i, fault in self.faults.items() if start <= i < stop}
        return rest

    def _mend(self, width: int) -> None:
        """Bring every row to the width of the header; a row that had another gets a fault."""
        delimiter = self.source.delimiter
        for i, row in enumerate(self.fields):
            n = len(row)
            if n == width:
                continue
            if n < width:
                self.faults[i] = ("wrong_length", f"the row has {n} field{'s' * (n != 1)}, the header has {width}")
                self.raw[i] += delimiter * (width - n)
                self.fields[i] = row + [""] * (width - n)
                continue
            extra = row[width:]
            if any(f.strip() for f in extra):
                self.faults[i] = ("wrong_length", f"the row has {n} fields, the header has {width}; "
                                  f"{delimiter.join(extra)[:40]!r} is left out")
            self.fields[i] = row[:width]
            self.raw[i] = joined(self.fields[i], "," if delimiter == _BLANK else delimiter) if '"' in self.raw[i] \
                else delimiter.join(row[:width])

    def column(self, index: int) -> tuple[F64, Faults]:
        """Return a column as numbers."""
        texts = list(map(itemgetter(index), self.fields))
        if self.source.delimiter in _DECIMAL_COMMA and any("," in t for t in texts):
            self.source.decimal_comma = True
            texts = [t.replace(",", ".") for t in texts]
        return numbers(self.source.columns[index].name, texts)

    def floats(self, indices: Sequence[int]) -> list[F64] | None:
        """Return columns as numbers, at half the cost, when lines are simple and hold nothing but numbers there; else None."""
        if self._fields is not None:
            return None
        try:
            # numbers are read by the same function as Python's own float
            table = np.loadtxt(self.raw, dtype=float, delimiter=self.source.delimiter, usecols=indices, comments=None, ndmin=2)
        except ValueError:
            return None
        return list(np.ascontiguousarray(table.T)) if len(table) == len(self.raw) and np.isfinite(table).all() else None

    def text(self, delimiter: str) -> list[str]:
        """Return the rows as lines: as they came, unless the delimiter changes."""
        if delimiter == self.source.delimiter:
            return self.raw
        return [joined(row, delimiter) for row in self.fields]

    def arrays(self) -> list[np.ndarray]:
        """Return every column as byte strings, read as numbers or text when all rows are there."""
        out = []
        for column in zip(*self.fields):
            if self.source.delimiter in _DECIMAL_COMMA and self.source.decimal_comma:
                column = tuple(_decimal_point(t) for t in column)
            out.append(np.array([t.encode("utf-8", "surrogateescape") for t in column]))
        return out


class TextWriter:
    """Write delimited text in chunks: the rows as they came, the added columns after them."""

    def __init__(self, stream: IO[bytes], fmt: str, source: Reader, facts: Mapping[str, object], *, comments: bool) -> None:
        self._stream, self._source, self._begun = stream, source, False
        self._text_source = source if isinstance(source, TextReader) else None
        self._facts = dict(facts) if comments else {}
        self._delimiter, self._end = ("\t" if fmt == "tsv" else ","), "\n"
        if self._text_source is not None:
            self._end = self._text_source.line_end
            if fmt == "csv" and self._text_source.delimiter in (",", ";"):
                self._delimiter = self._text_source.delimiter

    def write(self, chunk: Chunk, added: Sequence[NewColumn]) -> None:
        """Add one chunk."""
        self.start(added)
        tails = self._tails(added)
        if not self._source.columns:
            self._put(f"{line}{self._end}" for line in tails)
            return
        self._put(f"{a}{self._delimiter}{b}{self._end}" for a, b in zip(chunk.text(self._delimiter), tails))

    def finish(self) -> None:
        """Write nothing: each chunk is out already."""

    def start(self, added: Sequence[NewColumn]) -> None:
        """Write the header, once."""
        if self._begun:
            return
        self._begun = True
        new = [a.name for a in added]
        text = self._text_source
        units = {c.name: c.unit for c in (*self._source.columns, *added) if c.unit}
        head = [f"# {k}: {json.dumps(v, ensure_ascii=False)}{self._end}"
                for k, v in (self._facts | {"units": units} if self._facts else {}).items()]
        if text is not None and text.delimiter == self._delimiter:
            row = text.header
            n = len(next(csv.reader([row], delimiter=self._delimiter), []))
            # what the header had behind its last name is no column
            row = row if n == len(text.columns) else self._delimiter.join(c.name for c in text.columns)
            head += [*text.comments, self._delimiter.join([row, *new]) + self._end]
        else:
            head += [joined([*map(_with_unit, self._source.columns), *new], self._delimiter) + self._end]
        self._put(head)

    def _put(self, lines: Iterator[str] | list[str]) -> None:
        self._stream.write("".join(lines).encode("utf-8", "surrogateescape"))

    def _tails(self, added: Sequence[NewColumn]) -> list[str]:
        point = "," if self._delimiter == ";" and getattr(self._source, "decimal_comma", False) else "."
        parts: list[list[str]] = []
        for is_text, group in groupby(added, lambda c: isinstance(c.values, list)):
            columns = list(group)
            if is_text:
                parts += [_texts(c.values, self._delimiter) for c in columns if isinstance(c.values, list)]
            else:
                parts.append(digits.lines([np.asarray(c.values, float) for c in columns], [c.decimals for c in columns],
                                          delimiter=self._delimiter, point=point))
        return parts[0] if len(parts) == 1 else list(map(self._delimiter.join, zip(*parts)))


def _with_unit(column: Column) -> str:
    unit = told_unit(column)
    return f"{column.name} [{unit}]" if unit else column.name


def _texts(values: list[str], delimiter: str) -> list[str]:
    """Quote texts where they need it; the few that occur are looked at once."""
    shown = {v: joined([v], delimiter) if v else "" for v in set(values)}
    return [shown[v] for v in values]


def joined(fields: Sequence[str], delimiter: str) -> str:
    """Return one line of delimited text, quoted where it must be."""
    if not any(delimiter in f or '"' in f or "\n" in f or "\r" in f for f in fields):
        return delimiter.join(fields)
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(fields)
    return text.getvalue()


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text.strip().replace(",", "."))
    except ValueError:
        return not text.strip()
    return True


def _decimal_point(text: str) -> str:
    """Return a number with a decimal comma in our spelling, other text as it is."""
    return text.replace(",", ".") if re.fullmatch(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*", text) else text

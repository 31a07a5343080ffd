"""Tables in and out: formats by suffix, chunks of rows between readers and writers, output that appears whole or not.

A reader gives `Chunk`s; a writer takes each with the columns that were added. Which library a format needs is known
to its own module, imported when the format is used: `texttable` (none), `astrotable` (astropy), `arrowtable` (pyarrow).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .column_units import Column
from .errors import BadParameter, TransientError, UsageError

F64 = NDArray[np.float64]
Faults = dict[int, tuple[str, str]]
"""Place in the chunk -> status word and reason."""
Ranges = Sequence[tuple[int, int]]
"""Of rows, counted from 0, rising: first, after the last."""

SUFFIXES: dict[str, str] = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".dat": "text", ".txt": "text", ".ecsv": "ecsv", ".fits": "fits",
    ".fit": "fits", ".fts": "fits", ".vot": "votable", ".votable": "votable", ".xml": "votable", ".parquet": "parquet",
    ".pq": "parquet"}
INPUT_FORMATS: tuple[str, ...] = ("csv", "tsv", "text", "ecsv", "fits", "votable", "parquet")
OUTPUT_FORMATS: tuple[str, ...] = tuple(f for f in INPUT_FORMATS if f != "text")
_MISSING = frozenset(("", "na", "n/a", "nan", "null", "none", "-", "--", "---", "...", "\\n", "masked"))
SEXAGESIMAL = re.compile(r"[+-]?\d+[:hHdD°\s]\s*\d+[:mM'\s]\s*\d+(\.\d*)?[sS\"]*")
_WHOLE = re.compile(rb"[+-]?(0|[1-9]\d{0,17})")
_REAL = re.compile(rb"(?![+-]?(0\d+|\d{16,})$)[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(?i:nan|inf)")
# What a file begins with, for the mistakes that are made: a FITS file called .csv, an ECSV table in a pipe.
_MAGIC = ((b"SIMPLE  =", "fits"), (b"PAR1", "parquet"), (b"# %ECSV", "ecsv"), (b"<?xml", "votable"), (b"<VOTABLE", "votable"))


class NewColumn(NamedTuple):
    """Hold one added column of a chunk: numbers or texts."""

    name: str
    values: F64 | list[str]
    unit: str
    description: str
    decimals: int | None
    ucd: str = ""


class Chunk(Protocol):
    """Hold some rows of a table."""

    numbers: Sequence[int]
    """Row numbers as the user counts them: lines of a text file (the first is 1), rows of other files."""
    faults: Faults
    """Rows that cannot be read at all, such as those with too few fields."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def column(self, index: int) -> tuple[F64, Faults]:
        """Return a column as numbers, NaN with a fault where there is none."""

    def text(self, delimiter: str) -> list[str]:
        """Return the rows as delimited lines without line ends."""

    def arrays(self) -> list[np.ndarray]:
        """Return every column as an array or masked array; text that is not read yet as byte strings."""


@runtime_checkable
class Simple(Protocol):
    """A chunk that may read several columns at once."""

    def floats(self, indices: Sequence[int]) -> list[F64] | None:
        """Return columns as numbers; None where an entry is none, and `Chunk.column` tells which."""


class Reader(Protocol):
    """Read a table."""

    name: str
    columns: tuple[Column, ...]
    """What is known of the columns may be completed before the first chunk."""
    rows: int | None
    """Rows of the table, where the format tells before the end."""
    notes: list[str]

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the table in pieces of at most so many rows, in order."""

    def keep(self, ranges: Ranges) -> None:
        """Read only some of the rows; called before the first chunk."""

    def fraction(self) -> float | None:
        """Return how much of the input has been read, None when its size is not known."""

    def close(self) -> None:
        """Let go of the file."""


class Writer(Protocol):
    """Write a table."""

    def start(self, added: Sequence[NewColumn]) -> None:
        """Say which columns would be added to a table that turns out to have no rows."""

    def write(self, chunk: Chunk, added: Sequence[NewColumn]) -> None:
        """Add one chunk."""

    def finish(self) -> None:
        """Write what is left."""


def table_format(path: str, asked: str | None, option: str) -> str:
    """Return the format of a table: what was asked for, else by the suffix, csv for pipes.

    Raises
    ------
    BadParameter
        When the suffix is none we know, or the format cannot be written.
    """
    suffix = Path(path).suffix.lower()
    fmt = asked or ("csv" if path == "-" or _is_device(Path(path)) else SUFFIXES.get(suffix))
    if fmt is None:
        raise BadParameter(f"{path!r:.200}: the suffix {suffix or 'that is missing'} tells no format; add {option} with one "
                           f"of {', '.join(INPUT_FORMATS if 'input' in option else OUTPUT_FORMATS)}", code="unknown_format",
                           where=option)
    if "output" in option and fmt not in OUTPUT_FORMATS:
        raise BadParameter(f"{path!r:.200}: blank-separated text is read, not written; write one of "
                           f"{', '.join(OUTPUT_FORMATS)}", code="unknown_format", where=option)
    return fmt


def open_reader(path: str, fmt: str, *, stated: bool, extension: str | None = None, delimiter: str | None = None,
                name: str | None = None) -> Reader:
    """Open a table, ``-`` for standard input.

    Parameters
    ----------
    path, fmt : str
    stated : bool
        Whether the user named the format; else a file that begins like another format is refused.
    extension : str, optional
        Which table of a FITS or VOTable file with several: its number or name.
    delimiter : str, optional
        Of text, when it shall not be found out.
    name : str, optional
        What the table is called in sentences; default its path.

    Raises
    ------
    UsageError
        When the file is not there, is empty, or is not of its format.
    """
    name = name or ("standard input" if path == "-" else path)
    try:
        if path == "-":
            stream: IO[bytes] = sys.stdin.buffer
        else:
            if Path(path).is_dir():
                raise BadParameter(f"{path!r:.200} is a folder; name a table", code="no_table", where="table")
            stream = open(path, "rb")
    except OSError as exc:
        raise BadParameter(f"{path!r:.200} cannot be opened ({exc.strerror})", code="no_table", where="table") from exc
    head = stream.peek(16)[:16] if hasattr(stream, "peek") else b""
    if not head:
        stream.close()
        raise BadParameter(f"{name} is empty; a table has a header line and rows", code="empty_table", where="table")
    other = next((f for magic, f in _MAGIC if head.startswith(magic)), None)
    if other and other != fmt and not stated:
        stream.close()
        raise BadParameter(f"{name} begins like {other}, not like {fmt}; add --input-format {other}",
                           code="unknown_format", where="input_format")
    try:
        reader: Reader = _room(fmt).reader(stream, name, fmt, extension=extension, delimiter=delimiter)
    except BaseException:
        stream.close()
        raise
    return reader


def open_writer(stream: IO[bytes], fmt: str, reader: Reader, facts: Mapping[str, object], *, comments: bool) -> Writer:
    """Return the writer of a format over a binary stream; `facts` is the provenance, flat."""
    writer: Writer = _room(fmt).writer(stream, fmt, reader, facts, comments=comments)
    return writer


def check_output(path: str, *, force: bool) -> None:
    """Refuse an output that exists or cannot be made, before any work is done.

    Raises
    ------
    BadParameter
    """
    place = Path(path)
    if is_stream(path):
        return
    if place.is_dir():
        raise BadParameter(f"-o {path!r:.200} is a folder; name a file", code="bad_output", where="output")
    if place.exists() and not force:
        raise BadParameter(f"{path!r:.200} is there already and stays as it is; add --force to replace it, or choose "
                           "another name", code="output_exists", where="output")
    if not place.parent.is_dir():
        raise BadParameter(f"the folder of -o {path!r:.200} is not there; make it first", code="bad_output", where="output")
    if not os.access(place.parent, os.W_OK):
        raise BadParameter(f"the folder of -o {path!r:.200} cannot be written; choose another", code="bad_output",
                           where="output")


@contextlib.contextmanager
def output(path: str, *, force: bool) -> Iterator[IO[bytes]]:
    """Give a stream to write; the file appears under its name when all went well, and not at all otherwise.

    Raises
    ------
    TransientError
        When the disk is full, or the like.
    """
    place = Path(path)
    if is_stream(path):
        try:
            if path == "-":
                yield sys.stdout.buffer
                sys.stdout.flush()
            else:
                with open(place, "wb") as stream:
                    yield stream
        except BrokenPipeError:
            raise
        except OSError as exc:
            if path == "-":
                # without this the interpreter complains once more when it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise TransientError(f"{'standard output' if path == '-' else repr(path)} cannot be written "
                                 f"({exc.strerror or exc}); free space or choose another place", code="cannot_write") from exc
        return
    # a link stays a link: what it points to is replaced
    target = place.resolve()
    draft = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with open(draft, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if target.exists() and not force:
            raise BadParameter(f"{path!r:.200} appeared while we worked and stays as it is; add --force to replace it",
                               code="output_exists", where="output")
        os.replace(draft, target)
    except OSError as exc:
        if isinstance(exc, BrokenPipeError):
            raise
        raise TransientError(f"{path!r:.200} cannot be written ({exc.strerror or exc}); nothing is left of it; free space "
                             "or choose another place", code="cannot_write") from exc
    finally:
        draft.unlink(missing_ok=True)


def numbers(name: str, texts: Sequence[str]) -> tuple[F64, Faults]:
    """Read texts as numbers; what is none becomes NaN with a fault that shows it.

    Python's own ``float`` decides, except that it would also take ``1_000``.
    """
    try:
        values = np.array(list(map(float, texts)), dtype=float)
        if np.isfinite(values).all() and "_" not in "".join(texts):
            return values, {}
    except ValueError:
        pass
    values, faults = np.full(len(texts), np.nan), {}
    for i, text in enumerate(texts):
        with contextlib.suppress(ValueError):
            values[i] = float(text) if "_" not in text else np.nan
        if not np.isfinite(values[i]):
            values[i] = np.nan
            faults[i] = _fault(name, text.strip())
    return values, faults


def finite(name: str, values: F64, missing: np.ndarray | None = None) -> tuple[F64, Faults]:
    """Give the entries that are masked, NaN or infinite a fault."""
    values = np.array(values, dtype=float)
    faults: Faults = {}
    for i in np.flatnonzero(~np.isfinite(values) | (False if missing is None else missing)).tolist():
        gone = np.isnan(values[i]) or (missing is not None and missing[i])
        faults[i] = ("missing", f"{name} is missing") if gone else ("not_finite", f"{name} = {values[i]} is not finite")
        values[i] = np.nan
    return values, faults


def typed(array: np.ndarray) -> np.ndarray:
    """Return a column of byte strings as whole numbers, numbers or text, whichever holds every value unchanged.

    Empty values are masked in numbers. Whole numbers with leading zeros or more than 15 digits that are no 64-bit
    integers are identifiers and stay text.
    """
    texts = [t.strip() for t in array.tolist()]
    filled = np.array([bool(t) for t in texts], dtype=bool)
    for pattern, kind in ((_WHOLE, np.int64), (_REAL, np.float64)):
        if filled.any() and all(pattern.fullmatch(t) for t in texts if t):
            out = np.ma.masked_all(len(texts), kind)
            out[filled] = np.array([t for t in texts if t]).astype(kind)
            return out if not filled.all() else out.data
    return np.array([t.decode("utf-8", "replace") for t in array.tolist()], dtype=str if len(texts) else "U1")


def within(ranges: Ranges | None, first: int, end: int) -> list[tuple[int, int]]:
    """Return what some ranges of rows (None: all rows) have of the rows from first to end, counted from first."""
    if ranges is None:
        return [(0, end - first)]
    return [(max(a, first) - first, min(b, end) - first) for a, b in ranges if a < end and b > first]


def unique(names: Sequence[str]) -> list[str]:
    """Return names of which no two are alike but for case: ``ra, RA`` become ``ra, RA_2``."""
    out: list[str] = []
    taken: set[str] = set()
    for i, name in enumerate(names):
        shown, n = name or f"column_{i + 1}", 1
        while shown.lower() in taken:
            n += 1
            shown = f"{name or f'column_{i + 1}'}_{n}"
        taken.add(shown.lower())
        out.append(shown)
    return out


def need(module: str, extra: str, what: str) -> UsageError:
    """Return the refusal for a library that is not installed."""
    return UsageError(f"{what} needs {module}, which is not installed; pip install 'cosmicflows[{extra}]' brings it, "
                      "CSV needs nothing", code="missing_library")


def _fault(name: str, text: str) -> tuple[str, str]:
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    if text.lower() in _MISSING:
        return "missing", f"{name} is missing" + (f" ({text})" if text else "")
    if text.lower().lstrip("+-") in ("inf", "infinity"):
        return "not_finite", f"{name} = {text} is not finite"
    if SEXAGESIMAL.fullmatch(text):
        return "not_a_number", f"{name} = {shown} looks sexagesimal; decimal degrees are needed"
    return "not_a_number", f"{name} = {shown} is not a number"


def _room(fmt: str) -> ModuleType:
    """Return the module of a format; it is imported when the format is used."""
    if fmt in ("csv", "tsv", "text"):
        from . import texttable
        return texttable
    if fmt == "parquet":
        from . import arrowtable
        return arrowtable
    from . import astrotable
    return astrotable


def is_stream(path: str) -> bool:
    """Tell whether an output is standard output, a pipe or a device: what is written there cannot be taken back."""
    return path == "-" or _is_device(Path(path))


def _is_device(place: Path) -> bool:
    return place.exists() and not place.is_file() and not place.is_dir()

"""FITS, VOTable and ECSV through astropy: whole tables in memory, with units, descriptions and provenance."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from . import votablefile
from .column_units import Column
from .errors import Ambiguous, BadParameter
from .tables import F64, Chunk, Faults, NewColumn, Ranges, Reader, finite, need, numbers, typed, unique

_NAME_MAX = 60
_NAMES = {"fits": "FITS", "votable": "VOTable", "ecsv": "ECSV"}
# a card has eight letters
CARDS = {"field": "CF_FIELD", "field_version": "CF_VERS", "field_sha256": "CF_SHA", "citation": "CF_CITE", "H0": "CF_H0",
         "Om": "CF_OM", "sigma_v": "CF_SIGV", "prior": "CF_PRIOR", "alpha": "CF_ALPHA", "cz_frame": "CF_CZFRM",
         "frame": "CF_FRAME", "composition": "CF_COMP", "observer": "CF_OBS", "use_field_sigma": "CF_USIG",
         "rmax": "CF_RMAX", "dr": "CF_DR", "columns": "CF_COLS", "sigma_cz": "CF_SIGCZ", "cfcore": "CF_CODE",
         "server": "CF_SERV", "job": "CF_JOB", "run_id": "CF_RUNID", "phase": "CF_PHASE", "rows": "CF_ROWS",
         "rows_total": "CF_NROWS", "submitted": "CF_DATE", "lon": "CF_LON", "lat": "CF_LAT", "cz": "CF_CZ"}


def reader(stream: IO[bytes], name: str, fmt: str, *, extension: str | None, delimiter: str | None) -> AstroReader:
    """Open a table of astropy's."""
    return AstroReader(stream, name, fmt, extension)


def writer(stream: IO[bytes], fmt: str, source: Reader, facts: Mapping[str, object], *, comments: bool) -> AstroWriter:
    """Return a writer through astropy."""
    return AstroWriter(stream, fmt, source, facts)


class AstroReader:
    """Read a FITS, VOTable or ECSV table.

    Raises
    ------
    UsageError
        When astropy is missing.
    BadParameter, Ambiguous
        When the file is not what its name says, or holds several tables and none is chosen.
    """

    def __init__(self, stream: IO[bytes], name: str, fmt: str, extension: str | None) -> None:
        try:
            import astropy.table  # noqa: F401
        except ModuleNotFoundError:
            raise need("astropy", "astro", f"{_NAMES[fmt]} ({name})") from None
        self.name, self.notes = name, []
        self._stream = stream
        body: IO[bytes] = stream if stream.seekable() else io.BytesIO(stream.read())
        with warnings.catch_warnings():
            # a unit or keyword that astropy does not like is no reason not to answer; ours are checked by name
            warnings.simplefilter("ignore")
            try:
                self.table: Any = _READ[fmt](body, name, extension)
            except (BadParameter, Ambiguous, MemoryError):
                raise
            except Exception as exc:
                # astropy raises many unrelated classes on damaged files
                raise BadParameter(f"{name} cannot be read as {_NAMES[fmt]} ({type(exc).__name__}: {str(exc)[:160]})",
                                   code="unreadable_table", where="table") from None
        self.columns: tuple[Column, ...] = tuple(
            Column(c.name, "" if c.unit is None else str(c.unit), str(c.description or ""), str(c.meta.get("ucd") or ""))
            for c in self.table.itercols())
        self.rows: int | None = len(self.table)
        self.numbers: Sequence[int] = range(1, len(self.table) + 1)
        self._done = 0

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield slices of the table."""
        for first in range(0, len(self.table), rows):
            chunk = TableChunk(self, first, min(first + rows, len(self.table)))
            self._done = first + len(chunk)
            yield chunk

    def keep(self, ranges: Ranges) -> None:
        """Read only some of the rows."""
        places = np.concatenate([np.empty(0, int), *(np.arange(a, min(b, len(self.table))) for a, b in ranges)])
        self.table, self.rows, self.numbers = self.table[places], len(places), (places + 1).tolist()

    def fraction(self) -> float | None:
        """Return the share of the rows handed out."""
        return self._done / max(len(self.table), 1)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class TableChunk:
    """Hold some rows of an astropy table."""

    def __init__(self, source: AstroReader, first: int, end: int) -> None:
        self._source, self._first, self._end = source, first, end
        self.numbers: Sequence[int] = source.numbers[first:end]
        self.faults: Faults = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._end - self._first

    def column(self, index: int) -> tuple[F64, Faults]:
        """Return a column as numbers."""
        name, part = self._source.columns[index].name, self._part(index)
        if part.ndim > 1 or part.dtype.kind not in "fiuSUO":
            raise BadParameter(f"column {name!r:.80} holds {'vectors' if part.ndim > 1 else part.dtype.name}, not numbers; "
                               "choose another", code="not_a_number", where=name)
        missing = np.ma.getmaskarray(part)
        if part.dtype.kind in "fiu":
            return finite(name, np.ma.getdata(part), missing)
        return numbers(name, ["" if m else _as_text(v) for v, m in zip(np.ma.getdata(part).tolist(), missing.tolist())])

    def text(self, delimiter: str) -> list[str]:
        """Return the rows as delimited lines."""
        from .texttable import joined
        return [joined(row, delimiter) for row in zip(*map(self._texts, range(len(self._source.columns))))]

    def arrays(self) -> list[np.ndarray]:
        """Return every column."""
        return [self._part(i) for i in range(len(self._source.columns))]

    def _part(self, index: int) -> np.ndarray:
        column = self._source.table.columns[index][self._first:self._end]
        return np.ma.array(column) if np.ma.isMaskedArray(column) else np.asarray(column)

    def _texts(self, index: int) -> list[str]:
        part = self._part(index)
        if part.ndim > 1:
            raise BadParameter(f"column {self._source.columns[index].name!r:.80} holds vectors, which text cannot; write "
                               "FITS, VOTable or ECSV", code="vectors", where="output_format")
        missing, data = np.ma.getmaskarray(part).tolist(), np.ma.getdata(part)
        # the shortest text of the number's own precision: 0.1 of a float32 is 0.1
        values = data if data.dtype.kind == "f" and data.dtype.itemsize < 8 else data.tolist()
        return ["" if m or v != v else _as_text(v) for v, m in zip(values, missing)]


class AstroWriter:
    """Collect a table and write it at the end."""

    def __init__(self, stream: IO[bytes], fmt: str, source: Reader, facts: Mapping[str, object]) -> None:
        try:
            import astropy.table  # noqa: F401
        except ModuleNotFoundError:
            raise need("astropy", "astro", f"writing {_NAMES[fmt]}") from None
        self._stream, self._fmt, self._source, self._facts = stream, fmt, source, facts
        self._pieces: list[list[np.ndarray]] = []
        self._added: list[list[NewColumn]] = []

    def start(self, added: Sequence[NewColumn]) -> None:
        """Remember the columns of a table without rows."""
        self._added.append(list(added))

    def write(self, chunk: Chunk, added: Sequence[NewColumn]) -> None:
        """Add one chunk."""
        if not isinstance(self._source, AstroReader):
            self._pieces.append(chunk.arrays())
        self._added.append(kept(added))

    def finish(self) -> None:
        """Write the table."""
        from astropy.table import Column as AstroColumn
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = self._source.table if isinstance(self._source, AstroReader) else self._collected()
            for i, first in enumerate(list(self._added[0])):
                values = new_values(taken(self._added, i))
                unit, description = first.unit, first.description
                if unit == "h^-1 Mpc":
                    # neither FITS nor VOTable has this unit; a wrong one would be worse than a described one
                    unit, description = "", f"{description}, in h^-1 Mpc"
                if values.dtype.kind == "O" and self._fmt != "votable":
                    # a sentence that no row needed still makes a column of one letter
                    values = _encoded(values.tolist()) if self._fmt == "fits" else values.astype(str)
                    values = values if values.dtype.itemsize else values.astype(f"{values.dtype.kind}1")
                made = AstroColumn(values) if not np.ma.isMaskedArray(values) else None
                table[first.name] = values if made is None else made
                table[first.name].unit, table[first.name].description = unit or None, description
                if first.ucd:
                    table[first.name].meta["ucd"] = first.ucd
            for column, about in zip(table.itercols(), self._source.columns):
                if about.ucd:
                    column.meta.setdefault("ucd", about.ucd)
                if about.unit and column.unit is None:
                    column.unit = about.unit
            _WRITE[self._fmt](table, self._stream, self._facts)

    def _collected(self) -> Any:
        from astropy.table import Column as AstroColumn
        from astropy.table import MaskedColumn, Table
        columns = []
        for i, (name, column) in enumerate(zip(unique([c.name for c in self._source.columns]), self._source.columns)):
            values = merged(taken(self._pieces, i))
            kind = MaskedColumn if np.ma.isMaskedArray(values) else AstroColumn
            columns.append(kind(values, name=name, unit=column.unit or None, description=column.description or None))
        return Table(columns)


def kept(added: Sequence[NewColumn]) -> list[NewColumn]:
    """Return columns that may be kept: a column of numbers is a view that would keep all of its chunk alive."""
    return [c if isinstance(c.values, list) else c._replace(values=np.array(c.values)) for c in added]


def taken(pieces: list[list[Any]], index: int) -> list[Any]:
    """Take one column out of collected chunks, so that its pieces go when it is made."""
    out = [piece[index] for piece in pieces]
    for piece in pieces:
        piece[index] = None
    return out


def merged(pieces: Sequence[np.ndarray]) -> np.ndarray:
    """Join the pieces of a column; byte strings from a text file become what they say."""
    if not pieces:
        return np.empty(0)
    whole = np.ma.concatenate(pieces) if any(np.ma.isMaskedArray(p) for p in pieces) else np.concatenate(pieces)
    return typed(whole) if whole.dtype.kind == "S" and not np.ma.isMaskedArray(whole) else whole


def new_values(pieces: Sequence[NewColumn]) -> np.ndarray:
    """Join the pieces of an added column: text (objects), whole numbers or numbers; what is unknown is masked."""
    first = pieces[0]
    if isinstance(first.values, list):
        # references: a sentence that one row needs would cost all rows its length
        return np.array([v for p in pieces for v in p.values], dtype=object)
    whole = np.concatenate([np.asarray(p.values, float) for p in pieces])
    unknown = np.isnan(whole)
    if first.decimals == 0:
        return np.ma.array(np.where(unknown, 0, whole).astype(np.int32), mask=unknown)
    return np.ma.array(whole, mask=unknown) if unknown.any() else whole


def _read_fits(stream: IO[bytes], name: str, extension: str | None) -> Any:
    from astropy.io import fits
    from astropy.table import Table
    with fits.open(stream) as hdus:
        found = [(i, str(h.name)) for i, h in enumerate(hdus) if isinstance(h, (fits.BinTableHDU, fits.TableHDU))]
        table = Table.read(hdus[_one_of(found, extension, name)], format="fits")
    # TOPCAT and we keep descriptions in these cards; they belong to the columns, whose numbers may change
    for i, column in enumerate(table.colnames):
        described = table.meta.pop(f"TCOMM{i + 1}", None)
        table[column].description = table[column].description or described
        # no standard of FITS has them, but TOPCAT, VizieR and we write them so
        said = next((table.meta.pop(key) for key in (f"TUCD{i + 1}", f"TBUCD{i + 1}") if key in table.meta), None)
        if said:
            table[column].meta["ucd"] = str(said)
    return table


def _read_votable(stream: IO[bytes], name: str, extension: str | None) -> Any:
    from astropy.io import votable
    tables = list(votable.parse(stream, verify="ignore").iter_tables())
    found = [(i + 1, str(t.name or t.ID or "")) for i, t in enumerate(tables)]
    return tables[_one_of(found, extension, name) - 1].to_table(use_names_over_ids=True)


def _read_ecsv(stream: IO[bytes], name: str, extension: str | None) -> Any:
    from astropy.table import Table
    if extension is not None:
        raise BadParameter(f"--extension chooses a table of a FITS or VOTable file; {name} is ECSV", where="extension")
    return Table.read(stream.read().decode("utf-8-sig").splitlines(), format="ascii.ecsv")


def _one_of(found: list[tuple[int, str]], extension: str | None, name: str) -> int:
    """Return the number of the table that is meant."""
    listed = ", ".join(f"{i} ({n})" if n else str(i) for i, n in found)
    if extension is not None:
        meant = [i for i, n in found if extension in (str(i), n)]
        if len(meant) != 1:
            raise BadParameter(f"--extension {extension!r:.80}: {name} has no such table; it has {listed or 'none'}",
                               code="no_table", where="extension")
        return meant[0]
    if not found:
        raise BadParameter(f"{name} holds no table", code="no_table", where="table")
    if len(found) > 1:
        raise Ambiguous(f"{name} holds {len(found)} tables; choose one with --extension: {listed}", code="ambiguous_table",
                        where="extension")
    return found[0][0]


def _write_fits(table: Any, stream: IO[bytes], facts: Mapping[str, object]) -> None:
    from astropy.io import fits
    # a name must fit into its card
    votablefile.rename(table, lambda name: _ascii(name)[:_NAME_MAX])
    for column in list(table.itercols()):
        if column.dtype.kind == "U" and not np.ma.isMaskedArray(column) and len(column):
            # FITS holds ASCII only; a character reference can be turned back. Bytes take a quarter of the memory.
            about = column.unit, column.description, column.meta
            table[column.name] = _encoded(column.tolist())
            table[column.name].unit, table[column.name].description, table[column.name].meta = about
    ucds = [column.meta.get("ucd") for column in table.itercols()]
    descriptions = {c.name: c.description for c in table.itercols() if c.description}
    units = {}
    for column in table.itercols():
        column.description = None
        if column.unit is not None and not _fits_knows(column.unit):
            # FITS has no hours of angle; the unit is told all the same, for degrees would be read without it
            units[column.name], column.unit = str(column.unit), None
    hdu = fits.table_to_hdu(table)
    for i, name in enumerate(table.colnames):
        if name in descriptions:
            hdu.header[f"TCOMM{i + 1}"] = _ascii(descriptions[name])
        if name in units:
            hdu.header[f"TUNIT{i + 1}"] = _ascii(units[name])
        if ucds[i]:
            hdu.header[f"TUCD{i + 1}"] = _ascii(ucds[i])
    for key, value in facts.items():
        if value is not None:
            hdu.header[CARDS[key]] = _ascii(value) if isinstance(value, str) else value
    hdus = fits.HDUList([fits.PrimaryHDU(), hdu])
    if stream.seekable():
        hdus.writeto(stream)
        return
    body = io.BytesIO()
    hdus.writeto(body)
    stream.write(body.getbuffer())


def _fits_knows(unit: Any) -> bool:
    try:
        unit.to_string("fits")
    except ValueError:
        return False
    return True


def _write_ecsv(table: Any, stream: IO[bytes], facts: Mapping[str, object]) -> None:
    table.convert_bytestring_to_unicode()
    table.meta["cosmicflows"] = dict(facts)
    text = io.TextIOWrapper(stream, "utf-8", newline="\n", write_through=True)
    try:
        table.write(text, format="ascii.ecsv")
    finally:
        text.detach()


def _encoded(texts: list[str]) -> np.ndarray:
    """Return texts as ASCII; a character reference can be turned back."""
    return np.array([v.encode("ascii", "xmlcharrefreplace") or b" " for v in texts])


def _as_text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _ascii(text: str) -> str:
    """Return a text as a header may hold it; a character reference can be turned back, a control character is a blank."""
    plain = text.encode("ascii", "xmlcharrefreplace").decode()
    return plain if plain.isprintable() else "".join(c if c.isprintable() else " " for c in plain)


_READ = {"fits": _read_fits, "votable": _read_votable, "ecsv": _read_ecsv}
_WRITE = {"fits": _write_fits, "votable": votablefile.write, "ecsv": _write_ecsv}

"""Parquet through pyarrow: read and written in row groups, with units and provenance in the schema's metadata."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import numpy as np

from .column_units import Column
from .errors import BadParameter
from .tables import F64, Chunk, Faults, NewColumn, Ranges, Reader, finite, need, numbers, unique, within

_GROUP_ROWS = 131_072


def reader(stream: IO[bytes], name: str, fmt: str, *, extension: str | None, delimiter: str | None) -> ParquetReader:
    """Open a Parquet file."""
    if extension is not None:
        raise BadParameter(f"--extension chooses a table of a FITS or VOTable file; {name} is Parquet", where="extension")
    return ParquetReader(stream, name)


def writer(stream: IO[bytes], fmt: str, source: Reader, facts: Mapping[str, object], *, comments: bool) -> ParquetWriter:
    """Return a writer of Parquet."""
    return ParquetWriter(stream, source, facts)


class ParquetReader:
    """Read a Parquet file in batches.

    Raises
    ------
    UsageError
        When pyarrow is missing.
    BadParameter
        When the file is no Parquet file.
    """

    def __init__(self, stream: IO[bytes], name: str) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError:
            raise need("pyarrow", "parquet", f"Parquet ({name})") from None
        self.name, self.notes = name, []
        self._stream = stream
        try:
            self.file: Any = parquet.ParquetFile(stream if stream.seekable() else io.BytesIO(stream.read()))
            self.schema: Any = self.file.schema_arrow
        except (pyarrow.ArrowException, OSError) as exc:
            raise BadParameter(f"{name} cannot be read as Parquet ({str(exc)[:160]})", code="unreadable_table",
                               where="table") from None
        self.columns: tuple[Column, ...] = tuple(Column(f.name, *_about(f.metadata)) for f in self.schema)
        self.rows: int | None = self.file.metadata.num_rows
        self._done = 0
        self._kept: Ranges | None = None

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield batches of rows."""
        import pyarrow
        try:
            for batch in self.file.iter_batches(batch_size=rows):
                if batch.num_rows:
                    first = self._done
                    self._done += batch.num_rows
                    for a, b in within(self._kept, first, self._done):
                        yield ArrowChunk(self, batch.slice(a, b - a), first + a)
        except (pyarrow.ArrowException, OSError) as exc:
            raise BadParameter(f"{self.name} cannot be read after row {self._done} ({str(exc)[:160]})",
                               code="unreadable_table", where="table") from None

    def keep(self, ranges: Ranges) -> None:
        """Read only some of the rows."""
        self._kept = ranges

    def fraction(self) -> float | None:
        """Return the share of the rows handed out."""
        return self._done / max(self.rows or 0, 1)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class ArrowChunk:
    """Hold one batch of rows."""

    def __init__(self, source: ParquetReader, batch: Any, first: int) -> None:
        self._source, self.batch = source, batch
        self.numbers: Sequence[int] = range(first + 1, first + 1 + batch.num_rows)
        self.faults: Faults = {}

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self.batch.num_rows)

    def column(self, index: int) -> tuple[F64, Faults]:
        """Return a column as numbers."""
        import pyarrow
        from pyarrow import types
        column, name = self.batch.column(index), self._source.columns[index].name
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if types.is_string(column.type) or types.is_large_string(column.type):
            return numbers(name, ["" if v is None else v for v in column.to_pylist()])
        if not (types.is_integer(column.type) or types.is_floating(column.type) or types.is_decimal(column.type)):
            raise BadParameter(f"column {name!r:.80} holds {column.type}, not numbers; choose another", code="not_a_number",
                               where=name)
        missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
        return finite(name, column.cast(pyarrow.float64(), safe=False).to_numpy(zero_copy_only=False), missing)

    def text(self, delimiter: str) -> list[str]:
        """Return the rows as delimited lines."""
        from .texttable import joined
        return [joined(row, delimiter) for row in zip(*(map(_as_text, c.to_pylist()) for c in self.batch.columns))]

    def arrays(self) -> list[np.ndarray]:
        """Return every column as an array; nulls are masked, or empty in text."""
        from pyarrow import types
        out = []
        for column, about in zip(self.batch.columns, self._source.columns):
            if types.is_nested(column.type):
                raise BadParameter(f"column {about.name!r:.80} holds {column.type}; only Parquet can take it; choose another "
                                   "output", code="vectors", where="output_format")
            if types.is_boolean(column.type) or types.is_integer(column.type) or types.is_floating(column.type):
                missing = column.is_null().to_numpy(zero_copy_only=False)
                values = column.fill_null(False if types.is_boolean(column.type) else 0).to_numpy(zero_copy_only=False)
                out.append(np.ma.array(values, mask=missing))
            else:
                out.append(np.array([_as_text(v) for v in column.to_pylist()], dtype=str))
        return out


class ParquetWriter:
    """Write Parquet: from Parquet row group by row group, from other formats at the end, when the types are known."""

    def __init__(self, stream: IO[bytes], source: Reader, facts: Mapping[str, object]) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError:
            raise need("pyarrow", "parquet", "writing Parquet") from None
        self._stream, self._source = stream, source
        self._facts = {b"cosmicflows": json.dumps(dict(facts), ensure_ascii=False).encode()}
        self._batches: list[Any] = []
        self._pieces: list[list[np.ndarray]] = []
        self._added: list[list[NewColumn]] = []
        self._out: Any = None

    def start(self, added: Sequence[NewColumn]) -> None:
        """Remember the columns of a table without rows."""
        self._added.append(list(added))

    def write(self, chunk: Chunk, added: Sequence[NewColumn]) -> None:
        """Add one chunk."""
        from .astrotable import kept
        self._added.append(kept(added))
        if not isinstance(chunk, ArrowChunk):
            self._pieces.append(chunk.arrays())
            return
        self._batches.append(chunk.batch)
        if sum(b.num_rows for b in self._batches) >= _GROUP_ROWS:
            self._flush()

    def finish(self) -> None:
        """Write what is left."""
        if self._added or self._out is None:
            self._flush()
        self._out.close()

    def _flush(self) -> None:
        import pyarrow
        from pyarrow import parquet

        from .astrotable import merged, new_values, taken
        if isinstance(self._source, ParquetReader):
            arrays = pyarrow.Table.from_batches(self._batches, self._source.schema).columns
            # a reader of ours may meet one name twice; Parquet files must not hold it twice
            fields = [_described(f.with_name(n), c) for f, n, c in zip(
                self._source.schema, unique(self._source.schema.names), self._source.columns)]
            known = self._source.schema.metadata or {}
        else:
            names = unique([c.name for c in self._source.columns])
            arrays = [_arrow(merged(taken(self._pieces, i))) for i in range(len(names))]
            fields = [_field(n, a.type, c.unit, c.description, c.ucd) for n, a, c in zip(names, arrays, self._source.columns)]
            known = {}
        arrays, fields = list(arrays), list(fields)
        for i, first in enumerate(list(self._added[0])):
            values = _arrow(new_values(taken(self._added, i)))
            arrays.append(values)
            fields.append(_field(first.name, values.type, first.unit, first.description, first.ucd))
        table = pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, metadata={**known, **self._facts}))
        if self._out is None:
            self._out = parquet.ParquetWriter(self._stream, table.schema, compression="zstd")
        self._out.write_table(table)
        self._batches, self._pieces, self._added = [], [], []


def _arrow(values: np.ndarray) -> Any:
    import pyarrow
    if values.dtype.kind == "S":
        values = np.array([v.decode("utf-8", "replace") for v in np.ma.filled(values, b"").tolist()], dtype=str)
    if values.ndim > 1:
        return pyarrow.array(np.ma.filled(values).tolist())
    if values.dtype.kind in "UO":
        return pyarrow.array(values.tolist(), type=pyarrow.string()) if values.dtype.kind == "U" else pyarrow.array(
            [None if v is np.ma.masked or v is None else str(v) for v in values], type=pyarrow.string())
    data = np.ma.getdata(values)
    # FITS holds big-endian numbers, Arrow does not
    return pyarrow.array(data.astype(data.dtype.newbyteorder("=")), mask=np.ma.getmaskarray(values))


def _field(name: str, kind: Any, unit: str, description: str, ucd: str) -> Any:
    import pyarrow
    about = {k: v for k, v in (("unit", unit), ("description", description), ("ucd", ucd)) if v}
    return pyarrow.field(name, kind, metadata=about or None)


def _described(field: Any, column: Column) -> Any:
    """Return a field of the input with what is known of its column beside what it says itself."""
    known = field.metadata or {}
    about = {k: v for k, v in ((b"unit", column.unit), (b"ucd", column.ucd)) if v and k not in known}
    return field.with_metadata({**known, **about}) if about else field


def _about(metadata: Mapping[bytes, bytes] | None) -> tuple[str, ...]:
    """Return unit, description and UCD of a column."""
    about = metadata or {}
    return tuple(about.get(key, b"").decode("utf-8", "replace") for key in (b"unit", b"description", b"ucd"))


def _as_text(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

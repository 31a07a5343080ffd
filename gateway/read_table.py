"""Read a table that a stranger sent: the one program of the gateway that opens such a file, in a process of its own.

`python -m gateway.read_table` takes a question as JSON on its standard input and answers with JSON on its standard output.
It bounds itself (`confined`: memory, time, files, no network) before it looks at the first byte; whatever a file does to it is
no more than the end of this process. `intake` has it run and says what its end means; what columns are is the business of
`cfcore`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import mmap
import os
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cfcore import tablerun, tables
from cfcore.columns import Asked, check_velocities, choose
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, UsageError

from . import confined, spool

COLUMNS_MAX = 4096
FILE_MAX = 512 << 20
"""Bytes of a table, unpacked."""
CHUNK_ROWS, CHUNK_CELLS = 20_000, 1_000_000
LOOK_ROWS, KIND_ROWS, SHOWN_ROWS, SHOWN_FAULTS, CELL = 1000, 100, 10, 10, 80
_STEP = 1 << 20
_TEXTS = ("csv", "tsv", "text")
_MAGIC = ((b"SIMPLE  =", "fits"), (b"PAR1", "parquet"), (b"# %ECSV", "ecsv"), (b"<VOTABLE", "votable"), (b"<?xml", "votable"))
_MEDIA = {"text/csv": "csv", "text/tab-separated-values": "tsv", "application/fits": "fits", "image/fits": "fits",
          "application/x-votable+xml": "votable", "text/xml": "votable", "application/xml": "votable",
          "application/vnd.apache.parquet": "parquet"}
_PACKED = ((b"PK\x03\x04", "a ZIP file (a spreadsheet is one, too: save it as CSV)"), (b"BZh", "packed with bzip2"),
           (b"\xfd7zXZ", "packed with xz"), (b"\x28\xb5\x2f\xfd", "packed with zstd"), (b"\x1f\x8b", "packed twice"),
           (b"\x89HDF", "an HDF5 file"), (b"%PDF", "a PDF file"))
# what a byte that is no UTF-8 is read as
_SURROGATE = re.compile("[\ud800-\udfff]")


def main() -> None:
    """Answer the question on standard input."""
    asked = json.loads(sys.stdin.buffer.read())
    # somebody waits for the answer
    confined.bound(asked["parent"], file_bytes=FILE_MAX + _STEP, niceness=0, **asked["limits"])
    try:
        answer: dict[str, Any] = look(asked) if asked["task"] == "look" else rows(asked)
    except CosmicFlowsError as error:
        answer = {"error": error.as_dict()}
    except MemoryError:
        answer = {"error": too_hard("it needs more memory than a table may").as_dict()}
    sys.stdout.write(json.dumps(_clean(answer, asked)))


def rows(asked: dict[str, Any]) -> dict[str, Any]:
    """Write the columns of a question to the spool; say how many rows there are, and how the table was read."""
    reader, fmt = _open(asked)
    choice, sigma = choose(reader.columns, _columns(asked), asked["kind"]), asked["sigma_cz"] or 0.0
    limit, most = asked["rows_max"], f"{asked['name']} has more than the {asked['rows_max']} rows of one job; send it in parts"
    if reader.rows is not None and reader.rows > limit:
        raise BadParameter(most, code="too_many_rows", where="table", extra={"limit": limit})
    pieces: list[tablerun.Rows] = []
    seen: list[Any] = []
    first: list[dict[str, Any]] = []
    n = bad = 0
    for chunk in reader.chunks(_chunk_rows(reader)):
        n += len(chunk)
        if n > limit:
            raise BadParameter(most, code="too_many_rows", where="table", extra={"limit": limit})
        some, faults = tablerun.rows_of(chunk, choice, sigma)
        seen.append(some.value.copy())
        _set_aside(some, faults)
        pieces.append(some)
        bad += len(faults)
        # a row is counted from 0 as in every answer over HTTP; in a text the eye looks for the line
        first += [{"row": n - len(chunk) + i, **({"line": chunk.numbers[i]} if fmt in _TEXTS else {}),
                   "status": faults[i][0], "reason": faults[i][1][:400]}
                  for i in sorted(faults)[:SHOWN_FAULTS - len(first)]]
    if not n:
        raise BadParameter(f"{asked['name']} has a header, but no rows", code="empty_table", where="table")
    if asked["kind"] == "distance":
        check_velocities(np.concatenate(seen), choice.value)
    del seen
    columns = {"lon": [p.lon for p in pieces], "lat": [p.lat for p in pieces]}
    if asked["kind"] == "distance":
        columns |= {"cz": [p.value for p in pieces], "sigma_cz": [p.sigma for p in pieces if p.sigma is not None]}
    else:
        columns["distance"] = [p.value for p in pieces]
    header, written = spool.pack({name: np.concatenate(parts) for name, parts in columns.items()})
    digest = hashlib.sha256()
    for column in written:
        digest.update(column.data)
    if os.getppid() != asked["parent"]:
        raise InternalError("whoever asked for this table is gone")
    return {**_about(reader, fmt, asked), "rows": n, "nbytes": sum(column.nbytes for column in written), "rows_sha256":
            digest.hexdigest(), "input_file": spool.write_input(Path(asked["spool"]), header, written), "choice": asdict(choice),
            "faults": {"rows": bad, "first": first}}


def _set_aside(some: tablerun.Rows, faults: tables.Faults) -> None:
    """Leave each row with a fault at least one value that is NaN, and the others, so that a result names the right column."""
    rest = np.array(sorted(faults), int)
    for values in (some.lon, some.lat, some.value, some.sigma):
        if values is not None:
            rest = rest[np.isfinite(values[rest])]
    some.value[rest] = np.nan


def look(asked: dict[str, Any]) -> dict[str, Any]:
    """Say what a table holds and which column would be read as what, or why none can be chosen."""
    reader, fmt = _open(asked)
    chunks = reader.chunks(min(LOOK_ROWS, _chunk_rows(reader)))
    chunk = next(chunks, None)
    n = reader.rows
    if n is None and (chunk is None or next(chunks, None) is None):
        n = 0 if chunk is None else len(chunk)
    choice, why = None, None
    try:
        choice = choose(reader.columns, _columns(asked), asked["kind"])
        if chunk is not None and asked["kind"] == "distance":
            check_velocities(tablerun.rows_of(chunk, choice, 0.0)[0].value, choice.value)
    except UsageError as error:
        choice, why = None, error.as_dict()
    seen = [("text", [])] * len(reader.columns) if chunk is None else _seen(chunk, len(reader.columns))
    return {**_about(reader, fmt, asked), "rows": n, "columns": [
        {**c._asdict(), "kind": kind} for c, (kind, _) in zip(reader.columns, seen)],
        "choice": None if choice is None else asdict(choice), "why": why,
        "head": [list(row) for row in zip(*(texts for _, texts in seen))]}


def too_hard(why: str) -> BadParameter:
    """Return the refusal of a table that cannot be read within the bounds."""
    return BadParameter(f"the table cannot be read here: {why}; send it as CSV or Parquet, with the columns that are needed, or "
                        "in parts", code="table_too_hard", where="table")


# ---- opening -----------------------------------------------------------------------------------------------------

def _open(asked: dict[str, Any]) -> tuple[tables.Reader, str]:
    path, name = Path(asked["file"]), asked["name"]
    _unpack(path, name)
    with open(path, "rb") as stream:
        head = stream.read(4096)
    if not head:
        raise BadParameter(f"{name} is empty; a table has a header line and rows", code="empty_table", where="table")
    fmt = _format(head, asked)
    _check_width(path, fmt, name)
    reader = tables.open_reader(str(path), fmt, stated=asked["format"] is not None, extension=asked["extension"],
                                delimiter=asked["delimiter"], name=name)
    _refuse_width(len(reader.columns), name)
    return reader, fmt


def _unpack(path: Path, name: str) -> None:
    """Put what a gzip-ed file holds in its place."""
    with open(path, "rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return
    draft, size = path.with_name(f"{path.name}.tmp"), 0
    try:
        with gzip.open(path) as packed, open(draft, "wb") as out:
            while piece := packed.read(_STEP):
                size += len(piece)
                if size > FILE_MAX:
                    raise BadParameter(f"{name} is larger than {FILE_MAX >> 20} MiB when it is unpacked; send it in parts",
                                       code="body_too_large", where="table", extra={"limit": FILE_MAX})
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        os.replace(draft, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadParameter(f"{name} begins like a gzip-ed file, but cannot be unpacked ({str(error)[:100]}); pack it again, or "
                           "send it as it is", code="unreadable_table", where="table") from None
    finally:
        draft.unlink(missing_ok=True)


def _format(head: bytes, asked: dict[str, Any]) -> str:
    """Return the format: what was asked for, else what the content says, else the end of its name, else its media type."""
    name, text = asked["name"], head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what in _PACKED:
        if head.startswith(magic):
            raise BadParameter(f"{name} is {what}; send one of {', '.join(tables.INPUT_FORMATS)}, as it is or packed with gzip",
                               code="unknown_format", where="table")
    if asked["format"] is not None:
        return str(asked["format"])
    told = next((fmt for magic, fmt in _MAGIC if head.startswith(magic) or (fmt == "votable" and text.startswith(magic))), None)
    if told is not None:
        return told
    by_name = tables.SUFFIXES.get(Path(name.lower().removesuffix(".gz")).suffix)
    if by_name is None and text[:1] in (b"{", b"["):
        raise BadParameter(f"{name} looks like JSON; send it as the body, with the header 'Content-Type: application/json'",
                           code="unknown_format", where="table")
    return by_name or _MEDIA.get(asked["media"] or "", "csv")


def _check_width(path: Path, fmt: str, name: str) -> None:
    """Count columns before a library makes something of each of them, which for a hundred thousand takes minutes."""
    if fmt == "votable":
        with open(path, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text:
            n, at = 0, -1
            while n <= COLUMNS_MAX and (at := text.find(b"FIELD", at + 1)) >= 0:
                n += text[at - 1:at] in (b"<", b":") and text[at + 5:at + 6] in b" \t\r\n/>"
        _refuse_width(n, name)
    elif fmt == "ecsv":
        with open(path, "rb") as stream:
            size = 0
            for line in iter(lambda: stream.readline(_STEP), b""):
                size += len(line)
                if size > _STEP:
                    raise too_hard(f"the header of {name} has more than {_STEP >> 20} MiB")
                if not line.startswith(b"#"):
                    _refuse_width(len(line.replace(b",", b" ").split()), name)
                    break
    elif fmt == "fits":
        _refuse_width(max(_fits_widths(path), default=0), name)


def _fits_widths(path: Path) -> Iterator[int]:
    """Yield the columns that each header of a FITS file claims, by their cards: no header is trusted with where the next is."""
    with open(path, "rb") as stream:
        while block := stream.read(2880 * 364):
            at = -1
            while (at := block.find(b"TFIELDS =", at + 1)) >= 0:
                text = block[at + 9:at + 80].partition(b"/")[0].strip()
                if at % 80 == 0 and text.isdigit():
                    yield int(text)


def _refuse_width(n: int, name: str) -> None:
    if n > COLUMNS_MAX:
        raise BadParameter(f"{name} has more than {COLUMNS_MAX} columns; send those that are needed", code="too_many_columns",
                           where="table", extra={"limit": COLUMNS_MAX})


# ---- telling -----------------------------------------------------------------------------------------------------

def _about(reader: tables.Reader, fmt: str, asked: dict[str, Any]) -> dict[str, Any]:
    return {"format": fmt, "delimiter": getattr(reader, "delimiter", None), "extension": asked["extension"],
            "notes": [note[:400] for note in reader.notes], "bytes": Path(asked["file"]).stat().st_size}


def _columns(asked: dict[str, Any]) -> Asked:
    return Asked(**asked["asked"], no_sigma=asked["sigma_cz"] is not None)


def _chunk_rows(reader: tables.Reader) -> int:
    return max(1, min(CHUNK_ROWS, CHUNK_CELLS // max(1, len(reader.columns))))


def _seen(chunk: tables.Chunk, width: int) -> list[tuple[str, list[str]]]:
    """Return of each column whether it holds numbers, text or other things, and its first values as texts."""
    try:
        arrays = chunk.arrays()
    except BadParameter:
        # Parquet can nest what no other format holds; the columns beside it are as good as ever
        arrays = [_numbers(chunk, i) for i in range(width)]
    return [_told(values) for values in arrays]


def _numbers(chunk: tables.Chunk, index: int) -> np.ndarray:
    try:
        return chunk.column(index)[0]
    except BadParameter:
        return np.empty((len(chunk), 2))


def _told(values: np.ndarray) -> tuple[str, list[str]]:
    missing, data = np.ma.getmaskarray(values), np.ma.getdata(values)
    if data.ndim != 1:
        return "other", [""] * min(len(data), SHOWN_ROWS)
    texts = ["" if gone else _text(value) for value, gone in zip(data[:KIND_ROWS].tolist(), missing)]
    is_number = data.dtype.kind in "fiu"
    if not is_number:
        filled = [t for t in texts if t.strip()]
        _, faults = tables.numbers("", filled)
        is_number = bool(filled) and sum(why != "missing" for why, _ in faults.values()) <= len(filled) // 2
    return "number" if is_number else "text", texts[:SHOWN_ROWS]


def _text(value: Any) -> str:
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    return text if len(text) <= CELL else f"{text[:CELL - 3]}..."


def _clean(value: Any, asked: dict[str, Any]) -> Any:
    """Return plain data in which every text is Unicode, none is endless, and none tells where our files are."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value).replace(asked["file"], asked["name"])[:4000]
    if isinstance(value, dict):
        return {str(k): _clean(v, asked) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(v, asked) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()

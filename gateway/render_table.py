"""Write the result of a job as a file of some format: a program of its own, `python -m gateway.render_table`.

It takes its question as JSON on its standard input and answers with JSON on its standard output. Tables are made by
`cfcore.tablerun`, from the store instead of a field; JSON and msgpack by `job_results`. `renders` starts it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
from pathlib import Path
from sqlite3 import Row
from typing import IO, Any

import orjson

from cfcore import tablerun, tables
from cfcore.errors import CosmicFlowsError, InternalError, TransientError, UsageError

from . import confined, stored_rows
from .job_shelf import Shelf
from .store import Store

TABLES = ("csv", "tsv", "ecsv", "fits", "votable", "parquet")


def main() -> None:
    """Answer the question on standard input."""
    asked = json.loads(sys.stdin.buffer.read())
    confined.bound(asked["parent"], **asked["limits"])
    try:
        answer = render(asked)
    except CosmicFlowsError as error:
        answer = {"error": error.as_dict()}
    except MemoryError:
        answer = {"error": UsageError("this result needs more memory as this format than there is for it; ask for CSV or Parquet",
                                      code="too_large_for_format", where="format").as_dict()}
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        answer = {"error": TransientError("the disk of the jobs is full; what was computed is safe; available in 60 seconds if "
                                          "it is mended", code="store_full", extra={"retry_after_s": 60}).as_dict()}
    sys.stdout.write(json.dumps(answer))
    sys.stdout.flush()


def render(asked: dict[str, Any]) -> dict[str, Any]:
    """Write the file; return its size and SHA-256.

    Raises
    ------
    CosmicFlowsError
        When the store has lost something, or a column of the table has no place in the format.
    """
    store, out = Store(Path(asked["folder"])), Path(asked["out"])
    shelf = Shelf(store)
    row = shelf.row(asked["job"])
    if row is None or row["phase"] == "ARCHIVED":
        raise InternalError("the job is gone")
    try:
        with open(out, "wb") as stream:
            if asked["format"] in TABLES:
                _table(shelf, store, row, asked["format"], asked["flow"], stream)
            else:
                _encoded(shelf, row, asked["format"], asked["flow"], stream)
        with open(out, "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return {"size": out.stat().st_size, "sha256": digest}
    except BaseException:
        with contextlib.suppress(OSError):
            out.unlink()
        raise


def _table(shelf: Shelf, store: Store, row: Row, fmt: str, flow: str, stream: IO[bytes]) -> None:
    if row["kind"] == "sightline":
        columns = stored_rows.sightline_columns(shelf, row)
        reader: tables.Reader = stored_rows.BareReader(f"job {row['id']}", len(columns[0].values))
        facts = tablerun.flat(stored_rows.sightline_facts(shelf, row), None, 0.0)
        writer = tables.open_writer(stream, fmt, reader, facts, comments=True)
        for chunk in reader.chunks(0):
            writer.write(chunk, columns)
        writer.finish()
        return
    asker = stored_rows.Stored(shelf, row, flow)
    sigma = 0.0
    if row["table_file"] is None:
        made = stored_rows.ListReader(shelf, row, asker.options)
        reader, choice = made, made.choice
    else:
        path, about = store.spool / row["table_file"], orjson.loads(row["table_about"])
        if not path.is_file():
            raise InternalError("the table of this job is gone from the store; send it again", code="input_damaged")
        reader, choice = stored_rows.table_reader(path, about)
        sigma = float(about.get("sigma_cz") or 0.0)
    if asker.kept != [(0, row["rows_total"])]:
        reader.keep(asker.kept)
    with contextlib.closing(reader):
        names = tablerun.new_names(row["kind"], flow, reader.columns, None)
        tally = tablerun.run(reader, asker, choice, names, lambda facts: tables.open_writer(
            stream, fmt, reader, facts, comments=True), sigma=sigma, is_checked=True, option="{}=")
    expected = sum(b - a for a, b in asker.kept)
    if tally.rows != expected:
        raise InternalError(f"the table has {tally.rows} rows, the result {expected}", code="input_damaged")


def _encoded(shelf: Shelf, row: Row, fmt: str, flow: str, stream: IO[bytes]) -> None:
    from . import job_results
    for piece in job_results.WRITERS[fmt][1](job_results.of_job(shelf, row, flow)):
        stream.write(piece)


if __name__ == "__main__":
    main()
    # what is left are pages of memory, which the system takes back sooner than Python does
    sys.stdout.flush()
    os._exit(0)

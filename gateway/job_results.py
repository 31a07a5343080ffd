"""A job's result as bytes for a client, piece by piece: however long it is, only some of it is in memory.

The words and columns are those of the list answers in `answers`; JSON and msgpack have one list per column, CSV one line per
row. A pass over the parts of the result collects as many columns as fit into `ROOM`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from sqlite3 import Row
from typing import Any

import msgpack
import numpy as np
import orjson
from numpy.typing import NDArray

from cfcore import distances, listed, sightlines
from cfcore.errors import TransientError
from cfcore.options import FLOW_TYPES, FlowOptions

from . import answers
from .job_shelf import Shelf

F64 = NDArray[np.float64]
ROOM = 16 << 20
"""Bytes of columns that one answer holds in memory at a time."""
STEP = 2000
"""Rows that are put in words at a time: the event loop waits for no longer than that takes."""
DOWNLOADS, DOWNLOADS_OF_ONE, DOWNLOAD_WAIT_S = 64, 16, 5
CRASHED = distances.STATUS.index("crashed")
_UNITS = {"sgx": "h^-1 Mpc", "sgy": "h^-1 Mpc", "sgz": "h^-1 Mpc", "delta": "", "inside_fraction": "", "evidence": "(km/s)^-1"}


class Downloads:
    """Bound how many long results are sent at a time: each keeps some tens of MB until its client has taken it."""

    def __init__(self) -> None:
        self._here: Counter[str] = Counter()

    @contextmanager
    def one_more(self, owner: str) -> Iterator[None]:
        """Count one in; raises `TransientError` (busy) when there are too many, of this owner or of all."""
        mine, all_ = self._here[owner], self._here.total()
        if mine >= DOWNLOADS_OF_ONE or all_ >= DOWNLOADS:
            raise TransientError(f"{mine} long results are on their way to you, {all_} in all, of at most {DOWNLOADS_OF_ONE} and "
                                 f"{DOWNLOADS}; fetch this one when another is complete, available in {DOWNLOAD_WAIT_S} seconds",
                                 code="busy", extra={"retry_after_s": DOWNLOAD_WAIT_S})
        self._here[owner] += 1
        try:
            yield
        finally:
            self._here[owner] -= 1
            if not self._here[owner]:
                del self._here[owner]


class Result:
    """Read a result for an answer; made and used in one thread at a time.

    Parameters
    ----------
    shelf : Shelf
        Of its own, since it reads for long.
    job, kind : int, str
    flow : str
        Flow type of distances.
    pair : (str, str)
        What the position was called when it was sent.
    head : dict
        What is said before the columns.
    H0 : float, km/s/Mpc
        For the roots.
    """

    def __init__(self, shelf: Shelf, job: int, kind: str, flow: str, pair: tuple[str, str], head: dict[str, Any],
                 H0: float) -> None:
        self._shelf, self._job, self._pair, self._H0 = shelf, job, pair, H0
        self._parts = [part for part in shelf.parts(job) if part["state"] in ("done", "quarantined")]
        self.has_roots = kind == "distance"
        self.places = listed.columns_of(flow) if self.has_roots else listed.velocity_columns()
        self.n = sum(part["stop"] - part["start"] for part in self._parts)
        self.head = {**({"flow_type": flow, "unit": FLOW_TYPES[flow]} if self.has_roots else {}), "n": self.n,
                     "rows": _ranges(self._parts), **head}
        self.units = {name: _UNITS.get(name, FLOW_TYPES[flow] if name in distances.SUMMARY else "km/s") for name in self.places}
        self._codes: NDArray[np.int32] | None = None

    def close(self) -> None:
        """Let go of the store."""
        self._shelf.close()

    def blocks(self, check: bool = True) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield (first row, columns) of each part; a row in quarantine has NaN and its status."""
        for part in self._parts:
            n = part["stop"] - part["start"]
            if part["state"] == "done":
                yield part["start"], self._shelf.part(self._job, part, check=check)
            else:
                width = len(distances.VALUES if self.has_roots else distances.VELOCITY_VALUES)
                codes = np.zeros((n, 3), np.int32)
                codes[:, 0] = CRASHED
                yield part["start"], {"values": np.full((n, width), np.nan), "codes": codes, "roots": np.empty((n, 0, 5))}

    def columns(self) -> Iterator[tuple[str, F64]]:
        """Yield name and values of each column, shape (n,)."""
        names = list(self.places)
        step = max(1, ROOM // max(1, 8 * self.n))
        for k in range(0, len(names), step):
            places = [self.places[name] for name in names[k:k + step]]
            table = np.empty((len(places), self.n))
            at = 0
            for _, block in self.blocks(check=k == 0):
                values = block["values"]
                table[:, at:at + len(values)] = values[:, places].T
                at += len(values)
            yield from zip(names[k:k + step], table)

    def codes(self) -> NDArray[np.int32]:
        """Return status and flags of all rows, shape (n, 2)."""
        if self._codes is None:
            # copies: a view would keep all that its part has, hundreds of MB of a million rows
            parts = [block["codes"][:, :2].copy() for _, block in self.blocks(False)]
            self._codes = np.concatenate([np.empty((0, 2), np.int32), *parts])
        return self._codes

    def lists(self) -> dict[str, Callable[[], Iterator[list[Any]]]]:
        """Return what is no number: name -> function that yields its entries some rows at a time."""
        return {**({"roots": self._roots, "flags": self.flags} if self.has_roots else {}), "status": self.status,
                **({"errors": self._faults} if self.faults else {})}

    @property
    def faults(self) -> int:
        """How many rows have no answer."""
        return int(np.count_nonzero(self.codes()[:, 0]))

    def flags(self) -> Iterator[list[list[str]]]:
        """Yield the flags of the rows."""
        known: dict[int, list[str]] = {}
        for k in range(0, self.n, STEP):
            yield [known.setdefault(b, distances.flag_words(b)) for b in self.codes()[k:k + STEP, 1].tolist()]

    def status(self) -> Iterator[list[str]]:
        """Yield the status of the rows."""
        for k in range(0, self.n, STEP):
            yield [distances.STATUS[s] for s in self.codes()[k:k + STEP, 0].tolist()]

    def _roots(self) -> Iterator[list[Any]]:
        for _, block in self.blocks(False):
            table, counts = block["roots"], block["codes"][:, 2].tolist()
            for k in range(0, len(counts), STEP):
                yield [distances.root_records(t, c, self._H0) if c else []
                       for t, c in zip(table[k:k + STEP], counts[k:k + STEP])]

    def _faults(self) -> Iterator[list[Any]]:
        for start, block in self.blocks(False):
            bad = np.flatnonzero(block["codes"][:, 0])
            if len(bad):
                sent = self._shelf.input(self._job, start, start + len(block["codes"]))
                words = [distances.STATUS[s] for s in block["codes"][bad, 0].tolist()]
                for k in range(0, len(bad), STEP):
                    yield [_moved(answers.row_fault(i, word, sent, self._pair), i, start)
                           for i, word in zip(bad[k:k + STEP].tolist(), words[k:k + STEP])]


def as_json(result: Result) -> Iterator[bytes]:
    """Yield a result as JSON; NaN is null."""
    yield orjson.dumps(result.head)[:-1] + b',"columns":{'
    for k, (name, column) in enumerate(result.columns()):
        yield (b"," if k else b"") + orjson.dumps(name) + b":["
        for i in range(0, result.n, 5 * STEP):
            piece = np.ascontiguousarray(column[i:i + 5 * STEP])
            yield (b"," if i else b"") + orjson.dumps(piece, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
        yield b"]"
    yield b"}"
    for name, entries in result.lists().items():
        yield b"," + orjson.dumps(name) + b":["
        is_first = True
        for some in entries():
            yield (b"" if is_first else b",") + orjson.dumps(some)[1:-1]
            is_first = False
        yield b"]"
    yield b"}"


def as_msgpack(result: Result) -> Iterator[bytes]:
    """Yield a result as msgpack; a column is a binary of little-endian float64."""
    packer = msgpack.Packer()
    lists = result.lists()
    yield packer.pack_map_header(len(result.head) + 2 + len(lists))
    yield b"".join(packer.pack(part) for entry in {**result.head, "dtype": "<f8"}.items() for part in entry)
    yield packer.pack("columns") + packer.pack_map_header(len(result.places))
    for name, column in result.columns():
        yield packer.pack(name) + b"\xc6" + (8 * result.n).to_bytes(4, "big")
        for i in range(0, result.n, 50 * STEP):
            yield np.ascontiguousarray(column[i:i + 50 * STEP], "<f8").tobytes()
    for name, entries in lists.items():
        yield packer.pack(name) + packer.pack_array_header(result.faults if name == "errors" else result.n)
        for some in entries():
            yield b"".join(map(packer.pack, some))


def as_csv(result: Result) -> Iterator[bytes]:
    """Yield a result as CSV: the row's place in the input, the columns, the number of roots, flags, status."""
    for key, value in result.head.items():
        yield b"# %s: %s\n" % (key.encode(), orjson.dumps(value))
    yield ("# units: " + ", ".join(f"{name} [{unit}]" for name, unit in result.units.items()) + "\n").encode()
    more = ["n_roots", "flags", "status"] if result.has_roots else ["status"]
    yield (",".join(["row", *result.places, *more]) + "\n").encode()
    places = list(result.places.values())
    known: dict[tuple[int, ...], bytes] = {}
    for start, block in result.blocks():
        for k in range(0, len(block["values"]), STEP):
            table = np.ascontiguousarray(block["values"][k:k + STEP, places])
            lines = orjson.dumps(table, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].replace(b"null", b"").split(b"],[")
            codes = [tuple(c) for c in block["codes"][k:k + STEP].tolist()]
            ends = [known.get(c) or known.setdefault(c, _end(c, result.has_roots)) for c in codes]
            yield b"".join([b"%d,%b,%b\n" % (row, line, end) for row, (line, end) in enumerate(zip(lines, ends), start + k)])


class SightlineResult(Result):
    """Read the table of a sightline: the words are those of a distance table, a row is a distance."""

    def __init__(self, shelf: Shelf, job: int, pair: tuple[str, str], head: dict[str, Any]) -> None:
        super().__init__(shelf, job, "sightline", "distance", pair, head, 0.0)
        found = shelf.part(job, self._parts[0]) if self._parts and self._parts[0]["state"] == "done" else {}
        self._table = {name: found[name][0] if found else np.empty(0) for name in sightlines.columns_of(found)}
        self.units = {name: sightlines.COLUMNS[name] for name in self._table}
        self.n = len(self._table["r_hmpc"])
        self.head |= {"n": self.n, "unit": self.units}
        self.places = {name: k for k, name in enumerate(self._table)}

    def blocks(self, check: bool = True) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
        """Yield (0, columns): the whole table."""
        if self.n:
            yield 0, {"values": np.stack(list(self._table.values()), axis=1), "codes": np.zeros((self.n, 3), np.int32)}


def of_job(shelf: Shelf, row: Row, flow: str) -> Result:
    """Return the result of a job that has ended, of its row."""
    params = orjson.loads(row["params"])
    opt = FlowOptions(**params["options"])
    head = {"job": row["id"], "kind": row["kind"], "phase": row["phase"], "rows_total": row["rows_total"],
            **answers.provenance(orjson.loads(row["field_record"]), opt)}
    pair = params["pair"][0], params["pair"][1]
    if row["kind"] == "sightline":
        return SightlineResult(shelf, row["id"], pair, head)
    return Result(shelf, row["id"], row["kind"], flow, pair, head, opt.H0)


WRITERS: dict[str, tuple[str, Callable[[Result], Iterator[bytes]]]] = {
    "json": ("application/json", as_json), "msgpack": ("application/msgpack", as_msgpack), "csv": ("text/csv", as_csv)}
"""format -> media type, writer."""


def _end(codes: tuple[int, ...], has_roots: bool) -> bytes:
    status = distances.STATUS[codes[0]]
    return (f"{codes[2]},{' '.join(distances.flag_words(codes[1]))},{status}" if has_roots else status).encode()


def _moved(fault: dict[str, Any], row: int, start: int) -> dict[str, Any]:
    """Return a fault of a row of a part as one of the whole."""
    detail = fault["detail"].replace(f"[{row}]", f"[{row + start}]", 1).replace(f"row {row} ", f"row {row + start} ", 1)
    return {**fault, "row": row + start, "detail": detail}


def _ranges(parts: list[Any]) -> list[list[int]]:
    """Return the rows there are, as few ranges [first, after the last]."""
    out: list[list[int]] = []
    for part in parts:
        if out and out[-1][1] == part["start"]:
            out[-1][1] = part["stop"]
        else:
            out.append([part["start"], part["stop"]])
    return out

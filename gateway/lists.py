"""The answer about many objects, put together from the pieces the workers wrote: names, brackets and lengths are added here."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import orjson
from aiohttp import web
from numpy.typing import NDArray

from cfcore import distances
from cfcore.listed import PER_ROW, columns_of
from cfcore.options import FLOW_TYPES, FlowOptions

from . import answers
from .batches import Answer

Piece = bytes | memoryview
CRASHED = "crashed"


def respond(flow: str, answer: Answer, sent: dict[str, answers.F64], pair: tuple[str, str], opt: FlowOptions,
            record: dict[str, Any], fmt: str) -> web.Response:
    """Return the distances of a list of objects in one flow type.

    Parameters
    ----------
    flow : str
    answer : Answer
        Of jobs with the options ``list=flow`` and ``encoding=fmt``.
    sent : dict of ndarray
        What was asked, for the words about rows that have no answer.
    pair : (str, str)
        What the client called longitude and latitude.
    opt : FlowOptions
    record : dict
        The field's.
    fmt : {"json", "msgpack"}
    """
    names = [*columns_of(flow), *PER_ROW]
    x = answer.shared.get("x")
    write = _json if fmt == "json" else _packed
    pieces = list(zip(*_segments(answer, len(names), x, fmt), strict=True))
    n = len(answer.columns["status"])
    lists = write(names, pieces, n)
    faults = _faults(answer, sent, pair)
    before = {"flow_type": flow, "unit": FLOW_TYPES[flow], "n": n}
    after = {"errors": faults} if faults else {}
    end = answers.provenance(record, opt)
    grid = [] if x is None else _grid(x, pieces[-1], n, fmt)
    if fmt == "json":
        parts = [orjson.dumps(before)[:-1], b",", *lists, *([b",", orjson.dumps(after)[1:-1]] if after else []),
                 *([b",", *grid] if grid else []), b",", orjson.dumps(end)[1:]]
        return answers.json(b"".join(parts))
    end["dtype"] = "<f8"
    count = len(before) + 1 + len(PER_ROW) + len(after) + bool(grid) + len(end)
    parts = [_head(0xde, count), *map(_pairs, (before,)), *lists, _pairs(after), *grid, _pairs(end)]
    return web.Response(body=b"".join(parts), content_type="application/msgpack")


def _segments(answer: Answer, names: int, x: NDArray[Any] | None, fmt: str) -> Iterator[list[Piece]]:
    """Give the pieces of each worker in the order of the rows; rows that crash whatever computes them are written here."""
    row, bad = 0, set(answer.bad)
    for part in answer.parts or [answer]:
        while row in bad:
            row += 1
            yield _no_answer(names, x, fmt)
        text, ends = memoryview(np.ascontiguousarray(part.shared["text"])), part.shared["ends"].tolist()
        yield [text[begin:end] for begin, end in zip([0, *ends], ends)]
        row += len(part.columns["status"])
    while row in bad:
        row += 1
        yield _no_answer(names, x, fmt)


def _no_answer(names: int, x: NDArray[Any] | None, fmt: str) -> list[Piece]:
    numbers = names - len(PER_ROW)
    nothing = np.full(0 if x is None else len(x), np.nan)
    if fmt == "json":
        curve = [] if x is None else [orjson.dumps(nothing, option=orjson.OPT_SERIALIZE_NUMPY)]
        return [*[b"null"] * numbers, b"[]", b"[]", orjson.dumps(CRASHED), *curve]
    curve = [] if x is None else [msgpack.packb(nothing.tobytes())]
    return [*[struct.pack("<d", np.nan)] * numbers, b"\x90", b"\x90", msgpack.packb(CRASHED), *curve]


def _faults(answer: Answer, sent: dict[str, answers.F64], pair: tuple[str, str]) -> list[dict[str, Any]]:
    status = answer.columns["status"]
    faults = [answers.row_fault(row, distances.STATUS[status[row]], sent, pair) for row in np.flatnonzero(status).tolist()]
    faults += [answers.row_fault(row, CRASHED, sent, pair) for row in answer.bad]
    return sorted(faults, key=lambda fault: int(fault["row"]))


def _json(names: list[str], pieces: list[tuple[Piece, ...]], n: int) -> list[Piece]:
    numbers = len(names) - len(PER_ROW)
    out: list[Piece] = [b'"columns":{']
    for i, name in enumerate(names):
        out += [b'"%b":[' % name.encode(), *_joined(pieces[i]), b"]"]
        out.append(b"}," if i == numbers - 1 else b",")
    return out[:-1]


def _packed(names: list[str], pieces: list[tuple[Piece, ...]], n: int) -> list[Piece]:
    numbers = len(names) - len(PER_ROW)
    out: list[Piece] = [msgpack.packb("columns"), _head(0xde, numbers)]
    for i, name in enumerate(names):
        out += [msgpack.packb(name), _bin_head(8 * n) if i < numbers else _head(0xdc, n), *pieces[i]]
    return out


def _grid(x: NDArray[Any], curves: tuple[Piece, ...], n: int, fmt: str) -> list[Piece]:
    if fmt == "json":
        return [b'"grid":{"x":', orjson.dumps(x, option=orjson.OPT_SERIALIZE_NUMPY), b',"pdf":[', *_joined(curves), b"]}"]
    return [msgpack.packb("grid"), _head(0xde, 2), msgpack.packb("x"), msgpack.packb(x.astype("<f8").tobytes()),
            msgpack.packb("pdf"), _head(0xdc, n), *curves]


def _joined(pieces: tuple[Piece, ...]) -> list[Piece]:
    return [part for piece in pieces for part in (b",", piece)][1:]


def _pairs(data: dict[str, Any]) -> bytes:
    """Return the entries of a mapping without its length."""
    return b"".join(msgpack.packb(part) for pair in answers.nil(data).items() for part in pair)


def _head(long: int, count: int) -> bytes:
    """Return the shortest head of a map (0xde) or an array (0xdc), as msgpack packs it."""
    if count < 16:
        return bytes([(0x80 if long == 0xde else 0x90) + count])
    return struct.pack(">BH", long, count) if count < 1 << 16 else struct.pack(">BI", long + 1, count)


def _bin_head(size: int) -> bytes:
    for mark, form, limit in ((0xc4, ">BB", 1 << 8), (0xc5, ">BH", 1 << 16)):
        if size < limit:
            return struct.pack(form, mark, size)
    return struct.pack(">BI", 0xc6, size)

"""Answers about many objects, written where they are computed: each worker writes its rows, the gateway puts them together.

A piece is the inside of one list of the answer: no brackets, no length, so that pieces of several workers join. NumPy
and orjson see whole columns; nothing here is done row by row that costs more than a look into a table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np
import orjson
from numpy.typing import NDArray

from cfcore.distances import MAX_ROOTS, STATUS, Distances, flag_words
from cfcore.errors import BadParameter
from cfcore.listed import ENCODINGS, columns_of

Columns = dict[str, NDArray[Any]]
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
ROOT_KEYS = ("r_hmpc", "d_mpc", "cz_hubble", "v_rad", "slope", "weight")
"""As `distances.root_records` has them."""
_JSON_ROOT = b"{" + b",".join(b'"%b":%%b' % key.encode() for key in ROOT_KEYS) + b"}"
_JSON_ROOTS = [b"[" + b",".join([_JSON_ROOT] * k) + b"]" for k in range(MAX_ROOTS + 1)]
_PACKED_ROOT = np.frombuffer(msgpack.packb(dict.fromkeys(ROOT_KEYS, 0.0)), np.uint8)
_FIXARRAY = 0x90


def encode(d: Distances, flow: str, encoding: str) -> tuple[Columns, Columns, dict[str, object]]:
    """Return the answer for a list as pieces of text.

    Parameters
    ----------
    d : Distances
        With `pdf` when the distribution functions are wanted.
    flow : str
        The flow type that is listed.
    encoding : {"json", "msgpack"}

    Returns
    -------
    columns, shared, info : dict
        ``status`` by row; ``text``, all pieces one after the other, and ``ends``, where each ends: the columns of
        `cfcore.listed.columns_of`, roots, flags, status, and the distribution functions, whose grid is ``x``.
    """
    if encoding not in ENCODINGS:
        raise BadParameter(f"answers are not written as {encoding!r:.40}", code="unknown_kind")
    table = np.ascontiguousarray(d.values[:, list(columns_of(flow).values())].T)
    write: Callable[[Any], bytes]
    if encoding == "json":
        pieces = [_inside(column) for column in table]
        write, glue, roots = orjson.dumps, b",", _json_roots
    else:
        pieces = [column.astype("<f8", copy=False).tobytes() for column in table]
        write, glue, roots = msgpack.packb, b"", _packed_roots
    pieces += [roots(d), _looked_up(d.flag_bits, flag_words, write, glue), _looked_up(d.status, STATUS.__getitem__, write, glue)]
    shared: Columns = {}
    if d.pdf is not None and d.x is not None:
        shared["x"] = d.x
        pieces.append(_inside(d.pdf) if encoding == "json" else b"".join(msgpack.packb(row.tobytes()) for row in d.pdf))
    ends = np.cumsum([len(piece) for piece in pieces], dtype="<i8")
    return {"status": d.status}, {"text": np.frombuffer(b"".join(pieces), np.uint8), "ends": ends, **shared}, {}


def _inside(numbers: NDArray[Any]) -> bytes:
    return orjson.dumps(numbers, option=_NUMPY)[1:-1]


def _looked_up(numbers: NDArray[Any], meaning: Callable[[int], object], write: Callable[[Any], bytes], glue: bytes) -> bytes:
    """Write the meaning of each number; there are few different ones."""
    written = {number: write(meaning(number)) for number in np.unique(numbers).tolist()}
    return glue.join([written[number] for number in numbers.tolist()])


def _roots(d: Distances) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return how many roots each row has, and all of them, one after the other, shape (total, 6)."""
    count = np.minimum(d.n_roots, MAX_ROOTS)
    found = d.root_table[np.arange(MAX_ROOTS) < count[:, None]]
    return count, np.insert(found, 1, found[:, 0] * 100.0 / d.options.H0, axis=1)


def _json_roots(d: Distances) -> bytes:
    count, records = _roots(d)
    numbers = _inside(records.reshape(-1)).split(b",") if records.size else []
    return b",".join([_JSON_ROOTS[k] for k in count.tolist()]) % tuple(numbers)


def _packed_roots(d: Distances) -> bytes:
    count, records = _roots(d)
    # keys and number marks are the same in each record, so eight bytes at six places are all that is written
    raw = np.tile(_PACKED_ROOT, (len(records), 1))
    at = 1
    for i, key in enumerate(ROOT_KEYS):
        at += len(key) + 2
        raw[:, at:at + 8] = records[:, i].astype(">f8").view(np.uint8).reshape(-1, 8)
        at += 8
    sizes = 1 + count.astype(np.int64) * len(_PACKED_ROOT)
    heads = np.cumsum(sizes) - sizes
    out = np.empty(int(sizes.sum()), np.uint8)
    is_root = np.ones(len(out), bool)
    is_root[heads] = False
    out[heads] = _FIXARRAY + count
    out[is_root] = raw.reshape(-1)
    return out.tobytes()

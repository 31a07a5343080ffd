"""The messages between gateway and workers: what they carry, how they become frames, and what is refused.

A message is `[kind, 1 byte][msgpack header][raw little-endian column] …`. This module owns the bytes and the checks;
who sends what, and when, is told in `docs/wire.md`. `unpack` validates a whole message before it returns anything: a
prototype that changed state half-way through a bad message lost 172 of 6,000 jobs to random frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial
from typing import Any

import msgpack
import numpy as np

from .messages import (
    BULK,
    CLASSES,
    INTERACTIVE,
    STATES,
    TOKEN_BYTES,
    VERSION,
    Ack,
    AskDrain,
    Bounce,
    Bye,
    Cancel,
    Columns,
    Drain,
    Heartbeat,
    Hello,
    Job,
    Message,
    Pong,
    Result,
    Welcome,
    Who,
)

__all__ = ["Ack", "AskDrain", "BULK", "Bounce", "Bye", "CLASSES", "Cancel", "Columns", "DTYPES", "Drain", "Heartbeat", "Hello",
           "INTERACTIVE", "Job", "LANE", "MAX_COLUMNS", "MAX_CONTROL", "MAX_FRAME", "MAX_HEADER", "Message", "Pong", "RESULTS",
           "Result", "STATES", "TOKEN_BYTES", "TO_GATEWAY", "TO_WORKER", "VERSION", "Welcome", "Who", "WireError", "digest",
           "pack", "pack_plain", "unpack"]
MAX_FRAME = 64 << 20
MAX_CONTROL = 256 << 10
MAX_HEADER = 16 << 10
MAX_COLUMNS = 64
MAX_MAP = 64
HEADER_ROOM = 1 << 10
"""What a header mostly fits into; for a longer one the packer gets more memory."""
DTYPES = ("<f8", "<f4", "<i8", "<i4", "|u1")

_LIMITS: dict[str, Any] = {"max_str_len": 4096, "max_bin_len": 1 << 20, "max_array_len": 65_536, "max_map_len": MAX_MAP,
                           "max_ext_len": 0, "strict_map_key": True, "raw": False}


class WireError(ValueError):
    """Say that a message is not one of ours, or cannot be sent; the receiver drops and counts it."""


Check = Callable[[Any], Any]
Rule = tuple[type, bool, int, int, str, Check | None]
"""Of a header field: its type, whether its length is bounded or its value, both bounds, what they are called, and what else must
hold. Plain data, because every message passes through all rules of its kind: a function call for each cost five times as much."""


def _integer(low: int, high: int) -> Rule:
    # the type must be int itself: a bool is no count
    return int, False, low, high, f"an integer from {low} to {high}", None


def _text(limit: int, check: Check | None = None) -> Rule:
    return str, True, 0, limit, f"text of at most {limit} characters", check


def _word(*words: str) -> Rule:
    def check(value: str) -> str:
        if value not in words:
            raise WireError(f"one of {', '.join(words)} was expected")
        return value
    return _text(64, check)


def _bytes(*lengths: int) -> Rule:
    def check(value: bytes) -> bytes:
        if len(value) not in lengths:
            raise WireError(f"{' or '.join(map(str, lengths))} bytes were expected")
        return value
    return bytes, True, min(lengths), max(lengths), f"{' or '.join(map(str, lengths))} bytes", check if lengths[1:] else None


def _list_of(limit: int, check_item: Check) -> Rule:
    return list, True, 0, limit, f"a list of at most {limit} items", lambda value: [check_item(item) for item in value]


def _mapping_of(check: Check) -> Rule:
    return dict, True, 0, MAX_MAP, f"a mapping of at most {MAX_MAP} entries", check


def _applied(rule: Rule, value: Any) -> Any:
    """Return a value that keeps a rule; raise what is wrong with it."""
    kind, is_sized, least, most, expected, check = rule
    if type(value) is not kind or not least <= (len(value) if is_sized else value) <= most:
        raise WireError(f"{expected} was expected")
    return value if check is None else check(value)


def _pair_of(first: Rule, second: Rule) -> Check:
    def check(value: Any) -> tuple[Any, Any]:
        if type(value) is not list or len(value) != 2:
            raise WireError("a pair was expected")
        return _applied(first, value[0]), _applied(second, value[1])
    return check


def _place(value: Any) -> int | str:
    return _applied(_port if type(value) is int else _address, value)


def _plain(mapping: dict[Any, Any]) -> dict[str, Any]:
    """Accept what JSON could carry too: text keys, no bytes, no deep nests."""
    _check_entries(mapping, 1)
    return mapping


def _check_entries(mapping: dict[Any, Any], depth: int) -> None:
    for key in mapping:
        if type(key) is not str or len(key) > 128:
            raise WireError("text of at most 128 characters was expected")
    _check_items(mapping.values(), depth)


def _check_items(items: Iterable[Any], depth: int) -> None:
    for item in items:
        kind = type(item)
        if depth > 8:
            raise WireError("data nested deeper than 8 levels")
        if kind in _SCALARS:
            continue
        if kind is dict:
            _check_entries(item, depth + 1)
        elif kind is list:
            _check_items(item, depth + 1)
        else:
            raise WireError(f"{kind.__name__} is not plain data")


def _plain_or_none(value: Any) -> dict[str, Any] | None:
    return None if value is None else _applied(_mapping, value)


def _field_record(value: Any) -> dict[str, Any]:
    record: dict[str, Any] = _applied(_mapping, value)
    for key in ("id", "sha"):
        if not _applied(_name, record.get(key)):
            raise WireError(f"a field without {key}")
    return record


_SCALARS = frozenset({type(None), bool, int, float, str})
_port, _address, _name = _integer(1, 65_535), _text(256), _text(128)
_count = _integer(0, 2**63 - 1)
_truth: Rule = (bool, False, 0, 1, "true or false", None)
_version = _integer(VERSION, VERSION)
_rows = _integer(0, MAX_FRAME)
_token = _bytes(TOKEN_BYTES)
_mapping = _mapping_of(_plain)
_held = _list_of(4096, _pair_of(_count, _count))
_jobs = _list_of(4096, partial(_applied, _count))
_CHECKS: dict[type, dict[str, Rule | Check]] = {
    Hello: {"v": _version, "host": _text(255), "pid": _count, "ver": _text(64),
            "fields": _list_of(1024, _field_record), "slots": _integer(1, 64), "reserve": _integer(0, 63),
            "abi": _count, "held": _held, "out": _jobs, "fresh": _truth},
    Welcome: {"v": _version, "gid": _token, "lane": _place, "results": _place, "hb_ms": _integer(10, 60_000),
              "ttl_ms": _integer(10, 600_000), "credit": _integer(1, 16), "epoch": _count},
    Heartbeat: {"seq": _count, "held": _held, "out": _jobs, "rss_mb": _count, "cur": _held},
    Pong: {"seq": _count},
    Who: {},
    Ack: {"jobs": _jobs},
    Cancel: {"jobs": _jobs, "why": _text(200)},
    AskDrain: {},
    Bounce: {"jobs": _list_of(256, _pair_of(_count, _token)), "why": _text(200)},
    Drain: {},
    Bye: {},
    Job: {"v": _version, "j": _count, "a": _count, "tok": _token, "w": _token, "kind": _text(64), "f": _name,
          "fv": _name, "ms": _count, "n": _rows, "options": _mapping,
          "cls": _word(*CLASSES), "limit": _count, "tp": _name},
    Result: {"v": _version, "j": _count, "a": _count, "tok": _token, "w": _token, "st": _word(*STATES),
             "n": _rows, "us": _count, "info": _mapping, "err": _plain_or_none, "sha": _bytes(0, 32),
             "prov": _mapping},
}
_BY_BYTE: dict[bytes, type] = {cls.kind_byte: cls for cls in _CHECKS}
_NOT_MADE = np.empty(0)
_MISSING = object()
_SMALL = 4096
"""Bytes of a column that are quicker copied than looked after."""
_KNOWN = {name: np.dtype(name) for name in DTYPES}
_SENT_AS = {np.dtype(name).newbyteorder(order): (name, order == ">" and name[0] != "|") for name in DTYPES for order in "><"}
"""dtype of a column -> its name on the wire, whether its bytes must be swapped."""
_ROOM = {Hello: MAX_CONTROL, Heartbeat: MAX_CONTROL}

TO_GATEWAY: frozenset[type] = frozenset({Hello, Heartbeat, Bounce, Drain, Bye})
RESULTS: frozenset[type] = frozenset({Result})
TO_WORKER: frozenset[type] = frozenset({Welcome, Pong, Who, Ack, Cancel, AskDrain})
LANE: frozenset[type] = frozenset({Job})


def pack(message: Message) -> list[Any]:
    """Turn a message into frames.

    Raises
    ------
    WireError
        When the header or a column is too large, a column has the wrong shape or type, or a value is not plain data.
    """
    header = {name: getattr(message, name) for name in _CHECKS[type(message)]}
    frames: list[Any] = []
    if isinstance(message, (Job, Result)):
        header["cols"] = []
        for name, column in message.columns.items():
            if column.ndim < 1 or column.shape[0] != message.n:
                raise WireError(f"column {name} has shape {column.shape}, not {message.n} rows")
            _append_column(header["cols"], frames, name, column, False)
        if isinstance(message, Result):
            for name, column in message.shared.items():
                _append_column(header["cols"], frames, name, column, True)
        if len(frames) > MAX_COLUMNS:
            raise WireError(f"{len(frames)} columns (limit {MAX_COLUMNS})")
    body = pack_plain(header)
    room = _ROOM.get(type(message), MAX_HEADER)
    if len(body) > room:
        raise WireError(f"the header of a {type(message).__name__} has {len(body)} bytes (limit {room})")
    return [message.kind_byte, body, *frames]


def digest(columns: Sequence[Any]) -> bytes:
    """Return the SHA-256 over column frames, in their order: what `Result.sha` holds."""
    total = hashlib.sha256()
    for column in columns:
        total.update(column)
    return total.digest()


def pack_plain(value: Any) -> bytes:
    """Encode plain data; equal bytes mean equal data, which makes them a key for merging requests."""
    try:
        packed: bytes = msgpack.Packer(default=_unbox, buf_size=HEADER_ROOM).pack(value)
        return packed
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"not plain data: {error}") from None


def _unbox(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot send {type(value).__name__}")


def _append_column(descriptors: list[dict[str, Any]], frames: list[Any], name: str, column: np.ndarray,
                   is_shared: bool) -> None:
    dtype, is_swapped = _SENT_AS.get(column.dtype, ("", False))
    if not dtype or column.ndim > 3:
        raise WireError(f"column {name}: {column.dtype} with {column.ndim} axes cannot be sent")
    if column.nbytes > MAX_FRAME:
        raise WireError(f"column {name} has {column.nbytes} bytes (limit {MAX_FRAME})")
    descriptor: dict[str, Any] = {"name": name, "dtype": dtype, "shape": column.shape}
    if is_shared:
        descriptor["shared"] = True
    descriptors.append(descriptor)
    if is_swapped or not column.flags.c_contiguous:
        column = np.asarray(column, dtype, order="C")
    frames.append(column.tobytes() if column.nbytes <= _SMALL else column.reshape(-1).data)


def unpack(frames: Sequence[Any], allowed: Container[type], *, with_columns: bool = True) -> Any:
    """Read and validate one whole message.

    Parameters
    ----------
    frames : sequence of buffers
        Kind, header, columns; bytes or zmq frames. Columns of the answer point into them (read-only, no copy).
    allowed : container of message classes
        What may arrive on this socket, such as `TO_GATEWAY`.
    with_columns : bool
        Off: columns are checked against their description, but not made; for who passes the frames on.

    Raises
    ------
    WireError
        On anything unexpected; nothing else is raised, whatever the bytes.
    """
    if len(frames) < 2:
        raise WireError("a message has at least two frames")
    cls = _BY_BYTE.get(bytes(frames[0])) if len(frames[0]) == 1 else None
    if cls is None or cls not in allowed:
        raise WireError("unknown kind of message")
    if len(frames[1]) > _ROOM.get(cls, MAX_HEADER):
        raise WireError(f"header of {len(frames[1])} bytes")
    try:
        header = msgpack.unpackb(frames[1], **_LIMITS)
    except Exception as error:  # msgpack has no common base class for its refusals
        raise WireError(f"bad header: {error}") from None
    if type(header) is not dict:
        raise WireError("the header is not a mapping")
    values: dict[str, Any] = {}
    for name, rule in _CHECKS[cls].items():
        value = header.get(name, _MISSING)
        if value is _MISSING:
            raise WireError(f"{cls.__name__} without {name}")
        try:
            if type(rule) is tuple:
                # what `_applied` does, without the call
                kind, is_sized, least, most, expected, check = rule
                if type(value) is not kind or not least <= (len(value) if is_sized else value) <= most:
                    raise WireError(f"{expected} was expected")
                values[name] = value if check is None else check(value)
            else:
                values[name] = rule(value)
        except WireError as error:
            raise WireError(f"{cls.__name__}.{name}: {error}") from None
    if cls is Job or cls is Result:
        columns, shared = _read_columns(header.get("cols"), frames[2:], values["n"], with_columns)
        values["columns"] = columns
        if cls is Result:
            values["shared"] = shared
            if (values["st"] == "ok") != (values["err"] is None):
                raise WireError("a result carries an error exactly when its state is not ok")
        elif shared:
            raise WireError("a job has no shared columns")
    elif len(frames) != 2:
        raise WireError("unexpected frames")
    return cls(**values)


def _read_columns(descriptors: Any, frames: Sequence[Any], n: int, with_columns: bool) -> tuple[Columns, Columns]:
    if type(descriptors) is not list or len(descriptors) > MAX_COLUMNS or len(descriptors) != len(frames):
        raise WireError("columns and frames do not match")
    columns: Columns = {}
    shared: Columns = {}
    for descriptor, frame in zip(descriptors, frames, strict=True):
        if type(descriptor) is not dict:
            raise WireError("a column descriptor is not a mapping")
        name, dtype, shape = descriptor.get("name"), descriptor.get("dtype"), descriptor.get("shape")
        is_shared = descriptor.get("shared", False)
        if type(name) is not str or not 0 < len(name) <= 64 or name in columns or name in shared:
            raise WireError("a column without a name of its own")
        if type(dtype) is not str or dtype not in _KNOWN or type(is_shared) is not bool:
            raise WireError(f"column {name}: unknown dtype")
        if type(shape) is not list or len(shape) > 3:
            raise WireError(f"column {name}: bad shape")
        nbytes = _KNOWN[dtype].itemsize
        for k in shape:
            if type(k) is not int or not 0 <= k <= MAX_FRAME:
                raise WireError(f"column {name}: bad shape")
            nbytes *= k
        if nbytes != len(frame):
            raise WireError(f"column {name}: its bytes do not fill its shape")
        if not is_shared and (not shape or shape[0] != n):
            raise WireError(f"column {name}: not {n} rows")
        (shared if is_shared else columns)[name] = _view(frame, dtype, shape) if with_columns else _NOT_MADE
    return (columns, shared) if with_columns else ({}, {})


def _view(frame: Any, dtype: str, shape: list[int]) -> np.ndarray:
    if len(frame) == 0:
        return np.empty(shape, dtype)
    column: np.ndarray = np.ndarray(shape, _KNOWN[dtype], frame)
    # libzmq hands out messages at any address of its receive buffer; compiled loops want aligned numbers.
    return column if column.flags.aligned else column.copy()

"""The messages between gateway and workers: what they carry, how they become frames, and what is refused.

A message is `[kind, 1 byte][msgpack header][raw little-endian column] …`. This module owns the bytes and the checks;
who sends what, and when, is told in `docs/wire.md`. `unpack` validates a whole message before it returns anything: a
prototype that changed state half-way through a bad message lost 172 of 6,000 jobs to random frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgpack
import numpy as np

VERSION = 1
MAX_FRAME = 64 << 20
MAX_CONTROL = 256 << 10
MAX_HEADER = 16 << 10
MAX_COLUMNS = 64
TOKEN_BYTES = 16
DTYPES = ("<f8", "<f4", "<i8", "<i4", "|u1")

Columns = dict[str, np.ndarray]
_LIMITS: dict[str, Any] = {"max_str_len": 4096, "max_bin_len": 1 << 20, "max_array_len": 65_536, "max_map_len": 64,
                           "max_ext_len": 0, "strict_map_key": True, "raw": False}


class WireError(ValueError):
    """Say that a message is not one of ours, or cannot be sent; the receiver drops and counts it."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker to gateway: who I am, which fields I have, what I still hold."""

    kind_byte: ClassVar[bytes] = b"H"
    host: str
    pid: int
    ver: str
    fields: list[dict[str, Any]]
    slots: int
    held: list[tuple[int, int]] = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Welcome:
    """Gateway to worker: which gateway this is, your lane, where results go, and the beat."""

    kind_byte: ClassVar[bytes] = b"W"
    gid: bytes
    lane: int | str
    results: int | str
    hb_ms: int
    ttl_ms: int
    credit: int
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Worker to gateway: I am here; these (job, attempt) I hold, the results of these wait for an ACK."""

    kind_byte: ClassVar[bytes] = b"B"
    seq: int
    held: list[tuple[int, int]]
    out: list[int]
    rss_mb: int = 0


@dataclass(frozen=True, slots=True)
class Pong:
    """Gateway to worker: I am here. Also the probe that finds a dead worker."""

    kind_byte: ClassVar[bytes] = b"P"
    seq: int


@dataclass(frozen=True, slots=True)
class Who:
    """Gateway to worker: I do not know you, say HELLO."""

    kind_byte: ClassVar[bytes] = b"?"


@dataclass(frozen=True, slots=True)
class Ack:
    """Gateway to worker: the results of these jobs have arrived, forget them."""

    kind_byte: ClassVar[bytes] = b"A"
    jobs: list[int]


@dataclass(frozen=True, slots=True)
class Bounce:
    """Worker to gateway: these (job, token) I will not run, give them to somebody else."""

    kind_byte: ClassVar[bytes] = b"O"
    jobs: list[tuple[int, bytes]]
    why: str


@dataclass(frozen=True, slots=True)
class Drain:
    """Worker to gateway: no more jobs, please; I finish what I hold."""

    kind_byte: ClassVar[bytes] = b"D"


@dataclass(frozen=True, slots=True)
class Bye:
    """Worker to gateway: I leave and hold nothing."""

    kind_byte: ClassVar[bytes] = b"Y"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Gateway to worker, on its lane: compute this. Every column has `n` rows."""

    kind_byte: ClassVar[bytes] = b"J"
    j: int
    a: int
    tok: bytes
    w: bytes
    kind: str
    f: str
    fv: str
    ms: int
    n: int
    options: dict[str, Any]
    columns: Columns = field(default_factory=dict)
    v: int = VERSION


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """Worker to gateway: the columns (`n` rows each), the shared columns (no rows), or the error of a job."""

    kind_byte: ClassVar[bytes] = b"R"
    j: int
    a: int
    tok: bytes
    w: bytes
    st: str
    n: int
    us: int
    info: dict[str, Any] = field(default_factory=dict)
    err: dict[str, Any] | None = None
    columns: Columns = field(default_factory=dict)
    shared: Columns = field(default_factory=dict)
    v: int = VERSION


Message = Hello | Welcome | Heartbeat | Pong | Who | Ack | Bounce | Drain | Bye | Job | Result
Check = Callable[[Any], Any]


def _integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        # `type is`: True would pass isinstance, and a bool is no count.
        if type(value) is not int or not low <= value <= high:
            raise WireError(f"an integer from {low} to {high} was expected")
        return value
    return check


def _text(limit: int) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str or len(value) > limit:
            raise WireError(f"text of at most {limit} characters was expected")
        return value
    return check


def _word(*words: str) -> Check:
    def check(value: Any) -> str:
        if type(value) is not str or value not in words:
            raise WireError(f"one of {', '.join(words)} was expected")
        return value
    return check


def _list_of(check_item: Check, limit: int) -> Check:
    def check(value: Any) -> list[Any]:
        if type(value) is not list or len(value) > limit:
            raise WireError(f"a list of at most {limit} items was expected")
        return [check_item(item) for item in value]
    return check


def _pair_of(first: Check, second: Check) -> Check:
    def check(value: Any) -> tuple[Any, Any]:
        if type(value) is not list or len(value) != 2:
            raise WireError("a pair was expected")
        return first(value[0]), second(value[1])
    return check


def _token(value: Any) -> bytes:
    if type(value) is not bytes or len(value) != TOKEN_BYTES:
        raise WireError(f"{TOKEN_BYTES} bytes were expected")
    return value


def _place(value: Any) -> int | str:
    return _integer(1, 65_535)(value) if type(value) is int else _text(256)(value)


def _plain(value: Any, depth: int = 0) -> Any:
    """Accept what JSON could carry too: text keys, no bytes, no deep nests."""
    if depth > 8:
        raise WireError("data nested deeper than 8 levels")
    if type(value) is dict:
        for key, item in value.items():
            _text(128)(key)
            _plain(item, depth + 1)
    elif type(value) is list:
        for item in value:
            _plain(item, depth + 1)
    elif value is not None and type(value) not in (bool, int, float, str):
        raise WireError(f"{type(value).__name__} is not plain data")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise WireError("a mapping was expected")
    return _plain(value)


def _mapping_or_none(value: Any) -> dict[str, Any] | None:
    return None if value is None else _mapping(value)


def _field_record(value: Any) -> dict[str, Any]:
    record = _mapping(value)
    for key in ("id", "sha"):
        if not _text(128)(record.get(key)):
            raise WireError(f"a field without {key}")
    return record


_count = _integer(0, 2**63 - 1)
_version = _integer(VERSION, VERSION)
_rows = _integer(0, MAX_FRAME)
_held = _list_of(_pair_of(_count, _count), 4096)
_jobs = _list_of(_count, 4096)
_CHECKS: dict[type, dict[str, Check]] = {
    Hello: {"v": _version, "host": _text(255), "pid": _count, "ver": _text(64),
            "fields": _list_of(_field_record, 1024), "slots": _integer(1, 64), "held": _held, "out": _jobs},
    Welcome: {"v": _version, "gid": _token, "lane": _place, "results": _place, "hb_ms": _integer(10, 60_000),
              "ttl_ms": _integer(10, 600_000), "credit": _integer(1, 16)},
    Heartbeat: {"seq": _count, "held": _held, "out": _jobs, "rss_mb": _count},
    Pong: {"seq": _count},
    Who: {},
    Ack: {"jobs": _jobs},
    Bounce: {"jobs": _list_of(_pair_of(_count, _token), 256), "why": _text(64)},
    Drain: {},
    Bye: {},
    Job: {"v": _version, "j": _count, "a": _count, "tok": _token, "w": _token, "kind": _text(64), "f": _text(128),
          "fv": _text(128), "ms": _count, "n": _rows, "options": _mapping},
    Result: {"v": _version, "j": _count, "a": _count, "tok": _token, "w": _token, "st": _word("ok", "error"),
             "n": _rows, "us": _count, "info": _mapping, "err": _mapping_or_none},
}
_BY_BYTE: dict[bytes, type] = {cls.kind_byte: cls for cls in _CHECKS}
_ROOM = {Hello: MAX_CONTROL, Heartbeat: MAX_CONTROL}

TO_GATEWAY: frozenset[type] = frozenset({Hello, Heartbeat, Bounce, Drain, Bye})
RESULTS: frozenset[type] = frozenset({Result})
TO_WORKER: frozenset[type] = frozenset({Welcome, Pong, Who, Ack})
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


def pack_plain(value: Any) -> bytes:
    """Encode plain data; equal bytes mean equal data, which makes them a key for merging requests."""
    try:
        return msgpack.packb(value, default=_unbox)
    except (TypeError, ValueError, OverflowError) as error:
        raise WireError(f"not plain data: {error}") from None


def _unbox(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot send {type(value).__name__}")


def _append_column(descriptors: list[dict[str, Any]], frames: list[Any], name: str, column: np.ndarray,
                   is_shared: bool) -> None:
    dtype = column.dtype.newbyteorder("<").str
    if dtype not in DTYPES or column.ndim > 3:
        raise WireError(f"column {name}: {column.dtype} with {column.ndim} axes cannot be sent")
    if column.nbytes > MAX_FRAME:
        raise WireError(f"column {name} has {column.nbytes} bytes (limit {MAX_FRAME})")
    column = np.asarray(column, dtype, order="C")
    descriptor: dict[str, Any] = {"name": name, "dtype": dtype, "shape": list(column.shape)}
    if is_shared:
        descriptor["shared"] = True
    descriptors.append(descriptor)
    frames.append(column.reshape(-1).data if column.size else b"")


def unpack(frames: Sequence[Any], allowed: Container[type]) -> Any:
    """Read and validate one whole message.

    Parameters
    ----------
    frames : sequence of buffers
        Kind, header, columns; bytes or zmq frames. Columns of the answer point into them (read-only, no copy).
    allowed : container of message classes
        What may arrive on this socket, such as `TO_GATEWAY`.

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
    for name, check in _CHECKS[cls].items():
        if name not in header:
            raise WireError(f"{cls.__name__} without {name}")
        try:
            values[name] = check(header[name])
        except WireError as error:
            raise WireError(f"{cls.__name__}.{name}: {error}") from None
    if cls is Job or cls is Result:
        columns, shared = _read_columns(header.get("cols"), frames[2:], values["n"])
        values["columns"] = columns
        if cls is Result:
            values["shared"] = shared
            if (values["st"] == "error") != (values["err"] is not None):
                raise WireError("a result carries an error exactly when its state is error")
        elif shared:
            raise WireError("a job has no shared columns")
    elif len(frames) != 2:
        raise WireError("unexpected frames")
    return cls(**values)


def _read_columns(descriptors: Any, frames: Sequence[Any], n: int) -> tuple[Columns, Columns]:
    if type(descriptors) is not list or len(descriptors) > MAX_COLUMNS or len(descriptors) != len(frames):
        raise WireError("columns and frames do not match")
    columns: Columns = {}
    shared: Columns = {}
    for descriptor, frame in zip(descriptors, frames, strict=True):
        if type(descriptor) is not dict:
            raise WireError("a column descriptor is not a mapping")
        name, dtype, shape = (descriptor.get(key) for key in ("name", "dtype", "shape"))
        is_shared = descriptor.get("shared", False)
        if type(name) is not str or not 0 < len(name) <= 64 or name in columns or name in shared:
            raise WireError("a column without a name of its own")
        if type(dtype) is not str or dtype not in DTYPES or type(is_shared) is not bool:
            raise WireError(f"column {name}: unknown dtype")
        if type(shape) is not list or len(shape) > 3 \
                or not all(type(k) is int and 0 <= k <= MAX_FRAME for k in shape):
            raise WireError(f"column {name}: bad shape")
        if math.prod(shape) * int(dtype[2]) != len(frame):
            raise WireError(f"column {name}: its bytes do not fill its shape")
        if not is_shared and (not shape or shape[0] != n):
            raise WireError(f"column {name}: not {n} rows")
        (shared if is_shared else columns)[name] = _view(frame, dtype, shape)
    return columns, shared


def _view(frame: Any, dtype: str, shape: list[int]) -> np.ndarray:
    if len(frame) == 0:
        return np.empty(shape, dtype)
    column = np.frombuffer(frame, dtype).reshape(shape)
    # libzmq hands out messages at any address of its receive buffer; compiled loops want aligned numbers.
    return column if column.flags.aligned else column.copy()

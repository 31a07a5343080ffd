"""The messages that gateway and workers exchange: what each carries. Their bytes and checks are the business of `wire`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

VERSION = 1
TOKEN_BYTES = 16
INTERACTIVE, BULK = "interactive", "bulk"
CLASSES = (INTERACTIVE, BULK)
STATES = ("ok", "error", "crash", "timeout")

Columns = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Hello:
    """Worker to gateway: who I am, which fields I have, what I still hold.

    `slots` jobs can be computed at once, `reserve` of them only interactive ones; `abi` is the number of the kernel.
    `fresh`: my connections may be dead without anybody having been told, so give me a new lane.
    """

    kind_byte: ClassVar[bytes] = b"H"
    host: str
    pid: int
    ver: str
    fields: list[dict[str, Any]]
    slots: int
    reserve: int = 0
    abi: int = 0
    held: list[tuple[int, int]] = field(default_factory=list)
    out: list[int] = field(default_factory=list)
    fresh: bool = False
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Welcome:
    """Gateway to worker: which gateway this is, your lane, where results go, and the beat.

    `gid` is the gateway's durable identity, `epoch` counts its starts: with the same `gid` and another `epoch` it was
    started again and still wants the results of bulk jobs.
    """

    kind_byte: ClassVar[bytes] = b"W"
    gid: bytes
    lane: int | str
    results: int | str
    hb_ms: int
    ttl_ms: int
    credit: int
    epoch: int = 0
    v: int = VERSION


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Worker to gateway: I am here; these (job, attempt) I hold, the results of these wait for an ACK.

    `cur` tells for each job under computation how long it has run: (job, milliseconds).
    """

    kind_byte: ClassVar[bytes] = b"B"
    seq: int
    held: list[tuple[int, int]]
    out: list[int]
    rss_mb: int = 0
    cur: list[tuple[int, int]] = field(default_factory=list)


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
class Cancel:
    """Gateway to worker: nobody wants these jobs any more; let go of them and say so (BOUNCE)."""

    kind_byte: ClassVar[bytes] = b"C"
    jobs: list[int]
    why: str


@dataclass(frozen=True, slots=True)
class AskDrain:
    """Gateway to worker: please drain, as if you had got SIGTERM."""

    kind_byte: ClassVar[bytes] = b"Q"


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


# Jobs and results are not frozen, though nobody changes them: a frozen one costs four times as much to make, and there are many.

@dataclass(slots=True, eq=False)
class Job:
    """Gateway to worker, on its lane: compute this. Every column has `n` rows.

    `ms` is the time left until nobody wants the answer (0: no end), `limit` the time one computation may take (0: the
    worker's own limit); both are relative, so that no two clocks need to agree. `tp` is a W3C traceparent or empty.
    """

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
    cls: str = INTERACTIVE
    limit: int = 0
    tp: str = ""
    v: int = VERSION


@dataclass(slots=True, eq=False)
class Result:
    """Worker to gateway: the columns (`n` rows each), the shared columns (no rows), or the error of a job.

    `st` is ``ok``; ``error``: the job is wrong and would be elsewhere; ``crash`` or ``timeout``: the process that computed
    it died or took too long, and only this job is to blame. `sha` is the SHA-256 over the column frames in their order
    (`wire.digest`), `prov` says what computed it: ``{"cf", "fv", "abi"}``.
    """

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
    sha: bytes = b""
    prov: dict[str, Any] = field(default_factory=dict)
    columns: Columns = field(default_factory=dict)
    shared: Columns = field(default_factory=dict)
    v: int = VERSION


Message = (Hello | Welcome | Heartbeat | Pong | Who | Ack | Cancel | AskDrain | Bounce | Drain | Bye | Job | Result)

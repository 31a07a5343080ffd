"""What a stranger may send: noise, broken messages, forged ones, and bytes that are no ZeroMQ at all. All by lot."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

import msgpack
import numpy as np

from cfcore import wire

NAMES = ("v", "j", "a", "tok", "w", "st", "n", "us", "info", "err", "cols", "held", "out", "fields", "slots", "jobs", "why",
         "sha", "gid", "lane", "epoch", "hb_ms", "cls", "limit", "options", "prov", "cur", "name", "dtype", "shape", "shared",
         "id")


def good(rng: Random, worker: bytes, job: int) -> list[wire.Message]:
    """Return one message of each kind that the rules of the wire allow; only the tokens are wrong."""
    token = rng.randbytes(16)
    x = np.array([rng.random()])
    return [wire.Hello("h", 1, "1", [{"id": "evil", "sha": "1"}], 2, held=[(job, 1)], out=[job]),
            wire.Heartbeat(rng.randrange(9), [(job, 1)], [job], 1, [(job, 5)]), wire.Bounce([(job, token)], "x"), wire.Drain(),
            wire.Bye(), wire.Welcome(token, 5600, 5572, 1000, 4000, 3), wire.Who(), wire.Ack([job]), wire.Cancel([job], "x"),
            wire.AskDrain(), wire.Pong(1),
            wire.Job(job, 1, token, worker, "double", "toy", "1", 5000, 1, {"k": 1}, {"x": x}),
            *result(rng, worker, job, token)]


def result(rng: Random, worker: bytes, job: int, token: bytes) -> list[wire.Message]:
    """Return results of every state, with a token that was never given out."""
    x = np.array([666.0])
    err = {"kind": "fatal", "code": "worker_crash", "message": "x"}
    return [wire.Result(job, 1, token, worker, "ok", 1, 1, columns={"x": x}, sha=wire.digest([x.data])),
            *(wire.Result(job, 1, token, worker, state, 0, 1, err=err) for state in ("error", "crash", "timeout"))]


def value(rng: Random, depth: int = 0) -> Any:
    """Return any value msgpack can carry."""
    pick = rng.randrange(12 if depth < 3 else 9)
    if pick == 11:
        return {rng.choice(NAMES) if rng.random() < 0.9 else rng.randrange(9): value(rng, depth + 1)
                for _ in range(rng.randrange(6))}
    if pick >= 9:
        return [value(rng, depth + 1) for _ in range(rng.randrange(5))]
    return (None, True, rng.randrange(-2**63, 2**64), rng.randrange(-3, 70), rng.random(), float("nan"), "s" * rng.randrange(300),
            rng.randbytes(rng.choice((0, 15, 16, 17, 32, 400))), msgpack.ExtType(3, b"x"))[pick]


def broken(rng: Random, message: wire.Message) -> list[bytes]:
    """Break a message somewhere: a header field, a frame, some bytes."""
    frames = [bytes(frame) for frame in wire.pack(message)]
    for _ in range(rng.choice((1, 1, 2, 4))):
        how = rng.randrange(8)
        k = rng.randrange(len(frames)) if frames else 0
        if how <= 2 and len(frames) > 1:
            try:
                header = dict(msgpack.unpackb(frames[1], strict_map_key=False))
                name = rng.choice([*header, rng.choice(NAMES)])
                if how == 0:
                    header.pop(name, None)
                else:
                    header[name] = value(rng)
                frames[1] = msgpack.packb(header)
            except (ValueError, TypeError, OverflowError, msgpack.UnpackException):
                frames[1] = rng.randbytes(20)
        elif how == 3 and frames:
            del frames[k]
        elif how == 4:
            frames.insert(k, rng.randbytes(rng.choice((0, 1, 8, 100))))
        elif how == 5 and frames and frames[k]:
            raw = bytearray(frames[k])
            for _ in range(rng.randrange(1, 4)):
                raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            frames[k] = bytes(raw)
        elif how == 6 and frames:
            frames[k] = frames[k][:rng.randrange(len(frames[k]) + 1)]
        elif how == 7 and frames:
            frames[0] = rng.choice([b"H", b"B", b"O", b"D", b"Y", b"W", b"P", b"?", b"A", b"C", b"Q", b"J", b"R", b"", b"zz"])
    return frames or [b""]


def noise(rng: Random) -> list[bytes]:
    """Return frames of nothing."""
    return [rng.randbytes(rng.choice((0, 1, 1, 2, 40, 5000))) for _ in range(rng.randrange(1, 6))]


def is_valid(frames: Sequence[bytes], allowed: frozenset[type], kinds: tuple[type, ...]) -> bool:
    """Whether the frames are, by chance, a right message of one of these kinds."""
    try:
        return isinstance(wire.unpack(frames, allowed), kinds)
    except wire.WireError:
        return False


def raw_bytes(rng: Random) -> bytes:
    """Return what a port scanner, a browser or a broken peer would send."""
    signature = b"\xff" + bytes(8) + b"\x7f"
    mechanism = rng.choice((b"NULL", b"PLAIN", b"CURVE", b"GSSAPI", rng.randbytes(20)))[:20].ljust(20, b"\0")
    greeting = signature + bytes([3, rng.choice((0, 1, 2))]) + mechanism + bytes([rng.randrange(2)]) + bytes(31)
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00" + rng.choice((b"\x04PUSH", b"\x06DEALER", b"\x04PULL", b"\xffQQQQ"))
    command = rng.choice((bytes([4, len(ready)]) + ready, b"\x06" + struct.pack(">Q", 2**62) + b"x", bytes([4, 255]) + ready,
                          rng.randbytes(40)))
    return rng.choice((rng.randbytes(rng.randrange(1, 300)), signature, signature[:rng.randrange(1, 10)], greeting,
                       greeting[:rng.randrange(10, 64)], greeting + command, greeting + command + rng.randbytes(200),
                       b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                       b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(50), b""))


def knock(port: int, rng: Random) -> socket.socket:
    """Open a connection and send garbage; the caller closes it."""
    knocking = socket.create_connection(("127.0.0.1", port), 5)
    try:
        knocking.sendall(raw_bytes(rng))
    except OSError:
        pass
    return knocking

"""Frames over a stream socket between a supervisor and its compute children: length-prefixed, never blocking one side.

Owns the bytes of that private link and nothing else; what the frames say is the business of `cfcore.wire`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

READY, REFUSED, RESULT = b"+", b"O", b"R"
"""First frames of what a child sends: it can take jobs; it has not the field; an answer."""
OUT_OF_MEMORY = 71
"""Exit code of a child whose job asked for more memory than it may have."""

_HEAD = struct.Struct("<II")
_ROOM = 1 << 16
_COPIED = 1 << 15
# 64 columns of 64 MiB do not fit a machine; a child that announces more than this writes nonsense.
_TOTAL_MAX = 1 << 30
_FRAMES_MAX = 70


class BrokenLink(Exception):
    """Say that the other side writes something that is not a message."""


class Reader:
    """Collect messages from one socket; a large one is read straight into the buffer its frames then point into."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._buffer = bytearray(_ROOM)
        self._filled = 0
        self.is_ended = False

    def read(self) -> list[list[Any]]:
        """Return the messages that are complete; on a blocking socket wait for some bytes, else take what is there.

        Raises
        ------
        BrokenLink
            When what came is no message.
        """
        messages: list[list[Any]] = []
        while not self.is_ended:
            room = len(self._buffer) - self._filled
            try:
                with memoryview(self._buffer) as view:
                    n = self._source.recv_into(view[self._filled:])
            except BlockingIOError:
                break
            except OSError:  # the other side died with unread words of ours
                n = 0
            if n == 0:
                self.is_ended = True
                break
            self._filled += n
            while self._take(messages):
                pass
            if messages or n < room:
                break
        return messages

    def _take(self, messages: list[list[Any]]) -> bool:
        if self._filled < _HEAD.size:
            return False
        count, size = _HEAD.unpack_from(self._buffer)
        if count > _FRAMES_MAX or size > _TOTAL_MAX or size < 4 * count:
            raise BrokenLink(f"a message of {count} frames and {size} bytes")
        total = _HEAD.size + size
        if self._filled < total:
            if len(self._buffer) < total:
                grown = bytearray(total)
                grown[:self._filled] = self._buffer[:self._filled]
                self._buffer = grown
            return False
        lengths = struct.unpack_from(f"<{count}I", self._buffer, _HEAD.size)
        if sum(lengths) + 4 * count != size:
            raise BrokenLink(f"{count} frames that do not fill their message")
        whole, left = self._buffer, self._filled - total
        if total > _COPIED:
            # the frames keep this buffer; the next message gets another
            self._buffer = bytearray(max(_ROOM, left))
            self._buffer[:left] = whole[total:self._filled]
        view = memoryview(whole)
        at, frames = _HEAD.size + 4 * count, []
        for length in lengths:
            frame = view[at:at + length]
            frames.append(frame if total > _COPIED else bytes(frame))
            at += length
        if total <= _COPIED and left:
            whole[:left] = whole[total:self._filled]
        self._filled = left
        messages.append(frames)
        return True


class Writer:
    """Send messages on one socket; what a non-blocking one does not take at once waits for `flush`."""

    def __init__(self, target: socket.socket) -> None:
        self._target = target
        self._left: list[memoryview] = []

    @property
    def is_waiting(self) -> bool:
        """Whether something is left for `flush`."""
        return bool(self._left)

    def send(self, frames: Sequence[Any]) -> None:
        """Send a message, or as much of it as the socket takes; raises OSError when the other side is gone."""
        views = [frame if type(frame) is bytes else memoryview(frame).cast("B") for frame in frames]
        lengths = [len(view) for view in views]
        prefix = struct.pack(f"<{2 + len(lengths)}I", len(lengths), sum(lengths) + 4 * len(lengths), *lengths)
        if self._left:
            self._left += map(memoryview, (prefix, *views))
            return
        total = len(prefix) + sum(lengths)
        try:
            sent = self._target.sendmsg((prefix, *views))
        except BlockingIOError:
            sent = 0
        if sent < total:
            self._left = _after([memoryview(part) for part in (prefix, *views)], sent)
            self.flush()

    def flush(self) -> None:
        """Send what is left; a blocking socket takes it all."""
        while self._left:
            try:
                sent = self._target.sendmsg(self._left)
            except BlockingIOError:
                return
            self._left = _after(self._left, sent)


def _after(parts: list[memoryview], sent: int) -> list[memoryview]:
    """Return what follows the first `sent` bytes."""
    for k, part in enumerate(parts):
        if sent < len(part):
            return [part[sent:], *parts[k + 1:]]
        sent -= len(part)
    return []

"""What clients were told of their place in the queue, so that a gateway that was killed goes on from there.

A note is written whenever a job is told a lower place, before the answer leaves. It is handed to the system and no further:
that outlives this process, and after a power cut nobody remembers the last second. Without notes work goes on all the same.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger("gateway.jobs")
FILE = "positions"
ROOM = 4 << 20
"""Bytes of notes after which those of jobs that wait are written anew."""
_NOTE = struct.Struct("<qq")


class Positions:
    """Keep the lowest place that each waiting job was told.

    Parameters
    ----------
    folder : Path
        Of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._told: dict[int, int] = {}
        self._handle: int | None = None
        self._size = 0

    def open(self, waiting: Iterable[int]) -> None:
        """Read what the jobs that still wait were told before; a note that was cut off is none."""
        try:
            data = self._path.read_bytes()
        except OSError:
            data = b""
        known = set(waiting)
        # the last note of a job is its lowest
        self._told = {job: place for job, place in _NOTE.iter_unpack(data[:len(data) - len(data) % _NOTE.size]) if job in known}
        self._begin()

    def close(self) -> None:
        """Write no more."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None

    def get(self, job: int) -> int | None:
        """Return what a job was told last."""
        return self._told.get(job)

    def tell(self, job: int, place: int) -> int:
        """Note a place before it is told; return the one to tell, which is never higher than the last."""
        before = self._told.get(job)
        if before is not None and place >= before:
            return before
        self._told[job] = place
        self._write(_NOTE.pack(job, place))
        if self._size > ROOM + 2 * _NOTE.size * len(self._told):
            self._begin()
        return place

    def forget(self, job: int) -> None:
        """Forget a job that waits no more."""
        self._told.pop(job, None)

    def _begin(self) -> None:
        """Begin a new file with what is known."""
        self.close()
        draft = self._path.with_suffix(".draft")
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            log.warning("places in the queue cannot be noted (%s)", error.strerror)
            return
        self._handle, self._size = handle, 0
        self._write(b"".join(_NOTE.pack(*note) for note in self._told.items()))
        try:
            draft.rename(self._path)
        except OSError as error:
            log.warning("places in the queue cannot be noted (%s)", error.strerror)

    def _write(self, notes: bytes) -> None:
        if self._handle is None or not notes:
            return
        try:
            written = os.write(self._handle, notes)
        except OSError as error:
            written = 0
            log.warning("places in the queue cannot be noted (%s)", error.strerror)
        self._size += len(notes)
        if written != len(notes):
            # half a note would shift all that follow it
            self.close()

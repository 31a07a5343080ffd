"""Columns on disk: what is too large for a row of the store lies here, as raw little-endian numbers behind a small header.

An input is one file, complete under its name or not there at all (temporary name, fsync, rename, fsync of the folder). The
results of a job are one file that only grows; the store names the place of each part in it, and only after the part is on
disk, so what lies behind the last named place is nobody's and is written over. Who owns which file is the business of `store`.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from cfcore.errors import InternalError
from cfcore.wire import DTYPES

Columns = dict[str, np.ndarray]
INLINE_MAX = 64 << 10
"""Bytes of columns that a row of the store may hold itself."""
HEADER_MAX = 16 << 10
MAGIC = b"CFS1"
_PREFIX = struct.Struct("<4sI")


def pack(columns: Columns) -> tuple[bytes, list[np.ndarray]]:
    """Return the header of some columns and the columns as they are to be written, one after the other."""
    written, described = [], []
    for name, column in columns.items():
        dtype = column.dtype.newbyteorder("<").str
        if dtype not in DTYPES:
            raise InternalError(f"column {name}: numbers of type {column.dtype} cannot be stored")
        written.append(np.ascontiguousarray(column, dtype).reshape(-1))
        described.append([name, dtype, list(column.shape)])
    text = orjson.dumps(described)
    return _PREFIX.pack(MAGIC, len(text)) + text, written


def joined(header: bytes, written: Iterable[np.ndarray]) -> bytes:
    """Return packed columns as one string of bytes, for a row of the store."""
    return b"".join([header, *(column.data for column in written)])


def unpack(data: bytes | memoryview, start: int = 0, stop: int | None = None) -> Columns:
    """Return packed columns, or their rows from start to stop; they point into `data`.

    Raises
    ------
    InternalError
        Code ``result_damaged``, when the bytes are not packed columns.
    """
    described, at = _header(data)
    columns: Columns = {}
    for name, dtype, shape in described:
        size, step = _sizes(dtype, shape)
        if at + size > len(data):
            raise _damaged("it is cut off")
        end = shape[0] if stop is None else min(stop, shape[0])
        columns[name] = np.frombuffer(data, dtype, (end - start) * step // int(dtype[2]), at + start * step).reshape(
            end - start, *shape[1:])
        at += size
    return columns


def write_input(folder: Path, header: bytes, written: Iterable[np.ndarray]) -> str:
    """Write packed columns as a file of its own and return its name; it is there after a power cut, or nothing is."""
    name = f"{secrets.token_hex(12)}.in"
    part = folder / f"{name}.tmp"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            place = _write_all(handle, header, 0)
            for column in written:
                place = _write_all(handle, column, place)
            os.fsync(handle)
        finally:
            os.close(handle)
        os.rename(part, folder / name)
        sync_folder(folder)
    except BaseException:
        for left in (part, folder / name):
            left.unlink(missing_ok=True)
        raise
    return name


def read_rows(path: Path, start: int, stop: int) -> Columns:
    """Read some rows of an input file.

    Raises
    ------
    InternalError
        Code ``input_damaged``, when the file is gone, short or not one of ours.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise InternalError("the rows of this job are gone from the store; send them again", code="input_damaged") from None
    try:
        try:
            described, at = _header(os.pread(handle, _PREFIX.size + HEADER_MAX, 0))
        except InternalError as error:
            raise InternalError(error.message, code="input_damaged") from None
        columns: Columns = {}
        for name, dtype, shape in described:
            size, step = _sizes(dtype, shape)
            data = os.pread(handle, (stop - start) * step, at + start * step)
            if len(data) != (stop - start) * step:
                raise InternalError("the rows of this job are damaged in the store; send them again", code="input_damaged")
            columns[name] = np.frombuffer(data, dtype).reshape(stop - start, *shape[1:])
            at += size
        return columns
    finally:
        os.close(handle)


def read_part(path: Path, place: int, size: int) -> bytes:
    """Read one part of a result file.

    Raises
    ------
    InternalError
        Code ``result_damaged``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _damaged("its file is gone") from None
    try:
        data = os.pread(handle, size, place)
    finally:
        os.close(handle)
    if len(data) != size:
        raise _damaged("its file is short")
    return data


class Results:
    """Append to result files, many in one commit: `append` writes, `sync` makes it last, in this order.

    Parameters
    ----------
    folder : Path
        Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, int] = {}
        self._is_new = False

    def append(self, name: str, place: int, header: bytes, written: Iterable[np.ndarray]) -> int:
        """Write packed columns at a place of a file and return where they end."""
        handle = self._open.get(name)
        if handle is None:
            self._is_new |= place == 0
            handle = self._open[name] = os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        place = _write_all(handle, header, place)
        for column in written:
            place = _write_all(handle, column, place)
        return place

    def sync(self) -> None:
        """Bring everything appended since the last time to disk."""
        try:
            for handle in self._open.values():
                os.fdatasync(handle)
            if self._is_new:
                sync_folder(self._folder)
            self._is_new = False
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the files."""
        handles, self._open = self._open, {}
        for handle in handles.values():
            os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, data: Any, place: int) -> int:
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while view:
        # one call writes at most 2 GiB, and less on a disk that is nearly full
        done = os.pwrite(handle, view, place)
        place, view = place + done, view[done:]
    return place


def _header(data: bytes | memoryview) -> tuple[list[tuple[str, str, list[int]]], int]:
    if len(data) < _PREFIX.size:
        raise _damaged("it is cut off")
    magic, length = _PREFIX.unpack_from(data)
    if magic != MAGIC or length > HEADER_MAX or len(data) < _PREFIX.size + length:
        raise _damaged("it is none of ours")
    try:
        described = [(str(name), str(dtype), [int(n) for n in shape])
                     for name, dtype, shape in orjson.loads(bytes(data[_PREFIX.size:_PREFIX.size + length]))]
    except (ValueError, TypeError):
        raise _damaged("its header cannot be read") from None
    if any(dtype not in DTYPES or not shape or min(shape) < 0 for _, dtype, shape in described):
        raise _damaged("its header cannot be read")
    return described, _PREFIX.size + length


def _sizes(dtype: str, shape: list[int]) -> tuple[int, int]:
    """Return the bytes of a column and of one of its rows."""
    step = int(dtype[2])
    for n in shape[1:]:
        step *= n
    return step * shape[0], step


def _damaged(why: str) -> InternalError:
    return InternalError(f"a part of the result is damaged in the store ({why}); submit the rows again", code="result_damaged")

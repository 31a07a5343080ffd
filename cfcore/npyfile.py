"""The one kind of array file a field folder holds: float32, little-endian, C order, data from byte 4096.

Writing is strict so that reading can be cheap: a good file begins with exactly the header `header` makes for its
shape and ends with its last value. Which arrays belong together is the business of `fieldfile`.
"""

from __future__ import annotations

import ast
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import FieldRefused

DATA_OFFSET = 4096
"""The values begin on a page boundary, so that a mapping is aligned."""
HEADER_MAX = 10_000
"""Bytes of a header, of any file, that are read: as many as NumPy reads."""
_BLOCK = 1 << 22


def header(shape: tuple[int, ...]) -> bytes:
    """Return the 4096 bytes before the values of an array of this shape."""
    # npy 1.0: magic, version, little-endian uint16 length, a Python dict padded with spaces and ended by a newline.
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(int(n) for n in shape)!r}, }}".encode("ascii")
    length = DATA_OFFSET - 10
    return b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"


def map_array(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """Map a file read-only when it holds exactly a float32 array of this shape.

    Raises
    ------
    FieldRefused
        When dtype, byte order, memory order, shape or file size differ.
    """
    label = f"{path.parent.name}/{path.name}"
    expected = DATA_OFFSET + 4 * int(np.prod(shape, dtype=np.int64))
    try:
        with open(path, "rb") as stream:
            if stream.read(DATA_OFFSET) != header(shape):
                stream.seek(0)
                raise FieldRefused(f"{label} {_fault(stream, shape)}; add the field again")
            found = os.fstat(stream.fileno()).st_size
            if found != expected:
                off = found - expected
                what = f"is cut short by {-off}" if off < 0 else f"has {off} trailing"
                raise FieldRefused(f"{label} {what} bytes ({found} found, {expected} expected); add the field again")
            return np.memmap(stream, dtype="<f4", mode="r", offset=DATA_OFFSET, shape=shape)
    except OSError as exc:
        raise FieldRefused(f"{label} cannot be read ({exc.strerror}); add the field again") from exc


def write_array(path: Path, array: NDArray[np.floating]) -> None:
    """Write an array to a new file, on the disk before this returns, mode 0444."""
    write_bytes(path, header(array.shape), *(slab.data for slab in array))


def write_bytes(path: Path, *parts: bytes | memoryview) -> None:
    """Write a new file, on the disk before this returns, mode 0444."""
    with open(path, "xb") as stream:
        for part in parts:
            stream.write(part)
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), 0o444)


def fsync_directory(path: Path) -> None:
    """Put a directory's entries on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(stream: BinaryIO) -> str:
    """Return the sha256 of what is left in a binary stream, as hexadecimal text."""
    sha = hashlib.sha256()
    while block := stream.read(_BLOCK):
        sha.update(block)
    return sha.hexdigest()


def array_digest(array: NDArray[np.floating]) -> str:
    """Return the sha256 of the file that `write_array` would write."""
    sha = hashlib.sha256(header(array.shape))
    for slab in array:
        sha.update(slab.data)
    return sha.hexdigest()


def read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the header of any .npy file; the stream then stands where the values begin.

    NumPy's own reader tries what is not sound once more as Python 2 wrote it, token by token: with one bit turned over that takes
    long and ends in errors of many kinds.

    Returns
    -------
    shape, fortran_order, dtype : tuple of int, bool, dtype

    Raises
    ------
    ValueError
        When it is none, of a version other than 1.0 and 2.0, or longer than `HEADER_MAX`.
    """
    start = stream.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY":
        raise ValueError("it does not begin as .npy files do")
    if start[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError(f"it is version {start[6]}.{start[7]}, and 1.0 and 2.0 are read; numpy.save writes plain floats so")
    size = stream.read(2 if start[6] == 1 else 4)
    length = int.from_bytes(size, "little")
    text = stream.read(length) if length <= HEADER_MAX else b""
    if not text or len(text) < length:
        raise ValueError(f"its header of {length} bytes is cut off, or longer than {HEADER_MAX}")
    try:
        said = ast.literal_eval(text.decode("latin1").strip())
        shape, fortran, dtype = said["shape"], said["fortran_order"], np.dtype(said["descr"])
    except (ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError, MemoryError):
        raise ValueError("its header cannot be read") from None
    if type(shape) is not tuple or any(type(n) is not int or n < 0 for n in shape) or type(fortran) is not bool:
        raise ValueError("its header is not sound")
    return shape, fortran, dtype


def _fault(stream: BinaryIO, shape: tuple[int, ...]) -> str:
    """Say in words how a header differs from the one `publish` would have written."""
    try:
        found, fortran, dtype = read_header(stream)
    except ValueError as exc:
        return f"is not a readable .npy file ({exc})"
    if dtype.kind != "f" or dtype.itemsize != 4:
        return f"holds {dtype.name} where float32 is expected"
    if dtype != np.dtype("<f4"):
        return "is big-endian where little-endian is expected"
    if fortran:
        return "is in Fortran order where C order is expected"
    if found != shape:
        return f"has shape {found} where the manifest says {shape}"
    return f"has a header that was not written by cosmicflows (data must begin at byte {DATA_OFFSET})"

"""The one kind of array file a field folder holds: float32, little-endian, C order, data from byte 4096.

Writing is strict so that reading can be cheap: a good file begins with exactly the header `header` makes for its
shape and ends with its last value. Which arrays belong together is the business of `fieldfile`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import FieldRefused

DATA_OFFSET = 4096
"""The values begin on a page boundary, so that a mapping is aligned."""
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


def _fault(stream: BinaryIO, shape: tuple[int, ...]) -> str:
    """Say in words how a header differs from the one `publish` would have written."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        found, fortran, dtype = read(stream)
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

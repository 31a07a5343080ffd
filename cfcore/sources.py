"""Read the files a field is made from, as their authors published them, and refuse anything that is not quite that.

What the numbers mean (units, axes, lattice) is the business of `products`; here is only whether the bytes are whole.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import FieldRefused, UsageError
from .manifest import Source
from .npyfile import digest_of, read_header

FITS_BLOCK = 2880
"""FITS files come in blocks of 2880 bytes (FITS standard 4.0, section 3.1)."""
_FITS_DTYPES = {-32: ">f4", -64: ">f8"}


class Scan(NamedTuple):
    """Count the values of an array that are no numbers."""

    nan: int
    inf: int


def describe(path: Path) -> Source:
    """Return name, sha256 and size of a file.

    Raises
    ------
    UsageError
        When it cannot be read.
    """
    try:
        with open(path, "rb") as stream:
            return Source(Path(path).name, digest_of(stream), os.fstat(stream.fileno()).st_size)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror}); check the path", code="file_unreadable") from exc


def read_array(path: Path, source: Source | None = None) -> tuple[NDArray[np.floating], Source]:
    """Read one array file strictly.

    Parameters
    ----------
    path : Path
        A FITS file with one primary image of 32- or 64-bit floats, or a .npy file of float32 or float64.
    source : Source, optional
        What `describe` said of it, so that a large file is not read through twice.

    Returns
    -------
    array : ndarray
        In the shape, byte order and precision of the file; .npy files are mapped, not loaded.
    source : Source
        Name, sha256 and size of the file.

    Raises
    ------
    FieldRefused
        When the file is cut short, has trailing bytes, is of another kind, fails its own checksum, or its reader
        warns about it.
    """
    path = Path(path)
    source = source or describe(path)
    suffix = path.suffix.lower()
    if suffix in (".fits", ".fit"):
        return _read_fits(path, source), source
    if suffix == ".npy":
        return _read_npy(path, source), source
    raise FieldRefused(f"{path.name} is neither .fits nor .npy; give the files as their authors published them",
                       code="file_kind")


def scan(array: NDArray[np.floating]) -> Scan:
    """Count NaN and Inf, one plane of the first axis at a time, so that a mapped array is never loaded whole."""
    nan = inf = 0
    for plane in array:
        if not np.isfinite(plane).all():
            nan += int(np.isnan(plane).sum())
            inf += int(np.isinf(plane).sum())
    return Scan(nan, inf)


def _check_size(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise FieldRefused(f"{path.name} is cut short by {expected - found} bytes: its header promises {expected}, "
                           f"{found} are there; download it again", code="file_truncated")
    if found > expected:
        raise FieldRefused(f"{path.name} has {found - expected} bytes more than the {expected} its header promises "
                           f"({found} found); download it again", code="file_trailing")


def _fits_module() -> Any:
    try:
        from astropy.io import fits
    except ImportError as exc:
        raise UsageError("reading FITS files needs astropy: pip install 'cosmicflows[astro]'",
                         code="astropy_missing") from exc
    return fits


def _read_fits(path: Path, source: Source) -> NDArray[np.floating]:
    fits = _fits_module()
    try:
        # astropy warns about truncation, failed CHECKSUM or DATASUM and illegal cards, and reads on; we do not. They
        # are collected and not raised: raised in the middle of its constructor they would leave the file open.
        with warnings.catch_warnings(record=True) as said, open(path, "rb") as stream:
            warnings.simplefilter("always")
            head = fits.Header.fromfile(stream)
            data_start = stream.tell()
            _check_fits_header(path, head)
            shape = tuple(int(head[f"NAXIS{i}"]) for i in range(int(head["NAXIS"]), 0, -1))
            size = int(np.prod(shape, dtype=np.int64)) * abs(int(head["BITPIX"])) // 8
            _check_size(path, source.bytes, data_start + -(-size // FITS_BLOCK) * FITS_BLOCK)
            stream.seek(0)
            with fits.open(stream, mode="readonly", memmap=False, checksum=True) as hdus:
                hdus.verify("exception")
                array = np.asarray(hdus[0].data)
        fault = "; ".join(str(w.message).strip() for w in said)
    except FieldRefused:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, fits.VerifyError) as exc:
        fault = str(exc).strip() or type(exc).__name__
    if fault:
        raise FieldRefused(f"{path.name} is not a sound FITS file ({fault:.200}); download it again",
                           code="fits_unsound")
    if array.shape != shape:
        raise FieldRefused(f"{path.name} reads as {array.shape} where its header says {shape}; download it again",
                           code="fits_unsound")
    return array


def _check_fits_header(path: Path, head: Any) -> None:
    if head.get("SIMPLE") is not True or int(head.get("NAXIS", 0)) < 1:
        raise FieldRefused(f"{path.name} has no primary FITS image; give the file as its authors published it")
    if head.get("BITPIX") not in _FITS_DTYPES:
        raise FieldRefused(f"{path.name} has BITPIX = {head.get('BITPIX')}; a field needs -32 or -64 (floats)",
                           code="fits_bitpix")
    if head.get("BSCALE", 1) != 1 or head.get("BZERO", 0) != 0:
        raise FieldRefused(f"{path.name} is scaled (BSCALE = {head.get('BSCALE', 1)}, BZERO = {head.get('BZERO', 0)}"
                           "), which no published field is; store plain floats", code="fits_scaled")


def _read_npy(path: Path, source: Source) -> NDArray[np.floating]:
    try:
        with open(path, "rb") as stream:
            shape, fortran, dtype = read_header(stream)
            offset = stream.tell()
    except (ValueError, OSError) as exc:
        raise FieldRefused(f"{path.name} is not a readable .npy file ({exc}); download it again",
                           code="npy_unsound") from exc
    if dtype.hasobject:
        raise FieldRefused(f"{path.name} holds pickled Python objects, which could run code; save plain floats",
                           code="npy_pickle")
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise FieldRefused(f"{path.name} holds {dtype.name}; a field needs float32 or float64", code="npy_dtype")
    if 0 in shape:
        raise FieldRefused(f"{path.name} is empty: shape {shape}", code="npy_unsound")
    _check_size(path, source.bytes, offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order="F" if fortran else "C")

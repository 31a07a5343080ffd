"""Files are read as their authors published them, or refused with the reason."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from cfcore.errors import FieldRefused, UsageError
from cfcore.sources import read_array, scan

CUBE = np.random.default_rng(1).normal(size=(3, 5, 6, 7))
STORED = CUBE.astype(">f4")


def _fits(path: Path, array: np.ndarray = STORED, **keywords: object) -> Path:
    hdu = fits.PrimaryHDU(array)
    for key, value in keywords.items():
        hdu.header[key] = value
    hdu.writeto(path)
    return path


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_fits_cube_is_read_in_numpy_order(tmp_path: Path, dtype: str) -> None:
    array, source = read_array(_fits(tmp_path / "v.fits", CUBE.astype(dtype)))
    assert np.array_equal(array, CUBE.astype(dtype))
    assert source.name == "v.fits" and source.bytes == (tmp_path / "v.fits").stat().st_size
    assert len(source.sha256) == 64


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_cube_is_read_whatever_its_float_and_memory_order(tmp_path: Path, dtype: str, order: str) -> None:
    np.save(tmp_path / "v.npy", np.asarray(CUBE.astype(dtype), order=order))
    array, _ = read_array(tmp_path / "v.npy")
    assert np.array_equal(array, CUBE.astype(dtype))


@pytest.mark.parametrize("name", ["v.fits", "v.npy"])
@pytest.mark.parametrize(("change", "reason"), [
    (lambda b: b[:-100], "v.* is cut short by 100 bytes"),
    (lambda b: b + b"\0" * 10, "v.* has 10 bytes more"),
    (lambda b: b[:100], "v.*"),
    (lambda b: b"", "v.*"),
    (lambda b: b"hello world" * 900, "v.*"),
])
def test_damaged_files_are_refused(tmp_path: Path, name: str, change: Callable[[bytes], bytes], reason: str) -> None:
    path = tmp_path / name
    _fits(path) if name == "v.fits" else np.save(path, CUBE)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(FieldRefused, match=reason):
        read_array(path)


def test_fits_checksum_keywords_are_believed_when_present(tmp_path: Path) -> None:
    path = tmp_path / "v.fits"
    fits.PrimaryHDU(CUBE).writeto(path, checksum=True)
    read_array(path)
    body = bytearray(path.read_bytes())
    body[2880 + 40] ^= 4
    path.write_bytes(body)
    with pytest.raises(FieldRefused, match="not a sound FITS file.*(Datasum|Checksum)"):
        read_array(path)


@pytest.mark.parametrize(("make", "reason"), [
    (lambda p: _fits(p, CUBE.astype(np.int16)), "BITPIX = 16"),
    (lambda p: _fits(p, BSCALE=2.0), "scaled"),
    (lambda p: fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(CUBE)]).writeto(p), "no primary FITS image"),
    (lambda p: fits.HDUList([fits.PrimaryHDU(CUBE), fits.ImageHDU(CUBE)]).writeto(p), "bytes more"),
])
def test_other_kinds_of_fits_are_refused(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    make(tmp_path / "v.fits")
    with pytest.raises(FieldRefused, match=reason):
        read_array(tmp_path / "v.fits")


@pytest.mark.parametrize(("array", "reason"), [
    (CUBE.astype(np.int64), "holds int64"),
    (CUBE.astype(np.float16), "holds float16"),
    (np.array([{"a": 1}]), "pickled"),
    (np.empty((3, 0, 4, 4)), "empty"),
])
def test_npy_files_of_other_types_are_refused(tmp_path: Path, array: np.ndarray, reason: str) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(FieldRefused, match=reason):
        read_array(tmp_path / "v.npy")


def test_missing_files_and_unknown_suffixes_say_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read .No such file"):
        read_array(tmp_path / "nix.npy")
    (tmp_path / "v.hdf5").write_bytes(b"x")
    with pytest.raises(FieldRefused, match="neither .fits nor .npy"):
        read_array(tmp_path / "v.hdf5")


def test_fits_without_astropy_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _fits(tmp_path / "v.fits")
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    with pytest.raises(UsageError, match=r"pip install 'cosmicflows\[astro\]'"):
        read_array(path)


def test_scan_counts_what_is_no_number() -> None:
    array = CUBE.copy()
    array[0, 0, 0, :3] = np.nan
    array[2, 1, 1, 1], array[1, 1, 1, 1] = np.inf, -np.inf
    assert scan(array) == (3, 2) and scan(CUBE) == (0, 0)


def test_a_version_of_npy_that_is_not_read_is_named_with_the_ones_that_are(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    with open(path, "wb") as stream:
        np.lib.format.write_array(stream, np.zeros((2, 3)), version=(3, 0))
    with pytest.raises(FieldRefused, match=r"version 3\.0, and 1\.0 and 2\.0 are read"):
        read_array(path)

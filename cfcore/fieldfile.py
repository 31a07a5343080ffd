"""The field folder: one packed array, its optional errors and its manifest; publish, open, verify.

A published folder never changes. Workers map its arrays, and truncating or re-saving a mapped file kills the reader
with SIGBUS; so a new version is written beside, checked and renamed, and `current.json` is replaced in one step.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import _kernels
from .errors import FieldRefused, UnknownName
from .manifest import Manifest
from .npyfile import array_digest, digest_of, fsync_directory, map_array, write_array, write_bytes

LANES = 16
"""Realisations are padded to whole SIMD registers of sixteen float32."""
STALE_S = 86400.0
"""A temporary directory older than this belongs to a publication that died."""

_CELLS, _SIGMA, _MANIFEST, _CURRENT = "cells.npy", "sigma.npy", "manifest.json", "current.json"
COMPONENTS = ("vx", "vy", "vz", "one_plus_delta")

F32 = NDArray[np.float32]


def padded(realisations: int) -> int:
    """Return the number of realisations rounded up to whole registers."""
    return -(-realisations // LANES) * LANES


def cells_shape(manifest: Manifest) -> tuple[int, ...]:
    """Return the shape of cells.npy: (nx, ny, nz, 4), or (nx, ny, nz, 4, padded realisations)."""
    tail = (4,) if manifest.realisations == 1 else (4, padded(manifest.realisations))
    return (*manifest.shape, *tail)


def publish(root: Path, manifest: Manifest, cells: NDArray[np.floating],
            sigma: NDArray[np.floating] | None = None) -> Path:
    """Publish a field as ``root/<id>/<version>-<sha8>`` and make it the current version of its id.

    Parameters
    ----------
    root : Path
        The ``fields`` directory.
    manifest : Manifest
        Its v_max, limits, digests, sigma_max and creation time are filled in here. When the same version and cells
        are already there under another convention, the version gets a suffix (``1`` becomes ``1.2``).
    cells : ndarray of float32, C order, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, padded R)
        vx, vy, vz in km/s and 1+delta; realisations innermost, the padding zero.
    sigma : ndarray of float32, shape (nx, ny, nz), km/s, optional
        Velocity error per node.

    Returns
    -------
    Path
        The folder; publishing the same content again returns the same one and writes nothing.

    Raises
    ------
    FieldRefused
        When dtype, order or shape is wrong, a value is not finite, or the files read back differ.
    """
    _check_arrays(manifest, cells, sigma)
    manifest = _complete(manifest, cells, sigma)
    home = Path(root) / manifest.id
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    base, n = manifest.version, 1
    while (folder := home / f"{manifest.version}-{manifest.sha256[:8]}").exists():
        if _same(folder, manifest):
            _point(home, folder.name, manifest)
            return folder
        if folder.exists():
            n += 1
            manifest = dataclasses.replace(manifest, version=f"{base}.{n}")
    temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=home))
    try:
        write_array(temporary / _CELLS, cells)
        if sigma is not None:
            write_array(temporary / _SIGMA, sigma)
        write_bytes(temporary / _MANIFEST, manifest.to_json().encode())
        verify_folder(temporary)
        os.chmod(temporary, 0o755)
        fsync_directory(temporary)
        try:
            os.rename(temporary, folder)
        except OSError:
            # Another process published the same content between our look and our rename.
            if not _same(folder, manifest):
                raise
        fsync_directory(home)
        _point(home, folder.name, manifest)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def current_folder(home: Path) -> Path:
    """Return the current version folder of ``fields/<id>``.

    Raises
    ------
    UnknownName
        When no version has been published there.
    FieldRefused
        When current.json cannot be read or names a folder that is not there.
    """
    try:
        name = str(json.loads((home / _CURRENT).read_text(encoding="utf-8"))["folder"])
    except FileNotFoundError:
        raise UnknownName(f"no field is published in {home.name!r}; see cosmicflows fields list",
                          code="field_not_installed", where="field") from None
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise FieldRefused(f"{home.name}/{_CURRENT} cannot be read ({type(exc).__name__}); "
                           "add the field again") from exc
    folder = home / Path(name).name
    if not folder.is_dir():
        raise FieldRefused(f"{home.name}/{_CURRENT} names {name!r:.80}, which is not there; add the field again")
    return folder


def open_folder(path: Path) -> tuple[Manifest, np.memmap, np.memmap | None]:
    """Map a field folder read-only after checks that cost the same at any size.

    Parameters
    ----------
    path : Path
        A version folder, or ``fields/<id>``, which stands for its current version.

    Returns
    -------
    manifest : Manifest
    cells : memmap of float32, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, padded R)
        vx, vy, vz in km/s, 1+delta.
    sigma : memmap of float32, shape (nx, ny, nz), km/s, or None

    Raises
    ------
    FieldRefused
        When the manifest is unreadable, or an array has another dtype, byte order, memory order, shape or size.
    """
    path = Path(path)
    if (path / _CURRENT).exists():
        path = current_folder(path)
    try:
        manifest = Manifest.from_json((path / _MANIFEST).read_text(encoding="utf-8"))
    except OSError as exc:
        raise FieldRefused(f"{path.name}/{_MANIFEST} cannot be read ({exc.strerror}); add the field again") from exc
    cells = map_array(path / _CELLS, cells_shape(manifest))
    return manifest, cells, map_array(path / _SIGMA, manifest.shape) if manifest.sigma_sha256 else None


def verify_folder(path: Path) -> Manifest:
    """Check a folder in full: everything `open_folder` checks, and the sha256 of each array file.

    Raises
    ------
    FieldRefused
        When a file differs from its manifest.
    """
    path = Path(path)
    if (path / _CURRENT).exists():
        path = current_folder(path)
    manifest, _, _ = open_folder(path)
    for name, expected in ((_CELLS, manifest.sha256), (_SIGMA, manifest.sigma_sha256)):
        if expected is None:
            continue
        with open(path / name, "rb") as stream:
            found = digest_of(stream)
        if found != expected:
            raise FieldRefused(f"{path.name}/{name} has changed on disk: sha256 {found[:16]}... where the "
                               f"manifest says {expected[:16]}...; add the field again", code="field_corrupt")
    return manifest


def _check_arrays(manifest: Manifest, cells: NDArray[np.floating], sigma: NDArray[np.floating] | None) -> None:
    for name, array, shape in (("cells", cells, cells_shape(manifest)), ("sigma", sigma, manifest.shape)):
        if array is None:
            continue
        if array.dtype != np.dtype("<f4") or not array.flags.c_contiguous or array.shape != tuple(shape):
            raise FieldRefused(f"{name} is {array.dtype} {array.shape}"
                               f"{'' if array.flags.c_contiguous else ' not in C order'}; float32 in C order of "
                               f"shape {tuple(shape)} is expected", where=name)
        for i, slab in enumerate(array):
            if not np.isfinite(slab).all():
                raise FieldRefused(f"{name} holds NaN or Inf in plane {i} of the first axis; mask such nodes (v = 0, "
                                   "1+delta = 1) before publishing", where=name)
    if manifest.realisations > 1 and np.any(cells[..., manifest.realisations:]):
        raise FieldRefused(f"the padding after {manifest.realisations} realisations is not zero", where="cells")


def _complete(manifest: Manifest, cells: NDArray[np.floating], sigma: NDArray[np.floating] | None) -> Manifest:
    low, high = np.full(4, np.inf), np.full(4, -np.inf)
    for slab in cells:
        q = slab.reshape(*slab.shape[:2], 4, -1)[..., :manifest.realisations].astype(float)
        low, high = np.minimum(low, q.min(axis=(0, 1, 3))), np.maximum(high, q.max(axis=(0, 1, 3)))
    limits = {name: (float(a), float(b)) for name, a, b in zip(COMPONENTS, low, high)}
    v_max, v_gradient = _kernels.bounds(cells.reshape(*manifest.shape, 4, -1), manifest.realisations,
                                        np.array(manifest.spacing_hmpc, float))
    return dataclasses.replace(
        manifest, v_max=v_max, v_gradient=v_gradient, limits=limits, sha256=array_digest(cells),
        sigma_sha256=None if sigma is None else array_digest(sigma),
        sigma_max=0.0 if sigma is None else float(sigma.max()),
        created=datetime.now(UTC).isoformat(timespec="seconds"))


def _same(folder: Path, manifest: Manifest) -> bool:
    try:
        found = verify_folder(folder)
    except FieldRefused:
        # The folder rotted: take it away, so that it can be written anew. A reader keeps its mapping of the old file.
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return dataclasses.replace(found, created=manifest.created) == manifest


def _point(home: Path, folder: str, manifest: Manifest) -> None:
    """Make a folder the current one; a reader sees the old file or the new one, never half of it."""
    facts = {"id": manifest.id, "folder": folder, "version": manifest.version, "sha256": manifest.sha256}
    text = json.dumps(facts) + "\n"
    path = home / _CURRENT
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=home)
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            os.fchmod(stream.fileno(), 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    fsync_directory(home)


def _sweep(home: Path) -> None:
    for left in home.glob(".tmp-*"):
        try:
            if time.time() - left.stat().st_mtime > STALE_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue

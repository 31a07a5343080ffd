"""Interleave component cubes into cells: [vx, vy, vz, 1+delta] per node, realisations innermost."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from .errors import FieldRefused
from .fieldfile import F32, padded

Arrays = Mapping[str, NDArray[np.floating]]
MAX_REALISATIONS = 1024


def layout(arrays: Arrays, expected: tuple[int, int, int] | None, label: str) -> tuple[int, tuple[int, int, int]]:
    """Return the number of realisations and the lattice of a set of arrays.

    Parameters
    ----------
    arrays : mapping of role to ndarray
        velocity (3, nx, ny, nz) or (R, 3, nx, ny, nz); density (nx, ny, nz) or (R, nx, ny, nz); sigma (nx, ny, nz).
    expected : tuple or None
        The lattice the product is published on.
    label : str
        The product, for messages.

    Raises
    ------
    FieldRefused
        When the shapes do not fit each other or the product.
    """
    v = arrays["velocity"].shape
    if len(v) not in (4, 5) or v[-4] != 3:
        raise FieldRefused(f"the velocity array of {label} has shape {v}; (3, nx, ny, nz) or, for realisations, "
                           "(R, 3, nx, ny, nz) is expected", code="field_shape")
    shape, realisations = (v[-3], v[-2], v[-1]), v[0] if len(v) == 5 else 1
    if expected is not None and shape != tuple(expected):
        raise FieldRefused(f"the velocity array of {label} has the lattice {shape}; {tuple(expected)} is published; "
                           "for another lattice use --product generic", code="field_shape")
    if min(shape) < 4 or realisations > MAX_REALISATIONS:
        raise FieldRefused(f"{label} has lattice {shape} and {realisations} realisations; at least 4 nodes per axis "
                           f"and at most {MAX_REALISATIONS} realisations are read", code="field_shape")
    d = arrays["density"].shape if "density" in arrays else shape
    if d != shape and d != (realisations, *shape):
        raise FieldRefused(f"the density array of {label} has shape {d}; {shape}"
                           f"{f' or {(realisations, *shape)}' if realisations > 1 else ''} fits its velocities",
                           code="field_shape")
    if "sigma" in arrays and arrays["sigma"].shape != shape:
        raise FieldRefused(f"the error array of {label} has shape {arrays['sigma'].shape}; {shape} fits its "
                           "velocities",
                           code="field_shape")
    return realisations, shape


def pack(arrays: Arrays, realisations: int, unit: float, density: str,
         nan_is_mask: bool) -> tuple[F32, F32 | None, int]:
    """Interleave arrays that `layout` accepted.

    Parameters
    ----------
    arrays : mapping of role to ndarray
    realisations : int
    unit : float
        Factor from stored velocities and errors to km/s.
    density : {"delta", "one_plus_delta"}
    nan_is_mask : bool
        Whether NaN marks nodes without data; they become v = 0, 1+delta = 1, sigma = 0 in every realisation.

    Returns
    -------
    cells : ndarray of float32, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, padded R)
    sigma : ndarray of float32, shape (nx, ny, nz), km/s, or None
    masked : int
        Number of masked nodes.

    Raises
    ------
    FieldRefused
        On Inf, a value beyond float32, a negative error, or NaN where it is not a mask.
    """
    velocity = arrays["velocity"][None] if arrays["velocity"].ndim == 4 else arrays["velocity"]
    contrast, error = arrays.get("density"), arrays.get("sigma")
    nx, ny, nz = velocity.shape[-3:]
    cells = np.zeros((nx, ny, nz, 4, 1 if realisations == 1 else padded(realisations)), np.float32)
    sigma = None if error is None else np.zeros((nx, ny, nz), np.float32)
    offset, masked = 1.0 if density == "delta" else 0.0, 0
    # Plane by plane: the files may be mapped and larger than memory, and the transposition stays in cache.
    for i in range(nx):
        v = np.asarray(velocity[:, :, i], dtype=float) * unit
        d = np.ones((1, ny, nz))
        if contrast is not None:
            d = np.asarray(contrast[..., i, :, :], dtype=float).reshape(-1, ny, nz) + offset
        e = np.zeros((ny, nz)) if error is None else np.asarray(error[i], dtype=float) * abs(unit)
        for name, values in (("velocity", v), ("density", d), ("error", e)):
            if np.isinf(values).any():
                raise FieldRefused(f"the {name} array holds Inf in plane {i} of its first axis; a field has finite "
                                   "values, or NaN where there is no data", code="field_not_finite")
        hole = np.isnan(v).any(axis=(0, 1)) | np.isnan(d).any(axis=0) | np.isnan(e)
        if hole.any() and not nan_is_mask:
            raise FieldRefused(f"{int(hole.sum())} nodes in plane {i} of the first axis are NaN, which this product "
                               "never has; for a masked field use --product generic", code="field_not_finite")
        if max(np.abs(v[:, :, ~hole]).max(initial=0.0), np.abs(d[:, ~hole]).max(initial=0.0)) > 1e30:
            raise FieldRefused(f"plane {i} of the first axis holds values beyond 1e30", code="field_not_finite")
        if e[~hole].min(initial=0.0) < 0:
            raise FieldRefused(f"the error array is negative ({e[~hole].min():g} km/s) in plane {i} of its first "
                               "axis; errors are positive", code="field_negative_error")
        v[:, :, hole], d[:, hole], e[hole] = 0.0, 1.0, 0.0
        cells[i, :, :, :3, :realisations] = v.transpose(2, 3, 1, 0)
        cells[i, :, :, 3, :realisations] = d.transpose(1, 2, 0)
        if sigma is not None:
            sigma[i] = e
        masked += int(hole.sum())
    return (cells[..., 0].copy() if realisations == 1 else cells), sigma, masked

"""Slow, readable NumPy twins of the compiled kernels.

Nothing here is fast and nothing here is clever: each function is meant to be checked against the paper by eye. The
tests hold `_kernels` to these, and `ongc_linear` uses the interpolation where a few thousand points are enough.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cosmology import C_KMS, background

F64 = NDArray[np.float64]


def trilinear(values: NDArray[np.floating], origin_hmpc: ArrayLike, spacing_hmpc: ArrayLike,
              xyz_hmpc: ArrayLike) -> tuple[F64, NDArray[np.bool_]]:
    """Interpolate node values linearly along the three axes.

    Parameters
    ----------
    values : ndarray, shape (nx, ny, nz, ...)
        Node values; node (i, j, k) sits at ``origin + (i, j, k) * spacing``.
    origin_hmpc, spacing_hmpc : array_like, shape (3,), comoving h^-1 Mpc
    xyz_hmpc : array_like, shape (n, 3), comoving h^-1 Mpc

    Returns
    -------
    interpolated : ndarray, shape (n, ...)
        Zero for points outside the lattice.
    inside : ndarray of bool, shape (n,)
        The closed box: a point on the upper face belongs to the last cell.
    """
    xyz = np.atleast_2d(np.asarray(xyz_hmpc, float))
    f = (xyz - np.asarray(origin_hmpc, float)) / np.asarray(spacing_hmpc, float)
    top = np.array(values.shape[:3]) - 1
    inside = np.all((f >= 0) & (f <= top), axis=1)
    f = np.where(inside[:, None], f, 0.0)
    cell = np.minimum(f.astype(np.intp), top - 1)
    t = f - cell
    out = np.zeros((len(xyz),) + values.shape[3:])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner) == 1, t, 1.0 - t), axis=1) * inside
        i, j, k = (cell + corner).T
        out += values[i, j, k].astype(float) * weight.reshape((-1,) + (1,) * (values.ndim - 3))
    return out, inside


def sightline(cells: NDArray[np.floating], origin_hmpc: ArrayLike, spacing_hmpc: ArrayLike, direction: ArrayLike,
              r_hmpc: ArrayLike) -> tuple[F64, F64, NDArray[np.bool_]]:
    """Sample a field along one line of sight.

    Parameters
    ----------
    cells : ndarray, shape (nx, ny, nz, 4, R)
        ``[vx, vy, vz, 1+delta]`` per node and realisation, km/s.
    direction : array_like, shape (3,)
        Unit vector on the field's axes.
    r_hmpc : array_like, shape (m,), comoving h^-1 Mpc

    Returns
    -------
    v_rad : ndarray, shape (m, R), km/s
        0 outside the lattice.
    density : ndarray, shape (m, R)
        1 + delta; 1 outside.
    inside : ndarray of bool, shape (m,)
    """
    n, r = np.asarray(direction, float), np.asarray(r_hmpc, float)
    values, inside = trilinear(cells, origin_hmpc, spacing_hmpc, r[:, None] * n)
    v_rad = np.einsum("mck,c->mk", values[:, :3], n)
    return v_rad, np.where(inside[:, None], values[:, 3], 1.0), inside


def posterior(cells: NDArray[np.floating], origin_hmpc: ArrayLike, spacing_hmpc: ArrayLike, direction: ArrayLike,
              z_obs: float, s_km_s: float, r_hmpc: ArrayLike, *, prior: str = "volume", alpha: float = 1.0,
              Om: float = 0.3, sigma: NDArray[np.floating] | None = None) -> dict[str, F64 | float | list[float]]:
    """Solve p(r | direction, z) for one object, on the whole grid and with nothing left out.

    Parameters
    ----------
    z_obs : float
        Redshift in the rest frame of the field.
    s_km_s : float
        sqrt(sigma_v^2 + sigma_cz^2), km/s.
    r_hmpc : array_like, shape (m,)
        Equidistant grid from 0.
    sigma : ndarray, shape (nx, ny, nz), km/s, optional
        The field's own velocity error, added in quadrature.

    Returns
    -------
    dict
        ``pdf`` (m,) with trapezoid integral 1 over r; ``evidence`` (km/s)^-1; ``mean``, ``std`` of r; ``quantiles`` at
        0.025, 0.16, 0.5, 0.84, 0.975; ``hubble_mean``, ``hubble_std`` of c zbar; ``v_rad``, ``v_rad_std`` of the posterior;
        ``inside_fraction``; ``roots`` found between grid points by linear interpolation of the mean field.
    """
    r = np.asarray(r_hmpc, float)
    zbar = background(Om).redshift(r)
    v, density, inside = sightline(cells, origin_hmpc, spacing_hmpc, direction, r)
    z_pred = (1 + zbar)[:, None] * (1 + v / C_KMS) - 1
    s2 = np.full(len(r), s_km_s ** 2)
    if sigma is not None:
        s2 = s2 + trilinear(sigma, origin_hmpc, spacing_hmpc, r[:, None] * np.asarray(direction, float))[0] ** 2
    likelihood = np.exp(-0.5 * (C_KMS * (z_obs - z_pred)) ** 2 / s2[:, None]) / np.sqrt(2 * np.pi * s2)[:, None]
    weight = {"volume": r[:, None] ** 2 * np.ones_like(v), "flat": np.ones_like(v),
              "density": r[:, None] ** 2 * np.maximum(density, 0.01) ** alpha}[prior]
    joint = weight / np.trapezoid(weight, r, axis=0) * likelihood / v.shape[1]
    total = joint.sum(axis=1)
    evidence = np.trapezoid(total, r)
    pdf = total / evidence
    cumulative = np.concatenate([[0], np.cumsum(0.5 * (pdf[1:] + pdf[:-1]) * np.diff(r))])
    mean, hubble_mean = np.trapezoid(pdf * r, r), np.trapezoid(pdf * C_KMS * zbar, r)
    f = z_pred.mean(axis=1) - z_obs
    v_rad = float(np.trapezoid(np.sum(joint * v, axis=1) / evidence * inside, r))
    crossing = np.flatnonzero(((f[:-1] < 0) != (f[1:] < 0)) & inside[:-1] & inside[1:])
    roots = [float(r[j] - f[j] * (r[j + 1] - r[j]) / (f[j + 1] - f[j])) for j in crossing]
    return {"pdf": pdf, "evidence": float(evidence), "mean": float(mean),
            "std": float(np.sqrt(np.trapezoid(pdf * (r - mean) ** 2, r))),
            "quantiles": np.interp([0.025, 0.16, 0.5, 0.84, 0.975], cumulative, r), "hubble_mean": float(hubble_mean),
            "hubble_std": float(np.sqrt(np.trapezoid(pdf * (C_KMS * zbar - hubble_mean) ** 2, r))),
            "v_rad": v_rad, "v_rad_std": float(np.sqrt(np.trapezoid(np.sum(joint * (v - v_rad) ** 2, axis=1), r) / evidence)),
            "inside_fraction": float(np.trapezoid(pdf * inside, r)), "roots": roots}

"""How others solve a posterior: the whole line of sight, then the same ten numbers ours gives (`questions.SUMMARY`).

All use the same grid and rules (trapezoid; mode by a parabola; quantiles linear inside a step), take unit vectors
instead of angles, and leave out what only ours answers: roots, flags, the other variables, the other velocity frames.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cfcore import C_KMS

from .made_field import Made
from .questions import DR, QUANTILES, SIGMA_V, Line, Objects

F64 = NDArray[np.float64]


def summarise(line: Line, weight: F64, v_rad: F64, delta: F64) -> F64:
    """Return the ten numbers of many objects at once, shape (n, 10).

    Parameters
    ----------
    line : Line
    weight : ndarray, shape (n, m)
        Posterior on the grid, any norm.
    v_rad, delta : ndarray, shape (n, m)
        Radial velocity (km/s) and density contrast along the line of sight.
    """
    n, m = weight.shape
    out, rows = np.empty((n, 10)), np.arange(n)
    share = weight.copy()
    share[:, [0, -1]] *= 0.5
    share /= share.sum(axis=1, keepdims=True)
    mean = share @ line.r
    out[:, 0] = mean
    out[:, 1] = np.sqrt(np.maximum((share * (line.r - mean[:, None]) ** 2).sum(axis=1), 0.0))
    top = weight.argmax(axis=1).clip(1, m - 2)
    left, middle, right = weight[rows, top - 1], weight[rows, top], weight[rows, top + 1]
    out[:, 2] = line.r[top] + 0.5 * DR * (left - right) / (left - 2.0 * middle + right)
    rising = np.zeros((n, m))
    np.cumsum(0.5 * (weight[:, 1:] + weight[:, :-1]), axis=1, out=rising[:, 1:])
    for i, q in enumerate(QUANTILES):
        wanted = q * rising[:, -1]
        j = ((rising < wanted[:, None]).sum(axis=1) - 1).clip(0, m - 2)
        below, above = rising[rows, j], rising[rows, j + 1]
        out[:, 3 + i] = DR * (j + (wanted - below) / (above - below))
    out[:, 8], out[:, 9] = (share * v_rad).sum(axis=1), (share * delta).sum(axis=1)
    return out


def weights(line: Line, z: F64, v_rad: F64) -> F64:
    """Return volume prior times likelihood, shape (n, m), for redshifts (n,) and radial velocities (n, m) in km/s."""
    off = C_KMS * (z[:, None] - ((1.0 + line.zbar) * (1.0 + v_rad / C_KMS) - 1.0)) / SIGMA_V
    return line.r ** 2 * np.exp(-0.5 * off * off)


def regular_grid_loop(made: Made, line: Line, objects: Objects) -> Callable[[], F64]:
    """Return the loop over objects around SciPy's RegularGridInterpolator."""
    from scipy.interpolate import RegularGridInterpolator

    interpolator = RegularGridInterpolator(made.axes, made.cells[..., 0], bounds_error=False, fill_value=0.0)

    def one(to: F64, z: F64) -> F64:
        values = interpolator(line.r[:, None] * to)
        v_rad = (values[:, :3] @ to)[None]
        return summarise(line, weights(line, z, v_rad), v_rad, values[None, :, 3] - 1.0)[0]

    return lambda: np.array([one(objects.to[i], objects.z[i:i + 1]) for i in range(len(objects.cz))])


def map_coordinates_batch(made: Made, line: Line, objects: Objects) -> Callable[[], F64]:
    """Return one call for all objects around scipy.ndimage, arrays all the way."""
    from scipy import ndimage

    assert made.planes is not None
    cubes = made.planes[0]

    def work() -> F64:
        at = (objects.to.T[:, :, None] * line.r - made.origin) / made.spacing
        vx, vy, vz, density = (ndimage.map_coordinates(c, at, output=float, order=1, mode="nearest", prefilter=False)
                               for c in cubes)
        x, y, z = objects.to.T[:, :, None]
        v_rad = vx * x + vy * y + vz * z
        return summarise(line, weights(line, objects.z, v_rad), v_rad, density - 1.0)

    return work


def map_coordinates_ensemble(made: Made, line: Line, objects: Objects) -> Callable[[], F64]:
    """Return the loop over objects and realisations around scipy.ndimage; the mixture of all is summarised."""
    from scipy import ndimage

    assert made.planes is not None
    planes = made.planes

    def one(to: F64, z: F64) -> F64:
        at = (to[:, None] * line.r - made.origin) / made.spacing
        values = np.empty((len(planes), 4, len(line.r)))
        for cubes, rows in zip(planes, values):
            for cube, row in zip(cubes, rows):
                ndimage.map_coordinates(cube, at, output=row, order=1, mode="nearest", prefilter=False)
        v_rad = np.einsum("kcm,c->km", values[:, :3], to)
        parts = weights(line, np.broadcast_to(z, len(planes)), v_rad)
        total = np.maximum(parts.sum(axis=0), 1e-300)
        return summarise(line, total[None], (parts * v_rad).sum(axis=0)[None] / total,
                         (parts * (values[:, 3] - 1.0)).sum(axis=0)[None] / total)[0]

    return lambda: np.array([one(objects.to[i], objects.z[i:i + 1]) for i in range(len(objects.cz))])

"""What others use to interpolate four components at points; each library is loaded only when it is measured.

Every maker returns the work, and the answer it leaves behind: shape (n, 4), ``[vx, vy, vz, 1+delta]``. Whatever a peer
can be spared is done beforehand: the layout it likes best, the conversion of positions, the room for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from .made_field import Made

F64 = NDArray[np.float64]
Peer = tuple[Callable[[], object], Callable[[], NDArray[np.floating]]]


def installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def numba_interleaved(made: Made, xyz: F64) -> Peer:
    """Return a compiled loop over the same interleaved float32 cells as ours, with float32 weights and answers."""
    import numba

    f32, u64 = np.float32, np.uint64

    def loop(cells: F64, n: int, origin: float, inverse: float, xyz: F64, out: F64) -> None:
        below, top = n - 1.0, n - 2
        in_y, in_x = u64(4 * n), u64(4 * n * n)
        for q in range(xyz.shape[0]):
            x = min(max((xyz[q, 0] - origin) * inverse, 0.0), below)
            y = min(max((xyz[q, 1] - origin) * inverse, 0.0), below)
            z = min(max((xyz[q, 2] - origin) * inverse, 0.0), below)
            i, j, k = min(int(x), top), min(int(y), top), min(int(z), top)
            a, b, c = f32(x - i), f32(y - j), f32(z - k)
            a0, b0, c0 = f32(1) - a, f32(1) - b, f32(1) - c
            p0 = u64(4 * ((i * n + j) * n + k))
            p1, p2, p3 = p0 + in_y, p0 + in_x, p0 + in_x + in_y
            for m in range(4):
                low, high = u64(m), u64(m + 4)
                out[q, m] = (a0 * b0 * c0 * cells[p0 + low] + a0 * b0 * c * cells[p0 + high]
                             + a0 * b * c0 * cells[p1 + low] + a0 * b * c * cells[p1 + high]
                             + a * b0 * c0 * cells[p2 + low] + a * b0 * c * cells[p2 + high]
                             + a * b * c0 * cells[p3 + low] + a * b * c * cells[p3 + high])

    compiled, flat, out = numba.njit(loop, fastmath=True), made.cells.reshape(-1), np.empty((len(xyz), 4), np.float32)
    return (lambda: compiled(flat, made.n, made.origin, 1.0 / made.spacing, xyz, out)), lambda: out


def interpn_float32(made: Made, xyz: F64) -> Peer:
    """Return four calls in float32, one for each contiguous component, one thread."""
    import interpn

    at = _in_cells(made, xyz).astype(np.float32)
    places, axes = [np.ascontiguousarray(column) for column in at.T], [np.arange(made.n, dtype=np.float32)] * 3
    values, out = [cube.reshape(-1) for cube in _cubes(made)], np.empty((4, len(xyz)), np.float32)

    def work() -> None:
        for value, row in zip(values, out):
            interpn.interpn(places, axes, value, out=row, grid_kind="regular", max_threads=1)

    return work, lambda: out.T


def map_coordinates(made: Made, xyz: F64) -> Peer:
    """Return four calls of scipy.ndimage, one for each contiguous component."""
    from scipy import ndimage

    places, out = np.ascontiguousarray(_in_cells(made, xyz).T), np.empty((4, len(xyz)), np.float32)

    def work() -> None:
        for cube, row in zip(_cubes(made), out):
            ndimage.map_coordinates(cube, places, output=row, order=1, mode="nearest", prefilter=False)

    return work, lambda: out.T


def regular_grid(made: Made, xyz: F64) -> Peer:
    """Return one call of SciPy's RegularGridInterpolator for all four components together."""
    from scipy.interpolate import RegularGridInterpolator

    interpolator = RegularGridInterpolator(made.axes, made.cells[..., 0], bounds_error=False, fill_value=None)
    kept: list[F64] = []

    def work() -> None:
        kept[:] = [interpolator(xyz)]

    return work, lambda: kept[0]


def _cubes(made: Made) -> NDArray[np.float32]:
    if made.planes is None:
        raise ValueError("this field was made without planes")
    return made.planes[0]


def _in_cells(made: Made, xyz: F64) -> F64:
    return (xyz - made.origin) / made.spacing


MAKERS: dict[str, tuple[str, Callable[[Made, F64], Peer]]] = {
    "numba": ("numba", numba_interleaved), "interpn": ("interpn", interpn_float32),
    "map_coordinates": ("scipy", map_coordinates), "rgi": ("scipy", regular_grid)}
"""name -> (package it needs, maker)."""

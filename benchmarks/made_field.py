"""Smooth fields of any size, made from a few waves: quick to make, the same at each run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cfcore import FlowField
from cfcore.manifest import Manifest

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

SPEED = 300.0
"""Dispersion of each velocity component, km/s."""
CONTRAST = 0.3
WAVES = 24
LANES = 16


class Made(NamedTuple):
    """Hold a field together with the arrays it was made from, for the peers."""

    field: FlowField
    cells: F32
    """Shape (n, n, n, 4, R padded), ``[vx, vy, vz, 1+delta]``."""
    planes: F32 | None
    """Shape (R, 4, n, n, n): the same values. Contiguous copies for one realisation; for many a view, which is quicker
    on a line of sight than copies would be (the realisations of a node are neighbours) and half the memory."""
    origin: float
    spacing: float
    v_max: float

    @property
    def n(self) -> int:
        """Return the nodes along an axis."""
        return self.cells.shape[0]

    @property
    def axes(self) -> tuple[F64, F64, F64]:
        """Return the positions of the nodes, h^-1 Mpc."""
        axis = self.origin + self.spacing * np.arange(self.n)
        return axis, axis, axis


def make(n: int, half: float = 130.0, realisations: int = 1, *, planes: bool = True) -> Made:
    """Make a field of n^3 nodes over +-half h^-1 Mpc.

    Parameters
    ----------
    n : int
        Nodes along each axis.
    half : float, h^-1 Mpc
    realisations : int
        More than one: every wave has an amplitude of its own in each, 30% about the common one.
    planes : bool
        Make the layout that SciPy's and interpn's users have, too.

    Notes
    -----
    Each component is a sum of products of three cosines with 1/2 to 3 waves across the box.
    """
    rng = np.random.default_rng(n)
    pad = 1 if realisations == 1 else -(-realisations // LANES) * LANES
    cells = np.zeros((n, n, n, 4, pad), np.float32)
    phase = rng.uniform(0.5, 3.0, (4, 3, WAVES, 1)) * (np.arange(n) / n) + rng.uniform(0.0, 1.0, (4, 3, WAVES, 1))
    x, y, z = np.cos(2 * np.pi * phase).astype(np.float32).transpose(1, 0, 2, 3)
    sheets = (y[..., :, None] * z[..., None, :]).reshape(4, WAVES, n * n)
    amplitudes = np.ones((4, realisations, WAVES))
    if realisations > 1:
        amplitudes += 0.3 * rng.normal(size=amplitudes.shape)
    amplitudes *= np.sqrt(8.0 / WAVES) * np.array([SPEED] * 3 + [CONTRAST])[:, None, None]
    # the same room for every slab: fresh pages would cost more than the arithmetic
    slab = np.empty((4, realisations, n * n), np.float32)
    for i in range(n):
        np.matmul(amplitudes.astype(np.float32) * x[:, None, :, i], sheets, out=slab)
        slab[3] += np.float32(1.0)
        square = slab.reshape(4, realisations, n, n)
        cells[i, ..., :realisations] = square.transpose(2, 3, 0, 1)
    spacing = 2 * half / (n - 1)
    manifest = Manifest(id=f"made-{n}", version="1", shape=(n, n, n), origin_hmpc=(-half,) * 3, spacing_hmpc=(spacing,) * 3,
                        sky_frame="supergalactic", citation="made for a benchmark", realisations=realisations)
    stored = cells[..., 0] if realisations == 1 else cells
    view = cells[..., :realisations].transpose(4, 3, 0, 1, 2)
    cubes = None if not planes else np.ascontiguousarray(view) if realisations == 1 else view
    field = FlowField(manifest, stored)
    return Made(field, cells, cubes, -half, spacing, field.manifest.v_max)

"""Fields that the tests make themselves."""

from __future__ import annotations

import numpy as np

from cfcore import FlowField


def smooth_field(seed: int = 1, *, realisations: int = 1, shape: tuple[int, int, int] = (24, 20, 28),
                 spacing: tuple[float, float, float] = (8.0, 9.0, 7.5), speed: float = 300.0,
                 sky_frame: str = "supergalactic", with_sigma: bool = False) -> FlowField:
    """Make a smooth random field with unequal axes, the observer off the nodes."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij"))
    v = np.zeros((realisations, 3) + shape)
    delta = np.zeros((realisations,) + shape)
    for k in range(realisations):
        for c in range(4):
            wave = sum(rng.normal() * np.sin(2 * np.pi * np.tensordot(rng.integers(-2, 3, 3), grid, 1) + rng.uniform(0, 6))
                       for _ in range(6))
            if c < 3:
                v[k, c] = speed * wave / 3
            else:
                delta[k] = 0.4 * wave
    half = [0.5 * (n - 1) * s for n, s in zip(shape, spacing)]
    origin = [-h + o for h, o in zip(half, (3.0, -2.0, 1.0))]
    sigma = 80.0 + 40.0 * np.sin(6 * grid[0]) if with_sigma else None
    return FlowField.from_arrays(v, delta, origin_hmpc=origin, spacing_hmpc=spacing, sky_frame=sky_frame, sigma=sigma)

"""Fields that the tests make themselves."""

from __future__ import annotations

import numpy as np

from cfcore import FlowField

Cube = tuple[np.ndarray, np.ndarray]


def linear_theory(n: int = 16, box: float = 320.0, growth: float = 0.5, seed: int = 3) -> Cube:
    """Return velocity (3, n, n, n) in km/s and delta with div v = -100 growth delta; no two axes are alike."""
    k = [2 * np.pi * np.fft.fftfreq(n, box / n).reshape(s) for s in ((n, 1, 1), (1, n, 1), (1, 1, n))]
    k2 = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    noise = np.fft.fftn(np.random.default_rng(seed).normal(size=(n, n, n)))
    delta_k = noise * np.exp(-k2 * (1.5 * box / n) ** 2 / 2)
    delta_k[0, 0, 0] = 0.0
    delta_k *= 0.3 / np.fft.ifftn(delta_k).real.std()
    k2[0, 0, 0] = 1.0
    v = np.stack([np.fft.ifftn(100 * growth * 1j * ki * delta_k / k2).real for ki in k])
    return v, np.fft.ifftn(delta_k).real


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

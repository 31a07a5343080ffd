"""The objects a posterior is solved for, and the line of sight all contenders solve it on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cfcore import C_KMS, FlowOptions, background

F64 = NDArray[np.float64]

R_MAX, DR = 128.0, 0.25
"""512 steps, h^-1 Mpc."""
SIGMA_V = 200.0
QUANTILES = (0.025, 0.16, 0.5, 0.84, 0.975)
SUMMARY = ("comoving.mean", "comoving.std", "comoving.mode", "comoving.p2_5", "comoving.p16", "comoving.median",
           "comoving.p84", "comoving.p97_5", "v_rad", "delta")
"""What every contender answers, under the names of our columns: h^-1 Mpc, then km/s and a number."""
TOLERANCE = np.array([1e-3] * 8 + [0.05, 1e-4])
"""Agreement asked for, in the same units."""


@dataclass(frozen=True)
class Line:
    """Hold the grid of the line of sight: r in h^-1 Mpc and the cosmological redshift there, shape (m,)."""

    r: F64
    zbar: F64

    @classmethod
    def make(cls) -> Line:
        """Return the grid that `options` asks ours for."""
        r = np.arange(round(R_MAX / DR) + 1) * DR
        return cls(r, background(0.3).redshift(r))


@dataclass(frozen=True)
class Objects:
    """Hold n observed galaxies: deg on the field's axes, unit vectors (n, 3), and c z in the CMB frame, km/s."""

    lon: F64
    lat: F64
    to: F64
    cz: F64

    @classmethod
    def make(cls, n: int) -> Objects:
        """Return n objects all over the sky whose posteriors end well before the line of sight does."""
        rng = np.random.default_rng(2)
        lon, sine = rng.uniform(0.0, 360.0, n), rng.uniform(-1.0, 1.0, n)
        lat, lam = np.rad2deg(np.arcsin(sine)), np.deg2rad(lon)
        cosine = np.sqrt(1.0 - sine ** 2)
        return cls(lon, lat, np.stack([cosine * np.cos(lam), cosine * np.sin(lam), sine], axis=1), rng.uniform(1500, 9500, n))

    def first(self, n: int) -> Objects:
        """Return the first n of them."""
        return Objects(self.lon[:n], self.lat[:n], self.to[:n], self.cz[:n])

    @property
    def z(self) -> F64:
        """Return the observed redshifts."""
        return self.cz / C_KMS


def options(prior: str = "volume") -> FlowOptions:
    """Return the question as ours is asked it."""
    return FlowOptions(frame="supergalactic", cz_frame="cmb", Om=0.3, sigma_v=SIGMA_V, prior=prior, rmax=R_MAX, dr=DR)

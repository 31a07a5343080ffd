"""The background: redshift <-> comoving distance in a flat Lambda-CDM universe without radiation.

Lengths are comoving h^-1 Mpc, so nothing here needs H0.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import BadParameter

C_KMS = 299792.458
"""Speed of light, km/s (exact, SI)."""

OM_DEFAULT = 0.3
H0_DEFAULT = 75.0
"""Defaults of the Cosmicflows distance scale (H0 = 74.6-75 km/s/Mpc; Tully et al. 2023)."""

Z_MAX = 20.0
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)


class Background:
    """Map cosmological redshift to comoving distance and back.

    Parameters
    ----------
    Om : float
        Matter density today, 0 <= Om <= 1; the rest is a cosmological constant.

    Notes
    -----
    ``E(z)^2 = Om (1+z)^3 + 1 - Om`` and ``r(z) = (c/100) int_0^z dz'/E(z')`` in h^-1 Mpc (Hogg 1999,
    astro-ph/9905116, eqs. 14-15). The integral is an 8-point Gauss-Legendre rule on intervals of at most 0.01 in z
    and agrees with astropy to 1e-12 relative; `redshift` inverts it to rounding.
    """

    def __init__(self, Om: float = OM_DEFAULT) -> None:
        if not 0.0 <= Om <= 1.0:
            raise BadParameter(f"Om = {Om} lies outside 0 ... 1 (flat Lambda-CDM)", code="out_of_range", where="Om")
        self.Om = float(Om)
        self._z = np.linspace(0.0, Z_MAX, int(Z_MAX * 100) + 1)
        steps = self._integral(self._z[:-1], self._z[1:])
        self._r = np.concatenate([[0.0], np.cumsum(steps)])
        self._slope = self.efunc(self._z) * 100.0 / C_KMS
        self._z.flags.writeable = self._r.flags.writeable = False

    def efunc(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return E(z) = H(z)/H0, dimensionless, for redshifts of any shape."""
        # a product: the power function takes five times as long
        a = 1.0 + np.asarray(z, dtype=float)
        return np.sqrt(self.Om * (a * a * a) + 1.0 - self.Om)

    def comoving_hmpc(self, z: ArrayLike) -> NDArray[np.float64]:
        """Return comoving distances in h^-1 Mpc for redshifts -0.5 <= z <= 20, any shape; NaN outside."""
        z = np.asarray(z, dtype=float)
        bad = ~((z >= -0.5) & (z <= Z_MAX))
        zz = np.where(bad, 0.0, z)
        i = np.clip(np.floor(zz * 100.0).astype(np.intp), 0, len(self._z) - 2)
        return np.where(bad, np.nan, self._r[i] + self._integral(self._z[i], zz))

    def redshift(self, r_hmpc: ArrayLike) -> NDArray[np.float64]:
        """Return cosmological redshifts for comoving distances >= 0 in h^-1 Mpc; NaN beyond z = 20."""
        r = np.asarray(r_hmpc, dtype=float)
        bad = ~((r >= 0.0) & (r <= self._r[-1]))
        target = np.where(bad, 0.0, r)
        # the cubic through the table and its slopes is good to 1e-10; a Newton step, which squares that, ends at rounding
        i = np.clip(np.searchsorted(self._r, target, side="right") - 1, 0, len(self._r) - 2)
        step = self._r[i + 1] - self._r[i]
        t = (target - self._r[i]) / step
        u = 1.0 - t
        z = (u * u * ((1.0 + 2.0 * t) * self._z[i] + t * step * self._slope[i])
             + t * t * ((1.0 + 2.0 * u) * self._z[i + 1] - u * step * self._slope[i + 1]))
        z = z - (self.comoving_hmpc(z) - target) * self.efunc(z) * 100.0 / C_KMS
        return np.where(bad, np.nan, z)

    def table(self) -> dict[str, NDArray[np.float64]]:
        """Return what `redshift` works with, for the compiled loops: redshifts, distances, slopes, nodes and weights."""
        return {"z": self._z, "r": self._r, "slope": self._slope, "nodes": _NODES, "weights": _WEIGHTS}

    def _integral(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        half, mid = 0.5 * (b - a)[..., None], 0.5 * (b + a)[..., None]
        return C_KMS / 100.0 * np.sum(_WEIGHTS * half / self.efunc(mid + half * _NODES), axis=-1)


@lru_cache(maxsize=32)
def background(Om: float = OM_DEFAULT) -> Background:
    """Return the (cached) background for a matter density."""
    return Background(Om)

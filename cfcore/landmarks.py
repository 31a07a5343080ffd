"""Places on the sky whose density everybody knows: three rich clusters and the void next door."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cosmology import background
from .frames import convert_z, rotate, unit_vectors


class Landmark(NamedTuple):
    """Name a place of well-known density: ICRS degrees, heliocentric redshift or distance, percentile expected."""

    name: str
    ra: float
    dec: float
    z_hel: float | None
    r_hmpc: float | None
    at_least: float | None
    at_most: float | None
    source: str


LANDMARKS: tuple[Landmark, ...] = (
    Landmark("Shapley (A3558)", 201.987, -31.495, 0.0480, None, 99.0, None, "Abell et al. 1989; Struble & Rood 1999"),
    Landmark("Perseus (A426)", 49.951, 41.512, 0.0179, None, 99.0, None, "Abell et al. 1989; Struble & Rood 1999"),
    Landmark("Coma (A1656)", 194.953, 27.981, 0.0231, None, 99.0, None, "Abell et al. 1989; Struble & Rood 1999"),
    # Centre on the sky from Karachentseva et al. 1999, A&AS 135, 221, who find it empty to V0 = 1500 km/s; its centre
    # lies at least 23 Mpc (17 h^-1 Mpc) away (Tully et al. 2008, ApJ 676, 184).
    Landmark("Local Void", 279.5, 18.0, None, 20.0, None, 5.0, "Karachentseva et al. 1999; Tully et al. 2008"),
)


def position(mark: Landmark, sky_frame: str) -> NDArray[np.float64]:
    """Return where a landmark lies, shape (3,), comoving h^-1 Mpc; redshifts are taken in the CMB frame."""
    n = unit_vectors(mark.ra, mark.dec)
    r = mark.r_hmpc
    if r is None:
        z_cmb = convert_z([mark.z_hel], rotate(n, "icrs", "galactic"), "hel", "cmb")
        r = float(background().comoving_hmpc(z_cmb)[0])
    return rotate(n, "icrs", sky_frame)[0] * r

"""From velocities as catalogues hold them to heliocentric redshifts: conventions first, then the rest frame.

Redshifts of different rest frames are composed by multiplication, ``1 + z_hel = (1 + z_X)(1 - v_sun,X . n / c)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cfcore import frames
from cfcore.cosmology import C_KMS

F64 = NDArray[np.float64]

CONVENTIONS: tuple[str, ...] = ("cz", "z", "optical", "radio", "relativistic")
"""``cz`` and ``optical``: v = c z; ``radio``: v = c (1 - 1/(1+z)); ``relativistic``: v = c ((1+z)^2 - 1)/((1+z)^2 + 1)."""
Z_LIMIT = 20.0
"""No catalogue of galaxies holds a larger redshift; what does is an error of unit or of the file."""


def redshift(given: F64, convention: str) -> F64:
    """Return redshifts in the frame of the catalogue.

    Parameters
    ----------
    given : ndarray, shape (n,)
        km/s, or redshifts for the convention ``z``.
    convention : str
        One of `CONVENTIONS`.

    Returns
    -------
    ndarray, shape (n,)
        NaN or infinite where no redshift has such a velocity (at or beyond c in the radio and relativistic conventions).
    """
    if convention == "z":
        return given.copy()
    beta = given / C_KMS
    with np.errstate(divide="ignore", invalid="ignore"):
        if convention == "radio":
            z = 1.0 / (1.0 - beta) - 1.0
            return np.where(beta < 1.0, z, np.nan)
        if convention == "relativistic":
            return np.where(np.abs(beta) < 1.0, np.sqrt((1.0 + beta) / (1.0 - beta)) - 1.0, np.nan)
    return beta


def redshift_error(error: F64, z: F64, convention: str) -> F64:
    """Return errors of the redshift in the frame of the catalogue: the error of `given` times dz/d(given).

    Parameters
    ----------
    error : ndarray, shape (n,)
        In the unit and convention of the velocities.
    z : ndarray, shape (n,)
        What `redshift` returned.
    convention : str
    """
    if convention == "z":
        return error
    if convention == "radio":
        return error / C_KMS * (1.0 + z) ** 2
    if convention == "relativistic":
        square = (1.0 + z) ** 2
        beta = (square - 1.0) / (square + 1.0)
        return error / C_KMS * (1.0 + z) / (1.0 - beta ** 2)
    return error / C_KMS


def heliocentric(z: F64, error: F64, ra: F64, dec: F64, frame: str) -> tuple[F64, F64]:
    """Return heliocentric redshifts and their errors.

    Parameters
    ----------
    z, error : ndarray, shape (n,)
        In the rest frame `frame`.
    ra, dec : ndarray, shape (n,), deg
        ICRS.
    frame : str
        Key of `cfcore.frames.VELOCITY_FRAMES`.
    """
    if frame == "hel":
        return z, error
    towards = frames.rotate(frames.unit_vectors(ra, dec), "icrs", "galactic")
    z_hel = frames.convert_z(z, towards, frame, "hel")
    return z_hel, error * (1.0 + z_hel) / (1.0 + z)

"""Sky frames and velocity frames, in plain NumPy.

Sky frames are constant rotations; velocity frames are the Sun's motion with respect to a rest frame. astropy is the
oracle of the tests, not a dependency: one SkyCoord conversion costs as much as a hundred posteriors.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _kernels
from .cosmology import C_KMS
from .errors import BadParameter, UnknownName

F64 = NDArray[np.float64]

# ICRS -> galactic, Hipparcos definition (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, eq. 1.5.11).
ICRS_TO_GALACTIC: F64 = np.array([
    [-0.0548755604162154, -0.8734370902348850, -0.4838350155487132],
    [+0.4941094278755837, -0.4448296299600112, +0.7469822444972189],
    [-0.8676661490190047, -0.1980763734312015, +0.4559837761750669]])


def _unit(lon_deg: float, lat_deg: float) -> F64:
    lon, lat = np.deg2rad(lon_deg), np.deg2rad(lat_deg)
    return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])


# Supergalactic pole l = 47.37, b = +6.32; origin of longitude l = 137.37, b = 0
# (de Vaucouleurs et al. 1991, RC3; Lahav et al. 2000, MNRAS 312, 166).
_SGZ, _SGX = _unit(47.37, 6.32), _unit(137.37, 0.0)
GALACTIC_TO_SUPERGALACTIC: F64 = np.array([_SGX, np.cross(_SGZ, _SGX), _SGZ])

_TO_GALACTIC: dict[str, F64] = {
    "icrs": ICRS_TO_GALACTIC, "galactic": np.eye(3), "supergalactic": GALACTIC_TO_SUPERGALACTIC.T}
SKY_FRAMES: tuple[str, ...] = tuple(_TO_GALACTIC)
_SKY_ALIASES = {"equatorial": "icrs"}


def sky_frame(name: str) -> str:
    """Return the canonical key of a sky frame.

    Raises
    ------
    UnknownName
        When `name` is none of `SKY_FRAMES` or their aliases.
    """
    key = str(name).strip().lower()
    key = _SKY_ALIASES.get(key, key)
    if key not in _TO_GALACTIC:
        raise UnknownName(f"sky frame {name!r:.80} is not known; use one of {', '.join(SKY_FRAMES)}",
                          code="unknown_frame", where="frame", extra={"known": list(SKY_FRAMES)})
    return key


@lru_cache(maxsize=64)
def rotation(source: str, target: str) -> F64:
    """Return the 3x3 matrix R with ``u_target = R @ u_source`` for two sky frames."""
    matrix = _TO_GALACTIC[sky_frame(target)].T @ _TO_GALACTIC[sky_frame(source)]
    matrix.flags.writeable = False
    return matrix


def unit_vectors(lon_deg: ArrayLike, lat_deg: ArrayLike) -> F64:
    """Return unit vectors, shape (n, 3), for longitudes and latitudes in degrees."""
    lon = np.ascontiguousarray(np.atleast_1d(np.asarray(lon_deg, float)))
    lat = np.ascontiguousarray(np.atleast_1d(np.asarray(lat_deg, float)))
    out = np.empty((lon.size, 3))
    _kernels.unit_vectors(lon, lat, out)
    return out


def lon_lat(vectors: ArrayLike) -> tuple[F64, F64]:
    """Return longitude in [0, 360) and latitude, degrees, of vectors of shape (n, 3) and any length."""
    x, y, z = np.asarray(vectors, float).reshape(-1, 3).T
    lon = np.rad2deg(np.arctan2(y, x)) % 360.0
    # -1e-15 % 360 rounds to 360 itself
    return np.where(lon >= 360.0, 0.0, lon), np.rad2deg(np.arctan2(z, np.hypot(x, y)))


def rotate(vectors: ArrayLike, source: str, target: str) -> F64:
    """Rotate vectors of shape (n, 3) from one sky frame to another."""
    v, m = np.asarray(vectors, float).reshape(-1, 3), rotation(source, target)
    # Products in a fixed order, not a BLAS call: n objects at once must equal n single ones to the last bit.
    return np.stack([v[:, 0] * row[0] + v[:, 1] * row[1] + v[:, 2] * row[2] for row in m], axis=1)


class VelocityFrame(NamedTuple):
    """Describe a rest frame by the Sun's velocity in it."""

    key: str
    sun_galactic: tuple[float, float, float]
    """Sun's velocity with respect to the frame, galactic Cartesian, km/s."""
    source: str


def _apex(speed: float, lon: float, lat: float) -> tuple[float, float, float]:
    x, y, z = (speed * _unit(lon, lat)).tolist()
    return x, y, z


_FRAMES = [
    VelocityFrame("hel", (0.0, 0.0, 0.0), "solar-system barycentre"),
    VelocityFrame("cmb", _apex(369.82, 264.021, 48.253), "Planck Collaboration 2018 I (2020, A&A 641, A1)"),
    VelocityFrame("cmb_fixsen96", _apex(371.0, 264.14, 48.26), "Fixsen et al. 1996, ApJ 473, 576"),
    VelocityFrame("lg", _apex(316.0, 93.0, -4.0), "Karachentsev & Makarov 1996, AJ 111, 794"),
    VelocityFrame("lg_yts77", (-79.0, 296.0, -36.0), "Yahil, Tammann & Sandage 1977, ApJ 217, 903"),
    VelocityFrame("lg_cvdb99", _apex(306.0, 99.0, -3.0), "Courteau & van den Bergh 1999, AJ 118, 337"),
    VelocityFrame("ls", (-26.0, 317.0, -8.0), "Tully et al. 2008, ApJ 676, 184 (Local Sheet)"),
    VelocityFrame("gsr", _apex(232.3, 87.8, 1.7), "de Vaucouleurs et al. 1991, RC3"),
    VelocityFrame("gsr_edd", (11.1, 251.0, 7.25), "EDD NAM calculator, Kourkchi et al. 2020, AJ 159, 67"),
]
VELOCITY_FRAMES: dict[str, VelocityFrame] = {f.key: f for f in _FRAMES}
_VELOCITY_ALIASES = {"helio": "hel", "heliocentric": "hel", "barycentric": "hel", "lg_km96": "lg", "gsr_ned": "gsr"}
REPORTED_FRAMES: tuple[str, ...] = ("hel", "cmb", "lg", "ls", "gsr")
"""The frames in which every answer repeats the observed velocity."""

COMPOSITIONS: tuple[str, ...] = ("multiplicative", "additive")


def velocity_frame(name: str) -> VelocityFrame:
    """Return the rest frame of a name.

    Raises
    ------
    UnknownName
        When `name` is none of `VELOCITY_FRAMES` or their aliases.
    """
    key = str(name).strip().lower()
    frame = VELOCITY_FRAMES.get(_VELOCITY_ALIASES.get(key, key))
    if frame is None:
        raise UnknownName(f"velocity frame {name!r:.80} is not known; use one of {', '.join(VELOCITY_FRAMES)}",
                          code="unknown_frame", where="cz_frame", extra={"known": list(VELOCITY_FRAMES)})
    return frame


def sun_along(n_galactic: F64, frame: str) -> F64:
    """Return v_sun . n in km/s, shape (n,), for galactic unit vectors of shape (n, 3)."""
    sx, sy, sz = velocity_frame(frame).sun_galactic
    return n_galactic[:, 0] * sx + n_galactic[:, 1] * sy + n_galactic[:, 2] * sz


def convert_z(z: ArrayLike, n_galactic: F64, source: str, target: str,
              composition: str = "multiplicative") -> F64:
    """Convert redshifts between rest frames.

    Parameters
    ----------
    z : array_like, shape (n,)
        Observed redshift in the frame `source`.
    n_galactic : ndarray, shape (n, 3)
        Unit vectors to the objects, galactic axes.
    source, target : str
        Keys of `VELOCITY_FRAMES`.
    composition : {"multiplicative", "additive"}
        ``1+z_hel = (1+z_X)(1 - v_sun,X.n/c)``, or the additive shift used by NED and EDD.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    UnknownName
        When a frame is not known.
    BadParameter
        When the composition is not known.

    References
    ----------
    Davis & Scrimgeour 2014, MNRAS 442, 1117, eq. 11 (redshifts multiply); Carr et al. 2022, PASA 39, e046.
    """
    z = np.atleast_1d(np.asarray(z, float))
    if composition not in COMPOSITIONS:
        raise BadParameter(f"composition {composition!r:.40} is not known; use one of {', '.join(COMPOSITIONS)}",
                           code="unknown_option", where="composition")
    beta_source = sun_along(n_galactic, source) / C_KMS
    beta_target = sun_along(n_galactic, target) / C_KMS
    if velocity_frame(source) is velocity_frame(target):
        return z.copy()
    if composition == "additive":
        return z - beta_source + beta_target
    return (1.0 + z) * (1.0 - beta_source) / (1.0 - beta_target) - 1.0

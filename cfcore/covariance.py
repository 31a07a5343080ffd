"""Radial velocities in every realisation of an ensemble, and how they vary together from object to object.

Two supernovae of one neighbourhood share the error of the flow there; a covariance matrix says how much.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import distances, frames
from .errors import BadParameter
from .field import FlowField
from .options import FlowOptions

F64 = NDArray[np.float64]

N_MAX = 20_000
"""Most objects of one covariance matrix: 3.2 GB. `velocity_deviations` has no such limit."""
_BLOCK_NUMBERS = 4_000_000


class RadialVelocities(NamedTuple):
    """Hold the radial velocities of n objects in R realisations."""

    v_rad: F64
    """Shape (n, R), km/s, CMB frame, positive = receding; NaN where there is no answer."""
    sigma: F64
    """Shape (n,), the field's own velocity error, km/s; 0 where it has none, NaN where there is no answer."""
    status: NDArray[np.int32]
    """Shape (n,), place in `distances.STATUS`; outside the lattice it is "outside_field"."""


def radial_velocities(field: FlowField, lon: ArrayLike, lat: ArrayLike, d_c: ArrayLike, *,
                      options: FlowOptions | None = None, **named: object) -> RadialVelocities:
    """Return the radial velocity of every realisation at known distances.

    Parameters
    ----------
    field : FlowField
    lon, lat : array_like, shape (n,), deg
        Sky positions in ``options.frame``.
    d_c : array_like, shape (n,), Mpc
        Comoving distance r/h with h from ``options.H0``.
    options : FlowOptions, optional
        Or its entries by name.

    Returns
    -------
    RadialVelocities

    Raises
    ------
    BadParameter
        When lengths differ or an option is out of range.
    """
    opt = options or FlowOptions(**named)  # type: ignore[arg-type]
    place = distances.velocities(field, lon, lat, d_c, options=opt)
    status = place.status
    ok = status == 0
    n, count = len(ok), field.manifest.realisations
    sg = np.stack([place.column(c) for c in ("sgx", "sgy", "sgz")], axis=1)
    at = frames.rotate(np.where(ok[:, None], sg, 0.0), "supergalactic", field.manifest.sky_frame)
    lon_, lat_ = (np.where(ok, np.broadcast_to(np.asarray(a, float), n), 0.0) for a in (lon, lat))
    dirs = frames.rotate(frames.unit_vectors(lon_, lat_), opt.frame, field.manifest.sky_frame)
    v_rad, sigma = np.empty((n, count)), np.empty(n)
    step = max(1, _BLOCK_NUMBERS // (4 * count))
    for first in range(0, n, step):
        rows = slice(first, first + step)
        s, u = field.sample_at(at[rows]), dirs[rows, :, None]
        v_rad[rows] = s.v_pec[:, 0] * u[:, 0] + s.v_pec[:, 1] * u[:, 1] + s.v_pec[:, 2] * u[:, 2]
        sigma[rows] = s.sigma
    v_rad[~ok], sigma[~ok] = np.nan, np.nan
    return RadialVelocities(v_rad, sigma, status)


def velocity_deviations(field: FlowField, lon: ArrayLike, lat: ArrayLike, d_c: ArrayLike, *,
                        options: FlowOptions | None = None, **named: object) -> F64:
    """Return F with covariance F F^T: the deviations of the realisations from their mean, over sqrt(R - 1).

    Parameters
    ----------
    field : FlowField
        An ensemble of R >= 2 realisations.
    lon, lat, d_c : array_like, shape (n,), deg, deg, Mpc
        As in `radial_velocities`.

    Returns
    -------
    ndarray, shape (n, R), km/s
        A low-rank factor that fits in memory for a million objects, where the matrix would not; NaN where there is no
        answer.

    Raises
    ------
    BadParameter
        When the field has a single realisation.
    """
    count = field.manifest.realisations
    if count < 2:
        raise BadParameter(f"field {field.manifest.id} has {count} realisation, a covariance needs at least 2; open an "
                           "ensemble, or make one with FlowField.from_arrays and velocities of shape (R, 3, nx, ny, nz)",
                           code="one_realisation", where="field")
    v = radial_velocities(field, lon, lat, d_c, options=options, **named).v_rad
    v -= v.mean(axis=1, keepdims=True)
    return v / np.sqrt(count - 1.0)


def velocity_covariance(field: FlowField, lon: ArrayLike, lat: ArrayLike, d_c: ArrayLike, *, add_sigma_v: bool = False,
                        options: FlowOptions | None = None, **named: object) -> F64:
    """Return the covariance of the radial peculiar velocities of n objects over the realisations of a field.

    Parameters
    ----------
    field : FlowField
        An ensemble of R >= 2 realisations.
    lon, lat : array_like, shape (n,), deg
        Sky positions in ``options.frame``.
    d_c : array_like, shape (n,), Mpc
        Comoving distances r/h with h from ``options.H0``; n <= 20000.
    add_sigma_v : bool
        Add sigma_v^2, the scatter of galaxies about the flow, on the diagonal.
    options : FlowOptions, optional
        Or its entries by name.

    Returns
    -------
    ndarray, shape (n, n), km^2/s^2
        Symmetric and positive semidefinite. Rows and columns of objects without an answer (outside the field, not
        finite) are NaN.

    Raises
    ------
    BadParameter
        When the field has a single realisation, or there are too many objects for one matrix.

    Notes
    -----
    ``C_ij = sum_k (v_ik - <v_i>)(v_jk - <v_j>) / (R - 1)``, unbiased over the realisations. Its rank is at most R - 1:
    without sigma_v on the diagonal it cannot be inverted for n >= R. Memory: 8 n^2 bytes for the matrix and 8 n R for
    the deviations.

    References
    ----------
    Davis et al. 2011, ApJ 741, 67 (covariance of supernova velocities); Carr et al. 2022, PASA 39, e046.

    Examples
    --------
    >>> import numpy as np, cfcore
    >>> from cfcore.covariance import velocity_covariance
    >>> flows = np.zeros((3, 3, 5, 5, 5))
    >>> flows[:, 0] = np.array([100.0, 200.0, 300.0])[:, None, None, None]     # three bulk flows along x
    >>> ensemble = cfcore.FlowField.from_arrays(flows, origin_hmpc=-100, spacing_hmpc=50, sky_frame="galactic")
    >>> print(velocity_covariance(ensemble, [0.0, 180.0], [0.0, 0.0], [40.0, 60.0], frame="galactic").round(6))
    [[ 10000. -10000.]
     [-10000.  10000.]]
    """
    n = np.size(d_c)
    if n > N_MAX:
        raise BadParameter(f"{n} objects make a matrix of {8e-9 * n * n:.1f} GB, the limit is {N_MAX} objects; take "
                           "velocity_deviations, whose product with itself is the matrix", code="too_many", where="distance")
    opt = options or FlowOptions(**named)  # type: ignore[arg-type]
    f = velocity_deviations(field, lon, lat, d_c, options=opt)
    bad = np.isnan(f[:, 0])
    f[bad] = 0.0
    out = f @ f.T
    if add_sigma_v:
        sigma_v = field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v
        out[np.diag_indices(len(out))] += sigma_v ** 2
    out[bad], out[:, bad] = np.nan, np.nan
    return out

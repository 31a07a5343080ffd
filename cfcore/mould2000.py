"""The three-attractor model of Mould et al. 2000: NED's velocity correction, and the same model as a field.

`v_cosmic` answers what NED answers, cones and all. `build_field` is the vector field behind that formula, on a
lattice, for use with the posterior. The two differ on purpose: see the notes of the field.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import frames
from .errors import BadParameter
from .manifest import Manifest

F64 = NDArray[np.float64]

ID = "mould2000"
VERSION = "1"

# Mean equator and equinox B1950 (FK4) -> J2000, without the elliptic terms, which stay below 0.35 arcsec
# (Murray 1989, A&A 218, 325, eq. 28). J2000 and ICRS differ by 0.02 arcsec.
B1950_TO_ICRS: F64 = np.array([
    [0.9999256794956877, -0.0111814832204662, -0.0048590038153592],
    [0.0111814832391717, +0.9999374848933135, -0.0000271625947142],
    [0.0048590037723143, -0.0000271702937440, +0.9999881946023742]])


class Attractor(NamedTuple):
    """Describe one attractor as table A1 of Mould et al. 2000 does."""

    name: str
    ra_b1950: float
    """deg, equinox B1950: the paper's Virgo is M87's B1950 position, 0.7 deg from its J2000 one."""
    dec_b1950: float
    v_lg: float
    """v_a: velocity, and so distance, in the Local Group frame, km/s."""
    v_fid: float
    """Infall velocity at the Local Group, km/s."""
    cone_deg: float
    """Radius on the sky of the zone that is put at the attractor."""
    v_hel_range: tuple[float, float]
    """The same zone in heliocentric velocity, km/s."""

    @property
    def direction_icrs(self) -> F64:
        """Unit vector towards the attractor, shape (3,), ICRS axes."""
        x, y, z = frames.unit_vectors(self.ra_b1950, self.dec_b1950)[0]
        direction: F64 = B1950_TO_ICRS[:, 0] * x + B1950_TO_ICRS[:, 1] * y + B1950_TO_ICRS[:, 2] * z
        return direction


def _hours(h: float, m: float, s: float) -> float:
    return 15.0 * (h + m / 60.0 + s / 3600.0)


ATTRACTORS: tuple[Attractor, ...] = (
    Attractor("Virgo", _hours(12, 28, 19), 12.0 + 40.0 / 60.0, 957.0, 200.0, 10.0, (600.0, 2300.0)),
    Attractor("Great Attractor", _hours(13, 20, 0), -44.0, 4380.0, 400.0, 10.0, (2600.0, 6600.0)),
    Attractor("Shapley", _hours(13, 30, 0), -31.0, 13600.0, 85.0, 12.0, (10000.0, 16000.0)),
)

SOFTENING_KMS = 300.0
NODES = 129
SPACING_HMPC = 3.125
ORIGIN_HMPC = -200.0
"""Node 64 is the observer, so that the infall of the Local Group is a node value and not an interpolation."""
SIGMA_V_KMS = 250.0
TRUSTED_HMPC = 60.0

CITATION = "Mould et al. 2000, ApJ 529, 786 (erratum ApJ 545, 547)"
LICENCE = "analytic model, computed here from published numbers"
NOTES = (
    "Three attractors (Virgo, Great Attractor, Shapley): v = sum V_fid (v_a / s) e_a, softened by 300 km/s; no "
    "density.",
    "Frame: the attractors are taken to rest in the CMB frame, so the field at the origin is the infall of the Local "
    "Group: 617 km/s, supergalactic (-493, 368, -51). Its measured CMB motion (Yahil et al. 1977 centroid, Planck "
    "2018 dipole) is 627 km/s, (-406, 350, -325): as fast, but 27 deg away, for the model lacks 275 km/s towards "
    "-SGZ (the push of the Local Void).",
    "That remainder is not added as a flow common to the whole lattice: with it the correlation with 2M++ at 206 "
    "supernovae z < 0.022 falls from 0.50 to 0.36.",
    "NED corrects velocities in the Local Group frame, which absorbs the remainder, and puts whole cones at the "
    "attractor: for its numbers use cfcore.mould2000.v_cosmic.",
    "Not the default: a constant dipole fits the same supernovae better (0.59), and beyond 65 h^-1 Mpc the model "
    "shows no skill (-0.07); hence sigma_v 250 and the trusted radius.",
)


def v_cosmic(lon: ArrayLike, lat: ArrayLike, v_hel: ArrayLike, *, frame: str = "icrs") -> float | F64:
    """Return the velocity NED calls "Virgo + GA + Shapley": the Hubble velocity after infall is taken out.

    ``v_LG = v_hel + (-79, 296, -36) . n``; ``r_oa^2 = v_LG^2 + v_a^2 - 2 v_LG v_a cos t``;
    ``V_in = V_fid [cos t + (v_LG - v_a cos t) / r_oa (r_oa / v_a)^(1-gamma)]``, gamma = 2; the answer is
    ``v_LG + sum V_in``. The first term takes out our own infall, the second that of the galaxy. Inside an
    attractor's cone and velocity range the answer is its v_a.

    Parameters
    ----------
    lon, lat : array_like, deg
        Position in `frame`; scalars, or arrays that broadcast with `v_hel`.
    v_hel : array_like, km/s
        Heliocentric velocity c z.
    frame : {"icrs", "galactic", "supergalactic"}

    Returns
    -------
    float or ndarray, km/s
        A float for three scalars; NaN where an input is NaN.

    Raises
    ------
    BadParameter
        When the shapes do not broadcast.
    UnknownName
        When the frame is not known.

    References
    ----------
    Mould et al. 2000, ApJ 529, 786, appendix A, eqs. A1-A2 and table A1; doi:10.1086/308304.
    """
    try:
        lon_, lat_, v = np.broadcast_arrays(*(np.asarray(x, float) for x in (lon, lat, v_hel)))
    except ValueError as exc:
        raise BadParameter(f"lon, lat and v_hel have shapes {np.shape(lon)}, {np.shape(lat)}, {np.shape(v_hel)}; "
                           "give lists of one length", code="bad_shape", where="v_hel") from exc
    n = frames.rotate(frames.unit_vectors(lon_.ravel(), lat_.ravel()), frame, "icrs")
    helio = v.ravel()
    v_lg = helio + frames.sun_along(frames.rotate(n, "icrs", "galactic"), "lg_yts77")
    answer = v_lg.copy()
    for a in ATTRACTORS:
        answer += _infall(a, v_lg, _cos_separation(a, n))
    # After the sums, because an object put at an attractor gets no further correction.
    for a in ATTRACTORS:
        low, high = a.v_hel_range
        inside = _cos_separation(a, n) > np.cos(np.deg2rad(a.cone_deg))
        answer = np.where(inside & (helio > low) & (helio < high), a.v_lg, answer)
    return float(answer[0]) if v.ndim == 0 else answer.reshape(v.shape)


def infall_velocity(xyz_hmpc: F64) -> F64:
    """Return the model's velocity vectors.

    Per attractor ``V_fid (v_a / s) e_a``, s the distance to it in km/s. Near the centre s^2 becomes
    ``sqrt(s^4 + 300^4)``: the speed rises from 0 at the centre to 0.7 V_fid v_a / 300 and then follows 1/s. The usual
    ``s^2 + 300^2`` would take 9 % from Virgo's pull on the Local Group, which is V_fid by definition; this 0.5 %.

    Parameters
    ----------
    xyz_hmpc : ndarray, shape (n, 3), comoving h^-1 Mpc
        Supergalactic positions.

    Returns
    -------
    ndarray, shape (n, 3), km/s
        Supergalactic axes, in the frame where the attractors rest.
    """
    v = np.zeros(xyz_hmpc.shape)
    for a in ATTRACTORS:
        towards = frames.rotate(a.direction_icrs, "icrs", "supergalactic")[0]
        offset = a.v_lg * towards - 100.0 * xyz_hmpc
        s_squared = (offset ** 2).sum(axis=1)
        v += a.v_fid * a.v_lg * offset / np.sqrt(s_squared ** 2 + SOFTENING_KMS ** 4)[:, None]
    return v


def build_field() -> tuple[Manifest, NDArray[np.float32], NDArray[np.float32] | None]:
    """Put the model on a lattice.

    Returns
    -------
    manifest : Manifest
    cells : ndarray of float32, shape (129, 129, 129, 4)
        vx, vy, vz in km/s (CMB frame, supergalactic axes), and 1+delta = 1: the model has no density.
    sigma : None
    """
    axis = ORIGIN_HMPC + SPACING_HMPC * np.arange(NODES)
    plane = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    cells = np.ones((NODES, NODES, NODES, 4), np.float32)
    for x, slab in zip(axis, cells):
        points = np.column_stack([np.full(len(plane), x), plane])
        slab[..., :3] = infall_velocity(points).reshape(NODES, NODES, 3)
    manifest = Manifest(
        id=ID, version=VERSION, title="Three attractors: Virgo, Great Attractor, Shapley", shape=(NODES,) * 3,
        origin_hmpc=(ORIGIN_HMPC,) * 3, spacing_hmpc=(SPACING_HMPC,) * 3, sky_frame="supergalactic",
        velocity_frame="cmb", sigma_v=SIGMA_V_KMS, trusted_hmpc=TRUSTED_HMPC, has_density=False, citation=CITATION,
        licence=LICENCE, notes=NOTES)
    return manifest, cells, None


def _cos_separation(a: Attractor, n_icrs: F64) -> F64:
    x, y, z = a.direction_icrs
    # Rounding may pass 1 by a bit, which would make the square of a distance negative.
    return np.clip(n_icrs[:, 0] * x + n_icrs[:, 1] * y + n_icrs[:, 2] * z, -1.0, 1.0)


def _infall(a: Attractor, v_lg: F64, cos_t: F64) -> F64:
    r_oa_squared = v_lg ** 2 + a.v_lg ** 2 - 2.0 * v_lg * a.v_lg * cos_t
    # gamma = 2: (1 / r_oa)(r_oa / v_a)^(1-gamma) = v_a / r_oa^2. At the centre itself this grows without limit, with
    # either sign; any finite value does, since the cone replaces it.
    centred = r_oa_squared <= 1e-12 * a.v_lg ** 2
    own = np.where(centred, 0.0, (v_lg - a.v_lg * cos_t) * a.v_lg / np.where(centred, 1.0, r_oa_squared))
    return a.v_fid * (cos_t + own)

"""Redshifts for the Hubble diagram: the observed one without the Sun's motion and without the galaxy's own.

Plain arrays; `quantity_tables.correct` is the face for tables. Outside the field there is no correction: a published
supernova sample once carried the last value of its field on to redshifts where there was no field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import distances, frames
from .cosmology import C_KMS, background
from .covariance import radial_velocities
from .errors import BadParameter
from .field import FlowField
from .options import FlowOptions
from .results import solve_blocks

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

UNEXPLAINED = 6.0
"""A redshift further than this many standard deviations from what the field predicts at the median is not in the field."""
DISTANCE_ERROR = 0.3
"""Error of a known distance, as a share of it, when none is stated; that of a Tully-Fisher distance is 20 %."""
METHODS: tuple[str, ...] = ("posterior", "redshift-space", "distance")
STATUS: tuple[str, ...] = (*distances.STATUS, "distance_contradicts_z")
"""Outcome of one row; the number in a status column is the place in this list."""
_FLAG = {word: 1 << i for i, word in enumerate(distances.FLAGS)}
_OUTSIDE = distances.STATUS.index("outside_field")


@dataclass(frozen=True)
class Corrections:
    """Hold corrected redshifts of n objects.

    Attributes
    ----------
    z_cmb : ndarray, shape (n,)
        Observed redshift in the CMB frame; there whenever position and redshift were readable.
    v_pec, sigma_v_pec : ndarray, shape (n,), km/s
        Radial peculiar velocity, positive = receding, and the uncertainty of the galaxy's own velocity about it.
        NaN where the field has no answer.
    z_hd, sigma_z_hd : ndarray, shape (n,)
        Redshift of the Hubble diagram and its uncertainty; NaN with v_pec.
    status, flag_bits : ndarray of int32, shape (n,)
        Places in `STATUS` and bits as in `distances.Distances`; "outside_field" also says that less than 99 % of a
        posterior lies in the field, "distance_contradicts_z" that distance and redshift cannot be of one object.
    method : str
    field : FlowField
    options : FlowOptions
    """

    z_cmb: F64
    v_pec: F64
    sigma_v_pec: F64
    z_hd: F64
    sigma_z_hd: F64
    status: I32
    flag_bits: I32
    method: str
    field: FlowField
    options: FlowOptions

    def __len__(self) -> int:
        return len(self.status)


def correct_redshifts(field: FlowField, lon: ArrayLike, lat: ArrayLike, z: ArrayLike, *, sigma_z: ArrayLike = 0.0,
                      method: str = "posterior", d_c: ArrayLike | None = None, sigma_d: ArrayLike | None = None,
                      options: FlowOptions | None = None, **named: object) -> Corrections:
    """Take the peculiar velocities of n objects out of their redshifts.

    Parameters
    ----------
    field : FlowField
    lon, lat : array_like, shape (n,), deg
        Sky positions in ``options.frame``.
    z : array_like, shape (n,)
        Observed redshift in the rest frame ``options.cz_frame``.
    sigma_z : array_like, shape () or (n,)
        Its measurement error.
    method : {"posterior", "redshift-space", "distance"}
        Where the field is read: at all distances the redshift allows, each with its probability; at the distance
        that z_cmb would mean without peculiar velocities; at the distances `d_c`.
    d_c : array_like, shape (n,), Mpc
        Comoving distance r/h with h from ``options.H0``, for the method "distance".
    sigma_d : array_like, shape () or (n,), Mpc, optional
        Its error; 30 % of the distance where it is not given, NaN or negative. It serves one check: a row whose redshift
        is more than 6 standard deviations from what the field predicts at d_c is not answered.
    options : FlowOptions, optional
        Or its entries by name.

    Returns
    -------
    Corrections

    Raises
    ------
    BadParameter
        When lengths differ, the method is not known, or `d_c` and the method contradict each other.

    Notes
    -----
    ``(1+z_hd) = (1+z_cmb)/(1+v_pec/c)``. With s the spread of v_rad (over the posterior, or over the realisations at
    the one distance), ``sigma_v_pec^2 = sigma_v^2 + s^2 [+ sigma_field^2]``; the last term with ``use_field_sigma``, at
    the posterior median or the one distance. ``sigma_z_hd`` adds sigma_v_pec/(c+v_pec) and sigma_z/(1+z) in quadrature,
    times 1+z_hd.

    References
    ----------
    Davis & Scrimgeour 2014, MNRAS 442, 1117, eq. 11; Carr et al. 2022, PASA 39, e046, section 3 (what goes wrong at
    the edge of a field, and with additive rules).

    Examples
    --------
    >>> import numpy as np, cfcore
    >>> from cfcore.corrections import correct_redshifts
    >>> flow = np.zeros((3, 5, 5, 5))
    >>> flow[0] = 300.0                                                        # everything drifts along x
    >>> drift = cfcore.FlowField.from_arrays(flow, origin_hmpc=-150, spacing_hmpc=75, sky_frame="galactic")
    >>> c = correct_redshifts(drift, 0.0, 0.0, [0.021, 0.2], frame="galactic", cz_frame="cmb", method="redshift-space")
    >>> print(c.v_pec, c.z_hd.round(5))
    [300.  nan] [0.01998     nan]
    """
    opt = options or FlowOptions(**named)  # type: ignore[arg-type]
    if method not in METHODS:
        raise BadParameter(f"method = {method!r:.80} is not known; use one of {', '.join(METHODS)}", code="unknown_option",
                           where="method", extra={"known": list(METHODS)})
    if (d_c is None) == (method == "distance"):
        raise BadParameter("method = distance needs the distances of the objects; give them" if d_c is None else
                           f"distances are given, but method = {method} does not use them; ask for method = distance",
                           code="bad_parameter", where="method")
    if sigma_d is not None and d_c is None:
        raise BadParameter(f"errors of distances are given, but method = {method} uses no distances; ask for method = distance "
                           "or leave them out", code="bad_parameter", where="method")
    cz = C_KMS * np.atleast_1d(np.asarray(z, float))
    c = _columns({"lon": lon, "lat": lat, "cz": cz, "sigma_cz": C_KMS * np.asarray(sigma_z, float),
                  **({} if d_c is None else {"distance": d_c}),
                  **({} if sigma_d is None else {"sigma_d": sigma_d})})
    z_cmb, z_hel = _redshifts(c, opt)
    if method == "posterior":
        v_pec, spread, sigma, status, bits = _over_posterior(field, c, opt)
    else:
        far = c["distance"] if d_c is not None else background(opt.Om).comoving_hmpc(z_cmb) * (100.0 / opt.H0)
        v_pec, spread, sigma, status, bits = _at_one_distance(field, c, far, z_hel, opt)
        if d_c is not None:
            _refuse_contradictions(field, c, z_cmb, v_pec, spread, status, bits, opt)
    sigma_v = field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v
    error = np.sqrt(sigma_v ** 2 + spread ** 2 + sigma ** 2) + 0.0 * v_pec
    z_hd = (1.0 + z_cmb) / (1.0 + v_pec / C_KMS) - 1.0
    sigma_z_hd = (1.0 + z_hd) * np.hypot(error / (C_KMS + v_pec), c["sigma_cz"] / (C_KMS + cz))
    return Corrections(z_cmb, v_pec, error, z_hd, sigma_z_hd, status, bits, method, field, opt)


def _redshifts(c: dict[str, F64], opt: FlowOptions) -> tuple[F64, F64]:
    """Return z_cmb and z_hel, NaN where position or redshift cannot be read; the error of a redshift plays no part."""
    bad = np.full(len(c["cz"]), False)
    for name in ("lon", "lat", "cz"):
        bad |= ~_within(name, c[name])
    sky = frames.unit_vectors(np.where(bad, 0.0, c["lon"]), np.where(bad, 0.0, c["lat"]))
    n_gal = frames.rotate(sky, opt.frame, "galactic")
    z_cmb, z_hel = (frames.convert_z(np.where(bad, np.nan, c["cz"]) / C_KMS, n_gal, opt.cz_frame, f, opt.composition)
                    for f in ("cmb", "hel"))
    return z_cmb, z_hel


def _over_posterior(field: FlowField, c: dict[str, F64], opt: FlowOptions) -> tuple[F64, F64, F64, I32, I32]:
    n = len(c["cz"])
    v_pec, spread, median, hubble, cz_cmb = (np.full(n, np.nan) for _ in range(5))
    status, bits = np.empty(n, np.int32), np.empty(n, np.int32)
    for rows, d in solve_blocks(field, c["lon"], c["lat"], c["cz"], c["sigma_cz"], opt):
        v_pec[rows], median[rows] = d.column("v_rad"), d.column("distance.median")
        spread[rows] = d.column("v_rad_std")
        hubble[rows], cz_cmb[rows] = d.column("hubble.median"), d.column("cz.cmb")
        status[rows], bits[rows] = d.status, d.flag_bits
    sigma = np.zeros(n)
    if opt.use_field_sigma:
        sigma = radial_velocities(field, c["lon"], c["lat"], median, options=opt).sigma
    # Where no distance inside comes near the redshift, the posterior lies where the errors happen to be largest; and the
    # posterior mean counts the flow beyond the lattice as zero. Neither is a measurement.
    sigma_v = field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v
    predicted = hubble + v_pec * (1.0 + hubble / C_KMS)
    with np.errstate(invalid="ignore"):
        explained = np.abs(cz_cmb - predicted) <= UNEXPLAINED * np.sqrt(sigma_v ** 2 + c["sigma_cz"] ** 2 + sigma ** 2)
    bits[(status == 0) & ~explained] = _FLAG["outside"]
    status[(status == 0) & (bits & _FLAG["outside"] > 0)] = _OUTSIDE
    v_pec[status != 0] = np.nan
    return v_pec, spread, sigma, status, bits


def _at_one_distance(field: FlowField, c: dict[str, F64], d_c: F64, z_hel: F64,
                     opt: FlowOptions) -> tuple[F64, F64, F64, I32, I32]:
    v = radial_velocities(field, c["lon"], c["lat"], d_c, options=opt)
    status = v.status.copy()
    for name in ("sigma_cz", "cz"):
        out = ~_within(name, c[name])
        status[out] = np.where(np.isfinite(c[name][out]), distances.STATUS.index(f"{name}_out_of_range"),
                               distances.STATUS.index("not_finite"))
    v_pec = np.where(status == 0, v.v_rad.mean(axis=1), np.nan)
    spread = v.v_rad.std(axis=1, ddof=1) if field.manifest.realisations > 1 else np.zeros(len(v_pec))
    r, trusted = d_c * (opt.H0 / 100.0), field.manifest.trusted_hmpc
    with np.errstate(invalid="ignore"):
        bits = (np.where(r < distances.NEARBY_HMPC, _FLAG["nearby"], 0) | np.where(z_hel < 0.0, _FLAG["blueshift"], 0)
                | (0 if trusted is None else np.where(r > trusted, _FLAG["beyond_data"], 0)))
    bits = np.where(status == _OUTSIDE, _FLAG["outside"], np.where(status == 0, bits, 0)).astype(np.int32)
    return v_pec, spread, v.sigma if opt.use_field_sigma else np.zeros(len(v_pec)), status, bits


def _refuse_contradictions(field: FlowField, c: dict[str, F64], z_cmb: F64, v_pec: F64, spread: F64, status: I32, bits: I32,
                           opt: FlowOptions) -> None:
    """Take the answer from rows whose distance and redshift cannot be of one object: a modulus in place of Mpc, say."""
    d_c = c["distance"]
    sigma_d = DISTANCE_ERROR * d_c
    if "sigma_d" in c:
        sigma_d = np.where(c["sigma_d"] >= 0.0, c["sigma_d"], sigma_d)
    sigma_v = field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v
    ok = status == 0
    cosmos, r = background(opt.Om), np.where(ok, d_c, 0.0) * (opt.H0 / 100.0)
    zbar = cosmos.redshift(r)
    predicted = C_KMS * zbar + v_pec * (1.0 + zbar)
    sigma_field = radial_velocities(field, c["lon"], c["lat"], d_c, options=opt).sigma
    error2 = sigma_v ** 2 + c["sigma_cz"] ** 2 + spread ** 2 + sigma_field ** 2 + (opt.H0 * cosmos.efunc(zbar) * sigma_d) ** 2
    believed = np.abs(C_KMS * z_cmb - predicted) <= UNEXPLAINED * np.sqrt(error2)
    status[ok & ~believed] = STATUS.index("distance_contradicts_z")
    bits[ok & ~believed] = 0
    v_pec[ok & ~believed] = np.nan


def _within(name: str, values: F64) -> NDArray[np.bool_]:
    least, greatest, _ = distances.ROW_LIMITS[name]
    with np.errstate(invalid="ignore"):
        return np.asarray((values >= least) & (values <= greatest))


def _columns(columns: dict[str, ArrayLike]) -> dict[str, F64]:
    """Bring columns to the length of cz."""
    n, out = np.size(columns["cz"]), {}
    for name, value in columns.items():
        a = np.asarray(value, dtype=float)
        if a.ndim > 1 or a.size not in (1, n):
            raise BadParameter(f"{name} has shape {a.shape}, the redshifts have {n} rows; send lists of one length",
                               code="unequal_lengths", where=name)
        out[name] = np.array(np.broadcast_to(a, n))
    return out

"""From an observed velocity to a distance, and back: the posterior, its four variables, roots and flags.

`solve` is the one way from arrays to answers; the workers, the command line and `FlowField.distance` all call it.
Every formula stands in docs/conventions.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _kernels, frames
from .cosmology import C_KMS, background
from .errors import BadParameter
from .field import FlowField
from .options import FLOW_TYPES, FlowOptions

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

SUMMARY: tuple[str, ...] = ("mean", "std", "mode", "p2_5", "p16", "median", "p84", "p97_5")
MOMENTS: tuple[str, ...] = SUMMARY[:3]
MODULUS: tuple[str, ...] = ("mean", "std", "median", "p16", "p84")
VALUES: tuple[str, ...] = (
    *(f"{t}.{s}" for t in FLOW_TYPES for s in SUMMARY), *(f"modulus.{s}" for s in MODULUS),
    *(f"cz.{f}" for f in frames.REPORTED_FRAMES), "v_rad", "v_pec.sgx", "v_pec.sgy", "v_pec.sgz", "delta",
    "inside_fraction", "evidence")
"""Names of the columns of `Distances.values`, in order."""
ROOT: tuple[str, ...] = _kernels.ROOT
MAX_ROOTS = 8
FLAGS: tuple[str, ...] = ("nearby", "no_root", "multi_root", "outside", "beyond_data", "blueshift",
                          "beyond_local_sheet", "roots_truncated")
STATUS: tuple[str, ...] = ("ok", "not_finite", "lon_out_of_range", "lat_out_of_range", "cz_out_of_range",
                           "sigma_cz_out_of_range", "distance_out_of_range", "outside_field")
"""Outcome of one row; the number in a status column is the place in this list."""

# Rows beyond these are refused, each by name: (least, greatest, unit). A galaxy with |blueshift| of 3000 km/s is unknown.
ROW_LIMITS: dict[str, tuple[float, float, str]] = {
    "lon": (-360.0, 360.0, "deg"), "lat": (-90.0, 90.0, "deg"), "cz": (-3000.0, 3.0e6, "km/s"),
    "sigma_cz": (0.0, 5000.0, "km/s"), "distance": (0.0, 1.0e5, "Mpc")}

NEARBY_HMPC = 6.0
INSIDE_LEAST = 0.99
LOCAL_SHEET_MPC = 8.0
# A posterior whose last grid point still has this share of its maximum continues beyond the grid: no summary is honest.
TAIL_LIMIT = 1e-3

VELOCITY_VALUES: tuple[str, ...] = (
    "sgx", "sgy", "sgz", "v_pec.sgx", "v_pec.sgy", "v_pec.sgz", "v_rad", "delta", "sigma", "cz_hubble",
    *(f"cz.{f}" for f in frames.REPORTED_FRAMES))


@dataclass(frozen=True)
class Distances:
    """Hold the answers for n objects.

    Attributes
    ----------
    values : ndarray, shape (n, len(VALUES))
        Summaries; units by column: Mpc (distance, luminosity), h^-1 Mpc (comoving), km/s (hubble, cz, v), mag.
        NaN where the status is not "ok"; the cz columns stay whenever the observed velocity was readable.
    status, flag_bits, n_roots : ndarray of int32, shape (n,)
    root_table : ndarray, shape (n, 8, 5)
        r (h^-1 Mpc), c zbar (km/s), v_rad (km/s), sign of the slope, posterior weight of the branch; rising r.
    flow_type, x, pdf : str, ndarray (m,), ndarray (n, m), or None
        The distribution function in one variable, when asked for; the integral of each pdf is 1.
    field : FlowField
    options : FlowOptions
    """

    values: F64
    status: I32
    flag_bits: I32
    n_roots: I32
    root_table: F64
    field: FlowField
    options: FlowOptions
    flow_type: str | None = None
    x: F64 | None = None
    pdf: F64 | None = None

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> F64:
        """Return one column of `values`, such as ``"distance.median"``, shape (n,)."""
        if name not in VALUES:
            raise BadParameter(f"{name!r:.80} is not a column; there are {', '.join(VALUES)}", code="unknown_column")
        return self.values[:, VALUES.index(name)]

    def summary(self, flow_type: str = "distance", row: int = 0) -> dict[str, float]:
        """Return mean, std, mode and quantiles of one object in one of the four variables."""
        return {s: float(self.column(f"{flow_type}.{s}")[row]) for s in SUMMARY}

    def flags(self, row: int = 0) -> list[str]:
        """Return the flags of one object as words."""
        return flag_words(int(self.flag_bits[row]))

    def roots(self, row: int = 0) -> list[dict[str, float]]:
        """Return every distance at which the mean field predicts the observed velocity, nearest first."""
        return root_records(self.root_table[row], int(self.n_roots[row]), self.options.H0)


def flag_words(bits: int) -> list[str]:
    """Return the words of a flag bit mask."""
    return [word for i, word in enumerate(FLAGS) if bits >> i & 1]


def root_records(table: F64, count: int, H0: float) -> list[dict[str, float]]:
    """Return the first `count` rows of a root table, shape (8, 5), as records with d_mpc = r/h added."""
    out = []
    for row in table[:min(count, MAX_ROOTS)].tolist():
        record = dict(zip(ROOT, row))
        out.append({"r_hmpc": record["r_hmpc"], "d_mpc": record["r_hmpc"] * 100.0 / H0, **record})
    return out


def solve(field: FlowField, lon: ArrayLike, lat: ArrayLike, cz: ArrayLike, *, sigma_cz: ArrayLike = 0.0,
          options: FlowOptions | None = None, pdf: str | None = None, **named: object) -> Distances:
    """Solve p(distance | direction, cz, field) for n objects.

    Parameters
    ----------
    field : FlowField
    lon, lat : array_like, shape (n,), deg
        Sky positions in ``options.frame``.
    cz : array_like, shape (n,), km/s
        c times the observed redshift in the rest frame ``options.cz_frame``.
    sigma_cz : array_like, shape () or (n,), km/s
        Measurement error of cz.
    options : FlowOptions, optional
        Or give its entries by name: ``solve(field, lon, lat, cz, H0=70, prior="density")``.
    pdf : {"distance", "hubble", "luminosity", "comoving"}, optional
        Return the distribution function in this variable too.

    Returns
    -------
    Distances
        A row that cannot be answered has a status other than "ok" and NaN; it never spoils its neighbours.

    Raises
    ------
    BadParameter
        When lengths differ, an option is out of range, or the field lacks what an option needs.

    Notes
    -----
    Forward model ``1+z_pred(r) = (1+zbar(r))(1+v_r(r)/c)``; Gaussian likelihood in cz with
    ``s^2 = sigma_v^2 + sigma_cz^2 [+ sigma_field(r)^2]``; priors normalised on the grid; realisations are a mixture;
    trapezoid rule on steps of at most ``options.dr``; quantiles linear inside a step.

    References
    ----------
    Davis & Scrimgeour 2014, MNRAS 442, 1117 (redshifts multiply); Carrick et al. 2015, MNRAS 450, 317 (velocity to
    distance through a field); Lavaux 2016, MNRAS 457, 172 (inhomogeneous Malmquist prior).
    """
    opt = options or FlowOptions(**named)  # type: ignore[arg-type]
    _check_options(field, opt, pdf)
    rows, status = _rows({"lon": lon, "lat": lat, "cz": cz, "sigma_cz": sigma_cz})
    bad = status != 0
    # A placeholder keeps bad rows out of the arithmetic; their values are set to NaN below.
    lon_, lat_, cz_, scz = (np.where(bad, v, rows[k]) for k, v in
                            (("lon", 0.0), ("lat", 0.0), ("cz", 1000.0), ("sigma_cz", 0.0)))
    n = len(cz_)
    sky = frames.unit_vectors(lon_, lat_)
    n_gal = frames.rotate(sky, opt.frame, "galactic")
    dirs = frames.rotate(sky, opt.frame, field.manifest.sky_frame)
    z = {f: frames.convert_z(cz_ / C_KMS, n_gal, opt.cz_frame, f, opt.composition) for f in frames.REPORTED_FRAMES}

    grid = _grid(field.r_max_hmpc if opt.rmax is None else min(opt.rmax, field.r_max_hmpc), opt.dr, opt.Om)
    s2 = _sigma_v(field, opt) ** 2 + scz ** 2
    summary = np.empty((n, len(_kernels.SUMMARY)))
    roots, n_roots = np.full((n, MAX_ROOTS, len(ROOT)), np.nan), np.zeros(n, np.int32)
    p_r = None if pdf is None else np.empty((n, len(grid.r)))
    cells, sigma, realisations, origin, spacing = field.kernel_arrays()
    scratch = np.empty(_kernels.scratch_size(len(grid.r), realisations, cells.shape[4]))
    _kernels.posterior(
        cells, sigma, realisations, origin, spacing, dirs, z["ls" if opt.observer == "ls" else "cmb"], s2, grid.dr,
        grid.zbar, grid.efunc, grid.mu, _kernels.PRIORS[opt.prior], opt.alpha, opt.use_field_sigma,
        field.manifest.sigma_max, field.manifest.v_max, opt.observer == "ls", summary, p_r, roots, n_roots, scratch)

    values = _values(field, opt, grid, summary, z)
    k = {name: summary[:, i] for i, name in enumerate(_kernels.SUMMARY)}
    beyond = ~bad & (k["tail"] > TAIL_LIMIT)
    status[beyond] = STATUS.index("outside_field")
    values[status != 0, :VALUES.index("cz.hel")] = np.nan
    values[status != 0, VALUES.index("v_rad"):] = np.nan
    values[bad] = np.nan
    roots[bad | beyond], n_roots[bad | beyond] = np.nan, 0
    trusted = field.manifest.trusted_hmpc
    raised = (k["median"] < NEARBY_HMPC, n_roots == 0, n_roots > 1, k["inside_fraction"] < INSIDE_LEAST,
              np.full(n, False) if trusted is None else k["median"] > trusted, z["hel"] < 0.0,
              (opt.observer == "ls") & (k["median"] * 100.0 / opt.H0 > LOCAL_SHEET_MPC), n_roots > MAX_ROOTS)
    bits = np.zeros(n, np.int32)
    for i, raise_it in enumerate(raised):
        bits |= raise_it.astype(np.int32) << i
    bits[beyond] = 1 << FLAGS.index("outside")
    bits[bad] = 0
    x = density = None
    if pdf is not None and p_r is not None:
        x, density = grid.density(pdf, p_r, 1.0 + z["hel"], opt.H0 / 100.0)
        density[status != 0] = np.nan
    return Distances(values, status, bits, n_roots, roots, field, opt, pdf, x, density)


class _Grid:
    """Hold the line of sight every object shares, and map it to the four variables."""

    def __init__(self, r_max: float, dr: float, Om: float) -> None:
        steps = max(int(np.ceil(r_max / dr - 1e-9)), 4)
        self.dr = r_max / steps
        self.r = np.arange(steps + 1) * self.dr
        cosmos = background(Om)
        self.zbar = cosmos.redshift(self.r)
        self.efunc = cosmos.efunc(self.zbar)
        self.mu = np.zeros(len(self.r))
        self.mu[1:] = 5.0 * np.log10(self.r[1:])
        # the logarithm has no value at r = 0 but an integral over the first step: the trapezoid gets what gives that
        self.mu[0] = self.mu[1] - 10.0 / np.log(10.0)

    def hubble(self, r_hmpc: F64) -> F64:
        """Return c zbar(r), km/s, by cubic Hermite interpolation: dz/dr = 100 E/c is known at the nodes."""
        j = np.clip((r_hmpc / self.dr).astype(np.intp), 0, len(self.r) - 2)
        t = r_hmpc / self.dr - j
        slope = 100.0 * self.efunc * self.dr
        a, b = C_KMS * self.zbar[j], C_KMS * self.zbar[j + 1]
        return ((1 + 2 * t) * (1 - t) ** 2 * a + t * (1 - t) ** 2 * slope[j]
                + t * t * (3 - 2 * t) * b + t * t * (t - 1) * slope[j + 1])

    def density(self, flow_type: str, p_r: F64, one_plus_z: F64, h: float) -> tuple[F64, F64]:
        """Return the x grid and the pdfs, shape (n, m), of one variable, each with trapezoid integral 1."""
        if flow_type == "comoving":
            x, p = self.r, p_r
        elif flow_type == "distance":
            x, p = self.r / h, p_r * h
        elif flow_type == "hubble":
            x, p = C_KMS * self.zbar, p_r / (100.0 * self.efunc)
        else:
            # D_L = (1+z_hel) r/h differs from object to object; one grid for all, (1+zbar) r/h, keeps lists
            # rectangular and independent of the neighbours, at the price of one interpolation of the curve.
            x = (1.0 + self.zbar) * self.r / h
            p = np.stack([_cubic(p_r[i], x * h / one_plus_z[i] / self.dr) for i in range(len(p_r))]) if len(p_r) \
                else p_r.copy()
        area = np.sum(0.5 * (p[:, 1:] + p[:, :-1]) * np.diff(x), axis=1)
        return x.copy(), p / area[:, None]


@lru_cache(maxsize=32)
def _grid(r_max: float, dr: float, Om: float) -> _Grid:
    return _Grid(r_max, dr, Om)


def _cubic(y: F64, t: F64) -> F64:
    """Interpolate samples at fractional indices t with four-point Lagrange polynomials, never below zero."""
    j = np.clip(t.astype(np.intp), 1, len(y) - 3)
    u = t - j
    out = (-u * (u - 1) * (u - 2) / 6 * y[j - 1] + (u + 1) * (u - 1) * (u - 2) / 2 * y[j]
           - (u + 1) * u * (u - 2) / 2 * y[j + 1] + (u + 1) * u * (u - 1) / 6 * y[j + 2])
    return np.where(t > len(y) - 1, 0.0, np.maximum(out, 0.0))


def _values(field: FlowField, opt: FlowOptions, grid: _Grid, summary: F64, z: dict[str, F64]) -> F64:
    k = {name: summary[:, i] for i, name in enumerate(_kernels.SUMMARY)}
    h = opt.H0 / 100.0
    one_plus_z = 1.0 + z["hel"]
    out = np.empty((len(summary), len(VALUES)))
    column = {name: out[:, i] for i, name in enumerate(VALUES)}
    # quantiles map exactly between the variables; mean, std and mode belong each to their own
    r, v_hubble = np.stack([k[s] for s in SUMMARY]), np.stack([k[f"vh_{s}"] for s in MOMENTS])
    for flow, block in (("comoving", r), ("distance", r / h), ("luminosity", r * one_plus_z / h),
                        ("hubble", np.concatenate([v_hubble, grid.hubble(r[len(MOMENTS):])]))):
        first = VALUES.index(f"{flow}.{SUMMARY[0]}")
        out[:, first:first + len(SUMMARY)] = block.T
    zero = 25.0 + 5.0 * np.log10(one_plus_z / h)
    column["modulus.mean"][:], column["modulus.std"][:] = k["mu_mean"] + zero, k["mu_std"]
    for s in MODULUS[2:]:
        column[f"modulus.{s}"][:] = 5.0 * np.log10(np.maximum(k[s], 1e-300)) + zero
    for f, value in z.items():
        column[f"cz.{f}"][:] = C_KMS * value
    first = _kernels.SUMMARY.index("vx")
    v_pec = frames.rotate(summary[:, first:first + 3], field.manifest.sky_frame, "supergalactic")
    first = VALUES.index("v_pec.sgx")
    out[:, first:first + 3] = v_pec
    for name in ("v_rad", "inside_fraction", "evidence"):
        column[name][:] = k[name]
    column["delta"][:] = k["delta"] if field.manifest.has_density else np.nan
    return out


@dataclass(frozen=True)
class Velocities:
    """Hold the flow at n objects of known distance.

    Attributes
    ----------
    values : ndarray, shape (n, len(VELOCITY_VALUES))
        Position (supergalactic, h^-1 Mpc), v_pec (supergalactic, km/s), v_rad, delta, sigma, c zbar and predicted cz.
        Outside the lattice the flow columns and the predicted cz are NaN.
    inside : ndarray of bool, shape (n,)
    status : ndarray of int32, shape (n,)
    """

    values: F64
    inside: NDArray[np.bool_]
    status: I32
    field: FlowField
    options: FlowOptions

    def column(self, name: str) -> F64:
        """Return one column of `values`, such as ``"v_rad"``, shape (n,)."""
        if name not in VELOCITY_VALUES:
            raise BadParameter(f"{name!r:.80} is not a column; there are {', '.join(VELOCITY_VALUES)}",
                               code="unknown_column")
        return self.values[:, VELOCITY_VALUES.index(name)]


def velocities(field: FlowField, lon: ArrayLike, lat: ArrayLike, d_c: ArrayLike, *,
               options: FlowOptions | None = None, **named: object) -> Velocities:
    """Return the flow at known distances, and the velocity an observer would measure there.

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
    Velocities

    Raises
    ------
    BadParameter
        When lengths differ or an option is out of range.
    """
    opt = options or FlowOptions(**named)  # type: ignore[arg-type]
    rows, status = _rows({"lon": lon, "lat": lat, "distance": d_c})
    bad = status != 0
    lon_, lat_, d_ = (np.where(bad, 0.0, rows[key]) for key in ("lon", "lat", "distance"))
    sky = frames.unit_vectors(lon_, lat_)
    n_gal = frames.rotate(sky, opt.frame, "galactic")
    dirs = frames.rotate(sky, opt.frame, field.manifest.sky_frame)
    r = d_ * opt.H0 / 100.0
    s = field.sample_at(dirs * r[:, None])
    v = s.v_pec.mean(axis=2)
    v_rad = v[:, 0] * dirs[:, 0] + v[:, 1] * dirs[:, 1] + v[:, 2] * dirs[:, 2]
    zbar = background(opt.Om).redshift(r)
    z_cmb = (1.0 + zbar) * (1.0 + v_rad / C_KMS) - 1.0
    columns: dict[str, F64] = {}
    sg = frames.rotate(sky, opt.frame, "supergalactic") * r[:, None]
    columns["sgx"], columns["sgy"], columns["sgz"] = sg.T
    v_sg = frames.rotate(v, field.manifest.sky_frame, "supergalactic")
    columns["v_pec.sgx"], columns["v_pec.sgy"], columns["v_pec.sgz"] = v_sg.T
    columns["v_rad"], columns["sigma"] = v_rad, s.sigma if field.has_sigma else np.full(len(r), np.nan)
    columns["delta"] = s.overdensity.mean(axis=1) if field.manifest.has_density else np.full(len(r), np.nan)
    for f in frames.REPORTED_FRAMES:
        columns[f"cz.{f}"] = C_KMS * frames.convert_z(z_cmb, n_gal, "cmb", f, opt.composition)
    for name in columns.keys() - {"sgx", "sgy", "sgz"}:
        columns[name] = np.where(s.inside, columns[name], np.nan)
    columns["cz_hubble"] = C_KMS * zbar
    values = np.stack([columns[name] for name in VELOCITY_VALUES], axis=1)
    values[bad] = np.nan
    return Velocities(values, s.inside & ~bad, status, field, opt)


def _rows(columns: dict[str, ArrayLike]) -> tuple[dict[str, F64], I32]:
    """Bring columns to one length and find the rows that cannot be used."""
    try:
        arrays = {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in columns.items()}
    except (TypeError, ValueError) as exc:
        raise BadParameter(f"the columns {', '.join(columns)} must be numbers or arrays of numbers ({exc})",
                           code="not_a_number") from exc
    n = max(a.size for name, a in arrays.items() if name != "sigma_cz")
    for name, a in arrays.items():
        if a.ndim != 1 or (a.size != n and not (name == "sigma_cz" and a.size == 1)):
            raise BadParameter(f"{name} has shape {a.shape}, the other columns have {n} rows; send lists of one length",
                               code="unequal_lengths", where=name)
    arrays = {name: np.broadcast_to(a, n) for name, a in arrays.items()}
    status = np.zeros(n, np.int32)
    for name, a in arrays.items():
        least, greatest, _ = ROW_LIMITS[name]
        with np.errstate(invalid="ignore"):
            out = ~((a >= least) & (a <= greatest))
        fresh = out & (status == 0)
        status[fresh] = np.where(np.isfinite(a[fresh]), STATUS.index(f"{name}_out_of_range"), STATUS.index("not_finite"))
    return arrays, status


def _sigma_v(field: FlowField, opt: FlowOptions) -> float:
    return field.manifest.sigma_v if opt.sigma_v is None else opt.sigma_v


def _check_options(field: FlowField, opt: FlowOptions, pdf: str | None) -> None:
    name = field.manifest.id
    if opt.use_field_sigma and not field.has_sigma:
        raise BadParameter(f"field {name} has no velocity errors of its own; leave use_field_sigma out, or ask for a "
                           "field that has them (cf4gp)", code="no_field_sigma", where="use_field_sigma")
    if opt.prior == "density" and not field.manifest.has_density:
        raise BadParameter(f"field {name} has no density; ask for prior=volume or prior=flat, or another field",
                           code="no_density", where="prior")
    if opt.observer == "ls" and not field.sample_at([[0.0, 0.0, 0.0]]).inside[0]:
        raise BadParameter(f"observer = ls needs the flow at the observer, who is outside field {name}; leave it out",
                           code="observer_outside", where="observer")
    if pdf is not None and pdf not in FLOW_TYPES:
        raise BadParameter(f"flow type {pdf!r:.80} is not known; use one of {', '.join(FLOW_TYPES)}",
                           code="unknown_flow_type", where="flow_type", extra={"known": list(FLOW_TYPES)})

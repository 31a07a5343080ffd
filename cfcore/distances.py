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
from .field import FlowField, check_out
from .options import FLOW_TYPES, FlowOptions
from .threads import scratch_of, spread

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]

SUMMARY: tuple[str, ...] = ("mean", "std", "mode", "p2_5", "p16", "median", "p84", "p97_5")
MOMENTS: tuple[str, ...] = SUMMARY[:3]
MODULUS: tuple[str, ...] = ("mean", "std", "median", "p16", "p84")
VALUES: tuple[str, ...] = (
    *(f"{t}.{s}" for t in FLOW_TYPES for s in SUMMARY), *(f"modulus.{s}" for s in MODULUS),
    *(f"cz.{f}" for f in frames.REPORTED_FRAMES), "v_rad", "v_rad_std", "v_pec.sgx", "v_pec.sgy", "v_pec.sgz", "delta",
    "inside_fraction", "evidence")
"""Names of the columns of `Distances.values`, in order."""
ROOT: tuple[str, ...] = ("r_hmpc", "cz_hubble", "v_rad", "slope", "weight")
"""Names of the columns of `Distances.root_table`."""
MAX_ROOTS = 8
FLAGS: tuple[str, ...] = ("nearby", "no_root", "multi_root", "outside", "beyond_data", "blueshift",
                          "beyond_local_sheet", "roots_truncated")
STATUS: tuple[str, ...] = ("ok", "not_finite", "lon_out_of_range", "lat_out_of_range", "cz_out_of_range",
                           "sigma_cz_out_of_range", "distance_out_of_range", "outside_field", "crashed")
"""Outcome of one row; the number in a status column is the place in this list. No kernel says "crashed": the service does,
of a row that ends every process which computes it."""

# Rows beyond these are refused, each by name: (least, greatest, unit). A galaxy with |blueshift| of 3000 km/s is unknown.
ROW_LIMITS: dict[str, tuple[float, float, str]] = {
    "lon": (-360.0, 360.0, "deg"), "lat": (-90.0, 90.0, "deg"), "cz": (-3000.0, 3.0e6, "km/s"),
    "sigma_cz": (0.0, 5000.0, "km/s"), "distance": (0.0, 1.0e5, "Mpc")}

NEARBY_HMPC = 6.0
INSIDE_LEAST = 0.99
LOCAL_SHEET_MPC = 8.0
# A posterior whose last grid point still has this share of its maximum continues beyond the grid: no summary is honest.
TAIL_LIMIT = 1e-3

# Objects a thread takes at a time, and questions a field remembers.
GRAIN = 512
QUESTIONS_KEPT = 64

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
          options: FlowOptions | None = None, pdf: str | None = None, threads: int = 1, out: Distances | None = None,
          **named: object) -> Distances:
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
    threads : int
        How many threads share the rows; the answer is the same to the last bit. 0: one per core.
    out : Distances, optional
        An earlier answer of as many rows, whose arrays are written over and returned: saves their allocation.

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
    grid, question = _question(field, opt)
    if pdf is not None and pdf not in FLOW_TYPES:
        raise BadParameter(f"flow type {pdf!r:.80} is not known; use one of {', '.join(FLOW_TYPES)}",
                           code="unknown_flow_type", where="flow_type", extra={"known": list(FLOW_TYPES)})
    rows = _rows({"lon": lon, "lat": lat, "cz": cz, "sigma_cz": sigma_cz})
    n = len(rows["cz"])
    if out is None:
        values, roots = np.empty((n, len(VALUES))), np.empty((n, MAX_ROOTS, len(ROOT)))
        status, bits, n_roots = (np.empty(n, np.int32) for _ in range(3))
    else:
        values, roots, status, bits, n_roots = out.values, out.root_table, out.status, out.flag_bits, out.n_roots
        check_out(values, (n, len(VALUES)))
        check_out(roots, (n, MAX_ROOTS, len(ROOT)))
        for column in (status, bits, n_roots):
            check_out(column, (n,), np.int32)
    p_r = None if pdf is None else np.empty((n, len(grid.r)))
    columns = rows["lon"], rows["lat"], rows["cz"], rows["sigma_cz"]

    def work(begin: int, end: int) -> None:
        scratch = scratch_of(question.scratch_size())
        question.solve(*columns, values, status, bits, n_roots, roots, p_r, scratch, begin, end)

    spread(work, n, threads, GRAIN)
    x = density = None
    if pdf is not None and p_r is not None:
        one_plus_z = 1.0 + values[:, VALUES.index("cz.hel")] / C_KMS
        x, density = grid.density(pdf, p_r, one_plus_z, opt.H0 / 100.0)
    return Distances(values, status, bits, n_roots, roots, field, opt, pdf, x, density)


def _question(field: FlowField, opt: FlowOptions) -> tuple[_Grid, _kernels.Question]:
    """Return the grid and the options as the kernel wants them; made once per field and options."""
    known = field.questions.get(opt)
    if known is not None:
        return known
    _check_options(field, opt)
    m = field.manifest
    grid = _grid(field.r_max_hmpc if opt.rmax is None else min(opt.rmax, field.r_max_hmpc), opt.dr, opt.Om)
    to_galactic = frames.rotation(opt.frame, "galactic")
    suns = [frames.velocity_frame(f).sun_galactic for f in (opt.cz_frame, *frames.REPORTED_FRAMES)]
    # one frame under two names is one frame: the source keeps its value to the last bit
    source = next((i for i, sun in enumerate(suns[1:]) if sun == suns[0]), -1)
    question = _kernels.Question(
        field.lattice, grid.flat if opt.prior == "flat" else grid.volume, density=opt.prior == "density", alpha=opt.alpha,
        use_sigma=opt.use_field_sigma, local=opt.observer == "ls",
        sigma_v=m.sigma_v if opt.sigma_v is None else opt.sigma_v, sigma_max=m.sigma_max, v_max=m.v_max,
        v_gradient=m.v_gradient, to_field=frames.rotation(opt.frame, m.sky_frame),
        to_supergalactic=frames.rotation(m.sky_frame, "supergalactic"),
        suns=np.array(suns) @ to_galactic, source=source, additive=opt.composition == "additive", h=opt.H0 / 100.0,
        trusted=np.inf if m.trusted_hmpc is None else m.trusted_hmpc, has_density=m.has_density,
        limits=np.array([ROW_LIMITS[name][:2] for name in ("lon", "lat", "cz", "sigma_cz")]), tail_limit=TAIL_LIMIT,
        nearby=NEARBY_HMPC, inside_least=INSIDE_LEAST, local_sheet=LOCAL_SHEET_MPC)
    if len(field.questions) >= QUESTIONS_KEPT:
        field.questions.clear()
    field.questions[opt] = grid, question
    return grid, question


class _Grid:
    """Hold the line of sight every object shares, and map it to the four variables."""

    def __init__(self, r_max: float, dr: float, Om: float) -> None:
        steps = max(int(np.ceil(r_max / dr - 1e-9)), 4)
        self.dr, m = r_max / steps, steps + 1
        r = np.arange(m + _kernels.TABLE_OVERHANG) * self.dr
        cosmos = background(Om)
        zbar = cosmos.redshift(r)
        efunc = cosmos.efunc(zbar)
        mu = np.zeros(len(r))
        mu[1:] = 5.0 * np.log10(r[1:])
        # the logarithm has no value at r = 0 but an integral over the first step: the trapezoid gets what gives that
        mu[0] = mu[1] - 10.0 / np.log(10.0)
        trapezoid = np.where(np.arange(len(r)) < m, self.dr, 0.0)
        trapezoid[[0, m - 1]] = 0.5 * self.dr
        self.r, self.zbar, self.efunc = r[:m], zbar[:m], efunc[:m]
        tables = zbar, 1.0 / efunc, mu, trapezoid
        self.flat = _kernels.Line(m, self.dr, *tables, np.ones(len(r)))
        self.volume = _kernels.Line(m, self.dr, *tables, r * r)

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
    rows = _rows({"lon": lon, "lat": lat, "distance": d_c})
    n = len(rows["lon"])
    values, inside, status = np.empty((n, len(VELOCITY_VALUES))), np.empty(n, np.bool_), np.empty(n, np.int32)
    _ways(field, opt).rows(rows["lon"], rows["lat"], rows["distance"], values, inside.view(np.uint8), status)
    return Velocities(values, inside, status, field, opt)


def _ways(field: FlowField, opt: FlowOptions) -> _kernels.Ways:
    """Return what of the options matters at known distances as the kernel wants it; made once per field and options."""
    known = field.ways.get(opt)
    if known is not None:
        return known
    m, cosmos = field.manifest, background(opt.Om)
    to_galactic = frames.rotation(opt.frame, "galactic")
    suns = [frames.velocity_frame(f).sun_galactic for f in ("cmb", *frames.REPORTED_FRAMES)]
    made = _kernels.Ways(
        field.lattice, to_field=frames.rotation(opt.frame, m.sky_frame),
        to_supergalactic=frames.rotation(opt.frame, "supergalactic"),
        v_to_supergalactic=frames.rotation(m.sky_frame, "supergalactic"), suns=np.array(suns) @ to_galactic,
        source=frames.REPORTED_FRAMES.index("cmb"), additive=opt.composition == "additive", has_density=m.has_density,
        h=opt.H0 / 100.0, Om=opt.Om, limits=np.array([ROW_LIMITS[name][:2] for name in ("lon", "lat", "distance")]),
        **cosmos.table())
    if len(field.ways) >= QUESTIONS_KEPT:
        field.ways.clear()
    field.ways[opt] = made
    return made


def _rows(columns: dict[str, ArrayLike]) -> dict[str, F64]:
    """Bring columns to one length, float64 and C order."""
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
    return {name: np.ascontiguousarray(a if a.size == n else np.broadcast_to(a, n)) for name, a in arrays.items()}


def _check_options(field: FlowField, opt: FlowOptions) -> None:
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

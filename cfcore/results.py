"""Distances kept as distribution functions: intervals, quantiles, densities and samples in any variable, on demand.

Plain arrays; `quantity_results` puts units on them. The answers hold summaries only; the functions themselves are
solved again, a block of rows at a time, when something is asked that the summaries do not hold.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import distances
from .cosmology import C_KMS, background
from .distances import Distances
from .errors import BadParameter
from .field import FlowField
from .options import FLOW_TYPES, FlowOptions

F64 = NDArray[np.float64]

VARIABLES: dict[str, str] = {**FLOW_TYPES, "modulus": "mag"}
"""The variables a posterior can be read in, with their units: the four flow types and the distance modulus."""
COLUMNS: dict[str, tuple[str, str, str]] = {
    "cz_cmb": ("cz.cmb", "km/s", "c times observed redshift, CMB frame"),
    "d_c": ("distance.mean", "Mpc", "comoving distance r/h, posterior mean"),
    "d_c_std": ("distance.std", "Mpc", "its posterior standard deviation"),
    "d_c_p16": ("distance.p16", "Mpc", "comoving distance, 16 % quantile"),
    "d_c_median": ("distance.median", "Mpc", "comoving distance, median"),
    "d_c_p84": ("distance.p84", "Mpc", "comoving distance, 84 % quantile"),
    "mu": ("modulus.mean", "mag", "distance modulus of the luminosity distance, posterior mean"),
    "mu_std": ("modulus.std", "mag", "its posterior standard deviation"),
    "v_rad": ("v_rad", "km/s", "radial peculiar velocity, posterior mean, CMB frame, positive = receding"),
    "v_rad_std": ("v_rad_std", "km/s", "its posterior standard deviation"),
    "v_sgx": ("v_pec.sgx", "km/s", "peculiar velocity, supergalactic x, posterior mean, CMB frame"),
    "v_sgy": ("v_pec.sgy", "km/s", "peculiar velocity, supergalactic y"),
    "v_sgz": ("v_pec.sgz", "km/s", "peculiar velocity, supergalactic z"),
    "inside_fraction": ("inside_fraction", "", "share of the posterior inside the field's lattice")}
"""Columns of a table of distances: name -> (column of the answers, unit, description)."""
PDF_NUMBERS = 2_000_000
"""Most numbers of distribution functions held at once (16 MB); more rows are solved block by block."""


def check_variable(name: str) -> str:
    """Return the name of a variable, or refuse it with the list.

    Raises
    ------
    BadParameter
        When it is none of `VARIABLES`.
    """
    if name not in VARIABLES:
        raise BadParameter(f"kind = {name!r:.80} is not known; use one of {', '.join(VARIABLES)}", code="unknown_flow_type",
                           where="kind", extra={"known": list(VARIABLES)})
    return name


class Posteriors:
    """Hold the answers for n objects, and find their distribution functions again when asked.

    Parameters
    ----------
    field : FlowField
    lon, lat : array_like, shape (n,), deg
        Sky positions in ``options.frame``.
    cz : array_like, shape (n,), km/s
        Speed of light times redshift in the rest frame ``options.cz_frame``.
    sigma_cz : array_like, shape () or (n,), km/s
        Measurement error of cz.
    options : FlowOptions, optional
        Or its entries by name.

    Notes
    -----
    The density of r is the posterior at the grid points and linear between them; it is zero beyond the end of the line
    of sight. The cumulative is the trapezoid sum at the grid points and linear inside a step, so quantiles agree with
    the summaries of `distances.solve` to rounding. The other variables follow by their exact maps of r
    (docs/conventions.md). Rows whose status is not "ok" give NaN everywhere.

    Examples
    --------
    >>> import numpy as np, cfcore
    >>> from cfcore.results import Posteriors
    >>> still = cfcore.FlowField.from_arrays(np.zeros((3, 9, 9, 9)), origin_hmpc=-120, spacing_hmpc=30,
    ...                                      sky_frame="galactic", id="still")
    >>> p = Posteriors(still, [10.0, 20.0], [0.0, 5.0], [3000.0, 5000.0], H0=70, cz_frame="cmb")
    >>> lo, hi = p.interval(0.9)
    >>> print(lo.round(2), hi.round(2))
    [38.46 66.71] [47.8  76.05]
    >>> p.samples(4, seed=1).shape
    (2, 4)
    """

    def __init__(self, field: FlowField, lon: ArrayLike, lat: ArrayLike, cz: ArrayLike, *, sigma_cz: ArrayLike = 0.0,
                 options: FlowOptions | None = None, **named: object) -> None:
        opt = options or FlowOptions(**named)  # type: ignore[arg-type]
        self.answers: Distances = distances.solve(field, lon, lat, cz, sigma_cz=sigma_cz, options=opt)
        n = len(self.answers)
        self.lon, self.lat, self.cz, self.sigma_cz = (
            np.array(np.broadcast_to(np.asarray(a, dtype=float), n)) for a in (lon, lat, cz, sigma_cz))
        self._kept: tuple[F64, F64] | None = None

    def __len__(self) -> int:
        return len(self.answers)

    @property
    def field(self) -> FlowField:
        """The field that answered."""
        return self.answers.field

    @property
    def options(self) -> FlowOptions:
        """The options it answered under."""
        return self.answers.options

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which rows have an answer, shape (n,)."""
        return np.asarray(self.answers.status == 0)

    @property
    def one_plus_z(self) -> F64:
        """1 + z_hel of the objects, shape (n,); NaN where the velocity could not be read."""
        return 1.0 + self.answers.column("cz.hel") / C_KMS

    def take(self, index: Any) -> Posteriors:
        """Return the answers of some rows: a slice, a boolean mask or an array of indices."""
        out = object.__new__(Posteriors)
        for name in ("lon", "lat", "cz", "sigma_cz"):
            setattr(out, name, np.atleast_1d(getattr(self, name)[index]))
        a = self.answers
        rows = np.atleast_1d(np.arange(len(a))[index])
        out.answers = dataclasses.replace(a, values=a.values[rows], status=a.status[rows], flag_bits=a.flag_bits[rows],
                                          n_roots=a.n_roots[rows], root_table=a.root_table[rows])
        out._kept = None if self._kept is None else (self._kept[0], self._kept[1][rows])
        return out

    def summary(self, name: str, kind: str = "distance") -> F64:
        """Return "mean", "std", "mode", "median", "p16" ... of one variable, shape (n,).

        Raises
        ------
        BadParameter
            When the variable has no such summary; the modulus has mean, std, median, p16 and p84.
        """
        return self.answers.column(f"{check_variable(kind)}.{name}")

    def to_r(self, x: F64, kind: str, rows: slice = slice(None)) -> F64:
        """Return r in h^-1 Mpc for values of a variable, shape (n, k); NaN where no r exists."""
        h = self.options.H0 / 100.0
        if kind == "comoving":
            return np.array(x)
        if kind == "distance":
            return x * h
        if kind == "hubble":
            return background(self.options.Om).comoving_hmpc(x / C_KMS)
        scale = h / self.one_plus_z[rows, None]
        with np.errstate(over="ignore"):
            return scale * (x if kind == "luminosity" else 10.0 ** (0.2 * (x - 25.0)))

    def from_r(self, r: F64, kind: str, rows: slice = slice(None)) -> F64:
        """Return values of a variable for r in h^-1 Mpc, shape (n, k)."""
        h = self.options.H0 / 100.0
        if kind == "comoving":
            return np.array(r)
        if kind == "distance":
            return r / h
        if kind == "hubble":
            return C_KMS * background(self.options.Om).redshift(r)
        d_l = r * (self.one_plus_z[rows, None] / h)
        with np.errstate(divide="ignore"):
            return d_l if kind == "luminosity" else 25.0 + 5.0 * np.log10(d_l)

    def _slope(self, r: F64, kind: str, rows: slice) -> F64:
        """Return dr/dx at r, shape (n, k)."""
        h = self.options.H0 / 100.0
        if kind == "comoving":
            return np.ones_like(r)
        if kind == "distance":
            return np.full_like(r, h)
        if kind == "hubble":
            cosmos = background(self.options.Om)
            return 1.0 / (100.0 * cosmos.efunc(cosmos.redshift(r)))
        if kind == "luminosity":
            return np.broadcast_to(h / self.one_plus_z[rows, None], r.shape)
        return r * (np.log(10.0) / 5.0)

    def quantile(self, q: ArrayLike, kind: str = "distance") -> F64:
        """Return quantiles of one variable.

        Parameters
        ----------
        q : array_like, shape () or (k,)
            Probabilities from 0 to 1.
        kind : str
            One of `VARIABLES`.

        Returns
        -------
        ndarray, shape (n,) or (n, k)
        """
        check_variable(kind)
        levels = np.asarray(q, dtype=float)
        if levels.ndim > 1 or not ((levels >= 0.0) & (levels <= 1.0)).all():
            raise BadParameter(f"q = {str(q):.80} must be probabilities from 0 to 1, one or a list", code="out_of_range",
                               where="q")
        flat = np.atleast_1d(levels)
        out = np.empty((len(self), flat.size))
        for rows, r, p in self._blocks(flat.size):
            c = _cumulative(r, p)
            out[rows] = self.from_r(np.stack([np.interp(flat * row[-1], row, r) for row in c]), kind, rows)
        out[~self.ok] = np.nan
        return out[:, 0] if levels.ndim == 0 else out

    def interval(self, level: ArrayLike = 0.68, kind: str = "distance") -> tuple[F64, F64]:
        """Return the ends of the equal-tailed interval that holds `level` of the probability.

        Parameters
        ----------
        level : array_like, shape () or (k,)
            Probabilities between 0 and 1.
        kind : str
            One of `VARIABLES`.

        Returns
        -------
        lo, hi : ndarray, shape (n,) or (n, k)
        """
        levels = np.asarray(level, dtype=float)
        if levels.ndim > 1 or not ((levels > 0.0) & (levels < 1.0)).all():
            raise BadParameter(f"level = {str(level):.80} must lie between 0 and 1, such as 0.68, one or a list",
                               code="out_of_range", where="level")
        flat = np.atleast_1d(levels)
        ends = self.quantile(np.concatenate([0.5 * (1.0 - flat), 0.5 * (1.0 + flat)]), kind)
        lo, hi = ends[:, :flat.size], ends[:, flat.size:]
        return (lo[:, 0], hi[:, 0]) if levels.ndim == 0 else (lo, hi)

    def pdf(self, x: ArrayLike, kind: str = "distance") -> F64:
        """Return probability densities per unit of the variable; 0 beyond the line of sight.

        Parameters
        ----------
        x : array_like, shape (), (k,) or (n, k)
            Values of the variable; two dimensions: other values for each object.
        kind : str
            One of `VARIABLES`.

        Returns
        -------
        ndarray, shape (n,) for a single x, else (n, k)
        """
        return self._at(x, kind, density=True)

    def cdf(self, x: ArrayLike, kind: str = "distance") -> F64:
        """Return the probability that the variable is less than x; shapes as in `pdf`."""
        return self._at(x, kind, density=False)

    def samples(self, count: int, seed: int | None = None, kind: str = "distance") -> F64:
        """Draw from each distribution by the inverse of its cumulative.

        Parameters
        ----------
        count : int
            Draws per object.
        seed : int, optional
            Of ``numpy.random.default_rng``; the same seed and objects give the same draws.
        kind : str
            One of `VARIABLES`; the draws of one seed are the same distances in each.

        Returns
        -------
        ndarray, shape (n, count)
        """
        check_variable(kind)
        if isinstance(count, bool) or int(count) != count or count < 0:
            raise BadParameter(f"count = {count!r:.40} must be a whole number, 0 or more", code="out_of_range", where="count")
        rng = np.random.default_rng(seed)
        out = np.empty((len(self), int(count)))
        for rows, r, p in self._blocks(int(count)):
            c = _cumulative(r, p)
            draws = rng.random((len(c), int(count)))  # row after row: the blocks leave no trace in the draws
            out[rows] = self.from_r(np.stack([np.interp(u * row[-1], row, r) for u, row in zip(draws, c)]), kind, rows)
        out[~self.ok] = np.nan
        return out

    def _at(self, x: ArrayLike, kind: str, *, density: bool) -> F64:
        check_variable(kind)
        given = np.asarray(x, dtype=float)
        if given.ndim > 2 or (given.ndim == 2 and len(given) != len(self)):
            raise BadParameter(f"x has shape {given.shape}; give one value, a list, or a table with one row for each of "
                               f"the {len(self)} objects", code="bad_shape", where="x")
        points = np.broadcast_to(np.atleast_1d(given), (len(self), given.shape[-1] if given.ndim else 1))
        out = np.empty(points.shape)
        for rows, grid, p in self._blocks(points.shape[1]):
            at = self.to_r(points[rows], kind, rows)
            below, above = ~(at >= 0.0) & (points[rows] < 0.0), ~(at <= grid[-1]) & ~(points[rows] < 0.0)
            r = np.where(below, 0.0, np.where(above, grid[-1], at))
            curve = p if density else _cumulative(grid, p)
            y = np.stack([np.interp(r_, grid, c_) for r_, c_ in zip(r, curve)])
            if density:
                out[rows] = np.where(below | above, 0.0, y * self._slope(r, kind, rows))
            else:
                out[rows] = np.where(below, 0.0, np.where(above, 1.0, y / curve[:, -1:]))
        out[np.isnan(points)] = np.nan
        out[~self.ok] = np.nan
        return out[:, 0] if given.ndim == 0 else out

    def _blocks(self, width: int = 1) -> Iterator[tuple[slice, F64, F64]]:
        """Give the distribution functions of r block by block: rows, grid (m,) and densities (k, m).

        `width` is how many numbers per row the caller makes of them; it bounds the block as the grid does.
        """
        opt, end = self.options, self.field.r_max_hmpc
        points = (end if opt.rmax is None else min(opt.rmax, end)) / opt.dr + 6.0
        keep = len(self) * points <= PDF_NUMBERS
        step = max(1, int(PDF_NUMBERS / max(points, 8 * width)))
        for first in range(0, len(self), step):
            rows = slice(first, min(first + step, len(self)))
            if self._kept is None:
                wanted = slice(0, len(self)) if keep else rows
                d = distances.solve(self.field, self.lon[wanted], self.lat[wanted], self.cz[wanted],
                                    sigma_cz=self.sigma_cz[wanted], options=opt, pdf="comoving")
                assert d.x is not None and d.pdf is not None
                if not keep:
                    yield rows, d.x, d.pdf
                    continue
                self._kept = d.x, d.pdf
            yield rows, self._kept[0], self._kept[1][rows]


def solve_blocks(field: FlowField, lon: F64, lat: F64, cz: F64, sigma_cz: F64, options: FlowOptions,
                 rows: int = 50_000) -> Iterator[tuple[slice, Distances]]:
    """Solve a long table a block at a time, so that only one block's working arrays exist at once.

    Parameters
    ----------
    lon, lat, cz, sigma_cz : ndarray, shape (n,)
        As in `distances.solve`.

    Yields
    ------
    rows : slice
    answers : Distances
    """
    for first in range(0, len(lon), rows):
        at = slice(first, min(first + rows, len(lon)))
        yield at, distances.solve(field, lon[at], lat[at], cz[at], sigma_cz=sigma_cz[at], options=options)


def provenance(field: FlowField, options: FlowOptions) -> dict[str, Any]:
    """Return what must accompany every answer: field, frames, cosmology, scatter, prior, version of this package."""
    from . import __version__
    m = field.manifest
    return {"field": {"id": m.id, "version": m.version, "sha256": m.sha256, "citation": m.citation, "licence": m.licence},
            "frames": {"sky": options.frame, "cz": options.cz_frame, "field": m.sky_frame, "velocity": m.velocity_frame},
            "composition": options.composition, "observer": options.observer,
            "cosmology": {"name": "flat LambdaCDM", "H0": options.H0, "Om": options.Om},
            "sigma_v": m.sigma_v if options.sigma_v is None else options.sigma_v, "prior": options.prior,
            "alpha": options.alpha if options.prior == "density" else None, "use_field_sigma": options.use_field_sigma,
            "cfcore": __version__}


def flag_column(bits: NDArray[np.int32]) -> NDArray[np.str_]:
    """Return the flags of n objects as words joined by commas, shape (n,)."""
    known, where = np.unique(bits, return_inverse=True)
    return np.array([",".join(distances.flag_words(int(b))) for b in known], dtype=str)[where].reshape(len(bits))


def status_column(status: NDArray[np.int32], words: tuple[str, ...] = distances.STATUS) -> NDArray[np.str_]:
    """Return the statuses of n objects as words, shape (n,)."""
    return np.array(words)[status]


def _cumulative(r: F64, p: F64) -> F64:
    c = np.zeros_like(p)
    np.cumsum(0.5 * (p[:, 1:] + p[:, :-1]) * np.diff(r), axis=1, out=c[:, 1:])
    return c

"""Answers of `cfcore.distance` with units: `DistanceResult` and its views in the other variables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import astropy.cosmology.units as cu
import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.typing import NDArray

from . import distances, frames
from .errors import BadParameter
from .result_text import SHOWN, SKY, cards, html_table, number, objects, place, plus_minus, reasons, with_error
from .results import COLUMNS, Posteriors, check_variable, flag_column, provenance, status_column

F64 = NDArray[np.float64]

UNITS: dict[str, u.UnitBase] = {"distance": u.Mpc, "hubble": u.km / u.s, "luminosity": u.Mpc, "comoving": u.Mpc / cu.littleh,
                                "modulus": u.mag}
_MEANING = {"distance": "comoving distance D = r/h", "hubble": "Hubble velocity c zbar",
            "luminosity": "luminosity distance", "comoving": "comoving distance r", "modulus": "distance modulus"}


class Variable:
    """Read the posteriors of a result in one variable; every number carries its unit.

    Reached as ``result.luminosity``, ``result.hubble``, ``result.comoving`` and ``result.distance_modulus``; the result
    itself reads in the comoving distance in Mpc.
    """

    def __init__(self, posteriors: Posteriors, kind: str, is_scalar: bool) -> None:
        self._posteriors, self._scalar = posteriors, is_scalar
        self.kind = check_variable(kind)
        self.unit: u.UnitBase = UNITS[kind]

    def _put(self, values: F64, unit: u.UnitBase | None = None) -> u.Quantity:
        return u.Quantity(values[0] if self._scalar else values, self.unit if unit is None else unit)

    def _summary(self, name: str) -> u.Quantity:
        return self._put(self._posteriors.summary(name, self.kind))

    def __repr__(self) -> str:
        return f"<{_MEANING[self.kind]}: {_listed(self._posteriors, self.kind)}>"

    def _repr_html_(self) -> str:
        p, m = self._posteriors, self._posteriors.field.manifest
        rows = [(place(p.lon[i], p.lat[i]), plus_minus(p, self.kind, i)) for i in range(min(len(p), SHOWN))]
        words = f"{len(p)} object(s), field {m.id} {m.version}, H0 = {p.options.H0:g} km/s/Mpc; mean ± standard deviation"
        return html_table(words, (f"RA, Dec ({SKY})", f"{_MEANING[self.kind]} ({self.unit})"), rows, len(p))

    @property
    def mean(self) -> u.Quantity:
        """Posterior mean in this variable."""
        return self._summary("mean")

    @property
    def std(self) -> u.Quantity:
        """Posterior standard deviation in this variable."""
        return self._summary("std")

    @property
    def median(self) -> u.Quantity:
        """Posterior median."""
        return self._summary("median")

    @property
    def mode(self) -> u.Quantity:
        """Most probable value in this variable; not computed for the modulus."""
        return self._summary("mode")

    def quantile(self, q: Any) -> u.Quantity:
        """Return quantiles: shape () or (k,) for one object, (n,) or (n, k) for n."""
        return self._put(self._posteriors.quantile(q, self.kind))

    def interval(self, level: Any = 0.68) -> tuple[u.Quantity, u.Quantity]:
        """Return the ends of the equal-tailed interval that holds `level` of the probability.

        Parameters
        ----------
        level : array_like, shape () or (k,)
            Probabilities between 0 and 1.

        Returns
        -------
        lo, hi : Quantity
            Each of shape () or (k,) for one object, (n,) or (n, k) for n.
        """
        lo, hi = self._posteriors.interval(level, self.kind)
        return self._put(lo), self._put(hi)

    def pdf(self, x: u.Quantity) -> u.Quantity:
        """Return the probability density per unit of the variable at x of shape (), (k,) or (n, k); 0 outside the field."""
        return self._put(self._posteriors.pdf(self._plain(x), self.kind), 1 / self.unit)

    def cdf(self, x: u.Quantity) -> F64:
        """Return the probability below x; shapes as in `pdf`."""
        values = self._posteriors.cdf(self._plain(x), self.kind)
        return values[0] if self._scalar else values

    def samples(self, n: int, seed: int | None = None) -> u.Quantity:
        """Draw n values per object, shape (n,) or (objects, n); the same seed gives the same draws."""
        return self._put(self._posteriors.samples(n, seed, self.kind))

    def _plain(self, x: u.Quantity) -> F64:
        try:
            return np.asarray(u.Quantity(x, subok=True).to_value(self.unit), dtype=float)
        except (u.UnitConversionError, TypeError) as exc:
            raise BadParameter(f"x = {x!s:.60} is not in {self.unit}, the unit of the {_MEANING[self.kind]}; give a Quantity in "
                               "it, or say kind=", code="bad_unit", where="x") from exc


class DistanceResult(Variable):
    """Hold the distances of one object or of n, with units, frames and source.

    Its own numbers (`mean`, `std`, `median`, `mode`, `interval`, `quantile`, `samples`) are comoving distances
    D = r/h in Mpc. Index it like an array. Rows that cannot be answered hold NaN and a status.

    Attributes
    ----------
    answers : Distances
        The plain arrays behind it: every summary, flags, roots.
    """

    def __init__(self, posteriors: Posteriors, is_scalar: bool) -> None:
        super().__init__(posteriors, "distance", is_scalar)
        self.answers = posteriors.answers

    @property
    def isscalar(self) -> bool:
        """Whether it answers for one object rather than for a list."""
        return self._scalar

    @property
    def shape(self) -> tuple[int, ...]:
        """``()`` or ``(n,)``."""
        return () if self._scalar else (len(self._posteriors),)

    def __len__(self) -> int:
        if self._scalar:
            raise TypeError("a result for one object has no length")
        return len(self._posteriors)

    def __getitem__(self, index: Any) -> DistanceResult:
        if self._scalar:
            raise TypeError("a result for one object cannot be indexed")
        rows = np.arange(len(self))[index]
        return DistanceResult(self._posteriors.take(rows), np.ndim(rows) == 0)

    def __iter__(self) -> Iterator[DistanceResult]:
        return (self[i] for i in range(len(self)))

    @property
    def coord(self) -> SkyCoord:
        """Positions, ICRS."""
        p = self._posteriors
        return SkyCoord(*(self._put(a, u.deg) for a in (p.lon, p.lat)), frame=p.options.frame)

    @property
    def luminosity(self) -> Variable:
        """The luminosity distance (1+z_hel) r/h, Mpc."""
        return Variable(self._posteriors, "luminosity", self._scalar)

    @property
    def hubble(self) -> Variable:
        """The Hubble velocity c zbar, km/s."""
        return Variable(self._posteriors, "hubble", self._scalar)

    @property
    def comoving(self) -> Variable:
        """The comoving distance r in Mpc/littleh, which needs no H0."""
        return Variable(self._posteriors, "comoving", self._scalar)

    @property
    def distance_modulus(self) -> Variable:
        """The modulus of the luminosity distance, mag."""
        return Variable(self._posteriors, "modulus", self._scalar)

    def pdf(self, x: u.Quantity, kind: str | None = None) -> u.Quantity:
        """Return the probability density at x, per unit of the variable; 0 outside the field.

        Parameters
        ----------
        x : Quantity, shape (), (k,) or (n, k)
            Its unit says the variable: Mpc the comoving distance, km/s the Hubble velocity, Mpc/littleh r, mag the modulus.
        kind : str, optional
            The variable by name: "distance", "hubble", "luminosity", "comoving" or "modulus".

        Raises
        ------
        BadParameter
            When the unit fits no variable, or not the one named.
        """
        return Variable(self._posteriors, kind or _kind_of(x), self._scalar).pdf(x)

    @property
    def roots(self) -> u.Quantity | list[u.Quantity]:
        """Every comoving distance at which the mean field predicts the observed velocity, Mpc, nearest first."""
        return self._of_roots(lambda table: u.Quantity(table[:, 0] * 100.0 / self.answers.options.H0, u.Mpc))

    @property
    def weights(self) -> F64 | list[F64]:
        """The posterior weight of each root's branch; they sum to 1 where there are roots."""
        return self._of_roots(lambda table: table[:, distances.ROOT.index("weight")].copy())

    def _of_roots(self, read: Callable[[F64], Any]) -> Any:
        out = [read(t[:k]) for t, k in zip(self.answers.root_table, np.minimum(self.answers.n_roots, distances.MAX_ROOTS))]
        return out[0] if self._scalar else out

    def cz(self, frame: str = "cmb") -> u.Quantity:
        """Return c times the observed redshift in the rest frame "hel", "cmb", "lg", "ls" or "gsr"."""
        key = frames.velocity_frame(frame).key
        return self._put(self.answers.column(f"cz.{key}"), u.km / u.s)

    @property
    def v_rad(self) -> u.Quantity:
        """Radial peculiar velocity, posterior mean, km/s, CMB frame, positive = receding."""
        return self._put(self.answers.column("v_rad"), u.km / u.s)

    @property
    def v_rad_std(self) -> u.Quantity:
        """Posterior standard deviation of v_rad, km/s; sigma_v is not part of it."""
        return self._put(self.answers.column("v_rad_std"), u.km / u.s)

    @property
    def v_pec(self) -> u.Quantity:
        """Peculiar velocity vector, posterior mean, shape (3,) or (n, 3), km/s, supergalactic axes, CMB frame."""
        return self._put(np.stack([self.answers.column(f"v_pec.{a}") for a in ("sgx", "sgy", "sgz")], axis=1), u.km / u.s)

    @property
    def flags(self) -> list[str] | list[list[str]]:
        """The flags of each object as words."""
        out = [distances.flag_words(int(b)) for b in self.answers.flag_bits]
        return out[0] if self._scalar else out

    @property
    def status(self) -> str | NDArray[np.str_]:
        """"ok", or why an object could not be answered."""
        out = status_column(self.answers.status)
        return str(out[0]) if self._scalar else out

    @property
    def detail(self) -> str | NDArray[np.str_]:
        """Why an object could not be answered, in a sentence; empty where it could."""
        p = self._posteriors
        out = reasons(status_column(self.answers.status), self.answers.field.manifest.id,
                       {"lon": p.lon, "lat": p.lat, "cz": p.cz, "sigma_cz": p.sigma_cz})
        return str(out[0]) if self._scalar else out

    @property
    def meta(self) -> dict[str, Any]:
        """Where the answer comes from: field, citation, frames, cosmology, scatter, prior, version."""
        return provenance(self.answers.field, self.answers.options)

    def to_table(self) -> QTable:
        """Return a QTable, one row per object, with units, descriptions and the source in ``meta`` (`result_text.cards`)."""
        p = self._posteriors
        table = QTable()
        for name, values in (("ra", p.lon), ("dec", p.lat)):
            add_column(table, name, values, "deg", "ICRS")
        add_column(table, "cz", p.cz, "km/s", f"c times observed redshift as given, frame {p.options.cz_frame}")
        for name, (source, unit, words) in COLUMNS.items():
            if source in distances.VALUES:
                add_column(table, name, self.answers.column(source), unit, words)
        add_column(table, "n_roots", self.answers.n_roots, "", "distances at which the mean field predicts cz")
        add_column(table, "flags", flag_column(self.answers.flag_bits), "", "what to know about the answer")
        add_column(table, "status", status_column(self.answers.status), "", "ok, or why there is no answer")
        table.meta |= cards(self.meta)
        return table

    def plot(self, ax: Any = None, kind: str = "distance") -> Any:
        """Draw the distribution functions with matplotlib; see `plots.plot_posteriors`."""
        from .plots import plot_posteriors
        return plot_posteriors(self._posteriors, ax, kind)

    def __repr__(self) -> str:
        a = self.answers
        who = "" if self._scalar else f" for {objects(len(a))}"
        words = f", {', '.join(self.flags)}" if self._scalar and self.flags else ""  # type: ignore[arg-type]
        if self._scalar and self.status != "ok":
            words = f", {self.status}"
        return (f"<DistanceResult{who}: {_listed(self._posteriors, 'distance')} comoving{words}; field {a.field.manifest.id}, "
                f"H0 = {a.options.H0:g}, cz in frame {a.options.cz_frame}>")

    def _repr_html_(self) -> str:
        p, a, opt = self._posteriors, self.answers, self.answers.options
        head = (f"RA, Dec ({SKY})", f"cz ({opt.cz_frame}, km/s)", "D (comoving, Mpc)", "v_rad (CMB, km/s)", "flags", "status")
        rows = [(place(p.lon[i], p.lat[i]), number(p.cz[i]), plus_minus(p, "distance", i),
                 with_error(a.column("v_rad")[i], a.column("v_rad_std")[i]), ", ".join(a.flags(i)), distances.STATUS[a.status[i]])
                for i in range(min(len(a), SHOWN))]
        m = a.field.manifest
        sigma_v = m.sigma_v if opt.sigma_v is None else opt.sigma_v
        caption = (f"{objects(len(a))}, field {m.id} {m.version}, H0 = {opt.H0:g} km/s/Mpc, Om = {opt.Om:g}, prior {opt.prior}, "
                   f"sigma_v = {sigma_v:g} km/s; mean ± standard deviation over the posterior")
        return html_table(caption, head, rows, len(a))


def add_column(table: QTable, name: str, values: NDArray[Any], unit: str, description: str) -> None:
    """Add a column with unit and description to a table."""
    table[name] = u.Quantity(values, u.Unit(unit)) if unit else values
    table[name].info.description = description


def _kind_of(x: Any) -> str:
    unit = getattr(x, "unit", None)
    for kind in ("distance", "hubble", "comoving", "modulus"):
        if unit is not None and unit.is_equivalent(UNITS[kind]):
            return kind
    raise BadParameter(f"x = {x!s:.60} has no unit of a distance; give a Quantity in Mpc, km/s, Mpc/littleh or mag",
                       code="bad_unit", where="x")


def _listed(p: Posteriors, kind: str) -> str:
    shown = ", ".join(plus_minus(p, kind, i) for i in range(min(len(p), SHOWN)))
    return f"{shown}{', ...' if len(p) > SHOWN else ''} {UNITS[kind]}".lstrip()

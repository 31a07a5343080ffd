"""The questions of the command line, answered in this process; `remote` answers the same ones over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from . import __version__, distances, frames, listed
from .cosmology import C_KMS, background
from .field import FlowField
from .options import FLOW_TYPES, FlowOptions

F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
Facts = dict[str, Any]
"""Plain data: an answer, or where it comes from."""

_MPC = ("Mpc", "h^-1 Mpc")
MODULUS: tuple[str, ...] = ("p16", "median", "p84")
"""Quantiles of the distance modulus in a table."""
LARGE_SIGMA_CZ = 500.0
"""Errors of a velocity (km/s) above it are named where a posterior runs beyond the line of sight."""
_SUMMARY_WORDS = {"mean": "posterior mean", "std": "posterior standard deviation", "mode": "posterior mode",
                  "p2_5": "2.5 % quantile", "p16": "16 % quantile", "median": "median", "p84": "84 % quantile",
                  "p97_5": "97.5 % quantile"}
_VARIABLES = {"distance": "comoving distance", "luminosity": "luminosity distance", "comoving": "comoving distance",
              "hubble": "Hubble velocity c zbar"}


class Answer(NamedTuple):
    """Describe one column of numbers that an answer adds to a table."""

    name: str
    unit: str
    description: str
    decimals: int | None
    """Digits after the point in text; None: six significant digits."""
    ucd: str = ""


@dataclass(frozen=True)
class Rows:
    """Hold the columns of a question, shape (n,): deg, and km/s (cz) or Mpc (distance); NaN where a row has a fault."""

    lon: F64
    lat: F64
    value: F64
    sigma: F64 | None = None
    first: int = 0
    """Place of the first row among all that are read."""


@dataclass(frozen=True)
class Answers:
    """Hold what came back for n rows.

    Attributes
    ----------
    numbers : dict of ndarray, shape (n,)
        By the names of `Asker.columns`; NaN where there is no answer.
    status, flag_bits : ndarray of int32, shape (n,)
        As in `cfcore.distances`; a velocity answer raises no flags.
    """

    numbers: dict[str, F64]
    status: I32
    flag_bits: I32


class Sight(NamedTuple):
    """Say where the lines of sight end, and whether --rmax ended them."""

    r_hmpc: float
    cz: float
    """c zbar there, km/s."""
    shortened: bool


class TableAsker(Protocol):
    """Answer the rows of a table."""

    question: str
    flow: str
    rows: int
    """Rows of a chunk."""
    jobs: int
    """Chunks that may be on their way at once."""

    def ask(self, rows: Rows) -> Answers:
        """Answer one chunk; several threads may ask at once."""

    def facts(self) -> Facts:
        """Return the provenance of the answers; elsewhere it is known after the first of them."""

    def sight(self) -> Sight | None:
        """Return where the lines of sight end; None when a server does not say."""


class Asker(TableAsker, Protocol):
    """Answer questions, here or elsewhere."""

    def single(self, lon: float, lat: float, value: float, sigma: float) -> Facts:
        """Answer one object with all there is to say, in the words of the HTTP API."""


def line_of_sight(field_hmpc: float, rmax: float | None, Om: float) -> Sight:
    """Return the end of the lines of sight through a field whose own end is given, h^-1 Mpc."""
    r = field_hmpc if rmax is None else min(rmax, field_hmpc)
    return Sight(r, C_KMS * float(background(Om).redshift(r)), r < field_hmpc)


def moduli(numbers: Mapping[str, F64], flow: str, H0: float, Om: float) -> dict[str, F64]:
    """Return the quantiles of the distance modulus, mag: those of the variable asked for, which it rises with.

    ``mu = 5 log10(D_L / Mpc) + 25`` with ``D_L = (1 + z_hel) r/h``.
    """
    out = {}
    for s in MODULUS:
        x = numbers[f"{flow}_{s}"]
        if flow != "luminosity":
            x = {"distance": x, "comoving": x * 100.0 / H0}[flow] if flow != "hubble" else \
                background(Om).comoving_hmpc(x / C_KMS) * 100.0 / H0
            x = (1.0 + numbers["cz_hel"] / C_KMS) * x
        with np.errstate(divide="ignore", invalid="ignore"):
            out[f"mu_{s}"] = 5.0 * np.log10(x) + 25.0
    return out


def answer_columns(question: str, flow: str) -> tuple[Answer, ...]:
    """Return the columns of numbers that a question adds to a table."""
    cz = tuple(Answer(f"cz_{f}", "km/s", f"{'observed' if question == 'distance' else 'predicted'} c z, frame {f}", 2,
                      "spect.dopplerVeloc.opt" + (";meta.modelled" if question == "velocity" else ""))
               for f in frames.REPORTED_FRAMES)
    flow_of = tuple(Answer(f"v_{a}", "km/s", f"peculiar velocity along {a.upper()}, CMB frame", 2,
                           f"phys.veloc;pos.cartesian.{a[-1]};pos.supergalactic") for a in ("sgx", "sgy", "sgz"))
    v_rad = Answer("v_rad", "km/s", "radial peculiar velocity, CMB frame, positive = receding", 2, "phys.veloc")
    spread = Answer("v_rad_std", "km/s", "spread of v_rad over the posterior", 2, "stat.stdev;phys.veloc")
    delta = Answer("delta", "", "density contrast", 4, "phys.density;arith.ratio")
    if question == "velocity":
        return (*(Answer(a, "h^-1 Mpc", f"supergalactic {a.upper()}", 4, f"pos.cartesian.{a[-1]};pos.supergalactic")
                  for a in ("sgx", "sgy", "sgz")), *flow_of, v_rad, delta,
                Answer("sigma", "km/s", "error of the field's velocity", 2, "stat.error;phys.veloc"),
                Answer("cz_hubble", "km/s", "c zbar, no peculiar velocity", 2, "spect.dopplerVeloc.opt;meta.modelled"), *cz)
    unit, kind = FLOW_TYPES[flow], "spect.dopplerVeloc.opt" if flow == "hubble" else "pos.distance"
    return (*(Answer(f"{flow}_{s}", unit, f"{_VARIABLES[flow]}, {_SUMMARY_WORDS[s]}", 4 if unit in _MPC else 2,
                     summary_ucd(s, kind)) for s in distances.SUMMARY),
            *(Answer(f"mu_{s}", "mag", f"distance modulus, {_SUMMARY_WORDS[s]}", 4, summary_ucd(s, "phot.mag.distMod"))
              for s in MODULUS),
            *cz, v_rad, spread, *flow_of, delta,
            Answer("inside_fraction", "", "share of the posterior inside the field", 5, "stat.probability"),
            Answer("evidence", "s/km", "integral of prior times likelihood", None, "stat.likelihood"),
            Answer("n_roots", "", "distances at which the mean field predicts this velocity", 0, "meta.number"))


def summary_ucd(summary: str, kind: str) -> str:
    """Return the UCD of a summary of a posterior in a variable of some UCD; the quantiles are said to be such, not which."""
    if summary == "std":
        return f"stat.stdev;{kind}"
    return {"mean": f"{kind};stat.mean", "median": f"{kind};stat.median", "mode": kind}.get(summary, f"{kind};stat.percentile")


def stored_answers(question: str, flow: str, values: F64, codes: I32, H0: float, Om: float) -> Answers:
    """Return the answers of n rows from the columns that `cfcore.distances` makes, and workers send.

    Parameters
    ----------
    question, flow : str
    values : ndarray, shape (n, m)
        `distances.VALUES`, or of a velocity `distances.VELOCITY_VALUES`.
    codes : ndarray of int32, shape (n, 2 or 3)
        Status, flags and number of roots; of a velocity the flags are no flags.
    H0, Om : float
        Of the answers; for the distance modulus.
    """
    numbers = {name: values[:, place] for name, place in
               (listed.columns_of(flow) if question == "distance" else listed.velocity_columns()).items()}
    if question == "velocity":
        return Answers(numbers, codes[:, 0], np.zeros(len(codes), np.int32))
    numbers = {f"{flow}_{name}" if name in distances.SUMMARY else name: column for name, column in numbers.items()}
    numbers |= moduli(numbers, flow, H0, Om)
    numbers["n_roots"] = np.where(codes[:, 0] == 0, codes[:, 2], np.nan)
    return Answers(numbers, codes[:, 0], codes[:, 1])


class Local:
    """Answer from a field of this machine."""

    def __init__(self, field: FlowField, options: FlowOptions, question: str, flow: str = "distance", *,
                 rows: int = 20_000, jobs: int = 1) -> None:
        self.field, self.options, self.question, self.flow, self.rows, self.jobs = field, options, question, flow, rows, jobs

    def ask(self, rows: Rows) -> Answers:
        """Answer one chunk."""
        if self.question == "velocity":
            v = distances.velocities(self.field, rows.lon, rows.lat, rows.value, options=self.options)
            return stored_answers("velocity", self.flow, v.values, np.stack([v.status, v.inside.astype(np.int32)], axis=1),
                                  self.options.H0, self.options.Om)
        d = distances.solve(self.field, rows.lon, rows.lat, rows.value, options=self.options,
                            sigma_cz=0.0 if rows.sigma is None else rows.sigma)
        return stored_answers("distance", self.flow, d.values, np.stack([d.status, d.flag_bits, d.n_roots], axis=1),
                              self.options.H0, self.options.Om)

    def sight(self) -> Sight:
        """Return where the lines of sight end."""
        return line_of_sight(self.field.r_max_hmpc, self.options.rmax, self.options.Om)

    def facts(self) -> Facts:
        """Return the provenance of the answers."""
        m, opt = self.field.manifest, self.options
        return {"field": {"id": m.id, "version": f"{m.version}-{m.sha256[:8]}", "sha256": m.sha256, "citation": m.citation},
                "frame": opt.frame, "cosmology": {"H0": opt.H0, "Om": opt.Om}, "composition": opt.composition,
                **({} if self.question == "velocity" else {
                    "cz_frame": opt.cz_frame, "sigma_v": m.sigma_v if opt.sigma_v is None else opt.sigma_v,
                    "prior": opt.prior, "alpha": opt.alpha, "use_field_sigma": opt.use_field_sigma,
                    "observer": opt.observer, "rmax": opt.rmax, "dr": opt.dr}),
                "cfcore": __version__}

    def single(self, lon: float, lat: float, value: float, sigma: float) -> Facts:
        """Answer one object with all there is to say."""
        if self.question == "velocity":
            v = distances.velocities(self.field, lon, lat, value, options=self.options)
            c = {name: float(v.column(name)[0]) for name in distances.VELOCITY_VALUES}
            return {"xyz_hmpc": [c["sgx"], c["sgy"], c["sgz"]], "inside": bool(v.inside[0]),
                    "v_pec": {a: c[f"v_pec.{a}"] for a in ("sgx", "sgy", "sgz")},
                    **{k: c[k] for k in ("v_rad", "delta", "sigma", "cz_hubble")},
                    "cz": {f: c[f"cz.{f}"] for f in frames.REPORTED_FRAMES}, "status": distances.STATUS[int(v.status[0])]}
        d = distances.solve(self.field, lon, lat, value, sigma_cz=sigma, options=self.options)
        c = {name: float(d.column(name)[0]) for name in distances.VALUES}
        return {"cz": {f: c[f"cz.{f}"] for f in frames.REPORTED_FRAMES},
                **{flow: {**{s: c[f"{flow}.{s}"] for s in distances.SUMMARY}, "unit": unit}
                   for flow, unit in FLOW_TYPES.items()},
                "modulus": {s: c[f"modulus.{s}"] for s in distances.MODULUS}, "roots": d.roots(),
                **{k: c[k] for k in ("v_rad", "v_rad_std")},
                "v_pec": {a: c[f"v_pec.{a}"] for a in ("sgx", "sgy", "sgz")},
                **{k: c[k] for k in ("delta", "inside_fraction", "evidence")}, "flags": d.flags(),
                "status": distances.STATUS[int(d.status[0])]}


def reason(status: str, names: dict[str, str], values: dict[str, float], field: str, sight: Sight | None = None,
           *, option: str = "--{}") -> str:
    """Say in a sentence why a row has no answer.

    Parameters
    ----------
    status : str
        A word of `distances.STATUS` other than "ok".
    names, values : dict
        By quantity (lon, lat, cz, sigma_cz, distance): what the user calls it, and its value in house units.
    field : str
        Id of the field.
    sight : Sight, optional
        Where its lines of sight end, when that is known.
    option : str
        How options are spelled where the question was asked.
    """
    other, rmax = f"another {option.format('field')}", f"a larger {option.format('rmax')}"
    if status == "crashed":
        return "its computation ends the process every time; it is set aside, the others were answered"
    if status == "outside_field":
        if "distance" in values:
            return (f"{names['distance']} = {values['distance']:g} Mpc lies outside field {field}; no velocity is known "
                    f"there; ask {other}")
        sigma = values.get("sigma_cz", 0.0)
        end = f", which ends at {sight.r_hmpc:.0f} h^-1 Mpc (c z about {sight.cz:.0f} km/s)" if sight else ""
        way = f"{rmax}, or {other}" if sight and sight.shortened else other
        text = f"{names['cz']} = {values['cz']:g} km/s"
        if sigma > LARGE_SIGMA_CZ:
            text += f" with {names['sigma_cz']} = {sigma:g} km/s reaches beyond"
            way = f"a smaller {names['sigma_cz']}, {way}"
        elif sight and values["cz"] < sight.cz:
            text += ", with its scatter, reaches beyond"
        else:
            text += " lies beyond"
        return f"{text} the line of sight of field {field}{end}; try {way}, or drop it"
    if status == "not_finite":
        name = next((names[k] for k, v in values.items() if not np.isfinite(v)), "a value")
        return f"{name} is not a finite number"
    key = status.removesuffix("_out_of_range")
    least, greatest, unit = distances.ROW_LIMITS[key]
    text = f"{names[key]} = {values[key]:g} lies outside {least:g} ... {greatest:g} {unit}"
    if key == "lat" and abs(values["lon"]) <= 90.0 and abs(values["lat"]) <= 360.0:
        text += f"; perhaps {names['lon']} and {names['lat']} are swapped"
    return text

"""Answers of `cfcore.velocity` with units: `VelocityResult`."""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.typing import NDArray

from . import distances, frames
from .distances import Velocities
from .quantity_results import add_column
from .result_text import SHOWN, SKY, cards, html_table, number, objects, place, reasons, with_error
from .results import provenance, status_column

F64 = NDArray[np.float64]


class VelocityResult:
    """Hold the flow at objects of known distance, with units, frames and source.

    Attributes
    ----------
    answers : Velocities
        The plain arrays behind it. Outside the field the flow is NaN and `inside` is False.
    v_rad, sigma : Quantity, shape () or (n,), km/s
        Radial peculiar velocity, CMB frame, positive = receding, and the field's own error of a velocity.
    v_pec : Quantity, shape (3,) or (n, 3), km/s
        Peculiar velocity vector, supergalactic axes, CMB frame.
    overdensity : Quantity, shape () or (n,)
        Density contrast, dimensionless.
    coord : SkyCoord, distance : Quantity, Mpc
        Where the field was read; the distance is comoving, r/h.
    inside : bool or ndarray of bool
        Whether the object lies in the field's lattice.
    status, detail : str or ndarray of str
        "ok" or why there is no answer, as a word and as a sentence.
    meta : dict
        Field, citation, frames, cosmology, version.
    """

    def __init__(self, answers: Velocities, lon: F64, lat: F64, d_c: F64, is_scalar: bool) -> None:
        self.answers, self._scalar = answers, is_scalar
        self._lon, self._lat, self._d_c = lon, lat, d_c

    def _put(self, values: F64, unit: u.UnitBase) -> u.Quantity:
        return u.Quantity(values[0] if self._scalar else values, unit)

    def __len__(self) -> int:
        if self._scalar:
            raise TypeError("a result for one object has no length")
        return len(self.answers.status)

    @property
    def v_rad(self) -> u.Quantity:
        """Radial peculiar velocity, km/s, CMB frame, positive = receding."""
        return self._put(self.answers.column("v_rad"), u.km / u.s)

    @property
    def v_pec(self) -> u.Quantity:
        """Peculiar velocity vector, shape (3,) or (n, 3), km/s, supergalactic axes, CMB frame."""
        return self._put(np.stack([self.answers.column(f"v_pec.{a}") for a in ("sgx", "sgy", "sgz")], axis=1), u.km / u.s)

    @property
    def sigma(self) -> u.Quantity:
        """The field's own error of a velocity, km/s; NaN where the field states none."""
        return self._put(self.answers.column("sigma"), u.km / u.s)

    @property
    def coord(self) -> SkyCoord:
        """Positions, ICRS."""
        return SkyCoord(*(self._put(a, u.deg) for a in (self._lon, self._lat)), frame="icrs")

    @property
    def distance(self) -> u.Quantity:
        """Comoving distance r/h at which the field was read, Mpc."""
        return self._put(self._d_c, u.Mpc)

    @property
    def overdensity(self) -> u.Quantity:
        """Density contrast, dimensionless; NaN where the field has no density."""
        return self._put(self.answers.column("delta"), u.dimensionless_unscaled)

    def cz(self, frame: str = "hel") -> u.Quantity:
        """Return the c times redshift the field predicts, in the rest frame "hel", "cmb", "lg", "ls" or "gsr"."""
        return self._put(self.answers.column(f"cz.{frames.velocity_frame(frame).key}"), u.km / u.s)

    @property
    def inside(self) -> bool | NDArray[np.bool_]:
        """Whether the object lies inside the field's lattice."""
        return bool(self.answers.inside[0]) if self._scalar else self.answers.inside

    @property
    def status(self) -> str | NDArray[np.str_]:
        """"ok", "outside_field", or why an object could not be answered."""
        a = self.answers
        out = status_column(np.where((a.status == 0) & ~a.inside, distances.STATUS.index("outside_field"), a.status))
        return str(out[0]) if self._scalar else out

    @property
    def detail(self) -> str | NDArray[np.str_]:
        """Why an object could not be answered, in a sentence; empty where it could."""
        out = reasons(np.atleast_1d(self.status), self.answers.field.manifest.id,
                       {"lon": self._lon, "lat": self._lat, "distance": self._d_c})
        return str(out[0]) if self._scalar else out

    @property
    def meta(self) -> dict[str, Any]:
        """Where the answer comes from: field, citation, frames, cosmology, version."""
        told = provenance(self.answers.field, self.answers.options)
        return {k: v for k, v in told.items() if k not in ("sigma_v", "prior", "alpha", "use_field_sigma", "observer")}

    def to_table(self) -> QTable:
        """Return a QTable, one row per object, with units, descriptions and the source in ``meta`` (`result_text.cards`)."""
        a, table = self.answers, QTable()
        for name, values, unit, words in (
                ("ra", self._lon, "deg", "ICRS"), ("dec", self._lat, "deg", "ICRS"),
                ("d_c", self._d_c, "Mpc", "comoving distance r/h as given"),
                ("v_rad", a.column("v_rad"), "km/s", "radial peculiar velocity, CMB frame, positive = receding"),
                *((f"v_{c}", a.column(f"v_pec.{c}"), "km/s", f"peculiar velocity, supergalactic {c[2]}, CMB frame")
                  for c in ("sgx", "sgy", "sgz")),
                ("overdensity", a.column("delta"), "", "density contrast"),
                ("sigma", a.column("sigma"), "km/s", "the field's own velocity error"),
                ("cz_hel", a.column("cz.hel"), "km/s", "predicted c times redshift, heliocentric"),
                ("cz_cmb", a.column("cz.cmb"), "km/s", "predicted c times redshift, CMB frame"),
                ("status", np.atleast_1d(self.status), "", "ok, or why there is no answer")):
            add_column(table, name, values, unit, words)
        table.meta |= cards(self.meta)
        return table

    def __repr__(self) -> str:
        a = self.answers
        v = ", ".join(map(with_error, a.column("v_rad")[:SHOWN], a.column("sigma")[:SHOWN]))
        more = ", ..." if len(a.status) > SHOWN else ""
        words = f", {self.status}" if self._scalar and self.status != "ok" else ""
        return f"<VelocityResult: v_rad = {v}{more} km/s (CMB){words}; field {a.field.manifest.id}>"

    def _repr_html_(self) -> str:
        a, m, status = self.answers, self.answers.field.manifest, np.atleast_1d(self.status)
        rows = [(place(self._lon[i], self._lat[i]), number(self._d_c[i], ".1f"),
                 with_error(a.column("v_rad")[i], a.column("sigma")[i]), number(a.column("cz.hel")[i]), str(status[i]))
                for i in range(min(len(status), SHOWN))]
        caption = (f"{objects(len(status))}, field {m.id} {m.version}, H0 = {a.options.H0:g} km/s/Mpc; "
                   "± is the field's own error, where it states one")
        return html_table(caption, (f"RA, Dec ({SKY})", "D (comoving, Mpc)", "v_rad (CMB, km/s)", "predicted cz (hel, km/s)",
                                     "status"), rows, len(status))

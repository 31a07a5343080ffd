"""The options of a flow question, with their limits: one truth for Python, the workers and the web."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from . import frames
from .cosmology import H0_DEFAULT, OM_DEFAULT
from .errors import BadParameter, shown

PRIORS: tuple[str, ...] = ("volume", "density", "flat")
OBSERVERS: tuple[str, ...] = ("cmb", "ls")
FLOW_TYPES: dict[str, str] = {"distance": "Mpc", "hubble": "km/s", "luminosity": "Mpc", "comoving": "h^-1 Mpc"}
"""The four variables a posterior is given in, with their units."""

# option -> (least, greatest, unit); sigma_v: residuals of real distances lie within (SCIENCE, section 5)
LIMITS: dict[str, tuple[float, float, str]] = {
    "H0": (20.0, 200.0, "km/s/Mpc"), "Om": (0.0, 1.0, ""), "sigma_v": (50.0, 600.0, "km/s"),
    "alpha": (0.0, 3.0, ""), "rmax": (1.0, 400.0, "h^-1 Mpc"), "dr": (0.01, 0.25, "h^-1 Mpc")}
_CHOICES = {"prior": PRIORS, "observer": OBSERVERS, "composition": frames.COMPOSITIONS}


def check_limit(name: str, value: object) -> float:
    """Return a number that lies within `LIMITS`.

    Raises
    ------
    BadParameter
        When it is no finite number, or lies outside.
    """
    least, greatest, unit = LIMITS[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise BadParameter(f"{name} = {value!r:.80} is not a finite number", code="not_a_number", where=name)
    if not least <= value <= greatest:
        raise BadParameter(f"{name} = {shown(value)} lies outside {least:g} ... {greatest:g} {unit}".rstrip(),
                           code="out_of_range", where=name)
    return float(value)


@dataclass(frozen=True)
class FlowOptions:
    """State how a flow question is to be answered.

    Parameters
    ----------
    frame : str
        Sky frame of lon, lat: "icrs", "galactic" or "supergalactic".
    cz_frame : str
        Rest frame of the observed velocity, a key of `frames.VELOCITY_FRAMES`.
    H0 : float, km/s/Mpc
        Scales outputs in Mpc only; r in h^-1 Mpc and all velocities do not depend on it.
    Om : float
        Matter density of the flat background.
    sigma_v : float or None, km/s
        Scatter of galaxies about the field; None takes the field's own.
    prior : {"volume", "density", "flat"}
        r^2, r^2 (1+delta)^alpha, or 1.
    alpha : float
        Exponent of the density prior.
    use_field_sigma : bool
        Add the field's own velocity error in quadrature.
    observer : {"cmb", "ls"}
        "ls": predict velocities in the Local Sheet frame relative to the flow at the observer, for r < 8 Mpc.
    composition : {"multiplicative", "additive"}
        How redshift frames combine; "additive" is for parity with NED and EDD.
    rmax : float or None, h^-1 Mpc
        End of the line of sight; None: 400 or the farthest corner of the field, whichever is nearer.
    dr : float, h^-1 Mpc
        Greatest step along the line of sight.
    """

    frame: str = "icrs"
    cz_frame: str = "hel"
    H0: float = H0_DEFAULT
    Om: float = OM_DEFAULT
    sigma_v: float | None = None
    prior: str = "volume"
    alpha: float = 1.0
    use_field_sigma: bool = False
    observer: str = "cmb"
    composition: str = "multiplicative"
    rmax: float | None = None
    dr: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", frames.sky_frame(self.frame))
        object.__setattr__(self, "cz_frame", frames.velocity_frame(self.cz_frame).key)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise BadParameter(f"{name} = {getattr(self, name)!r:.80} is not known; use one of {', '.join(choices)}",
                                   code="unknown_option", where=name, extra={"known": list(choices)})
        for name in LIMITS:
            value = getattr(self, name)
            if value is not None or name not in ("sigma_v", "rmax"):
                object.__setattr__(self, name, check_limit(name, value))
        if not isinstance(self.use_field_sigma, bool):
            raise BadParameter(f"use_field_sigma = {self.use_field_sigma!r:.80} must be true or false",
                               code="bad_parameter", where="use_field_sigma")

    def as_dict(self) -> dict[str, object]:
        """Return the options as plain data, for a message or an answer."""
        return {name: getattr(self, name) for name in OPTION_NAMES}


OPTION_NAMES: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(FlowOptions))
"""The names of all options, in order."""

"""The astropy door: SkyCoord and Quantity in, results with units out.

What enters is converted once, to ICRS degrees, km/s and Mpc; behind the door there are plain arrays. Tables have their
own door in `quantity_tables`.
"""

from __future__ import annotations

from typing import Any

import astropy.cosmology.units as cu
import astropy.units as u
import numpy as np
from astropy.coordinates import ICRS, BaseCoordinateFrame, ConvertError, SkyCoord, SpectralQuantity, UnitSphericalRepresentation
from astropy.utils.masked import Masked
from numpy.typing import NDArray

from . import distances, frames
from .cosmology import C_KMS
from .covariance import velocity_covariance as _covariance
from .errors import Ambiguous, BadParameter
from .field import FlowField
from .options import OPTION_NAMES, FlowOptions
from .quantity_results import DistanceResult, Variable
from .quantity_velocity import VelocityResult
from .results import Posteriors

F64 = NDArray[np.float64]

__all__ = ["DistanceResult", "Variable", "VelocityResult", "distance", "velocity", "velocity_covariance"]

_KM_S = u.km / u.s
Z_LEAST_ODD = 10.0
"""Numbers from here on are no redshifts of this program."""
_OPTION_UNITS: dict[str, u.UnitBase] = {"H0": _KM_S / u.Mpc, "sigma_v": _KM_S, "rmax": u.Mpc / cu.littleh,
                                        "dr": u.Mpc / cu.littleh}
# frames that differ from ICRS by a rotation, so that a radial velocity in them is barycentric
_BARYCENTRIC = ("icrs", "fk5", "galactic", "supergalactic")


def distance(coord: SkyCoord | BaseCoordinateFrame, *, z: Any = None, cz: u.Quantity | None = None,
             z_frame: str | None = None, cz_frame: str | None = None, sigma_z: Any = None,
             sigma_cz: u.Quantity | None = None, use_radial_velocity: bool = False,
             field: FlowField | str | None = None, **options: Any) -> DistanceResult:
    """Find the distance of one object or of many from an observed velocity.

    Parameters
    ----------
    coord : SkyCoord
        Position in any frame astropy knows, scalar or one-dimensional.
    z : float, array_like or Quantity, optional
        Observed redshift, dimensionless.
    cz : Quantity, optional
        c times the observed redshift, as a velocity. A spectral quantity that states another convention is converted.
    z_frame, cz_frame : str, optional
        Rest frame of the one given, a key of `cfcore.frames.VELOCITY_FRAMES` such as "cmb" or "lg"; default "hel".
    sigma_z : float or array_like, sigma_cz : Quantity, optional
        Measurement error; default 0.
    use_radial_velocity : bool
        Take c times redshift from the radial velocity that `coord` carries; heliocentric (ICRS barycentric).
    field : FlowField or str, optional
        The field or its id; default: the default field of this machine.
    **options
        Entries of `FlowOptions`: H0, Om, sigma_v, prior, alpha, use_field_sigma, observer, composition, rmax, dr; those
        with a unit may be a Quantity.

    Returns
    -------
    DistanceResult

    Raises
    ------
    BadParameter
        When a unit is missing or wrong, z holds velocities, shapes differ, or an option is out of range.
    Ambiguous
        When the velocity is given more than once.
    UnknownName
        When the field or a frame is not known.

    Examples
    --------
    >>> import astropy.units as u, cfcore
    >>> from astropy.coordinates import SkyCoord
    >>> ngc4993 = SkyCoord(197.4488, -23.3839, unit="deg")
    >>> d = cfcore.distance(ngc4993, cz=2916 * u.km / u.s, field="ongc-linear")
    >>> lo, hi = d.interval(0.9)
    >>> print(f"{d.mean:.1f} ± {d.std:.1f}, 90 % within {lo:.1f} ... {hi:.1f}; mu = {d.distance_modulus.mean:.2f}")
    40.4 Mpc ± 2.9 Mpc, 90 % within 35.7 Mpc ... 45.2 Mpc; mu = 33.05 mag
    """
    lon, lat, shape = directions(coord)
    given = [name for name, value in (("z", z), ("cz", cz)) if value is not None]
    given += ["use_radial_velocity"] * bool(use_radial_velocity)
    if len(given) != 1:
        raise Ambiguous(f"the velocity is given {'twice' if given else 'nowhere'}" + (f" ({', '.join(given)})" if given else "")
                        + "; give one of z=, cz= or use_radial_velocity=True", where="cz",
                        code="ambiguous" if given else "velocity_missing")
    if z_frame is not None and cz_frame is not None and z_frame != cz_frame:
        raise Ambiguous(f"z_frame = {z_frame!r:.40} and cz_frame = {cz_frame!r:.40} differ; give one", where="cz_frame")
    frame = z_frame or cz_frame or "hel"
    if use_radial_velocity:
        velocity_ = _carried(coord, frame)
    else:
        velocity_ = C_KMS * redshifts(z) if z is not None else _cz(cz)
    error = error_of(sigma_z, sigma_cz)
    shape = _one_shape(coord=shape, cz=velocity_.shape, sigma_cz=error.shape)
    lon, lat, velocity_, error = (np.array(np.broadcast_to(a, shape)).reshape(-1) for a in (lon, lat, velocity_, error))
    opt = flow_options(options, cz_frame=frame)
    return DistanceResult(Posteriors(open_field(field), lon, lat, velocity_, sigma_cz=error, options=opt), shape == ())


def velocity(coord: SkyCoord | BaseCoordinateFrame, distance: u.Quantity | None = None, *, field: FlowField | str | None = None,
             **options: Any) -> VelocityResult:
    """Return the flow at one object of known distance, or at many.

    Parameters
    ----------
    coord : SkyCoord
        Position on the sky in any frame astropy knows, scalar or one-dimensional.
    distance : Quantity, optional
        Comoving distance: a length, D = r/h with h from H0, or a length/littleh, r itself. Default: the distance that
        `coord` carries, taken as comoving.
    field : FlowField or str, optional
        The field or its id; default: the default field of this machine.
    **options
        H0, Om and composition, as in `FlowOptions`.

    Returns
    -------
    VelocityResult

    Raises
    ------
    BadParameter
        When there is no distance, a unit is missing or wrong, shapes differ, or an option is out of range.

    Examples
    --------
    >>> import astropy.units as u, cfcore
    >>> from astropy.coordinates import SkyCoord
    >>> coma = SkyCoord(194.95, 27.98, unit="deg")
    >>> v = cfcore.velocity(coma, 93 * u.Mpc, field="ongc-linear")
    >>> print(f"{v.v_rad:.0f}, so cz = {v.cz('hel'):.0f}; {v.status}")
    90 km / s, so cz = 6829 km / s; ok
    """
    lon, lat, d_c, shape, opt = _placed(coord, distance, options)
    answers = distances.velocities(open_field(field), lon, lat, d_c, options=opt)
    return VelocityResult(answers, lon, lat, d_c, shape == ())


def velocity_covariance(coord: SkyCoord, distance: u.Quantity | None = None, *, field: FlowField | str | None = None,
                        add_sigma_v: bool = False, **options: Any) -> u.Quantity:
    """Return the covariance of the radial peculiar velocities of n objects over an ensemble's realisations.

    Parameters
    ----------
    coord : SkyCoord, shape (n,)
        Positions on the sky in any frame astropy knows.
    distance : Quantity, shape (n,), optional
        Comoving distances, as in `velocity`; n <= 20000.
    field : FlowField or str, optional
        An ensemble field, or its id.
    add_sigma_v : bool
        Add the scatter of galaxies about the flow, sigma_v^2, on the diagonal.
    **options
        H0, Om, sigma_v, as in `FlowOptions`.

    Returns
    -------
    Quantity, shape (n, n), km^2/s^2
        See `cfcore.covariance.velocity_covariance`; NaN in rows and columns of objects without an answer.

    Raises
    ------
    BadParameter
        When the field has one realisation, a unit is missing or wrong, or shapes differ.
    """
    lon, lat, d_c, _, opt = _placed(coord, distance, options)
    return _covariance(open_field(field), lon, lat, d_c, add_sigma_v=add_sigma_v, options=opt) << _KM_S ** 2


def open_field(field: FlowField | str | None) -> FlowField:
    """Return a field: itself, or the one of this name, or the default.

    Raises
    ------
    BadParameter
        When it is neither a field nor a name.
    """
    if isinstance(field, FlowField):
        return field
    if field is not None and not isinstance(field, str):
        raise BadParameter(f"field = {field!r:.80} is neither a FlowField nor the id of one, such as \"ongc-linear\"",
                           where="field")
    from . import open_field as open_
    return open_(field)


def directions(coord: Any) -> tuple[F64, F64, tuple[int, ...]]:
    """Return ICRS right ascension and declination, deg, and the shape of a coordinate.

    Raises
    ------
    BadParameter
        When it is no coordinate, has more than one dimension, or cannot be turned into a direction.
    """
    if not isinstance(coord, (SkyCoord, BaseCoordinateFrame)):
        raise BadParameter(f"coord is a {type(coord).__name__}; give a SkyCoord, such as SkyCoord(197.45, -23.38, unit=\"deg\")",
                           code="not_a_coordinate", where="coord")
    frame = coord.frame if isinstance(coord, SkyCoord) else coord
    if len(frame.shape) > 1:
        raise BadParameter(f"coord has shape {frame.shape}; give one position or a list (coord.ravel())", code="bad_shape",
                           where="coord")
    # a direction needs neither proper motion nor radial velocity, and some frames cannot carry them across
    try:
        place = frame.realize_frame(frame.data.without_differentials()).transform_to(ICRS())
    except (ConvertError, TypeError, ValueError) as exc:
        raise BadParameter(f"coord in frame {frame.name} gives no direction in ICRS ({str(exc)[:120]}); transform it yourself, "
                           "or give it a distance", code="bad_frame", where="coord") from exc
    return plain(place.ra.deg), plain(place.dec.deg), frame.shape


def plain(values: Any) -> F64:
    """Return numbers as float64; what is masked becomes NaN."""
    masked: Any = values
    if isinstance(values, (Masked, np.ma.MaskedArray)):
        masked = masked.astype(float).filled(np.nan)
    return np.asarray(masked, dtype=float)


def in_unit(value: Any, unit: u.UnitBase, name: str) -> F64:
    """Return the numbers of a Quantity in a unit.

    Raises
    ------
    BadParameter
        When it has no unit, or one that cannot be converted.
    """
    if getattr(value, "unit", None) is None:
        raise BadParameter(f"{name} = {value!s:.60} has no unit; give a Quantity, such as {name} * u.Unit(\"{unit}\")",
                           code="unit_missing", where=name)
    try:
        return plain(u.Quantity(value, subok=True).to_value(unit))
    except u.UnitConversionError as exc:
        raise BadParameter(f"{name} is in {value.unit}, which is no {'velocity' if unit == _KM_S else 'unit'} that converts to "
                           f"{unit}", code="bad_unit", where=name) from exc


def dimensionless(value: Any, name: str) -> F64:
    """Return redshifts from plain numbers or a dimensionless Quantity.

    Raises
    ------
    BadParameter
        When it carries another unit; a velocity belongs in cz.
    """
    unit = getattr(value, "unit", None)
    if unit is not None and unit != cu.redshift:
        if not unit.is_equivalent(u.dimensionless_unscaled):
            raise BadParameter(f"{name} is in {unit}; a redshift has no unit (a velocity is given as c{name}=)"
                               if name == "z" else f"{name} is in {unit}; it has no unit", code="bad_unit", where=name)
        value = value.to(u.dimensionless_unscaled)
    try:
        return plain(getattr(value, "value", value) if not isinstance(value, Masked) else value)
    except (TypeError, ValueError) as exc:
        raise BadParameter(f"{name} = {value!s:.60} is not a number or a list of numbers", code="not_a_number",
                           where=name) from exc


def redshifts(value: Any, name: str = "z", way: str = "") -> F64:
    """Return redshifts as `dimensionless` does, and refuse numbers that can be none.

    Raises
    ------
    BadParameter
        When half of the numbers are 10 or more; single ones, such as marks of missing values, get a status.
    """
    z = dimensionless(value, name)
    size = np.abs(z[np.isfinite(z)])
    if size.size and np.median(size) >= Z_LEAST_ODD:
        odd = z[np.isfinite(z)][size >= Z_LEAST_ODD][0]
        raise BadParameter(f"{name} = {odd:g} is no redshift; " + (way or f"as a velocity it is cz={odd:g}*u.km/u.s"),
                           code="z_looks_like_cz", where=name)
    return z


def error_of(sigma_z: Any, sigma_cz: Any) -> F64:
    """Return the measurement error of cz in km/s, 0 when none is given.

    Raises
    ------
    Ambiguous
        When it is given twice.
    """
    if sigma_z is not None and sigma_cz is not None:
        raise Ambiguous("sigma_z and sigma_cz are both given; give one", where="sigma_cz")
    if sigma_z is not None:
        return C_KMS * dimensionless(sigma_z, "sigma_z")
    return np.zeros(()) if sigma_cz is None else in_unit(sigma_cz, _KM_S, "sigma_cz")


def flow_options(named: dict[str, Any], **fixed: str) -> FlowOptions:
    """Return the options of a question; a Quantity is converted to the house unit.

    Raises
    ------
    BadParameter
        When an option is not known, is fixed by the arguments, or out of range.
    """
    known = [n for n in OPTION_NAMES if n not in ("frame", "cz_frame")]
    plain_: dict[str, Any] = {}
    for name, value in named.items():
        if name == "frame":
            raise BadParameter("frame is not an option here: the coordinate carries its own", code="unknown_option",
                               where="frame")
        if name not in known:
            raise BadParameter(f"option {name!r:.80} is not known; there are {', '.join(known)}", code="unknown_option",
                               where=name, extra={"known": known})
        unit = getattr(value, "unit", None)
        plain_[name] = value if unit is None else float(in_unit(value, _OPTION_UNITS.get(name, u.dimensionless_unscaled), name))
    return FlowOptions(**plain_, **fixed)  # type: ignore[arg-type]


def _cz(cz: Any) -> F64:
    if isinstance(cz, SpectralQuantity):
        # a spectral quantity knows how to become c z, which astropy calls the optical convention
        try:
            plain_already = cz.unit.is_equivalent(_KM_S) and cz.doppler_convention in (None, "optical")
            cz = u.Quantity(cz if plain_already else cz.to(_KM_S, doppler_convention="optical"))
        except (ValueError, u.UnitConversionError) as exc:
            raise BadParameter(f"cz = {cz!s:.60} cannot become c times redshift ({exc}); give it as a velocity, or with its "
                               "doppler_rest and doppler_convention", code="bad_unit", where="cz") from exc
    return in_unit(cz, _KM_S, "cz")


def _carried(coord: Any, frame: str) -> F64:
    """Return the radial velocity a coordinate carries, km/s."""
    name = coord.name if hasattr(coord, "name") else coord.frame.name
    if frames.velocity_frame(frame).key != "hel":
        raise BadParameter(f"the radial velocity of a coordinate is heliocentric, z_frame says {frame}; give cz= for another "
                           "frame", code="contradiction", where="cz_frame")
    carried = getattr(coord, "radial_velocity", None) if "s" in coord.data.differentials else None
    if name not in _BARYCENTRIC or carried is None or not carried.unit.is_equivalent(_KM_S):
        raise BadParameter(f"coord ({name}) carries no barycentric radial velocity; give cz=, or a coordinate in "
                           f"{', '.join(_BARYCENTRIC)} with radial_velocity=", code="velocity_missing",
                           where="use_radial_velocity")
    return in_unit(carried, _KM_S, "radial_velocity")


def _placed(coord: Any, distance: Any, options: dict[str, Any]) -> tuple[F64, F64, F64, tuple[int, ...], FlowOptions]:
    """Return positions (deg, ICRS) and comoving distances (Mpc) of one shape, that shape, and the options."""
    opt = flow_options(options)
    lon, lat, shape = directions(coord)
    if distance is None:
        distance = _own_distance(coord)
    if u.mag == getattr(distance, "unit", None):
        raise BadParameter("distance is in mag; a modulus gives the luminosity distance, 10**(mu/5 - 5) Mpc = (1 + z) D: give D, "
                           "the comoving one", code="bad_unit", where="distance")
    if getattr(distance, "unit", None) is not None and distance.unit.is_equivalent(u.Mpc / cu.littleh):
        d_c = in_unit(distance, u.Mpc / cu.littleh, "distance") * (100.0 / opt.H0)
    else:
        d_c = in_unit(distance, u.Mpc, "distance")
    shape = _one_shape(coord=shape, distance=d_c.shape)
    lon, lat, d_c = (np.array(np.broadcast_to(a, shape)).reshape(-1) for a in (lon, lat, d_c))
    return lon, lat, d_c, shape, opt


def _own_distance(coord: Any) -> u.Quantity:
    """Return the distance from the Sun that a coordinate carries."""
    frame = coord.frame if isinstance(coord, SkyCoord) else coord
    place = frame.realize_frame(frame.data.without_differentials()).transform_to(ICRS())
    if isinstance(place.data, UnitSphericalRepresentation) or not place.distance.unit.is_equivalent(u.Mpc):
        raise BadParameter("no distance is given and coord carries none with a unit of length; give distance=40*u.Mpc, or a "
                           "SkyCoord with distance=40*u.Mpc", code="distance_missing", where="distance")
    return place.distance


def _one_shape(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
    try:
        shape = np.broadcast_shapes(*shapes.values())
    except ValueError as exc:
        raise BadParameter(f"the shapes differ: {told}; give lists of one length", code="unequal_lengths",
                           where=list(shapes)[-1]) from exc
    if len(shape) > 1:
        raise BadParameter(f"one dimension at most: {told}; ravel() them", code="bad_shape", where=list(shapes)[-1])
    return shape

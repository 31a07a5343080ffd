"""Tables in, tables out: distances for a catalogue, corrected redshifts for supernovae.

Columns are found by name or told; the rules of names stand in `column_names`. The input is never changed.
"""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from numpy.typing import NDArray

from . import distances, frames
from .column_names import Velocity, find_error, find_position, find_velocity, present
from .column_names import plain as plain_name
from .corrections import METHODS, STATUS, correct_redshifts
from .cosmology import C_KMS
from .errors import Ambiguous, BadParameter
from .field import FlowField
from .options import FlowOptions
from .quantities import dimensionless, directions, flow_options, in_unit, open_field, plain, redshifts
from .quantity_results import add_column
from .result_text import cards
from .results import COLUMNS, flag_column, provenance, solve_blocks, status_column

F64 = NDArray[np.float64]

DISTANCE_KINDS: tuple[str, ...] = ("comoving", "luminosity", "modulus")


def add_distances(table: Table, *, z: str | None = None, cz: str | None = None, z_frame: str | None = None,
                  sigma_z: str | float | None = None, sigma_cz: str | float | None = None, ra: str | None = None,
                  dec: str | None = None, lon: str | None = None, lat: str | None = None, frame: str | None = None,
                  coord: str | None = None,
                  field: FlowField | str | None = None, prefix: str = "", **options: Any) -> QTable:
    """Return a table with distances added to every row.

    Parameters
    ----------
    table : Table or QTable
        Any size; rows are solved block by block.
    z, cz : str, optional
        Column of the observed redshift, or of c times it with a velocity unit. Default: the one column whose name says
        what it is (`column_names`); several are refused with their list.
    z_frame : str, optional
        Rest frame of that column; needed where its name does not say it.
    sigma_z, sigma_cz : str or 0, optional
        Column of the measurement error, 0 for none. Default: the one column that its name says is the error of the velocity
        column, such as zHELERR for zHEL; several are refused with their list.
    ra, dec : str, optional
        Columns of the position, ICRS; without a unit they are degrees.
    lon, lat, frame : str, optional
        Columns of a position in "icrs", "galactic" or "supergalactic".
    coord : str, optional
        A SkyCoord column instead. Default of all three: the one SkyCoord column, or well-known names such as ra, dec.
    field : FlowField or str, optional
        The field or its id; default: the default field of this machine.
    prefix : str
        Put before the names of the new columns.
    **options
        Entries of `FlowOptions`: H0, Om, sigma_v, prior ...

    Returns
    -------
    QTable
        A copy with the columns of `results.COLUMNS`, n_roots, flags and status. Rows without an answer hold NaN and a
        status. The source and the columns used stand in ``meta``, under names that fit FITS: see
        `result_text.cards`.

    Raises
    ------
    Ambiguous
        When several columns could be meant.
    BadParameter
        When a column is missing, has a wrong unit or no stated frame, or a new name is taken.

    Examples
    --------
    >>> import astropy.units as u, cfcore
    >>> from astropy.table import QTable
    >>> galaxies = QTable({"name": ["NGC 4993", "Coma", "lost"], "ra": [197.4488, 194.95, 10.0] * u.deg,
    ...                    "dec": [-23.3839, 27.98, 5.0] * u.deg, "cz_hel": [2916.0, 6925.0, float("nan")] * u.km / u.s})
    >>> t = cfcore.add_distances(galaxies, field="ongc-linear", H0=75)
    >>> for row in t:
    ...     print(f"{row['name']:9} {row['d_c']:6.1f} ± {row['d_c_std']:4.1f} {row['status']}")
    NGC 4993    40.4 Mpc ±  2.9 Mpc ok
    Coma        95.4 Mpc ±  3.9 Mpc ok
    lost         nan Mpc ±  nan Mpc not_finite
    """
    source = _checked(table)
    field_ = open_field(field)
    lon_, lat_, sky, where = _position(source, ra, dec, lon, lat, frame, coord)
    v = find_velocity(source.colnames, z=z, cz=cz, frame=z_frame)
    velocity = C_KMS * _observed(source, v.column) if v.kind == "z" else _in_unit(source, v.column, u.km / u.s)
    error, known = _error(source, v, sigma_z, sigma_cz)
    opt = flow_options(options, frame=sky, cz_frame=v.frame)
    columns: dict[str, NDArray[Any]] = {c: np.full(len(source), np.nan) for c, (s, _, _) in COLUMNS.items()
                                        if s in distances.VALUES}
    columns |= {k: np.zeros(len(source), np.int32) for k in ("n_roots", "flags", "status")}
    for rows, d in solve_blocks(field_, lon_, lat_, velocity, error, opt):
        for name in columns.keys() & COLUMNS.keys():
            columns[name][rows] = d.column(COLUMNS[name][0])
        columns["n_roots"][rows], columns["flags"][rows], columns["status"][rows] = d.n_roots, d.flag_bits, d.status
    spec = {**{name: (columns[name], unit, words) for name, (_, unit, words) in COLUMNS.items() if name in columns},
            "n_roots": (columns["n_roots"], "", "distances at which the mean field predicts the velocity")}
    return _finished(source, spec, columns["flags"], columns["status"], prefix, field_, opt,
                     {"velocity": v.column, "position": where, **known})


def correct(table: Table, *, z: str | None = None, cz: str | None = None, z_frame: str | None = None,
            sigma_z: str | float | None = None, sigma_cz: str | float | None = None, ra: str | None = None,
            dec: str | None = None, lon: str | None = None, lat: str | None = None, frame: str | None = None,
            coord: str | None = None, method: str = "posterior", distance: str | None = None,
            distance_kind: str = "comoving", sigma_distance: str | None = None, field: FlowField | str | None = None,
            prefix: str = "", **options: Any) -> QTable:
    """Return a supernova table with peculiar velocities and redshifts corrected for them.

    Parameters
    ----------
    table : Table or QTable
        One row per supernova.
    z, cz, z_frame, sigma_z, sigma_cz, ra, dec, lon, lat, frame, coord
        Columns, as in `add_distances`: ``z="zHEL", ra="RA", dec="DEC"``.
    method : {"posterior", "redshift-space", "distance"}
        Where the field is read: at all distances the redshift allows, each with its probability (default); at the
        distance z_cmb would mean without peculiar velocities, as most scripts do; at the column `distance`.
    distance : str, optional
        Column of known distances with a unit; for the method "distance". They must be on the scale of the option H0.
    distance_kind : {"comoving", "luminosity", "modulus"}
        What that column holds; D_L = (1+z_hel) D. A modulus is in mag: D_L = 10**(mu/5 - 5) Mpc.
    sigma_distance : str, optional
        Column of its error, in a unit of the same kind; 30 % of the distance where there is none. A row whose redshift is
        more than 6 standard deviations from what the field predicts at its distance gets no answer, but the status
        "distance_contradicts_z".
    field : FlowField or str, optional
        The field or its id; default: the default field of this machine.
    prefix : str
        Put before the names of the new columns.
    **options
        Entries of `FlowOptions`: prior, sigma_v, use_field_sigma, H0, Om ...

    Returns
    -------
    QTable
        A copy with z_cmb, v_pec, sigma_v_pec, z_hd, sigma_z_hd, flags and status. Outside the field, and in rows that
        cannot be read, v_pec and z_hd are NaN and the status says why: never a number carried on from the edge.

    Raises
    ------
    Ambiguous
        When several columns could be meant.
    BadParameter
        When a column is missing, has a wrong unit or no stated frame, a new name is taken, or the method is not known.

    Notes
    -----
    ``(1+z_hd) = (1+z_cmb)/(1+v_pec/c)``; see `corrections.correct_redshifts` for the uncertainties and docs/python.md for
    which method and prior to choose.

    Examples
    --------
    >>> import cfcore
    >>> from astropy.table import Table
    >>> sn = Table({"CID": ["2017cbv", "far"], "zHEL": [0.00411, 0.19], "RA": [218.143, 30.0], "DEC": [-44.134, -10.0]})
    >>> t = cfcore.correct(sn, z="zHEL", field="ongc-linear")
    >>> for row in t:
    ...     print(f"{row['CID']:8} {row['z_cmb']:.5f} {row['v_pec']:.0f} {row['z_hd']:.5f} {row['status']}")
    2017cbv  0.00478 209 km / s 0.00408 ok
    far      0.18897 nan km / s nan outside_field
    """
    source = _checked(table)
    field_ = open_field(field)
    if method not in METHODS:
        raise BadParameter(f"method = {method!r:.80} is not known; use one of {', '.join(METHODS)}", code="unknown_option",
                           where="method", extra={"known": list(METHODS)})
    lon_, lat_, sky, where = _position(source, ra, dec, lon, lat, frame, coord)
    v = find_velocity(source.colnames, z=z, cz=cz, frame=z_frame)
    z_ = _observed(source, v.column) if v.kind == "z" else _in_unit(source, v.column, u.km / u.s) / C_KMS
    opt = flow_options(options, frame=sky, cz_frame=v.frame)
    error, known = _error(source, v, sigma_z, sigma_cz)
    d_c, sigma_d = None, None
    if distance is not None:
        d_c, sigma_d = _distance(source, distance, sigma_distance, distance_kind, lon_, lat_, z_, opt)
        known |= {"distance": distance} | ({} if sigma_distance is None else {"sigma_distance": sigma_distance})
    elif sigma_distance is not None:
        raise BadParameter(f"sigma_distance = {sigma_distance!r:.80} is the error of no distance; name the column of distances "
                           "with distance=, or leave it out", code="bad_parameter", where="sigma_distance")
    c = correct_redshifts(field_, lon_, lat_, z_, sigma_z=error / C_KMS, method=method, d_c=d_c, sigma_d=sigma_d, options=opt)
    spec: dict[str, tuple[NDArray[Any], str, str]] = {
        "z_cmb": (c.z_cmb, "", "observed redshift, CMB frame"),
        "v_pec": (c.v_pec, "km/s", "radial peculiar velocity, CMB frame, positive = receding"),
        "sigma_v_pec": (c.sigma_v_pec, "km/s", "uncertainty of the object's own velocity about v_pec"),
        "z_hd": (c.z_hd, "", "redshift of the Hubble diagram, (1+z_cmb)/(1+v_pec/c) - 1"),
        "sigma_z_hd": (c.sigma_z_hd, "", "its uncertainty, from sigma_v_pec and the measurement")}
    return _finished(source, spec, c.flag_bits, c.status, prefix, field_, opt,
                     {"velocity": v.column, "position": where, **known}, method=method)


def _checked(table: Any) -> Table:
    if not isinstance(table, Table):
        raise BadParameter(f"table is a {type(table).__name__}; give an astropy Table or QTable (Table.from_pandas, "
                           "Table.read, Table(records))", code="not_a_table", where="table")
    return table


def _position(table: Table, ra: str | None, dec: str | None, lon: str | None, lat: str | None, frame: str | None,
              coord: str | None) -> tuple[F64, F64, str, str]:
    """Return longitude and latitude (deg), their sky frame, and the columns they came from."""
    ways = [name for name, pair in (("ra, dec", (ra, dec)), ("lon, lat", (lon, lat)), ("coord", (coord,))) if any(pair)]
    if len(ways) > 1:
        raise Ambiguous(f"the position is given twice ({' and '.join(ways)}); give one", where="ra")
    if not ways:
        skies = [name for name in table.colnames if isinstance(table[name], SkyCoord)]
        if len(skies) > 1:
            raise Ambiguous(f"several columns are coordinates: {', '.join(skies)}; name one with coord=", where="coord",
                            extra={"candidates": skies})
        coord = skies[0] if skies else None
    if coord is not None:
        if not isinstance(table[present(table.colnames, coord, "coord")], SkyCoord):
            raise BadParameter(f"column {coord} is not a SkyCoord; name its columns with ra= and dec=", where="coord",
                               code="not_a_coordinate")
        lon_, lat_, _ = directions(table[coord])
        return lon_, lat_, "icrs", coord
    if ra is not None or dec is not None:
        if frame not in (None, "icrs"):
            raise BadParameter(f"ra and dec are ICRS, frame= says {frame}; name the columns with lon= and lat=", where="frame",
                               code="contradiction")
        lon, lat, frame = ra, dec, "icrs"
    a, b, sky = find_position(table.colnames, lon=lon, lat=lat, frame=frame)
    return _in_unit(table, a, u.deg, bare=True), _in_unit(table, b, u.deg, bare=True), sky, f"{a}, {b}"


def _in_unit(table: Table, name: str, unit: u.UnitBase, *, bare: bool = False) -> F64:
    """Return a column in a unit; without one it is refused, or taken as it is where `bare` says so."""
    column = table[present(table.colnames, name, name)]
    if getattr(column, "unit", None) is not None:
        return in_unit(_quantity(column), unit, name)
    if not bare:
        say = (f"its unit (Mpc, kpc; a distance modulus is mag): table[\"{name}\"].unit = ..." if unit == u.Mpc else
               f"it: table[\"{name}\"].unit = \"{unit}\"")
        raise BadParameter(f"column {name} has no unit; say {say}", code="unit_missing", where=name)
    try:
        return plain(column)
    except (TypeError, ValueError) as exc:
        raise BadParameter(f"column {name} holds no numbers; sexagesimal text becomes degrees with astropy's Angle(table[\""
                           f"{name}\"], \"hourangle\" or \"deg\")", code="not_a_number", where=name) from exc


def _redshift(table: Table, name: str) -> F64:
    column = table[present(table.colnames, name, name)]
    unit = getattr(column, "unit", None)
    if unit is not None and unit.is_equivalent(u.km / u.s):
        raise BadParameter(f"column {name} is in {unit}, a velocity; name it with cz= instead of z=", code="bad_unit",
                           where="z")
    return dimensionless(column if unit is None else _quantity(column), name)


def _observed(table: Table, name: str) -> F64:
    """Return observed redshifts; a column of velocities without a unit is refused."""
    return redshifts(_redshift(table, name), name,
                     f"if they are velocities, say table[\"{name}\"].unit = \"km / s\" and name the column with cz=")


def _quantity(column: Any) -> u.Quantity:
    """Return a Column, MaskedColumn or Quantity column as a Quantity; what is masked becomes NaN."""
    return column if isinstance(column, u.Quantity) else u.Quantity(plain(column), column.unit)


def _error(table: Table, v: Velocity, sigma_z: str | float | None, sigma_cz: str | float | None) -> tuple[F64, dict[str, str]]:
    """Return the errors of the velocities, km/s, and the column they came from."""
    if sigma_z is not None and sigma_cz is not None:
        raise Ambiguous("sigma_z and sigma_cz are both given; name one column", where="sigma_cz")
    for name, value in (("sigma_z", sigma_z), ("sigma_cz", sigma_cz)):
        if value is not None and not isinstance(value, str) and (np.ndim(value) or isinstance(value, bool) or value != 0):
            raise BadParameter(f"{name} = {value!r:.80} is not a column; name one, or say 0 for none", code="column_missing",
                               where=name)
    named = sigma_z if sigma_z is not None else sigma_cz
    column = find_error(table.colnames, v) if named is None else named
    if not isinstance(column, str):
        return np.zeros(len(table)), {}
    unit = getattr(table[present(table.colnames, column, "sigma_z")], "unit", None)
    is_speed = sigma_cz is not None
    if named is None:
        is_speed = v.kind == "cz" or "cz" in plain_name(column) or (unit is not None and unit.is_equivalent(u.km / u.s))
    if is_speed and unit is None and named is None:
        raise BadParameter(f"column {column} is the error of {v.column} by its name and has no unit; say it: table[\"{column}\"]"
                           ".unit = \"km / s\", or sigma_cz=0 for none", code="unit_missing", where=column)
    return _in_unit(table, column, u.km / u.s) if is_speed else C_KMS * _redshift(table, column), {"sigma": column}


def _distance(table: Table, name: str, sigma: str | None, kind: str, lon: F64, lat: F64, z: F64,
              opt: FlowOptions) -> tuple[F64, F64 | None]:
    """Return comoving distances in Mpc from a column of distances, and their errors."""
    if kind not in DISTANCE_KINDS:
        raise BadParameter(f"distance_kind = {kind!r:.80} is not known; use one of {', '.join(DISTANCE_KINDS)}",
                           code="unknown_option", where="distance_kind", extra={"known": list(DISTANCE_KINDS)})
    unit, modulus = u.mag if kind == "modulus" else u.Mpc, kind == "modulus"
    for column in (name, *([] if sigma is None else [sigma])):
        given = getattr(table[present(table.colnames, column, "distance")], "unit", None)
        if given is not None and modulus != (given == u.mag):
            raise BadParameter(f"column {column} is in {given}, distance_kind = {kind} is " + (
                "in mag; say distance_kind=\"comoving\" or \"luminosity\"" if modulus else
                "a length; if it is a distance modulus, say distance_kind=\"modulus\""), code="bad_unit", where=column)
    d = _in_unit(table, name, unit, bare=modulus)
    e = None if sigma is None else _in_unit(table, sigma, unit, bare=modulus)
    if modulus:
        with np.errstate(over="ignore"):
            d = 10.0 ** (0.2 * d - 5.0)
        e = None if e is None else 0.2 * np.log(10.0) * d * e
    if kind == "comoving":
        return d, e
    n_gal = frames.rotate(frames.unit_vectors(lon, lat), opt.frame, "galactic")
    scale = 1.0 / (1.0 + frames.convert_z(z, n_gal, opt.cz_frame, "hel", opt.composition))
    return d * scale, None if e is None else e * scale


def _finished(table: Table, spec: dict[str, tuple[NDArray[Any], str, str]], bits: NDArray[np.int32],
              status: NDArray[np.int32], prefix: str, field: FlowField, opt: FlowOptions, used: dict[str, str],
              method: str | None = None) -> QTable:
    """Return a copy of the table with new columns and the source of their numbers."""
    names = [prefix + name for name in (*spec, "flags", "status")]
    taken = [name for name in names if name in table.colnames]
    if taken:
        raise BadParameter(f"the table already has {', '.join(taken)}; give prefix=, such as prefix=\"cf_\"", where="prefix",
                           code="name_taken")
    out = QTable(table, copy=True)
    for name, (values, unit, words) in spec.items():
        add_column(out, prefix + name, values, unit, words)
    add_column(out, prefix + "flags", flag_column(bits), "", "what to know about the answer")
    add_column(out, prefix + "status", status_column(status, STATUS), "", "ok, or why there is no answer")
    out.meta |= cards(provenance(field, opt) | {"columns": used, "method": method})
    return out

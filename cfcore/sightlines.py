"""The distance table: one line of sight as columns, distance by distance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import distances, frames
from .cosmology import C_KMS, background
from .errors import BadParameter, shown
from .field import FlowField
from .options import FlowOptions, check_limit

COLUMNS: dict[str, str] = {"r_hmpc": "h^-1 Mpc", "d_mpc": "Mpc", "cz_hubble": "km/s", "cz": "km/s", "v_rad": "km/s",
                           "v_rad_std": "km/s", "delta": "", "sigma": "km/s", "inside": "", "p": "1/Mpc"}
"""Columns of the table with their units; cz is the predicted velocity in `FlowOptions.cz_frame`, v_rad_std the spread of
v_rad over the realisations of an ensemble."""
N_MAX = 100_000
"""Most rows of a table."""
_AT_ONCE = 2048


def distance_table(field: FlowField, lon: float, lat: float, *, n: int = 401, rmax: float | None = None,
                   cz: float | None = None, sigma_cz: float = 0.0,
                   options: FlowOptions | None = None) -> dict[str, NDArray[np.float64]]:
    """Tabulate the flow along one line of sight.

    Parameters
    ----------
    field : FlowField
    lon, lat : float, deg
        Direction in ``options.frame``.
    n : int
        Rows, from r = 0 to `rmax`.
    rmax : float, comoving h^-1 Mpc, optional
        End of the table; None: the field's own end.
    cz, sigma_cz : float, km/s, optional
        Observed velocity in ``options.cz_frame``; adds the column p.
    options : FlowOptions, optional

    Returns
    -------
    dict of ndarray, each of shape (n,)
        The `COLUMNS`. Outside the lattice cz, v_rad, v_rad_std, delta and sigma are NaN and inside is 0: nothing is
        extrapolated. A field of one realisation has no v_rad_std: NaN everywhere.
        ``p`` is the posterior density of the comoving distance D = r/h, per Mpc, and only there with `cz`.

    Raises
    ------
    BadParameter
        When the position or cz lies outside its range.
    """
    opt = options or FlowOptions()
    if not 2 <= n <= N_MAX:
        raise BadParameter(f"n = {n} lies outside 2 ... {N_MAX}", code="out_of_range", where="n")
    end = field.r_max_hmpc if rmax is None else check_limit("rmax", rmax)
    place = distances.STATUS[distances.velocities(field, lon, lat, 0.0, options=opt).status[0]]
    if place not in ("ok", "outside_field"):  # the observer may stand outside the lattice
        raise BadParameter(f"lon = {lon}, lat = {lat}: {place}", code=place, where="lat" if "lat" in place else "lon")
    if end > field.r_max_hmpc:
        raise BadParameter(f"rmax = {shown(end)} h^-1 Mpc lies beyond field {field.manifest.id} "
                           f"(limit {shown(field.r_max_hmpc)})", code="out_of_range", where="rmax")
    r = np.linspace(0.0, end, n)
    line = field.along(lon, lat, r, frame=opt.frame)
    inside = line.inside[0]
    zbar = background(opt.Om).redshift(r)
    n_gal = frames.rotate(frames.unit_vectors(lon, lat), opt.frame, "galactic")
    # observer = ls predicts in the Local Sheet frame, relative to the flow at the observer
    v_observer = line.v_rad[0][0] if opt.observer == "ls" else 0.0
    z_model = (1.0 + zbar) * (1.0 + (line.v_rad[0] - v_observer) / C_KMS) - 1.0
    z = frames.convert_z(z_model, np.broadcast_to(n_gal, (n, 3)), opt.observer, opt.cz_frame, opt.composition)
    h = opt.H0 / 100.0
    table: dict[str, Any] = {"r_hmpc": r, "d_mpc": r / h, "cz_hubble": C_KMS * zbar, "cz": C_KMS * z,
                             "v_rad": line.v_rad[0], "v_rad_std": _spread(field, lon, lat, r, opt.frame),
                             "delta": line.overdensity[0], "sigma": line.sigma[0]}
    for name in ("cz", "v_rad", "v_rad_std", "delta", "sigma"):
        known = inside & (field.manifest.has_density if name == "delta" else field.has_sigma if name == "sigma" else True)
        table[name] = np.where(known, table[name], np.nan)
    table["inside"] = inside.astype(float)
    if cz is not None:
        answer = distances.solve(field, lon, lat, cz, sigma_cz=sigma_cz, options=opt, pdf="distance")
        if answer.status[0] not in (0, distances.STATUS.index("outside_field")):
            raise BadParameter(f"the row cannot be used: {distances.STATUS[answer.status[0]]}",
                               code=distances.STATUS[answer.status[0]], where="cz")
        assert answer.x is not None and answer.pdf is not None
        table["p"] = np.interp(r / h, answer.x, answer.pdf[0], right=0.0)
    return table


def columns_of(kept: Mapping[str, NDArray[np.float64]]) -> list[str]:
    """Return which columns a table has that was kept: p only with numbers in it, and none that its version did not know.

    Parameters
    ----------
    kept : mapping of str to ndarray
        The columns; none when there is no table yet.
    """
    return [name for name in COLUMNS if (name in kept or not kept) and (name != "p" or (kept and not np.isnan(kept["p"]).all()))]


def _spread(field: FlowField, lon: float, lat: float, r_hmpc: NDArray[np.float64], frame: str) -> NDArray[np.float64]:
    """Return the standard deviation of v_rad over the realisations at some distances, km/s; NaN for fewer than two."""
    out = np.full(len(r_hmpc), np.nan)
    if field.manifest.realisations < 2:
        return out
    toward = frames.rotate(frames.unit_vectors(lon, lat), frame, field.manifest.sky_frame)
    # some at a time: a hundred realisations of a long table would take hundreds of megabytes
    for start in range(0, len(r_hmpc), _AT_ONCE):
        v_pec = field.sample_at(r_hmpc[start:start + _AT_ONCE, None] * toward).v_pec
        out[start:start + _AT_ONCE] = np.einsum("ncr,c->nr", v_pec, toward[0]).std(axis=1, ddof=1)
    return out

"""Draw distribution functions with matplotlib, when it is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import distances
from .errors import UsageError
from .results import VARIABLES, Posteriors, check_variable

OBJECTS_MAX = 12
"""Most objects one figure shows."""
_ROOTS = "root: the mean field predicts cz"
_WORDS = {"distance": "comoving distance", "hubble": "Hubble velocity", "luminosity": "luminosity distance",
          "comoving": "comoving distance r", "modulus": "distance modulus"}


def plot_posteriors(posteriors: Posteriors, ax: Any = None, kind: str = "distance") -> Any:
    """Draw each object's probability density, its central 68 % filled and its roots as ticks on the axis; a legend says so.

    Parameters
    ----------
    posteriors : Posteriors
        At most 12 objects are drawn; objects without an answer are left out.
    ax : matplotlib Axes, optional
        Default: a new figure.
    kind : str
        One of `results.VARIABLES`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    UsageError
        When matplotlib is not installed.
    """
    check_variable(kind)
    if ax is None:
        try:
            import matplotlib.pyplot as plt
        except ModuleNotFoundError as exc:
            raise UsageError("plots need matplotlib: pip install 'cosmicflows[plot]'", code="matplotlib_missing") from exc
        ax = plt.figure().add_subplot()
    shown = posteriors.take(np.flatnonzero(posteriors.ok)[:OBJECTS_MAX])
    if len(shown):
        lowest, highest = shown.quantile([2e-4, 1.0 - 2e-4], kind).T
        x = np.linspace(lowest.min(), highest.max(), 1000)
        density, (lo, hi) = shown.pdf(x, kind), shown.interval(0.68, kind)
        a, rooted = shown.answers, False
        for i in range(len(shown)):
            line, = ax.plot(x, density[i], label=f"cz = {shown.cz[i]:.0f} km/s")
            ax.fill_between(x, density[i], where=(x >= lo[i]) & (x <= hi[i]), color=line.get_color(), alpha=0.25, linewidth=0,
                            label="_" if i else "central 68 %")
            r = a.root_table[i, :min(a.n_roots[i], distances.MAX_ROOTS), 0]
            at = shown.from_r(r[None], kind, slice(i, i + 1))[0] if len(r) else r
            ax.plot(at, np.zeros(len(at)), "|", color=line.get_color(), markersize=12,
                    label="_" if rooted or not len(at) else _ROOTS)
            rooted |= len(at) > 0
        ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.08), ncols=3)
    unit = VARIABLES[kind].replace("h^-1", "$h^{-1}$")
    ax.set_xlabel(f"{_WORDS[kind]} [{unit}]"
                  + (f", H0 = {posteriors.options.H0:g} km/s/Mpc" if kind in ("distance", "luminosity") else ""))
    if not ax.get_title():
        m = posteriors.field.manifest
        opt = posteriors.options
        sigma_v = m.sigma_v if opt.sigma_v is None else opt.sigma_v
        ax.set_title(f"field {m.id} {m.version}, prior {opt.prior}, $\\sigma_v$ = {sigma_v:g} km/s", fontsize="medium")
    ax.set_ylabel(f"probability density [per {unit}]")
    ax.set_ylim(bottom=0.0)
    return ax

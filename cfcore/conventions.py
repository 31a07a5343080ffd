"""The conventions of a field that its files do not state: what a user may say, what a record or the values settle.

Nothing is assumed silently: each function returns, beside its answer, the sentences that go into the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .errors import BadParameter, FieldRefused
from .frames import SKY_FRAMES

if TYPE_CHECKING:
    from .products import Product

LATTICES: tuple[str, ...] = ("centre", "faces", "cells")
"""Where the nodes of a cube of n per axis and side L sit. ``centre``: (i - n/2) L/n, the observer on node n/2;
``faces``: -L/2 + i L/(n-1), the outer nodes on the faces; ``cells``: -L/2 + (i + 1/2) L/n, in the middle of cells."""
DENSITIES: tuple[str, ...] = ("delta", "one_plus_delta")
_SAFE_ID = "abcdefghijklmnopqrstuvwxyz0123456789-_."
Given = Mapping[str, object]
Triple = tuple[float, float, float]
Notes = tuple[str, ...]


def check_overrides(record: Product, given: Given) -> None:
    """Refuse overrides that a product does not take, that are malformed, or that ``generic`` lacks.

    Raises
    ------
    BadParameter
    """
    refused = [k for k in given if k not in record.allows]
    if refused:
        raise BadParameter(f"the layout of {record.id} is known and does not take {', '.join(refused)}; it takes "
                           f"{', '.join(record.allows)}; for other arrays use --product generic", where=refused[0])
    if record.id == "generic":
        need = [k for k in ("id", "sky_frame", "unit", "citation") if k not in given]
        if not ({"origin", "spacing"} <= given.keys() or {"box", "lattice"} <= given.keys()):
            need.append("origin and spacing (or box and lattice)")
        if need:
            raise BadParameter(f"generic arrays need {', '.join(need)}: conventions are never guessed", where=need[0],
                               code="convention_missing")
    for key in ("box", "h", "sigma_v", "trusted", "unit"):
        if key in given and not (_number(given[key]) > 0):
            meaning = " (the factor that turns stored velocities into km/s)" if key == "unit" else ""
            raise BadParameter(f"{key} = {given[key]!r:.40} must be a positive number{meaning}", where=key)
    for key, words in (("lattice", LATTICES), ("density", DENSITIES), ("sky_frame", SKY_FRAMES)):
        if key in given and given[key] not in words:
            raise BadParameter(f"{key} = {given[key]!r:.40} is not known; use one of {', '.join(words)}", where=key)
    name = str(given.get("id", record.id))
    if not name or set(name) - set(_SAFE_ID) or not name[0].isalnum() or len(name) > 64:
        raise BadParameter(f"id {name!r:.80} must be 1-64 of a-z 0-9 - _ . and begin with a letter or digit",
                           where="id")


def lattice_of(record: Product, shape: tuple[int, int, int], given: Given) -> tuple[Triple, Triple, Notes]:
    """Return origin and spacing per axis, comoving h^-1 Mpc, and what was assumed on the way.

    Raises
    ------
    BadParameter, FieldRefused
        When the statements contradict each other, or do not fix a lattice of this shape.
    """
    if "origin" in given or "spacing" in given:
        if "box" in given or "lattice" in given:
            raise BadParameter("give either origin and spacing or box and lattice, not both", where="box")
        spacing = _triple(given["spacing"], "spacing")
        if min(spacing) <= 0:
            raise BadParameter(f"spacing = {spacing} must be positive on every axis", where="spacing")
        return _triple(given["origin"], "origin"), spacing, ()
    box, assumed = given.get("box", record.box_hmpc), ()
    lattice = str(given.get("lattice", record.lattice))
    if box is None:
        h = float(given.get("h", record.h_source))
        box = record.box_mpc * h
        assumed = (f"assumed: box {box:g} h^-1 Mpc ({record.box_mpc:g} Mpc at h = {h:g}"
                   f"{'' if 'h' in given else ', itself assumed'}); override with --box or --h",)
    elif record.box_hmpc is None and record.box_mpc is not None:
        assumed = (f"stated by the user: box {float(box):g} h^-1 Mpc",)
    n, side = np.array(shape, dtype=float), float(box)
    if len(set(shape)) > 1:
        raise FieldRefused(f"shape {shape} is not a cube, so a box of {side:g} h^-1 Mpc does not fix its lattice; "
                           "use --product generic with --origin and --spacing")
    if lattice == "centre" and shape[0] % 2:
        raise FieldRefused(f"a lattice of {shape[0]} nodes per axis has no node n/2 for the observer; use --product "
                           "generic with --origin and --spacing, or --lattice faces")
    spacing = side / (n - 1) if lattice == "faces" else side / n
    origin = np.full(3, -side / 2) + (spacing / 2 if lattice == "cells" else 0.0)
    if record.box_mpc is not None:
        assumed += (f"assumed: node i at (i - {shape[0] // 2}) * {spacing[0]:g} h^-1 Mpc, axes "
                    f"{given.get('sky_frame', record.sky_frame)}, velocities in km/s, CMB frame",)
    return tuple(origin.tolist()), tuple(spacing.tolist()), assumed


def _number(value: object) -> float:
    """Return a finite number, or -1 where there is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return -1.0
    return number if np.isfinite(number) else -1.0


def _triple(value: object, key: str) -> Triple:
    try:
        numbers = np.broadcast_to(np.asarray(value, dtype=float).ravel(), 3)
    except (TypeError, ValueError) as exc:
        raise BadParameter(f"{key} = {value!r:.80} must be one number or three, comoving h^-1 Mpc",
                           where=key) from exc
    if not np.isfinite(numbers).all():
        raise BadParameter(f"{key} = {value!r:.80} must be finite", where=key)
    return tuple(numbers.tolist())


def density_of(record: Product, array: NDArray[np.floating] | None, given: Given) -> tuple[str, Notes]:
    """Return ``delta`` or ``one_plus_delta`` for a density array, and how that is known.

    Raises
    ------
    BadParameter
        When it must be stated and is not.
    FieldRefused
        When the record leaves it to the values and they fit neither.
    """
    if array is None:
        return "delta", ("no density file: 1+delta = 1 everywhere",)
    if "density" in given:
        return str(given["density"]), (f"stated by the user: the density file holds {given['density']}",)
    if record.density in DENSITIES:
        return record.density, ()
    if record.density == "stated":
        raise BadParameter("generic arrays need density (delta or one_plus_delta): conventions are never guessed",
                           where="density", code="convention_missing")
    mean, low = float(np.mean(array, dtype=float)), float(np.min(array))
    if low < 0 and abs(mean) < 0.2:
        found = "delta"
    elif low >= 0 and abs(mean - 1.0) < 0.2:
        found = "one_plus_delta"
    else:
        raise FieldRefused(f"is the density file delta or 1+delta? Its mean is {mean:.3g} and its minimum {low:.3g}, "
                           "which fits neither; say --density delta or --density one_plus_delta",
                           code="density_unclear")
    return found, (f"assumed: the density file holds {found} (mean {mean:.3g}, minimum {low:.3g}); override with "
                   "--density",)

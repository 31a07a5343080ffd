"""Our own contenders: the public calls, with `out=` and `threads=` wherever this version takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cfcore import FlowField, FlowOptions, distances
from cfcore.field import Samples, Sightline

F64 = NDArray[np.float64]


@lru_cache
def takes(call: Callable[..., object], keyword: str) -> bool:
    """Tell whether a function names a keyword among its parameters."""
    return keyword in inspect.signature(call).parameters


def has_threads() -> bool:
    """Tell whether posteriors can be solved in several threads."""
    return takes(FlowField.distance, "threads") or takes(distances.solve, "threads")


def points(field: FlowField, xyz: F64) -> Callable[[], Samples]:
    """Return the work of sampling all realisations at points, shape (n, 3), h^-1 Mpc."""
    return _with_room(FlowField.sample_at, field, xyz)


def velocities(field: FlowField, xyz: F64) -> Callable[[], F64]:
    """Return the work of finding the mean velocities at points, shape (n, 3), h^-1 Mpc."""
    return _with_room(FlowField.velocity_at, field, xyz)


def sightlines(field: FlowField, lon: F64, lat: F64, r: F64) -> Callable[[], Sightline]:
    """Return the work of sampling lines of sight, directions in deg on the field's own axes."""
    return _with_room(FlowField.along, field, lon, lat, r, frame=field.manifest.sky_frame)


def posteriors(field: FlowField, lon: F64, lat: F64, cz: F64, options: FlowOptions,
               threads: int = 1) -> Callable[[], distances.Distances]:
    """Return the work of solving posteriors; lon, lat in deg, cz in km/s, shape (n,)."""
    keywords = {"threads": threads} if has_threads() else {}
    return lambda: field.distance(lon, lat, cz, options=options, **keywords)


def _with_room(call: Callable[..., object], *arguments: object, **keywords: object) -> Callable[[], object]:
    if takes(call, "threads"):
        keywords["threads"] = 1
    if takes(call, "out"):
        keywords["out"] = call(*arguments, **keywords)
    return lambda: call(*arguments, **keywords)

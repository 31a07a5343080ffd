"""One flow question across the house: choose the field, send the columns, bring the answer back."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from aiohttp import web

from cfcore.errors import BadParameter, UnknownName
from cfcore.options import FlowOptions
from cfcore.products import ALIASES, PRODUCTS
from cfcore.registry import how_to_get

from . import tracing
from .batches import Asked, PackedOptions
from .budget import charged
from .callers import caller_of
from .dispatch import Answer, Dispatcher
from .keys import DISPATCHER, METERS
from .served import WITH_DATA

GRID_VALUES_MAX = 2_000_000
SPREAD_KM_S = 500.0
"""Velocities of one object that differ by more are pointed out."""


def field_record(dispatcher: Dispatcher, asked: str | None) -> dict[str, Any]:
    """Return the record of the field a request names, or of the default.

    Raises
    ------
    TransientError
        When no worker is connected.
    UnknownName
        When the field is not known, or known but not installed: the message holds the command that brings it.
    """
    dispatcher.check_worker()
    fields = dispatcher.fields()
    if asked is None:
        record = next((f for f in fields.values() if f.get("default")), None)
        if record is None:
            raise BadParameter(f"no default field is set; name one with field=: {', '.join(sorted(fields)) or 'none here'}",
                               code="missing_parameter", where="field")
        return record
    name = asked.strip().lower()
    for here in fields.values():
        if name == here["id"] or name in here.get("aliases", ()):
            return here
    product = PRODUCTS.get(ALIASES.get(name, name))
    if product is not None and product.files:
        raise UnknownName(f"field {product.id} is not installed on this server; {how_to_get(product, ' --data DATA')} "
                          f"{WITH_DATA}", where="field",
                          code="field_not_installed", extra={"known": sorted(fields)})
    raise UnknownName(f"field {asked!r:.80} is not known; here are {', '.join(sorted(fields))}", where="field",
                      code="unknown_field", extra={"known": sorted(fields)})


async def ask(request: web.Request, kind: str, record: dict[str, Any], opt: FlowOptions,
              columns: Asked, *, is_alone: bool = False, **more: object) -> Answer:
    """Send one question to the workers and wait for its answer; its rows are charged to the caller.

    Raises
    ------
    CosmicFlowsError
        As `callers.caller_of`, `budget.charge` and `Dispatcher.run`; what is not answered costs nothing.
    """
    caller, rows = await caller_of(request), len(next(iter(columns.values())))
    with charged(request, caller, rows):
        answer = await request.app[DISPATCHER].run(kind, (record["id"], record["sha"]), _options(opt, *more.items()), columns,
                                                   is_alone=is_alone, trace=tracing.current())
    request.app[METERS].count("rows", (kind, record["id"]), rows)
    return answer


@lru_cache(maxsize=1024)
def _options(opt: FlowOptions, *more: tuple[str, object]) -> PackedOptions:
    return PackedOptions({**opt.as_dict(), **dict(more)})


def grid_fits(record: dict[str, Any], opt: FlowOptions, objects: int) -> bool:
    """Tell whether the distribution functions of some objects fit into one answer."""
    points = math.ceil(min(record["r_max_hmpc"], opt.rmax or math.inf) / opt.dr) + 1
    return objects * points <= GRID_VALUES_MAX


def one_object(**values: float) -> dict[str, list[float]]:
    """Return columns with a single row, as the dispatcher takes them beside those of others."""
    return {name: [value] for name, value in values.items()}


def one_row(**values: float) -> dict[str, np.ndarray]:
    """Return columns with a single row."""
    return dict(zip(values, np.array(list(values.values()), dtype="<f8")[:, None]))


def catalogue_velocity(found: dict[str, Any]) -> float:
    """Return the heliocentric velocity of a resolved name, km/s.

    Raises
    ------
    BadParameter
        When the catalogue knows no velocity for it.
    """
    cz = found.get("cz_helio")
    if cz is None:
        raise BadParameter(f"{found['name']} is in the catalogue ({found['catalog']['name']}) without a velocity; give "
                           "one with cz= (km/s)", code="no_velocity", where="name")
    return float(cz)


def chosen_velocity(found: dict[str, Any], asked: str | None) -> tuple[float, str | None, dict[str, Any]]:
    """Return the velocity of a resolved name to ask the flow with (km/s), its frame (None: heliocentric), and which it is.

    Parameters
    ----------
    found : dict
        As the catalogue resolves it; with ``group`` and ``has_groups`` when `asked` is ``"group"``.
    asked : {"own", "group", None}

    Raises
    ------
    BadParameter
        Code ``no_velocity``; ``no_groups`` when a group is asked for and no catalogue of groups is there.
    """
    told: dict[str, Any] = {"used": "own"}
    if (found.get("cz_spread") or 0.0) > SPREAD_KM_S:
        told |= {"spread": found["cz_spread"], "warning": f"the catalogues differ by {found['cz_spread']:.0f} km/s about this "
                 "object; /get_galaxy_detail lists every velocity"}
    if asked != "group":
        return catalogue_velocity(found), None, told
    if not found["has_groups"]:
        raise BadParameter("no catalogue of groups is imported on this server; import one with: cosmicflows catalog import FILE "
                           f"--profile edd-groups --data DATA {WITH_DATA}, or leave velocity=group out", code="no_groups",
                           where="velocity")
    own, group = catalogue_velocity(found), found["group"]
    if group is None:
        return own, None, {**told, "why": f"no group of the imported catalogues holds {found['name']}"}
    return float(group["cz"]["cmb"]), "cmb", {"used": "group", "group": group}

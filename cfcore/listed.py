"""What an answer about many objects lists of each: one truth for the workers, who write it, and the gateway, who names it."""

from __future__ import annotations

from . import frames
from .distances import SUMMARY, VALUES, VELOCITY_VALUES

ENCODINGS: tuple[str, ...] = ("json", "msgpack")
PER_ROW: tuple[str, ...] = ("roots", "flags", "status")
"""What stands beside the columns of numbers, one entry a row, in this order."""


def columns_of(flow: str) -> dict[str, int]:
    """Return the columns of numbers of a list in one flow type: name -> place in `distances.VALUES`, in order."""
    names = {**{s: f"{flow}.{s}" for s in SUMMARY}, **{f"cz_{f}": f"cz.{f}" for f in frames.REPORTED_FRAMES},
             "v_rad": "v_rad", "v_rad_std": "v_rad_std", **{f"v_{a}": f"v_pec.{a}" for a in ("sgx", "sgy", "sgz")},
             "delta": "delta", "inside_fraction": "inside_fraction", "evidence": "evidence"}
    return {name: VALUES.index(value) for name, value in names.items()}


def velocity_columns() -> dict[str, int]:
    """Return the columns of numbers of a list of velocities: name -> place in `distances.VELOCITY_VALUES`, in order."""
    names = {**{a: a for a in ("sgx", "sgy", "sgz")}, **{f"v_{a}": f"v_pec.{a}" for a in ("sgx", "sgy", "sgz")},
             **{name: name for name in ("v_rad", "delta", "sigma", "cz_hubble")},
             **{f"cz_{f}": f"cz.{f}" for f in frames.REPORTED_FRAMES}}
    return {name: VELOCITY_VALUES.index(value) for name, value in names.items()}

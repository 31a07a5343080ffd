"""cfcore: distances and peculiar velocities of galaxies from velocity fields, in a process of your own.

Needs NumPy only::

    import cfcore
    field = cfcore.open_field()
    print(field.distance(197.4488, -23.3839, cz=2916.0).summary("distance"))
"""

from __future__ import annotations

from pathlib import Path

from .cosmology import C_KMS, background
from .distances import Distances, Velocities, solve, velocities
from .errors import CosmicFlowsError
from .field import FlowField
from .manifest import Manifest
from .options import FLOW_TYPES, FlowOptions

__all__ = ["C_KMS", "CosmicFlowsError", "Distances", "FLOW_TYPES", "FlowField", "FlowOptions", "Manifest",
           "Velocities", "background", "open_field", "solve", "velocities"]
__version__ = "0.1.0"


def open_field(id: str | None = None, data: str | Path | None = None) -> FlowField:
    """Open a field of this machine, memory-mapped and read-only.

    Parameters
    ----------
    id : str, optional
        Such as ``"ongc-linear"`` (the embedded default), ``"mould2000"``, ``"cf4gp"``. None takes the default.
    data : path, optional
        The data directory; default: the environment's ``CF_DATA``, else the user's data home.

    Returns
    -------
    FlowField

    Raises
    ------
    UnknownName
        When the field is not known or not installed; the message holds the command that brings it.
    UsageError
        When the default field must be built first and the OpenNGC catalogue (pyongc) is missing.
    """
    from .registry import Registry
    return Registry(data).open(id)

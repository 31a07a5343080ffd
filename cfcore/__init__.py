"""cfcore: distances and peculiar velocities of galaxies from velocity fields, in a process of your own.

Needs NumPy only::

    import cfcore
    field = cfcore.open_field()
    print(field.distance(197.4488, -23.3839, cz=2916.0).summary("distance"))

With astropy there are coordinates, units and tables: `distance`, `velocity`, `add_distances`, `correct`,
`velocity_covariance`. They are loaded when first used. With anywidget, `view` shows a field in a notebook.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cosmology import C_KMS, background
from .distances import Distances, Velocities, solve, velocities
from .errors import CosmicFlowsError
from .field import FlowField
from .manifest import Manifest
from .options import FLOW_TYPES, FlowOptions

if TYPE_CHECKING:
    from .notebook import view as view
    from .quantities import DistanceResult, VelocityResult, distance, velocity, velocity_covariance
    from .quantity_tables import add_distances, correct

__all__ = ["C_KMS", "CosmicFlowsError", "Distances", "FLOW_TYPES", "FlowField", "FlowOptions", "Manifest",
           "Velocities", "background", "open_field", "solve", "velocities"]
try:
    _has_astropy = importlib.util.find_spec("astropy") is not None
except ModuleNotFoundError:
    _has_astropy = False
if _has_astropy:  # without it a star import brings what works without it
    __all__ += ["DistanceResult", "VelocityResult", "add_distances", "correct", "distance", "velocity", "velocity_covariance"]
__version__ = "0.1.0"

# public names that need another package, and where they live
_LATER = {"DistanceResult": "quantities", "VelocityResult": "quantities", "distance": "quantities",
          "velocity": "quantities", "velocity_covariance": "quantities", "add_distances": "quantity_tables",
          "correct": "quantity_tables",
          # not among those of a star import: the name is short, and its packages take long to load
          "view": "notebook"}
# the package, and the extra that brings it
_BRINGS = {"astropy": "astro", "anywidget": "jupyter"}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(importlib.import_module(f".{_LATER[name]}", __name__), name)
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in _BRINGS:
            raise
        from .errors import UsageError
        raise UsageError(f"cfcore.{name} needs {package}: pip install 'cosmicflows[{_BRINGS[package]}]'",
                         code=f"{package}_missing") from exc
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER, "__version__"})


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

"""The convention of a field as data: everything a reader must know about the arrays beside it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from .errors import FieldRefused

FORMAT = 1


@dataclass(frozen=True)
class Source:
    """Name one file a field was made from."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """Describe one published version of a field.

    Lengths are comoving h^-1 Mpc on Cartesian axes of `sky_frame` with the observer at the origin; node ``i`` of an
    axis sits at ``origin + i * spacing``. Velocities are km/s in the rest frame `velocity_frame`, positive away
    from the origin of the axis they belong to.
    """

    id: str
    version: str
    shape: tuple[int, int, int]
    origin_hmpc: tuple[float, float, float]
    spacing_hmpc: tuple[float, float, float]
    sky_frame: str
    citation: str
    realisations: int = 1
    velocity_frame: str = "cmb"
    centring: str = "nodes"
    """Values belong to the nodes themselves, whatever the source called its cells."""
    axis_order: str = "x, y, z of the sky frame"
    component_order: str = "vx, vy, vz, 1+delta"
    added: str = "nothing"
    """What the authors (or we) added to the reconstructed velocities, such as an external dipole."""
    h_source: float | None = None
    unit_factor: float = 1.0
    sigma_v: float = 200.0
    v_max: float = 0.0
    v_gradient: float = 0.0
    """Greatest change of velocity along any direction, km/s per h^-1 Mpc; 0: not known."""
    trusted_hmpc: float | None = None
    masked_cells: int = 0
    has_density: bool = True
    limits: dict[str, tuple[float, float]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    licence: str = "not stated by the authors"
    title: str = ""
    notes: tuple[str, ...] = ()
    created: str = ""
    sha256: str = ""
    """Digest of cells.npy."""
    sigma_sha256: str | None = None
    sigma_max: float = 0.0
    product: str = ""
    """Key of the public product it was built from; the self-check takes its known values from there."""
    format: int = FORMAT

    def to_json(self) -> str:
        """Return the manifest as indented JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest.

        Raises
        ------
        FieldRefused
            When the text is not JSON, lacks a key, has an unknown one, or was written by a later format.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            if data.get("format") != FORMAT:
                raise FieldRefused(f"the manifest has format {data.get('format')!r}, this version reads {FORMAT}; "
                                   "update cosmicflows or add the field again")
            data["sources"] = tuple(Source(**s) for s in data["sources"])
            data["limits"] = {k: (float(v[0]), float(v[1])) for k, v in data["limits"].items()}
            for key in ("shape", "origin_hmpc", "spacing_hmpc", "notes"):
                data[key] = tuple(data[key])
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            if isinstance(exc, FieldRefused):
                raise
            raise FieldRefused(f"the manifest cannot be read ({type(exc).__name__}: {exc}); add the field again") from exc

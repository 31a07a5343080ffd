"""The view in space of a field, in a notebook: the scene of the page as a widget that needs no server.

Owns what travels between Python and the view (the traits of `FieldView`); the view itself is made from `gateway/web/src/widget`
into ``cfcore/_widget`` by the build of the page, and carried by the wheel. Needs anywidget (``cosmicflows[jupyter]``); it is
imported by nobody but `cfcore.view`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from . import frames, open_field, preview
from .distances import Distances
from .errors import BadParameter, UnknownName, UsageError
from .field import FlowField

LAYERS: tuple[str, ...] = ("streamlines", "density", "voids", "arrows", "slice", "labels", "axes", "critical")
"""What can be shown; ``critical`` are the places where the flow ends and begins."""
FIRST_LAYERS: tuple[str, ...] = ("streamlines", "density", "labels", "axes")
THEMES: tuple[str, ...] = ("auto", "dark", "light")
HEIGHT_LIMITS = (160, 4000)
"""Least and greatest height of the view, CSS pixels."""
_BUILT = Path(__file__).parent / "_widget"
Target = Mapping[str, Any] | Sequence[float]


def view(field: FlowField | str | None = None, *, target: Target | None = None, layers: Iterable[str] = FIRST_LAYERS,
         delta: float = 0.8, height: int = 480, nodes: int = 64, theme: str = "auto",
         data: str | Path | None = None) -> FieldView:
    """Show a field in space: streamlines, density, a galaxy with its distances; turn it with the mouse or the arrow keys.

    Parameters
    ----------
    field : FlowField or str, optional
        A field, or the id of one of this machine; None takes the default.
    target : tuple or mapping, optional
        What lies on a ray from us: ``(lon, lat)`` or ``(lon, lat, cz)``, ICRS degrees and heliocentric km/s; or a mapping with
        ``lon``, ``lat``, perhaps ``cz`` and ``name``, and options of `FlowField.distance` by name (``frame``, ``cz_frame``,
        ``H0`` ...); or ``lon``, ``lat`` and ``answer``, what `FlowField.distance` gave for this one object. Every distance that
        explains cz is a mark on the ray, the central 68 % a thicker part of it.
    layers : iterable of str
        Of `LAYERS`.
    delta : float
        Density contrast of the surface.
    height : int
        CSS pixels.
    nodes : int
        Nodes along an axis of the preview, 2 to 160: 64 takes 1 MB, 128 takes 8 MB.
    theme : str
        "dark", "light", or "auto": as the notebook.
    data : path, optional
        The data directory, for a field given by its id; see `open_field`.

    Returns
    -------
    FieldView
        An `anywidget.AnyWidget`; its traits ``layers``, ``delta``, ``height`` and ``theme`` can be set while it is on show.

    Raises
    ------
    BadParameter
        When a value is out of range.
    UnknownName
        When a layer, theme or field is not known.
    UsageError
        When anywidget is not installed, or the view was not built.
    """
    return FieldView(field if isinstance(field, FlowField) else open_field(field, data), target=target, layers=layers,
                     delta=delta, height=height, nodes=nodes, theme=theme)


class FieldView(anywidget.AnyWidget):
    """Hold what a view shows; see `view`."""

    tile = traitlets.Bytes().tag(sync=True)
    """The preview of the field, as `cfcore.preview.tile` packs it."""
    layers: traitlets.List[str] = traitlets.List(traitlets.Unicode()).tag(sync=True)
    delta = traitlets.Float(0.8).tag(sync=True)
    target: traitlets.Dict[str, Any] = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    """Name, direction (unit vector, supergalactic), roots (h^-1 Mpc, weight) and central 68 % (h^-1 Mpc); see `set_target`."""
    height = traitlets.Int(480).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)

    def __init__(self, field: FlowField, *, target: Target | None = None, layers: Iterable[str] = FIRST_LAYERS,
                 delta: float = 0.8, height: int = 480, nodes: int = 64, theme: str = "auto") -> None:
        self._esm, self._css = _built("view.js"), _built("view.css")
        self.field = field
        super().__init__(tile=preview.tile(field, nodes, threads=0), layers=list(layers), delta=float(delta),
                         height=int(height), theme=theme, target=None if target is None else described(field, target))

    def set_field(self, field: FlowField | str, *, nodes: int = 64) -> None:
        """Show another field; the target goes, for its distances belong to the one before."""
        field = field if isinstance(field, FlowField) else open_field(field)
        with self.hold_sync():
            self.tile = preview.tile(field, nodes, threads=0)
            self.target = None
        self.field = field

    def set_target(self, target: Target | None) -> None:
        """Show another object on its ray, or none; see `view`."""
        self.target = None if target is None else described(self.field, target)

    @traitlets.validate("layers")
    def _known_layers(self, proposal: traitlets.Bunch) -> list[str]:
        for name in proposal["value"]:
            if name not in LAYERS:
                raise UnknownName(f"layer {name!r:.80} is not known; there are {', '.join(LAYERS)}", code="unknown_layer",
                                  where="layers", extra={"known": list(LAYERS)})
        return list(proposal["value"])

    @traitlets.validate("theme")
    def _known_theme(self, proposal: traitlets.Bunch) -> str:
        if proposal["value"] not in THEMES:
            raise UnknownName(f"theme {proposal['value']!r:.80} is not known; there are {', '.join(THEMES)}",
                              code="unknown_theme", where="theme", extra={"known": list(THEMES)})
        return str(proposal["value"])

    @traitlets.validate("height")
    def _fitting_height(self, proposal: traitlets.Bunch) -> int:
        least, most = HEIGHT_LIMITS
        if not least <= proposal["value"] <= most:
            raise BadParameter(f"height = {proposal['value']} lies outside {least} ... {most} pixels", code="out_of_range",
                               where="height")
        return int(proposal["value"])

    @traitlets.validate("delta")
    def _possible_delta(self, proposal: traitlets.Bunch) -> float:
        if not -1.0 < proposal["value"] < 1e6:
            raise BadParameter(f"delta = {proposal['value']} lies outside -1 ... 1e6; matter cannot be less than none",
                               code="out_of_range", where="delta")
        return float(proposal["value"])


def described(field: FlowField, target: Target) -> dict[str, Any]:
    """Return what the view draws of an object: name, direction, roots, central 68 %; see `view` for `target`.

    Raises
    ------
    BadParameter
        When `target` is neither a position nor a mapping that holds one, or its answer is not one of one object.
    """
    words = dict(target) if isinstance(target, Mapping) else _named(target)
    name, answer, cz = words.pop("name", None), words.pop("answer", None), words.pop("cz", None)
    try:
        lon, lat = (float(words.pop(key)) for key in ("lon", "lat"))
    except (KeyError, TypeError, ValueError):
        raise _refusal(target) from None
    if not (abs(lon) <= 360.0 and abs(lat) <= 90.0):
        raise BadParameter(f"lon = {lon}, lat = {lat} is no place on the sky: -360 ... 360 and -90 ... 90 degrees",
                           code="out_of_range", where="target")
    if answer is None and cz is not None:
        answer = field.distance(lon, lat, float(cz), **words)
    if answer is not None and not (isinstance(answer, Distances) and len(answer) == 1):
        raise BadParameter("answer is not what FlowField.distance gives for one object", code="bad_target", where="target")
    sky = answer.options.frame if answer is not None else words.get("frame", "icrs")
    direction = frames.rotate(frames.unit_vectors(lon, lat), frames.sky_frame(str(sky)), "supergalactic")[0]
    return {"name": None if name is None else str(name), "direction": direction.tolist(), **_distances(answer)}


def _distances(answer: Distances | None) -> dict[str, Any]:
    if answer is None or answer.status[0] != 0:
        return {"roots": [], "range": None}
    spread = [float(answer.column(f"comoving.{p}")[0]) for p in ("p16", "p84")]
    return {"roots": [{"r_hmpc": r["r_hmpc"], "weight": r["weight"]} for r in answer.roots()],
            "range": spread if np.isfinite(spread).all() else None}


def _named(target: Sequence[float]) -> dict[str, Any]:
    try:
        values = [float(v) for v in target]
    except (TypeError, ValueError):
        raise _refusal(target) from None
    if len(values) not in (2, 3):
        raise _refusal(target)
    return dict(zip(("lon", "lat", "cz"), values))


def _refusal(target: object) -> BadParameter:
    return BadParameter(f"target = {target!r:.80} is no place; give (lon, lat), (lon, lat, cz), or a mapping with lon, lat and "
                        "perhaps cz, name", code="bad_target", where="target")


def _built(name: str) -> str:
    path = _BUILT / name
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError("the view of notebooks is not built here: `make page` in a checkout does it, and wheels carry it",
                         code="view_not_built") from None

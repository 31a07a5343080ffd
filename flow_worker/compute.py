"""Job -> Answer: columns and options in, columns out. Pure but for the fields it opens; nothing of HTTP or sockets.

Runs in the compute children.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import distances, preview, sightlines
from cfcore.errors import BadParameter, CosmicFlowsError, UnknownName
from cfcore.field import FlowField
from cfcore.fieldfile import open_folder
from cfcore.options import OPTION_NAMES, FlowOptions
from cfcore.registry import Registry

from . import lists
from .versions import Stamp, folders_of, stamp_of

Columns = dict[str, NDArray[Any]]

log = logging.getLogger("flow_worker")


class Computer:
    """Answer jobs from the fields of one data directory, opened when a job first asks for them.

    Parameters
    ----------
    data : str
        The data directory. Which of its fields may be asked for is the supervisor's business (`shelf`).
    """

    def __init__(self, data: str) -> None:
        self._root = Registry(data).root
        self._open: dict[tuple[str, str], tuple[Stamp, FlowField]] = {}

    def compute(self, kind: str, field: str, sha: str, options: dict[str, object],
                columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
        """Answer one job.

        Returns
        -------
        columns, shared, info : dict
            Columns with one row per row of the job, columns that all rows share, plain facts.
        """
        chosen = self._field(field, sha)
        opt = FlowOptions(**{k: v for k, v in options.items() if k in OPTION_NAMES})  # type: ignore[arg-type]
        if kind == "posterior":
            return _posterior(chosen, opt, options, columns)
        if kind == "velocity":
            v = distances.velocities(chosen, columns["lon"], columns["lat"], columns["distance"], options=opt)
            return {"values": v.values, "codes": np.stack([v.status, v.inside.astype(np.int32)], axis=1)}, {}, {}
        if kind == "sightline":
            return _sightline(chosen, opt, options, columns)
        if kind == "preview":
            return _preview(chosen, columns)
        raise BadParameter(f"a job of kind {kind!r:.40} is not known here", code="unknown_kind")

    def _field(self, field: str, sha: str) -> FlowField:
        """Return a field, opened anew when its files are not those that were opened."""
        # three stats, some 5 us: reading a mapped file that somebody has cut short would end this process
        found = self._open.get((field, sha))
        if found is not None and stamp_of(self._root, field, found[0].folder) == found[0]:
            return found[1]
        self._open.pop((field, sha), None)
        for folder in folders_of(self._root, field, sha):
            stamp = stamp_of(self._root, field, folder)
            try:
                opened = FlowField(*open_folder(self._root / field / folder))
            except CosmicFlowsError as exc:
                log.warning("field %s, folder %s is not used: %s", field, folder, exc.message)
                continue
            if opened.manifest.sha256 == sha:
                self._open[field, sha] = stamp, opened
                return opened
        raise UnknownName(f"no field {field} version {sha[:8]} here", code="no_such_field")


def _posterior(field: FlowField, opt: FlowOptions, options: dict[str, object],
               columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
    pdf, flow = options.get("pdf"), options.get("list")
    d = distances.solve(field, columns["lon"], columns["lat"], columns["cz"], sigma_cz=columns["sigma_cz"],
                        options=opt, pdf=None if pdf is None else str(pdf))
    if flow is not None:
        return lists.encode(d, str(flow), str(options.get("encoding")))
    out: Columns = {"values": d.values, "codes": np.stack([d.status, d.flag_bits, d.n_roots], axis=1),
                    "roots": d.root_table}
    if d.pdf is None or d.x is None:
        return out, {}, {}
    return {**out, "pdf": d.pdf}, {"x": d.x}, {}


def _sightline(field: FlowField, opt: FlowOptions, options: dict[str, object],
               columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
    rmax = options.get("table_rmax")
    n = int(options["n"])  # type: ignore[call-overload]
    tables = []
    # requests with the same options arrive merged: one table per row
    for lon, lat, cz, sigma_cz in zip(*(columns[k].tolist() for k in ("lon", "lat", "cz", "sigma_cz"))):
        table = sightlines.distance_table(
            field, lon, lat, n=n, rmax=None if rmax is None else float(rmax),  # type: ignore[arg-type]
            cz=None if np.isnan(cz) else cz, sigma_cz=sigma_cz, options=opt)
        tables.append({"p": np.full(n, np.nan), **table})
    return {name: np.stack([t[name] for t in tables]) for name in sightlines.COLUMNS}, {}, {}


def _preview(field: FlowField, columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
    """Answer each row, a number of nodes along an axis, with a tile; rows of one job ask for the same."""
    asked = np.unique(columns["n"])
    if len(asked) != 1 or asked[0] not in preview.SIZES:
        raise BadParameter(f"previews have {' or '.join(map(str, preview.SIZES))} nodes along an axis, the same in all rows",
                           code="out_of_range", where="n")
    made = np.frombuffer(preview.tile(field, int(asked[0])), np.uint8)
    return {"tile": np.broadcast_to(made, (len(columns["n"]), len(made)))}, {}, {}

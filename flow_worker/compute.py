"""Job -> Answer: columns and options in, columns out. Pure but for the fields it opens; nothing of HTTP or sockets."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cfcore import distances, sightlines
from cfcore.errors import BadParameter, CosmicFlowsError, UnknownName
from cfcore.field import FlowField
from cfcore.options import OPTION_NAMES, FlowOptions
from cfcore.registry import EMBEDDED, Registry

Columns = dict[str, NDArray[Any]]

log = logging.getLogger("flow_worker")


class Computer:
    """Answer jobs from the fields of one data directory.

    Parameters
    ----------
    data : Path
        The data directory; the embedded default field is built there once, files of the original server adopted.
    default_field : str
        The field served when a request names none; empty takes the registry's rule.
    """

    def __init__(self, data: Path, default_field: str = "") -> None:
        self._registry = Registry(data)
        self._default = default_field or None
        self._registry.folder(self._default)
        self._chosen = self._registry.default(self._default)
        for key in EMBEDDED:
            self._registry.ensure(key)
        self._open: dict[tuple[str, str], FlowField] = {}
        self._seen = self._registry.snapshot()

    def fields(self) -> list[dict[str, object]]:
        """Return what this worker can serve, as HELLO advertises it."""
        self._seen = self._registry.snapshot()
        try:
            self._chosen = self._registry.default(self._default)
        except CosmicFlowsError as exc:
            # at the start this ends the worker; one that serves goes on with what it has
            log.error("the default field stays %s: %s", self._chosen, exc.message)
        records: list[dict[str, object]] = []
        for entry in self._registry.list():
            try:
                field = self._registry.open(entry.id)
            except CosmicFlowsError as exc:
                log.error("field %s is not served: %s", entry.id, exc.message)
                continue
            m = field.manifest
            self._open[m.id, m.sha256] = field
            records.append({
                "id": m.id, "sha": m.sha256, "version": f"{m.version}-{m.sha256[:8]}", "default": m.id == self._chosen,
                "aliases": list(entry.aliases),
                "title": m.title, "citation": m.citation, "licence": m.licence, "sky_frame": m.sky_frame,
                "shape": list(m.shape), "spacing_hmpc": list(m.spacing_hmpc), "realisations": m.realisations,
                "reach_hmpc": field.reach_hmpc, "r_max_hmpc": field.r_max_hmpc, "sigma_v": m.sigma_v,
                "trusted_hmpc": m.trusted_hmpc, "has_sigma": field.has_sigma, "has_density": m.has_density})
        return records

    def changed(self) -> bool:
        """Tell whether the installed fields differ from what `fields` last said."""
        return self._registry.snapshot() != self._seen

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
            return _posterior(chosen, opt, options.get("pdf"), columns)
        if kind == "velocity":
            v = distances.velocities(chosen, columns["lon"], columns["lat"], columns["distance"], options=opt)
            return {"values": v.values, "codes": np.stack([v.status, v.inside.astype(np.int32)], axis=1)}, {}, {}
        if kind == "sightline":
            return _sightline(chosen, opt, options, columns)
        raise BadParameter(f"a job of kind {kind!r:.40} is not known here", code="unknown_kind")

    def _field(self, field: str, sha: str) -> FlowField:
        found = self._open.get((field, sha))
        if found is None:
            raise UnknownName(f"field {field} in version {sha[:8]} is not open on this worker", code="unknown_field")
        return found


def _posterior(field: FlowField, opt: FlowOptions, pdf: object,
               columns: Columns) -> tuple[Columns, Columns, dict[str, object]]:
    d = distances.solve(field, columns["lon"], columns["lat"], columns["cz"], sigma_cz=columns["sigma_cz"],
                        options=opt, pdf=None if pdf is None else str(pdf))
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

"""Which fields a worker says it has: the installed ones, in every version that is sound; looked after while it works.

A published folder never changes, so whatever changes in one is damage: the version is withdrawn before it is read again,
and the one before it goes on. What is new while the worker runs is read and checked in full, beside the heartbeats.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from cfcore.errors import CosmicFlowsError
from cfcore.field import FlowField
from cfcore.fieldfile import open_folder, verify_folder
from cfcore.manifest import Manifest
from cfcore.registry import EMBEDDED, Registry

from .versions import Stamp, folders_of, stamp_of

log = logging.getLogger("flow_worker")
VERSIONS_MAX = 8
"""Old versions that are still served, for jobs that were accepted for them."""

Place = tuple[str, str]


class Shelf:
    """Keep the list of good fields of one data directory.

    Parameters
    ----------
    data : Path
        The data directory; the embedded fields are built there once, files of the original server adopted.
    default_field : str
        The field served when a request names none; empty takes the registry's rule.

    Raises
    ------
    CosmicFlowsError
        When the default field is not here or cannot be read.
    """

    def __init__(self, data: Path, default_field: str = "") -> None:
        self._registry = Registry(data)
        self._default = default_field or None
        self._registry.folder(self._default)
        self._chosen = self._registry.default(self._default)
        for key in EMBEDDED:
            self._registry.ensure(key)
        self._good: dict[Place, tuple[Stamp, dict[str, object]]] = {}
        self._refused: dict[Place, Stamp] = {}
        self._has_news = False
        self._search: threading.Thread | None = None
        self._seen = self._registry.snapshot()
        self._look(is_thorough=False)
        self._registry.open(self._default)

    def fields(self) -> list[dict[str, object]]:
        """Return what this worker can serve now, as HELLO advertises it: of each field old versions first."""
        self._has_news = False
        for place, (stamp, _) in list(self._good.items()):
            if self._stamp(place).content != stamp.content:
                log.error("field %s, folder %s was changed on disk; it is withdrawn until it has been checked", *place)
                del self._good[place]
        if (seen := self._registry.snapshot()) != self._seen or self._unknown():
            self._seen = seen
            self._start_search()
        records = []
        for key in sorted({field for field, _ in list(self._good)}):
            folders = [name for name in folders_of(self._registry.root, key) if (key, name) in self._good]
            # current first here, last there: the last record of an id is the one that new requests get
            for name in reversed(folders[:VERSIONS_MAX]):
                record = self._good[key, name][1]
                records.append(record | {"default": key == self._chosen and name == folders[0]})
        return _without_twins(records)

    def changed(self) -> bool:
        """Tell whether `fields` would say something else, or has something to look at; costs a few stats per version."""
        return (self._has_news or self._registry.snapshot() != self._seen
                or any(self._stamp(place).content != stamp.content for place, (stamp, _) in list(self._good.items())))

    def _stamp(self, place: Place) -> Stamp:
        return stamp_of(self._registry.root, *place)

    def _places(self) -> list[Place]:
        return [(key, name) for key, *_ in self._registry.snapshot()
                for name in folders_of(self._registry.root, key)[:VERSIONS_MAX]]

    def _unknown(self) -> list[Place]:
        """Return the versions that nobody has looked at in their present state."""
        return [place for place in self._places() if place not in self._good
                and (place not in self._refused or self._refused[place].content != self._stamp(place).content)]

    def _start_search(self) -> None:
        if self._search is None or not self._search.is_alive():
            self._search = threading.Thread(target=self._find, name="fields", daemon=True)
            self._search.start()

    def _find(self) -> None:
        """Adopt and check what is new; takes as long as reading it."""
        try:
            self._chosen = self._registry.default(self._default)
        except CosmicFlowsError as exc:
            # at the start this ends the worker; one that serves goes on with what it has
            log.error("the default field stays %s: %s", self._chosen, exc.message)
        self._look(is_thorough=True)
        self._has_news = True

    def _look(self, *, is_thorough: bool) -> None:
        aliases = {entry.id: (list(entry.aliases), entry.fault) for entry in self._registry.list()}
        for key, (_, fault) in aliases.items():
            if fault:
                log.error("field %s is not served in its current version: %s", key, fault)
        for place in self._unknown():
            stamp, folder = self._stamp(place), self._registry.root / place[0] / place[1]
            try:
                if is_thorough:
                    verify_folder(folder)
                record = _record(FlowField(*open_folder(folder)), aliases.get(place[0], ([], None))[0])
            except Exception as exc:
                # of any kind: one folder that nobody foresaw must not end the search for all others
                self._refused[place] = stamp
                known = isinstance(exc, (CosmicFlowsError, OSError))
                log.error("field %s, folder %s is refused: %s", *place, getattr(exc, "message", "it cannot be read"),
                          exc_info=None if known else exc)
            else:
                self._good[place] = stamp, record


def _record(field: FlowField, aliases: list[str]) -> dict[str, object]:
    m: Manifest = field.manifest
    return {"id": m.id, "sha": m.sha256, "version": f"{m.version}-{m.sha256[:8]}", "default": False, "aliases": aliases,
            "title": m.title, "citation": m.citation, "licence": m.licence, "sky_frame": m.sky_frame,
            "shape": list(m.shape), "spacing_hmpc": list(m.spacing_hmpc), "realisations": m.realisations,
            "reach_hmpc": field.reach_hmpc, "r_max_hmpc": field.r_max_hmpc, "sigma_v": m.sigma_v,
            "trusted_hmpc": m.trusted_hmpc, "has_sigma": field.has_sigma, "has_density": m.has_density}


def _without_twins(records: list[dict[str, object]]) -> list[dict[str, object]]:
    """Keep the last of the records with the same id and cells: children open the newest of such folders."""
    last = {(record["id"], record["sha"]): k for k, record in enumerate(records)}
    return [record for k, record in enumerate(records) if last[record["id"], record["sha"]] == k]

"""Build the two volumes that we bring ourselves: OpenNGC, from the package pyongc, and the clusters of galaxies.

`ensure` runs at every start: a volume is built once, in about a second, and again when an input changed. OpenNGC's column
`radvel` is the *relativistic* velocity, short of c z by 135 km/s at z = 0.03, so velocities here come from `redshift` and
nothing else.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import importlib.util
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfcore.errors import InternalError

from . import clusters, openngc, schema
from .volumes import Draft, Library

HERE = Path(__file__).parent
# The sources of the builder count among its inputs: whoever changes a spelling rule gets a new volume.
_RULES = ("build.py", "entries.py", "schema.py", "names.py", "families.py")
_OPENNGC_INPUTS = ("aliases.csv", "corrections.csv", "openngc.py", *_RULES)
_CLUSTER_INPUTS = ("clusters.csv", "clusters.py", *_RULES)


@dataclass(frozen=True)
class Package:
    """Name the OpenNGC file and its release."""

    path: Path
    version: str


def find_package() -> Package:
    """Find the OpenNGC file of the installed pyongc without importing the package.

    Raises
    ------
    InternalError
        When pyongc is not installed or carries no ``ongc.db``.
    """
    spec = importlib.util.find_spec("pyongc")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "ongc.db"
        if path.is_file():
            return Package(path, importlib.metadata.version("pyongc"))
    raise InternalError("the package pyongc, which carries the OpenNGC tables, is not installed; "
                        'run: pip install "cosmicflows[server]"', code="catalog_missing")


def ensure(library: Library) -> None:
    """Build what is missing or out of date in a library.

    Raises
    ------
    InternalError
        When pyongc is missing.
    TransientError
        When the library cannot be written.
    """
    package = find_package()
    _keep(library, "openngc", fingerprint(_OPENNGC_INPUTS, package.version, package.path),
          lambda draft: _write_openngc(draft, package))
    _keep(library, "clusters", fingerprint(_CLUSTER_INPUTS), _write_clusters)


def fingerprint(inputs: tuple[str, ...], version: str = "", *further: Path) -> str:
    """Return the digest of everything a built volume depends on."""
    digest = hashlib.sha256(f"{schema.VERSION} {version} ".encode())
    for path in (*further, *(HERE / name for name in inputs)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the rows of one of our small tables."""
    with open(HERE / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _keep(library: Library, id: str, wanted: str, write: Callable[[Draft], dict[str, Any]]) -> None:
    if _has(library, id, wanted):
        return
    draft = library.draft(id, wanted)
    try:
        library.refresh()
        if not _has(library, id, wanted):  # another start may have built it while we waited
            facts = write(draft)
            draft.end_loading()
            for sql in schema.LATE_INDEXES:
                draft.run(sql)
            draft.publish(facts)
    finally:
        draft.abandon()
    library.refresh()


def _has(library: Library, id: str, version: str) -> bool:
    return any(v.id == id and v.version == version for v in library.volumes())


def _write_openngc(draft: Draft, package: Package) -> dict[str, Any]:
    with closing(sqlite3.connect(f"{package.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM objects ORDER BY id")]
        types = dict(db.execute("SELECT type, typedesc FROM objTypes").fetchall())
    made = openngc.assemble(rows, types, version=package.version, corrections=read_csv("corrections.csv"),
                            aliases=read_csv("aliases.csv"))
    for table in ("entry", "name", "common"):
        draft.add(table, getattr(made, table))
    return {"name": f"OpenNGC (pyongc {package.version})", "release": package.version, "licence": "CC-BY-SA-4.0",
            "citation": "OpenNGC by Mattia Verga, through the package pyongc", "kind": "galaxy",
            "kinds": [schema.GALAXY, schema.OTHER], "frame": "hel", "convention": "z", **made.counts}


def _write_clusters(draft: Draft) -> dict[str, Any]:
    rows = read_csv("clusters.csv")
    made = clusters.assemble(rows)
    for table, found in made._asdict().items():
        draft.add(table, found)
    return {"name": "Clusters of galaxies (Cosmic Flows)", "release": "1", "licence": "BSD-3-Clause",
            "citation": "positions and mean redshifts from the literature, each with its reference", "kind": "cluster",
            "kinds": [schema.CLUSTER], "frame": "hel", "convention": "cz", "entries": len(rows), "velocities": len(rows)}

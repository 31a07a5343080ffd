"""Build the service's own SQLite file from the OpenNGC tables that the package pyongc carries.

`python -m catalog_svc` calls `ensure` at every start: the file is built once, in about a second, and again when an
input changed. OpenNGC's column `radvel` is the *relativistic* velocity, short of c z by 135 km/s at z = 0.03, so
velocities here come from `redshift` and nothing else.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cfcore.errors import InternalError

from . import tables

BUILDER_VERSION = 1
"""Raised whenever the tables of the file change their meaning; the store refuses any other."""

HERE = Path(__file__).parent
# The sources of the builder count among its inputs: whoever changes a spelling rule gets a new file.
_OWN_INPUTS = ("aliases.csv", "corrections.csv", "denied.csv", "build.py", "tables.py", "names.py", "families.py")

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE object (
    id INTEGER PRIMARY KEY, canonical TEXT NOT NULL, type TEXT NOT NULL, is_galaxy INTEGER NOT NULL,
    ra REAL, dec REAL, z_helio REAL, z_source TEXT, facts TEXT NOT NULL);
CREATE TABLE name (
    key TEXT NOT NULL, object INTEGER NOT NULL, is_redirect INTEGER NOT NULL, family TEXT, rank INTEGER, tail TEXT,
    is_hint INTEGER NOT NULL, has_velocity INTEGER NOT NULL, PRIMARY KEY (key, object)) WITHOUT ROWID;
CREATE TABLE common (
    short TEXT NOT NULL, full TEXT NOT NULL, shown TEXT NOT NULL, object INTEGER NOT NULL,
    is_galaxy INTEGER NOT NULL, has_velocity INTEGER NOT NULL, PRIMARY KEY (short, object, shown)) WITHOUT ROWID;
CREATE TABLE denied (full TEXT PRIMARY KEY, shown TEXT NOT NULL, what TEXT NOT NULL, instead TEXT NOT NULL)
    WITHOUT ROWID;
"""
_INDEX = "CREATE INDEX hint ON name (family, rank, tail, has_velocity) WHERE is_hint;"


@dataclass(frozen=True)
class Source:
    """Name the OpenNGC file and its release."""

    path: Path
    version: str


def find_source() -> Source:
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
            return Source(path, importlib.metadata.version("pyongc"))
    raise InternalError("the package pyongc, which carries the OpenNGC tables, is not installed; "
                        'run: pip install "cosmicflows[server]"', code="catalog_missing")


def fingerprint(source: Source) -> str:
    """Return the digest of everything the built file depends on."""
    digest = hashlib.sha256(f"{BUILDER_VERSION} {source.version} ".encode())
    for path in (source.path, *(HERE / name for name in _OWN_INPUTS)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def ensure(data: Path) -> Path:
    """Return the path of an up-to-date store under `data`, building it when missing or out of date.

    Parameters
    ----------
    data : Path
        The data folder; the file is ``data/catalog/openngc.sqlite``.

    Raises
    ------
    InternalError
        When pyongc is missing or the folder cannot be written.
    """
    source = find_source()
    wanted = fingerprint(source)
    target = data / "catalog" / "openngc.sqlite"
    if built_from(target) == wanted:
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target.with_suffix(".lock")):
            if built_from(target) != wanted:  # another start may have built it while we waited
                _replace(target, source, wanted)
    except OSError as error:
        raise InternalError(f"the catalogue cannot be built in {str(target.parent)!r:.200}: {error.strerror}; "
                            "give a writable folder with --data DIR", code="catalog_not_writable") from error
    return target


def built_from(path: Path) -> str | None:
    """Return the fingerprint a store was built from; None when there is no readable store."""
    if not path.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            row = db.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
            return str(row[0]) if row else None
    except sqlite3.Error:
        return None  # a torn or foreign file is rebuilt, not mended


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(target: Path, source: Source, wanted: str) -> None:
    draft = target.with_suffix(".draft")  # the lock makes us the only writer of this name
    draft.unlink(missing_ok=True)
    write(draft, source, wanted)
    with open(draft, "rb") as done:
        os.fsync(done.fileno())
    os.replace(draft, target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write(path: Path, source: Source, wanted: str) -> None:
    """Write a complete store to a new file."""
    with closing(sqlite3.connect(f"{source.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
        db.row_factory = sqlite3.Row
        rows = [dict(row) for row in db.execute("SELECT * FROM objects ORDER BY id")]
        types = dict(db.execute("SELECT type, typedesc FROM objTypes").fetchall())
    made = tables.assemble(rows, types, version=source.version, corrections=read_csv("corrections.csv"),
                           aliases=read_csv("aliases.csv"), denied=read_csv("denied.csv"))
    meta = {"fingerprint": wanted, "builder": str(BUILDER_VERSION), "name": f"OpenNGC (pyongc {source.version})",
            "version": source.version, "licence": "CC-BY-SA-4.0", **{k: str(v) for k, v in made.counts.items()}}
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # A draft that is torn is thrown away, so it needs no journal; it is synced once, when whole.
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _SCHEMA)
        db.execute("BEGIN")
        db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
        db.executemany("INSERT INTO object VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", made.objects)
        db.executemany("INSERT INTO name VALUES (?, ?, ?, ?, ?, ?, ?, ?)", made.names)
        db.executemany("INSERT INTO common VALUES (?, ?, ?, ?, ?, ?)", made.common)
        db.executemany("INSERT INTO denied VALUES (?, ?, ?, ?)", made.denied)
        db.execute("COMMIT")
        db.executescript(_INDEX + "ANALYZE;")


def read_csv(name: str) -> list[dict[str, str]]:
    """Return the rows of one of our small tables."""
    with open(HERE / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))

"""Volumes as SQLite files: each is written aside, synced, and listed in one small JSON file that is replaced atomically.

    DATA/catalog/volumes.json                 what is there, in order
    DATA/catalog/ID-SHA8-HEX.sqlite           one volume, read-only from the moment it is listed
    DATA/catalog/ID.draft                     a volume being written; the lock is its writer's
    DATA/catalog/write.lock

A writer that is killed leaves a draft that nobody reads and the next writer removes. Readers never lock and never wait.
"""

from __future__ import annotations

import fcntl
import logging
import math
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import orjson

from cfcore.errors import InternalError, TransientError

from . import schema
from .volumes import FIRST, Row, count_measured, families

LOG = logging.getLogger("catalog_svc")
_MMAP_BYTES = 1 << 30
_CACHE_KIB = 64 * 1024


class SqliteVolume:
    """Read one published file.

    Raises
    ------
    InternalError
        When the file is torn or of another version of the tables.
    FileNotFoundError
        When it has been replaced meanwhile.
    """

    def __init__(self, path: Path, record: dict[str, Any]) -> None:
        self.id, self.version, self.facts = str(record["id"]), str(record["version"]), dict(record["facts"])
        self.families = frozenset(self.facts["families"])
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(path)
        try:
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None,
                                       cached_statements=512, check_same_thread=False)
            self._db.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
            found = self._db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        except sqlite3.Error as error:
            raise broken(path, str(error)) from error
        if found is None or found[0] != self.version:
            raise broken(path, f"it holds version {found[0] if found else 'nothing'}, not {self.version}")
        cursor = self._db.cursor()
        self._execute, self._fetch = cursor.execute, cursor.fetchall

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query."""
        self._execute(sql, params)
        return self._fetch()

    def cone_sql(self) -> str | None:
        """Return None: the zone index serves cones."""
        return None

    def similar(self, short: str, limit: int) -> list[tuple[str, str]] | None:
        """Return None: SQLite compares no words."""
        return None

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class SqliteLibrary:
    """Hold the volumes of a data folder.

    Parameters
    ----------
    data : Path
        The data folder; the volumes lie in ``data/catalog``.
    """

    is_remote = False

    def __init__(self, data: Path) -> None:
        self.folder = data / "catalog"
        self._seen: tuple[int, ...] | None = None
        self._volumes: list[SqliteVolume] = []
        self.refresh()

    def volumes(self) -> Sequence[SqliteVolume]:
        """Return the open volumes in order."""
        return self._volumes

    def refresh(self) -> bool:
        """Open what was published since, close what was dropped."""
        for _ in range(20):
            stamp = self._stamp()
            if stamp == self._seen:
                return False
            records = listed(self.folder)
            try:
                self._open(records, missing_too=False)
            except FileNotFoundError:
                if self._stamp() != stamp:
                    continue  # replaced between the reading of the list and the opening
                self._open(records, missing_too=True)
            self._seen = stamp
            return True
        raise TransientError("the list of catalogues changes without end; try again", code="catalog_unavailable")

    def draft(self, id: str, version: str) -> SqliteDraft:
        """Begin a volume; waits while another writer is at work."""
        return SqliteDraft(self.folder, id, version)

    def drop(self, id: str) -> bool:
        """Take a volume out of the list and remove its file."""
        with _Writing(self.folder) as writing:
            records = listed(self.folder)
            kept = [r for r in records if r["id"] != id]
            if len(kept) < len(records):
                writing.list(kept)
        self.refresh()
        return len(kept) < len(records)

    def close(self) -> None:
        """Close every file."""
        for volume in self._volumes:
            volume.close()

    def _can_read(self, record: dict[str, Any]) -> bool:
        if record["facts"].get("schema") == schema.VERSION:
            return True
        if record["id"] in FIRST:
            return False  # it is built anew
        LOG.warning("catalogue %s was written for tables of version %s, this program reads %s: import it again",
                    record["id"], record["facts"].get("schema"), schema.VERSION)
        return False

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = os.stat(self.folder / "volumes.json")
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _open(self, records: list[dict[str, Any]], *, missing_too: bool) -> None:
        """Open what is listed; a file that is torn, or missing, is left out with a word in the log: the others go on."""
        here = {v.path.name: v for v in self._volumes}
        made: list[SqliteVolume] = []
        records = [r for r in records if self._can_read(r)]
        try:
            for record in records:
                if record["file"] in here:
                    continue
                try:
                    made.append(SqliteVolume(self.folder / record["file"], record))
                except InternalError as error:
                    LOG.warning("catalogue %s is left out: %s", record["id"], error.message)
                except FileNotFoundError:
                    if not missing_too:
                        raise
                    LOG.warning("catalogue %s is left out: its file %s is gone", record["id"], record["file"])
        except BaseException:
            for volume in made:
                volume.close()
            raise
        here |= {v.path.name: v for v in made}
        before, self._volumes = self._volumes, [here[r["file"]] for r in records if r["file"] in here]
        for volume in before:
            if volume not in self._volumes:
                volume.close()


class SqliteDraft:
    """Write one volume into a file of its own."""

    def __init__(self, folder: Path, id: str, version: str) -> None:
        self._writing = _Writing(folder)
        self._writing.begin()
        self._id, self._version, self._beside = id, version, False
        self._path = folder / f"{id}.draft"
        try:
            # opened by an address, so that ATTACH takes one too
            self._db = sqlite3.connect(f"{self._path.resolve().as_uri()}?mode=rwc", uri=True, isolation_level=None)
            # A torn draft is thrown away, so it needs no journal; it is synced once, when it is whole.
            self._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;"
                                   f"PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA temp_store = FILE; PRAGMA page_size = 4096;")
            for sql in schema.TABLES:
                self._db.execute(_local(sql))
            self._db.create_function("separation", 4, separation, deterministic=True)
            self._db.execute("BEGIN")
        except (sqlite3.Error, OSError) as error:
            self._writing.end()
            raise not_writable(folder, error) from error

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows to a table."""
        marks = ", ".join("?" * schema.WIDTHS[table])
        try:
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        except sqlite3.OperationalError as error:
            raise not_writable(self._path.parent, error) from error

    def end_loading(self) -> None:
        """Make the first indexes and the statistics."""
        for sql in schema.INDEXES:
            self.run(sql)
        self.run("ANALYZE main")

    def run(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run SQL over the draft and the volume beside it."""
        try:
            return self._db.execute(_local(sql), params).fetchall()
        except sqlite3.OperationalError as error:
            raise not_writable(self._path.parent, error) from error

    def beside(self, volume: SqliteVolume) -> None:
        """Attach a published volume as ``{k}``."""
        self.run("COMMIT")
        if self._beside:
            self._db.execute("DETACH known")
        self._db.execute("ATTACH ? AS known", (f"{volume.path.resolve().as_uri()}?mode=ro&immutable=1",))
        self._beside = True
        self._db.execute("BEGIN")

    def publish(self, facts: dict[str, Any]) -> None:
        """Sync the file, give it its name and list it."""
        folder, facts = self._path.parent, {**facts, "schema": schema.VERSION, "families": families(self),
                                              "distances": count_measured(self)}
        self.add("meta", [("version", self._version), ("schema", str(schema.VERSION)), ("facts", orjson.dumps(facts).decode())])
        self.run("ANALYZE main")
        self.run("COMMIT")
        if self._beside:
            self._db.execute("DETACH known")
        self._db.close()
        # the same version imported again may be linked to other objects: it is another file
        name = f"{self._id}-{self._version[:8]}-{os.urandom(3).hex()}.sqlite"
        records = listed(folder)
        record = {"id": self._id, "version": self._version, "file": name, "facts": facts}
        places = [i for i, r in enumerate(records) if r["id"] == self._id]
        if places:
            records[places[0]] = record
        else:
            records.append(record)
        records.sort(key=lambda r: FIRST.index(r["id"]) if r["id"] in FIRST else len(FIRST))
        try:
            with open(self._path, "rb") as whole:
                os.fsync(whole.fileno())
            os.chmod(self._path, 0o444)
            os.replace(self._path, folder / name)
        except OSError as error:
            raise not_writable(folder, error) from error
        self._writing.list(records)
        self._writing.end()

    def abandon(self) -> None:
        """Remove the draft; harmless after `publish`."""
        with suppress(sqlite3.Error):
            self._db.close()
        if self._writing.is_held:
            self._path.unlink(missing_ok=True)
            self._writing.end()


class _Writing:
    """Hold the right to write the list and the files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: IO[bytes] | None = None

    @property
    def is_held(self) -> bool:
        """Whether we are the writer."""
        return self._lock is not None

    def begin(self) -> None:
        """Wait until nobody else writes."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._folder / "write.lock", "ab")
        except OSError as error:
            raise not_writable(self._folder, error) from error
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._sweep()

    def end(self) -> None:
        """Let others write."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def list(self, records: list[dict[str, Any]]) -> None:
        """Replace the list of volumes, then remove the files it no longer names."""
        draft = self._folder / "volumes.json.draft"
        try:
            with open(draft, "wb") as file:
                file.write(orjson.dumps({"volumes": records}, option=orjson.OPT_INDENT_2))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._folder / "volumes.json")
            place = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(place)
            finally:
                os.close(place)
        except OSError as error:
            raise not_writable(self._folder, error) from error
        self._sweep()

    def _sweep(self) -> None:
        """Remove drafts of writers that were killed and volumes that are not listed; only our own kinds of names."""
        named = {r["file"] for r in listed(self._folder)}
        for path in self._folder.iterdir():
            if path.name.endswith((".draft", ".draft-journal")) or (path.suffix == ".sqlite" and path.name not in named):
                with suppress(OSError):  # what cannot be removed now is removed by the next writer
                    path.unlink(missing_ok=True)

    def __enter__(self) -> _Writing:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def listed(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the volumes that a folder lists.

    Raises
    ------
    InternalError
        When the list cannot be read.
    """
    try:
        text = (folder / "volumes.json").read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return []
    try:
        records: list[dict[str, Any]] = orjson.loads(text)["volumes"]
        if all(r["id"] and r["file"] and r["version"] and r["facts"] for r in records):
            return records
        raise KeyError
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InternalError("the list of catalogues, catalog/volumes.json in the data folder, cannot be read; restore it, or "
                            "remove it: OpenNGC is rebuilt then, and the other catalogues must be imported again",
                            code="catalog_broken") from error


def separation(ra: float, dec: float, ra2: float, dec2: float) -> float:
    """Return the angle between two directions, everything in degrees (haversine: exact for small angles too)."""
    a, b = math.radians(dec), math.radians(dec2)
    s = math.sin((b - a) / 2.0) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(ra2 - ra) / 2.0) ** 2
    return math.degrees(2.0 * math.asin(min(1.0, math.sqrt(s))))


def broken(path: Path, why: str) -> InternalError:
    """Return the error of a file that cannot be read."""
    return InternalError(f"the catalogue file {path.name!r:.200} cannot be read ({why}); OpenNGC is rebuilt at the next start, "
                         "another catalogue is imported again", code="catalog_broken")


def not_writable(folder: Path, error: Exception) -> TransientError:
    """Return the error of a folder that takes no file, or no more."""
    why = getattr(error, "strerror", None) or str(error)
    return TransientError(f"the catalogue cannot be written in {str(folder)!r:.200} ({why}); free space, or give a writable "
                          "folder with --data DIR", code="catalog_not_writable")


def _local(sql: str) -> str:
    # a bare name is the draft's own table, whatever else is attached
    return (sql.replace("{s}", "").replace("{k}", "known.").replace("{c}", "").replace("{w}", " WITHOUT ROWID")
            if "{" in sql else sql)

"""Volumes as schemas of a PostgreSQL database, for installations that share one catalogue.

    cosmicflows.volume            what is there, in order; cosmicflows.separation() for linking
    cf_ID_SHA8                    one volume: entry, name, common, meta; never changed once it is listed

A volume is written in one transaction, from CREATE SCHEMA to the row in the list and the DROP of the version before it, so
readers see all of it or nothing and a writer that is killed leaves no trace. Every thread reads by a connection of its own.
The address of the database holds its password: it is in no message, log, representation or command line.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, TransientError, UsageError

from . import postgres_sql, schema
from .volumes import CHANGED, FIRST, Row, count_measured, families

try:
    import psycopg
    from psycopg import errors, sql
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.types.numeric import Int8Dumper
except ImportError as error:  # psycopg itself, or the C library of PostgreSQL under it
    raise UsageError(f"catalogues in PostgreSQL need a library that cannot be loaded ({error}); run: "
                     "pip install 'cosmicflows[postgres]', or leave catalog_dsn empty", code="missing_library",
                     where="catalog_dsn") from error

LOG = logging.getLogger("catalog_svc")
OLDEST_SERVER = 130000
_CONNECT_S = 5
_PREPARE_AFTER = 2
_PREPARED_MAX = 500  # some 15 statements for each volume
_ID_MAX = 40  # identifiers end at 63 bytes
_PASSING = ("08", "25", "28", "3D", "40", "53", "57")
"""Classes of errors that pass: connection, idle transaction, password, database, deadlock, resources, shutdown."""


class PostgresVolume:
    """Read one schema; `alike` and `sphere` are where pg_trgm and pg_sphere live, when the volume is indexed by them."""

    def __init__(self, record: Row, reading: _Reading, alike: str | None, sphere: str | None) -> None:
        self.id, self.version, self.facts = str(record[0]), str(record[1]), dict(record[3])
        self.families = frozenset(self.facts["families"])
        self.prefix = _quoted(record[2]) + "."
        self._reading, self._texts = reading, dict[str, str]()
        self._alike = postgres_sql.alike(alike) if alike else None
        self._cone = postgres_sql.in_cone(sphere) if sphere else None

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query.

        Raises
        ------
        TransientError
            Codes ``catalog_changed``, when the volume has been replaced or dropped since, and ``catalog_unavailable``.
        """
        text = self._texts.get(sql)
        if text is None:
            text = self._texts[sql] = postgres_sql.translate(sql, self.prefix)
        return self._reading.rows(text, params)

    def cone_sql(self) -> str | None:
        """Return the condition of a cone by pg_sphere, None without it."""
        return self._cone

    def similar(self, short: str, limit: int) -> list[tuple[str, str]] | None:
        """Return common names that contain a text or share trigrams with it, None without pg_trgm."""
        if self._alike is None:
            return None
        return [(row[0], row[1]) for row in self.rows(self._alike, (short, postgres_sql.pattern(short), short, limit))]


class PostgresLibrary:
    """Hold the volumes of a database.

    Parameters
    ----------
    dsn : str
        ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.

    Raises
    ------
    BadParameter
        When the address cannot be read, or the database is too old or not in UTF-8.
    TransientError
        Code ``catalog_unavailable``.
    """

    is_remote = True

    def __init__(self, dsn: str) -> None:
        self._server = _Server(dsn)
        self._reading = _Reading(self._server)
        self._lock = threading.Lock()
        self._seen: list[Row] | None = None
        self._volumes: list[PostgresVolume] = []
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def volumes(self) -> Sequence[PostgresVolume]:
        """Return the volumes in order."""
        return self._volumes

    def refresh(self) -> bool:
        """Read the list of volumes."""
        with self._lock:
            records = self._listed()
            seen = [r[:3] for r in records]
            if seen == self._seen:
                return False
            indexed = {tuple(row) for row in self._reading.rows(postgres_sql.INDEXES_THERE)}
            places = {name: _quoted(place) for name, place in self._reading.rows(postgres_sql.EXTENSIONS_THERE)}
            self._volumes = [PostgresVolume(
                r, self._reading, places.get("pg_trgm") if (r[2], postgres_sql.TRIGRAM_INDEX) in indexed else None,
                places.get("pg_sphere") if (r[2], postgres_sql.SPHERE_INDEX) in indexed else None)
                for r in records if _can_read(r)]
            self._seen = seen
            return True

    def draft(self, id: str, version: str) -> PostgresDraft:
        """Begin a volume; waits while another writer is at work."""
        return PostgresDraft(self._server, id, version)

    def drop(self, id: str) -> bool:
        """Take a volume out of the list with its schema."""
        with self._server.errors(is_writing=True), self._server.writer() as db:
            former = _take_out(db, id) if _has_control(db) else None
            db.commit()
        self.refresh()
        return former is not None

    def close(self) -> None:
        """Close every connection."""
        self._reading.close()

    def _listed(self) -> list[Row]:
        try:
            return self._reading.rows(postgres_sql.VOLUMES)
        except TransientError as error:
            if error.code != CHANGED:
                raise
            return []  # nothing has been written into this database yet


class PostgresDraft:
    """Write one volume in one transaction."""

    def __init__(self, server: _Server, id: str, version: str) -> None:
        self._server, self._id, self._version, self._beside = server, id, version, ""
        self._db = server.writer()
        try:
            with self._server.errors(is_writing=True):
                if not _has_control(self._db):
                    for text in postgres_sql.MAKE_CONTROL:
                        self._db.execute(text)
                self._extensions = {name: place for name in ("pg_trgm", "pg_sphere") if (place := self._extension(name))}
                self._schema = self._free_name()
                self._prefix = _quoted(self._schema) + "."
                self._db.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(self._schema)))
            for table, _ in postgres_sql.TABLES_AND_KEYS:
                self.run(table)
        except BaseException:
            self.abandon()
            raise

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows to a table."""
        # nobody else can see the table yet, so its rows may be marked as old ones at once
        into = sql.SQL("COPY {}.{} FROM STDIN (FORMAT BINARY, FREEZE)").format(
            sql.Identifier(self._schema), sql.Identifier(table))
        with self._server.errors(is_writing=True), self._db.cursor() as cursor, cursor.copy(into) as copy:
            copy.set_types(postgres_sql.TYPES[table])
            for row in rows:
                copy.write_row(row)

    def end_loading(self) -> None:
        """Make the keys, the first indexes and the statistics."""
        for _, key in postgres_sql.TABLES_AND_KEYS:
            self.run(key)
        for text in schema.INDEXES:
            self.run(text)
        self._analyze()

    def run(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run SQL over the draft and the volume beside it."""
        with self._server.errors(is_writing=True):
            cursor = self._db.execute(postgres_sql.placed(sql, self._prefix, self._beside), params)
            return cursor.fetchall() if cursor.description else []

    def beside(self, volume: PostgresVolume) -> None:
        """Let SQL see a published volume as ``{k}``."""
        self._beside = volume.prefix

    def publish(self, facts: dict[str, Any]) -> None:
        """List the volume, drop the one it replaces, commit."""
        facts = {**facts, "schema": schema.VERSION, "families": families(self), "distances": count_measured(self)}
        self.add("meta", [("version", self._version), ("schema", str(schema.VERSION)), ("facts", json.dumps(facts))])
        for name, index in (("pg_trgm", postgres_sql.trigram_index), ("pg_sphere", postgres_sql.sphere_index)):
            if name in self._extensions:
                self.run(index(self._extensions[name]))
        self._analyze()
        with self._server.errors(is_writing=True):
            place = _take_out(self._db, self._id)
            if place is None and self._id in FIRST:
                place = FIRST.index(self._id)
            self._db.execute(
                "INSERT INTO cosmicflows.volume (id, version, schema_name, facts, place) VALUES (%s, %s, %s, %s, coalesce(%s, "
                f"(SELECT greatest(max(place) + 1, {len(FIRST)}) FROM cosmicflows.volume), {len(FIRST)}))",
                (self._id, self._version, self._schema, json.dumps(facts), place))
            self._db.commit()
        self._db.close()

    def abandon(self) -> None:
        """Undo all of it; harmless after `publish`."""
        self._db.close()  # the server rolls back what was not committed

    def _analyze(self) -> None:
        for table in postgres_sql.TYPES:
            self.run(f"ANALYZE {{s}}{table}")

    def _extension(self, name: str) -> str | None:
        """Return the quoted schema of an extension, which is made when we may; None when it cannot be had."""
        try:
            found = self._where(name)
            if found is None:
                with self._db.transaction():
                    self._db.execute(f"CREATE EXTENSION {name} SCHEMA {postgres_sql.CONTROL}")
                found = self._where(name)
        except (psycopg.ProgrammingError, psycopg.NotSupportedError, errors.UndefinedFile) as error:
            LOG.info("PostgreSQL goes on without the extension %s: %s", name, self._server.why(error))
            return None
        return found

    def _where(self, name: str) -> str | None:
        return next((_quoted(place) for known, place in self._db.execute(postgres_sql.EXTENSIONS_THERE) if known == name), None)

    def _free_name(self) -> str:
        wanted = f"cf_{self._id[:_ID_MAX]}_{self._version[:8]}"
        taken = {row[0] for row in self._db.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname::text, %s)",
                                                    (wanted,))}
        return next(name for i in range(len(taken) + 1) if (name := f"{wanted}_{i + 1}" if i else wanted) not in taken)


class _Server:
    """Know the address, and keep it to itself."""

    def __init__(self, dsn: str) -> None:
        try:
            self._address: dict[str, Any] = {"connect_timeout": _CONNECT_S, "application_name": "cosmicflows",
                                             "tcp_user_timeout": 10_000, **conninfo_to_dict(dsn)}
        except psycopg.Error:  # its message quotes what it could not read
            raise BadParameter("catalog_dsn cannot be read; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE and each of "
                               "/ : @ ? # % in a password as %2F %3A %40 %3F %23 %25", where="catalog_dsn") from None

    def __repr__(self) -> str:
        return "<the address of a database>"

    def connect(self) -> psycopg.Connection[Row]:
        """Return a new connection, in autocommit."""
        with self.errors():
            db = psycopg.connect(**self._address, autocommit=True, prepare_threshold=_PREPARE_AFTER)
        db.prepared_max = _PREPARED_MAX
        db.adapters.register_dumper(int, Int8Dumper)  # one type for every number, so one prepared statement
        encoding = db.info.parameter_status("server_encoding")
        if db.info.server_version >= OLDEST_SERVER and encoding == "UTF8":
            return db
        version = db.info.server_version // 10000
        db.close()
        raise BadParameter(f"catalog_dsn leads to PostgreSQL {version} with the encoding {encoding}; catalogues need PostgreSQL "
                           f"{OLDEST_SERVER // 10000} or later and a database made with ENCODING 'UTF8'", where="catalog_dsn")

    def writer(self) -> psycopg.Connection[Row]:
        """Return a connection in a transaction that no other writer shares; waits for the one at work."""
        db = self.connect()
        try:
            with self.errors(is_writing=True):
                db.autocommit = False
                settings = [*postgres_sql.WRITER_SETTINGS,
                            *(["client_connection_check_interval = '2s'"] if db.info.server_version >= 140000 else [])]
                db.execute("; ".join(f"SET LOCAL {s}" for s in settings))
                db.execute("SELECT pg_advisory_xact_lock(%s)", (postgres_sql.WRITER,))
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def errors(self, *, is_writing: bool = False) -> Iterator[None]:
        """Say what the library raises in the words of the house."""
        try:
            yield
        except psycopg.Error as error:
            raise self.refusal(error, is_writing=is_writing) from error

    def refusal(self, error: psycopg.Error, *, is_writing: bool = False) -> CosmicFlowsError:
        """Return the error of the house that stands for one of the library."""
        why = self.why(error)
        if is_writing and isinstance(error, (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction, errors.DiskFull)):
            return TransientError(f"the catalogue cannot be written into the database ({why}); give its user the right to CREATE "
                                  "in it (docs/postgresql.md), or free space", code="catalog_not_writable")
        if isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and (error.sqlstate or "08")[:2] in _PASSING:
            return TransientError(f"the database of the catalogues does not answer ({why}); ask again, and see that PostgreSQL "
                                  "runs and catalog_dsn is right", code="catalog_unavailable")
        if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName)):
            return TransientError("a catalogue was replaced or dropped while it was read; ask again", code=CHANGED)
        return InternalError(f"the database of the catalogues refused a statement ({why})", code="catalog_broken")

    def why(self, error: psycopg.Error) -> str:
        """Return what the server said, without the address."""
        said = error.diag.message_primary or str(error).split("\n", 1)[0].rpartition("failed: ")[2]
        for key in ("user", "dbname", "host", "hostaddr"):
            said = said.replace(f'"{self._address.get(key)}"', "***")
        password = self._address.get("password")
        return (said.replace(str(password), "***") if password else said).strip()[:300]


class _Reading:
    """Hold a connection for every thread that reads."""

    def __init__(self, server: _Server) -> None:
        self._server, self._mine, self._lock = server, threading.local(), threading.Lock()
        self._all: list[tuple[threading.Thread, psycopg.Connection[Row]]] = []

    def rows(self, text: str, params: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query; asks a second time when the connection turns out to be broken."""
        cursor: psycopg.Cursor[Row] | None = getattr(self._mine, "cursor", None)
        if cursor is not None:
            try:
                return cursor.execute(text, params).fetchall()
            except psycopg.Error as error:
                if not cursor.connection.closed:
                    raise self._server.refusal(error) from error
        cursor = self._open()
        with self._server.errors():
            return cursor.execute(text, params).fetchall()

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for _, db in self._all:
                db.close()
            self._all.clear()

    def _open(self) -> psycopg.Cursor[Row]:
        db = self._server.connect()
        with self._lock:
            for thread, other in self._all:
                if thread is threading.current_thread() or not thread.is_alive():
                    other.close()
            self._all = [(thread, other) for thread, other in self._all if not other.closed]
            self._all.append((threading.current_thread(), db))
        with self._server.errors():
            db.execute(postgres_sql.READER)
        self._mine.cursor = db.cursor()
        return self._mine.cursor


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _can_read(record: Row) -> bool:
    if record[3].get("schema") == schema.VERSION:
        return True
    LOG.warning("catalogue %s was written for tables of version %s, this program reads %s: import it again", record[0],
                record[3].get("schema"), schema.VERSION)
    return False


def _has_control(db: psycopg.Connection[Row]) -> bool:
    found = db.execute("SELECT to_regclass('cosmicflows.volume') IS NOT NULL").fetchone()
    return bool(found and found[0])


def _take_out(db: psycopg.Connection[Row], id: str) -> int | None:
    """Drop a volume in the transaction of a writer; return its place in the order, None when it is not there."""
    found = db.execute("DELETE FROM cosmicflows.volume WHERE id = %s RETURNING schema_name, place", (id,)).fetchone()
    if found is None:
        return None
    former = sql.Identifier(found[0])
    with suppress(errors.UndefinedTable, errors.InvalidSchemaName), db.transaction():  # somebody else removed it by hand
        # in the order in which queries name them: a reader that has one of them never waits for an earlier one
        for table in ("name", "common", "entry", "meta"):
            db.execute(sql.SQL("LOCK TABLE {}.{} IN ACCESS EXCLUSIVE MODE").format(former, sql.Identifier(table)))
    db.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(former))
    return int(found[1])

"""What only PostgreSQL has: an address with a password, rights, extensions, and a server that may go away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from made_catalogs import Line, Made, about
from postgres_server import USER, Server

from catalog_svc import importing, postgres_sql, schema, sky
from catalog_svc.importing import import_source
from catalog_svc.library import open_library
from catalog_svc.store import Store
from catalog_svc.volumes import Library
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError, TransientError

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("/nonexistent")
_NUMBERS = count(1)


@pytest.fixture
def dsn(postgres: Server) -> Iterator[str]:
    """Return the address of a database of one's own with the built-in catalogues."""
    name = f"pg{next(_NUMBERS)}"
    yield postgres.create(name, "built")
    postgres.drop(name)


@pytest.fixture
def library(dsn: str) -> Iterator[Library]:
    """Return the open library of `dsn`."""
    with closing(open_library(NOWHERE, dsn)) as opened:
        yield opened


def take(library: Library, lines: list[Line], version: str = "1") -> importing.Report:
    """Import lines as the catalogue ``deep``."""
    return import_source(library, Made(about("deep"), lines), version * 64)


def database_of(dsn: str) -> str:
    """Return the name in an address."""
    return urllib.parse.urlsplit(dsn).path[1:]


# --- SQL ---

@pytest.mark.parametrize(("ours", "theirs"), [
    ("SELECT 1 FROM entry e WHERE e.uid = ?", 'SELECT 1 FROM "s".entry e WHERE e.uid = %s'),
    ("FROM name n JOIN entry e ON e.id = n.entry", 'FROM "s".name n JOIN "s".entry e ON e.id = n.entry'),
    ("WHERE c.\"full\" >= ? AND a % 2 = ?", "WHERE c.\"full\" >= %s AND a %% 2 = %s"),
    ("SELECT '50% ? FROM name' FROM common", "SELECT '50%% ? FROM name' FROM \"s\".common"),
    ("SELECT 'it''s ?', \"a?%\"", "SELECT 'it''s ?', \"a?%%\""),
    ("SELECT name FROM names", "SELECT name FROM names")])
def test_house_sql_is_translated_token_by_token(ours: str, theirs: str) -> None:
    assert postgres_sql.translate(ours, '"s".') == theirs


def test_the_tables_are_as_the_binary_copy_takes_them_and_text_is_in_the_order_of_its_letters(postgres: Server,
                                                                                             library: Library, dsn: str) -> None:
    where = library.volumes()[0].prefix.strip('".')  # type: ignore[attr-defined]
    for table, types in postgres_sql.TYPES.items():
        found = postgres.manage("SELECT a.atttypid::regtype::oid::int, c.collname FROM pg_attribute a LEFT JOIN pg_collation c "
                                f"ON c.oid = a.attcollation WHERE a.attrelid = '\"{where}\".{table}'::regclass AND a.attnum > 0 "
                                "AND NOT a.attisdropped ORDER BY a.attnum", database_of(dsn))
        wanted = postgres.manage("SELECT " + ", ".join(f"'{t}'::regtype::oid::int" for t in types))[0]
        assert tuple(row[0] for row in found) == wanted
        assert len(types) == schema.WIDTHS[table]
        if table in ("name", "common"):
            assert {row[1] for row in found} == {None, "C"}
        primary = postgres.manage(f"SELECT 1 FROM pg_index WHERE indrelid = '\"{where}\".{table}'::regclass AND indisprimary",
                                  database_of(dsn))
        assert primary, table


def test_words_of_every_alphabet_stand_in_one_order(library: Library) -> None:
    names = ["Zeta", "alpha", "\u00c5ngstr\u00f6m", "Beta-1x", "beta", "\u03c9", "\U0001f30c one", "_", "Alpha"]
    take(library, [Line(n, 10.0 + i, 10.0, 5.0, (f"ROW {i}", n)) for i, n in enumerate(names)])

    shown = [row[0] for row in library.volumes()[2].rows("SELECT c.shown FROM common c ORDER BY c.shown")]

    assert shown == sorted(shown)


def test_readers_cannot_write(library: Library) -> None:
    with pytest.raises(CosmicFlowsError, match="read-only"):
        library.volumes()[0].rows("DELETE FROM entry e RETURNING e.id")


# --- extensions ---

def test_a_misspelled_name_is_looked_for_by_trigrams(library: Library) -> None:
    volume = library.volumes()[0]
    alike = volume.similar("andromida", 1000)

    assert alike is not None and ("andromeda", "Andromeda Galaxy") in alike
    assert alike == sorted(alike)
    assert len(alike) < len(volume.rows("SELECT c.short FROM common c")) / 3
    assert volume.similar("%", 10) == volume.similar("_", 10) == []


def test_without_extensions_all_answers_are_the_same(postgres: Server, library: Library, dsn: str) -> None:
    typos = ("Andromida", "sombraro", "Whirl", "Magellanic Cloud")
    cones = ((10.6, 41.2, 3.0), (0.0, 90.0, 2.0), (359.9, -5.0, 1.0))

    def answers(library: Library) -> tuple[Any, ...]:
        store = Store(library)
        return ([store.suggestions(t) for t in typos],
                [[(e[1:], apart) for e, apart in sky.cone(store.volumes, *c)] for c in cones])

    having = answers(library)
    assert (library.volumes()[0].cone_sql() is not None) == postgres.has_sphere()
    postgres.manage("DROP EXTENSION IF EXISTS pg_sphere CASCADE", database_of(dsn))
    postgres.manage("DROP EXTENSION pg_trgm CASCADE", database_of(dsn))

    with closing(open_library(NOWHERE, dsn)) as bare:
        assert bare.volumes()[0].cone_sql() is None and bare.volumes()[0].similar("andromida", 9) is None
        assert answers(bare) == having
        # what was opened before they went away says what to do, and goes on when it looks again
        take(bare, [Line("1", 10.0, 10.0)])
        assert bare.volumes()[2].similar("andromida", 9) == []  # made anew by the writer, who may
        assert bare.volumes()[2].cone_sql() is None  # who may not make this one


# --- rights ---

def test_a_reader_of_its_own_may_read_what_is_published_later_and_nothing_else(postgres: Server, library: Library,
                                                                              dsn: str) -> None:
    where, text = database_of(dsn), (ROOT / "docs" / "postgresql.md").read_text("utf-8")
    recipe = text.partition("<!-- reader -->")[2].partition("```sql")[2].partition("```")[0]
    assert "ALTER DEFAULT PRIVILEGES" in recipe
    recipe = recipe.replace("PASSWORD 'other'", f"PASSWORD '{postgres.password}'").replace("cosmicflows_reader", "visitor")
    recipe = recipe.replace("DATABASE cosmicflows", f"DATABASE {where}").replace("ROLE cosmicflows ", f"ROLE {USER} ")
    postgres.manage(recipe, where)
    take(library, [Line("1", 10.0, 10.0, 5.0, ("DEEP 1",))])

    try:
        with closing(open_library(NOWHERE, postgres.dsn(where, "visitor"))) as visitor:
            assert Store(visitor).resolve("DEEP 1")["canonical"] == "DEEP 1"
            with pytest.raises(TransientError, match="CREATE") as caught:
                visitor.draft("mine", "1" * 64)
            assert caught.value.code == "catalog_not_writable"
            with pytest.raises(TransientError) as caught:
                visitor.drop("deep")
            assert caught.value.code == "catalog_not_writable"
    finally:
        postgres.manage("DROP OWNED BY visitor CASCADE; DROP ROLE visitor", where)
    assert library.drop("deep")


def test_a_database_that_is_not_in_utf_8_is_refused(postgres: Server) -> None:
    postgres.manage(f"CREATE DATABASE old OWNER {USER} TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")

    with pytest.raises(BadParameter, match="LATIN1.*UTF8"):
        open_library(NOWHERE, postgres.dsn("old"))


def test_a_volume_of_other_tables_is_left_out_with_a_warning(postgres: Server, library: Library, dsn: str,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    take(library, [Line("1", 10.0, 10.0)])
    postgres.manage("UPDATE cosmicflows.volume SET version = 'x', facts = '{\"schema\": 1}' WHERE id = 'deep'", database_of(dsn))

    with closing(open_library(NOWHERE, dsn)) as other:
        assert [v.id for v in other.volumes()] == ["openngc", "clusters"]
    assert "deep was written for tables of version 1" in caplog.text
    assert library.refresh() and len(library.volumes()) == 2


# --- the password ---

@pytest.mark.parametrize("change", ["password", "user", "database", "host", "port", "garbage", "scheme"])
def test_no_message_holds_the_password(postgres: Server, change: str) -> None:
    secret = "Pa55!word"
    quoted = urllib.parse.quote(postgres.password, safe="")
    dsn = {"password": postgres.dsn().replace(quoted, urllib.parse.quote(secret)), "user": postgres.dsn("sky", "nobody_here"),
           "database": postgres.dsn("none_here"), "host": f"postgresql://u:{secret}@127.0.0.1:1/d",
           "port": f"postgresql://u:p/{secret}@localhost/d", "garbage": f"postgresql://u:{secret}@h/d?{secret}={secret}",
           "scheme": f"mysql://u:{secret}@h/d"}[change]

    with pytest.raises(CosmicFlowsError) as caught:
        open_library(NOWHERE, dsn)

    error: BaseException | None = caught.value
    assert caught.value.code in ("catalog_unavailable", "bad_parameter")
    while error is not None:
        said = f"{error} {error!r} {error.args}"
        assert secret not in said and postgres.password not in said and quoted not in said
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_no_representation_holds_the_address(library: Library, postgres: Server) -> None:
    for thing in (library, *vars(library).values(), library.volumes()[0], *vars(library.volumes()[0]).values()):
        assert postgres.password not in repr(thing) and str(postgres.folder) not in repr(thing)


# --- coming and going ---

def test_who_holds_a_replaced_volume_is_told_to_look_again(library: Library, dsn: str) -> None:
    take(library, [Line("1", 10.0, 10.0, 5.0, ("DEEP 1",))])
    held = library.volumes()[2]
    with closing(open_library(NOWHERE, dsn)) as other:
        take(other, [Line("1", 10.0, 10.0, 6.0, ("DEEP 1",))], "2")

    with pytest.raises(TransientError) as caught:
        held.rows("SELECT e.id FROM entry e")

    assert caught.value.code == "catalog_changed"
    assert library.refresh() and not library.refresh()
    assert library.volumes()[2].version == "2" * 64
    assert library.volumes()[0].rows("SELECT COUNT(*) FROM entry e")[0][0] > 10_000


def test_threads_have_connections_of_their_own_and_take_them_along(library: Library, postgres: Server, dsn: str) -> None:
    def connections() -> int:
        return int(str(postgres.manage(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database_of(dsn)}'")[0][0]))

    store = Store(library)
    found: list[str] = []
    for _ in range(3):
        threads = [threading.Thread(target=lambda: found.append(store.resolve("M 31")["canonical"])) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == ["NGC 224"] * 24
    assert connections() <= 1 + 8 + 8
    library.close()
    deadline = time.monotonic() + 10
    while connections():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_library_survives_a_crash_of_the_server(library: Library, postgres: Server) -> None:
    store = Store(library)
    assert store.resolve("M 31")["canonical"] == "NGC 224"

    postgres.stop()
    try:
        with pytest.raises(TransientError) as caught:
            store.resolve("M 31")
        assert caught.value.code == "catalog_unavailable"
        with pytest.raises(TransientError):
            library.refresh()
        with pytest.raises(TransientError) as caught:
            take(library, [Line("1", 10.0, 10.0)])
        assert caught.value.code == "catalog_unavailable"
    finally:
        postgres.start()

    assert store.resolve("M 31")["canonical"] == "NGC 224"
    assert library.refresh() is False
    postgres.stop()
    postgres.start()
    assert store.resolve("NGC 4993")["canonical"] == "NGC 4993"  # asked again over a new connection, unseen


def test_an_import_that_loses_its_server_stores_nothing(library: Library, postgres: Server) -> None:
    def stop(rows: int) -> None:
        if rows > 20:
            postgres.stop()

    lines = [Line(f"D{i}", float(i), 0.0) for i in range(60)]
    try:
        with pytest.raises(TransientError) as caught:
            import_source(library, Made(about("deep"), lines, per_batch=15), "1" * 64, progress=stop)
        assert caught.value.code == "catalog_unavailable"
    finally:
        postgres.start()

    library.refresh()
    assert [v.id for v in library.volumes()] == ["openngc", "clusters"]
    assert take(library, lines).n_new == 60


# --- the service ---

@contextmanager
def service(dsn: str, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
    """Run the catalogue service; yield the process, its socket and its log."""
    path, log = folder / "sock", folder / "log"
    with open(log, "wb") as said:
        process = subprocess.Popen([sys.executable, "-W", "error", "-m", "catalog_svc", "--data", str(folder / "data"),
                                    "--listen", f"unix:{path}"], cwd=ROOT, stderr=said, env={**os.environ, "CATALOG_DSN": dsn})
    try:
        deadline = time.monotonic() + 60
        while "ready on" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield process, path, log
    finally:
        process.terminate()
        process.wait(20)


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("catalogue", timeout=30)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def get(path: Path, url: str, **params: object) -> tuple[int, dict[str, Any]]:
    """Ask the service; return status and answer."""
    with closing(_Connection(path)) as connection:
        connection.request("GET", f"{url}?{urllib.parse.urlencode(params)}")
        response = connection.getresponse()
        return response.status, json.loads(response.read())


@pytest.mark.timeout(120)
def test_the_service_builds_into_an_empty_database_serves_and_survives_a_restart_of_it(postgres: Server, tmp_path: Path) -> None:
    dsn = postgres.create("fresh")
    with service(dsn, tmp_path) as (process, path, log):
        assert get(path, "/v1/resolve", name="M 31")[1]["canonical"] == "NGC 224"
        assert get(path, "/v1/hints", name="MESSIER", limit=2)[1]["hints"] == ["MESSIER 031", "MESSIER 032"]
        assert get(path, "/v1/cone", ra=10.68, dec=41.27, radius=0.1)[1]["objects"][0]["name"] == "NGC 224"

        with closing(open_library(NOWHERE, dsn)) as library:  # an import elsewhere is seen within a second
            take(library, [Line("1", 100.0, 10.0, 5.0, ("DEEP 1",))])
            deadline = time.monotonic() + 5
            while get(path, "/v1/resolve", name="DEEP 1")[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            library.drop("deep")
        while get(path, "/v1/resolve", name="DEEP 1")[0] != 404:
            assert time.monotonic() < deadline + 5
            time.sleep(0.05)

        postgres.stop()
        try:
            for url, params in (("/v1/resolve", {"name": "M 31"}), ("/v1/hints", {"name": "M"}), ("/v1/detail", {"name": "LMC"}),
                                ("/v1/cone", {"ra": 1, "dec": 1, "radius": 1})):
                status, answer = get(path, url, **params)
                assert (status, answer["code"], answer["kind"]) == (503, "catalog_unavailable", "transient")
                assert postgres.password not in str(answer) and str(postgres.folder) not in str(answer)
            assert get(path, "/livez")[0] == 200
            time.sleep(2.2)  # some looks at the list of catalogues
        finally:
            postgres.start()
        deadline = time.monotonic() + 10
        while get(path, "/v1/resolve", name="M 31")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.8)

        command = Path(f"/proc/{process.pid}/cmdline")
        if command.exists():
            assert postgres.password.encode() not in command.read_bytes()
    said = log.read_text()
    assert postgres.password not in said and urllib.parse.quote(postgres.password, safe="") not in said
    assert "Traceback" not in said
    assert said.count("cannot be looked through now") == said.count("can be looked through again") == 1
    assert not (tmp_path / "data" / "catalog").exists()
    postgres.drop("fresh")


def test_a_service_without_its_database_says_so_and_ends(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'cosmicflows[postgres]'")
    done = subprocess.run([sys.executable, "-m", "catalog_svc", "--data", str(tmp_path), "--listen", f"unix:{tmp_path}/s"],
                          env={**os.environ, "CATALOG_DSN": "postgresql://me:s3cret@127.0.0.1:1/sky"}, cwd=ROOT,
                          capture_output=True, text=True, timeout=60)

    assert done.returncode == 2
    assert "does not answer" in done.stderr and "s3cret" not in done.stderr and "Traceback" not in done.stderr


def test_a_missing_library_is_named_with_the_command_that_brings_it() -> None:
    code = ("import sys; sys.modules['psycopg'] = None\n"
            "from pathlib import Path; from catalog_svc.library import open_library; from cfcore.errors import UsageError\n"
            "try: open_library(Path('/nonexistent'), 'postgresql://u:p@h/d')\n"
            "except UsageError as error: print(error.code, error.message)")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert done.stdout.startswith("missing_library ") and "pip install 'cosmicflows[postgres]'" in done.stdout, done.stderr


def test_a_statement_that_is_refused_is_our_fault_and_says_why(library: Library) -> None:
    with pytest.raises(InternalError, match="refused a statement") as caught:
        library.volumes()[0].rows("SELECT nothing FROM entry e")
    assert caught.value.code == "catalog_broken"

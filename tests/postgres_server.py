"""A PostgreSQL of our own for the tests: a cluster in a temporary folder, on a unix socket, gone with the tests."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

USER, DATABASE = "galaxies", "sky"
# Durability is not under test: a server that is killed with its machine may lose what it had.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=60",
         "listen_addresses=", "wal_level=minimal", "max_wal_senders=0", "autovacuum=off", "checkpoint_timeout=1h",
         "max_wal_size=2GB")
# The shell ends the server when its own input ends, which it does however the tests come to an end.
_GUARD = 'exec 3<&0; "$@" </dev/null & pid=$!; read _ <&3; kill -QUIT $pid; wait $pid'


def programs() -> Path:
    """Return the folder of initdb and postgres; skip the test where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    for folder in folders:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    pytest.skip("PostgreSQL is not installed here (sh deploy/test_tools.sh installs it)")


class Server:
    """Run one cluster; `stop` and `start` it at will.

    Parameters
    ----------
    folder : Path
        Empty, and allowed for the account that the server runs as.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._bin, self.password = folder, programs(), "p/w:" + secrets.token_urlsafe(12)
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL does not run as root
        self._as: dict[str, object] = {}
        if os.getuid() == 0:
            account = next(a for a in (*(a for a in pwd.getpwall() if a.pw_name == "postgres"), pwd.getpwnam("nobody")))
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        secret = folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # in a folder that nobody else may enter
        self._run("initdb", "-D", str(folder / "data"), "-U", "postgres", "-E", "UTF8", "--locale=C", "-N",
                  "--auth-local=scram-sha-256", f"--pwfile={secret}")
        self.start()
        self.manage(f"CREATE ROLE {USER} LOGIN PASSWORD '{self.password}'")
        self.create(DATABASE)

    def dsn(self, database: str = DATABASE, user: str = USER) -> str:
        """Return the address of a database."""
        return f"postgresql://{user}:{quote(self.password, safe='')}@/{database}?host={self.folder}"

    def create(self, database: str, template: str = "", *, sphere: bool = True) -> str:
        """Make a database, perhaps as a copy; return its address."""
        # words in the order of a dictionary, as most databases have them: what needs another order must ask for it
        dictionary = "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'" if self._version() >= 15 else ""
        like = f"TEMPLATE {template}" if template else f"TEMPLATE template0 {dictionary}"
        self.manage(f"CREATE DATABASE {database} OWNER {USER} {like}")
        if sphere and not template and self.has_sphere():
            self.manage("CREATE EXTENSION IF NOT EXISTS pg_sphere", database)  # the owner of a database may not
        return self.dsn(database)

    def drop(self, database: str) -> None:
        """Remove a database with everybody in it."""
        self.manage(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def has_sphere(self) -> bool:
        """Return whether the extension pg_sphere is installed beside the server."""
        return bool(self.manage("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_sphere'"))

    def manage(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        import psycopg
        with psycopg.connect(self.dsn(database, "postgres"), autocommit=True) as db:
            cursor = db.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [part for setting in (*_FAST, f"unix_socket_directories={self.folder}") for part in ("-c", setting)]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(["/bin/sh", "-c", _GUARD, "sh", str(self._bin / "postgres"), "-D",
                                              str(self.folder / "data"), *options], stdin=subprocess.PIPE, stdout=log, stderr=log,
                                             cwd="/", **self._as)  # type: ignore[call-overload]
        deadline = time.monotonic() + 30
        while not (self.folder / ".s.PGSQL.5432").exists() or not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End the server at once, as a crash of it would."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                # it is ours, by the file in its own folder; nothing in it is worth more patience
                os.kill(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
                self._process.kill()
                self._process.wait(10)
            self._process = None

    def _version(self) -> int:
        return int(str(self.manage("SHOW server_version_num")[0][0])) // 10000

    def _answers(self) -> bool:
        import psycopg
        try:
            self.manage("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self._bin / program), *arguments], check=True, capture_output=True, cwd="/", **self._as)  # type: ignore[call-overload]


@contextmanager
def server() -> Iterator[Server]:
    """Run a server for as long as the block lasts; skip the test where it or the library to reach it is missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'cosmicflows[postgres]'")
    programs()
    folder = Path(tempfile.mkdtemp(prefix="cf-pg-"))
    running: Server | None = None
    try:
        running = Server(folder)
        yield running
    finally:
        if running is not None:
            running.stop()
        shutil.rmtree(folder, ignore_errors=True)


def tables(addresses: Sequence[str]) -> list[int]:
    """Return how many schemas of volumes each database holds."""
    import psycopg
    out = []
    for address in addresses:
        with psycopg.connect(address, autocommit=True) as db:
            found = db.execute(r"SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'cf\_%'").fetchone()
            out.append(int(found[0]) if found else 0)
    return out

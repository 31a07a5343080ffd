"""Who is known here: users, their tokens and the server's secret, in one SQLite file that the gateway and the commands share.

Nothing in it lets anybody in but the secret: passwords are kept as `passwords` hashes them, tokens as their SHA-256. A gateway
reads the file anew as soon as another process has changed it, so that what is revoked is refused from the next request on.
What a caller may do with an account is told in `callers`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cfcore.errors import TransientError, UsageError

from .store import connect

DATABASE = "accounts.db"
VERSION = 1
SCOPES = ("read", "submit", "admin")
PREFIX = "cf_"
"""Begins every token, so that programs that look for leaked secrets can tell one."""
TOKEN_BYTES = 32
QUEUE_BYTES = 20
SECRET_BYTES = 32
REMEMBERED = 4096
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE user (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE COLLATE NOCASE, password TEXT NOT NULL, scopes TEXT NOT NULL,
  rows_per_hour REAL, generation INTEGER NOT NULL, queue_sha BLOB UNIQUE, created REAL NOT NULL, last_used REAL);
CREATE TABLE token (
  id INTEGER PRIMARY KEY AUTOINCREMENT, user INTEGER REFERENCES user (id) ON DELETE CASCADE, label TEXT NOT NULL,
  sha BLOB NOT NULL UNIQUE, scopes TEXT NOT NULL, rows_per_hour REAL, created REAL NOT NULL, expires REAL, last_used REAL);
"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """Hold what is known of a user; `rows_per_hour` is None where the setting of the server holds."""

    id: int
    name: str
    password: str
    scopes: frozenset[str]
    rows_per_hour: float | None
    generation: int
    created: float
    last_used: float | None


@dataclass(frozen=True, slots=True)
class Token:
    """Hold what is known of a token; `id` 0 is a user's queue token, which is derived and not stored."""

    id: int
    user: User | None
    label: str
    sha: bytes
    scopes: frozenset[str]
    rows_per_hour: float | None
    created: float
    expires: float | None
    last_used: float | None


class Accounts:
    """Read and change the accounts of a data directory; one object serves one thread at a time.

    Parameters
    ----------
    folder : Path
        The data directory. The file is made by the first change; until then nobody is known.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / DATABASE
        self._db: sqlite3.Connection | None = None
        self._seen: tuple[int, ...] = ()
        self._tokens: OrderedDict[bytes, Token] = OrderedDict()
        self._has_admin: bool | None = None

    def __enter__(self) -> Accounts:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
        self._db, self._seen = None, ()
        self._forget()

    def look(self) -> None:
        """See whether the file has changed since the last look, by whatever process; forget what was remembered when it has.

        Raises
        ------
        TransientError
            Code ``accounts_unavailable``.
        """
        with _failures():
            try:
                found = os.stat(self.path)
            except FileNotFoundError:
                self.close()
                return
            where = found.st_dev, found.st_ino
            if self._db is None or self._seen[:2] != where:
                self.close()
                self._db = self._opened()
            if self._db is not None:
                now = *where, self._db.execute("PRAGMA data_version").fetchone()[0]
                if now != self._seen:
                    self._forget()
                    self._seen = now

    # ---- who is it -----------------------------------------------------------------------------------------------

    def token(self, presented: str) -> Token | None:
        """Return the token whose secret was presented, expired or not; None when there is none.

        It is found by its SHA-256, which nobody can steer towards a stored one letter by letter, and the digests, all of one
        length, are compared in constant time once more.
        """
        self.look()
        if self._db is None:
            return None
        sha = digest(presented)
        token = self._tokens.get(sha)
        if token is None:
            with _failures():
                token = self._find(sha)
            if token is None:
                return None
            self._tokens[sha] = token
            if len(self._tokens) > REMEMBERED:
                self._tokens.popitem(last=False)
        return token if hmac.compare_digest(token.sha, sha) else None

    def user(self, name: str) -> User | None:
        """Return a user by name, in whatever case it is written."""
        return self._user("name = ?", name)

    def user_by_id(self, id: int) -> User | None:
        """Return a user by number."""
        return self._user("id = ?", id)

    def has_admin(self) -> bool:
        """Tell whether any user or token has the scope admin."""
        self.look()
        if self._has_admin is None:
            self._has_admin = any("admin" in scopes for scopes in (*(user.scopes for user in self.users()),
                                                                   *(token.scopes for token in self.tokens())))
        return self._has_admin

    def users(self) -> list[User]:
        """Return all users, oldest first."""
        return [_user(row) for row in self._rows("SELECT * FROM user ORDER BY id")]

    def tokens(self) -> list[Token]:
        """Return all tokens but the derived ones, oldest first."""
        users = {user.id: user for user in self.users()}
        return [_token(row, users.get(row["user"])) for row in self._rows("SELECT * FROM token ORDER BY id")]

    def queue_token(self, user: User) -> str:
        """Return the token that the queue's protocol gives back on every call: derived, so that it need not be stored."""
        row = next(iter(self._rows("SELECT value FROM meta WHERE key = 'secret'")))
        return _derived(row["value"], user.id, user.generation)

    # ---- changes ---------------------------------------------------------------------------------------------------

    def add_user(self, name: str, password: str, scopes: frozenset[str], rows_per_hour: float | None = None) -> User:
        """Add a user, whose password is hashed already.

        Raises
        ------
        UsageError
            Codes ``bad_user_name``, ``user_exists``.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"a user cannot be called {name!r:.80}; take 1 to 64 of A-Z a-z 0-9 . _ @ + -, the first a letter "
                             "or a digit", code="bad_user_name", where="name")
        with self._change() as db:
            try:
                added = db.execute("INSERT INTO user (name, password, scopes, rows_per_hour, generation, created) VALUES "
                                   "(?, ?, ?, ?, 1, ?)", (name, password, _joined(scopes), rows_per_hour, time.time()))
            except sqlite3.IntegrityError:
                raise UsageError(f"there is a user {name} already; change the password with: cosmicflows users password {name}",
                                 code="user_exists", where="name") from None
            assert added.lastrowid is not None
            self._derive(db, added.lastrowid)
        return self.named(name)

    def named(self, name: str) -> User:
        """Return a user by name.

        Raises
        ------
        UsageError
            Code ``unknown_user``.
        """
        user = self.user(name)
        if user is None:
            raise UsageError(f"there is no user {name!r:.80}; cosmicflows users list tells who there is", code="unknown_user",
                             where="name")
        return user

    def remove_user(self, user: User) -> int:
        """Remove a user with all tokens; return how many these were. The number is never given to anybody else."""
        with self._change() as db:
            n = db.execute("SELECT COUNT(*) FROM token WHERE user = ?", (user.id,)).fetchone()[0]
            db.execute("DELETE FROM user WHERE id = ?", (user.id,))
        return int(n)

    def set_password(self, user: User, password: str) -> None:
        """Set a hashed password; the queue token, which was got for the old one, is renewed with it."""
        with self._change() as db:
            db.execute("UPDATE user SET password = ? WHERE id = ?", (password, user.id))
            self._derive(db, user.id, renew=True)

    def renew_queue_token(self, user: User) -> None:
        """Revoke the queue token of a user: the next log-in gets another."""
        with self._change() as db:
            self._derive(db, user.id, renew=True)

    def change_user(self, user: User, scopes: frozenset[str], rows_per_hour: float | None) -> None:
        """Set what a user may."""
        with self._change() as db:
            db.execute("UPDATE user SET scopes = ?, rows_per_hour = ? WHERE id = ?", (_joined(scopes), rows_per_hour, user.id))

    def add_token(self, user: User | None, scopes: frozenset[str], *, label: str = "", expires: float | None = None,
                  rows_per_hour: float | None = None) -> tuple[int, str]:
        """Make a token; return its number and, this once, its secret."""
        secret = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        with self._change() as db:
            added = db.execute("INSERT INTO token (user, label, sha, scopes, rows_per_hour, created, expires) VALUES "
                               "(?, ?, ?, ?, ?, ?, ?)", (None if user is None else user.id, label, digest(secret),
                                                         _joined(scopes), rows_per_hour, time.time(), expires))
            assert added.lastrowid is not None
            return added.lastrowid, secret

    def revoke_token(self, id: int) -> None:
        """Forget a token.

        Raises
        ------
        UsageError
            Code ``unknown_token``.
        """
        with self._change() as db:
            if not db.execute("DELETE FROM token WHERE id = ?", (id,)).rowcount:
                raise UsageError(f"there is no token {id}; cosmicflows tokens list tells which there are", code="unknown_token",
                                 where="token")

    def used(self, moments: Iterable[tuple[str, int, float]]) -> None:
        """Note when users and tokens were used: ("user" or "token", number, time)."""
        if not self.path.exists():  # it was taken away meanwhile; nobody is known any more
            return
        with self._change() as db:
            for table, id, when in moments:
                db.execute(f"UPDATE {'user' if table == 'user' else 'token'} SET last_used = ? WHERE id = ?", (when, id))

    # ---- the file --------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._has_admin = None
        self._tokens.clear()

    def _opened(self) -> sqlite3.Connection | None:
        """Return the file, unless it is only about to be made: then nobody is known yet."""
        db = connect(self.path, "rw")
        if db.execute("PRAGMA user_version").fetchone()[0]:
            return db
        db.close()
        return None

    def _find(self, sha: bytes) -> Token | None:
        for row in self._rows("SELECT * FROM token WHERE sha = ?", sha):
            return _token(row, None if row["user"] is None else self.user_by_id(row["user"]))
        for row in self._rows("SELECT * FROM user WHERE queue_sha = ?", sha):
            user = _user(row)
            return Token(0, user, "queue", bytes(row["queue_sha"]), user.scopes - {"admin"}, user.rows_per_hour, user.created,
                         None, user.last_used)
        return None

    def _user(self, where: str, value: object) -> User | None:
        return next((_user(row) for row in self._rows(f"SELECT * FROM user WHERE {where}", value)), None)

    def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        self.look()
        if self._db is None:
            return []
        with _failures():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction, on a file that is made if need be, for its owner alone to read."""
        with _failures():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # once it is there only SQLite opens it: to close any descriptor of the file frees every lock that this process has
            # on it (POSIX), and another process would take away the log which we still read
            if not self.path.exists():
                with suppress(FileExistsError):
                    os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with closing(connect(self.path, "rw")) as db:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA foreign_keys = ON")
                with _transaction(db):
                    _prepare(db)
                with _transaction(db):
                    yield db

    def _derive(self, db: sqlite3.Connection, id: int, renew: bool = False) -> None:
        """Write by what the queue token of a user is found; a new one if asked."""
        db.execute("UPDATE user SET generation = generation + ? WHERE id = ?", (int(renew), id))
        generation = db.execute("SELECT generation FROM user WHERE id = ?", (id,)).fetchone()[0]
        secret = db.execute("SELECT value FROM meta WHERE key = 'secret'").fetchone()[0]
        db.execute("UPDATE user SET queue_sha = ? WHERE id = ?", (digest(_derived(secret, id, generation)), id))


def digest(token: str) -> bytes:
    """Return what is kept of a token: its SHA-256. It is random, so that no slow hash is needed."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def _prepare(db: sqlite3.Connection) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise UsageError(f"the accounts were stored by a newer version of the program (format {found}, here {VERSION}); use that "
                         "one", code="accounts_newer")
    if not found:
        for statement in filter(str.strip, TABLES.split(";")):
            db.execute(statement)
        db.execute("INSERT INTO meta VALUES ('secret', ?)", (os.urandom(SECRET_BYTES),))
        db.execute(f"PRAGMA user_version = {VERSION}")


def _derived(secret: bytes, id: int, generation: int) -> str:
    text = f"queue token {id} {generation}".encode()
    return hmac.new(secret, text, hashlib.sha256).digest()[:QUEUE_BYTES].hex()


def _user(row: sqlite3.Row) -> User:
    return User(row["id"], row["name"], row["password"], _scopes(row["scopes"]), row["rows_per_hour"], row["generation"],
                row["created"], row["last_used"])


def _token(row: sqlite3.Row, user: User | None) -> Token:
    # what the user may no longer, the token may no longer either
    scopes = _scopes(row["scopes"]) & (frozenset(SCOPES) if user is None else user.scopes)
    own = row["rows_per_hour"]
    return Token(row["id"], user, row["label"], bytes(row["sha"]), scopes, user.rows_per_hour if own is None and user else own,
                 row["created"], row["expires"], row["last_used"])


def _scopes(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _joined(scopes: frozenset[str]) -> str:
    return " ".join(scope for scope in SCOPES if scope in scopes)


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def _failures() -> Iterator[None]:
    """Say in our words that the file cannot be used; nobody is let in meanwhile, and nobody is taken for anonymous."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        why = getattr(error, "strerror", None) or error
        raise TransientError(f"the accounts cannot be read or written now ({why}); try again in a moment",
                             code="accounts_unavailable") from error

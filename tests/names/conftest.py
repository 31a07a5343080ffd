"""One catalogue for the whole session, built as the service builds it, in each of the two kinds of library."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import postgres_server
import pytest
from made_catalogs import Place

from catalog_svc import build
from catalog_svc.library import open_library
from catalog_svc.sqlite import SqliteLibrary
from catalog_svc.store import Store
from catalog_svc.volumes import Library

KINDS = ("sqlite", "postgres")
_NUMBERS = count(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the built-in catalogues."""
    folder = tmp_path_factory.mktemp("data")
    with closing(SqliteLibrary(folder)) as library:
        build.ensure(library)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_server.Server]:
    """Return a running PostgreSQL with a database ``built`` that holds the built-in catalogues and has no visitors."""
    with postgres_server.server() as server:
        with closing(open_library(server.folder, server.create("built"))) as library:
            build.ensure(library)
        yield server


@pytest.fixture(scope="session", params=KINDS)
def store(request: pytest.FixtureRequest, data: Path) -> Iterator[Store]:
    """Return the open store of the session, over files and over PostgreSQL: both must answer alike."""
    server = request.getfixturevalue("postgres") if request.param == "postgres" else None
    with closing(open_library(data, server.create(f"shown_{secrets.token_hex(4)}", "built") if server else "")) as library:
        yield Store(library)


@pytest.fixture(scope="session")
def file_store(data: Path) -> Iterator[Store]:
    """Return an open store over files, for what would take minutes over a socket."""
    with closing(SqliteLibrary(data)) as library:
        yield Store(library)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, data: Path, tmp_path: Path) -> Iterator[Place]:
    """Return a library of one's own with the built-in catalogues, to write into."""
    if request.param == "sqlite":
        shutil.copytree(data, tmp_path / "data")
        yield Place(tmp_path / "data")
        return
    server, name = request.getfixturevalue("postgres"), f"own{next(_NUMBERS)}"
    yield Place(tmp_path / "data", server.create(name, "built"))
    server.drop(name)


@pytest.fixture
def library(place: Place) -> Iterator[Library]:
    """Return the open library of `place`."""
    with closing(place.open()) as opened:
        yield opened


@pytest.fixture(scope="session")
def openngc() -> list[sqlite3.Row]:
    """Return the rows of OpenNGC itself: the oracle of these tests."""
    with closing(sqlite3.connect(f"{build.find_package().path.as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM objects ORDER BY id").fetchall()

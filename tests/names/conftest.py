"""One catalogue for the whole session, built as the service builds it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from catalog_svc import build
from catalog_svc.store import Store


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a built catalogue."""
    folder = tmp_path_factory.mktemp("data")
    build.ensure(folder)
    return folder


@pytest.fixture(scope="session")
def store(data: Path) -> Iterator[Store]:
    """Return the open store of the session."""
    opened = Store(build.ensure(data))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def openngc() -> list[sqlite3.Row]:
    """Return the rows of OpenNGC itself: the oracle of these tests."""
    with closing(sqlite3.connect(f"{build.find_source().path.as_uri()}?mode=ro", uri=True)) as db:
        db.row_factory = sqlite3.Row
        return db.execute("SELECT * FROM objects ORDER BY id").fetchall()

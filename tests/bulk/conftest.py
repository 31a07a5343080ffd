"""A seeded table of forty row groups, and what an undisturbed run makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_runs import EMPTY, PARTS, ROWS, Bulk, made_table, write

from cfcore.registry import Registry


@pytest.fixture(scope="session")
def bulk_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with the embedded field."""
    data = tmp_path_factory.mktemp("bulk_data")
    Registry(data).ensure_ongc_linear()
    return data


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Parquet file of forty row groups, one of them empty."""
    return write(tmp_path_factory.mktemp("in") / "t.parquet", *made_table(PARTS, ROWS, EMPTY))


@pytest.fixture
def bulk(bulk_data: Path, tmp_path: Path) -> Iterator[Bulk]:
    """Return a way to start commands."""
    logs = tmp_path / "logs"
    logs.mkdir()
    at = Bulk(bulk_data, logs)
    yield at
    at.kill_all()


@pytest.fixture(scope="session")
def undisturbed(bulk_data: Path, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that nothing disturbed."""
    home = tmp_path_factory.mktemp("undisturbed")
    at = Bulk(bulk_data, home)
    try:
        code, said = at.run(table, home / "out", "--workers", 2)
    finally:
        at.kill_all()
    assert code == 1 and "40 of 40 parts are finished; 39000 rows" in said, said
    return home / "out"

"""Which database keeps the catalogues: PostgreSQL when an address is given, else files in the data folder."""

from __future__ import annotations

from pathlib import Path

from cfcore.errors import BadParameter

from .sqlite import SqliteLibrary
from .volumes import Library


def open_library(data: Path, dsn: str = "") -> Library:
    """Open the library of an installation.

    Parameters
    ----------
    data : Path
        The data folder; used when there is no `dsn`.
    dsn : str
        ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``; empty for files.

    Raises
    ------
    BadParameter
        When the address is none of PostgreSQL's.
    CosmicFlowsError
        When the library cannot be read or reached.
    """
    if not dsn:
        return SqliteLibrary(data)
    if not dsn.startswith(("postgresql://", "postgres://")):
        raise BadParameter("catalog_dsn is no address of PostgreSQL; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
                           where="catalog_dsn")
    from .postgres import PostgresLibrary
    return PostgresLibrary(dsn)

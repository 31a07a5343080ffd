"""What ``cosmicflows catalog import|list|drop`` does: the work behind the options that `cfcore.catalog_cli` reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cfcore.errors import BadParameter, UnknownName

from . import build
from .ahead import Ahead
from .importing import REJECTS_MAX, Report, import_source, version_of
from .library import open_library
from .volumes import FIRST


def import_file(data: Path, dsn: str, file: Path, options: Mapping[str, Any], *, dry_run: bool = False,
                max_bad: int | None = None, progress: Callable[[int], None] = lambda rows: None) -> Report:
    """Import a file of galaxies, clusters or groups.

    Parameters
    ----------
    data, dsn
        Where the catalogues are kept: `library.open_library`.
    file : Path
    options : mapping
        Keywords of `reading.open_source`.
    dry_run : bool
        Do everything, publish nothing.
    max_bad : int, optional
        Most rows that may be refused.
    progress : callable
        Told the number of rows read.
    """
    if file.exists() and not file.is_file() and not file.is_dir():
        raise BadParameter(f"{str(file)!r:.200} can be read only once, and an import reads it twice; save it to a file first",
                           code="not_a_file", where="file")
    with closing(open_library(data, dsn)) as library, closing(Ahead(file, options)) as source:
        build.ensure(library)
        return import_source(library, source, version_of(file, source.about), dry_run=dry_run,
                             max_bad=REJECTS_MAX if max_bad is None else max_bad, progress=progress)


def catalogs(data: Path, dsn: str) -> list[dict[str, Any]]:
    """Return what every catalogue is."""
    with closing(open_library(data, dsn)) as library:
        build.ensure(library)
        return [{"id": v.id, "version": v.version, **v.facts} for v in library.volumes()]


def drop(data: Path, dsn: str, id: str) -> None:
    """Take a catalogue out.

    Raises
    ------
    UnknownName
        When it is not there.
    BadParameter
        When it is built in.
    """
    with closing(open_library(data, dsn)) as library:
        known = [v.id for v in library.volumes()]
        if id in FIRST:
            raise BadParameter(f"{id} is built in and stays", code="reserved_id", where="id")
        if not library.drop(id):
            raise UnknownName(f"there is no catalogue {id!r:.80}; here are {', '.join(known) or 'none'}", code="unknown_catalog",
                              where="id")

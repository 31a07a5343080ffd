"""What the rest of the service asks of a store of catalogues, whichever database keeps it.

A `Library` holds volumes and lends them in order; a `Draft` becomes a volume when it is published, whole or not at all.
`sqlite` and `postgres` implement both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from . import schema

Row = tuple[Any, ...]
FIRST = ("openngc", "clusters")
"""The volumes we build ourselves stand before all that was imported."""
CHANGED = "catalog_changed"
"""Code of the error of a volume that was replaced or dropped meanwhile: look for volumes again and put the question anew."""


class Volume(Protocol):
    """Read one catalogue."""

    id: str
    version: str
    families: frozenset[int]
    """Codes of the families that `name` holds."""
    facts: dict[str, Any]
    """What was written with it: ``name``, ``licence``, ``citation``, ``kind``, ``frame`` ..., and counts."""

    def rows(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Return the rows of a query over entry, name and common, with ``?`` for parameters."""

    def cone_sql(self) -> str | None:
        """Return a condition (parameters ra, dec, radius in degrees) for a cone, when the database has a better one."""

    def similar(self, short: str, limit: int) -> list[tuple[str, str]] | None:
        """Return (short, shown) of common names of galaxies alike to a text; None when the database has no way to tell."""


class Draft(Protocol):
    """Write one catalogue."""

    def add(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows to entry, name or common."""

    def end_loading(self) -> None:
        """Make the first indexes and the statistics; rows are only taken away from here on."""

    def run(self, sql: str, params: Sequence[object] = ()) -> list[Row]:
        """Run SQL in which ``{s}`` stands for the draft and ``{k}`` for the volume of the last `beside`."""

    def beside(self, volume: Volume) -> None:
        """Let SQL see a published volume as ``{k}``."""

    def publish(self, facts: dict[str, Any]) -> None:
        """Make the draft a volume, in place of the one of the same id; readers see all of it or nothing."""

    def abandon(self) -> None:
        """Throw the draft away."""


def families(draft: Draft) -> list[int]:
    """Return the families of the names in a draft, each found by one step in the index."""
    out: list[int] = []
    after = -1
    while (number := draft.run("SELECT MIN(number) FROM {s}name WHERE number > ?", (after,))[0][0]) is not None:
        out.append(number // schema.FAMILY_STEP)
        after = (out[-1] + 1) * schema.FAMILY_STEP - 1
    return out


def count_measured(draft: Draft) -> int:
    """Return how many entries of a draft hold a measured distance; the index of these alone is counted."""
    return int(draft.run(f"SELECT COUNT(*) FROM {{s}}entry WHERE {schema.HAS_DISTANCES}")[0][0])


class Library(Protocol):
    """Hold all volumes of one installation."""

    is_remote: bool
    """Whether a look-up waits for another process, so that an event loop must not make it itself."""

    def volumes(self) -> Sequence[Volume]:
        """Return the volumes in order: OpenNGC, the clusters, then the imported ones by age."""

    def refresh(self) -> bool:
        """Look whether volumes were published or dropped since; return whether something changed."""

    def draft(self, id: str, version: str) -> Draft:
        """Begin a volume; one writer at a time, others wait."""

    def drop(self, id: str) -> bool:
        """Take a volume out of the library; return whether it was there."""

    def close(self) -> None:
        """Let go of everything."""

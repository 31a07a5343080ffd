"""The tables of one catalogue, in SQL that SQLite and PostgreSQL both read.

A catalogue is a *volume*: a file of its own in SQLite, a schema of its own in PostgreSQL, never changed once it is
published. `entry` holds a row for each row of the catalogue, `name` its designations in natural order, `common` its names
without digits. An object of the sky is all entries, whatever their volume, that share a `uid`.
"""

from __future__ import annotations

import hashlib

VERSION = 3
"""Raised whenever the tables change their meaning; volumes of another version are not opened."""

ZONES_A_DEGREE = 4
"""Entries are sorted by zones of declination of a quarter of a degree, and by right ascension within."""

KINDS: tuple[str, ...] = ("other", "galaxy", "cluster", "group")
"""What an entry is; the place in this list is stored."""
OTHER, GALAXY, CLUSTER, GROUP = range(4)

FAMILY_STEP = 1 << 40
"""Numbers of designations: the code of the catalogue times this, plus the place in its natural order. One integer is found in
a B-tree sooner than two; no place is larger (MCG: 2**31). What belongs to no catalogue has the number 0 and is all tail."""

REDIRECT, HAS_VELOCITY = 1, 2
"""Bits of `name.flags`: the designation is a duplicate that leads to its master; the entry has a velocity."""

DISTANCES_MARK = '"distances":[{'
"""Stands in the facts of an entry with a measured distance and nowhere else: in a text its quotes would be escaped."""
HAS_DISTANCES = f"facts LIKE '%{DISTANCES_MARK}%'"
"""Condition that the index `entry_measured` serves; SQLite and PostgreSQL use it for a query that says just this."""

TABLES: tuple[str, ...] = (
    "CREATE TABLE {s}entry (id INTEGER PRIMARY KEY, uid BIGINT NOT NULL, own BIGINT NOT NULL, digest BIGINT NOT NULL, "
    "line INTEGER NOT NULL, name TEXT {c} NOT NULL, kind SMALLINT NOT NULL, ra DOUBLE PRECISION, dec DOUBLE PRECISION, "
    "zone SMALLINT, z DOUBLE PRECISION, z_error DOUBLE PRECISION, given DOUBLE PRECISION, "
    "is_photometric SMALLINT NOT NULL, facts TEXT NOT NULL)",
    "CREATE TABLE {s}name (number BIGINT NOT NULL, tail TEXT {c} NOT NULL, entry INTEGER NOT NULL, flags SMALLINT NOT NULL, "
    "PRIMARY KEY (number, tail, entry)){w}",
    "CREATE TABLE {s}common (short TEXT {c} NOT NULL, \"full\" TEXT {c} NOT NULL, shown TEXT {c} NOT NULL, "
    "entry INTEGER NOT NULL, flags SMALLINT NOT NULL, PRIMARY KEY (short, entry, shown)){w}",
    "CREATE TABLE {s}meta (key TEXT PRIMARY KEY, value TEXT NOT NULL){w}")
INDEXES: tuple[str, ...] = (
    "CREATE INDEX entry_own ON {s}entry (own)",
    "CREATE INDEX entry_zone ON {s}entry (zone, ra, dec)",
    f"CREATE INDEX entry_measured ON {{s}}entry (zone, ra, dec) WHERE {HAS_DISTANCES}",
    "CREATE INDEX common_full ON {s}common (\"full\")")
LATE_INDEXES: tuple[str, ...] = ("CREATE INDEX entry_uid ON {s}entry (uid)",)
"""Made when the entries have been joined to the objects that other volumes know."""

WIDTHS: dict[str, int] = {"entry": 15, "name": 4, "common": 5, "meta": 2}
"""Columns of each table."""


def zone(dec: float) -> int:
    """Return the zone of a declination, deg."""
    return min(int((dec + 90.0) * ZONES_A_DEGREE), 180 * ZONES_A_DEGREE - 1)  # the pole belongs to the last zone


def uid(*parts: str) -> int:
    """Return the number of an object or row: the same for the same words on every machine, 63 bits."""
    digest = hashlib.blake2b("\x1f".join(parts).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1

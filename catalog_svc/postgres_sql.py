"""The SQL that only PostgreSQL gets: how house SQL is translated, and what a database holds beside the volumes.

Statements are written once, with ``?`` for parameters and bare names of tables (`volumes.Volume.rows`) or with ``{s}`` and
``{k}`` (`volumes.Draft.run`). No library of a database is used here.
"""

from __future__ import annotations

import re

from . import schema

CONTROL = "cosmicflows"
"""The schema with the list of volumes and the functions that linking uses."""
WRITER = int.from_bytes(b"cosmicf", "big")
"""Number of the advisory lock that a writer holds."""
TRIGRAM_INDEX, SPHERE_INDEX = "common_alike", "entry_place"
ALIKE_LEAST = 0.1
"""Least share of common trigrams of words that `suggest` is to compare letter by letter; misspelled words share more."""

# `facts` is json and not jsonb: it is read whole, and in the order in which it was written. The angle is written so that
# PostgreSQL can put it in the place of the call: one expression, not STRICT; GREATEST keeps the root of opposite points real.
MAKE_CONTROL: tuple[str, ...] = (
    f"CREATE SCHEMA IF NOT EXISTS {CONTROL}",
    f"CREATE TABLE IF NOT EXISTS {CONTROL}.volume (id text PRIMARY KEY, version text NOT NULL, schema_name text NOT NULL UNIQUE, "
    "place integer NOT NULL, facts json NOT NULL, published timestamptz NOT NULL DEFAULT now())",
    f"CREATE OR REPLACE FUNCTION {CONTROL}.separation(ra float8, \"dec\" float8, ra2 float8, dec2 float8) RETURNS float8 "
    "LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT degrees(2.0 * asin(sqrt(1.0 - greatest(0.0, 1.0 - "
    "(power(sin(radians(dec2 - \"dec\") / 2.0), 2) + cos(radians(\"dec\")) * cos(radians(dec2)) "
    "* power(sin(radians(ra2 - ra) / 2.0), 2))))))'")

TYPES: dict[str, tuple[str, ...]] = {
    "entry": ("int4", "int8", "int8", "int8", "int4", "text", "int2", "float8", "float8", "int2", "float8", "float8", "float8",
              "int2", "text"),
    "name": ("int8", "text", "int4", "int2"),
    "common": ("text", "text", "text", "int4", "int2"),
    "meta": ("text", "text")}
"""Types of the columns of `schema.TABLES`, as a binary COPY must know them."""

READER = ("SET default_transaction_read_only = on; SET statement_timeout = '20s'; SET jit = off; "
          f"SET pg_trgm.similarity_threshold = {ALIKE_LEAST}")
"""What a connection that reads begins with."""
WRITER_SETTINGS: tuple[str, ...] = (
    "statement_timeout = 0", "lock_timeout = 0", "idle_in_transaction_session_timeout = 0", "jit = off",
    "maintenance_work_mem = '128MB'", "work_mem = '64MB'", f"search_path = {CONTROL}, public")

VOLUMES = f"SELECT id, version, schema_name, facts FROM {CONTROL}.volume ORDER BY place, id"
INDEXES_THERE = f"SELECT schemaname, indexname FROM pg_indexes WHERE indexname IN ('{TRIGRAM_INDEX}', '{SPHERE_INDEX}')"
EXTENSIONS_THERE = "SELECT e.extname, n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace"

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\?|%|\b(FROM|JOIN)\s+(entry|name|common|meta)\b""")
_KEY = re.compile(r", PRIMARY KEY \(([^)]*)\)")
_CREATE = re.compile(r"CREATE TABLE \{s\}(\w+) \((\w+)")


def translate(sql: str, prefix: str = "") -> str:
    """Return house SQL with ``%s`` for each ``?``, literal ``%`` doubled, and bare tables looked for in a schema.

    Parameters
    ----------
    sql : str
    prefix : str
        The quoted schema with its dot.
    """
    def token(found: re.Match[str]) -> str:
        if found[0] == "?":
            return "%s"
        return f"{found[1]} {prefix}{found[2]}" if found[1] else found[0].replace("%", "%%")

    return _TOKENS.sub(token, sql)


def placed(sql: str, own: str, beside: str = "") -> str:
    """Return the SQL of a draft with the schemas in the place of ``{s}`` and ``{k}``, translated."""
    sql = sql.replace("{s}", own).replace("{k}", beside).replace("{c}", 'COLLATE "C"').replace("{w}", "")
    return translate(sql)


def split_key(table: str) -> tuple[str, str]:
    """Return one of `schema.TABLES` without its primary key, and the statement that adds the key: rows load faster so."""
    made = _CREATE.match(table)
    assert made is not None
    key = _KEY.search(table)
    columns = key[1] if key else made[2]
    bare = _KEY.sub("", table) if key else table.replace(" PRIMARY KEY", " NOT NULL", 1)
    return bare, f"ALTER TABLE {{s}}{made[1]} ADD PRIMARY KEY ({columns})"


TABLES_AND_KEYS: tuple[tuple[str, str], ...] = tuple(split_key(table) for table in schema.TABLES)


def trigram_index(place: str) -> str:
    """Return the statement that indexes common names by trigrams, the extension being in a (quoted) schema."""
    return f"CREATE INDEX {TRIGRAM_INDEX} ON {{s}}common USING gin (short {place}.gin_trgm_ops)"


def sphere_index(place: str) -> str:
    """Return the statement that indexes entries on the sphere, the extension being in a (quoted) schema."""
    return f"CREATE INDEX {SPHERE_INDEX} ON {{s}}entry USING gist ({place}.spoint(radians(ra), radians(\"dec\")))"


def in_cone(place: str) -> str:
    """Return the condition of a cone; a hair wider than asked, as `sky.within` measures every entry itself."""
    return (f"{place}.spoint(radians(e.ra), radians(e.\"dec\")) OPERATOR({place}.<@) "
            f"{place}.scircle({place}.spoint(radians(?), radians(?)), radians(?) + 1e-9)")


def alike(place: str) -> str:
    """Return the query for common names like a text: parameters are the pattern, the text twice and the limit."""
    return (f"SELECT short, shown FROM (SELECT DISTINCT c.short, c.shown, {place}.similarity(c.short, ?) AS likeness "
            "FROM common c JOIN entry e ON e.id = c.entry WHERE e.kind <> 0 "
            f"AND (c.short LIKE ? OR c.short OPERATOR({place}.%) ?) ORDER BY likeness DESC, c.short, c.shown LIMIT ?) AS nearest "
            "ORDER BY short, shown")


def pattern(text: str) -> str:
    """Return the pattern of LIKE for what contains a text."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"

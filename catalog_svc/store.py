"""Look up galaxies in the built file: read-only, one connection a process, nothing cached but the file's own pages.

`Store` answers with plain dictionaries in the words of docs/api; what it cannot answer it says as an error of the
tree in `cfcore.errors`, with suggestions made in `suggest`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from cfcore.cosmology import C_KMS
from cfcore.errors import Ambiguous, InternalError, UnknownName, UsageError
from cfcore.frames import REPORTED_FRAMES, SKY_FRAMES, convert_z, lon_lat, rotate, unit_vectors

from . import names
from .build import BUILDER_VERSION
from .families import Designation
from .suggest import suggest

_MMAP_BYTES = 256 << 20
_LAST = "\U0010ffff"


class Match(NamedTuple):
    """Hold the object a name led to and the way there."""

    shown: str
    matched_as: str
    redirected_from: str | None
    row: sqlite3.Row


class Store:
    """Answer questions about names from the file that `build` wrote.

    Parameters
    ----------
    path : Path
        The SQLite file; it is opened read-only and never locked, since `build` only ever replaces it whole.

    Raises
    ------
    InternalError
        When the file is missing, torn or of another builder version.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
            self._db.row_factory = sqlite3.Row
            self._db.execute(f"PRAGMA mmap_size = {_MMAP_BYTES}")
            self.meta: dict[str, str] = {key: value for key, value in self._db.execute("SELECT key, value FROM meta")}
        except sqlite3.Error as error:
            raise InternalError(f"the catalogue file {str(path)!r:.200} cannot be read ({error}); delete it and "
                                "start again, it is rebuilt in seconds", code="catalog_broken") from error
        if self.meta.get("builder") != str(BUILDER_VERSION):
            raise InternalError(f"the catalogue file {str(path)!r:.200} was built by version "
                                f"{self.meta.get('builder')}, this program reads {BUILDER_VERSION}; delete it and "
                                "start again", code="catalog_broken")
        self.catalog = {key: self.meta[key] for key in ("name", "version", "licence")}
        self._vocabulary = [(row["short"], row["shown"]) for row in self._db.execute(
            "SELECT short, shown FROM common WHERE is_galaxy ORDER BY short, shown")]

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def resolve(self, name: str) -> dict[str, object]:
        """Return position and velocity of the galaxy a name stands for.

        Returns
        -------
        dict
            ``position.icrs`` in degrees, ``z_helio`` and ``cz_helio`` = c z in km/s, heliocentric; None when the
            catalogue has no redshift.

        Raises
        ------
        BadParameter
            Code ``bad_name``.
        UnknownName
            Codes ``unknown_name`` (with `extra.suggestions`) and ``not_a_galaxy``.
        Ambiguous
            Code ``ambiguous_name`` (with `extra.candidates`).
        """
        match = self._match(name)
        return {**self._head(match), "position": {"icrs": {"lon": match.row["ra"], "lat": match.row["dec"]}},
                "cz_error": None, "cz_source": match.row["z_source"], "catalog": self.catalog}

    def detail(self, name: str) -> dict[str, object]:
        """Return all the catalogue knows of a galaxy; raises as `resolve` does."""
        match = self._match(name)
        row, facts = match.row, orjson.loads(match.row["facts"])
        n = {frame: rotate(unit_vectors(row["ra"], row["dec"]), "icrs", frame) for frame in SKY_FRAMES}
        position = {frame: {"lon": float(lon[0]), "lat": float(lat[0])}
                    for frame, (lon, lat) in ((f, lon_lat(v)) for f, v in n.items())}
        position["icrs"] = {"lon": row["ra"], "lat": row["dec"]}  # as catalogued, without a rounding round trip
        velocities: list[dict[str, object]] = []
        if row["z_helio"] is not None:
            for frame in REPORTED_FRAMES:
                given = frame == "hel"
                z = row["z_helio"] if given else float(convert_z(row["z_helio"], n["galactic"], "hel", frame)[0])
                velocities.append({"value": C_KMS * z, "error": None, "frame": frame, "convention": "cz",
                                   "source": row["z_source"] if given else "computed", "used": given})
        return {**self._head(match), "position": position, "velocities": velocities,
                "magnitudes": facts["magnitudes"], "morphology": facts["morphology"],
                "size_arcmin": facts["size_arcmin"], "cross_ids": facts["cross_ids"],
                "common_names": facts["common_names"], "distances": [], "notes": facts["notes"],
                "catalog": self.catalog}

    def hints(self, prefix: str, *, limit: int = 50, require_velocity: bool = True) -> tuple[list[str], bool]:
        """Return names of galaxies that begin as `prefix` does, in its style, and whether there are more.

        Parameters
        ----------
        prefix : str
            What was typed so far; case, padding and blanks do not matter, no character is a wildcard.
        limit : int
            Most names to return, at least 1.
        require_velocity : bool
            Leave out galaxies without a velocity.

        Raises
        ------
        BadParameter
            Code ``bad_name``.
        """
        out: dict[str, None] = {}
        for hint in self._hints(names.clean(prefix), limit + 1, require_velocity):
            out[hint] = None
            if len(out) > limit:
                return list(out)[:limit], True
        return list(out), False

    def suggestions(self, name: str) -> list[dict[str, str]]:
        """Return up to five names that could have been meant, each with the reason."""
        return suggest(names.clean(name), self._vocabulary, self._is_galaxy)

    def _head(self, match: Match) -> dict[str, object]:
        row, z = match.row, match.row["z_helio"]
        return {"name": match.shown, "canonical": row["canonical"],
                "object_type": orjson.loads(row["facts"])["object_type"], "matched_as": match.matched_as,
                "redirected_from": match.redirected_from, "z_helio": z,
                "cz_helio": None if z is None else C_KMS * z}

    def _match(self, name: str) -> Match:
        text = names.clean(name)
        spelled = names.read(text)
        key = spelled.key if spelled else names.plain_key(text)
        found = self._by_key(key) if key else []
        if found:
            shown = spelled.shown if spelled else text
            row = self._only_galaxy(shown, [(r["canonical"], r) for r in found])
            return Match(shown, "identifier", shown if row["is_redirect"] else None, row)
        folded = names.fold(text)
        denied = self._db.execute("SELECT * FROM denied WHERE full = ?", (folded.full,)).fetchone()
        if denied:
            way_out = denied["instead"] or "a galaxy by its own name, such as NGC 4993"
            raise UnknownName(f"{denied['shown']!r} names {denied['what']}; ask for {way_out}",
                              code="not_a_galaxy", where="name", extra={"object_type": denied["what"]})
        rows = self._db.execute("SELECT c.shown, o.* FROM common c JOIN object o ON o.id = c.object "
                                "WHERE c.short = ? ORDER BY c.full <> ?, o.id",
                                (folded.short, folded.full)).fetchall()
        if rows:
            row = self._only_galaxy(rows[0]["shown"], [(r["canonical"], r) for r in rows])
            return Match(row["shown"], "common_name", None, row)
        raise self._miss(text, spelled)

    def _by_key(self, key: str) -> list[sqlite3.Row]:
        return self._db.execute("SELECT n.is_redirect, o.* FROM name n JOIN object o ON o.id = n.object "
                                "WHERE n.key = ? ORDER BY o.id", (key,)).fetchall()

    def _is_galaxy(self, key: str) -> bool:
        return any(row["is_galaxy"] for row in self._by_key(key))

    @staticmethod
    def _only_galaxy(shown: str, found: list[tuple[str, sqlite3.Row]]) -> sqlite3.Row:
        galaxies = {canonical: row for canonical, row in reversed(found) if row["is_galaxy"]}
        if len(galaxies) == 1:
            return next(iter(galaxies.values()))
        if galaxies:
            candidates = [{"name": c, "reason": _described(galaxies[c])}
                          for c in sorted(galaxies, key=lambda c: galaxies[c]["id"])]
            listed = ", ".join(c["name"] for c in candidates)
            raise Ambiguous(f"{names.quote(shown)} names {len(candidates)} galaxies; ask for one of {listed}",
                            code="ambiguous_name", where="name", extra={"candidates": candidates})
        canonical, row = found[0]
        facts = orjson.loads(row["facts"])
        also = [n for n in (canonical, *facts["common_names"][:1]) if n != shown]
        kind = facts["object_type"].lower()
        what = "an object of unknown type" if row["type"] == "Other" else f"a{'n' * (kind[0] in 'aeiou')} {kind}"
        known_as = f" ({', '.join(also)})" if also else ""
        raise UnknownName(f"{names.quote(shown)}{known_as} is {what}, not a galaxy; ask for a galaxy, "
                          "or send lon, lat and cz", code="not_a_galaxy", where="name",
                          extra={"object_type": facts["object_type"], "canonical": canonical})

    def _miss(self, text: str, spelled: Designation | None) -> UsageError:
        suggestions = suggest(text, self._vocabulary, self._is_galaxy)
        listed = f"; did you mean {', '.join(s['name'] for s in suggestions)}?" if suggestions else ""
        fault = spelled.fault() if spelled else None
        if fault:
            why, hint = f"{names.quote(text)} does not exist: {fault}", "check the number"
        elif spelled:
            why = f"{names.quote(text)} is not among the {self.meta['galaxies']} galaxies of {self.catalog['name']}"
            hint = "use an NGC or IC number if it has one, or send lon, lat and cz"
        else:
            why = f"no galaxy is called {names.quote(text)} in {self.catalog['name']}"
            hint = "use a designation such as NGC 4993, M 31 or ESO 508-018, or send lon, lat and cz"
        return UnknownName(why + (listed or f"; {hint}"), code="unknown_name", where="name", hint=hint,
                           extra={"suggestions": suggestions})

    def _hints(self, text: str, limit: int, require_velocity: bool) -> Iterator[str]:
        ways = names.openings(text)
        for way in ways:
            if way.is_word:
                yield from self._designations(way, limit, require_velocity)
        yield from self._common_hints(text, limit, require_velocity)
        for way in ways:
            if not way.is_word:
                yield from self._designations(way, limit, require_velocity)

    def _designations(self, way: names.Opening, limit: int, require_velocity: bool) -> Iterator[str]:
        for lo, hi in way.spans:
            rows = self._db.execute(
                "SELECT rank, tail FROM name WHERE is_hint AND family = ? AND rank BETWEEN ? AND ? AND tail >= ? "
                "AND tail < ? AND has_velocity >= ? ORDER BY rank, tail LIMIT ?",
                (way.family.key, lo, hi, way.tail, way.tail + _LAST, require_velocity, limit)).fetchall()
            for rank, tail in rows:
                yield names.shown(way.family.key, way.style, rank, tail)

    def _common_hints(self, text: str, limit: int, require_velocity: bool) -> Iterator[str]:
        folded = names.fold(text)
        if not folded.full:
            return
        # "Andromeda gal" goes on in the full form only; "mice galaxies" is "Mice Galaxy" by its short form.
        rows = self._db.execute(
            "SELECT c.shown, o.canonical, (SELECT count(DISTINCT object) FROM common d WHERE d.short = c.short) AS n "
            "FROM common c JOIN object o ON o.id = c.object WHERE c.is_galaxy AND c.has_velocity >= ? "
            "AND ((c.full >= ? AND c.full < ?) OR c.short = ?) ORDER BY c.short, c.full, c.shown LIMIT ?",
            (require_velocity, folded.full, folded.full + _LAST, folded.short, limit)).fetchall()
        for shown, canonical, owners in rows:
            yield shown if owners == 1 else canonical  # a shared name would not resolve; its owners do


def _described(row: sqlite3.Row) -> str:
    facts = orjson.loads(row["facts"])
    return ", ".join([facts["object_type"], *facts["cross_ids"][:1], *facts["common_names"]])

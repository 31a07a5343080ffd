"""Names to objects: what a name stands for, what begins as it does, and why it is none.

`Store` answers with plain dictionaries in the words of docs/api; what it cannot answer it says as an error of the tree in
`cfcore.errors`, with suggestions made in `suggest`. How an object is put together is known to `objects`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

from cfcore.errors import Ambiguous, CosmicFlowsError, UnknownName, UsageError

from . import entries, groups, names, objects, schema
from .build import read_csv
from .families import Designation
from .hints import Hints
from .nearest import Nearest
from .objects import COLUMNS, Entry
from .suggest import suggest
from .volumes import FIRST, Library, Row, Volume

Placed = tuple[Volume, Row]
"""A row and the volume it stands in."""
NAMES_MAX = 10_000
"""Most names of one bulk question."""
_VOCABULARY_MAX = 2_000
"""Common names of one volume that suggestions are made from: to compare an unknown name with more would hold others up."""
MISSES_MAX = 100
"""Unknown names of one bulk question that get suggestions."""
_AT_ONCE = 400
"""Names of one look into the database; two parameters each."""
REMEMBERED = 8192
"""Answers of each kind that are kept ready."""
_INNER = ("kinds", "families", "schema")

_BY_KEY = (f"SELECT {COLUMNS}, n.flags FROM name n JOIN entry e ON e.id = n.entry "
           "WHERE n.number = ? AND n.tail = ? ORDER BY e.id")
_BY_COMMON = (f"SELECT {COLUMNS}, c.shown, c.\"full\" FROM common c JOIN entry e ON e.id = c.entry "
              "WHERE c.short = ? ORDER BY e.id")
_VOCABULARY = ("SELECT c.short, c.shown FROM common c JOIN entry e ON e.id = c.entry WHERE e.kind <> 0 "
               f"ORDER BY c.short, c.shown LIMIT {_VOCABULARY_MAX}")


class _Asked(NamedTuple):
    """Hold a name as it was read."""

    text: str
    spelled: Designation | None
    shown: str
    key: tuple[int, str] | None


def _read(name: str) -> _Asked:
    text = names.clean(name)
    spelled = names.read(text)
    if spelled is not None:
        return _Asked(text, spelled, spelled.shown, entries.place(spelled))
    return _Asked(text, None, text, entries.plain_place(text))


class Match(NamedTuple):
    """Hold the entry a name led to and the way there."""

    shown: str
    matched_as: str
    redirected_from: str | None
    entry: Entry


class Store:
    """Answer questions about names from the volumes of a library.

    Parameters
    ----------
    library : Library
        With the built-in volumes made; closed by the caller.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._denied = {names.fold(row["name"]).full: row for row in read_csv("denied.csv")}
        self._look()

    def _look(self) -> None:
        self.volumes: Sequence[Volume] = list(self.library.volumes())
        base = self.volumes[0].facts
        self.galaxies: int = sum(v.facts.get("galaxies", v.facts.get("n_objects", 0)) for v in self.volumes
                                 if schema.GALAXY in v.facts["kinds"])
        self.known_as = base["name"] if len(self.volumes) <= 2 else f"{len(self.volumes)} catalogues"
        self._vocabulary: list[tuple[str, str]] = [
            (short, shown) for v in self.volumes for short, shown in v.rows(_VOCABULARY)]
        # What is asked again is not looked up again; a change of the catalogues begins anew.
        self._begin = lru_cache(REMEMBERED)(Hints(self.volumes, self._denied).begin)
        self.find = lru_cache(REMEMBERED)(self._find)
        self._nearest = cache(lambda: Nearest(self.volumes))

    def refresh(self) -> bool:
        """Look for catalogues that were imported or dropped since; return whether there are any."""
        self.library.refresh()
        # what this store sees counts: a drop through its own library has been taken up there already
        if list(self.library.volumes()) == list(self.volumes):
            return False
        self._look()
        return True

    def resolve(self, name: str) -> dict[str, Any]:
        """Return position and velocity of the object a name stands for.

        Returns
        -------
        dict
            ``position.icrs`` in degrees, ``z_helio`` and ``cz_helio`` = c z in km/s, heliocentric; None when no catalogue
            has a redshift.

        Raises
        ------
        BadParameter
            Code ``bad_name``.
        UnknownName
            Codes ``unknown_name`` (with `extra.suggestions`) and ``not_a_galaxy``.
        Ambiguous
            Code ``ambiguous_name`` (with `extra.candidates`).
        """
        match = self.find(name)
        found = objects.members(self.volumes, match.entry)
        return {**_told(match), **objects.brief(self.volumes, found)}

    def detail(self, name: str) -> dict[str, Any]:
        """Return all the catalogues know of an object; raises as `resolve` does."""
        match = self.find(name)
        found = objects.members(self.volumes, match.entry)
        return {**_told(match), **objects.full(self.volumes, found), "group": groups.of(self.volumes, found)}

    def group(self, name: str) -> dict[str, Any]:
        """Return `resolve` with ``group``: the group of galaxies that holds the object, None when no catalogue says so."""
        match = self.find(name)
        found = objects.members(self.volumes, match.entry)
        return {**_told(match), **objects.brief(self.volumes, found), "group": groups.of(self.volumes, found),
                "has_groups": any(schema.GROUP in v.facts["kinds"] for v in self.volumes)}

    def resolve_many(self, asked: Sequence[str]) -> list[dict[str, Any]]:
        """Return for each name in order what `resolve` says, with ``status``: ``ok``, or the code of the refusal in words."""
        matches = self.find_many(asked)
        found = objects.members_of_many(self.volumes, [m.entry for m in matches if isinstance(m, Match)])
        out: list[dict[str, Any]] = []
        for name, match in zip(asked, matches):
            if isinstance(match, Match):
                same = found[match.entry.kind, match.entry.uid]
                out.append({"status": "ok", **_told(match), **objects.brief(self.volumes, same)})
            else:
                out.append({"status": match.code, "name": name[:names.MAX_NAME], "detail": match.message, **match.extra})
        return out

    def hints(self, prefix: str, *, limit: int = 50, require_velocity: bool = True) -> tuple[list[str], bool]:
        """Return names that begin as `prefix` does, in its style, and whether there are more.

        Parameters
        ----------
        prefix : str
            What was typed so far; case, padding and blanks do not matter, no character is a wildcard.
        limit : int
            Most names to return, at least 1.
        require_velocity : bool
            Leave out objects without a velocity.

        Raises
        ------
        BadParameter
            Code ``bad_name``.
        """
        hints, more = self._begin(names.clean(prefix), limit, require_velocity)
        return list(hints), more

    def told_hints(self, prefix: str, *, limit: int, require_velocity: bool = True) -> tuple[list[dict[str, Any]], bool]:
        """Return `hints` with what each stands for, and whether there are more.

        Returns
        -------
        hints : list of dict
            ``name``, as `hints` has it; ``canonical``, ``object_type``, ``cz_helio`` as `resolve` has them; ``also``: the
            canonical name where the hint is another one, None where it is the same.

        Raises
        ------
        BadParameter
            Code ``bad_name``.
        """
        hints, more = self.hints(prefix, limit=limit, require_velocity=require_velocity)
        out = []
        for hint, found in zip(hints, self.resolve_many(hints)):
            canonical = found.get("canonical")
            out.append({"name": hint, "canonical": canonical, "object_type": found.get("object_type"),
                        "cz_helio": found.get("cz_helio"), "also": None if canonical == hint else canonical})
        return out, more

    def nearest_galaxies(self, limit: int) -> dict[str, Any]:
        """Return the galaxies with a velocity as columns, nearest first, at most so many; see `nearest`."""
        return self._nearest().first(limit)

    def suggestions(self, name: str) -> list[dict[str, str]]:
        """Return up to five names that could have been meant, each with the reason."""
        return self._suggest(names.clean(name))

    def catalogs(self) -> list[dict[str, Any]]:
        """Return what every volume is: name, version, citation, licence, counts, mapping."""
        return [{"id": v.id, "version": v.version, **{k: x for k, x in v.facts.items() if k not in _INNER}} for v in self.volumes]

    def _find(self, name: str) -> Match:
        """Return the entry a name leads to; raises as `resolve` does."""
        asked = _read(name)
        nothing: list[Entry] = []
        imported: list[Placed] = []
        for volume in self._holding(asked.key):
            rows = [(volume, row) for row in volume.rows(_BY_KEY, asked.key or ())]
            if volume.id not in FIRST:
                imported += rows  # no import stands above another: what two hold differently is ambiguous
            elif (match := self._decide(asked, rows, nothing)) is not None:
                return match
        return self._decide(asked, imported, nothing) or self._without_number(asked, nothing)

    def find_many(self, asked_names: Sequence[str]) -> list[Match | CosmicFlowsError]:
        """Return for each name in order what `find` returns or raises; hundreds of names are one look into each volume."""
        out: list[Match | CosmicFlowsError] = []
        misses = 0
        for start in range(0, len(asked_names), _AT_ONCE):
            out += self._find_some(asked_names[start:start + _AT_ONCE], max(MISSES_MAX - misses, 0))
            misses = sum(isinstance(found, UnknownName) and found.code == "unknown_name" for found in out)
        return out

    def _find_some(self, asked_names: Sequence[str], misses_left: int) -> list[Match | CosmicFlowsError]:
        out: dict[int, Match | CosmicFlowsError] = {}
        waiting: dict[int, tuple[_Asked, list[Entry]]] = {}
        for place, name in enumerate(asked_names):
            try:
                waiting[place] = _read(name), []
            except CosmicFlowsError as error:
                out[place] = error
        imported: dict[tuple[int, str], list[Placed]] = {}
        for volume in self.volumes:
            found = _by_keys(volume, {a.key for a, _ in waiting.values() if a.key is not None and self._may_hold(volume, a.key)})
            if volume.id not in FIRST:
                for key, rows in found.items():
                    imported.setdefault(key, []).extend(rows)
                continue
            self._settle(found, waiting, out)
        self._settle(imported, waiting, out)
        for place, (asked, nothing) in waiting.items():
            try:
                out[place] = self._without_number(asked, nothing, suggesting=misses_left > 0)
            except CosmicFlowsError as error:
                out[place] = error
                misses_left -= error.code == "unknown_name"
        return [out[place] for place in range(len(asked_names))]

    def _settle(self, found: dict[tuple[int, str], list[Placed]], waiting: dict[int, tuple[_Asked, list[Entry]]],
                out: dict[int, Match | CosmicFlowsError]) -> None:
        """Move the names that these rows decide from those that wait to the answers."""
        for place, (asked, nothing) in list(waiting.items()) if found else ():
            try:
                match = self._decide(asked, found.get(asked.key or (0, ""), ()), nothing)
            except CosmicFlowsError as error:
                out[place] = error
            else:
                if match is None:
                    continue
                out[place] = match
            del waiting[place]

    @staticmethod
    def _may_hold(volume: Volume, key: tuple[int, str]) -> bool:
        return key[0] // schema.FAMILY_STEP in volume.families

    def _holding(self, key: tuple[int, str] | None) -> Iterator[Volume]:
        return (v for v in self.volumes if key is not None and self._may_hold(v, key))

    def _decide(self, asked: _Asked, rows: Sequence[Placed], nothing: list[Entry]) -> Match | None:
        """Return what the rows of a designation mean; None when they are no galaxy, which `nothing` remembers."""
        if len(rows) == 1 and rows[0][1][3] != schema.OTHER:  # nearly always
            volume, row = rows[0]
            return Match(asked.shown, "identifier", asked.shown if row[-1] & schema.REDIRECT else None, Entry(volume, *row[:-1]))
        found = [Entry(volume, *row[:-1]) for volume, row in rows]
        if not any(e.kind != schema.OTHER for e in found):
            nothing += found
            return None
        entry = self._only(asked.shown, found)
        is_redirect = any(row[-1] & schema.REDIRECT for volume, row in rows if (volume, row[0]) == (entry.volume, entry.id))
        return Match(asked.shown, "identifier", asked.shown if is_redirect else None, entry)

    def _without_number(self, asked: _Asked, nothing: Sequence[Entry], *, suggesting: bool = True) -> Match:
        if nothing:
            raise _not_a_galaxy(asked.shown, nothing[0])
        return self._find_common(asked.text, asked.spelled, suggesting)

    def _find_common(self, text: str, spelled: Designation | None, suggesting: bool) -> Match:
        folded = names.fold(text)
        denied = self._denied.get(folded.full)
        if denied:
            way_out = denied["instead"] or "a galaxy by its own name, such as NGC 4993"
            raise UnknownName(f"{denied['name']!r} names {denied['what']}; ask for {way_out}",
                              code="not_a_galaxy", where="name", extra={"object_type": denied["what"]})
        nothing: list[tuple[str, Entry]] = []
        imported: list[tuple[str, Entry]] = []
        for volume in self.volumes:
            rows = sorted(volume.rows(_BY_COMMON, (folded.short,)), key=lambda row: row[-1] != folded.full)
            found = [(str(row[-2]), Entry(volume, *row[:-2])) for row in rows]
            if volume.id not in FIRST:
                imported += found
            elif (match := self._decide_common(found, nothing)) is not None:
                return match
        match = self._decide_common(imported, nothing)
        if match is not None:
            return match
        if nothing:
            raise _not_a_galaxy(*nothing[0])
        raise self._miss(text, spelled, suggesting)

    def _decide_common(self, found: Sequence[tuple[str, Entry]], nothing: list[tuple[str, Entry]]) -> Match | None:
        if not any(e.kind != schema.OTHER for _, e in found):
            nothing += found
            return None
        entry = self._only(found[0][0], [e for _, e in found])
        return Match(next(shown for shown, e in found if e == entry), "common_name", None, entry)

    def _is_known(self, key: str) -> bool:
        try:
            self.find(key)
        except Ambiguous:
            return True
        except UsageError:
            return False
        return True

    def _only(self, shown: str, found: Sequence[Entry]) -> Entry:
        real = {e.uid: e for e in reversed(found) if e.kind != schema.OTHER}
        if len(real) == 1:
            return next(iter(real.values()))
        candidates = [{"name": e.name, "reason": _described(e), "ra": e.ra, "dec": e.dec}
                      for e in sorted(real.values(), key=found.index)]
        alike = len({c["name"] for c in candidates}) < len(candidates)
        listed = ", ".join(f"{c['name']} at {c['ra']:.4f} {c['dec']:+.4f} deg" if alike else str(c["name"]) for c in candidates)
        way = "ask by position for" if alike else "ask for"
        raise Ambiguous(f"{names.quote(shown)} names {len(candidates)} galaxies; {way} one of {listed}",
                        code="ambiguous_name", where="name", extra={"candidates": candidates})

    def _suggest(self, text: str) -> list[dict[str, str]]:
        short = names.fold(text).short
        alike = [v.similar(short, _VOCABULARY_MAX) for v in self.volumes]
        if all(found is not None for found in alike):
            vocabulary = [pair for found in alike for pair in found or ()]
        else:
            vocabulary = self._vocabulary
        return suggest(text, vocabulary, self._is_known)

    def _miss(self, text: str, spelled: Designation | None, suggesting: bool) -> UsageError:
        suggestions = self._suggest(text) if suggesting else []
        listed = f"; did you mean {', '.join(s['name'] for s in suggestions)}?" if suggestions else ""
        fault = spelled.fault() if spelled else None
        if fault:
            why, hint = f"{names.quote(text)} does not exist: {fault}", "check the number"
        elif spelled:
            why = f"{names.quote(text)} is not among the {self.galaxies} galaxies of {self.known_as}"
            hint = "use an NGC or IC number if it has one, or send lon, lat and cz"
        else:
            why = f"no galaxy is called {names.quote(text)} in {self.known_as}"
            hint = "use a designation such as NGC 4993, M 31 or ESO 508-018, or send lon, lat and cz"
        return UnknownName(why + (listed or f"; {hint}"), code="unknown_name", where="name", hint=hint,
                           extra={"suggestions": suggestions})


def _told(match: Match) -> dict[str, Any]:
    return {"name": match.shown, "matched_as": match.matched_as, "redirected_from": match.redirected_from}


def _by_keys(volume: Volume, keys: Collection[tuple[int, str]]) -> dict[tuple[int, str], list[Placed]]:
    """Return the rows of many designations in one look."""
    out: dict[tuple[int, str], list[Placed]] = {}
    if keys:
        for number, tail, *row in volume.rows(by_keys(len(keys)), [part for key in keys for part in key]):
            out.setdefault((number, tail), []).append((volume, tuple(row)))
    return out


def by_keys(count: int) -> str:
    """Return the query for so many designations; its rows begin with number and tail."""
    return (f"WITH asked(number, tail) AS (VALUES {', '.join(['(?, ?)'] * count)}) SELECT n.number, n.tail, {COLUMNS}, n.flags "
            "FROM asked a JOIN name n ON n.number = a.number AND n.tail = a.tail JOIN entry e ON e.id = n.entry ORDER BY e.id")


def _described(entry: Entry) -> str:
    facts = entry.known()
    own = [] if entry.volume.id in FIRST else [f"in {entry.volume.facts['name']}"]
    return ", ".join([str(facts.get("object_type") or schema.KINDS[entry.kind]), *(facts.get("cross_ids") or ())[:1],
                      *(facts.get("common_names") or ()), *own])


def _not_a_galaxy(shown: str, entry: Entry) -> UnknownName:
    facts = entry.known()
    also = [n for n in (entry.name, *facts["common_names"][:1]) if n != shown]
    kind = str(facts["object_type"])
    unknown = "unknown" in kind.lower() or kind.lower().startswith("other")
    what = "an object of unknown type" if unknown else f"a{'n' * (kind[0].lower() in 'aeiou')} {kind.lower()}"
    known_as = f" ({', '.join(also)})" if also else ""
    return UnknownName(f"{names.quote(shown)}{known_as} is {what}, not a galaxy; ask for a galaxy, "
                       "or send lon, lat and cz", code="not_a_galaxy", where="name",
                       extra={"object_type": kind, "canonical": entry.name})

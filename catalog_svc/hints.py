"""What a text may go on to be: names in their natural order, over all volumes; every one of them resolves."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, islice

from . import names, objects, schema, systems
from .families import BY_KEY
from .objects import Entry
from .volumes import FIRST, Row, Volume

_LAST = "\U0010ffff"
_SCAN_MAX = 20_000
"""Rows that are looked at for one question: a catalogue with few velocities must not be read from end to end."""

_NAMES = ("SELECT n.number, n.tail, n.entry, n.flags, e.kind, e.uid, e.name FROM name n JOIN entry e ON e.id = n.entry "
          "WHERE (n.number, n.tail, n.entry) > (?, ?, ?) AND (n.number, n.tail) < (?, ?) "
          "AND n.tail >= ? AND n.tail < ? ORDER BY n.number, n.tail, n.entry LIMIT ?")
# "Andromeda gal" goes on in the full form only; "mice galaxies" is "Mice Galaxy" by its short form.
_COMMON = " UNION ".join(
    f"SELECT c.shown, c.short, c.\"full\", c.flags, {objects.COLUMNS} FROM common c JOIN entry e ON e.id = c.entry "
    f"WHERE e.kind <> 0 AND {condition}" for condition in ("c.\"full\" >= ? AND c.\"full\" < ?", "c.short = ?")
) + " ORDER BY 2, 3, 1, 5 LIMIT ? OFFSET ?"
_OWNERS = "SELECT DISTINCT e.uid FROM common c JOIN entry e ON e.id = c.entry WHERE c.short = ? AND e.kind <> 0"

_WITH_VELOCITY = "SELECT 1 FROM entry e WHERE e.uid = ? AND e.z IS NOT NULL AND e.is_photometric = 0 LIMIT 1"


class Hints:
    """Find names by their beginning.

    Parameters
    ----------
    volumes : sequence of Volume
        In order: the first that knows a name decides what it stands for.
    denied : collection of str
        Folded names that resolve to nothing whatever the catalogues say.
    """

    def __init__(self, volumes: Sequence[Volume], denied: Collection[str] = ()) -> None:
        self._volumes, self._denied = volumes, denied

    def begin(self, text: str, limit: int, require_velocity: bool) -> tuple[list[str], bool]:
        """Return at most `limit` names that begin as clean text does, and whether there are more."""
        out: dict[str, None] = {}
        for hint in self._all(text, limit, require_velocity):
            out[hint] = None
            if len(out) > limit:
                return list(out)[:limit], True
        return list(out), False

    def _all(self, text: str, limit: int, require_velocity: bool) -> Iterator[str]:
        ways = names.openings(text)
        for way in ways:
            if way.is_word:
                yield from self._designations(way, limit, require_velocity)
        yield from self._common(text, limit, require_velocity)
        for way in ways:
            if not way.is_word:
                yield from self._designations(way, limit, require_velocity)
        yield from self._plain(text, limit, require_velocity)

    def _designations(self, way: names.Opening, limit: int, require_velocity: bool) -> Iterator[str]:
        code = BY_KEY[way.family.key].code
        for lo, hi in way.spans:
            for (number, tail), rows in self._scan(code, lo, hi, way.tail, limit):
                if self._counts(rows, require_velocity):
                    yield names.shown(way.family.key, way.style, number % schema.FAMILY_STEP, tail)

    def _plain(self, text: str, limit: int, require_velocity: bool) -> Iterator[str]:
        key = names.plain_beginning(text)
        if len(key) < 2:
            return
        for (_, tail), rows in self._scan(0, 0, 0, key, limit):
            if self._counts(rows, require_velocity):
                name = rows[0][1][6]
                yield name if names.plain_key(name) == tail else tail

    def _scan(self, code: int, lo: int, hi: int, tail: str,
              limit: int) -> Iterator[tuple[tuple[int, str], list[tuple[int, Row]]]]:
        """Yield each designation in order with its rows: (place of the volume, row)."""
        first, end = code * schema.FAMILY_STEP + lo, code * schema.FAMILY_STEP + hi

        def rows(place: int, volume: Volume) -> Iterator[tuple[int, str, int, Row]]:
            # both ends are places in the index, so that nothing before or after the span is read
            last = (first, tail, -1)
            while page := volume.rows(_NAMES, (*last, end, tail + _LAST, tail, tail + _LAST, limit + 1)):
                for row in page:
                    yield row[0], row[1], place, row
                if len(page) <= limit:
                    return
                last = (page[-1][0], page[-1][1], page[-1][2])

        merged: Iterator[tuple[int, str, int, Row]] = heapq.merge(
            *(rows(i, v) for i, v in enumerate(self._volumes) if code in v.families))
        for key, same in groupby(islice(merged, _SCAN_MAX), key=lambda r: (r[0], r[1])):
            yield key, [(place, row) for _, _, place, row in same]

    def _counts(self, rows: list[tuple[int, Row]], require_velocity: bool) -> bool:
        """Tell whether a designation leads to one object, with a velocity if need be."""
        real = [(place, row) for place, row in rows if row[4] != schema.OTHER]
        if not real:
            return False
        # a volume of ours decides alone; what imports hold differently is ambiguous
        alone = self._volumes[real[0][0]].id in FIRST
        deciding = [row for place, row in real if not alone or place == real[0][0]]
        if len(deciding) > 1 and len({row[5] for row in deciding}) > 1:
            return False
        if not require_velocity or any(row[3] & schema.HAS_VELOCITY for row in deciding):
            return True
        return self._has_velocity(deciding[0][4], deciding[0][5])

    def _has_velocity(self, kind: int, uid: int) -> bool:
        """Tell whether an object has a velocity that its first entry does not hold."""
        if any(volume.rows(_WITH_VELOCITY, (uid,)) for volume in self._volumes if kind in volume.facts["kinds"]):
            return True
        first = next(e for volume in self._volumes for e in objects.entries(volume, volume.rows(objects.BY_UID, (uid,))))
        return systems.velocity(self._volumes, first) is not None

    def _owners(self, volume: Volume, short: str) -> set[int]:
        """Return the objects that a common name stands for, as far as the volume decides: ours alone, imports together."""
        deciding = [volume] if volume.id in FIRST else [v for v in self._volumes if v.id not in FIRST]
        return {row[0] for v in deciding for row in v.rows(_OWNERS, (short,))}

    def _common(self, text: str, limit: int, require_velocity: bool) -> Iterator[str]:
        folded = names.fold(text)
        if not folded.full:
            return
        seen: set[str] = set()
        for volume in self._volumes:
            here: set[str] = set()
            at = 0
            # a page may hold nothing but objects without a velocity: the next one may hold more
            while page := volume.rows(_COMMON, (folded.full, folded.full + _LAST, folded.short, 2 * limit + 2, at)):
                at += len(page)
                for shown, short, full, flags, *columns in page:
                    entry = Entry(volume, *columns)
                    if short in seen or full in self._denied:
                        continue  # an earlier volume, or our own list, decides what it stands for
                    here.add(short)
                    if require_velocity and not flags & schema.HAS_VELOCITY and not self._has_velocity(entry.kind, entry.uid):
                        continue
                    # a shared name would not resolve; its owners do, where their own names are sure to be theirs alone
                    if len(self._owners(volume, short)) == 1:
                        yield shown
                    elif volume.id in FIRST:
                        yield entry.name
                if at > _SCAN_MAX:
                    break
            seen |= here

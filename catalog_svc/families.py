"""The catalogues whose numbers we read: their words, ranges and written forms, as one table.

A *family* is a catalogue ("NGC"), a *style* is the word people write it with ("MESSIER" and "M" are one family).
Which numbers belong to an object is the store's knowledge; how text becomes a number is in `names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

RADIX = 10_000
"""Numbers of one designation are packed in base 10,000 into its rank; no second or third number is larger."""


@dataclass(frozen=True, slots=True)
class Family:
    """Describe one catalogue.

    Parameters
    ----------
    key : str
        Name of the family in the store; the two signs of MCG are two families, so that ranks stay positive.
    title : str
        Name for messages.
    limits : tuple of (int, int)
        Lowest and highest value of each number; empty for catalogues named by coordinates (2MASX, IRAS, SDSS).
    widths : tuple of int
        Zero padding of each number in the canonical form; 0 pads nothing.
    words : tuple of str
        Accepted words; the first one is canonical.
    sign : str
        What stands before the first number (MCG only).
    letter : str
        What begins the coordinates when the caller leaves it out ("J").
    """

    key: str
    title: str
    limits: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    words: tuple[str, ...]
    sign: str = ""
    letter: str = ""

    def rank(self, numbers: tuple[int, ...]) -> int:
        """Return the place of a designation in the natural order of its catalogue."""
        rank = 0
        for number in numbers:
            rank = rank * RADIX + number
        return rank

    def numbers(self, rank: int) -> tuple[int, ...]:
        """Return the numbers that `rank` was made of."""
        out: list[int] = []
        for _ in self.limits[1:]:
            rank, number = divmod(rank, RADIX)
            out.append(number)
        return tuple([rank, *reversed(out)]) if self.limits else ()

    def range_text(self) -> str:
        """Return the range of the numbers in words, such as ``1..7840``."""
        return ", ".join(f"{lo}..{hi}" for lo, hi in self.limits)

    def spans(self, rest: str) -> tuple[list[tuple[int, int]], str] | None:
        """Read what follows the catalogue's word as the beginning of a number.

        Parameters
        ----------
        rest : str
            Clean upper-case text after the word, such as ``" 49"``, ``" 508-0"`` or ``" +07-02"``.

        Returns
        -------
        (spans, tail) or None
            Closed ranges of ranks in natural order, and the beginning of the suffix that the designation must have;
            None when `rest` cannot begin a designation of this catalogue.
        """
        if not self.limits:
            tail = self._coordinates(rest)
            return None if tail is None else ([(0, 0)], tail)
        if self.sign:
            rest = rest.lstrip()
            if rest[:1] in ("+", "-"):
                if rest[0] != self.sign:
                    return None
                rest = rest[1:]
            elif rest and self.sign == "-":
                return None  # an unsigned zone is a plus lost on the way, never a minus
        if self.key == "ESO":
            rest = _ESO_TYPE.sub("-", rest)
        match = _PARTIAL.fullmatch(rest)
        if match is None:
            return None
        body, tail = match[1], (match[2] or "").replace(" ", "")
        digits = _NUMBER.findall(body)
        if len(digits) > len(self.limits) or (tail and len(digits) < len(self.limits)):
            return None
        if digits and (tail or (len(digits) < len(self.limits) and not body[-1].isdigit())):
            complete, opening = digits, None
        else:
            complete, opening = digits[:-1], digits[-1] if digits else None
        lead = tuple(int(d) for d in complete)
        if any(not lo <= n <= hi for n, (lo, hi) in zip(lead, self.limits, strict=False)):
            return [], tail
        if len(lead) == len(self.limits):
            return [(self.rank(lead), self.rank(lead))], tail
        return list(self._open(lead, (opening or "").lstrip("0"))), tail

    def _open(self, lead: tuple[int, ...], prefix: str) -> Iterator[tuple[int, int]]:
        after = self.limits[len(lead) + 1:]
        for lo, hi in digit_spans(prefix, *self.limits[len(lead)]):
            yield (self.rank((*lead, lo, *(a for a, _ in after))), self.rank((*lead, hi, *(b for _, b in after))))

    def _coordinates(self, rest: str) -> str | None:
        text = _LOST_PLUS.sub("+", rest.strip()).replace(" ", "")
        if text[:1].isdigit():
            text = self.letter + text
        return text if _COORDINATE_PREFIX.fullmatch(text) else None


_NUMBER = re.compile(r"[0-9]++")
_PARTIAL = re.compile(r"[ -]*+((?:[0-9]++[ -]*+)*+)([A-Z][A-Z0-9 ]*+)?")
_ESO_TYPE = re.compile(r"[ -]++(?:IG|SC|PN|EN|G) ?+(?=[0-9]|\Z)")
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9])")
_COORDINATE_PREFIX = re.compile(r"[A-Z]?[0-9.+-]*+[A-Z]?")


def digit_spans(prefix: str, lo: int, hi: int) -> Iterator[tuple[int, int]]:
    """Yield, in natural order, the ranges of whole numbers in `lo`..`hi` whose digits begin with `prefix`."""
    if not prefix:
        yield lo, hi
        return
    first = last = int(prefix)
    while first <= hi:
        if max(first, lo) <= min(last, hi):
            yield max(first, lo), min(last, hi)
        first, last = first * 10, last * 10 + 9


# Ranges: NGC Dreyer 1888, IC Dreyer 1895 and 1908, UGC Nilson 1973, UGCA Nilson 1974, ESO Lauberts 1982 (606 fields),
# MCG Vorontsov-Velyaminov et al. 1962-74, PGC/LEDA Paturel et al. 2003, HCG Hickson 1982, Caldwell (Moore 1995).
FAMILIES: tuple[Family, ...] = (
    Family("NGC", "New General Catalogue (NGC)", ((1, 7840),), (0,), ("NGC", "N")),
    Family("IC", "Index Catalogue (IC)", ((1, 5386),), (0,), ("IC", "I")),
    Family("M", "Messier catalogue", ((1, 110),), (0,), ("M", "MESSIER")),
    Family("UGC", "Uppsala General Catalogue (UGC)", ((1, 12921),), (0,), ("UGC", "U")),
    Family("UGCA", "UGC addendum (UGCA)", ((1, 444),), (0,), ("UGCA",)),
    Family("PGC", "Principal Galaxies Catalogue (PGC/LEDA)", ((1, 9_999_999),), (0,), ("PGC", "LEDA")),
    Family("ESO", "ESO/Uppsala survey (ESO)", ((1, 606), (1, 999)), (3, 3), ("ESO",)),
    Family("ESO-LV", "ESO-LV catalogue", ((1, 606), (1, 9999)), (3, 4), ("ESO-LV", "ESOLV", "ESO LV")),
    Family("MCG+", "Morphological Catalogue (MCG)", ((0, 15), (1, 60), (1, 999)), (2, 2, 3), ("MCG",), sign="+"),
    Family("MCG-", "Morphological Catalogue (MCG)", ((0, 15), (1, 60), (1, 999)), (2, 2, 3), ("MCG",), sign="-"),
    Family("C", "Caldwell catalogue", ((1, 109),), (0,), ("C", "CALDWELL")),
    Family("HCG", "Hickson compact groups (HCG)", ((1, 100),), (0,), ("HCG", "HICKSON")),
    Family("2MASX", "2MASS extended sources (2MASX)", (), (), ("2MASX",), letter="J"),
    Family("2MASS", "2MASS point sources", (), (), ("2MASS",), letter="J"),
    Family("IRAS", "IRAS sources", (), (), ("IRAS",)),
    Family("SDSS", "SDSS sources", (), (), ("SDSS",), letter="J"),
)
BY_KEY: dict[str, Family] = {family.key: family for family in FAMILIES}
ORDER: dict[str, int] = {family.key: place for place, family in enumerate(FAMILIES)}

_STYLE = {"N": "NGC", "I": "IC", "U": "UGC", "CALDWELL": "C", "HICKSON": "HCG", "ESOLV": "ESO-LV", "ESO LV": "ESO-LV"}
_STYLE_WIDTH = {"MESSIER": 3}
WORDS: tuple[tuple[str, str, Family], ...] = tuple(
    (word, _STYLE.get(word, word), family) for family in FAMILIES for word in family.words)
"""Every accepted word with the style it is shown in and its family."""


class Designation(NamedTuple):
    """Hold one name as its catalogue, numbers and suffix: ``NGC 7318A`` is ("NGC", (7318,), "A")."""

    family: str
    numbers: tuple[int, ...]
    tail: str
    style: str

    @property
    def rank(self) -> int:
        """Place in the natural order of the catalogue."""
        return BY_KEY[self.family].rank(self.numbers)

    @property
    def key(self) -> str:
        """Canonical key, which is also the canonical written form."""
        return self._written(BY_KEY[self.family].words[0])

    @property
    def shown(self) -> str:
        """Written form in the style the caller used, such as ``MESSIER 031``."""
        return self._written(self.style)

    def _written(self, style: str) -> str:
        family = BY_KEY[self.family]
        width = _STYLE_WIDTH.get(style)
        widths = (width,) if width else family.widths
        digits = "-".join([f"{n:0{w}d}" for n, w in zip(self.numbers, widths, strict=True)])
        blank = " " if self.numbers and self.tail.startswith(("NED", "NOTES")) else ""
        return f"{style} {family.sign}{digits}{blank}{self.tail}"

    def fault(self) -> str | None:
        """Return why no such designation can exist, or None."""
        family = BY_KEY[self.family]
        if all(lo <= n <= hi for n, (lo, hi) in zip(self.numbers, family.limits, strict=True)):
            return None
        return f"the {family.title} runs {family.range_text()}"

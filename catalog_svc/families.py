"""The catalogues whose numbers we read: their codes, words, ranges and written forms, as one table.

A *family* is a catalogue ("NGC"), a *style* is the word people write it with ("MESSIER" and "M" are one family).
A name is stored as (code, rank, tail): the family's small integer, the numbers packed into one, the suffix.
Which numbers belong to an object is the store's knowledge; how text becomes a number is in `names`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

RADIX = 10_000
"""Numbers of one designation are packed in base 10,000 into its rank; no second or third number is larger."""
NO_RANK = 2**63 - 1
"""Rank of a number outside its catalogue: it fits into 64 bits as every rank does, and nothing stands there."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Family:
    """Describe one catalogue.

    Parameters
    ----------
    code : int
        Stable small number from 1, never renumbered and never used again: files on disk hold it. 0 is no family.
    key : str
        Name of the family; the two signs of MCG are two families, so that ranks stay positive.
    title : str
        Name for messages.
    limits : tuple of (int, int)
        Lowest and highest value of each number; empty for catalogues named by coordinates (2MASX, IRAS, SDSS).
    widths : tuple of int
        Zero padding of each number in the canonical form; 0 pads nothing.
    words : tuple of str
        Accepted words in capitals; the first one is canonical.
    sign : str
        What stands before the first number (MCG only).
    letters : tuple of str
        What may begin the coordinates; the first is meant when the caller leaves it out ("J", "" where none is usual).
    digits : tuple of (int, int)
        Fewest and most digits of right ascension and declination, decimals not counted.
    decimal : bool
        The second number is a decimal of the first (3C 272.1); 0 is none.
    """

    code: int
    key: str
    title: str
    limits: tuple[Span, ...]
    widths: tuple[int, ...]
    words: tuple[str, ...]
    sign: str = ""
    letters: tuple[str, ...] = ()
    digits: tuple[Span, Span] = ((5, 10), (4, 7))
    decimal: bool = False

    @property
    def style(self) -> str:
        """Canonical word as it is written."""
        return _STYLE.get(self.words[0], self.words[0])

    def rank(self, numbers: tuple[int, ...]) -> int:
        """Return the place of a designation in the natural order of its catalogue; `NO_RANK` outside of it."""
        rank = 0
        for number, (lo, hi) in zip(numbers, self.limits, strict=True):
            if not lo <= number <= hi:
                return NO_RANK
            rank = rank * RADIX + number
        return rank

    def numbers(self, rank: int) -> tuple[int, ...]:
        """Return the numbers that `rank` was made of."""
        out: list[int] = []
        for _ in self.limits[1:]:
            rank, number = divmod(rank, RADIX)
            out.append(number)
        return tuple([rank, *reversed(out)]) if self.limits else ()

    def holds(self, numbers: tuple[int, ...]) -> bool:
        """Return whether every number lies in the range of the catalogue."""
        return self.rank(numbers) != NO_RANK

    def range_text(self) -> str:
        """Return the range of the numbers in words, such as ``1..7840``."""
        return ", ".join(f"{lo}..{hi}" for lo, hi in (self.limits[:1] if self.decimal else self.limits))

    def spans(self, rest: str) -> tuple[list[Span], str] | None:
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
        elif self.decimal or self.key == "CGCG":
            rest = _POINT.sub("-", rest)
        match = _PARTIAL.fullmatch(rest)
        if match is None:
            return None
        body, tail = match[1], (match[2] or "").replace(" ", "")
        digits = _NUMBER.findall(body)
        if self.decimal and tail and len(digits) == 1:
            digits.append("0")  # 3C 66B is 3C 66.0 B
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

    def _open(self, lead: tuple[int, ...], prefix: str) -> Iterator[Span]:
        after = self.limits[len(lead) + 1:]
        for lo, hi in digit_spans(prefix, *self.limits[len(lead)]):
            yield (self.rank((*lead, lo, *(a for a, _ in after))), self.rank((*lead, hi, *(b for _, b in after))))

    def _coordinates(self, rest: str) -> str | None:
        text = _LOST_PLUS.sub("+", rest.strip()).replace(" ", "")
        if self.key == "6dF":  # 6dFGS gJ000131.3-055904 is 6dF J0001313-055904
            text = text.removeprefix("G").replace(".", "")
        if text[:1].isdigit():
            text = self.letters[0] + text
        return text if _COORDINATE_PREFIX.fullmatch(text) else None


_NUMBER = re.compile(r"[0-9]++")
_PARTIAL = re.compile(r"[ -]*+((?:[0-9]++[ -]*+)*+)([A-Z][A-Z0-9 ]*+)?")
_ESO_TYPE = re.compile(r"[ -]++(?:IG|SC|PN|EN|G) ?+(?=[0-9]|\Z)")
_POINT = re.compile(r"(?<=[0-9])\.")
_LOST_PLUS = re.compile(r"(?<=[0-9]) (?=[0-9])")
_COORDINATE_PREFIX = re.compile(r"[A-Z]?+(?:[0-9][0-9.+-]*+(?:[A-Z]++[0-9]*+)?+)?+")


def digit_spans(prefix: str, lo: int, hi: int) -> Iterator[Span]:
    """Yield, in natural order, the ranges of whole numbers in `lo`..`hi` whose digits begin with `prefix`."""
    if not prefix:
        yield lo, hi
        return
    if len(prefix) > len(str(hi)):
        return
    first = last = int(prefix)
    while first <= hi:
        if max(first, lo) <= min(last, hi):
            yield max(first, lo), min(last, hi)
        first, last = first * 10, last * 10 + 9


# Codes: never renumber, only append; a code that falls out of use stays empty.
# Ranges: NGC Dreyer 1888, IC Dreyer 1895 and 1908, UGC Nilson 1973, UGCA Nilson 1974, ESO Lauberts 1982 (606 fields),
# MCG Vorontsov-Velyaminov et al. 1962-74, PGC/LEDA Paturel et al. 2003, HCG Hickson 1982, Caldwell (Moore 1995),
# Arp 1966 (338), VV Vorontsov-Velyaminov et al. 2001 (2014, with the 852 of 1959 and 1977), Markarian et al. 1967-81
# (1500) and Mazzarella & Balzano 1986 (to 1515), Arakelian 1975 (591), Fairall 1977-92 (no closed list; 2MRS has 1452),
# 3C Edge et al. 1959 with the decimals of Bennett 1962 (470), Abell, Corwin & Olowin 1989 (4076, supplement 1174),
# CGCG Zwicky et al. 1961-68 (560 fields), VCC Binggeli et al. 1985 (2096),
# FCC Ferguson 1989 (340), DDO van den Bergh 1959 and 1966 (243), UM MacAlpine et al. 1977-81 (three digits),
# AGC Haynes & Giovanelli (six digits), WKK Woudt & Kraan-Korteweg 2001 (8182), 2MFGC Mitronova et al. 2004 (18,020),
# FGC and FGCE Karachentsev et al. 1993 (2573 and 1882; NED goes on to FGC 2574).
FAMILIES: tuple[Family, ...] = (
    Family(1, "NGC", "New General Catalogue (NGC)", ((1, 7840),), (0,), ("NGC", "N")),
    Family(2, "IC", "Index Catalogue (IC)", ((1, 5386),), (0,), ("IC", "I")),
    Family(3, "M", "Messier catalogue", ((1, 110),), (0,), ("M", "MESSIER")),
    Family(4, "UGC", "Uppsala General Catalogue (UGC)", ((1, 12921),), (0,), ("UGC", "U")),
    Family(5, "UGCA", "UGC addendum (UGCA)", ((1, 444),), (0,), ("UGCA",)),
    Family(6, "PGC", "Principal Galaxies Catalogue (PGC/LEDA)", ((1, 9_999_999),), (0,), ("PGC", "LEDA")),
    Family(7, "ESO", "ESO/Uppsala survey (ESO)", ((1, 606), (1, 999)), (3, 3), ("ESO",)),
    Family(8, "ESO-LV", "ESO-LV catalogue", ((1, 606), (1, 9999)), (3, 4), ("ESO-LV", "ESOLV", "ESO LV")),
    Family(9, "MCG+", "Morphological Catalogue (MCG)", ((0, 15), (1, 60), (1, 999)), (2, 2, 3), ("MCG",), sign="+"),
    Family(10, "MCG-", "Morphological Catalogue (MCG)", ((0, 15), (1, 60), (1, 999)), (2, 2, 3), ("MCG",), sign="-"),
    Family(11, "C", "Caldwell catalogue", ((1, 109),), (0,), ("C", "CALDWELL")),
    Family(12, "HCG", "Hickson compact groups (HCG)", ((1, 100),), (0,), ("HCG", "HICKSON")),
    Family(13, "2MASX", "2MASS extended sources (2MASX)", (), (), ("2MASX",), letters=("J",)),
    Family(14, "2MASS", "2MASS point sources", (), (), ("2MASS",), letters=("J",)),
    Family(15, "IRAS", "IRAS sources", (), (), ("IRAS",), letters=("", "F", "Z")),
    Family(16, "SDSS", "SDSS sources", (), (), ("SDSS",), letters=("J",)),
    Family(17, "Arp", "Arp atlas of peculiar galaxies", ((1, 338),), (0,), ("ARP",)),
    Family(18, "VV", "Vorontsov-Velyaminov catalogue (VV)", ((1, 2014),), (0,), ("VV",)),
    Family(19, "Mrk", "Markarian catalogue", ((1, 1515),), (0,), ("MRK", "MARKARIAN", "MKN", "MARK")),
    Family(20, "Ark", "Arakelian catalogue", ((1, 591),), (0,), ("ARK", "AKN", "ARAKELIAN")),
    Family(21, "Fairall", "Fairall lists", ((1, 9999),), (0,), ("FAIRALL", "FAIR")),
    Family(22, "3C", "Third Cambridge Catalogue (3C)", ((1, 470), (0, 9)), (0, 0), ("3C", "3CR"), decimal=True),
    Family(23, "Abell", "Abell catalogue of clusters (ACO)", ((1, 4076),), (0,), ("ABELL", "ACO", "A")),
    Family(24, "Abell S", "supplement of the Abell catalogue (ACO S)", ((1, 1174),), (4,),
           ("ABELL S", "ABELLS", "ACO S", "ACOS", "A S", "AS")),
    Family(25, "CGCG", "Zwicky catalogue (CGCG)", ((1, 560), (1, 999)), (3, 3), ("CGCG", "ZWG", "Z")),
    Family(26, "VCC", "Virgo Cluster Catalog (VCC)", ((1, 2096),), (0,), ("VCC",)),
    Family(27, "FCC", "Fornax Cluster Catalog (FCC)", ((1, 340),), (0,), ("FCC",)),
    Family(28, "DDO", "David Dunlap Observatory catalogue (DDO)", ((1, 243),), (0,), ("DDO",)),
    Family(29, "UM", "University of Michigan lists (UM)", ((1, 999),), (0,), ("UM",)),
    Family(30, "AGC", "Arecibo General Catalog (AGC)", ((1, 999_999),), (0,), ("AGC",)),
    Family(31, "WKK", "Woudt & Kraan-Korteweg catalogue (WKK)", ((1, 8182),), (0,), ("WKK",)),
    Family(32, "2MFGC", "2MASS-selected flat galaxies (2MFGC)", ((1, 18_020),), (0,), ("2MFGC",)),
    Family(33, "FGC", "Flat Galaxy Catalogue (FGC)", ((1, 2574),), (0,), ("FGC",)),
    Family(34, "FGCE", "Flat Galaxy Catalogue, southern extension (FGCE)", ((1, 1882),), (0,), ("FGCE",)),
    Family(35, "WISEA", "AllWISE sources (WISEA)", (), (), ("WISEA",), letters=("J",), digits=((6, 6), (6, 6))),
    Family(36, "6dF", "6dF Galaxy Survey", (), (), ("6DF", "6DFGS G", "6DFGSG", "6DFGS"), letters=("J",),
           digits=((6, 7), (6, 6))),
    Family(37, "GALEXASC", "GALEX all-sky sources", (), (), ("GALEXASC",), letters=("J",), digits=((6, 6), (6, 6))),
    Family(38, "HIPASS", "HIPASS sources", (), (), ("HIPASS",), letters=("J",), digits=((4, 4), (2, 2))),
    Family(39, "LCRS", "Las Campanas Redshift Survey", (), (), ("LCRS",), letters=("B",), digits=((6, 6), (6, 6))),
    Family(40, "KUG", "Kiso ultraviolet-excess galaxies (KUG)", (), (), ("KUG",), letters=("",), digits=((4, 4), (3, 3))),
    Family(41, "AM", "Arp-Madore catalogue (AM)", (), (), ("AM",), letters=("",), digits=((4, 4), (3, 4))),
    Family(42, "PKS", "Parkes radio sources (PKS)", (), (), ("PKS",), letters=("", "B", "J"), digits=((4, 4), (2, 4))),
    Family(43, "SBS", "Second Byurakan Survey (SBS)", (), (), ("SBS",), letters=("",), digits=((4, 4), (3, 3))),
)
BY_KEY: dict[str, Family] = {family.key: family for family in FAMILIES}
BY_CODE: dict[int, Family] = {family.code: family for family in FAMILIES}
ORDER: dict[str, int] = {family.key: place for place, family in enumerate(FAMILIES)}

_STYLE = {
    "N": "NGC", "I": "IC", "U": "UGC", "CALDWELL": "C", "HICKSON": "HCG", "ESOLV": "ESO-LV", "ESO LV": "ESO-LV",
    "ARP": "Arp", "MRK": "Mrk", "MARKARIAN": "Mrk", "MKN": "Mrk", "MARK": "Mrk", "ARK": "Ark", "AKN": "Ark",
    "ARAKELIAN": "Ark", "FAIRALL": "Fairall", "FAIR": "Fairall", "ABELL": "Abell", "ABELL S": "Abell S",
    "ABELLS": "Abell S", "ACOS": "ACO S", "A S": "AS", "ZWG": "CGCG", "Z": "CGCG", "6DF": "6dF", "6DFGS": "6dFGS g",
    "6DFGS G": "6dFGS g", "6DFGSG": "6dFGS g"}
_STYLE_WIDTH = {"MESSIER": 3}
_NO_BLANK = frozenset({"Abell S", "ACO S", "AS", "6dFGS g"})
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
    def code(self) -> int:
        """Stable number of the catalogue."""
        return BY_KEY[self.family].code

    @property
    def rank(self) -> int:
        """Place in the natural order of the catalogue, below 2**63; `NO_RANK` outside the catalogue."""
        return BY_KEY[self.family].rank(self.numbers)

    @property
    def key(self) -> str:
        """Canonical key, which is also the canonical written form."""
        return self._written(BY_KEY[self.family].style)

    @property
    def shown(self) -> str:
        """Written form in the style the caller used, such as ``MESSIER 031``."""
        return self._written(self.style)

    def _written(self, style: str) -> str:
        family, tail = BY_KEY[self.family], self.tail
        width = _STYLE_WIDTH.get(style)
        widths = (width,) if width else family.widths
        if family.decimal:
            whole, tenth = self.numbers
            digits = f"{whole}.{tenth}" if tenth else str(whole)
        else:
            digits = "-".join([f"{n:0{w}d}" for n, w in zip(self.numbers, widths, strict=True)])
        if tail[-1:].isdigit():
            tail = _COMPONENT.sub(r" \1", tail, count=1)
        return f"{style}{'' if style in _NO_BLANK else ' '}{family.sign}{digits}{tail}"

    def fault(self) -> str | None:
        """Return why no such designation can exist, or None."""
        family = BY_KEY[self.family]
        return None if family.holds(self.numbers) else f"the {family.title} runs {family.range_text()}"


_COMPONENT = re.compile(r"((?:NED|NOTES)[0-9])")

"""Spelling: from whatever a person types to one canonical key.

Every pattern is linear: possessive quantifiers never give characters back, and no name is longer than 128 characters.
The catalogues themselves stand in `families`; what exists is known by `store`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from cfcore.errors import BadParameter

from .families import BY_CODE, BY_KEY, WORDS, Designation, Family

MAX_NAME = 128
"""Longest accepted name, characters."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u02d7\ufe58\ufe63\uff0d\u2796"
_QUOTES = "\u2018\u2019\u201a\u201b\u2032\u2035\u02b9\u02bb\u02bc\u02c8\u00b4\u0060\uff07"
_DOUBLE_QUOTES = "\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb"
# Letters and marks that print nothing although Unicode does not count them among the format characters (Cf).
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
_UNIFY: dict[int, str | None] = {
    **{ord(c): "-" for c in _DASHES}, **{ord(c): "'" for c in _QUOTES}, **{ord(c): '"' for c in _DOUBLE_QUOTES},
    **{ord(c): None for c in _INVISIBLE}, ord("\t"): " "}
_BLANKS = re.compile(r" {2,}")
# Databases write blanks as underscores: NGC_4993, ESO_311-_G_012. One that stands free is a sign like any other.
_UNDERSCORES = re.compile(r"(?<=[0-9A-Za-z)\]-])_++(?=[0-9A-Za-z (\[+-]|\Z)")
# What people leave out or put in at will; any other sign (%, *, quotes) stays and simply matches nothing.
_FOLD_DROP = re.compile(r"[ '.,-]++")


def clean(name: str) -> str:
    """Return a name in NFKC with plain dashes, quotes and single blanks, nothing invisible, nothing around it.

    Raises
    ------
    BadParameter
        Code ``bad_name``: the name is empty, longer than 128 characters or holds a control character.
    """
    # Nearly every name is printable ASCII and skips the slow walk.
    if (name.isascii() and name.isprintable() and len(name) <= MAX_NAME and "  " not in name
            and "_" not in name and "`" not in name):
        text = name.strip(" ")
    else:
        text = _clean(name)
    if not text:
        raise bad_name(name, "is empty; send a name such as NGC 4993, M 31 or Sombrero")
    return text


def _clean(name: str) -> str:
    if len(name) > MAX_NAME:
        raise bad_name(name, f"has {len(name)} characters; the limit is {MAX_NAME}")
    text = name.strip(" \t\r\n")
    if not (text.isascii() and text.isprintable()):
        text = text.translate(_UNIFY)  # before NFKC, which would take an acute accent apart
        text = _unified(name, unicodedata.normalize("NFKC", text).translate(_UNIFY))
    text = text.replace("`", "'")
    if "_" in text:
        text = _UNDERSCORES.sub(" ", text)
    if "  " in text:
        text = _BLANKS.sub(" ", text)
    if len(text) > MAX_NAME:
        raise bad_name(name, f"has {len(text)} characters once written out; the limit is {MAX_NAME}")
    return text.strip(" ")


def _unified(name: str, text: str) -> str:
    out: list[str] = []
    for char in text:
        if " " <= char <= "~":
            out.append(char)
            continue
        category = unicodedata.category(char)
        if category in ("Cc", "Cs"):
            raise bad_name(name, f"holds the control character U+{ord(char):04X}; send printable text")
        if category in ("Pd", "Zs", "Zl", "Zp"):
            out.append("-" if category == "Pd" else " ")
        elif category != "Cf":
            out.append(char)
    return "".join(out)


def bad_name(name: str, why: str) -> BadParameter:
    """Return the error for a text that cannot be a name, showing at most 80 characters of it."""
    return BadParameter(f"name {quote(name)} {why}", code="bad_name", where="name")


def quote(name: str) -> str:
    """Return a name for a message: printable, at most 80 characters."""
    shown = ascii(name[:80]) if any(unicodedata.category(c)[0] == "C" for c in name[:80]) else repr(name[:80])
    return shown if len(name) <= 80 and len(shown) <= 82 else shown[:78] + "..." + shown[0]


class Fold(NamedTuple):
    """Hold a common name reduced to what matters: ``the Mice Galaxy`` is ("mice", "micegalaxy")."""

    short: str
    full: str


def fold(text: str) -> Fold:
    """Reduce a common name to lower-case letters and digits, without article, accents, apostrophes and "galaxy".

    ``Virgo Cluster of Galaxies``, ``Virgo galaxy cluster`` and ``cluster Virgo`` are all ``virgocluster``.
    """
    plain = text.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    plain = plain.removeprefix("the ")
    if plain.startswith("cluster "):
        plain = plain[8:] + " cluster"
    full = _FOLD_DROP.sub("", plain)
    if full.endswith(_CLUSTERS):
        full = full.replace("clusterofgalaxies", "cluster").replace("galaxycluster", "cluster")
    for suffix in ("galaxies", "galaxy"):
        if full.endswith(suffix) and len(full) > len(suffix):
            return Fold(full[:-len(suffix)], full)
    return Fold(full, full)


_CLUSTERS = ("clusterofgalaxies", "galaxycluster")


def plain_key(text: str) -> str | None:
    """Return the key of an identifier of no known family (``Mel 022`` -> ``MEL22``), or None without a digit."""
    compact = text.upper().replace(" ", "")
    return _LEADING_ZEROS.sub("", compact) if _NUMBERED.search(compact) else None


def plain_beginning(text: str) -> str:
    """Return what the key of an identifier of no known family begins with when its text begins so."""
    return _LEADING_ZEROS.sub("", text.upper().replace(" ", ""))


_LEADING_ZEROS = re.compile(r"(?<![0-9.])0++(?=[0-9])")
_NUMBERED = re.compile(r"[0-9]++")
_BY_WORD: dict[str, tuple[str, Family]] = {word: (style, family) for word, style, family in WORDS}
# Nine names in ten are a word and one number; this table and pattern read them at once.
_PLAIN: dict[str, tuple[str, str]] = {
    word: (family.key, style) for word, style, family in WORDS if len(family.limits) == 1}
_WORD_NUMBER = re.compile(r"([A-Z]++)[ -]?+([0-9]++)")
# Words that people glue to the letter of the coordinates (2MASXJ...) or take apart (ESO LV, Abell S), longest first.
_GLUED = sorted((word for word, _, family in WORDS if "".join(family.letters)), key=len, reverse=True)
_WORD = re.compile(rf"({'|'.join(_GLUED)}|ESO[ -]?LV|(?:ABELL|ACO|A) S(?=[ -]?[0-9])|[0-9]?+[A-Z]++)(.*+)")
_TAIL = re.compile(r"([A-Z]{0,2}?)((?:(?:NED|NOTES)[0-9]{1,3}+)*+)")
_SINGLE = re.compile(r"[ -]*+([0-9]++)(.*+)")
_DECIMAL = re.compile(r"[ -]*+([0-9]++)(?:\.([0-9])(?![0-9]))?+(.*+)")
_ESO = re.compile(r"[ -]*+([0-9]++)(?:[ -]++(?:[A-Z*?]{1,2}+[ -]*+)?+|(?:IG|SC|PN|EN|G)[ -]*+)([0-9]++)(.*+)")
_ESO_LV = re.compile(r"[ -]*+(?:([0-9]++)[ -]++([0-9]++)|([0-9]{3})([0-9]{4}))()")
_CGCG = re.compile(r"[ -]*+([0-9]++)(?:\.|[ -]++)([0-9]++)(.*+)")
_MCG = re.compile(r" ?+([+-]?+)[ ]?+([0-9]++)[ -]++([0-9]++)[ -]++([0-9]++)(.*+)")
_COORDINATES = re.compile(r"[ -]?+([A-Z]?+) ?+([0-9]{4,10}+)(\.[0-9]{1,3}+)?+ ?+([+-]?+) ?+"
                          r"([0-9]{2,7}+)(\.[0-9]{1,3}+)?+(.*+)")
_NUMBERS = {"ESO": _ESO, "ESO-LV": _ESO_LV, "CGCG": _CGCG, "3C": _DECIMAL}


def read(text: str) -> Designation | None:
    """Read clean text as the designation of a known catalogue.

    Parameters
    ----------
    text : str
        The result of `clean`; case, blanks, dashes and zero padding do not matter.

    Returns
    -------
    Designation or None
        None when the text is no designation at all; numbers may lie outside the catalogue (`Designation.fault`).
    """
    text = text.upper()
    match = _WORD_NUMBER.fullmatch(text)
    if match is not None:
        word, number = match.groups()
        plain = _PLAIN.get(word)
        if plain is not None:
            return Designation(plain[0], (int(number),), "", plain[1])
    match = _WORD.fullmatch(text)
    if match is None:
        return None
    word, rest = match.groups()
    found = _BY_WORD.get(word)
    if found is None:
        return None
    style, family = found
    if not family.limits:
        return _read_coordinates(family, style, rest)
    if family.sign:
        return _read_mcg(rest)
    parts = _NUMBERS.get(family.key, _SINGLE).fullmatch(rest)
    if parts is None:
        return None
    if family.decimal:
        whole, tenth, rest = parts.groups(default="0")
        digits = [whole, tenth]
    else:
        *digits, rest = [p for p in parts.groups() if p is not None]
    tail = _tail(rest)
    return None if tail is None else Designation(family.key, tuple(map(int, digits)), tail, style)


def _read_mcg(rest: str) -> Designation | None:
    parts = _MCG.fullmatch(rest)
    tail = _tail(parts[5]) if parts else None
    if parts is None or tail is None:
        return None
    # A "+" in a URL arrives as a blank unless it was encoded, so a zone without a sign is northern.
    family = "MCG-" if parts[1] == "-" else "MCG+"
    return Designation(family, (int(parts[2]), int(parts[3]), int(parts[4])), tail, "MCG")


def _read_coordinates(family: Family, style: str, rest: str) -> Designation | None:
    parts = _COORDINATES.fullmatch(rest)
    if parts is None:
        return None
    letter, ra, ra_tenths, sign, dec, dec_tenths, suffix = parts.groups(default="")
    (ra_least, ra_most), (dec_least, dec_most) = family.digits
    tail = _tail(suffix) if suffix else ""
    if tail is None or not (ra_least <= len(ra) <= ra_most and dec_least <= len(dec) <= dec_most):
        return None
    letter = letter or family.letters[0]
    if letter not in family.letters or int(ra[:2]) >= 24 or int(dec[:2]) > 90:
        return None
    if family.key == "6dF":  # written with and without the decimal point of the seconds
        ra_tenths = ra_tenths[1:]
        if len(ra + ra_tenths) > 7:
            return None
    return Designation(family.key, (), f"{letter}{ra}{ra_tenths}{sign or '+'}{dec}{dec_tenths}{tail}", style)


def _tail(rest: str) -> str | None:
    if not rest:
        return ""
    match = _TAIL.fullmatch(rest.replace(" ", "").lstrip("-"))
    if match is None:
        return None
    return match[1] + _NUMBERED.sub(lambda m: f"{int(m[0]):02d}", match[2]) if match[2] else match[1]


def designation(code: int, rank: int, tail: str, style: str | None = None) -> Designation:
    """Return the designation that was stored as (code, rank, tail).

    Parameters
    ----------
    code : int
        `Family.code`; 0 stands for plain identifiers, which are no designations.
    rank, tail : int, str
        `Designation.rank` and `Designation.tail`.
    style : str, optional
        How to write it, such as ``MESSIER``; the canonical style of the catalogue when left out.
    """
    family = BY_CODE[code]
    return Designation(family.key, family.numbers(rank), tail, style or family.style)


class Opening(NamedTuple):
    """Hold one way to read a text as the beginning of designations."""

    family: Family
    style: str
    spans: list[tuple[int, int]]
    tail: str
    is_word: bool
    """The catalogue's word is complete ("NGC", "NGC 49"); False for "NG" or "MESS"."""


def openings(text: str) -> list[Opening]:
    """Return every way to read clean text as the beginning of designations, complete words first."""
    upper = text.upper()
    whole: dict[str, Opening] = {}
    begun: dict[str, Opening] = {}
    for word, style, family in _BY_INITIAL.get(upper[:1], ()):
        if upper.startswith(word):
            spans = family.spans(upper[len(word):])
            if spans is not None:
                whole.setdefault(family.key, Opening(family, style, *spans, True))
        elif word.startswith(upper):
            begun.setdefault(family.key, Opening(family, style, _everything(family), "", False))
    return [*whole.values(), *(opening for key, opening in begun.items() if key not in whole)]


def _everything(family: Family) -> list[tuple[int, int]]:
    return [(family.rank(tuple(lo for lo, _ in family.limits)), family.rank(tuple(hi for _, hi in family.limits)))]


_BY_INITIAL: dict[str, list[tuple[str, str, Family]]] = {}
for _entry in WORDS:
    _BY_INITIAL.setdefault(_entry[0][0], []).append(_entry)


def shown(family: str, style: str, rank: int, tail: str) -> str:
    """Return the written form of a stored designation in a style."""
    return Designation(family, BY_KEY[family].numbers(rank), tail, style).shown

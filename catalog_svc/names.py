"""Spelling: from whatever a person types to one canonical key.

Every pattern is linear: possessive quantifiers never give characters back, and no name is longer than 128 characters.
The catalogues themselves stand in `families`; what exists is known by `store`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from cfcore.errors import BadParameter

from .families import BY_KEY, WORDS, Designation, Family

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
# What people leave out or put in at will; any other sign (%, *, quotes) stays and simply matches nothing.
_FOLD_DROP = re.compile(r"[ '.,-]++")


def clean(name: str) -> str:
    """Return a name in NFKC with plain dashes, quotes and single blanks, nothing invisible, nothing around it.

    Raises
    ------
    BadParameter
        Code ``bad_name``: the name is empty, longer than 128 characters or holds a control character.
    """
    if len(name) > MAX_NAME:
        raise bad_name(name, f"has {len(name)} characters; the limit is {MAX_NAME}")
    text = name.strip(" \t\r\n").translate(_UNIFY)  # before NFKC, which would take an acute accent apart
    if not (text.isascii() and text.isprintable()):  # nearly every name skips the slow walk
        text = _unified(name, unicodedata.normalize("NFKC", text).translate(_UNIFY))
    text = _BLANKS.sub(" ", text).strip(" ")
    if not text:
        raise bad_name(name, "is empty; send a name such as NGC 4993, M 31 or Sombrero")
    if len(text) > MAX_NAME:
        raise bad_name(name, f"has {len(text)} characters once written out; the limit is {MAX_NAME}")
    return text


def _unified(name: str, text: str) -> str:
    out: list[str] = []
    for char in text:
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
    """Reduce a common name to lower-case letters and digits, without article, accents, apostrophes and "galaxy"."""
    plain = text.casefold()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(c))
    if plain.startswith("the "):
        plain = plain[4:]
    full = _FOLD_DROP.sub("", plain)
    for suffix in ("galaxies", "galaxy"):
        if full.endswith(suffix) and len(full) > len(suffix):
            return Fold(full[:-len(suffix)], full)
    return Fold(full, full)


def plain_key(text: str) -> str | None:
    """Return the key of an identifier of no known family (``Mel 022`` -> ``MEL22``), or None without a digit."""
    compact = text.upper().replace(" ", "")
    return _LEADING_ZEROS.sub("", compact) if any(c.isdigit() for c in compact) else None


_LEADING_ZEROS = re.compile(r"(?<![0-9.])0++(?=[0-9])")
_WORD = re.compile(r"(2MASX|2MASS|SDSS|IRAS|ESO[ -]?LV|[A-Z]++)(.*+)")
_TAIL = re.compile(r"([A-Z]{0,2}?)((?:(?:NED|NOTES)[0-9]{1,3}+)*+)")
_SINGLE = re.compile(r"[ -]*+([0-9]++)(.*+)")
_ESO = re.compile(r"[ -]*+([0-9]++)(?:[ -]++(?:[A-Z*?]{1,2}+[ -]*+)?+|(?:IG|SC|PN|EN|G)[ -]*+)([0-9]++)(.*+)")
_ESO_LV = re.compile(r"[ -]*+(?:([0-9]++)[ -]++([0-9]++)|([0-9]{3})([0-9]{4}))()")
_MCG = re.compile(r" ?+([+-]?+)[ ]?+([0-9]++)[ -]++([0-9]++)[ -]++([0-9]++)(.*+)")
_COORDINATES = re.compile(r"[ -]?+([A-Z]?+) ?+([0-9]{5,10}+(?:\.[0-9]{1,3}+)?+) ?+([+-]?+) ?+"
                          r"([0-9]{4,7}+(?:\.[0-9]{1,3}+)?+)([A-Z]?+)")
_LETTERS = {"2MASX": ("J",), "2MASS": ("J",), "SDSS": ("J",), "IRAS": ("", "F", "Z")}


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
    match = _WORD.fullmatch(text.upper())
    if match is None:
        return None
    word = match[1] if not match[1].startswith("ESO") else match[1].replace(" ", "-")
    found = _BY_WORD.get(word)
    if found is None:
        return None
    style, family = found
    if not family.limits:
        return _read_coordinates(family, match[2])
    if family.sign:
        return _read_mcg(match[2])
    pattern = {"ESO": _ESO, "ESO-LV": _ESO_LV}.get(family.key, _SINGLE)
    parts = pattern.fullmatch(match[2])
    if parts is None:
        return None
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


def _read_coordinates(family: Family, rest: str) -> Designation | None:
    parts = _COORDINATES.fullmatch(rest)
    if parts is None:
        return None
    letter = parts[1] or family.letter
    if letter not in _LETTERS[family.key] or int(parts[2][:2]) >= 24 or int(parts[4][:2]) > 90:
        return None
    return Designation(family.key, (), f"{letter}{parts[2]}{parts[3] or '+'}{parts[4]}{parts[5]}", family.key)


def _tail(rest: str) -> str | None:
    if not rest:
        return ""
    match = _TAIL.fullmatch(rest.replace(" ", "").lstrip("-"))
    if match is None:
        return None
    return match[1] + _NUMBERED.sub(lambda m: f"{int(m[0]):02d}", match[2])


_NUMBERED = re.compile(r"[0-9]++")
_BY_WORD: dict[str, tuple[str, Family]] = {word: (style, family) for word, style, family in WORDS}


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
    out: list[Opening] = []
    for word, style, family in WORDS:
        if upper.startswith(word):
            read_spans = family.spans(upper[len(word):])
            if read_spans is not None:
                out.append(Opening(family, style, *read_spans, True))
        elif word.startswith(upper):
            top = family.spans("")
            if top is not None:
                out.append(Opening(family, style, *top, False))
    out.sort(key=lambda o: not o.is_word)
    by_family: dict[str, Opening] = {}
    for opening in out:
        by_family.setdefault(opening.family.key, opening)
    return list(by_family.values())


def shown(family: str, style: str, rank: int, tail: str) -> str:
    """Return the written form of a stored designation in a style."""
    return Designation(family, BY_KEY[family].numbers(rank), tail, style).shown

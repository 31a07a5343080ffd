"""Guess what an unknown name was meant to be, and say why.

Only words are guessed, never numbers: NGC 4993 and NGC 4994 differ by one character and by everything else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice

from . import names
from .families import WORDS

MAX_SUGGESTIONS = 5
_LONGEST_GUESS = 48  # the longest common name has 28 letters; difflib grows with the square
_WORD_THEN_NUMBER = re.compile(r"([A-Z]{2,12}+)([ +-]*+[0-9].*+)")
_LONG_WORDS = sorted({word for word, _, _ in WORDS if len(word) > 2})


def suggest(text: str, vocabulary: Sequence[tuple[str, str]],
            is_galaxy: Callable[[str], bool]) -> list[dict[str, str]]:
    """Return up to five suggestions for clean text that resolved to nothing.

    Parameters
    ----------
    text : str
        The result of `names.clean`.
    vocabulary : sequence of (str, str)
        Common names of galaxies: folded and as written.
    is_galaxy : callable
        Says whether a canonical key belongs to a galaxy.

    Returns
    -------
    list of dict
        ``{"name", "reason"}``, best first.
    """
    found: dict[str, str] = {}
    for name, reason in (*_designations(text, is_galaxy), *_common_names(text, vocabulary)):
        found.setdefault(name, reason)
    return [{"name": name, "reason": reason} for name, reason in islice(found.items(), MAX_SUGGESTIONS)]


def _designations(text: str, is_galaxy: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    spelled = names.read(text)
    if spelled is not None:
        bare = spelled._replace(tail="")
        if spelled.tail and spelled.numbers and is_galaxy(bare.key):
            yield bare.shown, f"the same number without the suffix {spelled.tail}"
        return
    match = _WORD_THEN_NUMBER.fullmatch(text.upper())
    if match is None:
        return
    for word in get_close_matches(match[1], _LONG_WORDS, n=2, cutoff=0.6):
        guess = names.read(word + match[2])
        if guess is not None and is_galaxy(guess.key):
            yield guess.shown, f"{match[1]} is no catalogue known here, {guess.style} is"


def _common_names(text: str, vocabulary: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    short = names.fold(text).short
    if not 3 <= len(short) <= _LONGEST_GUESS or names.read(text) is not None:
        return
    for known, shown in vocabulary:
        if known.startswith(short):
            yield shown, "begins with these letters"
    for known, shown in vocabulary:
        if short in known:
            yield shown, "contains these letters"
    # Digits carry meaning that similarity does not see: 3C 273 is not almost 3C 274.
    words = [known for known, _ in vocabulary if not any(c.isdigit() for c in known)]
    for close in get_close_matches(short, dict.fromkeys(words), n=MAX_SUGGESTIONS, cutoff=0.72):
        for known, shown in vocabulary:
            if known == close:
                yield shown, "is spelled almost so"

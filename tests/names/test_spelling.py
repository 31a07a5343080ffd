"""Spellings: from what people type to one key."""

from __future__ import annotations

import random
import re
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_svc import names
from catalog_svc.families import digit_spans
from catalog_svc.store import Store
from cfcore.errors import BadParameter

GLUED = re.compile(r"(?<=[0-9])(?=SDSS|UGC)")
"""Where OpenNGC lost the comma between two identifiers."""


@pytest.mark.parametrize(("typed", "key", "shown"), [
    ("NGC 4993", "NGC 4993", "NGC 4993"), ("n4993", "NGC 4993", "NGC 4993"), ("NGC4993", "NGC 4993", "NGC 4993"),
    ("ngc 04993", "NGC 4993", "NGC 4993"), ("NGC-4993", "NGC 4993", "NGC 4993"),
    ("  ngc\t4993 ", "NGC 4993", "NGC 4993"), ("NGC\u00a04993", "NGC 4993", "NGC 4993"),
    ("\uff2e\uff27\uff23\u3000\uff14\uff19\uff19\uff13", "NGC 4993", "NGC 4993"),
    ("\ufeffNGC\u200b 4993\u200e", "NGC 4993", "NGC 4993"), ("NGC\u20124993", "NGC 4993", "NGC 4993"),
    ("I342", "IC 342", "IC 342"), ("ic 0342", "IC 342", "IC 342"), ("M31", "M 31", "M 31"), ("m 031", "M 31", "M 31"),
    ("MESSIER 031", "M 31", "MESSIER 031"), ("Messier 31", "M 31", "MESSIER 031"),
    ("PGC045657", "PGC 45657", "PGC 45657"), ("leda 45657", "PGC 45657", "LEDA 45657"),
    ("UGC 00454", "UGC 454", "UGC 454"), ("U454", "UGC 454", "UGC 454"), ("ugca99", "UGCA 99", "UGCA 99"),
    ("ESO 138- G 010", "ESO 138-010", "ESO 138-010"), ("ESO138-010", "ESO 138-010", "ESO 138-010"),
    ("ESO 138-G10", "ESO 138-010", "ESO 138-010"), ("eso 138-ig 010", "ESO 138-010", "ESO 138-010"),
    ("ESO 138 10", "ESO 138-010", "ESO 138-010"), ("ESO 473-010A", "ESO 473-010A", "ESO 473-010A"),
    ("MCG +07-02-016", "MCG +07-02-016", "MCG +07-02-016"), ("MCG 07-02-016", "MCG +07-02-016", "MCG +07-02-016"),
    ("MCG  7-2-16", "MCG +07-02-016", "MCG +07-02-016"), ("MCG \u221204-31-039", "MCG -04-31-039", "MCG -04-31-039"),
    ("mcg-4-31-39", "MCG -04-31-039", "MCG -04-31-039"), ("Caldwell 5", "C 5", "C 5"), ("c005", "C 5", "C 5"),
    ("2masxj13094770-2323017", "2MASX J13094770-2323017", "2MASX J13094770-2323017"),
    ("2MASX 00424433+4116074", "2MASX J00424433+4116074", "2MASX J00424433+4116074"),
    ("2MASX J00424433 4116074", "2MASX J00424433+4116074", "2MASX J00424433+4116074"),
    ("IRAS 00400 4059", "IRAS 00400+4059", "IRAS 00400+4059"),
    ("irasF12344+2801", "IRAS F12344+2801", "IRAS F12344+2801"),
    ("SDSSJ001206.08\u2013002454.7", "SDSS J001206.08-002454.7", "SDSS J001206.08-002454.7"),
    ("ngc7318 a", "NGC 7318A", "NGC 7318A"), ("NGC 190 NED1", "NGC 190 NED01", "NGC 190 NED01"),
    ("ESO-LV 1960020", "ESO-LV 196-0020", "ESO-LV 196-0020"), ("hickson 92", "HCG 92", "HCG 92"),
])
def test_every_usual_spelling_leads_to_one_key_and_keeps_its_style(typed: str, key: str, shown: str) -> None:
    designation = names.read(names.clean(typed))

    assert designation is not None
    assert (designation.key, designation.shown) == (key, shown)


@pytest.mark.parametrize("typed", ["NGC", "NGC 49 93", "NGC 4993 12", "4993", "M 31*", "NGC -", "ESO 508", "MCG 7-2",
                                   "2MASX J1309", "2MASX J99094770-2323017", "Leo I", "NGC \u0664\u0669", "NGC 4.5"])
def test_what_is_no_designation_is_not_forced_into_one(typed: str) -> None:
    assert names.read(names.clean(typed)) is None


@pytest.mark.parametrize(("typed", "says"), [
    ("NGC 0", "1..7840"), ("NGC 7841", "1..7840"), ("IC 5387", "1..5386"), ("M 111", "1..110"),
    ("UGC 12922", "1..12921"),
    ("ESO 607-001", "1..606"), ("MCG +16-01-001", "0..15"), ("C 110", "1..109"), ("NGC " + "9" * 120, "1..7840")])
def test_a_number_outside_its_catalogue_is_told_the_range(typed: str, says: str) -> None:
    designation = names.read(names.clean(typed))

    assert designation is not None
    assert says in (designation.fault() or "")


@pytest.mark.parametrize("typed", ["", "   ", "\u200b\ufeff", "x" * 129, "y" * 10_000, "NGC\x004993", "NGC\n4993",
                                   "\x1b[31mNGC 1", "NGC \x7f1", "NGC\ud8004993", "\ufdfa" * 20])
def test_text_that_cannot_be_a_name_is_refused_with_bad_name(typed: str) -> None:
    with pytest.raises(BadParameter) as caught:
        names.clean(typed)

    assert caught.value.code == "bad_name"
    assert caught.value.where == "name"
    assert len(caught.value.message) < 250


def test_a_refused_name_is_shown_at_most_80_characters_long() -> None:
    for typed in ("z" * 5000, "\x07" * 5000, "\u0161" * 5000):
        assert len(names.quote(typed)) <= 82


@pytest.mark.parametrize(("one", "other"), [
    ("Bode's Galaxy", "bode\u2019s"), ("The Mice Galaxies", "mice"), ("Bear-Paw Galaxy", "BEAR PAW"),
    ("3C 274", "3c274"), ("Bo\u00f6tes", "BOOTES"), ("Galaxy", "galaxy")])
def test_common_names_fold_alike_whatever_case_suffix_or_apostrophe(one: str, other: str) -> None:
    assert names.fold(names.clean(one)).short == names.fold(names.clean(other)).short


@given(prefix=st.integers(0, 99_999), lo=st.integers(0, 50), hi=st.integers(51, 12_000))
@settings(deadline=None, database=None)
def test_digit_spans_are_exactly_the_numbers_that_begin_so_in_order(prefix: int, lo: int, hi: int) -> None:
    text = str(prefix).lstrip("0")

    spanned = [n for a, b in digit_spans(text, lo, hi) for n in range(a, b + 1)]

    assert spanned == [n for n in range(lo, hi + 1) if str(n).startswith(text)]


def test_every_identifier_of_every_galaxy_leads_to_that_galaxy(store: Store, openngc: list[sqlite3.Row]) -> None:
    wrong = []
    for row in openngc:
        if row["type"] in ("G", "GPair", "GTrpl", "GGroup"):
            own = store.resolve(row["name"])
            pieces = [p for text in [row["name"], *row["identifiers"].split(",")] for p in GLUED.split(text)]
            for piece in pieces:
                if any(c.isdigit() for c in piece) and store.resolve(piece)["canonical"] != own["canonical"]:
                    wrong.append((row["name"], piece))

    assert wrong == []


@pytest.fixture(scope="session")
def spellings(openngc: list[sqlite3.Row]) -> list[tuple[str, str]]:
    """Return (identifier, name of its galaxy in OpenNGC), shuffled."""
    pairs = [(text, row["name"]) for row in openngc if row["type"] in ("G", "GPair", "GTrpl", "GGroup")
             for text in [row["name"], *row["identifiers"].split(",")]
             if text.startswith(("NGC", "IC", "PGC", "UGC", "MCG", "ESO", "2MASX", "IRAS", "SDSS"))
             and not GLUED.search(text) and not text.endswith(" bg")]
    random.Random(4993).shuffle(pairs)
    return pairs


@given(pick=st.integers(0, 10**9), seed=st.integers(0, 10**9))
@settings(deadline=None, database=None, max_examples=400)
def test_any_identifier_in_any_case_padding_and_blanks_leads_to_its_galaxy(
        store: Store, spellings: list[tuple[str, str]], pick: int, seed: int) -> None:
    text, galaxy = spellings[pick % len(spellings)]
    disguised = disguise(text, random.Random(seed))

    assert store.resolve(disguised)["canonical"] == store.resolve(galaxy)["canonical"], disguised


def disguise(text: str, dice: random.Random) -> str:
    """Write an identifier as another person would."""
    word = next(w for w in ("2MASX", "IRAS", "SDSS", "ESO-LV", "UGCA", "UGC", "NGC", "PGC", "MCG", "ESO", "IC")
                if text.startswith(w))
    rest = text[len(word):].strip()
    short = {"NGC": "N", "IC": "I", "UGC": "U", "PGC": "LEDA"}
    if dice.random() < 0.3:
        word = short.get(word, word)
    if word in ("NGC", "N", "IC", "I", "UGC", "U", "UGCA", "PGC", "LEDA"):
        digits = rest.split(" ")[0].rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        rest = digits.lstrip("0").zfill(dice.choice([1, 4, 6, 9])) + rest[len(digits):]
    if word == "MCG" and dice.random() < 0.5:
        rest = rest.replace("+", " ")  # a plus in a URL
    if word == "ESO" and dice.random() < 0.5:
        rest = rest.replace("-", dice.choice(["- G ", "-G", "-IG ", " ", " - "]))
    if dice.random() < 0.5:
        rest = rest.replace("-", dice.choice("\u2010\u2012\u2013\u2212"))
    blank = dice.choice(["", " ", "  ", "\u00a0", "\t", "\u2009", "\u200b "])
    if word == "MCG" and rest.startswith(" ") and not blank.strip("\u200b"):
        blank = " "
    written = f"{dice.choice(['', ' ', '   '])}{word}{blank}{rest}{dice.choice(['', ' ', chr(0xFEFF)])}"
    return "".join(c.lower() if dice.random() < 0.5 else c.upper() for c in written)

"""Spellings: from what people type to one key."""

from __future__ import annotations

import random
import re
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_svc import names
from catalog_svc.families import BY_CODE, BY_KEY, FAMILIES, NO_RANK, WORDS, Family, digit_spans
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
    ("NGC_4993", "NGC 4993", "NGC 4993"), ("MESSIER_031", "M 31", "MESSIER 031"),
    ("ESO_311-_G_012", "ESO 311-012", "ESO 311-012"), ("2MASX_J06190264+0309512", "2MASX J06190264+0309512",
                                                       "2MASX J06190264+0309512"),
    ("MCG_+05-19-001_NED02", "MCG +05-19-001 NED02", "MCG +05-19-001 NED02"), ("IC_0080_NED02", "IC 80 NED02",
                                                                            "IC 80 NED02"),
    ("A1656", "Abell 1656", "A 1656"), ("abell 1656", "Abell 1656", "Abell 1656"), ("ACO 1656", "Abell 1656", "ACO 1656"),
    ("AS 636", "Abell S0636", "AS0636"), ("ABELL_S0636", "Abell S0636", "Abell S0636"),
    ("ACO S 636", "Abell S0636", "ACO S0636"), ("abells636", "Abell S0636", "Abell S0636"),
    ("arp220", "Arp 220", "Arp 220"), ("VV_820_NED02", "VV 820 NED02", "VV 820 NED02"), ("vv 184a", "VV 184A", "VV 184A"),
    ("MKN 421", "Mrk 421", "Mrk 421"), ("Markarian 421", "Mrk 421", "Mrk 421"), ("MRK_0501", "Mrk 501", "Mrk 501"),
    ("AKN 120", "Ark 120", "Ark 120"), ("FAIRALL_0009", "Fairall 9", "Fairall 9"), ("3C272.1", "3C 272.1", "3C 272.1"),
    ("3cr 274", "3C 274", "3CR 274"), ("3C 66b", "3C 66B", "3C 66B"), ("CGCG_428-070", "CGCG 428-070", "CGCG 428-070"),
    ("ZWG 428.070", "CGCG 428-070", "CGCG 428-070"), ("Z 428-70", "CGCG 428-070", "CGCG 428-070"),
    ("VCC_0165", "VCC 165", "VCC 165"), ("2MFGC_11601", "2MFGC 11601", "2MFGC 11601"), ("AGC102728", "AGC 102728",
                                                                                   "AGC 102728"),
    ("KUG_1748+144", "KUG 1748+144", "KUG 1748+144"), ("kug 1748 144", "KUG 1748+144", "KUG 1748+144"),
    ("AM_1105-700_NED02", "AM 1105-700 NED02", "AM 1105-700 NED02"), ("PKS 0521-365", "PKS 0521-365", "PKS 0521-365"),
    ("LCRS_B110246.5-034222", "LCRS B110246.5-034222", "LCRS B110246.5-034222"),
    ("6dFgs gJ0001313-055904", "6dF J0001313-055904", "6dFGS gJ0001313-055904"),
    ("6dFGS gJ000131.3-055904", "6dF J0001313-055904", "6dFGS gJ0001313-055904"),
    ("6dFJ0001313-055904", "6dF J0001313-055904", "6dF J0001313-055904"), ("HIPASSJ0021+08", "HIPASS J0021+08",
                                                                         "HIPASS J0021+08"),
    ("WISEA J212042.46+442359.3", "WISEA J212042.46+442359.3", "WISEA J212042.46+442359.3"),
])
def test_every_usual_spelling_leads_to_one_key_and_keeps_its_style(typed: str, key: str, shown: str) -> None:
    designation = names.read(names.clean(typed))

    assert designation is not None
    assert (designation.key, designation.shown) == (key, shown)


@pytest.mark.parametrize("typed", ["NGC", "NGC 49 93", "NGC 4993 12", "4993", "M 31*", "NGC -", "ESO 508", "MCG 7-2",
                                   "2MASX J1309", "2MASX J99094770-2323017", "Leo I", "NGC \u0664\u0669", "NGC 4.5",
                                   "NGC 5194/5", "NGC _4993", "3C 272.12", "A", "Abell S", "Sextans A", "HIPASS J00212+08",
                                   "6dF J00013134-055904", "ABELL 2151:[MGT95] 103", "M101-df1"])
def test_what_is_no_designation_is_not_forced_into_one(typed: str) -> None:
    assert names.read(names.clean(typed)) is None


@pytest.mark.parametrize(("typed", "says"), [
    ("NGC 0", "1..7840"), ("NGC 7841", "1..7840"), ("IC 5387", "1..5386"), ("M 111", "1..110"),
    ("UGC 12922", "1..12921"),
    ("ESO 607-001", "1..606"), ("MCG +16-01-001", "0..15"), ("C 110", "1..109"), ("NGC " + "9" * 120, "1..7840"),
    ("Abell 4077", "1..4076"), ("Abell S1175", "1..1174"), ("Arp 339", "1..338"), ("3C 471", "the Third Cambridge Catalogue"),
    ("Mrk 1516", "1..1515"), ("CGCG 561-001", "1..560"), ("VCC 2097", "1..2096")])
def test_a_number_outside_its_catalogue_is_told_the_range(typed: str, says: str) -> None:
    designation = names.read(names.clean(typed))

    assert designation is not None
    assert says in (designation.fault() or "")
    assert designation.rank == NO_RANK  # it fits into the file and is never found there


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
    ("3C 274", "3c274"), ("Bo\u00f6tes", "BOOTES"), ("Galaxy", "galaxy"),
    ("Virgo Cluster", "the virgo cluster"), ("Virgo Cluster", "Virgo Cluster of Galaxies"),
    ("Coma cluster", "Coma galaxy cluster"), ("Coma cluster", "cluster Coma"),
    ("Shapley supercluster", "Shapley Supercluster of Galaxies")])
def test_common_names_fold_alike_whatever_case_suffix_or_apostrophe(one: str, other: str) -> None:
    assert names.fold(names.clean(one)).short == names.fold(names.clean(other)).short


def test_the_codes_on_disk_are_never_renumbered() -> None:
    first = ["NGC", "IC", "M", "UGC", "UGCA", "PGC", "ESO", "ESO-LV", "MCG+", "MCG-", "C", "HCG", "2MASX", "2MASS", "IRAS",
             "SDSS", "Arp", "VV", "Mrk", "Ark", "Fairall", "3C", "Abell", "Abell S", "CGCG", "VCC", "FCC", "DDO", "UM", "AGC",
             "WKK", "2MFGC", "FGC", "FGCE", "WISEA", "6dF", "GALEXASC", "HIPASS", "LCRS", "KUG", "AM", "PKS", "SBS"]

    assert [BY_CODE[code].key for code in range(1, len(first) + 1)] == first
    assert len(BY_CODE) == len(BY_KEY) == len(FAMILIES) == len(first)  # append the new ones above
    assert len({word for word, _, _ in WORDS}) == len(WORDS) - 1  # only the two signs of MCG share theirs


@given(family=st.sampled_from(FAMILIES), tail=st.sampled_from(["", "A", "BC", "NED01", "ANED02"]), data=st.data())
@settings(deadline=None, database=None)
def test_a_designation_comes_back_from_code_rank_and_tail_and_from_every_written_form(
        family: Family, tail: str, data: st.DataObject) -> None:
    numbers = tuple(data.draw(st.integers(lo, hi)) for lo, hi in family.limits)
    if not numbers:
        tail = COORDINATES[family.key]
    for style in sorted({style for _, style, f in WORDS if f is family}):
        spelled = names.Designation(family.key, numbers, "" if family.key == "ESO-LV" else tail, style)

        assert names.designation(spelled.code, spelled.rank, spelled.tail, style) == spelled
        assert 0 <= spelled.rank < 2**63 - 1
        for written in (spelled.shown, spelled.key):
            read = names.read(names.clean(written))
            assert read is not None
            assert (read.code, read.rank, read.tail) == (spelled.code, spelled.rank, spelled.tail), written
            assert [hi for opening in names.openings(written) if opening.family is family
                    for lo, hi in opening.spans if lo <= read.rank <= hi and read.tail.startswith(opening.tail)], written


COORDINATES = {
    "2MASX": "J13094770-2323017", "2MASS": "J01332504+3054022", "IRAS": "F12344+2801", "SDSS": "J001206.08-002454.7",
    "WISEA": "J212042.46+442359.3", "6dF": "J0001313-055904", "GALEXASC": "J134613.71-090751.0", "HIPASS": "J0021+08",
    "LCRS": "B110246.5-034222", "KUG": "0155+361A", "AM": "1105-700NED02", "PKS": "0521-365", "SBS": "1653+505"}


@given(prefix=st.integers(0, 99_999), lo=st.integers(0, 50), hi=st.integers(51, 12_000))
@settings(deadline=None, database=None)
def test_digit_spans_are_exactly_the_numbers_that_begin_so_in_order(prefix: int, lo: int, hi: int) -> None:
    text = str(prefix).lstrip("0")

    spanned = [n for a, b in digit_spans(text, lo, hi) for n in range(a, b + 1)]

    assert spanned == [n for n in range(lo, hi + 1) if str(n).startswith(text)]


def test_every_identifier_of_every_galaxy_leads_to_that_galaxy(file_store: Store, openngc: list[sqlite3.Row]) -> None:
    store, wrong = file_store, []
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

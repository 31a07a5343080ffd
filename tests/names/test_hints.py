"""Hints while typing: in the typist's style, in natural order, and every one of them resolves."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog_svc.families import WORDS
from catalog_svc.store import Store


def test_messier_lists_all_messier_galaxies_padded_as_in_the_official_style(store: Store) -> None:
    hints, more = store.hints("MESSIER", limit=50)

    assert hints[:3] == ["MESSIER 031", "MESSIER 032", "MESSIER 033"]
    assert len(hints) == 40  # 39 objects and M 102, which is M 101 seen twice
    assert more is False


def test_ngc_comes_in_natural_numeric_order_and_says_there_is_more(store: Store) -> None:
    hints, more = store.hints("NGC")
    numbers = [int(re.sub(r"\D", "", h.split(" ")[1])) for h in hints]

    assert hints[0] == "NGC 1"
    assert numbers == sorted(numbers)
    assert (len(hints), more) == (50, True)


@pytest.mark.parametrize(("typed", "hints"), [
    ("M 3", ["M 31", "M 32", "M 33"]), ("MESSIER 03", ["MESSIER 031", "MESSIER 032", "MESSIER 033"]),
    ("n4993", ["NGC 4993"]), ("ESO 508-01", ["ESO 508-013", "ESO 508-018"]), ("LEDA 45657", ["LEDA 45657"]),
    ("mcg 7-2-016", ["MCG +07-02-016"]), ("Andr", ["Andromeda Galaxy", "Andromeda Nebula"]),
    ("sombrer", ["Sombrero Galaxy"]),
    ("Anten", ["NGC 4038", "NGC 4039"]), ("NGC 190 NED", ["NGC 190 NED01", "NGC 190 NED02"]),
    ("2masx J1309477", ["2MASX J13094770-2323017"]),
    ("Coma", ["Coma Pinwheel", "Coma Berenices cluster", "Coma cluster"]), ("NGC 99999", []), ("zzz", [])])
def test_hints_are_typed_as_the_user_typed(store: Store, typed: str, hints: list[str]) -> None:
    assert store.hints(typed) == (hints, False)


def test_the_exact_match_comes_first(store: Store) -> None:
    for typed in ("NGC 49", "ngc 1", "IC 34", "UGC 454", "PGC 2557", "ESO 508-018", "C 5", "M 31", "leo i",
                  "Virgo Galaxy"):
        hints, _ = store.hints(typed, require_velocity=False)
        assert store.resolve(hints[0])["canonical"] == store.resolve(typed)["canonical"], typed


@pytest.mark.parametrize("styles", [
    ("NGC 49", "ngc49", "Ngc 0049", " n  49 ", "NGC-49", "\uff2eGC\u00a049"),
    ("MESSIER 3", "messier3", "Messier 003", "MESSIER  03"),
    ("ESO 508-01", "eso508-1", "ESO 508 - 001", "ESO 508- G 01"),
    ("MCG +07-02", "mcg 7-2", "MCG 07-02"), ("Sombrero", "SOMBRERO", "the sombrero", "som brero")])
def test_hints_do_not_depend_on_case_padding_or_blanks(store: Store, styles: tuple[str, ...]) -> None:
    answers = [store.hints(style) for style in styles]

    assert answers[0][0]
    assert answers == [answers[0]] * len(styles)


@pytest.mark.parametrize("literal", ["%", "_", "*", "'", '"', "NGC%", "NGC _", "NGC 49%", "M*", "Andr%", "An_r",
                                     "' OR 1=1 --", "[A-Z]", "NGC 4?"])
def test_wildcards_and_quotes_are_literals(store: Store, literal: str) -> None:
    assert store.hints(literal, limit=1000) == ([], False)


@pytest.mark.parametrize("require_velocity", [True, False])
@pytest.mark.parametrize("word", sorted({w for w, _, _ in WORDS} | set("ABDEFGHJKLOPQRSTVWXYZ") | {"ME", "2", "E"}))
def test_every_hint_resolves_to_a_galaxy_with_the_velocity_that_was_asked(store: Store, word: str,
                                                                         require_velocity: bool) -> None:
    hints, more = store.hints(word, limit=20_000, require_velocity=require_velocity)

    assert not more
    assert len(set(hints)) == len(hints)
    for hint in hints[::7] if len(hints) > 2000 else hints:
        found = store.resolve(hint)
        assert not require_velocity or found["cz_helio"] is not None, hint


def test_galaxies_without_velocity_are_left_out_unless_asked_for(store: Store) -> None:
    assert "NGC 4676" not in store.hints("NGC 4676")[0]
    assert store.hints("NGC 4676", require_velocity=False)[0][0] == "NGC 4676"


def test_objects_that_are_no_galaxies_are_never_hinted(store: Store) -> None:
    assert store.hints("M 13", require_velocity=False) == ([], False)
    assert store.hints("Crab", require_velocity=False) == ([], False)


@given(number=st.integers(1, 7840), cut=st.integers(1, 4))
@settings(deadline=None, database=None, max_examples=150)
def test_typing_on_never_loses_the_galaxy(store: Store, number: int, cut: int) -> None:
    whole = f"NGC {number}"
    if whole in store.hints(whole, limit=1000, require_velocity=False)[0]:
        prefix = whole[:4 + cut]
        hints, more = store.hints(prefix, limit=3000, require_velocity=False)
        assert whole in hints and not more


@given(limit=st.integers(1, 120), typed=st.sampled_from(["NGC", "MESSIER", "Andr", "IC 1", "s", "ESO 5", "zz"]))
@settings(deadline=None, database=None)
def test_more_results_says_exactly_whether_the_limit_cut_something_off(store: Store, limit: int, typed: str) -> None:
    everything, _ = store.hints(typed, limit=20_000)

    hints, more = store.hints(typed, limit=limit)

    assert hints == everything[:limit]
    assert more == (len(everything) > limit)

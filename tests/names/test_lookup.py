"""What a name leads to: a galaxy, or a refusal that says why."""

from __future__ import annotations

import math

import pytest
from astropy.coordinates import SkyCoord

from catalog_svc import build, sky
from catalog_svc.store import Store
from cfcore.cosmology import C_KMS
from cfcore.errors import Ambiguous, CosmicFlowsError, UnknownName


def refusal(store: Store, name: str) -> UnknownName:
    """Return the error that a name meets."""
    with pytest.raises(UnknownName) as caught:
        store.resolve(name)
    assert caught.value.where == "name"
    return caught.value


def test_resolve_answers_in_the_agreed_shape(store: Store) -> None:
    version = build.find_package().version

    assert store.resolve("messier 31") == {
        "name": "MESSIER 031", "canonical": "NGC 224", "object_type": "Galaxy", "matched_as": "identifier",
        "redirected_from": None, "position": {"icrs": {"lon": 10.684791666667, "lat": 41.269055555556}},
        "z_helio": -0.001, "cz_helio": C_KMS * -0.001, "cz_error": None, "cz_reference": None, "cz_spread": None,
        "cz_source": f"OpenNGC (pyongc {version}), column redshift; cz = c * z",
        "catalog": {"name": f"OpenNGC (pyongc {version})", "version": version, "licence": "CC-BY-SA-4.0"}}


@pytest.mark.parametrize(("duplicate", "master"), [
    ("IC 39", "NGC 178"), ("NGC 4994", "NGC 4993"), ("M 102", "NGC 5457"), ("IC 1127", "IC 4553"),
    ("IC 843", "NGC 4913")])
def test_a_duplicate_is_followed_to_its_master_and_says_so(store: Store, duplicate: str, master: str) -> None:
    found = store.resolve(duplicate)

    assert (found["canonical"], found["redirected_from"], found["name"]) == (master, duplicate, duplicate)


def test_a_galaxy_without_velocity_resolves_with_null(store: Store) -> None:
    found = store.resolve("NGC 4676")

    assert found["object_type"] == "Galaxy Pair"
    assert found["z_helio"] is found["cz_helio"] is found["cz_source"] is None
    assert store.detail("NGC 4676")["velocities"] == []


@pytest.mark.parametrize(("name", "canonical"), [
    ("Andromeda", "NGC 224"), ("andromeda galaxy", "NGC 224"), ("WHIRLPOOL", "NGC 5194"),
    ("the Sombrero", "NGC 4594"),
    ("Centaurus A", "NGC 5128"), ("cen a", "NGC 5128"), ("Virgo A", "NGC 4486"), ("Fornax A", "NGC 1316"),
    ("Perseus A", "NGC 1275"), ("LMC", "ESO 056-115"), ("Large Magellanic Cloud", "ESO 056-115"), ("smc", "NGC 292"),
    ("Triangulum Galaxy", "NGC 598"), ("bode\u2019s galaxy", "NGC 3031"), ("Bodes", "NGC 3031"),
    ("Virgo Galaxy", "NGC 4486"), ("Coma Pinwheel", "NGC 4254"), ("Leo I", "UGC 5470"),
    ("Stephan's Quintet", "HCG 92"), ("Cocoon", "NGC 4490")])
def test_common_names_resolve_whatever_case_suffix_and_apostrophe(store: Store, name: str, canonical: str) -> None:
    found = store.resolve(name)

    assert (found["canonical"], found["matched_as"]) == (canonical, "common_name")


@pytest.mark.parametrize(("name", "canonical"), [
    ("3C 274", "NGC 4486"), ("3CR274", "NGC 4486"), ("3c 272.1", "NGC 4374"), ("Arp 220", "IC 4553"), ("ARP 0220", "IC 4553"),
    ("Coma cluster", "Coma cluster"), ("the Virgo Cluster", "Virgo cluster"), ("Abell 1656", "Coma cluster"),
    ("A1656", "Coma cluster"), ("ACO 426", "Perseus cluster"), ("abell s0373", "Fornax cluster")])
def test_radio_names_and_clusters_resolve_in_every_spelling(store: Store, name: str, canonical: str) -> None:
    assert store.resolve(name)["canonical"] == canonical


def test_a_list_of_places_is_matched_with_galaxies_and_never_with_the_cluster_around_them(store: Store) -> None:
    centres = [store.resolve(name)["position"]["icrs"] for name in ("Virgo cluster", "Fornax cluster", "Perseus cluster")]

    found = sky.crossmatch(store.volumes, [c["lon"] for c in centres], [c["lat"] for c in centres], 0.02, True)

    assert [m["objects"][0]["name"] for m in found] == ["NGC 4486", "NGC 1399", "NGC 1275"]
    assert sky.cone(store.volumes, centres[0]["lon"], centres[0]["lat"], 0.02)[0][0].name == "Virgo cluster"


def test_a_cluster_is_an_object_of_its_own_with_a_mean_redshift_and_its_reference(store: Store) -> None:
    coma = store.resolve("Coma cluster")

    assert coma["object_type"] == "Cluster of galaxies"
    assert coma["cz_helio"] == pytest.approx(6925)
    assert "Struble" in coma["cz_reference"]
    assert store.detail("Coma cluster")["cross_ids"] == ["Abell 1656"]


def test_every_alias_of_ours_leads_to_its_target_or_names_it_as_a_candidate(store: Store) -> None:
    for row in build.read_csv("aliases.csv"):
        target = store.resolve(row["target"])["canonical"]
        try:
            assert store.resolve(row["alias"])["canonical"] == target, row
        except Ambiguous as error:
            assert target in [c["name"] for c in error.extra["candidates"]], row


@pytest.mark.parametrize("name", [row["name"] for row in build.read_csv("denied.csv")])
def test_constellations_and_clusters_never_fall_on_a_galaxy(store: Store, name: str) -> None:
    error = refusal(store, name.upper())

    assert error.code == "not_a_galaxy"
    assert " names " in error.message


def test_every_way_out_of_the_deny_list_exists(store: Store) -> None:
    for row in build.read_csv("denied.csv"):
        for way in row["instead"].split("(")[0].replace(",", " or ").split(" or "):
            if way.strip():
                assert store.resolve(way.strip())["canonical"]


@pytest.mark.parametrize(("name", "says"), [
    ("M 1", "a supernova remnant"), ("M 13", "a globular cluster"), ("MESSIER 045", "an open cluster"),
    ("Crab Nebula", "a supernova remnant"), ("M 40", "a double star"), ("NGC 7293", "a planetary nebula"),
    ("NGC 6839", "an object of unknown type"), ("Mel 022", "an open cluster"),
    ("IRAS 18583-3657", "a reflection nebula")])
def test_what_is_no_galaxy_is_told_what_it_is(store: Store, name: str, says: str) -> None:
    error = refusal(store, name)

    assert error.code == "not_a_galaxy"
    assert f"is {says}, not a galaxy" in error.message


@pytest.mark.parametrize(("name", "candidates"), [
    ("Antennae", ["NGC 4038", "NGC 4039"]), ("Siamese Twins", ["NGC 4567", "NGC 4568"]),
    ("Pinwheel", ["NGC 598", "NGC 5457"]), ("Spindle Galaxy", ["NGC 3115", "NGC 5866"])])
def test_a_name_of_two_galaxies_is_ambiguous_and_names_both(store: Store, name: str, candidates: list[str]) -> None:
    with pytest.raises(Ambiguous) as caught:
        store.resolve(name)

    assert caught.value.code == "ambiguous_name"
    assert [c["name"] for c in caught.value.extra["candidates"]] == candidates


def test_a_number_beyond_the_catalogue_is_told_the_range_and_no_other_number(store: Store) -> None:
    error = refusal(store, "NGC 99999")

    assert error.code == "unknown_name"
    assert "1..7840" in error.message
    assert error.extra == {"suggestions": []}


@pytest.mark.parametrize(("typo", "meant"), [
    ("Andromida", "Andromeda Galaxy"), ("sombraro", "Sombrero Galaxy"), ("Messer 31", "MESSIER 031"),
    ("NGD 4993", "NGC 4993"), ("NGC 4993Z", "NGC 4993"), ("Whirl", "Whirlpool Galaxy"), ("Magellanic Cloud", None)])
def test_a_misspelled_word_gets_suggestions_with_reasons(store: Store, typo: str, meant: str | None) -> None:
    suggestions = refusal(store, typo).extra["suggestions"]

    assert 1 <= len(suggestions) <= 5
    assert all(set(s) == {"name", "reason"} and s["reason"] for s in suggestions)
    assert meant is None or meant in [s["name"] for s in suggestions]
    assert store.suggestions(typo) == suggestions


@pytest.mark.parametrize("name", ["NGC 7841", "IC 9999", "PGC 5000000", "3C 273", "UGC 2", "ESO 001-999", "12345"])
def test_numbers_are_never_guessed(store: Store, name: str) -> None:
    assert refusal(store, name).extra["suggestions"] == []


def test_detail_has_the_agreed_shape(store: Store) -> None:
    detail = store.detail("N4993")

    assert set(detail) == {
        "name", "canonical", "object_type", "matched_as", "redirected_from", "z_helio", "cz_helio", "position",
        "velocities", "magnitudes", "morphology", "size_arcmin", "cross_ids", "common_names", "distances", "notes",
        "catalog", "catalogs", "group"}
    assert detail["magnitudes"] == {
        "B": 13.45, "V": None, "J": 10.18, "H": 9.51, "K": 9.22, "surface_brightness": 23.16}
    assert detail["size_arcmin"] == {"major": 1.55, "minor": 1.35, "pa": 173}
    assert detail["morphology"] == "E-S0"
    assert detail["cross_ids"] == ["NGC 4994", "PGC 45657", "ESO 508-018", "ESO-LV 508-0180", "MCG -04-31-039",
                                   "2MASX J13094770-2323017"]
    assert detail["distances"] == []


def test_every_cross_identification_leads_back(store: Store) -> None:
    for name in ("M 31", "NGC 4486", "ESO 056-115", "IC 342", "NGC 6090", "HCG 92", "NGC 190 NED01"):
        detail = store.detail(name)
        assert {store.resolve(i)["canonical"] for i in detail["cross_ids"]} <= {detail["canonical"]}


def test_the_three_positions_agree_with_astropy(store: Store) -> None:
    for name in ("NGC 4993", "M 31", "LMC", "NGC 3172"):
        position = store.detail(name)["position"]
        icrs = SkyCoord(position["icrs"]["lon"], position["icrs"]["lat"], unit="deg")
        for frame in ("galactic", "supergalactic"):
            ours = SkyCoord(position[frame]["lon"], position[frame]["lat"], unit="deg", frame=frame)
            assert ours.separation(icrs.transform_to(frame)).arcsec < 0.03


def test_velocities_name_frame_convention_and_source_and_only_the_catalogued_one_is_used(store: Store) -> None:
    velocities = store.detail("NGC 4993")["velocities"]

    assert [v["frame"] for v in velocities] == ["hel", "cmb", "lg", "ls", "gsr"]
    assert [v["used"] for v in velocities] == [True, False, False, False, False]
    assert [v["source"] == "computed" for v in velocities] == [False, True, True, True, True]
    assert {v["convention"] for v in velocities} == {"cz"}
    assert {v["error"] for v in velocities} == {None}


def test_the_cmb_velocity_is_the_dipole_seen_from_the_apex(store: Store) -> None:
    detail = store.detail("NGC 4993")
    apex = SkyCoord(264.021, 48.253, unit="deg", frame="galactic")  # Planck Collaboration 2018 I
    there = SkyCoord(detail["position"]["icrs"]["lon"], detail["position"]["icrs"]["lat"], unit="deg")
    along = 369.82 * math.cos(there.galactic.separation(apex).rad)

    cmb = next(v["value"] for v in detail["velocities"] if v["frame"] == "cmb")

    assert (1 + cmb / C_KMS) * (1 - along / C_KMS) == pytest.approx(1 + detail["z_helio"], abs=1e-9)


def test_a_doubtful_velocity_is_said_in_the_notes(store: Store) -> None:
    for name in ("IC 3442", "NGC 3500", "NGC 6470"):
        assert any("doubtful" in note for note in store.detail(name)["notes"])


def test_a_long_list_of_unknown_names_gets_suggestions_for_the_first_hundred(store: Store) -> None:
    answers = store.resolve_many(["Andromida", "M 31"] * 150)

    unknown = [a for a in answers if a["status"] == "unknown_name"]
    assert len(unknown) == 150 and all(a["status"] == "ok" for a in answers[1::2])
    assert [bool(a["suggestions"]) for a in unknown] == [True] * 100 + [False] * 50


def test_many_names_at_once_are_answered_as_one_by_one(store: Store) -> None:
    names = ["NGC 4993", "n4993", "IC 39", "Virgo", "Virgo cluster", "A1656", "Antennae", "M 1", "", "x\0", "Sombrero",
             "NGC 99999", "3C 274", "Crab Nebula", "Milky Way", "ESO-LV 870-0440", "\u4eca", "Andromida"] * 30

    together = store.resolve_many(names[:len(names) // 2])

    for name, answer in zip(names, together):
        if answer["status"] == "ok":
            assert {"status": "ok", **store.resolve(name)} == answer
        else:
            with pytest.raises(CosmicFlowsError) as caught:
                store.resolve(name)
            assert (caught.value.code, caught.value.message) == (answer["status"], answer["detail"])

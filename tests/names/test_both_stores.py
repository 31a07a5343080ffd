"""Imported catalogues: everything here holds for files and for PostgreSQL alike."""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from made_catalogs import Line, Made, Many, Place, about
from postgres_server import Server, tables

from catalog_svc import sky
from catalog_svc.desk import Desk
from catalog_svc.importing import Report, import_source
from catalog_svc.objects import Entry
from catalog_svc.sqlite import separation
from catalog_svc.store import Store
from catalog_svc.volumes import FIRST, Library
from cfcore.errors import Ambiguous, BadParameter, UnknownName

ROOT = Path(__file__).resolve().parents[2]
M31 = (10.684791666667, 41.269055555556)
VOID = (195.0, 27.0)
"""A place without a galaxy of OpenNGC within a quarter of a degree."""
ARCSEC = 1.0 / 3600.0


def take(library: Library, lines: Sequence[Line], version: str = "1", *, id: str = "deep", kind: str = "galaxy",
         link_arcsec: float = 2.0, dry_run: bool = False, max_bad: int = 100, per_batch: int = 7) -> Report:
    """Import lines as a catalogue."""
    source = Made(about(id, kind, link_arcsec=link_arcsec), lines, per_batch=per_batch)
    return import_source(library, source, version * 64, dry_run=dry_run, max_bad=max_bad)


def spread(n: int, *, first: int = 0) -> list[Line]:
    """Return rows of galaxies far from each other and from OpenNGC's, each with a name of its own."""
    return [Line(f"D{i}", (7.3 * i) % 360.0, -80.0 + (1.37 * i) % 160.0, 900.0 + i, (f"DEEP {i}",))
            for i in range(first, first + n)]


def counts(report: Report) -> tuple[int, int, int, int, int, int]:
    """Return read, new, updated, unchanged, rejected and gone, having seen that they add up."""
    assert report.n_read == report.n_new + report.n_updated + report.n_unchanged + report.n_rejected
    assert report.n_rejected == len(report.rejects)
    return report.n_read, report.n_new, report.n_updated, report.n_unchanged, report.n_rejected, report.n_gone


def here(library: Library) -> list[tuple[str, str]]:
    """Return id and version of every volume."""
    return [(v.id, v.version) for v in library.volumes()]


def left_over(place: Place) -> int:
    """Return how many volumes a library keeps that it does not list, and drafts."""
    with closing(place.open()) as library:
        listed = len(library.volumes())
    if place.dsn:
        return tables([place.dsn])[0] - listed
    return sum(p.suffix != ".json" and p.name != "write.lock" for p in (place.data / "catalog").iterdir()) - listed


# --- counting ---

def test_a_first_import_counts_every_row_once(library: Library) -> None:
    lines = [*spread(20), Line("bad", 0, 0, reject="ra is no number"), Line("worse", 0, 0, reject="dec lies outside -90..90")]

    report = take(library, lines)

    assert counts(report) == (22, 20, 0, 0, 2, 0)
    assert (report.n_objects, report.n_linked, report.n_velocities, report.is_dry) == (20, {}, 20, False)
    assert [(r.row, r.line, r.raw) for r in report.rejects] == [(21, 22, "bad"), (22, 23, "worse")]
    assert here(library)[2:] == [("deep", "1" * 64)]


def test_the_same_file_again_changes_nothing_and_tells_the_same(library: Library) -> None:
    lines = [*spread(20), Line("bad", 0, 0, reject="ra is no number")]
    first = take(library, lines)
    before = list(library.volumes())

    again = take(library, lines)

    assert counts(again) == (21, 0, 0, 20, 1, 0)
    assert list(library.volumes()) == before  # the very objects: nothing was opened anew
    assert (again.n_objects, again.n_velocities, again.rejects) == (first.n_objects, first.n_velocities, first.rejects)
    assert again.notes


def test_a_new_version_tells_new_updated_unchanged_and_gone(library: Library) -> None:
    lines = spread(20)
    take(library, lines)

    report = take(library, [lines[0].but(cz=1234.0), lines[1].but(ra=1.0), lines[2].but(names=("DEEP 2", "DEEPER 2")),
                            lines[3].but(facts={"morphology": "Sb"}), *lines[4:17], *spread(5, first=100)], "2")

    assert counts(report) == (22, 5, 4, 13, 0, 3)
    store = Store(library)
    assert store.resolve("DEEP 0")["cz_helio"] == pytest.approx(1234.0)
    assert store.detail("deeper 2")["canonical"] == "DEEP 2"
    with pytest.raises(UnknownName):
        store.resolve("DEEP 19")


@pytest.mark.parametrize("per_batch", [1, 3, 1000])
def test_a_key_that_stands_twice_is_refused_and_the_first_row_stays(library: Library, per_batch: int) -> None:
    lines = spread(10)
    lines += [lines[2], lines[4].but(cz=5.0, names=("ELSE 4",)), lines[2].but(dec=3.0)]

    report = take(library, lines, per_batch=per_batch)

    assert counts(report) == (13, 10, 0, 0, 3, 0)
    assert [(r.row, r.line, r.reason) for r in report.rejects] == [
        (11, 12, "the same row stands in line 4"), (12, 13, "another row of the same key stands in line 6"),
        (13, 14, "another row of the same key stands in line 4")]
    store = Store(library)
    assert store.resolve("DEEP 4")["cz_helio"] == pytest.approx(904.0)
    with pytest.raises(UnknownName):
        store.resolve("ELSE 4")


def test_thousands_of_double_rows_are_dropped_in_little_time(library: Library) -> None:
    lines = spread(4000)

    began = time.monotonic()
    report = take(library, lines + lines, max_bad=5000, per_batch=1000)

    assert counts(report) == (8000, 4000, 0, 0, 4000, 0)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("twice", [False, True])
def test_too_many_refused_rows_store_nothing(place: Place, library: Library, twice: bool) -> None:
    take(library, spread(3))
    faults = [spread(1)[0]] * 12 if twice else [Line(f"bad{i}", 0, 0, reject="no number") for i in range(12)]

    with pytest.raises(BadParameter, match="--max-bad") as caught:
        take(library, [*spread(30), *faults], "2", max_bad=11)

    assert caught.value.code == "too_many_rejects"
    assert here(library)[2:] == [("deep", "1" * 64)]
    assert left_over(place) == 0
    take(library, spread(4), "3")  # and the right to write was given back


def test_a_dry_run_tells_all_and_stores_nothing(place: Place, library: Library) -> None:
    lines = [*spread(9), Line("N", *M31, -300.0, ("NGC 224",))]

    report = take(library, lines, dry_run=True)

    assert counts(report) == (10, 10, 0, 0, 0, 0)
    assert (report.is_dry, report.n_objects, report.n_linked) == (True, 9, {"openngc": {"by_name": 1, "by_place": 0}})
    assert [id for id, _ in here(library)] == ["openngc", "clusters"]
    assert left_over(place) == 0
    wet = take(library, lines)
    assert (wet.n_linked, wet.n_objects, counts(wet)) == (report.n_linked, report.n_objects, counts(report))


def test_a_file_without_one_good_row_changes_nothing(library: Library) -> None:
    take(library, spread(3))
    before = here(library)

    for lines in ([], [Line("1", 1.0, 1.0, reject="the velocity is not a number")]):
        with pytest.raises(BadParameter, match="nothing was changed") as caught:
            take(library, lines, "2")
        assert caught.value.code == "empty_table"

    assert here(library) == before


@pytest.mark.parametrize("id", FIRST)
def test_the_built_in_catalogues_keep_their_ids(library: Library, id: str) -> None:
    with pytest.raises(BadParameter) as caught:
        take(library, spread(1), id=id)

    assert caught.value.code == "reserved_id"


# --- what a row may hold ---

def test_odd_rows_are_kept_as_they_are(library: Library) -> None:
    text = "50 % \\ of 'all' \"names\"; {s}name ? %s \t \u03b1 Cen \U0001f30c"
    lines = [Line("1", 0.0, 90.0, None, ("ODD 1",), facts={"notes": [text]}), Line("2", 359.9999999, -90.0, -1e3, ("ODD 2",)),
             Line("3", 0.0, 0.0, 3e4, ("ODD 3",), is_photometric=True), Line("\\N", 5.0, 5.0, 7.0, ("ODD 4", text[:40])),
             Line("5", 6.0, 6.0, 7.0, ("ODD 5", "Odd One", "Odd One", "ODD 5"))]

    report = take(library, lines)

    assert (counts(report)[1], report.n_velocities) == (5, 3)
    store = Store(library)
    assert store.detail("ODD 1")["notes"] == [text]
    assert store.resolve("ODD 1")["position"]["icrs"] == {"lon": 0.0, "lat": 90.0}
    assert store.resolve("ODD 2")["position"]["icrs"] == {"lon": 359.9999999, "lat": -90.0}
    assert (store.resolve("ODD 1")["cz_helio"], store.resolve("ODD 3")["cz_helio"]) == (None, None)
    assert store.detail("ODD 3")["velocities"][0]["is_photometric"] is True
    assert store.resolve("odd one")["canonical"] == "ODD 5"


def test_imported_names_are_found_by_their_beginning_and_when_misspelled(library: Library) -> None:
    take(library, [Line("1", 10, 10, 5.0, ("PGC 9000001", "Zwicky's Thistle")), Line("2", 20, 20, None, ("PGC 9000002",)),
                   Line("3", 30, 30, 5.0, ("PGC 9000010",)), Line("4", 40, 40, 5.0, ("J1234.5+6789",))])
    store = Store(library)

    assert store.hints("PGC 90000") == (["PGC 9000001", "PGC 9000010"], False)
    assert store.hints("pgc 90000", require_velocity=False)[0] == ["PGC 9000001", "PGC 9000002", "PGC 9000010"]
    assert store.hints("zwicky") == (["Zwicky's Thistle"], False)
    assert [s["name"] for s in store.suggestions("zwikys thistel")] == ["Zwicky's Thistle"]
    assert store.resolve("j1234.5+6789")["canonical"] == "J1234.5+6789"


# --- which object a row is ---

def test_a_row_of_a_known_name_nearby_is_that_object(library: Library) -> None:
    report = take(library, [Line("1", M31[0] + 0.05, M31[1], -250.0, ("UGC 454", "X 1"))])

    assert (report.n_linked, report.n_objects) == ({"openngc": {"by_name": 1, "by_place": 0}}, 0)
    found = Store(library).detail("X 1")
    assert (found["canonical"], found["position"]["icrs"]["lon"]) == ("NGC 224", M31[0])
    assert [v["value"] for v in found["velocities"] if v["source"] != "computed"] == [-299.792458, -250.0]
    assert [c["id"] for c in found["catalogs"]] == ["openngc", "deep"]


def test_a_known_name_elsewhere_is_a_conflict_and_another_object(library: Library) -> None:
    rows = [Line(f"{i}", 200.0 + i, -40.0, 4000.0, (f"NGC {n}", f"Y {i}")) for i, n in enumerate((224, 4993, 5128))]

    report = take(library, rows)

    assert (report.n_conflicts, report.n_objects, report.n_linked) == (3, 3, {})
    assert [(c.line, c.name, c.known_as) for c in report.conflicts] == [
        (2, "NGC 224", "NGC 224"), (3, "NGC 4993", "NGC 4993"), (4, "NGC 5128", "NGC 5128")]
    assert report.conflicts[0].separation_deg == pytest.approx(separation(200.0, -40.0, *M31), rel=1e-12)
    store = Store(library)
    assert store.resolve("NGC 224")["cz_helio"] == -299.792458  # who was here first keeps the name
    assert store.resolve("Y 0")["position"]["icrs"]["lon"] == 200.0


def test_a_row_with_a_name_from_elsewhere_is_not_taken_for_what_lies_beside_it(library: Library) -> None:
    ngc = Store(library).resolve("NGC 4993")["position"]["icrs"]

    report = take(library, [Line("1", ngc["lon"], ngc["lat"], None, ("NGC 224", "Y 1"))])

    assert (report.n_conflicts, report.n_objects, report.n_linked) == (1, 1, {})
    assert "Y 1" not in Store(library).detail("NGC 4993")["cross_ids"]


def test_photometric_redshifts_do_not_keep_an_object_apart(library: Library) -> None:
    take(library, [Line("1", 10.0, -60.0, 18_000.0, ("P 1",))], id="one")

    report = take(library, [Line("1", 10.0, -60.0, 15_000.0, ("Q 1",), is_photometric=True)], id="two")

    assert report.n_linked == {"one": {"by_name": 0, "by_place": 1}}
    assert Store(library).resolve("Q 1")["cz_helio"] == pytest.approx(18_000.0)


def test_a_velocity_far_from_that_of_its_object_is_told_in_the_report_and_in_the_answer(library: Library) -> None:
    ngc = Store(library).resolve("NGC 4993")["position"]["icrs"]

    report = take(library, [Line("1", ngc["lon"], ngc["lat"], 9933.0, ("NGC 4993",))])

    assert report.n_discords == 1
    assert (report.discords[0].known_as, round(report.discords[0].cz)) == ("NGC 4993", 9933)
    assert Store(library).resolve("NGC 4993")["cz_spread"] == pytest.approx(6999, abs=1)


def test_a_name_that_two_imports_give_to_different_objects_is_ambiguous(library: Library) -> None:
    take(library, [Line("1", 220.5, -10.0, 1000.0, ("ZQ 1", "Zeta Dwarf"))], id="one")
    take(library, [Line("1", 120.5, 10.0, 1000.0, ("ZQ 1", "Zeta Dwarf"))], id="two")
    store = Store(library)

    for name in ("ZQ 1", "zeta dwarf"):
        with pytest.raises(Ambiguous) as caught:
            store.resolve(name)
        assert [(c["ra"], c["dec"]) for c in caught.value.extra["candidates"]] == [(220.5, -10.0), (120.5, 10.0)]
        assert "220.5000 -10.0000 deg" in caught.value.message
        assert store.resolve_many([name])[0]["status"] == "ambiguous_name"
        assert store.hints(name) == ([], False)


def test_a_number_outside_its_catalogue_has_no_system(library: Library) -> None:
    take(library, [Line("1", 220.0, -10.0, None, ("VV 3000",)), Line("2", 220.001, -10.0, 5000.0, ("XYZ 1",)),
                   Line("3", 220.002, -10.0, 5100.0, ("XYZ 2",))])

    assert Store(library).resolve("VV 3000")["cz_helio"] is None


def test_hints_look_past_a_page_without_velocities_and_leave_denied_names_out(library: Library) -> None:
    take(library, [*(Line(f"{i}", 10.0 * i, -60.0, None, (f"Zorro {c} gem",)) for i, c in enumerate("ABCDEF")),
                   Line("9", 200.0, -60.0, 900.0, ("Zorro Z gem",)), Line("10", 250.0, -60.0, 900.0, ("MWX 1", "Milky Way"))])
    store = Store(library)

    assert store.hints("zorro", limit=1) == (["Zorro Z gem"], False)
    assert store.hints("milky") == ([], False)
    assert store.hints("MWX") == (["MWX 1"], False)


def test_a_store_sees_what_its_own_library_dropped(library: Library) -> None:
    take(library, spread(3), id="gone")
    store = Store(library)

    assert library.drop("gone")

    assert store.refresh() and [v.id for v in store.volumes] == ["openngc", "clusters"]
    assert store.resolve_many(["M 31"])[0]["status"] == "ok"


def test_a_cone_holds_an_object_where_it_stands_and_not_where_its_second_row_does(library: Library) -> None:
    take(library, [Line("1", 31.05, -60.0, 900.0, ("QA 1",))], id="one")
    take(library, [Line("1", 31.05, -60.0, 900.0, ("QA 1", "QA 2")), Line("2", 31.09, -60.0, 900.0, ("QA 1",))], id="two")
    library.drop("one")
    store = Store(library)

    assert [e.ra for e, _ in sky.cone(store.volumes, 31.05, -60.0, 0.001)] == [31.05]
    assert sky.cone(store.volumes, 31.09, -60.0, 0.001) == []


def test_a_row_beside_a_known_object_is_that_object_unless_its_velocity_says_otherwise(library: Library) -> None:
    ngc = Store(library).resolve("NGC 4993")
    lon, lat = ngc["position"]["icrs"]["lon"], ngc["position"]["icrs"]["lat"]
    alone = Line("1", lon, lat + ARCSEC, ngc["cz_helio"] + 900.0, ("Z 1",))

    def linked(*lines: Line, link_arcsec: float = 2.0) -> int:
        found = take(library, lines, link_arcsec=link_arcsec, dry_run=True).n_linked
        return found.get("openngc", {"by_place": 0})["by_place"]

    assert linked(alone) == 1
    assert linked(alone.but(cz=None)) == 1
    assert linked(alone.but(cz=ngc["cz_helio"] + 1100.0)) == 0
    assert linked(alone.but(dec=lat + 2.1 * ARCSEC)) == 0
    assert linked(alone.but(dec=lat + 2.1 * ARCSEC), link_arcsec=3.0) == 1
    # two that claim one object: the nearer one has it
    assert linked(alone, alone.but(key="2", dec=lat - 0.5 * ARCSEC)) == 1
    take(library, [alone, alone.but(key="2", dec=lat - 0.5 * ARCSEC, names=("Z 2",))])
    store = Store(library)
    assert store.resolve("Z 2")["canonical"] == "NGC 4993"
    assert store.resolve("Z 1")["canonical"] == "Z 1"


def test_galaxies_clusters_and_groups_are_never_one_object(library: Library) -> None:
    here_twice = [Line("1", *M31, -300.0, ("NGC 224", "W 1"))]

    for kind in ("cluster", "group"):
        report = take(library, here_twice, id=f"a-{kind}", kind=kind)
        assert (report.n_linked, report.n_conflicts, report.n_objects) == ({}, 0, 1)

    assert Store(library).detail("M 31")["canonical"] == "NGC 224"
    assert len(Store(library).detail("M 31")["catalogs"]) == 1
    # clusters are large: a centre half a degree away is that of the same one
    more = take(library, [Line("1", M31[0] + 0.5, M31[1], -300.0, ("W 1",))], id="more-clusters", kind="cluster")
    assert more.n_linked == {"a-cluster": {"by_name": 1, "by_place": 0}}


def scattered(n: int, seed: int) -> np.ndarray:
    """Return directions (n, 2), deg, crowded about the meridian, both poles, the equator and an edge of a zone."""
    dice = np.random.default_rng(seed)
    centres = np.array([(0.0, 0.0), (0.0, 60.0), (0.0, 90.0), (0.0, -90.0), (120.0, 25.25), (359.99, -45.0)])
    centre = centres[dice.integers(0, len(centres), n)]
    along, across = dice.normal(0.0, 0.02, (2, n))
    dec = centre[:, 1] + across
    over = np.abs(dec) > 90.0
    dec = np.where(over, np.sign(dec) * 180.0 - dec, dec)
    polar = np.abs(centre[:, 1]) == 90.0
    ra = np.where(polar, dice.uniform(0.0, 360.0, n), centre[:, 0] + along / np.cos(np.radians(np.where(polar, 0.0, dec))))
    return np.column_stack([ra % 360.0, dec])


def angles(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return all angles between two lists of directions, deg, by vectors."""
    def vectors(p: np.ndarray) -> np.ndarray:
        lon, lat = np.radians(p.T)
        return np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    chord = np.linalg.norm(vectors(a)[:, None] - vectors(b)[None], axis=2)
    return np.degrees(2.0 * np.arcsin(chord / 2.0))


@pytest.mark.parametrize(("known", "new"), [(300, 120), (120, 300)])
def test_links_by_place_are_those_that_trying_every_pair_finds(library: Library, known: int, new: int) -> None:
    radius = 0.02
    old, young = scattered(known, 1), scattered(new, 2)
    take(library, [Line(f"K{i}", *p, 5000.0, (f"KNOWN {i}",)) for i, p in enumerate(old.tolist())], id="known")
    apart = angles(young, old)
    expected = {(i, j) for i, j in enumerate(apart.argmin(axis=1)) if apart[i, j] <= radius and apart[:, j].argmin() == i}

    report = take(library, [Line(f"Y{i}", *p, 5000.0, (f"YOUNG {i}",)) for i, p in enumerate(young.tolist())], "2", id="young",
                  link_arcsec=radius * 3600.0)

    volumes = {v.id: v for v in library.volumes()}
    uids = {row[0]: row[1] for row in volumes["known"].rows("SELECT e.uid, e.name FROM entry e")}
    found = {(int(name.split()[1]), int(uids[uid].split()[1]))
             for uid, name in volumes["young"].rows("SELECT e.uid, e.name FROM entry e") if uid in uids}
    assert found == expected
    assert len(expected) > 30
    assert report.n_linked["known"] == {"by_name": 0, "by_place": len(expected)}


def test_the_older_import_decides_and_each_is_linked_with_all_before_it(library: Library) -> None:
    take(library, [Line("1", *VOID, 7000.0, ("FAINT 1",))], id="older")
    report = take(library, [Line("1", VOID[0], VOID[1] + ARCSEC, 7010.0, ("DIM 1",)), Line("2", *M31, -300.0, ("M 31",))],
                  id="younger")

    assert report.n_linked == {"openngc": {"by_name": 1, "by_place": 0}, "older": {"by_name": 0, "by_place": 1}}
    assert [id for id, _ in here(library)] == ["openngc", "clusters", "older", "younger"]
    found = Store(library).resolve("dim 1")
    assert (found["canonical"], found["cz_helio"]) == ("FAINT 1", pytest.approx(7000.0))
    # a new version keeps the place of the one before
    take(library, [Line("1", *VOID, 7000.0, ("FAINT 1",)), Line("2", 30, 30, 5.0, ("FAINT 2",))], "2", id="older")
    assert [id for id, _ in here(library)] == ["openngc", "clusters", "older", "younger"]
    assert Store(library).resolve("dim 1")["canonical"] == "FAINT 1"


def test_a_dropped_catalogue_leaves_the_others_as_they_were(place: Place, library: Library) -> None:
    names = ("M 31", "NGC 4993", "Andromeda", "Virgo A")
    before = [Store(library).detail(n) for n in names]
    take(library, [Line("1", *M31, -250.0, ("M 31", "V 1")), *spread(50)])
    take(library, [Line("1", *M31, -260.0, ("V 1",))], id="later")
    assert [Store(library).detail(n) for n in names] != before

    assert library.drop("deep") is True
    assert library.drop("deep") is False
    # what was linked by way of it stays linked: the number of the object came from OpenNGC
    assert Store(library).resolve("V 1")["canonical"] == "NGC 224"
    assert library.drop("later") is True

    assert [Store(library).detail(n) for n in names] == before
    assert left_over(place) == 0
    with pytest.raises(UnknownName):
        Store(library).resolve("DEEP 7")


# --- on the sky ---

@pytest.fixture
def crowded(library: Library) -> tuple[Library, np.ndarray]:
    """Return a library with eight hundred galaxies in six crowds, and their directions."""
    points = scattered(800, 3)
    take(library, [Line(f"S{i}", *p, 5000.0, (f"SKY {i}",)) for i, p in enumerate(points.tolist())], per_batch=1000)
    return library, points


def test_cones_hold_what_trying_every_entry_finds(crowded: tuple[Library, np.ndarray]) -> None:
    library, points = crowded
    volume = library.volumes()[2]
    dice = np.random.default_rng(5)
    axes = np.vstack([scattered(60, 6), [(0.0, 90.0), (180.0, -90.0), (0.0, 0.0), (359.9999, 0.0), (0.0, 89.999), points[0]]])
    for (ra, dec), radius in zip(axes.tolist(), [*10.0 ** dice.uniform(-3.0, 1.5, len(axes) - 1), 0.0]):
        expected = np.flatnonzero(angles(points, np.array([(ra, dec)]))[:, 0] <= radius)

        found = sky.within(volume, ra, dec, radius)

        assert sorted(int(entry.name.split()[1]) for entry, _ in found) == expected.tolist(), (ra, dec, radius)
        assert all(apart == separation(ra, dec, entry.ra, entry.dec) for entry, apart in found)
    nearest = sky.cone(library.volumes(), 0.0, 90.0, 0.05)
    assert [apart for _, apart in nearest] == sorted(apart for _, apart in nearest) and len(nearest) > 20


def test_boxes_hold_what_trying_every_entry_finds(crowded: tuple[Library, np.ndarray]) -> None:
    library, points = crowded
    ra, dec = points.T

    def names(found: Sequence[Entry]) -> set[str]:
        return {entry.name for entry in found if entry.name.startswith("SKY ")}

    inside = (ra >= 359.98) | (ra <= 0.02)
    assert names(sky.box(library.volumes(), (359.98, -0.05), (0.02, 0.05))) == {
        f"SKY {i}" for i in np.flatnonzero(inside & (np.abs(dec) <= 0.05))}
    assert names(sky.box(library.volumes(), (100.0, 25.25), (130.0, 90.0))) == {
        f"SKY {i}" for i in np.flatnonzero((ra >= 100.0) & (ra <= 130.0) & (dec >= 25.25))}


def test_a_list_of_positions_is_matched_one_by_one(crowded: tuple[Library, np.ndarray]) -> None:
    library, points = crowded
    ra = [*points[:20, 0], 10.684, math.nan, 5.0, VOID[0] - 360.0]
    dec = [*points[:20, 1], 41.269, 0.0, 91.0, VOID[1]]

    found = sky.crossmatch(library.volumes(), ra, dec, 0.001, nearest=True)

    assert [m["status"] for m in found] == ["ok"] * 21 + ["not_finite", "dec_out_of_range", "no_match"]
    assert [m["objects"][0]["name"] for m in found[:20]] == [f"SKY {i}" for i in range(20)]
    assert found[20]["objects"][0]["name"] == "NGC 224"
    everything = sky.crossmatch(library.volumes(), ra[:1], dec[:1], 0.05, nearest=False)[0]["objects"]
    apart = angles(points[:1], points)[0]
    assert len(everything) >= np.count_nonzero(apart <= 0.05)
    assert [o["separation_deg"] for o in everything] == sorted(o["separation_deg"] for o in everything)


# --- many at once, and ends that come too early ---

def versions(volumes: Sequence[str]) -> list[list[Line]]:
    """Return versions of one catalogue; each row's velocity tells its version."""
    return [[line.but(cz=1000.0 * (k + 1)) for line in spread(400)] for k in range(len(volumes))]


@pytest.mark.timeout(60)
def test_who_asks_during_imports_gets_the_old_or_the_new_and_never_an_error(place: Place) -> None:
    rounds = versions("1234")
    with closing(place.open()) as library:
        take(library, rounds[0], "1", per_batch=400)
    seen: list[float] = []

    def write() -> None:
        with closing(place.open()) as library:
            for k, lines in enumerate(rounds[1:], 2):
                take(library, lines, str(k), per_batch=100)
                time.sleep(0.1)
            library.drop("deep")

    async def ask(desk: Desk, done: asyncio.Event) -> None:
        while not done.is_set():
            try:
                found = await desk.quick(lambda store: [store.resolve(f"DEEP {i}")["cz_helio"] for i in range(0, 400, 57)])
                assert len({round(cz) for cz in found}) == 1  # of one version
                seen.append(round(found[0]))
            except UnknownName:
                seen.append(0.0)
            assert (await desk.bulk(lambda store: store.resolve("M 31")))["canonical"] == "NGC 224"
            await asyncio.sleep(0)

    async def run() -> None:
        with closing(Desk(place.data, place.dsn)) as desk:
            done, watching = asyncio.Event(), asyncio.create_task(desk.watch())
            askers = [asyncio.create_task(ask(desk, done)) for _ in range(4)]
            try:
                await asyncio.gather(asyncio.to_thread(write), asyncio.sleep(0))
                await asyncio.sleep(0.8)
            finally:
                done.set()
            await asyncio.gather(*askers)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    asyncio.run(run())

    assert seen[0] == 1000.0 and seen[-1] == 0.0
    assert set(seen) <= {0.0, 1000.0, 2000.0, 3000.0, 4000.0}
    assert len(set(seen)) >= 3


def test_writers_wait_for_each_other(place: Place) -> None:
    failures: list[BaseException] = []

    def write(id: str) -> None:
        try:
            with closing(place.open()) as library:
                for version in "12":
                    take(library, spread(60), version, id=id)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(id,)) for id in ("one", "two", "same", "same")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    assert failures == []
    with closing(place.open()) as library:
        assert sorted(here(library)[2:]) == [("one", "2" * 64), ("same", "2" * 64), ("two", "2" * 64)]
    assert left_over(place) == 0


_SLOW_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from made_catalogs import Many, Line, Made, about
from catalog_svc.importing import import_source
from catalog_svc.library import open_library
library = open_library(Path({data!r}), {dsn!r})
{what}
"""


@pytest.mark.parametrize("moment", ["reading", "linking"])
def test_a_writer_that_is_killed_leaves_the_former_catalogue_at_work(place: Place, moment: str) -> None:
    with closing(place.open()) as library:
        take(library, spread(50))
    if moment == "reading":
        what = ("lines = [Line(f'D{i}', i, i, 5.0) for i in range(80)]\n"
                "for k, batch in enumerate((s := Made(about('deep'), lines, per_batch=2, pause_s=0.1)).batches()):\n"
                "    if k == 3: break\n"
                "import_source(library, s, '2' * 64, progress=lambda n: n > 8 and print('now', flush=True))")
    else:
        what = ("from catalog_svc import linking\n"
                "real = linking._by_place\n"
                "def by_place(*a):\n    print('now', flush=True)\n    import time; time.sleep(30)\n    return real(*a)\n"
                "linking._by_place = by_place\n"
                "import_source(library, Many(about('deep'), 5000), '2' * 64)")
    script = _SLOW_WRITER.format(tests=str(ROOT / "tests"), data=str(place.data), dsn=place.dsn, what=what)
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == "now\n"
        with closing(place.open()) as library:
            assert Store(library).resolve("DEEP 7")["canonical"] == "DEEP 7"  # while it writes
        os.kill(writer.pid, signal.SIGKILL)

    with closing(place.open()) as library:
        assert here(library)[2:] == [("deep", "1" * 64)]
        assert Store(library).resolve("DEEP 7")["cz_helio"] == pytest.approx(907.0)
        began = time.monotonic()
        assert counts(take(library, spread(51), "3")) == (51, 1, 0, 50, 0, 0)
        assert time.monotonic() - began < 10  # nobody waits for the dead
    assert left_over(place) == 0


# --- the two beside each other ---

def test_both_kinds_of_library_give_the_same_answers(data: Path, postgres: Server, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    near = np.array([M31, VOID])
    stores = []
    for place in (Place(tmp_path / "data"), Place(tmp_path / "data", postgres.create("twin", "built"))):
        library = place.open()
        places = np.array(library.volumes()[0].rows("SELECT e.ra, e.dec FROM entry e WHERE e.kind = 1 ORDER BY e.id LIMIT 300"))
        first = import_source(library, Many(about("many"), 3000, np.vstack([near, places])), "1" * 64)
        second = import_source(library, Many(about("more"), 2000, seed=2), "1" * 64)
        stores.append((Store(library), first, second))
    (files, *reports), (base, *others) = stores
    try:
        for ours, theirs in zip(reports, others):
            assert [c.separation_deg for c in ours.conflicts] == pytest.approx([c.separation_deg for c in theirs.conflicts],
                                                                              abs=1e-9)
            ours.seconds, ours.conflicts = theirs.seconds, [c._replace(separation_deg=o.separation_deg)
                                                            for c, o in zip(ours.conflicts, theirs.conflicts)]
            assert ours.as_dict() == theirs.as_dict()
        for id in ("many", "more"):
            rows = [next(v for v in s.volumes if v.id == id).rows("SELECT * FROM entry e ORDER BY e.id") for s in (files, base)]
            assert rows[0] == rows[1]
        for name in ("M 31", "NGC 4993", "LMC", "Virgo A"):
            assert files.detail(name) == base.detail(name), name
        asked = ["PGC 9000001", "PGC 9000123", "MADE 77", "MADE 2999", "Virgo", "Andromida", "Antennae", ""]
        assert files.resolve_many(asked) == base.resolve_many(asked)
        for typed in ("PGC 900", "m", "Andr", "s", "MADE 1", "2MASX J000", "the", "\u00e9"):
            for velocity in (True, False):
                assert (files.hints(typed, limit=200, require_velocity=velocity)
                        == base.hints(typed, limit=200, require_velocity=velocity)), typed
        for typo in ("Andromida", "sombraro", "Messer 31", "NGD 4993", "Whirl", "Magellanic Cloud", "Pinwhel", "Cenaurus A",
                     "galaxy", "Bodes Galxy", "tadpol", "Stefans Quintett", "50%", "a_b", "\\"):
            assert files.suggestions(typo) == base.suggestions(typo), typo
        for ra, dec in ((0.0, 89.0), (10.6, 41.2), (359.9, 0.0), (187.7, 12.4)):
            assert ([(e[1:], apart) for e, apart in sky.cone(files.volumes, ra, dec, 3.0)]
                    == [(e[1:], apart) for e, apart in sky.cone(base.volumes, ra, dec, 3.0)])
        assert ([{k: v for k, v in c.items() if k != "imported"} for c in files.catalogs()]
                == [{k: v for k, v in c.items() if k != "imported"} for c in base.catalogs()])
    finally:
        files.library.close()
        base.library.close()
        postgres.drop("twin")

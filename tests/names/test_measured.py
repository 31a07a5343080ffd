"""Galaxies with measured distances around a place, over files and over PostgreSQL alike."""

from __future__ import annotations

import numpy as np
import pytest
from made_catalogs import Line, Made, about

from catalog_svc import measured, schema
from catalog_svc.importing import import_source
from catalog_svc.sqlite import separation
from catalog_svc.store import Store
from catalog_svc.volumes import Library
from cfcore.errors import BadParameter

AXIS = (187.706, 12.391)
"""M 87."""


def far(d: float, method: str = "TRGB", **more: object) -> dict[str, object]:
    """Return facts with one distance."""
    return {"distances": [{"method": method, "d_mpc": d, **more}]}


def take(library: Library, lines: list[Line], id: str = "ladder", kind: str = "galaxy") -> None:
    """Import lines."""
    import_source(library, Made(about(id, kind), lines, per_batch=500), id * 16)


def names(library: Library, radius: float) -> list[str]:
    """Return the main names of what a cone around the axis finds."""
    return [o["name"] for o in measured.answer(library.volumes(), *AXIS, radius, 1000)["objects"]]


def test_a_cone_tells_each_galaxy_with_all_its_distances_of_all_catalogues(library: Library) -> None:
    take(library, [Line("1", 187.7059, 12.3911, 1284.0, ("M 87",), facts=far(16.5, "SBF", error_mpc=0.5)),
                   Line("2", 186.5, 13.0, 900.0, ("QD 2",), facts={"notes": ['"distances":[{"d_mpc": 3']}),
                   Line("3", 186.6, 13.0, 900.0, ("QD 3",), facts=far(15.0))])
    take(library, [Line("1", 187.7059, 12.3911, 1284.0, ("M 87",), facts=far(16.1, modulus=31.03, modulus_error=0.1))], "second")

    found = measured.answer(library.volumes(), *AXIS, 2.0, 1)

    assert (found["n"], found["more_results"]) == (2, True)
    assert found["distance_catalogs"] == ["The ladder survey", "The second survey"]
    (m87,) = found["objects"]
    assert (m87["name"], m87["catalog"]["name"]) == ("NGC 4486", Store(library).detail("M 87")["catalog"]["name"])
    assert m87["distances"] == Store(library).detail("M 87")["distances"] == [
        {"method": "SBF", "d_mpc": 16.5, "error_mpc": 0.5, "source": "The ladder survey"},
        {"method": "TRGB", "d_mpc": 16.1, "modulus": 31.03, "modulus_error": 0.1, "source": "The second survey"}]
    assert m87["cz_helio"] == Store(library).resolve("M 87")["cz_helio"] and m87["separation_deg"] < 0.001
    assert names(library, 2.0) == ["NGC 4486", "QD 3"]  # not the one whose note only looks like a distance


def test_a_galaxy_stands_where_its_first_catalogue_says_and_clusters_are_none(library: Library) -> None:
    lon, lat = AXIS[0], AXIS[1] + 0.05  # the row is inside the small cone, its galaxy is not; and the other way round
    take(library, [Line("1", 187.7059, 12.3911 + 0.045, 1284.0, ("M 87",), facts=far(16.5))])
    take(library, [Line("1", *AXIS, 1000.0, ("QC 1",), facts=far(17.0))], "heaps", "cluster")

    near = measured.answer(library.volumes(), lon, lat, 0.02, 10)

    assert near["n"] == 0 and near["distance_catalogs"] == ["The ladder survey"]
    assert names(library, 0.01) == ["NGC 4486"]


def test_without_measured_distances_the_answer_is_empty_and_says_that_no_catalogue_has_any(library: Library) -> None:
    take(library, [Line("1", 186.5, 13.0, 900.0, ("QD 2",))])

    assert measured.answer(library.volumes(), *AXIS, 30.0, 10) == {
        "n": 0, "more_results": False, "distance_catalogs": [], "objects": []}


@pytest.mark.parametrize("is_old", [False, True], ids=["indexed", "imported before there was an index"])
def test_a_cone_holds_what_trying_every_entry_finds(library: Library, monkeypatch: pytest.MonkeyPatch, is_old: bool) -> None:
    dice = np.random.default_rng(7)
    ra, dec = dice.uniform(0.0, 360.0, 3000), np.degrees(np.arcsin(dice.uniform(-1.0, 1.0, 3000)))
    lines = [Line(f"{i}", a, d, 9000.0, (f"QE {i}",), facts=far(120.0 + i) if i % 3 == 0 else {"notes": ["dim"]})
             for i, (a, d) in enumerate(zip(ra.tolist(), dec.tolist()))]
    take(library, lines)
    volumes = list(library.volumes())
    assert volumes[-1].facts["distances"] == 1000
    if is_old:
        monkeypatch.delitem(volumes[-1].facts, "distances")

    for centre in ((0.0, 0.0), (10.0, 88.0), (359.0, -89.9), (180.0, 45.0)):
        apart = {line.names[0]: separation(*centre, line.ra, line.dec) for line in lines if "distances" in line.facts}
        expected = sorted((name for name, x in apart.items() if x <= 20.0), key=lambda name: apart[name])
        assert len(expected) > 5
        assert [members[0].name for members, _ in measured.cone(volumes, *centre, 20.0)] == expected


def test_galaxies_without_a_distance_are_not_looked_at_and_too_many_with_one_are_refused(
        library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    take(library, [Line(f"{i}", 187.0 + i * 0.001, 12.0, 900.0, (f"QF {i}",), facts=far(20.0) if i < 4 else {})
                   for i in range(60)])
    volumes = library.volumes()
    monkeypatch.setattr("catalog_svc.sky.SCAN_MAX", 10)  # the plain cone would be too large

    assert len(measured.cone(volumes, 187.0, 12.0, 1.0)) == 4
    monkeypatch.setattr(measured, "MEASURED_MAX", 3)
    with pytest.raises(BadParameter, match="more than 3 galaxies with measured distances; ask for a smaller one") as caught:
        measured.cone(volumes, 187.0, 12.0, 1.0)
    assert caught.value.code == "cone_too_large"


def test_the_index_of_measured_distances_is_used(library: Library) -> None:
    take(library, [Line(f"{i}", i * 0.1, 12.0, 900.0, (f"QF {i}",), facts=far(20.0) if i % 50 == 0 else {}) for i in range(3000)])
    volume = library.volumes()[-1]
    explain = "EXPLAIN" if hasattr(volume, "prefix") else "EXPLAIN QUERY PLAN"

    plan = volume.rows(f"{explain} SELECT e.id FROM entry e WHERE {schema.HAS_DISTANCES} AND e.zone BETWEEN ? AND ? "
                       "AND e.ra BETWEEN ? AND ?", (300, 420, 0.0, 300.0))

    assert "entry_measured" in str(plan)

"""The galaxies that a page draws: each once, where its name is, with the velocity that answers for it; nearest first."""

from __future__ import annotations

import numpy as np
import pytest
from made_catalogs import Line, Made, about

from catalog_svc import nearest
from catalog_svc.importing import import_source
from catalog_svc.store import Store
from catalog_svc.volumes import Library
from cfcore import frames
from cfcore.cosmology import C_KMS

M31 = (10.684791666667, 41.269055555556)


def take(library: Library, lines: list[Line]) -> None:
    """Import lines as a catalogue of galaxies."""
    import_source(library, Made(about("deep"), lines, per_batch=5000), "1" * 64)


def spread(n: int) -> list[Line]:
    """Return galaxies far from OpenNGC's, each with a name of its own."""
    return [Line(f"D{i}", (7.3 * i) % 360.0, -80.0 + (1.37 * i) % 160.0, 900.0 + i, (f"DEEP {i}",)) for i in range(n)]


def test_every_galaxy_with_a_velocity_stands_there_once_nearest_first(store: Store) -> None:
    told = store.nearest_galaxies(50_000)
    columns = told["columns"]
    assert told["n"] == told["total"] == len(set(columns["name"])) == len(columns["cz_cmb"]) > 9_000
    assert columns["cz_cmb"] == sorted(columns["cz_cmb"]) and told["left_out"] == []
    assert told["catalog"]["name"].startswith("OpenNGC")
    for i in range(0, told["n"], 1499):
        found = store.resolve(columns["name"][i])
        place = found["position"]["icrs"]
        n = frames.unit_vectors(place["lon"], place["lat"])
        sgl, sgb = frames.lon_lat(frames.rotate(n, "icrs", "supergalactic"))
        cz = C_KMS * frames.convert_z(found["z_helio"], frames.rotate(n, "icrs", "galactic"), "hel", "cmb")
        assert (columns["sgl"][i], columns["sgb"][i]) == (round(float(sgl[0]), 3), round(float(sgb[0]), 3))
        assert columns["cz_cmb"][i] == round(float(cz[0]))


def test_a_limit_keeps_the_nearest(store: Store) -> None:
    every, few = store.nearest_galaxies(50_000), store.nearest_galaxies(25)
    assert few["n"] == 25 and few["total"] == every["total"]
    assert few["columns"] == {name: values[:25] for name, values in every["columns"].items()}


def test_an_import_adds_its_galaxies_and_its_better_velocities(library: Library) -> None:
    before = Store(library).nearest_galaxies(50_000)
    take(library, [*spread(3), Line("photo", 195.0, 27.0, 5000.0, ("DEEP 900",), is_photometric=True),
                   Line("none", 195.0, 29.0, None, ("DEEP 901",)), Line("M31", *M31, -310.0, ("M 31",))])
    store = Store(library)
    after = store.nearest_galaxies(50_000)
    assert after["total"] == before["total"] + 3
    assert set(after["columns"]["name"]) - set(before["columns"]["name"]) == {"DEEP 0", "DEEP 1", "DEEP 2"}
    assert [c["name"] for c in after["catalogs"]][1:] == ["The deep survey"]
    at = after["columns"]["name"].index("NGC 224")
    shift = after["columns"]["cz_cmb"][at] - before["columns"]["cz_cmb"][before["columns"]["name"].index("NGC 224")]
    assert shift == pytest.approx(store.resolve("M 31")["cz_helio"] + 299.792458, abs=1.0)


def test_what_is_beyond_the_most_is_counted_and_not_read(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "GALAXIES_MAX", 300)
    every = Store(library).nearest_galaxies(50_000)
    take(library, spread(5))  # 900 to 904 km/s
    told = Store(library).nearest_galaxies(50_000)
    assert (every["n"], told["n"], told["total"]) == (300, 300, every["total"] + 5)
    cz = np.array(told["columns"]["cz_cmb"])
    assert (np.diff(cz) >= 0).all() and cz[-1] <= every["columns"]["cz_cmb"][-1]


def test_a_catalogue_too_large_to_list_is_left_out_and_named(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    take(library, spread(6))
    monkeypatch.setattr(nearest, "ROWS_MAX", 6)
    told = Store(library).nearest_galaxies(5)
    assert [c["name"][:7] for c in told["left_out"]] == ["OpenNGC"]
    assert [c["name"] for c in told["catalogs"]] == ["The deep survey"]
    assert (told["n"], told["total"]) == (5, 6) and all(name.startswith("DEEP ") for name in told["columns"]["name"])


def test_hints_tell_what_they_stand_for(store: Store) -> None:
    hints, more = store.told_hints("androm", limit=8)
    assert [(h["name"], h["canonical"], h["also"]) for h in hints] == [
        (name, "NGC 224", "NGC 224") for name in ("Andromeda Galaxy", "Andromeda Nebula")] and not more
    plain, more = store.hints("NGC 49", limit=4)
    told, told_more = store.told_hints("NGC 49", limit=4)
    assert [h["name"] for h in told] == plain and told_more == more is True
    assert all(h["also"] is None and h["canonical"] == h["name"] and h["object_type"] for h in told)
    assert told[0]["cz_helio"] == store.resolve(plain[0])["cz_helio"]

"""The built file: complete, true to its source, replaced whole, never twice at once."""

from __future__ import annotations

import math
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from catalog_svc import build, tables
from catalog_svc.store import Store
from cfcore.cosmology import C_KMS
from cfcore.errors import InternalError

GALAXIES = ("G", "GPair", "GTrpl", "GGroup")


def test_all_galaxies_of_openngc_are_in_and_809_have_no_velocity(store: Store) -> None:
    assert store.meta["galaxies"] == "10791"
    assert store.meta["without_velocity"] == "809"
    assert store.meta["licence"] == "CC-BY-SA-4.0"


def test_velocity_is_c_times_redshift_and_never_radvel(store: Store, openngc: list[sqlite3.Row]) -> None:
    checked = 0
    for row in openngc:
        if row["type"] in GALAXIES:
            found = store.resolve(row["name"])
            z = row["redshift"]
            assert found["z_helio"] == z
            assert found["cz_helio"] == (None if z is None else C_KMS * z)
            checked += z is not None and abs(C_KMS * z - row["radvel"]) > 100
    assert checked > 500  # radvel would have been told apart: it is short by 100 km/s beyond z = 0.026


def test_positions_are_those_of_openngc_in_degrees(store: Store, openngc: list[sqlite3.Row]) -> None:
    for row in openngc[::17]:
        if row["type"] in GALAXIES:
            icrs = store.resolve(row["name"])["position"]["icrs"]
            assert icrs["lon"] == pytest.approx(math.degrees(row["ra"]), abs=1e-11)
            assert icrs["lat"] == pytest.approx(math.degrees(row["dec"]), abs=1e-11)


def test_ngc_4993_stands_where_the_sky_has_it(store: Store) -> None:
    icrs = store.resolve("NGC 4993")["position"]["icrs"]

    # NED: 13h09m47.7s -23d23m02s
    assert icrs["lon"] == pytest.approx(15 * (13 + 9 / 60 + 47.7 / 3600), abs=1e-3)
    assert icrs["lat"] == pytest.approx(-(23 + 23 / 60 + 2 / 3600), abs=1e-3)


def test_a_second_start_finds_the_file_and_leaves_it_alone(data: Path) -> None:
    before = build.ensure(data).stat()

    after = build.ensure(data).stat()

    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize("damage", [b"", b"not a database at all", b"SQLite format 3\x00" + b"\x00" * 4096])
def test_a_torn_or_foreign_file_counts_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "x").write_bytes(damage)

    assert build.built_from(tmp_path / "x") is None


def test_a_file_from_other_inputs_is_rebuilt_whole(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "catalog" / "openngc.sqlite"
    target.parent.mkdir()
    shutil.copy(build.ensure(data), target)
    target.with_suffix(".draft").write_bytes(b"left behind by a crash")
    with closing(sqlite3.connect(target)) as db:
        db.execute("UPDATE meta SET value = 'of an older pyongc' WHERE key = 'fingerprint'")
        db.execute("DELETE FROM name")
        db.commit()

    with closing(Store(build.ensure(tmp_path))) as store:
        assert store.resolve("M 31")["canonical"] == "NGC 224"
    assert build.built_from(target) == build.fingerprint(build.find_source())
    assert sorted(p.name for p in target.parent.iterdir()) == ["openngc.lock", "openngc.sqlite"]


def test_the_fingerprint_follows_version_and_content_of_the_source(tmp_path: Path) -> None:
    source = build.find_source()
    other = tmp_path / "ongc.db"
    other.write_bytes(source.path.read_bytes() + b"\0")

    prints = {build.fingerprint(s) for s in (
        source, build.Source(source.path, "9.9"), build.Source(other, source.version))}

    assert len(prints) == 3


def test_a_reader_keeps_its_file_while_it_is_replaced(data: Path, tmp_path: Path) -> None:
    target = tmp_path / "catalog" / "openngc.sqlite"
    target.parent.mkdir()
    shutil.copy(build.ensure(data), target)
    with closing(Store(target)) as store:
        shutil.copy(target, tmp_path / "new")
        (tmp_path / "new").replace(target)
        assert store.resolve("NGC 4993")["canonical"] == "NGC 4993"


def test_opening_takes_less_than_20_ms_at_its_best(data: Path) -> None:
    path, best = build.ensure(data), math.inf
    for _ in range(10):
        start = time.perf_counter()
        Store(path).close()
        best = min(best, time.perf_counter() - start)

    assert best < 0.020


def test_a_file_that_is_no_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"nonsense" * 1000)

    with pytest.raises(InternalError, match="delete it and start again"):
        Store(tmp_path / "x.sqlite")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InternalError, match="--data DIR"):
        build.ensure(tmp_path / "file")


def test_a_correction_is_applied_and_told_with_reason_and_reference(store: Store) -> None:
    cocoon, former = store.detail("Cocoon Galaxy"), store.detail("NGC 4990")

    assert cocoon["canonical"] == "NGC 4490"
    assert "Cocoon Galaxy" in cocoon["common_names"] and "Cocoon Galaxy" not in former["common_names"]
    assert any(n.startswith("Corrected:") and "NOIRLab" in n for n in cocoon["notes"])
    assert any(n.startswith("Corrected:") for n in former["notes"])


def test_a_corrected_velocity_brings_its_own_source(openngc: list[sqlite3.Row]) -> None:
    rows = [dict(row) for row in openngc if row["name"] == "NGC4365"]
    fix = {"name": "NGC 4365", "field": "z_helio", "value": "0.0041", "reason": "why", "reference": "who"}

    made = tables.assemble(rows, {"G": "Galaxy"}, version="1", corrections=[fix], aliases=[], denied=[])

    assert made.objects[0][6:8] == (0.0041, "who")
    assert "Corrected: z_helio 0.0041 instead of -0.00022: why (who)" in str(made.objects[0][8])


@pytest.mark.parametrize(("table", "row"), [
    ("corrections", {"name": "NGC 9", "field": "note", "value": "", "reason": "", "reference": ""}),
    ("corrections", {"name": "NGC 4365", "field": "colour", "value": "", "reason": "", "reference": ""}),
    ("aliases", {"alias": "Nobody", "target": "NGC 9", "reference": ""})])
def test_a_line_of_ours_that_fits_nothing_stops_the_build(openngc: list[sqlite3.Row], table: str,
                                                          row: dict[str, str]) -> None:
    rows = [dict(r) for r in openngc if r["name"] == "NGC4365"]
    ours = {"corrections": [], "aliases": [], "denied": []} | {table: [row]}

    with pytest.raises(InternalError, match=table):
        tables.assemble(rows, {"G": "Galaxy"}, version="1", **ours)

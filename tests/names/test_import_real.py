"""The catalogues that people have, imported as they are published: all rows counted, velocities mended, groups found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import SHARED

from catalog_svc import command
from catalog_svc.importing import Report
from catalog_svc.sqlite import SqliteLibrary
from catalog_svc.store import Store

FILES = {"2mrs": "2mrs_subset.txt", "50mgc": "50mgc_short.fits", "edd-groups": "kt2017_supergroups.txt",
         "skyportal": "CLU_mini.csv", "abell": "abell.fits"}
ROWS = {"2mrs": 12_694, "50mgc": 15_424, "edd-groups": 9_699, "skyportal": 10, "abell": 5_250}
WRONG = {"NGC 4365": 1243, "NGC 3500": 3467, "NGC 6470": 1462, "IC 1746": 5199, "NGC 933": 5105, "NGC 6211": 5273,
         "NGC 6290": 5177, "NGC 6348": 9521, "NGC 3119": 8825, "NGC 4335": 4622}
"""Velocities that OpenNGC has wrong by more than 500 km/s, as the 2MASS Redshift Survey has them, km/s."""


def take_in(data: Path, profile: str, **more: object) -> Report:
    """Import one of the published files."""
    file = SHARED / "catalogs" / FILES[profile]
    if not file.is_file():
        pytest.skip(f"{file.name} is not on this machine (CF_SHARED)")
    options = dict.fromkeys(("id", "frame", "convention", "fmt", "delimiter", "title", "citation", "licence", "kind",
                             "link_arcsec"))
    return command.import_file(data, "", file, {**options, "profile": profile, "mapping": {}}, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def filled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Report]]:
    """Return a data folder with all of them, imported one after the other, and their reports."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, {profile: take_in(folder, profile) for profile in FILES}


@pytest.fixture(scope="module")
def full(filled: tuple[Path, dict[str, Report]]) -> Iterator[Store]:
    """Return a store over all of them."""
    with closing(SqliteLibrary(filled[0])) as library:
        yield Store(library)


@pytest.mark.parametrize("profile", FILES)
def test_every_row_is_counted_once(filled: tuple[Path, dict[str, Report]], profile: str) -> None:
    report = filled[1][profile]

    assert report.n_read == ROWS[profile]
    assert report.n_read == report.n_new + report.n_updated + report.n_unchanged + report.n_rejected
    assert report.n_new == ROWS[profile]


@pytest.mark.parametrize("profile", FILES)
def test_the_same_file_a_second_time_is_all_unchanged(filled: tuple[Path, dict[str, Report]], profile: str) -> None:
    before = {p: p.stat().st_mtime_ns for p in (filled[0] / "catalog").iterdir()}

    again = take_in(filled[0], profile)

    assert (again.n_read, again.n_unchanged, again.n_new, again.n_updated) == (ROWS[profile], ROWS[profile], 0, 0)
    assert {p: p.stat().st_mtime_ns for p in (filled[0] / "catalog").iterdir()} == before


def test_2mrs_gives_velocities_to_galaxies_that_had_none(data: Path, tmp_path: Path) -> None:
    take_in(tmp_path, "2mrs")
    with closing(SqliteLibrary(tmp_path)) as library:
        store = Store(library)
        silent = [name for name, in store.volumes[0].rows("SELECT name FROM entry WHERE kind = 1 AND z IS NULL")]
        found = [store.resolve(name) for name in silent]

        assert len(silent) == 809
        assert sum(f["cz_helio"] is not None for f in found) >= 150
        mice = store.resolve("IC 80")
        assert mice["cz_helio"] == pytest.approx(15_776, abs=1) and "of its system" in mice["cz_source"]
        assert "IC 80" in store.hints("IC 80")[0]
        for name, cz in WRONG.items():
            answer = store.detail(name)
            assert answer["cz_helio"] == pytest.approx(cz, abs=1), name
            told = ("Corrected: z_helio", "Note: the redshift", "Velocities differ")
            assert any(note.startswith(told) for note in answer["notes"]), name


def test_each_velocity_stands_in_the_detail_with_its_source_and_one_is_used(full: Store) -> None:
    velocities = full.detail("NGC 4365")["velocities"]

    used = [v for v in velocities if v["used"]]
    assert [(round(v["value"]), round(v["error"]), v["source"]) for v in used] == [(1243, 6, "2MASS Redshift Survey")]
    assert used[0]["reference"] == "2000MNRAS.313..469S"
    assert {v["source"] for v in velocities} >= {"2MASS Redshift Survey", "50 Mpc Galaxy Catalog"}


def test_a_member_of_a_group_has_the_mean_velocity_of_the_group_beside_its_own(full: Store) -> None:
    in_virgo, merger = full.group("NGC 4526"), full.group("NGC 4993")

    assert in_virgo["group"]["name"] == "KT2017 41220" and in_virgo["group"]["n_members"] > 500
    assert in_virgo["group"]["cz"]["hel"] - in_virgo["cz_helio"] > 700
    assert merger["group"]["name"] == "KT2017 45466"
    assert merger["group"]["given"] == {"value": 2783.0, "frame": "ls", "convention": "cz"}
    # the Local Sheet sees the Sun move by (-26, 317, -8) km/s; NGC 4970 lies in the fourth quadrant
    assert merger["group"]["cz"]["hel"] == pytest.approx(2997, abs=1)
    assert full.group("NGC 1068")["has_groups"]


def test_a_group_without_the_galaxy_is_not_its_group(full: Store) -> None:
    assert full.group("3C 338")["group"] is None  # cz 9100 km/s, far behind every group of the catalogue


def test_galaxies_of_the_imported_lists_are_found_by_their_own_names(full: Store) -> None:
    for name in ("2MASX J00021772-4345168", "6dfgs gj0001313-055904", "MRSS 349-063591", "IRAS F00012-5451 ID"):
        assert full.resolve(name)["catalog"]["name"] == "Galaxies in the form SkyPortal takes (CLU)", name
    assert full.hints("6dFgs gJ00013", require_velocity=False)[0]


def test_an_abell_number_is_the_cluster_whichever_catalogue_knows_it(full: Store) -> None:
    assert full.resolve("A1656")["canonical"] == "Coma cluster"
    assert full.resolve("Abell 2255")["cz_helio"] is not None
    assert full.resolve("abell s0636")["object_type"] == "Cluster of galaxies"


def test_every_catalogue_can_be_dropped_and_openngc_is_as_before(filled: tuple[Path, dict[str, Report]], store: Store,
                                                                 tmp_path: Path) -> None:
    take_in(tmp_path, "2mrs")
    take_in(tmp_path, "50mgc")
    command.drop(tmp_path, "", "2mrs")
    command.drop(tmp_path, "", "50mgc")

    with closing(SqliteLibrary(tmp_path)) as library:
        left = Store(library)
        for name in ("NGC 4365", "M 31", "NGC 4676", "Coma cluster"):
            assert left.detail(name) == store.detail(name)


def test_the_command_line_imports_lists_and_drops(tmp_path: Path) -> None:
    file = SHARED / "catalogs" / FILES["skyportal"]
    if not file.is_file():
        pytest.skip(f"{file.name} is not on this machine (CF_SHARED)")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "cfcore.cli", "catalog", *words, "--data", str(tmp_path)],
                              capture_output=True, text=True, timeout=60)

    dry = run("import", str(file), "--profile", "skyportal", "--dry-run")
    assert dry.returncode == 0 and "10 rows read = 10 new" in dry.stdout and "would be imported" in dry.stdout
    done = run("import", str(file), "--profile", "skyportal", "--json")
    assert json.loads(done.stdout)["n_new"] == 10
    assert [line.split()[0] for line in run("list").stdout.splitlines()] == ["openngc", "clusters", "skyportal"]
    assert run("drop", "skyportal").returncode == 0
    again = run("drop", "skyportal")
    assert again.returncode == 2 and "there is no catalogue 'skyportal'" in again.stderr
    asked = run("import", str(file), "--map", "velocity=mstar")
    assert asked.returncode == 2 and "--frame" in asked.stderr


TABLE = "name,ra,dec,vhel\n" + "".join(f"CRUMB {i},{30.0 + i * 0.05:.4f},-61.5,{900 + i}\n" for i in range(4000))


def crumbs(tmp_path: Path, data: Path, **limits: int) -> subprocess.CompletedProcess[str]:
    """Import a made table by the command line, with limits of the shell."""
    (tmp_path / "crumbs.csv").write_text(TABLE)
    words = " ".join(f"ulimit -{letter} {value};" for letter, value in limits.items())
    return subprocess.run(["sh", "-c", f'{words} exec "$@"', "sh", sys.executable, "-m", "cfcore.cli", "catalog", "import",
                           str(tmp_path / "crumbs.csv"), "--data", str(data)], capture_output=True, text=True, timeout=60)


def test_a_full_disk_is_said_in_a_sentence_and_what_was_there_stays(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")

    # blocks of 512 bytes: the table itself is larger than what may be written
    done = crumbs(tmp_path, tmp_path / "data", f=200)

    assert done.returncode == 3 and "cannot be written" in done.stderr and "free space" in done.stderr, done.stderr
    with closing(SqliteLibrary(tmp_path / "data")) as library:
        assert [v.id for v in library.volumes()] == ["openngc", "clusters"]
    assert not list((tmp_path / "data" / "catalog").glob("*.draft"))


@pytest.mark.parametrize("is_gone", [False, True])
def test_an_imported_file_that_is_torn_or_gone_is_left_out_and_can_be_imported_again(data: Path, tmp_path: Path,
                                                                                     is_gone: bool) -> None:
    shutil.copytree(data, tmp_path / "data")
    assert crumbs(tmp_path, tmp_path / "data").returncode == 0
    file, = (tmp_path / "data" / "catalog").glob("crumbs-*.sqlite")
    file.unlink()
    if not is_gone:
        file.write_bytes(b"nothing of ours")

    with closing(SqliteLibrary(tmp_path / "data")) as library:
        assert Store(library).resolve("M 31")["canonical"] == "NGC 224"
        assert [v.id for v in library.volumes()] == ["openngc", "clusters"]

    assert crumbs(tmp_path, tmp_path / "data").returncode == 0
    with closing(SqliteLibrary(tmp_path / "data")) as library:
        assert Store(library).resolve("CRUMB 17")["cz_helio"] == pytest.approx(917)


def test_a_pipe_is_refused_because_it_can_be_read_only_once(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "cfcore.cli", "catalog", "import", "/dev/stdin", "--data", str(tmp_path)],
                          input=TABLE, capture_output=True, text=True, timeout=60)

    assert done.returncode == 2 and "save it to a file" in done.stderr

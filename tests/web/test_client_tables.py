"""Tables through the Python client: in with units and masks, out as QTables and files, over connections that break."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable, Table
from cutting_proxy import CuttingProxy
from running import House

import cfcore
from cfcore.client import AsyncClient, Client, Job
from cfcore.errors import BadParameter, UsageError


@pytest.fixture(scope="module")
def desk(house_data: Path) -> Iterator[House]:
    """Return a house that takes tables and renders results."""
    running = House(house_data, "--workers", "1")
    try:
        paths = running.ask("/openapi.json").json["paths"]
        if not {"/v1/tables", "/v1/jobs/{job}/results/{name}"} <= paths.keys():
            pytest.skip("this server takes no tables yet")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def client(desk: House) -> Iterator[Client]:
    """Return a client of the house."""
    with Client(f"http://127.0.0.1:{desk.port}") as made:
        yield made


@pytest.fixture(scope="module")
def done(client: Client) -> Job:
    """Return a job of some size that is done, its result rendered as CSV."""
    n = 3000
    rng = np.random.default_rng(5)
    job = client.submit({"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-80, 80, n), "cz": rng.uniform(500, 8000, n)},
                        run_id="done")
    return job.wait(progress=False)


def galaxies() -> QTable:
    """Return a table with all that a table may hold."""
    return QTable({"name": ["NGC 4993", "Čoma", "lost"], "seen": MaskedColumn([1, 2, 3], mask=[False, True, False]),
                   "sky": SkyCoord([197.4488, 194.95, 10.0] * u.deg, [-23.3839, 27.98, 5.0] * u.deg),
                   "Vhel": [2916.0, 6925.0, np.nan] * u.km / u.s, "size": [1.0, np.nan, 3.0] * u.arcmin})


def test_a_table_comes_back_with_its_units_and_masks_and_the_distances_of_the_library(client: Client, house_data: Path) -> None:
    table = galaxies()
    got = client.distances(table, field="ongc-linear", columns={"cz": "Vhel"}, H0=75, progress=False)
    table["ra"], table["dec"] = table["sky"].ra, table["sky"].dec
    expected = cfcore.add_distances(table, cz="Vhel", z_frame="hel", ra="ra", dec="dec", H0=75,
                                    field=cfcore.open_field("ongc-linear", house_data))
    assert isinstance(got, QTable) and list(got["name"]) == ["NGC 4993", "Čoma", "lost"]
    assert list(got["status"]) == ["ok", "ok", "missing"] and list(expected["status"][:2]) == ["ok", "ok"]
    assert got["Vhel"].unit.is_equivalent(u.km / u.s) and got["size"].unit == u.arcmin and np.isnan(got["size"][1])
    assert got["seen"].mask.tolist() == [False, True, False] and got["seen"].dtype.kind == "i"
    for ours, theirs in (("distance_mean", "d_c"), ("distance_std", "d_c_std"), ("v_rad", "v_rad")):
        assert got[ours].unit == expected[theirs].unit
        np.testing.assert_allclose(got[ours][:2].value, expected[theirs][:2].value, rtol=1e-9)
        assert np.isnan(got[ours][2])
    assert got.meta["CF_FIELD"] == "ongc-linear" and got.meta["CF_H0"] == 75.0 and got["v_rad"].info.description
    with pytest.raises(UsageError) as gone:
        client.job(got.meta["CF_JOB"])
    assert gone.value.code == "job_gone"


@pytest.mark.parametrize("end", [".csv.gz", ".ecsv", ".fits"])
def test_a_file_is_streamed_from_the_disk_whatever_its_format(client: Client, tmp_path: Path, end: str) -> None:
    path = tmp_path / f"galaxies{end}"
    table = Table({"ra": [10.0, 20.0] * u.deg, "dec": [1.0, 2.0] * u.deg, "cz_hel": [3000.0, 4000.0] * u.km / u.s})
    if end == ".csv.gz":
        path.write_bytes(gzip.compress(b"ra,dec,cz_hel\n10,1,3000\n20,2,4000\n"))
    else:
        table.write(path, format={".ecsv": "ascii.ecsv"}.get(end))
    job = client.submit(path, run_id="from disk").wait(progress=False)
    assert (job.phase, job.info["rows_total"], job.info["run_id"]) == ("COMPLETED", 2, "from disk")


def test_velocities_are_asked_by_table_too_and_by_the_asynchronous_client(desk: House) -> None:
    async def all_of_it() -> QTable:
        async with AsyncClient(f"http://127.0.0.1:{desk.port}") as client:
            return await client.distances(QTable({"ra": [10.0] * u.deg, "dec": [1.0] * u.deg, "r": [40.0] * u.Mpc}),
                                          kind="velocity", columns={"distance": "r"}, progress=False)
    got = asyncio.run(all_of_it())
    assert len(got) == 1 and got["v_rad"].unit == u.km / u.s and got["r"].unit == u.Mpc


def test_an_ambiguous_table_is_refused_with_the_candidates(client: Client) -> None:
    with pytest.raises(BadParameter) as refused:
        client.submit(QTable({"ra": [1.0], "dec": [2.0], "cz_hel": [3000.0], "cz_cmb": [3100.0]}))
    assert refused.value.extra["candidates"]


@pytest.mark.parametrize("end", ["fits", "vot", "parquet"])
def test_a_result_is_saved_with_the_digest_the_server_tells(done: Job, desk: House, tmp_path: Path, end: str) -> None:
    saved = done.save(tmp_path / f"out.{end}")
    (listed,) = [r for r in desk.ask(f"/v1/jobs/{done.id}/results").json["results"] if r["name"] == f"result.{end}"]
    assert hashlib.sha256(saved.read_bytes()).hexdigest() == listed["sha256"] and list(tmp_path.iterdir()) == [saved]


def test_a_download_that_is_cut_goes_on_where_it_broke_off(done: Job, desk: House, tmp_path: Path) -> None:
    whole = done.save(tmp_path / "whole.csv").read_bytes()
    proxy = CuttingProxy(desk.port)
    try:
        proxy.budgets.extend((100_000, 50_000, 300, 200_000))
        with Client(f"http://127.0.0.1:{proxy.port}") as cut:
            cut._server.has_answered = True
            path = Job(cut, done.info).save(tmp_path / "cut.csv")
        assert path.read_bytes() == whole and sorted(p.name for p in tmp_path.iterdir()) == ["cut.csv", "whole.csv"]
        # hardly a byte has come twice: what is counted lacks the last bytes before each cut
        assert len(whole) - 350_300 - 5 * 1000 < sum(proxy.answered) < len(whole) + 5 * 1000 and len(proxy.answered) == 5
        assert proxy.answered[-1] < len(whole) - 300_000
    finally:
        proxy.close()


def test_a_later_process_goes_on_too_and_wrong_bytes_are_found(done: Job, desk: House, tmp_path: Path) -> None:
    whole = done.save(tmp_path / "whole.csv").read_bytes()
    digest = hashlib.sha256(whole).hexdigest()
    proxy = CuttingProxy(desk.port)
    try:
        with Client(f"http://127.0.0.1:{proxy.port}") as later:
            job = Job(later, done.info)
            (tmp_path / f".out.csv.{digest}.part").write_bytes(whole[:-5000])
            assert job.save(tmp_path / "out.csv").read_bytes() == whole and proxy.answered[0] < 7000
            (tmp_path / f".out.csv.{digest}.part").write_bytes(whole)
            before = sum(proxy.answered)
            assert job.save(tmp_path / "out.csv").read_bytes() == whole and sum(proxy.answered) == before
            for wrong in (b"x" * (len(whole) - 10), b"x" * (len(whole) + 10)):
                (tmp_path / f".out.csv.{digest}.part").write_bytes(wrong)
                assert job.save(tmp_path / "out.csv").read_bytes() == whole
            (tmp_path / f".out.csv.{'0' * 64}.part").write_bytes(b"of an older result")
            assert job.save(tmp_path / "out.csv").read_bytes() == whole
        assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "whole.csv"]
    finally:
        proxy.close()


def test_a_result_can_be_that_of_another_distribution_and_an_unknown_format_is_refused(done: Job, tmp_path: Path) -> None:
    assert "hubble_mean" in done.result(flow_type="hubble").colnames
    with pytest.raises(BadParameter) as refused:
        done.save(tmp_path / "out.docx")
    assert refused.value.code == "unknown_format" and "parquet" in str(refused.value)


def test_a_job_that_runs_has_no_result_yet(client: Client) -> None:
    n = 60_000
    job = client.submit({"ra": np.zeros(n), "dec": np.zeros(n), "cz": np.full(n, 3000.0)})
    with pytest.raises(UsageError) as early:
        job.result()
    assert early.value.code == "not_finished" and early.value.extra["rows_total"] == n
    job.delete()

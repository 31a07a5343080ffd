"""Results as files: what was sent stays, what is added is the answer of Python, in every format, of every kind of job."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import hashlib
import io
import json
import shutil
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from computing_pool import FIELD, OPTIONS, RECORD, draft, the_field

from cfcore import distances, sightlines, votablefile
from cfcore.errors import InternalError, TransientError
from cfcore.options import FlowOptions
from gateway import confined, job_queries, render_table, renders
from gateway.renders import FORMATS, Renders

Keep = Callable[..., Any]
LON, LAT, CZ = [10.0, 20.0, 30.0, 40.0], [1.0, 100.0, 5.0, -20.0], [3000.0, 4000.0, np.nan, 5000.0]
TABLES = ("csv", "tsv", "ecsv", "fits", "votable", "parquet")


def made(kind: str = "distance", columns: dict[str, Any] | None = None, options: FlowOptions = OPTIONS, **about: Any) -> Any:
    sent = columns or {"lon": LON, "lat": LAT, **({"cz": CZ, "sigma_cz": [0.0, 0.0, 0.0, 30.0]} if kind == "distance" else
                                                  {"distance": [30.0, 40.0, np.nan, 1e4]})}
    return job_queries.made("me", kind, {**RECORD, "sha": FIELD[1]}, options, {k: np.asarray(v, float) for k, v in sent.items()},
                            ("ra", "dec"), **about)


def written(kept: Any, job: int, fmt: str, flow: str = "distance") -> Path:
    out = Path(kept.jobs.store.folder) / f"out-{job}-{flow}.{fmt}"
    render_table.render({"folder": str(kept.jobs.store.folder), "job": job, "format": fmt, "flow": flow, "out": str(out)})
    return out


def read(path: Path) -> Table:
    fmt = path.suffix[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if fmt == "parquet":
            plain = pq.read_table(path)
            columns = {n: [np.nan if v is None else v for v in plain[n].to_pylist()] for n in plain.column_names}
            return Table({n: np.array(v, dtype=None if v else float) for n, v in columns.items()})
        made_of = Table.read(path, format={"csv": "ascii.csv", "tsv": "ascii.tab", "ecsv": "ascii.ecsv"}.get(fmt, fmt),
                             **({"comment": "#"} if fmt in ("csv", "tsv") else {}))
        made_of.convert_bytestring_to_unicode()
        return made_of


def numbers(column: Any) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(column, float), np.nan)


def test_a_list_comes_back_with_its_flow_in_every_format(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=3) as kept:
            job, _ = await kept.jobs.submit(made())
            await kept.until(job)
            d = distances.solve(the_field(), LON, LAT, CZ, sigma_cz=np.array([0.0, 0.0, 0.0, 30.0]), options=OPTIONS)
            for fmt in TABLES:
                t = read(written(kept, job, fmt))
                assert t.colnames[:4] == ["ra", "dec", "cf_cz" if "cf_cz" in t.colnames else "cz", "sigma_cz"], fmt
                np.testing.assert_array_equal(numbers(t["cz"]), CZ)
                tolerance = 5.1e-5 if fmt in ("csv", "tsv") else 0.0
                for s in distances.SUMMARY:
                    np.testing.assert_allclose(numbers(t[f"distance_{s}"]), d.column(f"distance.{s}"), rtol=0, atol=tolerance)
                np.testing.assert_allclose(numbers(t["v_sgx"]), d.column("v_pec.sgx"), rtol=0, atol=5.1e-3)
                assert list(t["status"]) == ["ok", "lat_out_of_range", "not_finite", "ok"], fmt
                assert [str(r) for r in np.ma.filled(np.ma.asarray(t["reason"]).astype(str), "")][1:3] == [
                    "dec = 100 lies outside -90 ... 90 deg; perhaps ra and dec are swapped", "cz is not a finite number"], fmt
                assert numbers(t["n_roots"])[[0, 3]].tolist() == d.n_roots[[0, 3]].tolist()
            hubble = read(written(kept, job, "fits", "hubble"))
            np.testing.assert_array_equal(numbers(hubble["hubble_median"]), d.column("hubble.median"))
    asyncio.run(main())


def test_units_ucds_descriptions_and_provenance_stand_in_each_format(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job, _ = await kept.jobs.submit(made(options=dataclasses.replace(OPTIONS, frame="galactic", rmax=40.0)))
            await kept.until(job)
            header = fits.getheader(written(kept, job, "fits"), 1)
            n = {header[f"TTYPE{i}"]: i for i in range(1, header["TFIELDS"] + 1)}
            assert (header[f"TUCD{n['ra']}"], header[f"TUNIT{n['ra']}"]) == ("pos.galactic.lon;meta.main", "deg")
            assert (header[f"TUCD{n['distance_std']}"], header[f"TUNIT{n['v_rad']}"]) == ("stat.stdev;pos.distance", "km s-1")
            assert header[f"TCOMM{n['distance_median']}"] == "comoving distance, median" and "TUCD1" in header
            assert (header["CF_JOB"], header["CF_ROWS"], header["CF_NROWS"], header["CF_PHASE"]) == (job, "0-3", 4, "COMPLETED")
            assert header["CF_SHA"] == FIELD[1] and header["CF_FIELD"] == "smooth" and header["CF_RMAX"] == 40.0
            document = votable.parse(written(kept, job, "votable"), verify="exception")
            resource, = document.resources
            assert (resource.infos[0].name, resource.infos[0].value) == ("QUERY_STATUS", "OK")
            assert [s.system for s in resource.coordinate_systems] == ["galactic"]
            fields = {f.name: f for f in resource.tables[0].fields}
            assert fields["dec"].ref == resource.coordinate_systems[0].ID and fields["cz"].ucd == "spect.dopplerVeloc.opt"
            assert {p.name: p.value for p in resource.params}["job"] == job
            schema = pq.read_schema(written(kept, job, "parquet"))
            assert schema.field("status").metadata[b"ucd"] == b"meta.code.status"
            assert schema.field("cz").metadata[b"unit"] == b"km/s"
            assert json.loads(schema.metadata[b"cosmicflows"])["rows"] == "0-3"
            assert read(written(kept, job, "ecsv"))["v_rad"].meta["ucd"] == "phys.veloc"
            head = [line for line in written(kept, job, "csv").read_text().splitlines() if line.startswith("#")]
            assert '# field: "smooth"' in head and '# frame: "galactic"' in head and any(
                line.startswith("# units: {") for line in head)
            # the line of sight was ended by the client: the way out names that option as the API spells it
            reasons = list(read(written(kept, job, "ecsv"))["reason"])
            assert "a larger rmax=, or another field=" in reasons[3], reasons
    asyncio.run(main())


def test_velocities_come_back_in_every_format(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job, _ = await kept.jobs.submit(made("velocity"))
            await kept.until(job)
            v = distances.velocities(the_field(), LON, LAT, [30.0, 40.0, np.nan, 1e4], options=OPTIONS)
            for fmt in TABLES:
                t = read(written(kept, job, fmt))
                np.testing.assert_allclose(numbers(t["v_rad"]), v.column("v_rad"), rtol=0, atol=5.1e-3)
                assert list(t["status"]) == ["ok", "lat_out_of_range", "not_finite", "outside_field"]
                assert "flags" not in t.colnames
            assert "another field=" in read(written(kept, job, "ecsv"))["reason"][3]
    asyncio.run(main())


def test_a_row_in_quarantine_is_told_and_a_cancelled_job_gives_the_rows_that_are_done(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path, chunk_rows=2) as kept:
            kept.pool.poison = lambda columns: 30.0 in columns["lon"]
            kept.pool.is_held = True
            sent = {"lon": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0], "lat": [1.0] * 6, "cz": [3000.0] * 6, "sigma_cz": [0.0] * 6}
            job, _ = await kept.jobs.submit(made(columns=sent))
            last = max(kept.pool.waiting)
            kept.pool.waiting.pop(last)  # the last two rows are never computed
            deadline = time.monotonic() + 20.0
            while not (kept[job]["quarantined"] and kept[job]["rows_done"] == 4):
                kept.pool.step()
                await asyncio.sleep(0.005)
                assert time.monotonic() < deadline, dict(kept[job])
            await kept.jobs.cancel(job)
            assert kept[job]["phase"] == "ABORTED"
            for fmt in TABLES:
                t = read(written(kept, job, fmt))
                assert list(t["ra"]) == sent["lon"][:4] and list(t["status"]) == ["ok", "ok", "crashed", "ok"], fmt
            assert fits.getheader(written(kept, job, "fits"), 1)["CF_ROWS"] == "0-3"
    asyncio.run(main())


@pytest.mark.parametrize("cz", [None, 2916.0])
def test_a_sightline_is_the_table_of_its_distances(tmp_path: Path, keep: Keep, cz: float | None) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            sent = {"lon": [197.4], "lat": [-23.4], "cz": [np.nan if cz is None else cz], "sigma_cz": [20.0]}
            job, _ = await kept.jobs.submit(made("sightline", sent, more={"n": 41, "table_rmax": 50.0}))
            await kept.until(job)
            oracle = sightlines.distance_table(the_field(), 197.4, -23.4, n=41, rmax=50.0, cz=cz, sigma_cz=20.0, options=OPTIONS)
            names = [name for name in sightlines.COLUMNS if name in oracle]
            for fmt in TABLES:
                t = read(written(kept, job, fmt))
                assert t.colnames == names, fmt
                for name in names:
                    tolerance = {"p": 1e-5 * oracle[name].max() if name == "p" else 0}.get(name, 5.1e-3)
                    np.testing.assert_allclose(numbers(t[name]), oracle[name], rtol=1e-5, atol=tolerance if fmt in (
                        "csv", "tsv") else 0)
            header = fits.getheader(written(kept, job, "fits"), 1)
            assert (header["CF_LON"], header["CF_LAT"], header.get("CF_CZ")) == (197.4, -23.4, cz)
            answer = json.loads(written(kept, job, "json").read_bytes())
            assert answer["n"] == 41 and answer["unit"]["v_rad"] == "km/s" and answer["kind"] == "sightline"
            np.testing.assert_array_equal(np.array(answer["columns"]["v_rad"], float), oracle["v_rad"])
            packed = msgpack.unpackb(written(kept, job, "msgpack").read_bytes())
            np.testing.assert_array_equal(np.frombuffer(packed["columns"]["r_hmpc"]), oracle["r_hmpc"])
            assert ("p" in packed["columns"]) == (cz is not None)
    asyncio.run(main())


SENT = ("# my catalogue\nname,RA,Dec,Vhel,note\n\"NGC, 1\",10.0,1.0,3000,007\n=HYPERLINK(1),20.0,1.0,x,@a\n\n"
        "c,30.0,95.0,4000,-1\nd,40.0,-20.0,5000,\n")


async def table_job(kept: Any, text: bytes, fmt: str, extension: str, **choice: Any) -> int:
    """Submit a job as the intake of tables does: the columns packed, the table beside them."""
    name = f"{hashlib.sha256(text).hexdigest()[:24]}.table"
    (kept.jobs.store.spool / name).write_bytes(text)
    sent = {"lon": [10.0, np.nan, 30.0, 40.0], "lat": [1.0, np.nan, 95.0, -20.0], "cz": [3000.0, np.nan, 4000.0, 5000.0],
            "sigma_cz": [25.0] * 4}
    chosen = {key: {"index": i, "name": shown, "factor": 1.0, "kind": kind} for key, i, shown, kind in (
        ("lon", 1, "RA", "angle"), ("lat", 2, "Dec", "angle"), ("value", 3, "Vhel", "cz"))}
    about = {"format": fmt, "name": f"mine.{extension}", "delimiter": None, "extension": None, "notes": [],
             "choice": {**chosen, "sigma": None, "frame": "icrs", "cz_frame": "hel", "implied": True, **choice}}
    job, _ = await kept.jobs.submit(made(columns=sent, table_file=name, table_about=about))
    await kept.until(job)
    return int(job)


def test_a_table_comes_back_as_it_was_sent_with_the_flow_beside_it(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            job = await table_job(kept, SENT.encode(), "csv", "csv")
            lines = [line for line in written(kept, job, "csv").read_text().splitlines()
                     if not line.startswith("# ") or "my" in line]
            for before, after in zip([line for line in SENT.splitlines() if line], lines, strict=True):
                assert after == before if before.startswith("#") else after.startswith(before + ","), (before, after)
            rows = list(csv.DictReader(io.StringIO("\n".join(lines[1:]))))
            assert [r["status"] for r in rows] == ["ok", "not_a_number", "lat_out_of_range", "ok"]
            assert rows[1]["reason"] == "Vhel = 'x' is not a number" and rows[2]["reason"].startswith("Dec = 95 lies outside")
            d = distances.solve(the_field(), [40.0], [-20.0], [5000.0], sigma_cz=25.0, options=OPTIONS)
            assert float(rows[3]["distance_median"]) == pytest.approx(float(d.column("distance.median")[0]), abs=5.1e-5)
            t = read(written(kept, job, "fits"))
            assert t.colnames[:5] == ["name", "RA", "Dec", "Vhel", "note"] and list(t["name"])[:2] == ["NGC, 1", "=HYPERLINK(1)"]
            assert numbers(t["distance_median"])[3] == d.column("distance.median")[0]
            document = votable.parse(written(kept, job, "votable"))
            field = document.resources[0].tables[0].fields[1]
            assert (field.name, field.ucd, str(field.unit)) == ("RA", "pos.eq.ra;meta.main", "deg") and field.ref
            for source in ("fits", "ecsv", "votable"):
                stream = tmp_path / f"given.{source}"
                Table({"name": ["a", "b", "c", "d"], "RA": [10.0, 20.0, 30.0, 40.0], "Dec": [1.0, 1.0, 95.0, -20.0],
                       "Vhel": np.ma.array([3000.0, 0, 4000.0, 5000.0], mask=[0, 1, 0, 0])}).write(
                           stream, format={"ecsv": "ascii.ecsv"}.get(source, source))
                job = await table_job(kept, stream.read_bytes(), source, source)
                for target in ("csv", "parquet", source):
                    t = read(written(kept, job, target))
                    assert list(t["status"]) == ["ok", "missing", "lat_out_of_range", "ok"], (source, target)
                    assert t["name"].tolist() == ["a", "b", "c", "d"] and "Vhel" in t["reason"][1]
    asyncio.run(main())


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not on this machine")
def test_votlint_finds_nothing_to_say(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            jobs = [(await kept.jobs.submit(d))[0] for d in (
                made(), made("velocity"), made("sightline", {"lon": [1.0], "lat": [2.0], "cz": [3000.0], "sigma_cz": [0.0]},
                                               more={"n": 5, "table_rmax": None}))]
            for job in jobs:
                await kept.until(job)
            table = await table_job(kept, SENT.encode(), "csv", "csv")
            texts = [written(kept, job, "votable") for job in (jobs[2], table)]
            monkeypatch.setattr(votablefile, "TABLEDATA_ROWS", 2)
            texts += [written(kept, job, "votable", "hubble") for job in (*jobs[:2], table)]
            assert [b"BINARY2" in path.read_bytes() for path in texts] == [False] * 2 + [True] * 3
            running = [subprocess.Popen(["stilts", "votlint", str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                       for path in texts]
            said = {path.name: process.communicate(timeout=100)[0].decode() for path, process in zip(texts, running)}
            assert not any(process.returncode for process in running) and not any(said.values()), said
    asyncio.run(main())


def test_a_file_is_made_once_kept_while_there_is_room_and_gone_with_its_job(tmp_path: Path, keep: Keep,
                                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    real = confined.run

    async def counted(module: str, asked: dict[str, Any], seconds: float) -> dict[str, Any]:
        runs.append(asked["format"])
        return await real(module, asked, seconds)

    async def main() -> None:
        monkeypatch.setattr(confined, "run", counted)
        async with keep(tmp_path) as kept:
            shelf = Renders(kept.jobs, room=3000)
            (shelf.folder).mkdir()
            (shelf.folder / "left-over").touch()
            shelf.start()
            assert not list(shelf.folder.iterdir())
            job = (await kept.jobs.submit(made()))[0]
            row = await kept.until(job)
            with pytest.raises(TransientError) as refused:
                await shelf.get(row, "csv", wait_s=0.0)
            assert refused.value.code == "rendering" and refused.value.extra["retry_after_s"] == renders.RETRY_S
            got = await asyncio.gather(*(shelf.get(row, "csv") for _ in range(8)))
            assert runs == ["csv"] and all(g is got[0] for g in got)
            data = got[0].path.read_bytes()
            assert (got[0].size, got[0].sha256) == (len(data), hashlib.sha256(data).hexdigest())
            assert shelf.peek(row, "csv", "distance") is got[0] and shelf.peek(row, "csv", "hubble") is None
            other = await shelf.get(row, "json")
            assert not got[0].path.exists() and other.path.exists(), "3000 bytes hold one of them"
            again = await shelf.get(row, "csv")
            assert (again.sha256, runs) == (got[0].sha256, ["csv", "json", "csv"])
            await kept.jobs.delete(job)
            assert not list(shelf.folder.iterdir()) and shelf.peek(row, "csv", "distance") is None
            await shelf.close()
    asyncio.run(main())


def test_the_process_that_writes_has_bounds_and_its_end_is_told(tmp_path: Path, keep: Keep) -> None:
    async def main() -> None:
        async with keep(tmp_path) as kept:
            # so many rows that a file of them takes longer than a second of a processor, the least that can be bounded
            row = await kept.until((await kept.jobs.submit(draft(400_000)))[0])
            for limits, error, code in (({"file_bytes": 2000}, TransientError, "store_full"),
                                        ({"cpu_s": 1}, InternalError, "internal")):
                shelf = Renders(kept.jobs, limits={**renders.LIMITS, **limits})
                shelf.start()
                with pytest.raises(error) as told:
                    await shelf.get(row, "csv")
                assert told.value.code == code and not list(shelf.folder.iterdir())
                await shelf.close()
    asyncio.run(main())


def test_every_format_has_an_ending_and_a_media_type_of_its_own() -> None:
    assert set(FORMATS) == {*TABLES, "json", "msgpack"} and len(set(FORMATS.values())) == len(FORMATS)

"""Tables in and out: what was in them stays, what is added is the answer of Python, in every format."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table

import cfcore
from cfcore.asking import Local

Run = Callable[..., tuple[int, str, str]]
PLACES = [("NGC 4993", 197.4488, -23.3839, 2916.0), ("Fornax", 54.6208, -35.4506, 1442.0), ("Coma", 194.9531, 27.9807, 6925.0)]
TEXT = ("name,ra,dec,cz,note\n"
        'NGC 4993, 197.44880,-23.3839,2916.0,"a, b"\n'
        "Fornax,54.6208 ,-35.4506,1442,\n"
        "Coma,194.9531,27.9807,6.925e3,007\n")
FORMS = {".csv": "ascii.csv", ".tsv": "ascii.tab", ".ecsv": "ascii.ecsv", ".fits": "fits", ".vot": "votable"}
SUFFIXES = ("csv", "tsv", "ecsv", "fits", "vot", "parquet")


def expected(house_data: Path, **options: object) -> cfcore.Distances:
    _, ra, dec, cz = zip(*PLACES)
    return cfcore.open_field("ongc-linear", house_data).distance(ra, dec, cz, **options)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    return path


def read(path: Path) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".parquet":
            plain = pq.read_table(path)
            return Table({n: [("" if v is None else v) for v in plain[n].to_pylist()] for n in plain.column_names})
        made = Table.read(path, format=FORMS[path.suffix])
        made.convert_bytestring_to_unicode()
        return made


def test_csv_passes_through_to_the_letter(command: Run, table: Path, house_data: Path) -> None:
    out = table.with_name("o.csv")
    code, said, err = command("distance", table, "-o", out, "--field", "ongc-linear")
    assert code == 0 and not said and "reading ra, dec (icrs) and cz, c z, frame hel (no name says so" in err
    assert "3 rows: 3 answered, 0 without an answer; field ongc-linear" in err
    d = expected(house_data)
    for before, after in zip(TEXT.splitlines(), out.read_text().splitlines()):
        assert after.startswith(before + ",")
    rows = list(csv.DictReader(out.read_text().splitlines()))
    for i, row in enumerate(rows):
        assert float(row["distance_median"]) == pytest.approx(d.column("distance.median")[i], abs=5.1e-5)
        assert float(row["v_rad"]) == pytest.approx(d.column("v_rad")[i], abs=5.1e-3)
        assert float(row["evidence"]) == pytest.approx(d.column("evidence")[i], rel=1e-5)
        assert int(row["n_roots"]) == d.n_roots[i] and row["flags"] == " ".join(d.flags(i))
        assert row["status"] == "ok" and row["reason"] == ""


@pytest.mark.parametrize("source", SUFFIXES)
@pytest.mark.parametrize("target", SUFFIXES)
def test_every_format_becomes_every_other(command: Run, tmp_path: Path, house_data: Path, source: str,
                                          target: str) -> None:
    names, ra, dec, cz = zip(*PLACES)
    t = Table({"name": names, "ra": ra, "dec": dec, "vhel": cz, "n": [1, 2, 3]})
    given, out = tmp_path / f"t.{source}", tmp_path / f"o.{target}"
    if source == "parquet":
        pq.write_table(pyarrow.table({n: t[n].tolist() for n in t.colnames}), given)
    else:
        t["ra"].unit, t["vhel"].unit = "deg", "km/s"
        t.write(given, format=FORMS[f".{source}"])
    code, _, err = command("distance", given, "-o", out, "--field", "ongc-linear")
    assert code == 0, err
    back = read(out)
    assert back.colnames[:5] == ["name", "ra", "dec", "vhel", "n"] and back["name"].tolist() == list(names)
    assert back["ra"].tolist() == list(ra) and back["n"].tolist() == [1, 2, 3]
    d = expected(house_data)
    tolerance = 5.1e-5 if target in ("csv", "tsv") else 0
    assert np.allclose(np.asarray(back["distance_mean"], float), d.column("distance.mean"), rtol=0, atol=tolerance)
    assert np.asarray(back["n_roots"]).tolist() == d.n_roots.tolist() and back["status"].tolist() == ["ok"] * 3


def test_units_descriptions_and_provenance_stand_where_the_format_holds_them(command: Run, table: Path,
                                                                             house_data: Path) -> None:
    sha = cfcore.open_field("ongc-linear", house_data).manifest.sha256
    for suffix in ("fits", "ecsv", "vot", "parquet", "csv"):
        assert command("distance", table, "-o", table.with_name(f"o.{suffix}"), "--field", "ongc-linear", "--sigma-v", 210,
                   "--comments")[0] == 0
    header = fits.getheader(table.with_name("o.fits"), 1)
    assert header["CF_SHA"] == sha and header["CF_SIGV"] == 210 and "OpenNGC" in header["CF_CITE"] and header["CF_H0"] == 75
    assert header["CF_CZFRM"] == "hel" and header["CF_PRIOR"] == "volume" and header["CF_FIELD"] == "ongc-linear"
    n = next(i for i in range(1, 99) if header[f"TTYPE{i}"] == "distance_median")
    assert header[f"TUNIT{n}"] == "Mpc" and header[f"TCOMM{n}"] == "comoving distance, median"
    ecsv = read(table.with_name("o.ecsv"))
    assert ecsv["v_rad"].unit == "km/s" and ecsv["v_rad"].description and ecsv.meta["cosmicflows"]["field_sha256"] == sha
    vot = table.with_name("o.vot").read_text()
    assert f'value="{sha}"' in vot and 'name="citation"' in vot and 'unit="Mpc"' in vot
    schema = pq.read_schema(table.with_name("o.parquet"))
    assert json.loads(schema.metadata[b"cosmicflows"])["field_sha256"] == sha
    assert schema.field("v_rad").metadata[b"unit"] == b"km/s"
    lines = table.with_name("o.csv").read_text().splitlines()
    assert f'# field_sha256: "{sha}"' in lines and lines[16 + 3].startswith("name,") or any(x.startswith("name,") for x in lines)


def test_identifiers_with_zeros_stay_text_and_numbers_become_numbers(command: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,big,ra,dec,cz,flag\n007,1237648720693755918,10,20,3000,\n010,12376487206937559181234,11,21,3100,5\n")
    assert command("distance", path, "-o", tmp_path / "o.fits")[0] == 0
    back = read(tmp_path / "o.fits")
    assert back["id"].tolist() == ["007", "010"] and back["big"].tolist()[1] == "12376487206937559181234"
    assert back["flag"].mask.tolist() == [True, False] and back["flag"].dtype.kind == "i"


def test_a_taken_name_gets_a_prefix(command: Run, table: Path) -> None:
    one, two = table.with_name("1.csv"), table.with_name("2.csv")
    assert command("distance", table, "-o", one)[0] == 0
    code, _, err = command("distance", one, "-o", two)
    assert code == 2 and "--cz-column cz_hel" in err  # our own columns are velocities too
    assert command("distance", one, "-o", two, "--cz-column", "cz", "--columns", "distance_median,v_rad,status")[0] == 0
    header = two.read_text().splitlines()[0].split(",")
    assert header[-3:] == ["cf_distance_median", "cf_v_rad", "cf_status"] and len(set(header)) == len(header)


def test_a_variable_and_columns_are_chosen(command: Run, table: Path, house_data: Path) -> None:
    code, out, _ = command("distance", table, "--flow", "luminosity", "--columns", "luminosity_p16, n_roots", "--prior", "flat")
    assert code == 0 and out.splitlines()[0].endswith("note,luminosity_p16,n_roots")
    d = expected(house_data, prior="flat")
    assert out.splitlines()[3].endswith(f",{d.column('luminosity.p16')[2]:.4f},1")
    assert command("distance", table, "--columns", "status,v_rad,status")[1].splitlines()[0].endswith("note,status,v_rad")
    code, _, err = command("distance", table, "--columns", "distance_medium")
    assert code == 2 and "'distance_medium' is not known; there are distance_mean" in err


@pytest.mark.parametrize("flow", cfcore.options.FLOW_TYPES)
def test_the_modulus_is_that_of_python_whatever_variable_is_asked_for(command: Run, table: Path, house_data: Path,
                                                                      flow: str) -> None:
    out = table.with_name("o.ecsv")
    assert command("distance", table, "-o", out, "--flow", flow, "--H0", 68, "--Om", 0.2, "--cz-frame", "cmb")[0] == 0
    d, back = expected(house_data, H0=68, Om=0.2, cz_frame="cmb"), read(out)
    for s in ("p16", "median", "p84"):
        assert np.allclose(back[f"mu_{s}"], d.column(f"modulus.{s}"), rtol=0, atol=1e-9)
    assert back["mu_median"].unit == "mag"


def test_what_has_no_answer_is_null_where_the_format_has_one(command: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ra,dec,cz\n197.4,-23.4,2916\n197.4,-23.4,90000\n")
    for suffix in ("ecsv", "parquet", "vot", "fits"):
        assert command("distance", tmp_path / "t.csv", "-o", tmp_path / f"o.{suffix}")[0] == 1
    assert pq.read_table(tmp_path / "o.parquet")["distance_mean"].null_count == 1
    assert read(tmp_path / "o.ecsv")["distance_mean"].mask.tolist() == [False, True]


def test_numbers_of_the_provenance_are_numbers_in_votable(command: Run, table: Path) -> None:
    out = table.with_name("o.vot")
    assert command("distance", table, "-o", out, "--field", "ongc-linear", "--sigma-cz", 20)[0] == 0
    params = {p.name: p for p in votable.parse(out, verify="exception").resources[0].params}
    assert params["H0"].value == 75.0 and str(params["H0"].unit) == "km / (Mpc s)" and params["sigma_cz"].value == 20.0
    assert params["sigma_v"].datatype == "double" and params["field"].value == "ongc-linear" and params["rmax"].value == "null"


def test_a_pipe_is_csv_unless_said_otherwise(house_data: Path, table: Path) -> None:
    def piped(body: bytes, *words: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([sys.executable, "-W", "error", "-m", "cfcore.cli", "distance", "-", *words], input=body,
                              capture_output=True, timeout=60, env={**os.environ, "CF_DATA": str(house_data)},
                              cwd=Path(__file__).parents[2])
    done = piped(TEXT.encode())
    assert done.returncode == 0 and done.stdout.splitlines()[0].startswith(b"name,ra,dec,cz,note,distance_mean,")
    assert b"3 rows: 3 answered" in done.stderr
    done = piped(TEXT.encode(), "--output-format", "fits")
    assert done.returncode == 0 and done.stdout.startswith(b"SIMPLE  =")
    again = piped(done.stdout, "--input-format", "fits", "--cz-column", "cz", "--output-format", "tsv")
    assert again.returncode == 0 and again.stdout.splitlines()[0].startswith(b"name\tra\tdec")
    assert b"begins like fits" in piped(done.stdout).stderr
    assert piped(b"").returncode == 2 and b"standard input is empty" in piped(b"").stderr


def test_a_reader_that_goes_away_ends_it_quietly(house_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n" + "10,20,3000\n" * 60_000)
    done = subprocess.run(f"{sys.executable} -m cfcore.cli distance {path} | head -2 | tail -1", shell=True, timeout=60,
                          capture_output=True, text=True, env={**os.environ, "CF_DATA": str(house_data)},
                          cwd=Path(__file__).parents[2])
    assert done.stdout.startswith("10,20,3000,") and "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_an_output_that_is_there_stays(command: Run, table: Path) -> None:
    out = table.with_name("o.csv")
    out.write_text("precious")
    code, _, err = command("distance", table, "-o", out)
    assert code == 2 and "--force" in err and out.read_text() == "precious"
    assert command("distance", table, "-o", out, "--force")[0] == 0 and out.read_text().startswith("name,")
    assert command("distance", table, "-o", table, "--force")[0] == 0 and "distance_median" in table.read_text()
    assert sorted(p.name for p in table.parent.iterdir()) == ["o.csv", "t.csv"]
    for bad in (table.parent, table.parent / "no" / "o.csv", table.with_name("o.xlsx"), table.with_name("o.dat")):
        assert command("distance", table, "-o", bad)[0] == 2


def test_a_failure_leaves_no_half_file(command: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n" + "10,20,3000\n" * 30_000 + '"never closed,20,3000\n' + "10,20,3000\n" * 30_000)
    code, _, err = command("distance", path, "-o", tmp_path / "o.csv")
    assert code == 2 and "never closed" in err and [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_signal_leaves_no_half_file(house_data: Path, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-m", "cfcore.cli", "distance", "-", "-o", str(tmp_path / "o.csv")],
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "CF_DATA": str(house_data)},
                               cwd=Path(__file__).parents[2])
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(b"ra,dec,cz\n" + b"10,20,3000\n" * 100_000)
    process.stdin.flush()
    assert b"reading ra, dec" in process.stderr.readline()
    process.terminate()
    process.stdin.close()
    assert b"interrupted; nothing written" in process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 143 and not list(tmp_path.iterdir())


def test_an_interrupted_run_says_what_is_left(command: Run, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: Local, rows: object) -> None:
        raise KeyboardInterrupt
    monkeypatch.setattr(Local, "ask", interrupt)
    code, _, err = command("distance", table, "-o", table.with_name("o.csv"))
    assert code == 130 and err.endswith("interrupted; nothing written\n") and not table.with_name("o.csv").exists()
    assert "not the whole table" in command("distance", table)[2]


def test_a_full_device_is_named(command: Run, table: Path) -> None:
    code, _, err = command("distance", table, "-o", "/dev/full")
    assert code == 3 and "'/dev/full' cannot be written (No space left on device)" in err


def test_a_table_without_rows_gets_its_columns(command: Run, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n")
    for suffix in SUFFIXES:
        code, _, err = command("distance", path, "-o", tmp_path / f"o.{suffix}")
        assert code == 0 and "0 rows" in err, (suffix, err)
    assert (tmp_path / "o.csv").read_text().startswith("ra,dec,cz,distance_mean,")
    assert len(read(tmp_path / "o.fits")) == 0 and pq.read_table(tmp_path / "o.parquet").num_rows == 0


def test_chunks_and_threads_change_nothing(command: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    path = tmp_path / "t.csv"
    path.write_text("ra,dec,cz\n" + "".join(f"{a:.4f},{b:.4f},{c:.1f}\n" for a, b, c in zip(
        rng.uniform(0, 360, 45_000), rng.uniform(-90, 90, 45_000), rng.uniform(500, 5000, 45_000))))
    said = [command("distance", path, "--jobs", jobs, "--columns", "distance_median,status") for jobs in (1, 3)]
    assert said[0][1] == said[1][1] and said[0][1].count("\n") == 45_001


@pytest.mark.parametrize("suffix", ["csv", "fits"])
def test_velocities_of_a_table(command: Run, tmp_path: Path, house_data: Path, suffix: str) -> None:
    t = Table({"ra": [197.4, 54.6, 10.0], "dec": [-23.4, -35.5, 20.0], "d": [40.0, 20.0, 9000.0]})
    path, out = tmp_path / f"t.{suffix}", tmp_path / "o.ecsv"
    t.write(path)
    code, _, err = command("velocity", path, "--distance-column", "d", "-o", out, "--field", "ongc-linear")
    assert code == 1 and ("line 4: " if suffix == "csv" else "row 3: ") in err
    assert "lies outside field ongc-linear; no velocity is known there" in err
    v = cfcore.velocities(cfcore.open_field("ongc-linear", house_data), t["ra"], t["dec"], t["d"])
    back = read(out)
    assert back["v_rad"].tolist()[:2] == v.column("v_rad")[:2].tolist() and back["v_rad"].mask.tolist() == [False, False, True]
    assert back["status"].tolist() == ["ok", "ok", "outside_field"] and "flags" not in back.colnames


def test_a_library_that_is_missing_is_named_with_its_command(house_data: Path, table: Path) -> None:
    hide = ("import sys\nfor m in ('astropy', 'pyarrow'): sys.modules[m] = None\nfrom cfcore.cli import main\n"
            "sys.exit(main(sys.argv[1:]))")
    for suffix, words in (("fits", "cosmicflows[astro]"), ("parquet", "cosmicflows[parquet]"), ("csv", "")):
        done = subprocess.run([sys.executable, "-c", hide, "distance", str(table), "-o", str(table.with_name(f"o.{suffix}"))],
                              capture_output=True, text=True, timeout=60, env={**os.environ, "CF_DATA": str(house_data)},
                              cwd=Path(__file__).parents[2])
        assert done.returncode == (2 if words else 0) and words in done.stderr and "Traceback" not in done.stderr


def test_what_a_bare_install_lacks_is_told_in_options(tmp_path: Path) -> None:
    hide = ("import importlib.util, sys\nfor m in ('orjson', 'pyongc'): sys.modules[m] = None\nfind = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda n, p=None: None if n == 'pyongc' else find(n, p)\n"
            "from cfcore.cli import main\nsys.exit(main(sys.argv[1:]))")

    def bare(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", hide, *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "CF_DATA": str(tmp_path)}, cwd=Path(__file__).parents[2])
    said = bare("distance", "NGC 4993", "--field", "mould2000").stderr
    assert "names need the catalogue" in said and "pip install 'cosmicflows[server]', or give --ra, --dec and --cz" in said
    done = bare("distance", "--ra", "197.4", "--dec", "-23.4", "--cz", "2916")
    assert done.returncode == 2 and "or --field mould2000, which needs no catalogue" in done.stderr
    listed = bare("fields", "list").stdout
    assert "  ongc-linear    cannot be built: pyongc is not installed; pip install 'cosmicflows[ongc]'" in listed


def test_a_real_table_of_supernovae_is_read_as_it_lies(command: Run, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "tables" / "Pantheon+SH0ES.dat"
    code, _, err = command("distance", path)
    assert code == 2 and "--z-column zCMB" in err and "--z-column zHEL" in err and "zHD" in err
    out = tmp_path / "o.fits"
    code, _, err = command("distance", path, "--z-column", "zHEL", "-o", out, "--field", "cf4gp")
    back = read(out)
    assert code == 1 and len(back) == 1701 and (back["status"] == "ok").sum() > 750
    near = np.asarray(back["status"] == "ok") & (back["zCMB"] > 0.005) & (back["zCMB"] < 0.067)
    assert np.corrcoef(back["v_rad"][near], back["VPEC"][near])[0, 1] > 0.6


def test_a_real_catalogue_in_fits_keeps_its_columns(command: Run, shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "catalogs" / "50mgc_short.fits"
    code, _, err = command("distance", path, "-o", tmp_path / "o.fits", "--field", "ongc-linear")
    assert code == 1 and "301 missing in all" in err and "frame hel" in err
    before, after = read(path), read(tmp_path / "o.fits")
    header = fits.getheader(tmp_path / "o.fits", 1)
    for i, name in enumerate(before.colnames):
        assert before[name].description == header[f"TCOMM{i + 1}"]
        assert np.ma.allequal(np.ma.array(before[name]), np.ma.array(after[name])) or before[name].dtype.kind == "f"


def test_memory_does_not_grow_with_the_table(house_data: Path, tmp_path: Path) -> None:
    peak = {}
    for rows in (20_000, 200_000):
        path = tmp_path / f"{rows}.csv"
        path.write_text("name,ra,dec,cz\n" + "PGC 1234,197.44881,-23.38391,2916.3\n" * rows)
        # the high-water mark of this very program: rusage would also count that of the one that forked it
        code = ("import re, sys\nfrom cfcore.cli import main\ncode = main(sys.argv[1:])\n"
                "print(code, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])")
        done = subprocess.run([sys.executable, "-c", code, "distance", str(path), "-o", str(tmp_path / f"o{rows}.csv"), "--rmax",
                               "60"], capture_output=True, text=True, timeout=110, cwd=Path(__file__).parents[2],
                              env={**os.environ, "CF_DATA": str(house_data)})
        assert done.stdout.startswith("0 "), done.stderr
        peak[rows] = int(done.stdout.split()[1]) / 1024
    # two chunks on their way and one being written; the promise is the table's size and 200 MiB
    assert peak[200_000] - peak[20_000] < 80 and peak[200_000] < 200, peak

"""A user's bad table: each bad row is named, the good ones are answered, nothing ends in a traceback."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from cfcore import digits

Run = Callable[..., tuple[int, str, str]]
Answer = Callable[..., tuple[int, list[dict[str, str]], str]]
GOOD = "197.4,-23.4,2916"


@pytest.fixture
def answer(command: Run, tmp_path: Path) -> Answer:
    """Write a table, ask, and read the answer as records."""
    def ask(body: str | bytes, *words: object, name: str = "t.csv", delimiter: str = ",") -> tuple[
            int, list[dict[str, str]], str]:
        path, out = tmp_path / name, tmp_path / "o.csv"
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        code, _, err = command("distance", path, "-o", out, "--force", *words)
        if not out.exists():
            return code, [], err
        text = out.read_bytes().decode("utf-8", "surrogateescape")
        table = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# "))
        return code, list(csv.DictReader(io.StringIO(table, newline=""), delimiter=delimiter)), err
    return ask


@pytest.mark.parametrize(("row", "status", "says"), [
    (",-23.4,2916", "missing", "ra is missing"),
    ("197.4,nan,2916", "missing", "dec is missing (nan)"),
    ("197.4,-23.4,N/A", "missing", "cz is missing (N/A)"),
    ("197.4,-23.4,-999", "missing", "cz is missing (-999)"),
    ("197.4,-23.4,fast", "not_a_number", "cz = 'fast' is not a number"),
    ("197.4,-23.4,2_916", "not_a_number", "cz = '2_916' is not a number"),
    ("197.4,-23.4,2916 km/s", "not_a_number", "cz = '2916 km/s' is not a number"),
    ("13:09:47.7,-23.4,2916", "not_a_number", "ra = '13:09:47.7' looks sexagesimal; decimal degrees are needed"),
    ("13 09 47,-23.4,2916", "not_a_number", "looks sexagesimal"),
    ("197.4,-23.4,inf", "not_finite", "cz = inf is not finite"),
    ("197.4,-23.4,1e999", "not_a_number", "cz = '1e999' is not a number"),
    ("197.4,-93.4,2916", "lat_out_of_range", "dec = -93.4 lies outside -90 ... 90 deg"),
    ("19.4,193.4,2916", "lat_out_of_range", "perhaps ra and dec are swapped"),
    ("1977.4,-23.4,2916", "lon_out_of_range", "ra = 1977.4 lies outside -360 ... 360 deg"),
    ("197.4,-23.4,-4000", "cz_out_of_range", "cz = -4000 lies outside -3000"),
    ("197.4,-23.4,90000", "outside_field", "cz = 90000 km/s lies beyond the line of sight of field"),
    ("197.4,-23.4", "wrong_length", "the row has 2 fields, the header has 3"),
    ("197.4", "wrong_length", "the row has 1 field, the header has 3"),
    ("197.4,-23.4,2916,x,y", "wrong_length", "the row has 5 fields, the header has 3; 'x,y' is left out"),
    ('"197.4",-23.4,"oh, no"', "not_a_number", "cz = 'oh, no' is not a number")])
def test_a_bad_row_is_named_and_its_neighbours_are_answered(answer: Answer, row: str, status: str, says: str) -> None:
    code, rows, err = answer(f"ra,dec,cz\n{GOOD}\n{row}\n{GOOD}\n")
    assert code == 1 and [r["status"] for r in rows] == ["ok", status, "ok"], rows
    assert says in rows[1]["reason"] and f"line 3: {rows[1]['reason']}" in err and not rows[1]["distance_mean"]
    assert rows[0]["distance_mean"] == rows[2]["distance_mean"] != "" and "2 answered, 1 without an answer" in err


def test_row_numbers_are_those_of_the_file(answer: Answer) -> None:
    body = f'# a comment\n\nra,dec,cz,note\n\n{GOOD},"two\nlines"\n   \n{GOOD},x\nbad,1,2000,\n'
    code, rows, err = answer(body)
    assert code == 1 and len(rows) == 3 and "line 9: ra = 'bad' is not a number" in err


def test_ten_bad_rows_are_told_and_the_rest_counted(answer: Answer) -> None:
    code, rows, err = answer("ra,dec,cz\n" + f"{GOOD}\n" * 5 + "x,1,2000\n" * 20 + "1,2,\n" * 7)
    assert code == 1 and err.count("\n  line ") == 10 and "... and 17 more: 20 not_a_number, 7 missing in all" in err
    assert sum(r["status"] == "ok" for r in rows) == 5


@pytest.mark.parametrize("body", [
    b"\xef\xbb\xbfra,dec,cz\n197.4,-23.4,2916\n", b"ra,dec,cz\r\n197.4,-23.4,2916\r\n", b"ra,dec,cz\r197.4,-23.4,2916\r",
    b"\n\nra,dec,cz\n\n197.4,-23.4,2916\n\n", b"ra,dec,cz,\n197.4,-23.4,2916,\n", b"ra,dec,cz\n197.4,-23.4,2916",
    b"ra , dec, cz\n 197.4 , -23.4, 2916\n", b"ra;dec;cz\n197,4;-23,4;2916,0\n", b"ra\tdec\tcz\n197.4\t-23.4\t2916\n",
    b"#ra,dec,cz\n197.4,-23.4,2916\n", b'"ra","dec","cz"\n"197.4","-23.4","2916"\n', b"ra|dec|cz\n 197.4 | -23.4 |2916\n"])
def test_spellings_of_a_table_are_read_alike(answer: Answer, body: bytes) -> None:
    delimiter = ";" if b";" in body else ","
    code, rows, err = answer(body, delimiter=delimiter)
    assert code == 0 and len(rows) == 1, err
    assert float(rows[0]["distance_mean"].replace(",", ".")) == pytest.approx(40.44, abs=0.1)
    assert ("," in rows[0]["distance_mean"]) is (delimiter == ";")


def test_line_ends_and_delimiters_stay_as_they_were(command: Run, tmp_path: Path) -> None:
    path, out = tmp_path / "t.csv", tmp_path / "o.csv"
    path.write_bytes(b"ra;dec;cz;n\r\n197,4;-23,4;2916;a,b\r\n")
    assert command("distance", path, "-o", out, "--columns", "distance_mean,status")[0] == 0
    lines = out.read_bytes().split(b"\r\n")
    assert lines[0] == b"ra;dec;cz;n;distance_mean;status" and lines[1].startswith(b"197,4;-23,4;2916;a,b;40,") and not lines[2]
    assert command("distance", path, "-o", tmp_path / "o.tsv", "--columns", "status")[0] == 0
    assert (tmp_path / "o.tsv").read_text() == "ra\tdec\tcz\tn\tstatus\n197,4\t-23,4\t2916\ta,b\tok\n"


def test_a_point_of_thousands_is_no_decimal_point(answer: Answer) -> None:
    code, rows, _ = answer("ra;dec;cz\n197,4;-23,4;2.916,0\n197,4;-23,4;2916\n", delimiter=";")
    assert code == 1 and rows[0]["status"] == "not_a_number" and rows[1]["status"] == "ok"


def test_bytes_that_are_not_utf_8_pass_and_are_told(answer: Answer, tmp_path: Path, command: Run) -> None:
    body = b"name,ra,dec,cz\nR\xe9union,197.4,-23.4,2916\nok,197.4,-23.4,29\xe916\n"
    code, rows, err = answer(body)
    assert code == 1 and [r["status"] for r in rows] == ["ok", "not_a_number"] and "line 2 holds bytes that are not UTF-8" in err
    assert b"\nR\xe9union,197.4,-23.4,2916," in (tmp_path / "o.csv").read_bytes()
    for suffix in ("fits", "ecsv", "vot", "parquet"):
        assert command("distance", tmp_path / "t.csv", "-o", tmp_path / f"o.{suffix}")[0] == 1


def test_names_that_occur_twice_pass_and_are_chosen_by_number(answer: Answer, tmp_path: Path, command: Run) -> None:
    body = "x,x,ra,dec,cz,cz\n1,2,197.4,-23.4,2916,0.01\n"
    code, _, err = answer(body)
    assert code == 2 and "--cz-column '#5'" in err
    assert answer(body, "--cz-column", "#5")[0] == 0
    assert (tmp_path / "o.csv").read_text().startswith("x,x,ra,dec,cz,cz,distance_mean")
    assert command("distance", tmp_path / "t.csv", "--cz-column", "#5", "-o", tmp_path / "o.fits")[0] == 0
    assert fits.getdata(tmp_path / "o.fits", 1).names[:6] == ["x", "x_2", "ra", "dec", "cz", "cz_2"]


@pytest.mark.parametrize(("body", "name", "words", "says"), [
    ("ra,dec,cz\n197.4,-23.4,0.0097\n", "t.csv", (), "look like redshifts; add --z-column cz"),
    ("ra,dec,z\n197.4,-23.4,2916\n", "t.csv", (), "no redshifts; add --cz-column z --cz-unit km/s"),
    ("ra,dec,zcmb,zhel\n1,2,0.01,0.01\n", "t.csv", (), "--z-column zcmb   (a redshift, CMB frame)"),
    ("ra,dec,vcmb\n1,2,3000\n", "t.csv", ("--cz-frame", "hel"), "CMB frame by its name"),
    ("197.4,-23.4,2916\n", "t.csv", (), "has no header line"),
    ("# only\n# comments\n", "t.csv", (), "holds comments only"),
    ("\n\n\n", "t.csv", (), "no header line and no rows"),
    (b"\xff\xfer\0a\0", "t.csv", (), "UTF-16"),
    (b"ra,dec\0,cz\n", "t.csv", (), "no text"),
    (b"", "t.csv", (), "is empty"),
    (b"SIMPLE  =                    T", "t.csv", (), "begins like fits"),
    (b"nonsense" * 500, "t.fits", (), "cannot be read as FITS"),
    (b"<?xml version='1.0'?><a/>", "t.vot", (), "VOTable"),
    (b"PAR1 nonsense", "t.parquet", (), "cannot be read as Parquet"),
    (b"# %ECSV 1.0\n# ---\nra dec", "t.ecsv", (), "ECSV"),
    ("ra,dec,cz\n1,2,3000\n", "t.xlsx", (), "the suffix .xlsx tells no format"),
    ("ra;a,b;cz;dec,x\n1;2;3;4\n", "t.csv", ("--delimiter", "#"), "--delimiter"),
    ("ra,dec,cz\n1,2,3000\n", "t.csv", ("--extension", "2"), "--extension"),
    ("ra,dec,cz\n1,2,3000\n", "t.csv", ("--json",), "--json belongs to the question about one galaxy"),
    ("ra,dec,cz\n1,2,3000\n", "t.csv", ("--jobs", "0"), "--jobs 0 lies outside"),
    ("ra,dec,cz\n1,2,3000\n", "t.csv", ("--sigma-v", "9"), "sigma_v = 9 lies outside 50 ... 600 km/s")])
def test_a_table_that_cannot_be_meant_is_refused_in_a_sentence(answer: Answer, body: str | bytes, name: str,
                                                               words: tuple[str, ...], says: str) -> None:
    code, rows, err = answer(body, *words, name=name)
    assert code == 2 and not rows and says in err, err


def test_a_file_that_is_not_there_is_a_sentence(command: Run, tmp_path: Path) -> None:
    code, _, err = command("distance", tmp_path / "no.csv")
    assert code == 2 and "cannot be opened (No such file or directory)" in err
    assert command("distance", tmp_path, "--input-format", "csv")[0] == 2


def test_units_of_a_file_are_honoured(command: Run, tmp_path: Path) -> None:
    for suffix in ("fits", "ecsv", "vot"):
        t = Table({"ra": np.deg2rad([197.4]), "dec": np.deg2rad([-23.4]), "v": [2_916_000.0]}, units=("rad", "rad", "m/s"))
        t.write(tmp_path / f"t.{suffix}", format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(suffix, suffix))
        code, out, _ = command("distance", tmp_path / f"t.{suffix}", "--cz-column", "v", "--columns", "distance_mean,cz_hel")
        assert code == 0 and out.splitlines()[1].endswith(",2916.00") and ",40." in out
        t["v"].unit = "Mpc"
        t.write(tmp_path / f"u.{suffix}", format={"vot": "votable", "ecsv": "ascii.ecsv"}.get(suffix, suffix))
        code, _, err = command("distance", tmp_path / f"u.{suffix}", "--cz-column", "v")
        assert code == 2 and "has the unit 'Mpc', which is not a velocity" in err


@pytest.mark.parametrize("suffix", ["fits", "ecsv", "vot", "parquet"])
def test_units_survive_a_change_to_text(command: Run, tmp_path: Path, suffix: str) -> None:
    t = Table({"ra": [197.4 / 15], "dec": np.deg2rad([-23.4]), "v": [2_916_000.0], "e_v": [20.0]},
              units=("hourangle", "rad", "m/s", "km/s"))
    t.write(tmp_path / "t.ecsv")
    words = ("--cz-column", "v", "--columns", "distance_mean")
    if suffix != "ecsv":
        assert command("distance", tmp_path / "t.ecsv", "-o", tmp_path / f"t.{suffix}", *words)[0] == 0
    code, once, err = command("distance", tmp_path / f"t.{suffix}", *words[:3], "mu_median", "--comments")
    assert code == 0, err
    lines = [line for line in once.splitlines() if not line.startswith("#")]
    assert lines[0].startswith("ra [hourangle],dec [rad],v [m") and "e_v," in lines[0] and lines[1].endswith(",33.0557"), once
    assert '# units: {"ra": "' in once and '"mu_median": "mag"}' in once
    (tmp_path / "again.csv").write_text("\n".join(lines) + "\n")
    code, twice, err = command("distance", tmp_path / "again.csv", "--cz-column", lines[0].split(",")[2], *words[2:3],
                               "mu_median")
    assert code == 0 and twice.splitlines()[1].endswith(",33.0557,33.0557"), err


def test_the_end_of_the_line_of_sight_is_told_with_what_reaches_beyond_it(answer: Answer) -> None:
    rows = answer(f"ra,dec,cz,e_cz\n197.4,-23.4,90000,5\n197.4,-23.4,3000,4500\n197.4,-23.4,17000,5\n{GOOD},5\n")[1]
    end = "the line of sight of field ongc-linear, which ends at 170 h^-1 Mpc (c z about 17251 km/s); try "
    assert rows[0]["reason"] == f"cz = 90000 km/s lies beyond {end}another --field, or drop it"
    assert rows[1]["reason"] == (f"cz = 3000 km/s with e_cz = 4500 km/s reaches beyond {end}a smaller e_cz, another --field, or "
                                 "drop it")
    assert rows[2]["reason"].startswith(f"cz = 17000 km/s, with its scatter, reaches beyond {end}")
    assert rows[3]["status"] == "ok"
    rows = answer(f"ra,dec,cz\n{GOOD}\n", "--rmax", 20)[1]
    assert "ends at 20 h^-1 Mpc (c z about 2003 km/s); try a larger --rmax, or another --field" in rows[0]["reason"]


def test_blanks_that_divide_are_pointed_out_and_may_go_with_decimal_commas(answer: Answer) -> None:
    body = "ra dec cz\n197,4 -23,4 2916,0\n"
    code, _, err = answer(body)
    assert code == 2 and "if blanks divide the columns, add --input-format text" in err
    code, rows, _ = answer(body, "--input-format", "text")
    assert code == 0 and float(rows[0]["distance_mean"]) == pytest.approx(40.44, abs=0.1)


def test_a_file_with_several_tables_is_asked_for_one(command: Run, tmp_path: Path) -> None:
    hdus = [fits.table_to_hdu(Table({"ra": [1.0], "dec": [2.0], "cz": [v]})) for v in (3000.0, 4000.0)]
    hdus[1].name = "SECOND"
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "t.fits")
    code, _, err = command("distance", tmp_path / "t.fits")
    assert code == 2 and "--extension: 1, 2 (SECOND)" in err
    for words in ("2", "SECOND"):
        code, out, _ = command("distance", tmp_path / "t.fits", "--extension", words, "--columns", "status")
        assert code == 0 and out.splitlines()[1] == "1.0,2.0,4000.0,ok"
    assert command("distance", tmp_path / "t.fits", "--extension", "7")[0] == 2


def test_masked_and_missing_values_of_typed_tables_are_bad_rows(command: Run, tmp_path: Path) -> None:
    t = Table({"ra": [1.0, 2.0, np.nan], "dec": [2.0, 3.0, 4.0], "cz": np.ma.array([3000, 4000, 5000], mask=[0, 1, 0]),
               "vec": np.zeros((3, 2))})
    t.write(tmp_path / "t.fits")
    code, _, err = command("distance", tmp_path / "t.fits", "-o", tmp_path / "o.fits")
    assert code == 1 and "row 2: cz is missing" in err and "row 3: ra is missing" in err
    assert fits.getdata(tmp_path / "o.fits", 1)["vec"].shape == (3, 2)
    code, _, err = command("distance", tmp_path / "t.fits")
    assert code == 2 and "'vec' holds vectors, which text cannot" in err


def test_errors_of_velocities_are_read_and_a_missing_one_is_a_bad_row(answer: Answer) -> None:
    body = f"ra,dec,cz,e_cz\n{GOOD},50\n{GOOD},\n{GOOD},9999\n"
    code, rows, err = answer(body)
    assert code == 1 and "error e_cz" in err and [r["status"] for r in rows] == ["ok", "missing", "sigma_cz_out_of_range"]
    assert "e_cz = 9999 lies outside 0 ... 5000 km/s" in err
    one = answer(body, "--sigma-cz", 50)
    assert one[0] == 0 and one[1][0]["distance_std"] == rows[0]["distance_std"] == one[1][2]["distance_std"]
    assert answer(f"ra,dec,cz\n{GOOD}\n", "--sigma-cz", -1)[0] == 1


@pytest.mark.parametrize("decimals", [0, 2, 4, 5])
def test_digits_are_those_of_python(decimals: int) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.uniform(-1e7, 1e7, 2000), rng.normal(size=2000), [0.0, -0.0, 1e9, -123456.78901]])
    plain = [f"{v:.{decimals}f}" for v in values]
    zero = f"{0:.{decimals}f}"
    assert digits.lines([values], [decimals]) == [zero if float(p) == 0 else p for p in plain]
    assert digits.lines([np.array([np.nan, 1.0]), np.array([2.5, np.inf])], [1, 1], delimiter=";", point=",") == [";2,5", "1,0;"]


def test_powers_of_ten_are_read_back() -> None:
    values = np.concatenate([10.0 ** np.random.default_rng(1).uniform(-280, 12, 2000), [9.9999999e-5, 1.0, 0.0]])
    back = np.array(list(map(float, digits.lines([values], [None]))))
    assert np.allclose(back, values, rtol=5.1e-6, atol=0)
    assert digits.lines([np.array([np.nan, -2.5e-7])], [None]) == ["", "-2.50000e-7"]

"""Reading catalogues: every profile on its real file, every format from one small table, every question and every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.glade import write_glade
from catalog_svc.names import clean
from catalog_svc.reading import PROFILES, FileSource, open_source
from catalog_svc.reading.cells import known_texts, parsed
from catalog_svc.reading.plan import Places
from catalog_svc.reading.profiles import GLADE_COLUMNS
from catalog_svc.reading.rows import position_name, sexagesimal
from catalog_svc.reading.velocities import redshift, redshift_error
from catalog_svc.records import Batch, Reject
from cfcore import frames
from cfcore.columns import Column
from cfcore.cosmology import C_KMS
from cfcore.errors import Ambiguous, BadParameter, UnknownName

astropy_table = pytest.importorskip("astropy.table")

HEADER = "Name,RAJ2000,DEJ2000,cz,e_cz,PGC,Bmag,type"
ROWS = ("NGC 4993,197.44875,-23.38389,2916,15,45657,13.32,Galaxy", "M 31,10.68471,41.26875,-300,4,2557,3.44,Galaxy",
        "NGC 4889,195.03387,27.97699,6495,,44715,12.78,Galaxy", "Faint,300.5,5.25,null,null,,,",
        ",12.5,-30.125,5000,20,,15.1,Galaxy")


def read(source: FileSource) -> tuple[Batch, list[Reject]]:
    """Return all rows of a source as one batch, and every refusal."""
    whole: Batch | None = None
    rejects: list[Reject] = []
    for batch in source.batches():
        rejects += batch.rejects
        whole = batch if whole is None else joined(whole, batch)
    source.close()
    assert whole is not None
    assert len({len(getattr(whole, f)) for f in ("rows", "lines", "keys", "shown", "names", "ra", "dec", "z_helio", "z_error",
                                                 "given", "is_photometric", "facts")}) == 1
    return whole, rejects


def joined(a: Batch, b: Batch) -> Batch:
    """Return two batches as one."""
    out = []
    for f in ("rows", "lines", "keys", "shown", "names", "ra", "dec", "z_helio", "z_error", "given", "is_photometric", "facts"):
        x, y = getattr(a, f), getattr(b, f)
        out.append(np.concatenate([x, y]) if isinstance(x, np.ndarray) else x + y)
    return Batch(*out)


def written(folder: Path, name: str, *lines: str) -> Path:
    """Write a table of text."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def asked(path: Path, **said: object) -> BadParameter | Ambiguous | UnknownName:
    """Return the question with which a table stops."""
    with pytest.raises((BadParameter, Ambiguous, UnknownName)) as caught:
        open_source(path, **said)  # type: ignore[arg-type]
    return caught.value


# --- profiles on the real files -------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "profile", "rows", "velocities"), [
    ("2mrs_subset.txt", "2mrs", 12_694, 12_694), ("50mgc_short.fits", "50mgc", 15_424, 15_062),
    ("kt2017_supergroups.txt", "edd-groups", 9_699, 9_699), ("CLU_mini.csv", "skyportal", 10, 0),
    ("abell.fits", "abell", 5_250, 822)])
def test_every_row_of_a_real_catalogue_is_read(shared_data: Path, name: str, profile: str, rows: int, velocities: int) -> None:
    batch, rejects = read(open_source(shared_data / "catalogs" / name, profile=profile))
    assert (len(batch), len(rejects)) == (rows, 0)
    assert np.isfinite(batch.z_helio).sum() == np.isfinite(batch.given).sum() == velocities
    assert np.isfinite(batch.ra).all() and np.isfinite(batch.dec).all()
    assert (batch.ra >= 0).all() and (batch.ra < 360).all() and (np.abs(batch.dec) <= 90).all()
    assert batch.rows == list(range(1, rows + 1))
    assert len(set(batch.keys)) == rows
    assert all(batch.names) and all(s == n[0] for s, n in zip(batch.shown, batch.names))
    assert all(clean(n) for row in batch.names for n in row)
    assert not any(p in {n.lower() for row in batch.names for n in row} for p in ("null", "---", "nan", ""))


def test_2mrs_has_andromeda_as_its_readme_says(shared_data: Path) -> None:
    batch, _ = read(open_source(shared_data / "catalogs" / "2mrs_subset.txt", profile="2mrs"))
    assert batch.names[0] == ("MESSIER 031", "2MASX J00424433+4116074")
    assert batch.keys[0] == "00424433+4116074"
    assert (batch.given[0], batch.lines[0]) == (-300.0, 1)
    assert batch.z_helio[0] == pytest.approx(-300.0 / C_KMS, rel=1e-12)
    assert batch.z_error[0] == pytest.approx(4.0 / C_KMS, rel=1e-12)
    facts = batch.facts[0]
    assert facts["reference"] == "1991RC3.9.C...0000d"
    assert facts["magnitudes"] == {"K": 0.797, "H": 0.929, "J": 1.552, "K_total": 0.743, "H_total": 0.881, "J_total": 1.497}
    assert facts["size_arcmin"]["major"] == pytest.approx(2 * 10 ** 3.208 / 60, abs=1e-3)  # type: ignore[index]
    assert np.isnan(batch.z_error).sum() == 734  # e_v = 0: not known


def test_groups_are_in_the_local_sheet_frame(shared_data: Path) -> None:
    source = open_source(shared_data / "catalogs" / "kt2017_supergroups.txt", profile="edd-groups")
    assert (source.about.kind, source.about.frame) == ("group", "ls")
    batch, _ = read(source)
    virgo = batch.keys.index("500041220")
    towards = frames.rotate(frames.unit_vectors(batch.ra[virgo], batch.dec[virgo]), "icrs", "galactic")
    v_sun = float(frames.sun_along(towards, "ls")[0])
    z_ls = batch.given[virgo] / C_KMS
    assert batch.z_helio[virgo] == pytest.approx((1 + z_ls) * (1 - v_sun / C_KMS) - 1, abs=1e-15)
    group = batch.facts[virgo]["group"]
    assert isinstance(group, dict) and (group["pgc1"], group["flag"], group["what"]) == (41220, 4, "group in an association")
    assert batch.shown[virgo] == "KT2017 41220" and batch.shown[0] == "KT2017 association 43296"
    words = [f["group"]["what"] for f in batch.facts]  # type: ignore[index]
    assert {w: words.count(w) for w in set(words)} == {
        "single galaxy": 3567, "single galaxy in an association": 3710, "group": 446, "group in an association": 1095,
        "association": 881}
    assert sum(f["group"]["n_members"] == 1 for f in batch.facts) == 3567 + 3710  # type: ignore[index]
    assert sum("distances" in f for f in batch.facts) == 673 + 259 + 472 + 537 + 352


def test_abell_clusters_stand_at_their_j2000_places_and_the_supplement_has_its_own_numbers(shared_data: Path) -> None:
    batch, _ = read(open_source(shared_data / "catalogs" / "abell.fits", profile="abell"))
    coma = batch.shown.index("Abell 1656")
    # ACO 1989 gives 12h59.8m +27 59 for 2000, 12h57.4m +28 15 for 1950
    assert (batch.ra[coma], batch.dec[coma]) == pytest.approx((194.953, 27.981), abs=1e-3)
    assert batch.z_helio[coma] == 0.0232
    assert sum(s.startswith("Abell S") for s in batch.shown) == 1174
    assert batch.shown[-1] == "Abell S1174" and batch.shown[4075] == "Abell 4076"


def test_50mgc_distances_and_types(shared_data: Path) -> None:
    batch, _ = read(open_source(shared_data / "catalogs" / "50mgc_short.fits", profile="50mgc"))
    assert batch.facts[0]["distances"] == [{"method": "best distance of 50MGC", "d_mpc": 32.217, "error_mpc": 5.506}]
    assert batch.facts[0]["morphology"] == "10" and batch.facts[0]["stellar_mass"] == {"log10_msun": 8.166, "error": 0.15}
    assert sum("distances" in f for f in batch.facts) == 15_424 - 26
    assert (batch.given < 0).sum() == 145  # blueshifts are data


def test_cosmicflows_4_table_with_unit_lines_is_in_the_cmb_frame(tmp_path: Path) -> None:
    path = written(tmp_path, "cf4.txt", "pgc|1PGC|T17|Vcmb|DM|eDM|DMsnIa|eDMsn1|DMtf|eDMtf|RA|DE|glon|glat|sgl|sgb",
                   " | | |km/s|mag|mag|mag|mag|mag|mag|deg|deg|deg|deg|deg|deg",
                   "45657|45657|45657|3230|33.05|0.14||| 33.10|0.40|197.4488|-23.3839|308.38|39.29|145.1|1.2",
                   "# a remark", "2557|0|0|-400|24.45|0.10|||||10.6847|41.2688|121.17|-21.57|336.19|12.55")
    batch, rejects = read(open_source(path, profile="edd-cf4"))
    assert not rejects and batch.rows == [1, 2] and batch.lines == [3, 5]
    assert batch.names == [("PGC 45657",), ("PGC 2557",)] and batch.keys == ["PGC 45657", "PGC 2557"]
    towards = frames.rotate(frames.unit_vectors(197.4488, -23.3839), "icrs", "galactic")
    assert batch.z_helio[0] == pytest.approx(frames.convert_z(3230 / C_KMS, towards, "cmb", "hel")[0], abs=1e-15)
    assert batch.z_helio[0] * C_KMS == pytest.approx(2916, abs=1)  # the known answer of NGC 4993
    distances = batch.facts[0]["distances"]
    assert isinstance(distances, list) and [d["method"] for d in distances] == ["Cosmicflows-4, all methods",
                                                                               "Cosmicflows-4, Tully-Fisher"]
    assert distances[0]["d_mpc"] == pytest.approx(10 ** (8.05 / 5), rel=1e-6) and distances[0]["modulus_error"] == 0.14
    assert batch.facts[0]["group"] == {"pgc1": 45657, "pgc1_kt2017": 45657} and "group" in batch.facts[1]


# --- GLADE+ ---------------------------------------------------------------------------------------------------------------

def glade_row(**known: str) -> str:
    """Return one line of GLADE+ with `null` for whatever is not given."""
    fields = dict.fromkeys(GLADE_COLUMNS, "null") | {"GLADE_no": "1", "object_type": "G", "RA": "197.4", "Dec": "-23.4",
                                                     "dist_flag": "3"} | {k.replace("two_", "2"): v for k, v in known.items()}
    return " ".join(fields.values())


def test_the_corrected_redshift_of_glade_is_never_a_velocity(tmp_path: Path) -> None:
    path = written(tmp_path, "glade.txt", glade_row(z_cmb="0.0108", v_err="0.001"), glade_row(z_helio="0.00973", z_cmb="0.0108"))
    source = open_source(path, profile="glade+")
    batch, _ = read(source)
    assert np.isnan([batch.z_helio[0], batch.given[0], batch.z_error[0]]).all()
    assert (batch.z_helio[1], batch.given[1]) == (0.00973, 0.00973) and np.isnan(batch.z_error[1])
    assert {"z_cmb", "v_err", "z_flag"} <= set(source.about.mapping["unused"])  # type: ignore[call-overload]


def test_glade_flags_tell_photometric_and_computed_redshifts(tmp_path: Path) -> None:
    path = written(
        tmp_path, "glade.txt", glade_row(z_helio="0.1", z_err="0.015", dist_flag="1", d_L="450"),
        glade_row(z_helio="0.002", d_L="9.1", d_L_err="0.5", dist_flag="2"), glade_row(z_helio="-0.0003", z_err="1e-5"),
        glade_row(dist_flag="0", object_type="Q", PGC_no="2557", GWGC_name="NGC0224", HyperLEDA_name="NGC0224",
                  two_MASS_name="00424433+4116074", B="4.3", B_flag="1", W1="1.5", W1_flag="0"))
    batch, rejects = read(open_source(path, profile="glade+"))
    assert not rejects and batch.lines == [1, 2, 3, 4]
    assert batch.is_photometric.tolist() == [True, False, False, False]
    assert np.isnan(batch.z_helio[1]) and "computed from a distance" in batch.facts[1]["notes"][0]  # type: ignore[index]
    assert batch.facts[1]["distances"] == [{"method": "luminosity distance as catalogued", "d_mpc": 9.1, "error_mpc": 0.5}]
    assert "distances" not in batch.facts[0]  # its distance is its redshift once more
    assert batch.z_helio[2] == -0.0003 and batch.z_error[0] == 0.015
    assert batch.names[3] == ("NGC0224", "PGC 2557", "2MASX J00424433+4116074") and batch.keys[3] == "1"
    assert batch.facts[3]["magnitudes"] == {"W1": 1.5} and batch.facts[3]["object_type"] == "Quasar"
    assert batch.shown[0] == "GLADE+ J130936.0-232400"


def test_a_made_glade_is_the_same_each_time_and_is_read_whole(tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    write_glade(one, 5_000, seed=3)
    write_glade(two, 5_000, seed=3)
    assert one.read_bytes() == two.read_bytes()
    with open(one, encoding="ascii") as stream:
        assert {len(line.split()) for line in stream} == {40}
    batch, rejects = read(open_source(one, profile="glade+"))
    assert (len(batch), rejects) == (5_000, [])
    raw = [line.split() for line in one.read_text("ascii").splitlines()]
    assert batch.keys == [r[0] for r in raw] and batch.ra.tolist() == [float(r[8]) for r in raw]
    used = [float(r[27]) if r[27] != "null" and r[34] != "2" else np.nan for r in raw]
    assert np.array_equal(batch.z_helio, used, equal_nan=True)
    assert 0.1 < np.mean([r[1] != "null" for r in raw]) < 0.16


def test_comments_and_empty_lines_are_no_rows_of_glade(tmp_path: Path) -> None:
    path = written(tmp_path, "glade.txt", *["# nothing here"] * 5_000, glade_row(), "", glade_row(GLADE_no="2"))
    batch, rejects = read(open_source(path, profile="glade+"))
    assert (batch.rows, batch.lines, batch.keys, rejects) == ([1, 2], [5001, 5003], ["1", "2"], [])


def test_a_short_or_long_line_of_glade_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    path = written(tmp_path, "glade.txt", "1 2 3", glade_row(), glade_row() + " 7")
    batch, rejects = read(open_source(path, profile="glade+"))
    assert batch.rows == [2] and batch.lines == [2]
    assert [(r.row, r.line, r.column) for r in rejects] == [(1, 1, ""), (3, 3, "")]
    assert "3 fields" in rejects[0].reason and rejects[0].raw.startswith("1 2 3")


# --- formats --------------------------------------------------------------------------------------------------------------

@pytest.fixture(params=["csv", "tsv", "semicolon", "bar", "blank", "ecsv", "fits", "votable", "parquet"])
def small_table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Write the small table in one of the formats."""
    form = request.param
    fields = [line.split(",") for line in (HEADER, *ROWS)]
    if form in ("csv", "tsv", "semicolon", "bar"):
        mark = {"csv": ",", "tsv": "\t", "semicolon": ";", "bar": " | "}[form]
        return written(tmp_path, f"small.{'tsv' if form == 'tsv' else 'csv'}", *(mark.join(row) for row in fields))
    if form == "blank":
        return written(tmp_path, "small.dat", *(" ".join(f'"{f}"' if " " in f else f or "null" for f in row) for row in fields))
    kinds = {"RAJ2000": float, "DEJ2000": float, "cz": float, "e_cz": float, "Bmag": float, "PGC": np.int64}
    columns = {}
    for name, *values in zip(*fields):
        if name in kinds:
            known = np.array([v not in ("", "null") for v in values])
            data = np.array([v if k else "0" for v, k in zip(values, known)]).astype(kinds[name])
            columns[name] = astropy_table.MaskedColumn(data, mask=~known)
        else:
            columns[name] = values
    table = astropy_table.Table(columns)
    if form == "parquet":
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({n: [None if v is np.ma.masked else v for v in table[n].tolist()] if n not in kinds
                                         else arrow.array(np.asarray(table[n].data.data), mask=np.ma.getmaskarray(table[n].data))
                                         for n in table.colnames}), tmp_path / "small.parquet")
        return tmp_path / "small.parquet"
    path = tmp_path / f"small.{'vot' if form == 'votable' else form}"
    if form == "fits":
        # FITS has no masked floats and marks whole numbers by a value
        table = astropy_table.Table({n: table[n] if n not in kinds else table[n].filled(np.nan if kinds[n] is float else -999)
                                     for n in table.colnames})
    table.write(path, format={"votable": "votable", "ecsv": "ascii.ecsv", "fits": "fits"}[form])
    return path


def test_every_format_gives_the_same_rows(small_table: Path) -> None:
    batch, rejects = read(open_source(small_table, id="small", frame="hel"))
    assert not rejects and batch.rows == [1, 2, 3, 4, 5]
    assert batch.shown == ["NGC 4993", "M 31", "NGC 4889", "Faint", "SMALL J005000.0-300730"]
    assert batch.names[0] == ("NGC 4993", "PGC 45657") and batch.keys[0] == "PGC 45657" and batch.keys[3] == "Faint"
    assert batch.ra.tolist() == [197.44875, 10.68471, 195.03387, 300.5, 12.5]
    assert batch.dec.tolist() == [-23.38389, 41.26875, 27.97699, 5.25, -30.125]
    assert np.array_equal(batch.given, [2916, -300, 6495, np.nan, 5000], equal_nan=True)
    assert np.array_equal(batch.z_helio, batch.given / C_KMS, equal_nan=True)
    assert np.array_equal(batch.z_error, np.array([15, 4, np.nan, np.nan, 20]) / C_KMS, equal_nan=True)
    assert [f.get("magnitudes") for f in batch.facts] == [{"B": 13.32}, {"B": 3.44}, {"B": 12.78}, None, {"B": 15.1}]
    assert [f.get("object_type") for f in batch.facts] == ["Galaxy", "Galaxy", "Galaxy", None, "Galaxy"]


def test_a_source_can_be_read_twice(small_table: Path) -> None:
    source = open_source(small_table, frame="hel")
    assert [b.keys for b in source.batches()] == [b.keys for b in source.batches()]
    source.close()


def test_every_way_the_columns_were_understood_is_told(tmp_path: Path) -> None:
    about = open_source(written(tmp_path, "My Table.csv", HEADER + ",glon,odd", *(r + ",1,2" for r in ROWS)), frame="hel",
                        citation="Somebody 2020").about
    assert (about.id, about.title, about.citation, about.kind, about.profile) == ("my-table", "My Table.csv", "Somebody 2020",
                                                                                  "galaxy", "")
    assert about.mapping["velocity"] == {"column": "cz", "convention": "cz", "frame": "hel", "unit": "km/s"}
    assert about.mapping["velocity_error"] == {"column": "e_cz", "unit": "km/s"}
    assert about.mapping["position"] == {"columns": ["RAJ2000", "DEJ2000"], "sky_frame": "icrs", "unit": "deg"}
    assert about.mapping["unused"] == ["glon", "odd"]


def test_galactic_and_supergalactic_positions_become_icrs(tmp_path: Path) -> None:
    from astropy.coordinates import SkyCoord
    place = SkyCoord(197.44875, -23.38389, unit="deg")
    for names, lon, lat in (("glon,glat", place.galactic.l.deg, place.galactic.b.deg),
                            ("SGL,SGB", place.supergalactic.sgl.deg, place.supergalactic.sgb.deg)):
        batch, _ = read(open_source(written(tmp_path, "t.csv", f"name,{names}", f"a,{lon:.9f},{lat:.9f}")))
        back = SkyCoord(batch.ra[0], batch.dec[0], unit="deg")
        assert back.separation(place).arcsec < 0.04


# --- frames and conventions -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("convention", ["cz", "optical", "radio", "relativistic"])
def test_conventions_agree_with_astropy(convention: str) -> None:
    units = pytest.importorskip("astropy.units")
    v = np.array([-300.0, 0.0, 1500.0, 9000.0, 60_000.0])
    rest = 21.106114 * units.cm
    equivalence = {"cz": units.doppler_optical, "optical": units.doppler_optical, "radio": units.doppler_radio,
                   "relativistic": units.doppler_relativistic}[convention](rest)
    observed = (v * units.km / units.s).to(units.cm, equivalencies=equivalence)
    assert redshift(v, convention) == pytest.approx((observed / rest).value - 1.0, abs=1e-13)


@pytest.mark.parametrize("convention", ["cz", "z", "radio", "relativistic"])
def test_errors_follow_the_slope_of_the_convention(convention: str) -> None:
    given = np.array([0.001, 0.1]) if convention == "z" else np.array([300.0, 45_000.0])
    step = given * 1e-5
    slope = (redshift(given + step, convention) - redshift(given - step, convention)) / (2 * step)
    assert redshift_error(np.full(2, 3.0), redshift(given, convention), convention) == pytest.approx(3.0 * slope, rel=1e-8)


@pytest.mark.parametrize("frame", ["hel", "cmb", "lg", "ls", "gsr"])
def test_every_frame_is_composed_by_multiplication(tmp_path: Path, frame: str) -> None:
    path = written(tmp_path, "t.csv", "name,ra,dec,velocity,velocity_err", "a,197.44875,-23.38389,3000,30", "b,250.0,60,-200,10")
    batch, _ = read(open_source(path, frame=frame))
    towards = frames.rotate(frames.unit_vectors(batch.ra, batch.dec), "icrs", "galactic")
    z = np.array([3000.0, -200.0]) / C_KMS
    expected = (1 + z) * (1 - frames.sun_along(towards, frame) / C_KMS) - 1
    assert batch.z_helio == pytest.approx(expected, abs=1e-15)
    assert batch.z_error == pytest.approx(np.array([30, 10]) / C_KMS * (1 + expected) / (1 + z), rel=1e-12)
    assert batch.given.tolist() == [3000.0, -200.0]


def test_units_of_velocities_and_redshifts_beside_errors_in_km_s(tmp_path: Path) -> None:
    one, _ = read(open_source(written(tmp_path, "a.csv", "name,ra,dec,v_helio [m/s]", "a,200,1,3000000"), frame=None))
    assert one.z_helio[0] == pytest.approx(3000 / C_KMS) and one.given[0] == 3_000_000
    two, _ = read(open_source(written(tmp_path, "b.csv", "name,ra,dec,z_helio,sigma_cz", "a,200,1,0.01,30")))
    assert two.z_error[0] == pytest.approx(30 / C_KMS) and two.given[0] == 0.01


# --- questions ------------------------------------------------------------------------------------------------------------

QUESTIONS: list[tuple[str, str, Mapping[str, object], str, str]] = [
    ("name,ra,dec,cz", "a,200,1,3000", {}, "frame_missing", "--frame hel"),
    ("name,ra,dec,vcmb,vhel", "a,200,1,3000,2700", {}, "ambiguous_column", "--map velocity=vhel"),
    ("name,ra,dec,vcmb", "a,200,1,3000", {"frame": "hel"}, "frame_contradicts", "--frame"),
    ("name,ra,dec,vhel,e_vhel,sigma_cz", "a,200,1,3000,3,4", {}, "ambiguous_column", "--map velocity_error="),
    ("name,ra,dec,raj2000", "a,200,1,200", {}, "ambiguous_column", "--map ra=ra dec=dec"),
    ("name,x,y", "a,200,1", {}, "no_position", "--map ra=COLUMN dec=COLUMN"),
    ("name,lon,lat", "a,200,1", {}, "frame_missing", "--map sky_frame="),
    ("name,ra,dec", "a,13.2,1", {}, "ra_in_hours", "--map ra_unit=deg"),
    ("name,ra,dec", "a,13 09 47.7,-23 23 02", {}, "ra_sexagesimal", "--map ra_unit=sexagesimal"),
    ("name,ra,dec,vhel", "a,200,1,0.01", {}, "cz_looks_like_z", "velocity_unit=km/s"),
    ("name,ra,dec,zhel", "a,200,1,3000", {}, "z_looks_like_cz", "--map velocity="),
    ("name,ra,dec,zHD", "a,200,1,0.01", {"mapping": {"redshift": "zHD"}}, "not_observed", "map the observed one"),
    ("name,ra,dec,q", "a,200,1,5", {"mapping": {"velocity": "speed"}}, "unknown_column", "it has name, ra, dec, q"),
    ("name,ra,dec,q", "a,200,1,5", {"mapping": {"speed": "q"}}, "unknown_quantity", "known are ra, dec"),
    ("name,ra,dec", "a,200,1", {"frame": "cmb"}, "no_velocity", "--map velocity="),
    ("name,ra,dec,zhel", "a,200,1,0.1", {"convention": "radio"}, "convention_contradicts", "leave --convention out"),
    ("name,ra,dec,vhel", "a,200,1,90", {"convention": "doppler"}, "unknown_convention", "optical"),
    ("name,ra,dec,vel", "a,200,1,90", {"frame": "moon"}, "unknown_frame", "use one of hel"),
    ("name,galaxy,ra,dec", "a,b,200,1", {}, "ambiguous_column", "--map name=name names=galaxy"),
    ("name,ra,dec", "a,200,1", {"id": "Big Name"}, "bad_id", "--id"),
    ("name,ra,dec", "a,200,1", {"profile": "ned"}, "unknown_profile", "glade+"),
    ("name,ra,dec", "a,200,1", {"profile": "abell"}, "not_this_profile", "another profile"),
    ("name,ra,dec", "a,200,1", {"profile": "skyportal", "mapping": {"ra": "ra"}}, "profile_decides", "leave one of the two out"),
    ("name,ra,dec", "a,200,1", {"profile": "skyportal", "frame": "cmb"}, "profile_decides", "leave --frame out"),
    ("name,ra,dec", "a,200,1", {"fmt": "xlsx"}, "unknown_format", "--format"),
    ("name,ra,dec", "a,200,1", {"link_arcsec": -1.0}, "bad_link", "--link"),
    ("name,ra,dec", "a,200,1", {"kind": "star"}, "unknown_kind_of_object", "galaxy, cluster, group")]


@pytest.mark.parametrize(("header", "row", "said", "code", "way"), QUESTIONS,
                         ids=[f"{q[3]}-{i}" for i, q in enumerate(QUESTIONS)])
def test_what_is_not_certain_stops_with_the_option_that_answers(tmp_path: Path, header: str, row: str, said: Mapping[str, object],
                                                                code: str, way: str) -> None:
    error = asked(written(tmp_path, "t.csv", header, row), **said)
    assert error.code == code and way in error.message, error.message


@pytest.mark.parametrize(("mapping", "frame", "z"), [
    ({"velocity": "vhel"}, None, 2700 / C_KMS), ({"velocity": "v2"}, "hel", 2800 / C_KMS), ({"redshift": "zcmb"}, None, None)])
def test_the_answers_are_taken(tmp_path: Path, mapping: dict[str, str], frame: str | None, z: float | None) -> None:
    path = written(tmp_path, "t.csv", "name,ra,dec,vhel,v2,zcmb", "a,200,1,2700,2800,0.0100")
    batch, _ = read(open_source(path, mapping=mapping, frame=frame))
    towards = frames.rotate(frames.unit_vectors(200.0, 1.0), "icrs", "galactic")
    assert batch.z_helio[0] == pytest.approx(z or frames.convert_z(0.01, towards, "cmb", "hel")[0], abs=1e-15)


@pytest.mark.parametrize(("unit", "ra", "dec"), [("hour", "13.16325", "-23.38389"), ("deg", "13.16325", "-23.38389"),
                                                 ("sexagesimal", "13:09:47.7", "-23 23 02.0"), ("rad", "3.44613", "-0.40813")])
def test_units_of_the_right_ascension_are_what_the_option_says(tmp_path: Path, unit: str, ra: str, dec: str) -> None:
    batch, _ = read(open_source(written(tmp_path, "t.csv", "name,ra,dec", f"a,{ra},{dec}"), mapping={"ra_unit": unit}))
    assert batch.ra[0] == pytest.approx(13.16325 if unit == "deg" else 197.44875, abs=2e-3)
    assert batch.dec[0] == pytest.approx(-23.3839, abs=1e-3)


def test_one_right_ascension_beyond_24_settles_that_they_are_degrees(tmp_path: Path) -> None:
    rows = [f"a{i},{i % 20},1" for i in range(9_000)]
    assert asked(written(tmp_path, "t.csv", "name,ra,dec", *rows)).code == "ra_in_hours"
    assert len(read(open_source(written(tmp_path, "t.csv", "name,ra,dec", *rows, "z,24.5,1")))[0]) == 9_001


def test_two_tables_in_one_file_are_asked_about_with_our_option(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    column = [fits.Column("ra", "D", array=[200.0]), fits.Column("dec", "D", array=[1.0])]
    hdus = fits.HDUList([fits.PrimaryHDU(), *(fits.BinTableHDU.from_columns(column, name=n) for n in ("ONE", "TWO"))])
    hdus.writeto(tmp_path / "t.fits")
    error = asked(tmp_path / "t.fits")
    assert error.code == "ambiguous_table" and "--map table=" in error.message
    assert len(read(open_source(tmp_path / "t.fits", mapping={"table": "TWO"}))[0]) == 1


# --- refusals -------------------------------------------------------------------------------------------------------------

def test_a_refused_row_says_row_line_column_and_text(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "# made by hand", "name,ra,dec,vhel,e_vhel,Bmag", "good,200,1,3000,10,12.5", "",
                   "north,200,91,3000,10,12", "text,12h,1,3000,10,12", "none,,1,3000,10,12", "fast,200,1,7e6,10,12",
                   "slow,200,1,-300000,10,12", "words,200,1,unknown!,10,12", "sigma,200,1,3000,x,12", "short,200,1",
                   "long,200,1,3000,10,12,more", "magnitude,200,1,3000,10,bright", "mark,200,1,-9999,-1,99.99",
                   "blue,200,1,-250,10,12")
    batch, rejects = read(open_source(path))
    assert batch.shown == ["good", "magnitude", "mark", "blue"]
    assert batch.rows == [1, 11, 12, 13] and batch.lines == [3, 14, 15, 16]
    assert [(r.row, r.line, r.column, r.raw) for r in rejects] == [
        (2, 5, "dec", "91"), (3, 6, "ra", "12h"), (4, 7, "ra", ""), (5, 8, "vhel", "7e6"), (6, 9, "vhel", "-300000"),
        (7, 10, "vhel", "unknown!"), (8, 11, "e_vhel", "x"), (9, 12, "", "short,200,1"), (10, 13, "", "long,200,1,3000,10,12")]
    assert [r.reason for r in rejects] == [
        "the declination 91 deg lies outside -90 to 90", "the right ascension is not a number", "the right ascension is missing",
        "the velocity 7e+06 km/s lies outside -c to 20 c", "the velocity -300000 km/s lies outside -c to 20 c",
        "the velocity is not a number", "the error of the velocity is not a number", "the row has 3 fields, the header has 6",
        "the row has 7 fields, the header has 6; 'more' is left out"]
    assert batch.facts[1]["notes"] == ["B magnitude 'bright' (column Bmag) is not a number and was left out"]
    assert np.isnan([batch.z_helio[2], batch.z_error[2], batch.given[2]]).all() and "magnitudes" not in batch.facts[2]
    assert batch.z_helio[3] == -250 / C_KMS


def test_no_row_is_lost_between_stretches(tmp_path: Path) -> None:
    rows = [f"g{i},{i % 360},{95 if i % 1000 == 7 else i % 90},{i}" for i in range(20_000)]
    source = open_source(written(tmp_path, "t.csv", "name,ra,dec,vhel", *rows))
    seen: list[int] = []
    for batch in source.batches():
        assert batch.rows == sorted(batch.rows)
        seen += sorted([*batch.rows, *(r.row for r in batch.rejects)])
    assert seen == list(range(1, 20_001))


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    batch, rejects = read(open_source(written(tmp_path, "t.dat", "name ra dec", "a 200 1", '"b 201 1', '"c d" 202 1', "e 203 1")))
    assert batch.shown == ["a", "c d", "e"] and [(r.row, r.line, r.raw) for r in rejects] == [(2, 3, '"b 201 1')]


def test_raw_text_is_cut_and_printable_whatever_bytes_stand_there(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"name,ra,dec\nCaf\xe9 \x07,200,1\nx,200," + b"9" * 300 + b"\ny \x07 1,201,2\n")
    batch, (foreign, reject) = read(open_source(path))
    assert batch.shown[0].isprintable() and batch.shown[0].split() == ["y", "1"]
    assert foreign.row == 1 and "UTF-8" in foreign.reason and foreign.raw.isprintable()
    assert len(reject.raw) == 80 and reject.row == 2


def test_a_velocity_at_c_is_impossible_in_the_radio_convention_only(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "name,ra,dec,vhel", "a,200,1,5000", "b,200,1,300000")
    assert [len(read(open_source(path, convention=c))[1]) for c in ("cz", "radio", "relativistic")] == [0, 1, 1]


def test_columns_of_one_name_are_not_chosen_from(tmp_path: Path) -> None:
    assert asked(written(tmp_path, "t.csv", "name,ra,dec,vhel,vhel", "a,200,1,3,4")).code == "ambiguous_column"
    assert asked(written(tmp_path, "t.csv", "name,ra,dec,w,w", "a,200,1,3000,4000"), mapping={"velocity": "w"},
                 frame="hel").code == "ambiguous_column"


def test_a_bare_number_is_a_name_of_its_catalogue_only(tmp_path: Path) -> None:
    batch, _ = read(open_source(written(tmp_path, "mine.csv", "id,ra,dec", "17,200,1", "NGC 1,201,1")))
    assert batch.shown == ["MINE 17", "NGC 1"] and batch.keys == ["MINE 17", "NGC 1"]


def test_a_row_that_looks_like_units_but_is_one_cell_is_still_a_row(tmp_path: Path) -> None:
    batch, rejects = read(open_source(written(tmp_path, "t.csv", "name,ra,dec", "A16,,", "b,200,1")))
    assert batch.rows == [2] and [r.row for r in rejects] == [1]


def test_a_decimal_comma_is_read_where_semicolons_divide(tmp_path: Path) -> None:
    batch, _ = read(open_source(written(tmp_path, "t.csv", "name;ra;dec;zhel", "a;200,5;1,25;0,01")))
    assert (batch.ra[0], batch.dec[0], batch.z_helio[0]) == (200.5, 1.25, 0.01)


def test_abell_numbers_out_of_order_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "abell.csv", "ra,dec,aco,z", "200,1,5,", "200,1,3,", "200,1,9,", "200,1,4,")
    with pytest.raises(BadParameter, match="supplement"):
        read(open_source(path, profile="abell"))


# --- small parts ----------------------------------------------------------------------------------------------------------

def test_small_parts() -> None:
    assert position_name("X", 197.44875, -23.38389) == "X J130947.7-232302"
    assert position_name("X", 359.9995, -0.0005) == "X J235959.8-000001"
    assert sexagesimal(["-00 30 00", "12:30", "", "5", "1 61 0", "7h30m00s"])[0].tolist()[:2] == [-0.5, 12.5]
    assert sexagesimal(["-00 30 00", "12:30", "", "5", "1 61 0", "7h30m00s"])[1] == [3, 4]
    values, bad = parsed(["1", "null", "1_0", "inf", "x", "NaN", "-2.5e3"], False)
    assert np.array_equal(values, [1, np.nan, 10, np.inf, np.nan, np.nan, -2500], equal_nan=True) and bad == [2, 3, 4]
    assert known_texts(["a", "null", "---", "N/A", "\\N"]) == ["a", "", "", "", ""]
    assert Places((Column("RA J2000"), Column("RA")))("ra|raj2000") == 1 and Places((Column("x"),))("y") is None


def test_every_profile_is_complete() -> None:
    for key, profile in PROFILES.items():
        assert key == profile.id and profile.title and profile.citation and profile.kind in ("galaxy", "group", "cluster")
        columns = profile.names or tuple(name for name, *_ in profile.layout)
        if columns:
            at = Places(tuple(map(Column, columns)))
            assert [c for c in profile.plan.used() if at(c) is None] == []
    assert PROFILES["glade+"].names[27] == "z_helio" and PROFILES["glade+"].names[34] == "dist_flag"
    assert len(PROFILES["glade+"].names) == 40

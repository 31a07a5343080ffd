"""What the UCD of a column says goes before a guess at its name, and never against its unit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from cfcore.column_units import Column
from cfcore.columns import Asked, Choice, choose
from cfcore.cosmology import C_KMS
from cfcore.errors import UsageError
from cfcore.tables import open_reader
from cfcore.ucds import Meaning, meaning

RA, DEC = Column("x1", "deg", "", "pos.eq.ra;meta.main"), Column("x2", "deg", "", "pos.eq.dec;meta.main")


def chosen(*columns: Column, question: str = "distance", **asked: str) -> Choice:
    return choose(columns, Asked(**asked), question)


def refusal(*columns: Column, question: str = "distance", **asked: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        choose(columns, Asked(**asked), question)
    return caught.value


@pytest.mark.parametrize(("ucd", "said"), [
    ("pos.eq.ra;meta.main", Meaning("lon", "icrs", True)), ("POS.EQ.DEC", Meaning("lat", "icrs")),
    ("meta.main;pos.eq.ra", Meaning("lon", "icrs", True)), ("pos.galactic.lat", Meaning("lat", "galactic")),
    ("pos.supergalactic.lon", Meaning("lon", "supergalactic")), ("ivo:src.redshift", Meaning("z")),
    ("spect.dopplerVeloc.opt;pos.heliocentric", Meaning("cz", "hel")), ("phys.veloc;pos.galactocentric", Meaning("cz", "gsr")),
    ("stat.error;src.redshift", Meaning("error of z")), ("stat.error;spect.dopplerVeloc", Meaning("error of cz")),
    ("pos.distance;pos.eq", Meaning("distance")), ("POS_EQ_RA_MAIN", Meaning("lon", "icrs", True)),
    ("POS_GAL_LAT", Meaning("lat", "galactic")), ("VELOC_HC", Meaning("cz", "hel")), ("REDSHIFT_HC", Meaning("z", "hel")),
    ("VELOC_CMB", Meaning("cz", "cmb")), ("PHOT_JHN_V", Meaning("other")), ("spect.dopplerVeloc.radio", Meaning("other")),
    ("spect.dopplerVeloc;pos.lsr", Meaning("other")), ("src.redshift.phot", Meaning("other")), ("stat.error", Meaning("other")),
    ("phys.veloc.rotat", Meaning("other")), ("stat.error;pos.eq.ra", Meaning("other")), ("meta.id;meta.main", Meaning("other")),
    ("", None), ("pos.eq", None), ("meta.main", None), ("  ", None), (";;;", None)])
def test_a_ucd_says_what_a_column_is(ucd: str, said: Meaning | None) -> None:
    assert meaning(ucd) == said


def test_columns_without_a_known_name_are_read_by_their_ucds() -> None:
    c = chosen(Column("a"), RA, DEC, Column("b", "", "", "src.redshift;pos.heliocentric"),
               Column("c", "", "", "stat.error;src.redshift"))
    assert (c.lon.index, c.lat.index, c.frame) == (1, 2, "icrs")
    assert (c.value.index, c.value.factor, c.cz_frame, c.implied) == (3, C_KMS, "hel", True)
    assert c.sigma is not None and (c.sigma.index, c.sigma.factor) == (4, C_KMS)


def test_the_unit_decides_when_c_z_is_called_a_redshift() -> None:
    assert chosen(RA, DEC, Column("b", "km/s", "", "src.redshift")).value.factor == 1.0
    assert chosen(RA, DEC, Column("b", "m s-1", "", "phys.veloc")).value.factor == 1e-3


def test_a_ucd_of_another_thing_takes_a_known_name_out() -> None:
    magnitude = Column("z", "mag", "", "phot.mag;em.opt.SDSS.z")
    assert chosen(RA, DEC, magnitude, Column("cz_cmb", "km/s")).value.name == "cz_cmb"
    assert refusal(RA, DEC, magnitude).code == "no_velocity"


def test_of_several_positions_the_main_one_is_read() -> None:
    more = Column("ra", "deg", "", "pos.eq.ra"), Column("dec", "deg", "", "pos.eq.dec"), Column("glon"), Column("glat")
    c = chosen(*more, RA, DEC, Column("cz"))
    assert (c.lon.name, c.lat.name) == ("x1", "x2")
    assert refusal(*more, Column("cz")).code == "ambiguous_column"
    assert chosen(*more, RA, DEC, Column("cz"), frame="galactic").lon.name == "glon"


def test_a_sexagesimal_position_does_not_stand_in_the_way_of_a_decimal_one() -> None:
    c = chosen(Column("RAJ2000", '"h:m:s"', "", "pos.eq.ra;meta.main"), Column("DEJ2000", '"d:m:s"', "", "pos.eq.dec;meta.main"),
               Column("_RA", "deg", "", "pos.eq.ra"), Column("_DE", "deg", "", "pos.eq.dec"), Column("cz"))
    assert (c.lon.name, c.lat.name) == ("_RA", "_DE")
    assert refusal(Column("RAJ2000", '"h:m:s"', "", "pos.eq.ra"), Column("DEJ2000", '"d:m:s"'), Column("cz")).code == "wrong_unit"


def test_positions_of_1950_are_not_taken_for_icrs() -> None:
    b1950 = Column("RAB1950", "deg", "", "pos.eq.ra;meta.main"), Column("DEB1950", "deg", "", "pos.eq.dec;meta.main")
    assert refusal(*b1950, Column("cz")).code == "no_position"
    assert chosen(*b1950, Column("RAJ2000"), Column("DEJ2000"), Column("cz")).lon.name == "RAJ2000"


def test_several_velocities_are_never_chosen_from_but_by_the_word_main() -> None:
    z, cz = Column("p", "", "", "src.redshift"), Column("q", "km/s", "", "spect.dopplerVeloc.opt;pos.heliocentric")
    error = refusal(RA, DEC, z, cz, Column("vcmb"))
    assert error.code == "ambiguous_column" and error.extra["candidates"] == [
        {"column": "p", "kind": "z", "frame": None, "way": "--z-column p"},
        {"column": "q", "kind": "cz", "frame": "hel", "way": "--cz-column q"},
        {"column": "vcmb", "kind": "cz", "frame": "cmb", "way": "--cz-column vcmb"}]
    assert chosen(RA, DEC, z._replace(ucd="src.redshift;meta.main"), cz).value.name == "p"


@pytest.mark.parametrize(("columns", "where"), [
    ((RA, DEC, Column("cz", "", "", "src.redshift")), "cz"), ((RA, DEC, Column("z", "", "", "phys.veloc")), "cz"),
    ((RA, DEC, Column("v_cmb", "km/s", "", "spect.dopplerVeloc;pos.heliocentric")), "cz_frame"),
    ((Column("glon", "deg", "", "pos.eq.ra"), DEC, Column("cz")), "lon"),
    ((Column("dec", "deg", "", "pos.eq.ra"), Column("ra", "deg", "", "pos.eq.dec"), Column("cz")), "lon")])
def test_a_name_that_contradicts_its_ucd_is_refused(columns: tuple[Column, ...], where: str) -> None:
    error = refusal(*columns)
    assert (error.code, error.where) == ("ucd_contradicts", where), error.message


def test_a_unit_that_contradicts_a_ucd_is_refused() -> None:
    assert refusal(RA._replace(unit="km/s"), DEC, Column("cz")).code == "wrong_unit"
    assert refusal(RA, DEC, Column("b", "Mpc", "", "src.redshift")).code == "wrong_unit"
    assert refusal(RA, DEC, Column("b", "km/s", "", "pos.distance"), question="velocity").code == "wrong_unit"


def test_a_distance_is_found_by_its_ucd_but_never_a_luminosity_distance() -> None:
    assert chosen(RA, DEC, Column("q", "kpc", "", "pos.distance"), question="velocity").value.factor == 1e-3
    assert refusal(RA, DEC, Column("D_L", "Mpc", "", "pos.distance"), question="velocity").code == "no_distance"


def test_errors_by_ucd_are_left_where_two_velocities_could_own_them() -> None:
    error = Column("f", "", "", "stat.error;src.redshift")
    two = RA, DEC, Column("p", "", "", "src.redshift"), Column("q", "", "", "src.redshift"), error
    assert chosen(*two, z="p").sigma is None
    assert refusal(RA, DEC, two[2], error, error._replace(name="g")).where == "sigma_cz"
    # an error by its name whose UCD says something else is none
    assert chosen(RA, DEC, Column("z"), Column("e_z", "mag", "", "stat.error;phot.mag")).sigma is None


def test_the_frame_of_columns_that_are_named_comes_from_their_ucds() -> None:
    sky = (Column("l", "deg", "", "pos.galactic.lon"), Column("b", "deg", "", "pos.galactic.lat"),
           Column("v", "km/s", "", "VELOC_CMB"))
    c = chosen(*sky, lon="l", lat="b", cz="v")
    assert (c.frame, c.cz_frame, c.implied) == ("galactic", "cmb", True)
    assert refusal(*sky, lon="l", lat="b", frame="icrs").code == "frame_contradicts"


def test_every_format_that_has_ucds_keeps_them(tmp_path: Path) -> None:
    pyarrow, table_of = pytest.importorskip("pyarrow"), pytest.importorskip("astropy.table").Table
    from astropy.io import fits, votable
    from pyarrow import parquet
    t = table_of({"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])})
    t["a"].meta["ucd"], t["b"].meta["ucd"] = "pos.eq.ra;meta.main", "pos.eq.dec"
    votable.from_table(t).to_xml(str(tmp_path / "t.vot"))
    text = io.StringIO()
    t.write(text, format="ascii.ecsv")
    (tmp_path / "t.ecsv").write_text(text.getvalue())
    for key in ("TUCD", "TBUCD"):
        hdu = fits.table_to_hdu(table_of({"a": t["a"].data, "b": t["b"].data}))
        hdu.header[f"{key}1"], hdu.header[f"{key}2"] = "pos.eq.ra;meta.main", "pos.eq.dec"
        hdu.writeto(tmp_path / f"{key}.fits")
    schema = pyarrow.schema([pyarrow.field(n, pyarrow.float64(), metadata={"ucd": t[n].meta["ucd"]}) for n in "ab"])
    parquet.write_table(pyarrow.Table.from_arrays([t["a"].data, t["b"].data], schema=schema), tmp_path / "t.parquet")
    for name, fmt in (("t.vot", "votable"), ("t.ecsv", "ecsv"), ("TUCD.fits", "fits"), ("TBUCD.fits", "fits"),
                      ("t.parquet", "parquet")):
        reader = open_reader(str(tmp_path / name), fmt, stated=False)
        assert [c.ucd for c in reader.columns] == ["pos.eq.ra;meta.main", "pos.eq.dec"], name
        reader.close()

"""Tables at the door: columns found or refused, units honoured, masked rows answered for, input left as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.utils.masked import Masked
from made_fields import smooth_field

import cfcore
from cfcore import C_KMS, FlowField, quantity_tables, results
from cfcore.column_names import ERROR_FORMS, NOT_OBSERVED, PAIRS, VELOCITIES, find_position, find_velocity, plain
from cfcore.columns import Asked, Column, choose
from cfcore.distances import VALUES
from cfcore.errors import Ambiguous, BadParameter, UnknownName
from cfcore.frames import SKY_FRAMES, VELOCITY_FRAMES

KM_S = u.km / u.s
RA, DEC, CZ = np.array([40.0, 170.0, 300.0]), np.array([10.0, -50.0, 33.0]), np.array([2500.0, 5000.0, 3200.0])


@pytest.fixture(scope="module")
def flow() -> FlowField:
    return smooth_field(5)


def galaxies(**columns: object) -> QTable:
    return QTable({"name": ["a", "b", "c"], "RA": RA * u.deg, "DEC": DEC * u.deg, "cz_hel": CZ * KM_S, **columns})


def test_every_row_gets_what_the_arrays_give(flow: FlowField) -> None:
    t = galaxies(sigma=[10.0, 20.0, 30.0] * KM_S)
    out = cfcore.add_distances(t, sigma_cz="sigma", field=flow, H0=70, prior="density")
    d = flow.distance(RA, DEC, CZ, sigma_cz=[10.0, 20.0, 30.0], H0=70, prior="density")
    for name, (source, unit, _) in results.COLUMNS.items():
        if source in VALUES:
            np.testing.assert_array_equal(out[name].value if unit else out[name], d.column(source))
            assert not unit or out[name].unit == u.Unit(unit)
            assert out[name].info.description
    assert out["status"].tolist() == ["ok"] * 3 and out["n_roots"].tolist() == d.n_roots.tolist()
    assert out["flags"].tolist() == [",".join(d.flags(i)) for i in range(3)]
    assert out.meta["CF_COLS"] == "velocity: cz_hel; position: RA, DEC; sigma: sigma"
    assert out.meta["CF_H0"] == 70 and out.meta["CF_PRIOR"] == "density"


def test_the_table_given_is_left_as_it_was(flow: FlowField) -> None:
    t = galaxies()
    before = t.copy()
    out = cfcore.add_distances(t, field=flow)
    out["RA"][0] = 0 * u.deg
    assert t.colnames == before.colnames and (t["RA"] == before["RA"]).all() and t.meta == before.meta
    assert out["name"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("table", [
    galaxies(), Table(galaxies()), Table({"ra": RA, "dec": DEC, "zhel": CZ / C_KMS}),
    QTable({"RAJ2000": RA / 15 * u.hourangle, "DEJ2000": DEC * 3600 * u.arcsec, "V_hel": CZ / 1000 * u.Mm / u.s}),
    QTable({"where": SkyCoord(RA, DEC, unit="deg").galactic, "z_helio": u.Quantity(CZ / C_KMS)}),
    QTable({"GLON": SkyCoord(RA, DEC, unit="deg").galactic.l, "GLAT": SkyCoord(RA, DEC, unit="deg").galactic.b, "vh": CZ * KM_S}),
    Table({"ra": RA.astype(np.float32), "dec": DEC, "glon": [0, 0, 0], "glat": [0, 0, 0], "zHEL": CZ / C_KMS, "zHD": [9, 9, 9]})])
def test_units_and_frames_of_the_columns_are_honoured(table: Table, flow: FlowField) -> None:
    out = cfcore.add_distances(table, field=flow)
    np.testing.assert_allclose(out["d_c"].to_value(u.Mpc), flow.distance(RA, DEC, CZ).column("distance.mean"), rtol=1e-5)


def test_a_velocity_in_another_frame_is_converted_from_it(flow: FlowField) -> None:
    d = flow.distance(RA, DEC, CZ)
    for frame in ("cmb", "lg", "ls", "gsr"):
        t = QTable({"ra": RA, "dec": DEC, f"v_{frame}": d.column(f"cz.{frame}") * KM_S})
        np.testing.assert_allclose(cfcore.add_distances(t, field=flow)["d_c"].value, d.column("distance.mean"), rtol=1e-9)
        t.rename_column(f"v_{frame}", "v")
        same = cfcore.add_distances(t, cz="v", z_frame=frame, field=flow)
        np.testing.assert_allclose(same["d_c"].value, d.column("distance.mean"), rtol=1e-9)
        assert same.meta["CF_CZFRM"] == frame


@pytest.mark.parametrize("missing", ["masked column", "masked quantity", "nan", "masked position"])
def test_masked_rows_get_a_status_and_the_others_an_answer(missing: str, flow: FlowField) -> None:
    hole = [False, True, False]
    t = Table({"ra": RA, "dec": DEC, "cz_hel": MaskedColumn(CZ, mask=hole, unit=KM_S)}) if missing == "masked column" else \
        QTable({"ra": RA, "dec": DEC, "cz_hel": Masked(CZ * KM_S, mask=hole)}) if missing == "masked quantity" else \
        QTable({"ra": RA, "dec": DEC, "cz_hel": [2500, np.nan, 3200] * KM_S}) if missing == "nan" else \
        Table({"ra": MaskedColumn(RA, mask=hole, unit="deg"), "dec": DEC, "zhel": CZ / C_KMS})
    good = cfcore.add_distances(galaxies(), field=flow)
    for out, name in ((cfcore.add_distances(t, field=flow), "d_c"), (cfcore.correct(t, field=flow), "z_hd")):
        assert out["status"].tolist() == ["ok", "not_finite", "ok"] and np.isnan(out[name][1]) and out["flags"][1] == ""
        if name == "d_c":
            np.testing.assert_allclose(out["d_c"][[0, 2]].value, good["d_c"][[0, 2]].value, rtol=1e-12)


def test_an_empty_table_gets_its_columns(flow: FlowField) -> None:
    empty = galaxies()[:0]
    for out in (cfcore.add_distances(empty, field=flow), cfcore.correct(empty, field=flow),
                cfcore.correct(empty, field=flow, method="redshift-space", use_field_sigma=False)):
        assert len(out) == 0 and {"flags", "status"} <= set(out.colnames)


def test_a_table_of_tables_survives_a_file(flow: FlowField, tmp_path: object) -> None:
    path = tmp_path / "t.ecsv"  # type: ignore[operator]
    out = cfcore.correct(galaxies(), field=flow, prefix="cf_")
    out.write(path)
    back = QTable.read(path)
    np.testing.assert_allclose(back["cf_v_pec"].to_value(KM_S), out["cf_v_pec"].value)
    assert back.meta["CF_METH"] == "posterior" and back["cf_z_hd"].info.description


def test_several_velocity_columns_are_listed_with_the_frame_each_implies(flow: FlowField) -> None:
    t = galaxies(zCMB=CZ / C_KMS, v_lg=CZ * KM_S, z=CZ / C_KMS)
    with pytest.raises(Ambiguous) as caught:
        cfcore.add_distances(t, field=flow)
    for words in ("cz_hel (cz, hel)", "zCMB (z, cmb)", "v_lg (cz, lg)", "z (z, frame not said)", "z= or cz="):
        assert words in caught.value.message
    assert caught.value.extra["candidates"] == {"cz_hel": "hel", "zCMB": "cmb", "v_lg": "lg", "z": ""}
    assert "velocity: v_lg;" in cfcore.add_distances(t, z_frame="lg", field=flow).meta["CF_COLS"]
    assert "velocity: cz_hel;" in cfcore.add_distances(t, cz="cz_hel", field=flow).meta["CF_COLS"]


@pytest.mark.parametrize(("columns", "named", "error", "words"), [
    ({}, {"z": "cz_hel"}, BadParameter, "a velocity; name it with cz="),
    ({"zq": CZ / C_KMS}, {"z": "zq"}, BadParameter, "does not say its rest frame"),
    ({"zq": CZ * u.Mpc}, {"z": "zq", "z_frame": "hel"}, BadParameter, "zq is in Mpc"),
    ({"v": CZ}, {"cz": "v", "z_frame": "hel"}, BadParameter, r'table\["v"\].unit = "km / s"'),
    ({"v": CZ * u.Mpc}, {"cz": "v", "z_frame": "hel"}, BadParameter, "v is in Mpc, which is no velocity"),
    ({}, {"z_frame": "cmb"}, BadParameter, "says hel, z_frame= says cmb"),
    ({}, {"z_frame": "earth"}, UnknownName, "earth"),
    ({}, {"cz": "speed"}, BadParameter, "no column 'speed'; it has name, RA"),
    ({}, {"cz": "cz_hel", "z": "cz_hel"}, Ambiguous, "both given"),
    ({}, {"ra": "RA"}, BadParameter, "both columns"),
    ({}, {"ra": "RA", "dec": "DEC", "coord": "c"}, Ambiguous, "given twice"),
    ({}, {"ra": "RA", "dec": "DEC", "frame": "galactic"}, BadParameter, "ra and dec are ICRS"),
    ({}, {"lon": "RA", "lat": "DEC", "frame": "galactic"}, BadParameter, "say icrs, frame= says galactic"),
    ({"x": RA}, {"lon": "x", "lat": "DEC"}, BadParameter, "do not say their sky frame"),
    ({"x": RA * u.m}, {"ra": "x", "dec": "DEC"}, BadParameter, "x is in m"),
    ({"x": ["1h", "2h", "3h"]}, {"ra": "x", "dec": "DEC"}, BadParameter, "sexagesimal"),
    ({"raj2000": RA, "dej2000": DEC}, {}, Ambiguous, "RA/DEC, RA/dej2000"),
    ({}, {"coord": "RA"}, BadParameter, "is not a SkyCoord"),
    ({"a": SkyCoord(RA, DEC, unit="deg"), "b": SkyCoord(RA, DEC, unit="deg")}, {}, Ambiguous, "a, b; name one with coord="),
    ({"status": [1, 2, 3]}, {}, BadParameter, 'already has status; give prefix='),
    ({}, {"sigma_z": "e", "sigma_cz": "e"}, Ambiguous, "both given"),
    ({"e_cz_hel": CZ * KM_S, "cz_hel_err": CZ * KM_S}, {}, Ambiguous, "e_cz_hel, cz_hel_err; name one .* sigma_z=0 for none"),
    ({"e_cz_hel": CZ}, {}, BadParameter, "e_cz_hel is the error of cz_hel .* sigma_cz=0 for none"),
    ({}, {"sigma_z": 1e-4}, BadParameter, "sigma_z = 0.0001 is not a column"),
    ({"zHD": CZ / C_KMS}, {"z": "zHD", "z_frame": "cmb"}, BadParameter, "corrected for peculiar velocity"),
    ({"zHD": CZ / C_KMS}, {"z": "zHD", "z_frame": "hel"}, BadParameter, "corrected for peculiar velocity"),
    ({"zHD": CZ / C_KMS}, {"z": "zHD"}, BadParameter, "corrected for peculiar velocity"),
    ({"zq": CZ}, {"z": "zq", "z_frame": "hel"}, BadParameter, "zq = 2500 is no redshift; if they are velocities"),
    ({}, {"cz_frame": "hel"}, BadParameter, "option 'cz_frame' is not known")])
@pytest.mark.parametrize("ask", [cfcore.add_distances, cfcore.correct])
def test_no_column_unit_or_frame_is_guessed(columns: dict, named: dict, error: type[Exception], words: str, ask: object,
                                            flow: FlowField) -> None:
    with pytest.raises(error, match=words):
        ask(galaxies(**columns), field=flow, **named)  # type: ignore[operator]


def test_a_table_without_velocity_or_position_says_so(flow: FlowField) -> None:
    with pytest.raises(BadParameter, match="name, RA, DEC is known to be a redshift"):
        cfcore.add_distances(galaxies()["name", "RA", "DEC"], field=flow)
    with pytest.raises(BadParameter, match="no columns of name, cz_hel are known to be a position"):
        cfcore.add_distances(galaxies()["name", "cz_hel"], field=flow)
    with pytest.raises(BadParameter, match="give an astropy Table"):
        cfcore.add_distances({"ra": RA}, field=flow)  # type: ignore[arg-type]


def test_a_known_distance_places_the_supernova(flow: FlowField) -> None:
    z_hel = CZ / C_KMS
    d_c = np.array([30.0, 65.0, 5000.0])
    t = galaxies(D=d_c * u.Mpc, D_L=(1 + z_hel) * d_c * 1e3 * u.kpc, bare=d_c)
    out = cfcore.correct(t, method="distance", distance="D", field=flow, H0=70)
    there = flow.velocity(RA, DEC, d_c, H0=70)
    np.testing.assert_allclose(out["v_pec"].value, there.column("v_rad"), rtol=1e-9)
    assert out["status"].tolist() == ["ok", "ok", "outside_field"] and np.isnan(out["z_hd"][2]) and np.isfinite(out["z_cmb"][2])
    luminosity = cfcore.correct(t, method="distance", distance="D_L", distance_kind="luminosity", field=flow, H0=70)
    np.testing.assert_allclose(luminosity["z_hd"], out["z_hd"], rtol=1e-9)
    for named, words in (({"distance": "bare", "method": "distance"}, "no unit"), ({"distance": "D"}, "does not use them"),
                         ({"method": "distance"}, "needs the distances"), ({"method": "magic"}, "redshift-space"),
                         ({"distance": "D", "method": "distance", "distance_kind": "angular"}, "comoving, luminosity")):
        with pytest.raises(BadParameter, match=words):
            cfcore.correct(t, field=flow, **named)


def test_a_distance_modulus_is_one_only_when_it_is_said_to_be(flow: FlowField) -> None:
    z_hel, d_c = CZ / C_KMS, np.array([35.0, 65.0, 42.0])
    d_l = (1 + z_hel) * d_c
    mu = 5 * np.log10(d_l) + 25
    t = galaxies(D=d_c * u.Mpc, e_D=0.1 * d_c * u.Mpc, mu=mu * u.mag, e_mu=np.full(3, 0.5 / np.log(10)) * u.mag, bare=mu,
                 magnitude=u.Magnitude(mu))
    known = {"method": "distance", "field": flow, "H0": 70}
    for column in ("mu", "bare", "magnitude"):
        for table in (t, Table(t)):
            out = cfcore.correct(table, distance=column, distance_kind="modulus", sigma_distance="e_mu", **known)
            expected = cfcore.correct(t, distance="D", sigma_distance="e_D", **known)
            np.testing.assert_allclose(out["z_hd"], expected["z_hd"], rtol=1e-9)
    assert out.meta["CF_COLS"].endswith("distance: magnitude; sigma_distance: e_mu")
    _, errors = quantity_tables._distance(t, "mu", "e_mu", "modulus", RA, DEC, z_hel, cfcore.FlowOptions(H0=70))
    np.testing.assert_allclose(errors, 0.1 * d_c, rtol=1e-9)
    for named, words in (({"distance": "mu"}, 'mu is in mag.*distance_kind="modulus"'),
                         ({"distance": "magnitude", "distance_kind": "luminosity"}, 'distance_kind="modulus"'),
                         ({"distance": "D", "distance_kind": "modulus"}, "D is in Mpc.*comoving"),
                         ({"distance": "D", "sigma_distance": "e_mu"}, "e_mu is in mag"),
                         ({"distance": "bare"}, r"its unit \(Mpc, kpc; a distance modulus is mag\)")):
        with pytest.raises(BadParameter, match=words):
            cfcore.correct(t, **named, **known)
    with pytest.raises(BadParameter, match="the error of no distance"):
        cfcore.correct(t, sigma_distance="e_D", field=flow)


def test_a_distance_that_contradicts_the_redshift_gets_a_status_and_no_number(flow: FlowField) -> None:
    z = np.array([0.025, 0.025, 0.012])
    t = QTable({"ra": RA, "dec": DEC, "zhel": z, "D": [35.0, 100.0, 50.0] * u.Mpc, "e_D": [2.0, 5.0, 2.0] * u.Mpc})
    out = cfcore.correct(t, method="distance", distance="D", sigma_distance="e_D", field=flow)
    assert out["status"].tolist() == ["distance_contradicts_z", "ok", "ok"] and out["flags"][0] == ""
    assert all(np.isnan(out[name][0]) for name in ("v_pec", "sigma_v_pec", "z_hd", "sigma_z_hd"))
    assert np.isfinite(out["z_cmb"]).all() and np.isfinite(out["z_hd"][1:]).all()


def test_the_error_of_the_velocity_is_found_by_the_rule_of_the_command_line(flow: FlowField) -> None:
    error = np.array([1e-4, 2e-4, 3e-4])
    bare = Table({"ra": RA, "dec": DEC, "zHEL": CZ / C_KMS})
    for form in ERROR_FORMS:
        t = bare.copy()
        t[form.format("zHEL")] = error
        out = cfcore.correct(t, field=flow)
        assert out.meta["CF_COLS"] == f"velocity: zHEL; position: ra, dec; sigma: {form.format('zHEL')}"
        assert (out["sigma_z_hd"] > cfcore.correct(t, sigma_z=0, field=flow)["sigma_z_hd"]).all()
        chosen = choose([Column(n) for n in t.colnames], Asked(), "distance").sigma
        assert chosen is not None and chosen.name == form.format("zHEL")
    assert "sigma" not in cfcore.correct(t, sigma_cz=0, field=flow).meta["CF_COLS"]
    t = galaxies(e_cz_hel=[30.0, 60.0, 90.0] * KM_S)
    np.testing.assert_array_equal(cfcore.add_distances(t, field=flow)["d_c_std"],
                                  cfcore.add_distances(t, sigma_cz="e_cz_hel", field=flow)["d_c_std"])
    with pytest.raises(BadParameter, match="has no column 'nothing'"):
        cfcore.correct(bare, sigma_z="nothing", field=flow)


def test_the_source_of_a_table_goes_into_fits_and_ecsv(flow: FlowField, tmp_path: Path) -> None:
    out = cfcore.correct(galaxies(), field=flow, H0=70)
    out.write(tmp_path / "t.fits")
    header = fits.getheader(tmp_path / "t.fits", 1)
    told = {"CF_FIELD": "custom", "CF_H0": 70.0, "CF_OM": 0.3, "CF_SIGV": 200.0, "CF_PRIOR": "volume", "CF_CZFRM": "hel",
            "CF_FRAME": "icrs", "CF_CITE": "given by the caller", "CF_CODE": cfcore.__version__, "CF_METH": "posterior",
            "CF_COLS": "velocity: cz_hel; position: RA, DEC"}
    assert {k: header[k] for k in told} == told and {"CF_VERS", "CF_SHA", "CF_USIG"} <= set(header)
    out.write(tmp_path / "t.ecsv")
    assert {k: QTable.read(tmp_path / "t.ecsv").meta[k] for k in told} == told
    out.write(tmp_path / "t.xml", format="votable")
    assert QTable.read(tmp_path / "t.xml", format="votable")["v_pec"].unit == KM_S


def test_long_tables_are_solved_in_blocks_that_leave_no_trace(flow: FlowField, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    t = Table({"ra": rng.uniform(0, 360, 50), "dec": rng.uniform(-80, 80, 50), "zhel": rng.uniform(0.003, 0.02, 50)})
    whole = cfcore.add_distances(t, field=flow)
    real = quantity_tables.solve_blocks
    monkeypatch.setattr(quantity_tables, "solve_blocks", lambda *a: real(*a, rows=7))
    parts = cfcore.add_distances(t, field=flow)
    for name in whole.colnames:
        assert np.array_equal(whole[name], parts[name], equal_nan=whole[name].dtype.kind == "f")


def test_the_well_known_names_name_frames_that_exist() -> None:
    assert {frame for _, frame in VELOCITIES.values()} <= {*VELOCITY_FRAMES, None}
    assert {frame for frame, *_ in PAIRS} == {*SKY_FRAMES, None} and not NOT_OBSERVED & VELOCITIES.keys()
    positions = [n for _, *sides in PAIRS for s in sides for n in s]
    assert all(name == plain(name) for name in (*VELOCITIES, *NOT_OBSERVED, *positions))
    with pytest.raises(BadParameter, match="corrected for peculiar velocity"):
        find_velocity(["zHD", "zCMB"], z="zHD", frame="cmb")
    assert find_velocity(["ZCMB"], frame="cmb_fixsen96") == ("ZCMB", "z", "cmb_fixsen96")
    assert find_velocity(["a", "cz"], frame="Heliocentric") == ("cz", "cz", "hel")
    assert find_position(["l", "SGL", "sgb"]) == ("SGL", "sgb", "supergalactic")
    assert find_position(["ra", "dec", "GLON", "GLAT"], frame="galactic") == ("GLON", "GLAT", "galactic")
    with pytest.raises(Ambiguous, match="RA/dec, ra/dec"):
        find_position(["RA", "ra", "dec"])

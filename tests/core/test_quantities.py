"""Coordinates and units at the door: four sky frames, unit round trips, what is refused, and results that say what they are."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, Galactocentric, SkyCoord, SpectralQuantity, Supergalactic
from astropy.cosmology import FlatLambdaCDM
from astropy.cosmology import units as cu
from astropy.table import QTable
from astropy.utils.masked import Masked
from made_fields import smooth_field

import cfcore
from cfcore import C_KMS, FlowField, result_text
from cfcore.errors import Ambiguous, BadParameter, UnknownName
from cfcore.quantity_results import DistanceResult
from cfcore.result_text import cards

KM_S = u.km / u.s
ONE = SkyCoord(40.0 * u.deg, 10.0 * u.deg)
MANY = SkyCoord([40.0, 170.0, 300.0], [10.0, -50.0, 33.0], unit="deg")
CZ = [2500.0, 5000.0, 3200.0] * KM_S


@pytest.fixture(scope="module")
def flow() -> FlowField:
    return smooth_field(5)


@pytest.fixture(scope="module")
def many(flow: FlowField) -> DistanceResult:
    return cfcore.distance(MANY, cz=CZ, field=flow)


def still(half: float = 300.0) -> FlowField:
    return FlowField.from_arrays(np.zeros((3, 5, 5, 5)), np.zeros((5, 5, 5)), origin_hmpc=-half, spacing_hmpc=half / 2,
                                 sky_frame="supergalactic")


def test_a_still_universe_gives_astropy_s_distances_back() -> None:
    cosmos = FlatLambdaCDM(H0=70, Om0=0.31, Tcmb0=0)
    z = np.array([0.01, 0.025, 0.05])
    d = cfcore.distance(MANY, z=z, z_frame="cmb", field=still(), H0=70 * KM_S / u.Mpc, Om=0.31, sigma_v=50 * KM_S, prior="flat")
    np.testing.assert_allclose(u.Quantity([r[0] for r in d.roots]).to_value(u.Mpc), cosmos.comoving_distance(z).value, rtol=1e-7)
    np.testing.assert_allclose(d.median.to_value(u.Mpc), cosmos.comoving_distance(z).value, rtol=1e-4)
    z_hel = d.cz("hel").value / C_KMS
    np.testing.assert_allclose(d.luminosity.median.value, (1 + z_hel) * cosmos.comoving_distance(z).value, rtol=1e-4)
    np.testing.assert_allclose(d.distance_modulus.median.value, 5 * np.log10(d.luminosity.median.value) + 25, rtol=1e-12)
    np.testing.assert_allclose(d.hubble.std.to_value(KM_S), 50.0, rtol=1e-3)
    v = cfcore.velocity(MANY, cosmos.comoving_distance(z), field=still(), H0=70, Om=0.31)
    np.testing.assert_allclose(v.cz("cmb").to_value(KM_S), C_KMS * z, rtol=1e-9)


@pytest.mark.parametrize("frame", ["galactic", Supergalactic(), FK5(equinox="J1950"), FK4(equinox="B1950"),
                                   "barycentrictrueecliptic"])
def test_the_sky_frame_of_a_coordinate_changes_nothing(frame: object, flow: FlowField, many: DistanceResult) -> None:
    turned = cfcore.distance(MANY.transform_to(frame), cz=CZ, field=flow)
    np.testing.assert_allclose(turned.answers.values, many.answers.values, rtol=1e-5)
    assert turned.coord.separation(MANY).arcsec.max() < 1e-3


def test_the_unit_layer_is_the_array_layer(flow: FlowField, many: DistanceResult) -> None:
    d = flow.distance(MANY.ra.deg, MANY.dec.deg, CZ.value)
    np.testing.assert_array_equal(many.answers.values, d.values)
    assert many.mean.unit == u.Mpc and many.hubble.mean.unit == KM_S and many.comoving.mean.unit == u.Mpc / cu.littleh
    for kind, view in (("distance", many), ("hubble", many.hubble), ("luminosity", many.luminosity), ("comoving", many.comoving)):
        for name in ("mean", "std", "median", "mode"):
            np.testing.assert_array_equal(getattr(view, name).value, d.column(f"{kind}.{name}"))
    np.testing.assert_array_equal(many.distance_modulus.std.to_value(u.mag), d.column("modulus.std"))
    np.testing.assert_array_equal(many.v_rad.to_value(KM_S), d.column("v_rad"))
    np.testing.assert_array_equal(many.v_pec[:, 2].to_value(KM_S), d.column("v_pec.sgz"))
    np.testing.assert_allclose(many.interval(0.68)[1].value, d.column("distance.p84"), rtol=1e-12)
    assert [r.to_value(u.Mpc).tolist() for r in many.roots] == [[x["d_mpc"] for x in d.roots(i)] for i in range(3)]
    assert [w.tolist() for w in many.weights] == [[x["weight"] for x in d.roots(i)] for i in range(3)]
    assert many.flags == [d.flags(i) for i in range(3)] and many.status.tolist() == ["ok"] * 3


def test_the_spread_of_the_radial_velocity_has_its_unit(many: DistanceResult) -> None:
    assert many.v_rad_std.unit == KM_S and (many.v_rad_std > 0 * KM_S).all() and "v_rad_std" in many.to_table().colnames


def test_units_of_the_input_change_nothing(flow: FlowField) -> None:
    d = cfcore.distance(ONE, cz=2500 * KM_S, sigma_cz=30 * KM_S, field=flow, H0=70, sigma_v=180)
    z = 2500 / C_KMS
    for given in ({"cz": 2.5e6 * u.m / u.s}, {"z": z}, {"z": z * cu.redshift}, {"z": 100 * z * u.percent},
                  {"z": np.float32(z)}, {"cz": u.Quantity(2500, KM_S, dtype=np.float32)}):
        other = cfcore.distance(ONE, **given, sigma_z=30 / C_KMS, field=flow, H0=0.07 * u.Mpc / u.Mpc * u.Mm / u.s / u.Mpc,
                                sigma_v=0.18 * u.Mm / u.s)
        np.testing.assert_allclose(other.answers.values, d.answers.values, rtol=1e-5)
    lo, hi = cfcore.velocity(ONE, 40 * u.Mpc, field=flow, H0=80), cfcore.velocity(ONE, 32 * u.Mpc / cu.littleh, field=flow, H0=80)
    np.testing.assert_allclose(lo.answers.values, hi.answers.values, rtol=1e-12)
    light_years = cfcore.velocity(ONE, (40 * u.Mpc).to(u.Mlyr), field=flow, H0=80)
    np.testing.assert_allclose(light_years.v_rad.value, lo.v_rad.value, rtol=1e-9)


def test_a_spectral_quantity_in_another_convention_becomes_c_z(flow: FlowField) -> None:
    z = 0.01
    relativistic = C_KMS * ((1 + z) ** 2 - 1) / ((1 + z) ** 2 + 1) * KM_S
    line = 6562.8 * u.AA
    for cz in (SpectralQuantity(relativistic, doppler_convention="relativistic", doppler_rest=line),
               SpectralQuantity(line * (1 + z), doppler_rest=line), SpectralQuantity(C_KMS * z * KM_S),
               SpectralQuantity(C_KMS * z * KM_S, doppler_convention="optical")):
        assert cfcore.distance(ONE, cz=cz, field=flow).cz("hel").value == pytest.approx(C_KMS * z)
    for cz in (SpectralQuantity(6600 * u.AA), SpectralQuantity(2900 * KM_S, doppler_convention="radio")):
        with pytest.raises(BadParameter, match="cannot become c times redshift"):
            cfcore.distance(ONE, cz=cz, field=flow)


def test_a_radial_velocity_is_taken_only_when_asked(flow: FlowField) -> None:
    moving = SkyCoord(40 * u.deg, 10 * u.deg, radial_velocity=2500 * KM_S)
    with pytest.raises(Ambiguous, match="nowhere"):
        cfcore.distance(moving, field=flow)
    for coord in (moving, moving.galactic, moving.frame):
        assert cfcore.distance(coord, use_radial_velocity=True, field=flow).cz("hel").value == pytest.approx(2500)
    with pytest.raises(Ambiguous, match="twice"):
        cfcore.distance(moving, cz=2500 * KM_S, use_radial_velocity=True, field=flow)
    with pytest.raises(BadParameter, match="z_frame says cmb"):
        cfcore.distance(moving, use_radial_velocity=True, z_frame="cmb", field=flow)
    local = SkyCoord(40 * u.deg, 10 * u.deg, frame="lsr", radial_velocity=2500 * KM_S)
    drifting = SkyCoord(40 * u.deg, 10 * u.deg, pm_ra_cosdec=1 * u.mas / u.yr, pm_dec=0 * u.mas / u.yr)
    for coord, words in ((ONE, "carries no barycentric radial velocity"), (drifting, "carries no barycentric"),
                         (local, "lsr gives no direction in ICRS")):
        with pytest.raises(BadParameter, match=words):
            cfcore.distance(coord, use_radial_velocity=True, field=flow)
    far = SkyCoord(40 * u.deg, 10 * u.deg, distance=40 * u.Mpc)
    assert cfcore.distance(far.transform_to(Galactocentric()), cz=2500 * KM_S, field=flow).coord.separation(ONE).deg < 1e-4


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"cz": 2916.0}, BadParameter, "cz = 2916.0 has no unit"),
    ({"cz": 40 * u.Mpc}, BadParameter, "cz is in Mpc, which is no velocity"),
    ({"cz": 2500 * KM_S, "z": 0.01}, Ambiguous, "twice"),
    ({"z": 2500 * KM_S}, BadParameter, "given as cz="),
    ({"z": "far"}, BadParameter, "not a number"),
    ({"z": 2916}, BadParameter, r"z = 2916 is no redshift; as a velocity it is cz=2916\*u.km/u.s"),
    ({"z": [2916, 0.01, -3000.0], "coord": MANY}, BadParameter, "z = 2916 is no redshift"),
    ({"cz": 2500 * KM_S, "sigma_cz": 30.0}, BadParameter, "sigma_cz = 30.0 has no unit"),
    ({"cz": 2500 * KM_S, "sigma_cz": 3 * KM_S, "sigma_z": 1e-5}, Ambiguous, "both given"),
    ({"cz": 2500 * KM_S, "z_frame": "hel", "cz_frame": "cmb"}, Ambiguous, "differ"),
    ({"cz": 2500 * KM_S, "cz_frame": "earth"}, UnknownName, "earth"),
    ({"cz": 2500 * KM_S, "frame": "galactic"}, BadParameter, "its own"),
    ({"cz": 2500 * KM_S, "h0": 70}, BadParameter, "there are H0, Om"),
    ({"cz": 2500 * KM_S, "H0": 70 * KM_S}, BadParameter, "H0 is in km / s"),
    ({"cz": 2500 * KM_S, "field": 7}, BadParameter, "FlowField"),
    ({"cz": [1.0, 2.0] * KM_S, "coord": MANY}, BadParameter, "shapes differ"),
    ({"cz": 2500 * KM_S, "coord": (40.0, 10.0)}, BadParameter, "give a SkyCoord"),
    ({"cz": 2500 * KM_S, "coord": MANY.reshape(3, 1)}, BadParameter, "ravel"),
    ({"cz": np.ones((2, 3)) * KM_S, "coord": MANY}, BadParameter, "ravel")])
def test_what_is_not_said_clearly_is_refused_with_the_way_out(given: dict, error: type[Exception], words: str,
                                                              flow: FlowField) -> None:
    with pytest.raises(error, match=words):
        cfcore.distance(**{"coord": ONE, "field": flow, **given})


def test_distances_without_a_unit_of_length_are_refused(flow: FlowField) -> None:
    for bad, words in ((40.0, "has no unit"), (2500 * KM_S, "distance is in km / s")):
        with pytest.raises(BadParameter, match=words):
            cfcore.velocity(ONE, bad, field=flow)
        with pytest.raises(BadParameter, match=words):
            cfcore.velocity_covariance(MANY, bad, field=flow)


def test_a_coordinate_s_own_distance_is_used_when_none_is_given(flow: FlowField) -> None:
    expected = cfcore.velocity(ONE, 40 * u.Mpc, field=flow)
    for unit in (u.Mpc, u.kpc):
        far = SkyCoord(ONE, distance=(40 * u.Mpc).to(unit))
        for coord in (far, far.galactic, far.transform_to(Galactocentric())):
            np.testing.assert_allclose(cfcore.velocity(coord, field=flow).v_rad.value, expected.v_rad.value, rtol=1e-6)
    assert cfcore.velocity(SkyCoord(ONE, distance=70 * u.Mpc), 40 * u.Mpc, field=flow).v_rad == expected.v_rad
    assert expected.distance == 40 * u.Mpc and expected.coord.separation(ONE).deg < 1e-9
    for coord in (ONE, SkyCoord(ONE, distance=40), ONE.frame):
        with pytest.raises(BadParameter, match="coord carries none"):
            cfcore.velocity(coord, field=flow)
    with pytest.raises(BadParameter, match="give D, the comoving one"):
        cfcore.velocity(ONE, 33 * u.mag, field=flow)


def test_a_mark_of_a_missing_redshift_does_not_spoil_its_neighbours(flow: FlowField) -> None:
    d = cfcore.distance(MANY, z=[0.01, 999.0, 0.012], field=flow)
    assert d.status.tolist() == ["ok", "cz_out_of_range", "ok"]


def test_several_levels_of_an_interval_are_one_call(many: DistanceResult) -> None:
    lo, hi = many.interval([0.5, 0.68])
    assert lo.shape == hi.shape == (3, 2) and lo.unit == u.Mpc
    for i, level in enumerate((0.5, 0.68)):
        for ends, single in zip((lo, hi), many.interval(level)):
            np.testing.assert_array_equal(ends[:, i], single)
    assert many[0].interval([0.5, 0.68, 0.9])[0].shape == (3,) and many[0].hubble.interval(0.5)[0].shape == ()
    for bad in ([0.5, 1.0], [[0.5]], 0.0):
        with pytest.raises(BadParameter, match="between 0 and 1"):
            many.interval(bad)


def test_a_row_without_an_answer_says_why_in_a_sentence(flow: FlowField) -> None:
    d = cfcore.distance(MANY, cz=[2500, np.nan, 60000] * KM_S, field=flow)
    assert d.detail[:2].tolist() == ["", "cz is not a finite number"] and d[0].detail == ""
    assert d.detail[2].startswith("cz = 60000 km/s lies beyond") and "--" not in d[2].detail
    v = cfcore.velocity(MANY, [40, 5000, -1] * u.Mpc, field=flow)
    assert v.detail[0] == "" and "distance = 5000 Mpc lies outside field custom" in v.detail[1]
    assert v.detail[2] == "distance = -1 lies outside 0 ... 100000 Mpc"


def test_the_error_of_the_field_is_an_attribute(flow: FlowField) -> None:
    v = cfcore.velocity(MANY, [40, 40, 5000] * u.Mpc, field=smooth_field(5, with_sigma=True))
    assert v.sigma.unit == KM_S and (v.sigma[:2] > 0 * KM_S).all() and np.isnan(v.sigma[2])
    assert "±" in repr(v) and "–" in repr(v) and "nan" not in repr(v)
    without = cfcore.velocity(ONE, 40 * u.Mpc, field=flow)
    assert "±" not in repr(without) and np.isnan(without.sigma)


def test_shapes_follow_the_input(flow: FlowField, many: DistanceResult) -> None:
    one = cfcore.distance(ONE, cz=2500 * KM_S, field=flow)
    assert one.isscalar and one.shape == () and one.mean.shape == () and one.v_pec.shape == (3,)
    assert one.samples(5, 1).shape == (5,)
    assert one.pdf([30, 40] * u.Mpc).shape == (2,) and one.cdf(40 * u.Mpc).shape == () and isinstance(one.status, str)
    assert isinstance(one.roots, u.Quantity) and one.quantile([0.1, 0.9]).shape == (2,)
    with pytest.raises(TypeError):
        len(one)
    with pytest.raises(TypeError):
        one[0]
    assert len(many) == 3 and many.shape == (3,)
    assert many.pdf([30, 40] * u.Mpc).shape == (3, 2) and many.samples(5).shape == (3, 5)
    assert many.pdf(np.full((3, 4), 40.0) * u.Mpc).shape == (3, 4) and one.pdf(np.full((1, 4), 40.0) * u.Mpc).shape == (4,)
    same_place = cfcore.distance(ONE, cz=[2000, 2500] * KM_S, field=flow)
    assert same_place.shape == (2,) and same_place[1].mean == one.mean
    none = cfcore.distance(MANY[:0], cz=[] * KM_S, field=flow)
    assert len(none) == 0 and none.mean.shape == (0,) and len(none.to_table()) == 0 and "0 objects" in repr(none)
    assert none.roots == [] and "<table>" in none._repr_html_()


def test_a_part_of_a_result_is_the_result_of_the_part(many: DistanceResult) -> None:
    assert many[1].isscalar and many[1].mean == many.mean[1] and many[-1].coord.separation(MANY[2]).arcsec < 1e-6
    for index in (slice(None, None, -1), [2, 0], np.array([True, False, True])):
        part = many[index]
        np.testing.assert_array_equal(part.interval(0.9)[0].value, many.interval(0.9)[0].value[index])
        np.testing.assert_array_equal(part.pdf(40 * u.Mpc).value, many.pdf(40 * u.Mpc).value[index])
    assert [d.mean for d in many] == list(many.mean)
    with pytest.raises(IndexError):
        many[3]


def test_the_unit_of_x_chooses_the_variable(many: DistanceResult) -> None:
    d = many[0]
    x = d.median
    np.testing.assert_allclose(d.pdf(x.to(u.kpc)).to_value(1 / u.Mpc), d.pdf(x).value, rtol=1e-12)
    jacobian = (d.pdf(d.hubble.median) / d.pdf(x)).to(u.Mpc / KM_S)
    cosmos = FlatLambdaCDM(H0=75, Om0=0.3, Tcmb0=0)
    z = d.hubble.median.value / C_KMS
    np.testing.assert_allclose(jacobian.value, 1 / cosmos.H(z).value, rtol=1e-6)
    assert d.pdf(d.luminosity.median, kind="luminosity").value == pytest.approx(d.pdf(x).value / (1 + 2500 / C_KMS))
    assert d.pdf(d.comoving.median).unit == cu.littleh / u.Mpc and d.pdf(d.distance_modulus.median).unit == 1 / u.mag
    assert d.pdf(900 * u.Mpc) == 0 and d.cdf(900 * u.Mpc) == 1 and d.hubble.cdf(d.hubble.quantile(0.3)) == pytest.approx(0.3)
    for bad in (40.0, 3 * u.kg, 500 * u.Hz):
        with pytest.raises(BadParameter, match="no unit of a distance"):
            d.pdf(bad)
    with pytest.raises(BadParameter, match="is not in km / s"):
        d.pdf(40 * u.Mpc, kind="hubble")
    with pytest.raises(BadParameter, match="use one of"):
        d.pdf(40 * u.Mpc, kind="parallax")


def test_masked_and_missing_objects_get_a_status_and_their_neighbours_an_answer(flow: FlowField, many: DistanceResult) -> None:
    for coord, cz in ((MANY, Masked(CZ, mask=[False, True, False])), (MANY, [2500, np.nan, 3200] * KM_S),
                      (SkyCoord([40, np.nan, 300] * u.deg, [10, -50, 33] * u.deg), CZ),
                      (SkyCoord(Masked([40, 170, 300] * u.deg, mask=[False, True, False]), [10, -50, 33] * u.deg), CZ)):
        d = cfcore.distance(coord, cz=cz, field=flow)
        assert d.status.tolist() == ["ok", "not_finite", "ok"] and np.isnan(d.mean[1]) and d.flags[1] == []
        np.testing.assert_array_equal(d.mean[[0, 2]], many.mean[[0, 2]])
        assert d.roots[1].shape == (0,)
    beyond = cfcore.distance(ONE, cz=60000 * KM_S, field=flow)
    assert beyond.status == "outside_field" and beyond.flags == ["outside"] and "outside_field" in repr(beyond)
    v = cfcore.velocity(MANY, [40, 5000, np.nan] * u.Mpc, field=flow)
    assert v.status.tolist() == ["ok", "outside_field", "not_finite"] and v.inside.tolist() == [True, False, False]
    assert np.isnan(v.v_rad[1:]).all() and np.isnan(v.cz()[1:]).all() and np.isfinite(v.v_rad[0])


def test_a_table_keeps_units_descriptions_and_source(many: DistanceResult, tmp_path: object) -> None:
    t = many.to_table()
    assert t["d_c"].unit == u.Mpc and t["mu"].unit == u.mag and t["v_rad"].unit == KM_S
    assert all(t[name].info.description for name in t.colnames)
    told = many.meta
    assert told["field"]["id"] == "custom" and told["field"]["citation"] == "given by the caller"
    assert told["cosmology"] == {"name": "flat LambdaCDM", "H0": 75.0, "Om": 0.3} and told["cfcore"] == cfcore.__version__
    assert told["frames"] == {"sky": "icrs", "cz": "hel", "field": "supergalactic", "velocity": "cmb"}
    assert told["prior"] == "volume" and told["sigma_v"] == 200.0
    path = tmp_path / "t.ecsv"  # type: ignore[operator]
    t.write(path)
    back = QTable.read(path)
    np.testing.assert_allclose(back["d_c"].to_value(u.Mpc), t["d_c"].value)
    assert back.meta["CF_SHA"] == told["field"]["sha256"] and back.meta["CF_FIELD"] == "custom"
    t.write(tmp_path / "t.fits")  # type: ignore[operator]
    assert QTable.read(tmp_path / "t.fits").meta["CF_PRIOR"] == "volume"  # type: ignore[operator]
    letters = cards({**told, "field": {**told["field"], "citation": "Lemaître"}})
    assert letters["CF_CITE"] == "Lema&#238;tre" and "CF_ALPHA" not in letters
    v = cfcore.velocity(MANY, [30, 40, 5000] * u.Mpc, field=smooth_field(5)).to_table()
    assert v["v_rad"].unit == KM_S and v["status"].tolist() == ["ok", "ok", "outside_field"]
    assert v.meta["CF_FIELD"] == "custom" and "CF_PRIOR" not in v.meta


def test_representations_say_what_the_numbers_are(many: DistanceResult, flow: FlowField) -> None:
    one = many[0]
    for part in (f"{one.mean.value:.1f} ± {one.std.value:.1f} Mpc comoving", "field custom", "H0 = 75", "frame hel"):
        assert part in repr(one)
    assert "for 3 objects" in repr(many) and "km / s" in repr(many.hubble) and "mag" in repr(many.distance_modulus)
    flow_there = repr(cfcore.velocity(ONE, 40 * u.Mpc, field=flow))
    assert "v_rad" in flow_there and "km/s (CMB)" in flow_there and "custom" in flow_there
    evil = FlowField.from_arrays(np.zeros((3, 5, 5, 5)), origin_hmpc=-200, spacing_hmpc=100, sky_frame="icrs", id="<script>&")
    text = cfcore.distance(SkyCoord(np.arange(15.0), np.zeros(15), unit="deg"), cz=3000 * KM_S, field=evil)._repr_html_()
    assert "<script>" not in text and "&lt;script&gt;&amp;" in text and "and 5 more" in text
    for word in ("ICRS", "km/s", "Mpc", "H0 = 75", "±"):
        assert word in text
    assert len(text) < 6000


def test_what_is_not_known_is_a_dash_and_nothing_is_less_than_nothing(flow: FlowField) -> None:
    d = cfcore.distance(MANY, cz=[2500, np.nan, 60000] * KM_S, field=flow)
    v = cfcore.velocity(MANY, [40, np.nan, 5000] * u.Mpc, field=flow)
    for shown in (d, d.luminosity, d.hubble, d.comoving, d.distance_modulus, v):
        page = shown._repr_html_()
        assert "nan" not in page + repr(shown) and "–" in page and "–" in repr(shown) and "custom" in page and "<caption>" in page
    there = cfcore.velocity(ONE, 40 * u.Mpc, field=still())
    for page in (repr(there), there._repr_html_(), cfcore.distance(ONE, cz=2500 * KM_S, field=still())._repr_html_()):
        assert "-0 " not in page and "+0" not in page and ">-0<" not in page
    for x, form, text in ((-0.2, ".0f", "0"), (-0.04, "+.1f", "0.0"), (-0.5001, ".0f", "-1"), (np.nan, "+.0f", "–")):
        assert result_text.number(x, form) == text


def test_a_plot_shows_what_the_result_holds(many: DistanceResult, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot
    ax = many.plot()
    curves = [line for line in ax.lines if len(line.get_xdata()) == 1000]
    assert len(curves) == 3 and "Mpc" in ax.get_xlabel() and "H0 = 75" in ax.get_xlabel()
    assert ax.get_xlabel().startswith("comoving distance [Mpc]") and "custom" in ax.get_title()
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend.count("central 68 %") == 1 and legend.count("root: the mean field predicts cz") == 1 and len(legend) == 5
    np.testing.assert_allclose(np.trapezoid(curves[1].get_ydata(), curves[1].get_xdata()), 1.0, atol=2e-3)
    assert many[0].plot(ax, kind="hubble") is ax and "km/s" in ax.get_xlabel()
    assert cfcore.distance(ONE, cz=90000 * KM_S, field=smooth_field(5)).plot().lines[:] == []
    pyplot.close("all")


def test_without_matplotlib_a_plot_says_what_it_needs(many: DistanceResult, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(cfcore.CosmicFlowsError, match=r"cosmicflows\[plot\]"):
        many.plot()


def test_lazy_names_are_public_and_unknown_ones_are_not() -> None:
    assert {"distance", "velocity", "velocity_covariance", "correct", "add_distances", "DistanceResult"} <= set(dir(cfcore))
    with pytest.raises(AttributeError, match="distanse"):
        cfcore.distanse  # noqa: B018
    from cfcore import correct
    assert correct is cfcore.correct
    # a star import brings no view: its packages take long to load
    assert set(cfcore._LATER) - set(cfcore.__all__) == {"view"} and set(dir(cfcore)) == {*cfcore.__all__, "view", "__version__"}
    brought: dict[str, object] = {}
    exec("from cfcore import *", brought)
    assert set(cfcore.__all__) <= brought.keys()


def test_a_field_may_be_named(house_data: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_DATA", str(house_data))
    named, default = (cfcore.distance(ONE, cz=2500 * KM_S, field=f) for f in ("ongc-linear", None))
    assert named.mean == default.mean and named.meta["field"]["sha256"]
    with pytest.raises(UnknownName, match="nowhere"):
        cfcore.distance(ONE, cz=2500 * KM_S, field="nowhere")

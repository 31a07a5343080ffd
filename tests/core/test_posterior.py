"""What must hold whatever the field: Hubble's law, unit integrals, exact quantile maps, rotation, roots, flags."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fields import smooth_field

from cfcore import FLOW_TYPES, FlowField, FlowOptions, background, frames
from cfcore.distances import LOCAL_SHEET_MPC, STATUS, SUMMARY
from cfcore.errors import BadParameter, FieldRefused, UnknownName
from cfcore.sightlines import distance_table

C = 299792.458
QUANTILES = ("p2_5", "p16", "median", "p84", "p97_5")


def zero_field(half: float = 300.0) -> FlowField:
    return FlowField.from_arrays(np.zeros((3, 5, 5, 5)), np.zeros((5, 5, 5)), origin_hmpc=-half, spacing_hmpc=half / 2,
                                 sky_frame="supergalactic")


def attractor() -> FlowField:
    """One softened attractor at SGX = +20 h^-1 Mpc, 600 km/s at its best: three distances share one velocity."""
    x = np.arange(-60, 60.1, 1.0)
    nodes = np.stack(np.meshgrid(x, x, x, indexing="ij"))
    to = np.array([20.0, 0.0, 0.0])[:, None, None, None] - nodes
    s2 = (to ** 2).sum(axis=0) + 5.0 ** 2
    return FlowField.from_arrays(600.0 * 2 * 5.0 * to / s2, origin_hmpc=-60, spacing_hmpc=1, sky_frame="supergalactic")


def test_a_zero_field_gives_the_hubble_law_back() -> None:
    field = zero_field()
    r = np.array([20.0, 80.0, 200.0])
    cz_cmb = C * background(0.3).redshift(r)
    d = field.distance([10, 120, 250], [5, -60, 70], cz_cmb, cz_frame="cmb", sigma_v=50, prior="flat")
    for i in range(3):
        assert len(d.roots(i)) == 1
        assert d.roots(i)[0]["r_hmpc"] == pytest.approx(r[i], abs=1e-6)
        assert d.roots(i)[0]["cz_hubble"] == pytest.approx(cz_cmb[i], abs=1e-6)
        assert d.roots(i)[0]["weight"] == pytest.approx(1.0)
    np.testing.assert_allclose(d.column("hubble.median"), cz_cmb, rtol=1e-4)
    np.testing.assert_allclose(d.column("hubble.std"), 50.0, rtol=1e-3)
    assert d.column("v_rad").tolist() == [0.0] * 3


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0, 9000), st.floats(30, 140), st.floats(0.05, 0.6),
       st.sampled_from(["volume", "density", "flat"]))
def test_quantiles_of_the_four_types_map_onto_each_other_and_pdfs_integrate_to_one(
        lon: float, lat: float, cz: float, H0: float, Om: float, prior: str) -> None:
    field = smooth_field(3)
    for flow in FLOW_TYPES:
        d = field.distance(lon, lat, cz, H0=H0, Om=Om, prior=prior, pdf=flow)
        if d.status[0]:
            return
        assert np.trapezoid(d.pdf[0], d.x) == pytest.approx(1.0, abs=1e-6)
    h, cosmos = H0 / 100, background(Om)
    z_hel = d.column("cz.hel")[0] / C
    for q in QUANTILES:
        r = d.column(f"comoving.{q}")[0]
        assert d.column(f"distance.{q}")[0] == pytest.approx(r / h, rel=1e-12)
        assert d.column(f"luminosity.{q}")[0] == pytest.approx((1 + z_hel) * r / h, rel=1e-12)
        assert d.column(f"hubble.{q}")[0] == pytest.approx(C * float(cosmos.redshift(r)), rel=1e-9)
    for q in ("median", "p16", "p84"):
        d_l = d.column(f"luminosity.{q}")[0]
        assert d.column(f"modulus.{q}")[0] == pytest.approx(5 * np.log10(d_l) + 25, abs=1e-9)


@pytest.mark.parametrize("flow", list(FLOW_TYPES))
def test_the_moments_of_a_pdf_are_those_of_its_summary(flow: str) -> None:
    field = smooth_field(5)
    d = field.distance([40.0, 170.0], [10.0, -50.0], [2500.0, 5000.0], pdf=flow)
    for i in range(2):
        mean = np.trapezoid(d.pdf[i] * d.x, d.x)
        std = np.sqrt(np.trapezoid(d.pdf[i] * (d.x - mean) ** 2, d.x))
        s = d.summary(flow, i)
        assert s["mean"] == pytest.approx(mean, rel=1e-5)
        assert s["std"] == pytest.approx(std, rel=1e-4)
        step = np.diff(d.x).max()
        assert s["mode"] == pytest.approx(d.x[np.argmax(d.pdf[i])], abs=step)


def test_turning_sky_and_field_together_changes_nothing() -> None:
    rng = np.random.default_rng(8)
    v, delta = rng.normal(0, 200, (3, 12, 12, 12)), rng.normal(0, 0.2, (12, 12, 12))
    plain = FlowField.from_arrays(v, delta, origin_hmpc=-55, spacing_hmpc=10, sky_frame="galactic")
    # a quarter turn about z: new x axis is the old y axis, new y the old -x; the lattice is symmetric, so nodes map
    turned = FlowField.from_arrays(np.stack([v[1], -v[0], v[2]])[:, ::-1].transpose(0, 2, 1, 3),
                                   delta[::-1].transpose(1, 0, 2), origin_hmpc=-55, spacing_hmpc=10,
                                   sky_frame="galactic")
    lon, lat, cz = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50), rng.uniform(500, 5000, 50)
    options = dict(frame="galactic", cz_frame="cmb", prior="density")
    a, b = plain.distance(lon, lat, cz, **options), turned.distance(lon - 90, lat, cz, **options)
    for name in ("distance.mean", "distance.std", "distance.p16", "hubble.median", "v_rad", "delta", "evidence"):
        np.testing.assert_allclose(a.column(name), b.column(name), rtol=1e-6, atol=1e-4)


def test_the_sky_frame_of_the_input_changes_nothing() -> None:
    field = smooth_field(6)
    u = frames.unit_vectors([33.0, 250.0], [-20.0, 70.0])
    answers = []
    for frame in frames.SKY_FRAMES:
        lon, lat = frames.lon_lat(frames.rotate(u, "icrs", frame))
        answers.append(field.distance(lon, lat, [3000.0, 6000.0], frame=frame).values)
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-8)
    np.testing.assert_allclose(answers[2], answers[0], rtol=1e-8)


def test_a_triple_valued_sightline_has_three_roots_whose_weights_sum_to_one() -> None:
    field = attractor()
    d = field.distance(0.0, 0.0, 2000.0, frame="supergalactic", cz_frame="cmb", sigma_v=60, pdf="comoving")
    roots = d.roots()
    assert len(roots) == 3 and "multi_root" in d.flags() and "no_root" not in d.flags()
    assert [r["slope"] for r in roots] == [1.0, -1.0, 1.0]
    assert roots == sorted(roots, key=lambda r: r["r_hmpc"])
    assert sum(r["weight"] for r in roots) == pytest.approx(1.0, abs=1e-9)
    assert all(r["weight"] > 0.01 for r in roots)
    peaks = np.flatnonzero((d.pdf[0][1:-1] > d.pdf[0][:-2]) & (d.pdf[0][1:-1] > d.pdf[0][2:]))
    assert len(peaks) >= 2
    for r in roots:
        v = field.velocity_at([[r["r_hmpc"], 0.0, 0.0]])[0, 0]
        z = (1 + float(background(0.3).redshift(r["r_hmpc"]))) * (1 + v / C) - 1
        assert C * z == pytest.approx(2000.0, abs=1e-3)
        assert r["v_rad"] == pytest.approx(v, abs=1e-4)


def test_outside_the_lattice_the_flow_is_zero_and_said_to_be_outside() -> None:
    field = smooth_field(9)
    inside = field.distance(0.0, 0.0, 4000.0, frame="supergalactic", cz_frame="cmb")
    assert inside.column("inside_fraction")[0] > 0.99 and "outside" not in inside.flags()
    far = field.distance(0.0, 0.0, 11500.0, frame="supergalactic", cz_frame="cmb", sigma_v=50)
    assert field.r_max_hmpc > 125 and far.status[0] == 0
    assert far.column("inside_fraction")[0] < 1e-6 and "outside" in far.flags() and "no_root" in far.flags()
    assert far.column("v_rad")[0] == pytest.approx(0.0, abs=1e-3)


def test_one_galaxy_beyond_the_field_does_not_spoil_its_neighbours() -> None:
    field = smooth_field(9)
    d = field.distance([1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3000.0, 60000.0, 3000.0], pdf="distance")
    assert [STATUS[s] for s in d.status] == ["ok", "outside_field", "ok"]
    assert np.isnan(d.column("distance.mean")[1]) and d.flags(1) == ["outside"]
    assert d.column("cz.hel")[1] == pytest.approx(60000.0)
    assert np.isnan(d.pdf[1]).all()
    np.testing.assert_array_equal(d.values[0], d.values[2])


@pytest.mark.parametrize(("column", "value", "status"), [
    ("lat", 120.0, "lat_out_of_range"), ("lat", -90.001, "lat_out_of_range"), ("lon", 400.0, "lon_out_of_range"),
    ("cz", np.nan, "not_finite"), ("lon", np.inf, "not_finite"), ("cz", -4000.0, "cz_out_of_range"),
    ("sigma_cz", -1.0, "sigma_cz_out_of_range")])
def test_a_bad_row_gets_a_status_and_no_number(column: str, value: float, status: str) -> None:
    rows = {"lon": np.array([1.0, 2.0]), "lat": np.array([3.0, 4.0]), "cz": np.array([2000.0, 3000.0]),
            "sigma_cz": np.array([0.0, 10.0])}
    good = smooth_field(2).distance(**rows).values[0]
    rows[column][1] = value
    d = smooth_field(2).distance(**rows)
    assert STATUS[d.status[1]] == status and d.flags(1) == [] and d.roots(1) == []
    assert np.isnan(d.values[1]).all()
    np.testing.assert_array_equal(d.values[0], good)


def test_flags_say_what_they_mean() -> None:
    field = zero_field().with_manifest(trusted_hmpc=60.0)
    d = field.distance([0.0] * 3, [0.0] * 3, [300.0, -250.0, 9000.0], cz_frame="hel")
    assert "nearby" in d.flags(0) and "blueshift" not in d.flags(0)
    assert {"blueshift", "no_root", "nearby"} <= set(d.flags(1))
    assert d.flags(2) == ["beyond_data"]


def test_the_local_sheet_observer_removes_the_motion_of_the_observer() -> None:
    flow = np.zeros((3, 9, 9, 9))
    flow[0] = 500.0
    field = FlowField.from_arrays(flow, origin_hmpc=-100, spacing_hmpc=25, sky_frame="supergalactic")
    d = field.distance(0.0, 0.0, 300.0, frame="supergalactic", cz_frame="ls", observer="ls", sigma_v=50, prior="flat")
    assert d.roots()[0]["r_hmpc"] == pytest.approx(3.0, abs=0.01)
    far = field.distance(0.0, 0.0, 3000.0, frame="supergalactic", cz_frame="ls", observer="ls")
    assert "beyond_local_sheet" in far.flags() and far.summary()["median"] > LOCAL_SHEET_MPC


def test_realisations_are_a_mixture() -> None:
    a, b = smooth_field(20, sky_frame="galactic"), smooth_field(21, sky_frame="galactic")
    both = FlowField.from_arrays(
        np.stack([f.kernel_arrays()[0][..., :3, 0].transpose(3, 0, 1, 2) for f in (a, b)]),
        np.stack([f.kernel_arrays()[0][..., 3, 0] - 1 for f in (a, b)]),
        origin_hmpc=a.manifest.origin_hmpc, spacing_hmpc=a.manifest.spacing_hmpc, sky_frame="galactic")
    lon, lat, cz = [15.0, 200.0], [-40.0, 10.0], [3000.0, 2000.0]
    d = {k: f.distance(lon, lat, cz, prior="density", pdf="comoving") for k, f in (("a", a), ("b", b), ("m", both))}
    for i in range(2):
        ev = [d[k].column("evidence")[i] for k in "ab"]
        assert d["m"].column("evidence")[i] == pytest.approx(sum(ev) / 2, rel=1e-6)
        mixed = (ev[0] * d["a"].pdf[i] + ev[1] * d["b"].pdf[i]) / sum(ev)
        np.testing.assert_allclose(d["m"].pdf[i], mixed, atol=1e-6 * mixed.max())


def test_velocities_at_known_distances_follow_the_forward_model() -> None:
    field = smooth_field(12)
    lon, lat = np.array([20.0, 140.0, 300.0, 300.0]), np.array([10.0, -35.0, 60.0, 60.0])
    d_mpc = np.array([30.0, 60.0, 0.0, 900.0])
    v = field.velocity(lon, lat, d_mpc, H0=70.0)
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    xyz = dirs * (d_mpc * 0.7)[:, None]
    np.testing.assert_allclose(np.stack([v.column(c) for c in ("sgx", "sgy", "sgz")], axis=1), xyz, atol=1e-9)
    flow = field.velocity_at(xyz)
    np.testing.assert_allclose(np.stack([v.column(f"v_pec.{c}") for c in ("sgx", "sgy", "sgz")], axis=1), flow)
    np.testing.assert_allclose(v.column("v_rad"), (flow * dirs).sum(axis=1))
    zbar = background(0.3).redshift(d_mpc * 0.7)
    np.testing.assert_allclose(v.column("cz_hubble"), C * zbar)
    np.testing.assert_allclose(v.column("cz.cmb"), C * ((1 + zbar) * (1 + v.column("v_rad") / C) - 1))
    assert v.inside.tolist() == [True, True, True, False]
    assert [STATUS[s] for s in v.status] == ["ok", "ok", "ok", "outside_field"]
    assert np.isnan(v.column("v_rad")[3]) and np.isnan(v.column("cz.hel")[3]) and np.isfinite(v.column("cz_hubble")[3])


def test_distance_and_velocity_are_inverse_to_each_other() -> None:
    field = smooth_field(13)
    v = field.velocity(77.0, 12.0, 50.0)
    d = field.distance(77.0, 12.0, v.column("cz.hel")[0])
    assert min(abs(r["d_mpc"] - 50.0) for r in d.roots()) < 1e-4


@pytest.mark.parametrize(("named", "error"), [
    ({"H0": 5.0}, BadParameter), ({"H0": float("nan")}, BadParameter), ({"Om": -0.1}, BadParameter),
    ({"sigma_v": 20.0}, BadParameter), ({"prior": "uniform"}, BadParameter), ({"frame": "b1950"}, UnknownName),
    ({"cz_frame": "earth"}, UnknownName), ({"dr": 1.0}, BadParameter), ({"observer": "me"}, BadParameter),
    ({"H0": "75"}, BadParameter), ({"use_field_sigma": 1}, BadParameter), ({"composition": "x"}, BadParameter)])
def test_options_out_of_range_are_refused_by_name(named: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        FlowOptions(**named)  # type: ignore[arg-type]
    (name, value), = named.items()
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    assert caught.value.where == name and shown in caught.value.message


def test_what_a_field_lacks_is_refused_before_the_work() -> None:
    field = FlowField.from_arrays(np.zeros((3, 4, 4, 4)), origin_hmpc=-3, spacing_hmpc=2, sky_frame="galactic")
    with pytest.raises(BadParameter, match="no density"):
        field.distance(0.0, 0.0, 100.0, prior="density")
    with pytest.raises(BadParameter, match="no velocity errors"):
        field.distance(0.0, 0.0, 100.0, use_field_sigma=True)
    with pytest.raises(BadParameter, match="one length"):
        field.distance([0.0, 1.0], [0.0], [100.0, 200.0])


def test_summaries_are_finite_over_the_whole_sky_and_every_velocity() -> None:
    field = smooth_field(14)
    rng = np.random.default_rng(1)
    n = 2000
    for sigma_v, prior in ((50.0, "flat"), (600.0, "volume")):
        d = field.distance(rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))),
                           rng.uniform(-3000, 12000, n), sigma_v=sigma_v, prior=prior)
        ok = d.status == 0
        names = [f"{t}.{s}" for t in FLOW_TYPES for s in SUMMARY] + ["v_rad", "modulus.mean"]
        assert all(np.isfinite(d.column(name)[ok]).all() for name in names)
        order = np.stack([d.column(f"comoving.{q}")[ok] for q in QUANTILES])
        assert (np.diff(order, axis=0) >= 0).all()


def test_a_root_just_inside_the_face_of_the_lattice_is_found() -> None:
    field = FlowField.from_arrays(np.zeros((3, 5, 5, 5)), origin_hmpc=-50, spacing_hmpc=25, sky_frame="supergalactic")
    exit_r = 50.0 / np.cos(np.deg2rad(20.0))
    for before in (0.001, 0.01, 0.1, 0.2, 0.3):
        cz = C * float(background(0.3).redshift(exit_r - before))
        d = field.distance(20.0, 0.0, cz, frame="supergalactic", cz_frame="cmb")
        assert [r["r_hmpc"] for r in d.roots()] == [pytest.approx(exit_r - before, abs=1e-4)] and "no_root" not in d.flags()
    beyond = field.distance(20.0, 0.0, C * float(background(0.3).redshift(exit_r + 0.01)), frame="supergalactic",
                            cz_frame="cmb")
    assert beyond.roots() == [] and "no_root" in beyond.flags()


def test_the_modulus_of_a_posterior_that_reaches_the_observer_has_its_true_moments() -> None:
    field = zero_field()
    r = (np.arange(400_000) + 0.5) * 2e-4
    for cz in (0.0, 100.0, 600.0):
        d = field.distance(0.0, 0.0, cz, cz_frame="cmb", frame="galactic", prior="flat", H0=100.0)
        w = np.exp(-0.5 * ((cz - C * background(0.3).redshift(r)) / 200.0) ** 2)
        mu = 5 * np.log10((1 + d.column("cz.hel")[0] / C) * r) + 25
        mean = (w * mu).sum() / w.sum()
        assert d.column("modulus.mean")[0] == pytest.approx(mean, abs=0.03)
        assert d.column("modulus.std")[0] == pytest.approx(np.sqrt((w * (mu - mean) ** 2).sum() / w.sum()), abs=0.03)


def test_branches_end_at_the_extremum_between_two_roots() -> None:
    field = attractor()
    d = field.distance(0.0, 0.0, 2000.0, frame="supergalactic", cz_frame="cmb", sigma_v=60)
    fine = field.distance(0.0, 0.0, 2000.0, frame="supergalactic", cz_frame="cmb", sigma_v=60, dr=0.01)
    for a, b in zip(d.roots(), fine.roots()):
        assert a["weight"] == pytest.approx(b["weight"], abs=0.01) and a["r_hmpc"] == pytest.approx(b["r_hmpc"], abs=1e-4)


def test_a_field_made_by_hand_gets_its_bounds_and_refuses_what_cannot_be() -> None:
    made = smooth_field(16, speed=1500.0)
    bare = FlowField(dataclasses.replace(made.manifest, v_max=0.0), made.kernel_arrays()[0])
    assert bare.manifest.v_max == made.manifest.v_max > 1000
    zeros = np.zeros((3, 4, 4, 4))
    where = dict(origin_hmpc=-30, spacing_hmpc=20, sky_frame="galactic")
    for bad in ({"sigma": np.full((4, 4, 4), -1.0)}, {"sigma_v": 0.0}, {"sigma_v": float("nan")},
                {"origin_hmpc": -0.1, "spacing_hmpc": 0.05}, {"spacing_hmpc": -1.0}):
        with pytest.raises(BadParameter):
            FlowField.from_arrays(zeros, **{**where, **bad})
    with pytest.raises(BadParameter, match="CMB frame"):
        made.with_manifest(velocity_frame="lg")
    away = FlowField.from_arrays(zeros, origin_hmpc=50, spacing_hmpc=20, sky_frame="galactic")
    with pytest.raises(BadParameter, match="outside field"):
        away.distance(0.0, 0.0, 500.0, observer="ls")


def test_roots_and_answer_give_velocities_in_one_frame_for_a_local_observer() -> None:
    flow = np.zeros((3, 9, 9, 9))
    flow[0] = 300.0
    field = FlowField.from_arrays(flow, origin_hmpc=-100, spacing_hmpc=25, sky_frame="supergalactic")
    options = FlowOptions(frame="supergalactic", cz_frame="ls", observer="ls")
    d = field.distance(0.0, 0.0, 400.0, options=options)
    assert d.roots()[0]["v_rad"] == pytest.approx(300.0) and d.column("v_rad")[0] == pytest.approx(300.0)
    table = distance_table(field, 0.0, 0.0, n=81, rmax=20.0, cz=400.0, options=options)
    np.testing.assert_allclose(table["cz"], table["cz_hubble"], atol=1e-6)
    assert table["d_mpc"][np.argmax(table["p"])] == pytest.approx(d.summary()["mode"], abs=0.4)


def test_no_rows_give_no_answers_and_text_is_refused() -> None:
    field = smooth_field(2)
    assert len(field.distance([], [], [], pdf="distance")) == 0
    with pytest.raises(BadParameter, match="numbers"):
        field.distance("here", 0.0, 1000.0)


@pytest.mark.parametrize("bad", [{"lat": 95.0}, {"lon": 1000.0}, {"lon": float("nan")}, {"rmax": float("nan")},
                                 {"rmax": -5.0}, {"n": 0}, {"rmax": 399.0}])
def test_a_table_of_nothing_sensible_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(BadParameter):
        distance_table(smooth_field(2), **{"lon": 1.0, "lat": 2.0, "n": 11, **bad})  # type: ignore[arg-type]


def test_a_table_may_begin_outside_the_lattice() -> None:
    field = FlowField.from_arrays(np.zeros((3, 8, 8, 8)), origin_hmpc=20.0, spacing_hmpc=5.0, sky_frame="supergalactic")
    table = distance_table(field, 45.0, 35.0, n=61, rmax=60.0, options=FlowOptions(frame="supergalactic"))
    assert table["inside"][0] == 0.0 and np.isnan(table["v_rad"][0])
    assert table["inside"][45] == 1.0 and table["v_rad"][45] == 0.0


def test_the_command_line_says_that_a_distance_lies_outside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cfcore.cli import main
    assert main(["velocity", "--ra", "1", "--dec", "2", "--distance", "900", "--data", str(tmp_path)]) == 1
    assert "lies outside field ongc-linear; no velocity is known there" in capsys.readouterr().out


@pytest.mark.parametrize("prior", ["volume", "density", "flat"])
def test_an_object_far_beyond_the_field_has_no_distance_however_large_the_field_s_errors(prior: str) -> None:
    field = smooth_field(6, with_sigma=True)
    d = field.distance([10.0] * 3, [20.0] * 3, C * np.array([0.14, 0.8, 1.9]), prior=prior, use_field_sigma=True)
    assert {STATUS[s] for s in d.status} == {"outside_field"} and np.isnan(d.column("distance.mean")).all()
    assert d.flags(0) == ["outside"] and np.isfinite(d.column("cz.cmb")).all()
    near = field.distance(10.0, 20.0, -2500.0, prior=prior, use_field_sigma=True)
    assert STATUS[near.status[0]] == "ok" and "blueshift" in near.flags()


def test_a_field_and_its_answers_can_be_copied_and_sent_to_another_process(tmp_path: Path) -> None:
    from cfcore.fieldfile import open_folder, publish
    made = smooth_field(31, with_sigma=True)
    cells, sigma, *_ = made.kernel_arrays()
    folder = publish(tmp_path, made.with_manifest(id="made", version="1").manifest, np.ascontiguousarray(cells[..., 0]), sigma)
    mapped = FlowField(*open_folder(folder))
    for field, most in ((made, 10 * cells.nbytes), (mapped, 20_000)):
        answer = field.distance(10.0, 20.0, 3000.0, use_field_sigma=True)
        sent = pickle.dumps((field, answer))
        assert len(sent) < most
        again, same = pickle.loads(sent)
        np.testing.assert_array_equal(again.distance(10.0, 20.0, 3000.0, use_field_sigma=True).values, answer.values)
        np.testing.assert_array_equal(same.values, answer.values)
        np.testing.assert_array_equal(copy.deepcopy(field).velocity_at([[1.0, 2.0, 3.0]]), field.velocity_at([[1.0, 2.0, 3.0]]))
    sent = pickle.dumps(mapped)
    (folder / "cells.npy").unlink()
    with pytest.raises(FieldRefused, match="not on this machine"):
        pickle.loads(sent)


def test_quantiles_hold_where_the_weight_stops_at_full_height_at_a_face() -> None:
    v = np.zeros((3, 5, 5, 5))
    v[0] = -600.0
    for half in np.linspace(50.5, 51.5, 11):
        field = FlowField.from_arrays(v, origin_hmpc=-half, spacing_hmpc=half / 2, sky_frame="galactic")
        d = field.distance(0.0, 0.0, 5050.0, frame="galactic", cz_frame="cmb", sigma_v=50.0, pdf="comoving")
        cumulative = np.append(0.0, np.cumsum(0.5 * (d.pdf[0][1:] + d.pdf[0][:-1]) * np.diff(d.x)))
        for name, q in zip(QUANTILES, (0.025, 0.16, 0.5, 0.84, 0.975)):
            assert d.column(f"comoving.{name}")[0] == pytest.approx(np.interp(q, cumulative, d.x), abs=0.02)


def test_a_line_that_runs_in_a_face_of_the_lattice_is_inside() -> None:
    v = np.zeros((3, 5, 5, 5))
    v[0] = 300.0
    field = FlowField.from_arrays(v, origin_hmpc=(-50.0, -50.0, -100.0), spacing_hmpc=25.0, sky_frame="supergalactic")
    for whole in (field, field.with_manifest(v_max=1e9)):
        d = whole.distance(42.31012266260323, 59.528349780922184, 3000.0, sigma_v=100.0)
        assert d.column("inside_fraction")[0] == pytest.approx(1.0) and len(d.roots()) == 1


def test_a_strong_blueshift_in_a_steep_flow_has_an_answer() -> None:
    x = 5.0 * np.arange(-4, 5)
    v = 200.0 * np.stack(np.meshgrid(x, x, x, indexing="ij"))
    for count in (1, 3):
        field = FlowField.from_arrays(np.repeat(v[None], count, axis=0), origin_hmpc=-20, spacing_hmpc=5,
                                      sky_frame="supergalactic")
        d = field.distance(10.0, 20.0, -2930.0, sigma_v=50.0)
        assert d.status[0] == 0 and 0.0 < d.column("comoving.mean")[0] < 1.0


def test_realisations_that_disagree_keep_the_root_of_their_mean() -> None:
    v = np.zeros((2, 3, 5, 5, 5))
    v[0, 0], v[1, 0] = -1000.0, 1000.0
    field = FlowField.from_arrays(v, origin_hmpc=-50, spacing_hmpc=25, sky_frame="supergalactic")
    d = field.distance(0.0, 0.0, 50.0, frame="supergalactic", cz_frame="cmb", sigma_v=50.0, prior="flat")
    assert [r["r_hmpc"] for r in d.roots()] == [pytest.approx(0.5, abs=1e-3)]

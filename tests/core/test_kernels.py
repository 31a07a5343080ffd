"""The compiled loops against closed forms, against their slow twins, against SciPy."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fields import smooth_field
from scipy.interpolate import RegularGridInterpolator

from cfcore import FlowField, _kernels, frames, reference
from cfcore.errors import BadParameter

# Blending is float32 in the compiled copies: (relative to the greatest speed, h^-1 Mpc, of a step of the cumulative).
POINTS, MEANS, QUANTILES = 5e-7, 1e-6, 1e-5
Level = str


@pytest.fixture(params=_kernels.LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[Level]:
    """Run a test with each copy of the loops this machine has."""
    before = _kernels.use(request.param)
    yield request.param
    _kernels.use(before)


def sky(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))


def linear_field() -> tuple[FlowField, np.ndarray, np.ndarray]:
    shape, origin, spacing = (6, 9, 7), np.array([-20.0, -31.5, -12.0]), np.array([7.0, 8.0, 5.0])
    nodes = np.stack(np.meshgrid(*(o + s * np.arange(n) for n, o, s in zip(shape, origin, spacing)), indexing="ij"))
    matrix = np.array([[3.0, -2.0, 1.0], [0.5, 4.0, -1.0], [2.0, 2.0, -3.0]])
    v = np.tensordot(matrix, nodes, 1) + 8.0
    return FlowField.from_arrays(v, 0.125 * nodes[0], origin_hmpc=origin, spacing_hmpc=spacing,
                                 sky_frame="galactic"), matrix, spacing


def test_trilinear_interpolation_is_exact_on_a_linear_field(level: Level) -> None:
    field, matrix, _ = linear_field()
    xyz = np.random.default_rng(0).uniform([-20, -31.5, -12], [15, 32.5, 18], (500, 3))
    np.testing.assert_allclose(field.velocity_at(xyz), xyz @ matrix.T + 8.0, atol=1e-4)
    np.testing.assert_allclose(field.overdensity_at(xyz), 0.125 * xyz[:, 0], atol=1e-6)


@pytest.mark.parametrize("realisations", [1, 3, 17, 57])
def test_points_agree_with_the_twin_and_with_scipy(realisations: int, level: Level) -> None:
    field = smooth_field(9, realisations=realisations, with_sigma=True)
    cells, sigma, count, origin, spacing = field.kernel_arrays()
    top = origin + (np.array(field.manifest.shape) - 1) * spacing
    xyz = np.random.default_rng(3).uniform(origin - 10, top + 10, (1000, 3))
    twin, inside = reference.trilinear(cells[..., :count], origin, spacing, xyz)
    s = field.sample_at(xyz)
    speed = POINTS * field.manifest.v_max if level != "pure" else 1e-9
    np.testing.assert_array_equal(s.inside, inside)
    np.testing.assert_allclose(s.v_pec, twin[:, :3], rtol=0, atol=speed)
    np.testing.assert_allclose(s.overdensity[inside], twin[inside, 3] - 1.0, rtol=0, atol=1e-6)
    np.testing.assert_allclose(s.sigma, reference.trilinear(sigma, origin, spacing, xyz)[0], rtol=1e-12)
    np.testing.assert_allclose(field.velocity_at(xyz)[inside], twin[inside, :3].mean(axis=2), rtol=0, atol=speed)
    np.testing.assert_allclose(field.overdensity_at(xyz)[inside], twin[inside, 3].mean(axis=1) - 1, rtol=0, atol=1e-6)
    assert np.isnan(field.velocity_at(xyz)[~inside]).all() and (s.v_pec[~inside] == 0).all()
    axes = [o + h * np.arange(n) for o, h, n in zip(origin, spacing, field.manifest.shape)]
    scipy = RegularGridInterpolator(axes, cells[..., 0].astype(float))(xyz[inside])
    np.testing.assert_allclose(s.v_pec[inside, :, 0], scipy[:, :3], rtol=0, atol=speed)


def test_faces_edges_and_corners_belong_to_the_field_and_a_hair_outside_does_not(field: FlowField, level: Level) -> None:
    cells, _, _, origin, spacing = field.kernel_arrays()
    top = origin + (np.array(field.manifest.shape) - 1) * spacing
    rng = np.random.default_rng(5)
    for corner in np.ndindex(3, 3, 3):
        if 0 not in corner and 2 not in corner:
            continue
        at = np.array([(o, rng.uniform(o, t), t)[c] for c, o, t in zip(corner, origin, top)])
        step = np.array([(-1e-3, 0.0, 1e-3)[c] for c in corner])
        assert np.isfinite(field.velocity_at(at)).all()
        assert np.isnan(field.velocity_at(at + step)).all()
        assert not field.sample_at(at + step).inside[0]
    np.testing.assert_allclose(field.velocity_at(top)[0], cells[-1, -1, -1, :3, 0], rtol=1e-6)
    np.testing.assert_allclose(field.velocity_at(origin)[0], cells[0, 0, 0, :3, 0], rtol=1e-6)


def test_every_node_gives_back_its_own_values(field: FlowField) -> None:
    cells, _, _, origin, spacing = field.kernel_arrays()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in field.manifest.shape), indexing="ij"), axis=-1).reshape(-1, 3)
    found = field.velocity_at(origin + index * spacing)
    np.testing.assert_allclose(found, cells.reshape(-1, 4)[:, :3], rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_position_that_is_no_position_is_outside(field: FlowField, bad: float, level: Level) -> None:
    s = field.sample_at([[0.0, bad, 0.0]])
    assert not s.inside[0] and np.isnan(field.velocity_at([[0.0, bad, 0.0]])).all()


@pytest.mark.parametrize("realisations", [1, 3, 17])
def test_sightlines_agree_with_the_twin(realisations: int, level: Level) -> None:
    field = smooth_field(realisations=realisations)
    cells, _, count, origin, spacing = field.kernel_arrays()
    r = np.linspace(0, field.reach_hmpc + 5, 301)
    lon, lat = [10.0, 200.0, 359.0], [-60.0, 0.0, 88.0]
    line = field.along(lon, lat, r, frame="icrs")
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    speed = POINTS * field.manifest.v_max if level != "pure" else 1e-9
    for i in range(3):
        v, density, inside = reference.sightline(cells[..., :count], origin, spacing, dirs[i], r)
        np.testing.assert_array_equal(line.inside[i], inside)
        np.testing.assert_allclose(line.v_rad[i], v.mean(axis=1), rtol=0, atol=speed)
        np.testing.assert_allclose(line.overdensity[i], density.mean(axis=1) - 1, rtol=0, atol=1e-6)


@pytest.mark.parametrize("prior", ["volume", "density", "flat"])
@pytest.mark.parametrize("realisations", [1, 5, 57])
@pytest.mark.parametrize("with_sigma", [False, True])
def test_posteriors_agree_with_the_twin(prior: str, realisations: int, with_sigma: bool, level: Level) -> None:
    field = smooth_field(7, realisations=realisations, with_sigma=with_sigma)
    cells, sigma, count, origin, spacing = field.kernel_arrays()
    rng = np.random.default_rng(11)
    n = 40 if realisations < 57 else 12
    lon, lat = sky(rng, n)
    cz = rng.uniform(100.0, 9000.0, n)
    d = field.distance(lon, lat, cz, prior=prior, alpha=1.3, sigma_v=150.0, sigma_cz=40.0, use_field_sigma=with_sigma,
                       pdf="comoving")
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    exact = level == "pure"
    for i in np.flatnonzero(d.status == 0):
        twin = reference.posterior(cells[..., :count], origin, spacing, dirs[i], d.column("cz.cmb")[i] / 299792.458,
                                   float(np.hypot(150.0, 40.0)), d.x, prior=prior, alpha=1.3, sigma=sigma)
        np.testing.assert_allclose(d.pdf[i], twin["pdf"], rtol=0, atol=(1e-9 if exact else 2e-6) * twin["pdf"].max())
        for name, value in (("comoving.mean", twin["mean"]), ("comoving.std", twin["std"])):
            np.testing.assert_allclose(d.column(name)[i], value, rtol=0, atol=1e-7 if exact else MEANS)
        for name in ("hubble.mean", "hubble.std"):
            np.testing.assert_allclose(d.column(name)[i], twin[name.replace(".", "_")], rtol=0,
                                       atol=1e-6 if exact else 100 * MEANS)
        found = [d.column(f"comoving.{q}")[i] for q in ("p2_5", "p16", "median", "p84", "p97_5")]
        np.testing.assert_allclose(found, twin["quantiles"], rtol=0, atol=1e-7 if exact else QUANTILES)
        for name in ("v_rad", "v_rad_std"):
            np.testing.assert_allclose(d.column(name)[i], twin[name], rtol=0, atol=1e-6 if exact else 3e-3)
        np.testing.assert_allclose(d.column("evidence")[i], twin["evidence"], rtol=1e-8 if exact else 1e-4)
        np.testing.assert_allclose(d.column("inside_fraction")[i], twin["inside_fraction"], rtol=0, atol=1e-9 if exact else 1e-6)
        np.testing.assert_allclose([r["r_hmpc"] for r in d.roots(i)], twin["roots"], atol=0.02)
    assert (d.status == 0).sum() > n // 2


@pytest.mark.parametrize("prior", ["volume", "flat"])
@pytest.mark.parametrize("realisations", [1, 17])
@pytest.mark.parametrize("observer", ["cmb", "ls"])
def test_a_window_changes_no_summary(prior: str, realisations: int, observer: str, level: Level) -> None:
    field = smooth_field(21, realisations=realisations, with_sigma=True)
    whole = field.with_manifest(v_max=1e9)
    rng = np.random.default_rng(22)
    for named in ({"sigma_v": 50.0}, {"sigma_v": 200.0}, {"sigma_v": 120.0, "use_field_sigma": True}):
        where = *sky(rng, 60), rng.uniform(-200.0, 9000.0, 60)
        some = field.distance(*where, prior=prior, observer=observer, **named)
        full = whole.distance(*where, prior=prior, observer=observer, **named)
        np.testing.assert_array_equal(some.status, full.status)
        np.testing.assert_array_equal(some.flag_bits, full.flag_bits)
        np.testing.assert_allclose(some.values, full.values, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(some.root_table, full.root_table, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("realisations", [1, 17])
def test_every_instruction_set_and_any_number_of_threads_give_the_same_bits(realisations: int) -> None:
    field = smooth_field(23, realisations=realisations, with_sigma=True)
    rng = np.random.default_rng(24)
    n = 1500 if realisations == 1 else 700
    where, xyz = (*sky(rng, n), rng.uniform(-200, 9000, n)), rng.uniform(-120, 120, (20_000, 3))
    r = np.linspace(0, 130, 200)
    answers = {}
    before = _kernels.use(_kernels.LEVELS[-1])
    try:
        for level in _kernels.LEVELS[1:]:
            _kernels.use(level)
            for threads in (1, 2, 5):
                d = [field.distance(*where, prior=p, alpha=a, use_field_sigma=u, threads=threads, pdf="comoving")
                     for p, a, u in (("volume", 1.0, False), ("density", 1.0, True), ("density", 0.7, False))]
                line = field.along(where[0][:40], where[1][:40], r, threads=threads)
                answers[level, threads] = [*(x for a in d for x in (a.values, a.root_table, a.pdf)), line.v_rad, line.overdensity,
                                           field.sample_at(xyz, threads=threads).values,
                                           field.velocity_at(xyz, threads=threads), field.overdensity_at(xyz, threads=threads)]
    finally:
        _kernels.use(before)
    first = next(iter(answers.values()))
    for key, answer in answers.items():
        for a, b in zip(first, answer):
            np.testing.assert_array_equal(a, b, err_msg=str(key))


def test_an_array_given_as_out_is_written_and_returned() -> None:
    field = smooth_field(25, with_sigma=True)
    rng = np.random.default_rng(26)
    xyz, other = rng.uniform(-50, 50, (2, 300, 3))
    v = np.empty((300, 3))
    assert field.velocity_at(xyz, out=v) is v
    np.testing.assert_array_equal(v, field.velocity_at(xyz))
    samples = field.sample_at(other)
    again = field.sample_at(xyz, out=samples)
    assert again.values is samples.values
    np.testing.assert_array_equal(again.values, field.sample_at(xyz).values)
    np.testing.assert_array_equal(again.sigma, field.sample_at(xyz).sigma)
    line = field.along([1.0, 2.0], [3.0, 4.0], np.arange(9.0))
    np.testing.assert_array_equal(field.along([5.0, 6.0], [7.0, 8.0], np.arange(9.0), out=line).v_rad,
                                  field.along([5.0, 6.0], [7.0, 8.0], np.arange(9.0)).v_rad)
    d = field.distance([1.0, 2.0], [3.0, 4.0], [2000.0, 3000.0])
    e = field.distance([5.0, 6.0], [7.0, 8.0], [2500.0, 99.0], out=d)
    assert e.values is d.values
    np.testing.assert_array_equal(e.values, field.distance([5.0, 6.0], [7.0, 8.0], [2500.0, 99.0]).values)
    for wrong in (np.empty((300, 4)), np.empty((300, 3), np.float32), np.empty((3, 300)).T):
        with pytest.raises(BadParameter, match="out has shape"):
            field.velocity_at(xyz, out=wrong)
    with pytest.raises(BadParameter, match="out has shape"):
        field.distance(1.0, 2.0, 3000.0, out=d)
    for small in (line._replace(inside=np.empty((1, 9), bool)), line._replace(overdensity=np.empty((1, 9))),
                  smooth_field(2).along([1.0, 2.0], [3.0, 4.0], np.arange(9.0))):
        with pytest.raises(BadParameter, match="out has shape"):
            field.along([1.0, 2.0], [3.0, 4.0], np.arange(9.0), out=small)
    with pytest.raises(BadParameter, match="out has shape"):
        field.sample_at(xyz, out=samples._replace(inside=np.empty(3, bool)))
    for threads in (-1, 1.5, True, 1000):
        with pytest.raises(BadParameter, match="threads"):
            field.velocity_at(np.zeros((20_000, 3)), threads=threads)  # type: ignore[arg-type]


def test_directions_are_right_to_rounding_and_exact_on_the_axes() -> None:
    rng = np.random.default_rng(27)
    lon, lat = rng.uniform(-360, 360, 20_000), rng.uniform(-90, 90, 20_000)
    a, b = np.deg2rad(lon), np.deg2rad(lat)
    np.testing.assert_allclose(frames.unit_vectors(lon, lat),
                               np.stack([np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)], axis=1), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(frames.unit_vectors([0.0, 90.0, 180.0, 270.0, 360.0, -90.0, 5.0], [0.0] * 6 + [90.0]), [
        [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [1, 0, 0], [0, -1, 0], [0, 0, 1]])


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(-300, 9000), st.sampled_from(["volume", "density", "flat"]),
       st.integers(1, 12))
def test_n_objects_at_once_equal_n_single_ones_to_the_last_bit(lon: float, lat: float, cz: float, prior: str,
                                                               n: int) -> None:
    field = smooth_field(2)
    rng = np.random.default_rng(n)
    lons, lats, czs = np.append(rng.uniform(0, 360, n), lon), np.append(rng.uniform(-90, 90, n), lat), \
        np.append(rng.uniform(0, 9000, n), cz)
    batch = field.distance(lons, lats, czs, prior=prior, pdf="luminosity")
    for i in range(n + 1):
        one = field.distance(lons[i], lats[i], czs[i], prior=prior, pdf="luminosity")
        np.testing.assert_array_equal(batch.values[i], one.values[0])
        np.testing.assert_array_equal(batch.pdf[i], one.pdf[0])
        np.testing.assert_array_equal(batch.root_table[i], one.root_table[0])


def test_eight_threads_give_what_one_gives(field: FlowField) -> None:
    rng = np.random.default_rng(4)
    lon, lat, cz = rng.uniform(0, 360, 800), rng.uniform(-90, 90, 800), rng.uniform(100, 9000, 800)
    serial = field.distance(lon, lat, cz, prior="density").values
    parts: list[np.ndarray] = [np.empty(0)] * 8

    def work(i: int) -> None:
        s = slice(100 * i, 100 * i + 100)
        parts[i] = field.distance(lon[s], lat[s], cz[s], prior="density").values

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    np.testing.assert_array_equal(np.concatenate(parts), serial)

"""The compiled loops against closed forms, against their slow twins, against SciPy."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fields import smooth_field
from scipy.interpolate import RegularGridInterpolator

from cfcore import FlowField, frames, reference


def linear_field() -> tuple[FlowField, np.ndarray, np.ndarray]:
    shape, origin, spacing = (6, 9, 7), np.array([-20.0, -31.5, -12.0]), np.array([7.0, 8.0, 5.0])
    nodes = np.stack(np.meshgrid(*(o + s * np.arange(n) for n, o, s in zip(shape, origin, spacing)), indexing="ij"))
    matrix = np.array([[3.0, -2.0, 1.0], [0.5, 4.0, -1.0], [2.0, 2.0, -3.0]])
    v = np.tensordot(matrix, nodes, 1) + 8.0
    return FlowField.from_arrays(v, 0.125 * nodes[0], origin_hmpc=origin, spacing_hmpc=spacing,
                                 sky_frame="galactic"), matrix, spacing


def test_trilinear_interpolation_is_exact_on_a_linear_field() -> None:
    field, matrix, _ = linear_field()
    xyz = np.random.default_rng(0).uniform([-20, -31.5, -12], [15, 32.5, 18], (500, 3))
    np.testing.assert_allclose(field.velocity_at(xyz), xyz @ matrix.T + 8.0, atol=1e-4)
    np.testing.assert_allclose(field.overdensity_at(xyz), 0.125 * xyz[:, 0], atol=1e-6)


def test_points_agree_with_the_twin_and_with_scipy(field: FlowField) -> None:
    cells, _, _, origin, spacing = field.kernel_arrays()
    rng = np.random.default_rng(3)
    top = origin + (np.array(field.manifest.shape) - 1) * spacing
    xyz = rng.uniform(origin - 10, top + 10, (3000, 3))
    twin, inside = reference.trilinear(cells[..., 0], origin, spacing, xyz)
    s = field.sample_at(xyz)
    np.testing.assert_array_equal(s.inside, inside)
    np.testing.assert_allclose(s.v_pec[:, :, 0], twin[:, :3], rtol=1e-12, atol=1e-9)
    axes = [o + h * np.arange(n) for o, h, n in zip(origin, spacing, field.manifest.shape)]
    scipy = RegularGridInterpolator(axes, cells[..., 0].astype(float))(xyz[inside])
    np.testing.assert_allclose(s.v_pec[inside, :, 0], scipy[:, :3], rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(1 + s.overdensity[inside, 0], scipy[:, 3], rtol=1e-9, atol=1e-9)


def test_faces_edges_and_corners_belong_to_the_field_and_a_hair_outside_does_not(field: FlowField) -> None:
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
def test_a_position_that_is_no_position_is_outside(field: FlowField, bad: float) -> None:
    s = field.sample_at([[0.0, bad, 0.0]])
    assert not s.inside[0] and np.isnan(field.velocity_at([[0.0, bad, 0.0]])).all()


@pytest.mark.parametrize("realisations", [1, 3, 17])
def test_sightlines_agree_with_the_twin(realisations: int) -> None:
    field = smooth_field(realisations=realisations)
    cells, _, count, origin, spacing = field.kernel_arrays()
    r = np.linspace(0, field.reach_hmpc + 5, 301)
    lon, lat = [10.0, 200.0, 359.0], [-60.0, 0.0, 88.0]
    line = field.along(lon, lat, r, frame="icrs")
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    for i in range(3):
        v, density, inside = reference.sightline(cells[..., :count], origin, spacing, dirs[i], r)
        np.testing.assert_array_equal(line.inside[i], inside)
        np.testing.assert_allclose(line.v_rad[i], v.mean(axis=1), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(line.overdensity[i], density.mean(axis=1) - 1, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("prior", ["volume", "density", "flat"])
@pytest.mark.parametrize("realisations", [1, 5])
@pytest.mark.parametrize("with_sigma", [False, True])
def test_posteriors_agree_with_the_twin(prior: str, realisations: int, with_sigma: bool) -> None:
    field = smooth_field(7, realisations=realisations, with_sigma=with_sigma)
    cells, sigma, count, origin, spacing = field.kernel_arrays()
    rng = np.random.default_rng(11)
    n = 40
    lon, lat = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    cz = rng.uniform(100.0, 9000.0, n)
    d = field.distance(lon, lat, cz, prior=prior, alpha=1.3, sigma_v=150.0, sigma_cz=40.0, use_field_sigma=with_sigma,
                       pdf="comoving")
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    for i in np.flatnonzero(d.status == 0):
        twin = reference.posterior(cells[..., :count], origin, spacing, dirs[i], d.column("cz.cmb")[i] / 299792.458,
                                   float(np.hypot(150.0, 40.0)), d.x, prior=prior, alpha=1.3, sigma=sigma)
        np.testing.assert_allclose(d.pdf[i], twin["pdf"], rtol=1e-7, atol=1e-9 * twin["pdf"].max())
        np.testing.assert_allclose(d.column("comoving.mean")[i], twin["mean"], rtol=1e-9)
        np.testing.assert_allclose(d.column("comoving.std")[i], twin["std"], rtol=1e-8)
        np.testing.assert_allclose(d.column("hubble.mean")[i], twin["hubble_mean"], rtol=1e-9)
        np.testing.assert_allclose(d.column("hubble.std")[i], twin["hubble_std"], rtol=1e-8)
        np.testing.assert_allclose(d.column("evidence")[i], twin["evidence"], rtol=1e-8)
        np.testing.assert_allclose(d.column("v_rad")[i], twin["v_rad"], rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(d.column("inside_fraction")[i], twin["inside_fraction"], rtol=1e-9)
        found = [d.column(f"comoving.{q}")[i] for q in ("p2_5", "p16", "median", "p84", "p97_5")]
        np.testing.assert_allclose(found, twin["quantiles"], rtol=1e-9)
        np.testing.assert_allclose([r["r_hmpc"] for r in d.roots(i)], twin["roots"], atol=0.02)
    assert (d.status == 0).sum() > n // 2


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

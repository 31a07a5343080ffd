"""Covariance of radial velocities: closed forms, NumPy's own estimator, and what must hold of any covariance."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from made_fields import smooth_field

import cfcore
from cfcore import FlowField, covariance, frames
from cfcore.covariance import radial_velocities, velocity_covariance, velocity_deviations
from cfcore.errors import BadParameter


@pytest.fixture(scope="module")
def ensemble() -> FlowField:
    return smooth_field(7, realisations=12, with_sigma=True)


def places(n: int, seed: int = 2, far: float = 60.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n))), rng.uniform(5, far, n)


def test_bulk_flows_vary_together_as_the_cosine_between_the_directions() -> None:
    flows = np.zeros((4, 3, 3, 3, 3))
    flows[:, 0] = np.array([-300.0, -100.0, 100.0, 300.0])[:, None, None, None]
    field = FlowField.from_arrays(flows, origin_hmpc=-100, spacing_hmpc=100, sky_frame="galactic")
    lon = np.array([0.0, 60.0, 90.0, 180.0])
    c = velocity_covariance(field, lon, np.zeros(4), np.full(4, 50.0), frame="galactic")
    x = np.cos(np.deg2rad(lon))
    np.testing.assert_allclose(c, np.var([-300, -100, 100, 300], ddof=1) * np.outer(x, x), atol=1e-6)


def test_it_is_numpy_s_unbiased_estimate_over_the_realisations(ensemble: FlowField) -> None:
    lon, lat, d = places(30)
    each = []
    for k in range(12):
        cells = ensemble.kernel_arrays()[0][..., k]
        one = FlowField.from_arrays(cells[..., :3].transpose(3, 0, 1, 2), origin_hmpc=ensemble.manifest.origin_hmpc,
                                    spacing_hmpc=ensemble.manifest.spacing_hmpc, sky_frame="supergalactic")
        each.append(one.velocity(lon, lat, d, H0=70.0).column("v_rad"))
    c = velocity_covariance(ensemble, lon, lat, d, H0=70.0)
    np.testing.assert_allclose(c, np.cov(np.array(each).T), rtol=1e-9, atol=1e-6)
    v = radial_velocities(ensemble, lon, lat, d, H0=70.0)
    np.testing.assert_allclose(v.v_rad, np.array(each).T, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(v.sigma, ensemble.velocity(lon, lat, d, H0=70.0).column("sigma"))


def test_it_is_symmetric_positive_semidefinite_and_of_low_rank(ensemble: FlowField) -> None:
    c = velocity_covariance(ensemble, *places(80))
    np.testing.assert_array_equal(c, c.T)
    values = np.linalg.eigvalsh(c)
    assert values.min() > -1e-9 * values.max() and (values > 1e-9 * values.max()).sum() == 11
    f = velocity_deviations(ensemble, *places(80))
    assert f.shape == (80, 12)
    np.testing.assert_allclose(f @ f.T, c, rtol=1e-12)


def test_the_scatter_of_galaxies_stands_on_the_diagonal_when_asked(ensemble: FlowField) -> None:
    at = places(10)
    plain, own, given = (velocity_covariance(ensemble, *at, **k) for k in (
        {}, {"add_sigma_v": True}, {"add_sigma_v": True, "sigma_v": 150.0}))
    np.testing.assert_allclose(own - plain, np.eye(10) * 200.0 ** 2, atol=1e-6)
    np.testing.assert_allclose(given - plain, np.eye(10) * 150.0 ** 2, atol=1e-6)
    np.linalg.cholesky(given)


def test_objects_without_an_answer_are_nan_and_spoil_nothing(ensemble: FlowField) -> None:
    lon, lat, d = places(5)
    good = velocity_covariance(ensemble, lon, lat, d)
    d2, lat2 = d.copy(), lat.copy()
    d2[1], lat2[3] = 5000.0, np.nan
    c = velocity_covariance(ensemble, lon, lat2, d2, add_sigma_v=False)
    bad = np.array([False, True, False, True, False])
    assert np.isnan(c[bad]).all() and np.isnan(c[:, bad]).all()
    np.testing.assert_allclose(c[np.ix_(~bad, ~bad)], good[np.ix_(~bad, ~bad)], rtol=1e-12)
    words = [cfcore.distances.STATUS[s] for s in radial_velocities(ensemble, lon, lat2, d2).status]
    assert words == ["ok", "outside_field", "ok", "not_finite", "ok"]


def test_the_sky_frame_of_the_input_changes_nothing(ensemble: FlowField) -> None:
    lon, lat, d = places(20)
    n = frames.unit_vectors(lon, lat)
    a = velocity_covariance(ensemble, lon, lat, d)
    for frame in ("galactic", "supergalactic"):
        b = velocity_covariance(ensemble, *frames.lon_lat(frames.rotate(n, "icrs", frame)), d, frame=frame)
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-4)


def test_blocks_of_rows_leave_no_trace(ensemble: FlowField, monkeypatch: pytest.MonkeyPatch) -> None:
    at = places(50)
    whole = radial_velocities(ensemble, *at).v_rad
    monkeypatch.setattr(covariance, "_BLOCK_NUMBERS", 48 * 7)
    np.testing.assert_array_equal(radial_velocities(ensemble, *at).v_rad, whole)


def test_one_realisation_and_too_many_objects_are_refused(ensemble: FlowField) -> None:
    with pytest.raises(BadParameter, match="1 realisation, a covariance needs at least 2"):
        velocity_covariance(smooth_field(1), *places(3))
    n = covariance.N_MAX + 1
    with pytest.raises(BadParameter, match=r"20001 objects make a matrix of 3\.2 GB"):
        velocity_covariance(ensemble, np.zeros(n), np.zeros(n), np.ones(n))


def test_coordinates_and_units_change_nothing(ensemble: FlowField) -> None:
    lon, lat, d = places(6)
    coord = SkyCoord(lon, lat, unit="deg").galactic
    c = cfcore.velocity_covariance(coord, d * u.Mpc, field=ensemble, H0=75)
    assert c.unit == u.km ** 2 / u.s ** 2 and c.shape == (6, 6)
    np.testing.assert_allclose(c.value, velocity_covariance(ensemble, lon, lat, d), rtol=1e-6, atol=1e-3)
    kpc = cfcore.velocity_covariance(coord, (d * u.Mpc).to(u.kpc), field=ensemble, add_sigma_v=True, sigma_v=0.15 * u.Mm / u.s)
    np.testing.assert_allclose(np.diag(kpc.value) - np.diag(c.value), 150.0 ** 2, rtol=1e-6)
    with pytest.raises(BadParameter, match="1 realisation"):
        cfcore.velocity_covariance(coord, d * u.Mpc, field=smooth_field(1))

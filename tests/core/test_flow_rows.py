"""The compiled pass over known distances against the same written with arrays, frame by frame."""

from __future__ import annotations

import numpy as np
import pytest
from made_fields import smooth_field

from cfcore import FlowField, _kernels, distances, frames
from cfcore.cosmology import C_KMS, background
from cfcore.options import FlowOptions


def by_arrays(field: FlowField, lon: np.ndarray, lat: np.ndarray, d: np.ndarray, opt: FlowOptions) -> dict[str, np.ndarray]:
    """Return the columns of rows that can be used; NaN outside."""
    sky = frames.unit_vectors(lon, lat)
    dirs, n_gal = (frames.rotate(sky, opt.frame, f) for f in (field.manifest.sky_frame, "galactic"))
    r = d * opt.H0 / 100.0
    s = field.sample_at(dirs * r[:, None])
    v, out = s.v_pec.mean(axis=2), {}
    v_rad, zbar = (v * dirs).sum(axis=1), background(opt.Om).redshift(r)
    z = (1.0 + zbar) * (1.0 + v_rad / C_KMS) - 1.0
    out |= {name: np.where(s.inside, c, np.nan) for name, c in zip(
        ("v_pec.sgx", "v_pec.sgy", "v_pec.sgz"), frames.rotate(v, field.manifest.sky_frame, "supergalactic").T)}
    out |= {"v_rad": np.where(s.inside, v_rad, np.nan), "delta": np.where(s.inside, s.overdensity.mean(axis=1), np.nan),
            "sigma": np.where(s.inside, s.sigma, np.nan) if field.has_sigma else np.full(len(r), np.nan)}
    out |= {f"cz.{f}": np.where(s.inside, C_KMS * frames.convert_z(z, n_gal, "cmb", f, opt.composition), np.nan)
            for f in frames.REPORTED_FRAMES}
    out |= dict(zip(("sgx", "sgy", "sgz"), (frames.rotate(sky, opt.frame, "supergalactic") * r[:, None]).T))
    return {**out, "cz_hubble": C_KMS * zbar}


@pytest.mark.parametrize("level", _kernels.LEVELS)
@pytest.mark.parametrize("asked", [{}, {"frame": "galactic", "composition": "additive", "H0": 70.0, "Om": 0.0},
                                   {"frame": "supergalactic", "Om": 1.0}])
def test_every_column_is_that_of_the_arrays(level: str, asked: dict[str, object]) -> None:
    field, opt = smooth_field(), FlowOptions(**asked)  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    n = 3001
    lon, lat = rng.uniform(-360, 360, n), rng.uniform(-90, 90, n)
    d = np.where(np.arange(n) % 4 == 3, 10 ** rng.uniform(-3, 4.0, n), rng.uniform(0, 130, n))
    d[:2] = 0.0
    before = _kernels.use(level)
    try:
        got, whole = distances.velocities(field, lon, lat, d, options=opt), by_arrays(field, lon, lat, d, opt)
        single = distances.velocities(field, lon[17], lat[17], d[17], options=opt)
    finally:
        _kernels.use(before)
    assert set(whole) == set(distances.VELOCITY_VALUES) and 0 < got.inside.sum() < n
    for name, column in whole.items():
        np.testing.assert_allclose(got.column(name), column, rtol=1e-11, atol=2e-8, err_msg=name)
    np.testing.assert_array_equal(single.values[0], got.values[17])


def test_rows_that_cannot_be_used_say_why_and_touch_no_others() -> None:
    field = smooth_field()
    lon, lat, d = np.full((3, 200), 10.0)
    for row, (where, value) in enumerate([(lon, np.nan), (lat, 91.0), (d, -1.0), (d, np.inf), (lon, 361.0), (lat, -np.inf)]):
        where[60 + row] = value
    d[70] = 5e4
    got = distances.velocities(field, lon, lat, d)
    words = [distances.STATUS[s] for s in got.status]
    assert words[60:66] == ["not_finite", "lat_out_of_range", "distance_out_of_range", "not_finite", "lon_out_of_range",
                            "not_finite"]
    assert words[70] == "outside_field" and set(words[:60] + words[71:]) == {"ok"} and not got.inside[60:66].any()
    assert np.isnan(got.values[60:66]).all() and np.isnan(got.column("cz_hubble")[70])
    others = np.delete(np.arange(200), [*range(60, 66), 70])
    assert (got.values[others][:, [0, 6, 9]] == got.values[0, [0, 6, 9]]).all()

"""The distance table of an ensemble tells how far its realisations are apart; that of one realisation does not pretend to."""

from __future__ import annotations

import numpy as np
import pytest
from made_fields import smooth_field

from cfcore import FlowField, frames, sightlines


@pytest.mark.parametrize("n", [60, 5000])
def test_the_spread_is_that_of_the_realisations_along_the_line(n: int) -> None:
    field = smooth_field(8, realisations=7, sky_frame="galactic")
    table = sightlines.distance_table(field, 40.0, 20.0, n=n)
    toward = frames.rotate(frames.unit_vectors(40.0, 20.0), "icrs", "galactic")
    samples = field.sample_at(table["r_hmpc"][:, None] * toward)
    spread = (samples.v_pec * toward[0][:, None]).sum(axis=1).std(axis=1, ddof=1)
    np.testing.assert_allclose(table["v_rad_std"], np.where(samples.inside, spread, np.nan), rtol=1e-9)
    assert list(table).index("v_rad_std") == list(table).index("v_rad") + 1
    assert np.nanmin(table["v_rad_std"]) > 0.0 and np.isnan(table["v_rad_std"][-1])


def test_realisations_that_agree_have_no_spread() -> None:
    flow = np.zeros((3, 3, 5, 5, 5))
    flow[:, 0], flow[1, 1], flow[2, 1] = 100.0, 30.0, -30.0
    field = FlowField.from_arrays(flow, origin_hmpc=-40, spacing_hmpc=20, sky_frame="supergalactic")
    along_x = sightlines.distance_table(field, *_sky(1, 0), n=5, rmax=30.0)
    along_y = sightlines.distance_table(field, *_sky(0, 1), n=5, rmax=30.0)
    np.testing.assert_allclose(along_x["v_rad_std"], 0.0, atol=1e-4)
    np.testing.assert_allclose(along_y["v_rad_std"], 30.0, rtol=1e-6)


def test_one_realisation_has_no_spread_to_tell(field: FlowField) -> None:
    assert np.isnan(sightlines.distance_table(field, 10.0, 10.0, n=11)["v_rad_std"]).all()


def test_a_table_kept_by_an_earlier_version_has_the_columns_it_had(field: FlowField) -> None:
    kept = {name: column[None] for name, column in sightlines.distance_table(field, 10.0, 10.0, n=5, cz=3000.0).items()}
    every = list(sightlines.COLUMNS)
    assert sightlines.columns_of(kept) == every and sightlines.columns_of({}) == every[:-1]
    del kept["v_rad_std"]
    kept["p"] = np.full((1, 5), np.nan)
    assert sightlines.columns_of(kept) == [name for name in every if name not in ("v_rad_std", "p")]


def _sky(x: float, y: float) -> tuple[float, float]:
    """Return right ascension and declination of a direction on supergalactic axes."""
    lon, lat = frames.lon_lat(frames.rotate([[x, y, 0.0]], "supergalactic", "icrs"))
    return float(lon[0]), float(lat[0])

"""Sky and velocity frames against astropy, and the background against astropy.cosmology."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord, Supergalactic
from astropy.cosmology import FlatLambdaCDM

from cfcore import C_KMS, background, frames
from cfcore.errors import BadParameter, UnknownName


def test_sky_frames_agree_with_astropy_within_thirty_milliarcseconds() -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(0, 360, 2000), np.rad2deg(np.arcsin(rng.uniform(-1, 1, 2000)))
    icrs = SkyCoord(lon * u.deg, lat * u.deg, frame="icrs")
    for name, theirs in (("galactic", icrs.galactic), ("supergalactic", icrs.transform_to(Supergalactic()))):
        ours = SkyCoord(*(a * u.deg for a in frames.lon_lat(frames.rotate(frames.unit_vectors(lon, lat), "icrs", name))),
                        frame=theirs.frame.name)
        assert ours.separation(theirs).arcsec.max() < 0.03


def test_rotations_are_orthogonal_and_closed() -> None:
    for a in frames.SKY_FRAMES:
        for b in frames.SKY_FRAMES:
            m = frames.rotation(a, b)
            np.testing.assert_allclose(m @ m.T, np.eye(3), atol=1e-14)
            np.testing.assert_allclose(m @ frames.rotation(b, a), np.eye(3), atol=1e-14)


def test_longitude_lies_in_zero_to_360_even_just_below_zero() -> None:
    lon, _ = frames.lon_lat([[1.0, -1e-17, 0.0], [1.0, -1e-3, 0.0], [-1.0, 0.0, 0.0]])
    assert (lon >= 0).all() and (lon < 360).all()


def test_the_sun_moves_towards_its_cmb_apex() -> None:
    n = frames.unit_vectors(264.021, 48.253)
    assert frames.sun_along(n, "cmb")[0] == pytest.approx(369.82)
    z = frames.convert_z([0.01], n, "hel", "cmb")
    assert z[0] == pytest.approx(1.01 / (1 - 369.82 / C_KMS) - 1)


@pytest.mark.parametrize("frame", list(frames.VELOCITY_FRAMES))
@pytest.mark.parametrize("composition", frames.COMPOSITIONS)
def test_velocity_frames_convert_there_and_back(frame: str, composition: str) -> None:
    rng = np.random.default_rng(1)
    n = frames.unit_vectors(rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50))
    z = rng.uniform(-0.001, 0.1, 50)
    there = frames.convert_z(z, n, "hel", frame, composition)
    np.testing.assert_allclose(frames.convert_z(there, n, frame, "hel", composition), z, atol=1e-15)


def test_additive_and_multiplicative_differ_by_z_times_the_suns_motion() -> None:
    n = frames.unit_vectors(264.021, 48.253)
    both = [frames.convert_z([0.05], n, "hel", "cmb", c)[0] for c in frames.COMPOSITIONS]
    assert C_KMS * (both[0] - both[1]) == pytest.approx(0.05 * 369.82, rel=0.03)


@pytest.mark.parametrize("bad", ["", "b1950", "fk4", "ICRS2", "x" * 10000])
def test_unknown_frames_are_refused_with_the_list(bad: str) -> None:
    with pytest.raises(UnknownName, match="icrs, galactic, supergalactic") as caught:
        frames.sky_frame(bad)
    assert len(caught.value.message) < 300
    with pytest.raises(UnknownName, match="hel, cmb"):
        frames.velocity_frame(bad)


@pytest.mark.parametrize("Om", [0.0, 0.25, 0.3, 1.0])
def test_distances_agree_with_astropy(Om: float) -> None:
    theirs = FlatLambdaCDM(H0=100, Om0=Om, Tcmb0=0)
    z = np.array([0.0, 1e-6, 0.003, 0.0235, 0.1, 0.5, 2.0, 9.0])
    ours = background(Om)
    np.testing.assert_allclose(ours.comoving_hmpc(z), theirs.comoving_distance(z).value, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.redshift(ours.comoving_hmpc(z)), z, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(ours.efunc(z), theirs.efunc(z), rtol=1e-14)


def test_what_lies_beyond_the_background_is_nan_and_a_bad_density_refused() -> None:
    assert np.isnan(background(0.3).comoving_hmpc(25.0)) and np.isnan(background(0.3).redshift(-1.0))
    assert np.isnan(background(0.3).redshift(np.nan))
    with pytest.raises(BadParameter, match="Om = 1.5"):
        background(1.5)

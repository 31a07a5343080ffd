"""The three-attractor model: NED's formula by closed forms, and its vector field by the formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import FK4, SkyCoord

from cfcore import frames, mould2000, reference
from cfcore.errors import BadParameter, UnknownName

VIRGO, GREAT, SHAPLEY = mould2000.ATTRACTORS
LG_SUN = np.array([-79.0, 296.0, -36.0])


def sky(icrs_vector):
    lon, lat = frames.lon_lat(icrs_vector)
    return float(lon[0]), float(lat[0])


def v_hel_of(v_lg, icrs_vector):
    return v_lg - float(frames.rotate(icrs_vector, "icrs", "galactic")[0] @ LG_SUN)


def by_hand(icrs_vector, v_lg):
    """Write the formula of the paper once more, with angles and a general gamma, for one object."""
    gamma, total = 2.0, v_lg
    for a in mould2000.ATTRACTORS:
        t = math.acos(max(-1.0, min(1.0, float(a.direction_icrs @ icrs_vector))))
        r = math.sqrt(v_lg ** 2 + a.v_lg ** 2 - 2 * v_lg * a.v_lg * math.cos(t))
        total += a.v_fid * (math.cos(t) + (v_lg - a.v_lg * math.cos(t)) / r * (r / a.v_lg) ** (1 - gamma))
    return total


@pytest.fixture(scope="module")
def field():
    return mould2000.build_field()


@pytest.mark.parametrize("a", mould2000.ATTRACTORS, ids=lambda a: a.name)
def test_b1950_positions_precess_as_astropy_does(a):
    theirs = SkyCoord(a.ra_b1950 * units.deg, a.dec_b1950 * units.deg, frame=FK4(equinox="B1950")).icrs
    lon, lat = sky(a.direction_icrs)
    assert theirs.separation(SkyCoord(lon * units.deg, lat * units.deg)).arcsec < 0.5


def test_virgo_lies_on_m87():
    m87 = frames.unit_vectors(187.70593, 12.39112)[0]
    assert math.degrees(math.acos(VIRGO.direction_icrs @ m87)) < 0.01


@pytest.mark.parametrize("a, v_hel", [(VIRGO, 1035.0), (GREAT, 4600.0), (SHAPLEY, 13800.0)],
                         ids=["Virgo", "Great Attractor", "Shapley"])
def test_inside_cone_and_range_the_answer_is_the_attractor_velocity(a, v_hel):
    assert mould2000.v_cosmic(*sky(a.direction_icrs), v_hel) == a.v_lg


@pytest.mark.parametrize("a", mould2000.ATTRACTORS, ids=lambda a: a.name)
def test_the_zone_ends_at_its_cone_and_at_its_velocity_range(a):
    low, high = a.v_hel_range
    east = np.cross([0.0, 0.0, 1.0], a.direction_icrs)
    east /= np.linalg.norm(east)

    def off_by(degrees, v_hel):
        t = math.radians(degrees)
        direction = math.cos(t) * a.direction_icrs + math.sin(t) * east
        return mould2000.v_cosmic(*sky(direction), v_hel) == a.v_lg

    middle = 0.5 * (low + high)
    assert off_by(a.cone_deg - 0.01, middle) and not off_by(a.cone_deg + 0.01, middle)
    assert off_by(0.0, low + 0.1) and not off_by(0.0, low - 0.1)
    assert off_by(0.0, high - 0.1) and not off_by(0.0, high + 0.1)


def test_on_the_axis_of_virgo_its_own_term_has_a_closed_form():
    # cos t = 1, v_LG = 3 v_a: r_oa = 2 v_a and V_in = V_fid (1 + 2 v_a / (2 v_a) / 2) = 1.5 V_fid = 300 km/s
    v_lg = 3.0 * VIRGO.v_lg
    cos_t = np.ones(1)
    assert mould2000._infall(VIRGO, np.array([v_lg]), cos_t)[0] == pytest.approx(300.0, rel=1e-12)
    # opposite to it, cos t = -1, v_LG = v_a: r_oa = 2 v_a and V_in = V_fid (-1 + 1/2) = -100 km/s
    assert mould2000._infall(VIRGO, np.array([VIRGO.v_lg]), -cos_t)[0] == pytest.approx(-100.0, rel=1e-12)


def test_at_zero_velocity_own_and_common_infall_cancel():
    # v_LG = 0: r_oa = v_a and V_in = V_fid (cos t - cos t) = 0 whatever the direction
    n = frames.unit_vectors(40.0, -20.0)[0]
    assert mould2000.v_cosmic(40.0, -20.0, v_hel_of(0.0, n)) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("lon, lat, v_lg", [(10.0, 0.0, 3000.0), (197.4, -23.4, 2700.0), (95.0, 41.0, 6000.0),
                                            (300.0, -60.0, 17000.0), (187.0, 12.0, 5000.0), (80.0, -5.0, -50.0)])
def test_outside_the_zones_the_answer_is_the_formula_of_the_paper(lon, lat, v_lg):
    n = frames.unit_vectors(lon, lat)[0]
    assert mould2000.v_cosmic(lon, lat, v_hel_of(v_lg, n)) == pytest.approx(by_hand(n, v_lg), abs=1e-8)


def test_many_objects_at_once_equal_single_ones_and_keep_their_shape():
    lon = np.array([[10.0, 187.7, 201.0], [203.2, 50.0, np.nan]])
    lat = np.array([[5.0, 12.4, -44.0], [-31.3, 41.5, 0.0]])
    v = np.array([[900.0, 1035.0, 4000.0], [13800.0, 5300.0, 100.0]])
    many = mould2000.v_cosmic(lon, lat, v)
    single = [mould2000.v_cosmic(*row) for row in zip(lon.flat, lat.flat, v.flat)]
    assert many.shape == (2, 3) and math.isnan(single[-1])
    np.testing.assert_array_equal(many.ravel(), single)
    assert isinstance(single[0], float)


def test_one_velocity_broadcasts_over_many_positions():
    assert mould2000.v_cosmic([10.0, 20.0], [0.0, 5.0], 2000.0).shape == (2,)


def test_the_sky_frame_of_the_position_does_not_matter():
    n = frames.unit_vectors(50.0, 41.0)
    answers = [mould2000.v_cosmic(*sky(frames.rotate(n, "icrs", key)), 5300.0, frame=key)
               for key in frames.SKY_FRAMES]
    np.testing.assert_allclose(answers, answers[0], rtol=0, atol=1e-9)


def test_bad_requests_say_what_is_wrong():
    with pytest.raises(BadParameter, match="one length"):
        mould2000.v_cosmic([1.0, 2.0], [1.0, 2.0, 3.0], 1000.0)
    with pytest.raises(UnknownName):
        mould2000.v_cosmic(1.0, 2.0, 1000.0, frame="ecliptic")


def test_field_is_the_vector_form_of_the_formula_outside_the_softened_cores():
    # v_cosmic = v_LG + v(0).n - v(r).n with r = v_LG / 100, the paper's first-order position
    rng = np.random.default_rng(8)
    n = frames.rotate(rng.normal(size=(200, 3)), "icrs", "supergalactic")
    n /= np.linalg.norm(n, axis=1)[:, None]
    v_lg = rng.uniform(500.0, 16000.0, 200)
    centres = [a.v_lg * frames.rotate(a.direction_icrs, "icrs", "supergalactic")[0] for a in mould2000.ATTRACTORS]
    clear = np.linalg.norm((v_lg[:, None] * n)[:, None] - centres, axis=2).min(axis=1) > 2000.0
    flow = mould2000.infall_velocity(np.concatenate([np.zeros((1, 3)), n * v_lg[:, None] / 100.0]))
    expected = np.array([by_hand(d, v) for d, v in zip(frames.rotate(n, "supergalactic", "icrs"), v_lg)])
    ours = v_lg + ((flow[0] - flow[1:]) * n).sum(axis=1)
    assert clear.sum() > 100
    np.testing.assert_allclose(ours[clear], expected[clear], rtol=0, atol=2.0)


def test_local_group_falls_as_the_paper_says_at_the_origin(field):
    manifest, cells, _ = field
    ideal = sum(a.v_fid * frames.rotate(a.direction_icrs, "icrs", "supergalactic")[0] for a in mould2000.ATTRACTORS)
    at_origin, inside = reference.trilinear(cells[..., :3], manifest.origin_hmpc, manifest.spacing_hmpc, np.zeros(3))
    assert inside[0]
    np.testing.assert_allclose(at_origin[0], ideal, atol=1.5)


def test_origin_comes_near_the_measured_motion_of_the_local_group(field):
    sun = np.subtract(frames.velocity_frame("cmb").sun_galactic, LG_SUN)
    measured = frames.rotate(sun, "galactic", "supergalactic")[0]
    v = field[1][64, 64, 64, :3].astype(float)
    assert abs(np.linalg.norm(v) - np.linalg.norm(measured)) < 30.0
    assert math.degrees(math.acos(v @ measured / np.linalg.norm(v) / np.linalg.norm(measured))) < 30.0


def test_field_flows_towards_each_attractor_and_rests_at_its_centre():
    for a in mould2000.ATTRACTORS:
        e = frames.rotate(a.direction_icrs, "icrs", "supergalactic")[0]
        at = a.v_lg / 100.0 * e
        near, centre, far = mould2000.infall_velocity(np.array([at - 4.0 * e, at, at + 4.0 * e])) @ e
        assert near > centre > far and near > 0.0 > far


def test_nodes_hold_the_model_and_the_attractors_lie_inside(field):
    manifest, cells, sigma = field
    assert sigma is None and cells.dtype == np.float32 and cells.flags.c_contiguous
    assert cells.shape == (*manifest.shape, 4) and np.isfinite(cells).all()
    index = np.array([[0, 0, 0], [64, 64, 64], [128, 3, 77], [20, 80, 63]])
    xyz = np.array(manifest.origin_hmpc) + index * np.array(manifest.spacing_hmpc)
    np.testing.assert_allclose(cells[tuple(index.T)][:, :3], mould2000.infall_velocity(xyz), rtol=1e-6, atol=1e-4)
    top = -manifest.origin_hmpc[0]
    assert all(a.v_lg / 100.0 < top - 40.0 for a in mould2000.ATTRACTORS)


def test_field_has_no_density_and_says_what_it_is(field):
    manifest, cells, _ = field
    assert not manifest.has_density and np.all(cells[..., 3] == 1.0)
    assert (manifest.id, manifest.sky_frame, manifest.velocity_frame) == ("mould2000", "supergalactic", "cmb")
    text = " ".join(manifest.notes)
    assert "Frame" in text and "v_cosmic" in text and "Not the default" in text
    assert type(manifest).from_json(manifest.to_json()) == manifest


def test_outside_the_lattice_there_is_no_flow(field):
    manifest, cells, _ = field
    v, inside = reference.trilinear(cells[..., :3], manifest.origin_hmpc, manifest.spacing_hmpc, [[0.0, 201.0, 0.0]])
    assert not inside[0] and not v.any()

"""A tile says of a field what a byte can hold: supergalactic axes, the observer in the middle, nothing where nothing is known."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from made_fields import smooth_field

from cfcore import FlowField, frames, preview
from cfcore.errors import BadParameter

STEP = 1.0 / 127


def linear_field(slope: tuple[float, float, float] = (3.0, -2.0, 1.0), *, half: float = 60.0, **options: object) -> FlowField:
    """Return a field whose components grow along their own axes, which interpolation reproduces."""
    x = np.linspace(-half, half, 13)
    grid = np.meshgrid(x, x, x, indexing="ij")
    v = np.stack([s * g for s, g in zip(slope, grid)])
    return FlowField.from_arrays(v, **{"origin_hmpc": -half, "spacing_hmpc": x[1] - x[0], "sky_frame": "supergalactic",
                                       **options})  # type: ignore[arg-type]


def nodes(tile: preview.Tile) -> np.ndarray:
    """Return the places of a tile's nodes, shape (n, n, n, 3), as its header states them."""
    n, start, step = tile.header["n"], tile.header["origin_hmpc"], tile.header["spacing_hmpc"]
    axes = [start[k] + step * np.arange(n) for k in range(3)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def check_velocity(tile: preview.Tile, expected: np.ndarray) -> None:
    """Assert that each component lies within half a step of the square root that is stored."""
    scale = tile.header["velocity"]["scale"]
    assert scale == pytest.approx(np.nanmax(np.abs(expected)), rel=1e-6)
    got = np.sign(tile.velocity) * np.sqrt(np.abs(tile.velocity) / scale)
    want = np.sign(expected) * np.sqrt(np.abs(expected) / scale)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    assert np.nanmax(np.abs(got - want)) <= 0.5 * STEP + 1e-4


def test_a_linear_flow_comes_back_within_half_a_step() -> None:
    tile = preview.read(preview.tile(linear_field(), 32))
    check_velocity(tile, nodes(tile) * [3.0, -2.0, 1.0])


def test_small_velocities_keep_their_direction() -> None:
    tile = preview.read(preview.tile(linear_field(), 64))
    place, flow = nodes(tile), tile.velocity
    slow = np.linalg.norm(flow, axis=-1) < 0.1 * tile.header["velocity"]["scale"]
    want = (place * [3.0, -2.0, 1.0])[slow]
    cos = (want * flow[slow]).sum(-1) / np.linalg.norm(want, axis=-1) / np.linalg.norm(flow[slow], axis=-1)
    assert slow.sum() > 400 and cos.min() > 0.98


def test_the_bytes_lie_as_the_format_says() -> None:
    data = preview.tile(linear_field((1.0, 0.0, 0.0)), 16)
    magic, size = struct.unpack_from("<8sI", data)
    header = json.loads(data[12:12 + size].decode())
    assert magic == b"CFTILE01" and (12 + size) % 8 == 0 and len(data) == 12 + size + 3 * 16**3
    assert header["format"] == "cosmicflows-preview" and header["planes"] == ["vx", "vy", "vz"] and "density" not in header
    assert header["origin_hmpc"] == [-60.0] * 3 and header["spacing_hmpc"] == 120.0 / 15 and header["frame"] == "supergalactic"
    assert header["field"] == {"id": "custom", "version": "in-memory", "title": ""}
    vx, vy, vz = np.frombuffer(data, np.int8, offset=12 + size).reshape(3, 16, 16, 16)
    # x is the slowest axis, +x flows to +x
    assert (vx[0] == -127).all() and (vx[-1] == 127).all() and (np.diff(vx[:, 3, 5].astype(int)) > 0).all()
    assert not vy.any() and not vz.any()


def test_places_outside_the_lattice_hold_nothing() -> None:
    field = linear_field((0.0, 0.0, 5.0), origin_hmpc=(-60.0, -20.0, -60.0), trusted_hmpc=40.0)
    tile = preview.read(preview.tile(field, 33))
    place = nodes(tile)
    half = preview.half_edge_hmpc(field)
    assert half == 100.0  # the lattice reaches from -20 to 100 along y
    outside = (np.abs(place[..., (0, 2)]).max(-1) > 60.0) | (place[..., 1] < -20.0)
    assert 0.5 < outside.mean() < 0.9
    np.testing.assert_array_equal(np.isnan(tile.velocity).all(-1), outside)
    np.testing.assert_array_equal(np.isnan(tile.velocity).any(-1), outside)
    assert tile.header["trusted_hmpc"] == 40.0 and tile.header["r_max_hmpc"] == field.r_max_hmpc


def test_a_large_lattice_is_shown_as_far_as_lines_of_sight_go() -> None:
    assert preview.half_edge_hmpc(linear_field(half=900.0)) == 400.0


def test_a_field_on_galactic_axes_is_shown_on_supergalactic_ones() -> None:
    x = np.linspace(-60, 60, 7)
    flow = np.zeros((3, 7, 7, 7))
    flow[0] = 500.0
    toward = frames.rotate([[1.0, 0.0, 0.0]], "galactic", "supergalactic")[0]
    field = FlowField.from_arrays(flow, origin_hmpc=-60, spacing_hmpc=x[1] - x[0], sky_frame="galactic")
    tile = preview.read(preview.tile(field, 17))
    middle = tile.velocity[8, 8, 8]
    np.testing.assert_allclose(middle / np.linalg.norm(middle), toward, atol=0.01)
    # a turned cube does not fill the cube around it
    assert np.isnan(tile.velocity[0, 0, 0]).all() and preview.half_edge_hmpc(field) > 60.0


@pytest.mark.parametrize("frame", ["supergalactic", "galactic", "icrs"])
def test_every_node_is_what_the_field_says_there(frame: str) -> None:
    field = smooth_field(5, sky_frame=frame)
    tile = preview.read(preview.tile(field, 24))
    points = frames.rotate(nodes(tile).reshape(-1, 3) * (1 - 1e-9), "supergalactic", frame)
    expected = frames.rotate(field.velocity_at(points), frame, "supergalactic").reshape(24, 24, 24, 3)
    check_velocity(tile, expected)
    logs = np.log(np.maximum(1.0 + field.overdensity_at(points).reshape(24, 24, 24), preview.DENSITY_FLOOR))
    assert tile.log_density is not None
    np.testing.assert_allclose(tile.log_density, logs, atol=0.5 * STEP * tile.header["density"]["scale"] + 1e-4)


def test_of_an_ensemble_the_mean_is_shown() -> None:
    field = smooth_field(2, realisations=5)
    tile = preview.read(preview.tile(field, 16))
    points = nodes(tile).reshape(-1, 3) * (1 - 1e-9)
    samples = field.sample_at(points)
    mean = np.where(samples.inside[:, None], samples.v_pec.mean(axis=2), np.nan).reshape(16, 16, 16, 3)
    check_velocity(tile, mean)


def test_density_below_the_floor_is_counted_and_costs_no_steps() -> None:
    delta = np.zeros((9, 9, 9))
    delta[4, 4, 4], delta[0], delta[1, 0, 0] = np.e**2 - 1, -1.4, -0.5
    field = FlowField.from_arrays(np.zeros((3, 9, 9, 9)), delta, origin_hmpc=-40, spacing_hmpc=10, sky_frame="supergalactic")
    tile = preview.read(preview.tile(field, 9))
    assert tile.log_density is not None and tile.header["planes"][-1] == "delta"
    about = tile.header["density"]
    assert about["clipped"] == 81 and about["floor"] == 0.02 and about["scale"] == pytest.approx(-np.log(0.02), rel=1e-6)
    assert tile.log_density[4, 4, 4] == pytest.approx(2.0, abs=0.5 * STEP * about["scale"])
    assert tile.log_density[0, 3, 3] == pytest.approx(np.log(0.02)) and tile.log_density[6, 6, 6] == 0.0
    assert not tile.velocity.any() and tile.header["velocity"]["scale"] == 0.0


def test_threads_change_nothing() -> None:
    field = smooth_field(4)
    assert preview.tile(field, 130, threads=2) == preview.tile(field, 130)


@pytest.mark.parametrize("n", [1, 161])
def test_a_size_that_cannot_be_is_refused(n: int) -> None:
    with pytest.raises(BadParameter, match=f"n = {n} lies outside 2 ... 160"):
        preview.tile(linear_field(), n)


@pytest.mark.parametrize("spoil", [lambda d: b"", lambda d: d[:40], lambda d: d[:-1], lambda d: b"CFTILE02" + d[8:],
                                   lambda d: d[:12] + b"\xff" + d[13:]])
def test_what_is_no_tile_is_refused(spoil: object) -> None:
    with pytest.raises(BadParameter, match="no preview of a field"):
        preview.read(spoil(preview.tile(linear_field(), 4)))  # type: ignore[operator]

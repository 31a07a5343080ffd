"""Each product becomes a field by its record; what a file does not say is stated by the user or written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_fields import Cube

from cfcore.errors import BadParameter, FieldRefused, UnknownName, UsageError
from cfcore.products import PRODUCTS, build, product

Linear = Callable[..., Cube]
STATED = {"id": "mine", "sky_frame": "icrs", "unit": 1.0, "citation": "me", "density": "delta"}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., dict[str, Path]]:
    def save(**arrays: np.ndarray) -> dict[str, Path]:
        for role, array in arrays.items():
            np.save(tmp_path / f"{role}.npy", array)
        return {role: tmp_path / f"{role}.npy" for role in arrays}
    return save


def test_cf4gp_files_become_the_field_of_the_paper(real_cf4: Path) -> None:
    record = product("cf4gp")
    manifest, cells, sigma = build(record, {f.role: real_cf4 / f.name for f in record.files})
    assert cells.shape == (64, 64, 64, 4) and cells.dtype == np.float32
    assert cells[32, 32, 32, :3] == pytest.approx([-380.559, 257.366, -200.239], abs=1e-3)
    assert manifest.origin_hmpc == (-500.0,) * 3 and manifest.spacing_hmpc == (15.625,) * 3
    assert (manifest.unit_factor, manifest.sky_frame, manifest.product) == (52.0, "supergalactic", "cf4gp")
    assert 14.9 < sigma.min() < 15.0 and sigma.max() == pytest.approx(408.26, abs=0.01)
    assert [s.sha256 for s in manifest.sources] == [f.sha256 for f in record.files]


def test_57runs_mean_field_states_its_assumptions(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=16)
    manifest, cells, _ = build("57runs", saved(velocity=velocity, density=delta))
    assert manifest.spacing_hmpc == (37.5,) * 3 and manifest.origin_hmpc == (-300.0,) * 3
    assert np.allclose(cells[3, 5, 7], [*velocity[:, 3, 5, 7], 1 + delta[3, 5, 7]], atol=1e-4)
    text = " ".join(manifest.notes)
    assert "box 600 h^-1 Mpc (800 Mpc at h = 0.75, itself assumed)" in text
    assert "node i at (i - 8) * 37.5" in text and "holds delta" in text and "supergalactic" in text


def test_57runs_realisations_lie_innermost(linear: Linear, saved: Callable) -> None:
    cubes = [linear(n=8, seed=s) for s in range(5)]
    velocity, delta = (np.stack(x).astype(np.float32) for x in zip(*cubes))
    manifest, cells, _ = build("cf3-57runs", saved(velocity=velocity, density=delta))
    assert manifest.realisations == 5 and cells.shape == (8, 8, 8, 4, 16)
    for r in range(5):
        assert np.array_equal(np.moveaxis(cells[..., :3, r], -1, 0), velocity[r])
        assert np.allclose(cells[..., 3, r], 1 + delta[r], atol=1e-6)
    assert not cells[..., 5:].any()


def test_one_density_serves_all_realisations(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=8)
    _, cells, _ = build("cf3-57runs", saved(velocity=np.stack([velocity] * 3), density=delta))
    assert np.allclose(cells[..., 3, :3], (1 + delta)[..., None], atol=1e-6)


@pytest.mark.parametrize(("given", "spacing", "note"), [
    ({"box": 500.0}, 31.25, "stated by the user: box 500"),
    ({"h": 0.7}, 35.0, "box 560 h^-1 Mpc (800 Mpc at h = 0.7)"),
    ({"box": 800.0, "h": 1.0}, 50.0, "stated by the user: box 800"),
])
def test_57runs_box_and_h_are_the_users_to_override(linear: Linear, saved: Callable, given: dict,
                                                    spacing: float, note: str) -> None:
    velocity, delta = linear(n=16)
    manifest, _, _ = build("cf3-57runs", saved(velocity=velocity, density=delta), **given)
    assert manifest.spacing_hmpc == pytest.approx((spacing,) * 3)
    assert note in " ".join(manifest.notes)
    assert manifest.h_source == given.get("h", 0.75)


@pytest.mark.parametrize(("offset", "given", "stored"), [
    (0.0, {}, 1.0), (1.0, {}, 0.0), (0.0, {"density": "one_plus_delta"}, 0.0), (1.0, {"density": "delta"}, 1.0)])
def test_density_convention_is_read_off_the_values_or_stated(linear: Linear, saved: Callable, offset: float,
                                                             given: dict, stored: float) -> None:
    velocity, delta = linear(n=8)
    delta = np.clip(delta, -0.9, None)
    delta -= delta.mean()
    _, cells, _ = build("cf3-57runs", saved(velocity=velocity, density=delta + offset), **given)
    assert np.allclose(cells[..., 3], delta + offset + stored, atol=1e-6)


def test_density_that_fits_neither_convention_is_a_question(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=8)
    with pytest.raises(FieldRefused, match="is the density file delta or 1.delta.*--density delta"):
        build("cf3-57runs", saved(velocity=velocity, density=delta + 5.0))


def test_57runs_without_density_has_none_and_says_so(linear: Linear, saved: Callable) -> None:
    manifest, cells, _ = build("cf3-57runs", saved(velocity=linear(n=8)[0]))
    assert not manifest.has_density and (cells[..., 3] == 1.0).all() and "no density file" in " ".join(manifest.notes)


def test_2mpp_outer_nodes_lie_on_the_faces_and_its_dipole_is_noted(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=9)
    small = dataclasses.replace(product("2m++"), shape=(9, 9, 9))
    manifest, _, _ = build(small, saved(velocity=velocity, density=delta))
    assert manifest.origin_hmpc == (-200.0,) * 3 and manifest.spacing_hmpc == (50.0,) * 3
    assert manifest.sky_frame == "galactic" and "already inside" in " ".join(manifest.notes)
    with pytest.raises(FieldRefused, match=r"lattice \(9, 9, 9\); \(257, 257, 257\) is published"):
        build("2mpp", saved(velocity=velocity, density=delta))
    assert PRODUCTS["2mpp"].box_hmpc / 256 == 1.5625


def test_generic_arrays_follow_what_is_stated(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=8)
    files = saved(velocity=velocity / 52, density=delta, sigma=np.ones((8, 8, 8)))
    given = STATED | {"unit": 52.0, "origin": (-1, -2, -3), "spacing": (1, 2, 3)}
    manifest, cells, sigma = build("generic", files, **given)
    assert (manifest.id, manifest.sky_frame, manifest.citation) == ("mine", "icrs", "me")
    assert manifest.origin_hmpc == (-1, -2, -3) and manifest.spacing_hmpc == (1, 2, 3)
    assert np.allclose(cells[..., 0], velocity[0], rtol=1e-6) and (sigma == 52.0).all()


@pytest.mark.parametrize(("lattice", "origin", "spacing"), [
    ("centre", -40, 10), ("cells", -35, 10), ("faces", -40, 80 / 7)])
def test_generic_box_needs_to_say_where_its_nodes_sit(linear: Linear, saved: Callable, lattice: str,
                                                      origin: float, spacing: float) -> None:
    files = saved(velocity=linear(n=8)[0])
    manifest, _, _ = build("generic", files, **STATED, box=80.0, lattice=lattice)
    assert manifest.origin_hmpc == pytest.approx((origin,) * 3)
    assert manifest.spacing_hmpc == pytest.approx((spacing,) * 3)
    with pytest.raises(BadParameter, match="origin and spacing .or box and lattice.*never guessed"):
        build("generic", files, **STATED, box=80.0)


@pytest.mark.parametrize("missing", ["id", "sky_frame", "unit", "citation", "density"])
def test_generic_arrays_without_a_convention_are_refused(linear: Linear, saved: Callable, missing: str) -> None:
    velocity, delta = linear(n=8)
    given = {k: v for k, v in STATED.items() if k != missing} | {"box": 80.0, "lattice": "cells"}
    with pytest.raises(BadParameter, match=f"{missing}.*never guessed"):
        build("generic", saved(velocity=velocity, density=delta), **given)


def test_generic_nan_is_a_mask_and_infinity_is_refused(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=8)
    velocity[1, 2, 3, 4] = delta[5, 5, 5] = np.nan
    given = STATED | {"box": 80.0, "lattice": "cells"}
    manifest, cells, _ = build("generic", saved(velocity=velocity, density=delta), **given)
    assert manifest.masked_cells == 2
    assert cells[2, 3, 4].tolist() == cells[5, 5, 5].tolist() == [0, 0, 0, 1]
    velocity[0, 0, 0, 0] = -np.inf
    with pytest.raises(FieldRefused, match="velocity array holds Inf in plane 0"):
        build("generic", saved(velocity=velocity, density=delta), **given)


def test_nan_in_a_product_that_has_none_is_refused(linear: Linear, saved: Callable) -> None:
    velocity, delta = linear(n=8)
    velocity[:, 1, 1, 1] = np.nan
    with pytest.raises(FieldRefused, match="1 nodes in plane 1.*--product generic"):
        build("cf3-57runs", saved(velocity=velocity, density=delta))


def test_negative_errors_are_refused(linear: Linear, saved: Callable) -> None:
    files = saved(velocity=linear(n=8)[0], sigma=np.full((8, 8, 8), -1.0))
    with pytest.raises(FieldRefused, match="negative"):
        build("generic", files, **STATED, box=80.0, lattice="cells")


@pytest.mark.parametrize(("velocity", "density", "reason"), [
    ((8, 8, 8, 3), (8, 8, 8), r"\(3, nx, ny, nz\)"),
    ((3, 8, 8), (8, 8), r"\(3, nx, ny, nz\)"),
    ((3, 2, 2, 2), (2, 2, 2), "at least 4 nodes"),
    ((3, 8, 8, 8), (8, 8, 7), "density array.*8, 8, 7"),
    ((3, 8, 8, 8), (2, 8, 8, 8), "density array"),
    ((2, 3, 8, 8, 8), (3, 8, 8, 8), r"density array.*\(2, 8, 8, 8\) fits"),
    ((3, 8, 8, 10), (8, 8, 10), "not a cube"),
    ((3, 9, 9, 9), (9, 9, 9), "no node n/2"),
])
def test_shapes_that_do_not_fit_are_refused(saved: Callable, velocity: tuple, density: tuple, reason: str) -> None:
    with pytest.raises(FieldRefused, match=reason):
        build("cf3-57runs", saved(velocity=np.zeros(velocity), density=np.zeros(density)), density="delta")


@pytest.mark.parametrize(("key", "given", "reason"), [
    ("cf4gp", {"box": 500.0}, "layout of cf4gp is known"),
    ("2mpp", {"density": "delta"}, "layout of 2mpp is known"),
    ("cf3-57runs", {"box": -1.0}, "must be a positive number"),
    ("cf3-57runs", {"h": "much"}, "must be a positive number"),
    ("cf3-57runs", {"density": "rho"}, "use one of delta, one_plus_delta"),
    ("cf3-57runs", {"sky_frame": "ecliptic"}, "use one of icrs, galactic"),
    ("cf3-57runs", {"id": "../../etc"}, "id"),
    ("cf3-57runs", {"id": "cf4gp"}, "another field"),
    ("generic", STATED | {"id": "ongc-linear", "box": 1.0, "lattice": "cells"}, "another field"),
    ("cf3-57runs", {"colour": "red"}, "does not take colour"),
    ("generic", STATED | {"origin": (0, 0), "spacing": 1.0}, "one number or three"),
    ("generic", STATED | {"origin": 0.0, "spacing": (1, 1, 0)}, "positive on every axis"),
    ("generic", STATED | {"origin": 0.0, "spacing": 1.0, "box": 2.0}, "not both"),
])
def test_overrides_that_make_no_sense_are_refused(linear: Linear, saved: Callable, key: str, given: dict,
                                                  reason: str) -> None:
    record = dataclasses.replace(product(key), shape=None)
    with pytest.raises(BadParameter, match=reason):
        build(record, saved(velocity=linear(n=8)[0], density=linear(n=8)[1]), **given)


def test_missing_files_and_unknown_products_are_named(linear: Linear, saved: Callable) -> None:
    with pytest.raises(UsageError, match="cf4gp also needs CF4gp_new_64-z008_delta.fits"):
        build("cf4gp", saved(velocity=linear(n=8)[0]))
    with pytest.raises(UnknownName, match="use one of cf4gp"):
        product("cf5")


def test_a_changed_file_of_the_published_size_is_said_to_differ_even_when_it_cannot_be_read(real_cf4: Path,
                                                                                           tmp_path: Path) -> None:
    record = product("cf4gp")
    files = {f.role: real_cf4 / f.name for f in record.files}
    body = bytearray(files["velocity"].read_bytes())
    body[80 + 27] ^= 1
    changed = tmp_path / record.files[0].name
    changed.write_bytes(body)
    with pytest.raises(FieldRefused, match="content of CF4gp_new_64-z008_velocity.fits differs from the published"):
        build(record, files | {"velocity": changed})

"""The self-check passes a field on its own axes and names what is wrong with any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from cfcore.errors import FieldRefused
from cfcore.landmarks import LANDMARKS, position
from cfcore.manifest import Manifest
from cfcore.products import PRODUCTS, build, product
from cfcore.verify import Check, Report, verify

Toy = tuple[Manifest, np.ndarray]
STRICT = dataclasses.replace(PRODUCTS["generic"], divergence_min=0.85, growth_range=(0.3, 0.7))


def _check(report: Report, name: str) -> Check:
    return next(c for c in report.checks if c.name == name)


def test_linear_theory_passes_with_its_growth_rate(toy: Toy) -> None:
    report = verify(*toy, product=STRICT)
    figures = _check(report, "divergence").figures
    assert report.passed and report.axes is None and "passed" in str(report)
    assert figures["correlation"] > 0.9
    # Central differences damp the shortest waves, so the slope falls a little short of the f = 0.5 put in.
    assert 0.35 < figures["growth"] < 0.5


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_each_wrong_order_of_components_is_named(toy: Toy, order: tuple[int, int, int]) -> None:
    manifest, cells = toy
    report = verify(manifest, np.ascontiguousarray(cells[..., [*order, 3]]), product=STRICT)
    moved = [("SGX", "SGY", "SGZ")[i] for i in range(3) if order[i] != i]
    assert not report.passed and "velocity components" in report.axes
    if len(moved) == 2:
        assert f"{moved[0]} and {moved[1]} are exchanged" in report.axes
    else:
        assert f"they come as {', '.join(('SGX', 'SGY', 'SGZ')[i] for i in order)}" in report.axes


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_each_wrong_order_of_the_density_grid_is_named(toy: Toy, order: tuple[int, int, int]) -> None:
    manifest, cells = toy
    wrong = cells.copy()
    wrong[..., 3] = cells[..., 3].transpose(order)
    report = verify(manifest, wrong, product=STRICT)
    assert not report.passed and "density grid, against the velocity grid" in report.axes


def test_axes_exchanged_in_everything_at_once_show_in_v0(toy: Toy) -> None:
    manifest, cells = toy
    record = dataclasses.replace(STRICT, v_origin=tuple(cells[8, 8, 8, :3].tolist()))
    assert _check(verify(manifest, cells, product=record), "v(0)").passed
    swapped = np.ascontiguousarray(cells.transpose(2, 1, 0, 3)[..., [2, 1, 0, 3]])
    report = verify(manifest, swapped, product=record)
    assert _check(report, "divergence").passed and not _check(report, "v(0)").passed
    assert report.axes == "the axes are swapped: SGX and SGZ are exchanged in the whole field, against the sky"
    with pytest.raises(FieldRefused, match="SGX and SGZ are exchanged") as caught:
        report.raise_if_failed()
    assert caught.value.code == "axes_swapped"


def test_opposite_sign_forgotten_unit_and_wrong_box_are_told_apart(toy: Toy) -> None:
    manifest, cells = toy
    sign = np.array([-1, -1, -1, 1], np.float32)
    assert "opposite sign" in verify(manifest, cells * sign, product=STRICT).reason()
    unit = np.array([1 / 52, 1 / 52, 1 / 52, 1], np.float32)
    assert "check the unit factor (1)" in verify(manifest, cells * unit, product=STRICT).reason()
    half = dataclasses.replace(manifest, origin_hmpc=(-80.0,) * 3, spacing_hmpc=(10.0,) * 3)
    assert "the spacing (10 h^-1 Mpc)" in verify(half, cells, product=STRICT).reason()


def test_noise_is_no_flow(toy: Toy) -> None:
    manifest, cells = toy
    noise = np.random.default_rng(1).normal(size=cells.shape).astype(np.float32)
    report = verify(manifest, noise)
    assert not report.passed and "at least 0.5 is expected" in report.reason() and report.axes is None


def test_without_density_the_divergence_is_skipped_and_said_so(toy: Toy) -> None:
    manifest, cells = toy
    flat = cells.copy()
    flat[..., 3] = 1.0
    for m in (manifest, dataclasses.replace(manifest, has_density=False)):
        check = _check(verify(m, flat), "divergence")
        assert check.passed is None and check.detail.startswith("skipped: the field has no density")


def test_values_that_are_no_numbers_fail_before_anything_else(toy: Toy) -> None:
    manifest, cells = toy
    broken = cells.copy()
    broken[1, 2, 3, 0] = np.nan
    report = verify(manifest, broken)
    assert not report.passed and [c.name for c in report.checks] == ["finite"] and "1 NaN or Inf" in report.reason()


def test_realisations_are_checked_by_their_mean(linear: Callable, toy: Toy) -> None:
    manifest, cells = toy
    runs = np.zeros((*cells.shape, 16), np.float32)
    for r in range(3):
        velocity, delta = linear(seed=r)
        runs[..., r] = np.moveaxis(np.concatenate([velocity, 1 + delta[None]]), 0, -1)
    report = verify(dataclasses.replace(manifest, realisations=3), runs, product=STRICT)
    assert report.passed and _check(report, "divergence").figures["correlation"] > 0.9


def test_a_lattice_of_unequal_sides_is_checked_too(toy: Toy) -> None:
    manifest, cells = toy
    part = np.ascontiguousarray(cells[:, 2:14, 3:12])
    box = dataclasses.replace(manifest, shape=(16, 12, 9), origin_hmpc=(-160.0, -120.0, -100.0))
    assert verify(box, part, product=STRICT).passed
    assert not verify(box, part[..., [2, 1, 0, 3]], product=STRICT).passed


def test_a_fine_lattice_is_sampled_and_still_told_apart(toy: Toy, linear: Callable) -> None:
    velocity, delta = linear(n=96)
    cells = np.moveaxis(np.concatenate([velocity, 1 + delta[None]]), 0, -1).astype(np.float32)
    manifest = dataclasses.replace(toy[0], shape=(96,) * 3, spacing_hmpc=(320 / 96,) * 3)
    assert verify(manifest, cells, product=STRICT).passed
    assert "SGX and SGY" in verify(manifest, cells[..., [1, 0, 2, 3]], product=STRICT).axes


def test_landmarks_lie_where_the_sky_has_them() -> None:
    where = {m.name: position(m, "supergalactic") for m in LANDMARKS}
    # Coma lies near the SGY axis at 70, Perseus near +SGX at 50 and Shapley near (-124, 75, -3): Tully et al. 1992,
    # Courtois et al. 2013, AJ 146, 69, figures 4-8.
    assert where["Coma (A1656)"] == pytest.approx([0, 71, 10], abs=3)
    assert where["Perseus (A426)"] == pytest.approx([49, -11, -13], abs=3)
    assert where["Shapley (A3558)"] == pytest.approx([-124, 75, -3], abs=4)
    assert where["Local Void"] == pytest.approx([0, 2, 20], abs=1)


@pytest.fixture
def cf4gp(real_cf4: Path) -> tuple[Manifest, np.ndarray, np.ndarray]:
    record = product("cf4gp")
    return build(record, {f.role: real_cf4 / f.name for f in record.files})


def test_cf4gp_has_its_known_figures(cf4gp: tuple) -> None:
    report = verify(*cf4gp)
    assert report.passed and all(c.passed for c in report.checks)
    figures = _check(report, "divergence").figures
    assert figures["correlation"] == pytest.approx(0.998, abs=0.001)
    orders = {k: v for k, v in figures.items() if k.count("-") == 2}
    assert len(orders) == 6 and sorted(orders.values())[-2] < 0.62
    assert figures["growth"] == pytest.approx(0.466, abs=0.002)
    marks = _check(report, "landmarks").figures
    assert min(marks[k] for k in marks if "(" in k) >= 99.0 and marks["Local Void"] <= 5.0


@pytest.mark.parametrize(("wrong", "where"), [
    (lambda c: c[..., [2, 1, 0, 3]], "velocity components"),
    (lambda c: c.transpose(2, 1, 0, 3), "velocity components"),
    (lambda c: c.transpose(2, 1, 0, 3)[..., [2, 1, 0, 3]], "whole field"),
    (lambda c: np.concatenate([c[..., :3], c[..., 3:].transpose(2, 1, 0, 3)], axis=-1), "density grid"),
])
def test_cf4gp_with_sgx_and_sgz_exchanged_is_diagnosed_by_name(cf4gp: tuple, wrong: Callable, where: str) -> None:
    manifest, cells, sigma = cf4gp
    report = verify(manifest, np.ascontiguousarray(wrong(cells)), sigma)
    assert not report.passed and "SGX and SGZ are exchanged" in report.axes and where in report.axes


def test_cf4gp_half_a_cell_off_is_refused(cf4gp: tuple) -> None:
    manifest, cells, sigma = cf4gp
    report = verify(dataclasses.replace(manifest, origin_hmpc=(-500 + 15.625 / 2,) * 3), cells, sigma)
    assert not report.passed and "v(0)" in report.reason()


def test_landmarks_alone_tell_exchanged_axes_where_v0_is_not_known(cf4gp: tuple) -> None:
    manifest, cells, sigma = cf4gp
    whole = np.ascontiguousarray(cells.transpose(1, 0, 2, 3)[..., [1, 0, 2, 3]])
    report = verify(manifest, whole, sigma, product=PRODUCTS["generic"])
    assert not report.passed and "SGX and SGY are exchanged in the whole field" in report.axes

"""Lattices nobody would publish: thin, steep, beside the observer. Every copy of the loops must say the same of them."""

from __future__ import annotations

import numpy as np
import pytest

from cfcore import FlowField, FlowOptions, _kernels
from cfcore.distances import VALUES, Distances

CLOSE = [i for i, name in enumerate(VALUES) if not name.startswith(("v_", "delta", "evidence", "inside"))]


def made(rng: np.random.Generator) -> FlowField:
    shape = tuple(rng.integers(2, 9, 3))
    spacing = rng.uniform(2.0, 40.0, 3)
    origin = -spacing * (np.array(shape) - 1) * rng.uniform(-0.2, 1.2, 3)
    if rng.random() < 0.3:
        origin[rng.integers(3)] = 0.0            # the observer in a face
    count = int(rng.choice([1, 1, 3, 17]))
    v = rng.choice([50.0, 300.0, 1500.0]) * rng.normal(size=(count, 3, *shape))
    return FlowField.from_arrays(v, rng.uniform(-1.0, 3.0, (count, *shape)), origin_hmpc=origin, spacing_hmpc=spacing,
                                 sky_frame="supergalactic", sigma=rng.uniform(0.0, 150.0, shape))


def asked(rng: np.random.Generator, field: FlowField) -> FlowOptions:
    inside = field.sample_at([[0.0, 0.0, 0.0]]).inside[0]
    return FlowOptions(frame="supergalactic", cz_frame="cmb", sigma_v=float(rng.uniform(50, 600)),
                       prior=str(rng.choice(["volume", "density", "flat"])), alpha=float(rng.choice([1.0, 0.5, 2.0])),
                       use_field_sigma=bool(rng.random() < 0.4), observer="ls" if inside and rng.random() < 0.3 else "cmb",
                       dr=float(rng.uniform(0.1, 0.25)))


def answer(field: FlowField, rows: tuple[np.ndarray, ...], opt: FlowOptions, level: str) -> Distances:
    before = _kernels.use(level)
    try:
        return field.distance(*rows, options=opt)
    finally:
        _kernels.use(before)


@pytest.mark.parametrize("seed", range(60))
def test_all_copies_of_the_loops_and_any_window_agree_on_odd_lattices(seed: int) -> None:
    rng = np.random.default_rng(seed)
    field = made(rng)
    opt = asked(rng, field)
    n = 12
    rows = rng.uniform(0, 360, n), rng.uniform(-90, 90, n), rng.uniform(-1000, 100 * field.reach_hmpc, n)
    rows[0][:6], rows[1][:6] = [0, 90, 180, 270, 0, 0], [0, 0, 0, 0, 90, -90]
    pure = answer(field, rows, opt, "pure")
    order = np.stack([pure.column(f"comoving.{q}") for q in ("p2_5", "p16", "median", "p84", "p97_5")])
    assert (np.diff(order, axis=0)[:, pure.status == 0] >= 0).all() and np.nanmax(order, initial=0.0) <= field.r_max_hmpc
    first = None
    for level in _kernels.LEVELS[1:]:
        d = answer(field, rows, opt, level)
        np.testing.assert_array_equal(d.status, pure.status)
        np.testing.assert_allclose(d.values[:, CLOSE], pure.values[:, CLOSE], rtol=1e-4, atol=2e-3)
        first = d if first is None else first
        np.testing.assert_array_equal(d.values, first.values)
        full = answer(field.with_manifest(v_max=1e9, v_gradient=0.0), rows, opt, level)
        np.testing.assert_allclose(d.values[:, CLOSE], full.values[:, CLOSE], rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(d.n_roots, full.n_roots)
        for i in range(n):
            np.testing.assert_array_equal(answer(field, tuple(c[i] for c in rows), opt, level).values[0], d.values[i])

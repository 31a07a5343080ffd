"""Posteriors on demand: closed forms of a still universe, exact maps between the variables, blocks that leave no trace."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_fields import smooth_field
from scipy import integrate, stats

from cfcore import C_KMS, FlowField, background, results
from cfcore.errors import BadParameter
from cfcore.results import VARIABLES, Posteriors


def still(half: float = 300.0) -> FlowField:
    return FlowField.from_arrays(np.zeros((3, 5, 5, 5)), origin_hmpc=-half, spacing_hmpc=half / 2, sky_frame="galactic")


def some(n: int = 12, seed: int = 4, **options: object) -> Posteriors:
    rng = np.random.default_rng(seed)
    return Posteriors(smooth_field(3), rng.uniform(0, 360, n), rng.uniform(-80, 80, n), rng.uniform(800, 6000, n), **options)


def test_in_a_still_universe_every_interval_is_that_of_a_gaussian_in_the_hubble_velocity() -> None:
    # flat prior, no flow: p(V_H) is exp(-(cz - V_H)^2/2s^2) dr/dV_H, and dr/dV_H varies by 1e-4 over the width
    p = Posteriors(still(), 10.0, 20.0, 6000.0, cz_frame="cmb", prior="flat", sigma_v=60, dr=0.02)
    for level in (0.5, 0.68, 0.9, 0.99):
        lo, hi = p.interval(level, "hubble")
        ends = stats.norm(6000.0, 60.0).interval(level)
        assert (lo[0], hi[0]) == (pytest.approx(ends[0], abs=0.05), pytest.approx(ends[1], abs=0.05))
    x = np.linspace(5800, 6200, 7)
    np.testing.assert_allclose(p.pdf(x, "hubble")[0], stats.norm(6000.0, 60.0).pdf(x), rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(p.cdf(x, "hubble")[0], stats.norm(6000.0, 60.0).cdf(x), atol=1e-4)


def test_quantiles_are_those_of_the_summaries() -> None:
    p = some(prior="density")
    for kind in VARIABLES:
        for q, name in ((0.16, "p16"), (0.5, "median"), (0.84, "p84")):
            np.testing.assert_allclose(p.quantile(q, kind), p.summary(name, kind), rtol=1e-9)
    lo, hi = p.interval(0.95)
    np.testing.assert_allclose((lo, hi), (p.summary("p2_5"), p.summary("p97_5")), rtol=1e-12)


@pytest.mark.parametrize("kind", list(VARIABLES))
def test_a_density_is_the_one_solve_gives_and_integrates_to_one(kind: str) -> None:
    p = some(5, sigma_v=150)
    if kind != "modulus":
        d = p.field.distance(p.lon, p.lat, p.cz, sigma_v=150, pdf=kind)
        # solve puts all luminosity curves on one grid and interpolates them: equal only to its curvature there
        curvature = 2e-2 if kind == "luminosity" else 1e-4
        np.testing.assert_allclose(p.pdf(d.x, kind), d.pdf, rtol=1e-4, atol=curvature * d.pdf.max())
    ends = p.quantile([1e-9, 1.0], kind)
    for i in range(len(p)):
        x = np.linspace(max(ends[i, 0], 1e-3), ends[i, 1], 40_001)
        y = p.take([i]).pdf(x, kind)[0]
        assert integrate.trapezoid(y, x) == pytest.approx(1.0, abs=2e-4)
        middle = x[20_000]
        below = integrate.trapezoid(y[:20_001], x[:20_001])
        # the cumulative is linear inside a step, the density too: they part by the curvature inside one step
        assert p.cdf(middle, kind)[i] == pytest.approx(below, abs=4e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.001, 0.999), st.sampled_from(list(VARIABLES)),
       st.sampled_from(["volume", "density", "flat"]), st.floats(40, 120), st.floats(0.1, 0.6))
def test_cdf_undoes_quantile_in_every_variable(seed: int, q: float, kind: str, prior: str, H0: float, Om: float) -> None:
    p = some(3, seed, prior=prior, H0=H0, Om=Om)
    x = p.quantile(q, kind)
    ok = p.ok
    assert np.isnan(x[~ok]).all()
    np.testing.assert_allclose(np.diag(p.cdf(x, kind))[ok], q, rtol=1e-9)
    np.testing.assert_allclose(np.diag(p.cdf(x[:, None], kind)[:, [0] * 3])[ok], q, rtol=1e-9)
    r = p.quantile(q, "comoving")
    z = p.one_plus_z - 1
    expected = {"comoving": r, "distance": 100 * r / H0, "luminosity": (1 + z) * 100 * r / H0,
                "hubble": C_KMS * background(Om).redshift(r), "modulus": 25 + 5 * np.log10((1 + z) * 100 * r / H0)}
    np.testing.assert_allclose(x[ok], expected[kind][ok], rtol=1e-10)


def test_beyond_the_line_of_sight_the_density_is_zero_and_the_cumulative_zero_or_one() -> None:
    p = Posteriors(still(100.0), [0.0, 90.0], [0.0, 10.0], [3000.0, 5000.0], cz_frame="cmb")
    for kind, low, high in (("comoving", -1.0, 1e4), ("distance", -0.1, 1e5), ("luminosity", -3.0, np.inf),
                            ("hubble", -1e6, 1e8), ("hubble", -50.0, np.inf), ("modulus", -np.inf, 90.0)):
        np.testing.assert_array_equal(p.pdf([low, high], kind), 0.0)
        np.testing.assert_array_equal(p.cdf([low, high], kind), [[0.0, 1.0]] * 2)
    assert np.isnan(p.pdf(np.nan)).all() and np.isnan(p.cdf([np.nan], "hubble")).all()


def test_samples_follow_the_distribution_and_their_seed() -> None:
    p = some(3)
    draws = p.samples(4000, seed=11)
    np.testing.assert_array_equal(draws, p.samples(4000, seed=11))
    assert (draws != p.samples(4000, seed=12)).any()
    np.testing.assert_allclose(p.samples(50, 3, "luminosity"), p.samples(50, 3) * p.one_plus_z[:, None], rtol=1e-12)
    for i in range(3):
        grid = np.linspace(0.01, 0.99, 99)
        inverse = p.quantile(grid)[i]
        assert stats.kstest(np.interp(draws[i], inverse, grid), stats.uniform(0, 1).cdf).pvalue > 1e-3
    np.testing.assert_allclose(draws.mean(axis=1), p.summary("mean"), atol=4 * p.summary("std").max() / 60)


def test_blocks_of_rows_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = some(40)
    expected = [whole.quantile([0.1, 0.9]), whole.pdf([40.0, 60.0]), whole.samples(7, seed=5)]
    monkeypatch.setattr(results, "PDF_NUMBERS", 3000)
    parts = some(40)
    calls: list[int] = []
    real = results.distances.solve

    def counted(field: FlowField, lon: np.ndarray, *rest: object, **named: object) -> object:
        calls.append(len(lon))
        return real(field, lon, *rest, **named)  # type: ignore[arg-type]
    monkeypatch.setattr(results.distances, "solve", counted)
    for a, b in zip(expected, (parts.quantile([0.1, 0.9]), parts.pdf([40.0, 60.0]), parts.samples(7, seed=5))):
        np.testing.assert_array_equal(a, b)
    assert len(calls) == 30 and max(calls) <= 6 and parts._kept is None


def test_a_small_result_solves_its_distributions_once(monkeypatch: pytest.MonkeyPatch) -> None:
    p = some(10)
    p.interval(0.5)
    monkeypatch.setattr(results.distances, "solve", None)
    p.samples(100, 1), p.take(slice(2, 5)).pdf([50.0]), p.take([True] + [False] * 9).cdf(50.0)


def test_rows_taken_apart_answer_as_they_did_together() -> None:
    p = some(9)
    for index in (slice(1, 7, 2), np.array([8, 0]), np.arange(9) % 3 == 0, 4, -1):
        part = p.take(index)
        rows = np.atleast_1d(np.arange(9)[index])
        np.testing.assert_array_equal(part.quantile(0.3), p.quantile(0.3)[rows])
        np.testing.assert_array_equal(part.answers.values, p.answers.values[rows])
        assert [part.answers.roots(i) for i in range(len(part))] == [p.answers.roots(i) for i in rows]


def test_rows_without_an_answer_are_nan_and_spoil_nothing() -> None:
    field = smooth_field(3)
    p = Posteriors(field, [10.0, 10.0, 10.0, 10.0], [5.0, 95.0, 5.0, 5.0], [3000.0, 3000.0, np.nan, 90000.0])
    alone = Posteriors(field, 10.0, 5.0, 3000.0)
    assert p.ok.tolist() == [True, False, False, False]
    for kind in VARIABLES:
        for a, b in ((p.quantile([0.2, 0.7], kind), alone.quantile([0.2, 0.7], kind)),
                     (p.pdf([50.0], kind), alone.pdf([50.0], kind)), (p.samples(3, 1, kind), alone.samples(3, 1, kind))):
            assert np.isnan(a[1:]).all()
            np.testing.assert_array_equal(a[0], b[0])


def test_nothing_asked_of_nobody_is_nothing() -> None:
    p = Posteriors(smooth_field(3), [], [], [])
    assert len(p) == 0 and p.quantile(0.5).shape == (0,) and p.samples(4, 1).shape == (0, 4)
    assert p.pdf([1.0, 2.0]).shape == (0, 2) and p.interval()[0].shape == (0,)


@pytest.mark.parametrize(("ask", "where"), [
    (lambda p: p.quantile(1.2), "q"), (lambda p: p.quantile([[0.5]]), "q"), (lambda p: p.interval(1.0), "level"),
    (lambda p: p.interval(68), "level"), (lambda p: p.pdf(50.0, "parallax"), "kind"), (lambda p: p.samples(-1), "count"),
    (lambda p: p.samples(2.5), "count"), (lambda p: p.pdf(np.zeros((5, 2))), "x"),
    (lambda p: p.summary("mode", "redshift"), "kind")])
def test_what_makes_no_sense_is_refused_by_name(ask: object, where: str) -> None:
    with pytest.raises(BadParameter) as caught:
        ask(some(2))  # type: ignore[operator]
    assert caught.value.where == where


def test_flags_and_statuses_become_words() -> None:
    assert results.flag_column(np.array([0, 5, 0, 2], np.int32)).tolist() == ["", "nearby,multi_root", "", "no_root"]
    assert results.flag_column(np.zeros(0, np.int32)).shape == (0,)
    assert results.status_column(np.array([0, 7], np.int32)).tolist() == ["ok", "outside_field"]

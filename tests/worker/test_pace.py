"""What is said of how long a job takes is not thrown by single slow ones, and learns what lasts."""

from __future__ import annotations

import pytest

from gateway.pace import FIRST_JOBS, Pace


def paced(*seconds: float) -> Pace:
    """Return a pace that has seen jobs of so many seconds."""
    pace = Pace()
    for run_s in seconds:
        pace.done(1, run_s)
    return pace


def test_first_jobs_open_files_and_tell_nothing_of_the_next():
    assert paced(*[0.2] * (FIRST_JOBS - 1)).run_s is None
    assert paced(*[0.2] * (FIRST_JOBS - 1), 0.001).run_s == 0.001


def test_one_slow_job_among_quick_ones_is_no_reason_to_expect_more():
    assert paced(*[0.001] * 20, 0.5).run_s < 0.0015


@pytest.mark.parametrize("run_s", [0.01, 1.0])
def test_jobs_that_stay_slow_are_expected_to(run_s: float):
    assert paced(*[0.001] * 20, *[run_s] * 80).run_s == pytest.approx(run_s, rel=0.05)
    assert paced(*[run_s] * 20, *[0.001] * 120).run_s < 0.002

"""The benchmarks' own arithmetic, without a stopwatch; and one short run where the peers are installed."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import timing
from benchmarks.timing import Contender, duel, pairwise
from benchmarks.verdict import Ratio, as_dict, exit_code, missing

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ("numba", "interpn", "scipy")


def test_a_ratio_is_the_median_over_neighbours_in_time() -> None:
    # a spell in which everything took ten times as long, and one lap that alone was disturbed
    assert pairwise([1.0, 10.0, 1.0, 1.0, 9.0], [4.0, 40.0, 4.0, 4.0, 4.0]) == 4.0
    assert pairwise([1.0, 2.0], [3.0, 10.0]) == 4.0


def test_contenders_take_turns_and_are_compared_by_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []
    now = [0.0]

    def work(name: str, seconds: float) -> Contender:
        def call() -> None:
            turns.append(name)
            now[0] += seconds
        return Contender(call, units=10 if name == "peer" else 1000)

    clock = SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0])
    monkeypatch.setattr(timing, "time", clock)
    found = duel(work("ours", 2.0), work("peer", 1.0), seconds=100.0)
    assert found.ratio == pytest.approx((1.0 / 10) / (2.0 / 1000)) and found.rounds == 15
    assert (found.ours, found.peer) == (pytest.approx(0.002), pytest.approx(0.1))
    assert turns == ["ours", "peer"] * 16


def test_a_quick_contender_is_called_often_enough_for_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, now = [0], [0.0]

    def quick() -> None:
        calls[0] += 1
        now[0] += 0.001

    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now[0], process_time=lambda: now[0]))
    found = duel(Contender(quick, 1), Contender(quick, 1), seconds=0.0)
    assert found.rounds == 3 and calls[0] == 2 + 2 * 3 * 10 and found.ratio == pytest.approx(1.0)


@pytest.mark.parametrize(("ratio", "outcome"), [
    (Ratio("a", 7.0, 7.0, 4.0), "PASS"), (Ratio("a", 4.0, 7.0, 4.0), "PASS"), (Ratio("a", 3.99, 7.0, 4.0), "FAIL"),
    (Ratio("a", 1.6, 1.3, 1.6, at_most=True), "PASS"), (Ratio("a", 1.7, 1.3, 1.6, at_most=True), "FAIL"),
    (Ratio("a", math.nan, 7.0, 4.0), "FAIL"), (Ratio("a", math.nan, 7.0, 4.0, at_most=True), "FAIL"),
    (missing("a", 7.0, 4.0, "numba"), "SKIP")])
def test_only_a_missed_floor_fails(ratio: Ratio, outcome: str) -> None:
    assert ratio.outcome == outcome and ratio.line.startswith(outcome)
    assert exit_code([Ratio("b", 9.0, 2.0, 1.0), ratio]) == (outcome == "FAIL")
    assert ("short of the target" in ratio.line) == (ratio.value is not None and ratio.value not in (7.0,))


def test_a_missing_peer_is_named_and_never_counted_as_passed() -> None:
    ratios = [missing("points_128_vs_numba", 7.0, 4.0, "numba"), Ratio("b", 2.0, 2.0, 1.0)]
    assert as_dict(ratios) == {"points_128_vs_numba": "skipped: not installed (numba)", "b": 2.0}
    assert ratios[0].line == "SKIP points_128_vs_numba: skipped: not installed (numba)" and exit_code(ratios) == 0


def test_kernel_peers_that_are_not_there_are_skipped_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import kernel, peers
    from benchmarks.made_field import make
    monkeypatch.setattr(peers, "installed", lambda name: False)
    times, ratios = kernel.points(make(8), 100, {"numba": (7, 4), "interpn": (15, 8)}, 0.0)
    assert [r.outcome for r in ratios] == ["SKIP", "SKIP"] and set(times) == {"velocity_at"}


def test_a_made_field_is_the_same_each_time_and_bounded_by_its_stated_speed() -> None:
    from benchmarks.made_field import make
    one, two = make(12), make(12, realisations=3)
    assert (one.cells == make(12).cells).all() and one.planes is not None and two.planes is not None
    assert one.planes.shape == (1, 4, 12, 12, 12) and two.planes.shape == (3, 4, 12, 12, 12)
    assert two.cells.shape == (12, 12, 12, 4, 16) and not two.cells[..., 3:].any()
    for made in (one, two):
        speed = (made.cells[..., :3, :].astype(float) ** 2).sum(axis=3) ** 0.5
        assert speed.max() <= made.v_max <= speed.max() * (1 + 1e-5)


def test_the_machine_is_watched() -> None:
    spell = timing.watch(0.1)
    if spell.idle is None:
        pytest.skip("this system has no /proc/stat")
    assert 0.0 <= spell.idle <= 1.0 and spell.others is not None and 0.0 <= spell.others <= 1.0


def test_a_quick_run_prints_one_line_of_json_a_section_and_judges_every_ratio() -> None:
    absent = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (make bench brings them)")
    try:
        done = subprocess.run([sys.executable, "-m", "benchmarks", "kernel", "--quick"], cwd=ROOT, capture_output=True, text=True,
                              timeout=20, env={**os.environ, "PYTHONPATH": str(ROOT)})
    except subprocess.TimeoutExpired:
        pytest.skip("the machine is too busy: 20 s were not enough")
    lines = done.stdout.splitlines()
    sections = [json.loads(line) for line in lines if line.startswith("{")]
    assert [s["section"] for s in sections] == ["machine", "kernel"], done.stderr
    verdicts = [line.split()[0] for line in lines if line.startswith(("PASS", "FAIL", "SKIP"))]
    assert len(verdicts) == len(sections[1]["ratios"]) == 8 and done.returncode == ("FAIL" in verdicts)

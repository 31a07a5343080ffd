"""Places in the queue, noted before they are told: they never rise, whatever ends meanwhile."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gateway import job_positions
from gateway.job_positions import Positions


def test_a_place_that_was_told_is_the_highest_after_another_start(tmp_path: Path) -> None:
    first = Positions(tmp_path)
    first.open([])
    assert [first.tell(7, place) for place in (9, 12, 4, 5)] == [9, 9, 4, 4]
    assert first.tell(8, 3) == 3 and first.tell(10**12, 2**40) == 2**40
    # not closed: a kill closes nothing; and its last note was cut off
    with (tmp_path / job_positions.FILE).open("ab") as notes:
        notes.write(b"\7\0\0")
    second = Positions(tmp_path)
    second.open([7, 10**12])
    assert (second.get(7), second.get(8), second.get(10**12)) == (4, None, 2**40)
    assert second.tell(7, 30) == 4 and second.tell(8, 30) == 30
    second.forget(7)
    assert second.tell(7, 30) == 30
    first.close()
    second.close()


def test_notes_are_written_anew_when_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_positions, "ROOM", 1000)
    notes = Positions(tmp_path)
    notes.open([])
    for place in range(1000, 0, -1):
        assert notes.tell(1, place) == place
    assert (tmp_path / job_positions.FILE).stat().st_size < 1100
    notes.close()
    again = Positions(tmp_path)
    again.open([1])
    assert again.get(1) == 1
    again.close()


def test_a_place_is_told_when_it_cannot_be_noted(tmp_path: Path) -> None:
    notes = Positions(tmp_path)
    notes.open([])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        assert [notes.tell(1, place) for place in (9, 8, 7, 8)] == [9, 8, 7, 7]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    notes.close()
    nowhere = Positions(tmp_path / "nowhere")
    nowhere.open([])
    assert [nowhere.tell(1, place) for place in (9, 8, 9)] == [9, 8, 8]

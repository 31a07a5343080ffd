"""Fields come, go and are damaged on disk while a real worker computes from them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_fields import smooth_field

from cfcore import wire
from cfcore.errors import FieldRefused
from cfcore.fieldfile import publish, verify_folder
from cfcore.registry import Registry
from flow_worker.compute import Computer
from flow_worker.shelf import Shelf

from .raw_gateway import ROOT, Gateway

ROW = {"lon": np.array([10.0]), "lat": np.array([5.0]), "distance": np.array([30.0])}


def put(data: Path, seed: int, name: str = "smooth") -> tuple[Path, str]:
    """Publish a field; return its folder and sha."""
    made = smooth_field(seed=seed)
    folder = publish(data / "fields", dataclasses.replace(made.manifest, id=name, version=str(seed)),
                     np.ascontiguousarray(np.asarray(made._cells)[..., 0]))
    return folder, Registry(data).open(name).manifest.sha256


def of(records: list[dict[str, object]], name: str = "smooth") -> list[object]:
    """Return the shas advertised for a field, the current one last."""
    return [record["sha"] for record in records if record["id"] == name]


def settled(shelf: Shelf) -> list[object]:
    """Return what the shelf says when it has looked at everything."""
    deadline = time.monotonic() + 20
    while shelf.changed() or (shelf._search is not None and shelf._search.is_alive()):
        shelf.fields()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return of(shelf.fields())


def velocity(computer: Computer, sha: str) -> np.ndarray:
    return computer.compute("velocity", "smooth", sha, {}, ROW)[0]["values"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data directory with version 1 of a field."""
    put(tmp_path, 1)
    return tmp_path


def test_a_new_version_is_advertised_last_and_both_answer(data: Path) -> None:
    shelf, computer = Shelf(data), Computer(str(data))
    first, = of(shelf.fields())
    old = velocity(computer, first)
    _, second = put(data, 2)
    assert shelf.changed() and settled(shelf) == [first, second]
    assert velocity(computer, first).tobytes() == old.tobytes() != velocity(computer, second).tobytes()
    assert of(Shelf(data).fields()) == [first, second]


def test_a_folder_that_fails_in_a_way_nobody_foresaw_does_not_end_the_search(data: Path, monkeypatch: Any) -> None:
    shelf = Shelf(data)
    first, = of(shelf.fields())
    strange, _ = put(data, 2)

    def verify(folder: Path) -> None:
        if folder == strange:
            raise RuntimeError("never seen before")
        verify_folder(folder)
    monkeypatch.setattr("flow_worker.shelf.verify_folder", verify)
    assert settled(shelf) == [first]
    _, third = put(data, 3)
    assert settled(shelf) == [first, third]


@pytest.mark.parametrize("harm", ["cut", "bits", "manifest", "gone"])
def test_a_damaged_version_is_withdrawn_and_the_one_before_goes_on(data: Path, harm: str) -> None:
    folder, second = put(data, 2)
    shelf, computer = Shelf(data), Computer(str(data))
    first, shown = of(shelf.fields())
    velocity(computer, second)
    cells = folder / "cells.npy"
    if harm == "cut":
        os.chmod(cells, 0o644)
        os.truncate(cells, 5000)
    elif harm == "bits":
        os.chmod(cells, 0o644)
        with open(cells, "r+b") as file:
            file.seek(6000)
            file.write(b"\x01\x02\x03\x04")
    elif harm == "manifest":
        (folder / "manifest.json").unlink()
    else:
        folder.rename(folder.with_name(".aside"))
    assert shown == second and shelf.changed()
    assert of(shelf.fields()) == [first] and settled(shelf) == [first]
    assert velocity(computer, first).shape == (1, velocity(computer, first).shape[1])
    if harm != "bits":
        with pytest.raises(Exception, match="no field smooth version") as caught:
            velocity(computer, second)
        assert caught.value.code == "no_such_field"
    # mended: it comes back by itself
    if harm == "gone":
        folder.with_name(".aside").rename(folder)
        os.utime(data / "fields" / "smooth" / "current.json")
        assert settled(shelf) == [first, second]


def test_a_bad_new_version_is_refused_and_the_old_one_serves(data: Path) -> None:
    shelf = Shelf(data)
    first, = of(shelf.fields())
    folder, _ = put(data, 2)
    cells = folder / "cells.npy"
    os.chmod(cells, 0o644)
    with open(cells, "r+b") as file:
        file.seek(7000)
        file.write(b"\xff")
    assert settled(shelf) == [first]


def test_a_touched_version_that_is_sound_comes_back(data: Path) -> None:
    shelf = Shelf(data)
    first, = of(shelf.fields())
    os.utime(next((data / "fields" / "smooth").glob("1-*/cells.npy")))
    assert shelf.changed() and settled(shelf) == [first] and not shelf.changed()


def test_a_default_field_that_cannot_be_read_stops_the_start(data: Path) -> None:
    cells = next((data / "fields" / "smooth").glob("1-*/cells.npy"))
    os.chmod(cells, 0o644)
    os.truncate(cells, 5000)
    with pytest.raises(FieldRefused):
        Shelf(data, "smooth")


@contextmanager
def worker(data: Path) -> Iterator[Gateway]:
    """Run the real worker with a bare gateway."""
    gateway = Gateway(data)
    with open(data / "worker.log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "flow_worker", "--connect", gateway.bus, "--data", str(data)],
                                   env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=log)
    try:
        gateway.until(lambda: gateway.all(wire.Hello), 60.0)
        yield gateway
    finally:
        process.kill()
        process.wait()
        gateway.close()


def test_jobs_for_a_field_cut_under_the_worker_go_back_and_the_version_before_answers(data: Path) -> None:
    folder, second = put(data, 2)
    with worker(data) as gateway:
        first, shown = of(gateway.all(wire.Hello)[-1].fields)
        assert shown == second

        def ask(j: int, sha: str) -> None:
            gateway.lane.send_multipart(wire.pack(wire.Job(
                j=j, a=1, tok=16 * b"t", w=gateway.worker, kind="velocity", f="smooth", fv=sha, ms=0, n=1,
                options={}, columns=ROW)))

        for j, sha in ((1, first), (2, second)):
            ask(j, sha)
            assert gateway.result(j).st == "ok" and gateway.results[-1].prov["fv"] == sha[:8]
        os.chmod(folder / "cells.npy", 0o644)
        os.truncate(folder / "cells.npy", 5000)
        for j in range(3, 9):
            ask(j, second if j % 2 else first)
        gateway.until(lambda: {r.j for r in gateway.results} == {1, 2, 4, 6, 8} and set(gateway.bounces()) == {3, 5, 7})
        assert set(gateway.bounces().values()) == {f"no field smooth version {second[:8]} here"}
        gateway.until(lambda: of(gateway.all(wire.Hello)[-1].fields) == [first])
        _, third = put(data, 3)
        gateway.until(lambda: of(gateway.all(wire.Hello)[-1].fields) == [first, third])
        ask(9, third)
        assert gateway.result(9).st == "ok"

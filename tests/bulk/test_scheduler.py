"""A Dask scheduler and workers started as anybody starts them: the same bytes, and unfit workers kept out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from bulk_runs import ROOT, Bulk, contents, finished, made_table, write


class Cluster:
    """A scheduler on a free port of loopback."""

    def __init__(self, bulk: Bulk) -> None:
        self.bulk, self.file = bulk, bulk.logs / "scheduler.json"
        self.process = bulk.python("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", 0, "--no-dashboard",
                                   "--dashboard-address", "127.0.0.1:0", "--scheduler-file", self.file)
        bulk.wait(lambda: self.file.exists() and self.file.read_text().endswith("}"), self.process)
        self.address = json.loads(self.file.read_text())["address"]
        assert self.address.startswith("tcp://127.0.0.1:")

    def worker(self, threads: int = 1, path: Path = ROOT, before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it is registered."""
        words = ("--host", "127.0.0.1", "--nthreads", threads, "--no-nanny", "--no-dashboard")
        process = self.bulk.python("-m", "dask", "worker", self.address, *words, path=path, before=before)
        self.bulk.wait(lambda: "Registered to" in self.bulk.said(process), process)
        return process


@pytest.fixture
def cluster(bulk: Bulk) -> Cluster:
    """Return a scheduler without workers."""
    return Cluster(bulk)


@pytest.fixture
def other_code(tmp_path: Path) -> Path:
    """Return a house whose code differs by a comment."""
    shutil.copytree(ROOT / "cfcore", tmp_path / "other" / "cfcore")
    with open(tmp_path / "other" / "cfcore" / "cosmology.py", "a") as stream:
        stream.write("# another version\n")
    return tmp_path / "other"


def test_workers_elsewhere_make_the_same_bytes(bulk: Bulk, cluster: Cluster, table: Path, undisturbed: Path,
                                               tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = bulk.start(table, out, "--scheduler", cluster.address)
    bulk.wait(lambda: "no worker is connected to tcp://127.0.0.1" in bulk.said(process), process)
    cluster.worker(threads=2)
    assert process.wait(60) == 1, bulk.said(process)
    assert contents(out) == contents(undisturbed)
    assert cluster.process.poll() is None


def test_a_worker_with_other_code_is_refused_at_the_start_and_left_out_when_it_comes_later(
        bulk: Bulk, cluster: Cluster, other_code: Path, tmp_path: Path) -> None:
    table, out = write(tmp_path / "t.parquet", *made_table(60, 8000)), tmp_path / "out"
    cluster.worker()
    process = bulk.start(table, out, "--scheduler", cluster.address)
    bulk.wait(lambda: finished(out), process)
    cluster.worker(path=other_code)
    assert process.wait(60) == 1, bulk.said(process)
    said = bulk.said(process)
    assert "is left out: host" in said and "install the same wheels on every host" in said and len(finished(out)) == 60, said

    code, said = bulk.run(table, tmp_path / "again", "--scheduler", cluster.address)

    assert code == 2 and "has the code of cosmicflows" in said and not finished(tmp_path / "again")


def test_a_worker_that_sees_another_field_under_the_same_path_is_refused(
        bulk: Bulk, cluster: Cluster, table: Path, bulk_data: Path, tmp_path: Path) -> None:
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("another file system for one process needs root and unshare")
    other = tmp_path / "data"
    shutil.copytree(bulk_data, other)
    for manifest in other.glob("fields/ongc-linear/*/manifest.json"):
        manifest.chmod(0o644)
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "sha256": "f" * 64}))
    cluster.worker(before=("unshare", "-m", "sh", "-c", f'mount --bind "{other}" "{bulk_data}" && exec "$0" "$@"'))
    code, said = bulk.run(table, tmp_path / "out", "--scheduler", cluster.address)
    assert code == 2 and "has another version of field ongc-linear: sha256 ffffffffffffffff" in said, said
    assert not finished(tmp_path / "out")


def test_a_scheduler_that_dies_ends_the_run_and_leaves_what_is_finished(
        bulk: Bulk, cluster: Cluster, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cluster.worker()
    process = bulk.start(table, out, "--scheduler", cluster.address)
    bulk.wait(lambda: len(finished(out)) >= 5, process)
    cluster.process.kill()
    assert process.wait(60) == 3, bulk.said(process)
    assert "is gone; run the same command again when it is back" in bulk.said(process)
    for path in finished(out):
        assert path.read_bytes() == (undisturbed / path.name).read_bytes()

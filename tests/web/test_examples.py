"""The scripts of `examples/`: short, and run as they stand against a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import House

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "examples"
# script -> what it prints
SCRIPTS = {"table_job.sh": "COMPLETED: 4 of 4 rows", "client_table.py": "flow.votable is kept until",
           "client_many.py": "unknown_name", "atlas_queue.py": "most likely at", "uws_pyvo.py": "v_rad"}


@pytest.fixture(scope="module")
def desk(house_data: Path) -> Iterator[House]:
    """Return a house with the user of the examples."""
    running = House(house_data, "--workers", "1")
    # another page's example may have added the user
    subprocess.run([sys.executable, "-m", "cfcore.cli", "users", "add", "halley", "--password-file", "-"], check=False,
                   input=b"a galaxy far away\n", timeout=60, capture_output=True, env={**os.environ, "CF_DATA": str(house_data)})
    yield running
    running.stop()


def test_every_example_is_run_and_short_enough_to_copy() -> None:
    scripts = {path.name: path for path in EXAMPLES.iterdir() if path.suffix in (".py", ".sh")}
    assert scripts.keys() == SCRIPTS.keys()
    page = (EXAMPLES / "README.md").read_text("utf-8")
    for name, path in scripts.items():
        assert len(path.read_text("utf-8").splitlines()) < 60 and f"`{name}`" in page, name


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_runs_as_it_stands(name: str, desk: House, tmp_path: Path) -> None:
    command = ["sh"] if name.endswith(".sh") else [sys.executable, "-W", "error"]
    bare = {k: v for k, v in os.environ.items() if not k.startswith("CF_")}
    done = subprocess.run([*command, EXAMPLES / name], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                          env={**bare, "CF_SERVER": f"http://127.0.0.1:{desk.port}", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0 and SCRIPTS[name] in done.stdout, done.stdout + done.stderr

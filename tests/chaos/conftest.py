"""Seeds, time limits and the report of the suite that kills, cuts and floods.

Every test prints one line of what it measured, and the run its seed: `CF_CHAOS_SEED=N pytest tests/chaos` repeats one.
"""

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos.processes import Ward, opened

from cfcore.products import EMBEDDED
from cfcore.registry import Registry

SEED = int(os.environ.get("CF_CHAOS_SEED") or secrets.randbelow(10**9))
LINES: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the seed and the lines of the tests."""
    if LINES:
        terminalreporter.section(f"chaos, seed {SEED} (CF_CHAOS_SEED={SEED} repeats it)")
        for line in LINES:
            terminalreporter.write_line(line)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Give every test lots of its own, whatever else runs."""
    print(f"CF_CHAOS_SEED={SEED}")
    return random.Random(f"{SEED}:{request.node.name}")


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Print one line of what the test measured, with the seconds it took so far."""
    began = time.monotonic()

    def line(text: str) -> None:
        LINES.append(f"{request.node.name.removeprefix('test_')}: {text} [{time.monotonic() - began:.1f} s]")
        print(LINES[-1])
    return line


@pytest.fixture
def ward() -> Iterator[Ward]:
    """Give a place for processes; nothing that was started there may outlive the test, or its parent."""
    with opened() as place:
        yield place


@pytest.fixture(scope="session")
def chaos_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with the embedded fields, built once: every town reads it."""
    data = tmp_path_factory.mktemp("chaos-data")
    registry = Registry(data)
    for key in EMBEDDED:
        registry.ensure(key)
    return data

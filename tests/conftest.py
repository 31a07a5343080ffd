"""What all tests share: where the real data lie, and the fields the tests make themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_fields import smooth_field
from running import House

from cfcore import FlowField, _kernels

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("CF_SHARED") or ROOT.parent / "shared") / "data"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a checked or installed build say that it, and no other, is to be tested."""
    parser.addoption("--core", type=Path, metavar="DIR", help="refuse to test a compiled core that is not in this folder")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the wrong core before the first test."""
    wanted = config.getoption("--core")
    if wanted is not None and not Path(_kernels.__file__).is_relative_to(wanted.resolve()):
        raise pytest.UsageError(f"the compiled core is {_kernels.__file__}, not in {wanted}")
    # a shell starts what goes to the background with Ctrl-C ignored, and so would be all that the tests start and interrupt
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Name the compiled core under test."""
    return f"compiled core: {_kernels.__file__}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Note what failed for a script that runs several parts and tells it at the end (deploy/run_tests.sh)."""
    path = os.environ.get("FAILED_TESTS")
    if path is None or hasattr(terminalreporter.config, "workerinput"):
        return  # what fails at a worker of pytest-xdist is told by the one that started it
    with open(path, "a") as noted:
        for report in (*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")):
            crash = getattr(report.longrepr, "reprcrash", None)
            noted.write(f"{report.nodeid}: {crash.message.splitlines()[0] if crash else 'see above'}\n")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data; skip the test where there is none."""
    if not SHARED.is_dir():
        pytest.skip("the real data are not on this machine (CF_SHARED)")
    return SHARED


@pytest.fixture
def field() -> FlowField:
    """Return a smooth random field."""
    return smooth_field()


@pytest.fixture(scope="session")
def cf4gp(shared_data: Path) -> FlowField:
    """Return the real grouped Cosmicflows-4 field, read by the product's own intake."""
    from cfcore import products
    record = products.product("cf4gp")
    files = {f.role: shared_data / "cf4" / f.name for f in record.files}
    manifest, cells, sigma = products.build(record, files)
    return FlowField(manifest, cells, sigma)


@pytest.fixture(scope="session")
def house_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with the embedded fields, and cf4gp where the real data are."""
    from cfcore.cli import main
    from cfcore.registry import Registry
    data = tmp_path_factory.mktemp("data")
    Registry(data).ensure_ongc_linear()
    if SHARED.is_dir():
        assert main(["fields", "add", str(SHARED / "cf4"), "--data", str(data)]) == 0
    return data


@pytest.fixture(scope="session")
def house(house_data: Path) -> Iterator[House]:
    """Return a running house with two workers."""
    running = House(house_data, "--workers", "2")
    yield running
    running.stop()

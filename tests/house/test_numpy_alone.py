"""`import cfcore` and a distance where NumPy is the only package installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Everything that is not NumPy, cfcore or the standard library is hidden, as it is in a bare environment.
BLOCK = """
import importlib.util, sys
from importlib.machinery import PathFinder
class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        top = name.partition(".")[0]
        if top in sys.stdlib_module_names or top in ("numpy", "cfcore"):
            return None
        raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Bare)
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "pyongc" else real(name, package)
"""


def run(code: str, data: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=60,
                          env={"CF_DATA": str(data), "PATH": "/usr/bin:/bin"}, cwd=Path(__file__).parents[2])


def test_a_distance_comes_without_any_server_or_other_package(tmp_path: Path) -> None:
    done = run("""
import cfcore, numpy as np
s = cfcore.open_field("mould2000").distance(197.4488, -23.3839, cz=2916.0).summary("distance")
assert 25 < s["mean"] < 55, s
field = cfcore.FlowField.from_arrays(np.zeros((3, 8, 8, 8)), origin_hmpc=-70, spacing_hmpc=20, sky_frame="galactic")
assert field.distance([1.0, 2.0], [3.0, 4.0], [2000.0, 3000.0], pdf="hubble").pdf.shape[0] == 2
print("done")
""", tmp_path)
    assert done.stdout == "done\n", done.stderr


def test_the_unit_layer_says_that_it_needs_astropy_and_its_core_does_not(tmp_path: Path) -> None:
    done = run("""
import cfcore, numpy as np
assert {"distance", "correct", "velocity_covariance"} <= set(dir(cfcore))
assert "view" in dir(cfcore)
for name in ("distance", "correct", "DistanceResult", "view"):
    try:
        getattr(cfcore, name)
    except cfcore.CosmicFlowsError as exc:
        print(exc.code, exc)
from cfcore.results import Posteriors
from cfcore.corrections import correct_redshifts
from cfcore.covariance import velocity_covariance
flows = np.zeros((2, 3, 8, 8, 8)); flows[0] = 100.0
field = cfcore.FlowField.from_arrays(flows, origin_hmpc=-70, spacing_hmpc=20, sky_frame="galactic")
assert Posteriors(field, 1.0, 2.0, 3000.0).interval(0.9)[0].shape == (1,)
assert np.isfinite(correct_redshifts(field, 1.0, 2.0, 0.01).z_hd).all()
assert velocity_covariance(field, [1.0], [2.0], [30.0]).shape == (1, 1)
print("done")
""", tmp_path)
    assert done.stdout.count("astropy_missing") == 3 and "cosmicflows[astro]" in done.stdout, done.stderr
    assert "anywidget_missing" in done.stdout and "cosmicflows[jupyter]" in done.stdout, done.stderr
    assert done.stdout.endswith("done\n"), done.stderr


def test_the_default_field_says_what_it_needs(tmp_path: Path) -> None:
    done = run("""
import cfcore
try:
    cfcore.open_field()
except cfcore.CosmicFlowsError as exc:
    print(exc.code, exc)
""", tmp_path)
    assert "needs_pyongc" in done.stdout and "cosmicflows[ongc]" in done.stdout and "mould2000" in done.stdout, done.stderr


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["serve"], 2, "cosmicflows[server]"), (["worker"], 2, "cosmicflows[server]"),
    (["distance", "--ra", "197.4488", "--dec", "-23.3839", "--cz", "2916", "--field", "mould2000"], 0, "")])
def test_commands_say_which_extra_they_need(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = run(f"""
from cfcore.cli import main
sys.exit(main({arguments!r}))
""", tmp_path)
    assert done.returncode == code and words in done.stderr and "Traceback" not in done.stderr, done.stderr

"""What a release holds: an sdist that builds from itself, one wheel for every CPython since 3.11, and a core that works there."""

from __future__ import annotations

import email
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("cfcore", "gateway", "catalog_svc", "flow_worker")
ROOT_FILES = {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
COMPILED = {".pyx", ".pxi", ".c", ".h"}
WEB, STATIC = "gateway/web/", "gateway/static/"
PAGE = {f"{STATIC}{name}" for name in ("index.html", "index.html.gz", "docs.html", "licences.md", "assets/index-1a2b.js",
                                       "assets/index-1a2b.js.gz", "assets/mark-3c4d.svg")}
"""What stands for the built page here: how it is built is tests/page's to look at, that it travels ours."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

# one compilation, and the tests of the core on what came out of it
pytestmark = pytest.mark.timeout(300)


class Release(NamedTuple):
    """Hold a freshly built release."""

    sdist: Path
    wheel: Path
    source: set[str]
    """The files of the four rooms as written by hand, relative to the root; the page's with them."""


def run(*command: object, cwd: Path, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CF_DEBUG", "CF_SANITIZE")}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env={**env, **environment}, capture_output=True, text=True,
                          timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def made_page(tree: Path) -> Path:
    """Put files like those of a built page into a tree; return it."""
    for name in PAGE:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    return tree


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    home = tmp_path_factory.mktemp("release")
    tree = home / "tree"
    for room in ROOMS:
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "_kernels.c",
                                                                                          "node_modules", "static"))
    source = {p.relative_to(tree).as_posix() for p in tree.rglob("*") if p.is_file()}
    for name in ROOT_FILES:
        shutil.copy(ROOT / name, tree)
    # what work leaves behind in a checkout and a release must leave out
    made_page(tree)
    for litter in ("gateway/web/node_modules/left/index.js", "gateway/web/node_modules/left/pad.ts",
                   "cfcore/_kernels.c", "cfcore/_kernels.cpython-311-x86_64-linux-gnu.so", "build/cython/cfcore/_kernels.c",
                   "build/lib/cfcore/old.py", "flow_data/fields/f/cells.npy"):
        (tree / litter).parent.mkdir(parents=True, exist_ok=True)
        (tree / litter).write_bytes(b"left over\n")
        os.utime(tree / litter, (0, 0))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", home / "dist", tree, cwd=home)
    (sdist,), (wheel,) = (home / "dist").glob("*.tar.gz"), (home / "dist").glob("*.whl")
    return Release(sdist, wheel, source)


def test_the_sdist_holds_what_was_written_by_hand_and_nothing_made(release: Release) -> None:
    with tarfile.open(release.sdist) as archive:
        names = {PurePosixPath(m.name).relative_to(release.sdist.name.removesuffix(".tar.gz")).as_posix()
                 for m in archive if m.isfile()}
    made = {"PKG-INFO", "setup.cfg"}
    assert {n for n in names if not n.startswith("cosmicflows.egg-info/")} == release.source | PAGE | ROOT_FILES | made
    assert {f"{WEB}{name}" for name in ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "pack.mjs",
                                        "index.html", "docs.html", "src/docs/main.ts", "src/ui/mark.svg")} <= names
    core = {f"cfcore/_{name}" for name in ("kernels.pyx", "kernels.pyi", "pure.pxi", "roots.pxi", "rows.pxi", "hot.c", "hot.h",
                                         "hot_ensemble.h", "hot_loops.h")}
    assert core | {"cfcore/py.typed", "catalog_svc/aliases.csv"} <= names


def test_the_wheel_holds_the_rooms_and_the_compiled_core_but_not_what_it_was_compiled_from(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as archive:
        names = set(archive.namelist())
    about = f"cosmicflows-{PROJECT['project']['version']}.dist-info"
    core = {n for n in names if n.startswith("cfcore/_kernels.") and n.endswith((".so", ".pyd"))}
    assert len(core) == 1
    assert names - core == PAGE | {n for n in release.source
                                   if PurePosixPath(n).suffix not in COMPILED and not n.startswith(WEB)} | {
        f"{about}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")}
    assert {"cfcore/_kernels.pyi", "cfcore/py.typed", "catalog_svc/aliases.csv"} <= names


def test_without_a_page_everything_else_is_packed(release: Release, tmp_path: Path) -> None:
    with tarfile.open(release.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    shutil.rmtree(tree / STATIC)
    # what goes into a wheel beside the compiled core
    run(sys.executable, "-c", "import setuptools, sys; sys.argv = ['setup.py', '-q', 'build_py', '--build-lib', '../lib']; "
        "exec(open('setup.py').read())", cwd=tree)
    found = {p.relative_to(tmp_path / "lib").as_posix() for p in (tmp_path / "lib").rglob("*") if p.is_file()}
    assert not {n for n in found if n.startswith((WEB, STATIC))}
    assert {"gateway/pages.py", "catalog_svc/aliases.csv", "cfcore/py.typed"} <= found


def test_the_page_that_make_builds_is_whole_and_the_same_each_time() -> None:
    if not (ROOT / STATIC / "index.html").is_file():
        pytest.skip("the page is not built on this machine (make page)")
    files = {p.relative_to(ROOT / STATIC).as_posix(): p for p in (ROOT / STATIC).rglob("*") if p.is_file()}
    plain = {n for n in files if not n.endswith(".gz")}
    named = re.compile(r"(index|docs)\.html|licences\.md|assets/[\w.-]+-[\w-]{8}\.(js|css|svg|png|woff2)")
    assert all(map(named.fullmatch, plain)), plain
    for name in files.keys() - plain:
        packed = files[name].read_bytes()
        assert gzip.decompress(packed) == files[name.removesuffix(".gz")].read_bytes()
        assert packed[4:8] == bytes(4), "a time in it would make every build another"
    assert {f"{n}.gz" for n in plain if n.endswith((".html", ".js", ".css"))} <= files.keys()
    assert sum(p.stat().st_size for p in files.values()) < 10 << 20
    for name in ("index.html", "docs.html"):
        asked = set(re.findall(r"""["']/(assets/[^"']+)""", files[name].read_text("utf-8")))
        assert asked and asked <= plain, asked - plain
    licences = files["licences.md"].read_text("utf-8")
    assert all(word in licences for word in ("swagger-ui-dist", "Inside swagger-ui-dist"))


def test_a_bare_install_asks_for_numpy_alone(release: Release) -> None:
    with zipfile.ZipFile(release.wheel) as archive:
        about = email.message_from_bytes(archive.read(f"cosmicflows-{PROJECT['project']['version']}.dist-info/METADATA"))
    needed = [r for r in about.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert len(needed) == 1 and needed[0].startswith("numpy"), needed


def test_one_wheel_serves_every_later_python(release: Release) -> None:
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("a free-threaded Python has no stable ABI")
    assert "-cp311-abi3-" in release.wheel.name
    tool = Path(sys.executable).parent / "abi3audit"
    if tool.exists():
        run(tool, "--strict", release.wheel, cwd=release.wheel.parent)


def test_the_core_of_the_wheel_passes_its_tests_far_from_the_checkout(release: Release, tmp_path: Path) -> None:
    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
        "--target", site, release.wheel, cwd=tmp_path)
    # --core refuses to test any other core than the one in that folder
    said = run(sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", "--core",
               site, ROOT / "tests/core/test_kernels.py", ROOT / "tests/core/test_frames.py", cwd=tmp_path, PYTHONPATH=str(site))
    assert re.search(r"\d+ passed", said), said
    where = run(sys.executable, "-P", "-c", "import cfcore, catalog_svc; print(cfcore.__file__, catalog_svc.__file__)",
                cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert all(Path(w).is_relative_to(site) for w in where), where


def test_only_one_compiled_core_lies_in_the_checkout() -> None:
    # a name with the version of Python in it is found before the stable one, however old it is
    assert len(list((ROOT / "cfcore").glob("_kernels*.so"))) <= 1, "run make clean, then make"


def test_what_compiles_the_core_is_the_same_for_users_and_for_tests() -> None:
    assert set(PROJECT["build-system"]["requires"]) <= set(PROJECT["project"]["optional-dependencies"]["test"])


def test_the_wheel_builders_know_every_platform_and_run_tests_that_exist(tmp_path: Path) -> None:
    config = PROJECT["tool"]["cibuildwheel"]
    named = re.findall(r"\{project\}/(\S+)", config["test-command"])
    assert named and all((ROOT / n).is_file() for n in named)
    # no image of theirs has node: without a page that is there already they stop, and say why
    check = shlex.split(config["before-all"].replace("{project}", "."))
    for folder, is_whole in ((ROOT / "gateway", False), (made_page(tmp_path), True)):
        done = subprocess.run([sys.executable, *check[1:]], cwd=folder, capture_output=True, text=True, timeout=60)
        assert check[0] == "python" and (done.returncode == 0) is is_whole and ("make page" in done.stderr) is not is_whole
    known = {r for extra in PROJECT["project"]["optional-dependencies"].values() for r in extra}
    assert set(config["test-requires"]) <= known
    tool = Path(sys.executable).parent / "cibuildwheel"
    for platform, images in (("linux", ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64")),
                             ("macos", ("macosx_x86_64", "macosx_arm64")), ("windows", ("win_amd64",))):
        assert config[platform]["archs"] == list(dict.fromkeys(
            {"win_amd64": "AMD64"}.get(i, i.partition("_")[2]) for i in images))
        if tool.exists():
            said = run(tool, "--print-build-identifiers", "--platform", platform, ROOT, cwd=ROOT)
            assert set(said.split()) == {f"{python}-{image}" for python in ("cp311", "cp314") for image in images}

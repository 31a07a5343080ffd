"""The rules of the house, read from the source: who imports whom, how long a module is, what every knob says."""

from __future__ import annotations

import ast
import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cfcore.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("cfcore", "gateway", "catalog_svc", "flow_worker")
NUMPY_ONLY = {"numpy"}
# module -> what it may import beside the standard library, NumPy and cfcore
EXTRA = {"cfcore/wire.py": {"msgpack"}, "cfcore/plots.py": {"matplotlib"},
         "cfcore/notebook.py": {"anywidget", "traitlets"}, "cfcore/arrowtable.py": {"pyarrow"},
         "cfcore/bulk.py": {"pyarrow"}, "cfcore/bulk_dask.py": {"dask", "distributed"},
         "cfcore/client.py": {"httpx", "astropy"}, "cfcore/client_access.py": {"httpx"}, "cfcore/client_progress.py": {"tqdm"},
         "catalog_svc/postgres.py": {"psycopg"},
         **{f"cfcore/{m}.py": {"astropy"} for m in ("quantities", "quantity_results", "quantity_tables", "quantity_velocity",
                                                   "sources", "astrotable", "votablefile",
                                                   "client_files", "client_jobs", "client_tables")}}
SERVICE = {"gateway": {"aiohttp", "zmq", "msgpack", "orjson", "pydantic", "astropy", "prometheus_client",
                       "multidict", "uvloop", "yarl"},
           "catalog_svc": {"aiohttp", "orjson"}, "flow_worker": {"zmq", "msgpack", "orjson"}}


def sources() -> Iterator[Path]:
    """Yield every Python file of the rooms; what the page is made of (thousands of files of others) lies beside them."""
    for room in ROOMS:
        for entry in sorted((ROOT / room).iterdir()):
            if entry.name not in ("web", "static"):
                yield from sorted(entry.rglob("*.py")) if entry.is_dir() else [entry] * (entry.suffix == ".py")


def web_sources() -> list[Path]:
    """Return every file of the page that was written by hand."""
    found = [p for p in sorted((ROOT / "gateway" / "web" / "src").rglob("*")) if p.suffix in (".ts", ".tsx", ".css")]
    assert found
    return found


@cache
def modules() -> tuple[tuple[str, ast.Module], ...]:
    """Return every module of the rooms, parsed once for all rules."""
    return tuple((str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))) for path in sources())


def imported(tree: ast.Module) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names - set(sys.stdlib_module_names)


def test_imports_point_inward_and_only_the_named_modules_use_libraries() -> None:
    for name, tree in modules():
        room = name.partition("/")[0]
        allowed = NUMPY_ONLY | {"cfcore", room} | EXTRA.get(name, set()) | SERVICE.get(room, set())
        assert imported(tree) <= allowed, f"{name} imports {sorted(imported(tree) - allowed)}"


def test_services_name_each_other_only_by_module_name() -> None:
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "import_module":
                assert name == "cfcore/cli.py", f"{name} imports by name"


def test_every_signature_is_typed_and_every_public_thing_has_a_docstring() -> None:
    for name, tree in modules():
        if not Path(name).name.startswith("__init__"):
            assert ast.get_docstring(tree), f"{name} does not say what it owns"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls", "s")]
                assert not bare and node.returns is not None, f"{name}: {node.name} is not typed ({bare})"
        for node in [*tree.body, *(m for c in tree.body if isinstance(c, ast.ClassDef) for m in c.body)]:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{name}: {node.name} has no docstring"


def test_no_coroutine_is_called_without_being_awaited() -> None:
    everything = dict(modules())
    for room in ROOMS:
        trees = {name: tree for name, tree in everything.items() if name.startswith(f"{room}/")}
        own = {name: {node.name for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef)}
               for name, tree in trees.items()}
        public = {word for words in own.values() for word in words if not word.startswith("_")}
        for name, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
                    assert node.value.func.id not in public | own[name], f"{name}:{node.lineno} does not wait for it"


def test_modules_stay_short_enough_to_read() -> None:
    long = {str(p.relative_to(ROOT)): n for p in (*sources(), *web_sources())
            if (n := len(p.read_text("utf-8").splitlines())) > 450}
    assert not long


def test_test_folders_are_not_named_like_packages() -> None:
    for path in (ROOT / "tests").rglob("*"):
        assert path.name not in ROOMS and path.name != "__init__.py"


def test_every_knob_has_a_line_in_the_configuration_page() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    for f in dataclasses.fields(Settings):
        assert f"`{f.name}`" in page and f"`CF_{f.name.upper()}`" in page, f.name


@pytest.mark.parametrize("module", ["cfcore", "cfcore.cli, cfcore.tables, cfcore.astrotable, cfcore.arrowtable, cfcore.client"])
def test_importing_cfcore_loads_numpy_and_nothing_else(module: str) -> None:
    code = (f"import sys, {module}; heavy = set('astropy scipy msgpack zmq aiohttp orjson pydantic pyongc pyarrow dask "
            "distributed httpx tqdm anywidget traitlets'.split()) & set(sys.modules); assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_worker_loads_neither_astropy_nor_scipy(tmp_path: Path) -> None:
    code = ("import sys; from pathlib import Path; import flow_worker.__main__, flow_worker.loop;"
            f"from flow_worker.shelf import Shelf; Shelf(Path({str(tmp_path)!r})).fields();"
            "import flow_worker.child, flow_worker.compute;"
            "heavy = {'astropy', 'scipy', 'aiohttp', 'pydantic'} & set(sys.modules); assert not heavy, heavy")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_happens_at_import() -> None:
    code = ("import socket, builtins; socket.socket.bind = socket.socket.connect = None\n"
            "import gateway.app, gateway.allinone, gateway.server, catalog_svc.app, flow_worker.loop, cfcore.cli")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("word", ["TODO", "FIXME", "XXX"])
def test_nothing_is_unfinished_by_its_own_word(word: str) -> None:
    for path in (*sources(), *web_sources()):
        assert word not in path.read_text("utf-8"), path


def test_every_file_of_the_page_says_at_its_top_what_it_owns() -> None:
    for path in web_sources():
        # what a test is about, the names of its cases say
        if ".test." not in path.name:
            assert path.read_text("utf-8").startswith("/*"), f"{path.relative_to(ROOT)} begins with no comment"


def test_no_file_of_the_page_weakens_what_its_policy_forbids() -> None:
    web = ROOT / "gateway" / "web"
    for path in (*web_sources(), web / "index.html", web / "docs.html"):
        text = path.read_text("utf-8")
        if not path.name.endswith((".test.ts", ".test.tsx")):
            assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(", text), path
            # an address of others may be shown and followed, never loaded from
            assert not re.search(r"""(?:fetch|import|url|src=)\s*\(?["'`]?https?://|<style\b|<[^>]+ style=["']""", text), path


def test_the_linter_has_nothing_to_say() -> None:
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "."], cwd=ROOT, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0, done.stdout

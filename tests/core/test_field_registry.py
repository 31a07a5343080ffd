"""The registry knows what is here, builds what is ours once, adopts what was put there, says how to get the rest."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cfcore
from cfcore import fieldfile, registry
from cfcore.errors import FieldRefused, UnknownName, UsageError
from cfcore.manifest import Manifest
from cfcore.registry import Registry

Toy = tuple[Manifest, np.ndarray]


@pytest.fixture
def builds(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand in for the embedded fields, so that a test takes milliseconds; the list counts their building."""
    calls: list[str] = []
    for key, name in registry.EMBEDDED.items():
        module = types.ModuleType(f"cfcore.{name}")
        module.VERSION = "1"

        def build_field(key: str = key) -> tuple:
            calls.append(key)
            return dataclasses.replace(toy[0], id=key), toy[1], None
        module.build_field = build_field
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.fixture
def here(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data")


def test_an_empty_machine_has_the_embedded_default(here: Registry, builds: list[str]) -> None:
    assert here.list() == () and here.snapshot() == () and here.default() == "ongc-linear"
    assert here.open().manifest.id == "ongc-linear" and builds == ["ongc-linear"]
    assert [e.id for e in here.list()] == ["ongc-linear"]


def test_data_directory_comes_from_cf_data_then_from_the_users_data_home(tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_DATA", str(tmp_path / "a"))
    assert Registry().data == tmp_path / "a"
    monkeypatch.delenv("CF_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "b"))
    assert Registry().data == tmp_path / "b" / "cosmicflows"


def test_fields_open_by_id_and_by_alias_through_the_public_face(here: Registry, toy: Toy, builds: list[str]) -> None:
    fieldfile.publish(here.root, dataclasses.replace(toy[0], id="2mpp"), toy[1])
    for name in ("2mpp", "2M++", " Carrick2015 "):
        assert here.resolve(name) == "2mpp"
    field = cfcore.open_field("2m++", here.data)
    assert np.allclose(field.velocity_at([[0.0, 0.0, 0.0]])[0], toy[1][8, 8, 8, :3], rtol=1e-6)
    assert here.open("mould2000").manifest.id == "mould2000"


@pytest.mark.parametrize(("name", "code", "text"), [
    ("cf4gp", "field_not_installed", "cosmicflows fields fetch cf4gp"),
    ("2mpp", "field_not_installed", "cosmicflows fields add PATH --product 2mpp"),
    ("57runs", "field_not_installed", "vfield_57Runs.npy"),
    ("nix", "unknown_field", "here are mould2000, ongc-linear"),
    ("../..", "unknown_field", "not known"),
    ("generic", "unknown_field", "not known"),
])
def test_an_absent_field_says_how_to_get_it(here: Registry, name: str, code: str, text: str) -> None:
    with pytest.raises(UnknownName, match=text.replace("+", r"\+")) as caught:
        here.resolve(name)
    assert caught.value.code == code


def test_snapshot_changes_when_a_field_is_published_and_only_then(here: Registry, toy: Toy) -> None:
    fieldfile.publish(here.root, *toy)
    first = here.snapshot()
    fieldfile.publish(here.root, *toy)
    assert here.snapshot() == first
    fieldfile.publish(here.root, toy[0], toy[1] * np.float32(2))
    assert here.snapshot() != first


def test_a_damaged_field_is_listed_with_its_fault_and_hides_no_other(here: Registry, toy: Toy) -> None:
    folder = fieldfile.publish(here.root, *toy)
    fieldfile.publish(here.root, dataclasses.replace(toy[0], id="fine"), toy[1])
    (folder / "cells.npy").unlink()
    damaged, fine = sorted(here.list(), key=lambda e: e.id, reverse=True)
    assert damaged.manifest is None and "cells.npy cannot be read" in damaged.fault
    assert fine.manifest.id == "fine" and fine.fault is None


def test_the_embedded_field_is_built_once_however_many_ask(here: Registry, builds: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: Registry(here.data).ensure_ongc_linear(), range(16)))
    assert len(folders) == 1 and builds == ["ongc-linear"]


def test_a_newer_recipe_of_the_embedded_field_replaces_the_old(here: Registry, builds: list[str], toy: Toy) -> None:
    fieldfile.publish(here.root, dataclasses.replace(toy[0], id="ongc-linear", version="0"), toy[1])
    assert here.open().manifest.version == "1" and builds == ["ongc-linear"]


def _put_57runs(data: Path, linear: Callable, seed: int = 1) -> None:
    data.mkdir(exist_ok=True)
    velocity, delta = linear(n=16, seed=seed)
    np.save(data / "vfield_57Runs.npy", velocity)
    np.save(data / "dField_57Runs.npy", delta)


def test_57runs_files_in_data_become_the_default_and_are_read_once(
        here: Registry, linear: Callable, builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _put_57runs(here.data, linear)
    assert here.default() == "cf3-57runs" and builds == []
    assert here.open().manifest.spacing_hmpc == (37.5,) * 3
    monkeypatch.setattr(registry, "take_in", lambda *a, **k: pytest.fail("read again"))
    assert here.adopt() == Registry(here.data).adopt() == here.folder("57runs")
    assert here.default("mould2000") == "mould2000"


def test_changed_57runs_files_are_adopted_again(here: Registry, linear: Callable) -> None:
    _put_57runs(here.data, linear)
    first = here.adopt()
    _put_57runs(here.data, linear, seed=2)
    assert here.adopt() != first and first.is_dir()


def test_refused_57runs_files_do_not_quietly_give_another_default(here: Registry, linear: Callable) -> None:
    _put_57runs(here.data, linear)
    path = here.data / "vfield_57Runs.npy"
    np.save(path, np.load(path)[::-1])
    with pytest.raises(FieldRefused, match="SGX and SGZ are exchanged"):
        here.default()
    assert not (here.root / "cf3-57runs" / "current.json").exists()


def test_an_unwritable_data_directory_is_named(tmp_path: Path, builds: list[str]) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(UsageError, match="cannot be written.*--data or CF_DATA"):
        Registry(tmp_path / "file").ensure_ongc_linear()

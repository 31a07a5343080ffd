"""A field folder holds exactly what was published, or it is refused; a crash never takes the old version away."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cfcore import fieldfile, npyfile
from cfcore.errors import FieldRefused, UnknownName
from cfcore.manifest import Manifest

Toy = tuple[Manifest, np.ndarray]


def test_published_field_comes_back_as_it_was(toy: Toy, tmp_path: Path) -> None:
    manifest, cells = toy
    sigma = np.full((16, 16, 16), 42.0, np.float32)
    folder = fieldfile.publish(tmp_path, manifest, cells, sigma)
    found, mapped, errors = fieldfile.open_folder(folder)
    assert np.array_equal(mapped, cells) and np.array_equal(errors, sigma)
    assert folder == tmp_path / "toy" / f"1-{found.sha256[:8]}"
    assert found.v_max == pytest.approx(np.sqrt((cells[..., :3].astype(float) ** 2).sum(-1)).max(), rel=1e-12)
    assert found.limits["vy"] == (cells[..., 1].min(), cells[..., 1].max())
    assert found.sigma_max == 42.0 and found.created
    assert fieldfile.verify_folder(tmp_path / "toy") == found


def test_arrays_are_plain_npy_files_with_data_at_byte_4096_that_nobody_may_write(toy: Toy, tmp_path: Path) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    path = folder / "cells.npy"
    assert np.array_equal(np.load(path, mmap_mode="r"), toy[1])
    assert path.read_bytes()[4096:] == toy[1].tobytes()
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o444 for p in folder.iterdir())
    mapped = fieldfile.open_folder(folder)[1]
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0, 0, 0] = 1.0


@given(st.lists(st.integers(1, 4096), min_size=3, max_size=5))
def test_header_is_4096_bytes_that_numpy_reads_whatever_the_shape(shape: list[int]) -> None:
    import io
    stream = io.BytesIO(npyfile.header(tuple(shape)))
    assert np.lib.format.read_magic(stream) == (1, 0)
    assert np.lib.format.read_array_header_1_0(stream) == (tuple(shape), False, np.dtype("<f4"))
    assert stream.tell() == 4096


def test_publishing_the_same_content_again_writes_nothing(toy: Toy, tmp_path: Path) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert fieldfile.publish(tmp_path, *toy) == folder
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_same_cells_under_another_convention_are_another_version(toy: Toy, tmp_path: Path) -> None:
    manifest, cells = toy
    first = fieldfile.publish(tmp_path, manifest, cells)
    second = fieldfile.publish(tmp_path, dataclasses.replace(manifest, spacing_hmpc=(10.0,) * 3), cells)
    assert first != second and fieldfile.open_folder(second)[0].version == "1.2"
    assert fieldfile.current_folder(tmp_path / "toy") == second
    assert fieldfile.publish(tmp_path, manifest, cells) == first
    assert fieldfile.current_folder(tmp_path / "toy") == first


def test_a_reader_keeps_its_version_while_a_new_one_is_published(toy: Toy, tmp_path: Path) -> None:
    manifest, cells = toy
    fieldfile.publish(tmp_path, manifest, cells)
    _, mapped, _ = fieldfile.open_folder(tmp_path / "toy")
    fieldfile.publish(tmp_path, manifest, cells * np.float32(2))
    assert np.array_equal(mapped, cells)
    assert np.array_equal(fieldfile.open_folder(tmp_path / "toy")[1], cells * np.float32(2))


def test_realisations_are_innermost_and_padded_with_zero(toy: Toy, tmp_path: Path) -> None:
    manifest, cells = toy
    manifest = dataclasses.replace(manifest, realisations=17)
    runs = np.zeros((16, 16, 16, 4, 32), np.float32)
    runs[..., :17] = cells[..., None] * np.arange(1, 18, dtype=np.float32)
    found, mapped, _ = fieldfile.open_folder(fieldfile.publish(tmp_path, manifest, runs))
    assert mapped.shape == (16, 16, 16, 4, 32)
    assert found.v_max == pytest.approx(17 * np.sqrt((cells[..., :3].astype(float) ** 2).sum(-1)).max(), rel=1e-6)
    runs[0, 0, 0, 0, 20] = 1.0
    with pytest.raises(FieldRefused, match="padding after 17"):
        fieldfile.publish(tmp_path, manifest, runs)


def test_opening_costs_milliseconds_at_most(toy: Toy, tmp_path: Path) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    spent = []
    for _ in range(20):
        start = time.thread_time()
        fieldfile.open_folder(folder)
        spent.append(time.thread_time() - start)
    assert min(spent) < 0.005


def _as(dtype: str, order: str = "C") -> Callable[[Path, np.ndarray], None]:
    def mutate(path: Path, cells: np.ndarray) -> None:
        np.save(path, np.asarray(cells.astype(dtype), order=order))
    return mutate


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path, np.ndarray], None]:
    return lambda path, cells: path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(("mutate", "reason"), [
    pytest.param(_as("<f8"), "holds float64 where float32", id="dtype"),
    pytest.param(_as("<i4"), "holds int32 where float32", id="integers"),
    pytest.param(_as(">f4"), "big-endian where little-endian", id="byte order"),
    pytest.param(_as("<f4", "F"), "Fortran order where C order", id="memory order"),
    pytest.param(_as("<f4"), "data must begin at byte 4096", id="foreign header"),
    pytest.param(lambda p, c: np.save(p, c[:8]), r"has shape \(8, 16, 16, 4\)", id="shape"),
    pytest.param(_bytes(lambda b: b + b"x" * 7), "has 7 trailing bytes", id="trailing"),
    pytest.param(_bytes(lambda b: b[:-100]), r"cut short by 100 bytes \(69532 found, 69632 expected\)",
                 id="truncated"),
    pytest.param(_bytes(lambda b: b[:50]), "not a readable .npy", id="header only"),
    pytest.param(_bytes(lambda b: b""), "not a readable .npy", id="empty"),
    # NumPy's reader ends with tokenize.TokenError on this one
    pytest.param(_bytes(lambda b: b[:40] + b"\0(" + b[42:]), "not a readable .npy", id="a zero in the header"),
    pytest.param(lambda p, c: p.unlink(), "cannot be read", id="missing"),
])
def test_opening_refuses_a_changed_file_and_says_what_is_wrong(
        toy: Toy, tmp_path: Path, mutate: Callable[[Path, np.ndarray], None], reason: str) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    path = folder / "cells.npy"
    path.chmod(0o644)
    mutate(path, toy[1])
    with pytest.raises(FieldRefused, match=reason):
        fieldfile.open_folder(folder)


def test_header_with_bits_turned_over_is_read_as_numpy_writes_it_or_refused() -> None:
    rng = Random(20261122)
    sound = npyfile.header((16, 16, 16, 4))
    read = 0
    for _ in range(20_000):
        damaged = bytearray(sound)
        for _ in range(rng.choice((1, 1, 2, 5, 40))):
            damaged[rng.randrange(110 if rng.random() < 0.8 else len(damaged))] ^= 1 << rng.randrange(8)
        try:
            shape, _, dtype = npyfile.read_header(io.BytesIO(damaged))
        except ValueError:
            continue
        read += 1
        assert all(type(n) is int and n >= 0 for n in shape) and isinstance(dtype, np.dtype)
    assert 100 < read < 10_000


@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 5)])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "O", [("a", "<f4"), ("b", "<i8")]])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_sound_headers_are_read_as_numpy_writes_them(shape: tuple[int, ...], dtype: Any, version: tuple[int, int]) -> None:
    stream = io.BytesIO()
    array = np.empty(shape, dtype, order="F")
    np.lib.format.write_array(stream, array, version=version, allow_pickle=True)
    stream.seek(0)
    found = npyfile.read_header(stream)
    assert found == (shape, array.flags.f_contiguous and not array.flags.c_contiguous, np.dtype(dtype))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1}'])
def test_opening_refuses_a_damaged_manifest(toy: Toy, tmp_path: Path, text: str) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(text)
    with pytest.raises(FieldRefused, match="manifest"):
        fieldfile.open_folder(folder)


def test_one_flipped_bit_is_found_by_verify_and_mended_by_publishing_again(toy: Toy, tmp_path: Path) -> None:
    folder = fieldfile.publish(tmp_path, *toy)
    path = folder / "cells.npy"
    body = bytearray(path.read_bytes())
    body[10_000] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)
    fieldfile.open_folder(folder)
    with pytest.raises(FieldRefused, match="cells.npy has changed on disk"):
        fieldfile.verify_folder(folder)
    assert fieldfile.publish(tmp_path, *toy) == folder
    fieldfile.verify_folder(folder)


def test_nothing_published_is_an_unknown_name_and_a_dangling_pointer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        fieldfile.current_folder(tmp_path / "nix")
    assert caught.value.code == "field_not_installed"
    (tmp_path / "nix").mkdir()
    (tmp_path / "nix" / "current.json").write_text(json.dumps({"folder": "../elsewhere"}))
    with pytest.raises(FieldRefused, match="not there"):
        fieldfile.current_folder(tmp_path / "nix")


@pytest.mark.parametrize(("change", "reason"), [
    (lambda c: c.astype(np.float64), "float64"),
    (lambda c: np.asfortranarray(c), "not in C order"),
    (lambda c: c[:8], r"\(8, 16, 16, 4\)"),
    (lambda c: np.where(np.arange(4) == 2, np.float32(np.nan), c), "NaN or Inf in plane 0"),
])
def test_publishing_refuses_arrays_that_are_not_cells(toy: Toy, tmp_path: Path, change: Callable,
                                                      reason: str) -> None:
    with pytest.raises(FieldRefused, match=reason):
        fieldfile.publish(tmp_path, toy[0], change(toy[1]))
    assert not list(tmp_path.rglob("current.json"))


# Publishes a second version in a process that dies at the k-th call that touches the disk.
_DYING = """
import os, sys
import numpy as np
from pathlib import Path
from cfcore import fieldfile
from cfcore.manifest import Manifest
root, k = Path(sys.argv[1]), int(sys.argv[2])
manifest, cells, _ = fieldfile.open_folder(root / "toy")
calls = 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        calls += 1
        if calls > k:
            os._exit(9)
        return real(*args, **kwargs)
    return call
for name in ("fsync", "rename", "replace", "fchmod", "chmod"):
    setattr(os, name, dying(getattr(os, name)))
fieldfile.publish(root, manifest, np.asarray(cells) * np.float32(2))
"""


def test_a_publication_killed_at_any_step_leaves_a_whole_version_serving(toy: Toy, tmp_path: Path) -> None:
    manifest, cells = toy
    old = fieldfile.publish(tmp_path, manifest, cells)
    env = os.environ | {"PYTHONPATH": str(Path(fieldfile.__file__).parents[1])}
    for k in range(40):
        done = subprocess.run([sys.executable, "-c", _DYING, str(tmp_path), str(k)], env=env, timeout=60)
        current = fieldfile.current_folder(tmp_path / "toy")
        fieldfile.verify_folder(current)
        if done.returncode == 0:
            break
        assert done.returncode == 9
        if current != old:
            # Only the fsync after current.json was replaced is missing: the new version is whole and serves.
            assert np.array_equal(fieldfile.open_folder(current)[1], cells * np.float32(2))
            fieldfile.publish(tmp_path, manifest, cells)
    assert 6 < k < 39, "the steps of a publication were not interrupted one by one"
    assert np.array_equal(fieldfile.open_folder(tmp_path / "toy")[1], cells * np.float32(2))


def test_many_publishers_of_one_field_end_with_one_folder(toy: Toy, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: fieldfile.publish(tmp_path, *toy), range(24)))
    assert len(folders) == 1
    assert sorted(p.name for p in (tmp_path / "toy").iterdir()) == sorted([folders.pop().name, "current.json"])


def test_leftovers_of_a_dead_publication_are_swept_after_a_day(toy: Toy, tmp_path: Path) -> None:
    fieldfile.publish(tmp_path, *toy)
    old, fresh = tmp_path / "toy" / ".tmp-old", tmp_path / "toy" / ".tmp-fresh"
    old.mkdir(), fresh.mkdir()
    os.utime(old, (0, 0))
    fieldfile.publish(tmp_path, *toy)
    assert not old.exists() and fresh.exists()

"""Small linear-theory fields, a product made of one, and the real CF4 files where they lie."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_fields import Cube, linear_theory

from cfcore.cli import main
from cfcore.manifest import Manifest
from cfcore.products import PRODUCTS, Product, ProductFile

ROOT = Path(__file__).resolve().parents[2]


def interleaved(velocity: np.ndarray, delta: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(np.concatenate([velocity, 1 + delta[None]]), 0, -1), dtype=np.float32)


@pytest.fixture
def linear() -> Callable[..., Cube]:
    return linear_theory


@pytest.fixture
def toy() -> tuple[Manifest, np.ndarray]:
    """A field of 16 cubed nodes over 320 h^-1 Mpc, the observer on node 8."""
    manifest = Manifest(id="toy", version="1", shape=(16, 16, 16), origin_hmpc=(-160.0,) * 3,
                        spacing_hmpc=(20.0,) * 3, sky_frame="supergalactic", citation="made by a test")
    return manifest, interleaved(*linear_theory())


@pytest.fixture
def toy_product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Product, Path]:
    """A public product of two .npy files with known checksums, and the directory where its files lie."""
    home = tmp_path / "published"
    home.mkdir()
    velocity, delta = linear_theory(n=24)
    files = []
    for role, array in (("velocity", velocity), ("density", delta)):
        path = home / f"toy_{role}.npy"
        np.save(path, array.astype(np.float32))
        body = path.read_bytes()
        files.append(ProductFile(role, path.name, hashlib.sha256(body).hexdigest(), len(body)))
    record = dataclasses.replace(
        PRODUCTS["cf4gp"], id="toy", title="toy", aliases=(), files=tuple(files), shape=(24, 24, 24), box_hmpc=320.0,
        unit_factor=1.0, v_origin=tuple(velocity[:, 12, 12, 12].tolist()), divergence_min=0.9,
        landmarks_required=False, fetch_base="http://127.0.0.1:9", notes=())
    monkeypatch.setitem(PRODUCTS, "toy", record)
    return record, home


@pytest.fixture
def real_cf4() -> Path:
    shared = Path(os.environ.get("CF_SHARED") or ROOT.parent / "shared" / "data")
    home = next((h for h in (shared / "cf4", shared / "data" / "cf4") if h.is_dir()), None)
    if home is None:
        pytest.skip(f"the CF4 files are not in {shared}; set CF_SHARED")
    return home


@pytest.fixture
def command(house_data: Path, capsys: pytest.CaptureFixture[str],
            monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Run `cosmicflows ...` in this process; return exit code, standard output and standard error."""
    monkeypatch.setenv("CF_DATA", str(house_data))

    def call(*words: object) -> tuple[int, str, str]:
        try:
            code = main([str(w) for w in words])
        except SystemExit as exc:
            code = int(str(exc.code))
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err
    return call

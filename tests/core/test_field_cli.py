"""`cosmicflows fields ...` says what it did, or why not in one sentence, and ends with an honest exit code."""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from cfcore import fields_cli
from cfcore.products import PRODUCTS, Product

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("CF_DATA", str(tmp_path / "data"))

    def call(*words: object) -> tuple[int, str, str]:
        parser = argparse.ArgumentParser(prog="cosmicflows")
        fields_cli.register(parser.add_subparsers(required=True))
        args = parser.parse_args(["fields", *map(str, words)])
        code = args.run(args)
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return code, said.out, said.err
    return call


def _installed(tmp_path: Path) -> list[str]:
    return sorted(p.parent.name for p in (tmp_path / "data" / "fields").glob("*/current.json"))


@pytest.fixture
def cf4_copy(real_cf4: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(real_cf4, tmp_path / "cf4", copy_function=shutil.copyfile))


def test_add_verify_and_list_cf4gp_from_its_directory(run: Run, real_cf4: Path, tmp_path: Path) -> None:
    code, out, err = run("add", real_cf4)
    assert code == 0 and "installed as cf4gp" in out and "Courtois H. M. et al. 2023" in out and "as cf4gp" in err
    code, out, _ = run("verify", "courtois2023")
    assert code == 0
    for figure in ("correlation 0.998 as read, at most 0.611", "(-380.6, 257.4, -200.2) km/s",
                   "Shapley (A3558) 99.8 %", "Perseus (A426) 99.6 %", "Coma (A1656) 99.3 %", "Local Void 4.4 %",
                   "cf4gp: passed"):
        assert figure in out
    code, out, _ = run("list")
    assert code == 0 and re.search(r"cf4gp +64x64x64, supergalactic, trusted to 200", out)
    assert "* ongc-linear" in out and "cosmicflows fields add PATH --product 2mpp" in out


@pytest.mark.parametrize("exchange", ["file", "components"])
def test_cf4gp_with_swapped_axes_is_refused_for_its_axes(run: Run, cf4_copy: Path, tmp_path: Path,
                                                         exchange: str) -> None:
    for path in cf4_copy.glob("*.fits"):
        cube = fits.getdata(path)
        if cube.ndim == 4:
            cube = cube[::-1]
        if exchange == "file":
            cube = np.swapaxes(cube, -1, -3)
        fits.writeto(path, np.ascontiguousarray(cube), overwrite=True)
    code, _, err = run("add", cf4_copy)
    assert code == 2 and "the axes are swapped: SGX and SGZ are exchanged" in err
    assert _installed(tmp_path) == []


def test_cf4gp_cut_by_100_bytes_is_refused_with_both_sizes(run: Run, cf4_copy: Path, tmp_path: Path) -> None:
    path = cf4_copy / "CF4gp_new_64-z008_velocity.fits"
    path.write_bytes(path.read_bytes()[:-100])
    code, _, err = run("add", cf4_copy)
    assert code == 2 and "holds 3150620 bytes where the published file" in err and "has 3150720 (-100)" in err
    assert _installed(tmp_path) == []


@pytest.mark.parametrize("name", [f.name for f in PRODUCTS["cf4gp"].files])
@pytest.mark.parametrize("at", [200, 110, 2880 + 500_000, 2880 + 500_003, -1])
def test_cf4gp_with_one_flipped_bit_anywhere_is_refused_as_changed(run: Run, cf4_copy: Path, tmp_path: Path,
                                                                   name: str, at: int) -> None:
    path = cf4_copy / name
    body = bytearray(path.read_bytes())
    body[at] ^= 0x40
    path.write_bytes(body)
    code, _, err = run("add", cf4_copy)
    assert code == 2 and f"the content of {name} differs from the published file" in err
    assert _installed(tmp_path) == []


def test_renamed_files_are_taken_by_their_role(run: Run, cf4_copy: Path, tmp_path: Path) -> None:
    roles = {f.role: cf4_copy / f.name for f in PRODUCTS["cf4gp"].files}
    for role, path in roles.items():
        path.rename(cf4_copy / f"{role}.fits")
    words = [f"{role}={cf4_copy / role}.fits" for role in roles]
    assert run("add", *words, "--product", "cf4gp", "--id", "mine")[0] == 0
    assert _installed(tmp_path) == ["mine"]
    assert run("verify", "mine")[0] == 0


def test_57runs_with_a_box_of_the_users(run: Run, linear: Callable, tmp_path: Path) -> None:
    velocity, delta = linear(n=16)
    np.save(tmp_path / "vfield_57Runs.npy", velocity)
    np.save(tmp_path / "dField_57Runs.npy", delta)
    files = [tmp_path / "vfield_57Runs.npy", tmp_path / "dField_57Runs.npy"]
    code, out, _ = run("add", *files, "--box", 500, "--h", 0.7)
    assert code == 0 and "stated by the user: box 500 h^-1 Mpc" in out
    assert "assumed: the density file holds delta" in out
    assert "* cf3-57runs" in run("list")[1]


def test_generic_arrays_from_the_command_line(run: Run, linear: Callable, tmp_path: Path) -> None:
    velocity, delta = linear(n=16)
    np.save(tmp_path / "v.npy", velocity)
    np.save(tmp_path / "d.npy", delta)
    files = [tmp_path / "v.npy", tmp_path / "d.npy", "--product", "generic"]
    code, _, err = run("add", *files)
    assert code == 2 and "generic arrays need id, sky_frame, unit, citation, origin and spacing" in err
    stated = ["--id", "mine", "--sky-frame", "galactic", "--unit", 1, "--citation", "me 2026", "--density", "delta"]
    code, out, _ = run("add", *files, *stated, "--origin", -160, -160, -160, "--spacing", 20, 20, 20)
    assert code == 0 and "installed as mine" in out and "cite   me 2026" in out
    np.save(tmp_path / "v.npy", velocity[[1, 0, 2]])
    code, _, err = run("add", *files, *stated, "--box", 320, "--lattice", "centre", "--id", "wrong")
    assert code == 2 and "GX and GY are exchanged" in err and _installed(tmp_path) == ["mine"]


@pytest.mark.parametrize(("names", "reason"), [
    ([], "no product is known by the names"),
    (["twompp_velocity.npy"], "2mpp also needs twompp_density.npy"),
    (["vfield_57Runs.npy", "twompp_velocity.npy", "twompp_density.npy"], "complete 2 products: 2mpp, cf3-57runs"),
])
def test_a_directory_that_is_no_one_product_says_what_is_missing(run: Run, tmp_path: Path, names: list[str],
                                                                 reason: str) -> None:
    home = tmp_path / "files"
    home.mkdir()
    for name in names:
        np.save(home / name, np.zeros(3))
    code, _, err = run("add", home)
    assert code == 2 and reason in err


@pytest.mark.parametrize(("words", "code", "reason"), [
    (["add", "/nowhere/x.fits"], 2, "/nowhere/x.fits is not there"),
    (["add", ".", "--product", "cf5"], 2, "product 'cf5' is not known"),
    (["verify", "cf4gp"], 2, "cosmicflows fields fetch cf4gp"),
    (["verify", "nix"], 2, "field 'nix' is not known"),
    (["fetch", "2mpp"], 2, "cosmicflows fields add PATH --product 2mpp"),
    (["fetch", "cf4gp", "--base", "http://127.0.0.1:9"], 3, "could not be downloaded"),
    (["list", "--data", "/dev/null"], 0, ""),
])
def test_exit_codes_tell_refused_from_try_again(run: Run, words: list[str], code: int, reason: str) -> None:
    found, _, err = run(*words)
    assert found == code and reason in err


def test_a_file_without_a_part_is_not_quietly_left_out(run: Run, linear: Callable, tmp_path: Path) -> None:
    for name in ("v", "d", "s", "t"):
        np.save(tmp_path / f"{name}.npy", linear(n=8)[0])
    code, _, err = run("add", *(tmp_path / f"{n}.npy" for n in "vdst"), "--product", "generic")
    assert code == 2 and "t.npy has no part in generic" in err


def test_a_field_that_fails_its_check_is_not_installed_and_verify_says_so_later(
        run: Run, toy_product: tuple[Product, Path], tmp_path: Path) -> None:
    record, home = toy_product
    assert run("add", home)[0] == 0 and _installed(tmp_path) == ["toy"]
    folder = next((tmp_path / "data" / "fields" / "toy").glob("1-*"))
    path = folder / "cells.npy"
    body = bytearray(path.read_bytes())
    body[5000] ^= 1
    path.chmod(0o644)
    path.write_bytes(body)
    code, _, err = run("verify", "toy")
    assert code == 2 and "cells.npy has changed on disk" in err

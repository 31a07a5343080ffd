"""What a bulk run refuses, before it computes anything, and the way out that it names."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet as pq
import pytest
from bulk_runs import Bulk, contents, made_table, write

from cfcore import bulk as parts_of
from cfcore.cli import main
from cfcore.errors import BadParameter

Refused = Callable[..., str]


@pytest.fixture
def refused(bulk_data: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must be refused; return what it says."""
    def call(*words: object, code: int = 2) -> str:
        assert main(["bulk", *map(str, words), "--data", str(bulk_data)]) == code
        said = capsys.readouterr()
        assert not said.out and "Traceback" not in said.err
        return said.err
    return call


def test_a_folder_with_another_run_is_refused_and_the_difference_told(refused: Refused, table: Path, undisturbed: Path) -> None:
    before = contents(undisturbed)
    said = refused(table, undisturbed, "--field", "ongc-linear", "--prior", "flat")
    assert "holds another run: options.prior was volume, now flat; add --overwrite to replace it, or choose another OUT" in said
    said = refused(table, undisturbed, "--field", "mould2000")
    assert "field.id was ongc-linear, now mould2000" in said
    said = refused(table, undisturbed, "--field", "ongc-linear", "--rows-per-part", 500)
    assert "rows_per_part was None, now 500" in said
    assert contents(undisturbed) == before


def test_another_input_of_the_same_name_is_another_run(refused: Refused, undisturbed: Path, tmp_path: Path) -> None:
    other, sizes = made_table(2, 500)
    said = refused(write(tmp_path / "t.parquet", other, sizes), undisturbed, "--field", "ongc-linear")
    assert "holds another run: input.t.parquet.bytes was" in said


def test_a_file_of_another_run_among_ours_stops_the_run(bulk: Bulk, table: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    pq.write_table(pyarrow.table({"a": [1]}), out / "part-00004.parquet")
    code, said = bulk.run(table, out, "--workers", 1)
    assert code == 2 and "part-00004.parquet belongs to another run; add --overwrite" in said


def test_overwrite_replaces_a_run_by_another(bulk: Bulk, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    table, sizes = made_table(1, 500)
    code, said = bulk.run(write(tmp_path / "s.parquet", table, sizes), out, "--overwrite", "--workers", 1)
    assert code == 1 and "1 of 1 parts are finished; 500 rows" in said, said
    assert sorted(contents(out)) == [".lock", "_manifest.json", "_run.json", "part-00000.parquet"]


def test_a_folder_with_other_files_is_refused_even_to_overwrite(refused: Refused, table: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    said = refused(table, tmp_path, "--overwrite")
    assert "holds other files (thesis.tex); OUT is a folder of its own: choose another" in said
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_missing_and_doubtful_columns_are_refused_with_what_there_is(refused: Refused, tmp_path: Path) -> None:
    bare = tmp_path / "bare.parquet"
    pq.write_table(pyarrow.table({"ra": [1.0], "dec": [2.0], "size": [3.0]}), bare)
    assert "add --cz-column NAME (km/s) or --z-column NAME; the table has" in refused(bare, tmp_path / "o")
    pq.write_table(pyarrow.table({"ra": [1.0], "dec": [2.0], "vhel": [3000.0], "vcmb": [3300.0]}), bare)
    said = refused(bare, tmp_path / "o")
    assert "2 columns could be the observed velocity" in said and "--cz-column vcmb   (c z in km/s, CMB frame)" in said
    pq.write_table(pyarrow.table({"ra": [1.0], "dec": [2.0], "cz": [0.01]}), bare)
    assert "which look like redshifts" in refused(bare, tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_wrong_words_are_refused(refused: Refused, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert "leave one out" in refused(table, out, "--scheduler", "tcp://127.0.0.1:1", "--workers", 2)
    assert "--workers 0 lies outside 1 ... 1024" in refused(table, out, "--workers", 0)
    assert "is no address; write tcp://HOST:8786" in refused(table, out, "--scheduler", "127.0.0.1:8786")
    assert "holds no Parquet files" in refused(tmp_path, out)
    assert "holds the input" in refused(table, table.parent)
    (tmp_path / "f.parquet").write_bytes(b"no table")
    assert "cannot be read as Parquet" in refused(tmp_path / "f.parquet", out)
    assert "is a file; OUT is a folder" in refused(table, tmp_path / "f.parquet")


def test_files_with_other_columns_than_the_first_are_refused(refused: Refused, tmp_path: Path) -> None:
    pq.write_table(pyarrow.table({"ra": [1.0], "dec": [2.0], "cz": [3000.0]}), tmp_path / "a.parquet")
    pq.write_table(pyarrow.table({"ra": [1.0], "dec": [2.0], "cz": [3000]}), tmp_path / "b.parquet")
    said = refused(tmp_path, tmp_path / "o")
    assert "b.parquet has other columns than" in said and "cz int64 in place 3 where the first has cz double" in said


def test_a_folder_in_which_a_command_works_is_refused(refused: Refused, table: Path, tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    with open(tmp_path / "o" / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "another command is at work in" in refused(table, tmp_path / "o")


def test_a_scheduler_that_does_not_answer_is_told_apart_from_a_mistake(bulk: Bulk, table: Path, tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        # bound, not listening: nobody else can get this port meanwhile
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
        code, said = bulk.run(table, tmp_path / "o", "--scheduler", f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert code == 3 and "no Dask scheduler answers at tcp://127.0.0.1:" in said


def test_a_host_with_another_version_of_the_field_is_refused(bulk_data: Path, tmp_path: Path, undisturbed: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(bulk_data, data)
    folder, = (p for p in (data / "fields" / "ongc-linear").iterdir() if p.is_dir())
    manifest = json.loads((folder / "manifest.json").read_text())
    description = json.loads((undisturbed / "_run.json").read_text())
    field = description["field"]
    run = parts_of.Run(str(undisturbed), description["sha256"], str(folder), field["sha256"], field["manifest_sha256"],
                       None, "", None, {}, 0.0, parts_of.code_identity())  # type: ignore[arg-type]
    parts_of.check_host(run)
    for key, value, words in (("sha256", "0" * 64, "has another version of field ongc-linear: sha256 0000000000000000"),
                              ("sigma_v", 333.0, "with another manifest than the run was begun with")):
        parts_of._field.cache_clear()
        (folder / "manifest.json").chmod(0o644)
        (folder / "manifest.json").write_text(json.dumps({**manifest, key: value}))
        with pytest.raises(BadParameter, match=words) as caught:
            parts_of.check_host(run)
        assert caught.value.code == "unfit_worker" and socket.gethostname() in str(caught.value)
    parts_of._field.cache_clear()

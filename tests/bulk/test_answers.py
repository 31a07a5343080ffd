"""What a bulk run writes: the answers of `cosmicflows distance`, one whole file a part, the same bytes each time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest
from bulk_runs import EMPTY, PARTS, ROWS, Bulk, contents, finished, made_table, write

import cfcore
from cfcore.cli import main


def test_every_row_has_the_answer_of_the_core(undisturbed: Path, table: Path, bulk_data: Path) -> None:
    asked, got = pq.read_table(table), pq.read_table(undisturbed)
    assert got.select(asked.column_names).equals(asked)
    ra, dec, cz = (asked[c].to_numpy() for c in ("ra", "dec", "vhel"))
    good = np.isfinite(cz) & (cz != -999.0) & (dec <= 90.0)
    d = cfcore.open_field("ongc-linear", bulk_data).distance(ra[good], dec[good], cz[good])
    for name, column in (("distance_mean", "distance.mean"), ("v_rad", "v_rad"), ("evidence", "evidence"), ("cz_cmb", "cz.cmb")):
        assert np.array_equal(got[name].to_numpy()[good], d.column(column), equal_nan=True), name
    status = np.array(got["status"].to_pylist())
    assert (status[good] == [cfcore.distances.STATUS[s] for s in d.status.tolist()]).all() and (status[~good] != "ok").all()
    assert set(status[~good]) == {"missing", "lat_out_of_range"}


def test_a_bulk_run_says_the_same_as_the_command_for_tables(undisturbed: Path, table: Path, bulk_data: Path,
                                                            tmp_path: Path) -> None:
    words = ("distance", table, "-o", tmp_path / "o.parquet", "--field", "ongc-linear", "--data", bulk_data)
    assert main([str(w) for w in words]) == 1
    assert pq.read_table(undisturbed).equals(pq.read_table(tmp_path / "o.parquet"))


def test_the_manifest_counts_and_names_every_file(undisturbed: Path) -> None:
    manifest, files = json.loads((undisturbed / "_manifest.json").read_text()), finished(undisturbed)
    assert [p.name for p in files] == [row["file"] for row in manifest["parts"]] and len(files) == PARTS
    for path, row in zip(files, manifest["parts"]):
        body = path.read_bytes()
        assert row["sha256"] == hashlib.sha256(body).hexdigest() and row["bytes"] == len(body)
        assert row["rows"] == pq.read_metadata(path).num_rows == sum(row["statuses"].values())
    assert manifest["rows"] == (PARTS - 1) * ROWS and manifest["failed"] == 0
    status = pq.read_table(undisturbed, columns=["status"])["status"].to_pylist()
    assert manifest["statuses"] == {word: status.count(word) for word in sorted(set(status))}


def test_an_empty_row_group_is_a_file_without_rows_and_the_same_columns(undisturbed: Path) -> None:
    schemas = [pq.read_schema(p).remove_metadata() for p in finished(undisturbed)]
    assert pq.read_metadata(finished(undisturbed)[EMPTY]).num_rows == 0
    assert all(s.equals(schemas[0]) for s in schemas) and schemas[0].field("status").type == pyarrow.string()


def test_each_file_says_what_it_was_made_from(undisturbed: Path, bulk_data: Path) -> None:
    metadata = pq.read_metadata(finished(undisturbed)[3]).metadata
    facts, seal = json.loads(metadata[b"cosmicflows"]), json.loads(metadata[b"cosmicflows_part"])
    assert facts["field_sha256"] == cfcore.open_field("ongc-linear", bulk_data).manifest.sha256 and facts["citation"]
    assert seal["run"] == json.loads((undisturbed / "_run.json").read_text())["sha256"]
    assert seal["part"] == 3 and seal["rows"] == ROWS


@pytest.mark.parametrize("size", [7, 1000, 2600])
def test_parts_of_chosen_size_divide_the_rows_of_each_file(size: int, bulk_data: Path, tmp_path: Path) -> None:
    from cfcore import bulk as parts_of
    from cfcore.bulk_folder import divide
    table, _ = made_table(1, 2600)
    home = tmp_path / "in"
    home.mkdir()
    files = [write(home / "a.parquet", table.slice(0, 2000), [700, 0, 1300]), write(home / "b.parquet", table.slice(2000), [600])]
    parts, _, _ = divide(files, size)
    read = []
    for part in parts:
        with parts_of.opened(part) as reader:
            chunks = list(reader.chunks(311))
        read.append(pyarrow.Table.from_batches([c.batch for c in chunks]))
        assert [n for c in chunks for n in c.numbers] == list(range(part.begin + 1, part.end + 1))
        assert read[-1].num_rows == part.end - part.begin <= size
    assert pyarrow.concat_tables(read).equals(table)
    assert len(parts) == -(-2000 // size) + -(-600 // size)


def test_a_folder_of_files_and_chosen_columns(bulk: Bulk, tmp_path: Path) -> None:
    table, _ = made_table(1, 2600)
    home, out = tmp_path / "in", tmp_path / "out"
    home.mkdir()
    write(home / "b.parquet", table.slice(1500), [1100])
    write(home / "a.parquet", table.slice(0, 1500), [800, 700])
    write(home / "_metadata.parquet", table.slice(0, 1), [1])
    words = ("--rows-per-part", 1000, "--columns", "distance_median,status", "--prior", "flat", "--workers", 1)
    code, said = bulk.run(home, out, *words)
    assert code == 1 and "4 parts on 1 worker of this machine" in said, said
    got = pq.read_table(out)
    assert got.column_names == ["name", "ra", "dec", "vhel", "distance_median", "status"]
    assert got["name"].to_pylist() == table["name"].to_pylist()
    assert [pq.read_metadata(p).num_rows for p in finished(out)] == [1000, 500, 1000, 100]
    assert b"\n" in contents(out)["_run.json"] and json.loads(contents(out)["_run.json"])["options"]["prior"] == "flat"

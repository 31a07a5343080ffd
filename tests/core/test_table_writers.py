"""What the writers of tables must hold: all kinds of columns, text of any letters, names of anybody, only some of the rows."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import MaskedColumn, Table

from cfcore import tablerun, tables, votablefile
from cfcore.asking import answer_columns
from cfcore.options import FLOW_TYPES
from cfcore.tables import NewColumn

FACTS = {"field": "f", "citation": "Tully\x01 et al., café\n", "frame": "icrs", "columns": "ra, dec, cz", "job": 3, "H0": 75.0}


def added(n: int) -> list[NewColumn]:
    return [NewColumn("v", np.linspace(0.0, 1.0, n), "km/s", "a number", 2, "phys.veloc"),
            NewColumn("n", np.where(np.arange(n) % 2, np.nan, 7.0), "", "a count", 0, "meta.number"),
            NewColumn("reason", ["", "bü", "\U0001f600"][:n] + [""] * (n - 3), "", "a sentence", None, "meta.note")]


def written(source: Path, fmt: str, target: str, rows: int = 100, kept: tables.Ranges | None = None) -> bytes:
    out = io.BytesIO()
    reader = tables.open_reader(str(source), fmt, stated=True)
    if kept is not None:
        reader.keep(kept)
    writer = tables.open_writer(out, target, reader, FACTS, comments=True)
    for chunk in reader.chunks(rows):
        writer.write(chunk, added(len(chunk)))
    writer.finish()
    reader.close()
    return out.getvalue()


def all_kinds(n: int) -> Table:
    rng = np.random.default_rng(3)
    t = Table({f"k_{kind}": rng.integers(0, 100, n).astype(kind) for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8",
                                                                              "f2", "f4", "f8")})
    t["flag"] = rng.integers(0, 2, n).astype(bool)
    t["text"] = np.array(["", "a", "été", "x" * 40, "\u4e2d"] * n)[:n]
    t["bytes"] = np.array([b"", b"abc", b"d"] * n)[:n]
    t["masked"] = MaskedColumn(rng.integers(0, 9, n), mask=rng.integers(0, 2, n).astype(bool))
    t["unknown"] = np.where(rng.integers(0, 2, n), np.nan, 1.5)
    return t


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_a_large_votable_holds_what_a_small_one_holds(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    given, read = all_kinds(n), {}
    monkeypatch.setattr(votablefile, "_PIECE_ROWS", 7)
    for name, limit in (("TABLEDATA", n), ("BINARY2", 0)):
        monkeypatch.setattr(votablefile, "TABLEDATA_ROWS", limit)
        out = io.BytesIO()
        votablefile.write(given.copy(), out, FACTS)
        assert f"<{name}>".encode() in out.getvalue()
        read[name] = votable.parse(io.BytesIO(out.getvalue()), verify="exception").get_first_table().array
    for column in given.colnames:
        small, large = read["TABLEDATA"][column], read["BINARY2"][column]
        assert np.ma.getmaskarray(small).tolist() == np.ma.getmaskarray(large).tolist() or column == "unknown"
        np.testing.assert_array_equal(np.ma.filled(small, 0), np.ma.filled(large, 0))
        wanted = given[column]
        if wanted.dtype.kind in "iuf":
            np.testing.assert_array_equal(np.ma.filled(np.ma.masked_invalid(large.astype(float)), -1.0),
                                          np.ma.filled(np.ma.masked_invalid(np.ma.asarray(wanted, float)), -1.0))
    assert [str(v) for v in read["BINARY2"]["text"]] == given["text"].tolist()


def test_columns_that_are_no_plain_numbers_go_the_slow_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votablefile, "TABLEDATA_ROWS", 0)
    out = io.BytesIO()
    votablefile.write(Table({"xyz": np.arange(12.0).reshape(4, 3), "t": ["a", "", "c", "d"]}), out, {})
    back = votable.parse(io.BytesIO(out.getvalue())).get_first_table().array
    assert back["xyz"].tolist() == np.arange(12.0).reshape(4, 3).tolist() and b"BINARY2" in out.getvalue()


@pytest.mark.parametrize("target", tables.OUTPUT_FORMATS)
def test_names_and_cells_of_anybody_are_written_in_every_format(tmp_path: Path, target: str) -> None:
    source = tmp_path / "t.csv"
    source.write_bytes(("ra,dec,cz,citation,QUERY_STATUS,Größe,a\x01b,a\x02b,=1+1,\"x\"\"y\",," + "long" * 30 + ",<&>\n"
                        "1,2,3,4,5,é\x03,1,2,=cmd(),q,,x,\U0001f600\n4,5,6,7,8,,3,,@x,w,1,y,a\x1ab\n").encode())
    data = written(source, "csv", target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if target == "fits":
            names = fits.open(io.BytesIO(data))[1].columns.names
        elif target == "votable":
            document = votable.parse(io.BytesIO(data), verify="exception")
            table = document.get_first_table()
            names = [f.name for f in table.fields]
            ids = [e.ID for e in (*table.fields, *document.resources[0].params, *document.resources[0].infos)]
            assert len(set(ids)) == len(ids)
            assert table.array["=1+1"].tolist() == ["=cmd()", "@x"] and table.fields[0].ref == table.fields[1].ref is not None
        elif target == "parquet":
            names = pq.read_schema(io.BytesIO(data)).names
        else:
            text = [line for line in data.decode().splitlines() if not line.startswith("#")]
            assert len(text) == 3 or target == "ecsv"
            assert "=cmd()" in data.decode() and "@x" in data.decode()
            return
    assert len(names) == 16 and len({n.lower() for n in names}) == 16 and names[:3] == ["ra", "dec", "cz"]


@pytest.mark.parametrize("fmt", ["csv", "fits", "votable", "ecsv", "parquet"])
def test_only_the_rows_that_are_kept_are_read_and_keep_their_numbers(tmp_path: Path, fmt: str) -> None:
    source, t = tmp_path / f"t.{fmt}", Table({"i": np.arange(25), "t": [f"x{i}" for i in range(25)]})
    if fmt == "parquet":
        pq.write_table(pyarrow.table({n: t[n].tolist() for n in t.colnames}), source)
    else:
        t.write(source, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv"}.get(fmt, fmt))
    wanted = [*range(2, 5), *range(9, 21), 24]
    for rows in (4, 10, 100):
        reader = tables.open_reader(str(source), fmt, stated=True)
        reader.keep([(2, 5), (9, 21), (24, 25)])
        chunks = list(reader.chunks(rows))
        assert [int(v) for c in chunks for v in c.column(0)[0]] == wanted
        assert [n - (2 if fmt == "csv" else 1) for c in chunks for n in c.numbers] == wanted
        assert [line for c in chunks for line in c.text(",")] == [f"{i},x{i}" for i in wanted]
        reader.close()
        for target in ("csv", "fits", "parquet", fmt):
            assert written(source, fmt, target, rows, [(2, 5), (9, 21), (24, 25)])


def test_a_row_with_too_few_fields_keeps_its_fault_when_others_are_left_out(tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    source.write_text("a,b\n1,2\n3\n4,5\n6\n7,8\n")
    reader = tables.open_reader(str(source), "csv", stated=True)
    reader.keep([(1, 4)])
    chunk, = reader.chunks(100)
    assert {i: word for i, (word, _) in chunk.faults.items()} == {0: "wrong_length", 2: "wrong_length"}
    assert chunk.text(",") == ["3,", "4,5", "6,"]
    reader.close()


def test_every_ucd_of_ours_is_of_the_controlled_vocabulary() -> None:
    columns = [c for flow in FLOW_TYPES for c in answer_columns("distance", flow)] + list(answer_columns("velocity", "distance"))
    assert all(c.ucd and check_ucd(c.ucd, check_controlled_vocabulary=True, has_colon=True) for c in columns)
    names = tablerun.new_names("distance", "distance", (), None)
    assert {"flags", "status", "reason"} <= set(names)

"""Tables that strangers send: read in a process of its own, bounded, and refused in words when they cannot be."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import io
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from pyarrow import parquet

from cfcore.cosmology import C_KMS
from cfcore.errors import BadParameter, CosmicFlowsError, TransientError, UnknownName
from gateway import job_queries, spool, uploads
from gateway.intake import Intake, Question, in_parameters
from gateway.uploads import Uploads, shown_name

COLUMNS = {"RAJ2000": np.array([10.5, 187.7, 54.6]), "DEJ2000": np.array([41.27, 12.39, -35.45]),
           "cz": np.array([300.25, 1079.0, 1500.0]), "e_cz": np.array([5.0, 10.0, 20.0])}
RECORD = {"id": "made", "sha": "0" * 8, "version": "1", "citation": ""}


def read(folder: Path, data: bytes, name: str = "t.csv", *, intake: Intake | None = None, **question: Any) -> dict[str, Any]:
    """Read a table, and return what was said of it with the columns that were written."""
    path = folder / "sent"
    path.write_bytes(data)
    said = asyncio.run(in_loop(intake or {}, "rows", path, Question(name, **question), folder))
    columns = spool.read_rows(folder / said["input_file"], 0, said["rows"])
    return {**said, "columns": columns}


async def in_loop(intake: Intake | dict[str, Any], what: str, *arguments: Any) -> dict[str, Any]:
    # the semaphore belongs to the loop it is first waited for in
    made = intake if isinstance(intake, Intake) else Intake(**intake)
    return await getattr(made, what)(*arguments)


def look(folder: Path, data: bytes, name: str = "t.csv", **question: Any) -> dict[str, Any]:
    path = folder / "sent"
    path.write_bytes(data)
    return asyncio.run(in_loop({}, "look", path, Question(name, **question)))


def refused(folder: Path, data: bytes, name: str = "t.csv", limits: dict[str, Any] | None = None,
            **question: Any) -> CosmicFlowsError:
    """Return the refusal of a table, which left nothing behind and tells nothing of our folders."""
    path = folder / "sent"
    path.write_bytes(data)
    before = set(os.listdir(folder))
    with pytest.raises(CosmicFlowsError) as caught:
        asyncio.run(in_loop(limits or {}, "rows", path, Question(name, **question), folder))
    assert str(folder) not in caught.value.message and set(os.listdir(folder)) == before
    return caught.value


def written(fmt: str) -> bytes:
    """Return the columns as a table of a format."""
    table = Table(COLUMNS)
    out = io.BytesIO()
    if fmt in ("csv", "tsv", "text"):
        mark = {"csv": ",", "tsv": "\t", "text": " "}[fmt]
        lines = [mark.join(COLUMNS), *(mark.join(repr(float(v)) for v in row) for row in zip(*COLUMNS.values()))]
        return "\n".join(lines).encode() + b"\n"
    if fmt == "fits":
        fits.HDUList([fits.PrimaryHDU(), fits.table_to_hdu(table)]).writeto(out)
    elif fmt == "votable":
        votable.from_table(table).to_xml(out)
    elif fmt == "ecsv":
        text = io.StringIO()
        table.write(text, format="ascii.ecsv")
        return text.getvalue().encode()
    else:
        parquet.write_table(pyarrow.table({k: pyarrow.array(v) for k, v in COLUMNS.items()}), out)
    return out.getvalue()


@pytest.mark.parametrize(("fmt", "name"), [
    ("csv", "a.csv"), ("tsv", "a.tsv"), ("text", "a.dat"), ("ecsv", "no-suffix"), ("fits", "a.csv"), ("votable", "a.txt"),
    ("parquet", "")])
def test_a_format_is_told_by_its_content_and_read_as_every_other(tmp_path: Path, fmt: str, name: str) -> None:
    body = job_queries.JobBody(lon=COLUMNS["RAJ2000"].tolist(), lat=COLUMNS["DEJ2000"].tolist(), cz=COLUMNS["cz"].tolist(),
                               sigma_cz=COLUMNS["e_cz"].tolist())
    expected = job_queries.draft(body, RECORD, "me", None)
    for data in (written(fmt), gzip.compress(written(fmt))):
        got = read(tmp_path, data, name)
        assert (got["format"], got["rows"], got["rows_sha256"], got["nbytes"]) == (
            fmt, 3, expected.input_sha.hex(), expected.nbytes)
        assert got["bytes"] == len(written(fmt)) == (tmp_path / "sent").stat().st_size
        assert (got["choice"]["value"]["name"], got["choice"]["sigma"]["name"], got["choice"]["frame"]) == ("cz", "e_cz", "icrs")


def test_what_cannot_be_read_of_a_row_is_nan_and_the_first_such_rows_are_told(tmp_path: Path) -> None:
    text = b"ra,dec,z\n1,2,0.01\n1,2\nx,2,0.01\n1,2,nan\n1,2,0.02\n" + b"1,2,-\n" * 12
    got = read(tmp_path, text, sigma_cz=30.0)
    nan = {name: np.isnan(values).tolist() for name, values in got["columns"].items()}
    assert nan["cz"] == [False, True, False, True, False] + [True] * 12 and not any(nan["lat"] + nan["sigma_cz"])
    assert np.flatnonzero(nan["lon"]).tolist() == [2]
    assert got["columns"]["cz"][0] == 0.01 * C_KMS and got["columns"]["sigma_cz"][4] == 30.0
    assert got["faults"]["rows"] == 15 and len(got["faults"]["first"]) == 10
    assert [(f["row"], f["line"], f["status"]) for f in got["faults"]["first"][:3]] == [
        (1, 3, "wrong_length"), (2, 4, "not_a_number"), (3, 5, "missing")]


def test_a_row_that_reads_well_but_is_none_is_not_asked(tmp_path: Path) -> None:
    got = read(tmp_path, b"ra,dec,cz\n1,2,3000\n1,2,-9999\n1,2,3000,4\n")
    assert np.isnan(got["columns"]["cz"]).tolist() == [False, True, True]
    assert [f["status"] for f in got["faults"]["first"]] == ["missing", "wrong_length"]


def test_a_velocity_is_asked_at_the_distances_of_a_table(tmp_path: Path) -> None:
    got = read(tmp_path, b"sgl,sgb,d [kpc]\n1,2,3000\n", kind="velocity", columns={"distance": "d [kpc]"})
    assert list(got["columns"]) == ["lon", "lat", "distance"] and got["columns"]["distance"][0] == 3.0
    assert got["choice"]["frame"] == "supergalactic"


@pytest.mark.parametrize("fmt", ["csv", "votable", "ecsv", "fits", "parquet"])
def test_a_hundred_thousand_columns_are_refused_quickly(tmp_path: Path, fmt: str) -> None:
    n = 100_000
    names = [f"c{i}" for i in range(n)]
    if fmt == "csv":
        data = (",".join(names) + "\n" + ",".join("1" for _ in names) + "\n").encode()
    elif fmt == "votable":
        data = b'<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE>' + b"".join(
            b'<FIELD name="%b" datatype="int"/>' % c.encode() for c in names) + b"<DATA></DATA></TABLE></RESOURCE></VOTABLE>"
    elif fmt == "ecsv":
        data = ("# %ECSV 1.0\n# ---\n# datatype:\n" + "".join(f"# - {{name: {c}, datatype: int64}}\n" for c in names)
                + " ".join(names) + "\n").encode()
    elif fmt == "fits":
        cards = ["SIMPLE  =                    T", "BITPIX  =                    8", "NAXIS   =                    0",
                 "EXTEND  =                    T", "END"]
        more = ["XTENSION= 'BINTABLE'", "BITPIX  =                    8", "NAXIS   =                    2",
                f"NAXIS1  = {n:20d}", "NAXIS2  =                    1", "PCOUNT  =                    0",
                "GCOUNT  =                    1", f"TFIELDS = {n:20d}", *(f"TFORM{i + 1:<3d}= '1B'" for i in range(n)), "END"]
        data = b"".join("".join(f"{c:80.80}" for c in block).encode().ljust(-(-80 * len(block) // 2880) * 2880)
                        for block in (cards, more))
    else:
        out = io.BytesIO()
        parquet.write_table(pyarrow.table({c: pyarrow.array([1], pyarrow.int8()) for c in names[:20_000]}), out)
        data = out.getvalue()
    begin = time.process_time()
    error = refused(tmp_path, data, f"a.{fmt}", {"cpu_s": 10})
    assert error.code in ("too_many_columns", "table_too_hard") and (error.code == "too_many_columns" or fmt == "ecsv")
    assert time.process_time() - begin < 5.0


def test_a_bomb_is_not_unpacked_beyond_its_bound(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(8 << 20), 1) * 65
    error = refused(tmp_path, bomb, "a.csv.gz")
    assert error.code == "body_too_large" and "512 MiB" in error.message


# what is packed carries the second of its packing: such a test gets a name of its own, the same in every process
@pytest.mark.parametrize(("data", "code", "word"), [
    (b"PK\x03\x04" + bytes(100), "unknown_format", "ZIP"), (b"\xfd7zXZ" + bytes(100), "unknown_format", "xz"),
    pytest.param(gzip.compress(gzip.compress(b"ra,dec,cz\n1,2,3\n")), "unknown_format", "twice", id="packed twice"),
    (b'{"ra": [1]}', "unknown_format", "JSON"),
    pytest.param(gzip.compress(b"ra,dec,cz\n1,2,3\n" * 99)[:-20], "unreadable_table", "unpacked", id="packed and cut"),
    pytest.param(gzip.compress(b""), "empty_table", "empty", id="nothing, packed"),
    (b"ra,dec,cz\n", "empty_table", "no rows"), (b"SIMPLE  =" + bytes(5000), "unreadable_table", "FITS"),
    (b"PAR1" + bytes(500), "unreadable_table", "Parquet"),
    (b"<VOTABLE><RESOURCE>", "unreadable_table", "VOTable"),
    (b"ra,dec,cz\n\0\0\0", "not_text", "zero bytes"), (b"\xff\xfer\0a\0", "not_text", "UTF-16"),
    (b"ra dec cz\n1 2 3\n", "ambiguous_delimiter", "input_format=text"),
    (b"ra,dec,cz\n1,2,0.01\n", "cz_looks_like_z", "z_column=cz")])
def test_what_is_no_table_is_refused_in_words(tmp_path: Path, data: bytes, code: str, word: str) -> None:
    error = refused(tmp_path, data, "")
    assert error.code == code and word in error.message and "--" not in error.message, error.message


def test_more_rows_than_a_job_may_have_are_refused_before_they_are_kept(tmp_path: Path) -> None:
    for data, name in ((written("csv"), "a.csv"), (written("parquet"), "a.parquet")):
        error = refused(tmp_path, data, name, rows_max=2)
        assert error.code == "too_many_rows" and "2 rows" in error.message


@pytest.mark.parametrize("limits", [{"memory": 320 << 20}, {"cpu_s": 1}, {"wall_s": 0.05}])
def test_a_table_that_comes_to_a_bound_is_refused_and_its_process_is_gone(tmp_path: Path, limits: dict[str, Any]) -> None:
    line = b"1,2,3000," + b"x" * 300_000 + b"\n" if "memory" in limits else b"1,2,3000,xxxxxxxx\n"
    error = refused(tmp_path, b"ra,dec,cz,t\n" + line * (700 if "memory" in limits else 900_000), limits=limits)
    assert (error.code, error.kind) == ("table_too_hard", "usage") and "send it as CSV or Parquet" in error.message


def test_a_table_that_claims_more_than_it_holds_does_not_get_the_memory(tmp_path: Path) -> None:
    data = written("fits").replace(b"NAXIS2  =                    3", b"NAXIS2  =           2000000000")
    assert refused(tmp_path, data).code in ("unreadable_table", "too_many_rows", "table_too_hard")


@pytest.mark.parametrize("scheme", ["http", "file", "ftp"])
def test_a_votable_does_not_send_us_elsewhere(tmp_path: Path, scheme: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(np.array([1.0, 2.0, 3.0], ">f8").tobytes())
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"127.0.0.1:{server.getsockname()[1]}/x" if scheme != "file" else str(secret)
        columns = "".join(f'<FIELD name="{name}" datatype="double"/>' for name in ("ra", "dec", "cz"))
        text = (f'<?xml version="1.0"?><VOTABLE version="1.3"><RESOURCE><TABLE>{columns}<DATA><BINARY>'
                f'<STREAM href="{scheme}://{place}"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>')
        assert refused(tmp_path, text.encode()).code == "table_elsewhere"
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_look_names_columns_roles_and_the_first_rows(tmp_path: Path) -> None:
    lines = ["name,ra,dec,cz", *(f"=cmd|{i}\udc80,{i},2,{3000 + i}" for i in range(30))]
    seen = look(tmp_path, "\n".join(lines).encode("utf-8", "surrogateescape"))
    assert [c["kind"] for c in seen["columns"]] == ["text", "number", "number", "number"]
    assert seen["rows"] == 30 and len(seen["head"]) == 10 and seen["head"][1] == ["=cmd|1\ufffd", "1", "2", "3001"]
    assert seen["why"] is None and seen["choice"]["value"]["name"] == "cz"


def test_a_look_that_cannot_choose_says_why_and_lists_the_ways(tmp_path: Path) -> None:
    why = look(tmp_path, b"ra,dec,vhel,z cmb\n1,2,3000,0.01\n")["why"]
    assert why.code == "ambiguous_column" and "\n  z_column='z cmb'" in why.message
    assert why.extra["candidates"][0] == {"column": "vhel", "kind": "cz", "frame": "hel", "way": "cz_column=vhel"}
    assert look(tmp_path, b"ra,dec,v\n1,2,3000\n")["why"].code == "no_velocity"


def test_a_look_at_nested_columns_tells_the_others(tmp_path: Path) -> None:
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"ra": [1.0], "list": [[1, 2]], "dec": [2.0], "cz": [3000.0]}), out)
    seen = look(tmp_path, out.getvalue())
    assert [c["kind"] for c in seen["columns"]] == ["number", "other", "number", "number"] and seen["why"] is None


@pytest.mark.parametrize(("said", "told"), [
    ("add --cz-column 'my v' --cz-unit km/s or --cz-unit z", "add cz_column='my v' cz_unit=km/s or cz_unit=z"),
    ("--ra-column and --dec-column belong together", "ra_column and dec_column belong together"),
    ("--frame says galactic; leave --cz-frame out,", "frame says galactic; leave cz_frame out,"),
    ("choose by number: --cz-column '#2' or --cz-column '#3'", "choose by number: cz_column='#2' or cz_column='#3'"),
    ("choose another with --sigma-cz-column, or --sigma-cz 0 for none",
     "choose another with sigma_cz_column, or sigma_cz=0 for none"),
    ("choose one with --extension: 1 (a), 2", "choose one with extension: 1 (a), 2"),
    ("with --delimiter", "with delimiter"), ("it is no option -- at all", "it is no option -- at all")])
def test_options_of_the_command_line_become_parameters(said: str, told: str) -> None:
    assert in_parameters(BadParameter(said)).message == told


# ---- uploads -----------------------------------------------------------------------------------------------------

async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def test_leftovers_are_removed_at_the_start_and_uploads_after_their_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "old.up").write_bytes(b"x")

    async def run() -> None:
        kept = Uploads(tmp_path)
        kept.open()
        assert not os.listdir(tmp_path)
        one = await kept.take("me", pieces(b"a" * 9, b"b"), "../../etc/pass\x00wd", "text/csv")
        assert (one.size, one.name, one.path.read_bytes()) == (10, "passwd", b"aaaaaaaaab")
        with pytest.raises(UnknownName):
            kept.find("me", one.id)
        await kept.keep(one)
        assert kept.find("me", one.id) is one
        with pytest.raises(UnknownName):
            kept.find("you", one.id)
        later = time.time() + uploads.KEPT_S + 1
        monkeypatch.setattr(time, "time", lambda: later)
        with pytest.raises(UnknownName):
            kept.find("me", one.id)
        assert not os.listdir(tmp_path)
    asyncio.run(run())


def test_each_owner_has_room_for_four_tables_and_a_gibibyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        kept = Uploads(tmp_path)
        kept.open()
        for _ in range(uploads.OWN_MAX):
            await kept.keep(await kept.take("me", pieces(b"x" * 100), "", ""))
        more = await kept.take("me", pieces(b"x"), "", "")
        with pytest.raises(TransientError, match="4 tables") as caught:
            await kept.keep(more)
        assert caught.value.code == "too_many_uploads" and 3500 < int(caught.value.extra["retry_after_s"]) <= 3600  # type: ignore[call-overload]
        await kept.keep(await kept.take("you", pieces(b"x"), "", ""))
        monkeypatch.setattr(uploads, "OWN_BYTES", 450)
        with pytest.raises(TransientError, match="DELETE"):
            await kept.take("me", pieces(b"x" * 30, b"x" * 30), "", "")
        monkeypatch.setattr(uploads, "FILE_MAX", 50)
        with pytest.raises(BadParameter, match="larger"):
            await kept.take("other", pieces(b"x" * 30, b"x" * 30), "", "")
        with pytest.raises(BadParameter, match="empty"):
            await kept.take("other", pieces(), "", "")
        under_way = await kept.take("other", pieces(b"y"), "", "")
        kept.drop(more)
        kept.close()
        assert not under_way.path.exists() and len(os.listdir(tmp_path)) == 2 * (uploads.OWN_MAX + 1)
    asyncio.run(run())


def test_what_is_kept_is_there_after_a_start_until_its_hour_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        first = Uploads(tmp_path)
        first.open()
        one, other = [await first.take("me", pieces(b"ra,dec\n"), f"{name}.csv", "text/csv") for name in "ab"]
        one.reading = {"delimiter": ","}
        await first.keep(one)
        await first.keep(other)
        # as a kill leaves it: a body that was on its way, a note that was cut off, and one without its file
        (tmp_path / "half.up").write_bytes(b"x")
        other.path.with_suffix(".json").write_bytes(b'{"id": "')
        (tmp_path / "lost.json").write_bytes(one.path.with_suffix(".json").read_bytes())
        second = Uploads(tmp_path)
        second.open()
        assert dataclasses.asdict(second.find("me", one.id)) == dataclasses.asdict(one)
        assert {p.name for p in tmp_path.iterdir()} == {one.path.name, one.path.with_suffix(".json").name}
        later = time.time() + uploads.KEPT_S + 1
        monkeypatch.setattr(time, "time", lambda: later)
        third = Uploads(tmp_path)
        third.open()
        assert not os.listdir(tmp_path)
    asyncio.run(run())


@pytest.mark.parametrize(("given", "shown"), [
    ("a.csv", "a.csv"), ("C:\\me\\b.fits", "b.fits"), ("../../x", "x"), ("", "the table"), ("/", "the table"),
    ("n" * 300 + ".csv", "n" * 96 + ".csv"), ("a\u202eb\n.csv", "ab.csv"), ("\ud800", "?")])
def test_the_name_of_a_file_is_only_shown(given: str, shown: str) -> None:
    assert shown_name(given) == shown and len(shown_name(given)) <= 100

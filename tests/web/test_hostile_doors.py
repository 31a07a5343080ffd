"""What is sent to do harm at every door of the jobs: bombs, names that are paths, cells that are formulas, forged credentials.

Each is refused in words or comes out as the data it is; the house then answers as before, has not grown, and told nothing of
itself.
"""

from __future__ import annotations

import csv
import gzip
import http.client
import io
import json
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table
from running import House, Reply

from gateway import passwords
from gateway.accounts import Accounts

PASSWORD = "a long way home"
QUESTION = "/get_flow_by_position?lon=10&lat=20&cz=3000"
TABLE = b"name,ra,dec,cz\nA,10,20,3000\n"
FORM, EDGE = "application/x-www-form-urlencoded", "xSkyx"
PARTS = f"multipart/form-data; boundary={EDGE}"
GROWN_MAX = 100 << 20
PATHS = ["../../etc/passwd", "C:\\x", "a\0b", "x" * 10_000, "\u202egnp.exe"]
FORMULAS = ['=HYPERLINK("http://198.51.100.1/","M 31")', "+cmd|' /C calc'!A0", "@SUM(A1:A9)", "-2+3", "=1+1", "\tx", "<b>&amp;",
            "'; DROP TABLE job; --", "${jndi:x}", "]]>"]
ADDRESSES = ["https://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/latest/meta-data/", "https://[::1]/",
             "https://[::ffff:127.0.0.1]/", "https://[fd00:ec2::254]/", "https://0x7f000001/", "https://2130706433/",
             "https://localhost/", "https://[64:ff9b::7f00:1]/", "http://example.org/", "https://a:b@example.org/",
             "file:///etc/passwd", "gopher://127.0.0.1/", "https://example.org:22/", "//127.0.0.1/"]


class Desk(NamedTuple):
    """A running house, and credentials of every kind."""

    house: House
    accounts: Accounts
    reader: str
    submitter: str
    expired: str
    revoked: str
    rss: int

    def send(self, path: str, body: bytes, kind: str, token: str | None = None, **headers: str) -> Reply:
        """Send a body with the token that may submit, and see that what comes back tells nothing of the house."""
        return self.ask(path, method="POST", body=body, headers={"Content-Type": kind, **headers}, token=token)

    def ask(self, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **how: Any) -> Reply:
        """Ask with a token."""
        reply = self.house.ask(path, headers={"Authorization": f"Bearer {token or self.submitter}", **(headers or {})}, **how)
        assert reply.status < 500 or reply.status == 503, (reply.status, reply.body[:300])
        if reply.status >= 400:
            assert len(reply.body) < 20_000
            for word in (b"Traceback", b".py", b"File \"", str(self.house.data).encode(), str(self.house.jobs).encode(),
                         b"/spool", b"/uploads", b"root:"):
                assert word not in reply.body, reply.body[:500]
        return reply

    def ended(self, url: str) -> Any:
        """Wait for a job."""
        begin = time.monotonic()
        while (job := self.ask(url).json)["phase"] in ("QUEUED", "EXECUTING"):
            assert time.monotonic() - begin < 60, job
            time.sleep(0.02)
        return job


@pytest.fixture(scope="module")
def hall(house_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Return a house with accounts of its own."""
    data = tmp_path_factory.mktemp("hostile")
    for name in ("fields", "catalog"):
        if (house_data / name).exists():
            (data / name).symlink_to(house_data / name)
    with Accounts(data) as accounts:
        user = accounts.add_user("mona", passwords.hashed(PASSWORD), frozenset(("read", "submit")))
        both = frozenset(("read", "submit"))
        number, revoked = accounts.add_token(user, both)
        tokens = [accounts.add_token(user, scopes, expires=expires)[1] for scopes, expires in (
            (frozenset(("read",)), None), (both, None), (both, time.time() - 1.0))]
        accounts.revoke_token(number)
        house = House(data, "--workers", "1")
        for path in (QUESTION, "/readyz", "/openapi.json"):
            house.ask(path)
        yield Desk(house, accounts, tokens[0], tokens[1], tokens[2], revoked, rss(house))
    house.stop()


@pytest.fixture
def desk(hall: Desk) -> Iterator[Desk]:
    """Return the house, and see afterwards that it is what it was."""
    at = hall.house.log.stat().st_size
    yield hall
    assert hall.house.process.poll() is None
    assert hall.house.ask("/readyz").status == 200
    assert hall.house.ask(QUESTION).status == 200
    assert rss(hall.house) - hall.rss < GROWN_MAX
    said = hall.house.log.read_bytes()[at:]
    assert b"Traceback" not in said and b"ERROR" not in said, said[-3000:].decode(errors="replace")


def rss(house: House) -> int:
    """Return the bytes of memory that the gateway has."""
    text = Path(f"/proc/{house.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) << 10  # type: ignore[index]


def refused(reply: Reply, *codes: str) -> str:
    """Return the words of a refusal that is a problem with one of these codes."""
    assert 400 <= reply.status < 500 and reply.media == "application/problem+json", (reply.status, reply.body[:300])
    assert not codes or reply.json["code"] in codes, reply.body[:500]
    return str(reply.json["detail"])


def endless(byte: bytes, size: int = 10 << 30) -> bytes:
    """Return gzip data of a byte that is repeated: one stream, each of its blocks like the one before."""
    step = 16 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(byte * step) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size // step)


def fits(**cards: object) -> bytes:
    """Return a FITS file whose table claims what it likes; ten bytes of it are there."""
    first = {"SIMPLE": "T", "BITPIX": 8, "NAXIS": 0, "EXTEND": "T"}
    table = {"XTENSION": "'BINTABLE'", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 24, "NAXIS2": 1, "PCOUNT": 0, "GCOUNT": 1, "TFIELDS": 3,
             **{f"{k}{i}": v for i, n in enumerate(("ra", "dec", "cz"), 1) for k, v in (("TTYPE", f"'{n}'"), ("TFORM", "'D'"))}}
    text = b""
    for header in (first, table | cards):
        block = "".join(f"{k:8}= {v!s:>20}".ljust(80) for k, v in header.items()) + "END"
        text += block.encode().ljust(-(-len(block) // 2880) * 2880)
    return text + bytes(10)


def votable(body: str = "", document: str = "") -> bytes:
    """Return a VOTable."""
    fields = "".join(f'<FIELD name="{n}" datatype="double"/>' for n in ("ra", "dec", "cz"))
    data = body or "<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD><TD>&x;</TD></TR></TABLEDATA></DATA>"
    return (f'<?xml version="1.0"?>{document}<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
            f"<RESOURCE><TABLE>{fields}{data}</TABLE></RESOURCE></VOTABLE>").encode()


def laughter() -> bytes:
    """Return a VOTable with an entity of 10^9 letters."""
    entities = '<!ENTITY e0 "3000">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    return votable(document=f"<!DOCTYPE VOTABLE [{entities}<!ENTITY x \"&e9;\">]>")


def parquet_bomb() -> bytes:
    """Return a Parquet file with one long text that 20,000 rows point at: 20,000 MB in a few kB."""
    n, file = 20_000, io.BytesIO()
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["x" * 1_000_000]))
    ones = pa.array(np.ones(n))
    pq.write_table(pa.table({"name": text, "ra": ones, "dec": ones, "cz": pa.array(np.full(n, 3000.0))}), file)
    return file.getvalue()


def parquet_claim() -> bytes:
    """Return a Parquet file whose footer claims to be of 2 GB."""
    return b"PAR1" + bytes(100) + struct.pack("<I", 0x7FFFFFF0) + b"PAR1"


def wide(fmt: str) -> bytes:
    """Return a table of a hundred thousand columns and one row."""
    n = 100_000
    if fmt == "csv":
        return (",".join(("ra", "dec", "cz", *(f"c{i}" for i in range(n)))) + "\n" + ",".join(["1", "2", "3000"] + ["0"] * n)
                ).encode()
    if fmt == "votable":
        return votable("".join(f'<FIELD name="c{i}" datatype="int"/>' for i in range(n)))
    return fits(TFIELDS=n)


# ---- bombs -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/v1/tables", "/v1/jobs"])
def test_ten_thousand_million_zeros_are_no_table(desk: Desk, path: str) -> None:
    bomb = endless(b"\0")
    if path == "/v1/jobs":
        refused(desk.send(path, bomb, "application/octet-stream"), "body_too_large")
        return
    # the house answers after half a MiB of it, and a client that goes on to send may not hear that
    connection = http.client.HTTPConnection("127.0.0.1", desk.house.port, timeout=60)
    connection.putrequest("POST", path)
    for name, value in (("Content-Type", "text/csv"), ("Content-Encoding", "gzip"), ("Content-Length", str(len(bomb)))):
        connection.putheader(name, value)
    connection.endheaders(bomb[:len(bomb) // 12])
    answer = connection.getresponse()
    assert answer.status == 413 and json.loads(answer.read())["code"] == "body_too_large"
    connection.close()


@pytest.mark.parametrize(("path", "kind"), [("/v1/jobs", "application/json"), ("/v1/resolve", "application/msgpack"),
                                            ("/uws/flow", FORM), ("/api-token-auth/", "application/json"), ("/queue/", FORM)])
def test_a_short_body_that_unpacks_to_a_long_one_is_refused(desk: Desk, path: str, kind: str) -> None:
    assert desk.send(path, endless(b" ", 128 << 20), kind, **{"Content-Encoding": "gzip"}).status in (400, 413)


@pytest.mark.parametrize(("make", "kind"), [
    (lambda: fits(NAXIS2=10**12), "application/fits"), (lambda: fits(NAXIS1=10**12), "application/fits"),
    (lambda: fits(NAXIS=999), "application/fits"), (lambda: fits(NAXIS2=10**9, NAXIS1=2**62), "application/fits"),
    (lambda: fits(PCOUNT=2**62, TFORM1="'1PD(9999999999)'"), "application/fits"), (lambda: fits(NAXIS2=-5), "application/fits"),
    (lambda: fits(TFORM1="'999999999999D'"), "application/fits"),
    (laughter, "application/x-votable+xml"),
    (lambda: votable('<DATA><BINARY2><STREAM href="http://198.51.100.1/"/></BINARY2></DATA>'), "text/xml"),
    (lambda: votable('<DATA><BINARY2><STREAM href="file:///etc/passwd"/></BINARY2></DATA>'), "text/xml"),
    (lambda: votable('<DATA><FITS><STREAM href="file:///etc/passwd"/></FITS></DATA>'), "text/xml"),
    (lambda: votable("<GROUP>" * 100_000), "text/xml"), (parquet_claim, "application/vnd.apache.parquet"),
    (lambda: wide("csv"), "text/csv"), (lambda: wide("fits"), "application/fits"), (lambda: wide("votable"), "text/xml"),
    (lambda: gzip.compress(gzip.compress(TABLE)), "application/gzip"), (lambda: b'"' + b"," * 2_000_000, "text/csv"),
    (lambda: b"# %ECSV 1.0\n# ---\n# " + b"[" * 100_000 + b"\nra\n1\n", "application/x-ecsv"),
    (lambda: b"# %ECSV 1.0\n# ---\n# a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
        b"# %c: &%c [%b]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)) + b"ra dec cz\n1 2 3\n",
     "application/x-ecsv")], ids=[
        "rows", "width", "axes", "rows and width", "heap", "less than none", "repeats", "laughter", "elsewhere", "a file of ours",
        "FITS of ours", "depth", "footer", "columns", "columns of FITS", "columns of VOTable", "packed twice", "quotes",
        "depth of YAML", "laughter of YAML"])
def test_a_table_that_claims_too_much_is_refused(desk: Desk, make: Any, kind: str) -> None:
    begin = time.monotonic()
    words = refused(desk.send("/v1/jobs", make(), kind))
    assert time.monotonic() - begin < 60 and "198.51" not in words and "passwd" not in words


@pytest.mark.parametrize("address", ["file:///etc/passwd", "http://198.51.100.1/"])
def test_an_entity_that_lies_elsewhere_is_a_cell_without_a_value(desk: Desk, address: str) -> None:
    text = votable(document=f'<!DOCTYPE VOTABLE [<!ENTITY x SYSTEM "{address}">]>')
    reply = desk.send("/v1/jobs", text, "text/xml")
    assert reply.status == 202 and reply.json["table"]["faults"]["first"] == [
        {"row": 0, "status": "missing", "reason": "cz is missing"}] and b"root" not in reply.body


def test_a_text_that_twenty_thousand_rows_point_at_is_bounded_in_the_process_that_reads_it(desk: Desk) -> None:
    body = parquet_bomb()
    assert len(body) < 2 << 20
    reply = desk.send("/v1/jobs", body, "application/vnd.apache.parquet")
    if reply.status == 202:  # only the columns that are asked are read; then all of them are, for the result
        job = desk.ended(reply.json["url"])
        got = desk.ask(f"{job['results_url']}/result.csv", timeout=100)
        assert got.status in (413, 422, 503), (got.status, got.body[:300])
    else:
        refused(reply, "table_too_hard", "body_too_large")


@pytest.mark.parametrize("kind", ["application/json", "application/msgpack"])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/resolve", "/v1/crossmatch", "/get_flow/hubble", "/queue/", "/api-token-auth/"])
def test_what_is_nested_a_hundred_thousand_deep_is_refused(desk: Desk, path: str, kind: str) -> None:
    n = 100_000
    bodies = {"application/json": (b'{"lon":' + b"[" * n + b"]" * n + b"}", b'{"a":' * n + b"1" + b"}" * n, b"[" * n),
              "application/msgpack": (b"\x81\xa3lon" + b"\x91" * n + b"\xc0", b"\x81\xa1a" * n + b"\xc0",
                                      b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff")}
    for body in bodies[kind]:
        assert desk.send(path, body, kind).status in (400, 413, 415, 422)


@pytest.mark.parametrize("path", ["/v1/tables", "/v1/jobs", "/uws/flow", "/queue/", "/api-token-auth/"])
def test_a_form_of_countless_parts_or_lines_costs_little(desk: Desk, path: str) -> None:
    part = f'--{EDGE}\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'.encode()
    many = b"".join(part.replace(b'"a"', b'"a%d"' % i) for i in range(10_000)) + f"--{EDGE}--\r\n".encode()
    headers = f"--{EDGE}\r\n".encode() + b"X: y\r\n" * 100_000
    packed = {"Content-Encoding": "gzip"}
    for body, how in ((many, {}), (headers, {}), (endless(b"\n", 1 << 26), packed),
                      (endless(b"-", 1 << 26), packed)):
        begin = time.monotonic()
        reply = desk.send(path, body, PARTS, **how)
        assert reply.status in (400, 401, 413, 422), (reply.status, reply.body[:200])
        assert time.monotonic() - begin < 20


@pytest.mark.parametrize("part", [b"[]", b"True", b"Content-Disposition", b"\xff\xfe: x", b"A: " + b"x" * 9000, b": x"])
def test_a_part_whose_headers_cannot_be_read_is_a_fault_of_the_form(desk: Desk, part: bytes) -> None:
    body = f"--{EDGE}\r\n".encode() + part + f"--{EDGE}--\r\n".encode()
    for path in ("/v1/tables", "/v1/jobs", "/uws/flow", "/api-token-auth/", "/queue/"):
        assert desk.send(path, body, PARTS).status in (400, 401)


def test_rows_of_other_lengths_cost_only_themselves(desk: Desk) -> None:
    text = TABLE + b"B,1\nC,1,2,3000,4,5,6\nD,1,2,3000\n" + b"E" + b"," * 100_000 + b"\nF,30,40,5000\n"
    reply = desk.send("/v1/jobs", text, "text/csv")
    if reply.status == 202:
        job = desk.ended(reply.json["url"])
        assert reply.json["table"]["faults"]["rows"] == 3 and job["phase"] == "COMPLETED"
        assert desk.ask(job["result_url"]).json["status"] == ["ok", "not_finite", "not_finite", "ok", "not_finite", "ok"]
    else:
        assert "line" in refused(reply)


# ---- cells and names ---------------------------------------------------------------------------------------------

@pytest.mark.filterwarnings("ignore:It is strongly recommended that column names")
def test_cells_that_are_formulas_come_out_as_they_went_in(desk: Desk) -> None:
    file = io.BytesIO()
    n = len(FORMULAS)
    pq.write_table(pa.table({"=name": FORMULAS, "ra": np.arange(1.0, n + 1), "dec": np.ones(n), "cz": np.full(n, 3000.0)}), file)
    reply = desk.send("/v1/jobs", file.getvalue(), "application/vnd.apache.parquet")
    job = desk.ended(reply.json["url"])
    for suffix in ("csv", "tsv", "ecsv", "fits", "vot", "parquet"):
        reply = desk.ask(f"{job['results_url']}/result.{suffix}", timeout=100)
        assert reply.status == 200, reply.body[:300]
        assert reply.headers["content-disposition"].startswith("attachment")
        assert reply.headers["x-content-type-options"] == "nosniff"
        body = io.BytesIO(reply.body)
        if suffix == "vot":
            column = parse_single_table(body).to_table(use_names_over_ids=True)["=name"]
        elif suffix == "parquet":
            column = pq.read_table(body)["=name"].to_pylist()
        elif suffix in ("csv", "tsv"):
            lines = [line for line in reply.body.decode().splitlines(keepends=True) if not line.startswith("#")]
            column = [row["=name"] for row in csv.DictReader(lines, delimiter="," if suffix == "csv" else "\t")]
        else:
            how: dict[str, Any] = {"hdu": 1} if suffix == "fits" else {}
            column = Table.read(body, format={"ecsv": "ascii.ecsv", "fits": "fits"}[suffix], **how)["=name"]
        got = [v.decode() if isinstance(v, bytes) else str(v) for v in column]
        assert suffix != "vot" or b">\tx</TD>" in reply.body
        if suffix in ("ecsv", "vot"):  # which astropy reads without the blanks around a cell, and writes ECSV so
            got[5] = f"\t{got[5]}"
        assert got == FORMULAS, suffix


@pytest.mark.parametrize("name", PATHS)
def test_names_that_are_paths_are_only_names(desk: Desk, name: str) -> None:
    before = {p for p in Path(desk.house.data).rglob("*") if "jobs-" not in str(p) and "log-" not in str(p)}
    body = b"".join(b'--%b\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n' % (EDGE.encode(), *p) for p in (
        (b"file", b'; filename="' + name.replace("\0", "%00").encode() + b'"', TABLE),)) + f"--{EDGE}--\r\n".encode()
    replies = [desk.send("/v1/tables", body, PARTS)]
    quoted = "".join(f"%{b:02X}" for b in name[:3900].encode())
    replies.append(desk.send(f"/v1/tables?filename={quoted}", TABLE, "text/csv"))
    for reply in replies:
        if reply.status == 200:
            shown = reply.json["name"]
            assert "/" not in shown and "\\" not in shown and "\0" not in shown and len(shown) <= 100
            assert desk.ask(reply.json["url"], method="DELETE").status == 200
        else:
            refused(reply)
    text = f'"{name}",ra,dec,cz\n=1,10,20,3000\n'.encode()
    reply = desk.send("/v1/jobs", text, "text/csv")
    assert reply.status in (202, 400, 422)
    if reply.status == 202:
        job = desk.ended(reply.json["url"])
        assert job["phase"] == "COMPLETED"
        if name in PATHS[:2]:  # a name that a format cannot hold is a refusal of that format
            assert {desk.ask(f"{job['results_url']}/result.{s}", timeout=100).status for s in ("csv", "fits")} <= {200, 422}
    lists = {"kind": "velocity", "lon": [1], "lat": [2], "distance": [30], "run_id": name}
    reply = desk.send("/v1/jobs", json.dumps(lists).encode(), "application/json")
    assert reply.status in (202, 422) and (reply.status == 422 or reply.json["run_id"] == name)
    for path in (f"/v1/jobs/1/results/{quoted}", f"/v1/tables/{quoted}", f"/v1/shared/{quoted}", f"/uws/flow/1/results/{quoted}"):
        assert desk.ask(path).status in (400, 404, 405, 422)
    login = desk.send("/api-token-auth/", json.dumps({"username": name, "password": "x"}).encode(), "application/json")
    assert login.status in (400, 401, 429), login.body
    assert desk.send("/queue/", json.dumps({"radeclist": f"name {name}"}).encode(), "application/json").status == 400
    after = {p for p in Path(desk.house.data).rglob("*") if "jobs-" not in str(p) and "log-" not in str(p)}
    assert {p.name for p in after - before} <= {"accounts.db-wal", "accounts.db-shm"}
    inside = [p.name for p in desk.house.jobs.rglob("*")]
    assert not [p for p in inside if "passwd" in p or "xxxx" in p or p in ("x", "con")]


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_inside_is_called_back(desk: Desk, address: str) -> None:
    lists = {"kind": "velocity", "lon": [1], "lat": [2], "distance": [30], "callback": address}
    refused(desk.send("/v1/jobs", json.dumps(lists).encode(), "application/json"), "callback_refused")
    reply = desk.send("/queue/", json.dumps({"ra": 1, "dec": 2, "callback_url": address}).encode(), "application/json")
    assert reply.status == 400 and b"callback" in reply.body


# ---- credentials -------------------------------------------------------------------------------------------------

def test_only_a_whole_valid_token_opens_a_door(desk: Desk) -> None:
    good = desk.submitter
    assert desk.ask("/v1/jobs").status == 200
    assert refused(desk.ask("/v1/jobs", token=desk.expired), "token_expired")
    swapped = good[:-1] + ("A" if good[-1] != "A" else "B")
    for token in (desk.revoked, good[:-1], good + "A", swapped, good.swapcase(), good[3:], "cf_", "cf_" + "A" * 43, good + "\xff",
                  "\xe9" * 43, good[::-1], "' OR 1=1 --", "null", "*", "%", "eyJhbGciOiJub25lIn0.eyJzdWIiOjF9.",
                  f"{good},{good}"):
        refused(desk.ask("/v1/jobs", token=token), "token_wrong")
    refused(desk.send("/v1/jobs", b"{}", "application/json", desk.reader), "scope_missing")
    for header in (good, f"Basic {good}", f"Digest {good}", "Bearer", f"Bearer{good}", f"bearer\t{good}", "Basic " + "A" * 5000):
        reply = desk.ask("/v1/jobs", headers={"Authorization": header})
        assert reply.status == 401 and reply.headers["www-authenticate"]
    for path in ("/queue/", "/uws/flow"):
        for token in (desk.expired, desk.revoked, swapped):
            assert desk.ask(path, token=token).status == 401


def test_a_token_of_a_megabyte_and_two_headers_are_refused(desk: Desk) -> None:
    for headers, status in (([f"Bearer cf_{'A' * (1 << 20)}"], 431), ([f"Bearer {desk.submitter}"] * 2, 401)):
        connection = http.client.HTTPConnection("127.0.0.1", desk.house.port, timeout=20)
        connection.putrequest("GET", "/v1/jobs")
        for value in headers:
            connection.putheader("Authorization", value)
        try:
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == status and json.loads(answer.read())["code"]
        except (BrokenPipeError, ConnectionResetError):
            assert status == 431  # the server had seen enough before all was sent
        finally:
            connection.close()


def test_the_time_of_a_refusal_does_not_tell_how_much_of_a_token_is_right(desk: Desk) -> None:
    good = desk.submitter
    wrong = {"first": f"cf_{'A' if good[3] != 'A' else 'B'}{good[4:]}", "last": good[:-1] + ("A" if good[-1] != "A" else "B")}
    times: dict[str, list[float]] = {"first": [], "last": []}
    for _ in range(3000):
        for which, token in wrong.items():
            begin = time.perf_counter()
            assert desk.accounts.token(token) is None
            times[which].append(time.perf_counter() - begin)
    assert desk.accounts.token(good) is not None
    # a comparison that stops at the first wrong letter is no matter of halves, but a clock of a busy machine may be
    ratio = median(times["first"]) / median(times["last"])
    assert 0.5 < ratio < 2.0

"""The doors for other people's clients: the cone search of the Virtual Observatory and CDS Sesame."""

from __future__ import annotations

import io
import random
import socket
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import votable
from running import House, Reply

from gateway.faces import sesame

MAIN = {"ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"}
NS = "{http://www.ivoa.net/xml/VOTable/v1.3}"


def read(reply: Reply, status: int = 200) -> votable.tree.VOTableFile:
    """Return a VOTable that astropy says nothing against, but that the standard wants UCDs of the first kind."""
    assert (reply.status, reply.media) == (status, "application/x-votable+xml"), reply.body[:300]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        file = votable.parse(io.BytesIO(reply.body), verify="warn")
    assert {type(w.message) for w in said} <= {votable.exceptions.W06}, [str(w.message) for w in said]
    return file


def fault(reply: Reply, status: int = 200) -> str:
    """Return the message of an error in the shape of the standard."""
    errors = [i.value for i in read(reply, status).infos if i.name == "Error"]
    assert len(errors) == 1
    return str(errors[0])


def remark(reply: Reply) -> str:
    """Return what a VOTable says of its own completeness."""
    return next(str(i.value) for i in read(reply).resources[0].infos if i.name == "QUERY_STATUS")


@pytest.fixture
def pyvo() -> Iterator[ModuleType]:
    """Return pyvo, whose own use of old astropy names may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("pyvo")


# ---- cone search -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("verb", "least"), [("1", 5), ("2", 8), ("3", 10)])
def test_a_cone_has_one_column_of_each_main_ucd_whatever_the_verbosity(house: House, verb: str, least: int) -> None:
    reply = house.ask(f"/vo/conesearch?RA=187.7&DEC=12.4&SR=1&VERB={verb}")
    table = read(reply).get_first_table()
    ucds = [f.ucd for f in table.fields]
    assert len(ucds) == least and all(ucds.count(u) == 1 for u in MAIN) and {"REDSHIFT_HC", "VELOC_HC"} < set(ucds)
    by_ucd = {f.ucd: f for f in table.fields}
    assert {by_ucd[u].datatype for u in MAIN} == {"char", "double"} and remark(reply) == "OK"
    same = house.ask("/v1/cone?ra=187.7&dec=12.4&radius=1").json
    assert table.nrows == same["n"] and list(table.to_table()["name"]) == [o["name"] for o in same["objects"]]
    np.testing.assert_array_equal(table.to_table()["ra"], [o["position"]["icrs"]["lon"] for o in same["objects"]])
    cz = table.to_table()["cz_helio"]
    assert cz.unit == "km/s" and [None if np.isnan(v) else v for v in np.ma.filled(cz, np.nan).tolist()] == [
        o["cz_helio"] for o in same["objects"]]


def test_names_of_parameters_have_no_case_and_unknown_ones_are_ignored(house: House) -> None:
    a = house.ask("/vo/conesearch?RA=187.7&DEC=12.4&SR=0.5").body
    assert house.ask("/vo/conesearch?ra=187.7&Dec=12.4&sr=0.5&CATALOG=all&RESPONSEFORMAT=votable&colour=red").body == a
    assert house.ask("/vo/conesearch?RA=-172.3&DEC=12.4&SR=0.5").body == a


def test_a_radius_of_nothing_asks_for_the_columns(house: House) -> None:
    for query in ("SR=0", "SR=0.0&VERB=3", "SR=1&MAXREC=0"):
        table = read(house.ask(f"/vo/conesearch?RA=187.7&DEC=12.4&{query}")).get_first_table()
        assert len(table.array) == 0 and {f.ucd for f in table.fields} > MAIN
    empty = house.ask("/vo/conesearch?RA=0.3&DEC=-0.3&SR=0.0001")
    assert len(read(empty).get_first_table().array) == 0 and remark(empty) == "OK"


def test_what_did_not_fit_is_said(house: House) -> None:
    reply = house.ask("/vo/conesearch?RA=187.7&DEC=12.4&SR=5&MAXREC=3")
    assert remark(reply) == "OVERFLOW" and read(reply).get_first_table().nrows == 3
    assert remark(house.ask("/vo/conesearch?RA=187.7&DEC=12.4&SR=5&MAXREC=99999999")) == "OK"


@pytest.mark.parametrize(("query", "word"), [
    ("", "RA"), ("RA=1&DEC=2", "SR"), ("RA=abc&DEC=2&SR=1", "abc"), ("RA=1&DEC=91&SR=1", "90"), ("RA=1&DEC=2&SR=31", "30"),
    ("RA=1&DEC=2&SR=-1", "SR"), ("RA=nan&DEC=2&SR=1", "RA"), ("RA=12:30:49&DEC=2&SR=1", "decimal"),
    ("RA=1&ra=2&DEC=2&SR=1", "twice"),
    ("RA=1&DEC=2&SR=1&VERB=4", "VERB"), ("RA=1&DEC=2&SR=1&MAXREC=-1", "MAXREC"), ("RA=1&DEC=2&SR=%00%0b%EF%BF%BE<%26\"'", "SR")])
def test_an_error_is_a_votable_with_its_reason(house: House, query: str, word: str) -> None:
    assert word in fault(house.ask(f"/vo/conesearch?{query}"))


def test_random_queries_never_break_the_door(house: House) -> None:
    rng = random.Random(3)
    words = ["RA", "dec", "SR", "VERB", "MAXREC", "RESPONSEFORMAT", "", "%00", "x", "RA[]", "%F0%9F%8C%8C"]
    values = ["1", "-1", "1e308", "1e-320", "inf", "nan", "", "0x10", "1_0", "%00", "%ff", "]]>", "%3Cx%3E", "%D9%A3", "9" * 400,
              "12.4", "2"]
    for _ in range(300):
        query = "&".join(f"{rng.choice(words)}={rng.choice(values)}" for _ in range(rng.randint(0, 6)))
        if rng.random() < 0.5:
            query = f"RA={rng.choice(values)}&DEC={rng.choice(values)}&SR={rng.choice(values)}&VERB={rng.choice(values)}"
        read(house.ask("/vo/conesearch?" + query))
    assert "Traceback" not in house.log.read_text()


def test_pyvo_searches_a_cone_and_reads_what_the_door_says_of_itself(house: House, pyvo: ModuleType) -> None:
    from astropy import units as u
    from astropy.coordinates import SkyCoord
    url = f"http://127.0.0.1:{house.port}/vo"
    service = pyvo.dal.SCSService(f"{url}/conesearch")
    found = service.search(pos=SkyCoord(187.7, 12.39, unit="deg"), radius=0.5 * u.deg, verbosity=3)
    assert len(found) > 3 and found[0].id == "NGC 4486"
    assert found[0].pos.separation(SkyCoord(187.705917, 12.391111, unit="deg")) < 1 * u.arcsec
    with pytest.raises(pyvo.dal.DALQueryError, match="30"):
        service.search(pos=(187.7, 12.39), radius=40.0)
    assert [f.ucd for f in service.columns][:3] == ["ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"]
    from pyvo.io import vosi
    said = vosi.parse_availability(io.BytesIO(house.ask("/vo/availability").body), pedantic=True)
    assert said.available is True
    known = {c.standardid: c for c in vosi.parse_capabilities(io.BytesIO(house.ask("/vo/capabilities").body))}
    assert {k.lower() for k in known} == {"ivo://ivoa.net/std/vosi#capabilities", "ivo://ivoa.net/std/vosi#availability",
                                          "ivo://ivoa.net/std/conesearch"}
    cone = known["ivo://ivoa.net/std/ConeSearch"]
    assert cone.interfaces[0].accessurls[0].content == f"{url}/conesearch?" and cone.interfaces[0].role == "std"


def test_the_test_query_of_the_capabilities_finds_something(house: House) -> None:
    tree = ET.fromstring(house.ask("/vo/capabilities").body)
    cone = next(c for c in tree if c.get("standardID") == "ivo://ivoa.net/std/ConeSearch")
    query = cone.find("testQuery")
    assert query is not None and float(cone.findtext("maxSR") or 0) == 30 and int(cone.findtext("maxRecords") or 0) == 10_000
    asked = {name: query.findtext(name.lower()) for name in ("RA", "DEC", "SR")}
    table = read(house.ask("/vo/conesearch", asked))
    assert table.get_first_table().nrows >= 1


@pytest.mark.parametrize(("host", "status"), [
    ("example.org", 200), ("[::1]:5000", 200), ("a<b>", 400), ('x"y', 400), ("x&y", 400), ("x/../y", 400), ("x y", 400),
    ("é", 400), ("a" * 300, 400), ("x:99999999", 400)])
def test_a_host_that_is_none_is_not_repeated(house: House, host: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as connection:
        connection.sendall(b"GET /vo/capabilities HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n\r\n")
        raw = b""
        while part := connection.recv(65536):
            raw += part
    head, _, body = raw.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, raw[:300]
    if status == 200:
        assert f"http://{host}/vo/conesearch?".encode() in body and ET.fromstring(body) is not None


def test_without_its_catalogue_the_door_says_so(house_data: Path) -> None:
    alone = House(house_data, "--bus", "tcp://127.0.0.1:45571", "--catalog", "http://127.0.0.1:9", command="gateway", wait=False)
    try:
        assert b"<vosi:available>false<" in alone.ask("/vo/availability").body
        reply = alone.ask("/vo/conesearch?RA=1&DEC=2&SR=1")
        assert "catalogue" in fault(reply, 503) and reply.headers["retry-after"]
        lines = alone.ask("/sesame/A?M31")
        assert lines.status == 503 and lines.body.startswith(b"# M31\t#Q1\n#! ") and b"Traceback" not in lines.body
    finally:
        alone.stop()


# ---- Sesame ------------------------------------------------------------------------------------------------------

FORMS = ("/sesame/A?{}", "/sesame/SNV?{}", "/sesame/-oI/A?{}", "/sesame/-oI?{}", "/sesame/-oIF/~SNV?{}",
         "/cgi-bin/nph-sesame/-oI/SNV?{}", "/cgi-bin/nph-sesame/A?{}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["NGC%204993", "NGC+4993", "ngc4993"])
def test_every_form_of_the_address_gives_the_lines_of_sesame(house: House, form: str, name: str) -> None:
    reply = house.ask(form.format(name))
    assert (reply.status, reply.media) == (200, "text/plain")
    lines = reply.body.decode().splitlines()
    assert lines[0].startswith("# ") and lines[0].endswith("\t#Q1") and lines[1].startswith("#=C=Cosmic Flows (OpenNGC")
    assert "%J 197.44875000 -23.38388889 = 13:09:47.70 -23:23:02.0" in lines and "%I.0 NGC 4993" in lines and "%C.0 G" in lines
    assert any(line.startswith("%V z 0.009787 ") for line in lines) and lines[-1].startswith("#====Done (")
    assert sum(line.startswith("%I ") for line in lines) >= 2


def test_astropy_finds_a_galaxy_by_name_offline(house: House, tmp_path: Path) -> None:
    code = f"""
from astropy.coordinates import SkyCoord, name_resolve
from astropy.utils import iers
iers.conf.auto_download = False
with name_resolve.sesame_url.set(["http://127.0.0.1:{house.port}/sesame/"]):
    for name in ("NGC 4993", "M 31", "Sombrero", "ESO 508-018", "MCG +02-32-105"):
        place = SkyCoord.from_name(name)
        print(name, place.ra.deg, place.dec.deg, sep="|")
    try:
        SkyCoord.from_name("Andromdea %J 1 2")
    except name_resolve.NameResolveError as error:
        print("miss", error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *rows, miss = done.stdout.strip().splitlines()
    for row in rows:
        name, ra, dec = row.split("|")
        icrs = house.ask("/get_coords", {"name": name}).json["icrs"]
        assert abs(float(ra) - icrs["lon"]) < 1e-8 and abs(float(dec) - icrs["lat"]) < 1e-8
    assert len(rows) == 5 and miss.startswith("miss Unable to find coordinates")


def test_several_names_are_answered_one_after_the_other_and_a_miss_says_why(house: House) -> None:
    text = house.ask("/sesame/-oI/A?M31&Andromdea%20Galaxy&NGC%2099999&M%2013").body.decode()
    first, *misses = text.split("\n\n")[:4]
    assert "%I.0 NGC 224" in first and all("#! *** Nothing found ***" in m and "%J" not in m for m in misses)
    assert "did you mean" in misses[0] and "7840" in misses[1] and "lobular" in misses[2]
    assert b"#! 21 names" in house.ask("/sesame/A?" + "&".join(["M31"] * 21)).body


@pytest.mark.parametrize(("path", "word"), [
    ("/sesame/A", "no name"), ("/sesame/A?", "no name"), ("/sesame/-oxp/A?M31", "XML"), ("/sesame/A?" + "x" * 129, "129"),
    ("/sesame/A?%00", "Nothing found"), ("/sesame/A?%FF%FE", "Nothing found")])
def test_what_cannot_be_answered_keeps_the_shape_of_sesame(house: House, path: str, word: str) -> None:
    reply = house.ask(path)
    assert reply.status == 200 and reply.media == "text/plain"
    assert word in next(line for line in reply.body.decode().splitlines() if line.startswith("#!"))


def test_no_name_brings_lines_of_its_own(house: House) -> None:
    rng = random.Random(5)
    pieces = ["%J 1 2", "\n%J 1 2", "\r%J 3 4\r\n", "%", "#====Done", "\x85%J 1 2", "\u2028%J 1 2", "\x0c%J", "x", "%I.0 M 31"]
    for _ in range(100):
        name = "".join(rng.choice(pieces) for _ in range(rng.randint(1, 5)))
        quoted = "".join(f"%{b:02X}" for b in name.encode())
        text = house.ask(f"/sesame/A?{quoted}").body.decode()
        assert "%" not in text and len(text.splitlines()) <= 4 and text.splitlines()[0].startswith("# "), text


def test_seconds_of_a_position_carry_over() -> None:
    assert sesame._sexagesimal(0.0, 2) == "00:00:00.00" and sesame._sexagesimal(13.999999999, 2) == "14:00:00.00"
    assert sesame._sexagesimal(89.99999, 1) == "90:00:00.0" and sesame._sexagesimal(12.51388889, 1) == "12:30:50.0"

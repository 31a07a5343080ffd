"""The door of IVOA UWS 1.1, walked by hand and by the clients that astronomers have: pyvo and STILTS."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import threading
import time
import warnings
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode

import numpy as np
import pytest
from astropy.io import votable
from running import House, Reply

from cfcore.cosmology import C_KMS
from gateway.faces import uws_xml

LIST = "/uws/flow"
UWS = "{http://www.ivoa.net/xml/UWS/v1.0}"
HREF = "{http://www.w3.org/1999/xlink}href"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
THREE = {"RA": "10.68,187.7 54.6", "DEC": "41.27,12.39,-35.45", "CZ": "-300, 1079 , 1800"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
PARTS = ["jobId", "runId", "ownerId", "phase", "quote", "creationTime", "startTime", "endTime", "executionDuration",
         "destruction", "parameters", "results", "errorSummary", "jobInfo"]


class Door:
    """Ask the face of a house in the words of UWS."""

    def __init__(self, house: House) -> None:
        self.house = house

    def post(self, path: str = "", **form: object) -> Reply:
        """Send a form below the list."""
        return self.house.ask(LIST + path, method="POST", body=urlencode(form, doseq=True).encode(), headers=FORM)

    def get(self, path: str = "", **query: object) -> Reply:
        """Ask for a resource below the list."""
        return self.house.ask(LIST + path + ("?" + urlencode(query, doseq=True) if query else ""))

    def made(self, **form: object) -> str:
        """Make a job; return its path below the list."""
        reply = self.post(**form)
        assert reply.status == 303, reply.body
        return self.below(reply)

    def below(self, reply: Reply) -> str:
        """Return where an answer leads, below the list."""
        base = f"http://127.0.0.1:{self.house.port}{LIST}"
        assert reply.status == 303 and reply.headers["location"].startswith(base), (reply.status, reply.body)
        return reply.headers["location"].removeprefix(base)

    def job(self, path: str, **query: object) -> ET.Element:
        """Return the document of a job."""
        reply = self.get(path, **query)
        assert (reply.status, reply.media) == (200, "text/xml"), reply.body
        return ET.fromstring(reply.body)

    def until(self, path: str, *phases: str) -> ET.Element:
        """Wait as a client does until a job is in one of some phases (an end, when none is named)."""
        until = time.monotonic() + 60
        # a wait would sleep through the phases on the way
        query = {} if phases else {"WAIT": 5}
        while (phase := word(job := self.job(path, **query), "phase")) not in (phases or ("COMPLETED", "ERROR", "ABORTED")):
            assert time.monotonic() < until, phase
            time.sleep(0.02)
        return job

    def listed(self, **query: object) -> list[tuple[str, str]]:
        """Return id and phase of the jobs of a list."""
        root = ET.fromstring(self.get(**query).body)
        assert root.tag == f"{UWS}jobs" and root.get("version") == "1.1"
        return [(str(ref.get("id")), word(ref, "phase")) for ref in root]

    def table(self, path: str) -> votable.tree.TableElement:
        """Return the result of a job, which astropy finds nothing wrong with."""
        reply = self.get(path + "/results/result")
        assert (reply.status, reply.media) == (200, "application/x-votable+xml"), reply.body[:300]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            file = votable.parse(io.BytesIO(reply.body), verify="exception")
        assert [i.value for i in file.resources[0].infos if i.name == "QUERY_STATUS"] == ["OK"]
        return file.get_first_table()

    def long_job(self, rows: int, dr: float) -> str:
        """Submit a job through our own door that goes on for a while, the more so with short steps; return its path here."""
        n = np.arange(rows)
        reply = self.house.post("/v1/jobs", {"lon": (n % 360.0).tolist(), "lat": (n % 180 - 90.0).tolist(),
                                             "cz": (3000.0 + n % 5000).tolist(), "dr": dr})
        assert reply.status == 202
        return f"/{reply.json['id']}"


def word(element: ET.Element, name: str) -> str:
    """Return the text of a child."""
    found = element.find(UWS + name)
    assert found is not None, name
    return found.text or ""


def has_column(table: votable.tree.TableElement, values: list[float]) -> bool:
    """Tell whether one of the columns of a table holds these numbers, to the digits a table of text may have."""
    columns = [np.ma.filled(table.array[field.ID].astype(float), np.nan) for field in table.fields if field.datatype == "double"]
    return table.nrows == len(values) and any(np.allclose(column, values, rtol=1e-4, atol=0.0) for column in columns)


def refused(reply: Reply, status: int, words: str) -> None:
    """Check a refusal: plain text that says why."""
    assert (reply.status, reply.media) == (status, "text/plain") and re.search(words, reply.body.decode()), reply


@pytest.fixture(scope="module")
def door(house: House) -> Door:
    return Door(house)


@pytest.fixture
def pyvo() -> Iterator[ModuleType]:
    """Return pyvo, whose own use of old astropy names may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield pytest.importorskip("pyvo")


@pytest.fixture(scope="session")
def stilts() -> str:
    """Return the command of STILTS."""
    command = shutil.which("stilts")
    if command is None:
        pytest.skip("stilts is not here; deploy/test_tools.sh installs it where it may")
    return command


# ---- the life of a job --------------------------------------------------------------------------------------------

def test_a_job_waits_for_its_owner_s_word_and_is_fetched_as_a_votable(door: Door) -> None:
    path = door.made(**THREE, RUNID="three", LANG="ADQL", REQUEST="doQuery", VERSION="1.1")
    job = door.job(path)
    names = [child.tag.removeprefix(UWS) for child in job]
    assert names == [name for name in PARTS if name in names] and job.get("version") == "1.1"
    assert (word(job, "phase"), word(job, "runId"), f"/{word(job, 'jobId')}") == ("PENDING", "three", path)
    assert all(job.find(UWS + name).get(NIL) == "true" for name in ("ownerId", "quote", "startTime", "endTime"))
    assert door.get(path + "/phase").body == b"PENDING" and not list(job.find(f"{UWS}results"))
    refused(door.get(path + "/results/result"), 404, "no result, its phase is PENDING")
    assert door.below(door.post(path + "/phase", PHASE="RUN")) == path
    job = door.until(path)
    assert word(job, "phase") == "COMPLETED" and job.find(f"{UWS}errorSummary") is None
    assert all(TIME.fullmatch(word(job, n)) for n in ("creationTime", "startTime", "endTime", "destruction"))
    result, = job.find(f"{UWS}results")
    assert result.get("id") == "result" and str(result.get(HREF)).endswith(f"{path}/results/result")
    same = door.house.ask(f"/v1/jobs{path}/result").json
    assert has_column(door.table(path), same["columns"]["median"])
    refused(door.post(path + "/phase", PHASE="RUN"), 403, "has ended")
    assert door.below(door.post(path + "/phase", PHASE="ABORT")) == path and door.get(path + "/phase").body == b"COMPLETED"


def test_leaves_are_plain_text_and_say_what_the_document_says(door: Door) -> None:
    path = door.made(**THREE, EXECUTIONDURATION="90.2", DESTRUCTION="2100-01-01T00:00:00Z", PHASE="RUN")
    job = door.until(path)
    for leaf in ("phase", "executionduration", "destruction", "quote", "owner"):
        name = {"executionduration": "executionDuration", "owner": "ownerId"}.get(leaf, leaf)
        reply = door.get(f"{path}/{leaf}")
        assert (reply.status, reply.media, reply.body.decode()) == (200, "text/plain", word(job, name))
    assert word(job, "executionDuration") == "91" and word(job, "destruction") < "2099"
    assert ET.fromstring(door.get(path + "/parameters").body).tag == f"{UWS}parameters"
    assert ET.fromstring(door.get(path + "/results").body).tag == f"{UWS}results"
    assert door.get(path + "/parameters/Ra").body.decode() == THREE["RA"]
    refused(door.get(path + "/parameters/COLOUR"), 404, "has no parameter 'COLOUR'; it has CZ, DEC")
    refused(door.get(path + "/results/image"), 404, "it is called result")
    refused(door.get(path + "/error"), 404, "has no error; its phase is COMPLETED")
    refused(door.get("/999999/phase"), 404, "no job 999999")


def test_limits_can_be_changed_and_what_is_computed_cannot(door: Door) -> None:
    path = door.made(**THREE)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    assert door.below(door.post(path + "/executionduration", ExecutionDuration=60)) == path
    assert door.below(door.post(path + "/destruction", DESTRUCTION=soon.removesuffix("Z") + ".250")) == path
    assert (door.get(path + "/executionduration").body, door.get(path + "/destruction").body) == (b"60", soon.encode())
    door.post(path + "/destruction", DESTRUCTION="2150-01-01")
    kept = time.time() + 14 * 86400
    assert abs(time.mktime(time.strptime(door.get(path + "/destruction").body.decode(), "%Y-%m-%dT%H:%M:%SZ"))
               - time.timezone - kept) < 60
    assert door.below(door.post(path + "/parameters", RUNID="another", EXECUTIONDURATION=5)) == path
    assert word(door.job(path), "runId") == "another"
    refused(door.post(path + "/parameters", CZ="1"), 403, "CZ cannot be changed.*make another job")
    refused(door.post(path + "/destruction", DESTRUCTION="2001-01-01T00:00:00Z"), 400, "lies in the past")
    refused(door.post(path + "/destruction", DESTRUCTION="tomorrow"), 400, "is no time; write it as")
    refused(door.post(path + "/destruction"), 400, "DESTRUCTION is missing")
    refused(door.post(path + "/executionduration", EXECUTIONDURATION="-1"), 400, "is no number of seconds")
    refused(door.post(path + "/executionduration", DURATION="1"), 400, "not known here; known are EXECUTIONDURATION")
    refused(door.post(path + "/phase", PHASE="GO"), 400, "send RUN or ABORT")
    # uws-client sends everything to the job itself
    assert door.below(door.post(path, RUNID="third", PHASE="ABORT")) == path
    job = door.job(path)
    assert (word(job, "phase"), word(job, "runId")) == ("ABORTED", "third")
    refused(door.post(path + "/executionduration", EXECUTIONDURATION=1), 403, "has ended")


@pytest.mark.parametrize("way", ["delete", "action"])
def test_a_deleted_job_leads_to_the_list_and_is_gone(door: Door, way: str) -> None:
    path = door.made(**THREE)
    reply = door.house.ask(LIST + path, method="DELETE") if way == "delete" else door.post(path, action="delete")
    assert door.below(reply) == ""
    refused(door.get(path), 404, "destroyed")
    assert path[1:] not in dict(door.listed())


def test_a_cancelled_job_says_why_and_keeps_its_finished_rows(door: Door) -> None:
    path = door.long_job(60_000, 0.1)
    while not int(door.job(path).find(f"{UWS}jobInfo/{{urn:cosmicflows:job}}rows_done").text):
        time.sleep(0.02)
    assert door.below(door.post(path, PHASE="ABORT")) == path
    job = door.job(path)
    assert word(job, "phase") == "ABORTED" and word(job.find(f"{UWS}errorSummary"), "message") == "cancelled by its owner"
    error = votable.parse(io.BytesIO(door.get(path + "/error").body))
    assert [i.value for i in error.resources[0].infos] == ["ERROR"] and error.infos[0].value == "cancelled by its owner"
    same = door.house.ask(f"/v1/jobs{path}/result?format=msgpack").msgpack
    assert len(job.find(f"{UWS}results")) == 1 and 0 < same["n"] < 60_000
    door.house.ask(LIST + path, method="DELETE")


def test_a_job_that_fails_says_so_and_has_no_result(door: Door) -> None:
    path = door.long_job(100_000, 0.01)
    assert door.below(door.post(path + "/executionduration", EXECUTIONDURATION="1")) == path
    job = door.until(path)
    assert word(job, "phase") == "ERROR" and "executionDuration" in [c.tag.removeprefix(UWS) for c in job]
    assert "execution_duration of 1 s" in word(job.find(f"{UWS}errorSummary"), "message")
    assert door.get(path + "/error").media == "application/x-votable+xml"
    refused(door.get(path + "/results/result"), 404, "its phase is ERROR: the job did not end within")


# ---- waiting and listing ------------------------------------------------------------------------------------------

def test_a_wait_ends_with_the_phase_and_not_before(door: Door) -> None:
    path = door.made(**THREE)
    begin = time.monotonic()
    assert word(door.job(path, WAIT=1), "phase") == "PENDING" and 0.9 < time.monotonic() - begin < 5.0
    begin = time.monotonic()
    door.job(path, WAIT=30, PHASE="QUEUED")
    assert time.monotonic() - begin < 5.0
    seen: list[str] = []
    waiting = threading.Thread(target=lambda: seen.append(word(door.job(path, WAIT=-1, PHASE="PENDING"), "phase")))
    waiting.start()
    time.sleep(0.3)
    door.post(path + "/phase", PHASE="RUN")
    waiting.join(20)
    assert seen and seen[0] != "PENDING"
    door.until(path)
    begin = time.monotonic()
    assert word(door.job(path, wait=30), "phase") == "COMPLETED" and time.monotonic() - begin < 5.0
    refused(door.get(path, WAIT="soon"), 400, "WAIT = 'soon' is not a whole number")


def test_the_list_has_the_jobs_of_every_door_and_filters_them(door: Door) -> None:
    first = door.made(**THREE)
    reply = door.house.post("/v1/jobs", {"kind": "velocity", "ra": [10.0], "dec": [1.0], "distance": [40.0],
                                         "run_id": "a\u0001b"})
    second = f"/{reply.json['id']}"
    door.until(second)
    phases = dict(door.listed())
    assert phases[first[1:]] == "PENDING" and phases[second[1:]] == "COMPLETED"
    assert list(phases) == sorted(phases, key=int, reverse=True)
    assert {p for _, p in door.listed(PHASE="PENDING")} == {"PENDING"} and door.listed(PHASE="HELD") == []
    assert {p for _, p in door.listed(phase=["PENDING", "COMPLETED"])} == {"PENDING", "COMPLETED"}
    assert [j for j, _ in door.listed(LAST=1)] == [second[1:]] and door.listed(LAST=0) == []
    made = word(door.job(second), "creationTime")
    assert door.listed(AFTER=made) == [] and second[1:] in dict(door.listed(AFTER="2020-01-01T00:00:00"))
    assert word(door.job(second), "runId") == "a?b"
    parameters = {p.get("id"): p for p in ET.fromstring(door.get(second + "/parameters").body)}
    assert parameters["KIND"].text == "velocity" and parameters["DISTANCE"].get("byReference") == "true"
    address = str(parameters["DISTANCE"].text)
    assert door.house.ask(address.partition(f":{door.house.port}")[2]).body == b"40"
    for query, words in (({"PHASE": "LOST"}, "'LOST' is none; use PENDING"), ({"LAST": "-1"}, "LAST = '-1'"),
                         ({"LAST": "x"}, "LAST"), ({"AFTER": "noon"}, "AFTER = 'noon' is no time"),
                         ({"SINCE": "1"}, "known are PHASE, AFTER, LAST"), ({"LAST": [1, 2]}, "LAST is given twice")):
        refused(door.get("", **query), 400, words)


# ---- what can be asked --------------------------------------------------------------------------------------------

def test_columns_may_be_one_text_or_many_and_long_ones_are_told_apart(door: Door) -> None:
    n = 400
    z = [round(0.01 + 0.0001 * k, 6) for k in range(n)]
    form = {"kind": "distance", "glon": ",".join(str(k * 0.9) for k in range(n)), "GLAT": [k * 0.2 for k in range(n)],
            "Z": " ".join(map(str, z)), "SIGMA_CZ": 50, "H0": 70, "PRIOR": "density", "USE_FIELD_SIGMA": "false", "PHASE": "RUN",
            "FLOW_TYPE": "luminosity"}
    path = door.made(**form)
    parameters = {p.get("id"): p for p in door.until(path).find(f"{UWS}parameters")}
    assert parameters["Z"].get("byReference") == "true" and parameters["H0"].text == "70"
    assert door.get(path + "/parameters/Z").body.decode() == ",".join(map(str, z))
    same = door.house.ask(f"/v1/jobs{path}/result?flow_type=luminosity").json
    assert same["n"] == n and same["cosmology"]["H0"] == 70 and same["prior"] == "density"
    np.testing.assert_allclose(same["columns"]["cz_hel"], np.array(z) * C_KMS, rtol=1e-9)
    assert has_column(door.table(path), same["columns"]["mean"])


def test_a_multipart_form_is_read_as_the_other_one_is(door: Door) -> None:
    body = b"".join(b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v.encode())
                    for k, v in {**THREE, "PHASE": "RUN"}.items()) + b"--xx--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=xx"}
    reply = door.house.ask(LIST, method="POST", body=body, headers=headers)
    assert word(door.until(door.below(reply)), "phase") == "COMPLETED"
    refused(door.house.ask(LIST, method="POST", body=body[:-12], headers=headers), 400, ".")
    refused(door.house.ask(LIST, method="POST", body=b"{}", headers={"Content-Type": "application/json"}), 415, "is no form")


def test_names_are_resolved_with_their_velocities(door: Door) -> None:
    path = door.made(NAME=["NGC 4993, M 81", "M 87"], PHASE="RUN")
    door.until(path)
    same = door.house.ask(f"/v1/jobs{path}/result").json["columns"]
    single = door.house.ask("/get_flow_galaxy?name=NGC%204993").json
    assert len(same["mean"]) == 3
    np.testing.assert_allclose(same["mean"][0], single["distance"]["mean"], rtol=1e-9)
    assert door.get(path + "/parameters/NAME").body == b"NGC 4993, M 81,M 87"
    path = door.made(KIND="velocity", NAME="M 81, M 87", DISTANCE="3.6 16.4", PHASE="RUN")
    door.until(path)
    assert door.table(path).nrows == 2
    refused(door.post(NAME="M 81, M 999, NGC 99999"), 400, "(?s)M 999.*NGC 99999.*mend the names")
    refused(door.post(NAME="M 81", RA="1"), 400, "NAME and RA are both given")
    refused(door.post(NAME="M 81", CZ_FRAME="cmb"), 400, "no CZ is given")


@pytest.mark.parametrize("who", [{"NAME": "NGC 4993"}, {"SGL": "100", "SGB": "5"}])
def test_a_sightline_is_the_table_of_one_direction(door: Door, who: dict[str, str]) -> None:
    path = door.made(KIND="sightline", N=21, RMAX=60, **who, PHASE="RUN")
    door.until(path)
    query = {k.lower(): v for k, v in who.items()}
    same = door.house.ask("/get_distance_table", {**query, "n": 21, "rmax": 60}).json["columns"]
    table = door.table(path)
    assert table.nrows == 21
    np.testing.assert_allclose(np.ma.filled(table.array["v_rad"], np.nan), np.array(same["v_rad"], float), rtol=1e-9)


@pytest.mark.parametrize(("form", "status", "words"), [
    ({"KIND": "image"}, 400, "use one of distance, velocity, sightline"),
    ({"COLOUR": "red"}, 400, "'COLOUR' is not known here; known are ALPHA"),
    ({"RA": "1", "DEC": "2"}, 400, "give the observed velocities"),
    ({**THREE, "CZ": "1 2"}, 400, "ra has 3 entries, cz has 2"),
    ({**THREE, "RA": "12:30:00,1,2"}, 400, r"RA\[0\] = '12:30:00' is not a number; send decimal degrees"),
    ({**THREE, "DEC": "1,x,2"}, 400, r"DEC\[1\] = 'x' is not a number"),
    ({**THREE, "RA": "1_0,1,2"}, 400, r"RA\[0\]"),
    ({**THREE, "H0": "7000"}, 400, "H0 = 7000 lies outside"),
    ({**THREE, "H0": ["70", "71"]}, 400, "H0 is given 2 times"),
    ({**THREE, "FIELD": "nowhere"}, 400, "field 'nowhere' is not known"),
    ({**THREE, "PHASE": "ABORT"}, 400, "not possible for a new job"),
    ({**THREE, "RUNID": "x" * 65}, 400, "RUNID has 65 characters"),
    ({**THREE, "RUNID": "a\u0001"}, 400, "RUNID holds a control character"),
    ({**THREE, "RESPONSEFORMAT": "xls"}, 400, "use one of .*votable"),
    ({**THREE, "FLOW_TYPE": "warp"}, 400, "flow type 'warp' is not known"),
    ({**THREE, "N": "4"}, 400, "as many rows as objects"),
    ({"KIND": "velocity", **THREE}, 400, "takes distance"),
    ({"KIND": "velocity", "RA": "1", "DEC": "1", "DISTANCE": "3", "FLOW_TYPE": "hubble"}, 400, "FLOW_TYPE is given"),
    ({"KIND": "sightline", **THREE}, 400, "looks sexagesimal|is not a number"),
    ({"KIND": "sightline", "NAME": "M 81, M 82"}, 400, "a sightline has one direction"),
    ({"KIND": "sightline", "RA": "1", "DEC": "95"}, 400, "dec = 95"),
    ({"RA": ",".join(["1"] * 10_001), "DEC": "1", "CZ": "3000"}, 413, "RA has 10001 entries, more than the 10000 of a form")])
def test_what_cannot_be_asked_is_refused_in_plain_words(door: Door, form: dict[str, str], status: int, words: str) -> None:
    before = len(door.listed())
    refused(door.post(**form), status, words)
    assert len(door.listed()) == before


def test_a_form_that_is_too_long_is_refused_before_it_is_read_to_its_end(door: Door) -> None:
    refused(door.house.ask(LIST, method="POST", body=b"RA=" + b"1" * (5 << 20), headers=FORM), 413, "larger than 4 MiB")


def test_missing_entries_stay_in_their_rows(door: Door) -> None:
    path = door.made(RA=["10", "", "20"], DEC="1,2,3", CZ="3000,nan,4000", PHASE="RUN")
    door.until(path)
    assert door.house.ask(f"/v1/jobs{path}/result").json["status"] == ["ok", "not_finite", "ok"]


def test_times_and_texts_are_written_as_xml_can_hold_them() -> None:
    assert uws_xml.stamp(0.999) == "1970-01-01T00:00:00Z" and uws_xml.stamp(None) == ""
    assert [uws_xml.whole(s) for s in (0.0, 0.2, 1.0, 59.9)] == [0, 1, 1, 59]
    told = uws_xml.Job("1", "http://x/1", "ERROR", "a&b<c>", "\ud800\ufffe\u0000", 0.0, None, None, None, 0.0, None,
                       error="<no>\u0008")
    root = ET.fromstring(uws_xml.job(told))
    assert (word(root, "ownerId"), word(root, "runId")) == ("a&b<c>", "???")
    assert word(root.find(f"{UWS}errorSummary"), "message") == "<no>?"


# ---- clients ------------------------------------------------------------------------------------------------------

def test_pyvo_runs_waits_for_fetches_and_deletes_a_job(door: Door, pyvo: ModuleType) -> None:
    url = f"http://127.0.0.1:{door.house.port}{LIST}{door.made(NAME='M 81, M 87')}"
    with pyvo.dal.AsyncTAPJob(url) as job:
        assert (job.phase, job.uws_version, job.owner) == ("PENDING", "1.1", None)
        job.execution_duration = 60
        job.destruction = "2100-01-01T00:00:00Z"
        assert job.execution_duration.sec == 60 and job.destruction.datetime.year < 2100
        job.run().wait(timeout=60)
        job.raise_if_error()
        assert job.phase == "COMPLETED" and job.result_uri == f"{url}/results/result"
        table = job.fetch_result().to_table()
        assert len(table) == 2 and str(table["v_rad"].unit) == "km / s"
        assert [p.content for p in job.job.parameters if p.id_ == "NAME"] == ["M 81, M 87"]
    refused(door.get(url.partition(LIST)[2]), 404, "destroyed")


def test_pyvo_is_told_why_a_job_was_aborted(door: Door, pyvo: ModuleType) -> None:
    url = f"http://127.0.0.1:{door.house.port}{LIST}{door.made(**THREE)}"
    job = pyvo.dal.AsyncTAPJob(url)
    job.abort()
    assert job.phase == "ABORTED"
    with pytest.raises(pyvo.dal.DALQueryError, match="cancelled by its owner"):
        job.raise_if_error()


def test_pyvo_reads_the_list(door: Door, pyvo: ModuleType) -> None:
    from pyvo.io import uws
    path = door.made(**THREE, RUNID="to be seen")
    jobs = uws.parse_job_list(io.BytesIO(door.get().body))
    newest = next(iter(jobs))
    assert (newest.jobid, newest.phase, newest.runid) == (path[1:], "PENDING", "to be seen")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_stilts_resumes_a_job_and_finds_nothing_wrong_with_its_tables(door: Door, stilts: str, tmp_path: Path) -> None:
    many = door.made(NAME="M 81, M 87, NGC 4993", PHASE="RUN")
    line = door.made(KIND="sightline", NAME="NGC 4993", N=11, PHASE="RUN")
    for path in (many, line):
        door.until(path)
        (tmp_path / "result.vot").write_bytes(door.get(path + "/results/result").body)
        assert run(stilts, "votlint", str(tmp_path / "result.vot")) == ""
    rows = run(stilts, "tapresume", f"joburl=http://127.0.0.1:{door.house.port}{LIST}{many}", "delete=always", "ofmt=csv",
               "poll=100").splitlines()
    assert len(rows) == 4 and "median" in rows[0]
    refused(door.get(many), 404, "destroyed")


def test_the_documents_fit_the_schemas_that_stilts_brings(door: Door, stilts: str, tmp_path: Path) -> None:
    jar = next((p for p in (*Path("/usr/share/java").glob("starlink-ttools.jar"), Path(stilts).resolve().with_name("stilts.jar"))
                if p.exists()), None)
    if jar is None:
        pytest.skip("this STILTS does not show its schemas")
    spaces = {"http://www.ivoa.net/xml/UWS/v1.0": "UWS-v1.1", "http://www.w3.org/1999/xlink": "xlink"}
    with zipfile.ZipFile(jar) as packed:
        for name in packed.namelist():
            if name.startswith("uk/ac/starlink/ttools/taplint/") and name.endswith(".xsd"):
                (tmp_path / name.rpartition("/")[2]).write_bytes(packed.read(name))
    aborted = door.made(**THREE, RUNID="x")
    door.post(aborted + "/phase", PHASE="ABORT")
    completed = door.made(**THREE, PHASE="RUN")
    door.until(completed)
    locations = [f"schemaloc={space}={tmp_path / name}.xsd" for space, name in spaces.items()]
    for number, path in enumerate((aborted, completed, "")):
        document = tmp_path / f"{number}.xml"
        document.write_bytes(door.get(path).body)
        assert run(stilts, "xsdvalidate", *locations, f"doc={document}") == "", path

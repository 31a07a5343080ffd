"""The door for scripts of the ATLAS queue: such scripts as they are, and what the protocol promises, one by one."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from running import House, Reply

from cfcore.cli import main
from cfcore.errors import BadParameter
from cfcore.sightlines import COLUMNS
from gateway.faces import queue_forms, queue_tasks

ROOT = Path(__file__).resolve().parent.parent.parent
PASSWORD = "a galaxy far away"
KEYS = [
    "url", "id", "user_id", "username", "timestamp", "mpc_name", "ra", "dec", "mjd_min", "mjd_max", "radec_epoch_year",
    "propermotion_ra", "propermotion_dec", "use_reduced", "finished", "result_url", "comment", "send_email", "callback_url",
    "starttimestamp", "finishtimestamp", "error_msg", "previewimage_url", "parent_task_id", "parent_task_url",
    "request_type", "pdfplot_url", "queuepos", "imagerequest_task_id", "imagerequest_url", "imagerequest_finished",
    "result_imagestack_url", "result_imagezip_url", "userqueuedtasks_on_submit", "waittime", "runtime", "attempt_count"]
LIST_SCRIPT = '''
import io, re, sys, time
import pandas as pd
import requests

BASEURL = "http://127.0.0.1:5000/forcedphot"
resp = requests.post(url=f"{BASEURL}/api-token-auth/", data={"username": "wirtz", "password": "a galaxy far away"})
assert resp.status_code == 200, resp.text
headers = {"Authorization": f"Token {resp.json()['token']}", "Accept": "application/json"}
positions = "\\n".join(f"{(37 * k) % 360} {k % 160 - 80}" for k in range(100))
task_urls = []
while not task_urls:
    with requests.Session() as s:
        resp = s.post(f"{BASEURL}/queue/", headers=headers, data={"radeclist": positions, "mjd_min": 59248.0})
        if resp.status_code == 201:
            task_urls = [task["url"] for task in resp.json()]
        elif resp.status_code == 429:
            time.sleep(int(re.findall(r"available in (\\d+) seconds", resp.json()["detail"])[0]))
        else:
            sys.exit(resp.text)
tables = []
for task_url in task_urls:
    result_url = None
    while not result_url:
        with requests.Session() as s:
            resp = s.get(task_url, headers=headers)
            assert resp.status_code == 200, resp.text
            if resp.json()["finishtimestamp"]:
                result_url = resp.json()["result_url"]
            else:
                time.sleep(10)
    with requests.Session() as s:
        textdata = s.get(result_url, headers=headers).text
        s.delete(task_url, headers=headers)
    tables.append(pd.read_csv(io.StringIO(textdata.replace("###", "")), sep=r"\\s+"))
print(len(tables), {len(t) for t in tables}, *tables[0].columns)
'''


class Client:
    """A user of a house who speaks the queue's protocol."""

    def __init__(self, house: House, name: str) -> None:
        self.house, self.name = house, name
        made = main(["users", "add", name, "--password", PASSWORD, "--data", str(house.data)])
        assert made == 0
        self.token = log_in(house, name).json["token"]
        self.header = {"Authorization": f"Token {self.token}"}

    def ask(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """Ask with the token; a whole address is asked as it is."""
        path = re.sub(r"^http://[^/]*", "", path)
        return self.house.ask(path if path.startswith("/") else f"/forcedphot/{path}", method=method,
                              headers={**self.header, **headers})

    def send(self, fields: dict[str, Any], path: str = "queue/", method: str = "POST", **headers: str) -> Reply:
        """Send a form with the token."""
        path = re.sub(r"^http://[^/]*", "", path)
        return form(self.house, path if path.startswith("/") else f"/forcedphot/{path}", fields, method,
                    **{**self.header, **headers})

    def done(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Submit a task and return it when it has ended."""
        reply = self.send(fields)
        assert reply.status == 201, reply.body
        return self.ended(reply.json)

    def ended(self, task: dict[str, Any]) -> dict[str, Any]:
        """Wait for the end of a task."""
        until = time.monotonic() + 30
        while not task["finishtimestamp"]:
            assert time.monotonic() < until, task
            task = self.ask(task["url"]).json
        return task

    def table(self, task: dict[str, Any]) -> dict[str, np.ndarray]:
        """Return the table of a task that has ended."""
        return read(self.house.ask(re.sub(r"^http://[^/]*", "", task["result_url"])))


def form(house: House, path: str, fields: dict[str, Any], method: str = "POST", **headers: str) -> Reply:
    """Send a form."""
    return house.ask(path, method=method, body=urlencode(fields).encode(),
                     headers={"Content-Type": "application/x-www-form-urlencoded", **headers})


def log_in(house: House, name: str, password: str = PASSWORD) -> Reply:
    """Ask for a token."""
    return form(house, "/forcedphot/api-token-auth/", {"username": name, "password": password})


def read(reply: Reply) -> dict[str, np.ndarray]:
    """Read a table as clients do, after a look at what they rely on."""
    assert (reply.status, reply.media) == (200, "text/plain"), reply.body
    lines = reply.body.decode().splitlines()
    assert lines[0].startswith("###") and lines[0][3] != " "
    names = lines[0][3:].split(" ")
    assert all(len(line.split(" ")) == len(names) for line in lines)
    return dict(zip(names, np.array([line.split(" ") for line in lines[1:]], float).T))


@pytest.fixture(scope="module")
def mona(house: House) -> Client:
    return Client(house, "mona")


@pytest.fixture(scope="module")
def other(house: House) -> Client:
    return Client(house, "other")


@pytest.mark.parametrize("script", ["page", "list"])
def test_a_script_of_the_published_shape_runs_with_another_address(house: House, script: str, tmp_path: Path) -> None:
    name = {"page": "halley2", "list": "wirtz"}[script]
    Client(house, name)
    page = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "queue.md").read_text("utf-8"), re.M | re.S)[0]
    text = page.replace('"halley"', f'"{name}"') if script == "page" else LIST_SCRIPT
    text = text.replace("http://127.0.0.1:5000", f"http://127.0.0.1:{house.port}")
    # the script is not touched: its interpreter tells when it sleeps, and wakes it sooner
    (tmp_path / "sitecustomize.py").write_text("import sys, time\nsleep = time.sleep\n\n\ndef told(seconds):\n"
                                               "    print('slept', file=sys.stderr)\n    sleep(0.2)\n\n\ntime.sleep = told\n")
    done = subprocess.run([sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, timeout=60, cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    # on an idle machine none; of a hundred tasks on a busy one only the first may take longer than an answer is held
    assert done.stderr.count("slept") <= 5, "tasks were asked for again and again"
    if script == "list":
        assert done.stdout.split("} ")[1].split() == [c for c in COLUMNS if c != "p"] and done.stdout.startswith("100 {401}")
    else:
        assert 30.0 < float(re.search(r"most likely at ([\d.]+) Mpc", done.stdout)[1]) < 50.0  # type: ignore[index]


def test_the_token_is_the_same_on_every_call_and_in_every_kind_of_body(house: House, mona: Client) -> None:
    assert re.fullmatch("[0-9a-f]{40}", mona.token)
    words = {"username": "mona", "password": PASSWORD}
    parts = "".join(f'--b\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in words.items()) + "--b--\r\n"
    for body, kind in ((json.dumps(words), "application/json"), (urlencode(words), "application/x-www-form-urlencoded"),
                       (parts, "multipart/form-data; boundary=b")):
        for base in ("/forcedphot", ""):
            reply = house.ask(f"{base}/api-token-auth/", method="POST", body=body.encode(), headers={"Content-Type": kind})
            assert (reply.status, reply.json) == (200, {"token": mona.token})
    assert log_in(house, "mona", "something else").json == {"non_field_errors": ["Unable to log in with provided credentials."]}
    assert form(house, "/api-token-auth/", {"username": "mona"}).json == {"password": ["This field is required."]}
    refused = house.ask("/forcedphot/api-token-auth/")
    assert (refused.status, refused.json, refused.headers["allow"]) == (405, {"detail": 'Method "GET" not allowed.'}, "POST")


def test_a_task_is_told_in_the_words_and_the_order_of_the_protocol(house: House, mona: Client) -> None:
    sent = {"ra": 44, "dec": "22", "mjd_min": 59248.0, "comment": "first", "use_reduced": "True", "send_email": "false",
            "mjd_max": "", "nonsense": "x", "propermotion_ra": -1.5}
    reply = mona.send(sent)
    task = reply.json
    assert reply.status == 201 and reply.headers["location"] == task["url"] and list(task)[:len(KEYS)] == KEYS
    assert task["url"] == f"http://127.0.0.1:{house.port}/forcedphot/queue/{task['id']}/" and 0 < task["id"] < 2**53
    assert (task["ra"], task["dec"], task["mjd_min"], task["mjd_max"], task["comment"]) == (44.0, 22.0, 59248.0, None, "first")
    assert (task["use_reduced"], task["send_email"], task["propermotion_ra"], task["username"]) == (True, False, -1.5, "mona")
    task = mona.ended(task)
    assert task["finished"] is True
    stamps = [task[k] for k in ("timestamp", "starttimestamp", "finishtimestamp")]
    assert stamps == sorted(stamps) and all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", s) for s in stamps)
    assert task["queuepos"] is None and task["error_msg"] is None and task["runtime"] >= 0.0
    root = form(house, "/queue/", {"ra": 1, "dec": 2}, **mona.header)
    assert root.headers["location"] == f"http://127.0.0.1:{house.port}/queue/{root.json['id']}/"
    proxied = mona.send({"ra": 1, "dec": 2}, Host="flows.example", **{"X-Forwarded-Proto": "https"})
    assert proxied.json["url"].startswith("https://flows.example/forcedphot/queue/")


@pytest.mark.parametrize("fields", [
    {"ra": 44, "dec": 22}, {"ra": 197.4488, "dec": -23.3839, "cz": 2916, "sigma_cz": 50, "n": 101, "rmax": 60, "H0": 70,
                            "prior": "density", "cz_frame": "cmb", "sigma_v": 150},
    {"ra": 10, "dec": -5, "z": 0.01, "n": 7}, {"name": "NGC 4993", "n": 33}, {"name": "NGC 4993", "cz_frame": "lg", "n": 5},
    {"ra": 266.4, "dec": -29.0, "rmax": 170, "n": 300, "field": "ongc-linear"}])
def test_the_table_of_a_task_is_the_distance_table(house: House, mona: Client, fields: dict[str, Any]) -> None:
    table = mona.table(mona.done(fields))
    oracle = house.ask("/get_distance_table", fields).json["columns"]
    assert list(table) == list(oracle) and ("p" in table) == ("cz" in fields or "z" in fields or "name" in fields)
    for name, column in oracle.items():
        np.testing.assert_array_equal(table[name], np.array(column, float))


def test_a_list_is_one_task_for_each_line_in_any_spelling(mona: Client) -> None:
    text = "12.5,-7\r\n\r\n 12.5 -7 3000\n12:29:06.7 -00:03:09\n12h29m06.7s, -0d03m09s\nname NGC 4993\n187,2,\n"
    reply = mona.send({"radeclist": text, "cz_frame": "cmb", "comment": "one of many", "ra": "", "n": 3})
    assert reply.status == 201 and "location" not in reply.headers
    tasks = reply.json
    places = [(round(t["ra"], 6), round(t["dec"], 6), t["cz"] and round(t["cz"])) for t in tasks]
    m104 = (187.277917, -0.0525, None)
    assert places[:4] == [(12.5, -7.0, None), (12.5, -7.0, 3000), m104, m104] and places[5] == (187.0, 2.0, None)
    # its velocity is turned into the frame of the CMB
    assert tasks[4]["name"] == "NGC 4993" and 197.4 < places[4][0] < 197.5 and 3000 < places[4][2] < 3400
    assert [t["id"] for t in tasks] == sorted(t["id"] for t in tasks) and {t["comment"] for t in tasks} == {"one of many"}
    assert isinstance(mona.send({"radeclist": "1 2"}).json, list)
    for task in tasks:
        assert mona.ended(task)["error_msg"] is None


@pytest.mark.parametrize(("text", "says"), [
    ("1,2\n\nfoo", "Error on line 3: 'foo'"), ("1", "Error on line 1"), ("1 2 3 4", "Error on line 1"),
    ("1,95", "Error on line 1: dec = 95"), ("24 00 00 1 2 3", "Error on line 1: hours"), ("12:30 40", "Error on line 1"),
    ("12:00:00 -1:60:00", "Error on line 1: minutes"), ("1,2,0.01", "Error on line 1: cz = 0.01"), ("1,2,nan", "Error on line 1"),
    ("1,inf", "Error on line 1"), ("name ", "Error on line 1"), ("400,2", "Error on line 1: ra = 400"),
    ("1,2\nname NGC 99999", "Error on line 2: 'NGC 99999' does not exist"), ("hms", "Error on line 1"),
    ("1 2\n" * 101, "101 lines are more than the 100")])
def test_one_bad_line_refuses_the_whole_list(mona: Client, text: str, says: str) -> None:
    before = mona.ask("queue/?pagesize=1").json["taskcount"]
    reply = mona.send({"radeclist": text})
    assert reply.status == 400 and list(reply.json) == ["radeclist"] and reply.json["radeclist"].startswith(says)
    assert mona.ask("queue/?pagesize=1").json["taskcount"] == before


@pytest.mark.parametrize(("fields", "where"), [
    ({"ra": 400}, "ra"), ({"dec": 95}, "dec"), ({"dec": ""}, "dec"), ({"ra": ""}, "ra"),
    ({"ra": "", "dec": ""}, "non_field_errors"), ({"ra": "12:00:01"}, "ra"), ({"ra": "nan"}, "ra"),
    ({"ra": "", "dec": "", "name": "NGC 99999"}, "name"), ({"H0": 5}, "H0"),
    ({"ra": "", "dec": "", "name": "x" * 300}, "name"), ({"name": "M 81"}, "name"), ({"comment": "x" * 301}, "comment"),
    ({"ra": "", "dec": "", "mpc_name": "Ceres"}, "mpc_name"), ({"mjd_min": "soon"}, "mjd_min"), ({"field": "nope"}, "field"),
    ({"cz": 0.01}, "cz"), ({"cz": 1e9}, "cz"), ({"cz": 5, "z": 1}, "z"), ({"sigma_cz": 5}, "cz"), ({"n": 1}, "n"),
    ({"rmax": 401}, "rmax"), ({"rmax": 350}, "rmax"), ({"cz_frame": "moon"}, "cz_frame"),
    ({"callback_url": "http://127.0.0.1/x"}, "callback_url")])
def test_what_has_no_answer_is_refused_with_its_field(mona: Client, fields: dict[str, Any], where: str) -> None:
    reply = mona.send({"ra": 1, "dec": 2, "field": "ongc-linear", **fields})
    assert reply.status == 400 and list(reply.json) == [where], reply.body
    text, = reply.json[where]
    assert isinstance(text, str) and len(text) > 15


@pytest.mark.parametrize(("body", "kind", "status"), [
    (b"{", "application/json", 400), (b"[1]", "application/json", 400), (b'{"ra": NaN, "dec": 1}', "application/json", 400),
    (b'{"ra": {"a": 1}, "dec": [1]}', "application/json", 400), (b"[" * 100_000, "application/json", 400),
    (b"ra=1&dec=2", "text/plain", 415), (b"zzz", "multipart/form-data; boundary=b", 400), (b"zzz", "multipart/form-data", 400),
    (b"x" * 300_000, "application/json", 413), (b"ra=" + b"1" * 300_000, "application/x-www-form-urlencoded", 413),
    (b"ra=%ff&dec=2", "application/x-www-form-urlencoded", 400),
    (b"--b\r\n" * 20_000, "multipart/form-data; boundary=b", 400), (b"", "application/json", 400),
    (b"ra=1&dec=2", "application/x-www-form-urlencoded; charset=nonsense", 400)])
def test_bodies_that_cannot_be_read_are_refused(mona: Client, body: bytes, kind: str, status: int) -> None:
    reply = mona.house.ask("/forcedphot/queue/", method="POST", body=body, headers={**mona.header, "Content-Type": kind})
    assert (reply.status, reply.media) == (status, "application/json") and reply.json


def test_who_may_do_what(house: House, mona: Client, other: Client) -> None:
    task = mona.done({"ra": 1, "dec": 2, "n": 2})
    path = f"/forcedphot/queue/{task['id']}/"
    for header in ("Token", "token", "Bearer"):
        assert house.ask("/queue/", headers={"Authorization": f"{header} {mona.token}"}).status == 200
    basic = base64.b64encode(f"mona:{PASSWORD}".encode()).decode()
    assert house.ask("/queue/", headers={"Authorization": f"Basic {basic}"}).status == 200
    for reply in (form(house, "/queue/", {"ra": 1, "dec": 2}), house.ask(path, method="DELETE"), form(house, path, {}, "PATCH")):
        assert (reply.status, reply.json) == (401, {"detail": "Authentication credentials were not provided."})
        assert reply.headers["www-authenticate"].startswith("Basic")
    for address in ("/forcedphot/queue/", "/queuepositions.json"):
        assert (house.ask(address).status, list(house.ask(address).json)) == (403, ["detail"])
    wrong = form(house, "/queue/", {"ra": 1, "dec": 2}, Authorization="Token 0123")
    assert (wrong.status, wrong.json["detail"]) == (401, "Invalid token.")
    for reply in (other.ask(path, "DELETE"), other.send({"comment": "mine now"}, path, "PATCH")):
        assert reply.status == 403 and list(reply.json) == ["detail"]
    # anybody who knows the number may look
    assert house.ask(path).json["comment"] is None and house.ask(path).json == other.ask(path).json == task
    assert house.ask(path + "result.txt").status == 200
    assert task["id"] not in [t["id"] for t in other.ask("queue/?pagesize=100").json["results"]]
    for name in (task["id"] + 1, task["id"] >> 24, 0, "x", "9" * 30, "-1", "%D9%A1"):
        reply = house.ask(f"/queue/{name}/")
        assert (reply.status, list(reply.json)) == (404, ["detail"])


def test_remarks_can_be_changed_and_tasks_deleted(mona: Client) -> None:
    task = mona.done({"ra": 1, "dec": 2, "n": 2, "comment": "old", "mjd_max": 60000})
    changed = mona.send({"comment": "new", "finished": "false", "ra": 99, "mjd_max": ""}, task["url"], "PATCH")
    assert changed.status == 200 and changed.json == {**task, "comment": "new", "mjd_max": None} == mona.ask(task["url"]).json
    body = json.dumps({"comment": None, "use_reduced": True}).encode()
    put = mona.house.ask(f"/queue/{task['id']}/", method="PUT", body=body,
                         headers={**mona.header, "Content-Type": "application/json"})
    assert put.status == 200 and (put.json["comment"], put.json["use_reduced"]) == (None, True)
    assert mona.send({"comment": "x" * 301}, task["url"], "PATCH").status == 400
    gone = mona.ask(task["url"], "DELETE")
    assert (gone.status, gone.body) == (204, b"")
    for reply in (mona.ask(task["url"]), mona.ask(task["url"], "DELETE"), mona.ask(task["result_url"])):
        assert (reply.status, list(reply.json)) == (404, ["detail"])


def test_the_list_is_read_in_pages_forth_and_back(house: House) -> None:
    client = Client(house, "pages")
    ids = [t["id"] for t in client.send({"radeclist": "1 2\n" * 15, "n": 2}).json][::-1]
    for query, size, order in (("", 6, ids), ("?pagesize=4&ordering=timestamp", 4, ids[::-1]),
                               ("?pagesize=900&ordering=id", 15, ids[::-1]), ("?pagesize=x&ordering=colour", 6, ids)):
        pages, found = [client.ask(f"queue/{query}").json], []
        while pages[-1]["next"]:
            pages.append(client.ask(pages[-1]["next"]).json)
        for page in pages:
            assert page["taskcount"] == 15 and page["pagefirsttaskposition"] == len(found)
            found += [t["id"] for t in page["results"]]
        assert found == order and [len(p["results"]) for p in pages] == [size] * (15 // size) + [15 % size] * (15 % size > 0)
        back = [pages[-1]]
        while back[-1]["previous"]:
            back.append(client.ask(back[-1]["previous"]).json)
        assert [[t["id"] for t in p["results"]] for p in reversed(back)] == [[t["id"] for t in p["results"]] for p in pages]
    assert client.ask("queue/?started=maybe").status == 400
    for cursor in ("zz", "%00", base64.b64encode(b"p=x").decode(), base64.b64encode(b"q=1").decode(), "cD0x\u00e9"):
        reply = client.house.ask(f"/queue/?{urlencode({'cursor': cursor})}", headers=client.header)
        assert (reply.status, reply.json) == (404, {"detail": "Invalid cursor"})


def test_what_has_not_changed_is_not_sent_again(mona: Client) -> None:
    task = mona.done({"ra": 1, "dec": 2, "n": 2})
    for path in (task["url"], "queue/?started=true"):
        tag = mona.ask(path).headers["etag"]
        same = mona.ask(path, **{"If-None-Match": f'"other", {tag}'})
        assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
        assert mona.ask(path, **{"If-None-Match": '"other"'}).status == 200
    mona.send({"comment": "changed"}, task["url"], "PATCH")
    assert mona.ask(path, **{"If-None-Match": tag}).status == 200


def test_an_address_without_its_last_slash_leads_to_the_one_with_it(house: House, mona: Client) -> None:
    reply = form(house, "/forcedphot/queue", {"ra": 1, "dec": 2}, **mona.header)
    assert (reply.status, reply.headers["location"]) == (308, "/forcedphot/queue/")
    assert house.ask("/queue?pagesize=3").headers["location"] == "/queue/?pagesize=3"
    assert house.ask("/queue/12", method="DELETE").headers["location"] == "/queue/12/"


def test_every_documented_address_of_the_queue_answers_as_its_schema_says(house: House, mona: Client) -> None:
    document = house.ask("/openapi.json").json
    bodies = {"api-token-auth/": {"username": "mona", "password": PASSWORD}, "queue/": {"ra": 1, "dec": 2, "n": 2},
              "queue/{task}/": {"comment": "x"}}
    seen = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation["tags"] != ["Queue"]:
                continue
            seen += 1
            name = path.removeprefix("/forcedphot").lstrip("/")
            target = path.replace("{task}", str(mona.done({"ra": 1, "dec": 2, "n": 2})["id"])) if "{task}" in path else path
            body = json.dumps(bodies[name]).encode() if "requestBody" in operation else None
            reply = house.ask(target, method=method.upper(), body=body,
                              headers={**mona.header, "Content-Type": "application/json", "Accept": "text/html"})
            success = operation["responses"][str(reply.status)]
            assert reply.status in (200, 201, 204), (path, reply.body)
            if reply.status != 204:
                schema = success["content"][reply.media]["schema"]
                Draft202012Validator({**schema, "components": document["components"]}).validate(
                    reply.json if reply.media == "application/json" else reply.body.decode())
            refused = house.ask(target, method=method.upper(), body=body, headers={"Authorization": "Token no"})
            assert refused.status in (400, 401, 415) and str(refused.status) in operation["responses"]
            Draft202012Validator({"$ref": "#/components/schemas/QueueRefusal", "components": document["components"]}).validate(
                refused.json)
    assert seen == 20


def test_tasks_that_wait_are_bounded_placed_and_survive_a_crash(house_data: Path) -> None:
    desk = House(house_data, "--workers", "1")
    try:
        client, worker = Client(desk, "crowd"), desk.children("flow_worker")
        workers = [*worker, *(pid for w in worker for pid in _below(w))]
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        tasks: list[dict[str, Any]] = []
        while (reply := client.send({"radeclist": "10 20 3000\n" * 100, "n": 2})).status == 201:
            tasks += reply.json
        assert 500 <= len(tasks) <= 600 and reply.status == 429
        seconds, = re.findall(r"^Request was throttled. Expected available in (\d+) seconds.$", reply.json["detail"])
        assert reply.headers["retry-after"] == seconds
        last = client.ask("queue/?pagesize=1").json["results"][0]
        assert last["id"] == tasks[-1]["id"] and last["queuepos"] > 300 and last["starttimestamp"] is None
        places = client.ask("queuepositions.json").json["queuepositions"]
        assert list(places.values()) == sorted(places.values()) and places[str(last["id"])] == last["queuepos"]
        assert client.ask("taskrunnerstatus.json").json["user_queued_task_count"] == len(places) > 400
        assert client.ask(tasks[-2]["url"], "DELETE").status == 204
        begin = time.monotonic()
        held = client.ask(tasks[-3]["url"])
        assert held.json["finished"] is False and 1.0 < time.monotonic() - begin < 3.0
        assert client.ask(held.json["url"] + "result.txt").status == 404
        desk.process.kill()
        desk.process.wait(10)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        again = House(house_data, "--workers", "1", jobs=desk.jobs)
        try:
            client.house = again
            place = last["queuepos"]
            while (task := client.ask(last["url"]).json)["queuepos"] is not None:
                assert task["queuepos"] <= place, "it has moved back"
                place = task["queuepos"]
            client.ended(task)
            assert len(client.table(client.ask(task["url"]).json)["p"]) == 2
            assert client.ask("queue/?pagesize=1&started=false").json["taskcount"] == 0
            assert client.ask("queue/?pagesize=1").json["taskcount"] == len(tasks) - 1
            _guess(again, task["id"])
        finally:
            again.stop()
        assert "Traceback" not in again.log.read_text() + desk.log.read_text()
    finally:
        desk.stop(signal.SIGKILL)


def _below(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _guess(house: House, task: int) -> None:
    """Try numbers until they are refused, all of them, the right one too."""
    connection = http.client.HTTPConnection("127.0.0.1", house.port, timeout=20, source_address=("127.0.0.2", 0))
    statuses = []
    try:
        for number in (*range(task + 1, task + 602), task):
            connection.request("GET", f"/queue/{number}/")
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    finally:
        connection.close()
    assert statuses[:600].count(404) == 600 and statuses[-1] == 429
    assert house.ask(f"/queue/{task}/").status == 200, "another address is not refused"


@given(secret=st.binary(min_size=32, max_size=32), jobs=st.lists(st.integers(1, 2**29 - 1), min_size=2, max_size=5, unique=True))
def test_numbers_ascend_fit_a_double_and_lead_back(secret: bytes, jobs: list[int]) -> None:
    numbers = [queue_tasks.number(secret, job) for job in sorted(jobs)]
    assert numbers == sorted(numbers) and all(float(n) == n and 0 < n < 2**53 for n in numbers)
    assert [queue_tasks.job_of(secret, str(n)) for n in numbers] == sorted(jobs)
    assert queue_tasks.job_of(secret, str(numbers[0] ^ 1)) is None
    other = bytes(b ^ 255 for b in secret)
    assert [queue_tasks.number(other, job) for job in sorted(jobs)] != numbers


@pytest.mark.parametrize(("phase", "quarantined", "says"), [
    ("ABORTED", 0, "Aborted by user"), ("ERROR", 0, "no such luck"), ("COMPLETED", 1, "fails every time"), ("COMPLETED", 0, None),
    ("QUEUED", 0, None)])
def test_a_task_without_a_result_says_why(phase: str, quarantined: int, says: str | None) -> None:
    row: Any = {"phase": phase, "quarantined": quarantined, "error_text": "no such luck" + "!" * 600}
    why = queue_tasks.failure(row)
    assert why is says is None or (why is not None and str(says) in why and len(why) <= 512)


@given(st.text(max_size=60))
def test_any_line_is_a_place_or_a_refusal(text: str) -> None:
    try:
        lines = queue_forms.lines_of(queue_forms.asked({"radeclist": text, "name": "M 81"}))
    except BadParameter as exc:
        assert exc.where == "radeclist" and exc.message.startswith("Error on line ")
    else:
        assert all(line.name or (line.ra is not None and line.dec is not None) for line in lines)


def test_unknown_numbers_are_written_as_nan_and_exact_ones_in_full() -> None:
    columns = {name: np.array([[0.1, np.nan]]) for name in COLUMNS} | {"inside": np.array([[1.0, 0.0]])}
    text = queue_tasks.table(columns, has_velocity=True).decode()
    assert text.splitlines()[0] == "###" + " ".join(COLUMNS)
    assert text.splitlines()[2] == "nan nan nan nan nan nan nan nan 0 nan"
    assert np.loadtxt(io.StringIO(text), skiprows=1)[0, 0] == 0.1

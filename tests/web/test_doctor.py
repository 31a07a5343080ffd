"""`cosmicflows doctor`: what is wrong with a machine or a server, in sentences, with exit codes 0, 1 and 2."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from made_fields import linear_theory
from running import House

from cfcore import doctor, doctor_server
from cfcore.cli import main
from cfcore.doctor import BROKEN, NOTE, OK, WARNING, Finding
from cfcore.fieldfile import publish
from cfcore.manifest import Manifest
from cfcore.registry import Registry
from cfcore.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "an operator's token, 32 bytes and more"
Told = list[dict[str, str]]


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Return a house with one worker, on data of its own, whose worker the tests may stop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CF_ADMIN_TOKEN_SHA256", sha256(TOKEN.encode()).hexdigest())
        running = House(tmp_path_factory.mktemp("sick"), "--workers", "1")
    yield running
    running.stop()


def examined(*arguments: str, **environ: str) -> tuple[int, Told]:
    """Run the command in a process of its own; return its exit code and findings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("CF_")} | {"PYTHONPATH": str(ROOT), "CF_PORT": "0"} | environ
    done = subprocess.run([sys.executable, "-m", "cfcore.cli", "doctor", "--json", *arguments], capture_output=True, text=True,
                          timeout=100, env=env, cwd="/")
    assert not done.stderr, done.stderr
    answer = json.loads(done.stdout)
    assert answer["exit"] == done.returncode
    for finding in answer["findings"]:
        assert finding["level"] in doctor.LEVELS and finding["text"] and "Traceback" not in finding["text"]
        assert finding["way_out"] or finding["level"] != WARNING, finding
    return done.returncode, answer["findings"]


def about(findings: Told, what: str) -> list[tuple[str, str]]:
    return [(f["level"], f["text"]) for f in findings if f["about"] == what]


def url(house: House) -> str:
    return f"http://127.0.0.1:{house.port}"


def bus(house: House) -> str:
    return re.search(r"--connect (\S+)", house.log.read_text())[1]  # type: ignore[index]


def test_a_sound_house_is_well_and_shows_its_workers_with_the_token(sick: House) -> None:
    code, found = examined("--server", url(sick), "--data", str(sick.data), CF_TOKEN=TOKEN, CF_WORKERS="1")
    assert code == 0, [f for f in found if f["level"] in (WARNING, BROKEN)]
    assert re.search(r"one distance took [0-9.]+ ms", about(found, "question")[0][1])
    (level, text), = about(found, "worker")
    assert level == OK and f"process {sick.children('flow_worker')[0]}" in text and "ready" in text
    assert about(found, "version")[0][0] == OK and about(found, "ready")[0][1].startswith("1 worker and the catalogue")
    assert all(level == OK for level, _ in about(found, "fields")) and len(about(found, "fields")) == 2


def test_the_text_says_all_is_well_or_counts_what_is_not(sick: House, capsys: pytest.CaptureFixture[str],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CF_WORKERS", "1")
    assert main(["doctor", "--data", str(sick.data), "--server", url(sick)]) == 0
    assert capsys.readouterr().out.endswith("all is well\n")
    assert main(["doctor", "--data", str(sick.data), "--server", url(sick), "--token", "wrong"]) == 1
    out = capsys.readouterr().out
    assert "\nwarning  token      the server does not show its workers" in out and "\n                    > give the" in out
    assert out.endswith("0 broken, 1 warning: see the lines that begin so\n") and "wrong\n" not in out


def test_without_a_name_the_server_of_this_machine_is_found(sick: House) -> None:
    code, found = examined("--data", str(sick.data), CF_PORT=str(sick.port), CF_WORKERS="1")
    assert code == 0 and about(found, "server") == [(OK, f"{url(sick)} answers")]
    code, found = examined("--data", str(sick.data), CF_WORKERS="1")
    assert code == 0 and about(found, "server")[0][0] == NOTE


def test_a_worker_that_has_stopped_is_noticed(sick: House) -> None:
    worker, = sick.children("flow_worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        time.sleep(2.8)
        code, found = examined("--server", url(sick), "--data", str(sick.data), CF_TOKEN=TOKEN, CF_WORKERS="1")
    finally:
        os.kill(worker, signal.SIGCONT)
    # silent at first, lost once four seconds have passed: which of the two is seen depends on the speed of this machine
    texts = " ".join(f["text"] for f in found if f["level"] in (WARNING, BROKEN))
    assert code == 2 and re.search("silent|cannot be reached|no worker", texts)
    deadline = time.monotonic() + 20
    while sick.ask("/readyz").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_worker_with_other_fields_is_noticed(sick: House, tmp_path: Path) -> None:
    v, delta = linear_theory()
    import numpy as np
    cells = np.ascontiguousarray(np.moveaxis(np.concatenate([v, 1 + delta[None]]), 0, -1), dtype=np.float32)
    publish(Registry(tmp_path).root, Manifest(id="toy", version="1", shape=(16, 16, 16), origin_hmpc=(-160.0,) * 3, spacing_hmpc=(
        20.0,) * 3, sky_frame="supergalactic", citation="made by a test"), cells)
    with open(tmp_path / "log", "wb") as log:
        other = subprocess.Popen([sys.executable, "-m", "cfcore.cli", "worker", "--connect", bus(sick), "--data", str(tmp_path)],
                                 stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while sick.ask("/v1/stats").json["workers_by_state"]["ready"] < 2:
            assert time.monotonic() < deadline and other.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        code, found = examined("--server", url(sick), "--data", str(sick.data), CF_WORKERS="1")
    finally:
        other.terminate()
        other.wait(40)
    assert code == 1 and (WARNING, "only 1 of 2 workers have the field toy") in about(found, "fields")


def test_a_house_without_workers_and_one_that_is_not_there(tmp_path: Path) -> None:
    Registry(tmp_path).ensure_ongc_linear()
    house = House(tmp_path, "--workers", "0")
    try:
        code, found = examined("--server", url(house), "--data", str(tmp_path))
    finally:
        house.stop()
    assert code == 2 and about(found, "workers") == [(BROKEN, "no worker is connected")]
    assert about(found, "ready")[0][0] == BROKEN and "cosmicflows worker --connect" in about(found, "ready")[0][1]
    assert about(found, "question")[0][0] == BROKEN
    code, found = examined("--server", url(house), "--data", str(tmp_path))
    (level, text), = about(found, "server")
    assert code == 2 and level == BROKEN and "does not answer" in text and not about(found, "ready")


@pytest.mark.parametrize(("body", "word"), [
    (b"<html>hello</html>", "not as a Cosmic Flows server"), (b'{"fine": 1}', "not as a Cosmic Flows server"), (b"", "not as a")])
def test_another_service_at_the_address_is_told_apart(body: bytes, word: str, tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass
    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        code, found = examined("--server", f"http://127.0.0.1:{server.server_port}", "--data", str(tmp_path))
        server.shutdown()
    (level, text), = about(found, "server")
    assert code == 2 and level == BROKEN and word in text


def test_an_address_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", "localhost:5000"]) == 2
    assert "write http://HOST:PORT" in capsys.readouterr().err


def test_a_server_that_never_answers_costs_five_seconds_and_no_more(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        began = time.monotonic()
        code, found = examined("--server", f"http://127.0.0.1:{listener.getsockname()[1]}", "--data", str(tmp_path))
    assert code == 2 and "does not answer" in about(found, "server")[0][1] and time.monotonic() - began < 30


STATS: dict[str, Any] = {
    "version": "0.1.0", "uptime_s": 7200.0, "workers": 3, "workers_by_state": {"ready": 3, "draining": 0, "unreachable": 0},
    "slots": 6, "busy": 1, "silent_s": 0.4, "worker_versions": {"0.1.0": 3}, "worker_abis": {"1": 3},
    "fields": {"cf4": {"01234567": 3}}, "backlog_jobs": 0, "backlog_rows": 0, "backlog_seconds": 0.0, "backlog_is_measured": True,
    "phases": {"COMPLETED": 3, "QUEUED": 0}, "jobs_ok": True, "jobs_why": "", "quarantined": 0, "workers_lost": 0,
    "result_mismatches": 0}


@pytest.mark.parametrize(("change", "level", "word"), [
    ({}, OK, "the job store works: 3 COMPLETED"),
    ({"version": "0.2.0", "worker_versions": {"0.2.0": 3}}, WARNING, "the server is version 0.2.0, this client"),
    ({"worker_versions": {"0.1.0": 2, "0.0.9": 1}}, WARNING, "the gateway is version 0.1.0, but 1 worker is 0.0.9"),
    ({"worker_versions": {"0+source": 3}}, OK, "server, workers and this client are version 0.1.0"),
    ({"worker_abis": {"1": 2, "2": 1}}, WARNING, "different compiled cores (1: 2, 2: 1)"),
    ({"workers_by_state": {"ready": 2, "draining": 1, "unreachable": 0}}, WARNING, "1 worker will leave when done"),
    ({"workers_by_state": {"ready": 1, "draining": 0, "unreachable": 2}}, WARNING, "2 workers cannot be reached now"),
    ({"silent_s": 3.2}, WARNING, "silent for 3.2 s"),
    ({"fields": {"cf4": {"01234567": 2, "89abcdef": 1}}}, WARNING, "different versions of cf4: 01234567 on 2, 89abcdef on 1"),
    ({"fields": {"cf4": {"01234567": 2}}}, WARNING, "only 2 of 3 workers have the field cf4"),
    ({"backlog_jobs": 9, "backlog_rows": 90_000, "backlog_seconds": 300.0}, WARNING, "9 jobs with 90000 rows wait, about 300 s"),
    ({"jobs_ok": False, "jobs_why": "the disk is full"}, BROKEN, "the job store cannot write: the disk is full"),
    ({"quarantined": 1}, WARNING, "1 job crashed or held up"),
    ({"result_mismatches": 1}, BROKEN, "1 times two workers gave different answers"),
    ({"workers_lost": 4}, NOTE, "workers lost since the gateway started 2.0 h ago: 4")])
def test_each_number_out_of_order_has_its_sentence(change: dict[str, Any], level: str, word: str) -> None:
    class Link:
        def look(self, path: str, **_: object) -> tuple[int, dict[str, str], dict[str, Any]]:
            return 200, {}, STATS | change
    found = list(doctor_server._numbers(Link()))  # type: ignore[arg-type]
    assert any(f.level == level and word in f.text for f in found), found
    others = {f.level for f in found if word not in f.text}
    assert others <= {OK}, found


def test_the_words_of_stats_are_those_the_doctor_reads(house: House) -> None:
    stats = house.ask("/v1/stats").json
    assert stats.keys() >= doctor_server._WORDS == STATS.keys()


def local(data: Path, **settings: Any) -> list[Finding]:
    deep = settings.pop("deep", False)
    return list(doctor.examine(Settings(data=data, **settings), deep=deep))


def one(findings: list[Finding], what: str) -> Finding:
    return next(f for f in findings if f.about == what)


def test_a_field_whose_file_was_cut_or_changed_is_found(tmp_path: Path) -> None:
    cells = Registry(tmp_path).ensure_ongc_linear() / "cells.npy"
    assert one(local(tmp_path), "fields").level == OK
    raw = bytearray(cells.read_bytes())
    raw[5000] ^= 1
    cells.chmod(0o644)
    cells.write_bytes(raw)
    assert one(local(tmp_path), "fields").level == OK  # the sizes are right: only every byte tells
    found = one(local(tmp_path, deep=True), "fields")
    assert found.level == BROKEN and "has changed on disk" in found.text
    cells.write_bytes(raw[:-4096])
    found = one(local(tmp_path), "fields")
    assert found.level == BROKEN and found.way_out


def test_a_default_field_that_is_not_here_is_broken(tmp_path: Path) -> None:
    found = one(local(tmp_path, field="cf4gp"), "default")
    assert found.level == BROKEN and "cosmicflows fields fetch cf4gp" in found.text
    assert one(local(tmp_path), "default").level == OK and not (tmp_path / "fields").exists()


def test_a_data_folder_that_cannot_be_written_is_broken(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found = one(local(tmp_path / "file" / "data"), "data")
    assert found.level == BROKEN and "--data" in found.way_out
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    here = one(local(tmp_path / "new"), "data")
    assert here.level == OK and "will be made" in here.text and list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_keys_that_others_may_read_are_broken(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    (keys / "gateway.json").write_text("{}")
    (keys / "gateway.json").chmod(0o600)
    assert one(local(tmp_path), "keys").level == OK
    (keys / "gateway.json").chmod(0o640)
    found = one(local(tmp_path), "keys")
    assert found.level == BROKEN and "gateway.json" in found.text and "chmod -R go=" in found.way_out


def test_too_many_workers_and_too_few_files_are_warned_of(tmp_path: Path) -> None:
    found = one(local(tmp_path, workers=1000), "cores")
    assert found.level == WARNING and "--workers" in found.way_out
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        found = one(local(tmp_path), "files")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.level == WARNING and "256" in found.text and "ulimit -n" in found.way_out


@pytest.mark.parametrize(("now", "level"), [(0.0, BROKEN), (1.8e9, OK)])
def test_a_clock_that_was_never_set_is_broken(now: float, level: str) -> None:
    assert doctor._clock(now).level == level


def test_a_page_that_was_not_built_is_noted_with_its_way_out(tmp_path: Path) -> None:
    for name in ("gateway", "with/gateway/static"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("gateway/__init__.py", "with/gateway/__init__.py", "with/gateway/static/index.html"):
        (tmp_path / name).touch()
    for folder, level in ((tmp_path, NOTE), (tmp_path / "with", OK)):
        _, found = examined("--data", str(tmp_path / "data"), PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")
        (finding,) = (f for f in found if f["about"] == "page")
        assert finding["level"] == level and ("make page" in finding["way_out"]) is (level == NOTE)


@pytest.mark.parametrize(("page", "level", "word"), [("/", OK, "http://there/"), (None, NOTE, "not built")])
def test_a_server_says_whether_it_has_its_page(page: str | None, level: str, word: str) -> None:
    class Link:
        url = "http://there"

        def look(self, path: str, **_: object) -> tuple[int, dict[str, str], dict[str, Any]]:
            return 200, {}, {"service": "Cosmic Flows", "page": page}
    (finding,) = doctor_server._page(Link())  # type: ignore[arg-type]
    assert finding.level == level and word in finding.text


def test_settings_that_stop_every_service_are_told_first(tmp_path: Path) -> None:
    code, found = examined("--data", str(tmp_path), CF_LOG_LEVEL="loud")
    assert code == 2 and found[0]["level"] == BROKEN and "log_level = 'loud'" in found[0]["text"]

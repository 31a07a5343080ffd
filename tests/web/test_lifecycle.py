"""Start, stop, and lose a worker: what an operator sees."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_fields import linear_theory
from running import House, Reply, child_pids, is_running

BODY = {"lon": [10.0, 200.0], "lat": [1.0, -40.0], "cz": [3000.0, 4000.0]}


def put_57runs(data: Path, *, is_sound: bool = True, with_density: bool = True) -> None:
    v, delta = linear_theory(n=32, box=600.0, growth=0.5)
    np.save(data / "vfield_57Runs.npy", (v if is_sound else v[::-1]).astype(np.float32))
    if with_density:
        np.save(data / "dField_57Runs.npy", delta.astype(np.float32))


def run_serve(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cfcore.cli", "serve", "--port", "0", "--workers", "2", *arguments],
                          capture_output=True, text=True, timeout=60, cwd=cwd)


def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def private_folder(house: House) -> Path:
    """Return the folder of a house's sockets, as its banner tells it."""
    told = re.search(r"--connect ipc://(\S*cosmicflows-\w+)", house.log.read_text())
    assert told is not None
    return Path(told[1])


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_warm_start_is_ready_in_two_seconds_and_an_end_leaves_nothing(house_data: Path, signum: int) -> None:
    house = House(house_data, "--workers", "2")
    folder = private_folder(house)
    assert folder.is_dir()
    # the promise is 2 s on a free machine; the tests of a loaded one must not fail for its load
    assert house.seconds_to_ready < 6
    assert house.ask("/readyz").json["ready"] is True and house.ask("/livez").json == {"ok": True}
    children = child_pids(house.process.pid)
    assert len(children) == 3
    assert house.stop(signum) < 5 and house.process.returncode == 0
    assert not any(is_running(pid) for pid in children)
    assert not folder.exists()
    with socket.socket() as s:
        s.bind(("127.0.0.1", house.port))
    assert "Traceback" not in house.log.read_text()


def test_children_die_with_their_parent_even_when_it_is_killed(house_data: Path) -> None:
    house = House(house_data, "--workers", "1")
    children = child_pids(house.process.pid)
    assert len(children) == 2
    house.stop(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in children)


def test_two_hundred_requests_survive_the_kill_of_the_only_worker(house_data: Path) -> None:
    house = House(house_data, "--workers", "1")
    try:
        expected = json.loads(house.post("/get_flow/distance", BODY).body)["columns"]
        replies: list[tuple[float, Reply]] = []

        def client() -> None:
            for _ in range(10):
                began = time.monotonic()
                replies.append((began, house.post("/get_flow/distance", BODY)))

        threads = [threading.Thread(target=client) for _ in range(20)]
        for t in threads:
            t.start()
        while len(replies) < 20:
            time.sleep(0.001)
        killed = time.monotonic()
        worker, = house.children("flow_worker")
        os.kill(worker, signal.SIGKILL)
        for t in threads:
            t.join()
        assert time.monotonic() - killed < 5
        assert len(replies) == 200 and {r.status for _, r in replies} == {200}
        assert all(r.json["columns"] == expected for _, r in replies)
        assert house.children("flow_worker") not in ([], [worker])
    finally:
        house.stop()


def test_a_killed_catalogue_comes_back(house_data: Path) -> None:
    house = House(house_data, "--workers", "1")
    try:
        pid, = house.children("catalog_svc")
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while (reply := house.ask("/get_coords?name=M31")).status != 200 and time.monotonic() < deadline:
            assert reply.status == 503 and reply.json["code"] == "catalog_unavailable"
            time.sleep(0.02)
        assert reply.status == 200
    finally:
        house.stop()


def test_without_a_worker_the_answer_is_503_at_once_and_says_what_to_do(house_data: Path) -> None:
    house = House(house_data, "--workers", "0")
    try:
        began = time.monotonic()
        reply = house.post("/get_flow/distance", BODY)
        assert reply.status == 503 and reply.json["code"] == "no_worker" and time.monotonic() - began < 1
        assert "cosmicflows worker --connect" in reply.json["detail"] and int(reply.headers["retry-after"]) >= 1
        ready = house.ask("/readyz")
        assert ready.status == 503 and ready.json["code"] == "no_worker" and ready.json["catalog"] is True
        assert house.ask("/livez").status == 200 and house.ask("/hint_byname?name=M3").status == 200
    finally:
        house.stop()


def test_commands_in_hints_name_the_data_directory_but_clients_learn_no_path(tmp_path: Path) -> None:
    (tmp_path / "flow data").mkdir()
    for data, shown in (("flow data", "--data 'flow data'"), (str(tmp_path / "flow data"), f"--data '{tmp_path}/flow data'")):
        house = House(tmp_path, "--workers", "0", "--data", data)
        try:
            banner = house.log.read_text()
            assert f"cosmicflows fields list {shown}" in banner
            assert re.search(rf"cosmicflows worker --connect ipc:///\S+ {re.escape(shown)}", banner)
            said = house.post("/get_flow/distance", BODY).json["detail"]
            assert "cosmicflows worker --connect BUS --data DATA (as the first lines of the server's log" in said
            assert str(tmp_path) not in said and tempfile.gettempdir() not in said
        finally:
            house.stop()
    house = House(tmp_path, "--workers", "1", "--data", str(tmp_path / "flow data"))
    try:
        said = house.ask("/get_flow_galaxy?name=M31&field=cf4gp").json["detail"]
        assert "cosmicflows fields fetch cf4gp --data DATA (DATA: the --data" in said and str(tmp_path) not in said
    finally:
        house.stop()


def test_requests_under_way_are_answered_when_the_house_ends(house_data: Path) -> None:
    rng = np.random.default_rng(5)
    n = 10_000
    heavy = {"lon": rng.uniform(0, 360, n).tolist(), "lat": rng.uniform(-90, 90, n).tolist(),
             "cz": rng.uniform(500, 9000, n).tolist(), "dr": 0.01, "prior": "density", "alpha": 0.7}
    house = House(house_data, "--workers", "1")
    replies: list[Reply | Exception] = []

    def client() -> None:
        try:
            replies.append(house.post("/get_flow/distance", heavy))
        except OSError as exc:
            replies.append(exc)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(1.0)
    assert house.stop(signal.SIGTERM) < 6 and house.process.returncode == 0
    for t in threads:
        t.join()
    assert len(replies) == 8 and not [r for r in replies if not isinstance(r, Reply)], replies
    late = [r for r in replies if r.status != 200]
    assert late and {(r.status, r.media, r.json["code"]) for r in late} == {(503, "application/problem+json", "draining")}
    assert all(int(r.headers["retry-after"]) >= 1 for r in late)
    assert "Traceback" not in house.log.read_text()


def test_folders_that_killed_houses_left_are_removed_at_the_next_start(house_data: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="cf") as name:
        monkeypatch.setenv("TMPDIR", name)
        House(house_data, "--workers", "0").stop(signal.SIGKILL)
        killed, = Path(name).iterdir()
        precious = Path(name, "cosmicflows-thesis")
        precious.mkdir()
        for word in ("lock", "thesis.tex"):
            (precious / word).touch()
        living = House(house_data, "--workers", "0")
        try:
            own, = set(Path(name).iterdir()) - {precious}
            assert own != killed
            House(house_data, "--workers", "0").stop()
            assert set(Path(name).iterdir()) == {own, precious} and (precious / "thesis.tex").exists()
            assert living.ask("/livez").status == 200
        finally:
            living.stop()


def test_a_gateway_alone_says_that_the_catalogue_is_away(tmp_path: Path) -> None:
    house = House(tmp_path, "--bus", f"ipc://{tmp_path}/bus", "--catalog", f"unix:{tmp_path}/none", command="gateway")
    try:
        reply = house.ask("/get_coords?name=M31")
        assert reply.status == 503 and reply.json["code"] == "catalog_unavailable"
        assert house.ask("/get_coords?ra=10&dec=20").status == 200
    finally:
        house.stop()


def test_a_field_added_while_the_house_runs_is_served_without_restart(tmp_path: Path, shared_data: Path) -> None:
    from cfcore.cli import main
    house = House(tmp_path, "--workers", "1")
    try:
        query = {"ra": 197.4488, "dec": -23.3839, "cz": 2916, "field": "cf4gp", "sigma_v": 250}
        away = house.ask("/get_flow_by_position", query)
        assert away.status == 404 and "cosmicflows fields fetch cf4gp" in away.json["detail"]
        assert main(["fields", "add", str(shared_data / "cf4"), "--data", str(tmp_path)]) == 0
        deadline = time.monotonic() + 10
        while (reply := house.ask("/get_flow_by_position", query)).status != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        a = reply.json
        assert a["distance"]["mean"] == pytest.approx(38.65, abs=0.02)
        assert a["distance"]["std"] == pytest.approx(3.52, abs=0.02)
        assert a["roots"][0]["r_hmpc"] == pytest.approx(28.54, abs=0.02) and a["field"]["id"] == "cf4gp"
    finally:
        house.stop()


def test_a_convention_stated_for_the_57runs_files_outlives_the_next_start(tmp_path: Path) -> None:
    from cfcore.cli import main
    from cfcore.registry import Registry
    v, delta = linear_theory(n=32, box=640.0, growth=0.5)
    np.save(tmp_path / "vfield_57Runs.npy", v.astype(np.float32))
    np.save(tmp_path / "dField_57Runs.npy", delta.astype(np.float32))
    assert main(["fields", "add", str(tmp_path), "--box", "640", "--data", str(tmp_path)]) == 0
    for _ in range(2):
        field = Registry(tmp_path).open()
        assert field.manifest.id == "cf3-57runs" and field.manifest.origin_hmpc == (-320.0, -320.0, -320.0)


def test_a_taken_port_is_said_in_one_line(house_data: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        done = subprocess.run([sys.executable, "-m", "cfcore.cli", "serve", "--port", str(s.getsockname()[1]), "--data",
                               str(house_data)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and "--port" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("realisations", [None, 5])
def test_the_files_of_the_original_server_are_served_by_default(tmp_path: Path, realisations: int | None) -> None:
    v, delta = linear_theory(n=32, box=600.0, growth=0.5)
    if realisations:
        v, delta = (np.stack([(1 + 0.01 * k) * x for k in range(realisations)]) for x in (v, delta))
    np.save(tmp_path / "vfield_57Runs.npy", v.astype(np.float32))
    np.save(tmp_path / "dField_57Runs.npy", delta.astype(np.float32))
    house = House(tmp_path, "--workers", "1")
    try:
        a = house.ask("/flow_query/get_flow_galaxy?name=NGC%204993").json
        assert a["field"]["id"] == "cf3-57runs" and "Graziani" in a["field"]["citation"] and a["status"] == "ok"
        body = {**BODY, "prior": "density"}
        assert house.post("/get_flow/luminosity", body).json["status"] == ["ok", "ok"]
        node = house.ask("/get_flow_by_position", {"sgl": 0, "sgb": 0, "distance": 2 * 600 / 32 / 0.75}).json
        wanted = v[:, 18, 16, 16] if realisations is None else v[:, :, 18, 16, 16].mean(axis=0)
        assert [node["v_pec"][k] for k in ("sgx", "sgy", "sgz")] == pytest.approx(list(wanted), rel=1e-5)
    finally:
        house.stop()
    again = House(tmp_path, "--workers", "1")
    assert again.ask("/readyz").json["default_field"] == "cf3-57runs"
    again.stop()


@pytest.mark.parametrize(("fault", "words"), [
    ("files", ["cf3-57runs", "SGX and SGZ are exchanged"]),
    ("field", ["'narnia' is not known", "ongc-linear", "--data flow_data"]),
    ("absent", ["cosmicflows fields fetch cf4gp --data flow_data"]),
    ("data", ["flow_data", "cannot be", "--data"])])
def test_what_can_never_run_ends_the_start_with_one_line(tmp_path: Path, fault: str, words: list[str]) -> None:
    data = tmp_path / "flow_data"
    if fault == "data":
        data.write_text("not a directory")
    else:
        data.mkdir()
    if fault == "files":
        put_57runs(data, is_sound=False)
    named = {"field": ["--field", "narnia"], "absent": ["--field", "cf4gp"]}.get(fault, [])
    done = run_serve("--data", "flow_data", *named, cwd=tmp_path)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    said = [line for line in done.stderr.splitlines() if words[0] in line]
    assert len(said) == 1 and said[0].startswith("cosmicflows: ") and all(word in said[0] for word in words)


def test_a_worker_that_refuses_later_is_not_started_again_and_everybody_learns_why(tmp_path: Path) -> None:
    house = House(tmp_path, "--workers", "2")
    try:
        put_57runs(tmp_path, is_sound=False)
        for pid in house.children("flow_worker"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: "SGX and SGZ" in house.ask("/readyz").json.get("detail", ""))
        for reply in (house.ask("/readyz"), house.post("/get_flow/distance", BODY)):
            assert reply.status == 503 and reply.json["code"] == "no_worker" and int(reply.headers["retry-after"]) >= 1
            assert "SGX and SGZ are exchanged" in reply.json["detail"] and str(tmp_path) not in reply.json["detail"]
        assert house.children("flow_worker") == []
        log = house.log.read_text()
        assert log.count("SGX and SGZ are exchanged") == 1 and "Traceback" not in log
    finally:
        assert house.stop() < 5


def test_a_serving_worker_outlives_files_that_would_be_refused(tmp_path: Path) -> None:
    from cfcore.cli import main
    from flow_worker.shelf import Shelf
    shelf = Shelf(tmp_path)
    put_57runs(tmp_path, is_sound=False)
    good = tmp_path / "good"
    good.mkdir()
    put_57runs(good)
    assert main(["fields", "add", str(good), "--id", "mine", "--data", str(tmp_path)]) == 0
    assert shelf.changed()
    # what is new is checked beside the work
    until(lambda: len(shelf.fields()) == 3)
    assert {f["id"]: f["default"] for f in shelf.fields()} == {"ongc-linear": True, "mould2000": False, "mine": False}


def test_velocities_of_the_original_server_are_served_without_their_density(tmp_path: Path) -> None:
    put_57runs(tmp_path, with_density=False)
    house = House(tmp_path, "--workers", "2")
    try:
        query = {"lon": 10, "lat": 20, "cz": 3000}
        a = house.ask("/get_flow_by_position", query).json
        assert a["field"]["id"] == "cf3-57runs" and a["status"] == "ok" and a["delta"] is None
        assert house.ask("/get_flow_by_position", {**query, "prior": "density"}).json["code"] == "no_density"
        log = house.log.read_text()
        for note in ("no density file", "assumed: box 600 h^-1 Mpc", "skipped: the field has no density to check"):
            assert log.count(note) == 1, note
    finally:
        house.stop()


def test_a_density_without_its_velocities_is_not_ignored_in_silence(tmp_path: Path) -> None:
    put_57runs(tmp_path)
    (tmp_path / "vfield_57Runs.npy").unlink()
    house = House(tmp_path, "--workers", "1")
    try:
        assert house.ask("/readyz").json["default_field"] == "ongc-linear"
        assert house.log.read_text().count("vfield_57Runs.npy is missing") == 1
    finally:
        house.stop()


def test_all_processes_log_in_one_format(house_data: Path) -> None:
    house = House(house_data, "--workers", "1")
    house.stop()
    before, _, _ = house.log.read_text().partition("Cosmic Flows on")
    lines = before.splitlines()
    assert any("catalog_svc" in line for line in lines) and any("cosmicflows.worker" in line for line in lines)
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: ", line), line

"""Keys that are wrong or revoked, a disk that is full, descriptors that run out: refused, cut or told to come again."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import zmq
from chaos.load import Driving, tcp, toy_crew
from chaos.processes import Ward, descriptors, wait_for
from chaos.town import Questions, Town


@pytest.mark.timeout(60)
def test_only_allowed_keys_join_and_a_revoked_one_is_cut_at_once(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng)
    other = ward.folder / "other"
    other.mkdir()
    for folder, name in ((ward.folder, "one"), (ward.folder, "two"), (other, "stranger")):
        made = ward.command("keys", "new", name, "--data", str(folder), log="keys.log")
        assert made.wait(20) == 0, ward.log("keys.log")
    crews = {name: toy_crew(ward, bus, *(("--key", str(ward.folder / f"{name}.key")) if name else ()))
             for name in ("one", "two", "stranger", "")}
    for name in ("one", "two"):
        crews[name].hire()
    driving = Driving(ward, bus, {"name": "asked", "jobs": 10**6, "at_once": 8, "sleep_ms": 5, "until": "enough"}, workers=2,
                      keys=str(ward.folder / "keys"), options={"bus_encrypt": "always"})
    driving.until_ready()
    # a key of another gateway, no key at all, a client without CURVE, and one with a key nobody allowed
    for name in ("stranger", ""):
        crews[name].hire()
    with zmq.Context() as context:
        plain, forged = context.socket(zmq.PUSH), context.socket(zmq.DEALER)
        forged.curve_publickey, forged.curve_secretkey = zmq.curve_keypair()
        forged.curve_serverkey = json_key(ward.folder / "one.key")
        forged.set(zmq.ROUTING_ID, b"\x01" + rng.randbytes(15))
        for end, port in ((plain, bus.ports["results_port"]), (forged, int(bus.address.rpartition(":")[2]))):
            end.set(zmq.LINGER, 0)
            end.set(zmq.IMMEDIATE, 1)
            end.connect(f"tcp://127.0.0.1:{port}")
        open_before = descriptors(driving.process.pid)
        silent = [socket.create_connection(("127.0.0.1", int(bus.address.rpartition(":")[2]))) for _ in range(50)]
        time.sleep(3.0)
        assert not plain.poll(0, zmq.POLLOUT) and not forged.poll(0, zmq.POLLOUT)
        plain.close()
        forged.close()
    wait_for(lambda: descriptors(driving.process.pid) <= open_before, 8, "the gateway cuts who does not finish the handshake")
    for one in silent:
        one.close()
    joined = driving.ready_pids()
    assert joined == {crews["one"].members[0].pid, crews["two"].members[0].pid}
    revoked = ward.command("keys", "revoke", "two", "--data", str(ward.folder), log="keys.log")
    assert revoked.wait(20) == 0
    moment = time.monotonic()
    wait_for(lambda: driving.ready_pids() == {crews["one"].members[0].pid}, 5, "the revoked worker is cut")
    cut_s = time.monotonic() - moment
    time.sleep(3.0)
    driving.enough()
    driving.until_done(20)
    outcome = driving.finish()
    outcome.check("asked")
    assert cut_s < 1.0 and str(crews["two"].members[0].pid) not in outcome.events[-1]["workers"]
    say(f"4 kinds of strangers kept out, 50 silent connections cut, a revoked key cut after {cut_s:.2f} s and for good; "
        f"{outcome.loads['asked']['begun']} jobs, 0 lost")


def json_key(path: Path) -> bytes:
    """Return the gateway's public key in a worker's key file."""
    return str(json.loads(path.read_text())["gateway"]).encode()


@pytest.fixture
def small_disk(ward: Ward) -> Iterator[Path]:
    """Give a disk of 8 MB for the jobs."""
    place = ward.folder / "jobs"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a disk of its own takes root and mount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield place
    # the gateway still has its files there
    subprocess.run(["umount", "-l", str(place)], check=True)


def remount(place: Path, how: str) -> None:
    """Make the disk read-only or writable."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(place)], check=True)


@pytest.mark.timeout(90)
def test_full_disk_refuses_new_jobs_loses_none_and_recovers_by_itself(ward: Ward, rng: Random, chaos_data: Path, small_disk: Path,
                                                                      say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data)
    town.crew.hire(1)
    questions = Questions(chaos_data, 400, 200, rng)
    town.until_ready()
    accepted: dict[int, int] = {}
    refusals = []

    def submit(k: int) -> int:
        reply = town.ask("/v1/jobs", questions.body(k), Idempotency_Key=f"job {k}")
        if reply.status == 202:
            accepted[k] = reply.json["id"]
        else:
            assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1, reply.body
            refusals.append(reply.json["code"])
        return reply.status

    for k in range(40):
        assert submit(k) == 202
    # accepted, but not computed while the disk fills up under them
    ballast = os.open(small_disk / "ballast", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(ballast, bytes(1 << 12))
    os.close(ballast)
    k = 40
    while len(refusals) < 10 and k < 300:
        submit(k)
        k += 1
    assert len(refusals) >= 10, f"{k} jobs on a full disk and no refusal"
    # what is asked now is answered all the same
    assert town.status("/livez") == 200
    flow = town.ask("/get_flow_by_position?lon=187.7&lat=12.4&distance=20&frame=icrs")
    assert flow.status == 200
    time.sleep(1.0)
    (small_disk / "ballast").unlink()
    recovered = wait_for(lambda: submit(k) == 202, 30, "the disk has room again, and jobs are accepted", 0.1)
    for number, job in accepted.items():
        assert town.until_ended(job, 40)["phase"] == "COMPLETED"
        assert questions.is_right(number, town.ask(f"/v1/jobs/{job}/result").json)
    # a disk that cannot be written at all: no start, and a reason; then as if nothing had been
    town.stop()
    remount(small_disk, "ro")
    town.open()
    assert town.gateway.wait(20) == 2 and "Read-only file system" in town.ward.log("gateway.log")
    remount(small_disk, "rw")
    town.open()
    town.until_ready()
    assert questions.is_right(0, town.ask(f"/v1/jobs/{accepted[0]}/result").json)
    say(f"disk full: {len(refusals)} refusals ({', '.join(sorted(set(refusals)))}) with Retry-After, accepting again "
        f"{recovered:.2f} s after there was room, all {len(accepted)} accepted jobs right; read-only: refused at the start")


@pytest.mark.timeout(60)
def test_sixty_four_descriptors_are_enough_to_live_through_a_crowd(ward: Ward, rng: Random, chaos_data: Path,
                                                                   say: Callable[[str], None]) -> None:
    town = Town(ward, rng, chaos_data, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    town.crew.hire(1)
    questions = Questions(chaos_data, 20, 3, rng)
    town.until_ready()
    before = descriptors(town.gateway.pid)
    crowd = []
    for _ in range(200):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", town.port))
        crowd.append(one)
    time.sleep(0.5)
    most = descriptors(town.gateway.pid)
    # new workers knock, too, while nothing is left for them
    town.crew.hire(2)
    answers: list[int] = []

    def ask() -> None:
        try:
            answers.append(town.ask("/v1/jobs", questions.body(len(answers) % 20), timeout=3).status)
        except OSError:
            answers.append(0)
    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    time.sleep(3.0)
    assert town.gateway.poll() is None, town.ward.log("gateway.log")[-2000:]
    for one in crowd:
        one.close()
    for thread in threads:
        thread.join()
    recovered = wait_for(lambda: town.status() == 200, 20, "the gateway answers again")
    job = town.ask("/v1/jobs", questions.body(0))
    assert job.status == 202 and town.until_ended(job.json["id"])["phase"] == "COMPLETED"
    assert set(answers) <= {0, 202, 503} and descriptors(town.gateway.pid) <= 64
    say(f"{before} descriptors of 64 at rest, {most} with 200 connections at the door; 20 submissions meanwhile "
        f"{sorted(answers)}; serving again {recovered:.2f} s after the crowd had left")

"""Keys of the bus: wrong, missing, revoked and stolen ones, with real workers and real sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from cfcore import keyfile, wire
from cfcore.errors import TransientError, UsageError
from cfcore.keyfile import WorkerKey
from gateway.dispatch import Dispatcher
from gateway.keyring import Keyring

from .conftest import ROOT, House, _free_ports, ready, until

TOY = ("toy", "1")


def rows(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, float)}


class Guarded(House):
    """A bus on loopback TCP that demands keys."""

    @property
    def ring(self) -> Keyring:
        return Keyring(self.folder / "keys")

    def key(self, name: str) -> Path:
        """Make and allow a key; return its file."""
        path = self.folder / f"{name}.key"
        self.ring.new(name, path)
        return path


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    first = _free_ports(22)
    ports = {"results_port": first + 1, "lane_ports": (first + 2, first + 21), "keys": tmp_path / "keys",
             "bus_encrypt": "always"}
    built = Guarded(f"tcp://127.0.0.1:{first}", ports, tmp_path)
    built.ring.new("first", None)
    yield built
    for process in built.processes:
        process.kill()
        process.wait()


class Peer:
    """A client of the bus that says what it likes, and watches its connections."""

    def __init__(self, house: House, key: WorkerKey | None, worker_id: bytes | None = None) -> None:
        self.house, self.key = house, key
        self.id = worker_id or b"\x01" + os.urandom(15)
        self.context = zmq.Context()
        self.control = self._socket(zmq.DEALER)
        self.monitor = self.control.get_monitor_socket()
        self.control.connect(house.bus)
        self.results = self._socket(zmq.PUSH)
        self.results.connect(f"tcp://127.0.0.1:{house.ports['results_port']}")
        self.events: list[int] = []

    def _socket(self, kind: int) -> zmq.Socket:
        made = self.context.socket(kind)
        made.set(zmq.LINGER, 0)
        made.set(zmq.IMMEDIATE, 1)
        if kind == zmq.DEALER:
            made.set(zmq.ROUTING_ID, self.id)
        if self.key:
            made.set(zmq.CURVE_SERVERKEY, self.key.gateway)
            made.set(zmq.CURVE_PUBLICKEY, self.key.public)
            made.set(zmq.CURVE_SECRETKEY, self.key.secret)
        return made

    async def say(self, message: wire.Message) -> None:
        """Send on control once connected: the gateway that must let us in runs in this very loop."""
        await until(lambda: self.control.poll(0, zmq.POLLOUT))
        self.control.send_multipart(wire.pack(message), zmq.NOBLOCK)

    async def answer(self, result: wire.Result) -> None:
        await until(lambda: self.results.poll(0, zmq.POLLOUT))
        self.results.send_multipart(wire.pack(result), zmq.NOBLOCK)

    async def hello(self) -> None:
        await self.say(wire.Hello("here", 1, "0", [{"id": "toy", "sha": "1", "version": "1", "default": True}], 1))

    def lane(self, port: int) -> zmq.Socket:
        made = self._socket(zmq.PULL)
        made.connect(f"tcp://127.0.0.1:{port}")
        return made

    def seen(self) -> list[int]:
        """Return what has happened to the control connection so far."""
        while self.monitor.poll(0):
            event, _ = self.monitor.recv_multipart()
            self.events.append(int.from_bytes(event[:2], sys.byteorder))
        return self.events

    async def heard(self, kind: type, timeout_s: float = 5.0) -> Any:
        """Wait for a message of one kind."""
        begin = time.monotonic()
        while time.monotonic() - begin < timeout_s:
            try:
                message = wire.unpack(self.control.recv_multipart(zmq.NOBLOCK), wire.TO_WORKER)
                if isinstance(message, kind):
                    return message
            except zmq.Again:
                await asyncio.sleep(0.005)
        pytest.fail(f"no {kind.__name__} came")

    def close(self) -> None:
        self.control.disable_monitor()
        self.context.destroy(0)


def connections(pid: int, ports: set[int]) -> set[str]:
    """Return the TCP connections of a process to these local ports, as the kernel lists them (inode numbers)."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[3] == "01" and parts[9] in inodes and int(parts[2].partition(":")[2], 16) in ports:
            found.add(parts[9])
    return found


def every_port(house: House) -> set[int]:
    first, last = house.ports["lane_ports"]
    return {int(house.bus.rpartition(":")[2]), house.ports["results_port"], *range(first, last + 1)}


async def never_joins(dispatcher: Dispatcher, seconds: float = 1.2) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if dispatcher.workers():
            return False
        await asyncio.sleep(0.02)
    return True


def test_workers_with_a_key_join_and_compute_encrypted(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            guarded.worker("--key", str(guarded.key("one")))
            guarded.worker("--key", str(guarded.key("two")))
            await until(lambda: ready(dispatcher) == 2)
            answers = await asyncio.gather(*(dispatcher.run("double", TOY, {"k": k}, rows(k, 3.5)) for k in range(40)))
            assert [answer.columns["x"][0] for answer in answers] == [2.0 * k for k in range(40)]
            many = np.arange(1e6)
            answer = await dispatcher.run("double", TOY, {}, {"x": many})
            np.testing.assert_array_equal(answer.columns["x"], 2 * many)
            assert dispatcher.counters().get("handshakes_refused", 0) == 0
    asyncio.run(scenario())


def test_largest_frame_passes_encrypted_and_a_larger_one_ends_only_its_connection(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            peer = Peer(guarded, keyfile.load(guarded.key("one")))
            try:
                await until(lambda: peer.results.poll(0, zmq.POLLOUT))
                peer.results.send_multipart([b"?", b"", bytes(wire.MAX_FRAME)], copy=False)
                await until(lambda: dispatcher.counters().get("bad_results", 0) == 1, 30.0)
                peer.results.send_multipart([b"?", b"", bytes(wire.MAX_FRAME + 4096)], copy=False)
                await asyncio.sleep(1.0)
                await until(lambda: peer.results.poll(0, zmq.POLLOUT))
                peer.results.send_multipart([b"?", b""])
                await until(lambda: dispatcher.counters().get("bad_results", 0) == 2, 30.0)
            finally:
                peer.close()
    asyncio.run(scenario())


def test_nothing_readable_is_on_the_wire(guarded):
    async def scenario():
        async with guarded.dispatcher():
            heard, relays = bytearray(), set()

            async def relay(reader, writer):
                relays.add(asyncio.current_task())
                there = await asyncio.open_connection("127.0.0.1", int(guarded.bus.rpartition(":")[2]))

                async def pump(source, sink):
                    while data := await source.read(65536):
                        heard.extend(data)
                        sink.write(data)
                pumps = [asyncio.create_task(pump(reader, there[1])), asyncio.create_task(pump(there[0], writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for end in (writer, there[1]):
                    end.close()
                await asyncio.gather(*pumps, return_exceptions=True)
                await asyncio.gather(writer.wait_closed(), there[1].wait_closed(), return_exceptions=True)
            tap = await asyncio.start_server(relay, "127.0.0.1", 0)
            peer = Peer(House(f"tcp://127.0.0.1:{tap.sockets[0].getsockname()[1]}", guarded.ports, guarded.folder),
                        keyfile.load(guarded.key("one")))
            try:
                await peer.hello()
                await peer.heard(wire.Welcome)
            finally:
                peer.close()
                tap.close()
            await asyncio.gather(*relays)
            assert len(heard) > 500 and b"CURVE" in heard
            assert not any(word in heard for word in (b"toy", b"lane", b"here", peer.id))
    asyncio.run(scenario())


@pytest.mark.parametrize("who", ["plain", "unknown key", "wrong gateway key", "secret of another"])
def test_worker_without_the_right_key_never_joins(guarded, who):
    async def scenario():
        key = keyfile.load(guarded.key("one"))
        public, secret = zmq.curve_keypair()
        wrong = {"plain": None, "unknown key": dataclasses.replace(key, public=public, secret=secret),
                 "wrong gateway key": dataclasses.replace(key, gateway=public),
                 "secret of another": dataclasses.replace(key, secret=secret)}[who]
        arguments = []
        if wrong:
            path = guarded.folder / "wrong.key"
            path.touch(0o600)
            path.write_bytes(keyfile.dump(wrong))
            arguments = ["--key", str(path)]
        async with guarded.dispatcher() as dispatcher:
            guarded.worker(*arguments)
            peer = Peer(guarded, wrong)
            try:
                assert await never_joins(dispatcher)
                assert not peer.control.poll(0, zmq.POLLOUT) and not peer.results.poll(0, zmq.POLLOUT)
                assert zmq.EVENT_HANDSHAKE_SUCCEEDED not in peer.seen()
            finally:
                peer.close()
            with pytest.raises(TransientError, match="no worker"):
                await dispatcher.run("echo", TOY, {}, rows(1.0))
            assert guarded.processes[0].poll() is None, "the worker waits for the key to become right"
            assert (dispatcher.counters().get("handshakes_refused", 0) > 0) == (who == "unknown key")
    asyncio.run(scenario())


def test_revoked_worker_is_cut_within_a_second_and_its_work_goes_to_others(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            bad = guarded.worker("--key", str(guarded.key("bad")))
            await until(lambda: ready(dispatcher) == 1)
            tasks = [asyncio.create_task(dispatcher.run("sleep", TOY, {"s": 0.3, "k": k}, rows(k))) for k in range(4)]
            await until(lambda: dispatcher.workers()[0]["jobs"] > 0)
            assert len(connections(bad.pid, every_port(guarded))) == 3
            good = guarded.worker("--key", str(guarded.key("good")))
            await until(lambda: ready(dispatcher) == 2)
            good_before = connections(good.pid, every_port(guarded))
            guarded.ring.revoke("bad")
            began = time.monotonic()
            await until(lambda: not connections(bad.pid, every_port(guarded)))
            assert time.monotonic() - began < 1.0, "every TCP connection is gone"
            assert [worker["pid"] for worker in dispatcher.workers()] == [good.pid]
            assert [answer.columns["x"][0] for answer in await asyncio.gather(*tasks)] == [0, 1, 2, 3]
            control = {int(guarded.bus.rpartition(":")[2])}
            assert connections(good.pid, control) & good_before, "the others keep their connection"
            assert dispatcher.counters().get("workers_lost", 0) == 0 and dispatcher.counters()["connections_cut"] >= 1
            assert bad.poll() is None and not connections(bad.pid, control)
            await asyncio.sleep(1.0)
            assert ready(dispatcher) == 1
    asyncio.run(scenario())


def test_stopped_worker_is_cut_as_well(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            bad = guarded.worker("--key", str(guarded.key("bad")))
            await until(lambda: ready(dispatcher) == 1)
            bad.send_signal(signal.SIGSTOP)
            guarded.ring.revoke("bad")
            assert await until(lambda: not connections(bad.pid, every_port(guarded))) < 1.0
            assert not dispatcher.workers()
            bad.send_signal(signal.SIGCONT)
    asyncio.run(scenario())


def test_key_that_is_allowed_again_works_again(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            guarded.worker("--key", str(guarded.key("one")))
            await until(lambda: ready(dispatcher) == 1)
            entry = guarded.ring.revoke("one")
            await until(lambda: not dispatcher.workers())
            await asyncio.sleep(0.5)
            folder = guarded.folder / "keys"
            (folder / "revoked" / f"one.{entry.fingerprint}.json").rename(folder / "workers" / "one.json")
            # the worker knocks anew once the gateway has been silent for the ttl of 4 s
            await until(lambda: ready(dispatcher) == 1)
            answer = await dispatcher.run("double", TOY, {}, rows(4.0))
            assert answer.columns["x"][0] == 8.0
    asyncio.run(scenario())


def test_connection_of_a_revoked_key_that_never_spoke_is_cut_as_well(guarded):
    async def scenario():
        async with guarded.dispatcher():
            peer = Peer(guarded, keyfile.load(guarded.key("silent")))
            try:
                await until(lambda: zmq.EVENT_HANDSHAKE_SUCCEEDED in peer.seen())
                guarded.ring.revoke("silent")
                assert await until(lambda: zmq.EVENT_DISCONNECTED in peer.seen()) < 1.0
                await asyncio.sleep(0.5)
                assert peer.seen().count(zmq.EVENT_HANDSHAKE_SUCCEEDED) == 1
            finally:
                peer.close()
    asyncio.run(scenario())


def test_id_of_a_worker_cannot_be_used_with_another_key(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            owner = Peer(guarded, keyfile.load(guarded.key("owner")))
            await owner.hello()
            await owner.heard(wire.Welcome)
            thief = Peer(guarded, keyfile.load(guarded.key("thief")), owner.id)
            try:
                await until(lambda: zmq.EVENT_HANDSHAKE_SUCCEEDED in thief.seen())
                await thief.say(wire.Bye())
                await until(lambda: dispatcher.counters().get("identity_stolen", 0) >= 1)
                assert dispatcher.counters().get("workers_left", 0) == 0
                assert [worker["state"] != "draining" for worker in dispatcher.workers()] == [True]
            finally:
                thief.close()
            # the owner, whose place in the ROUTER was taken, is back by itself
            await asyncio.sleep(0.5)
            await owner.hello()
            await owner.heard(wire.Welcome)
            owner.close()
    asyncio.run(scenario())


def test_results_count_only_from_the_key_of_their_worker_and_with_their_lease(guarded):
    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            owner = Peer(guarded, keyfile.load(guarded.key("owner")))
            forger = Peer(guarded, keyfile.load(guarded.key("forger")))
            try:
                await owner.hello()
                welcome = await owner.heard(wire.Welcome)
                lane = owner.lane(welcome.lane)
                spy = forger.lane(welcome.lane)
                await until(lambda: ready(dispatcher) == 1)
                task = asyncio.create_task(dispatcher.run("echo", TOY, {}, rows(1.0)))
                await until(lambda: lane.poll(0))
                job = wire.unpack(lane.recv_multipart(), wire.LANE)
                good = wire.Result(j=job.j, a=job.a, tok=job.tok, w=owner.id, st="ok", n=1, us=1,
                                   columns={"x": np.array([7.0])})
                # with the right token, but from another key; then from the right key with a made-up token
                await forger.answer(dataclasses.replace(good, columns={"x": np.array([-1.0])}))
                await until(lambda: dispatcher.counters().get("bad_results", 0) == 1)
                await owner.answer(dataclasses.replace(good, tok=os.urandom(16)))
                await until(lambda: dispatcher.counters().get("results_forged", 0) == 1)
                assert not task.done() and not spy.poll(300), "nobody else may listen on its lane"
                await owner.answer(good)
                assert (await task).columns["x"][0] == 7.0
            finally:
                owner.close()
                forger.close()
    asyncio.run(scenario())


def test_four_hundred_garbage_connections_do_no_harm(guarded):
    seed = 20_260_101
    print(f"seed {seed}")
    noise = random.Random(seed)

    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            guarded.worker("--key", str(guarded.key("one")))
            await until(lambda: ready(dispatcher) == 1)
            ports = [int(guarded.bus.rpartition(":")[2]), guarded.ports["results_port"]]
            for k in range(400):
                with socket.create_connection(("127.0.0.1", ports[k % 2])) as stranger:
                    stranger.send(noise.randbytes(noise.randrange(1, 300)) if k % 4 else
                                  b"\xff\0\0\0\0\0\0\0\1\x7f\3\1CURVE" + bytes(15) + noise.randbytes(noise.randrange(64, 300)))
                if k % 40 == 0:
                    answer = await dispatcher.run("double", TOY, {}, rows(k))
                    assert answer.columns["x"][0] == 2 * k
            assert ready(dispatcher) == 1 and dispatcher.counters().get("workers_lost", 0) == 0
    asyncio.run(scenario())


def test_hostile_frames_of_an_allowed_key_change_nothing(guarded):
    seed = 7
    print(f"seed {seed}")
    noise = random.Random(seed)

    async def scenario():
        async with guarded.dispatcher() as dispatcher:
            peer = Peer(guarded, keyfile.load(guarded.key("one")))
            try:
                await until(lambda: zmq.EVENT_HANDSHAKE_SUCCEEDED in peer.seen())
                for _ in range(300):
                    frames = [noise.randbytes(noise.choice((0, 1, 1, 30))) for _ in range(noise.randrange(1, 4))]
                    frames = noise.choice((frames, [b"H", msgpack.packb(noise.random())], [b""]))
                    peer.control.send_multipart(frames)
                    peer.results.send_multipart(frames)
                await until(lambda: dispatcher.counters().get("bad_results", 0) == 300)
                assert not dispatcher.workers()
            finally:
                peer.close()
    asyncio.run(scenario())


@pytest.mark.parametrize("bus", ["tcp://0.0.0.0:5573", "tcp://[::]:5573", "tcp://*:5573", "tcp://10.1.2.3:5573",
                                 "tcp://some-host.invalid:5573"])
def test_bus_beyond_loopback_without_keys_is_refused_with_the_command_to_run(bus, tmp_path):
    for keys in (None, tmp_path / "keys"):
        with pytest.raises(UsageError, match="cosmicflows keys new NAME") as refused:
            Dispatcher(bus, keys=keys)
        assert refused.value.code == "insecure_bus"


def test_bus_beyond_loopback_is_encrypted_though_nobody_asked(tmp_path):
    first = _free_ports(8)
    house = Guarded(f"tcp://0.0.0.0:{first}", {"results_port": first + 1, "lane_ports": (first + 2, first + 7),
                                               "keys": tmp_path / "keys"}, tmp_path)
    key = house.key("one")

    async def scenario():
        async with house.dispatcher() as dispatcher:
            connect = f"tcp://127.0.0.1:{first}"
            house.python(str(ROOT / "tests" / "worker" / "arithmetic_worker.py"), "--connect", connect)
            assert await never_joins(dispatcher)
            house.python(str(ROOT / "tests" / "worker" / "arithmetic_worker.py"), "--connect", connect, "--key", str(key))
            await until(lambda: ready(dispatcher) == 1)
            assert (await dispatcher.run("double", TOY, {}, rows(3.0))).columns["x"][0] == 6.0
    try:
        asyncio.run(scenario())
    finally:
        for process in house.processes:
            process.kill()
            process.wait()


def cosmicflows(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "cfcore.cli", *arguments], capture_output=True, text=True, timeout=60, cwd=cwd,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})


def test_keys_are_made_listed_and_revoked_on_the_command_line(tmp_path):
    data = ("--data", str(tmp_path / "data"))
    made = cosmicflows("keys", "new", "node7", *data, cwd=tmp_path)
    assert made.returncode == 0 and "scp" in made.stdout and "--key node7.key" in made.stdout
    key = keyfile.load(tmp_path / "node7.key")
    assert key.name == "node7" and key.secret.decode() not in made.stdout
    assert zmq.curve_public(key.secret) == key.public
    kept = tmp_path / "data" / "keys"
    assert {stat.S_IMODE(p.stat().st_mode) for p in (kept, kept / "workers")} == {0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "node7.key", kept / "gateway.json")} == {0o600}
    assert key.secret.decode() not in "".join(p.read_text() for p in kept.rglob("*.json"))

    again = cosmicflows("keys", "new", "node7", *data, cwd=tmp_path)
    assert again.returncode == 2 and "has a key already" in again.stderr
    there = cosmicflows("keys", "new", "node8", "--out", "node7.key", *data, cwd=tmp_path)
    assert there.returncode == 2 and "not overwritten" in there.stderr
    assert keyfile.load(tmp_path / "node7.key") == key
    piped = cosmicflows("keys", "new", "node8", "--out", "-", *data, cwd=tmp_path)
    assert piped.returncode == 0 and '"name": "node8"' in piped.stdout, piped.stderr
    bad = cosmicflows("keys", "new", "../Node", *data, cwd=tmp_path)
    assert bad.returncode == 2 and "cannot name a key" in bad.stderr

    gone = cosmicflows("keys", "revoke", "node7", *data, cwd=tmp_path)
    assert gone.returncode == 0
    listed = cosmicflows("keys", "list", *data, cwd=tmp_path).stdout.splitlines()
    assert listed[1].startswith("node8") and listed[1].endswith("allowed")
    assert listed[2].startswith("node7") and "revoked 20" in listed[2]
    twice = cosmicflows("keys", "revoke", "node7", *data, cwd=tmp_path)
    assert twice.returncode == 2 and "no key is named node7" in twice.stderr
    assert cosmicflows("keys", "new", "node7", "--out", "second.key", *data, cwd=tmp_path).returncode == 0


def test_key_file_that_others_can_read_or_that_is_none_is_refused(tmp_path):
    ring = Keyring(tmp_path / "keys")
    path = tmp_path / "one.key"
    ring.new("one", path)
    sound = path.read_bytes()
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(UsageError, match="chmod 600") as refused:
            keyfile.load(path)
        assert refused.value.code == "key_exposed"
    path.chmod(0o400)
    assert keyfile.load(path).name == "one"
    path.chmod(0o600)
    for content in (b"", b"[]", b"{}", b"\xff", b"[" * 4000, b" " * 5000, sound.replace(b": 1,", b": 2,"),
                    sound.replace(b'"gateway"', b'"gatewey"'), sound.replace(b'"one"', b'"One"'),
                    sound.replace(keyfile.load(path).secret, b"~" * 40), sound.replace(keyfile.load(path).secret, b"#" * 40)):
        path.write_bytes(content)
        with pytest.raises(UsageError) as refused:
            keyfile.load(path)
        assert refused.value.code == "key_foreign", content
        path.write_bytes(sound)
    for wrong, code in ((tmp_path / "absent", "key_unreadable"), (tmp_path, "key_foreign")):
        with pytest.raises(UsageError) as refused:
            keyfile.load(wrong)
        assert refused.value.code == code


def test_rule_of_exposure_knows_mounted_secrets():
    def facts(mode: int, uid: int) -> os.stat_result:
        return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, 0, 1, 0, 0, 0))
    ours, other = os.geteuid(), os.geteuid() + 1
    assert keyfile.is_exposed(facts(0o640, ours), is_read_only=False)
    assert not keyfile.is_exposed(facts(0o440, other), is_read_only=False), "we read it as its group"
    assert keyfile.is_exposed(facts(0o444, other), is_read_only=False)
    assert not keyfile.is_exposed(facts(0o644, other), is_read_only=True), "a secret mounted into a container"


def test_damaged_entries_of_the_allow_list_allow_nobody_and_harm_no_other(tmp_path):
    ring = Keyring(tmp_path / "keys")
    good = ring.new("good", None)
    bad = ring.new("bad", None)
    ring.refresh()
    assert set(ring.allowed) == {good.public, bad.public}
    (tmp_path / "keys" / "workers" / "bad.json").write_text("{")
    assert ring.refresh() == {bad.public} and set(ring.allowed) == {good.public}
    ring.revoke("bad")
    assert ring.refresh() == set() and set(ring.allowed) == {good.public}

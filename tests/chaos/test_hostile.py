"""Strangers send frames and bytes to every socket of the bus while jobs run: nothing crashes, is lost, or is forged."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable
from random import Random

import msgpack
import numpy as np
import pytest
import zmq
from chaos import hostile
from chaos.load import Bus, Driving, tcp, toy_crew
from chaos.processes import TOY, Ward, descriptors, rss_mb, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st

from cfcore import wire

EVERY = wire.TO_GATEWAY | wire.TO_WORKER | wire.LANE | wire.RESULTS


@pytest.mark.timeout(90)
def test_hostile_frames_and_connections_forge_and_lose_nothing(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng, lanes=8)
    crew = toy_crew(ward, bus)
    crew.hire(3)
    driving = Driving(ward, bus, {"name": "asked", "kind": "double", "jobs": 10**6, "at_once": 12, "rate": 1500,
                                  "until": "enough"}, workers=3)
    driving.until_ready()
    time.sleep(0.5)
    gateway = driving.process.pid
    rss, open_before = rss_mb(gateway), descriptors(gateway)
    began = time.monotonic()
    sent = send_frames(bus, rng, 16_000)
    ports = bus.all_ports
    knocks = [hostile.knock(rng.choice(ports[:2]), rng) for _ in range(300)]
    while len(knocks) < 400:
        # most ports of the range have no lane
        with contextlib.suppress(ConnectionRefusedError):
            knocks.append(hostile.knock(rng.choice(ports[2:]), rng))
    time.sleep(0.5)
    for knock in knocks:
        knock.close()
    wait_for(lambda: descriptors(gateway) <= open_before, 12.0, "the gateway closes the connections of strangers that left")
    busy_s = time.monotonic() - began
    grown = rss_mb(gateway) - rss
    driving.enough()
    driving.until_done(20)
    outcome = driving.finish()
    outcome.check("asked")
    seen = outcome.counters
    assert seen["bad_control"] > 4000 and seen["bad_results"] > 3000 and seen["results_forged"] > 300
    assert grown < 100 and seen.get("workers_lost", 0) == 0
    assert {pid for event in outcome.events for pid in event["workers"]} == {str(worker.pid) for worker in crew.members}
    say(f"{sent} frames on control and results, {len(knocks)} garbage connects in {busy_s:.1f} s, "
        f"{outcome.loads['asked']['begun']} jobs right, 0 forged ({seen['results_forged']} tried), p99 "
        f"{1000 * outcome.p(99, 'asked'):.0f} ms, gateway grew by {grown:.0f} MB")


def send_frames(bus: Bus, rng: Random, count: int) -> int:
    """Send hostile frames to control and results; return how many."""
    with zmq.Context() as context:
        stranger, nobody, results = context.socket(zmq.DEALER), context.socket(zmq.DEALER), context.socket(zmq.PUSH)
        stranger.set(zmq.ROUTING_ID, b"\x01" + rng.randbytes(15))
        nobody.set(zmq.ROUTING_ID, b"nobody")
        for end, address in ((stranger, bus.address), (nobody, bus.address),
                             (results, f"tcp://127.0.0.1:{bus.ports['results_port']}")):
            end.set(zmq.LINGER, 5000)
            end.connect(address)
        sent = 0
        while sent < count:
            good = hostile.good(rng, b"\x01" + rng.randbytes(15), rng.randrange(1, 60_000))
            end = rng.choice((stranger, nobody, results))
            if end is results and rng.random() < 0.2:
                frames = [bytes(frame) for frame in wire.pack(rng.choice(good[-4:]))]
            else:
                frames = hostile.broken(rng, rng.choice(good)) if rng.random() < 0.8 else hostile.noise(rng)
            # a HELLO that is right would be a worker: on an open bus that is no attack
            if end is stranger and hostile.is_valid(frames, wire.TO_GATEWAY, (wire.Hello,)):
                continue
            end.send_multipart(frames)
            sent += 1
            while stranger.poll(0) or nobody.poll(0):
                (stranger if stranger.poll(0) else nobody).recv_multipart()
            if sent % 100 == 0:
                time.sleep(0.01)
        for end in (stranger, nobody, results):
            end.close()
    return sent


def is_ours(frames: list[bytes]) -> bool:
    """Whether breaking a message happened to make a right one with the number of a job that we ask ourselves."""
    try:
        return wire.unpack(frames, wire.LANE).j < 1000
    except wire.WireError:
        return False


@pytest.mark.timeout(60)
def test_worker_survives_a_gateway_that_talks_nonsense(ward: Ward, rng: Random, say: Callable[[str], None]) -> None:
    bus = tcp(rng, lanes=2)
    worker = ward.python(str(TOY), "--connect", bus.worker_address, log="workers.log")
    lane_port = bus.ports["lane_ports"][0]
    with zmq.Context() as context:
        control, lane, results = context.socket(zmq.ROUTER), context.socket(zmq.PUSH), context.socket(zmq.PULL)
        for end, port in ((control, bus.all_ports[0]), (lane, lane_port), (results, bus.ports["results_port"])):
            end.set(zmq.LINGER, 0)
            end.bind(f"tcp://127.0.0.1:{port}")
        name, answered, waiting, tokens = b"", set(), set(), defaultdict(set)
        gid, sent, beat = rng.randbytes(16), 0, 0.0
        welcome = wire.Welcome(gid, lane_port, bus.ports["results_port"], 1000, 4000, 16)
        deadline = time.monotonic() + 45
        while (len(answered) < 200 or sent < 4000) and time.monotonic() < deadline:
            while control.poll(0 if name else 100):
                who, *frames = control.recv_multipart()
                message = wire.unpack(frames, wire.TO_GATEWAY)
                if isinstance(message, wire.Hello):
                    name = who
                    control.send_multipart([name, *wire.pack(welcome)])
                elif isinstance(message, wire.Bounce):
                    waiting -= {job for job, _ in message.jobs}
            while results.poll(0):
                result = wire.unpack(results.recv_multipart(), wire.RESULTS)
                control.send_multipart([name, *wire.pack(wire.Ack([result.j]))])
                if result.j < 1000:
                    assert result.tok in tokens[result.j] and result.columns["x"][0] == 2.0 * result.j
                    answered.add(result.j)
            if not name:
                continue
            if time.monotonic() > beat:
                beat = time.monotonic() + 0.25
                control.send_multipart([name, *wire.pack(wire.Pong(1))])
            for _ in range(20 if sent < 4000 else 0):
                good = hostile.good(rng, name, rng.randrange(10**6, 2 * 10**6))
                if rng.random() < 0.5:
                    frames = hostile.broken(rng, good[11]) if rng.random() < 0.8 else hostile.noise(rng)
                    if not is_ours(frames):
                        lane.send_multipart(frames)
                else:
                    frames = hostile.broken(rng, rng.choice(good)) if rng.random() < 0.8 else hostile.noise(rng)
                    # a WELCOME or a request to drain that is right would be obeyed
                    if hostile.is_valid(frames, wire.TO_WORKER, (wire.Welcome, wire.AskDrain)):
                        continue
                    control.send_multipart([name, *frames])
                sent += 1
            for job in [job for job in range(1, 201) if job not in answered | waiting][:3]:
                token = rng.randbytes(16)
                tokens[job].add(token)
                waiting.add(job)
                lane.send_multipart(wire.pack(wire.Job(job, 1, token, name, "double", "toy", "1", 30_000, 1, {"k": job},
                                                       {"x": np.array([float(job)])})))
            time.sleep(0.002)
        for end in (control, lane, results):
            end.close()
    assert sent >= 4000 and len(answered) == 200 and worker.poll() is None
    say(f"{sent} frames on lane and control, 200 jobs between them answered rightly")


plain = st.recursive(st.none() | st.booleans() | st.integers(-2**63, 2**64 - 1) | st.floats() | st.text(max_size=20)
                     | st.binary(max_size=40), lambda inner: st.lists(inner, max_size=4)
                     | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12)
tokens = st.binary(min_size=16, max_size=16)
column = st.fixed_dictionaries({"name": st.text(min_size=1, max_size=8) | plain, "dtype": st.sampled_from(wire.DTYPES) | plain,
                                "shape": st.lists(st.integers(-1, 5), max_size=4) | plain},
                               optional={"shared": st.booleans() | plain})
small, word, place = st.integers(0, 9), st.text(max_size=9), st.integers(0, 70_000) | st.text(max_size=9)
pairs = st.lists(st.tuples(small, small), max_size=3)
facts = st.dictionaries(st.text(max_size=4), plain, max_size=3)
FIELDS = {"v": st.just(1), "host": word, "pid": small, "ver": word, "slots": st.integers(0, 66), "reserve": st.integers(0, 64),
          "fields": st.lists(st.fixed_dictionaries({"id": word, "sha": word}), max_size=3), "abi": small, "held": pairs,
          "out": st.lists(small, max_size=3), "gid": tokens, "lane": place, "results": place, "hb_ms": st.integers(0, 99),
          "ttl_ms": st.integers(0, 99), "credit": st.integers(0, 17), "epoch": small, "seq": st.integers(-1, 9), "rss_mb": small,
          "cur": pairs, "jobs": st.lists(small | st.tuples(small, tokens), max_size=4), "why": word, "j": small, "a": small,
          "tok": tokens, "w": tokens, "kind": word, "f": word, "fv": word, "ms": small, "n": st.integers(0, 4), "options": facts,
          "cls": st.sampled_from([*wire.CLASSES, "x"]), "limit": small, "tp": word, "us": small, "info": facts, "prov": facts,
          "st": st.sampled_from([*wire.STATES, "x"]), "err": st.none() | facts,
          "sha": st.binary(min_size=32, max_size=32) | st.just(b""), "fresh": st.booleans(), "cols": st.lists(column, max_size=3)}
KINDS = sorted(EVERY, key=lambda cls: cls.kind_byte)


@st.composite
def messages(draw: st.DrawFn) -> list[bytes]:
    """Draw frames that are nearly a message: the right kind and fields, most values right, most frames fitting."""
    cls = draw(st.sampled_from(KINDS))
    names = [f.name for f in dataclasses.fields(cls) if f.name not in ("columns", "shared")]
    header = {name: draw(FIELDS[name]) for name in names + ["cols"] * (cls in (wire.Job, wire.Result))}
    if draw(st.booleans()) and header:
        name = draw(st.sampled_from(sorted(header)))
        header[name] = draw(plain)
        if draw(st.booleans()):
            del header[name]
    cols = header.get("cols")
    frames = []
    for entry in cols if isinstance(cols, list) else []:
        size = 0
        if isinstance(entry, dict) and isinstance(entry.get("shape"), list) and entry.get("dtype") in wire.DTYPES:
            numbers = [k for k in entry["shape"] if isinstance(k, int) and 0 <= k < 6]
            size = int(np.prod(numbers)) * int(entry["dtype"][2])
        frames.append(draw(st.just(bytes(size)) | st.binary(max_size=64)))
    return [cls.kind_byte, msgpack.packb(header), *frames]


@settings(max_examples=1000, deadline=None)
@given(frames=messages() | st.lists(st.binary(max_size=60), max_size=5))
def test_decoder_returns_a_whole_message_or_refuses(frames: list[bytes]) -> None:
    try:
        message = wire.unpack(frames, EVERY)
    except wire.WireError:
        return
    # what was accepted is whole: it can be sent on, and arrives as the same message
    again = wire.unpack([bytes(frame) for frame in wire.pack(message)], EVERY)
    assert type(again) is type(message)
    for part in dataclasses.fields(message):
        ours, theirs = getattr(message, part.name), getattr(again, part.name)
        if part.name in ("columns", "shared"):
            assert {name: (c.dtype, c.shape, c.tobytes()) for name, c in ours.items()} \
                == {name: (c.dtype, c.shape, c.tobytes()) for name, c in theirs.items()}
        else:
            assert repr(ours) == repr(theirs)

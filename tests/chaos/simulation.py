"""A seeded world without sockets, clocks or processes: the gateway's hub and the workers' manners, and everything that may
happen between them. One seed is one schedule of kills, freezes, cuts, crashes, full disks, drains and impatient users.

What is real: `gateway.hub.Hub` with its ledger, `flow_worker.manners.Manners` with its bench, every byte of `cfcore.wire`.
What is played: time, the network, compute children, and the store, which keeps what was committed and forgets the rest.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from cfcore import wire
from cfcore.errors import CosmicFlowsError, TransientError
from flow_worker.bench import Facts, Gone, Join, Kill, Leave, Post, Rejoin, Run, Say, Spawn
from flow_worker.manners import Manners
from gateway.hub import Hub
from gateway.served import Served

FIELD = ("toy", "1")
RECORD = {"id": "toy", "sha": "1", "default": True}
TICK_S = 0.25
GID, SECRET = 16 * b"g", 32 * b"s"
POISON = 1000.0
"""Rows from here on crash what computes them; the next thousand make it hang."""
LIMITS_MS = (1500, 2500)


def oracle(x: np.ndarray) -> np.ndarray:
    """Return what every row must come out as."""
    return 3.0 * x + 1.0


class Chunk:
    """Kept work: rows start to stop of a stored job."""

    kind, trace = "toy", ""
    options: dict[str, object] = {}

    def __init__(self, world: World, job: str, start: int, stop: int) -> None:
        self.world, self.job, self.start, self.stop = world, job, start, stop
        self.rows = stop - start
        self.id = 0

    def columns(self) -> dict[str, np.ndarray]:
        """Return the rows."""
        return {"x": self.world.store.jobs[self.job][self.start:self.stop]}

    def is_wanted(self) -> bool:
        """Whether the job still runs."""
        return True

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        """Commit the answer, then settle."""
        self.world.store.put("done", self, result.columns["y"].copy(), settled)

    def refuse(self, error: CosmicFlowsError) -> None:
        """No job of this world is wrong."""
        raise AssertionError(f"chunk {self.id} refused: {error}")

    def quarantine(self, error: CosmicFlowsError) -> None:
        """Halve, or give the row up."""
        self.world.store.put("split" if self.rows > 1 else "quarantined", self, None, lambda: None)


class Ask:
    """A request that waits in memory; it may come to nothing when the gateway dies or its time is over."""

    kind, trace = "toy", ""
    options: dict[str, object] = {}

    def __init__(self, world: World, x: np.ndarray) -> None:
        self.world, self.x, self.rows, self.ends = world, x, len(x), 0

    def columns(self) -> dict[str, np.ndarray]:
        """Return the rows."""
        return {"x": self.x}

    def is_wanted(self) -> bool:
        """Whether it waits."""
        return not self.ends

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        """Check the answer."""
        np.testing.assert_array_equal(result.columns["y"], oracle(self.x))
        self._end()
        settled()

    def refuse(self, error: CosmicFlowsError) -> None:
        """End without an answer."""
        self._end()

    def quarantine(self, error: CosmicFlowsError) -> None:
        """End without an answer: only poison may."""
        assert (self.x >= POISON).any()
        self._end()

    def _end(self) -> None:
        self.ends += 1
        assert self.ends == 1


class Store:
    """What survives the gateway: jobs by idempotency key, chunks and their states, results. Commits take a while."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.jobs: dict[str, np.ndarray] = {}
        self.chunks: dict[int, tuple[Chunk, str]] = {}
        self.results: dict[tuple[str, int], np.ndarray | None] = {}
        self.cancelled: set[str] = set()
        self.commits = 0
        self._ids = count(1)
        self._pending: list[tuple[str, Any, Any, Callable[[], None], int]] = []

    def put(self, what: str, about: Any, value: Any, then: Callable[[], None]) -> None:
        """Write something; `then` is called after the commit, if the gateway of now lives to see it."""
        self._pending.append((what, about, value, then, self.world.epoch))
        self.world.later(self.world.rng.uniform(0.0, 0.05), self.commit)

    def commit(self) -> None:
        """Commit everything that waits, unless the disk is full or the gateway dead or frozen."""
        world = self.world
        if not world.is_up or not self._pending:
            return
        if world.now < world.thaw or world.disk_full:
            world.later(0.5, self.commit)
            return
        pending, self._pending = self._pending, []
        self.commits += 1
        for what, about, value, then, epoch in pending:
            assert epoch == world.epoch
            getattr(self, f"_{what}")(about, value)
            then()

    def forget_uncommitted(self) -> None:
        """The gateway has died."""
        self._pending = []

    def _submit(self, key: str, x: np.ndarray) -> None:
        if key in self.jobs:
            return
        self.jobs[key] = x
        self._open(Chunk(self.world, key, 0, len(x)), suspicion=0)

    def _open(self, chunk: Chunk, suspicion: int) -> None:
        chunk.id = next(self._ids)
        self.chunks[chunk.id] = (chunk, "open")
        self.world.hand_over(chunk, suspicion)

    def _close(self, chunk: Chunk, state: str) -> bool:
        _, before = self.chunks[chunk.id]
        if chunk.job in self.cancelled:
            return False
        assert before == "open", f"chunk {chunk.id} was {before} and is to be {state}"
        self.chunks[chunk.id] = (chunk, state)
        return True

    def _done(self, chunk: Chunk, y: np.ndarray) -> None:
        if self._close(chunk, "done"):
            for k, value in enumerate(y):
                self._row(chunk, chunk.start + k, value)

    def _quarantined(self, chunk: Chunk, _: None) -> None:
        if self._close(chunk, "quarantined"):
            self._row(chunk, chunk.start, None)

    def _row(self, chunk: Chunk, row: int, value: Any) -> None:
        assert (chunk.job, row) not in self.results
        self.results[chunk.job, row] = value

    def _split(self, chunk: Chunk, _: None) -> None:
        if self._close(chunk, "split"):
            middle = (chunk.start + chunk.stop) // 2
            for start, stop in ((chunk.start, middle), (middle, chunk.stop)):
                self._open(Chunk(self.world, chunk.job, start, stop), 2 if stop - start > 1 else 0)

    def _cancel(self, key: str, _: None) -> None:
        if key in self.jobs and key not in self.cancelled:
            self.cancelled.add(key)
            mine = [i for i, (chunk, state) in self.chunks.items() if chunk.job == key and state == "open"]
            self.chunks.update({i: (self.chunks[i][0], "cancelled") for i in mine})
            hub = self.world.hub
            hub.withdraw([hub.ledger.jobs[i] for i in mine if i in hub.ledger.jobs], "cancelled")

    def open_chunks(self) -> list[Chunk]:
        """Return what is left to do."""
        return [chunk for chunk, state in self.chunks.values() if state == "open"]


class Lane:
    """A gate of the hub."""

    def __init__(self, place: int, on_change: Callable[[], None]) -> None:
        self.place, self.on_change, self.box = place, on_change, None

    def is_open(self) -> bool:
        """Whether a living worker is connected."""
        return self.box is not None and self.box.is_alive


class Box:
    """A worker: real manners, played children."""

    def __init__(self, world: World, number: int) -> None:
        self.world, self.id = world, b"\x01" + number.to_bytes(15, "big")
        self.m = Manners(Facts(self.id, slots=world.rng.choice((1, 2, 3)), reserve=0), world.now)
        if self.m.facts.slots > 1:
            self.m.facts = Facts(self.id, slots=self.m.facts.slots, reserve=1)
        self.is_alive, self.thaw, self.cut_until = True, 0.0, 0.0
        self.lives = [0] * self.m.facts.slots  # a child that was killed must not answer any more
        self.arrivals: dict[str, float] = {}
        self._wake_at = -1.0
        self.m.advertise([RECORD], world.now)
        self.wake()

    def get(self, event: Callable[[], None]) -> None:
        """Take an event now, or when the process runs again."""
        if not self.is_alive:
            return
        if self.world.now < self.thaw:
            self.world.later(self.thaw - self.world.now, lambda: self.get(event))
            return
        event()
        self.wake()

    def wake(self) -> None:
        """Tick, carry out what is to be done, and be woken again in time."""
        world = self.world
        if not self.is_alive or world.now < self.thaw:
            return
        self.m.tick(world.now, can_talk=world.is_up)
        for action in self.m.do():
            self._carry_out(action)
        due = max(world.now + 0.001, min(self.m.due(world.now), world.now + 1.0))
        if not world.now < self._wake_at <= due:
            self._wake_at = due
            world.later(due - world.now, lambda: self.get(lambda: None))

    def _carry_out(self, action: Any) -> None:
        world, now = self.world, self.world.now
        if isinstance(action, Say):
            frames = _copied(wire.pack(action.message))
            world.carry(self, "control up", lambda: world.on_control(self, frames))
        elif isinstance(action, Post):
            frames = _copied(action.frames)
            if not world.is_up:
                self.m.unsent(action.job, now)
            else:
                world.carry(self, "results", lambda: world.on_result(frames))
        elif isinstance(action, Join):
            place, epoch = action.lane, world.epoch
            world.later(world.rng.uniform(0.001, 0.1), lambda: world.join(self, place, epoch))
        elif isinstance(action, Spawn):
            self.lives[action.seat] += 1
            self._child(action.seat, world.rng.uniform(0.01, 0.3), lambda: self.m.ready(action.seat, world.now))
        elif isinstance(action, Run):
            self._compute(action.seat, wire.unpack(_copied(action.frames), wire.LANE))
        elif isinstance(action, Kill):
            self._die(action.seat, Gone(9, None))
        elif isinstance(action, Leave):
            self.is_alive = False
            world.disconnected(self)
        else:
            assert isinstance(action, Rejoin)

    def _child(self, seat: int, after: float, event: Callable[[], None]) -> None:
        life = self.lives[seat]
        self.world.later(after, lambda: self.get(lambda: event() if life == self.lives[seat] else None))

    def _die(self, seat: int, how: Gone) -> None:
        self.lives[seat] += 1
        life = self.lives[seat]
        self.world.later(0.002, lambda: self.get(
            lambda: self.m.gone(seat, how, self.world.now) if life == self.lives[seat] else None))

    def _compute(self, seat: int, job: wire.Job) -> None:
        x = job.columns["x"]
        took = self.world.rng.choice((0.002, 0.05, 0.4))
        # a child may die by chance; three times under the same good row would be no chance, so that is not played
        is_unlucky = self.world.rng.random() < 0.02 and (job.n > 1 or self.world.bad_luck[job.j] < 2)
        self.world.bad_luck[job.j] += is_unlucky
        if ((x >= POISON) & (x < 2 * POISON)).any() or is_unlucky:
            self._child(seat, took / 2, lambda: self._die(seat, Gone(11, None, "it hurts")))
        elif not (x >= 2 * POISON).any():
            columns = {"y": oracle(x)}
            body = [np.ascontiguousarray(columns["y"])]
            frames = _copied(wire.pack(wire.Result(job.j, job.a, job.tok, job.w, "ok", job.n, 1000, columns=columns,
                                                   sha=wire.digest(body))))
            self._child(seat, took, lambda: self.m.answered(seat, frames, self.world.now))


class World:
    """One schedule."""

    results_place = 5572

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now, self._serial = 0.0, count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self.store = Store(self)
        self.is_up, self.disk_full, self.thaw, self.hears, self.epoch = False, False, 0.0, 0.0, 0
        self.lanes: dict[int, Lane] = {}
        self.connected: set[bytes] = set()
        self.boxes: list[Box] = []
        self.asks: list[Ask] = []
        self._numbers, self._places = count(1), count(5600)
        self._is_pump_due = False
        self.faults: list[str] = []
        self.bad_luck: Counter[int] = Counter()
        self.start_gateway()

    # Time

    def later(self, after: float, event: Callable[[], None]) -> None:
        """Have something happen."""
        heapq.heappush(self._events, (self.now + after, next(self._serial), event))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    # The gateway

    def start_gateway(self) -> None:
        """Start, with what the store has kept."""
        self.epoch += 1
        self.is_up, self.thaw, self.hears = True, 0.0, 0.0
        self.hub = Hub(self, Served("ipc:///sim", 3.0), self._pump_soon, limits_ms=LIMITS_MS)
        self.hub.identify(GID, self.epoch, SECRET)
        for chunk in self.store.open_chunks():
            self.hand_over(chunk, 0)
        epoch = self.epoch
        self.later(TICK_S, lambda: self._tick(epoch))

    def kill_gateway(self) -> None:
        """Kill -9; it is started again a little later."""
        self.is_up = False
        self.lanes.clear()
        self.connected.clear()
        self.store.forget_uncommitted()
        self.later(self.rng.uniform(0.2, 2.0), self.start_gateway)

    def hand_over(self, chunk: Chunk, suspicion: int) -> None:
        """Give a chunk to the hub."""
        self.hub.add(chunk, FIELD, float("inf"), cls=wire.BULK, owner=chunk.job[:1], job_id=chunk.id, suspicion=suspicion)
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._is_pump_due:
            self._is_pump_due = True
            epoch = self.epoch
            self.later(0.0, lambda: self._pump(epoch))

    def _pump(self, epoch: int) -> None:
        self._is_pump_due = False
        if self.is_up and self.epoch == epoch and self.now >= self.thaw:
            self.hub.pump(self.now)

    def _tick(self, epoch: int) -> None:
        if not self.is_up or epoch != self.epoch:
            return
        if self.now < self.thaw:
            self.later(self.thaw - self.now + 1e-6, lambda: self._tick(epoch))
            return
        self.hub.ledger.is_bulk_paused = self.disk_full
        self.hub.tick(self.now)
        self.later(TICK_S, lambda: self._tick(epoch))

    # The post of the hub

    def tell(self, worker_id: bytes, message: wire.Message) -> bool:
        """Send on control."""
        if worker_id not in self.connected:
            return False
        box = next(b for b in self.boxes if b.id == worker_id)
        frames = _copied(wire.pack(message))
        self.carry(box, "control down", lambda: box.get(lambda: box.m.heard(wire.unpack(frames, wire.TO_WORKER), self.now)))
        return True

    def send_job(self, lane: Lane, frames: list[Any]) -> bool:
        """Send on a lane."""
        box = lane.box
        if box is None or not box.is_alive:
            return False
        frames = _copied(frames)
        place = lane.place
        self.carry(box, f"lane {place}", lambda: box.get(lambda: self._offer(box, place, frames)))
        return True

    def _offer(self, box: Box, place: int, frames: list[bytes]) -> None:
        if box.m.session.lane == place:
            box.m.offered(wire.unpack(frames, wire.LANE), frames, self.now)

    def may_speak_for(self, worker_id: bytes) -> bool:
        """Everybody is honest here."""
        return True

    def open_lane(self, on_change: Callable[[], None], worker_id: bytes) -> Lane:
        """Make a lane; now and then there is none left."""
        if self.rng.random() < 0.02:
            raise TransientError("every lane is taken", code="no_lane")
        lane = Lane(next(self._places), on_change)
        self.lanes[lane.place] = lane
        return lane

    def close_lane(self, lane: Lane) -> None:
        """Forget a lane."""
        self.lanes.pop(lane.place, None)

    def join(self, box: Box, place: int | str, epoch: int) -> None:
        """A worker has connected to its lane."""
        lane = self.lanes.get(place) if self.is_up and epoch == self.epoch else None  # type: ignore[call-overload]
        if lane and box.is_alive:
            lane.box = box
            lane.on_change()

    # The network

    def carry(self, box: Box, way: str, deliver: Callable[[], None]) -> None:
        """Carry a message; a cut link loses or delays it. On one connection none overtakes another."""
        delay = self.rng.choice((0.0005, 0.002, 0.02))
        if self.now < box.cut_until:
            if self.rng.random() < 0.5:
                return
            delay += box.cut_until - self.now
        delay = max(delay, box.arrivals.get(way, 0.0) - self.now)
        box.arrivals[way] = self.now + delay
        self.later(delay, deliver)

    def on_control(self, box: Box, frames: list[bytes]) -> None:
        """A message of a worker arrives."""
        self._at_gateway(lambda: self._control(box, frames))

    def _control(self, box: Box, frames: list[bytes]) -> None:
        if box.is_alive:
            self.connected.add(box.id)
        self.hub.on_control(box.id, frames, self.now)

    def on_result(self, frames: list[bytes]) -> None:
        """A result arrives."""
        self._at_gateway(lambda: self.hub.on_result(frames, self.now))

    def _at_gateway(self, event: Callable[[], None]) -> None:
        epoch = self.epoch
        if self.is_up and self.now < self.hears:
            self.later(self.hears - self.now, lambda: event() if self.is_up and epoch == self.epoch else None)
        elif self.is_up:
            event()

    def disconnected(self, box: Box) -> None:
        """The kernel closes the connections of a process that has ended; behind a cut nobody is told."""
        def closed() -> None:
            self.connected.discard(box.id)
            for lane in list(self.lanes.values()):
                if lane.box is box:
                    lane.on_change()
        if self.now >= box.cut_until:
            self.later(0.001, closed)

    # What happens

    def add_worker(self) -> None:
        """Start one more worker."""
        self.boxes.append(Box(self, next(self._numbers)))

    def submit(self, key: str, rows: int) -> None:
        """A user submits under a key, and submits again until it is confirmed."""
        x = np.array([float(self.rng.randrange(100)) if self.rng.random() > 0.04 else
                      self.rng.choice((POISON, 2 * POISON)) for _ in range(rows)])
        def attempt() -> None:
            if key in self.store.jobs:
                return
            if self.is_up and self.now >= self.thaw and not self.disk_full:
                self.store.put("submit", key, x, lambda: None)
            self.later(1.5, attempt)
        attempt()

    def ask(self) -> None:
        """A user asks and waits."""
        if self.is_up and self.now >= self.thaw:
            ask = Ask(self, np.array([float(self.rng.randrange(100))]))
            self.asks.append(ask)
            self.hub.add(ask, FIELD, self.now + 30.0)
            self._pump_soon()

    def fault(self) -> None:
        """Let one thing go wrong."""
        rng = self.rng
        alive = [b for b in self.boxes if b.is_alive]
        box = rng.choice(alive) if alive else None
        kind = rng.choice(("kill", "kill", "freeze", "cut", "drain", "away", "gateway", "gateway_freeze", "disk", "cancel",
                           "new", "expel", "field"))
        self.faults.append(f"{self.now:.2f} {kind}")
        if kind == "new" and len(alive) < 3:
            self.add_worker()
        elif kind == "gateway" and self.is_up:
            self.kill_gateway()
        elif kind == "gateway_freeze" and self.is_up:
            self.thaw = self.now + rng.choice((0.5, 8.0))
            # after a real pause the threads of ZeroMQ hand over late what has come meanwhile
            self.hears = self.thaw + rng.choice((0.0, 0.25))
        elif kind == "disk":
            self.disk_full = True
            self.later(rng.uniform(0.2, 4.0), lambda: setattr(self, "disk_full", False))
        elif kind == "cancel" and self.store.jobs and rng.random() < 0.5 and self.is_up and not self.disk_full:
            self.store.put("cancel", rng.choice(list(self.store.jobs)), None, lambda: None)
        elif box is None:
            return
        elif kind == "kill":
            box.is_alive = False
            self.disconnected(box)
        elif kind == "freeze":
            box.thaw = self.now + rng.choice((0.5, 3.0, 9.0))
            self.later(box.thaw - self.now, lambda: box.get(lambda: None))
        elif kind == "cut":
            box.cut_until = self.now + rng.choice((0.2, 2.0, 8.0))
        elif kind == "drain":
            box.get(lambda: box.m.drain(self.now))
        elif kind == "expel" and self.is_up:
            self.hub.expel([box.id], self.now)
        elif kind == "field":
            box.get(lambda: self._without_field(box))

    def _without_field(self, box: Box) -> None:
        """Take the field from a worker for a while."""
        box.m.advertise([], self.now)
        self.later(self.rng.uniform(0.1, 3.0), lambda: box.get(lambda: box.m.advertise([RECORD], self.now)))


def play(seed: int) -> World:
    """Play one schedule to its end and check what must hold; `AssertionError` tells what does not."""
    world = World(seed)
    rng = world.rng
    for _ in range(rng.choice((1, 2, 3))):
        world.add_worker()
    for k in range(rng.randrange(2, 7)):
        world.later(rng.uniform(0.0, 8.0), lambda k=k: world.submit(f"{rng.choice('abc')}{k}", rng.choice((1, 2, 5, 9))))
    for _ in range(rng.randrange(4)):
        world.later(rng.uniform(0.0, 8.0), world.ask)
    for _ in range(rng.randrange(1, 7)):
        world.later(rng.uniform(0.0, 10.0), world.fault)
    world.run(10.5)
    # From here on nothing goes wrong any more, and there is somebody to work.
    while world.now < 300.0 and not is_over(world):
        if not any(b.is_alive and not b.m.is_draining for b in world.boxes):
            world.add_worker()
        world.run(world.now + 1.0)
    check(world)
    return world


def is_over(world: World) -> bool:
    """Whether everything has come to an end."""
    return world.is_up and not world.store.open_chunks() and not world.hub.ledger.jobs and not world.store._pending


def check(world: World) -> None:
    """Check what must hold at the end of every schedule."""
    store, hub = world.store, world.hub
    assert is_over(world), f"still open: {[(c.id, c.job) for c in store.open_chunks()]}, {list(hub.ledger.jobs)}"
    for key, x in store.jobs.items():
        states = [state for chunk, state in store.chunks.values() if chunk.job == key]
        if key in store.cancelled:
            assert set(states) <= {"cancelled", "done", "split", "quarantined"}
            continue
        rows = [store.results.get((key, k), "missing") for k in range(len(x))]
        for k, row in enumerate(rows):
            assert not isinstance(row, str), f"row {k} of {key} is missing"
            if x[k] >= POISON:
                assert row is None, f"row {k} of {key} was to be given up"
            else:
                assert row is not None, f"row {k} of {key} was given up without being to blame"
                assert row == oracle(x[k])
    counts = hub.counters()
    assert counts.get("results_mismatch", 0) == 0 and counts.get("results_forged", 0) == 0
    assert counts.get("bad_control", 0) == 0 and counts.get("bad_results", 0) == 0
    done = sum(counts.get(f"jobs_{state}", 0) for state in ("done", "failed", "quarantined", "expired", "cancelled"))
    assert done == counts.get("jobs_added", 0)
    for worker in hub.ledger.workers.values():
        assert worker.n_bulk == sum(lease.job.cls == wire.BULK for lease in worker.leases.values())


def _copied(frames: list[Any]) -> list[bytes]:
    return [bytes(frame) for frame in frames]

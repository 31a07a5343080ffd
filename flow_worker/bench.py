"""What a worker holds and decides: jobs queued, running, done and not yet acknowledged; who computes what; who is to blame.

Pure: no sockets, no clock, no processes. Events come in as method calls with `now`, what is to be done comes out as
actions; `loop` and `children` carry them out, and a simulation can do so, too. What is said to the gateway and when is
the other half, `manners`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

from cfcore import wire
from cfcore.errors import DeadlineExceeded, InternalError

LIMIT_S = {wire.INTERACTIVE: 5.0, wire.BULK: 600.0}
"""How long one computation may take when the gateway does not say."""
SPAWN_PAUSE_S = (0.05, 2.0)
FIRST_ALONE_S = 1.0
OTHERS_LATER_S = 0.3
CHILDLESS_S = 3.0
PAUSED_S = 2.0
BOUNCES_AT_ONCE = 256

FieldKey = tuple[str, str]


class Say(NamedTuple):
    """Send a message on the control socket."""

    message: wire.Message


class Post(NamedTuple):
    """Send a result; when it cannot be sent now, tell `Manners.unsent`."""

    job: int
    frames: list[Any]


class Spawn(NamedTuple):
    """Start the child of a seat."""

    seat: int


class Run(NamedTuple):
    """Give a job to the idle child of a seat."""

    seat: int
    frames: list[Any]


class Kill(NamedTuple):
    """End the child of a seat; `is_asked` when it should first say in its log where it was."""

    seat: int
    is_asked: bool


class Join(NamedTuple):
    """Connect lane and results."""

    lane: int | str
    results: int | str


class Rejoin(NamedTuple):
    """Connect the control socket anew."""


class Leave(NamedTuple):
    """End the process."""


Action = Say | Post | Spawn | Run | Kill | Join | Rejoin | Leave


class Gone(NamedTuple):
    """How a child ended: by a signal or with a code, what it last said, and whether it ran into its memory limit."""

    signal: int | None
    code: int | None
    stderr: str = ""
    is_memory: bool = False


@dataclass(slots=True, eq=False)
class Held:
    """A job that is here. `attempt` and `token` are those of the newest lease."""

    job: wire.Job
    frames: list[Any]
    deadline: float
    attempt: int
    token: bytes
    seat: int | None = None
    is_wanted: bool = True


@dataclass(slots=True, eq=False)
class Seat:
    """A place for one child: away, starting, idle, busy or doomed (killed, but not yet known to be dead)."""

    state: str = "away"
    held: Held | None = None
    begun: float = 0.0
    until: float = inf
    due: float = 0.0
    pause: float = SPAWN_PAUSE_S[0]
    is_timeout: bool = False


@dataclass(slots=True, eq=False)
class Done:
    """A result, kept until the gateway has it; `due` is when it is sent again. A crash is not final: it may go better."""

    frames: list[Any]
    cls: str
    is_final: bool = True
    due: float = 0.0
    wait_s: float = 0.0
    times: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Facts:
    """What HELLO says of a worker beside its fields."""

    name: bytes
    host: str = ""
    pid: int = 0
    version: str = "0"
    abi: int = 0
    slots: int = 1
    reserve: int = 0


@dataclass(eq=False)
class Bench:
    """Keep the jobs of one worker.

    Parameters
    ----------
    facts : Facts
        Of which `slots` children compute at the same time; bulk jobs leave `reserve` of them alone.
    """

    facts: Facts
    keys: frozenset[FieldKey] = frozenset()
    actions: list[Action] = field(default_factory=list)
    held: dict[int, Held] = field(default_factory=dict)
    outbox: dict[int, Done] = field(default_factory=dict)
    refusal: str | None = None
    """Why no child can ever run here; the worker must end."""

    def __post_init__(self) -> None:
        # One child starts first: on a machine that is busy starting, the whole house is ready sooner.
        self.seats = [Seat(due=-inf if k == 0 else inf) for k in range(self.facts.slots)]
        self.is_started = False
        self._idle: list[int] = []
        self._waiting: dict[str, deque[Held]] = {cls: deque() for cls in wire.CLASSES}
        self._bounces: dict[str, list[tuple[int, bytes]]] = {}
        self._last_tick: float | None = None
        self._childless_since: float | None = None

    # Jobs

    def take(self, job: wire.Job, frames: list[Any], now: float) -> None:
        """Queue a job that has been found good, and start it when a child is free."""
        deadline = now + job.ms / 1000 if job.ms else inf
        held = self.held[job.j] = Held(job, frames, deadline, job.a, job.tok)
        self._waiting[job.cls].append(held)
        self._deal(now)

    def bounce(self, job: int, token: bytes, why: str) -> None:
        """Give a job back."""
        self._bounces.setdefault(why[:200], []).append((job, token))

    def drop(self, held: Held) -> None:
        """Forget a job without a word. A bulk job that runs is stopped; an interactive one is as good as done."""
        self.held.pop(held.job.j, None)
        held.is_wanted = False
        if held.seat is not None and held.job.cls == wire.BULK:
            self._doom(held.seat, is_timeout=False)

    def bounce_queued(self, why: str, *, cls: str = "", only_missing: bool = False) -> None:
        """Give back what has not begun: all of it, that of one class, or that of fields which are not here any more."""
        for held in [h for h in self.held.values() if h.seat is None]:
            if only_missing and self.has(held.job) or cls not in ("", held.job.cls):
                continue
            self.drop(held)
            self.bounce(held.job.j, held.token, self.missing(held.job) if only_missing else why)

    def has(self, job: wire.Job) -> bool:
        """Whether the field of a job is here in its version."""
        return (job.f, job.fv) in self.keys

    @staticmethod
    def missing(job: wire.Job) -> str:
        """Say that a field is not here."""
        return f"no field {job.f} version {job.fv[:8]} here"

    def is_running(self, cls: str = "") -> bool:
        """Whether a child computes something that is wanted (of one class)."""
        return any(seat.held and seat.held.is_wanted and cls in ("", seat.held.job.cls) for seat in self.seats)

    def current(self, now: float) -> list[tuple[int, int]]:
        """Return (job, milliseconds) of what is computed."""
        return [(seat.held.job.j, max(0, int(1000 * (now - seat.begun))))
                for seat in self.seats if seat.held and seat.held.is_wanted]

    def _deal(self, now: float) -> None:
        """Give waiting jobs to idle children, interactive ones first."""
        while self._idle:
            held = self._next(now)
            if held is None:
                return
            number = self._idle.pop()
            seat = self.seats[number]
            limit = held.job.limit / 1000 or LIMIT_S[held.job.cls]
            seat.state, seat.held, seat.begun, seat.until = "busy", held, now, now + limit
            held.seat = number
            self.actions.append(Run(number, held.frames))

    def _next(self, now: float) -> Held | None:
        for cls in wire.CLASSES:
            waiting = self._waiting[cls]
            while waiting:
                # Children that are not there count as busy with bulk: what is left of the reserve stays free.
                if cls == wire.BULK and self._for_all() <= self.facts.reserve:
                    return None
                held = waiting.popleft()
                if not held.is_wanted:
                    continue
                if now <= held.deadline:
                    return held
                late = DeadlineExceeded("the request waited in the worker until its time was over")
                self._finish(held, self._fault(held, "error", late.as_dict(), 0), now)
        return None

    def _for_all(self) -> int:
        """Count the children that bulk jobs have left: idle, or busy with an interactive job."""
        return sum(seat.state == "idle" or seat.state == "busy" and seat.held is not None
                   and seat.held.job.cls == wire.INTERACTIVE for seat in self.seats)

    def _finish(self, held: Held, frames: list[Any], now: float, *, is_final: bool = True) -> None:
        if held.is_wanted:
            held.is_wanted = False
            self.held.pop(held.job.j, None)
            self.finished(held.job.j, Done(frames, held.job.cls, is_final), now)

    def finished(self, job: int, done: Done, now: float) -> None:
        """Keep a result; `Manners` sends it."""
        self.outbox[job] = done

    def _fault(self, held: Held, state: str, err: dict[str, Any], us: int) -> list[Any]:
        job = held.job
        return wire.pack(wire.Result(
            j=job.j, a=held.attempt, tok=held.token, w=self.facts.name, st=state, n=0, us=us, err=err,
            prov={"cf": self.facts.version, "fv": job.fv[:8], "abi": self.facts.abi}))

    # Children

    def ready(self, number: int, now: float) -> None:
        """Take note that a child can compute."""
        seat = self.seats[number]
        if seat.state != "starting":
            return
        seat.state, seat.pause = "idle", SPAWN_PAUSE_S[0]
        self._idle.append(number)
        if not self.is_started:
            self.is_started = True
            for other in self.seats:
                if other.state == "away":
                    other.due = now + OTHERS_LATER_S
        self._deal(now)

    def answered(self, number: int, frames: list[Any], now: float) -> None:
        """Take the result of a child's job."""
        held = self._stand_up(number)
        if held:
            self._finish(held, frames, now)
        self._deal(now)

    def declined(self, number: int, why: str, now: float) -> None:
        """Give back a job whose field a child could not find."""
        held = self._stand_up(number)
        if held and held.is_wanted:
            self.drop(held)
            self.bounce(held.job.j, held.token, why)
        self._deal(now)

    def _stand_up(self, number: int) -> Held | None:
        seat = self.seats[number]
        held, seat.held, seat.until = seat.held, None, inf
        if held:
            held.seat = None
        if seat.state == "busy":
            seat.state = "idle"
            self._idle.append(number)
        return held

    def gone(self, number: int, how: Gone, now: float) -> None:
        """Blame the job that a dead child ran, and only that; another child takes the seat."""
        seat = self.seats[number]
        is_new, is_timeout, us = seat.state == "starting", seat.is_timeout, int(1e6 * max(0.0, now - seat.begun))
        if number in self._idle:
            self._idle.remove(number)
        seat.state, seat.is_timeout = "away", False
        held = self._stand_up(number)
        if is_new:
            if how.code == 2 and not self.is_started:
                self.refusal = how.stderr.strip().rpartition("\n")[2] or "a compute process refused to start"
            seat.due, seat.pause = now + seat.pause, min(2 * seat.pause, SPAWN_PAUSE_S[1])
        else:
            seat.due = now
        if held and held.is_wanted:
            if not is_timeout and not self.has(held.job):
                # the field was taken away under the child: that is not the job's fault
                self.drop(held)
                self.bounce(held.job.j, held.token, self.missing(held.job))
            else:
                state, err = _blame(held.job, how, is_timeout, us)
                self._finish(held, self._fault(held, state, err, us), now, is_final=False)
        self._spawn(now)

    def _doom(self, number: int, *, is_timeout: bool) -> None:
        seat = self.seats[number]
        if seat.state == "busy":
            seat.state, seat.is_timeout, seat.until = "doomed", is_timeout, inf
            self.actions.append(Kill(number, is_timeout))

    def _spawn(self, now: float) -> None:
        for number, seat in enumerate(self.seats):
            if seat.state == "away" and now >= seat.due:
                seat.state = "starting"
                self.actions.append(Spawn(number))
                if not self.is_started:
                    for other in self.seats:
                        other.due = min(other.due, now + FIRST_ALONE_S)

    # Time

    def keep_limits(self, now: float) -> None:
        """Stop what takes too long, start children that are due, give back what nobody here can compute."""
        last, self._last_tick = self._last_tick, now
        if last is not None and now - last > PAUSED_S:
            # This whole worker stood still; its children, too, had no time to finish.
            for seat in self.seats:
                seat.begun, seat.until = seat.begun + now - last, seat.until + now - last
        if now >= self.next_limit():
            for number, seat in enumerate(self.seats):
                if now >= seat.until:
                    self._doom(number, is_timeout=True)
            self._spawn(now)
        if any([seat.state in ("idle", "busy", "doomed") for seat in self.seats]):
            self._childless_since = None
        elif self._childless_since is None:
            self._childless_since = now
        elif now - self._childless_since >= CHILDLESS_S:
            self.bounce_queued("no compute process runs here")

    def flush_bounces(self) -> None:
        """Turn what is to be given back into messages."""
        for why, jobs in self._bounces.items():
            for k in range(0, len(jobs), BOUNCES_AT_ONCE):
                self.actions.append(Say(wire.Bounce(jobs[k:k + BOUNCES_AT_ONCE], why)))
        self._bounces.clear()

    def next_limit(self) -> float:
        """Return when `keep_limits` has something to do."""
        moment = inf
        for seat in self.seats:
            if seat.until < moment:
                moment = seat.until
            if seat.due < moment and seat.state == "away":
                moment = seat.due
        return moment


def _blame(job: wire.Job, how: Gone, is_timeout: bool, us: int) -> tuple[str, dict[str, Any]]:
    """Put in words, without any place of this machine, why a job ended its child."""
    way_out = "ask again with fewer rows; if it happens again, one of them is the cause"
    if is_timeout:
        state, code = "timeout", "compute_timeout"
        said = f"the computation was stopped after {us / 1e6:.1f} s, the limit of one job; {way_out}"
    elif how.is_memory:
        state, code = "crash", "memory_limit"
        said = f"the computation asked for more memory than one job may have; {way_out}"
    else:
        state, code = "crash", "worker_crash"
        end = f"signal {how.signal}" if how.signal is not None else f"exit code {how.code}"
        said = f"the process that computed this request died ({end}); {way_out}"
    # ASCII, so that the limit counts bytes, too: text on the wire has at most 4,096
    tail = how.stderr.encode("ascii", "replace").decode("ascii")[-2000:]
    return state, InternalError(said, code=code, extra={"stderr": tail, "signal": how.signal}).as_dict()

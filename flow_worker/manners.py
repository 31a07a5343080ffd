"""What a worker says to the gateway, when, and what it makes of the answers: HELLO, heartbeats, results until the ACK.

Pure, like the `bench` it keeps. `docs/wire.md` has the rules; sockets and time are `loop`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any

from cfcore import wire

from .bench import Action, Bench, Done, Facts, Join, Leave, Post, Rejoin, Say

RESEND_S, RESEND_MAX_S = 2.0, 30.0
AGAIN_S = 0.05
SEND_AT_MOST = {wire.INTERACTIVE: 10, wire.BULK: 100}
OUTBOX_MAX = 256
OUTBOX_BYTES = 256 << 20
DRAIN_S = 30.0
DESERTED_S = 1.0
HELLO_AGAIN_S = 1.0
SILENCE_S = 4.0
RENEW_S = 15.0
"""HELLO is said again after this time: one that was lost on its way must not leave the gateway with old news for ever."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the gateway told us in its WELCOME."""

    gid: bytes = b""
    epoch: int = 0
    lane: int | str = ""
    results: int | str = ""
    hb_s: float = 1.0
    ttl_s: float = SILENCE_S
    credit: int = 1


class Manners(Bench):
    """Be a worker, as pure data and rules.

    Feed it events (`heard`, `offered`, `ready`, `answered`, `declined`, `gone`, `advertise`, `drain`), call `tick` before each
    wait and no later than `due`, carry out what `do` returns.

    Parameters
    ----------
    facts : Facts
    now : float, s
        Any monotonic time.
    """

    def __init__(self, facts: Facts, now: float) -> None:
        super().__init__(facts)
        self.session = Session()
        self.fields: list[dict[str, Any]] = []
        self.rss_mb = 0
        self.is_draining = self.is_alone = self.has_left = False
        self._can_talk = True
        self._is_fresh = False
        self._has_told = False
        self._leave_by = inf
        self._hello_due: float = now
        self._heard = self._next_beat = now
        self._seq = 0
        self._resend_at = inf
        self._outbox_bytes = 0

    def do(self) -> list[Action]:
        """Return what is to be done, in this order, and forget it."""
        if self._bounces:
            self.flush_bounces()
        done, self.actions = self.actions, []
        return done

    # In

    def heard(self, message: wire.Message, now: float) -> None:
        """Take a message of the gateway."""
        self._heard = now
        if isinstance(message, wire.Ack):
            for job in message.jobs:
                self._forget(job)
        elif isinstance(message, wire.Welcome):
            self._welcome(message, now)
        elif isinstance(message, wire.Who):
            self._hello_due = min(self._hello_due, now)
        elif isinstance(message, wire.Cancel):
            for job in message.jobs:
                self._forget(job)
                if held := self.held.get(job):
                    self.drop(held)
                    self.bounce(job, held.token, "cancelled")
        elif isinstance(message, wire.AskDrain):
            self.drain(now)

    def _welcome(self, welcome: wire.Welcome, now: float) -> None:
        old = self.session
        self.session = new = Session(welcome.gid, welcome.epoch, welcome.lane, welcome.results, welcome.hb_ms / 1000,
                                     welcome.ttl_ms / 1000, welcome.credit)
        self._hello_due, self.is_alone = now + RENEW_S, False
        self._next_beat = min(self._next_beat, now + new.hb_s)
        if (new.gid, new.epoch, new.lane) == (old.gid, old.epoch, old.lane):
            return
        self._is_fresh = False
        self._has_told = False
        if new.gid != old.gid:
            unwanted = list(self.held.values())
            stale = list(self.outbox)
        elif new.epoch != old.epoch:
            # Started again: nobody waits for interactive answers any more, but bulk jobs are stored and still wanted.
            unwanted = [held for held in self.held.values() if held.job.cls == wire.INTERACTIVE]
            stale = [job for job, done in self.outbox.items() if done.cls == wire.INTERACTIVE]
        else:
            # The gateway had given us up, or we have a new lane: what has not begun goes back, it may run elsewhere.
            unwanted = []
            stale = []
            self.bounce_queued("joined anew")
        for held in unwanted:
            self.drop(held)
        for job in stale:
            self._forget(job)
        self.actions.append(Join(new.lane, new.results))
        for done in self.outbox.values():
            done.due, done.wait_s, done.times = now, RESEND_S, 0
        self._resend_at = now if self.outbox else inf

    def offered(self, job: wire.Job, frames: list[Any], now: float) -> None:
        """Take a job from the lane, or give it back with the reason."""
        done = self.outbox.get(job.j)
        if done and not done.is_final:
            # the gateway has taken note of the crash: this is the next attempt
            self._forget(job.j)
            done = None
        if done:
            self._send(job.j, done, now)
        elif held := self.held.get(job.j):
            # sent twice; the answer will carry the older token, which is as good
            held.attempt, held.token = job.a, job.tok
        elif job.w != self.facts.name:
            self.bounce(job.j, job.tok, "not for me")
        elif self.is_draining:
            self.bounce(job.j, job.tok, "draining")
        elif len(self.held) >= self.session.credit + self.facts.slots or self._is_full():
            # what runs since before the gateway gave us up is not in its count
            self.bounce(job.j, job.tok, "full")
        elif not self.has(job):
            self.bounce(job.j, job.tok, self.missing(job))
        else:
            self.take(job, frames, now)

    def _is_full(self) -> bool:
        return len(self.outbox) >= OUTBOX_MAX or self._outbox_bytes >= OUTBOX_BYTES

    def advertise(self, fields: list[dict[str, Any]], now: float) -> None:
        """Serve these fields from now on and say so; what waits for another one goes back."""
        self.fields = fields
        self.keys = frozenset((str(record["id"]), str(record["sha"])) for record in fields)
        self.bounce_queued("", only_missing=True)
        self._hello_due = min(self._hello_due, now)

    def drain(self, now: float) -> None:
        """Take nothing new, finish what is held, leave. Bulk jobs that have not begun go back at once."""
        if not self.is_draining:
            self.is_draining, self._leave_by = True, now + DRAIN_S

    # Results

    def finished(self, job: int, done: Done, now: float) -> None:
        """Put a result into the outbox and send it."""
        done.wait_s = RESEND_S
        self.outbox[job] = done
        done.size = sum(map(len, done.frames))
        self._outbox_bytes += done.size
        self._send(job, done, now)

    def unsent(self, job: int, now: float) -> None:
        """Take note that the socket did not take a result."""
        if done := self.outbox.get(job):
            done.times -= 1
            done.due = now + AGAIN_S
            self._resend_at = min(self._resend_at, done.due)

    def _send(self, job: int, done: Done, now: float) -> None:
        done.times += 1
        done.due = now + done.wait_s
        self._resend_at = min(self._resend_at, done.due)
        self.actions.append(Post(job, done.frames))

    def _resend(self, now: float) -> None:
        for job, done in list(self.outbox.items()):
            if now < done.due:
                continue
            if done.times >= SEND_AT_MOST[done.cls]:
                # A gateway that lives and never acknowledges does not know the job.
                self._forget(job)
                continue
            if done.times:
                done.wait_s = min(2 * done.wait_s, RESEND_MAX_S)
            self._send(job, done, now)
        self._resend_at = min((done.due for done in self.outbox.values()), default=inf)

    def _forget(self, job: int) -> None:
        if done := self.outbox.pop(job, None):
            self._outbox_bytes -= done.size

    # Time

    def tick(self, now: float, can_talk: bool = True) -> None:
        """Do what is due; `can_talk`: whether the control socket would take a message now."""
        if self.has_left:
            return
        self._can_talk = can_talk
        self.keep_limits(now)
        if now >= self._resend_at:
            self._resend(now)
        if now - self._heard > self.session.ttl_s:
            self.is_alone = True
            self._heard = now
            self.actions.append(Rejoin())
            self._is_fresh = True
            self._hello_due = min(self._hello_due, now)
        if now >= self._next_beat:
            self._next_beat = now + self.session.hb_s
            if self.session.gid and can_talk:
                self._seq += 1
                self._say(wire.Heartbeat(self._seq, self._pairs(), list(self.outbox), self.rss_mb, self.current(now)))
        if self.wants_to_greet(now) and can_talk:
            f = self.facts
            self._say(wire.Hello(f.host, f.pid, f.version, self.fields, f.slots, f.reserve, f.abi, self._pairs(),
                                 list(self.outbox), self._is_fresh))
            self._hello_due = now + HELLO_AGAIN_S
        if self.is_draining:
            self._go(now, can_talk)

    def has_words(self, now: float) -> bool:
        """Whether `tick` would say something if it could."""
        return now >= self._next_beat or self.is_draining or self.wants_to_greet(now)

    def wants_to_greet(self, now: float) -> bool:
        """Whether HELLO is due: a child can compute, and the gateway does not know it yet."""
        return self.is_started and not self.is_draining and now >= self._hello_due

    def _go(self, now: float, can_talk: bool) -> None:
        if not self._has_told and can_talk:
            self._has_told = True
            self._say(wire.Drain())
            self.bounce_queued("draining", cls=wire.BULK)
        # Nobody is left to acknowledge a result, or to want an interactive one, when the gateway, too, has gone.
        is_deserted = not self.session.gid or now - self._heard > DESERTED_S
        is_done = not self.is_running(wire.BULK) if is_deserted else not self.held and not self.outbox
        if not is_done and now <= self._leave_by:
            return
        self.has_left = True
        if can_talk:
            for held in list(self.held.values()):
                self.drop(held)
                self.bounce(held.job.j, held.token, "the time to finish was over")
            self.flush_bounces()
            self._say(wire.Bye())
        self.actions.append(Leave())

    def due(self, now: float) -> float:
        """Return when `tick` must be called next, whatever else happens."""
        due = min(self._next_beat, self._heard + self.session.ttl_s, self._resend_at, self.next_limit())
        if self.is_draining:
            return min(due, self._leave_by, now + 0.1)
        if self.is_started and (self._can_talk or self._hello_due > now):
            return min(due, self._hello_due)
        return due

    def _say(self, message: wire.Message) -> None:
        self.actions.append(Say(message))

    def _pairs(self) -> list[tuple[int, int]]:
        return [(held.job.j, held.attempt) for held in self.held.values()]

"""The state machine alone: rules one by one, then thousands of random schedules."""

from __future__ import annotations

import random
from itertools import count

import pytest

from cfcore.messages import BULK, INTERACTIVE
from gateway.leases import MAX_CREDIT, State, Verdict
from gateway.ledger import Ledger

A, B = ("a", "1"), ("b", "1")


IDS = count(1)


def sign(job, attempt, worker):
    return b"%d,%d,%s" % (job, attempt, worker)


def new_ledger(**options):
    return Ledger(sign, **options)


def join(ledger, name, fields=(A,), slots=1, now=0.0):
    worker = ledger.hello(name.encode(), fields, slots, now)
    ledger.open_lane(worker, True)
    return worker


def add(ledger, n=1, field=A, deadline=1e9, **more):
    return [ledger.add(next(IDS), field, k, deadline, **more) for k in range(n)]


def answer(ledger, lease, state="ok", sha=b""):
    return ledger.result(lease.job.id, lease.attempt, lease.token, lease.worker.id, state, sha)


def test_job_goes_to_a_worker_that_has_its_field_and_version():
    ledger = new_ledger()
    join(ledger, "old", [("a", "0"), B])
    job, = add(ledger)
    assert ledger.assign() == []
    right = join(ledger, "right", [A])
    assert [(lease.job, lease.worker) for lease in ledger.assign()] == [(job, right)]


def test_credit_is_never_exceeded():
    ledger = new_ledger()
    worker = join(ledger, "w", slots=2)
    add(ledger, 10)
    assert len(ledger.assign()) == worker.slots + 1 == 3
    add(ledger, 10, cls=BULK)
    assert len(ledger.assign()) == 3 and len(worker.leases) == worker.credit
    assert join(ledger, "big", slots=64).credit == MAX_CREDIT


def test_least_busy_worker_gets_the_next_job():
    ledger = new_ledger()
    join(ledger, "v"), join(ledger, "w")
    add(ledger, 2)
    assert {lease.worker.id for lease in ledger.assign()} == {b"v", b"w"}


def test_closed_lane_draining_or_suspect_worker_gets_nothing():
    ledger = new_ledger()
    ledger.open_lane(join(ledger, "closed"), False)
    ledger.drain(join(ledger, "draining"), 0.0)
    ledger.reach(join(ledger, "suspect"), False, 0.0)
    add(ledger)
    assert ledger.assign() == []


def test_lost_worker_gives_its_jobs_back_to_the_front_in_order():
    ledger = new_ledger()
    join(ledger, "w", slots=2)
    jobs = add(ledger, 5)
    ledger.assign()
    assert [worker.id for worker in ledger.tick(5.0)] == [b"w"]
    assert ledger.queued(A) == jobs
    assert [job.losses for job in jobs] == [1, 1, 1, 0, 0]


def test_broken_connection_has_a_grace_time():
    ledger = new_ledger(grace_s=0.3)
    worker = join(ledger, "w")
    ledger.reach(worker, False, 1.0)
    assert ledger.tick(1.2) == []
    ledger.reach(worker, True, 1.25)
    assert ledger.tick(1.4) == []
    ledger.reach(worker, False, 1.5)
    assert ledger.tick(1.9) == [worker]


def test_job_that_has_seen_three_workers_die_runs_alone_and_is_given_up_at_twelve():
    ledger = new_ledger()
    poison, innocent = add(ledger, 2)
    for k in range(12):
        worker = join(ledger, f"w{k}")
        leases = ledger.assign()
        assert [lease.job for lease in leases] == ([poison, innocent] if k < 3 else [poison])
        ledger.lose(worker)
    assert ledger.take_ended() == [poison]
    assert poison.state is State.QUARANTINED and poison.error.code == "worker_lost"
    assert innocent.losses == 3 and ledger.queued(A) == [innocent]


def test_job_that_must_run_alone_is_not_starved_by_a_busy_line():
    ledger = new_ledger(alone_at=1)
    suspect, = add(ledger)
    ledger.lose(join(ledger, "idle"))
    worker = join(ledger, "first")
    ledger.assign()
    ledger.lose(worker)
    worker = join(ledger, "second", [B])
    busy, = add(ledger, field=B)
    lease, = ledger.assign()
    assert lease.job is busy
    join(ledger, "second", [A, B])
    for _ in range(3):
        add(ledger, field=B)
        assert ledger.assign() == []
    answer(ledger, lease)
    assert [lease.job for lease in ledger.assign()] == [suspect]


@pytest.mark.parametrize("state", ["crash", "timeout"])
def test_third_crash_puts_a_job_into_quarantine_and_no_neighbour_is_blamed(state):
    ledger = new_ledger()
    join(ledger, "w", slots=4)
    bad, good = add(ledger, 2)
    for k in range(3):
        lease = next(lease for lease in ledger.assign() if lease.job is bad)
        assert answer(ledger, lease, state) is (Verdict.REQUEUED if k < 2 else Verdict.ACCEPTED)
    assert bad.state is State.QUARANTINED and good.state is State.LEASED and ledger.counts[f"requeued_{state}"] == 2


def test_suspicion_counts_as_crashes():
    ledger = new_ledger()
    join(ledger, "w")
    job, = add(ledger, suspicion=2)
    lease, = ledger.assign()
    assert answer(ledger, lease, "crash") is Verdict.ACCEPTED and job.state is State.QUARANTINED


def test_late_crash_of_an_attempt_that_was_given_up_blames_nobody():
    ledger = new_ledger()
    slow = join(ledger, "slow")
    job, = add(ledger)
    early, = ledger.assign()
    ledger.lose(slow)
    join(ledger, "fast")
    ledger.assign()
    for _ in range(5):
        assert answer(ledger, early, "crash") is Verdict.DUPLICATE
    assert job.state is State.LEASED and job.crashes_left == 3


def test_reserved_slot_takes_interactive_jobs_only():
    ledger = new_ledger(prefetch=0)
    worker = ledger.hello(b"w", [A], 3, 0.0, reserve=1)
    ledger.open_lane(worker, True)
    add(ledger, 9, cls=BULK)
    assert len(ledger.assign()) == 2
    quick, *_ = add(ledger, 2, cls=INTERACTIVE)
    assert quick in [lease.job for lease in ledger.assign()]


def test_interactive_jobs_go_before_bulk_jobs():
    ledger = new_ledger(prefetch=0)
    slow, = add(ledger, cls=BULK)
    quick, = add(ledger)
    join(ledger, "w")
    assert [lease.job for lease in ledger.assign()][0] is quick


def test_owners_take_turns():
    ledger = new_ledger(prefetch=0)
    many = add(ledger, 5, cls=BULK, owner="many")
    few = add(ledger, 2, cls=BULK, owner="few")
    assert ledger.ahead_of(few[0].id) <= 1 and ledger.ahead_of(few[1].id) <= 3 and ledger.ahead_of(many[4].id) == 6
    worker = join(ledger, "w")
    order = []
    while ledger.jobs:
        lease, = ledger.assign()
        order.append(lease.job)
        answer(ledger, lease)
    assert order == [many[0], few[0], many[1], few[1], *many[2:]] and not worker.leases


def test_bulk_jobs_wait_while_they_are_paused():
    ledger = new_ledger()
    join(ledger, "w")
    add(ledger, 2, cls=BULK)
    quick, = add(ledger)
    ledger.is_bulk_paused = True
    assert [lease.job for lease in ledger.assign()] == [quick]
    ledger.is_bulk_paused = False
    assert len(ledger.assign()) == 2


def test_worker_that_comes_with_jobs_of_a_former_life_keeps_them():
    ledger = new_ledger()
    held, done, other = add(ledger, 3, cls=BULK)
    worker = ledger.hello(b"w", [A], 4, 0.0, held=[(held.id, 5)], out=[done.id, 999])
    ledger.open_lane(worker, True)
    assert [lease.job for lease in ledger.assign()] == [other]
    assert ledger.result(held.id, 5, sign(held.id, 5, b"w"), b"w", "ok") is Verdict.ACCEPTED
    assert ledger.result(done.id, 2, sign(done.id, 2, b"w"), b"w", "ok") is Verdict.ACCEPTED
    assert set(worker.leases) == {other.id} and ledger.counts["adopted"] == 2


def test_second_result_with_other_columns_is_a_mismatch():
    ledger = new_ledger()
    join(ledger, "w")
    add(ledger)
    lease, = ledger.assign()
    answer(ledger, lease, sha=b"1")
    answer(ledger, lease, sha=b"1")
    assert ledger.counts["results_mismatch"] == 0
    assert answer(ledger, lease, sha=b"2") is Verdict.DUPLICATE and ledger.counts["results_mismatch"] == 1


def test_worker_without_the_field_after_all_is_not_asked_again():
    ledger = new_ledger()
    worker = join(ledger, "w")
    add(ledger)
    lease, = ledger.assign()
    ledger.bounce([(lease.job.id, lease.token)], "no field a in version 1")
    assert ledger.assign() == [] and not worker.fields


def test_first_result_wins_and_later_ones_are_duplicates():
    ledger = new_ledger()
    slow = join(ledger, "slow")
    job, = add(ledger)
    early, = ledger.assign()
    ledger.lose(slow)
    fast = join(ledger, "fast")
    late, = ledger.assign()
    assert early.token != late.token
    assert answer(ledger, early) is Verdict.ACCEPTED
    assert answer(ledger, late) is Verdict.DUPLICATE
    assert job.state is State.DONE and not fast.leases and ledger.counts["results_duplicate"] == 1


def test_result_with_a_wrong_token_changes_nothing():
    ledger = new_ledger()
    worker = join(ledger, "w")
    job, waiting, third = add(ledger, 3)
    ledger.assign()
    for j in (job.id, waiting.id, third.id, 0, 99):
        assert ledger.result(j, 1, 16 * b"?", b"w", "ok") is Verdict.FORGED
    assert job.state is State.LEASED and third.state is State.QUEUED and set(worker.leases) == {job.id, waiting.id}


def test_job_missing_from_two_heartbeats_is_sent_again():
    ledger = new_ledger()
    worker = join(ledger, "w")
    job, = add(ledger)
    ledger.assign()
    ledger.heartbeat(worker, set(), 1.0)
    ledger.heartbeat(worker, {job.id}, 2.0)
    ledger.heartbeat(worker, set(), 3.0)
    assert job.state is State.LEASED
    ledger.heartbeat(worker, set(), 4.0)
    assert job.state is State.QUEUED and not worker.leases and job.losses == 0


def test_bounce_needs_the_token_of_the_lease():
    ledger = new_ledger()
    join(ledger, "w")
    job, = add(ledger)
    lease, = ledger.assign()
    ledger.bounce([(job.id, 16 * b"?"), (77, 16 * b"?")])
    assert job.state is State.LEASED
    ledger.bounce([(job.id, lease.token)])
    assert ledger.queued(A) == [job]
    ledger.bounce([(job.id, lease.token)])
    assert ledger.queued(A) == [job]


def test_expired_job_keeps_the_credit_until_the_worker_is_through():
    ledger = new_ledger()
    worker = join(ledger, "w")
    job, = add(ledger, deadline=1.0)
    lease, = ledger.assign()
    ledger.tick(2.0)
    assert ledger.take_ended() == [job] and job.state is State.EXPIRED
    assert set(worker.leases) == {job.id}
    assert answer(ledger, lease) is Verdict.DUPLICATE
    assert not worker.leases


def test_cancelled_job_leaves_the_queue():
    ledger = new_ledger()
    job, = add(ledger)
    ledger.cancel(job)
    ledger.cancel(job)
    assert not ledger.queued(A) and not ledger.jobs and ledger.active(A) == 0


def test_leaving_worker_is_not_blamed():
    ledger = new_ledger()
    worker = join(ledger, "w")
    job, = add(ledger)
    ledger.assign()
    ledger.lose(worker, is_blamed=False)
    assert job.losses == 0 and ledger.queued(A) == [job]


class Play:
    """One random schedule: messages get lost, late, doubled; workers die, hang, return, drain; results are forged."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.ledger = Ledger(sign, ttl_s=4.0, max_losses=10**6)
        self.now = 0.0
        self.names = count()
        self.real = {}      # worker id -> the jobs (job id -> attempt) the process has, dead or alive
        self.dead = set()
        self.flying = []    # results on their way
        self.jobs = []
        self.ends = {}

    def end(self, job):
        self.ends[job.id] = self.ends.get(job.id, 0) + 1

    def known(self):
        return sorted((w for w in self.ledger.workers.values()), key=lambda w: w.id)

    def step(self):
        rng, ledger = self.rng, self.ledger
        act = rng.randrange(14)
        self.now += rng.random() * 0.4
        workers = self.known()
        worker = rng.choice(workers) if workers else None
        if act <= 1:
            self.jobs.append(ledger.add(next(IDS), rng.choice((A, B)), None, self.now + rng.choice((3.0, 30.0, 300.0)),
                                        cls=rng.choice((BULK, INTERACTIVE)), owner=rng.choice("abc")))
        elif act == 2 and len(workers) < 4:
            name = next(self.names).to_bytes(16, "big")
            slots = rng.randrange(1, 20)
            ledger.open_lane(ledger.hello(name, rng.choice(([A], [B], [A, B])), slots, self.now,
                                          reserve=rng.randrange(slots)), True)
            self.real[name] = {}
        elif act <= 5:
            self.assign(loss=0.1)
        elif act <= 7 and worker and worker.id not in self.dead:
            self.compute(worker.id)
        elif act == 8 and self.flying:
            k = rng.randrange(len(self.flying))
            self.deliver(*(self.flying[k] if rng.random() < 0.3 else self.flying.pop(k)))
        elif act == 9 and worker and worker.id not in self.dead:
            out = {job_id for job_id, _, worker_id in self.flying if worker_id == worker.id}
            ledger.heartbeat(worker, set(self.real[worker.id]) | out, self.now)
        elif act == 10 and worker:
            held = list(self.real[worker.id].items())
            ledger.bounce([(job_id, sign(job_id, attempt, worker.id)) for job_id, attempt in held[:1]])
            if held:
                del self.real[worker.id][held[0][0]]
        elif act == 11 and worker:
            fate = rng.randrange(5)
            if fate == 0:
                self.dead.add(worker.id)
                ledger.reach(worker, False, self.now)
            elif fate == 1:
                ledger.reach(worker, rng.random() < 0.5, self.now)
            elif fate == 2:
                ledger.drain(worker, self.now)
            elif fate == 3:
                ledger.lose(worker, is_blamed=rng.random() < 0.5)
            else:
                ledger.open_lane(worker, rng.random() < 0.7)
        elif act == 12 and self.jobs:
            job = rng.choice(self.jobs)
            if rng.random() < 0.5:
                before = job.state
                ledger.result(job.id, 1, rng.randbytes(16), worker.id if worker else b"", "ok")
                assert job.state is before
            elif job.id in ledger.jobs:
                ledger.cancel(job)
                self.end(job)
        else:
            self.tick()
        self.check()

    def assign(self, loss):
        for lease in self.ledger.assign():
            assert lease.job.field in lease.worker.fields
            if self.rng.random() < loss:
                if self.rng.random() < 0.5:
                    self.ledger.unsend(lease)
            elif lease.worker.id not in self.dead:
                self.real[lease.worker.id][lease.job.id] = lease.attempt

    def compute(self, worker_id):
        held = self.real[worker_id]
        if held:
            job_id = self.rng.choice(list(held))
            self.flying.append((job_id, held.pop(job_id), worker_id))

    def deliver(self, job_id, attempt, worker_id):
        job = self.ledger.jobs.get(job_id)
        state = self.rng.choice(("ok", "ok", "ok", "ok", "error", "crash"))
        verdict = self.ledger.result(job_id, attempt, sign(job_id, attempt, worker_id), worker_id, state)
        assert verdict is not Verdict.FORGED
        assert (verdict is Verdict.ACCEPTED) == (job is not None and job.id not in self.ledger.jobs)
        assert state == "crash" or (verdict is Verdict.ACCEPTED) == (job is not None)
        if verdict is Verdict.ACCEPTED:
            self.end(job)

    def tick(self):
        self.ledger.tick(self.now)

    def check(self):
        ledger = self.ledger
        for job in ledger.take_ended():
            self.end(job)
        queued = [*ledger.queued(A), *ledger.queued(B)]
        assert len({job.id for job in queued}) == len(queued)
        leased = {}
        for worker in ledger.workers.values():
            assert len(worker.leases) <= worker.credit <= MAX_CREDIT
            assert worker.n_bulk == sum(lease.job.cls == BULK for lease in worker.leases.values())
            for lease in worker.leases.values():
                if lease.job.state is State.LEASED and lease.job.lease is lease:
                    leased[lease.job.id] = leased.get(lease.job.id, 0) + 1
        for job in self.jobs:
            if job.id in ledger.jobs:
                assert job.id not in self.ends
                assert (job.state is State.QUEUED) == (job in queued)
                assert leased.get(job.id, 0) == (job.state is State.LEASED)
            else:
                assert self.ends[job.id] == 1

    def finish(self):
        """Let everybody honest: what is left must come to an end."""
        for _ in range(200):
            if not self.ledger.jobs:
                break
            self.now += 1.0
            workers = {worker.id: worker for worker in self.known()}
            if not any(w.is_usable and w.id not in self.dead and {A, B} <= w.fields for w in workers.values()):
                name = next(self.names).to_bytes(16, "big")
                self.real[name] = {}
                workers[name] = self.ledger.hello(name, [A, B], 2, self.now)
                self.ledger.open_lane(workers[name], True)
            for worker_id, worker in workers.items():
                if worker_id not in self.dead:
                    self.ledger.heartbeat(worker, set(self.real[worker_id]), self.now)
            self.assign(loss=0.0)
            for worker_id in workers:
                while self.real[worker_id] and worker_id not in self.dead:
                    self.compute(worker_id)
            while self.flying:
                self.deliver(*self.flying.pop())
            self.tick()
            self.check()
        assert not self.ledger.jobs and set(self.ends) == {job.id for job in self.jobs}
        assert set(self.ends.values()) <= {1}


def test_random_schedules_end_every_job_exactly_once():
    for seed in range(2500):
        play = Play(seed)
        for _ in range(play.rng.randrange(20, 120)):
            play.step()
        play.finish()

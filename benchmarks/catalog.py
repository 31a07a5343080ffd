"""Names and places: look-ups inside the process and over HTTP, opening, and what a large catalogue costs."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import aiohttp

from catalog_svc import build, schema, sky
from catalog_svc.families import BY_KEY
from catalog_svc.sqlite import SqliteLibrary
from catalog_svc.store import Store

from . import rq_peer
from .service import hello_server
from .timing import pairwise
from .verdict import Ratio

EXACT, PREFIX, CONE = (340.0, 300.0), (160.0, 150.0), (60.0, 40.0)
"""(target, floor), thousands a second on one core: designations to entries, 400 at once as lists are looked up; beginnings to
eight names; cones of 0.1 deg."""
HINTS_OF_HELLO = (0.8, 0.6)
OPENING_MS = (5.0, 20.0)
CONE_DEG = 0.1
CLIENTS, LAPS = 16, 6
NUMBER = "SELECT n.entry, n.flags FROM name n WHERE n.number = ? AND n.tail = ?"
BEGINNING = "SELECT n.number, n.tail FROM name n WHERE n.number BETWEEN ? AND ? ORDER BY n.number, n.tail LIMIT 8"
AT_ONCE = 400
MANY = (f"WITH asked(number, tail) AS (VALUES {', '.join(['(?, ?)'] * AT_ONCE)}) SELECT n.number, n.tail, n.entry, n.flags "
        "FROM asked a JOIN name n ON n.number = a.number AND n.tail = a.tail")


def run(quick: bool) -> tuple[dict[str, Any], list[Ratio]]:
    """Measure all of it on the built-in catalogues."""
    seconds, rounds = (0.2, 2) if quick else (0.9, 4)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        began = time.perf_counter()
        with closing(SqliteLibrary(data)) as library:
            build.ensure(library)
            built = time.perf_counter() - began
            rates = inside(Store(library), seconds)
        opening = min(_opening(data) for _ in range(10))
        with served(data) as service, hello_server() as hello:
            ours, theirs = [], []
            for _ in range(rounds):
                ours.append(asyncio.run(hints(service, seconds)))
                theirs.append(asyncio.run(rate_of([hello], seconds)))
    facts = {"thousand_per_s": {name: round(rate / 1e3, 1) for name, rate in rates.items()}, "built_s": round(built, 2),
             "opening_ms": round(opening * 1e3, 2), "http_per_s": {"hints": round(sorted(ours)[len(ours) // 2]),
                                                                   "hello": round(sorted(theirs)[len(theirs) // 2])}}
    return facts, [Ratio("catalog_exact", rates["exact"] / 1e3, *EXACT, unit=" k/s"),
                   Ratio("catalog_prefix", rates["prefix"] / 1e3, *PREFIX, unit=" k/s"),
                   Ratio("catalog_cone", rates["cone"] / 1e3, *CONE, unit=" k/s"),
                   Ratio("catalog_hints_of_hello", pairwise(theirs, ours), *HINTS_OF_HELLO),
                   Ratio("catalog_opening", opening * 1e3, *OPENING_MS, at_most=True, unit=" ms")]


def inside(store: Store, seconds: float) -> dict[str, float]:
    """Return rates per second of one core: the index alone, and whole answers."""
    base, dice = store.volumes[0], random.Random(1)
    stored = base.rows("SELECT number, tail FROM name")
    ngc = BY_KEY["NGC"].code * schema.FAMILY_STEP
    keys = dice.sample(stored, min(20_000, len(stored)))
    beginnings = [(ngc + n * 10, ngc + n * 10 + 9) for n in dice.choices(range(1, 784), k=5000)]
    places = [(dice.uniform(0.0, 360.0), dice.uniform(-80.0, 80.0)) for _ in range(5000)]
    galaxies = [row[0] for row in base.rows("SELECT name FROM entry WHERE kind = 1")]
    typed = dice.sample(galaxies, 5000)
    lists = [[part for key in keys[i:i + AT_ONCE] for part in key] for i in range(0, len(keys) - AT_ONCE, AT_ONCE)]
    return {"exact": AT_ONCE * _rate(partial(base.rows, MANY), lists, seconds, 5),
            "exact_one_by_one": _rate(partial(base.rows, NUMBER), keys, seconds),
            "prefix": _rate(partial(base.rows, BEGINNING), beginnings, seconds),
            "cone": _rate(lambda place: sky.within(base, *place, CONE_DEG), places, seconds),
            "find_first_time": _rate(store.find.__wrapped__, typed, seconds),
            "find_typed_name": _rate(store.find, typed, seconds), "resolve_typed_name": _rate(store.resolve, typed, seconds),
            "ten_hints": _rate(lambda text: store.hints(text, limit=10), [f"NGC {n}" for n in range(1, 784)], seconds),
            "detail": _rate(store.detail, typed, seconds)}


async def hints(service: str, seconds: float) -> float:
    """Return hints a second for sixteen clients that type the beginnings of numbers."""
    texts = [f"NGC {n}" for n in range(1, 784)] + [f"MESSIER {n}" for n in range(1, 10)] + ["andr", "whirl", "ESO 50", "I3"]
    random.Random(2).shuffle(texts)
    return await rate_of([f"{service}/v1/hints?limit=10&name={text.replace(' ', '%20')}" for text in texts], seconds)


async def rate_of(urls: Sequence[str], seconds: float) -> float:
    """Return answered requests a second of sixteen clients."""
    count, end = 0, time.perf_counter() + seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        async def client(at: int) -> None:
            nonlocal count
            while time.perf_counter() < end:
                at = (at + CLIENTS) % len(urls)
                async with session.get(urls[at]) as answer:
                    await answer.read()
                    if answer.status != 200:
                        raise AssertionError(f"{urls[at]} answered {answer.status}")
                count += 1
        began = time.perf_counter()
        await asyncio.gather(*(client(number % len(urls)) for number in range(CLIENTS)))
        return count / (time.perf_counter() - began)


@contextmanager
def served(data: Path) -> Iterator[str]:
    """Run the catalogue service until the block ends; yield its address."""
    port = rq_peer.free_port()
    with rq_peer.children([sys.executable, "-m", "catalog_svc", "--data", str(data), "--listen", f"127.0.0.1:{port}"]):
        rq_peer.wait_for(port)
        yield f"http://127.0.0.1:{port}"


def _rate(work: Callable[[Any], object], arguments: Sequence[Any], seconds: float, calls: int = 500) -> float:
    """Return calls a second of processor time: the best of some laps, which a neighbour on the machine has disturbed least."""
    round_and_round = cycle(arguments)
    for argument in islice(round_and_round, calls):
        work(argument)
    return max(_lap(work, round_and_round, seconds / LAPS, calls) for _ in range(LAPS))


def _lap(work: Callable[[Any], object], arguments: Iterator[Any], seconds: float, calls: int) -> float:
    count, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for argument in islice(arguments, calls):
            work(argument)
        count += calls
    return count / spent


def _opening(data: Path) -> float:
    began = time.perf_counter()
    with closing(SqliteLibrary(data)) as library:
        Store(library)
    return time.perf_counter() - began

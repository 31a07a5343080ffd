"""Clients of the jobs over HTTP: each submits under a key of its own, tries again when told so, and fetches the result."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from typing import Any

import aiohttp
import orjson
from chaos.town import Questions

AGAIN_S = 0.2
LOOK_S = 2.0
"""Between two looks at all jobs: a list of thousands costs the gateway more than their results."""
ENDED = ("COMPLETED", "ERROR", "ABORTED")


class Clients:
    """Submit all jobs of some questions and collect every answer, whatever the gateway does meanwhile.

    Attributes
    ----------
    accepted : dict
        Number of the question -> id of the job, as the 202 said.
    done_at : dict
        Number of the question -> when its right answer was here.
    """

    def __init__(self, url: str, questions: Questions, *, at_once: int, run: str = "chaos") -> None:
        self.url, self.questions, self._at_once, self._run = url, questions, at_once, run
        self.accepted: dict[int, int] = {}
        self.accepted_at: list[float] = []
        self.answered: set[int] = set()
        self.wrong: list[tuple[int, Any]] = []
        self.retries: Counter[str] = Counter()

    async def submit(self) -> None:
        """Submit every question; return when each has its 202."""
        await self._all(self._submit, range(self.questions.jobs))

    async def fetch(self, deadline: float) -> None:
        """Collect and check every result as it gets ready."""
        async with self._session() as session:
            while left := self.accepted.keys() - self.answered:
                assert time.monotonic() < deadline, f"{len(left)} of {len(self.accepted)} jobs have not ended"
                ended = await self._ended(session)
                ready = [k for k in left if self.accepted[k] in ended]
                await self._all(self._check, [(k, ended[self.accepted[k]]) for k in ready])
                await asyncio.sleep(LOOK_S if len(ready) < len(left) else 0)

    async def listed(self) -> list[dict[str, Any]]:
        """Return all jobs there are."""
        async with self._session() as session:
            return [job async for job in self._pages(session)]

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), connector=aiohttp.TCPConnector(limit=0))

    async def _all(self, act: Any, numbers: Any) -> None:
        todo = iter(numbers)

        async def one(session: aiohttp.ClientSession) -> None:
            for k in todo:
                await act(session, k)
        async with self._session() as session:
            await asyncio.gather(*(one(session) for _ in range(self._at_once)))

    async def _ask(self, session: aiohttp.ClientSession, path: str, expected: int, data: bytes | None = None,
                   **headers: str) -> Any:
        """Send until the expected answer comes; only what asks to be tried again is tried again."""
        while True:
            try:
                method = "GET" if data is None else "POST"
                async with session.request(method, self.url + path, data=data, headers=headers) as answer:
                    raw = await answer.read()
                    if answer.status == expected:
                        return orjson.loads(raw)
                    assert answer.status in (429, 503), f"{path}: {answer.status} {raw[:300]!r}"
                    assert "Retry-After" in answer.headers, f"{path}: {answer.status} without Retry-After: {raw[:300]!r}"
                    self.retries[orjson.loads(raw)["code"]] += 1
            except (aiohttp.ClientError, TimeoutError) as error:
                self.retries[type(error).__name__] += 1
            await asyncio.sleep(AGAIN_S)

    async def _submit(self, session: aiohttp.ClientSession, k: int) -> None:
        body = json.dumps({**self.questions.body(k), "run_id": f"{self._run}-{k}"}).encode()
        job = await self._ask(session, "/v1/jobs", 202, body, **{"Content-Type": "application/json",
                                                                  "Idempotency-Key": f"{self._run}-{k}"})
        self.accepted[k] = job["id"]
        self.accepted_at.append(time.monotonic())

    async def _check(self, session: aiohttp.ClientSession, ended: tuple[int, str]) -> None:
        k, phase = ended
        self.answered.add(k)
        if phase != "COMPLETED":
            self.wrong.append((k, phase))
            return
        result = await self._ask(session, f"/v1/jobs/{self.accepted[k]}/result", 200)
        if not self.questions.is_right(k, result):
            self.wrong.append((k, result))

    async def _ended(self, session: aiohttp.ClientSession) -> dict[int, str]:
        return {job["id"]: job["phase"] async for job in self._pages(session) if job["phase"] in ENDED}

    async def _pages(self, session: aiohttp.ClientSession) -> Any:
        after: int | None = None
        while True:
            page = await self._ask(session, "/v1/jobs?limit=1000" + (f"&after={after}" if after else ""), 200)
            for job in page["jobs"]:
                yield job
            after = page["after"]
            if after is None:
                return

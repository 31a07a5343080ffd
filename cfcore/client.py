"""A server in Python: submit tables, watch them, take results. `Client` waits where it is, `AsyncClient` lets others run.

Both are drivers only: they send what the operations of `client_calls`, `client_tables` and `client_files` ask for, and hand
back what came. httpx and tqdm (``pip install 'cosmicflows[client]'``) are imported when first used.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from . import __version__, client_calls
from .client_access import httpx_module, who
from .client_calls import Call, Pause, Reply, Server, Steps, Work
from .client_jobs import AsyncJob, Job, whole
from .client_progress import Progress, naming
from .client_tables import flow_of, preparation

if TYPE_CHECKING:
    import httpx
    from astropy.table import QTable

__all__ = ["AsyncClient", "AsyncJob", "Client", "Job"]
T = TypeVar("T")
PATIENCE_S = 300.0
_PIECE = 1 << 20
_CONNECT_S = 10.0


class _Connection:
    """What both clients know: the server, who asks, and how a request looks to httpx."""

    def __init__(self, url: str | None, token: str | None, user: str | None, password: str | None, patience: float) -> None:
        self._httpx = httpx_module()
        address, token = who(url, token, user, password)
        self._server = Server(address, patience)
        headers = {"Accept": "application/json", "User-Agent": f"cosmicflows/{__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._settings: dict[str, Any] = {
            "headers": headers, "auth": None if user is None else self._httpx.BasicAuth(user, password or "")}

    def __repr__(self) -> str:
        """Return the address, and never the token."""
        return f"<{type(self).__name__} {self._server.url}>"

    def _request(self, call: Call) -> dict[str, Any]:
        headers = {**call.headers, **(call.sink.headers() if call.sink else {})}
        words = {k: v for k, v in call.query.items() if v is not None}
        return {"method": call.method, "url": self._server.url + call.path, "params": words or None, "headers": headers,
                "timeout": self._httpx.Timeout(call.timeout_s, connect=_CONNECT_S)}

    def _lost(self, exc: Exception) -> Reply:
        return Reply(0, reason=str(exc) or type(exc).__name__)


class Client(_Connection):
    """Ask a Cosmic Flows server.

    Parameters
    ----------
    url : str, optional
        Such as ``"https://flows.example.org"``; default: the environment's ``CF_SERVER``, else ``http://127.0.0.1:5000``.
    token : str, optional
        Of the form ``cf_...`` (docs/accounts.md); default: the environment's ``CF_TOKEN``, which is shown to no other server than
        ``CF_SERVER`` when that is set.
    user, password : str, optional
        Instead of a token.
    patience : float, s
        How long each request is tried again while the server restarts, is full or asks to wait. Retry-After is respected.

    Raises
    ------
    BadParameter
        When the address is none, or both a token and a user are given.

    Examples
    --------
    >>> from cfcore.client import Client  # doctest: +SKIP
    >>> with Client("https://flows.example.org", token="cf_...") as client:  # doctest: +SKIP
    ...     table = client.distances("galaxies.csv", field="cf4gp")
    """

    def __init__(self, url: str | None = None, *, token: str | None = None, user: str | None = None,
                 password: str | None = None, patience: float = PATIENCE_S) -> None:
        super().__init__(url, token, user, password, patience)
        self._http: httpx.Client = self._httpx.Client(**self._settings)

    def __enter__(self) -> Client:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(self, table: object, *, kind: str = "distance", field: str | None = None,
               columns: Mapping[str, str] | None = None, **options: object) -> Job:
        """Submit a table as a job; when this returns, it is safe on the server's disk.

        Parameters
        ----------
        table : Table, path or mapping
            An astropy Table or QTable; the path of a file (csv, tsv, ecsv, fits, votable, parquet; also gzip-ed), which is
            streamed from the disk; or a mapping of columns. Units are respected.
        kind : {"distance", "velocity"}
        field : str, optional
            Default: the server's.
        columns : mapping, optional
            Which column is what, such as ``{"ra": "RAJ2000", "cz": "Vhel"}``; default: by UCD, unit and name.
        **options
            frame, cz_frame, H0, Om, sigma_v, prior ... (docs/api.md), run_id, execution_duration.

        Raises
        ------
        UsageError
            As the server refuses the table or an option.
        """
        return Job(self, self._run(client_calls.submit(self._server, preparation(table, kind, field, columns, options))))

    def distances(self, table: object, *, progress: Progress = True, **options: Any) -> QTable:
        """Return a table with distances added: submit, wait, take the result, delete the job.

        Parameters
        ----------
        table, **options
            As of `submit`.
        progress : bool or callable
            As of `Job.wait`.
        """
        job = self.submit(table, **options)
        with naming(job.id):
            result = whole(job.wait(progress)).result()
        job.delete()
        return result

    def flow(self, name: str | None = None, **words: object) -> dict[str, Any]:
        """Answer one question: ``flow("NGC 4993")``, ``flow(ra=197.45, dec=-23.38, cz=2916)``.

        Parameters
        ----------
        name : str, optional
            Of a galaxy, instead of a position.
        **words
            Position, velocity or distance, and options; see docs/api.md, also for the answer.
        """
        return self._run(flow_of(self._server, name, words))

    def job(self, id: int) -> Job:
        """Return a job by its number."""
        return Job(self, self._run(client_calls.status(self._server, id)))

    def jobs(self, limit: int | None = None, **filters: object) -> list[Job]:
        """Return your jobs, newest first.

        Parameters
        ----------
        limit : int, optional
            Default: all.
        **filters
            phase, kind, face, run_id, since, until (docs/jobs.md).
        """
        return [Job(self, info) for info in self._run(client_calls.listed(self._server, limit, filters))]

    def _run(self, steps: Steps[T]) -> T:
        with contextlib.closing(steps):
            value: Any = None
            while True:
                try:
                    step = steps.send(value)
                except StopIteration as end:
                    return end.value
                if isinstance(step, Pause):
                    value = time.sleep(step.seconds)
                else:
                    value = step.run() if isinstance(step, Work) else self._send(step)

    def _send(self, call: Call) -> Reply:
        with contextlib.ExitStack() as stack:
            body = stack.enter_context(open(call.body, "rb")) if isinstance(call.body, Path) else call.body
            try:
                answer = stack.enter_context(self._http.stream(**self._request(call), content=_pieces(body)))
                sink = call.sink if answer.status_code in (200, 206) else None
                if sink is None:
                    return Reply(answer.status_code, answer.headers, answer.read())
                sink.begin(answer.status_code, answer.headers)
                for piece in answer.iter_bytes():
                    sink.write(piece)
                return Reply(answer.status_code, answer.headers)
            except self._httpx.TransportError as exc:
                return self._lost(exc)


class AsyncClient(_Connection):
    """Ask a Cosmic Flows server from a program of asyncio; parameters and methods as of `Client`, to be awaited."""

    def __init__(self, url: str | None = None, *, token: str | None = None, user: str | None = None,
                 password: str | None = None, patience: float = PATIENCE_S) -> None:
        super().__init__(url, token, user, password, patience)
        self._http: httpx.AsyncClient = self._httpx.AsyncClient(**self._settings)

    async def __aenter__(self) -> AsyncClient:
        """Return itself."""
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(self, table: object, *, kind: str = "distance", field: str | None = None,
                     columns: Mapping[str, str] | None = None, **options: object) -> AsyncJob:
        """Submit a table as a job, as `Client.submit` does."""
        return AsyncJob(self, await self._run(client_calls.submit(self._server,
                                                                  preparation(table, kind, field, columns, options))))

    async def distances(self, table: object, *, progress: Progress = True, **options: Any) -> QTable:
        """Return a table with distances added, as `Client.distances` does."""
        job = await self.submit(table, **options)
        with naming(job.id):
            result = await whole(await job.wait(progress)).result()
        await job.delete()
        return result

    async def flow(self, name: str | None = None, **words: object) -> dict[str, Any]:
        """Answer one question, as `Client.flow` does."""
        return await self._run(flow_of(self._server, name, words))

    async def job(self, id: int) -> AsyncJob:
        """Return a job by its number."""
        return AsyncJob(self, await self._run(client_calls.status(self._server, id)))

    async def jobs(self, limit: int | None = None, **filters: object) -> list[AsyncJob]:
        """Return your jobs, newest first, as `Client.jobs` does."""
        return [AsyncJob(self, info) for info in await self._run(client_calls.listed(self._server, limit, filters))]

    async def _run(self, steps: Steps[T]) -> T:
        with contextlib.closing(steps):
            value: Any = None
            while True:
                try:
                    step = steps.send(value)
                except StopIteration as end:
                    return end.value
                if isinstance(step, Pause):
                    value = await asyncio.sleep(step.seconds)
                else:
                    value = await (asyncio.to_thread(step.run) if isinstance(step, Work) else self._send(step))

    async def _send(self, call: Call) -> Reply:
        async with contextlib.AsyncExitStack() as stack:
            body = stack.enter_context(open(call.body, "rb")) if isinstance(call.body, Path) else call.body
            try:
                answer = await stack.enter_async_context(self._http.stream(**self._request(call), content=_apieces(body)))
                sink = call.sink if answer.status_code in (200, 206) else None
                if sink is None:
                    return Reply(answer.status_code, answer.headers, await answer.aread())
                sink.begin(answer.status_code, answer.headers)
                async for piece in answer.aiter_bytes():
                    await asyncio.to_thread(sink.write, piece)
                return Reply(answer.status_code, answer.headers)
            except self._httpx.TransportError as exc:
                return self._lost(exc)


def _pieces(body: bytes | BinaryIO | None) -> bytes | Iterator[bytes] | None:
    if body is None or isinstance(body, bytes):
        return body
    return iter(partial(body.read, _PIECE), b"")


def _apieces(body: bytes | BinaryIO | None) -> bytes | AsyncIterator[bytes] | None:
    if body is None or isinstance(body, bytes):
        return body

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(body.read, _PIECE):
            yield piece
    return pieces()

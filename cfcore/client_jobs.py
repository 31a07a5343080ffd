"""Jobs as a program holds them: a number, what the server said last, and what can be asked of them, with and without await."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from . import client_calls, client_files
from .client_calls import Told
from .client_progress import Progress, naming, shown, watched
from .errors import UsageError

if TYPE_CHECKING:
    from astropy.table import QTable

    from .client import AsyncClient, Client


class Job:
    """One job of a `Client`.

    Attributes
    ----------
    id : int
    info : dict
        What the server said of it last: phase, rows_done, rows_total, queuepos, eta_seconds, destruction ... (docs/jobs.md).
    """

    def __init__(self, client: Client, info: dict[str, Any]) -> None:
        self._run, self._server = client._run, client._server
        self.id, self.info = int(info["id"]), info

    def __repr__(self) -> str:
        """Return number, phase and how far it is."""
        return shown(self.id, self.info)

    @property
    def phase(self) -> str:
        """Return the phase it had when the server was last asked."""
        return str(self.info["phase"])

    def status(self) -> dict[str, Any]:
        """Ask the server how far it is."""
        self.info = self._run(client_calls.status(self._server, self.id))
        return self.info

    def wait(self, progress: Progress = True, timeout: float | None = None) -> Job:
        """Wait until it has ended.

        Parameters
        ----------
        progress : bool or callable
            True shows a bar where the standard error is a terminal; a callable is given `info` each time it is told.
        timeout : float, optional, s
            Default: no end.

        Returns
        -------
        Job
            Itself; its phase is COMPLETED, or ABORTED when somebody cancelled it.

        Raises
        ------
        DeadlineExceeded
            Code ``wait_timeout``: it goes on, only the waiting has ended.
        TransientError
            Code ``server_unreachable``: the server stayed away for longer than the client's patience; the job is safe there.
        CosmicFlowsError
            Its own error, when its phase is ERROR.
        """
        with naming(self.id), watched(progress, self.id) as told:
            self.info = self._run(client_calls.wait(self._server, self.id, noting(self, told), timeout))
        return self

    def cancel(self) -> dict[str, Any]:
        """End it; the rows that are done stay, and are its result."""
        self.info = self._run(client_calls.cancel(self._server, self.id))
        return self.info

    def delete(self) -> None:
        """Destroy it, with its rows and its result."""
        self._run(client_calls.delete(self._server, self.id))

    def result(self, flow_type: str | None = None) -> QTable:
        """Return the result: your columns and ours, with units; where it comes from stands in ``meta``.

        Parameters
        ----------
        flow_type : {"distance", "hubble", "luminosity", "comoving"}, optional
            Which of the distributions; default: distance.

        Raises
        ------
        UsageError
            Code ``not_finished`` while it runs.
        """
        return self._run(client_files.result(self._server, self.id, flow_type))

    def save(self, path: str | os.PathLike[str], format: str | None = None, flow_type: str | None = None) -> Path:
        """Save the result.

        Parameters
        ----------
        path : path
            It is replaced once all bytes are there and their SHA-256 is right. After a cut the download goes on where it broke
            off, also when it is called again later.
        format : str, optional
            csv, tsv, ecsv, fits, votable, parquet, json, msgpack; default: by the suffix.
        flow_type : str, optional
            As of `result`.
        """
        return self._run(client_files.save(self._server, self.id, path, format, flow_type))


class AsyncJob:
    """One job of an `AsyncClient`: the methods of `Job`, to be awaited."""

    def __init__(self, client: AsyncClient, info: dict[str, Any]) -> None:
        self._run, self._server = client._run, client._server
        self.id, self.info = int(info["id"]), info

    def __repr__(self) -> str:
        """Return number, phase and how far it is."""
        return shown(self.id, self.info)

    @property
    def phase(self) -> str:
        """Return the phase it had when the server was last asked."""
        return str(self.info["phase"])

    async def status(self) -> dict[str, Any]:
        """Ask the server how far it is."""
        self.info = await self._run(client_calls.status(self._server, self.id))
        return self.info

    async def wait(self, progress: Progress = True, timeout: float | None = None) -> AsyncJob:
        """Wait until it has ended, as `Job.wait` does."""
        with naming(self.id), watched(progress, self.id) as told:
            self.info = await self._run(client_calls.wait(self._server, self.id, noting(self, told), timeout))
        return self

    async def cancel(self) -> dict[str, Any]:
        """End it; the rows that are done stay, and are its result."""
        self.info = await self._run(client_calls.cancel(self._server, self.id))
        return self.info

    async def delete(self) -> None:
        """Destroy it, with its rows and its result."""
        await self._run(client_calls.delete(self._server, self.id))

    async def result(self, flow_type: str | None = None) -> QTable:
        """Return the result, as `Job.result` does."""
        return await self._run(client_files.result(self._server, self.id, flow_type))

    async def save(self, path: str | os.PathLike[str], format: str | None = None, flow_type: str | None = None) -> Path:
        """Save the result, as `Job.save` does."""
        return await self._run(client_files.save(self._server, self.id, path, format, flow_type))


JobT = TypeVar("JobT", Job, AsyncJob)


def whole(job: JobT) -> JobT:
    """Refuse a job that was ended before all its rows were done."""
    if job.phase != "COMPLETED":
        raise UsageError(f"job {job.id} is {job.phase}: somebody ended it; client.job({job.id}).result() holds the rows that "
                         "were done", code="job_aborted", where="job", extra={"job": job.id})
    return job


def noting(job: Job | AsyncJob, told: Told | None) -> Told | None:
    """Return what tells a job, too, how far it is."""
    if told is None:
        return None

    def note(info: dict[str, Any]) -> None:
        job.info = info
        told(info)
    return note

"""Stores in folders of their own, and jobs computed in this process by the worker's own `Computer`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from computing_pool import ComputingPool, Kept

from gateway.jobs import Jobs


@asynccontextmanager
async def kept_jobs(folder: Path, pool: ComputingPool | None = None, **options: Any) -> AsyncIterator[Kept]:
    """Open the jobs of a folder, begin, and end in order."""
    pool = pool or ComputingPool()
    jobs = Jobs(folder, pool, **options)
    identity = jobs.open()
    jobs.start()
    try:
        yield Kept(jobs, pool, identity)
    finally:
        await jobs.close()


@pytest.fixture
def keep() -> Callable[..., Any]:
    """Return what opens the jobs of a folder."""
    return kept_jobs

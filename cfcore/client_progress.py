"""How far a job is, shown: a bar on a terminal, whatever a program makes of it, and what is said when the waiting fails."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .client_calls import Told
from .errors import CosmicFlowsError

Progress = bool | Callable[[dict[str, Any]], None]


@contextlib.contextmanager
def watched(progress: Progress, job: int) -> Iterator[Told | None]:
    """Yield what is to be told of each look at a job; None: nobody watches."""
    if progress is False or progress is None:
        yield None
        return
    if callable(progress):
        yield progress
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield None
        return
    # disable=None: no bar where nobody sees it, as in a log
    with tqdm(desc=f"job {job}", unit=" rows", unit_scale=True, disable=None) as bar:
        def show(info: dict[str, Any]) -> None:
            bar.total = info["rows_total"]
            bar.set_postfix_str(info["phase"].lower() if info["queuepos"] is None else f"{info['queuepos']} before it", False)
            bar.update(info["rows_done"] - bar.n)
            bar.refresh()
        yield None if bar.disable else show


@contextlib.contextmanager
def naming(job: int) -> Iterator[None]:
    """Let no failure hide that there is a job, which goes on."""
    try:
        yield
    except (CosmicFlowsError, KeyboardInterrupt) as exc:
        exc.add_note(f"the job is {job}: client.job({job}) finds it again")
        raise


def shown(job: int, info: Mapping[str, Any]) -> str:
    """Return a job in a few words."""
    return f"<job {job}: {info['phase']}, {info['rows_done']} of {info['rows_total']} rows>"

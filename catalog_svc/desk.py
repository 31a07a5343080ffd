"""Who answers a question: the event loop itself when it takes microseconds, a thread of its own when it takes longer.

Look-ups in files take microseconds and are answered in the loop. Bulk questions go to threads, each with a store of its own;
so does every question to a database in another process, where all threads share one store: it is a picture of the catalogues
at one moment and is replaced by another when they change. The loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from cfcore.errors import CosmicFlowsError, TransientError

from .library import open_library
from .store import Store
from .volumes import CHANGED

LOG = logging.getLogger("catalog_svc")
T = TypeVar("T")
REFRESH_S = 0.5
"""How often the list of catalogues is looked at; a look is one `stat`, or one query."""
REMOTE_THREADS = 16


class Desk:
    """Put questions to stores.

    Parameters
    ----------
    data : Path
    dsn : str
        As `open_library` takes them; the built-in catalogues are there already.
    """

    def __init__(self, data: Path, dsn: str = "") -> None:
        self.data, self.dsn = data, dsn
        library = open_library(data, dsn)
        self.is_remote = library.is_remote
        self.store = Store(library)
        self._mine, self._renewing = threading.local(), threading.Lock()
        self._opened: list[Store] = []
        self._pool = ThreadPoolExecutor(REMOTE_THREADS if self.is_remote else 2, thread_name_prefix="catalogue")

    async def quick(self, question: Callable[[Store], T]) -> T:
        """Answer what takes microseconds from files."""
        return await self.bulk(question) if self.is_remote else question(self.store)

    async def bulk(self, question: Callable[[Store], T]) -> T:
        """Answer in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, question)

    async def watch(self) -> None:
        """Take up catalogues that are imported or dropped, until cancelled."""
        said = ""
        while True:
            await asyncio.sleep(REFRESH_S)
            try:
                await self.look()
                if said:
                    LOG.warning("the catalogues can be looked through again")
                said = ""
            except CosmicFlowsError as exc:  # the next look may succeed; what is open goes on to answer
                if said != exc.code:  # twice a second is no news
                    LOG.warning("the catalogues cannot be looked through now: %s", exc)
                said = exc.code

    async def look(self) -> None:
        """Take up what was imported or dropped now."""
        if self.is_remote:
            await asyncio.get_running_loop().run_in_executor(self._pool, self._renew)
        else:
            self.store.refresh()

    def close(self) -> None:
        """Let go of every store."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for store in (self.store, *self._opened):
            store.library.close()

    def _ask(self, question: Callable[[Store], T]) -> T:
        if self.is_remote:
            try:
                return question(self.store)  # its library has a connection for every thread
            except TransientError as exc:
                if exc.code != CHANGED:
                    raise
            self._renew()
            return question(self.store)
        store: Store | None = getattr(self._mine, "store", None)
        if store is None:
            store = self._mine.store = Store(open_library(self.data, self.dsn))
            self._opened.append(store)
        else:
            store.refresh()
        return question(store)

    def _renew(self) -> None:
        """Put a store of what is there now in the place of the one at work, which others may be asking at this moment."""
        with self._renewing:
            library = self.store.library
            for tries_left in (2, 1, 0):
                library.refresh()
                try:
                    if list(library.volumes()) != list(self.store.volumes):
                        self.store = Store(library)
                    return
                except TransientError as exc:  # changed again at this very moment
                    if exc.code != CHANGED or not tries_left:
                        raise

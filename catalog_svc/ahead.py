"""Read a large file in a process of its own, one batch ahead of the process that stores it: two cores instead of one.

What crosses the pipe is what our own child wrote; the child ends with the pipe, however its parent ends.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

from cfcore.errors import CosmicFlowsError, InternalError, from_dict

from .reading import open_source
from .records import Batch, Source

LARGE_BYTES = 16 * 2**20
"""Smaller files are read before a child has started."""


class Ahead:
    """Read a file as `reading.open_source` does, in a child when it is large.

    Parameters
    ----------
    path : Path
    options : mapping
        Keywords of `reading.open_source`.
    """

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        self._path, self._options = path, dict(options)
        self._source: Source = open_source(path, **self._options)
        self.about = self._source.about

    def batches(self) -> Iterator[Batch]:
        """Yield the rows in order."""
        if self._path.stat().st_size < LARGE_BYTES:
            yield from self._source.batches()
            return
        # not a fork: the interpreter that stores may have threads
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe(duplex=False)
        child = spawn.Process(target=_read, args=(self._path, self._options, there), daemon=True)
        child.start()
        there.close()
        try:
            while True:
                try:
                    sent = here.recv()
                except EOFError:
                    raise InternalError("the process that reads the file ended before the file did; nothing was stored") from None
                if sent is None:
                    return
                if isinstance(sent, dict):
                    raise from_dict(sent)
                yield sent
        finally:
            here.close()
            child.terminate()
            child.join()

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()


def _read(path: Path, options: dict[str, Any], out: Connection) -> None:
    try:
        source = open_source(path, **options)
        for batch in source.batches():
            # one string crosses sooner than a dictionary of dictionaries
            batch.facts = [orjson.dumps(facts) for facts in batch.facts]
            out.send(batch)
        out.send(None)
    except CosmicFlowsError as error:
        out.send(error.as_dict())
    except BrokenPipeError:
        pass  # whoever stored has gone

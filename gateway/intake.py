"""Have a table read in a process of its own, and say in the words of HTTP what came of it.

`read_table` is the process, `confined` runs it; here is said how many may run, and what it means when one comes to its bounds.
Sentences of `cfcore` speak of options of the command line; this is the one place where they become parameters of a request.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from cfcore.errors import CosmicFlowsError, TransientError, from_dict

from . import confined
from .job_queries import ROWS_MAX
from .read_table import too_hard

AT_ONCE, WAITING_MAX, WAITING_OF_ONE = 2, 32, 8
MEMORY_MAX, CPU_S, WALL_S = 3 << 30, 120, 180.0
# what may stand behind an option without being its value
_NO_VALUE = "and or says say are is out belong belongs which with to for by if chooses names holds".replace(" ", "|")
_OPTION = re.compile(rf"--([a-z][a-z-]*)(?: (?!(?:{_NO_VALUE})\b)(?=[\w'#./+-]))?")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a table: the columns and their reading, in the words of `cfcore.columns.Asked`."""

    name: str
    kind: str = "distance"
    media: str = ""
    format: str | None = None
    extension: str | None = None
    delimiter: str | None = None
    columns: dict[str, str | None] = field(default_factory=dict)
    sigma_cz: float | None = None
    rows_max: int = ROWS_MAX
    owner: str = ""
    """Who asks; one of them is read at a time of those of one owner, so that the others have their turn."""


class Intake:
    """Have tables read, a few at a time.

    Parameters
    ----------
    memory : int
        Bytes of address space of a reading process.
    cpu_s : int
    wall_s : float
        Seconds that a process may compute, and that it may last.
    """

    def __init__(self, *, memory: int = MEMORY_MAX, cpu_s: int = CPU_S, wall_s: float = WALL_S) -> None:
        self._limits = {"memory": memory, "cpu_s": cpu_s}
        self._wall_s = wall_s
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting: Counter[str] = Counter()

    async def look(self, file: Path, question: Question) -> dict[str, Any]:
        """Return what a table holds, which column would be read as what, or why none can be chosen."""
        seen = await self._ask(question.owner, {"task": "look", "file": str(file), **_asked(question)})
        if seen["why"] is not None:
            seen["why"] = in_parameters(from_dict(seen["why"]))
        return seen

    async def rows(self, file: Path, question: Question, spool: Path) -> dict[str, Any]:
        """Write the columns of a question into the spool; return its name, its rows, and how the table was read."""
        return await self._ask(question.owner, {"task": "rows", "file": str(file), "spool": str(spool), **_asked(question)})

    async def _ask(self, owner: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Have a process answer.

        Raises
        ------
        UsageError
            As the table is refused; code ``table_too_hard`` when the process came to its bounds.
        TransientError
            Code ``busy``.
        """
        mine, all_ = self._waiting[owner], self._waiting.total()
        if all_ >= WAITING_MAX or mine >= WAITING_OF_ONE:
            raise TransientError(f"{all_} tables wait to be read, of at most {WAITING_MAX}, {mine} of them yours, of at most "
                                 f"{WAITING_OF_ONE}; try again, available in 10 seconds", code="busy",
                                 extra={"retry_after_s": 10})
        self._waiting[owner] += 1
        try:
            async with self._turns.setdefault(owner, asyncio.Lock()), self._slots:
                return await confined.run("gateway.read_table", {**asked, "limits": self._limits}, self._wall_s)
        except confined.Stopped as stopped:
            raise too_hard(f"it takes more than {self._wall_s:.0f} seconds to read" if stopped.is_late else
                           f"it takes more than {self._limits['cpu_s']} seconds or {self._limits['memory'] >> 20} MiB to "
                           "read") from None
        except CosmicFlowsError as error:
            raise in_parameters(error) from None
        finally:
            self._waiting[owner] -= 1
            if not self._waiting[owner]:
                del self._waiting[owner]
            # what a process that was ended had unpacked so far
            Path(f"{asked['file']}.tmp").unlink(missing_ok=True)


def in_parameters(error: CosmicFlowsError) -> CosmicFlowsError:
    """Return an error that speaks of options of the command line in the words of a request: ``cz_column=NAME``."""
    error.message = _words(error.message)
    error.where = None if error.where is None else _words(error.where)
    error.hint = None if error.hint is None else _words(error.hint)
    candidates = error.extra.get("candidates")
    if isinstance(candidates, list):
        error.extra["candidates"] = [{**c, "way": _words(str(c["way"]))} for c in candidates]
    return error


def _words(text: str) -> str:
    def parameter(found: re.Match[str]) -> str:
        name = found[1].rstrip("-").replace("-", "_")
        return f"{name}=" if found[0].endswith(" ") else name
    return _OPTION.sub(parameter, text)


def _asked(question: Question) -> dict[str, Any]:
    return {"name": question.name, "kind": question.kind, "media": question.media, "format": question.format,
            "extension": question.extension, "delimiter": question.delimiter, "asked": question.columns,
            "sigma_cz": question.sigma_cz, "rows_max": question.rows_max}

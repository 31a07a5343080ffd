"""A table through a question: chunk by chunk, the next one read while the last is computed, bad rows told by name."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from . import distances
from .asking import Answer, Answers, Facts, Rows, TableAsker, answer_columns, reason
from .columns import Choice, Column, check_velocities
from .cosmology import C_KMS
from .errors import BadParameter
from .tables import F64, Chunk, Faults, NewColumn, Reader, Simple, Writer

SHOWN = 10
"""Bad rows that are told one by one."""
# A velocity that is a mark for "none" in many catalogues: no galaxy comes nearer at exactly this speed.
_NO_VELOCITY = (-999.0, -9999.0)


@dataclass
class Tally:
    """Count what happened to the rows."""

    rows: int = 0
    answered: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str]] = field(default_factory=list)


def new_names(question: str, flow: str, table: Sequence[Column], wanted: str | None) -> dict[str, str]:
    """Return the columns that will be added, own name -> name in the table; a taken name gets ``cf_`` before it.

    Raises
    ------
    BadParameter
        When a wanted column is none of ours.
    """
    texts = ("flags", "status", "reason") if question == "distance" else ("status", "reason")
    known = [*(a.name for a in answer_columns(question, flow)), *texts]
    chosen = known
    if wanted is not None:
        asked = [w.strip() for w in wanted.split(",") if w.strip()]
        for word in asked:
            if word not in known:
                raise BadParameter(f"--columns {word!r:.80} is not known; there are {', '.join(known)}",
                                   code="unknown_column", where="columns")
        if not asked:
            raise BadParameter(f"--columns names no column; there are {', '.join(known)}", code="unknown_column",
                               where="columns")
        chosen = list(dict.fromkeys(asked))
    taken = {c.name.lower() for c in table}
    out = {}
    for name in chosen:
        shown, n = name, 1
        while shown.lower() in taken:
            shown, n = f"cf_{name}" if n == 1 else f"cf_{name}_{n}", n + 1
        taken.add(shown.lower())
        out[name] = shown
    return out


def run(reader: Reader, asker: TableAsker, choice: Choice, names: Mapping[str, str],
        open_output: Callable[[Facts], Writer], *, sigma: float = 0.0, progress: Progress | None = None,
        tally: Tally | None = None, is_checked: bool = False, option: str = "--{}") -> Tally:
    """Answer every row of a table.

    Parameters
    ----------
    reader : Reader
    asker : Asker
    choice : Choice
        Which column is what.
    names : mapping
        From `new_names`.
    open_output : callable
        From the provenance, flat, to the writer; called once, when the first answers are there.
    sigma : float, km/s
        Error of every velocity, where the table has no column of it.
    progress : Progress, optional
    tally : Tally, optional
        Counted into and returned, for a writer that tells the counts; default: a new one.
    is_checked : bool
        Whether the velocities of the whole table were checked before: a part of it may hold other values than its beginning.
    option : str
        How options are spelled where the question was asked.

    Raises
    ------
    BadParameter
        When the velocities of the first chunk cannot be what they were taken for.
    """
    tally, writer, begun = tally or Tally(), None, 0
    pending: deque[tuple[Chunk, Rows, Faults, Future[Answers]]] = deque()

    def put() -> None:
        nonlocal writer
        chunk, rows, faults, future = pending.popleft()
        answers = future.result()
        added = _added(asker, choice, names, chunk, rows, faults, answers, tally, option)
        if writer is None:
            writer = open_output(flat(asker.facts(), choice, sigma))
        writer.write(chunk, added)
        if progress:
            progress.show(tally.rows, reader.fraction())

    with ThreadPoolExecutor(max(asker.jobs, 1)) as pool:
        try:
            for i, chunk in enumerate(reader.chunks(asker.rows)):
                rows, faults = rows_of(chunk, choice, sigma)
                if i == 0 and asker.question == "distance" and not is_checked:
                    check_velocities(rows.value, choice.value)
                drop(rows, faults)
                rows, begun = dataclasses.replace(rows, first=begun), begun + len(chunk)
                pending.append((chunk, rows, faults, pool.submit(asker.ask, rows)))
                if len(pending) > asker.jobs:
                    put()
            while pending:
                put()
        finally:
            for *_, future in pending:
                future.cancel()
    if writer is None:
        writer = open_output(flat(asker.facts(), choice, sigma))
        writer.start(_columns(asker, names, {}, [], [], []))
    writer.finish()
    if progress:
        progress.end(tally.rows)
    return tally


def flat(facts: Facts, choice: Choice | None, sigma: float) -> Facts:
    """Return the provenance without nesting, as headers hold it; `choice` is None where no column was read."""
    about, cosmology = facts.get("field"), facts.get("cosmology")
    about = about if isinstance(about, dict) else {"id": about}
    cosmology = cosmology if isinstance(cosmology, dict) else {k: facts.get(k) for k in ("H0", "Om")}
    out: Facts = {"field": about.get("id"), "field_version": about.get("version"), "field_sha256": about.get("sha256"),
                  "citation": about.get("citation"), **cosmology}
    out |= {k: v for k, v in facts.items() if k not in ("field", "cosmology", "H0", "Om")}
    if choice is not None:
        out["columns"] = ", ".join(c.name for c in (choice.lon, choice.lat, choice.value, choice.sigma) if c is not None)
    if sigma:
        out["sigma_cz"] = sigma
    return out


def rows_of(chunk: Chunk, choice: Choice, sigma: float) -> tuple[Rows, Faults]:
    """Read the columns of the question in house units; a row's first fault is the one that is told.

    Parameters
    ----------
    chunk : Chunk
    choice : Choice
    sigma : float, km/s
        Error of every velocity, where the table has no column of it.

    Returns
    -------
    rows : Rows
        A value with a fault is NaN; the others of its row stay until `drop` is called.
    faults : dict
        Place in the chunk -> status word and sentence.
    """
    faults: Faults = {}
    arrays: list[F64] = []
    columns = [c for c in (choice.lon, choice.lat, choice.value, choice.sigma) if c is not None]
    quick = chunk.floats([c.index for c in columns]) if isinstance(chunk, Simple) else None
    for k, chosen in enumerate(columns):
        values, bad = chunk.column(chosen.index) if quick is None else (quick[k], {})
        if chosen.kind == "cz":
            for i in np.flatnonzero(np.isin(values, _NO_VELOCITY)).tolist():
                bad[i] = ("missing", f"{chosen.name} is missing ({values[i]:g})")
        arrays.append(values * chosen.factor)
        faults = bad | faults
    if choice.sigma is None:
        arrays.append(np.full(len(chunk), sigma))
    return Rows(*arrays), faults | chunk.faults


def drop(rows: Rows, faults: Faults) -> None:
    """Take rows that were not read out of the question."""
    if faults and rows.sigma is not None:
        places = list(faults)
        for values in (rows.lon, rows.lat, rows.value, rows.sigma):
            values[places] = np.nan


def _added(asker: TableAsker, choice: Choice, names: Mapping[str, str], chunk: Chunk, rows: Rows, faults: Faults,
           answers: Answers, tally: Tally, option: str) -> list[NewColumn]:
    """Put the answers of a chunk into columns, with the reason of each row that has none."""
    n = len(chunk)
    status = [distances.STATUS[s] for s in answers.status.tolist()] if answers.status.any() else ["ok"] * n
    reasons = [""] * n
    key = "cz" if asker.question == "distance" else "distance"
    # a redshift is told as the velocity it was turned into: so the limits are
    value = f"c z of {choice.value.name}" if choice.value.factor == C_KMS else choice.value.name
    called = {"lon": choice.lon.name, "lat": choice.lat.name, key: value,
              "sigma_cz": choice.sigma.name if choice.sigma else option.format("sigma-cz" if option[0] == "-" else "sigma_cz")}
    about = asker.facts().get("field")
    shown = str(about.get("id") if isinstance(about, dict) else about)
    bad = np.flatnonzero(answers.status).tolist()
    for i in bad:
        if i in faults:
            status[i], reasons[i] = faults[i]
        else:
            values = {"lon": rows.lon[i], "lat": rows.lat[i], key: rows.value[i]}
            if rows.sigma is not None and key == "cz":
                values["sigma_cz"] = rows.sigma[i]
            reasons[i] = reason(status[i], called, values, shown, asker.sight() if status[i] == "outside_field" else None,
                                option=option)
        tally.statuses[status[i]] += 1
        if len(tally.examples) < SHOWN:
            tally.examples.append((chunk.numbers[i], reasons[i]))
    tally.rows += n
    tally.answered += n - len(bad)
    words: dict[int, str] = {}
    bits = answers.flag_bits.tolist()
    flags = [words[b] if b in words else words.setdefault(b, " ".join(distances.flag_words(b))) for b in bits]
    return _columns(asker, names, answers.numbers, flags, status, reasons)


def _columns(asker: TableAsker, names: Mapping[str, str], numbers: Mapping[str, F64], flags: list[str], status: list[str],
             reasons: list[str]) -> list[NewColumn]:
    about: list[tuple[Answer, F64 | list[str]]] = [
        (a, numbers.get(a.name, np.empty(0))) for a in answer_columns(asker.question, asker.flow)]
    about += [(Answer("flags", "", "what to mind about the answer; see docs/conventions.md", None, "meta.code"), flags),
              (Answer("status", "", "ok, or why there is no answer, in a word", None, "meta.code.status"), status),
              (Answer("reason", "", "why there is no answer, in a sentence", None, "meta.note"), reasons)]
    made = {a.name: (a, v) for a, v in about}
    return [NewColumn(shown, v, a.unit, a.description, a.decimals, a.ucd)
            for name, shown in names.items() for a, v in (made[name],)]


class Progress:
    """Tell on standard error how far a table is: one line that is rewritten on a terminal, else one every few seconds."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._shown = False

    def show(self, rows: int, fraction: float | None) -> None:
        """Tell rows done, rows per second and the time left, when that can be known."""
        now = time.monotonic()
        if now - self._last < (0.2 if self._is_terminal else 2.0):
            return
        self._last, self._shown = now, True
        seconds = now - self._began
        left = f", {_clock(seconds * (1 - fraction) / fraction)} left" if fraction and seconds > 1 else ""
        text = f"{rows} rows, {rows / seconds:.0f} rows/s{left}"
        print(f"\r{text:<60}" if self._is_terminal else text, end="" if self._is_terminal else "\n", file=sys.stderr,
              flush=True)

    def end(self, rows: int) -> None:
        """Tell the total, when anything was told before."""
        seconds = max(time.monotonic() - self._began, 1e-6)
        if self._shown:
            text = f"{rows} row{'s' * (rows != 1)} in {_clock(seconds)}, {rows / seconds:.0f} rows/s"
            print(f"\r{text:<60}" if self._is_terminal else text, file=sys.stderr)


def _clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"

"""Requests into jobs and back: merge small ones, cut large ones, give everybody their own rows. Pure, no sockets.

A request becomes pieces of at most `MAX_ROWS` rows; a batch is a job made of pieces that agree in everything but
rows. Small requests of one kind wait in one group, so that all of them go out as one job; a large request is a group
of its own, so that the turn of the groups keeps the small ones moving beside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError

MAX_ROWS = 5_000
SUSPICION = 2
"""Half of a batch that crashed is given one attempt; a single row gets all of them before it is given up."""
FieldKey = tuple[str, str]
Columns = dict[str, np.ndarray]
Asked = Mapping[str, "np.ndarray | list[float]"]
"""Columns of a request. Lists of numbers become float64 beside those of the others: an array of one number costs what an
answer costs."""
F8 = np.dtype("<f8")


class PackedOptions(dict[str, object]):
    """Options that nobody changes any more; encoded once, for the many requests that say the same."""

    __slots__ = ("packed",)

    def __init__(self, options: Mapping[str, object]) -> None:
        super().__init__(options)
        self.packed = wire.pack_plain(options)


class Block(Columns):
    """The columns of a job's answer, and the texts that were made of them, for all rows at once when the first one is needed."""

    __slots__ = ("texts",)

    def __init__(self, columns: Columns) -> None:
        super().__init__(columns)
        self.texts: list[bytes] = []


class Answer:
    """What came back.

    Attributes
    ----------
    columns : dict of ndarray, shape (n, ...)
        One entry per row asked, in the order asked.
    block, rows : Block, slice
        The columns of the whole job the rows travelled in, and which of its rows they are.
    shared : dict of ndarray
        Columns common to all rows, such as the grid of distances.
    info : dict
        Plain facts about the computation.
    us : int
        Compute time of the jobs the rows travelled in, microseconds.
    parts : list of Answer
        The answers of the jobs a large request was cut into, in the order of its rows; empty when it was one job.
    bad : list of int
        Rows whose computation crashes every time: NaN (0 in columns of integers), beside good neighbours.
    """

    __slots__ = ("block", "rows", "shared", "info", "us", "bad", "parts")

    def __init__(self, columns: Columns, shared: Columns, info: dict[str, object], us: int, bad: Sequence[int] = (),
                 parts: Sequence[Answer] = (), rows: slice = slice(0, None)) -> None:
        self.block = columns if type(columns) is Block else Block(columns)
        self.rows, self.shared, self.info, self.us, self.bad, self.parts = rows, shared, info, us, bad, parts

    @property
    def columns(self) -> Columns:
        """The rows asked."""
        return {name: column[self.rows] for name, column in self.block.items()}


@dataclass(slots=True, eq=False)
class Request:
    """One call of `Dispatcher.run` on its way."""

    kind: str
    field: FieldKey
    options: dict[str, object]
    columns: Asked
    rows: int
    deadline: float
    future: asyncio.Future[Answer]
    is_alone: bool = False
    trace: str = ""
    answers: dict[int, Answer] = field(default_factory=dict)
    bad: list[int] = field(default_factory=list)
    rows_done: int = 0

    @property
    def nbytes(self) -> int:
        """How much memory its columns hold."""
        return sum([8 * len(column) if type(column) is list else column.nbytes for column in self.columns.values()])

    def pieces(self) -> list[Piece]:
        """Cut it into pieces that fit a job."""
        if self.rows <= MAX_ROWS:
            return [Piece(self, 0, self.rows)]
        return [Piece(self, k, min(k + MAX_ROWS, self.rows)) for k in range(0, self.rows, MAX_ROWS)]

    def group(self) -> tuple[object, ...]:
        """Return what two requests must have in common to travel together.

        Raises
        ------
        BadParameter
            When the options are not plain data.
        """
        if self.is_alone or self.rows > MAX_ROWS:
            return (self,)
        try:
            options = self.options.packed if type(self.options) is PackedOptions else wire.pack_plain(self.options)
        except wire.WireError as error:
            raise BadParameter(f"options: {error}", where="options") from None
        # The field goes without saying: groups are kept by field. Whoever says the same in another order travels apart.
        return (self.kind, options, self.rows == 0,
                *[name if type(c) is list else (name, c.dtype, c.shape[1:]) for name, c in self.columns.items()])

    def part(self, name: str, start: int, stop: int) -> np.ndarray | list[float]:
        """Return some rows of a column."""
        column = self.columns[name]
        return column if stop - start == self.rows else column[start:stop]

    def fail(self, error: CosmicFlowsError) -> None:
        """End the request with an error, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True, eq=False)
class Piece:
    """Rows start to stop of a request."""

    request: Request
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def deliver(self, answer: Answer) -> None:
        """Hand over the answer for its rows; the last piece completes the request."""
        request = self.request
        if request.future.done():
            return
        if len(self) == request.rows:
            request.future.set_result(answer)
            return
        request.answers[self.start] = answer
        self._complete()

    def give_up(self) -> None:
        """Leave its one row out: it crashes what computes it, every time."""
        self.request.bad.append(self.start)
        self._complete()

    def halves(self) -> list[Piece]:
        """Cut it in two."""
        middle = (self.start + self.stop) // 2
        return [Piece(self.request, self.start, middle), Piece(self.request, middle, self.stop)]

    def _complete(self) -> None:
        request = self.request
        request.rows_done += len(self)
        if request.future.done() or request.rows_done < request.rows:
            return
        try:
            request.future.set_result(_join(request))
        except InternalError as error:
            request.fail(error)


@dataclass(slots=True, eq=False)
class Batch:
    """The pieces that travel as one job.

    `rerun` takes those that must run apart from each other now, with the suspicion they are under: 0 for none.
    """

    pieces: list[Piece]
    rerun: Callable[[list[Piece], int], None]

    @property
    def kind(self) -> str:
        """What is to be computed."""
        return self.head.kind

    @property
    def options(self) -> dict[str, object]:
        """With which options."""
        return self.head.options

    @property
    def trace(self) -> str:
        """The traceparent of the request it was made for, of one of them."""
        return self.head.trace

    @property
    def head(self) -> Request:
        """One of its requests; they agree in everything but rows."""
        return self.pieces[0].request

    @property
    def rows(self) -> int:
        """How many rows the job has."""
        return sum([piece.stop - piece.start for piece in self.pieces])

    @property
    def deadline(self) -> float:
        """When the last of its requests gives up."""
        return max(piece.request.deadline for piece in self.pieces)

    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not piece.request.future.done() for piece in self.pieces)

    def columns(self) -> Columns:
        """Return the rows of all pieces, one after the other."""
        whole = {}
        for name, column in self.head.columns.items():
            parts = [piece.request.part(name, piece.start, piece.stop) for piece in self.pieces]
            if type(column) is list:
                whole[name] = np.array([number for part in parts for number in part], F8)
            else:
                whole[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return whole

    def accept(self, result: wire.Result, settled: Callable[[], None]) -> None:
        """Give each piece its rows of the answer; nothing of it is kept, so it is settled at once."""
        self._deliver(Answer(result.columns, result.shared, result.info, result.us))
        settled()

    def refuse(self, error: CosmicFlowsError) -> None:
        """Fail a request; when several travelled together, run each alone first: one of them is to blame, not all."""
        if len(self.pieces) == 1:
            self.head.fail(error)
        else:
            self.rerun(self.pieces, 0)

    def quarantine(self, error: CosmicFlowsError) -> None:
        """Run what travelled together apart, halve what is large, until single rows are left to blame."""
        piece = self.pieces[0]
        if len(self.pieces) > 1:
            for piece in self.pieces:
                self.rerun([piece], SUSPICION if len(piece) > 1 else 0)
        elif len(piece) > 1:
            for half in piece.halves():
                self.rerun([half], SUSPICION if len(half) > 1 else 0)
        elif piece.request.rows > 1:
            piece.give_up()
        else:
            piece.request.fail(InternalError("the computation of this object fails every time; the operator of the server finds "
                                             "the details in its log", code="crashed"))

    def _deliver(self, answer: Answer) -> None:
        if len(self.pieces) == 1:
            self.pieces[0].deliver(answer)
            return
        start = 0
        for piece in self.pieces:
            rows = slice(start, start + len(piece))
            start = rows.stop
            piece.deliver(Answer(answer.block, answer.shared, dict(answer.info), answer.us, rows=rows))


def next_batch(group: deque[Piece]) -> list[Piece]:
    """Take the pieces of one job off a group, skipping those nobody waits for."""
    taken: list[Piece] = []
    rows = 0
    while group:
        piece = group[0]
        if not piece.request.future.done():
            if taken and rows + len(piece) > MAX_ROWS:
                break
            taken.append(piece)
            rows += len(piece)
        group.popleft()
    return taken


@dataclass(slots=True, eq=False)
class Waiting:
    """The groups of pieces that wait for one field, in turn."""

    groups: dict[tuple[object, ...], deque[Piece]] = field(default_factory=dict)

    def put(self, group: tuple[object, ...], pieces: list[Piece]) -> None:
        """Append pieces to a group."""
        self.groups.setdefault(group, deque()).extend(pieces)

    def take(self) -> list[Piece]:
        """Take the pieces of one job off the group whose turn it is; none when nobody waits."""
        while self.groups:
            group, pieces = next(iter(self.groups.items()))
            del self.groups[group]
            taken = next_batch(pieces)
            if pieces:
                self.groups[group] = pieces
            if taken:
                return taken
        return []


def _join(request: Request) -> Answer:
    """Put the answers of the pieces together; rows that were given up become NaN."""
    answers = [request.answers[start] for start in sorted(request.answers)]
    if not answers:
        raise InternalError("the computation of these objects fails every time; the operator of the server finds the details in "
                            "its log", code="crashed")
    first = answers[0]
    try:
        columns = {name: np.concatenate([answer.columns[name] for answer in answers]) for name in first.columns}
    except (KeyError, ValueError) as error:
        raise InternalError(f"the parts of the answer do not fit together: {error}") from None
    bad = sorted(request.bad)
    for name, column in list(columns.items()) if bad else ():
        whole = np.full((request.rows, *column.shape[1:]), np.nan if column.dtype.kind == "f" else 0, column.dtype)
        whole[np.delete(np.arange(request.rows), bad)] = column
        columns[name] = whole
    return Answer(columns, first.shared, first.info, sum(answer.us for answer in answers), bad, answers)

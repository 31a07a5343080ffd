"""Requests into jobs and back: merge small ones, cut large ones, give everybody their own rows. Pure, no sockets.

A request becomes pieces of at most `MAX_ROWS` rows; a batch is a job made of pieces that agree in everything but
rows. Small requests of one kind wait in one group, so that all of them go out as one job; a large request is a group
of its own, so that the turn of the groups keeps the small ones moving beside it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from cfcore import wire
from cfcore.errors import BadParameter, CosmicFlowsError, InternalError

MAX_ROWS = 5_000
FieldKey = tuple[str, str]
Columns = dict[str, np.ndarray]


@dataclass(slots=True, eq=False)
class Answer:
    """What came back.

    Attributes
    ----------
    columns : dict of ndarray, shape (n, ...)
        One entry per row asked, in the order asked.
    shared : dict of ndarray
        Columns common to all rows, such as the grid of distances.
    info : dict
        Plain facts about the computation.
    us : int
        Compute time of the jobs the rows travelled in, microseconds.
    """

    columns: Columns
    shared: Columns
    info: dict[str, object]
    us: int


@dataclass(slots=True, eq=False)
class Request:
    """One call of `Dispatcher.run` on its way."""

    kind: str
    field: FieldKey
    options: dict[str, object]
    columns: Columns
    rows: int
    deadline: float
    future: asyncio.Future[Answer]
    is_alone: bool = False
    answers: dict[int, Answer] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """How much memory its columns hold."""
        return sum(column.nbytes for column in self.columns.values())

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
            options = wire.pack_plain(sorted(self.options.items()))
        except wire.WireError as error:
            raise BadParameter(f"options: {error}", where="options") from None
        # The field goes without saying: groups are kept by field.
        return (self.kind, options, self.rows == 0,
                *((name, c.dtype.str, c.shape[1:]) for name, c in sorted(self.columns.items())))

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
        if len(request.answers) == -(-request.rows // MAX_ROWS):
            try:
                request.future.set_result(_join([request.answers[start] for start in sorted(request.answers)]))
            except InternalError as error:
                request.fail(error)


@dataclass(slots=True, eq=False)
class Batch:
    """The pieces that travel as one job."""

    pieces: list[Piece]

    @property
    def head(self) -> Request:
        """One of its requests; they agree in everything but rows."""
        return self.pieces[0].request

    @property
    def rows(self) -> int:
        """How many rows the job has."""
        return sum(map(len, self.pieces))

    @property
    def deadline(self) -> float:
        """When the last of its requests gives up."""
        return max(piece.request.deadline for piece in self.pieces)

    def is_wanted(self) -> bool:
        """Whether anybody still waits for it."""
        return any(not piece.request.future.done() for piece in self.pieces)

    def columns(self) -> Columns:
        """Return the rows of all pieces, one after the other."""
        parts = [(piece.request.columns, slice(piece.start, piece.stop)) for piece in self.pieces]
        if len(parts) == 1:
            return {name: column[parts[0][1]] for name, column in self.head.columns.items()}
        return {name: np.concatenate([columns[name][rows] for columns, rows in parts]) for name in self.head.columns}

    def deliver(self, answer: Answer) -> None:
        """Give each piece its rows of the answer."""
        if len(self.pieces) == 1:
            self.pieces[0].deliver(answer)
            return
        start = 0
        for piece in self.pieces:
            rows = slice(start, start + len(piece))
            start = rows.stop
            piece.deliver(Answer({name: column[rows] for name, column in answer.columns.items()}, answer.shared,
                                 dict(answer.info), answer.us))


def next_batch(group: deque[Piece]) -> Batch | None:
    """Take the pieces of one job off a group, skipping those nobody waits for; None when nothing is left."""
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
    return Batch(taken) if taken else None


@dataclass(slots=True, eq=False)
class Waiting:
    """The groups of pieces that wait for one field, in turn."""

    groups: dict[tuple[object, ...], deque[Piece]] = field(default_factory=dict)

    def put(self, group: tuple[object, ...], pieces: list[Piece]) -> None:
        """Append pieces to a group."""
        self.groups.setdefault(group, deque()).extend(pieces)

    def take(self) -> Batch | None:
        """Take one job off the group whose turn it is."""
        while self.groups:
            group, pieces = next(iter(self.groups.items()))
            del self.groups[group]
            batch = next_batch(pieces)
            if pieces:
                self.groups[group] = pieces
            if batch:
                return batch
        return None


def _join(answers: list[Answer]) -> Answer:
    first = answers[0]
    try:
        columns = {name: np.concatenate([answer.columns[name] for answer in answers]) for name in first.columns}
    except (KeyError, ValueError) as error:
        raise InternalError(f"the parts of the answer do not fit together: {error}") from None
    return Answer(columns, first.shared, first.info, sum(answer.us for answer in answers))

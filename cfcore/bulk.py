"""One part of a bulk run: read its rows of a Parquet file, answer them, publish one file whole, return what a manifest tells.

Everything here is plain work on files that any process can do. What lies in the folder of a run is the business of
`bulk_folder`, which process does which part that of `bulk_dask`. Every answered file carries the fingerprint of its
run and of its input, so that a second run takes up the first one and two different ones never mix.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import IO, Any

from . import __version__, _kernels, tablerun
from .arrowtable import ArrowChunk, ParquetReader, ParquetWriter
from .asking import Local
from .columns import Choice, check_velocities
from .errors import BadParameter, CosmicFlowsError, TransientError
from .field import FlowField
from .fieldfile import open_folder
from .manifest import Manifest
from .npyfile import digest_of, fsync_directory
from .options import FlowOptions

RUN_FILE = "_run.json"
SEAL = b"cosmicflows_part"
"""Key of the Parquet metadata that says what a finished file was made from."""
_READ = 1 << 22
_TAIL, _BEGINNING = 8, 200


@dataclass(frozen=True)
class Part:
    """Name the rows that one output file answers: rows `begin` to `end` of a file, found in its row groups `groups`."""

    number: int
    file: str
    footer: str
    """Digest of the footer of the file, which knows the place and size of every row group."""
    groups: tuple[int, ...]
    first: int
    """Row of the file with which the first of the groups begins."""
    begin: int
    end: int


@dataclass(frozen=True)
class Run:
    """Hold what every part of a run shares.

    Attributes
    ----------
    sha : str
        Digest of the run's description; runs that differ in anything that decides an answer differ in it.
    code : dict
        From `code_identity`, of the process that began the run.
    """

    out: str
    sha: str
    folder: str
    """Version folder of the field."""
    field_sha256: str
    manifest_sha256: str
    """From `manifest_digest`: the same cells may be published under another convention."""
    options: FlowOptions
    flow: str
    choice: Choice
    names: dict[str, str]
    sigma: float
    code: dict[str, str]

    def file_of(self, number: int) -> Path:
        """Return where the answers of a part stand."""
        return Path(self.out) / part_name(number)


def part_name(number: int) -> str:
    """Return the name of a part's file."""
    return f"part-{number:05d}.parquet"


@cache
def code_identity() -> dict[str, str]:
    """Return what decides the bytes of an answer beside the run: our code, compiled and not, and the writer of Parquet."""
    import pyarrow
    sha = hashlib.sha256()
    for path in [*sorted(Path(__file__).parent.glob("*.py")), Path(_kernels.__file__)]:
        sha.update(path.name.partition(".")[0].encode() + path.read_bytes())
    return {"cosmicflows": __version__, "code_sha256": sha.hexdigest(), "pyarrow": str(pyarrow.__version__)}


def manifest_digest(manifest: Manifest) -> str:
    """Return the sha256 of a field's manifest, but for the time it was published."""
    return hashlib.sha256(dataclasses.replace(manifest, created="").to_json().encode()).hexdigest()


def check_host(run: Run) -> None:
    """Refuse a host that would answer otherwise than the one that began the run, or that does not see its folders.

    Raises
    ------
    BadParameter
        Code ``unfit_worker``; the message names the host, what it has and what the run needs.
    """
    host, mine = socket.gethostname(), code_identity()
    for key, word in (("cosmicflows", "cosmicflows"), ("code_sha256", "the code of cosmicflows"), ("pyarrow", "pyarrow")):
        if mine[key] != run.code[key]:
            raise _unfit(f"host {host} has {word} {mine[key]:.12}, the run was begun with {run.code[key]:.12}; install the "
                         "same wheels on every host")
    try:
        with open(Path(run.out) / RUN_FILE, encoding="utf-8") as stream:
            # the digest comes first; the list of the input after it may be long
            beginning = stream.read(_BEGINNING)
    except OSError:
        raise _unfit(f"host {host} does not see the run in {run.out}; every worker needs the input, the output and the data "
                     "under the same paths as the command") from None
    if run.sha not in beginning:
        raise BadParameter(f"another run was begun in {run.out} meanwhile; this one ends", code="another_run", where="out")
    _open_field(run)


def answer_part(run: Run, part: Part, known: str | None = None) -> dict[str, Any]:
    """Answer one part, or find that it is answered.

    Parameters
    ----------
    run : Run
    part : Part
    known : str, optional
        sha256 of its file as an earlier manifest has it; a file that differs is made anew.

    Returns
    -------
    row : dict
        part, file, rows, bytes, sha256, statuses (word -> rows), kept (whether it was there), seconds.

    Raises
    ------
    BadParameter
        Code ``another_run`` or ``input_changed`` when the file that is there was made from something else, ``unreadable_table``
        when the input cannot be read.
    TransientError
        When the disk is full, or the like.
    """
    began = time.monotonic()
    field, place = _open_field(run), run.file_of(part.number)
    origin = {"run": run.sha, "part": part.number, "input": _digest(part)}
    seal = _seal_of(place, origin)
    is_kept = seal is not None and known in (None, _digest_of(place))
    if not is_kept:
        tally = tablerun.Tally()
        asker = Local(field, run.options, "distance", run.flow)
        with opened(part) as reader, published(place, lambda: check_host(run)) as stream:
            def sealed() -> dict[str, Any]:
                counts = {"ok": tally.answered, **tally.statuses}
                return {**origin, "rows": tally.rows, "statuses": {k: counts[k] for k in sorted(counts) if counts[k]}}
            tablerun.run(reader, asker, run.choice, run.names, lambda facts: _PartWriter(stream, reader, facts, sealed),
                         sigma=run.sigma, tally=tally, is_checked=True)
        seal = sealed()
    return {"part": part.number, "file": place.name, "rows": seal["rows"], "bytes": place.stat().st_size,
            "sha256": _digest_of(place), "statuses": seal["statuses"], "kept": is_kept,
            "seconds": time.monotonic() - began}


class PartReader(ParquetReader):
    """Read some rows of a Parquet file as if they were all of it; they keep their numbers."""

    def __init__(self, stream: IO[bytes], part: Part) -> None:
        super().__init__(stream, part.file)
        self._part, self.rows = part, part.end - part.begin

    def chunks(self, rows: int) -> Iterator[ArrowChunk]:
        """Yield batches of rows."""
        import pyarrow
        part, at = self._part, self._part.first
        if not part.groups:
            return
        try:
            for batch in self.file.iter_batches(batch_size=rows, row_groups=list(part.groups), use_threads=False):
                low, high = max(part.begin - at, 0), min(part.end - at, batch.num_rows)
                if low < high:
                    yield ArrowChunk(self, batch.slice(low, high - low), at + low)
                at += batch.num_rows
        except (pyarrow.ArrowException, OSError) as exc:
            raise BadParameter(f"{self.name} cannot be read after row {at} ({str(exc)[:160]})", code="unreadable_table",
                               where="table") from None


@contextlib.contextmanager
def opened(part: Part) -> Iterator[PartReader]:
    """Open a part for reading.

    Raises
    ------
    BadParameter
        When its file cannot be opened, or is no longer the one the parts were made from.
    """
    try:
        stream = open(part.file, "rb")
    except OSError as exc:
        raise BadParameter(f"{part.file} cannot be opened on host {socket.gethostname()} ({exc.strerror})",
                           code="unreadable_table", where="table") from None
    with stream:
        if footer_digest(stream) != part.footer:
            raise _changed(part.file)
        stream.seek(0)
        yield PartReader(stream, part)


def check_beginning(part: Part, choice: Choice, rows: int = 20_000) -> None:
    """Read the first rows of a part and refuse columns that cannot be what they were taken for.

    Raises
    ------
    BadParameter
        When a chosen column holds no numbers, or its velocities look like redshifts or the other way round.
    """
    with opened(part) as reader:
        for chunk in reader.chunks(rows):
            for chosen in (choice.lon, choice.lat, choice.sigma):
                if chosen is not None:
                    chunk.column(chosen.index)
            check_velocities(chunk.column(choice.value.index)[0] * choice.value.factor, choice.value)
            return


@contextlib.contextmanager
def published(place: Path, check: Callable[[], None] | None = None) -> Iterator[IO[bytes]]:
    """Give a stream to write; the file appears under its name whole and on the disk, or not at all.

    Parameters
    ----------
    place : Path
    check : callable, optional
        Called last of all before the file gets its name; what it raises leaves the place as it was.

    Raises
    ------
    TransientError
        When it cannot be written.
    """
    # two hosts may write the same part, one of them taken for dead: neither may touch the other's draft
    draft = place.with_name(f".{place.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(draft, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        if check is not None:
            check()
        os.replace(draft, place)
        fsync_directory(place.parent)
    except OSError as exc:
        raise TransientError(f"{place} cannot be written ({exc.strerror or exc}); free space, then run the same command again: "
                             "it goes on from here", code="cannot_write") from exc
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def footer_digest(stream: IO[bytes]) -> str:
    """Return the sha256 of the footer of a Parquet file; of the whole file when it has none."""
    # the format ends with the footer's length, 4 bytes, and PAR1
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - _TAIL, 0))
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(size - _TAIL - length if 0 < length <= size - _TAIL else 0)
    return digest_of(stream)


class _PartWriter(ParquetWriter):
    """Write Parquet whose metadata say, once all rows are in, what it was made from."""

    def __init__(self, stream: IO[bytes], source: PartReader, facts: Mapping[str, object],
                 sealed: Callable[[], dict[str, Any]]) -> None:
        super().__init__(stream, source, facts)
        self._sealed = sealed

    def finish(self) -> None:
        """Write what is left, and the seal."""
        if self._added or self._out is None:
            self._flush()
        self._out.add_key_value_metadata({SEAL: _text(self._sealed())})
        super().finish()


def _seal_of(place: Path, origin: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the seal of a finished file, None when there is none that can be read."""
    import pyarrow
    from pyarrow import parquet
    try:
        found = json.loads((parquet.read_metadata(place).metadata or {}).get(SEAL, b"{}"))
    except (pyarrow.ArrowException, OSError):
        return None
    if (found.get("run"), found.get("part")) != (origin["run"], origin["part"]):
        raise BadParameter(f"{place} belongs to another run; add --overwrite to replace what is there, or choose another OUT",
                           code="another_run", where="out")
    if found["input"] != origin["input"]:
        raise BadParameter(f"{place} was made from other rows than the input holds now; add --overwrite to answer all anew, or "
                           "choose another OUT", code="input_changed", where="table")
    return dict(found)


def _digest(part: Part) -> str:
    """Return the sha256 of the bytes of a part's row groups; hashing them costs a hundredth of answering them."""
    sha = hashlib.sha256(_text([part.footer, part.begin, part.end]))
    with opened(part) as reader:
        about, stream = reader.file.metadata, open(part.file, "rb")
        with stream:
            for group in map(about.row_group, part.groups):
                for column in map(group.column, range(group.num_columns)):
                    stream.seek(column.dictionary_page_offset or column.data_page_offset)
                    left = column.total_compressed_size
                    while left and (block := stream.read(min(left, _READ))):
                        sha.update(block)
                        left -= len(block)
    return sha.hexdigest()


def _digest_of(place: Path) -> str:
    with open(place, "rb") as stream:
        return digest_of(stream)


def _open_field(run: Run) -> FlowField:
    return _field(run.folder, run.field_sha256, run.manifest_sha256)


@lru_cache(2)
def _field(folder: str, sha256: str, manifest_sha256: str) -> FlowField:
    """Map the field once a process; another version than the run's is refused."""
    host, path = socket.gethostname(), Path(folder)
    try:
        field = FlowField(*open_folder(path))
    except CosmicFlowsError as exc:
        raise _unfit(f"host {host} cannot open the field of the run, {path.parent.name} {path.name} ({exc.message}); every host "
                     f"needs the same data at {path.parents[2]}") from None
    found = field.manifest
    if found.sha256 != sha256:
        raise _unfit(f"host {host} has another version of field {found.id}: sha256 {found.sha256[:16]}..., the run was begun "
                     f"with {sha256[:16]}...; give every host the same data at {path.parents[2]}")
    if manifest_digest(found) != manifest_sha256:
        raise _unfit(f"host {host} has field {found.id} {found.version} with another manifest than the run was begun with; give "
                     f"every host the same data at {path.parents[2]}")
    return field


def _unfit(message: str) -> BadParameter:
    return BadParameter(message, code="unfit_worker", where="scheduler")


def _changed(file: str) -> BadParameter:
    return BadParameter(f"{file} has changed since the run was begun; add --overwrite to answer all anew, or choose another OUT",
                        code="input_changed", where="table")


def _text(data: object) -> bytes:
    return json.dumps(data, sort_keys=True, ensure_ascii=False).encode()



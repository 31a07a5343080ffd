"""Results on their way to the disk: resumed after a cut, and never under their name before they are whole and right."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .client_calls import Call, Server, Steps, Work, ask
from .client_tables import read_result
from .errors import BadParameter, InternalError, UsageError
from .tables import OUTPUT_FORMATS, SUFFIXES

if TYPE_CHECKING:
    from astropy.table import QTable

FORMATS: tuple[str, ...] = (*OUTPUT_FORMATS, "json", "msgpack")
_ENDS = {"votable": "vot"}
_READ = 1 << 20
_HEX = re.compile(r"[0-9a-f]{64}")


class Download:
    """Take a file as it comes, and know where it broke off.

    Parameters
    ----------
    path : Path
        Where it will lie. Until then its bytes lie beside it, in a hidden file that is called after the SHA-256 of the whole: a
        later try, of this process or another one, goes on only with bytes of the same file.

    Attributes
    ----------
    received : int
        Bytes on the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file, self._expected = path, None, ""
        self.received = 0
        self._sum = hashlib.sha256()
        self._file: IO[bytes] | None = None

    def recall(self) -> None:
        """Look for what an earlier process has left, and read it: the sum goes over all."""
        for part in sorted(self._path.parent.glob(f".{_plain(self._path.name)}.*.part")):
            digest = part.name.split(".")[-2]
            if _HEX.fullmatch(digest):
                self._open(digest, keeps=True)
                return

    @property
    def is_whole(self) -> bool:
        """Tell whether all bytes are there, and right."""
        return bool(self._expected) and self._sum.hexdigest() == self._expected

    def headers(self) -> dict[str, str]:
        """Return what a request must say so that it brings the bytes that are missing."""
        # bytes of a compressed answer would be other bytes than those that are counted
        asked = {"Accept-Encoding": "identity"}
        if self.received:
            asked |= {"Range": f"bytes={self.received}-", "If-Range": f'"{self._expected}"'}
        return asked

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Go on where the bytes broke off, or start again with another file."""
        digest = digest_of(headers)
        if status == 206:
            first = re.match(r"bytes (\d+)-", headers.get("content-range", ""))
            if digest == self._expected and first and int(first[1]) == self.received:
                return
            raise InternalError(f"the server sends another part of the result than that from byte {self.received} on; ask again",
                                code="wrong_range")
        self.forget()
        self._open(digest, keeps=False)

    def write(self, piece: bytes) -> None:
        """Keep some bytes."""
        assert self._file is not None
        self._file.write(piece)
        self._sum.update(piece)
        self.received += len(piece)

    def finish(self) -> None:
        """Give the file its name."""
        assert self._file is not None
        self.close()
        os.replace(self._part, self._path)

    def forget(self) -> None:
        """Drop what has come."""
        self.close()
        if self._expected:
            self._part.unlink(missing_ok=True)
        self._expected, self.received, self._sum = "", 0, hashlib.sha256()

    def close(self) -> None:
        """Leave the bytes for a later try."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _part(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{self._expected}.part")

    def _open(self, digest: str, *, keeps: bool) -> None:
        self._expected = digest
        self._file = open(self._part, "r+b" if keeps else "wb")
        while piece := self._file.read(_READ) if keeps else b"":
            self._sum.update(piece)
            self.received += len(piece)


def fetch(server: Server, job: int, path: Path, fmt: str, flow_type: str | None) -> Steps[Path]:
    """Fetch the result of a job to a file.

    Raises
    ------
    InternalError
        Code ``digest_mismatch`` when twice other bytes came than the server promised.
    """
    download = Download(path)
    yield Work(download.recall)
    with contextlib.closing(download):
        call = Call("GET", f"/v1/jobs/{job}/results/result.{_ENDS.get(fmt, fmt)}", {"flow_type": flow_type}, sink=download,
                    timeout_s=120.0)
        for _ in range(2):
            if not download.is_whole:
                try:
                    yield from ask(server, call)
                except UsageError as error:
                    # what lies there is longer than the file: it cannot be right
                    if error.code != "bad_range":
                        raise
            if download.is_whole:
                download.finish()
                return path
            download.forget()
    raise InternalError(f"the result of job {job} came twice with other bytes than its SHA-256 promises; is something between "
                        f"you and {server.url} that changes files?", code="digest_mismatch")


def save(server: Server, job: int, path: str | os.PathLike[str], fmt: str | None,
         flow_type: str | None) -> Steps[Path]:
    """Save the result of a job in a format, or in the one of the suffix."""
    target = Path(path)
    return fetch(server, job, target, format_of(target, fmt), flow_type)


def result(server: Server, job: int, flow_type: str | None) -> Steps[QTable]:
    """Fetch the result of a job and read it."""
    with tempfile.TemporaryDirectory(prefix="cosmicflows-") as folder:
        path = yield from fetch(server, job, Path(folder) / "result.fits", "fits", flow_type)
        return (yield Work(partial(read_result, path)))


def digest_of(headers: Mapping[str, str]) -> str:
    """Return the SHA-256 that the headers of an answer tell of the whole file, as hexadecimal digits.

    Raises
    ------
    UsageError
        Code ``not_our_server`` when they tell none.
    """
    stated = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", headers.get("repr-digest", ""))
    if stated:
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(stated[1], validate=True).hex()
    tag = headers.get("etag", "").strip('"')
    if _HEX.fullmatch(tag):
        return tag
    raise UsageError("the server does not tell the SHA-256 of the result; it is none of ours, or something between changes its "
                     "answers", code="not_our_server", where="url")


def format_of(path: Path, asked: str | None) -> str:
    """Return the format in which a result is saved: the one asked for, or the one of the suffix."""
    fmt = asked or SUFFIXES.get(path.suffix.lower()) or path.suffix.lower().lstrip(".")
    if fmt not in FORMATS:
        raise BadParameter(f"{str(path)!r:.200} tells no format of results; give format= one of {', '.join(FORMATS)}",
                           code="unknown_format", where="format", extra={"known": list(FORMATS)})
    return fmt


def _plain(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)

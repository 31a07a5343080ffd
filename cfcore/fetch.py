"""Download the files of a public product once, prove that they are the published ones, and publish the field.

An interrupted download goes on where it stopped; a file is believed for its sha256 alone, whoever served it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .errors import BadParameter, FieldRefused, TransientError, UnknownName, UsageError
from .fieldfile import current_folder, open_folder
from .intake import take_in
from .products import Product, ProductFile, digest_fault
from .registry import how_to_get, lock
from .sources import describe

TIMEOUT_S = 30.0
ATTEMPTS = 3
"""A connection that breaks is taken up again this often in one call."""
_BLOCK = 1 << 16

Progress = Callable[[str, int, int], None]
"""Called with file name, bytes so far and bytes in all."""


def fetch(record: Product, data: Path, progress: Progress | None = None, *, base: str | None = None,
          timeout_s: float = TIMEOUT_S) -> Path:
    """Install a public product from its public address.

    Parameters
    ----------
    record : Product
        One whose checksums are known.
    data : Path
        The data directory; files are kept in ``downloads``, the field goes to ``fields``.
    progress : callable, optional
    base : str, optional
        Address of the directory that holds the files; default ``CF_FETCH_BASE``, else the product's own.
    timeout_s : float
        Longest silence of the server, seconds.

    Returns
    -------
    Path
        The folder of the field. When it is installed already nothing is downloaded.

    Raises
    ------
    UsageError
        Code ``not_fetchable`` when the checksums of the product are not known.
    TransientError
        When the server cannot be reached or breaks off; what has come is kept for the next call.
    FieldRefused
        When size or checksum differ from the published file; what has come is removed.
    """
    if not record.fetchable:
        raise UsageError(f"{record.id} cannot be fetched, because the checksums of its files are not known here; "
                         f"{how_to_get(record)}", code="not_fetchable", where="field")
    address = (base or os.environ.get("CF_FETCH_BASE") or str(record.fetch_base)).rstrip("/")
    if not address.startswith(("https://", "http://")):
        raise BadParameter(f"the address {address!r:.200} must begin with https:// or http://", where="CF_FETCH_BASE")
    home = data / "fields" / record.id
    with lock(data / "downloads" / ".lock"):
        # A damaged field is no reason to stop: fetching is how it is mended.
        with contextlib.suppress(UnknownName, FieldRefused):
            folder = current_folder(home)
            if [s.sha256 for s in open_folder(folder)[0].sources] == [f.sha256 for f in record.files]:
                return folder
        files = {f.role: _download(f, address, data / "downloads", progress, timeout_s) for f in record.files}
        return take_in(data / "fields", record, files)[0]


def _download(file: ProductFile, address: str, directory: Path, progress: Progress | None, timeout_s: float) -> Path:
    target, part = directory / file.name, directory / f"{file.name}.part"
    if target.exists() and digest_fault(describe(target), file) is None:
        return target
    url = f"{address}/{file.name}"
    for attempt in range(ATTEMPTS):
        before = _size(part)
        try:
            _transfer(file, url, part, progress, timeout_s)
            break
        except (OSError, http.client.HTTPException) as exc:
            # Try again only where something came: a server that breaks off may go on, one that is not there will not.
            if attempt + 1 == ATTEMPTS or _size(part) <= before:
                raise TransientError(
                    f"{file.name} could not be downloaded from {url} ({_cause(exc)}; {_size(part)} of {file.bytes} "
                    "bytes are here and will be kept); try again later, or get it yourself and run: "
                    "cosmicflows fields add PATH", code="download_failed") from exc
    source = describe(part)
    if source.sha256 != file.sha256:
        _discard(part)
        raise FieldRefused(f"the content of {file.name} that came from {url} differs from the published file (sha256 "
                           f"{source.sha256[:16]}... instead of {str(file.sha256)[:16]}...) and was removed; "
                           "try again, or get it yourself and run: cosmicflows fields add PATH",
                           code="download_corrupt")
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, target)
    _etag_path(part).unlink(missing_ok=True)
    return target


def _transfer(file: ProductFile, url: str, part: Path, progress: Progress | None, timeout_s: float) -> None:
    """Bring `part` to its full size, from where it stands; raise OSError when the connection breaks."""
    have = _size(part)
    if file.bytes is not None and have > file.bytes:
        have = _discard(part)
    if have and have == file.bytes:
        return
    request = urllib.request.Request(url, headers={"User-Agent": "cosmicflows", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if etag := _read_etag(part):
            request.add_header("If-Range", etag)
    try:
        answer = urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as exc:
        exc.close()
        if exc.code != 416 or not have:
            raise
        # The file on the server ends before what we hold: they are not the same file. Begin anew.
        _discard(part)
        return _transfer(file, url, part, progress, timeout_s)
    with answer:
        if answer.status != 206:
            # The server does not do ranges, or the file changed since: it sends the whole file, and we begin anew.
            have = 0
        elif not str(answer.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            _discard(part)
            raise http.client.HTTPException(f"asked from byte {have}, got {answer.headers.get('Content-Range')}")
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else file.bytes
        if file.bytes is not None and total != file.bytes:
            _discard(part)
            raise _wrong_size(file, url, total)
        _etag_path(part).write_text(json.dumps(answer.headers.get("ETag")), encoding="utf-8")
        with open(part, "r+b" if have else "wb") as out:
            out.seek(have)
            have = _copy(answer, out, have, total, file.name, progress)
    if total is not None and have < total:
        raise ConnectionError(f"the server broke off after {have} of {total} bytes")
    if file.bytes is not None and have != file.bytes:
        _discard(part)
        raise _wrong_size(file, url, have)


def _copy(answer: BinaryIO, out: BinaryIO, have: int, total: int | None, name: str, progress: Progress | None) -> int:
    while block := answer.read(_BLOCK):
        out.write(block)
        have += len(block)
        if progress:
            progress(name, have, total or 0)
        if total is not None and have > total:
            break
    return have


def _wrong_size(file: ProductFile, url: str, found: int | None) -> FieldRefused:
    return FieldRefused(f"{url} offers {found} bytes where the published {file.name} has {file.bytes}; it is another "
                        "file, and was removed; get the published one and run: cosmicflows fields add PATH",
                        code="download_wrong_size")


def _cause(exc: Exception) -> str:
    if isinstance(exc, urllib.error.HTTPError):
        return f"the server answers {exc.code} {exc.reason}"
    return str(getattr(exc, "reason", None) or exc) or type(exc).__name__


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _discard(part: Path) -> int:
    part.unlink(missing_ok=True)
    _etag_path(part).unlink(missing_ok=True)
    return 0


def _etag_path(part: Path) -> Path:
    return part.with_suffix(".etag")


def _read_etag(part: Path) -> str | None:
    try:
        etag = json.loads(_etag_path(part).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    # A weak validator may not be used with If-Range (RFC 9110, section 13.1.5).
    return etag if isinstance(etag, str) and not etag.startswith("W/") else None

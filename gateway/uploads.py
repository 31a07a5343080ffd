"""Tables on their way in: a body or a part of a form into a file, bounded, and kept for an hour for whoever sent it.

Nothing is known here of what a file holds (`read_table`). Files have names of our own; what a client calls them is shown to
it again and goes nowhere else. What is kept outlives the process that took it: a note beside the file says whose it is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import hashlib
import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from cfcore.errors import BadParameter, TransientError, UnknownName

from .problems import unreadable_body
from .read_table import FILE_MAX
from .store import refusal

log = logging.getLogger("gateway.uploads")
KEPT_S = 3600.0
OWN_MAX, OWN_UNDER_WAY, OWN_BYTES = 4, 16, 1 << 30
ALL_BYTES = 8 << 30
FREE_LEAST = 0.02
"""Of the disk: so much is left for what was accepted."""
NAME_MAX = 100
_SWEEP_S = 60.0
_STEP = 1 << 20
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(slots=True, eq=False)
class Upload:
    """A file that somebody sent: who, what it is called, how large it is, and when it goes."""

    id: str
    owner: str
    path: Path
    name: str
    media: str
    size: int = 0
    sha256: str = ""
    expires: float = 0.0
    reading: dict[str, Any] = field(default_factory=dict)
    """How it was said to be read, beside what its columns are: format, delimiter, extension."""


class Uploads:
    """Keep what was sent.

    Parameters
    ----------
    folder : Path
        Of the uploads; what nobody keeps when they are opened is left over and removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._here: dict[str, Upload] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Make the folder, find what is kept in it and remove what an earlier process left besides."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = set[Path]()
        for note in self.folder.glob("*.json"):
            upload = _noted(note)
            if upload is not None and upload.expires > time.time():
                self._here[upload.id] = upload
                known |= {note, upload.path}
        for left in self.folder.iterdir():
            if left.is_file() and left not in known:
                left.unlink(missing_ok=True)

    def start(self) -> None:
        """Begin to remove what has had its hour."""
        self.sweep()
        self._timer = asyncio.get_running_loop().call_later(_SWEEP_S, self.start)

    def close(self) -> None:
        """Remove what nobody keeps."""
        if self._timer is not None:
            self._timer.cancel()
        for upload in [u for u in self._here.values() if not u.expires]:
            self.drop(upload)

    def sweep(self) -> None:
        """Remove what has had its hour."""
        now = time.time()
        for upload in [u for u in self._here.values() if u.expires and u.expires < now]:
            self.drop(upload)

    async def take(self, owner: str, pieces: AsyncIterator[bytes], name: str, media: str) -> Upload:
        """Write what comes to a file; the caller keeps it with `keep` or removes it with `drop`.

        Raises
        ------
        BadParameter
            Codes ``body_too_large``, ``empty_table``, or as the body breaks off.
        TransientError
            Codes ``too_many_uploads``, ``busy``, ``store_full``, ``store_unavailable``.
        """
        self.sweep()
        disk = await asyncio.to_thread(shutil.disk_usage, self.folder)
        if disk.free < FREE_LEAST * disk.total:
            raise TransientError("no table can be taken: the disk of the jobs is nearly full; what was accepted is safe; "
                                 "available in 60 seconds if it is mended", code="store_full", extra={"retry_after_s": 60})
        self._check_room(owner)
        upload = Upload(secrets.token_urlsafe(24), owner, self.folder / f"{secrets.token_hex(12)}.up", shown_name(name), media)
        self._here[upload.id] = upload
        try:
            await self._fill(upload, pieces)
        except OSError as error:
            self.drop(upload)
            if isinstance(error, ConnectionError):
                raise BadParameter("the connection ended in the middle of the body", code="bad_request", where="body") from None
            raise _refused(error) from None
        except (web.RequestPayloadError, PayloadEncodingError):
            self.drop(upload)
            raise unreadable_body() from None
        except BaseException:
            self.drop(upload)
            raise
        return upload

    async def _fill(self, upload: Upload, pieces: AsyncIterator[bytes]) -> None:
        digest, gathered, n = hashlib.sha256(), [], 0
        handle = await asyncio.to_thread(os.open, upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            async for piece in pieces:
                gathered.append(piece)
                n += len(piece)
                upload.size += len(piece)
                self._check_size(upload)
                if n >= _STEP:
                    # neither the digest nor a slow disk is to hold up the others
                    await asyncio.to_thread(_write, handle, gathered, digest)
                    gathered, n = [], 0
            await asyncio.to_thread(_write, handle, gathered, digest, True)
        finally:
            os.close(handle)
        if not upload.size:
            raise BadParameter("the table is empty; send the file as the body, or as the part 'file' of a form",
                               code="empty_table", where="table")
        upload.sha256 = digest.hexdigest()

    async def keep(self, upload: Upload) -> None:
        """Let an upload stay for its hour.

        Raises
        ------
        TransientError
            Codes ``too_many_uploads``, ``store_full``, ``store_unavailable``.
        """
        kept = [u.expires for u in self._here.values() if u.owner == upload.owner and u.expires]
        if len(kept) >= OWN_MAX:
            seconds = max(1, round(min(kept) - time.time()))
            raise TransientError(f"{len(kept)} tables of yours are here, of at most {OWN_MAX}; DELETE /v1/tables/ID removes one, "
                                 f"or try again, available in {seconds} seconds", code="too_many_uploads",
                                 extra={"retry_after_s": seconds})
        upload.expires = time.time() + KEPT_S
        try:
            await asyncio.to_thread(_note, upload)
        except OSError as error:
            raise _refused(error) from None

    def find(self, owner: str, id: str) -> Upload:
        """Return an upload of an owner.

        Raises
        ------
        UnknownName
            Code ``unknown_table``, also for what belongs to somebody else.
        """
        self.sweep()
        found = self._here.get(id)
        if found is None or found.owner != owner or not found.expires:
            raise UnknownName(f"there is no table {id!r:.60} of yours; tables that are sent to /v1/tables are kept for "
                              f"{KEPT_S / 60:.0f} minutes, send it again", code="unknown_table", where="table")
        return found

    def drop(self, upload: Upload) -> None:
        """Remove an upload."""
        self._here.pop(upload.id, None)
        upload.path.with_suffix(".json").unlink(missing_ok=True)
        upload.path.unlink(missing_ok=True)

    def _check_room(self, owner: str) -> None:
        under_way = sum(u.owner == owner and not u.expires for u in self._here.values())
        if under_way >= OWN_UNDER_WAY:
            raise TransientError(f"{under_way} tables of yours are on their way, of at most {OWN_UNDER_WAY}; try again, "
                                 "available in 5 seconds", code="too_many_uploads", extra={"retry_after_s": 5})

    def _check_size(self, upload: Upload) -> None:
        if upload.size > FILE_MAX:
            raise BadParameter(f"the table is larger than {FILE_MAX >> 20} MiB; send it in parts", code="body_too_large",
                               where="body", extra={"limit": FILE_MAX})
        own = sum(u.size for u in self._here.values() if u.owner == upload.owner)
        if own > OWN_BYTES:
            raise TransientError(f"the tables of yours that are here have more than {OWN_BYTES >> 20} MiB; DELETE /v1/tables/ID "
                                 "removes one", code="too_many_uploads", extra={"retry_after_s": 60})
        if sum(u.size for u in self._here.values()) > ALL_BYTES:
            raise TransientError("the tables that wait here have no room for another; try again, available in 60 seconds",
                                 code="busy", extra={"retry_after_s": 60})


def shown_name(name: str) -> str:
    """Return what a client calls its file as it may be shown: no folders, nothing that does not print, 100 characters at most."""
    last = _UNSHOWN.sub("", name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode("utf-8"))
    if len(last) > NAME_MAX:
        stem, dot, end = last.rpartition(".")
        last = f"{stem[:NAME_MAX - 1 - len(end)]}.{end}" if dot and len(end) < 12 else last[:NAME_MAX]
    return last.strip() or "the table"


def _write(handle: int, pieces: list[bytes], digest: Any, is_last: bool = False) -> None:
    for piece in pieces:
        digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(handle, view):]
    if is_last:
        os.fsync(handle)


def _note(upload: Upload) -> None:
    """Write what is known of an upload beside it; a note that is there is whole."""
    place = upload.path.with_suffix(".json")
    draft = place.with_suffix(".note")
    with open(draft, "wb", opener=lambda path, flags: os.open(path, flags | os.O_CLOEXEC, 0o600)) as stream:
        stream.write(orjson.dumps({**dataclasses.asdict(upload), "path": upload.path.name}))
        stream.flush()
        os.fsync(stream.fileno())
    draft.rename(place)


def _noted(note: Path) -> Upload | None:
    """Return the upload of a note; None when it is damaged, or its file is another one."""
    try:
        upload = Upload(**{**orjson.loads(note.read_bytes()), "path": note.with_suffix(".up")})
        # a file that was unpacked to be looked at is larger than what was sent
        return upload if upload.path.is_file() else None
    except (OSError, ValueError, TypeError):
        return None


def _refused(error: OSError) -> TransientError:
    return refusal("the disk of the jobs is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else
                   "the store of the jobs cannot write")

"""A catalogue sent over HTTP: the body into a file, the import in a process of its own, the report back.

The service goes on answering meanwhile; what the client sends is never a path or a name of a file on this machine.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import orjson
from aiohttp import ClientError, web
from aiohttp.http_exceptions import PayloadEncodingError

from cfcore.errors import BadParameter, DeadlineExceeded, InternalError, UnknownName, from_dict

from .names import quote
from .volumes import FIRST, Library

LIMIT_S = 600.0
PREFIX = "cosmicflows-upload-"
OPTIONS = ("profile", "id", "frame", "convention", "format", "delimiter", "title", "citation", "licence", "kind", "link",
           "max_bad")
"""Query parameters that are handed on as options of the same name; ``map`` may be given many times, ``dry_run`` is a flag."""
_NUMBERS: dict[str, type[float] | type[int]] = {"link": float, "max_bad": int}
_FLAGS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_OPTION = re.compile(r"--([a-z][a-z-]*)")
_OPTION_VALUE = re.compile(r"--(map(?= \w+=)|frame(?= [a-z]+)|profile(?= [a-z0-9+-]+)|kind(?= [a-z]+)|convention(?= [a-z]+)) "
                           r"(?!says|with|which|is|and|to|or|out)")
_UNSAFE = re.compile(r"[^A-Za-z0-9_+.-]+")


async def take_in(request: web.Request, data: Path, limit: int) -> dict[str, object]:
    """Import the body of a request; return the report.

    Raises
    ------
    BadParameter
        When an option is unknown, the body is empty or too large, or the import refuses the file.
    """
    arguments = _arguments(request)
    with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
        path = Path(folder) / _file_name(request.query.get("filename", ""))
        size = 0
        with open(path, "wb") as file:
            try:
                async for piece in request.content.iter_chunked(1 << 16):
                    size += len(piece)
                    if size > limit:
                        raise BadParameter(f"the body is larger than {limit // 2**20} MiB; import the file on the server with: "
                                           "cosmicflows catalog import FILE", code="body_too_large", where="body")
                    file.write(piece)
            except (ClientError, ConnectionError, PayloadEncodingError) as exc:
                raise BadParameter("the connection ended in the middle of the body; nothing was stored", code="bad_request",
                                   where="body") from exc
        if not size:
            raise BadParameter("the body is empty; send the file as it is: curl --data-binary @FILE", code="empty_table",
                               where="body")
        return await _run([str(path), "--data", str(data), "--json", *arguments], folder)


def sweep() -> None:
    """Remove what uploads left behind whose service was killed: folders of ours that are older than any import lasts."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            about = folder.lstat()
            if stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and time.time() - about.st_mtime > 2 * LIMIT_S:
                shutil.rmtree(folder)


def drop(library: Library, id: str) -> bool:
    """Take a catalogue out of the library; return whether it was there.

    Raises
    ------
    BadParameter
        Code ``reserved_id``, for a built-in one.
    """
    if id in FIRST:
        raise BadParameter(f"{id} is built in and stays", code="reserved_id", where="id")
    return library.drop(id)


def _arguments(request: web.Request) -> list[str]:
    known = (*OPTIONS, "map", "dry_run", "filename")
    out = []
    for key, value in request.query.items():
        if key not in known:
            raise UnknownName(f"parameter {quote(key)} is not known here; known are {', '.join(sorted(known))}",
                              code="unknown_parameter", where=key[:80])
        if len(value) > 500:
            raise BadParameter(f"{key} has {len(value)} characters; the limit is 500", where=key)
        if not value.isprintable() and (key, value) != ("delimiter", "\t"):
            raise BadParameter(f"{key} = {quote(value)} holds a control character; send printable text", where=key)
        if key in _NUMBERS:
            try:
                _NUMBERS[key](value)
            except ValueError:
                raise BadParameter(f"{key} = {quote(value)} is not a number", where=key) from None
        if key in OPTIONS or key == "map":
            out.append(f"--{key.replace('_', '-')}={value}")
        elif key == "dry_run":
            wanted = _FLAGS.get(value.strip().lower())
            if wanted is None:
                raise BadParameter(f"dry_run = {quote(value)} is neither true nor false", where="dry_run")
            out += ["--dry-run"] * wanted
    return out


def _in_parameters(message: str) -> str:
    """Return a sentence that speaks of options of the command line in the words of the query: ``map=velocity=V``."""
    message = _OPTION_VALUE.sub(r"\1=", message)
    return _OPTION.sub(lambda m: m[1].replace("-", "_"), message)


def _file_name(given: str) -> str:
    """Return a harmless name that keeps the stem, which names the catalogue, and the suffix, which tells the format."""
    safe = _UNSAFE.sub("_", given.replace("\\", "/").rpartition("/")[2])[-80:].lstrip(".-")
    return safe or "upload"


async def _run(arguments: list[str], folder: str) -> dict[str, object]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cfcore.cli", "catalog", "import", *arguments, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    try:
        out, said = await asyncio.wait_for(process.communicate(), LIMIT_S)
    except TimeoutError:
        raise DeadlineExceeded(f"the import took more than {LIMIT_S:.0f} s and was ended; nothing of it was stored") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        answer = orjson.loads(out)
    except orjson.JSONDecodeError:
        raise InternalError(f"the import ended with {process.returncode}: {said.decode(errors='replace')[-500:]}") from None
    if "error" in answer:
        error = from_dict(answer["error"])
        error.message = _in_parameters(error.message.replace(f"{folder}/", "").replace(folder, ""))
        raise error
    return dict(answer)

"""The keys of the bus on disk: the gateway's own pair and the allow-list of worker hosts.

    DATA/keys/            0700
      gateway.json        0600  the gateway's key pair
      workers/NAME.json         the public key of one worker host; being here is being allowed
      revoked/NAME.ID.json      what was allowed once; moved back it is allowed again

Whoever may write this folder decides who computes. Each change is one rename or link, so a reader sees the old list or the
new one, and what changes on disk counts within a fraction of a second (`refresh`). Who connects with which key is the
business of `admission.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import zmq

from cfcore import keyfile
from cfcore.errors import TransientError, UsageError
from cfcore.keyfile import WorkerKey

log = logging.getLogger("cosmicflows.keys")
SUFFIX = ".json"


@dataclass(frozen=True)
class Entry:
    """One line of the allow-list, or of what was revoked."""

    name: str
    public: bytes
    since: str
    revoked: str = ""

    @property
    def fingerprint(self) -> str:
        """Return what two people compare over the telephone."""
        return hashlib.sha256(self.public).hexdigest()[:16]


class Keyring:
    """Keep the keys of one gateway.

    Parameters
    ----------
    folder : Path
        ``DATA/keys``; made when the first key is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.allowed: dict[bytes, str] = {}
        self._seen: dict[str, tuple[tuple[int, int, int, int], Entry | None]] = {}
        self._is_lost = False

    def gateway_pair(self) -> tuple[bytes, bytes] | None:
        """Return the gateway's (public, secret) key, None when it has none yet.

        Raises
        ------
        UsageError
            When the file is there and cannot serve.
        """
        path = self.folder / "gateway.json"
        if not path.exists():
            return None
        data = keyfile.read_guarded(path)
        try:
            public, secret = keyfile.z85_key(data["public"]), keyfile.z85_key(data["secret"])
            is_pair = zmq.curve_public(secret) == public
        except (KeyError, TypeError, ValueError, zmq.ZMQError):
            is_pair = False
        if not is_pair:
            raise UsageError(f"{path} holds no pair of keys; put the saved one back, or remove it, make a new one with "
                             "'cosmicflows keys new NAME' and give every worker host a new key file", code="key_foreign")
        return public, secret

    def new(self, name: str, out: Path | None) -> WorkerKey:
        """Make the key of a worker host, write its file, and allow it.

        Parameters
        ----------
        name : str
        out : Path, optional
            The key file, which must not exist; None writes no file.

        Raises
        ------
        UsageError
            Codes ``bad_key_name``, ``key_exists``, and when the folder cannot be written.
        """
        keyfile.check_name(name)
        entry_path = self.folder / "workers" / (name + SUFFIX)
        if entry_path.exists():
            raise UsageError(f"{name} has a key already; choose another name, or run 'cosmicflows keys revoke {name}' first",
                             code="key_exists", where="name")
        gateway, _ = self._own_pair()
        public, secret = zmq.curve_keypair()
        key = WorkerKey(name, public, secret, gateway)
        if out is not None:
            _create(out, keyfile.dump(key))
        try:
            self._folder("workers")
            _create(entry_path, _json({"name": name, "public": public.decode(), "since": _now()}))
        except BaseException:
            if out is not None:
                out.unlink()
            raise
        return key

    def revoke(self, name: str) -> Entry:
        """Take a key off the list; a running gateway cuts its connections within a second.

        Raises
        ------
        UsageError
            Code ``unknown_key``.
        """
        path = self.folder / "workers" / (keyfile.check_name(name) + SUFFIX)
        entry = _read_entry(path)
        # a damaged entry allows nobody, but it, too, can be taken away
        label = entry.fingerprint if entry else secrets.token_hex(4)
        gone = self._folder("revoked") / f"{name}.{label}{SUFFIX}"
        try:
            path.rename(gone)
        except FileNotFoundError:
            raise UsageError(f"no key is named {name}; 'cosmicflows keys list' shows those there are", code="unknown_key",
                             where="name") from None
        os.utime(gone)
        _sync(path.parent)
        return entry or Entry(name, b"", "")

    def entries(self) -> Iterator[Entry]:
        """Yield who is allowed, then who was, by name."""
        for kind in ("workers", "revoked"):
            for path in sorted((self.folder / kind).glob("*" + SUFFIX)):
                if entry := _read_entry(path):
                    moved = datetime.fromtimestamp(path.stat().st_mtime, UTC) if kind == "revoked" else None
                    yield Entry(entry.name, entry.public, entry.since, f"{moved:%Y-%m-%dT%H:%M:%SZ}" if moved else "")

    def refresh(self) -> set[bytes]:
        """Look at the folder again; return the keys that are not allowed any more.

        Only files that changed are read. A folder that is gone allows nobody; one that cannot be read for the moment (a
        network file system away) leaves the list as it was.
        """
        found: dict[str, tuple[tuple[int, int, int, int], Entry | None]] = {}
        try:
            with os.scandir(self.folder / "workers") as files:
                for file in files:
                    if file.name.endswith(SUFFIX) and not file.name.startswith("."):
                        with contextlib.suppress(FileNotFoundError):  # revoked while we look
                            facts = file.stat()
                            stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size)
                            old = self._seen.get(file.name)
                            found[file.name] = old if old and old[0] == stamp else (stamp, _read_entry(Path(file.path)))
        except FileNotFoundError:
            pass
        except OSError as exc:
            if not self._is_lost:
                log.error("the allow-list of worker keys cannot be read (%s); the last one stays in force", exc.strerror)
            self._is_lost = True
            return set()
        self._is_lost = False
        if found == self._seen:
            return set()
        before, self._seen = self.allowed, found
        self.allowed = {entry.public: entry.name for _, entry in found.values() if entry}
        return before.keys() - self.allowed.keys()

    def _own_pair(self) -> tuple[bytes, bytes]:
        pair = self.gateway_pair()
        if pair is None:
            public, secret = zmq.curve_keypair()
            with contextlib.suppress(UsageError):  # another command was faster: its pair is as good
                _create(self._folder() / "gateway.json", _json({"public": public.decode(), "secret": secret.decode()}))
            pair = self.gateway_pair()
            if pair is None:
                raise TransientError(f"the gateway's key pair cannot be kept in {self.folder}", code="key_unreadable")
        return pair

    def _folder(self, part: str = "") -> Path:
        folder = self.folder / part
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            raise UsageError(f"the folder of keys {folder} cannot be made ({exc.strerror})", code="key_unreadable",
                             where="data") from None
        return folder


def _read_entry(path: Path) -> Entry | None:
    """Return an entry of the list; a damaged one counts as none, which allows nobody."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(keyfile.FILE_MAX))
        # the name is in the file, too, but the file's own name is what `revoke` goes by
        name = path.name.removesuffix(SUFFIX)
        return Entry(name if path.parent.name == "workers" else keyfile.check_name(data["name"]), keyfile.z85_key(data["public"]),
                     str(data.get("since", "")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        log.error("%s is no entry of the allow-list and allows nobody: %s", path.name, exc)
        return None


def _create(path: Path, content: bytes) -> None:
    """Write a file that must not exist, whole or not at all, for its owner's eyes alone."""
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}"
    try:
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)  # unlike a rename it fails when the name is taken
            _sync(path.parent)
        finally:
            draft.unlink()
    except FileExistsError:
        raise UsageError(f"{path} is there already and is not overwritten; choose another --out, or remove it", code="key_exists",
                         where="out") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be written ({exc.strerror}); choose another --out or --data", code="key_unreadable",
                         where="out") from None


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _json(facts: dict[str, object]) -> bytes:
    return json.dumps(facts, indent=1).encode() + b"\n"


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

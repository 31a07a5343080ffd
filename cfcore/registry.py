"""Which fields are on this machine, under which names, and which one is meant when nobody says."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CosmicFlowsError, FieldRefused, UnknownName, UsageError
from .fieldfile import current_folder, open_folder, publish
from .intake import take_in
from .manifest import Manifest
from .products import ALIASES, EMBEDDED, PRODUCTS, Product
from .settings import data_option, default_data
from .sources import describe

if TYPE_CHECKING:
    from .field import FlowField

log = logging.getLogger("cosmicflows.fields")
DEFAULT, ADOPTED = "ongc-linear", "cf3-57runs"
_ALIASES = ALIASES | {"ongc": "ongc-linear", "default": "ongc-linear", "mould": "mould2000", "ned": "mould2000"}
_CURRENT, _SIDECAR = "current.json", "adopted.json"

Snapshot = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True)
class FieldEntry:
    """Describe one installed field; `manifest` is None and `fault` says why when it cannot be opened."""

    id: str
    aliases: tuple[str, ...]
    folder: Path | None
    manifest: Manifest | None
    fault: str | None = None


class Registry:
    """Find, open and adopt the fields below one data directory.

    Parameters
    ----------
    data : path, optional
        Default: ``CF_DATA``, else ``$XDG_DATA_HOME/cosmicflows``. It need not exist yet.
    """

    def __init__(self, data: str | Path | None = None) -> None:
        self.data = Path(data or os.environ.get("CF_DATA") or default_data()).expanduser()
        self.root = self.data / "fields"
        self._ensured: set[str] = set()

    def list(self) -> tuple[FieldEntry, ...]:
        """Return the installed fields in the order of their ids; a broken one is listed with its fault."""
        entries = []
        for key, *_ in self.snapshot():
            aliases = tuple(a for a, target in _ALIASES.items() if target == key)
            try:
                folder = current_folder(self.root / key)
                entries.append(FieldEntry(key, aliases, folder, open_folder(folder)[0]))
            except CosmicFlowsError as exc:
                entries.append(FieldEntry(key, aliases, None, None, exc.message))
        return tuple(entries)

    def snapshot(self) -> Snapshot:
        """Return a value that changes whenever a field is published; costs one stat per field."""
        found = []
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for home in os.scandir(self.root):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                    s = os.stat(os.path.join(home.path, _CURRENT))
                    found.append((home.name, s.st_mtime_ns, s.st_size, s.st_ino))
        return tuple(sorted(found))

    def resolve(self, name: str) -> str:
        """Return the id behind a name or an alias, of a field that is installed or that we can build.

        Raises
        ------
        UnknownName
            Code ``field_not_installed`` with the command that brings it, or ``unknown_field`` with the list.
        """
        key = str(name).strip().lower()
        installed = [k for k, *_ in self.snapshot()]
        if key not in installed:
            key = _ALIASES.get(key, key)
        if key in installed or key in EMBEDDED:
            return key
        data = data_option(self.data)
        if key in PRODUCTS and PRODUCTS[key].files:
            raise UnknownName(f"field {key} is not installed here; {how_to_get(PRODUCTS[key], data)}", where="field",
                              code="field_not_installed", extra={"installed": installed})
        known = sorted({*installed, *EMBEDDED})
        raise UnknownName(f"field {name!r:.80} is not known; here are {', '.join(known)}; others come with "
                          f"cosmicflows fields add PATH{data}", where="field", code="unknown_field",
                          extra={"known": known})

    def default(self, explicit: str | None = None) -> str:
        """Return the id of the field to use: the one asked for, else the 57Runs of DATA, else the embedded one.

        Raises
        ------
        UnknownName
            When the one asked for is not here.
        FieldRefused
            When DATA holds 57Runs files that are refused: we do not quietly answer from another field.
        """
        if explicit:
            return self.resolve(explicit)
        self.adopt()
        return ADOPTED if (self.root / ADOPTED / _CURRENT).exists() else DEFAULT

    def folder(self, name: str | None = None) -> Path:
        """Return the current version folder of a field, building an embedded one first; None is the default."""
        key = self.default(name)
        return self.ensure(key) if key in EMBEDDED else current_folder(self.root / key)

    def open(self, name: str | None = None) -> FlowField:
        """Open a field, memory-mapped and read-only; None is the default.

        Raises
        ------
        UnknownName, FieldRefused
            When it is not here, or its folder is damaged.
        """
        from .field import FlowField
        return FlowField(*open_folder(self.folder(name)))

    def ensure(self, key: str) -> Path:
        """Return the folder of an embedded field, built and published once however many processes ask."""
        home = self.root / key
        if key in self._ensured:
            return current_folder(home)
        module = importlib.import_module(f".{EMBEDDED[key]}", __package__)
        wanted = getattr(module, "VERSION", None)
        folder = _current_of(home, wanted)
        if folder is None:
            with lock(self.root / f".{key}.lock"):
                folder = _current_of(home, wanted) or publish(self.root, *module.build_field())
        self._ensured.add(key)
        return folder

    def ensure_ongc_linear(self) -> Path:
        """Return the folder of the embedded default field, building it first when it is not there."""
        return self.ensure(DEFAULT)

    def adopt(self) -> Path | None:
        """Register the 57Runs files that lie in the data directory as ``cf3-57runs``.

        Returns
        -------
        Path or None
            The folder; None when the velocities are not there. The density may be missing, as in the product's
            record. Files of the same size and time are not read again.

        Raises
        ------
        FieldRefused
            When the files are not a field; the message names the reason.
        """
        record = PRODUCTS[ADOPTED]
        files = {f.role: path for f in record.files if (path := self.data / f.name).is_file()}
        if any(f.required and f.role not in files for f in record.files):
            if files and ADOPTED not in self._ensured:
                self._ensured.add(ADOPTED)
                log.warning("%s in %s is not used: %s is missing", ", ".join(p.name for p in files.values()), self.data,
                            ", ".join(f.name for f in record.files if f.required and f.role not in files))
            return None
        home = self.root / ADOPTED
        if known := _adopted(home, _stamp(files)):
            return known
        with lock(self.root / f".{ADOPTED}.lock"):
            # Another process may have adopted them while we waited; the stamp is taken before the files are read, so
            # files that change meanwhile are looked at again next time.
            stamp = _stamp(files)
            if known := _adopted(home, stamp):
                return known
            # A convention the user stated for these very files with `fields add` stands; ours is only assumed.
            folder = _made_from(home, files)
            if folder is None:
                folder, report = take_in(self.root, record, files)
                skipped = [c.detail for c in report.checks if c.passed is None and c.detail.startswith("skipped")]
                for note in (*open_folder(folder)[0].notes, *skipped):
                    log.warning("%s, made from %s: %s", ADOPTED, ", ".join(p.name for p in files.values()), note)
            temporary = home / f".tmp-{_SIDECAR}"
            temporary.write_text(json.dumps(stamp), encoding="utf-8")
            os.replace(temporary, home / _SIDECAR)
        return folder


def how_to_get(record: Product, data: str = "") -> str:
    """Return the exact command that installs a product, and where its files are when we may not fetch them.

    `data` is the command's last word, such as ``" --data flow_data"``; see `settings.data_option`.
    """
    if record.fetchable:
        return f"get it with: cosmicflows fields fetch {record.id}{data}"
    names = ", ".join(f.name for f in record.files)
    return f"get {names} from {record.home}, then: cosmicflows fields add PATH --product {record.id}{data}"


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; it ends with the process, so a crash leaves nothing to clean up.

    Raises
    ------
    UsageError
        When the directory cannot be written.
    """
    import fcntl
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = open(path, "a", encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"the data directory {path.parent} cannot be written ({exc.strerror}); choose another with "
                         "--data or CF_DATA", code="data_not_writable", where="data") from exc
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _stamp(files: dict[str, Path]) -> dict[str, list[int]]:
    return {p.name: [p.stat().st_size, p.stat().st_mtime_ns] for p in files.values()}


def _adopted(home: Path, stamp: dict[str, list[int]]) -> Path | None:
    with contextlib.suppress(OSError, ValueError, UnknownName, FieldRefused):
        if json.loads((home / _SIDECAR).read_text(encoding="utf-8")) == stamp:
            return current_folder(home)
    return None


def _made_from(home: Path, files: dict[str, Path]) -> Path | None:
    """Return the current folder when it was made from these files (and others), however it was told to read them."""
    with contextlib.suppress(UnknownName, FieldRefused):
        folder = current_folder(home)
        if {s.sha256 for s in open_folder(folder)[0].sources} >= {describe(p).sha256 for p in files.values()}:
            return folder
    return None


def _current_of(home: Path, version: str | None) -> Path | None:
    """Return the current folder when it opens and is of the wanted recipe, else None."""
    try:
        folder = current_folder(home)
        found = open_folder(folder)[0].version
    except (UnknownName, FieldRefused):
        return None
    return folder if version is None or found == version or found.startswith(f"{version}.") else None

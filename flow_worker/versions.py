"""The versions of a field on the disk: their folders, and a stamp that tells whether the files of one were touched."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from cfcore.errors import CosmicFlowsError
from cfcore.fieldfile import current_folder

FileStamp = tuple[int, int, int] | None


class Stamp(NamedTuple):
    """Identify a folder's files as they are now, and which folder is the current one."""

    folder: str
    cells: FileStamp
    sigma: FileStamp
    manifest: FileStamp
    current: FileStamp

    @property
    def content(self) -> tuple[FileStamp, ...]:
        """The part that a new current version does not change."""
        return self.cells, self.sigma, self.manifest


def stamp_of(root: Path, field: str, folder: str) -> Stamp:
    """Return the stamp of ``root/field/folder``; costs four stats."""
    home = f"{root}/{field}"
    return Stamp(folder, _stat(f"{home}/{folder}/cells.npy"), _stat(f"{home}/{folder}/sigma.npy"),
                 _stat(f"{home}/{folder}/manifest.json"), _stat(f"{home}/current.json"))


def folders_of(root: Path, field: str, sha: str = "") -> list[str]:
    """Return the names of a field's version folders (with these cells), the current one first, then the newest."""
    home = root / Path(field).name
    if Path(field).name != field:
        return []
    names = []
    with contextlib.suppress(OSError):
        names = [e.name for e in os.scandir(home) if not e.name.startswith(".") and e.name.endswith(f"-{sha[:8]}" if sha else "")
                 and e.is_dir()]
    try:
        current = current_folder(home).name
    except CosmicFlowsError:
        current = ""
    return sorted(names, key=lambda name: (name != current, -(_stat(f"{home}/{name}") or (0, 0, 0))[1], name))


def _stat(path: str) -> FileStamp:
    try:
        s = os.stat(path)
    except OSError:
        return None
    return s.st_size, s.st_mtime_ns, s.st_ino

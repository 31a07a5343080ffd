"""What ails an installation: findings about this machine, each a plain sentence with its way out.

Nothing is changed: no field is built or adopted, and what is written to see whether the folder can be written is taken away
again. Servers are looked at by `doctor_server`; `doctor_cli` prints.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import __version__, _kernels
from .errors import CosmicFlowsError
from .fieldfile import current_folder, verify_folder
from .registry import ADOPTED, DEFAULT, Registry
from .settings import Settings, data_option

OK, NOTE, WARNING, BROKEN = "ok", "note", "warning", "broken"
LEVELS = (OK, NOTE, WARNING, BROKEN)
NO_PAGE = "the page for browsers was not built: at / they are shown what programs are, in JSON"
PAGE_WAY_OUT = "make page in the source (it needs node, or a network to fetch it), or install a released wheel, which has it"
FREE_WARN, FREE_LEAST = 2 << 30, 200 << 20
FILES_LEAST = 1024
# the code is younger than this moment, 2025-01-01; a clock that shows less is wrong
CLOCK_LEAST = 1_735_689_600.0
_PACKAGES = ("numpy", "astropy", "pyongc", "aiohttp", "pyzmq", "msgpack", "orjson", "pydantic", "prometheus-client", "pyarrow",
             "psycopg")


@dataclass(frozen=True)
class Finding:
    """Say how one thing is: `level` of `LEVELS`, what it is about, one sentence, and the way out where one is needed."""

    level: str
    about: str
    text: str
    way_out: str = ""


def examine(settings: Settings, *, deep: bool = False) -> Iterator[Finding]:
    """Yield what there is to say about this machine; `deep` reads every byte of every field."""
    yield _code()
    yield _loops()
    yield from _page()
    yield _clock(time.time())
    yield _files()
    yield _cores(settings.workers, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    yield from _folder(settings.data)
    yield from _fields(settings, deep)
    yield from _keys(settings.data / "keys")


def _code() -> Finding:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} none")
    return Finding(OK, "code", f"cosmicflows {__version__}, Python {platform.python_version()}, {', '.join(found)}")


def _loops() -> Finding:
    level = _kernels.LEVELS[-1]
    if level == "pure":
        return Finding(NOTE, "loops", "the compiled core has no vector instructions here; it computes the same, more slowly",
                       "build it with GCC or Clang on x86-64 or aarch64, or install a wheel")
    return Finding(OK, "loops", f"the compiled core runs at level {level} (it has {', '.join(_kernels.LEVELS)})")


def _page() -> Iterator[Finding]:
    """Look whether the gateway that is installed here has its page; without a gateway there is nothing to say."""
    found = importlib.util.find_spec("gateway")
    if found is None or found.origin is None:
        return
    if (Path(found.origin).parent / "static" / "index.html").is_file():
        yield Finding(OK, "page", "the page for browsers is built")
    else:
        yield Finding(NOTE, "page", NO_PAGE, PAGE_WAY_OUT)


def _clock(now: float) -> Finding:
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < CLOCK_LEAST:
        return Finding(BROKEN, "clock", f"the clock of this machine says {shown}, which is before this code was written",
                       "set the clock; times of jobs and their retention hang on it")
    return Finding(OK, "clock", f"the clock says {shown}")


def _files() -> Finding:
    import resource
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < FILES_LEAST:
        return Finding(WARNING, "files", f"a process may open {limit} files; a gateway needs one for each client and several for "
                       "each worker", f"raise it before the start: ulimit -n {4 * FILES_LEAST}")
    return Finding(OK, "files", f"a process may open {'any number of' if limit == resource.RLIM_INFINITY else limit} files")


def _cores(workers: int, cores: int) -> Finding:
    if workers > 2 * cores:
        return Finding(WARNING, "cores", f"{workers} workers are set for {cores} core{'s' * (cores > 1)}; they will wait for "
                       "each other", f"start with --workers {cores}")
    return Finding(OK, "cores", f"{cores} core{'s' * (cores > 1)} for {workers} worker{'s' * (workers != 1)}")


def _folder(data: Path) -> Iterator[Finding]:
    home = data
    while not home.exists() and home != home.parent:
        home = home.parent
    try:
        with tempfile.NamedTemporaryFile(dir=home, prefix=".doctor-") as probe:
            probe.write(b"x" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as exc:
        yield Finding(BROKEN, "data", f"nothing can be written in {home} ({exc.strerror})",
                      "mend its owner or its mount, or choose another folder with --data or CF_DATA")
    else:
        yield Finding(OK, "data", f"{data} can be written" if home == data else f"{data} will be made when it is needed")
    free = shutil.disk_usage(home).free
    level = BROKEN if free < FREE_LEAST else WARNING if free < FREE_WARN else OK
    yield Finding(level, "disk", f"{free / 2**30:.1f} GiB are free at {home}", "" if level == OK else
                  "make room: jobs are refused once the disk is full, and fields and catalogues need a gigabyte or two")


def _fields(settings: Settings, deep: bool) -> Iterator[Finding]:
    registry, data = Registry(settings.data), data_option(settings.data)
    entries = {entry.id: entry for entry in registry.list()}
    for entry in entries.values():
        if entry.manifest is None:
            yield Finding(BROKEN, "fields", f"the field {entry.id} is damaged: {entry.fault}",
                          f"install it again: cosmicflows fields list{data} tells how")
            continue
        try:
            if deep:
                verify_folder(current_folder(registry.root / entry.id))
        except (CosmicFlowsError, OSError) as exc:
            yield Finding(BROKEN, "fields", f"the field {entry.id} is damaged: {exc}",
                          f"install it again: cosmicflows fields list{data} tells how")
        else:
            yield Finding(OK, "fields", f"{entry.id} {entry.manifest.version}-{entry.manifest.sha256[:8]} "
                          + ("has the bytes its manifest states" if deep else "has the files and sizes its manifest states"))
    wanted = settings.field or (ADOPTED if ADOPTED in entries else DEFAULT)
    try:
        chosen = registry.resolve(wanted)
    except CosmicFlowsError as exc:
        yield Finding(BROKEN, "default", f"the default field is {wanted}, and {exc.message}", "")
        return
    if chosen in entries:
        yield Finding(OK, "default", f"the default field is {chosen}")
    elif chosen == DEFAULT and importlib.util.find_spec("pyongc") is None:
        yield Finding(BROKEN, "default", f"the default field {chosen} is not built, and pyongc, which it is built from, is not "
                      "installed", "pip install 'cosmicflows[ongc]', or choose --field mould2000")
    else:
        yield Finding(OK, "default", f"the default field {chosen} will be built at first use")


def _keys(folder: Path) -> Iterator[Finding]:
    """Look at who may read the keys of the bus; no folder, no keys."""
    if not folder.is_dir():
        return
    try:
        open_ones = [p.name for p in [folder, *sorted(folder.rglob("*"))] if not p.is_symlink()
                     and stat.S_IMODE(p.stat().st_mode) & 0o077]
    except OSError as exc:
        yield Finding(WARNING, "keys", f"the keys in {folder} cannot be looked at ({exc.strerror})",
                      "ask as the user who runs the gateway")
        return
    if open_ones:
        yield Finding(BROKEN, "keys", f"others on this machine may read {', '.join(open_ones[:5])} in {folder}",
                      f"chmod -R go= {folder}; then revoke and renew the keys, if others were here")
    else:
        yield Finding(OK, "keys", f"only their owner may read the keys in {folder}")


def worst(findings: list[Finding]) -> int:
    """Return the exit code: 0 well, 1 something to look at, 2 something broken."""
    levels = {finding.level for finding in findings}
    return 2 if BROKEN in levels else 1 if WARNING in levels else 0

"""The folders of a bulk run: which parts the input has, what stands in OUT, and the manifest that closes a run.

OUT holds ``part-00000.parquet`` and so on, ``_run.json`` (what the run is, written first) and ``_manifest.json`` (what came of
it, written last). Readers of Parquet folders pass over names that begin with ``_`` or a dot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .bulk import RUN_FILE, Part, footer_digest, part_name, published
from .columns import Column
from .errors import BadParameter, TransientError
from .tables import Reader, open_reader

MANIFEST, _LOCK = "_manifest.json", ".lock"
_PART = re.compile(r"part-\d{5,}\.parquet")
_DRAFT = re.compile(r"\.(part-\d{5,}\.parquet|_run\.json|_manifest\.json)\.\d+-[0-9a-f]{8}\.part")
_SHOWN = 5


def input_files(given: str) -> list[Path]:
    """Return the Parquet files of a path in the order of their names; those that begin with ``_`` or a dot are no data.

    Raises
    ------
    BadParameter
        When there is none.
    """
    path = Path(given)
    if not path.is_dir():
        return [path.absolute()]
    files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".parquet", ".pq") and p.name[0] not in "._" and p.is_file())
    if not files:
        raise BadParameter(f"{given!r:.200} holds no Parquet files (*.parquet, *.pq); name a file or another folder",
                           code="no_table", where="table")
    return [p.absolute() for p in files]


def divide(files: Iterable[Path], rows_per_part: int | None) -> tuple[list[Part], list[dict[str, Any]], tuple[Column, ...]]:
    """Divide files into parts: their row groups, or so many rows each.

    Returns
    -------
    parts : list of Part
        At least one of every file, so that a file without rows is answered by one without rows.
    about : list of dict
        Name, bytes, rows and footer digest of every file.
    columns : tuple of Column
        Of the table, which all files share.

    Raises
    ------
    BadParameter
        When a file is no Parquet file, or has other columns than the first.
    """
    parts: list[Part] = []
    about: list[dict[str, Any]] = []
    first: Reader | None = None
    for path in files:
        reader: Any = open_reader(str(path), "parquet", stated=False)
        with contextlib.closing(reader):
            if first is not None:
                _same_columns(first, reader)
            first = first or reader
            with open(path, "rb") as stream:
                footer = footer_digest(stream)
            held = reader.file.metadata
            sizes = [held.row_group(i).num_rows for i in range(held.num_row_groups)]
            about.append({"name": path.name, "bytes": path.stat().st_size, "rows": held.num_rows, "footer_sha256": footer})
            for groups, start, begin, end in _ranges(sizes, rows_per_part):
                parts.append(Part(len(parts), str(path), footer, groups, start, begin, end))
    assert first is not None
    return parts, about, first.columns


def digest(description: Mapping[str, object]) -> str:
    """Return the sha256 of a run's description."""
    return hashlib.sha256(json.dumps(description, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


@contextlib.contextmanager
def held(out: Path) -> Iterator[None]:
    """Keep a folder to this process; the hold ends with the process, however it ends.

    Raises
    ------
    BadParameter
        When OUT is no folder, or another command is at work in it.
    TransientError
        When it cannot be made.
    """
    import fcntl
    try:
        out.mkdir(parents=True, exist_ok=True)
        stream = open(out / _LOCK, "a", encoding="utf-8")
    except FileExistsError:
        raise BadParameter(f"{out} is a file; OUT is a folder", code="bad_output", where="out") from None
    except OSError as exc:
        raise TransientError(f"{out} cannot be written ({exc.strerror}); choose another OUT", code="cannot_write") from exc
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadParameter(f"another command is at work in {out}; wait for it, or choose another OUT", code="output_busy",
                               where="out") from None
        except OSError:
            # some file systems of clusters have no locks; files still appear whole there, and never mixed
            pass
        yield


def prepare(out: Path, description: Mapping[str, Any], *, overwrite: bool) -> dict[str, str]:
    """Make a held folder ready for a run: refuse what is not of it, take away torn files, write what the run is.

    Returns
    -------
    known : dict
        File name -> sha256, from the manifest of the same run, when it has ended before.

    Raises
    ------
    BadParameter
        Code ``another_run`` when the folder holds other files; the message says what differs and the way out.
    """
    before = _read(out / RUN_FILE)
    foreign = sorted(p.name for p in out.iterdir() if p.name[0] != "." and p.name not in (RUN_FILE, MANIFEST)
                     and not _PART.fullmatch(p.name))
    ours = [p for p in out.iterdir() if _PART.fullmatch(p.name) or p.name in (RUN_FILE, MANIFEST)]
    if foreign and before is None:
        raise BadParameter(f"{out} holds other files ({', '.join(foreign[:_SHOWN])}); OUT is a folder of its own: choose another",
                           code="bad_output", where="out")
    if ours and not overwrite:
        if before is None:
            raise BadParameter(f"{out} holds {len(ours)} files of a run that is not known ({RUN_FILE} is missing or damaged); "
                               "add --overwrite to replace them, or choose another OUT", code="another_run", where="out")
        if before.get("sha256") != digest(description):
            raise BadParameter(f"{out} holds another run: {_differences(before, description)}; add --overwrite to replace it, or "
                               "choose another OUT", code="another_run", where="out")
    for path in list(out.iterdir()):
        if _DRAFT.fullmatch(path.name) or (overwrite and path in ours):
            path.unlink(missing_ok=True)
    if before is None or overwrite:
        text = json.dumps({"sha256": digest(description), **description}, indent=1, ensure_ascii=False) + "\n"
        with published(out / RUN_FILE) as stream:
            stream.write(text.encode())
        return {}
    rows = (_read(out / MANIFEST) or {}).get("parts", [])
    return {row["file"]: row["sha256"] for row in rows if "sha256" in row}


def sweep(out: Path) -> None:
    """Take away the torn files of workers that were ended."""
    for path in list(out.iterdir()):
        if _DRAFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_manifest(out: Path, sha: str, rows: Mapping[int, Mapping[str, Any]], failed: Mapping[int, str]) -> dict[str, Any]:
    """Close a run: write what came of every part, the same bytes whenever the same came of them; return its head."""
    listed = [{k: v for k, v in rows[n].items() if k not in ("kept", "seconds")} if n in rows else
              {"part": n, "file": part_name(n), "failed": failed[n]} for n in sorted([*rows, *failed])]
    statuses: dict[str, int] = {}
    for row in rows.values():
        for word, n in row["statuses"].items():
            statuses[word] = statuses.get(word, 0) + n
    head = {"run": sha, "rows": sum(row["rows"] for row in rows.values()), "bytes": sum(row["bytes"] for row in rows.values()),
            "statuses": dict(sorted(statuses.items())), "finished": len(rows), "failed": len(failed)}
    with published(out / MANIFEST) as stream:
        body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in listed)
        stream.write(f'{json.dumps(head, ensure_ascii=False)[:-1]}, "parts": [\n{body}\n]}}\n'.encode())
    return head


def _ranges(sizes: list[int], rows_per_part: int | None) -> Iterator[tuple[tuple[int, ...], int, int, int]]:
    """Yield (row groups, row where the first of them begins, first row, last row + 1) of every part of a file."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    if rows_per_part is None:
        yield from (((i,), a, a, b) for i, (a, b) in enumerate(zip(starts, starts[1:])))
    else:
        low = 0
        for begin in range(0, starts[-1], rows_per_part):
            end = min(begin + rows_per_part, starts[-1])
            while starts[low + 1] <= begin:
                low += 1
            high = low
            while starts[high] < end:
                high += 1
            yield tuple(range(low, high)), starts[low], begin, end
    if not sizes or (rows_per_part is not None and not starts[-1]):
        yield (), 0, 0, 0


def _same_columns(first: Any, other: Any) -> None:
    a, b = ([(c.name, str(f.type), c.unit) for c, f in zip(r.columns, r.schema)] for r in (first, other))
    if a == b:
        return
    i = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    told = [" ".join(filter(None, side[i])) if i < len(side) else "nothing" for side in (a, b)]
    raise BadParameter(f"{other.name} has other columns than {first.name}: {told[1]} in place {i + 1} where the first has "
                       f"{told[0]}; the files of one run share names, types and units", code="unequal_columns", where="table")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in which of its settings a run differs from the one that is there."""
    old, new = _flat(before), _flat(now)
    told = [f"{k} was {old.get(k, 'not given')!s:.40}, now {new.get(k, 'not given')!s:.40}"
            for k in dict.fromkeys([*new, *old]) if k != "sha256" and old.get(k) != new.get(k)]
    return "; ".join(told[:_SHOWN]) + (f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")


def _flat(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(v["name"]): v for v in value}
        if isinstance(value, dict):
            out |= _flat(value, f"{above}{key}.")
        else:
            out[above + key] = value
    return out


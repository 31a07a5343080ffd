"""Take published files in: recognise them, build the field, check it, and only then publish it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import Ambiguous, UnknownName, UsageError
from .fieldfile import publish
from .products import PRODUCTS, ROLES, Product, build
from .verify import Report, verify


def take_in(root: Path, record: Product, files: dict[str, Path], **overrides: object) -> tuple[Path, Report]:
    """Build, check and publish a field.

    Parameters
    ----------
    root : Path
        The ``fields`` directory.
    record : Product
    files : dict of role to Path
    **overrides
        As for `products.build`.

    Returns
    -------
    folder : Path
    report : Report

    Raises
    ------
    FieldRefused
        With the reason; nothing is published then.
    """
    manifest, cells, sigma = build(record, files, **overrides)
    report = verify(manifest, cells, sigma, product=record)
    report.raise_if_failed()
    return publish(root, manifest, cells, sigma), report


def identify(paths: Sequence[str | Path], record: Product | None = None) -> tuple[Product, dict[str, Path]]:
    """Say which product a list of files and directories is, and which file plays which part.

    Parameters
    ----------
    paths : sequence of path
        Directories are searched for published names. ``ROLE=PATH`` names a part outright; without it, files of
        other names are taken in the order velocity, density, sigma, once the product is given.
    record : Product, optional
        The product, when the caller says it.

    Raises
    ------
    UsageError
        When a path is missing, or a file has no part in the product.
    UnknownName, Ambiguous
        When the files are no known product, or complete two.
    """
    named, plain = _gather(paths)
    by_name = {p.name: p for p in plain}
    if record is None:
        record = _recognise(set(by_name))
    files = {f.role: by_name.pop(f.name) for f in record.files if f.name in by_name} | named
    # Directories may hold anything; only files that were named one by one must all find a part.
    left = [p for p in by_name.values() if any(Path(str(given)) == p for given in paths)]
    for role, path in zip([r for r in ROLES if r not in files], left):
        files[role] = path
    if len(left) > len(set(files) - set(named)):
        raise UsageError(f"{left[-1].name} has no part in {record.id}; name parts as velocity=PATH, density=PATH, "
                         "sigma=PATH", code="file_unused")
    return record, files


def _gather(paths: Sequence[str | Path]) -> tuple[dict[str, Path], list[Path]]:
    named: dict[str, Path] = {}
    plain: list[Path] = []
    for given in paths:
        role, equals, rest = str(given).partition("=")
        path = Path(rest) if equals and role in ROLES else Path(str(given))
        if not path.exists():
            raise UsageError(f"{path} is not there; check the path", code="file_unreadable", where=str(given))
        if equals and role in ROLES:
            named[role] = path
        else:
            plain += sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return named, plain


def _recognise(names: set[str]) -> Product:
    complete = [p for p in PRODUCTS.values() if p.files and all(f.name in names for f in p.files if f.required)]
    if len(complete) > 1:
        keys = [p.id for p in complete]
        raise Ambiguous(f"the files complete {len(keys)} products: {', '.join(keys)}; add them one at a time with "
                        f"--product {keys[0]}", code="ambiguous_product", extra={"candidates": keys})
    if complete:
        return complete[0]
    for p in PRODUCTS.values():
        if any(f.name in names for f in p.files):
            missing = [f.name for f in p.files if f.required and f.name not in names]
            raise UsageError(f"{p.id} also needs {', '.join(missing)}; put it beside the others or give its path",
                             code="file_missing")
    known = "; ".join(f"{p.id}: {', '.join(f.name for f in p.files)}" for p in PRODUCTS.values() if p.files)
    raise UnknownName(f"no product is known by the names of these files ({known}); say --product for renamed files, "
                      "or --product generic and state the conventions", code="unknown_product")

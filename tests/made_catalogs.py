"""Catalogues that the tests make themselves: row by row, or as many galaxies as one likes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from catalog_svc.library import open_library
from catalog_svc.records import About, Batch, Reject
from catalog_svc.volumes import Library
from cfcore.cosmology import C_KMS


@dataclass(frozen=True)
class Place:
    """Say where a library is kept, as `open_library` and the services take it."""

    data: Path
    dsn: str = ""

    def open(self) -> Library:
        """Open the library once more."""
        return open_library(self.data, self.dsn)


def about(id: str, kind: str = "galaxy", *, link_arcsec: float = 2.0, frame: str = "hel", convention: str = "cz") -> About:
    """Say what a made catalogue is."""
    return About(id, f"The {id} survey", "Nobody 2000", "CC0", kind, {"ra": {"column": "RA", "unit": "deg"}}, frame, convention,
                 link_arcsec)


@dataclass(frozen=True)
class Line:
    """Hold one row of a made catalogue; `cz` in km/s, `reject` is the reason to refuse it."""

    key: str
    ra: float
    dec: float
    cz: float | None = 1000.0
    names: tuple[str, ...] = ()
    is_photometric: bool = False
    facts: dict[str, object] = field(default_factory=dict)
    reject: str = ""

    def but(self, **changes: object) -> Line:
        """Return the row with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


class Made:
    """Be a source of some lines.

    Parameters
    ----------
    about : About
    lines : sequence of Line
    per_batch : int
        Rows of a batch.
    pause_s : float
        How long to wait before each batch, for tests of what happens meanwhile.
    """

    def __init__(self, about: About, lines: Sequence[Line], *, per_batch: int = 1000, pause_s: float = 0.0) -> None:
        self.about, self._lines, self._per_batch, self._pause_s = about, lines, per_batch, pause_s

    def batches(self) -> Iterator[Batch]:
        """Yield the rows."""
        for start in range(0, len(self._lines), self._per_batch):
            time.sleep(self._pause_s)
            part = [(start + i + 1, line) for i, line in enumerate(self._lines[start:start + self._per_batch])]
            good = [(row, line) for row, line in part if not line.reject]
            cz = np.array([np.nan if line.cz is None else line.cz for _, line in good])
            shown = [line.names[0] if line.names else line.key for _, line in good]
            yield Batch([row for row, _ in good], [row + 1 for row, _ in good], [line.key for _, line in good], shown,
                        [line.names or (line.key,) for _, line in good],
                        np.array([line.ra for _, line in good], float), np.array([line.dec for _, line in good], float),
                        cz / C_KMS, np.full(len(good), np.nan), cz, np.array([line.is_photometric for _, line in good], bool),
                        [dict(line.facts) for _, line in good],
                        [Reject(row, row + 1, "RA", line.key, line.reject) for row, line in part if line.reject])

    def close(self) -> None:
        """Do nothing: there is no file."""


class Many:
    """Be a source of `n` galaxies all over the sky, the first of them next to given places, in batches of twenty thousand.

    Parameters
    ----------
    about : About
    n : int
    near : ndarray, shape (m, 2), deg
        Right ascension and declination of objects that the first rows are to lie beside, one second of arc away.
    """

    def __init__(self, about: About, n: int, near: np.ndarray | None = None, *, seed: int = 1) -> None:
        dice = np.random.default_rng(seed)
        self.about, self.n = about, n
        self.ra, self.dec = dice.uniform(0.0, 360.0, n), np.degrees(np.arcsin(dice.uniform(-1.0, 1.0, n)))
        if near is not None:
            self.ra[:len(near)], self.dec[:len(near)] = near[:, 0], near[:, 1] + 1.0 / 3600.0
        self.cz = dice.uniform(500.0, 30_000.0, n)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows."""
        for start in range(0, self.n, 20_000):
            part = slice(start, min(start + 20_000, self.n))
            numbers = range(part.start + 1, part.stop + 1)
            names = [(f"PGC {9_000_000 + i}", f"2MASX J{i % 240000:08d}+{i % 90:07d}", f"MADE {i}") for i in numbers]
            cz = self.cz[part]
            yield Batch(list(numbers), list(numbers), [str(i) for i in numbers], [n[0] for n in names], names, self.ra[part],
                        self.dec[part], cz / C_KMS, np.full(len(cz), 50.0 / C_KMS), cz, np.zeros(len(cz), bool),
                        [{"object_type": "Galaxy", "magnitudes": {"B": 14.5 + i % 3}} for i in numbers])

    def close(self) -> None:
        """Do nothing: there is no file."""

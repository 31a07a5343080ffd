"""A made catalogue in the layout of GLADE+: forty blank-separated columns without a header, ``null`` where nothing is known.

The shares of what is known follow the published catalogue: a PGC number for one row in eight, mostly photometric redshifts, some
redshifts that come from distances, some quasars. The sky is filled evenly; no row is a real galaxy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cfcore.cosmology import C_KMS

_ROWS = 50_000
Text = NDArray[np.str_]


def write_glade(path: Path, n: int, seed: int = 0) -> None:
    """Write a catalogue; the same numbers give the same bytes.

    Parameters
    ----------
    path : Path
    n : int
        Rows.
    seed : int
    """
    rng = np.random.default_rng(seed)
    with open(path, "w", encoding="ascii", newline="\n") as stream:
        for first in range(0, n, _ROWS):
            columns = _columns(rng, first, min(_ROWS, n - first))
            stream.write("\n".join(map(" ".join, zip(*(c.tolist() for c in columns)))) + "\n")


def _columns(rng: np.random.Generator, first: int, n: int) -> list[Text]:
    number = np.arange(first + 1, first + n + 1)
    ra = rng.uniform(0.0, 360.0, n)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1.0, 1.0, n)))
    is_quasar = rng.random(n) < 0.032
    has_pgc = (rng.random(n) < 0.13) & ~is_quasar
    in_gwgc, in_leda = has_pgc & (rng.random(n) < 0.02), has_pgc & (rng.random(n) < 0.9)
    in_2mass = ~is_quasar & (rng.random(n) < np.where(has_pgc, 0.4, 0.03))
    in_wise = ~is_quasar & ~has_pgc
    # 0 no redshift, 1 photometric, 2 from a distance, 3 spectroscopic
    flag = np.where(is_quasar, 3, np.where(has_pgc, rng.choice([0, 1, 2, 3], n, p=[0.05, 0.35, 0.01, 0.59]),
                                           rng.choice([0, 1, 3], n, p=[0.01, 0.96, 0.03])))
    z = np.where(is_quasar, rng.uniform(0.2, 4.0, n), np.where(has_pgc, rng.gamma(2.0, 0.02, n), rng.gamma(4.0, 0.05, n)))
    # a few neighbours come towards us
    z = np.where(in_gwgc & (rng.random(n) < 0.05), -rng.uniform(0.0, 0.001, n), z)
    has_z = flag > 0
    is_near = has_z & (np.abs(z) < 0.05)
    d_l = C_KMS / 70.0 * np.abs(z) * (1.0 + z / 2.0)
    b, k, w1 = rng.normal(19.0, 1.5, n), rng.normal(13.5, 0.8, n), rng.normal(15.5, 0.9, n)
    has_b, has_w1 = rng.random(n) < 0.93, in_wise | (rng.random(n) < 0.6)
    has_mass = has_w1 & has_z & ~is_quasar
    place = _designation(ra, dec)
    everywhere = np.ones(n, bool)

    def error(known: NDArray[np.bool_], scale: float) -> Text:
        return _shown(rng.uniform(0.2, 1.0, n) * scale, 3, known)

    pgc = rng.integers(1, 6_000_000, n)
    return [
        number.astype(str), _known(pgc.astype(str), has_pgc), _known(np.char.add("NGC", (pgc % 7840 + 1).astype(str)), in_gwgc),
        _known(np.char.add("PGC", np.char.zfill(pgc.astype(str), 7)), in_leda), _known(place, in_2mass),
        _known(np.char.add("J", place), in_wise), _known(place, is_quasar), np.where(is_quasar, "Q", "G"),
        _shown(ra, 6, everywhere), _shown(dec, 6, everywhere), _shown(b, 3, has_b), error(has_b, 0.3),
        _known(np.where(in_wise, "1", "0"), has_b), _shown(b - 38.0, 3, has_b & has_z), _shown(k + 1.1, 3, in_2mass),
        error(in_2mass, 0.1), _shown(k + 0.4, 3, in_2mass), error(in_2mass, 0.1), _shown(k, 3, in_2mass), error(in_2mass, 0.1),
        _shown(w1, 3, has_w1), error(has_w1, 0.05), _shown(w1 - 0.2, 3, has_w1), error(has_w1, 0.08),
        _known(np.where(in_2mass & ~in_wise, "1", "0"), has_w1), _shown(b - 0.2, 3, in_wise), error(in_wise, 0.3),
        _shown(z, 8, has_z), _shown(z + 0.0011, 8, has_z), _known(np.where(is_near, "1", "0"), has_z),
        _shown(np.full(n, 5e-4), 6, is_near), _shown(np.where(flag == 1, 0.03 * (1.0 + z), 1e-4), 6, has_z & (flag != 2)),
        _shown(d_l, 4, has_z), _shown(0.1 * d_l, 4, has_z), flag.astype(str),
        _shown(10.0 ** rng.normal(0.0, 0.6, n), 4, has_mass), error(has_mass, 1.0), _known(np.where(has_pgc, "1", "0"), has_mass),
        _shown(rng.normal(-5.0, 0.5, n), 4, has_mass),
        error(has_mass, 0.2)]


def _known(texts: Text, known: NDArray[np.bool_]) -> Text:
    return np.where(known, texts, "null")


def _shown(values: NDArray[np.float64], digits: int, known: NDArray[np.bool_]) -> Text:
    # repr of a rounded number is its shortest decimal, as the catalogue prints them
    return _known(np.round(values, digits).astype(str), known)


def _designation(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> Text:
    """Return ``hhmmssss+ddmmsss``."""
    hundredths, tenths = (ra * 24000.0).astype(np.int64), (np.abs(dec) * 36000.0).astype(np.int64)

    def padded(values: NDArray[np.int64], width: int) -> Text:
        return np.char.zfill(values.astype(str), width)

    parts = [padded(hundredths // 360000, 2), padded(hundredths // 6000 % 60, 2), padded(hundredths % 6000, 4),
             np.where(dec < 0, "-", "+"), padded(tenths // 36000, 2), padded(tenths // 600 % 60, 2), padded(tenths % 600, 3)]
    out = parts[0]
    for part in parts[1:]:
        out = np.char.add(out, part)
    return out

"""The loop a good numba user writes: sample, weigh and summarise in one compiled pass over each line of sight.

The cells are the interleaved ones of ours, interpolated in float32. Where float32 is quicker and exact enough (the
exponentials of an ensemble) it is used, elsewhere float64. Import this where numba is there.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
from numpy.typing import NDArray

from cfcore import C_KMS

from .made_field import Made
from .questions import DR, QUANTILES, SIGMA_V, Line, Objects

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
_f32, _u64 = np.float32, np.uint64
_SHARES = np.array(QUANTILES)


def fused(made: Made, line: Line, objects: Objects, prior: str = "volume") -> Callable[[], F64]:
    """Return the work for one realisation or many, shape (n, 10); the density prior for a single one only."""
    cells, out = made.cells[..., 0] if made.cells.shape[4] == 1 else made.cells, np.empty((len(objects.cz), 10))
    count, shift, density = made.field.manifest.realisations, 1.0 / made.spacing, prior == "density"

    def work() -> F64:
        if cells.ndim == 4:
            _single(cells.reshape(-1), made.n, made.origin, shift, objects.to, objects.z, line.r, line.zbar, density, out)
        else:
            _ensemble(cells, count, made.origin, shift, objects.to, objects.z, line.r, line.zbar, out)
        return out

    return work


@numba.njit(fastmath=True, inline="always")
def _place(at: float, n: int) -> tuple[int, float]:
    at = min(max(at, 0.0), n - 1.0)
    low = min(int(at), n - 2)
    return low, _f32(at - low)


@numba.njit(fastmath=True)
def _single(cells: F32, n: int, origin: float, shift: float, to: F64, z: F64, r: F64, zbar: F64, density: bool,
            out: F64) -> None:
    m = len(r)
    weight, v_rad, rho = np.empty(m), np.empty(m, np.float32), np.empty(m, np.float32)
    in_y, in_x = _u64(4 * n), _u64(4 * n * n)
    value = np.empty(4, np.float32)
    for q in range(len(z)):
        nx, ny, nz = to[q]
        for s in range(m):
            i, a = _place((r[s] * nx - origin) * shift, n)
            j, b = _place((r[s] * ny - origin) * shift, n)
            k, c = _place((r[s] * nz - origin) * shift, n)
            a0, b0, c0 = _f32(1) - a, _f32(1) - b, _f32(1) - c
            p0 = _u64(4 * ((i * n + j) * n + k))
            p1, p2, p3 = p0 + in_y, p0 + in_x, p0 + in_x + in_y
            for e in range(4):
                low, high = _u64(e), _u64(e + 4)
                value[e] = (a0 * b0 * c0 * cells[p0 + low] + a0 * b0 * c * cells[p0 + high]
                            + a0 * b * c0 * cells[p1 + low] + a0 * b * c * cells[p1 + high]
                            + a * b0 * c0 * cells[p2 + low] + a * b0 * c * cells[p2 + high]
                            + a * b * c0 * cells[p3 + low] + a * b * c * cells[p3 + high])
            v = value[0] * nx + value[1] * ny + value[2] * nz
            x = (C_KMS * (z[q] - zbar[s]) - (1.0 + zbar[s]) * v) / SIGMA_V
            prior = r[s] * r[s]
            if density:
                prior *= max(value[3], _f32(0.01))
            weight[s], v_rad[s], rho[s] = prior * np.exp(-0.5 * x * x), v, value[3]
        _summarise(r, weight, v_rad, rho, out[q])


@numba.njit(fastmath=True)
def _ensemble(cells: F32, count: int, origin: float, shift: float, to: F64, z: F64, r: F64, zbar: F64, out: F64) -> None:
    m, n = len(r), cells.shape[0]
    weight, v_rad, rho = np.empty(m), np.empty(m, np.float32), np.empty(m, np.float32)
    v, d = np.empty(count, np.float32), np.empty(count, np.float32)
    w = np.empty(8, np.float32)
    for q in range(len(z)):
        tx, ty, tz = _f32(to[q, 0]), _f32(to[q, 1]), _f32(to[q, 2])
        for s in range(m):
            i, a = _place((r[s] * to[q, 0] - origin) * shift, n)
            j, b = _place((r[s] * to[q, 1] - origin) * shift, n)
            k, c = _place((r[s] * to[q, 2] - origin) * shift, n)
            v[:] = 0
            d[:] = 0
            for corner in range(8):
                di, dj, dk = corner >> 2, corner >> 1 & 1, corner & 1
                w[corner] = ((a if di else _f32(1) - a) * (b if dj else _f32(1) - b)) * (c if dk else _f32(1) - c)
                run = cells[i + di, j + dj, k + dk]
                for e in range(count):
                    v[e] += w[corner] * (run[0, e] * tx + run[1, e] * ty + run[2, e] * tz)
                    d[e] += w[corner] * run[3, e]
            total, along, dense = _f32(0), _f32(0), _f32(0)
            miss, slope = _f32(C_KMS * (z[q] - zbar[s]) / SIGMA_V), _f32((1.0 + zbar[s]) / SIGMA_V)
            for e in range(count):
                x = miss - slope * v[e]
                part = np.exp(_f32(-0.5) * x * x)
                total += part
                along += part * v[e]
                dense += part * d[e]
            weight[s] = r[s] * r[s] * total
            v_rad[s], rho[s] = along / max(total, _f32(1e-37)), dense / max(total, _f32(1e-37))
        _summarise(r, weight, v_rad, rho, out[q])


@numba.njit(fastmath=True)
def _summarise(r: F64, weight: F64, v_rad: F32, rho: F32, out: F64) -> None:
    m = len(r)
    area, first, v, d, top, rising = 0.0, 0.0, 0.0, 0.0, 1, 0.0
    for s in range(m):
        share = weight[s] * (0.5 if s == 0 or s == m - 1 else 1.0)
        area += share
        first += share * r[s]
        v += share * v_rad[s]
        d += share * (rho[s] - 1.0)
        if weight[s] > weight[top] and s < m - 1:
            top = s
    mean, second = first / area, 0.0
    for s in range(m):
        second += weight[s] * (0.5 if s == 0 or s == m - 1 else 1.0) * (r[s] - mean) ** 2
    left, middle, right = weight[top - 1], weight[top], weight[top + 1]
    out[0], out[1], out[8], out[9] = mean, np.sqrt(second / area), v / area, d / area
    out[2] = r[top] + 0.5 * DR * (left - right) / (left - 2.0 * middle + right)
    s, step = 0, 0.5 * (weight[0] + weight[1])
    for e in range(5):
        while rising + step < _SHARES[e] * area and s < m - 2:
            rising += step
            s += 1
            step = 0.5 * (weight[s] + weight[s + 1])
        out[3 + e] = DR * (s + (_SHARES[e] * area - rising) / step)

"""Alternating timing: each round runs every contender once, so that a busy spell of the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from cfcore import FlowField


def best_of(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the best time of each contender in seconds."""
    best = dict.fromkeys(contenders, float("inf"))
    for work in contenders.values():
        work()
    for _ in range(rounds):
        for name, work in contenders.items():
            began = time.perf_counter()
            work()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def smooth_field(n: int = 128, half: float = 200.0, speed: float = 300.0) -> FlowField:
    """Return a smooth random field, n^3 nodes over +-half h^-1 Mpc."""
    rng = np.random.default_rng(0)
    k = np.fft.fftfreq(n)
    k2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, : n // 2 + 1] ** 2
    def draw() -> np.ndarray:
        cube = np.fft.irfftn(np.fft.rfftn(rng.normal(size=(n, n, n))) * np.exp(-k2 * 400), s=(n, n, n), axes=(0, 1, 2))
        return cube / cube.std()
    return FlowField.from_arrays(speed * np.stack([draw() for _ in range(3)]), 0.3 * draw(), origin_hmpc=-half,
                                 spacing_hmpc=2 * half / (n - 1), sky_frame="supergalactic")

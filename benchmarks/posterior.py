"""Whole posteriors, 128^3: against the loop people write today (RegularGridInterpolator and NumPy)."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from cfcore import C_KMS, background, frames

from .timing import best_of, smooth_field


def run(quick: bool) -> dict[str, object]:
    """Check that both agree, then time them."""
    field = smooth_field()
    cells, _, _, origin, spacing = field.kernel_arrays()
    axes = [o + s * np.arange(m) for o, s, m in zip(origin, spacing, field.manifest.shape)]
    peer = RegularGridInterpolator(axes, cells[..., :3, 0], bounds_error=False, fill_value=0.0)
    rng = np.random.default_rng(2)
    n = 500 if quick else 3000
    lon, lat = rng.uniform(0, 360, n), np.rad2deg(np.arcsin(rng.uniform(-1, 1, n)))
    cz = rng.uniform(1000, 15000, n)
    dirs = frames.rotate(frames.unit_vectors(lon, lat), "icrs", "supergalactic")
    first = field.distance(lon, lat, cz, cz_frame="cmb")
    r = np.arange(0, field.r_max_hmpc + 0.1, 0.25)
    zbar = background(0.3).redshift(r)

    def loop(count: int) -> np.ndarray:
        means = np.empty(count)
        for i in range(count):
            v = peer(r[:, None] * dirs[i]) @ dirs[i]
            x = (cz[i] - C_KMS * ((1 + zbar) * (1 + v / C_KMS) - 1)) / 200.0
            w = r * r * np.exp(-0.5 * x * x)
            means[i] = (w * r).sum() / w.sum()
        return means

    few = 30
    ok = first.status[:few] == 0
    np.testing.assert_allclose(first.column("comoving.mean")[:few][ok], loop(few)[ok], rtol=1e-4)
    t = best_of({"ours": lambda: field.distance(lon, lat, cz, cz_frame="cmb"),
                 "ours_density_prior": lambda: field.distance(lon, lat, cz, cz_frame="cmb", prior="density"),
                 "scipy_loop": lambda: loop(few)}, 3 if quick else 5)
    per = {"ours": t["ours"] / n, "ours_density_prior": t["ours_density_prior"] / n, "scipy_loop": t["scipy_loop"] / few}
    return {"n": n, "us_per_object": {k: round(v * 1e6, 1) for k, v in per.items()},
            "ratios": {"scipy_loop": per["scipy_loop"] / per["ours"]}, "floors": {"scipy_loop": 10.0}}

"""Random points, three velocity components and the density, 128^3: against SciPy's interpolators."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import map_coordinates

from .timing import best_of, smooth_field


def run(quick: bool) -> dict[str, object]:
    """Check that all agree, then time them."""
    field = smooth_field()
    cells, _, _, origin, spacing = field.kernel_arrays()
    n = 20_000 if quick else 100_000
    top = origin + (np.array(field.manifest.shape) - 1) * spacing
    xyz = np.random.default_rng(1).uniform(origin, top, (n, 3))
    axes = [o + s * np.arange(m) for o, s, m in zip(origin, spacing, field.manifest.shape)]
    peer = RegularGridInterpolator(axes, cells[..., 0])
    planes = [np.ascontiguousarray(cells[..., c, 0]) for c in range(4)]

    def spline() -> list[np.ndarray]:
        index = ((xyz - origin) / spacing).T
        return [map_coordinates(p, index, order=1) for p in planes]

    ours = field.sample_at(xyz)
    np.testing.assert_allclose(ours.v_pec[..., 0], peer(xyz)[:, :3], rtol=1e-4, atol=0.05)
    np.testing.assert_allclose(ours.v_pec[:, 0, 0], spline()[0], rtol=1e-4, atol=0.05)
    t = best_of({"ours": lambda: field.sample_at(xyz), "scipy_rgi": lambda: peer(xyz), "map_coordinates": spline},
                3 if quick else 7)
    return {"n": n, "ns_per_point": {k: round(v / n * 1e9, 1) for k, v in t.items()},
            "ratios": {k: t[k] / t["ours"] for k in t if k != "ours"},
            "floors": {"scipy_rgi": 2.5, "map_coordinates": 2.0}}

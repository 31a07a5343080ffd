"""The self-check of a field: is it the flow it claims to be, on the axes it claims to have?

Every pitfall looked for here was found in a public code: SGX and SGZ exchanged, the unit factor forgotten, a box of
half the size. In linear theory div v = -100 f delta (km/s per h^-1 Mpc; Peebles 1980, section 14), so velocity and
density check each other's axes; v(0) and well-known clusters and voids check the axes of both against the sky.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from .errors import FieldRefused
from .landmarks import LANDMARKS, position
from .manifest import Manifest
from .products import PRODUCTS, Product, digest_fault
from .reference import trilinear

Order = tuple[int, int, int]
ORDERS: tuple[Order, ...] = tuple(permutations(range(3)))  # type: ignore[assignment]
_AS_READ: Order = (0, 1, 2)
_AXES = {"supergalactic": ("SGX", "SGY", "SGZ"), "galactic": ("GX", "GY", "GZ"), "icrs": ("X", "Y", "Z")}
V_ORIGIN_TOLERANCE = 2.0
"""km/s; the known v(0) is quoted to whole km/s, and rounding to float32 is far smaller."""
_MARGIN = 0.05
"""By how much another axis order must correlate better before we call the axes exchanged."""
_SAMPLES = 64
"""Nodes per axis that the divergence is sampled on; finer cubes are strided."""


@dataclass(frozen=True)
class Check:
    """Hold one question, its answer in words, and the figures behind it; `passed` None means only reported."""

    name: str
    passed: bool | None
    detail: str
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """Hold what the self-check of one field found."""

    field: str
    checks: tuple[Check, ...]
    axes: str | None = None
    """When the axes are exchanged: how, in words."""

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(c.passed is not False for c in self.checks)

    def reason(self) -> str:
        """Return why the field failed, the cause before its symptoms."""
        failed = [c.detail for c in self.checks if c.passed is False]
        return f"{self.axes}: " * (self.axes is not None) + "; ".join(failed)

    def raise_if_failed(self) -> None:
        """Refuse the field when a check failed.

        Raises
        ------
        FieldRefused
            Code ``axes_swapped`` or ``field_failed_check``.
        """
        if not self.passed:
            raise FieldRefused(f"{self.field} is refused: {self.reason()}",
                               code="axes_swapped" if self.axes else "field_failed_check",
                               extra={"checks": [c.name for c in self.checks if c.passed is False]})

    def __str__(self) -> str:
        words = {True: "ok", False: "FAILED", None: "-"}
        lines = [f"{self.field}: {'passed' if self.passed else 'FAILED'}"]
        lines += [f"  {words[c.passed]:6} {c.name:11} {c.detail}" for c in self.checks]
        return "\n".join(lines + ([f"  => {self.axes}"] if self.axes else []))


def verify(manifest: Manifest, cells: NDArray[np.floating], sigma: NDArray[np.floating] | None = None, *,
           product: Product | None = None) -> Report:
    """Check a field against itself, against the sky and against what is known of its product.

    Parameters
    ----------
    manifest : Manifest
    cells : ndarray, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, padded R)
        vx, vy, vz in km/s and 1+delta, as published; of realisations the mean is checked, which is linear too.
    sigma : ndarray, shape (nx, ny, nz), km/s, optional
    product : Product, optional
        Whose known values to expect; default: the one the manifest names.
    """
    record = product or PRODUCTS.get(manifest.product) or PRODUCTS["generic"]
    axes = _AXES[manifest.sky_frame]
    checks = [_finite(manifest, cells, sigma)]
    if any(f.sha256 for f in record.files):
        checks.append(_published(manifest, record))
    found: list[str] = []
    if checks[0].passed:
        mean = cells if cells.ndim == 4 else np.stack([p[..., :manifest.realisations].mean(axis=-1) for p in cells])
        for check, exchanged in (_divergence(manifest, mean, record, axes), _v_origin(manifest, mean, record, axes),
                                 _landmarks(manifest, mean, record, axes)):
            checks.append(check)
            found += [exchanged] if exchanged else []
    return Report(manifest.id, tuple(checks), found[0] if found else None)


def _finite(manifest: Manifest, cells: NDArray[np.floating], sigma: NDArray[np.floating] | None) -> Check:
    bad = sum(int((~np.isfinite(p)).sum()) for array in (cells, sigma) if array is not None for p in array)
    nodes = int(np.prod(manifest.shape))
    return Check("finite", bad == 0, f"{bad} NaN or Inf in {nodes} nodes, {manifest.masked_cells} masked",
                 {"not_finite": bad, "masked": manifest.masked_cells})


def _published(manifest: Manifest, record: Product) -> Check:
    by_name = {f.name: f for f in record.files}
    # A renamed file is matched by its place: sources are kept in the order of the roles, as the record lists them.
    pairs = [(s, by_name.get(s.name) or f) for s, f in zip(manifest.sources, record.files)]
    faults = [fault for s, known in pairs if (fault := digest_fault(s, known))]
    return Check("checksum", not faults, "; ".join(faults) or f"{len(pairs)} source files equal the published ones")


def _divergence(manifest: Manifest, cells: NDArray[np.floating], record: Product,
                axes: tuple[str, ...]) -> tuple[Check, str | None]:
    """Correlate div v with -delta in every order of the velocity components and of the density's axes.

    Central differences on interior nodes, no smoothing and no Fourier transform: on cf4gp this gives 0.998 as read
    and at most 0.61 otherwise, and smoothing brings the wrong orders nearer, not the right one.
    """
    flat = float(np.ptp(cells[..., 3]))
    if not manifest.has_density or flat == 0.0:
        return Check("divergence", None, "skipped: the field has no density to check its velocities against"), None
    step = max(1, -(-(max(manifest.shape) - 2) // _SAMPLES))
    mid, up, down = (tuple(slice(a, n + b, step) for n in manifest.shape) for a, b in ((1, -1), (2, 0), (0, -2)))
    minus_delta = 1.0 - cells[..., 3][mid].astype(float)
    slopes = {}
    for axis in range(3):
        ahead, behind = (mid[:axis] + (side[axis],) + mid[axis + 1:] for side in (up, down))
        for c in range(3):
            v = cells[..., c]
            slopes[axis, c] = (v[ahead].astype(float) - v[behind]) / (2.0 * manifest.spacing_hmpc[axis])
    flows = {p: _normal(slopes[0, p[0]] + slopes[1, p[1]] + slopes[2, p[2]]) for p in ORDERS}
    # Transposing only makes sense where it leaves the lattice as it is.
    turns = {q: _normal(minus_delta.transpose(q)) for q in ORDERS
             if tuple(manifest.shape[i] for i in q) == tuple(manifest.shape)}
    corr = {(p, q): float(flows[p] @ turns[q]) for p in flows for q in turns}
    here = corr[_AS_READ, _AS_READ]
    best = max(corr, key=lambda pq: corr[pq])
    other, rival = max((corr[p, _AS_READ], p) for p in ORDERS if p != _AS_READ)
    div = slopes[0, 0] + slopes[1, 1] + slopes[2, 2]
    growth = float(np.sum(div * minus_delta) / np.sum(minus_delta ** 2)) / 100.0
    figures = {"correlation": here, "growth": growth}
    figures |= {"-".join(axes[i] for i in p): corr[p, _AS_READ] for p in ORDERS}
    detail = f"div v against -delta: correlation {here:.3f} as read"
    if best != (_AS_READ, _AS_READ) and corr[best] > here + _MARGIN and corr[best] >= 0.5:
        p, q = best
        what = (_exchange(p, axes, "the velocity components, against the grid") if q == _AS_READ else
                _exchange(q, axes, "the density grid, against the velocity grid"))
        return Check("divergence", False, f"{detail}, {corr[best]:.3f} with the axes put back", figures), what
    detail += f", at most {other:.3f} in another order ({', '.join(axes[i] for i in rival)}); slope f = {growth:.3f}"
    if here < record.divergence_min:
        sign = ", which is the opposite sign: flows must run into overdensities" if here < -0.5 else ""
        detail += f"; at least {record.divergence_min} is expected{sign}"
        return Check("divergence", False, detail, figures), None
    if record.growth_range and not record.growth_range[0] <= growth <= record.growth_range[1]:
        low, high = record.growth_range
        detail += (f", where {low} to {high} is expected: check the unit factor ({manifest.unit_factor:g}) and the "
                   f"spacing ({manifest.spacing_hmpc[0]:g} h^-1 Mpc)")
        return Check("divergence", False, detail, figures), None
    return Check("divergence", True, detail, figures), None


def _v_origin(manifest: Manifest, cells: NDArray[np.floating], record: Product,
              axes: tuple[str, ...]) -> tuple[Check, str | None]:
    node, inside = trilinear(cells[..., :3], manifest.origin_hmpc, manifest.spacing_hmpc, np.zeros((1, 3)))
    if not inside[0]:
        return Check("v(0)", None, "skipped: the observer lies outside the lattice"), None
    v = node[0]
    text = f"({v[0]:.1f}, {v[1]:.1f}, {v[2]:.1f}) km/s on {', '.join(axes)}"
    figures = {f"v_{a.lower()}": float(x) for a, x in zip(axes, v)}
    if record.v_origin is None:
        return Check("v(0)", None, f"{text}; no published value to compare with", figures), None
    known = np.array(record.v_origin)
    off = {p: float(np.abs(v[list(p)] - known).max()) for p in ORDERS}
    text += f", expected ({known[0]:g}, {known[1]:g}, {known[2]:g}) within {V_ORIGIN_TOLERANCE:g}"
    if off[_AS_READ] <= V_ORIGIN_TOLERANCE:
        return Check("v(0)", True, text, figures), None
    order = min(off, key=lambda p: off[p])
    return (Check("v(0)", False, f"v(0) = {text}", figures),
            _exchange(order, axes, "the whole field, against the sky") if off[order] <= V_ORIGIN_TOLERANCE else None)


def _landmarks(manifest: Manifest, cells: NDArray[np.floating], record: Product,
               axes: tuple[str, ...]) -> tuple[Check, str | None]:
    if not manifest.has_density or float(np.ptp(cells[..., 3])) == 0.0:
        return Check("landmarks", None, "skipped: the field has no density"), None
    density = cells[..., 3]
    parts, figures, missed = [], {}, []
    clusters = {p: [] for p in ORDERS}
    for mark in LANDMARKS:
        xyz = position(mark, manifest.sky_frame)
        turned = np.stack([xyz[list(p)] for p in ORDERS])
        value, inside = trilinear(density, manifest.origin_hmpc, manifest.spacing_hmpc, turned)
        if not inside.all():
            continue
        percent = [100.0 * float(np.mean(density < x)) for x in value]
        figures[mark.name] = percent[0]
        parts.append(f"{mark.name} {percent[0]:.1f} %")
        if (mark.at_least or 0.0) > percent[0] or (mark.at_most or 100.0) < percent[0]:
            missed.append(f"{mark.name} {'>=' if mark.at_least else '<='} {mark.at_least or mark.at_most:g}")
        if mark.at_least:
            for p, x in zip(ORDERS, percent):
                clusters[p].append(x)
    detail = "density percentile at " + ", ".join(parts) if parts else "skipped: none lies inside the lattice"
    # One cluster may fall on another's overdensity by chance; three together do not.
    if len(clusters[_AS_READ]) == 3 and min(clusters[_AS_READ]) < 90.0:
        order = max(ORDERS, key=lambda p: min(clusters[p]))
        if min(clusters[order]) >= 99.0:
            what = _exchange(order, axes, "the whole field, against the sky")
            return Check("landmarks", False, detail, figures), what
    if record.landmarks_required and (missed or not parts):
        return Check("landmarks", False, f"{detail}; expected {', '.join(missed) or 'all four'}", figures), None
    return Check("landmarks", True if record.landmarks_required else None, detail, figures), None


def _exchange(order: Order, axes: tuple[str, ...], what: str) -> str:
    """Put into words that axis i is found at place order[i]."""
    moved = [axes[i] for i in range(3) if order[i] != i]
    if len(moved) == 2:
        return f"the axes are swapped: {moved[0]} and {moved[1]} are exchanged in {what}"
    stored = ", ".join(axes[order.index(i)] for i in range(3))
    return f"the axes are swapped: they come as {stored} in {what}"


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as a vector of zero mean and unit length, so that a dot product is a correlation."""
    v = values.ravel() - values.mean()
    length = float(np.sqrt(v @ v))
    return v / length if length > 0.0 else v

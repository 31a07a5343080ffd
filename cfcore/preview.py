"""A small picture of a field for looking at: its flow on a cube of nodes, a byte for each component, with its own header.

Owns the format ``CFTILE01`` (docs/preview.md) and nothing of how it travels. Numbers that anybody reads come from the field
itself; a tile is good for streamlines, shells and colours.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import frames
from .errors import BadParameter
from .field import FlowField

I8 = NDArray[np.int8]
MAGIC = b"CFTILE01"
FORMAT = "cosmicflows-preview"
SIZES = (64, 128)
"""Nodes along an axis of the tiles that a server gives: a first look, and a closer one."""
NODES_MAX = 160
"""Most nodes along an axis: the tile still fits a message between the processes (64 MiB) with room."""
NOWHERE = -128
"""Stands at nodes outside the lattice of the field."""
POWER = 2
DENSITY_FLOOR = 0.02
"""Least 1+delta that is told apart: reconstructions overshoot below empty space, and steps spent on the logarithm of almost
nothing would be missing where there are galaxies."""
_TOP = 127
# Nodes on the very face of the lattice fall outside by the rounding of the last bit; no farther in than 1e-9 of the edge.
_INWARD = 1.0 - 1e-9


class Tile(NamedTuple):
    """Hold a tile that has been read: header, velocities (km/s) and ln(1+delta), both NaN where nothing is known."""

    header: dict[str, Any]
    velocity: NDArray[np.float32]
    """Shape (n, n, n, 3), supergalactic axes, CMB frame."""
    log_density: NDArray[np.float32] | None
    """Shape (n, n, n)."""


def half_edge_hmpc(field: FlowField) -> float:
    """Return half the edge of the cube of a tile, comoving h^-1 Mpc.

    It is the smallest cube around the observer, on supergalactic axes, that holds every place that can be asked: those of the
    lattice, no farther than ``r_max_hmpc``, where lines of sight end. `r_max_hmpc` itself would be too much: it reaches to
    the corners of the lattice, and four fifths of such a cube would be empty.
    """
    _, _, _, origin, spacing = field.kernel_arrays()
    far = origin + (np.array(field.manifest.shape) - 1) * spacing
    corners = np.stack([c.ravel() for c in np.meshgrid(*zip(origin, far), indexing="ij")], axis=1)
    turned = _turned(corners, field.manifest.sky_frame, "supergalactic")
    return min(float(np.abs(turned).max()), field.r_max_hmpc)


def tile(field: FlowField, n: int = 64, *, threads: int = 1) -> bytes:
    """Sample a field on a cube and pack it.

    Parameters
    ----------
    field : FlowField
        Of an ensemble the mean is shown.
    n : int
        Nodes along an axis, 2 to 160.
    threads : int
        How many threads share the points; 0: one per core.

    Returns
    -------
    bytes
        Little-endian: ``CFTILE01``; the length H of the header, uint32; the header, JSON in UTF-8, padded with blanks so that
        12 + H is a multiple of 8; for each plane of ``planes`` n**3 int8, x slowest, z fastest. Velocities (km/s, CMB frame,
        supergalactic axes) are ``sign(q) (|q|/127)**2 velocity.scale``: the square spends the steps on small velocities, which
        keep their direction. ``ln(1+delta) = q/127 density.scale``; what lies below `DENSITY_FLOOR` is shown as that.
        q = -128 where the lattice does not reach.

    Raises
    ------
    BadParameter
        When `n` is out of range.
    """
    if not 2 <= n <= NODES_MAX:
        raise BadParameter(f"n = {n} lies outside 2 ... {NODES_MAX} nodes along an axis", code="out_of_range", where="n")
    half, m = half_edge_hmpc(field), field.manifest
    velocity, density = _sampled(field, np.linspace(-half, half, n), threads)
    planes, v_scale = _companded(velocity)
    header: dict[str, Any] = {
        "format": FORMAT, "n": n, "origin_hmpc": [-half] * 3, "spacing_hmpc": 2.0 * half / (n - 1), "frame": "supergalactic",
        # as servers name a version; arrays made in memory have no digest
        "field": {"id": m.id, "version": f"{m.version}-{m.sha256[:8]}" if m.sha256 else m.version, "title": m.title},
        "r_max_hmpc": field.r_max_hmpc, "trusted_hmpc": m.trusted_hmpc, "planes": ["vx", "vy", "vz"],
        "velocity": {"unit": "km/s", "scale": v_scale, "power": POWER}}
    if density is not None:
        plane, scale, n_clipped = _logarithm(density)
        planes.append(plane)
        header["planes"].append("delta")
        header["density"] = {"scale": scale, "floor": DENSITY_FLOOR, "clipped": n_clipped}
    return _packed(header, planes)


def read(data: bytes) -> Tile:
    """Read a tile back; what it has lost is what a byte cannot hold.

    Raises
    ------
    BadParameter
        When the bytes are no tile.
    """
    size = int.from_bytes(data[8:12], "little")
    try:
        if data[:8] != MAGIC:
            raise ValueError
        header = json.loads(data[12:12 + size])
        n, names = int(header["n"]), header["planes"]
        q = np.frombuffer(data, np.int8, offset=12 + size).reshape(len(names), n, n, n)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise BadParameter(f"these {len(data)} bytes are no preview of a field ({MAGIC.decode()}); make one with "
                           "cfcore.preview.tile") from None
    part = np.where(q == NOWHERE, np.nan, q / np.float32(_TOP)).astype(np.float32)
    velocity = np.sign(part[:3]) * part[:3] ** 2 * np.float32(header["velocity"]["scale"])
    density = part[3] * np.float32(header["density"]["scale"]) if "delta" in names else None
    return Tile(header, np.moveaxis(velocity, 0, -1), density)


def _sampled(field: FlowField, axis: NDArray[np.float64],
             threads: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Return velocities (3, n, n, n) on supergalactic axes and 1+delta (n, n, n); NaN outside the lattice."""
    n, own = len(axis), field.manifest.sky_frame
    velocity = np.empty((3, n, n, n), np.float32)
    density = np.empty((n, n, n), np.float32) if field.manifest.has_density else None
    xyz = np.empty((n, n, 3))
    xyz[..., 1], xyz[..., 2] = axis[:, None], axis
    # one plane at a time: the doubles of all of them at once would take a hundred times the memory of the tile
    for i, x in enumerate(axis):
        xyz[..., 0] = x
        points = _turned(xyz.reshape(-1, 3) * _INWARD, "supergalactic", own)
        flow = _turned(field.velocity_at(points, threads=threads), own, "supergalactic")
        velocity[:, i] = flow.T.reshape(3, n, n)
        if density is not None:
            density[i] = 1.0 + field.overdensity_at(points, threads=threads).reshape(n, n)
    return velocity, density


def _companded(velocity: NDArray[np.float32]) -> tuple[list[I8], float]:
    """Return the three planes and the greatest |component| that is there, km/s."""
    greatest = _greatest(velocity)
    return [_stepped(np.sign(v) * np.sqrt(np.abs(v) / np.float32(greatest or 1.0))) for v in velocity], greatest


def _logarithm(density: NDArray[np.float32]) -> tuple[I8, float, int]:
    """Return the plane of ln(1+delta), its greatest size, and at how many nodes the floor stands for less."""
    logs = np.log(np.maximum(density, np.float32(DENSITY_FLOOR)))  # NaN stays
    greatest = _greatest(logs)
    return _stepped(logs / np.float32(greatest or 1.0)), greatest, int((density < DENSITY_FLOOR).sum())


def _turned(vectors: NDArray[np.float64], source: str, target: str) -> NDArray[np.float64]:
    return vectors if source == target else frames.rotate(vectors, source, target)


def _greatest(values: NDArray[np.float32]) -> float:
    return float(np.fmax.reduce(np.abs(values), axis=None, initial=0.0))


def _stepped(part: NDArray[np.float32]) -> I8:
    """Return parts from -1 to 1 as steps of 1/127."""
    return np.where(np.isnan(part), NOWHERE, np.rint(np.nan_to_num(part) * _TOP)).astype(np.int8)


def _packed(header: dict[str, Any], planes: list[I8]) -> bytes:
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(len(MAGIC) + 4 + len(text)) % 8)
    return b"".join((MAGIC, len(text).to_bytes(4, "little"), text, *(np.ascontiguousarray(p).tobytes() for p in planes)))

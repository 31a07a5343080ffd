"""FlowField: one velocity field, immutable, usually memory-mapped; what is the flow at a point, along a line."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _kernels, frames
from .errors import BadParameter, FieldRefused
from .manifest import Manifest
from .options import FlowOptions, check_limit
from .threads import spread

if TYPE_CHECKING:
    from .distances import Distances, Velocities

F64 = NDArray[np.float64]

R_LIMIT_HMPC = 400.0
"""Longest line of sight, h^-1 Mpc: no public field reaches further."""

# Points and lines a thread takes at a time.
POINTS_GRAIN = 16384
LINES_GRAIN = 16


class Samples(NamedTuple):
    """Hold what a field says at points; n points, R realisations."""

    values: F64
    """Shape (n, 4, R): v_pec and the density contrast together; 0 outside."""
    sigma: F64
    """Shape (n,), velocity error of the field, km/s; 0 where it has none."""
    inside: NDArray[np.bool_]
    """Shape (n,)."""

    @property
    def v_pec(self) -> F64:
        """Peculiar velocities, shape (n, 3, R), km/s, field axes, rest frame of the manifest."""
        return self.values[:, :3]

    @property
    def overdensity(self) -> F64:
        """Density contrast, shape (n, R)."""
        return self.values[:, 3]


class Sightline(NamedTuple):
    """Hold the mean field along n lines of sight sampled at m distances."""

    r_hmpc: F64
    v_rad: F64
    overdensity: F64
    sigma: F64
    inside: NDArray[np.bool_]


class FlowField:
    """Answer for one velocity field.

    Parameters
    ----------
    manifest : Manifest
        Lattice, frames, provenance.
    cells : ndarray of float32, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, pad)
        ``[vx, vy, vz, 1+delta]`` per node, km/s; realisations innermost, padded.
    sigma : ndarray of float32, shape (nx, ny, nz), optional
        Velocity error per node, km/s.

    Raises
    ------
    BadParameter
        When the arrays do not have the shapes the manifest states.
    """

    def __init__(self, manifest: Manifest, cells: NDArray[np.float32], sigma: NDArray[np.float32] | None = None) -> None:
        cells = np.asarray(cells)
        if cells.ndim == 4:
            cells = cells.reshape(cells.shape + (1,))
        if cells.shape[:4] != tuple(manifest.shape) + (4,) or not 1 <= manifest.realisations <= cells.shape[4]:
            raise BadParameter(f"cells have shape {cells.shape}, the manifest of {manifest.id} states "
                               f"{tuple(manifest.shape)} nodes and {manifest.realisations} realisations", code="bad_shape")
        if min(manifest.shape) < 2:
            raise BadParameter("a lattice needs two nodes along each axis", code="bad_shape")
        if sigma is not None and sigma.shape != tuple(manifest.shape):
            raise BadParameter(f"sigma has shape {sigma.shape}, expected {tuple(manifest.shape)}", code="bad_shape")
        if manifest.velocity_frame != "cmb":
            raise BadParameter(f"velocities of {manifest.id} are in the frame {manifest.velocity_frame}; a field holds "
                               "velocities in the CMB frame", code="bad_frame")
        check_limit("sigma_v", manifest.sigma_v)
        if sigma is not None and manifest.sigma_max == 0.0:
            manifest = dataclasses.replace(manifest, sigma_max=float(sigma.max()))
        self._cells = np.ascontiguousarray(_padded(cells, manifest.realisations), dtype=np.float32)
        if manifest.v_max == 0.0:
            # bounds of the window a posterior is solved in: a wrong one would silently cut it off
            v_max, v_gradient = _kernels.bounds(self._cells, manifest.realisations, np.array(manifest.spacing_hmpc, float))
            manifest = dataclasses.replace(manifest, v_max=v_max, v_gradient=v_gradient)
        self.manifest = manifest
        self._sigma = None if sigma is None else np.ascontiguousarray(sigma, dtype=np.float32)
        self._origin = np.array(manifest.origin_hmpc, float)
        self._spacing = np.array(manifest.spacing_hmpc, float)
        self.lattice = _kernels.Lattice(self._cells, self._sigma, manifest.realisations, self._origin, self._spacing)
        self.questions: dict[FlowOptions, Any] = {}
        self.ways: dict[FlowOptions, Any] = {}
        if not self.reach_hmpc >= 1.0:
            raise BadParameter(f"the farthest corner of {manifest.id} is {self.reach_hmpc:g} h^-1 Mpc from the observer; "
                               "a line of sight needs at least 1", code="out_of_range")

    @classmethod
    def from_arrays(cls, velocity: ArrayLike, overdensity: ArrayLike | None = None, *, origin_hmpc: ArrayLike,
                    spacing_hmpc: ArrayLike, sky_frame: str, sigma: ArrayLike | None = None, id: str = "custom",
                    citation: str = "given by the caller", sigma_v: float = 200.0,
                    trusted_hmpc: float | None = None) -> FlowField:
        """Make a field in memory from arrays whose convention the caller states.

        Parameters
        ----------
        velocity : array_like, shape (3, nx, ny, nz) or (R, 3, nx, ny, nz), km/s
            Peculiar velocities in the CMB frame on the axes of `sky_frame`.
        overdensity : array_like, shape (nx, ny, nz) or (R, nx, ny, nz), optional
            Density contrast on the same nodes.
        origin_hmpc, spacing_hmpc : float or array_like, shape (3,), comoving h^-1 Mpc
            Position of node (0, 0, 0) from the observer, and the distance between nodes.
        sky_frame : {"icrs", "galactic", "supergalactic"}
            Frame of the Cartesian axes.
        sigma : array_like, shape (nx, ny, nz), km/s, optional
            Velocity error per node.
        id, citation : str
            Provenance, repeated in every answer.
        sigma_v : float, km/s
            Default scatter of galaxies about the field.
        trusted_hmpc : float, optional
            Radius beyond which answers carry the flag ``beyond_data``.

        Raises
        ------
        BadParameter
            When shapes disagree or a value is not finite.
        """
        v = np.asarray(velocity, dtype=np.float32)
        v = v[None] if v.ndim == 4 else v
        if v.ndim != 5 or v.shape[1] != 3:
            raise BadParameter(f"velocity has shape {np.shape(velocity)}; expected (3, nx, ny, nz) or "
                               "(R, 3, nx, ny, nz)", code="bad_shape", where="velocity")
        count, shape = v.shape[0], v.shape[2:]
        d = np.zeros((count,) + shape, np.float32) if overdensity is None else np.asarray(overdensity, dtype=np.float32)
        d = d[None] if d.ndim == 3 else d
        if d.shape != (count,) + shape:
            raise BadParameter(f"overdensity has shape {np.shape(overdensity)}, velocity implies {(count,) + shape}",
                               code="bad_shape", where="overdensity")
        s = None if sigma is None else np.array(sigma, dtype=np.float32)
        if not (np.isfinite(v).all() and np.isfinite(d).all() and (s is None or np.isfinite(s).all())):
            raise BadParameter("the arrays hold NaN or infinity; mask them first (velocity 0, overdensity 0)",
                               code="not_finite", where="velocity")
        if s is not None and s.min() < 0.0:
            raise BadParameter(f"sigma has a value of {s.min():g} km/s; an error is not negative", code="out_of_range",
                               where="sigma")
        pad = 1 if count == 1 else -(-count // 16) * 16
        cells = np.zeros(shape + (4, pad), np.float32)
        cells[..., :3, :count] = v.transpose(2, 3, 4, 1, 0)
        cells[..., 3, :count] = 1.0 + d.transpose(1, 2, 3, 0)
        origin, spacing = (tuple(np.broadcast_to(np.asarray(x, float), 3).tolist()) for x in (origin_hmpc, spacing_hmpc))
        if min(spacing) <= 0.0:
            raise BadParameter(f"spacing {spacing} h^-1 Mpc must be positive", code="out_of_range", where="spacing_hmpc")
        manifest = Manifest(
            id=id, version="in-memory", shape=shape, origin_hmpc=origin, spacing_hmpc=spacing,
            sky_frame=frames.sky_frame(sky_frame), citation=citation, realisations=count, sigma_v=sigma_v,
            trusted_hmpc=trusted_hmpc, has_density=overdensity is not None)
        return cls(manifest, cells, s)

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy maps the same files again; arrays made in memory travel along
        return _restore, (self.manifest, _portable(self._cells), _portable(self._sigma))

    def __repr__(self) -> str:
        m = self.manifest
        return (f"<FlowField {m.id} {m.version}: {'x'.join(map(str, m.shape))} nodes, {m.realisations} realisation(s), "
                f"{m.sky_frame}, reach {self.reach_hmpc:.0f} h^-1 Mpc>")

    @property
    def has_sigma(self) -> bool:
        """Tell whether the field brings its own velocity errors."""
        return self._sigma is not None

    @property
    def reach_hmpc(self) -> float:
        """Distance from the observer to the farthest corner of the lattice, comoving h^-1 Mpc."""
        far = self._origin + (np.array(self.manifest.shape) - 1) * self._spacing
        return float(np.sqrt((np.maximum(np.abs(self._origin), np.abs(far)) ** 2).sum()))

    @property
    def r_max_hmpc(self) -> float:
        """Length of the lines of sight that posteriors are solved on, comoving h^-1 Mpc."""
        return min(R_LIMIT_HMPC, math.floor(self.reach_hmpc * 4.0) / 4.0)

    def kernel_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32] | None, int, F64, F64]:
        """Return (cells, sigma, realisations, origin, spacing), read-only by agreement."""
        return self._cells, self._sigma, self.manifest.realisations, self._origin, self._spacing

    def sample_at(self, xyz_hmpc: ArrayLike, *, out: Samples | None = None, threads: int = 1) -> Samples:
        """Interpolate every realisation at points.

        Parameters
        ----------
        xyz_hmpc : array_like, shape (n, 3), comoving h^-1 Mpc, axes of the field's sky frame
        out : Samples, optional
            An earlier answer for as many points, written over and returned.
        threads : int
            How many threads share the points; 0: one per core.

        Returns
        -------
        Samples

        Raises
        ------
        BadParameter
            When the shape is not (n, 3), or `out` does not fit.
        """
        xyz = _positions(xyz_hmpc)
        n, count = len(xyz), self.manifest.realisations
        if out is None:
            sigma = np.empty(n) if self.has_sigma else np.broadcast_to(0.0, n)
            out = Samples(np.empty((n, 4, count)), sigma, np.empty(n, np.bool_))
        else:
            check_out(out.values, (n, 4, count))
            check_out(out.inside, (n,), np.bool_)
            if self.has_sigma:
                check_out(out.sigma, (n,))
        values, inside, lattice = out.values, out.inside.view(np.uint8), self.lattice
        flat = values.reshape(n, 4) if count == 1 else values

        def work(begin: int, end: int) -> None:
            if count == 1:
                lattice.points(xyz, flat, inside, 0.0, begin, end)
            else:
                lattice.points_all(xyz, values, inside, begin, end)
            if self.has_sigma:
                lattice.sigmas(xyz, out.sigma, begin, end)

        spread(work, n, threads, POINTS_GRAIN)
        return out

    def velocity_at(self, xyz_hmpc: ArrayLike, *, out: F64 | None = None, threads: int = 1) -> F64:
        """Return the mean peculiar velocity at points.

        Parameters
        ----------
        xyz_hmpc : array_like, shape (n, 3), comoving h^-1 Mpc, axes of the field's sky frame
        out : ndarray of float64, shape (n, 3), optional
            Written and returned.
        threads : int
            How many threads share the points; 0: one per core.

        Returns
        -------
        v_pec : ndarray, shape (n, 3), km/s
            On the same axes, CMB frame; NaN outside the lattice.

        Examples
        --------
        >>> import numpy as np
        >>> flow = np.zeros((3, 5, 5, 5)); flow[0] = 300.0
        >>> field = FlowField.from_arrays(flow, origin_hmpc=-50, spacing_hmpc=25, sky_frame="supergalactic")
        >>> field.velocity_at([[1.0, 2.0, 3.0], [60.0, 0.0, 0.0]])
        array([[300.,   0.,   0.],
               [ nan,  nan,  nan]])
        """
        xyz = _positions(xyz_hmpc)
        n = len(xyz)
        if out is None:
            out = np.empty((n, 3))
        else:
            check_out(out, (n, 3))
        result, points = out, self.lattice.points
        if n <= POINTS_GRAIN:
            points(xyz, result, None, math.nan, 0, n)
        else:
            spread(lambda begin, end: points(xyz, result, None, math.nan, begin, end), n, threads, POINTS_GRAIN)
        return out

    def overdensity_at(self, xyz_hmpc: ArrayLike, *, threads: int = 1) -> F64:
        """Return the mean density contrast at points, shape (n,); NaN outside, or where the field has no density."""
        xyz = _positions(xyz_hmpc)
        if not self.manifest.has_density:
            return np.full(len(xyz), np.nan)
        values = np.empty((len(xyz), 4))
        spread(lambda begin, end: self.lattice.points(xyz, values, None, math.nan, begin, end), len(xyz), threads,
               POINTS_GRAIN)
        return values[:, 3].copy()

    def along(self, lon: ArrayLike, lat: ArrayLike, r_hmpc: ArrayLike, *, frame: str = "icrs",
              out: Sightline | None = None, threads: int = 1) -> Sightline:
        """Sample the mean field along lines of sight.

        Parameters
        ----------
        lon, lat : array_like, shape (n,), deg
            Directions in the sky frame `frame`.
        r_hmpc : array_like, shape (m,), comoving h^-1 Mpc
        out : Sightline, optional
            An earlier answer of the same shape, written over and returned.
        threads : int
            How many threads share the lines; 0: one per core.

        Returns
        -------
        Sightline
            Arrays of shape (n, m); outside the lattice v_rad = overdensity = sigma = 0 and inside = False.
        """
        dirs = frames.rotate(frames.unit_vectors(lon, lat), frame, self.manifest.sky_frame)
        r = np.ascontiguousarray(np.atleast_1d(np.asarray(r_hmpc, float)))
        shape = (len(dirs), len(r))
        if out is None:
            sigma = np.empty(shape) if self.has_sigma else np.broadcast_to(0.0, shape)
            out = Sightline(r, np.empty(shape), np.empty(shape), sigma, np.empty(shape, np.bool_))
        for column in (out.v_rad, out.overdensity, *([out.sigma] if self.has_sigma else [])):
            check_out(column, shape)
        check_out(out.inside, shape, np.bool_)
        out = out._replace(r_hmpc=r)
        columns = out.v_rad, out.overdensity, out.sigma if self.has_sigma else None, out.inside.view(np.uint8)
        spread(lambda begin, end: self.lattice.along(dirs, r, *columns, begin, end), len(dirs), threads, LINES_GRAIN)
        return out

    def distance(self, lon: ArrayLike, lat: ArrayLike, cz: ArrayLike, **options: object) -> Distances:
        """Solve for the distances of objects with observed velocities; see `distances.solve` for the options.

        Parameters
        ----------
        lon, lat : array_like, shape (n,), deg
            Sky positions in the sky frame ``frame=`` (default "icrs").
        cz : array_like, shape (n,), km/s
            Speed of light times redshift in the rest frame ``cz_frame=`` (default "hel").
        """
        from . import distances
        return distances.solve(self, lon, lat, cz, **options)  # type: ignore[arg-type]

    def velocity(self, lon: ArrayLike, lat: ArrayLike, d_c: ArrayLike, **options: object) -> Velocities:
        """Return the flow at objects with known comoving distances in Mpc; see `distances.velocities`."""
        from . import distances
        return distances.velocities(self, lon, lat, d_c, **options)  # type: ignore[arg-type]

    def with_manifest(self, **changes: object) -> FlowField:
        """Return the same arrays under a manifest with some entries changed."""
        if "spacing_hmpc" in changes:
            changes.setdefault("v_gradient", 0.0)  # not known any more: the window is then found without it
        return FlowField(dataclasses.replace(self.manifest, **changes), self._cells, self._sigma)  # type: ignore[arg-type]


def _positions(xyz_hmpc: ArrayLike) -> F64:
    xyz = np.ascontiguousarray(xyz_hmpc, dtype=np.float64)
    if xyz.ndim == 1:
        xyz = xyz[None]
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise BadParameter(f"xyz_hmpc has shape {np.shape(xyz_hmpc)}; expected (n, 3)", code="bad_shape", where="xyz_hmpc")
    return xyz


def check_out(out: NDArray[Any], shape: tuple[int, ...], dtype: type = np.float64) -> None:
    """Refuse an array that the loops cannot write: they trust what they are given.

    Raises
    ------
    BadParameter
        When its shape, type or memory order differ, or it is read-only.
    """
    if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous or not out.flags.writeable:
        raise BadParameter(f"out has shape {out.shape} and type {out.dtype}; a writable {np.dtype(dtype)} array of shape {shape} "
                           "in C order is needed", code="bad_shape", where="out")


def _padded(cells: NDArray[np.float32], realisations: int) -> NDArray[np.float32]:
    """Return cells whose realisations are stored padded with zeros to a multiple of 16, as the loops want them."""
    if cells.shape[4] == 1 or cells.shape[4] % 16 == 0:
        return cells
    wide = np.zeros(cells.shape[:4] + (-(-realisations // 16) * 16,), np.float32)
    wide[..., :realisations] = cells[..., :realisations]
    return wide


class _Mapped(NamedTuple):
    """Name the part of a file that an array is mapped from."""

    filename: str
    offset: int
    shape: tuple[int, ...]


def _portable(array: NDArray[np.float32] | None) -> NDArray[np.float32] | _Mapped | None:
    owner: Any = array
    while owner is not None and not isinstance(owner, np.memmap):
        owner = getattr(owner, "base", None)
    if array is None or owner is None or owner.filename is None or owner.size != array.size:
        return array
    return _Mapped(str(owner.filename), owner.offset, array.shape)


def _restore(manifest: Manifest, *parts: NDArray[np.float32] | _Mapped | None) -> FlowField:
    try:
        cells, sigma = (np.memmap(p.filename, np.float32, "r", p.offset, p.shape) if isinstance(p, _Mapped) else p for p in parts)
    except OSError as exc:
        raise FieldRefused(f"the files of field {manifest.id} {manifest.version} are not on this machine ({exc.strerror}); add "
                           "the field here and open it anew") from exc
    assert cells is not None
    return FlowField(manifest, cells, sigma)

"""The embedded default field: linear theory on the galaxies of OpenNGC, built in a second on the user's machine.

Nothing of the catalogue ships with us: PyPI's pyongc brings it as one SQLite file (CC-BY-SA-4.0), of which only the
rows are read. The recipe is modest and says so in its manifest: a weighted galaxy density, smoothed, is taken for the
mass; linear theory turns it into velocities; distances and density are iterated until they agree.
"""

from __future__ import annotations

import importlib.util
import sqlite3
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import frames, reference, sources
from .cosmology import C_KMS
from .errors import FieldRefused, UsageError
from .manifest import Manifest

F64 = NDArray[np.float64]
C128 = NDArray[np.complex128]

ID = "ongc-linear"
VERSION = "1"

NODES = 64
SPACING_HMPC = 3.125
ORIGIN_HMPC = -98.4375
"""Nodes are the centres of the 64 histogram cells that tile -100 ... +100: half a spacing inside the faces. A node on
the face would move the whole field by 1.6 h^-1 Mpc against its galaxies."""
PADDED = 128
"""Twice the lattice: the periodic images of the transform then lie 400 h^-1 Mpc apart."""
RADIUS_HMPC = 90.0

K_LIMIT = 10.5
M_K_REFERENCE = -23.25
WEIGHT_CAP = 3.0
PLANE_DEG = 8.0
SELECTION_SMOOTHING_HMPC = 12.0
SMOOTHING_HMPC = 5.0
MIN_HMPC = 0.5
"""Floor of a distance: a nearby galaxy with v_LS near 0 stays beside the observer and does not change sides."""
ITERATIONS = 6
BETA_ITERATION = 0.4

VELOCITY_FACTOR = 0.16
EXTERNAL_KMS = (-233.0, -18.0, -68.0)
"""The four numbers fitted to Pantheon+ peculiar velocities. The factor replaces beta in the final field; it is small
because light so weighed exaggerates the contrast. The vector (supergalactic) is the pull of what lies outside."""
SIGMA_V_KMS = 200.0
TRUSTED_HMPC = 60.0

CITATION = ("OpenNGC (M. Verga, CC-BY-SA-4.0) through pyongc; Cosmic Flows ongc-linear recipe, fitted to Pantheon+ "
            "(Carr et al. 2022, PASA 39, e046; Scolnic et al. 2022, ApJ 938, 113)")
LICENCE = "CC-BY-SA-4.0: derived from OpenNGC by Mattia Verga, https://github.com/mattiaverga/OpenNGC"
NOTES = (
    "Linear theory from 64^3 counts of OpenNGC galaxies with K <= 10.5 inside 90 h^-1 Mpc, smoothed by 5 h^-1 Mpc.",
    "Nodes are cell centres: node i sits at -98.4375 + 3.125 i h^-1 Mpc, the observer midway between nodes 31, 32.",
    "Four numbers (velocity factor 0.16; external flow -233, -18, -68 km/s, supergalactic) were fitted to Pantheon+ "
    "peculiar velocities.",
    "Quality: correlation 0.84 (5-fold) with 2M++ radial velocities at 206 supernovae z < 0.022, rms 87 km/s; a "
    "dipole alone reaches 0.59, Cosmicflows-4 0.875.",
    "The density contrast is that of capped K light: indicative only, and not to scale with the velocities.",
    "Trusted to 60 h^-1 Mpc; beyond, the catalogue thins out and the field tends to the external flow.",
)


class Galaxies(NamedTuple):
    """Hold what the recipe needs of each galaxy."""

    n_galactic: F64
    """Unit vectors, shape (n, 3), galactic axes."""
    v_ls: F64
    """Velocity c z in the Local Sheet frame, km/s, shape (n,)."""
    k_mag: F64
    """Apparent K magnitude, shape (n,)."""


class Waves(NamedTuple):
    """Hold the wavenumbers of the padded lattice and the Gaussian filter."""

    kx: F64
    ky: F64
    kz: F64
    k_squared: F64
    smoothing: F64


def build_field() -> tuple[Manifest, NDArray[np.float32], NDArray[np.float32] | None]:
    """Build the embedded default field from the installed OpenNGC catalogue.

    Returns
    -------
    manifest : Manifest
        Convention, quality and credit; checksums and limits are left to `fieldfile.publish`.
    cells : ndarray of float32, shape (64, 64, 64, 4)
        vx, vy, vz in km/s (CMB frame, supergalactic axes) and 1+delta. The same catalogue gives the same bytes on
        one machine.
    sigma : None
        The field has no errors of its own; sigma_v covers it.

    Raises
    ------
    UsageError
        With code ``needs_pyongc`` when the catalogue is not installed.
    FieldRefused
        When the catalogue cannot be read.
    """
    path = catalogue_path()
    flow, delta = reconstruct(fill_plane(select(*read_catalogue(path))))
    cells = np.empty((NODES, NODES, NODES, 4), np.float32)
    cells[..., :3] = VELOCITY_FACTOR * flow + np.array(EXTERNAL_KMS)
    # The transform rings by some 1e-3 below an empty cell.
    cells[..., 3] = np.maximum(1.0 + delta, 0.0)
    return _manifest(path), cells, None


def catalogue_path() -> Path:
    """Return the path of OpenNGC's SQLite file in the installed pyongc, without importing its code.

    Raises
    ------
    UsageError
        With code ``needs_pyongc`` when the package or its data file is not there.
    """
    spec = importlib.util.find_spec("pyongc")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "ongc.db"
        if path.is_file():
            return path
    raise UsageError("the field ongc-linear is built from the OpenNGC catalogue, and pyongc is not installed; "
                     "pip install 'cosmicflows[ongc]', or open_field('mould2000'), which needs no catalogue",
                     code="needs_pyongc", where="field")


def read_catalogue(path: Path) -> tuple[F64, F64, F64]:
    """Read the galaxies with redshift and K magnitude.

    Parameters
    ----------
    path : Path
        OpenNGC's SQLite file.

    Returns
    -------
    n_galactic : ndarray, shape (n, 3)
        Unit vectors, galactic axes.
    z_helio : ndarray, shape (n,)
    k_mag : ndarray, shape (n,)

    Raises
    ------
    FieldRefused
        When the file is not OpenNGC's database or holds no such galaxy.
    """
    # `redshift`, never `radvel`: that column is the relativistic velocity, 135 km/s short of cz at z = 0.03.
    # The order makes the sums, and so the bytes of the field, independent of how the file was written.
    query = ("SELECT ra, dec, redshift, kmag FROM objects WHERE type = 'G' AND ra IS NOT NULL AND dec IS NOT NULL "
             "AND redshift IS NOT NULL AND kmag IS NOT NULL ORDER BY name")
    try:
        # immutable: the file may lie in a read-only directory, where SQLite could not make its lock files.
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            rows = np.array(connection.execute(query).fetchall(), dtype=float).reshape(-1, 4)
        finally:
            connection.close()
    except (sqlite3.Error, ValueError, TypeError) as exc:
        raise FieldRefused(f"{path.name} cannot be read as the OpenNGC database ({exc}); reinstall pyongc") from exc
    if len(rows) == 0:
        raise FieldRefused(f"{path.name} holds no galaxy with redshift and K magnitude; reinstall pyongc")
    n_icrs = frames.unit_vectors(np.rad2deg(rows[:, 0]), np.rad2deg(rows[:, 1]))
    return frames.rotate(n_icrs, "icrs", "galactic"), rows[:, 2], rows[:, 3]


def select(n_galactic: F64, z_helio: F64, k_mag: F64) -> Galaxies:
    """Keep the galaxies with K <= 10.5 that recede from the Local Group, and give them Local Sheet velocities.

    Parameters
    ----------
    n_galactic : ndarray, shape (n, 3)
    z_helio : ndarray, shape (n,)
    k_mag : ndarray, shape (n,)

    Returns
    -------
    Galaxies
    """
    recedes = frames.convert_z(z_helio, n_galactic, "hel", "lg") > 0.0
    keep = recedes & (k_mag <= K_LIMIT)
    v_ls = C_KMS * frames.convert_z(z_helio, n_galactic, "hel", "ls")
    return Galaxies(n_galactic[keep], v_ls[keep], k_mag[keep])


def fill_plane(galaxies: Galaxies) -> Galaxies:
    """Replace the galaxies at |b| < 8 deg by mirror images of those at 8-16 deg on the same side.

    Behind the Milky Way the catalogue is nearly empty; left so, the plane would act as a void and push. A strip is
    reflected at its inner edge: |b| becomes 16 deg - |b|.

    Parameters
    ----------
    galaxies : Galaxies

    Returns
    -------
    Galaxies
    """
    lon, lat = frames.lon_lat(galaxies.n_galactic)
    strip = (np.abs(lat) >= PLANE_DEG) & (np.abs(lat) < 2.0 * PLANE_DEG)
    mirrored = frames.unit_vectors(lon[strip], np.sign(lat[strip]) * 2.0 * PLANE_DEG - lat[strip])
    outside = np.abs(lat) >= PLANE_DEG
    return Galaxies(np.concatenate([galaxies.n_galactic[outside], mirrored]),
                    np.concatenate([galaxies.v_ls[outside], galaxies.v_ls[strip]]),
                    np.concatenate([galaxies.k_mag[outside], galaxies.k_mag[strip]]))


def light_weights(d_hmpc: F64, k_mag: F64) -> F64:
    """Weigh galaxies by their K light, ``10^(-0.4 (M_K + 23.25))``, at most 3.

    Uncapped, a few brightest ellipticals would carry the field.

    Parameters
    ----------
    d_hmpc : ndarray, shape (n,), h^-1 Mpc
    k_mag : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        Weights in units of a galaxy with M_K - 5 log10 h = -23.25.
    """
    absolute = k_mag - 5.0 * np.log10(d_hmpc) - 25.0
    return np.minimum(10.0 ** (-0.4 * (absolute - M_K_REFERENCE)), WEIGHT_CAP)


def flatten_weights(d_hmpc: F64, weights: F64) -> F64:
    """Divide weights by the mean weighted density at their distance.

    The density in shells of 1 h^-1 Mpc is smoothed by a Gaussian of 12 h^-1 Mpc, numerator (light) and denominator
    (volume) apart: the few galaxies of the small inner shells then count as little as they should. This carries the
    flux limit out of the density, so that no shell is denser than another on the mean.

    Parameters
    ----------
    d_hmpc : ndarray, shape (n,), h^-1 Mpc
        Below `RADIUS_HMPC`.
    weights : ndarray, shape (n,)

    Returns
    -------
    ndarray, shape (n,), (h^-1 Mpc)^3
        Volume each galaxy stands for: their sum per volume is 1 + delta.
    """
    edges = np.arange(RADIUS_HMPC + 1.0)
    middle = 0.5 * (edges[1:] + edges[:-1])
    light = np.histogram(d_hmpc, edges, weights=weights)[0]
    volume = 4.0 / 3.0 * np.pi * np.diff(edges ** 3)
    kernel = np.exp(-0.5 * ((middle[:, None] - middle) / SELECTION_SMOOTHING_HMPC) ** 2)
    # Sums, not a BLAS product: its order, and so the last bit, would depend on the number of threads.
    density = (kernel * light).sum(axis=1) / (kernel * volume).sum(axis=1)
    return weights / np.interp(d_hmpc, middle, density)


def density_contrast(xyz_hmpc: F64, volumes: F64) -> F64:
    """Count weighted galaxies in the cells about the nodes.

    Parameters
    ----------
    xyz_hmpc : ndarray, shape (n, 3), comoving h^-1 Mpc
        Supergalactic positions.
    volumes : ndarray, shape (n,), (h^-1 Mpc)^3
        Weights as `flatten_weights` gives them.

    Returns
    -------
    delta : ndarray, shape (64, 64, 64)
        Unsmoothed contrast at the nodes; zero beyond 90 h^-1 Mpc, where we claim nothing.
    """
    cell = np.floor((xyz_hmpc - ORIGIN_HMPC) / SPACING_HMPC + 0.5).astype(np.intp)
    inside = np.all((cell >= 0) & (cell < NODES), axis=1)
    flat = np.ravel_multi_index(tuple(cell[inside].T), (NODES,) * 3)
    density = np.bincount(flat, weights=volumes[inside], minlength=NODES ** 3) / SPACING_HMPC ** 3
    axis2 = (ORIGIN_HMPC + SPACING_HMPC * np.arange(NODES)) ** 2
    r2 = axis2[:, None, None] + axis2[:, None] + axis2
    return np.where(r2 < RADIUS_HMPC ** 2, density.reshape((NODES,) * 3) - 1.0, 0.0)


def waves() -> Waves:
    """Return wavenumbers (h Mpc^-1) and the 5 h^-1 Mpc Gaussian of the padded lattice, in rfftn layout."""
    full = 2.0 * np.pi * np.fft.fftfreq(PADDED, SPACING_HMPC)
    half = 2.0 * np.pi * np.fft.rfftfreq(PADDED, SPACING_HMPC)
    kx, ky, kz = full[:, None, None], full[:, None], half
    k_squared = kx ** 2 + ky ** 2 + kz ** 2
    return Waves(kx, ky, kz, k_squared, np.exp(-0.5 * k_squared * SMOOTHING_HMPC ** 2))


def potential_flow(delta: F64, w: Waves) -> F64:
    """Turn a density contrast, smoothed by 5 h^-1 Mpc, into the flow it causes in linear theory.

    ``v_k = 100 beta i k delta_k / k^2`` (Peebles 1980, section 14; lengths in h^-1 Mpc, so H = 100), for beta = 1.

    Parameters
    ----------
    delta : ndarray, shape (64, 64, 64)
        Unsmoothed contrast at the nodes.
    w : Waves

    Returns
    -------
    ndarray, shape (64, 64, 64, 3), km/s
        Velocity for beta = 1, supergalactic axes.
    """
    # The mean (k = 0) moves nothing: the infinite k^2 puts its velocity to zero.
    source = 100j * _transform(delta) * w.smoothing / np.where(w.k_squared > 0.0, w.k_squared, np.inf)
    return np.stack([_lattice(source * k) for k in (w.kx, w.ky, w.kz)], axis=-1)


def smoothed_contrast(delta: F64, w: Waves) -> F64:
    """Smooth a density contrast, shape (64, 64, 64), by the Gaussian of 5 h^-1 Mpc."""
    return _lattice(_transform(delta) * w.smoothing)


def reconstruct(galaxies: Galaxies) -> tuple[F64, F64]:
    """Iterate distances and flow until they agree.

    Six times, each distance goes half way to ``(v_LS - v_r + v_r(0)) / 100``, with v_r the radial flow at the galaxy
    and v_r(0) that of the observer on the same line of sight, both with beta = 0.4; a galaxy beyond the lattice keeps
    its own velocity. The half steps keep the triple-valued sightlines around Virgo from flipping.

    Parameters
    ----------
    galaxies : Galaxies
        With the galactic plane filled.

    Returns
    -------
    flow : ndarray, shape (64, 64, 64, 3), km/s
        For beta = 1, supergalactic axes.
    delta : ndarray, shape (64, 64, 64)
        Smoothed contrast of the weighted light.
    """
    n = frames.rotate(galaxies.n_galactic, "galactic", "supergalactic")
    w = waves()
    d = np.maximum(galaxies.v_ls / 100.0, MIN_HMPC)
    for _ in range(ITERATIONS):
        flow = potential_flow(_contrast_of(n, d, galaxies.k_mag), w)
        v_rad = BETA_ITERATION * _radial_flow_from_observer(flow, n, d)
        d = np.maximum(d + 0.5 * ((galaxies.v_ls - v_rad) / 100.0 - d), MIN_HMPC)
    delta = _contrast_of(n, d, galaxies.k_mag)
    return potential_flow(delta, w), smoothed_contrast(delta, w)


def _contrast_of(n: F64, d: F64, k_mag: F64) -> F64:
    near = d < RADIUS_HMPC
    volumes = flatten_weights(d[near], light_weights(d[near], k_mag[near]))
    return density_contrast(n[near] * d[near, None], volumes)


def _radial_flow_from_observer(flow: F64, n: F64, d: F64) -> F64:
    points = np.concatenate([np.zeros((1, 3)), n * d[:, None]])
    v, inside = reference.trilinear(flow, (ORIGIN_HMPC,) * 3, (SPACING_HMPC,) * 3, points)
    return np.where(inside[1:], ((v[1:] - v[0]) * n).sum(axis=1), 0.0)


def _transform(values: F64) -> C128:
    """Transform node values, axis by axis so that rows of padding are never transformed (half of the time)."""
    rows = np.fft.rfft(values, PADDED, axis=2)
    return np.fft.fft(np.fft.fft(rows, PADDED, axis=1), PADDED, axis=0)


def _lattice(values_k: C128) -> F64:
    """Transform back and drop the padding of each axis as soon as it is done."""
    planes = np.fft.ifft(values_k, axis=0)[:NODES]
    return np.fft.irfft(np.fft.ifft(planes, axis=1)[:, :NODES], PADDED, axis=2)[..., :NODES]


def _manifest(path: Path) -> Manifest:
    return Manifest(
        id=ID, version=VERSION, title="Linear theory from OpenNGC galaxies", shape=(NODES,) * 3,
        origin_hmpc=(ORIGIN_HMPC,) * 3, spacing_hmpc=(SPACING_HMPC,) * 3, sky_frame="supergalactic",
        added=f"by us: constant external flow {EXTERNAL_KMS} km/s, supergalactic axes",
        sigma_v=SIGMA_V_KMS, trusted_hmpc=TRUSTED_HMPC, citation=CITATION, licence=LICENCE,
        sources=(sources.describe(path),), notes=NOTES)

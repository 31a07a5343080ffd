"""The public field products as data: one record says how its files are laid out, and `build` follows the record.

A convention that is code cannot be read by the user who must check it; here it is a table, and what had to be assumed
is written into the manifest. Whether the result makes sense is the business of `verify`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import packing
from .conventions import check_overrides, density_of, lattice_of
from .errors import BadParameter, FieldRefused, UnknownName, UsageError
from .fieldfile import F32
from .frames import sky_frame
from .manifest import Manifest, Source
from .sources import describe, read_array

ROLES: tuple[str, ...] = ("velocity", "density", "sigma")
@dataclass(frozen=True)
class ProductFile:
    """Name one published file, its part in the field and, when known, its digest and size."""

    role: str
    name: str
    sha256: str | None = None
    bytes: int | None = None
    required: bool = True


@dataclass(frozen=True)
class Product:
    """Say how the files of one public product become a field.

    `shape` None takes the cube from the file; `box_hmpc` is the side in comoving h^-1 Mpc; velocities and errors are
    multiplied by `unit_factor` to give km/s; `density` "ask" reads the convention off the values. `allows` names
    the overrides a user may give. The last four are what `verify` expects: the least correlation of div v with
    -delta, the range of its slope over 100 km/s/(h^-1 Mpc) (the growth rate f), v(0) in km/s, and whether the
    landmarks must be found.
    """

    id: str
    title: str
    citation: str
    files: tuple[ProductFile, ...] = ()
    version: str = "1"
    aliases: tuple[str, ...] = ()
    shape: tuple[int, int, int] | None = None
    box_hmpc: float | None = None
    box_mpc: float | None = None
    lattice: str = "centre"
    sky_frame: str = "supergalactic"
    unit_factor: float = 1.0
    density: str = "delta"
    h_source: float | None = None
    sigma_v: float = 200.0
    trusted_hmpc: float | None = None
    licence: str = "not stated by the authors; do not redistribute the files without asking them"
    home: str = ""
    added: str = "nothing"
    fetch_base: str | None = None
    notes: tuple[str, ...] = ()
    allows: tuple[str, ...] = ("id", "sigma_v", "trusted")
    nan_is_mask: bool = False
    divergence_min: float = 0.5
    growth_range: tuple[float, float] | None = None
    v_origin: tuple[float, float, float] | None = None
    landmarks_required: bool = False

    @property
    def fetchable(self) -> bool:
        """Whether every file has a known digest, so that a download can be checked."""
        return self.fetch_base is not None and all(f.sha256 for f in self.files)


_COURTOIS = "Courtois H. M. et al. 2023, A&A 670, L15, doi:10.1051/0004-6361/202245331"
_IP2I = "https://projets.ip2i.in2p3.fr/cosmicflows"


def _cf4(key: str, stem: str, n: int, title: str, aliases: tuple[str, ...],
         known: tuple[tuple[str | None, int | None], ...] = ((None, None),) * 3,
         v_origin: tuple[float, float, float] | None = None) -> Product:
    names = (("velocity", "velocity"), ("density", "delta"), ("sigma", "velocity_cube_error"))
    files = tuple(ProductFile(role, f"{stem}_{word}.fits", sha, size, required=role != "sigma")
                  for (role, word), (sha, size) in zip(names, known))
    return Product(
        id=key, title=title, citation=_COURTOIS, files=files, aliases=aliases, shape=(n, n, n), box_hmpc=1000.0,
        unit_factor=52.0, h_source=0.746, trusted_hmpc=200.0, home=_IP2I, fetch_base=_IP2I,
        notes=("stored velocities and errors are in units of 52 km/s (the authors' page)",
               "trusted to 200 h^-1 Mpc: the authors' error cube climbs from 24 km/s near us to 135 km/s at 150-200 "
               "and is flat beyond, where the data no longer constrain the flow"),
        divergence_min=0.95, growth_range=(0.3, 0.7), v_origin=v_origin, landmarks_required=v_origin is not None)


_RECORDS = (
    _cf4("cf4gp", "CF4gp_new_64-z008", 64, "Cosmicflows-4, grouped, 64 cubed", ("cf4-grouped", "courtois2023"), (
        ("f51e2687fb4cb25ef3dbbacb9209f105daca7e516faf0f76c7ffb63804c88c5f", 3150720),
        ("fe954d85dd21a4f99bd0157fb9f06c3329aa5940f6446d6a07e2d42de0b573f8", 1054080),
        ("7a5594d6abf3ae6bde16dd45df41fcff039202480fbe34d772b382fc20869239", 2102400)),
        v_origin=(-381.0, 257.0, -200.0)),
    _cf4("cf4", "CF4_new_64-z008", 64, "Cosmicflows-4, ungrouped, 64 cubed", ("cf4-64", "cf4-ungrouped")),
    _cf4("cf4-128", "CF4_new_128-z008", 128, "Cosmicflows-4, ungrouped, 128 cubed", ()),
    Product(
        id="2mpp", title="2M++ linear reconstruction", aliases=("2m++", "carrick2015"),
        citation="Carrick J. et al. 2015, MNRAS 450, 317, doi:10.1093/mnras/stv547",
        files=(ProductFile("velocity", "twompp_velocity.npy"), ProductFile("density", "twompp_density.npy")),
        shape=(257, 257, 257), box_hmpc=400.0, lattice="faces", sky_frame="galactic", trusted_hmpc=125.0,
        home="https://cosmicflows.iap.fr/download.html",
        added="by the authors: external dipole V_ext = (89, -131, 17) km/s, galactic axes",
        notes=("beta* = 0.43 and the external dipole V_ext = (89, -131, 17) km/s, galactic axes, are already inside",
               "trusted to 125 h^-1 Mpc: beyond, the part of the sky with 2MRS redshifts only has no data "
               "(Carrick+ 2015)"),
        divergence_min=0.85),
    Product(
        id="cf3-57runs", title="Cosmicflows-3 forward model, 57 runs", aliases=("57runs", "cf3", "graziani2019"),
        citation="Graziani R. et al. 2019, MNRAS 488, 5438, doi:10.1093/mnras/stz078",
        files=(ProductFile("velocity", "vfield_57Runs.npy"),
               ProductFile("density", "dField_57Runs.npy", required=False)),
        box_mpc=800.0, h_source=0.75, density="ask", trusted_hmpc=150.0,
        home="the files of a CosmicFlows server, or their authors",
        notes=("trusted to 150 h^-1 Mpc, the depth of the grouped Cosmicflows-3 distances",),
        allows=("id", "sigma_v", "trusted", "box", "h", "density", "sky_frame"), divergence_min=0.85),
    Product(
        id="generic", title="arrays with stated conventions", citation="", density="stated", licence="",
        allows=("id", "sigma_v", "trusted", "box", "lattice", "origin", "spacing", "h", "density", "sky_frame",
                "unit", "citation", "licence", "title", "version"), nan_is_mask=True),
)
PRODUCTS: dict[str, Product] = {p.id: p for p in _RECORDS}
EMBEDDED: dict[str, str] = {"ongc-linear": "ongc_linear", "mould2000": "mould2000"}
"""Fields we build ourselves, and the module of each, with ``build_field() -> (manifest, cells, sigma)``."""
ALIASES: dict[str, str] = {alias: p.id for p in _RECORDS for alias in p.aliases}


def product(name: str) -> Product:
    """Return a product by key or alias.

    Raises
    ------
    UnknownName
        When there is none of that name.
    """
    key = str(name).strip().lower()
    found = PRODUCTS.get(ALIASES.get(key, key))
    if found is None:
        raise UnknownName(f"product {name!r:.80} is not known; use one of {', '.join(PRODUCTS)}",
                          code="unknown_product", where="product", extra={"known": list(PRODUCTS)})
    return found


def build(record: Product | str, files: Mapping[str, Path], **overrides: object) -> tuple[Manifest, F32, F32 | None]:
    """Turn the files of a product into a field.

    Parameters
    ----------
    record : Product or str
    files : mapping of role to Path
        Roles ``velocity``, ``density``, ``sigma``. Velocity (3, nx, ny, nz), or (R, 3, nx, ny, nz) for R
        realisations; density (nx, ny, nz) or (R, nx, ny, nz); sigma (nx, ny, nz).
    **overrides
        id, version, title, citation, licence (text); sigma_v, km/s; trusted, box, origin, spacing, comoving
        h^-1 Mpc; lattice and density (words of `conventions`); h; sky_frame; unit, the factor to km/s. Each product
        takes those its record allows; ``generic`` takes all and guesses none.

    Returns
    -------
    manifest : Manifest
    cells : ndarray of float32, shape (nx, ny, nz, 4) or (nx, ny, nz, 4, padded R)
    sigma : ndarray of float32, shape (nx, ny, nz), km/s, or None

    Raises
    ------
    FieldRefused
        When a file is not what the record says; a file that also differs from the published one is said to.
    BadParameter
        When an override is not allowed, malformed or missing.
    """
    record = product(record) if isinstance(record, str) else record
    given = {k: v for k, v in overrides.items() if v is not None}
    check_overrides(record, given)
    name = given.get("id", record.id)
    if name != record.id and (name in PRODUCTS or name in EMBEDDED or name in ALIASES):
        raise BadParameter(f"id {name!r} is the name of another field; choose one of your own with --id", where="id")
    missing = [f.name for f in record.files if f.required and f.role not in files]
    if missing or "velocity" not in files:
        raise UsageError(f"{record.id} also needs {', '.join(missing) or 'a velocity file'}; give all its files or "
                         "their directory", code="file_missing")
    arrays, found = {}, {}
    for role in ROLES:
        if role in files:
            known = next((f for f in record.files if f.role == role), None)
            found[role] = _check_size(describe(files[role]), known)
            try:
                arrays[role], _ = read_array(files[role], found[role])
            except FieldRefused as exc:
                raise _with_digest(exc, found[role], known) from exc
    realisations, shape = packing.layout(arrays, record.shape, record.id)
    origin, spacing, assumed = lattice_of(record, shape, given)
    density, assumed_density = density_of(record, arrays.get("density"), given)
    unit = float(given.get("unit", record.unit_factor))
    try:
        cells, sigma, masked = packing.pack(arrays, realisations, unit, density, record.nan_is_mask)
    except FieldRefused as exc:
        for f in record.files:
            if f.role in found:
                exc = _with_digest(exc, found[f.role], f)
        raise exc from None
    h = given.get("h", record.h_source)
    text = {k: str(given.get(k, getattr(record, k))) for k in ("id", "version", "title", "citation", "licence")}
    manifest = Manifest(
        **text, shape=shape, realisations=realisations, origin_hmpc=origin, spacing_hmpc=spacing,
        sky_frame=sky_frame(str(given.get("sky_frame", record.sky_frame))), h_source=None if h is None else float(h),
        unit_factor=unit, sigma_v=float(given.get("sigma_v", record.sigma_v)),
        trusted_hmpc=float(given["trusted"]) if "trusted" in given else record.trusted_hmpc, masked_cells=masked,
        has_density="density" in arrays, added=record.added, sources=tuple(found[role] for role in ROLES if role in found),
        notes=record.notes + assumed + assumed_density, product=record.id)
    return manifest, cells, sigma


def digest_fault(source: Source, known: ProductFile | None) -> str | None:
    """Say how a file differs from the published one; None when it does not, or nothing is known."""
    if known is None or known.sha256 is None or known.sha256 == source.sha256:
        return None
    return (f"the content of {source.name} differs from the published file {known.name} (sha256 "
            f"{source.sha256[:16]}... instead of {known.sha256[:16]}...); get it again, or add "
            "your own version with --product generic")


def _with_digest(exc: FieldRefused, source: Source, known: ProductFile | None) -> FieldRefused:
    fault = digest_fault(source, known)
    return exc if fault is None else FieldRefused(f"{exc.message}; {fault}", code=exc.code, where=exc.where)


def _check_size(source: Source, known: ProductFile | None) -> Source:
    if known is not None and known.bytes is not None and source.bytes != known.bytes:
        raise FieldRefused(f"{source.name} holds {source.bytes} bytes where the published file {known.name} has "
                           f"{known.bytes} ({source.bytes - known.bytes:+d}); get it again", code="file_size")
    return source

"""The compiled face: points, sightlines and posteriors on a trilinear lattice. Checks live in the callers.

Memory order: a node holds its values together, ``[vx, vy, vz, 1+delta]`` and, in an ensemble, ``[component, k]`` with
the realisation k innermost and padded to a multiple of 16. So the eight corners of a cell are eight short runs, one
cache line or two each. The loops come in copies, one per instruction set (`_hot.c`), and once more in plain Cython
(`_pure.pxi`); `LEVELS` names those this machine can run and `use` chooses. All give the same answers; those from
`_hot.c` to the last bit. What is done once per object stands in
`_rows.pxi`, `_roots.pxi` and `_flow.pxi`.
"""

from libc.math cimport NAN, fabs, sqrt
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset, strcmp

import numpy as np

cdef extern from "_hot.h" nogil:
    double C_KMS "CF_C_KMS"
    double FACE "CF_FACE"
    double CUT "CF_CUT"
    int OVERHANG "CF_OVERHANG"
    enum:
        PAD_MAX "CF_PAD_MAX"

    ctypedef struct cf_lattice:
        const float* cells
        const float* sigma
        Py_ssize_t nx, ny, nz, R, pad
        double[3] origin
        double[3] inverse

    ctypedef struct cf_line:
        cf_lattice g
        Py_ssize_t m
        double dr
        const double* zb
        const double* inv_e
        const double* mu
        const double* trap
        const double* prior
        int density
        double alpha
        int use_sigma
        const float* v0

    ctypedef struct cf_sight:
        double[3] n
        double z_obs, s2
        Py_ssize_t lo, hi, in_lo, in_hi
        double* x
        double* d2
        double* p
        double* sig
        float* values
        float* v_rad
        float* corner
        double* norm

    enum:
        AREA "CF_AREA"
        R1 "CF_R1"
        R2 "CF_R2"
        Z1 "CF_Z1"
        Z2 "CF_Z2"
        MU1 "CF_MU1"
        MU2 "CF_MU2"
        VX "CF_VX"
        VY "CF_VY"
        VZ "CF_VZ"
        DELTA "CF_DELTA"
        VR2 "CF_VR2"
        PMAX "CF_PMAX"
        PAT "CF_PAT"
        PEMAX "CF_PEMAX"
        PEAT "CF_PEAT"
        FLIPS "CF_FLIPS"
        FLIP_AT "CF_FLIP_AT"
        N_SUMS "CF_N_SUMS"

    ctypedef struct cf_level:
        const char* name
        void (*points)(const cf_lattice*, const double*, Py_ssize_t, int, double, double*, uint8_t*) noexcept nogil
        void (*points_all)(const cf_lattice*, const double*, Py_ssize_t, float*, double*, uint8_t*) noexcept nogil
        void (*along)(const cf_lattice*, const double*, const double*, Py_ssize_t, float*, double*, double*,
                      uint8_t*) noexcept nogil
        double (*deviations)(const cf_line*, cf_sight*) noexcept nogil
        void (*normalise)(const cf_line*, cf_sight*) noexcept nogil
        void (*moments)(const cf_line*, cf_sight*, Py_ssize_t, Py_ssize_t, double, Py_ssize_t, double*) noexcept nogil

    int cf_levels(const cf_level** table)
    double cf_exp(double x)
    double cf_log(double x)
    void cf_sincos_deg(double degrees, double* sine, double* cosine)

include "_pure.pxi"
include "_roots.pxi"
include "_rows.pxi"

cdef cf_level pure
pure.name = "pure"
pure.points, pure.points_all, pure.along = pure_points, pure_points_all, pure_along
pure.deviations, pure.normalise, pure.moments = pure_deviations, pure_normalise, pure_moments

cdef const cf_level* compiled = NULL
cdef int n_compiled = cf_levels(&compiled)
cdef const cf_level* active = &pure
if n_compiled:
    active = &compiled[n_compiled - 1]

TABLE_OVERHANG = OVERHANG
LEVELS = ("pure",) + tuple([compiled[i].name.decode() for i in range(n_compiled)])


def use(str level):
    """Choose the copy of the loops that runs from now on, in the whole process; return the one that ran before."""
    global active
    before = active.name.decode()
    name = level.encode()
    if name == b"pure":
        active = &pure
        return before
    for i in range(n_compiled):
        if strcmp(compiled[i].name, <const char*>name) == 0:
            active = &compiled[i]
            return before
    raise ValueError(f"this machine runs {', '.join(LEVELS)}, not {level}")


cdef class Lattice:
    """Hold the arrays of one field as the loops want them."""

    cdef cf_lattice g
    cdef object kept

    def __init__(self, const float[:, :, :, :, ::1] cells, const float[:, :, ::1] sigma, Py_ssize_t realisations,
                 const double[::1] origin, const double[::1] spacing):
        cdef int a
        if not (cells.shape[4] == 1 or cells.shape[4] % 16 == 0) or cells.shape[4] > PAD_MAX:
            raise ValueError("realisations are stored padded to a multiple of 16, at most 1024")
        if cells.shape[0] * cells.shape[1] * cells.shape[2] >= 2**31:
            raise ValueError("a lattice has fewer than 2^31 nodes")
        self.kept = (cells, sigma)
        self.g.cells = &cells[0, 0, 0, 0, 0]
        self.g.sigma = NULL
        if sigma is not None:
            self.g.sigma = &sigma[0, 0, 0]
        self.g.nx, self.g.ny, self.g.nz = cells.shape[0], cells.shape[1], cells.shape[2]
        self.g.pad, self.g.R = cells.shape[4], realisations
        for a in range(3):
            self.g.origin[a], self.g.inverse[a] = origin[a], 1.0 / spacing[a]

    def points(self, const double[:, ::1] xyz, double[:, ::1] out, uint8_t[::1] inside, double outside,
               Py_ssize_t begin, Py_ssize_t end):
        """Mean field at points begin..end-1 into out, shape (n, 3) or (n, 4); `outside` where there is no field."""
        if end > begin:
            with nogil:
                active.points(&self.g, &xyz[begin, 0], end - begin, out.shape[1], outside, &out[begin, 0],
                              NULL if inside is None else &inside[begin])

    def points_all(self, const double[:, ::1] xyz, double[:, :, ::1] out, uint8_t[::1] inside, Py_ssize_t begin,
                   Py_ssize_t end):
        """Every realisation at points begin..end-1 into out, shape (n, 4, R); 0 outside."""
        cdef float* row
        if end > begin:
            row = <float*>malloc(4 * self.g.pad * sizeof(float))
            if row == NULL:
                raise MemoryError()
            with nogil:
                active.points_all(&self.g, &xyz[begin, 0], end - begin, row, &out[begin, 0, 0], &inside[begin])
            free(row)

    def sigmas(self, const double[:, ::1] xyz, double[::1] out, Py_ssize_t begin, Py_ssize_t end):
        """Velocity error of the field at points begin..end-1; 0 outside."""
        cdef Py_ssize_t q
        with nogil:
            for q in range(begin, end):
                out[q] = sigma_at(&self.g, xyz[q, 0], xyz[q, 1], xyz[q, 2])

    def along(self, const double[:, ::1] dirs, const double[::1] r, double[:, ::1] v_rad, double[:, ::1] delta,
              double[:, ::1] sigma, uint8_t[:, ::1] inside, Py_ssize_t begin, Py_ssize_t end):
        """Mean field on the lines of sight begin..end-1 at distances r; 0 outside."""
        cdef Py_ssize_t q, j
        cdef float* row
        if r.shape[0] == 0:
            return
        row = <float*>malloc(4 * self.g.pad * sizeof(float))
        if row == NULL:
            raise MemoryError()
        with nogil:
            for q in range(begin, end):
                active.along(&self.g, &dirs[q, 0], &r[0], r.shape[0], row, &v_rad[q, 0], &delta[q, 0], &inside[q, 0])
                if sigma is not None:
                    for j in range(r.shape[0]):
                        sigma[q, j] = sigma_at(&self.g, r[j] * dirs[q, 0], r[j] * dirs[q, 1], r[j] * dirs[q, 2])
        free(row)


cdef class Line:
    """Hold what every line of sight of a call shares: the grid in r and its tables, each `overhang` longer than m."""

    cdef cf_line line
    cdef object kept
    cdef readonly Py_ssize_t m
    cdef double prior_integral

    def __init__(self, Py_ssize_t m, double dr, const double[::1] zb, const double[::1] inv_e, const double[::1] mu,
                 const double[::1] trap, const double[::1] prior):
        cdef Py_ssize_t j
        if min(len(zb), len(inv_e), len(mu), len(trap), len(prior)) < m + OVERHANG:
            raise ValueError("a table is too short")
        self.kept = (zb, inv_e, mu, trap, prior)
        self.m = self.line.m = m
        self.line.dr = dr
        self.line.zb, self.line.inv_e, self.line.mu = &zb[0], &inv_e[0], &mu[0]
        self.line.trap, self.line.prior = &trap[0], &prior[0]
        self.prior_integral = 0.0
        for j in range(m):
            self.prior_integral += trap[j] * prior[j]


cdef class Question:
    """Hold the options of a call as the loops want them; made once, used for every row.

    Vectors are on the axes of the input's sky frame unless said otherwise.
    """

    cdef Lattice lattice
    cdef Line line
    cdef ask a
    cdef cf_line shared
    cdef object kept

    def __init__(self, Lattice lattice, Line line, *, bint density, double alpha, bint use_sigma, bint local,
                 double sigma_v, double sigma_max, double v_max, double v_gradient, const double[:, ::1] to_field,
                 const double[:, ::1] to_supergalactic, const double[:, ::1] suns, int source, bint additive, double h,
                 double trusted, bint has_density, const double[:, ::1] limits, double tail_limit, double nearby,
                 double inside_least, double local_sheet):
        cdef Py_ssize_t i, j, k
        cdef float[::1] v0
        cdef double* row
        self.lattice, self.line = lattice, line
        self.shared = line.line
        self.shared.g = lattice.g
        self.shared.density, self.shared.alpha, self.shared.use_sigma = density, alpha, use_sigma
        self.shared.v0 = NULL
        if local:
            v0 = np.zeros(3 * lattice.g.pad, np.float32)
            row = <double*>malloc(4 * lattice.g.pad * sizeof(double))
            if row == NULL:
                raise MemoryError()
            sample(&lattice.g, 0.0, 0.0, 0.0, row)
            for k in range(3 * lattice.g.pad):
                v0[k] = <float>row[k]
            free(row)
            self.kept = v0
            self.shared.v0 = &v0[0]
            v_max = 2.0 * v_max
        self.a.density, self.a.local, self.a.additive, self.a.has_density = density, local, additive, has_density
        self.a.sigma_v2, self.a.v_max, self.a.h, self.a.trusted = sigma_v * sigma_v, v_max, h, trusted
        self.a.v_gradient = v_gradient
        self.a.sigma_max2 = sigma_max * sigma_max if use_sigma else 0.0
        self.a.prior_integral = line.prior_integral
        self.a.tail_limit, self.a.nearby, self.a.inside_least = tail_limit, nearby, inside_least
        self.a.local_sheet, self.a.source = local_sheet, source
        for i in range(3):
            for j in range(3):
                self.a.to_field[3 * i + j], self.a.to_supergalactic[3 * i + j] = to_field[i, j], to_supergalactic[i, j]
        for i in range(N_FRAMES + 1):
            for j in range(3):
                self.a.suns[i][j] = suns[i, j]
        for i in range(4):
            self.a.limits[i][0], self.a.limits[i][1] = limits[i, 0], limits[i, 1]

    def scratch_size(self):
        """Return how many bytes of scratch `solve` needs."""
        return sight_bytes(self.line.m, self.lattice.g.pad, self.shared.density)

    def solve(self, const double[::1] lon, const double[::1] lat, const double[::1] cz, const double[::1] sigma_cz,
              double[:, ::1] values, int[::1] status, int[::1] flags, int[::1] n_roots, double[:, :, ::1] roots,
              double[:, ::1] pdf, uint8_t[::1] scratch, Py_ssize_t begin, Py_ssize_t end):
        """Answer rows begin..end-1; see `distances.solve` for meanings, shapes and units."""
        cdef cf_sight s
        cdef Py_ssize_t q
        cdef const cf_level* level = active
        if scratch.shape[0] < sight_bytes(self.line.m, self.lattice.g.pad, self.shared.density) \
                or values.shape[1] != N_VALUES or roots.shape[2] != N_ROOT:
            raise ValueError("an array is too small")
        with nogil:
            carve(&s, &scratch[0], self.line.m, self.lattice.g.pad, self.shared.density)
            for q in range(begin, end):
                answer(&self.shared, &self.a, level, &s, lon[q], lat[q], cz[q], sigma_cz[q], &values[q, 0], &status[q],
                       &flags[q], &roots[q, 0, 0], roots.shape[1], &n_roots[q], NULL if pdf is None else &pdf[q, 0])


include "_flow.pxi"


def unit_vectors(const double[::1] lon, const double[::1] lat, double[:, ::1] out):
    """Unit vectors of longitudes and latitudes in degrees, into out, shape (n, 3); the same bits on every machine."""
    cdef Py_ssize_t q
    with nogil:
        for q in range(lon.shape[0]):
            direction(lon[q], lat[q], &out[q, 0])


def bounds(const float[:, :, :, :, ::1] cells, Py_ssize_t realisations, const double[::1] spacing):
    """Return the greatest speed, km/s, and the greatest change of velocity along any direction, km/s per h^-1 Mpc.

    Between nodes a derivative along an axis is a mean of differences between neighbours along it; the root of the sum
    of the three greatest squares bounds every direction.
    """
    cdef Py_ssize_t i, j, k, q, a, pad = cells.shape[4], step, here
    cdef Py_ssize_t[3] n, stride
    cdef double[3] steepest = [0.0, 0.0, 0.0]
    cdef double fastest = 0.0, x, y, z
    cdef const float* p
    n[0], n[1], n[2] = cells.shape[0], cells.shape[1], cells.shape[2]
    stride[0], stride[1], stride[2] = 4 * pad * n[2] * n[1], 4 * pad * n[2], 4 * pad
    with nogil:
        for i in range(n[0]):
            for j in range(n[1]):
                for k in range(n[2]):
                    p = &cells[i, j, k, 0, 0]
                    for q in range(realisations):
                        x, y, z = p[q], p[pad + q], p[2 * pad + q]
                        fastest = max(fastest, x * x + y * y + z * z)
                    for a in range(3):
                        here = i if a == 0 else (j if a == 1 else k)
                        if here + 1 < n[a]:
                            step = stride[a]
                            for q in range(realisations):
                                x = <double>p[step + q] - p[q]
                                y = <double>p[step + pad + q] - p[pad + q]
                                z = <double>p[step + 2 * pad + q] - p[2 * pad + q]
                                steepest[a] = max(steepest[a], x * x + y * y + z * z)
    return sqrt(fastest), sqrt(steepest[0] / spacing[0] ** 2 + steepest[1] / spacing[1] ** 2 + steepest[2] / spacing[2] ** 2)

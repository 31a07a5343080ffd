"""The compiled loops: points, sightlines, posteriors on a trilinear lattice. Checks live in the callers.

Memory order: a node holds its values together, ``[vx, vy, vz, 1+delta]`` and, in an ensemble, ``[component, k]``
with the realisation k innermost and padded to a multiple of 16. So the eight corners of a cell are eight short runs,
one cache line or two each, whatever the number of components. Storage is float32, arithmetic float64.
"""

from libc.math cimport exp, fabs, log, sqrt

cdef double C_KMS = 299792.458
# A node coordinate computed in floating point may miss its own face by a few ulp; a billionth of a cell forgives that.
cdef double FACE = 1e-9
# Beyond this many standard deviations a Gaussian carries less than the rounding of its own integral.
cdef double WINDOW = 9.5
# ... provided the window holds a sample nearer than this to the maximum of the likelihood.
cdef double NEAR = 4.0

cdef struct Lattice:
    const float* cells
    const float* sigma
    Py_ssize_t nx, ny, nz
    Py_ssize_t R        # realisations
    Py_ssize_t pad      # realisations as stored
    double ox, oy, oz, hx, hy, hz

cdef struct Cell:
    Py_ssize_t node     # index of the lowest corner, in nodes
    double fx, fy, fz   # fractions inside the cell, 0..1


cdef Lattice lattice(const float[:, :, :, :, ::1] cells, const float[:, :, ::1] sigma,
                     Py_ssize_t realisations, const double[::1] origin, const double[::1] spacing) noexcept:
    cdef Lattice g
    g.cells = &cells[0, 0, 0, 0, 0]
    g.sigma = NULL
    if sigma is not None:
        g.sigma = &sigma[0, 0, 0]
    g.nx, g.ny, g.nz = cells.shape[0], cells.shape[1], cells.shape[2]
    g.pad = cells.shape[4]
    g.R = realisations
    g.ox, g.oy, g.oz = origin[0], origin[1], origin[2]
    g.hx, g.hy, g.hz = spacing[0], spacing[1], spacing[2]
    return g


cdef inline bint axis(double f, Py_ssize_t n, Py_ssize_t* i, double* t) noexcept nogil:
    cdef double top = <double>(n - 1)
    if not (f >= -FACE and f <= top + FACE):   # also refuses NaN
        return False
    if f < 0.0:
        f = 0.0
    elif f > top:
        f = top
    i[0] = <Py_ssize_t>f
    if i[0] > n - 2:                           # the upper face belongs to the last cell
        i[0] = n - 2
    t[0] = f - <double>i[0]
    return True


cdef inline bint locate(const Lattice* g, double x, double y, double z, Cell* c) noexcept nogil:
    cdef Py_ssize_t i, j, k
    if not axis((x - g.ox) / g.hx, g.nx, &i, &c.fx):
        return False
    if not axis((y - g.oy) / g.hy, g.ny, &j, &c.fy):
        return False
    if not axis((z - g.oz) / g.hz, g.nz, &k, &c.fz):
        return False
    c.node = (i * g.ny + j) * g.nz + k
    return True


cdef inline void weights(const Cell* c, double* w) noexcept nogil:
    # corner order (x, y, z) = 000 001 010 011 100 101 110 111
    cdef double x0 = 1.0 - c.fx, y0 = 1.0 - c.fy, z0 = 1.0 - c.fz
    w[0] = x0 * y0 * z0
    w[1] = x0 * y0 * c.fz
    w[2] = x0 * c.fy * z0
    w[3] = x0 * c.fy * c.fz
    w[4] = c.fx * y0 * z0
    w[5] = c.fx * y0 * c.fz
    w[6] = c.fx * c.fy * z0
    w[7] = c.fx * c.fy * c.fz


cdef inline void mix(const float* base, Py_ssize_t step, Py_ssize_t s1, Py_ssize_t s2, Py_ssize_t count,
                     const double* w, double* out) noexcept nogil:
    """Blend the eight corners of `count` neighbouring values: one sum in one order, so batch = single, bit for bit."""
    cdef const float* p0 = base
    cdef const float* p1 = base + step
    cdef const float* p2 = base + s1
    cdef const float* p3 = base + s1 + step
    cdef const float* p4 = base + s2
    cdef const float* p5 = base + s2 + step
    cdef const float* p6 = base + s2 + s1
    cdef const float* p7 = base + s2 + s1 + step
    cdef Py_ssize_t m
    for m in range(count):
        out[m] = ((w[0] * p0[m] + w[1] * p1[m]) + (w[2] * p2[m] + w[3] * p3[m])) \
            + ((w[4] * p4[m] + w[5] * p5[m]) + (w[6] * p6[m] + w[7] * p7[m]))


cdef inline bint sample(const Lattice* g, double x, double y, double z, double* out, double* sigma) noexcept nogil:
    """Write the 4 x pad values at a point, and sigma; outside the lattice 0, 0, 0, 1 and sigma 0."""
    cdef Cell c
    cdef double w[8]
    cdef Py_ssize_t m, step = 4 * g.pad
    if not locate(g, x, y, z, &c):
        for m in range(3 * g.pad):
            out[m] = 0.0
        for m in range(g.pad):
            out[3 * g.pad + m] = 1.0
        sigma[0] = 0.0
        return False
    weights(&c, w)
    if g.pad == 1:
        mix(g.cells + c.node * 4, 4, 4 * g.nz, 4 * g.nz * g.ny, 4, w, out)
    else:
        mix(g.cells + c.node * step, step, step * g.nz, step * g.nz * g.ny, step, w, out)
    sigma[0] = 0.0
    if g.sigma != NULL:
        mix(g.sigma + c.node, 1, g.nz, g.nz * g.ny, 1, w, sigma)
    return True


def points(const float[:, :, :, :, ::1] cells, const float[:, :, ::1] sigma, Py_ssize_t realisations,
           const double[::1] origin, const double[::1] spacing, const double[:, ::1] xyz,
           double[:, :, ::1] out, double[::1] out_sigma, unsigned char[::1] inside, double[::1] scratch):
    """Interpolate at points; see `FlowField.sample_at` for shapes and units."""
    cdef Lattice g = lattice(cells, sigma, realisations, origin, spacing)
    cdef Py_ssize_t q, c, k
    with nogil:
        for q in range(xyz.shape[0]):
            inside[q] = sample(&g, xyz[q, 0], xyz[q, 1], xyz[q, 2], &scratch[0], &out_sigma[q])
            for c in range(4):
                for k in range(g.R):
                    out[q, c, k] = scratch[c * g.pad + k]


def sightlines(const float[:, :, :, :, ::1] cells, const float[:, :, ::1] sigma, Py_ssize_t realisations,
               const double[::1] origin, const double[::1] spacing, const double[:, ::1] dirs,
               const double[::1] r, double[:, ::1] v_rad, double[:, ::1] density,
               double[:, ::1] out_sigma, unsigned char[:, ::1] inside, double[::1] scratch):
    """Sample the mean field along lines of sight; see `FlowField.along` for shapes and units."""
    cdef Lattice g = lattice(cells, sigma, realisations, origin, spacing)
    cdef Py_ssize_t q, j
    with nogil:
        for q in range(dirs.shape[0]):
            for j in range(r.shape[0]):
                inside[q, j] = sample(&g, r[j] * dirs[q, 0], r[j] * dirs[q, 1], r[j] * dirs[q, 2],
                                      &scratch[0], &out_sigma[q, j])
                v_rad[q, j] = mean_radial(&g, &scratch[0], &dirs[q, 0])
                density[q, j] = mean_of(&g, &scratch[3 * g.pad])


cdef inline double mean_of(const Lattice* g, const double* row) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0.0
    for k in range(g.R):
        total += row[k]
    return total / <double>g.R


cdef inline double mean_radial(const Lattice* g, const double* values, const double* n) noexcept nogil:
    return mean_of(g, values) * n[0] + mean_of(g, values + g.pad) * n[1] + mean_of(g, values + 2 * g.pad) * n[2]


# ---- the posterior -------------------------------------------------------------------------------------------

cdef enum:
    FLAT = 0
    VOLUME = 1
    DENSITY = 2

# Columns of the summary, in order; `SUMMARY` below names them for Python.
cdef enum:
    EVIDENCE, MEAN, STD, MODE, P025, P16, P50, P84, P975, VH_MEAN, VH_STD, VH_MODE, MU_MEAN, MU_STD, \
        V_RAD, VX, VY, VZ, DELTA, INSIDE, TAIL, N_SUMMARY

SUMMARY = ("evidence", "mean", "std", "mode", "p2_5", "p16", "median", "p84", "p97_5", "vh_mean", "vh_std",
           "vh_mode", "mu_mean", "mu_std", "v_rad", "vx", "vy", "vz", "delta", "inside_fraction", "tail")
# Values per root, in order.
ROOT = ("r_hmpc", "cz_hubble", "v_rad", "slope", "weight")

cdef double QUANTILES[5]
QUANTILES[0], QUANTILES[1], QUANTILES[2], QUANTILES[3], QUANTILES[4] = 0.025, 0.16, 0.5, 0.84, 0.975


cdef struct Work:
    # everything one sightline needs, pointing into the caller's scratch
    double* values    # (m, 4, pad)
    double* a         # (m, R) weight x likelihood of each sample and realisation
    double* p         # (m,) posterior in r, not normalised
    double* f         # (m,) z_pred of the mean field - z_obs
    double* cum       # (m,) cumulative of p
    double* sig       # (m,)
    double* row       # (4, pad)
    double* v0        # (4, pad) values at the observer, or zero
    double* norm      # (pad,) integral of the prior
    char* inside      # (m,)


def scratch_size(Py_ssize_t m, Py_ssize_t realisations, Py_ssize_t pad):
    """Return how many doubles `posterior` needs as scratch for m grid points."""
    return m * (4 * pad + realisations + 4) + 9 * pad + m // 8 + 2


cdef Work carve(double* s, Py_ssize_t m, Py_ssize_t R, Py_ssize_t pad) noexcept nogil:
    cdef Work w
    w.values = s
    w.a = w.values + m * 4 * pad
    w.p = w.a + m * R
    w.f = w.p + m
    w.cum = w.f + m
    w.sig = w.cum + m
    w.row = w.sig + m
    w.v0 = w.row + 4 * pad
    w.norm = w.v0 + 4 * pad
    w.inside = <char*>(w.norm + pad)
    return w


cdef inline double radial(const Lattice* g, const Work* w, const double* values, Py_ssize_t k,
                          const double* n) noexcept nogil:
    cdef Py_ssize_t P = g.pad
    return (values[k] - w.v0[k]) * n[0] + (values[P + k] - w.v0[P + k]) * n[1] \
        + (values[2 * P + k] - w.v0[2 * P + k]) * n[2]


cdef double z_pred_mean(const Lattice* g, const Work* w, double* values, const double* n, double zb,
                        double* v) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0.0
    for k in range(g.R):
        total += radial(g, w, values, k, n)
    v[0] = total / <double>g.R
    return (1.0 + zb) * (1.0 + v[0] / C_KMS) - 1.0


cdef Py_ssize_t first_at_least(const double* zb, Py_ssize_t m, double z) noexcept nogil:
    cdef Py_ssize_t lo = 0, hi = m, mid
    while lo < hi:
        mid = (lo + hi) // 2
        if zb[mid] < z:
            lo = mid + 1
        else:
            hi = mid
    return lo


cdef double likelihoods(const Lattice* g, const Work* w, const double* n, const double* zb, double dr, double z_obs,
                        double s2, bint use_sigma, Py_ssize_t lo, Py_ssize_t hi, double* best) noexcept nogil:
    """Fill values, f, sig and the log-likelihoods (in a) of samples lo..hi-1; return their maximum."""
    cdef Py_ssize_t j, k
    cdef double x, v, var = s2, lnorm = 0.0, top = -1e300, dev, near = 1e300
    cdef double* values
    for j in range(lo, hi):
        values = w.values + j * 4 * g.pad
        w.inside[j] = sample(g, j * dr * n[0], j * dr * n[1], j * dr * n[2], values, &w.sig[j])
        if not w.inside[j]:
            # v = 0 out there, whatever frame the observer is given: undo the subtraction of v0 in radial()
            for k in range(3 * g.pad):
                values[k] = w.v0[k]
        w.f[j] = z_pred_mean(g, w, values, n, zb[j], &v) - z_obs
        if use_sigma:
            var = s2 + w.sig[j] * w.sig[j]
            lnorm = 0.5 * log(var / s2)
        for k in range(g.R):
            v = radial(g, w, values, k, n)
            x = C_KMS * (z_obs - ((1.0 + zb[j]) * (1.0 + v / C_KMS) - 1.0))
            dev = x * x / var
            if dev < near:
                near = dev
            x = -0.5 * dev - lnorm
            w.a[j * g.R + k] = x
            if x > top:
                top = x
    best[0] = near
    return top


cdef inline double prior(int kind, double r, double density, double alpha) noexcept nogil:
    if kind == FLAT:
        return 1.0
    if kind == VOLUME:
        return r * r
    if density < 0.01:
        density = 0.01
    if alpha == 1.0:
        return r * r * density
    return r * r * exp(alpha * log(density))


cdef inline double vertex(double x0, double x1, double x2, double y0, double y1, double y2) noexcept nogil:
    """Return the abscissa of the parabola through three points, where y1 is the greatest."""
    cdef double d0 = (y1 - y0) / (x1 - x0), d1 = (y2 - y1) / (x2 - x1)
    if d0 == d1:
        return x1
    return 0.5 * (x0 + x1) + 0.5 * (x2 - x0) * d0 / (d0 - d1)


cdef void one(const Lattice* g, const Work* w, const double* n, const double* zb, const double* efunc,
              const double* mu0, Py_ssize_t m, double dr, double z_obs, double s2, double s_max2, double v_max,
              int kind, double alpha, bint use_sigma, double* out, double* pdf, double* roots,
              Py_ssize_t max_roots, int* n_roots) noexcept nogil:
    cdef Py_ssize_t lo = 0, hi = m, j, k, R = g.R, P = g.pad, jm, jh
    cdef double bound, near, top, x, y, total, half, area, mean, vh, mu, q, target
    cdef double pj, pin
    cdef double[4] vsum
    cdef double* values
    cdef double r

    # 1. the samples that can carry weight (density prior: all, its normalisation runs over the whole sightline)
    if kind != DENSITY:
        bound = (v_max * (1.0 + zb[m - 1]) + WINDOW * sqrt(s_max2)) / C_KMS
        lo = first_at_least(zb, m, z_obs - bound) - 1
        hi = first_at_least(zb, m, z_obs + bound) + 1
        lo = 0 if lo < 0 else (m - 2 if lo > m - 2 else lo)
        hi = m if hi > m else (lo + 2 if hi < lo + 2 else hi)
    top = likelihoods(g, w, n, zb, dr, z_obs, s2, use_sigma, lo, hi, &near)
    if near > NEAR * NEAR and (lo > 0 or hi < m):
        lo, hi = 0, m
        top = likelihoods(g, w, n, zb, dr, z_obs, s2, use_sigma, lo, hi, &near)

    # 2. normalisation of the prior, per realisation where it depends on the density
    for k in range(R):
        total = 0.0
        if kind == FLAT:
            total = dr * (m - 1)
        elif kind == VOLUME:
            # trapezoid of r^2 over 0..m-1 in closed form: dr^3 (sum j^2 - (m-1)^2/2)
            x = <double>(m - 1)
            total = dr * dr * dr * (x * (x + 1.0) * (2.0 * x + 1.0) / 6.0 - 0.5 * x * x)
        else:
            for j in range(m):
                half = 0.5 if (j == 0 or j == m - 1) else 1.0
                total += half * dr * prior(kind, j * dr, w.values[j * 4 * P + 3 * P + k], alpha)
        w.norm[k] = total * <double>R

    # 3. weights, their cumulative integral, the mean quantities
    for k in range(4):
        vsum[k] = 0.0
    pin = mean = vh = 0.0
    area = mu = 0.0
    jm = jh = lo
    for j in range(lo, hi):
        r = j * dr
        values = w.values + j * 4 * P
        half = 0.5 * dr if (j == 0 or j == m - 1) else dr
        pj = 0.0
        for k in range(R):
            x = exp(w.a[j * R + k] - top) * prior(kind, r, values[3 * P + k], alpha) / w.norm[k]
            pj += x
            if w.inside[j]:
                x = x * half
                vsum[0] += x * values[k]
                vsum[1] += x * values[P + k]
                vsum[2] += x * values[2 * P + k]
                vsum[3] += x * (values[3 * P + k] - 1.0)
        w.p[j] = pj
        w.cum[j] = 0.0 if j == lo else w.cum[j - 1] + 0.5 * dr * (w.p[j - 1] + pj)
        x = half * pj
        area += x
        mean += x * r
        vh += x * zb[j]
        if w.inside[j]:
            pin += x
        mu += x * mu0[j]
        if pj > w.p[jm]:
            jm = j
        if pj / efunc[j] > w.p[jh] / efunc[jh]:
            jh = j
    mean, vh, mu = mean / area, vh / area, mu / area

    # 4. second moments about the means: no cancellation
    total = x = y = 0.0
    for j in range(lo, hi):
        half = 0.5 * dr if (j == 0 or j == m - 1) else dr
        q = half * w.p[j]
        total += q * (j * dr - mean) * (j * dr - mean)
        x += q * (zb[j] - vh) * (zb[j] - vh)
        y += q * (mu0[j] - mu) * (mu0[j] - mu)
    out[EVIDENCE] = area * exp(top) / sqrt(2.0 * 3.141592653589793 * s2)
    out[MEAN], out[STD] = mean, sqrt(total / area)
    out[VH_MEAN], out[VH_STD] = C_KMS * vh, C_KMS * sqrt(x / area)
    out[MU_MEAN], out[MU_STD] = mu, sqrt(y / area)
    out[MODE] = jm * dr
    if jm > lo and jm < hi - 1:
        out[MODE] = vertex((jm - 1) * dr, jm * dr, (jm + 1) * dr, w.p[jm - 1], w.p[jm], w.p[jm + 1])
    out[VH_MODE] = C_KMS * zb[jh]
    if jh > lo and jh < hi - 1:
        out[VH_MODE] = C_KMS * vertex(zb[jh - 1], zb[jh], zb[jh + 1], w.p[jh - 1] / efunc[jh - 1],
                                      w.p[jh] / efunc[jh], w.p[jh + 1] / efunc[jh + 1])
    out[VX], out[VY], out[VZ] = vsum[0] / area, vsum[1] / area, vsum[2] / area
    out[V_RAD] = out[VX] * n[0] + out[VY] * n[1] + out[VZ] * n[2]
    out[DELTA] = vsum[3] / area
    out[INSIDE] = pin / area
    out[TAIL] = w.p[m - 1] / w.p[jm] if hi == m else 0.0

    # 5. quantiles, linear inside a step
    j = lo
    for k in range(5):
        target = QUANTILES[k] * w.cum[hi - 1]
        while j < hi - 2 and w.cum[j + 1] < target:
            j += 1
        x = w.cum[j + 1] - w.cum[j]
        out[P025 + k] = dr * (j + ((target - w.cum[j]) / x if x > 0.0 else 0.0))

    if pdf != NULL:
        for j in range(m):
            pdf[j] = w.p[j] / w.cum[hi - 1] if lo <= j < hi else 0.0

    find_roots(g, w, n, zb, lo, hi, dr, z_obs, roots, max_roots, n_roots)


cdef double refine(const Lattice* g, const Work* w, const double* n, const double* zb, Py_ssize_t j, double dr,
                   double z_obs, double ta, double fa, double tb, double fb, double* v) noexcept nogil:
    """Return the root between ta and tb, in steps after sample j, by the Illinois rule; zb is linear there to 1e-9."""
    cdef double t = 0.0, ft, sig
    cdef int side = 0, turn
    for turn in range(60):
        t = (fa * tb - fb * ta) / (fa - fb)
        sample(g, (j + t) * dr * n[0], (j + t) * dr * n[1], (j + t) * dr * n[2], w.row, &sig)
        ft = z_pred_mean(g, w, w.row, n, zb[j] + t * (zb[j + 1] - zb[j]), v) - z_obs
        if fabs(ft) < 1e-14 or tb - ta < 1e-12:
            break
        if ft * fb > 0.0:
            tb, fb = t, ft
            if side == -1:
                fa *= 0.5
            side = -1
        else:
            ta, fa = t, ft
            if side == 1:
                fb *= 0.5
            side = 1
    return (j + t) * dr


cdef double face(const Lattice* g, const Work* w, const double* n, const double* zb, Py_ssize_t j, double dr,
                 double z_obs, double* f) noexcept nogil:
    """Return the last point inside between samples j and j+1, one of which is outside, in steps after j, and f there."""
    cdef double within = 0.0 if w.inside[j] else 1.0, beyond = 1.0 - within, t, sig, v
    cdef int turn
    for turn in range(50):
        t = 0.5 * (within + beyond)
        if sample(g, (j + t) * dr * n[0], (j + t) * dr * n[1], (j + t) * dr * n[2], w.row, &sig):
            within = t
        else:
            beyond = t
    sample(g, (j + within) * dr * n[0], (j + within) * dr * n[1], (j + within) * dr * n[2], w.row, &sig)
    f[0] = z_pred_mean(g, w, w.row, n, zb[j] + within * (zb[j + 1] - zb[j]), &v) - z_obs
    return within


cdef double turning(const Work* w, Py_ssize_t s, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Return the cumulative at the extremum of z_pred nearest to sample s, found by a parabola."""
    cdef double t = 0.0, a, b
    if lo < s < hi - 1 and w.inside[s - 1] and w.inside[s + 1]:
        a, b = w.f[s - 1] - w.f[s], w.f[s + 1] - w.f[s]
        if a + b != 0.0:
            t = 0.5 * (a - b) / (a + b)
            t = -1.0 if t < -1.0 else (1.0 if t > 1.0 else t)
    if t < 0.0:
        s, t = s - 1, t + 1.0
    return w.cum[s] if s >= hi - 1 else w.cum[s] + t * (w.cum[s + 1] - w.cum[s])


cdef void find_roots(const Lattice* g, const Work* w, const double* n, const double* zb, Py_ssize_t lo,
                     Py_ssize_t hi, double dr, double z_obs, double* roots, Py_ssize_t max_roots,
                     int* n_roots) noexcept nogil:
    """Find every r with z_pred = z_obs inside the lattice; a branch ends at the extremum between two roots."""
    cdef Py_ssize_t j, last = lo, split = lo
    cdef int count = 0
    cdef double deepest = 0.0, before = 0.0, here, v = 0.0, r, ta, tb, fa, fb
    cdef double* root
    for j in range(lo, hi - 1):
        if count and fabs(w.f[j]) > deepest:
            deepest, split = fabs(w.f[j]), j
        if not (w.inside[j] or w.inside[j + 1]):
            continue
        ta, tb, fa, fb = 0.0, 1.0, w.f[j], w.f[j + 1]
        if not w.inside[j + 1]:
            tb = face(g, w, n, zb, j, dr, z_obs, &fb)
        elif not w.inside[j]:
            ta = face(g, w, n, zb, j, dr, z_obs, &fa)
        # half-open, so that a root exactly on a sample is counted once; the observer's own place begins the first step
        if not ((fa < 0.0) != (fb < 0.0) or (j == 0 and fa == 0.0)):
            continue
        if count < max_roots:
            r = refine(g, w, n, zb, j, dr, z_obs, ta, fa, tb, fb, &v)
            root = roots + 5 * count
            root[0] = r
            root[1] = C_KMS * ((1.0 + z_obs) / (1.0 + v / C_KMS) - 1.0)
            # in the CMB frame, whatever frame the prediction was made in
            root[2] = v + mean_radial(g, w.v0, n)
            root[3] = 1.0 if fb > fa else -1.0
            if count:
                here = turning(w, split, lo, hi)
                roots[5 * (count - 1) + 4] = (here - before) / w.cum[hi - 1]
                before = here
            root[4] = 1.0 - before / w.cum[hi - 1]
        deepest, split = 0.0, j + 1
        count += 1
    n_roots[0] = count


def posterior(const float[:, :, :, :, ::1] cells, const float[:, :, ::1] sigma, Py_ssize_t realisations,
              const double[::1] origin, const double[::1] spacing, const double[:, ::1] dirs,
              const double[::1] z_obs, const double[::1] s2, double dr, const double[::1] zb,
              const double[::1] efunc, const double[::1] mu0, int prior_kind, double alpha, bint use_sigma,
              double sigma_max, double v_max, bint local, double[:, ::1] summary, double[:, ::1] pdf,
              double[:, :, ::1] roots, int[::1] n_roots, double[::1] scratch):
    """Solve p(r | direction, z) for many objects; see `distances.solve` for meanings, shapes and units."""
    cdef Lattice g = lattice(cells, sigma, realisations, origin, spacing)
    cdef Py_ssize_t q, k, m = zb.shape[0]
    cdef Work w
    cdef double ignored, reach2
    if scratch.shape[0] < scratch_size(m, g.R, g.pad):
        raise ValueError("scratch is too small")
    with nogil:
        w = carve(&scratch[0], m, g.R, g.pad)
        for k in range(4 * g.pad):
            w.v0[k] = 0.0
        if local:
            sample(&g, 0.0, 0.0, 0.0, w.v0, &ignored)
            v_max = 2.0 * v_max
        for q in range(dirs.shape[0]):
            reach2 = s2[q] + (sigma_max * sigma_max if use_sigma else 0.0)
            one(&g, &w, &dirs[q, 0], &zb[0], &efunc[0], &mu0[0], m, dr, z_obs[q], s2[q], reach2, v_max, prior_kind,
                alpha, use_sigma, &summary[q, 0], NULL if pdf is None else &pdf[q, 0], &roots[q, 0, 0],
                roots.shape[1], &n_roots[q])


PRIORS = {"flat": FLAT, "volume": VOLUME, "density": DENSITY}

# The loops in plain Cython, for compilers without vector extensions: the contract of `cf_level` in `_hot.h`, float64
# throughout, one realisation or many by the same few lines.

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


cdef inline bint locate(const cf_lattice* g, double x, double y, double z, Py_ssize_t* node, double* w) noexcept nogil:
    """Find the cell of a point: its lowest node, and the weights of its corners 000 001 010 011 100 101 110 111."""
    cdef Py_ssize_t i, j, k
    cdef double fx, fy, fz
    if not axis((x - g.origin[0]) * g.inverse[0], g.nx, &i, &fx):
        return False
    if not axis((y - g.origin[1]) * g.inverse[1], g.ny, &j, &fy):
        return False
    if not axis((z - g.origin[2]) * g.inverse[2], g.nz, &k, &fz):
        return False
    node[0] = (i * g.ny + j) * g.nz + k
    w[0] = (1.0 - fx) * (1.0 - fy) * (1.0 - fz)
    w[1] = (1.0 - fx) * (1.0 - fy) * fz
    w[2] = (1.0 - fx) * fy * (1.0 - fz)
    w[3] = (1.0 - fx) * fy * fz
    w[4] = fx * (1.0 - fy) * (1.0 - fz)
    w[5] = fx * (1.0 - fy) * fz
    w[6] = fx * fy * (1.0 - fz)
    w[7] = fx * fy * fz
    return True


cdef inline void mix(const float* base, Py_ssize_t s0, Py_ssize_t s1, Py_ssize_t s2, Py_ssize_t count, const double* w,
                     double* out) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(count):
        out[c] = ((w[0] * base[c] + w[1] * base[s0 + c]) + (w[2] * base[s1 + c] + w[3] * base[s1 + s0 + c])) \
            + ((w[4] * base[s2 + c] + w[5] * base[s2 + s0 + c])
               + (w[6] * base[s2 + s1 + c] + w[7] * base[s2 + s1 + s0 + c]))


cdef bint sample(const cf_lattice* g, double x, double y, double z, double* out) noexcept nogil:
    """Write the (4, pad) values at a point in float64; outside the lattice 0, 0, 0, 1."""
    cdef Py_ssize_t k, node, s0 = 4 * g.pad
    cdef double[8] w
    if not locate(g, x, y, z, &node, w):
        memset(out, 0, s0 * sizeof(double))
        for k in range(g.pad):
            out[3 * g.pad + k] = 1.0
        return False
    if g.pad == 1:                             # the compiler unrolls what it can count
        mix(g.cells + 4 * node, 4, 4 * g.nz, 4 * g.nz * g.ny, 4, w, out)
    else:
        mix(g.cells + s0 * node, s0, s0 * g.nz, s0 * g.nz * g.ny, s0, w, out)
    return True


cdef double sigma_at(const cf_lattice* g, double x, double y, double z) noexcept nogil:
    cdef Py_ssize_t node
    cdef double[8] w
    cdef double out = 0.0
    if g.sigma != NULL and locate(g, x, y, z, &node, w):
        mix(g.sigma + node, 1, g.nz, g.nz * g.ny, 1, w, &out)
    return out


cdef inline double mean_of(const cf_lattice* g, const double* row) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0.0
    for k in range(g.R):
        total += row[k]
    return total / <double>g.R


cdef void pure_points(const cf_lattice* g, const double* xyz, Py_ssize_t n, int columns, double outside, double* out,
                      uint8_t* inside) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t q
    cdef int c
    cdef bint known
    for q in range(n):
        known = sample(g, xyz[3 * q], xyz[3 * q + 1], xyz[3 * q + 2], row)
        for c in range(columns):
            out[columns * q + c] = mean_of(g, row + c * g.pad) - (1.0 if c == 3 else 0.0) if known else outside
        if inside != NULL:
            inside[q] = known


cdef void pure_points_all(const cf_lattice* g, const double* xyz, Py_ssize_t n, float* unused, double* out,
                          uint8_t* inside) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t q, k
    cdef int c
    for q in range(n):
        inside[q] = sample(g, xyz[3 * q], xyz[3 * q + 1], xyz[3 * q + 2], row)
        for c in range(4):
            for k in range(g.R):
                out[(q * 4 + c) * g.R + k] = row[c * g.pad + k] - (1.0 if c == 3 else 0.0)


cdef void pure_along(const cf_lattice* g, const double* n, const double* r, Py_ssize_t count, float* unused,
                     double* v_rad, double* delta, uint8_t* inside) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t j
    for j in range(count):
        inside[j] = sample(g, r[j] * n[0], r[j] * n[1], r[j] * n[2], row)
        v_rad[j] = mean_of(g, row) * n[0] + mean_of(g, row + g.pad) * n[1] + mean_of(g, row + 2 * g.pad) * n[2]
        delta[j] = mean_of(g, row + 3 * g.pad) - 1.0


cdef inline double observed(const cf_line* line, const cf_sight* s, Py_ssize_t k) noexcept nogil:
    """Return the observer's own radial velocity in realisation k, km/s."""
    cdef Py_ssize_t pad = line.g.pad
    if line.v0 == NULL:
        return 0.0
    return line.v0[k] * s.n[0] + line.v0[pad + k] * s.n[1] + line.v0[2 * pad + k] * s.n[2]


cdef inline bint at_sample(const cf_line* line, const cf_sight* s, Py_ssize_t j, double* row) noexcept nogil:
    cdef double r = j * line.dr
    return sample(&line.g, r * s.n[0], r * s.n[1], r * s.n[2], row)


cdef inline double variance(const cf_line* line, const cf_sight* s, Py_ssize_t j) noexcept nogil:
    return s.s2 + (s.sig[j] * s.sig[j] if line.use_sigma else 0.0)


cdef double pure_deviations(const cf_line* line, cf_sight* s) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t j, k, pad = line.g.pad
    cdef double v, d, total, least = 1e300
    cdef bint inside
    for j in range(s.lo, s.hi):
        inside = at_sample(line, s, j, row)
        total = 0.0
        s.d2[j] = 1e300
        for k in range(line.g.R):
            v = row[k] * s.n[0] + row[pad + k] * s.n[1] + row[2 * pad + k] * s.n[2]
            if inside:
                v -= observed(line, s, k)
            total += v
            d = C_KMS * (s.z_obs - line.zb[j]) - (1.0 + line.zb[j]) * v
            d = d * d / variance(line, s, j)
            if d < s.d2[j]:
                s.d2[j] = d
        s.x[j] = C_KMS * (s.z_obs - line.zb[j]) - (1.0 + line.zb[j]) * (total / line.g.R)
        if s.d2[j] < least:
            least = s.d2[j]
    return least


cdef inline double density_prior(const cf_line* line, double density) noexcept nogil:
    if density < 0.01:
        density = 0.01
    return density if line.alpha == 1.0 else cf_exp(line.alpha * cf_log(density))


cdef void pure_normalise(const cf_line* line, cf_sight* s) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t j, k
    for k in range(line.g.pad):
        s.norm[k] = 0.0
    for j in range(line.m):
        at_sample(line, s, j, row)
        for k in range(line.g.R):
            s.norm[k] += line.trap[j] * line.prior[j] * density_prior(line, row[3 * line.g.pad + k])
    for k in range(line.g.R):
        s.norm[k] = 1.0 / (line.g.R * s.norm[k])


cdef void pure_moments(const cf_line* line, cf_sight* s, Py_ssize_t a, Py_ssize_t b, double least, Py_ssize_t centre,
                       double* sums) noexcept nogil:
    cdef double[4 * PAD_MAX] row
    cdef Py_ssize_t j, k, c, pad = line.g.pad
    cdef double w, v, d, p, q, r, z, mu
    cdef bint inside
    for c in range(N_SUMS):
        sums[c] = 0.0
    for j in range(a, b):
        s.p[j] = 0.0
        if j < s.lo or j >= s.hi or line.prior[j] == 0.0:
            continue
        inside = at_sample(line, s, j, row)
        p = 0.0
        for k in range(line.g.R):
            v = row[k] * s.n[0] + row[pad + k] * s.n[1] + row[2 * pad + k] * s.n[2]
            d = C_KMS * (s.z_obs - line.zb[j]) - (1.0 + line.zb[j]) * (v - observed(line, s, k) if inside else v)
            w = cf_exp(-0.5 * (d * d / variance(line, s, j) - least)) * line.prior[j] * s.norm[k] / s.norm[0]
            w *= sqrt(s.s2 / variance(line, s, j))
            if line.density:
                w *= density_prior(line, row[3 * pad + k])
            p += w
            q = w * line.trap[j]
            sums[VX] += q * row[k]
            sums[VY] += q * row[pad + k]
            sums[VZ] += q * row[2 * pad + k]
            sums[DELTA] += q * (row[3 * pad + k] - 1.0)
            sums[VR2] += q * v * v
        s.p[j] = p
        if j + 1 < s.hi and (s.x[j] > 0.0) != (s.x[j + 1] > 0.0):
            sums[FLIPS] += 1.0
            sums[FLIP_AT] = j
        q = p * line.trap[j]
        r, z, mu = (j - centre) * line.dr, line.zb[j], line.mu[j]
        sums[AREA] += q
        sums[R1] += q * r
        sums[R2] += q * r * r
        sums[Z1] += q * z
        sums[Z2] += q * z * z
        sums[MU1] += q * mu
        sums[MU2] += q * mu * mu
        if p > sums[PMAX]:
            sums[PMAX], sums[PAT] = p, j
        if p * line.inv_e[j] > sums[PEMAX]:
            sums[PEMAX], sums[PEAT] = p * line.inv_e[j], j

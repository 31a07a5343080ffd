# What is done once per object: into the field's axes, the window, the summary of the weighted line, flags.

cdef enum:
    N_FRAMES = 5
    N_QUANTILES = 5
    N_ROOT = 5

# Columns of a row of values, in the order `distances.VALUES` names them; each of the four variables takes eight.
cdef enum:
    DISTANCE = 0
    HUBBLE = 8
    LUMINOSITY = 16
    COMOVING = 24
    MODULUS = 32
    CZ = 37
    V_RAD = 42
    V_RAD_STD = 43
    V_PEC = 44
    CONTRAST = 47
    INSIDE = 48
    EVIDENCE = 49
    N_VALUES = 50

cdef enum:
    OK = 0
    NOT_FINITE = 1
    FIRST_OUT_OF_RANGE = 2
    DISTANCE_OUT_OF_RANGE = 6
    OUTSIDE_FIELD = 7

# Beyond this many standard deviations, and more than NEAR from the best sample, a Gaussian does not reach 1e-9.
cdef double WINDOW = 7.5
cdef double NEAR = 1.5
# An object faster than everything on the line by so many standard deviations lies beyond its end.
cdef double BEYOND = 6.0
cdef double[N_QUANTILES] QUANTILES
QUANTILES[0], QUANTILES[1], QUANTILES[2], QUANTILES[3], QUANTILES[4] = 0.025, 0.16, 0.5, 0.84, 0.975
# A density prior may favour a place by this much, to the power alpha: densities from 0.01 to 1000, as a logarithm.
cdef double DENSITIES = 11.5
cdef double LN10 = 2.302585092994046

cdef struct ask:
    bint density, local, additive, has_density
    double sigma_v2, sigma_max2, v_max, v_gradient
    double prior_integral
    double h, trusted, tail_limit, nearby, inside_least, local_sheet
    double[9] to_field             # from the axes of the input's sky frame
    double[9] to_supergalactic     # from the field's axes
    double[6][3] suns              # Sun's velocity in the rest frame of the input, then hel, cmb, lg, ls, gsr; km/s
    int source                     # which of the five the input is, or -1
    double[4][2] limits            # lon, lat, cz, sigma_cz


cdef Py_ssize_t sight_bytes(Py_ssize_t m, Py_ssize_t pad, bint density) noexcept nogil:
    cdef Py_ssize_t one = m + OVERHANG, wide = 4 if pad == 1 else pad
    cdef Py_ssize_t narrow = 1 if pad == 1 else (pad if density else 0)
    return <Py_ssize_t>((4 * one + 5 * pad + 8) * sizeof(double) + (one * (wide + narrow) + 12 * pad + 16) * sizeof(float))


cdef void carve(cf_sight* s, uint8_t* scratch, Py_ssize_t m, Py_ssize_t pad, bint density) noexcept nogil:
    cdef Py_ssize_t one = m + OVERHANG, wide = 4 if pad == 1 else pad
    s.x = <double*>scratch
    s.d2 = s.x + one
    s.p = s.d2 + one
    s.sig = s.p + one
    s.norm = s.sig + one
    s.values = <float*>(s.norm + 5 * pad + 8)     # behind norm: a row of float64 values
    s.v_rad = s.values + one * wide
    s.corner = s.v_rad + (one if pad == 1 else (one * pad if density else 0))


cdef void direction(double lon, double lat, double* n) noexcept nogil:
    cdef double sin_lon, cos_lon, sin_lat, cos_lat
    cf_sincos_deg(lon, &sin_lon, &cos_lon)
    cf_sincos_deg(lat, &sin_lat, &cos_lat)
    n[0], n[1], n[2] = cos_lat * cos_lon, cos_lat * sin_lon, sin_lat


cdef inline void turn(const double* matrix, const double* u, double* out) noexcept nogil:
    cdef int i
    for i in range(3):
        out[i] = u[0] * matrix[3 * i] + u[1] * matrix[3 * i + 1] + u[2] * matrix[3 * i + 2]


cdef inline double dot3(const double* a, const double* b) noexcept nogil:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


cdef void fill(double* values, Py_ssize_t begin, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(begin, end):
        values[i] = NAN


cdef void answer(const cf_line* line, const ask* a, const cf_level* level, cf_sight* s, double lon, double lat, double cz,
                 double sigma_cz, double* v, int* status, int* flags, double* roots, Py_ssize_t max_roots, int* n_roots,
                 double* pdf) noexcept nogil:
    """Answer one row; a row that cannot be used gets NaN and the reason."""
    cdef double[4] given
    cdef double[3] n
    cdef double[N_FRAMES] z
    cdef double beta, other
    cdef Py_ssize_t i
    cdef int f
    given[0], given[1], given[2], given[3] = lon, lat, cz, sigma_cz
    status[0], flags[0], n_roots[0] = OK, 0, 0
    for i in range(max_roots * N_ROOT):
        roots[i] = NAN
    for i in range(4):
        if not (a.limits[i][0] <= given[i] <= a.limits[i][1]):
            status[0] = FIRST_OUT_OF_RANGE + <int>i if given[i] - given[i] == 0.0 else NOT_FINITE
            fill(v, 0, N_VALUES)
            if pdf != NULL:
                fill(pdf, 0, line.m)
            return
    direction(lon, lat, n)
    turn(a.to_field, n, s.n)
    beta = dot3(a.suns[0], n) / C_KMS
    for f in range(N_FRAMES):
        other = dot3(a.suns[f + 1], n) / C_KMS
        if f == a.source:
            z[f] = cz / C_KMS
        elif a.additive:
            z[f] = cz / C_KMS - beta + other
        else:
            z[f] = (1.0 + cz / C_KMS) * (1.0 - beta) / (1.0 - other) - 1.0
        v[CZ + f] = C_KMS * z[f]
    s.z_obs = z[3] if a.local else z[1]
    s.s2 = a.sigma_v2 + sigma_cz * sigma_cz
    if not summarise(line, a, level, s, 1.0 + z[0], v, roots, max_roots, n_roots, pdf):
        status[0], flags[0], n_roots[0] = OUTSIDE_FIELD, 1 << 3, 0
        fill(v, 0, CZ)
        fill(v, V_RAD, N_VALUES)
        for i in range(max_roots * N_ROOT):
            roots[i] = NAN
        if pdf != NULL:
            fill(pdf, 0, line.m)
        return
    # in the order of `distances.FLAGS`
    if v[COMOVING + 5] < a.nearby:
        flags[0] |= 1
    if n_roots[0] == 0:
        flags[0] |= 1 << 1
    if n_roots[0] > 1:
        flags[0] |= 1 << 2
    if v[INSIDE] < a.inside_least:
        flags[0] |= 1 << 3
    if v[COMOVING + 5] > a.trusted:
        flags[0] |= 1 << 4
    if z[0] < 0.0:
        flags[0] |= 1 << 5
    if a.local and v[DISTANCE + 5] > a.local_sheet:
        flags[0] |= 1 << 6
    if n_roots[0] > max_roots:
        flags[0] |= 1 << 7


cdef Py_ssize_t first_at_least(const double* table, Py_ssize_t m, double value) noexcept nogil:
    """Return the first place whose value is not less; without branches, which nobody could foretell."""
    cdef Py_ssize_t base = 0, n = m, half
    while n > 1:
        half = n // 2
        base += half if table[base + half - 1] < value else 0
        n -= half
    return base + (1 if table[base] < value else 0)


cdef bint inside_at(const cf_line* line, const cf_sight* s, Py_ssize_t j) noexcept nogil:
    cdef Py_ssize_t node
    cdef double[8] w
    cdef double r = j * line.dr
    return locate(&line.g, r * s.n[0], r * s.n[1], r * s.n[2], &node, w)


cdef void clip(const cf_line* line, cf_sight* s) noexcept nogil:
    """Find the samples inside the lattice, a box: one run of them, usually all."""
    cdef Py_ssize_t a, b
    cdef double f, t_in = -1e300, t_out = 1e300, enter, leave, slope
    cdef Py_ssize_t[3] top
    cdef int axis_
    s.in_lo, s.in_hi = s.lo, s.hi
    if inside_at(line, s, s.lo) and inside_at(line, s, s.hi - 1):
        return
    # where the line crosses the box, to rounding; the samples beside are then asked one by one
    top[0], top[1], top[2] = line.g.nx - 1, line.g.ny - 1, line.g.nz - 1
    for axis_ in range(3):
        slope = s.n[axis_] * line.g.inverse[axis_]
        f = -line.g.origin[axis_] * line.g.inverse[axis_]
        if slope == 0.0:
            if not (-FACE <= f <= top[axis_] + FACE):
                t_out = -1e300
            continue
        enter, leave = (-FACE - f) / slope, (top[axis_] + FACE - f) / slope
        if enter > leave:
            enter, leave = leave, enter
        t_in, t_out = max(t_in, enter), min(t_out, leave)
    a = s.lo if t_in <= s.lo * line.dr else (s.hi if t_in >= s.hi * line.dr else <Py_ssize_t>(t_in / line.dr) - 1)
    b = s.hi if t_out >= s.hi * line.dr else (s.lo if t_out <= s.lo * line.dr else <Py_ssize_t>(t_out / line.dr) + 3)
    a, b = max(a, s.lo), min(b, s.hi)
    while a < b and not inside_at(line, s, a):
        a += 1
    while b > a and not inside_at(line, s, b - 1):
        b -= 1
    s.in_lo, s.in_hi = a, b


cdef double look(const cf_line* line, const cf_level* level, cf_sight* s, Py_ssize_t lo, Py_ssize_t hi) noexcept nogil:
    """Fill the deviations of samples lo..hi-1; return the least."""
    cdef Py_ssize_t j
    s.lo, s.hi = lo, hi
    clip(line, s)
    if line.use_sigma:
        for j in range(lo, hi):
            s.sig[j] = sigma_at(&line.g, j * line.dr * s.n[0], j * line.dr * s.n[1], j * line.dr * s.n[2])
    return level.deviations(line, s)


cdef double nearest(const cf_line* line, cf_sight* s, Py_ssize_t j, double sign) noexcept nogil:
    """Return the least of sign x c (z_obs - z_pred) over the realisations at a sample inside, km/s."""
    cdef double* row = s.norm + line.g.pad
    cdef Py_ssize_t k, pad = line.g.pad
    cdef double least = 1e300, v
    at_sample(line, s, j, row)
    for k in range(line.g.R):
        v = row[k] * s.n[0] + row[pad + k] * s.n[1] + row[2 * pad + k] * s.n[2] - observed(line, s, k)
        least = min(least, sign * (C_KMS * (s.z_obs - line.zb[j]) - (1.0 + line.zb[j]) * v))
    return least


cdef void close_in(const cf_line* line, const ask* a, cf_sight* s, Py_ssize_t* lo, Py_ssize_t* hi) noexcept nogil:
    """Move the ends of the window inwards over samples that cannot be near the observed redshift.

    z_pred changes by no more than Hubble's law and the steepest flow of the field allow, so a deviation in excess of the
    window's buys a stretch that need not be looked at; the next one begins where it ends.
    """
    cdef Py_ssize_t step
    cdef double far = line.zb[hi[0] - 1], enough = WINDOW * sqrt(s.s2 + a.sigma_max2) + 1.0
    cdef double slope = line.dr * (100.0 / line.inv_e[hi[0] - 1] * (1.0 + a.v_max / C_KMS) + (1.0 + far) * a.v_gradient)
    cdef int turn_
    if not (inside_at(line, s, lo[0]) and inside_at(line, s, hi[0] - 1)):
        return                                   # at a face of the lattice the flow ends at once
    for turn_ in range(8):
        step = <Py_ssize_t>((nearest(line, s, lo[0], 1.0) - enough) / slope)
        if step < 8 or lo[0] + step + 16 > hi[0]:
            break
        lo[0] += step
    for turn_ in range(8):
        step = <Py_ssize_t>((nearest(line, s, hi[0] - 1, -1.0) - enough) / slope)
        if step < 8 or hi[0] - step - 16 < lo[0]:
            break
        hi[0] -= step


cdef bint summarise(const cf_line* line, const ask* a, const cf_level* level, cf_sight* s, double one_plus_z, double* v,
                    double* roots, Py_ssize_t max_roots, int* n_roots, double* pdf) noexcept nogil:
    """Solve p(r) on one line of sight; return False when it goes on beyond the end of the line."""
    cdef Py_ssize_t m = line.m, lo = 0, hi = m, begin, end, centre, j, k
    cdef double[N_SUMS] sums
    cdef double[N_QUANTILES] r
    cdef double bound, least, area, d, z, mu, total, zero, inverse_h
    cdef double[3] flow

    # 1. the samples that can carry weight; a density prior is normalised over the whole line
    if not line.density:
        bound = (a.v_max * (1.0 + line.zb[m - 1]) + WINDOW * sqrt(s.s2 + a.sigma_max2)) / C_KMS
        lo = max(min(first_at_least(line.zb, m, s.z_obs - bound) - 1, m - 2), 0)
        hi = max(min(first_at_least(line.zb, m, s.z_obs + bound) + 1, m), lo + 2)
        if a.v_gradient > 0.0 and line.g.pad > 1:   # for a single realisation the looks cost what they save
            close_in(line, a, s, &lo, &hi)
    least = look(line, level, s, lo, hi)
    if least > NEAR * NEAR and (lo > 0 or hi < m):
        least = look(line, level, s, 0, m)
    lo, hi = s.lo, s.hi
    if least > BEYOND * BEYOND and hi == m and s.x[m - 1] > 0.0:
        return False                             # faster than anything on the line
    if lo == 0 and line.prior[0] == 0.0 and s.d2[0] <= least:
        least = 1e300                            # the observer's own place cannot be the answer
        for j in range(1, hi):
            least = min(least, s.d2[j])
        s.d2[0] = 1e300
    if line.density:
        level.normalise(line, s)
    else:
        for k in range(line.g.pad):
            s.norm[k] = 1.0 / (line.g.R * a.prior_integral) if k < line.g.R else 0.0

    # 2. those that do
    begin, end = lo, hi
    bound = least + 2.0 * CUT + (2.0 * line.alpha * DENSITIES if line.density else 0.0)
    while s.d2[begin] > bound:
        begin += 1
    while s.d2[end - 1] > bound:
        end -= 1
    # and one more at either end: behind a face of the lattice the weights start, or stop, at their full height
    begin, end = max(begin - 1, lo) & ~3, (min(end + 1, hi) + 3) & ~3
    centre = min((begin + end) // 2, m - 1)
    level.moments(line, s, begin, end, least, centre, sums)
    end = min(end, m)
    area = sums[AREA]
    if not area > 0.0:
        return False
    if end == m and hi == m and s.p[m - 1] > a.tail_limit * sums[PMAX]:
        return False                             # it goes on beyond the end

    # 3. moments: float64 leaves their differences eleven digits, a narrow posterior far away included
    d, z, mu = sums[R1] / area, sums[Z1] / area, sums[MU1] / area
    v[COMOVING] = centre * line.dr + d
    v[COMOVING + 1] = sqrt(max(sums[R2] / area - d * d, 0.0))
    v[HUBBLE] = C_KMS * z
    v[HUBBLE + 1] = C_KMS * sqrt(max(sums[Z2] / area - z * z, 0.0))
    v[MODULUS] = mu
    v[MODULUS + 1] = sqrt(max(sums[MU2] / area - mu * mu, 0.0))
    flow[0], flow[1], flow[2] = sums[VX] / area, sums[VY] / area, sums[VZ] / area
    v[V_RAD] = dot3(flow, s.n)
    v[V_RAD_STD] = sqrt(max(sums[VR2] / area - v[V_RAD] * v[V_RAD], 0.0))
    turn(a.to_supergalactic, flow, v + V_PEC)
    v[CONTRAST] = sums[DELTA] / area if a.has_density else NAN
    v[EVIDENCE] = area * s.norm[0] * cf_exp(-0.5 * least) / sqrt(2.0 * 3.141592653589793 * s.s2)
    v[INSIDE] = 1.0
    if s.in_lo > begin or s.in_hi < end:
        total = 0.0
        for j in range(max(begin, s.in_lo), min(end, s.in_hi)):
            total += s.p[j] * line.trap[j]
        v[INSIDE] = total / area

    # 4. modes: the vertex of the parabola through the highest sample and its neighbours
    j = <Py_ssize_t>sums[PAT]
    v[COMOVING + 2] = j * line.dr
    if lo < j < hi - 1:
        v[COMOVING + 2] += line.dr * vertex(-1.0, 0.0, 1.0, s.p[j - 1] if j > begin else 0.0, s.p[j],
                                            s.p[j + 1] if j + 1 < end else 0.0)
    j = <Py_ssize_t>sums[PEAT]
    v[HUBBLE + 2] = C_KMS * line.zb[j]
    if lo < j < hi - 1:
        v[HUBBLE + 2] = C_KMS * vertex(
            line.zb[j - 1], line.zb[j], line.zb[j + 1], s.p[j - 1] * line.inv_e[j - 1] if j > begin else 0.0, sums[PEMAX],
            s.p[j + 1] * line.inv_e[j + 1] if j + 1 < end else 0.0)

    # 5. quantiles map exactly between the variables; mean, std and mode belong each to their own
    quantiles(line, s, begin, end, area, r)
    for k in range(N_QUANTILES):
        v[COMOVING + 3 + k] = r[k]
        v[HUBBLE + 3 + k] = hubble(line, r[k])
    inverse_h = 1.0 / a.h
    for k in range(8):
        v[DISTANCE + k] = v[COMOVING + k] * inverse_h
        v[LUMINOSITY + k] = v[COMOVING + k] * (one_plus_z * inverse_h)
    zero = 25.0 + 5.0 * cf_log(one_plus_z / a.h) / LN10     # modulus at r = 1 h^-1 Mpc
    v[MODULUS] += zero
    v[MODULUS + 2] = 5.0 * cf_log(max(r[2], 1e-300)) / LN10 + zero
    v[MODULUS + 3] = 5.0 * cf_log(max(r[1], 1e-300)) / LN10 + zero
    v[MODULUS + 4] = 5.0 * cf_log(max(r[3], 1e-300)) / LN10 + zero

    if pdf != NULL:
        for j in range(m):
            pdf[j] = s.p[j] / area if begin <= j < end else 0.0
    find_roots(line, s, begin, end, area, sums, roots, max_roots, n_roots)
    return True


cdef inline double vertex(double x0, double x1, double x2, double y0, double y1, double y2) noexcept nogil:
    """Return the abscissa of the parabola through three points, where y1 is the greatest."""
    cdef double d0 = (y1 - y0) / (x1 - x0), d1 = (y2 - y1) / (x2 - x1)
    if d0 == d1:
        return x1
    return 0.5 * (x0 + x1) + 0.5 * (x2 - x0) * d0 / (d0 - d1)


cdef double hubble(const cf_line* line, double r) noexcept nogil:
    """Return c zbar(r), km/s, by cubic Hermite interpolation: dz/dr = 100 E/c is known at the nodes."""
    cdef Py_ssize_t j = max(min(<Py_ssize_t>(r / line.dr), line.m - 2), 0)
    cdef double t = r / line.dr - j, u = 1.0 - t
    return ((1.0 + 2.0 * t) * u * u * C_KMS * line.zb[j] + t * u * u * 100.0 * line.dr / line.inv_e[j]
            + t * t * (3.0 - 2.0 * t) * C_KMS * line.zb[j + 1] - t * t * u * 100.0 * line.dr / line.inv_e[j + 1])


cdef void quantiles(const cf_line* line, const cf_sight* s, Py_ssize_t begin, Py_ssize_t end, double area, double* r) noexcept nogil:
    """Find the quantiles, linear inside a step of the cumulative; `area` is the integral of p over r."""
    cdef const double* p = s.p
    cdef Py_ssize_t i, j
    cdef double total = area / line.dr, at = 0.0, ahead, target, low, high
    cdef int k
    j = begin                                    # `at` is the cumulative at sample j, in steps
    for k in range(N_QUANTILES):
        target = QUANTILES[k] * total
        while j + 8 < end:                       # by eight while the quantile lies beyond
            ahead = at + (((p[j + 1] + p[j + 2]) + (p[j + 3] + p[j + 4]))
                          + ((p[j + 5] + p[j + 6]) + (p[j + 7] + 0.5 * (p[j] + p[j + 8]))))
            if ahead >= target:
                break
            at = ahead
            j += 8
        i, low = j, at
        high = low + 0.5 * (p[i] + p[i + 1])
        while high < target and i < end - 2:
            i += 1
            low = high
            high += 0.5 * (p[i] + p[i + 1])
        r[k] = line.dr * (i + (max(min((target - low) / (high - low), 1.0), 0.0) if high > low else 0.0))

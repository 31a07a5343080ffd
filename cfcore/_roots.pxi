# Roots: every r inside the lattice with z_pred = z_obs, in float64, and the share of the posterior each branch holds.

cdef double miss(const cf_line* line, cf_sight* s, Py_ssize_t j, double t, double* v, bint* inside) noexcept nogil:
    """Return z_pred - z_obs of the mean field t steps after sample j, in float64; v is the radial velocity used there."""
    cdef double zb = line.zb[j] + t * (line.zb[j + 1] - line.zb[j]), r = (j + t) * line.dr
    cdef double* row = s.norm + line.g.pad
    inside[0] = sample(&line.g, r * s.n[0], r * s.n[1], r * s.n[2], row)
    if line.g.pad == 1:
        v[0] = dot3(row, s.n)
    else:
        v[0] = mean_of(&line.g, row) * s.n[0] + mean_of(&line.g, row + line.g.pad) * s.n[1] \
            + mean_of(&line.g, row + 2 * line.g.pad) * s.n[2]
    if line.v0 != NULL:
        v[0] -= mean_observed(line, s)
    return (1.0 + zb) * (1.0 + v[0] / C_KMS) - 1.0 - s.z_obs


cdef double mean_observed(const cf_line* line, const cf_sight* s) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0.0
    if line.v0 == NULL:
        return 0.0
    for k in range(line.g.R):
        total += observed(line, s, k)
    return total / line.g.R


cdef double refine(const cf_line* line, cf_sight* s, Py_ssize_t j, double ta, double fa, double tb, double fb,
                   double* v) noexcept nogil:
    """Return the root between ta and tb, in steps after sample j, by the Illinois rule; zb is linear there to 1e-9."""
    cdef double t = 0.0, f
    cdef int side = 0, turn_
    cdef bint inside
    for turn_ in range(60):
        t = (fa * tb - fb * ta) / (fa - fb)
        f = miss(line, s, j, t, v, &inside)
        if fabs(f) < 1e-13 or tb - ta < 1e-12:
            break
        if f * fb > 0.0:
            tb, fb = t, f
            if side == -1:
                fa *= 0.5
            side = -1
        else:
            ta, fa = t, f
            if side == 1:
                fb *= 0.5
            side = 1
    return (j + t) * line.dr


cdef double face(const cf_line* line, cf_sight* s, Py_ssize_t j, bint first_inside, double* f) noexcept nogil:
    """Return the last point inside between samples j and j+1, one of which is outside, in steps after j, and f there."""
    cdef double within = 0.0 if first_inside else 1.0, beyond = 1.0 - within, t, v
    cdef int turn_
    cdef bint inside
    for turn_ in range(50):
        t = 0.5 * (within + beyond)
        miss(line, s, j, t, &v, &inside)
        if inside:
            within = t
        else:
            beyond = t
    f[0] = miss(line, s, j, within, &v, &inside)
    return within


cdef double cumulative(const cf_line* line, const cf_sight* s, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t to) noexcept nogil:
    """Return the integral of p up to sample `to`."""
    cdef Py_ssize_t j
    cdef double total = 0.0
    for j in range(begin, min(to, end - 1)):
        total += 0.5 * line.dr * (s.p[j] + s.p[j + 1])
    return total


cdef double branch_end(const cf_line* line, const cf_sight* s, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t at) noexcept nogil:
    """Return the integral of p up to the extremum of z_pred nearest to sample `at`, found by a parabola."""
    cdef double t = 0.0, a, b, here
    if s.in_lo < at < s.in_hi - 1:
        a, b = s.x[at] - s.x[at - 1], s.x[at] - s.x[at + 1]
        if a + b != 0.0:
            t = 0.5 * (a - b) / (a + b)
            t = max(min(t, 1.0), -1.0)
    if t < 0.0:
        at, t = at - 1, t + 1.0
    here = cumulative(line, s, begin, end, at)
    return here + t * (cumulative(line, s, begin, end, at + 1) - here)


cdef void find_roots(const cf_line* line, cf_sight* s, Py_ssize_t begin, Py_ssize_t end, double total,
                     const double* sums, double* roots, Py_ssize_t max_roots, int* n_roots) noexcept nogil:
    """Find every root inside the lattice, nearest first; a branch ends at the extremum between two roots."""
    cdef Py_ssize_t j, i, split, first = max(s.in_lo - 1, s.lo), last = min(s.in_hi, s.hi - 1), before_root = s.lo
    cdef int count = 0
    cdef double before = 0.0, here, v = 0.0, ta, tb, fa, fb, deepest
    cdef double* root
    cdef const double* x = s.x
    if s.in_lo >= s.in_hi:
        return
    if line.g.pad == 1 and s.in_lo <= begin and end < s.in_hi and begin > 0 and sums[FLIPS] <= 1.0:
        # the rule: one change of sign, which `moments` has seen, and no face of the lattice near
        first = <Py_ssize_t>sums[FLIP_AT]
        last = first + <Py_ssize_t>sums[FLIPS]
    for j in range(first, last):
        ta, tb, fa, fb = 0.0, 1.0, -x[j] / C_KMS, -x[j + 1] / C_KMS
        if j + 1 >= s.in_hi:
            tb = face(line, s, j, True, &fb)
        elif j < s.in_lo:
            ta = face(line, s, j, False, &fa)
        # half-open, so that a root exactly on a sample is counted once; the observer's own place begins the first step
        if not ((fa < 0.0) != (fb < 0.0) or (j == 0 and fa == 0.0)):
            continue
        if count < max_roots:
            root = roots + N_ROOT * count
            root[0] = refine(line, s, j, ta, fa, tb, fb, &v)
            root[1] = C_KMS * ((1.0 + s.z_obs) / (1.0 + v / C_KMS) - 1.0)
            # in the CMB frame, whatever frame the prediction was made in
            root[2] = v + mean_observed(line, s)
            root[3] = 1.0 if fb > fa else -1.0
            if count:
                deepest, split = 0.0, before_root + 1
                for i in range(before_root + 1, j + 1):
                    if fabs(x[i]) > deepest:
                        deepest, split = fabs(x[i]), i
                here = branch_end(line, s, begin, end, split)
                root[4 - N_ROOT] = (here - before) / total
                before = here
            root[4] = 1.0 - before / total
            before_root = j
        count += 1
    n_roots[0] = count

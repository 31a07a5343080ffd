# The flow at known distances, once per row: place, velocity, and what an observer would measure there.

cdef enum:
    FLOW_ROWS = 64         # points that are sampled at a time
    N_NODES = 8            # of the Gauss-Legendre rule

# Columns of a row, in the order `distances.VELOCITY_VALUES` names them.
cdef enum:
    F_PLACE = 0
    F_V = 3
    F_V_RAD = 6
    F_DELTA = 7
    F_SIGMA = 8
    F_HUBBLE = 9
    F_CZ = 10
    N_FLOW = 15

cdef struct ways:
    bint additive, has_density
    double h, Om
    double[9] to_field, to_supergalactic    # from the axes of the input's sky frame
    double[9] v_to_supergalactic            # from the field's axes
    double[6][3] suns                       # Sun's velocity in the CMB frame, then hel, cmb, lg, ls, gsr; axes of the input
    int source                              # which of the five is the CMB frame
    double[3][2] limits                     # lon, lat, distance
    const double* z                         # table of the background: redshift in equal steps, r(z), dr/dz inverse
    const double* r
    const double* slope
    Py_ssize_t m
    const double* nodes
    const double* weights


cdef inline double efunc(double Om, double z) noexcept nogil:
    cdef double a = 1.0 + z
    return sqrt(Om * (a * a * a) + 1.0 - Om)


cdef double redshift(const ways* w, double r) noexcept nogil:
    """Invert r(z) as `cosmology.Background.redshift` does: cubic through the table, then one Newton step."""
    cdef Py_ssize_t i, k, below = 0, above = w.m
    cdef double step, t, u, z, half, mid, total = 0.0
    if not (0.0 <= r <= w.r[w.m - 1]):
        return NAN
    # E >= 1, so a redshift is at least r H0 / c: of galaxies near us the cell found so is theirs, or the next one
    below = min(<Py_ssize_t>(r * 100.0 / C_KMS / w.z[1]), w.m - 2)
    while w.r[below] > r:
        below -= 1
    for k in range(4):
        if w.r[below + 1] > r or below == w.m - 2:
            above = below + 1
            break
        below += 1
    while above - below > 1:
        i = (below + above) // 2
        if w.r[i] <= r:
            below = i
        else:
            above = i
    i = min(below, w.m - 2)
    step = w.r[i + 1] - w.r[i]
    t = (r - w.r[i]) / step
    u = 1.0 - t
    z = (u * u * ((1.0 + 2.0 * t) * w.z[i] + t * step * w.slope[i])
         + t * t * ((1.0 + 2.0 * u) * w.z[i + 1] - u * step * w.slope[i + 1]))
    # the integral from the node below, which may be that of the cell before when z is rounded down
    half, mid = 0.5 * (z - w.z[i]), 0.5 * (z + w.z[i])
    for k in range(N_NODES):
        total += w.weights[k] * half / efunc(w.Om, mid + half * w.nodes[k])
    return z - (w.r[i] + C_KMS / 100.0 * total - r) * efunc(w.Om, z) * 100.0 / C_KMS


cdef int row_status(const ways* w, double lon, double lat, double distance) noexcept nogil:
    """Say why a row cannot be used, 0 when it can."""
    cdef double[3] given
    cdef int i
    given[0], given[1], given[2] = lon, lat, distance
    for i in range(3):
        if not (w.limits[i][0] <= given[i] <= w.limits[i][1]):
            if given[i] - given[i] != 0.0:
                return NOT_FINITE
            return DISTANCE_OUT_OF_RANGE if i == 2 else FIRST_OUT_OF_RANGE + i
    return OK


cdef void flow_row(const ways* w, const cf_lattice* g, const double* n, double r, const double* sampled, bint inside,
                   double* v) noexcept nogil:
    """Fill one row from its direction (input's axes), its distance (h^-1 Mpc) and the field there (field's axes)."""
    cdef double[3] turned
    cdef double zbar, z, one, beta, other
    cdef int f
    turn(w.to_supergalactic, n, turned)
    v[F_PLACE], v[F_PLACE + 1], v[F_PLACE + 2] = turned[0] * r, turned[1] * r, turned[2] * r
    zbar = redshift(w, r)
    v[F_HUBBLE] = C_KMS * zbar
    if not inside:
        fill(v, F_V, F_HUBBLE)
        fill(v, F_CZ, N_FLOW)
        return
    turn(w.v_to_supergalactic, sampled, &v[F_V])
    turn(w.to_field, n, turned)
    v[F_V_RAD] = dot3(sampled, turned)
    v[F_DELTA] = sampled[3] if w.has_density else NAN
    v[F_SIGMA] = NAN if g.sigma == NULL else sigma_at(g, turned[0] * r, turned[1] * r, turned[2] * r)
    z = (1.0 + zbar) * (1.0 + v[F_V_RAD] / C_KMS) - 1.0
    one, beta = 1.0 + z, dot3(w.suns[0], n) / C_KMS
    for f in range(N_FRAMES):
        other = dot3(w.suns[f + 1], n) / C_KMS
        if f == w.source:
            v[F_CZ + f] = C_KMS * z
        elif w.additive:
            v[F_CZ + f] = C_KMS * (z - beta + other)
        else:
            v[F_CZ + f] = C_KMS * (one * (1.0 - beta) / (1.0 - other) - 1.0)


cdef class Ways:
    """Hold what all rows of a question about known distances share; made once, used for every row."""

    cdef Lattice lattice
    cdef ways w
    cdef object kept

    def __init__(self, Lattice lattice, *, const double[:, ::1] to_field, const double[:, ::1] to_supergalactic,
                 const double[:, ::1] v_to_supergalactic, const double[:, ::1] suns, int source, bint additive,
                 bint has_density, double h, double Om, const double[:, ::1] limits, const double[::1] z,
                 const double[::1] r, const double[::1] slope, const double[::1] nodes, const double[::1] weights):
        cdef int i, j
        if min(len(z), len(r), len(slope)) != len(z) or len(z) < 3 or len(nodes) != N_NODES or len(weights) != N_NODES:
            raise ValueError("a table is too short")
        self.lattice, self.kept = lattice, (z, r, slope, nodes, weights)
        self.w.additive, self.w.has_density, self.w.h, self.w.Om, self.w.source = additive, has_density, h, Om, source
        for i in range(3):
            for j in range(3):
                self.w.to_field[3 * i + j] = to_field[i, j]
                self.w.to_supergalactic[3 * i + j] = to_supergalactic[i, j]
                self.w.v_to_supergalactic[3 * i + j] = v_to_supergalactic[i, j]
            self.w.limits[i][0], self.w.limits[i][1] = limits[i, 0], limits[i, 1]
        for i in range(N_FRAMES + 1):
            for j in range(3):
                self.w.suns[i][j] = suns[i, j]
        self.w.z, self.w.r, self.w.slope, self.w.m = &z[0], &r[0], &slope[0], len(z)
        self.w.nodes, self.w.weights = &nodes[0], &weights[0]

    def rows(self, const double[::1] lon, const double[::1] lat, const double[::1] distance, double[:, ::1] values,
             uint8_t[::1] inside, int[::1] status):
        """Answer rows; see `distances.velocities` for meanings, shapes and units."""
        cdef double[FLOW_ROWS][3] n, xyz
        cdef double[FLOW_ROWS][4] sampled
        cdef double[FLOW_ROWS] r
        cdef Py_ssize_t begin, count, q, at, total = lon.shape[0]
        cdef const cf_level* level = active
        if not (lat.shape[0] == distance.shape[0] == values.shape[0] == inside.shape[0] == status.shape[0] == total) \
                or values.shape[1] != N_FLOW:
            raise ValueError("an array is too small")
        with nogil:
            begin = 0
            while begin < total:
                count = min(<Py_ssize_t>FLOW_ROWS, total - begin)
                for q in range(count):
                    at = begin + q
                    status[at] = row_status(&self.w, lon[at], lat[at], distance[at])
                    r[q] = distance[at] * self.w.h if status[at] == OK else 0.0
                    direction(lon[at] if status[at] == OK else 0.0, lat[at] if status[at] == OK else 0.0, n[q])
                    turn(self.w.to_field, n[q], xyz[q])
                    xyz[q][0], xyz[q][1], xyz[q][2] = xyz[q][0] * r[q], xyz[q][1] * r[q], xyz[q][2] * r[q]
                level.points(&self.lattice.g, xyz[0], count, 4, 0.0, sampled[0], &inside[begin])
                for q in range(count):
                    at = begin + q
                    if status[at] != OK:
                        fill(&values[at, 0], 0, N_FLOW)
                        inside[at] = 0
                        continue
                    flow_row(&self.w, &self.lattice.g, n[q], r[q], sampled[q], inside[at], &values[at, 0])
                    if not inside[at]:
                        status[at] = OUTSIDE_FIELD
                begin += count

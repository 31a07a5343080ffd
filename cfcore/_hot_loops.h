/* The hot loops, included by `_hot.c` once per instruction set; LEVEL names the copy.

   Vectors have fixed widths and sums a fixed order, whatever the machine's registers: every copy gives the same bits.
   Memory comes first: a batch of positions becomes cells and fractions, then the cells are asked for (prefetch), then
   the arithmetic finds them in cache. Storage and blending float32, positions, weights and sums float64. */

#ifndef CF_VECTORS
#define CF_VECTORS
typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float f8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double d4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef int64_t l4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef union { f8 whole; f4 half[2]; } split;
#define INLINE static inline __attribute__((always_inline))
#define BATCH 64
#define STEP static __attribute__((noinline)) /* a function of its own keeps its registers */
#define BATCH 64
typedef struct {
    double off[BATCH]; /* how far outside the lattice, in nodes: 0, or NaN */
    int32_t node[BATCH];
    float fx[BATCH], fy[BATCH], fz[BATCH];
} batch;
#define INSIDE(b, l) ((b)->off[l] <= CF_FACE) /* false for NaN */
#endif

/* ---- cells ------------------------------------------------------------------------------------------------------ */

/* One axis of a batch: fractional node coordinate -> cell and fraction; the upper face belongs to the last cell. */
INLINE void FN(axis)(double *restrict at, ptrdiff_t nodes, float *restrict fraction, double *restrict off) {
    const double top = (double)(nodes - 1), last = (double)(nodes - 2);
    for (int l = 0; l < BATCH; l++) {
        double f = at[l];
        f = f > 0.0 ? f : 0.0;
        f = f < top ? f : top;
        const double beyond = at[l] - f;
        double whole = (double)(int32_t)f;
        whole = whole < last ? whole : last;
        off[l] += beyond < 0.0 ? -beyond : beyond;
        fraction[l] = (float)(f - whole);
        at[l] = whole;
    }
}

/* Cells of fractional node coordinates at[3][BATCH], which are used up. */
INLINE void FN(cells)(const cf_lattice *g, double at[3][BATCH], batch *restrict b) {
    const double ny = (double)g->ny, nz = (double)g->nz;
    for (int l = 0; l < BATCH; l++)
        b->off[l] = 0.0;
    FN(axis)(at[0], g->nx, b->fx, b->off);
    FN(axis)(at[1], g->ny, b->fy, b->off);
    FN(axis)(at[2], g->nz, b->fz, b->off);
    for (int l = 0; l < BATCH; l++) /* whole numbers below 2^31: exact */
        b->node[l] = (int32_t)((at[0][l] * ny + at[1][l]) * nz + at[2][l]);
}

/* The eight corners of a cell are four runs of two nodes each; ask for those of every `step`-th sample. */
STEP void FN(fetch)(const cf_lattice *g, const batch *b, int step) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    __asm__ volatile(""); /* or the compiler drops the call: it sees no effect */
    for (int l = 0; l < BATCH; l += step) {
        const float *at = g->cells + 4 * (ptrdiff_t)b->node[l];
        __builtin_prefetch(at);
        __builtin_prefetch(at + 7);
        __builtin_prefetch(at + s1);
        __builtin_prefetch(at + s1 + 7);
        at += s2;
        __builtin_prefetch(at);
        __builtin_prefetch(at + 7);
        __builtin_prefetch(at + s1);
        __builtin_prefetch(at + s1 + 7);
    }
}

/* Blend along x, then y, on pairs of nodes, then along z between the two of the pair. */
STEP void FN(blend_batch)(const cf_lattice *g, const batch *b, ptrdiff_t count, float *restrict out) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    for (ptrdiff_t l = 0; l < count; l++) {
        const float *at = g->cells + 4 * (ptrdiff_t)b->node[l];
        const f8 p00 = *(const f8 *)at, p01 = *(const f8 *)(at + s1);
        at += s2;
        const f8 q0 = p00 + b->fx[l] * (*(const f8 *)at - p00), q1 = p01 + b->fx[l] * (*(const f8 *)(at + s1) - p01);
        split r;
        r.whole = q0 + b->fy[l] * (q1 - q0);
        *(f4 *)(out + 4 * l) = r.half[0] + b->fz[l] * (r.half[1] - r.half[0]);
    }
}

/* The same for nodes that hold `count` values (ensembles: 4 x pad, a multiple of 16). */
INLINE void FN(blend)(const float *at, ptrdiff_t s0, ptrdiff_t s1, ptrdiff_t s2, ptrdiff_t count, float fx, float fy,
                      float fz, float *restrict out) {
    for (ptrdiff_t c = 0; c < count; c++) {
        const float *p = at + c;
        const float a0 = p[0] + fx * (p[s2] - p[0]), a1 = p[s1] + fx * (p[s2 + s1] - p[s1]);
        const float b0 = p[s0] + fx * (p[s2 + s0] - p[s0]), b1 = p[s1 + s0] + fx * (p[s2 + s1 + s0] - p[s1 + s0]);
        const float a = a0 + fy * (a1 - a0), b = b0 + fy * (b1 - b0);
        out[c] = a + fz * (b - a);
    }
}

/* Mean over realisations, in one fixed order. */
INLINE double FN(mean)(const float *row, ptrdiff_t R) {
    double part[16] = {0.0};
    for (ptrdiff_t k = 0; k + 16 <= R; k += 16)
        for (int l = 0; l < 16; l++)
            part[l] += (double)row[k + l];
    for (ptrdiff_t k = R & ~(ptrdiff_t)15, l = 0; k + l < R; l++)
        part[l] += (double)row[k + l];
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++)
            part[l] += part[l + width];
    return part[0] / (double)R;
}

INLINE double FN(total)(d4 v) { return (v[0] + v[1]) + (v[2] + v[3]); }

/* ---- points ----------------------------------------------------------------------------------------------------- */

STEP void FN(locate)(const cf_lattice *g, const double *restrict xyz, ptrdiff_t count, batch *restrict b) {
    double at[3][BATCH];
    const double ox = g->origin[0], oy = g->origin[1], oz = g->origin[2];
    const double ix = g->inverse[0], iy = g->inverse[1], iz = g->inverse[2];
    for (ptrdiff_t l = 0; l < count; l++) {
        at[0][l] = (xyz[3 * l] - ox) * ix;
        at[1][l] = (xyz[3 * l + 1] - oy) * iy;
        at[2][l] = (xyz[3 * l + 2] - oz) * iz;
    }
    for (ptrdiff_t l = count; l < BATCH; l++)
        at[0][l] = at[1][l] = at[2][l] = 0.0;
    FN(cells)(g, at, b);
}

STEP void FN(put)(const float *restrict values, const batch *b, ptrdiff_t count, int columns, double outside,
                  double *restrict out, uint8_t *restrict inside) {
    if (columns == 4)
        for (ptrdiff_t l = 0; l < count; l++)
            for (int c = 0; c < 4; c++)
                out[4 * l + c] = (double)values[4 * l + c] - (c == 3 ? 1.0 : 0.0);
    else
        for (ptrdiff_t l = 0; l < count; l++)
            for (int c = 0; c < 3; c++)
                out[3 * l + c] = (double)values[4 * l + c];
    for (ptrdiff_t l = 0; l < count; l++) {
        if (!INSIDE(b, l))
            for (int c = 0; c < columns; c++)
                out[columns * l + c] = outside;
        if (inside)
            inside[l] = INSIDE(b, l);
    }
}

static void FN(points_one)(const cf_lattice *g, const double *xyz, ptrdiff_t n, int columns, double outside, double *out,
                           uint8_t *inside) {
    float values[4 * BATCH];
    batch b;
    for (ptrdiff_t q = 0; q < n; q += BATCH) {
        const ptrdiff_t count = n - q < BATCH ? n - q : BATCH;
        FN(locate)(g, xyz + 3 * q, count, &b);
        if (count > 1)
            FN(fetch)(g, &b, 1);
        FN(blend_batch)(g, &b, count, values);
        FN(put)(values, &b, count, columns, outside, out + columns * q, inside ? inside + q : NULL);
    }
}

static void FN(points_all)(const cf_lattice *g, const double *xyz, ptrdiff_t n, float *row, double *out,
                           uint8_t *inside) {
    const ptrdiff_t s0 = 4 * g->pad, s1 = s0 * g->nz, s2 = s1 * g->ny, R = g->R, pad = g->pad;
    batch b;
    for (ptrdiff_t q = 0; q < n; q += BATCH) {
        const ptrdiff_t count = n - q < BATCH ? n - q : BATCH;
        FN(locate)(g, xyz + 3 * q, count, &b);
        for (ptrdiff_t l = 0; l < count; l++) {
            double *to = out + (q + l) * 4 * R;
            if (INSIDE(&b, l)) {
                FN(blend)(g->cells + s0 * b.node[l], s0, s1, s2, s0, b.fx[l], b.fy[l], b.fz[l], row);
                for (ptrdiff_t c = 0; c < 4; c++)
                    for (ptrdiff_t k = 0; k < R; k++)
                        to[c * R + k] = (double)row[c * pad + k] - (c == 3 ? 1.0 : 0.0);
            } else
                memset(to, 0, (size_t)(4 * R) * sizeof *to);
        }
        for (ptrdiff_t l = 0; l < count; l++)
            inside[q + l] = INSIDE(&b, l);
    }
}

/* ---- lines of sight --------------------------------------------------------------------------------------------- */

/* Cells of a batch of samples at distances r (or, without r, at (first + l) dr). */
STEP void FN(sight_cells)(const cf_lattice *g, const double *n, const double *restrict r, double dr, ptrdiff_t first,
                          ptrdiff_t count, batch *restrict b) {
    double at[3][BATCH], far[BATCH];
    if (r)
        for (ptrdiff_t l = 0; l < BATCH; l++)
            far[l] = r[l < count ? l : count - 1];
    else
        for (int32_t l = 0; l < BATCH; l++)
            far[l] = (double)((int32_t)first + l) * dr;
    for (int a = 0; a < 3; a++) {
        const double start = -g->origin[a] * g->inverse[a], slope = n[a] * g->inverse[a];
        for (int l = 0; l < BATCH; l++)
            at[a][l] = start + far[l] * slope;
    }
    FN(cells)(g, at, b);
}

STEP void FN(put_sight)(const float *restrict values, const batch *b, const double *n, ptrdiff_t count,
                        double *restrict v_rad, double *restrict delta, uint8_t *restrict inside) {
    for (ptrdiff_t l = 0; l < count; l++) {
        const float *v = values + 4 * l;
        v_rad[l] = (double)v[0] * n[0] + (double)v[1] * n[1] + (double)v[2] * n[2];
        delta[l] = (double)v[3] - 1.0;
    }
    for (ptrdiff_t l = 0; l < count; l++) {
        inside[l] = INSIDE(b, l);
        if (!inside[l])
            v_rad[l] = delta[l] = 0.0;
    }
}

static void FN(along)(const cf_lattice *g, const double *n, const double *r, ptrdiff_t count, float *row, double *v_rad,
                      double *delta, uint8_t *inside) {
    const ptrdiff_t s0 = 4 * g->pad, s1 = s0 * g->nz, s2 = s1 * g->ny, pad = g->pad;
    float values[4 * BATCH];
    batch two[2];
    FN(sight_cells)(g, n, r, 0.0, 0, count < BATCH ? count : BATCH, &two[0]);
    for (ptrdiff_t j = 0; j < count; j += BATCH) {
        const ptrdiff_t here = count - j < BATCH ? count - j : BATCH, next = count - j - BATCH;
        batch *b = &two[(j / BATCH) & 1], *after = &two[(j / BATCH + 1) & 1];
        if (next > 0) {
            FN(sight_cells)(g, n, r + j + BATCH, 0.0, 0, next < BATCH ? next : BATCH, after);
            if (pad == 1)
                FN(fetch)(g, after, 4);
        }
        if (pad == 1)
            FN(blend_batch)(g, b, here, values);
        else
            for (ptrdiff_t l = 0; l < here; l++) {
                FN(blend)(g->cells + s0 * b->node[l], s0, s1, s2, s0, b->fx[l], b->fy[l], b->fz[l], row);
                for (int c = 0; c < 4; c++)
                    values[4 * l + c] = (float)FN(mean)(row + c * pad, g->R);
            }
        FN(put_sight)(values, b, n, here, v_rad + j, delta + j, inside + j);
    }
}

/* ---- posteriors: deviations ------------------------------------------------------------------------------------- */

INLINE double FN(radial_of_observer)(const cf_line *L, const double *n, ptrdiff_t k) {
    const ptrdiff_t pad = L->g.pad;
    return L->v0 ? (double)L->v0[k] * n[0] + (double)L->v0[pad + k] * n[1] + (double)L->v0[2 * pad + k] * n[2] : 0.0;
}

/* Vectors of `moments` may overhang the samples looked at: make those weigh nothing. */
INLINE void FN(overhang)(cf_sight *s, ptrdiff_t values, ptrdiff_t v_rad) {
    for (ptrdiff_t j = s->lo & ~(ptrdiff_t)3; j < ((s->hi + 3) & ~(ptrdiff_t)3); j++)
        if (j < s->lo || j >= s->hi) {
            s->d2[j] = 1e300;
            s->x[j] = s->sig[j] = 0.0;
            memset(s->values + j * values, 0, (size_t)values * sizeof(float));
            memset(s->v_rad + j * v_rad, 0, (size_t)v_rad * sizeof(float));
        }
}

STEP void FN(project)(const float *restrict values, const double *n, ptrdiff_t count, float *restrict v_rad) {
    const float nx = (float)n[0], ny = (float)n[1], nz = (float)n[2];
    for (ptrdiff_t l = 0; l < count; l++)
        v_rad[l] = values[4 * l] * nx + values[4 * l + 1] * ny + values[4 * l + 2] * nz;
}

/* Samples of the mean field into values (vx, vy, vz, 1 + delta) and v_rad, both 0 outside (1 + delta: 1). */
INLINE void FN(sample_line)(const cf_line *L, cf_sight *s) {
    const cf_lattice *g = &L->g;
    batch two[2];
    for (ptrdiff_t j = s->lo; j < s->hi; j++)
        if (j == s->in_lo && s->in_hi > j)
            j = s->in_hi - 1;
        else {
            s->values[4 * j] = s->values[4 * j + 1] = s->values[4 * j + 2] = s->v_rad[j] = 0.0f;
            s->values[4 * j + 3] = 1.0f;
        }
    const ptrdiff_t from = s->in_lo, count = s->in_hi - s->in_lo;
    if (count <= 0)
        return;
    FN(sight_cells)(g, s->n, NULL, L->dr, from, BATCH, &two[0]);
    FN(fetch)(g, &two[0], 4);
    for (ptrdiff_t j = 0; j < count; j += BATCH) {
        batch *b = &two[(j / BATCH) & 1], *after = &two[(j / BATCH + 1) & 1];
        if (count - j > BATCH) {
            FN(sight_cells)(g, s->n, NULL, L->dr, from + j + BATCH, BATCH, after);
            FN(fetch)(g, after, 4);
        }
        FN(blend_batch)(g, b, count - j < BATCH ? count - j : BATCH, s->values + 4 * (from + j));
    }
    FN(project)(s->values + 4 * from, s->n, count, s->v_rad + from);
}

static double FN(deviations_one)(const cf_line *L, cf_sight *s) {
    FN(sample_line)(L, s);
    const double observer = FN(radial_of_observer)(L, s->n, 0), variance = 1.0 / s->s2;
    double least[4] = {1e300, 1e300, 1e300, 1e300};
    for (ptrdiff_t j = s->lo; j < s->hi; j++) {
        const double v = (double)s->v_rad[j] - (j >= s->in_lo && j < s->in_hi ? observer : 0.0);
        s->x[j] = CF_C_KMS * (s->z_obs - L->zb[j]) - (1.0 + L->zb[j]) * v;
        s->d2[j] = s->x[j] * s->x[j] * variance;
    }
    if (L->use_sigma)
        for (ptrdiff_t j = s->lo; j < s->hi; j++)
            s->d2[j] = s->x[j] * s->x[j] / (s->s2 + s->sig[j] * s->sig[j]);
    ptrdiff_t j = s->lo;
    for (; j + 4 <= s->hi; j += 4)
        for (int l = 0; l < 4; l++)
            least[l] = s->d2[j + l] < least[l] ? s->d2[j + l] : least[l];
    for (; j < s->hi; j++)
        least[0] = s->d2[j] < least[0] ? s->d2[j] : least[0];
    for (int l = 1; l < 4; l++)
        least[0] = least[l] < least[0] ? least[l] : least[0];
    FN(overhang)(s, 4, 1);
    return least[0];
}

/* ---- posteriors: moments ---------------------------------------------------------------------------------------- */

INLINE d4 FN(exp4)(d4 x) {
    /* As cf_exp, for -708 < x <= 0; below, nothing. The shift trick leaves k in the low bits of a large number. */
    const l4 counts = x > -700.0;
    const double big = 6755399441055744.0; /* 1.5 * 2^52 */
    const d4 shifted = x * 1.4426950408889634 + big, k = shifted - big;
    const d4 t = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    d4 p = t * (1 / 6227020800.0) + 1 / 479001600.0;
    p = p * t + 1 / 39916800.0;
    p = p * t + 1 / 3628800.0;
    p = p * t + 1 / 362880.0;
    p = p * t + 1 / 40320.0;
    p = p * t + 1 / 5040.0;
    p = p * t + 1 / 720.0;
    p = p * t + 1 / 120.0;
    p = p * t + 1 / 24.0;
    p = p * t + 1 / 6.0;
    p = p * t + 0.5;
    p = p * t + 1.0;
    p = p * t + 1.0;
    return (d4)(((l4)p + ((l4)shifted << 52)) & counts);
}

INLINE double FN(density_prior)(const cf_line *L, double density) {
    density = density > 0.01 ? density : 0.01;
    return L->alpha == 1.0 ? density : cf_exp(L->alpha * cf_log(density));
}

static void FN(normalise_one)(const cf_line *L, cf_sight *s) {
    /* Only the evidence needs it; the caller has sampled the whole line. */
    double total = 0.0;
    for (ptrdiff_t j = 0; j < L->m; j++)
        total += L->trap[j] * L->prior[j] * FN(density_prior)(L, (double)s->values[4 * j + 3]);
    s->norm[0] = 1.0 / total;
}

static void FN(moments_one)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre,
                            double *sums) {
    const double rc = (double)centre * L->dr, zc = L->zb[centre], mc = L->mu[centre];
    const d4 zero = {0.0, 0.0, 0.0, 0.0}, steps = {0.0, 1.0, 2.0, 3.0};
    d4 area = zero, r1 = zero, r2 = zero, z1 = zero, z2 = zero, m1 = zero, m2 = zero, vr2 = zero, top = zero, etop = zero;
    d4 v0 = zero, v1 = zero, v2 = zero, v3 = zero;
    for (ptrdiff_t j = a; j < b; j += 4) {
        d4 p = FN(exp4)((*(const d4 *)(s->d2 + j) - least) * -0.5) * *(const d4 *)(L->prior + j);
        if (L->density)
            for (int l = 0; l < 4; l++)
                p[l] *= FN(density_prior)(L, (double)s->values[4 * (j + l) + 3]);
        if (L->use_sigma)
            for (int l = 0; l < 4; l++)
                p[l] *= sqrt(s->s2 / (s->s2 + s->sig[j + l] * s->sig[j + l]));
        *(d4 *)(s->p + j) = p;
        const d4 q = p * *(const d4 *)(L->trap + j), pe = p * *(const d4 *)(L->inv_e + j);
        const d4 r = ((double)j + steps) * L->dr - rc, z = *(const d4 *)(L->zb + j) - zc, mu = *(const d4 *)(L->mu + j) - mc;
        const d4 qr = q * r, qz = q * z, qm = q * mu, v = __builtin_convertvector(*(const f4 *)(s->v_rad + j), d4);
        area += q;
        r1 += qr;
        r2 += qr * r;
        z1 += qz;
        z2 += qz * z;
        m1 += qm;
        m2 += qm * mu;
        vr2 += q * v * v;
        const l4 higher = p > top, ehigher = pe > etop;
        top = (d4)(((l4)p & higher) | ((l4)top & ~higher));
        etop = (d4)(((l4)pe & ehigher) | ((l4)etop & ~ehigher));
        const float *values = s->values + 4 * j;
        v0 += q[0] * __builtin_convertvector(*(const f4 *)values, d4);
        v1 += q[1] * __builtin_convertvector(*(const f4 *)(values + 4), d4);
        v2 += q[2] * __builtin_convertvector(*(const f4 *)(values + 8), d4);
        v3 += q[3] * __builtin_convertvector(*(const f4 *)(values + 12), d4);
    }
    const d4 v = (v0 + v1) + (v2 + v3);
    sums[CF_AREA] = FN(total)(area);
    sums[CF_R1] = FN(total)(r1), sums[CF_R2] = FN(total)(r2);
    sums[CF_Z1] = FN(total)(z1), sums[CF_Z2] = FN(total)(z2);
    sums[CF_MU1] = FN(total)(m1), sums[CF_MU2] = FN(total)(m2);
    sums[CF_VX] = v[0], sums[CF_VY] = v[1], sums[CF_VZ] = v[2], sums[CF_DELTA] = v[3] - sums[CF_AREA];
    sums[CF_VR2] = FN(total)(vr2);
    sums[CF_PMAX] = sums[CF_PEMAX] = 0.0;
    for (int l = 0; l < 4; l++) {
        sums[CF_PMAX] = top[l] > sums[CF_PMAX] ? top[l] : sums[CF_PMAX];
        sums[CF_PEMAX] = etop[l] > sums[CF_PEMAX] ? etop[l] : sums[CF_PEMAX];
    }
}

/* ---- posteriors of an ensemble ---------------------------------------------------------------------------------- */

/* exp(x) for x <= 0, float32; below -60 nothing, so that no product becomes denormal. */
INLINE float FN(exp1)(float x) {
    const float live = x > -60.0f ? 1.0f : 0.0f, clamped = x > -60.0f ? x : -60.0f;
    const float big = 12582912.0f; /* 1.5 * 2^23 */
    const float shifted = clamped * 1.44269504f + big, k = shifted - big;
    const float t = (clamped - k * 0.693359375f) + k * 2.12194440e-4f;
    float p = t * (1 / 5040.0f) + 1 / 720.0f;
    p = p * t + 1 / 120.0f;
    p = p * t + 1 / 24.0f;
    p = p * t + 1 / 6.0f;
    p = p * t + 0.5f;
    p = p * t + 1.0f;
    p = p * t + 1.0f;
    union { float f; int32_t i; } bits = {p}, count = {shifted};
    bits.i += (int32_t)((uint32_t)count.i << 23);
    return bits.f * live;
}

typedef struct {
    float w[8];
    const float *at[8];
} FN(corners);

INLINE void FN(corners_of)(const cf_lattice *g, const batch *b, ptrdiff_t l, FN(corners) *c) {
    const ptrdiff_t s0 = 4 * g->pad, s1 = s0 * g->nz, s2 = s1 * g->ny;
    const float x = b->fx[l], y = b->fy[l], z = b->fz[l];
    for (int m = 0; m < 8; m++) {
        c->w[m] = (m & 4 ? x : 1.0f - x) * (m & 2 ? y : 1.0f - y) * (m & 1 ? z : 1.0f - z);
        c->at[m] = g->cells + s0 * b->node[l] + (m & 4 ? s2 : 0) + (m & 2 ? s1 : 0) + (m & 1 ? s0 : 0);
    }
}

INLINE void FN(weighted)(const float w[8], const float *restrict rows, ptrdiff_t stride, ptrdiff_t pad,
                         float *restrict out) {
    const float *r1 = rows + stride, *r2 = r1 + stride, *r3 = r2 + stride, *r4 = r3 + stride, *r5 = r4 + stride,
                *r6 = r5 + stride, *r7 = r6 + stride;
    for (ptrdiff_t k = 0; k < pad; k++)
        out[k] = ((w[0] * rows[k] + w[1] * r1[k]) + (w[2] * r2[k] + w[3] * r3[k])) +
                 ((w[4] * r4[k] + w[5] * r5[k]) + (w[6] * r6[k] + w[7] * r7[k]));
}

/* Density of every realisation at a sample: the fourth component of the eight corners. */
INLINE void FN(densities)(const FN(corners) *c, ptrdiff_t pad, float *restrict out) {
    const ptrdiff_t d = 3 * pad;
    const float *a0 = c->at[0] + d, *a1 = c->at[1] + d, *a2 = c->at[2] + d, *a3 = c->at[3] + d, *a4 = c->at[4] + d,
                *a5 = c->at[5] + d, *a6 = c->at[6] + d, *a7 = c->at[7] + d;
    for (ptrdiff_t k = 0; k < pad; k++)
        out[k] = ((c->w[0] * a0[k] + c->w[1] * a1[k]) + (c->w[2] * a2[k] + c->w[3] * a3[k])) +
                 ((c->w[4] * a4[k] + c->w[5] * a5[k]) + (c->w[6] * a6[k] + c->w[7] * a7[k]));
}

/* Radial velocities of one sample, with their mean and the least squared deviation; (c dz) = at_rest - stretch v. */
INLINE double FN(compare)(const cf_line *L, cf_sight *s, ptrdiff_t j, double variance) {
    const ptrdiff_t R = L->g.R, pad = L->g.pad;
    const float *restrict v = s->values + j * pad;
    const double rest = CF_C_KMS * (s->z_obs - L->zb[j]), stretch = 1.0 + L->zb[j];
    const float rest1 = (float)rest, stretch1 = (float)stretch, variance1 = (float)variance;
    float sum[16] = {0.0f}, least[16];
    for (int l = 0; l < 16; l++)
        least[l] = 3e38f;
    for (ptrdiff_t k = 0; k < pad; k += 16)
        for (int l = 0; l < 16; l++) {
            const float x = rest1 - stretch1 * v[k + l], d = x * x * variance1;
            least[l] = d < least[l] ? d : least[l];
        }
    for (ptrdiff_t k = 0; k + 16 <= R; k += 16)
        for (int l = 0; l < 16; l++)
            sum[l] += v[k + l];
    for (ptrdiff_t k = R & ~(ptrdiff_t)15, l = 0; k + l < R; l++)
        sum[l] += v[k + l];
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++) {
            sum[l] += sum[l + width];
            least[l] = least[l] < least[l + width] ? least[l] : least[l + width];
        }
    s->x[j] = rest - stretch * ((double)sum[0] / (double)R);
    s->d2[j] = (double)least[0];
    return s->d2[j];
}

static double FN(deviations_all)(const cf_line *L, cf_sight *s) {
    const cf_lattice *g = &L->g;
    const ptrdiff_t pad = g->pad, R = g->R, d = pad;
    const float nx = (float)s->n[0], ny = (float)s->n[1], nz = (float)s->n[2];
    float *restrict radial = s->corner, *restrict observer = s->corner + 16 * pad;
    for (ptrdiff_t k = 0; k < pad; k++)
        observer[k] = k < R ? (float)FN(radial_of_observer)(L, s->n, k) : 0.0f;
    int64_t node = -1;
    double least = 1e300;
    batch b;
    FN(corners) c;
    for (ptrdiff_t j = s->lo; j < s->hi; j++) {
        float *v = s->values + j * pad, *density = s->v_rad + j * pad;
        if (j >= s->in_lo && j < s->in_hi) {
            const ptrdiff_t l = (j - s->in_lo) % BATCH;
            if (l == 0)
                FN(sight_cells)(g, s->n, NULL, L->dr, j, BATCH, &b);
            FN(corners_of)(g, &b, l, &c);
            if (b.node[l] != node) {
                node = b.node[l];
                for (int m = 0; m < 8; m++) {
                    const float *restrict at = c.at[m];
                    float *restrict to = radial + m * pad;
                    for (ptrdiff_t k = 0; k < pad; k++)
                        to[k] = (nx * at[k] + ny * at[d + k] + nz * at[2 * d + k]) - observer[k];
                    for (ptrdiff_t k = R; k < pad; k++) /* the padding repeats a realisation and weighs nothing */
                        to[k] = to[0];
                }
            }
            FN(weighted)(c.w, radial, pad, pad, v);
            if (L->density)
                FN(densities)(&c, pad, density);
        } else {
            memset(v, 0, (size_t)pad * sizeof *v);
            if (L->density)
                for (ptrdiff_t k = 0; k < pad; k++)
                    density[k] = 1.0f;
        }
        const double variance = 1.0 / (L->use_sigma ? s->s2 + s->sig[j] * s->sig[j] : s->s2);
        const double here = FN(compare)(L, s, j, variance);
        least = here < least ? here : least;
    }
    FN(overhang)(s, pad, L->density ? pad : 0);
    return least;
}

static void FN(normalise_all)(const cf_line *L, cf_sight *s) {
    const cf_lattice *g = &L->g;
    const ptrdiff_t pad = g->pad, R = g->R;
    memset(s->norm, 0, (size_t)pad * sizeof *s->norm);
    for (ptrdiff_t j = 0; j < L->m; j++) { /* the caller has sampled the whole line */
        const double weight = L->trap[j] * L->prior[j];
        const float *density = s->v_rad + j * pad;
        if (L->alpha == 1.0)
            for (ptrdiff_t k = 0; k < pad; k++)
                s->norm[k] += weight * (double)(density[k] > 0.01f ? density[k] : 0.01f);
        else
            for (ptrdiff_t k = 0; k < R; k++)
                s->norm[k] += weight * FN(density_prior)(L, (double)density[k]);
    }
    for (ptrdiff_t k = 0; k < pad; k++)
        s->norm[k] = k < R ? 1.0 / ((double)R * s->norm[k]) : 0.0;
}

/* Sum of product of two rows into 16 lanes, then one number: the same order on every machine. */
INLINE double FN(dot)(const float *restrict a, const float *restrict b, ptrdiff_t pad) {
    float part[16] = {0.0f};
    for (ptrdiff_t k = 0; k < pad; k += 16)
        for (int l = 0; l < 16; l++)
            part[l] += a[k + l] * b[k + l];
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++)
            part[l] += part[l + width];
    return (double)part[0];
}

static void FN(moments_all)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre,
                            double *sums) {
    const cf_lattice *g = &L->g;
    const ptrdiff_t pad = g->pad, R = g->R;
    const double rc = (double)centre * L->dr, zc = L->zb[centre], mc = L->mu[centre];
    float *restrict share = s->corner, *restrict observer = s->corner + 16 * pad, *restrict norm = s->corner + 17 * pad,
          *restrict zeros = s->corner + 18 * pad;
    int64_t node = -1;
    batch cells;
    FN(corners) c;
    for (ptrdiff_t k = 0; k < pad; k++)
        norm[k] = (float)(s->norm[k] / s->norm[0]), zeros[k] = 0.0f;
    for (int i = 0; i < CF_N_SUMS; i++)
        sums[i] = 0.0;
    for (ptrdiff_t j = a; j <= b; j++) {
        const int inside = j >= s->in_lo && j < s->in_hi && j < b && j < s->hi;
        if (inside) {
            const ptrdiff_t l = (j - s->in_lo) % BATCH;
            if (l == 0 || node < 0)
                FN(sight_cells)(g, s->n, NULL, L->dr, j - l, BATCH, &cells);
        }
        const int64_t here = inside ? cells.node[(j - s->in_lo) % BATCH] : -1;
        if (here != node) {
            if (node >= 0) /* the samples of a cell share its corners: their weights were collected, now they count */
                for (int m = 0; m < 8; m++)
                    for (int q = 0; q < 4; q++)
                        sums[CF_VX + q] += FN(dot)(share + m * pad, c.at[m] + q * pad, pad);
            memset(share, 0, (size_t)(8 * pad) * sizeof *share);
            node = here;
        }
        if (j == b)
            break;
        if (j < s->lo || j >= s->hi) {
            s->p[j] = 0.0;
            continue;
        }
        const double s2 = L->use_sigma ? s->s2 + s->sig[j] * s->sig[j] : s->s2;
        const float rest = (float)(CF_C_KMS * (s->z_obs - L->zb[j])), stretch = (float)(1.0 + L->zb[j]),
                    variance = (float)(1.0 / s2), base = (float)least;
        const float *restrict v = s->values + j * pad, *restrict density = s->v_rad + j * pad,
                    *restrict frame = inside ? observer : zeros;
        float weight[CF_PAD_MAX], part[16] = {0.0f}, part2[16] = {0.0f};
        for (ptrdiff_t k = 0; k < pad; k++) {
            const float x = rest - stretch * v[k];
            weight[k] = FN(exp1)((x * x * variance - base) * -0.5f) * norm[k];
        }
        if (L->density) {
            if (L->alpha == 1.0)
                for (ptrdiff_t k = 0; k < pad; k++)
                    weight[k] *= density[k] > 0.01f ? density[k] : 0.01f;
            else
                for (ptrdiff_t k = 0; k < R; k++)
                    weight[k] *= (float)FN(density_prior)(L, (double)density[k]);
        }
        for (ptrdiff_t k = 0; k < pad; k += 16)
            for (int l = 0; l < 16; l++) {
                const float u = v[k + l] + frame[k + l];
                part[l] += weight[k + l];
                part2[l] += weight[k + l] * u * u;
            }
        for (int width = 8; width; width /= 2)
            for (int l = 0; l < width; l++)
                part[l] += part[l + width], part2[l] += part2[l + width];
        const double scale = L->prior[j] * (L->use_sigma ? sqrt(s->s2 / s2) : 1.0);
        const double p = (double)part[0] * scale, q = p * L->trap[j], pe = p * L->inv_e[j];
        const double r = (double)j * L->dr - rc, z = L->zb[j] - zc, mu = L->mu[j] - mc;
        s->p[j] = p;
        sums[CF_AREA] += q;
        sums[CF_R1] += q * r, sums[CF_R2] += q * r * r;
        sums[CF_Z1] += q * z, sums[CF_Z2] += q * z * z;
        sums[CF_MU1] += q * mu, sums[CF_MU2] += q * mu * mu;
        sums[CF_VR2] += (double)part2[0] * scale * L->trap[j];
        sums[CF_PMAX] = p > sums[CF_PMAX] ? p : sums[CF_PMAX];
        sums[CF_PEMAX] = pe > sums[CF_PEMAX] ? pe : sums[CF_PEMAX];
        if (inside) {
            const float unit = (float)(scale * L->trap[j]);
            FN(corners_of)(g, &cells, (j - s->in_lo) % BATCH, &c);
            for (int m = 0; m < 8; m++) {
                const float w = c.w[m] * unit;
                float *restrict to = share + m * pad;
                for (ptrdiff_t k = 0; k < pad; k++)
                    to[k] += w * weight[k];
            }
        } else
            sums[CF_DELTA] += q; /* 1 + delta = 1 out there */
    }
    sums[CF_DELTA] -= sums[CF_AREA];
}

/* ---- one or many realisations ----------------------------------------------------------------------------------- */

static void FN(points_mean)(const cf_lattice *g, const double *xyz, ptrdiff_t n, int columns, double outside,
                            double *out, uint8_t *inside) {
    if (g->pad == 1) {
        FN(points_one)(g, xyz, n, columns, outside, out, inside);
        return;
    }
    const ptrdiff_t s0 = 4 * g->pad, s1 = s0 * g->nz, s2 = s1 * g->ny;
    float row[4 * CF_PAD_MAX];
    batch b;
    for (ptrdiff_t q = 0; q < n; q += BATCH) {
        const ptrdiff_t count = n - q < BATCH ? n - q : BATCH;
        FN(locate)(g, xyz + 3 * q, count, &b);
        for (ptrdiff_t l = 0; l < count; l++) {
            FN(blend)(g->cells + s0 * b.node[l], s0, s1, s2, s0, b.fx[l], b.fy[l], b.fz[l], row);
            for (int c = 0; c < columns; c++)
                out[columns * (q + l) + c] = INSIDE(&b, l) ? FN(mean)(row + c * g->pad, g->R) - (c == 3 ? 1.0 : 0.0) : outside;
            if (inside)
                inside[q + l] = INSIDE(&b, l);
        }
    }
}

static double FN(deviations)(const cf_line *L, cf_sight *s) {
    return L->g.pad == 1 ? FN(deviations_one)(L, s) : FN(deviations_all)(L, s);
}

static void FN(normalise)(const cf_line *L, cf_sight *s) {
    if (L->g.pad == 1)
        FN(normalise_one)(L, s);
    else
        FN(normalise_all)(L, s);
}

static void FN(moments)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre,
                        double *sums) {
    if (L->g.pad == 1)
        FN(moments_one)(L, s, a, b, least, centre, sums);
    else
        FN(moments_all)(L, s, a, b, least, centre, sums);
}

static const cf_level FN(level) = {CF_TEXT(LEVEL), FN(points_mean), FN(points_all), FN(along), FN(deviations),
                                   FN(normalise), FN(moments)};

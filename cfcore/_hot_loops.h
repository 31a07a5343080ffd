/* The hot loops, included by `_hot.c` once per instruction set; LEVEL names the copy.

   Vectors have fixed widths and sums a fixed order, whatever the machine's registers: every copy gives the same bits.
   Memory comes first: a batch of positions becomes cells and fractions, then the cells are asked for (prefetch), then
   the arithmetic finds them in cache. Storage and blending float32, positions, weights and sums float64. */

#ifndef CF_VECTORS
#define CF_VECTORS
typedef float f4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef float f8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double d4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef int32_t i4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t i8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef int64_t l4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef union { f8 whole; f4 half[2]; } split;
#define INLINE static inline __attribute__((always_inline))
#define BATCH 32 /* its cache lines fill a third of the nearest cache */
#define STEP static __attribute__((noinline)) /* a function of its own keeps its registers */
#define AHEAD 3
typedef struct {
    double off[BATCH]; /* how far outside the lattice, in nodes: 0, or NaN */
    int32_t node[BATCH];
    float fx[BATCH], fy[BATCH], fz[BATCH];
} batch;
#define INSIDE(off) ((off) <= CF_FACE) /* false for NaN */
#endif

/* ---- vectors: what GCC spells badly by itself, with the same results ------------------------------------------------ */

#if defined(__AVX2__) && !defined(__clang__)
INLINE d4 FN(widen)(f4 v) { return __builtin_ia32_cvtps2pd256(v); }
INLINE f4 FN(narrow)(d4 v) { return __builtin_ia32_cvtpd2ps256(v); }
INLINE i4 FN(whole)(d4 v) { return (i4)__builtin_ia32_cvttpd2dq256(v); }
INLINE d4 FN(floor)(d4 v) { return __builtin_ia32_roundpd256(v, 3); } /* towards zero */
INLINE d4 FN(lesser)(d4 a, d4 b) { return __builtin_ia32_minpd256(a, b); }
INLINE d4 FN(greater)(d4 a, d4 b) { return __builtin_ia32_maxpd256(a, b); }
INLINE f8 FN(lesser8)(f8 a, f8 b) { return __builtin_ia32_minps256(a, b); }
INLINE f8 FN(join)(f4 a, f4 b) { return __builtin_ia32_vinsertf128_ps256(__builtin_ia32_ps256_ps(a), b, 1); }
#else
INLINE d4 FN(widen)(f4 v) { return __builtin_convertvector(v, d4); }
INLINE f4 FN(narrow)(d4 v) { return __builtin_convertvector(v, f4); }
INLINE i4 FN(whole)(d4 v) { return __builtin_convertvector(v, i4); }
INLINE d4 FN(floor)(d4 v) { return __builtin_convertvector(__builtin_convertvector(v, i4), d4); }
INLINE d4 FN(lesser)(d4 a, d4 b) {
    const l4 is = a < b;
    return (d4)(((l4)a & is) | ((l4)b & ~is));
}
INLINE d4 FN(greater)(d4 a, d4 b) {
    const l4 is = a > b;
    return (d4)(((l4)a & is) | ((l4)b & ~is));
}
INLINE f8 FN(lesser8)(f8 a, f8 b) {
    const i8 is = a < b;
    return (f8)(((i8)a & is) | ((i8)b & ~is));
}
#endif
#define D4(p) (*(const d4 *)(p))
#define F4(p) (*(const f4 *)(p))
#define F8(p) (*(const f8 *)(p))

/* ---- cells ------------------------------------------------------------------------------------------------------ */

/* One axis of four positions: fractional node coordinate -> cell and fraction; the upper face belongs to the last cell. */
INLINE d4 FN(cell)(d4 at, double last, float *fraction) {
    const d4 zero = {0.0, 0.0, 0.0, 0.0};
    const d4 whole = FN(lesser)(FN(floor)(at), zero + last);
    *(f4 *)fraction = FN(narrow)(at - whole);
    return whole;
}

/* The same where positions may lie outside: those are moved to the nearest face, and `off` says how far they were. */
INLINE d4 FN(any_cell)(d4 at, double last, float *fraction, d4 *off) {
    const d4 zero = {0.0, 0.0, 0.0, 0.0};
    const d4 in = FN(lesser)(FN(greater)(at, zero), zero + (last + 1.0)), beyond = at - in;
    *off += FN(greater)(beyond, -beyond);
    return FN(cell)(in, last, fraction);
}

INLINE void FN(cells)(const cf_lattice *g, double at[3][BATCH], batch *restrict b) {
    const double ny = (double)g->ny, nz = (double)g->nz;
    for (int l = 0; l < BATCH; l += 4) {
        d4 off = {0.0, 0.0, 0.0, 0.0};
        const d4 x = FN(any_cell)(D4(at[0] + l), (double)g->nx - 2.0, b->fx + l, &off);
        const d4 y = FN(any_cell)(D4(at[1] + l), ny - 2.0, b->fy + l, &off);
        const d4 z = FN(any_cell)(D4(at[2] + l), nz - 2.0, b->fz + l, &off);
        *(d4 *)(b->off + l) = off;
        *(i4 *)(b->node + l) = FN(whole)((x * ny + y) * nz + z); /* whole numbers below 2^31: exact */
    }
}

/* The eight corners of a cell are four runs of two nodes each. */
STEP void FN(fetch)(const cf_lattice *g, const batch *b) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    __asm__ volatile(""); /* or the compiler drops the call: it sees no effect */
    for (int l = 0; l < BATCH; l++) {
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

/* Along a line neighbours share their lines of cache: ask for every fourth sample's upper nodes. */
STEP void FN(fetch_sight)(const cf_lattice *g, const batch *b) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    __asm__ volatile("");
    for (int l = 0; l < BATCH; l += 4) {
        const float *at = g->cells + 4 * (ptrdiff_t)b->node[l] + 4;
        __builtin_prefetch(at);
        __builtin_prefetch(at + s1);
        __builtin_prefetch(at + s2);
        __builtin_prefetch(at + s2 + s1);
    }
}

/* Blend along x, then y, on pairs of nodes, then along z between the two of the pair. */
INLINE f4 FN(blend4)(const float *at, ptrdiff_t s1, ptrdiff_t s2, float fx, float fy, float fz) {
    const f8 p00 = F8(at), p01 = F8(at + s1), q0 = p00 + fx * (F8(at + s2) - p00), q1 = p01 + fx * (F8(at + s2 + s1) - p01);
    split r;
    r.whole = q0 + fy * (q1 - q0);
    return r.half[0] + fz * (r.half[1] - r.half[0]);
}

STEP void FN(blend_batch)(const cf_lattice *g, const batch *b, ptrdiff_t count, float *restrict out) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    const float *cells = g->cells;
    for (ptrdiff_t l = 0; l < count; l++)
        *(f4 *)(out + 4 * l) = FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l], s1, s2, b->fx[l], b->fy[l], b->fz[l]);
}

/* The same on a line of sight, with the component along it. */
STEP void FN(blend_sight)(const cf_lattice *g, const batch *b, ptrdiff_t count, const double *n, float *restrict out,
                          float *restrict v_rad) {
    const ptrdiff_t s1 = 4 * g->nz, s2 = s1 * g->ny;
    const float *cells = g->cells;
    const float nx = (float)n[0], ny = (float)n[1], nz = (float)n[2];
    ptrdiff_t l = 0;
#if defined(__AVX2__) && !defined(__clang__)
    const f8 n8 = {nx, ny, nz, 0.0f, nx, ny, nz, 0.0f};
    for (; l + 4 <= count; l += 4) {
        const f4 fx = F4(b->fx + l), fy = F4(b->fy + l), fz = F4(b->fz + l);
        const f8 r = FN(join)(
            FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l], s1, s2, fx[0], fy[0], fz[0]),
            FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l + 1], s1, s2, fx[1], fy[1], fz[1]));
        const f8 t = FN(join)(
            FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l + 2], s1, s2, fx[2], fy[2], fz[2]),
            FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l + 3], s1, s2, fx[3], fy[3], fz[3]));
        *(f8 *)(out + 4 * l) = r;
        *(f8 *)(out + 4 * l + 8) = t;
        split sum; /* (x + y), (z + 0) of samples 0 2 | 1 3, then their sums */
        sum.whole = __builtin_ia32_haddps256(r * n8, t * n8);
        sum.whole = __builtin_ia32_haddps256(sum.whole, sum.whole);
        *(f4 *)(v_rad + l) = (f4)__builtin_ia32_unpcklps(sum.half[0], sum.half[1]);
    }
#endif
    for (; l < count; l++) {
        const f4 v = FN(blend4)(cells + 4 * (ptrdiff_t)b->node[l], s1, s2, b->fx[l], b->fy[l], b->fz[l]);
        *(f4 *)(out + 4 * l) = v;
        v_rad[l] = (v[0] * nx + v[1] * ny) + v[2] * nz;
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
    const d4 unit = {0.0, 0.0, 0.0, 1.0};
    d4 worst = {0.0, 0.0, 0.0, 0.0};
    if (columns == 4)
        for (ptrdiff_t l = 0; l < count; l++)
            *(d4 *)(out + 4 * l) = FN(widen)(F4(values + 4 * l)) - unit;
    else
        for (ptrdiff_t l = 0; l < count; l++)
            for (int c = 0; c < 3; c++)
                out[3 * l + c] = (double)values[4 * l + c];
    for (int l = 0; l < BATCH; l += 4)
        worst += D4(b->off + l); /* NaN stays */
    if (INSIDE(worst[0]) && INSIDE(worst[1]) && INSIDE(worst[2]) && INSIDE(worst[3])) {
        if (inside)
            memset(inside, 1, (size_t)count);
        return;
    }
    for (ptrdiff_t l = 0; l < count; l++) {
        if (!INSIDE(b->off[l]))
            for (int c = 0; c < columns; c++)
                out[columns * l + c] = outside;
        if (inside)
            inside[l] = INSIDE(b->off[l]);
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
            FN(fetch)(g, &b);
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
            if (INSIDE(b.off[l])) {
                FN(blend)(g->cells + s0 * b.node[l], s0, s1, s2, s0, b.fx[l], b.fy[l], b.fz[l], row);
                for (ptrdiff_t c = 0; c < 4; c++)
                    for (ptrdiff_t k = 0; k < R; k++)
                        to[c * R + k] = (double)row[c * pad + k] - (c == 3 ? 1.0 : 0.0);
            } else
                memset(to, 0, (size_t)(4 * R) * sizeof *to);
        }
        for (ptrdiff_t l = 0; l < count; l++)
            inside[q + l] = INSIDE(b.off[l]);
    }
}

/* ---- lines of sight --------------------------------------------------------------------------------------------- */

/* Cells of a batch of samples at distances r. */
STEP void FN(cells_at)(const cf_lattice *g, const double *n, const double *restrict r, ptrdiff_t count,
                       batch *restrict b) {
    double at[3][BATCH];
    for (int a = 0; a < 3; a++) {
        const double start = -g->origin[a] * g->inverse[a], slope = n[a] * g->inverse[a];
        for (ptrdiff_t l = 0; l < BATCH; l++)
            at[a][l] = start + r[l < count ? l : count - 1] * slope;
    }
    FN(cells)(g, at, b);
}

/* Cells of BATCH samples at (first + l) dr. Those that count are known to be inside, the others are not looked at. */
STEP void FN(sight_cells)(const cf_lattice *g, const double *n, double dr, ptrdiff_t first, batch *restrict b) {
    const double ox = -g->origin[0] * g->inverse[0], oy = -g->origin[1] * g->inverse[1], oz = -g->origin[2] * g->inverse[2];
    const double sx = n[0] * g->inverse[0] * dr, sy = n[1] * g->inverse[1] * dr, sz = n[2] * g->inverse[2] * dr;
    const double lx = (double)g->nx - 2.0, ny = (double)g->ny, nz = (double)g->nz;
    d4 j = {0.0, 1.0, 2.0, 3.0};
    j += (double)first;
    for (int l = 0; l < BATCH; l += 4, j += 4.0) {
        const d4 x = FN(cell)(ox + j * sx, lx, b->fx + l);
        const d4 y = FN(cell)(oy + j * sy, ny - 2.0, b->fy + l);
        const d4 z = FN(cell)(oz + j * sz, nz - 2.0, b->fz + l);
        *(i4 *)(b->node + l) = FN(whole)((x * ny + y) * nz + z);
    }
}

STEP void FN(put_sight)(const float *restrict values, const batch *b, const double *n, ptrdiff_t count,
                        double *restrict v_rad, double *restrict delta, uint8_t *restrict inside) {
    for (ptrdiff_t l = 0; l < count; l++) {
        const float *v = values + 4 * l;
        v_rad[l] = (double)v[0] * n[0] + (double)v[1] * n[1] + (double)v[2] * n[2];
        delta[l] = (double)v[3] - 1.0;
    }
    for (ptrdiff_t l = 0; l < count; l++) {
        inside[l] = INSIDE(b->off[l]);
        if (!inside[l])
            v_rad[l] = delta[l] = 0.0;
    }
}

static void FN(along)(const cf_lattice *g, const double *n, const double *r, ptrdiff_t count, float *row, double *v_rad,
                      double *delta, uint8_t *inside) {
    const ptrdiff_t s0 = 4 * g->pad, s1 = s0 * g->nz, s2 = s1 * g->ny, pad = g->pad;
    float values[4 * BATCH];
    batch two[2];
    FN(cells_at)(g, n, r, count < BATCH ? count : BATCH, &two[0]);
    for (ptrdiff_t j = 0; j < count; j += BATCH) {
        const ptrdiff_t here = count - j < BATCH ? count - j : BATCH, next = count - j - BATCH;
        batch *b = &two[(j / BATCH) & 1], *after = &two[(j / BATCH + 1) & 1];
        if (next > 0) {
            FN(cells_at)(g, n, r + j + BATCH, next < BATCH ? next : BATCH, after);
            if (pad == 1)
                FN(fetch_sight)(g, after);
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

/* Vectors of `moments` may overhang the samples looked at: make those weigh nothing and cross nothing. */
INLINE void FN(overhang)(cf_sight *s, ptrdiff_t values, ptrdiff_t v_rad) {
    for (ptrdiff_t j = s->lo & ~(ptrdiff_t)3; j <= ((s->hi + 3) & ~(ptrdiff_t)3); j++) {
        if (j == s->lo)
            j = s->hi;
        s->d2[j] = 1e300;
        s->x[j] = j < s->lo ? s->x[s->lo] : s->x[s->hi - 1];
        s->sig[j] = 0.0;
        memset(s->values + j * values, 0, (size_t)values * sizeof(float));
        memset(s->v_rad + j * v_rad, 0, (size_t)v_rad * sizeof(float));
    }
}

/* Samples of the mean field into values (vx, vy, vz, 1 + delta) and v_rad, both 0 outside (1 + delta: 1). */
INLINE void FN(sample_line)(const cf_line *L, cf_sight *s) {
    const cf_lattice *g = &L->g;
    batch ring[AHEAD + 1];
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
    /* the cells of AHEAD batches are under way while one is blended */
    for (ptrdiff_t j = 0; j < count + AHEAD * BATCH; j += BATCH) {
        batch *const b = &ring[j / BATCH % (AHEAD + 1)];
        const ptrdiff_t now = j - AHEAD * BATCH;
        if (j < count) {
            FN(sight_cells)(g, s->n, L->dr, from + j, b);
            FN(fetch_sight)(g, b);
        }
        if (now >= 0)
            FN(blend_sight)(g, &ring[now / BATCH % (AHEAD + 1)], count - now < BATCH ? count - now : BATCH, s->n,
                            s->values + 4 * (from + now), s->v_rad + from + now);
    }
}

static double FN(deviations_one)(const cf_line *L, cf_sight *s) {
    FN(sample_line)(L, s);
    const double observer = FN(radial_of_observer)(L, s->n, 0), variance = 1.0 / s->s2, z = s->z_obs;
    const double *restrict zb = L->zb;
    const float *restrict v = s->v_rad;
    double *restrict x = s->x, *restrict d2 = s->d2;
    const d4 zero = {0.0, 0.0, 0.0, 0.0};
    d4 low = zero + 1e300;
    ptrdiff_t j = s->lo;
    for (; j + 4 <= s->hi; j += 4) {
        const d4 d = CF_C_KMS * (z - D4(zb + j)) - (1.0 + D4(zb + j)) * FN(widen)(F4(v + j)), sq = d * d * variance;
        *(d4 *)(x + j) = d;
        *(d4 *)(d2 + j) = sq;
        low = FN(lesser)(sq, low);
    }
    double least = 1e300;
    if (observer == 0.0 && !L->use_sigma)
        for (int l = 0; l < 4; l++)
            least = low[l] < least ? low[l] : least;
    else
        j = s->lo; /* again, one by one */
    for (; j < s->hi; j++) {
        /* predictions are relative to the observer; outside there is no prediction but Hubble's */
        const double u = (double)v[j] - (j >= s->in_lo && j < s->in_hi ? observer : 0.0);
        x[j] = CF_C_KMS * (z - zb[j]) - (1.0 + zb[j]) * u;
        d2[j] = x[j] * x[j] * (L->use_sigma ? 1.0 / (s->s2 + s->sig[j] * s->sig[j]) : variance);
        least = d2[j] < least ? d2[j] : least;
    }
    FN(overhang)(s, 4, 1);
    return least;
}

/* ---- posteriors: moments ---------------------------------------------------------------------------------------- */

INLINE d4 FN(exp4)(d4 x) {
    /* exp(x) for -700 < x <= 0; below, nothing. The shift trick leaves k in the low bits of a large number. */
    const l4 counts = x > -700.0;
    const double big = 6755399441055744.0; /* 1.5 * 2^52 */
    const d4 shifted = x * 1.4426950408889634 + big, k = shifted - big;
    const d4 t = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    /* Taylor to t^11, whose next term is below 1e-14, in pairs: the shorter chain keeps the adders busy */
    const d4 t2 = t * t, t4 = t2 * t2;
    const d4 low = (t + 1.0) + t2 * (t * (1 / 6.0) + 0.5);
    const d4 mid = (t * (1 / 120.0) + 1 / 24.0) + t2 * (t * (1 / 5040.0) + 1 / 720.0);
    const d4 high = (t * (1 / 362880.0) + 1 / 40320.0) + t2 * (t * (1 / 39916800.0) + 1 / 3628800.0);
    const d4 p = low + t4 * (mid + t4 * high);
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

/* Where the greatest of four running maxima stands. */
INLINE double FN(summit)(d4 top, l4 at, double *value) {
    int best = 0;
    for (int l = 1; l < 4; l++)
        if (top[l] > top[best] || (top[l] == top[best] && at[l] + l < at[best] + best))
            best = l;
    *value = top[best];
    return (double)(at[best] + best);
}

/* The posterior at each sample; where it and p/E are greatest, and where x changes sign. */
STEP void FN(weights_one)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, double *sums) {
    const d4 zero = {0.0, 0.0, 0.0, 0.0};
    const l4 none = {0, 0, 0, 0};
    d4 top = zero, etop = zero;
    l4 at = none, eat = none, flips = none, flip_at = none;
    const double *restrict x = s->x, *restrict d2 = s->d2, *restrict prior = L->prior, *restrict inv_e = L->inv_e;
    double *restrict to = s->p;
    for (ptrdiff_t j = a; j < b; j += 4) {
        d4 p = FN(exp4)((D4(d2 + j) - least) * -0.5) * D4(prior + j);
        if (L->density)
            for (int l = 0; l < 4; l++)
                p[l] *= FN(density_prior)(L, (double)s->values[4 * (j + l) + 3]);
        if (L->use_sigma)
            for (int l = 0; l < 4; l++)
                p[l] *= sqrt(s->s2 / (s->s2 + s->sig[j + l] * s->sig[j + l]));
        *(d4 *)(to + j) = p;
        const d4 pe = p * D4(inv_e + j);
        const l4 higher = p > top, ehigher = pe > etop, here = none + j, flip = (D4(x + j) > 0.0) ^ (D4(x + j + 1) > 0.0);
        top = FN(greater)(p, top);
        at = (here & higher) | (at & ~higher);
        etop = FN(greater)(pe, etop);
        eat = (here & ehigher) | (eat & ~ehigher);
        flips -= flip;
        flip_at += flip & here;
    }
    sums[CF_PAT] = FN(summit)(top, at, &sums[CF_PMAX]);
    sums[CF_PEAT] = FN(summit)(etop, eat, &sums[CF_PEMAX]);
    sums[CF_FLIPS] = (double)((flips[0] + flips[1]) + (flips[2] + flips[3]));
    sums[CF_FLIP_AT] = 0.0; /* of a single one: its vector, and its place there */
    for (int l = 0; l < 4; l++)
        sums[CF_FLIP_AT] += (double)(flip_at[l] + l * flips[l]);
}

static void FN(moments_one)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre,
                            double *sums) {
    FN(weights_one)(L, s, a, b, least, sums);
    const d4 zero = {0.0, 0.0, 0.0, 0.0}, four = zero + 4.0;
    d4 area = zero, r1 = zero, r2 = zero, z1 = zero, z2 = zero, m1 = zero, m2 = zero, vr2 = zero, r = {0.0, 1.0, 2.0, 3.0};
    const f8 none = {0.0f};
    f8 v0 = none, v1 = none;
    r += (double)(a - centre);
    for (ptrdiff_t j = a; j < b; j += 4) {
        const d4 q = D4(s->p + j) * D4(L->trap + j), z = D4(L->zb + j), mu = D4(L->mu + j), v = FN(widen)(F4(s->v_rad + j));
        const d4 qr = q * r, qz = q * z, qm = q * mu;
        area += q;
        r1 += qr;
        r2 += qr * r;
        z1 += qz;
        z2 += qz * z;
        m1 += qm;
        m2 += qm * mu;
        vr2 += q * v * v;
        const f4 f = FN(narrow)(q); /* the flow is float32 anyhow */
        v0 += (f8){f[0], f[0], f[0], f[0], f[1], f[1], f[1], f[1]} * F8(s->values + 4 * j);
        v1 += (f8){f[2], f[2], f[2], f[2], f[3], f[3], f[3], f[3]} * F8(s->values + 4 * j + 8);
        r += four;
    }
    split v;
    v.whole = v0 + v1;
    sums[CF_AREA] = FN(total)(area);
    sums[CF_R1] = FN(total)(r1) * L->dr, sums[CF_R2] = FN(total)(r2) * L->dr * L->dr;
    sums[CF_Z1] = FN(total)(z1), sums[CF_Z2] = FN(total)(z2);
    sums[CF_MU1] = FN(total)(m1), sums[CF_MU2] = FN(total)(m2);
    sums[CF_VR2] = FN(total)(vr2);
    for (int c = 0; c < 4; c++)
        sums[CF_VX + c] = (double)v.half[0][c] + (double)v.half[1][c];
    sums[CF_DELTA] -= sums[CF_AREA];
}

#include "_hot_ensemble.h"

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
                out[columns * (q + l) + c] = INSIDE(b.off[l]) ? FN(mean)(row + c * g->pad, g->R) - (c == 3 ? 1.0 : 0.0) : outside;
            if (inside)
                inside[q + l] = INSIDE(b.off[l]);
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

/* Posteriors of an ensemble, the part of `_hot_loops.h` where a sample is a row of realisations, eight at a time. */

/* exp(x) for x <= 0, float32; below -60 nothing, so that no product becomes denormal. */
INLINE f8 FN(exp8)(f8 x) {
    const i8 live = x > -60.0f;
    x = (f8)((i8)x & live);
    const float big = 12582912.0f; /* 1.5 * 2^23 */
    const f8 shifted = x * 1.44269504f + big, k = shifted - big;
    const f8 t = (x - k * 0.693359375f) + k * 2.12194440e-4f, t2 = t * t;
    const f8 p = ((t + 1.0f) + t2 * (t * (1 / 6.0f) + 0.5f)) +
                 t2 * t2 * ((t * (1 / 120.0f) + 1 / 24.0f) + t2 * (t * (1 / 5040.0f) + 1 / 720.0f));
    return (f8)(((i8)p + ((i8)shifted << 23)) & live);
}

INLINE double FN(total8)(f8 v) {
    return (((double)v[0] + (double)v[4]) + ((double)v[2] + (double)v[6])) +
           (((double)v[1] + (double)v[5]) + ((double)v[3] + (double)v[7]));
}

/* The corners of a sample's cell: their weights, and where they lie. */
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

/* Radial velocities at the corners, relative to the observer; the padding repeats a realisation and weighs nothing. */
STEP void FN(radial_corners)(const FN(corners) *c, const double *n, ptrdiff_t R, ptrdiff_t pad,
                             const float *restrict observer, float *restrict radial) {
    const float nx = (float)n[0], ny = (float)n[1], nz = (float)n[2];
    for (int m = 0; m < 8; m++) {
        const float *restrict at = c->at[m];
        float *restrict to = radial + m * pad;
        for (ptrdiff_t k = 0; k < pad; k += 8)
            *(f8 *)(to + k) = (nx * F8(at + k) + ny * F8(at + pad + k) + nz * F8(at + 2 * pad + k)) - F8(observer + k);
        for (ptrdiff_t k = R; k < pad; k++)
            to[k] = to[0];
    }
}

INLINE f8 FN(weighted)(const float *restrict w, const float *const *rows, ptrdiff_t k) {
    return ((w[0] * F8(rows[0] + k) + w[1] * F8(rows[1] + k)) + (w[2] * F8(rows[2] + k) + w[3] * F8(rows[3] + k))) +
           ((w[4] * F8(rows[4] + k) + w[5] * F8(rows[5] + k)) + (w[6] * F8(rows[6] + k) + w[7] * F8(rows[7] + k)));
}

STEP void FN(densities)(const FN(corners) *c, ptrdiff_t pad, float *restrict out) {
    for (ptrdiff_t k = 0; k < pad; k += 8)
        *(f8 *)(out + k) = FN(weighted)(c->w, c->at, 3 * pad + k);
}

/* Radial velocities of one sample from those at its corners (none: at rest), their mean, the least deviation. */
STEP double FN(compare)(const cf_line *L, cf_sight *s, ptrdiff_t j, const float *w, const float *radial,
                        const float *restrict live, double variance) {
    const ptrdiff_t pad = L->g.pad;
    float *restrict v = s->values + j * pad;
    const double rest = CF_C_KMS * (s->z_obs - L->zb[j]), stretch = 1.0 + L->zb[j];
    const float rest1 = (float)rest, stretch1 = (float)stretch, variance1 = (float)variance;
    const f8 zero = {0.0f};
    f8 sum = zero, least = zero + 3e38f;
    const float *rows[8];
    for (int m = 0; m < 8; m++)
        rows[m] = radial + m * pad;
    for (ptrdiff_t k = 0; k < pad; k += 8) {
        const f8 u = w ? FN(weighted)(w, rows, k) : zero, x = rest1 - stretch1 * u, d = x * x * variance1;
        least = FN(lesser8)(d, least);
        sum += u * F8(live + k);
        *(f8 *)(v + k) = u;
    }
    for (int l = 1; l < 8; l++)
        least[0] = least[l] < least[0] ? least[l] : least[0];
    s->x[j] = rest - stretch * (FN(total8)(sum) / (double)L->g.R);
    s->d2[j] = (double)least[0];
    return s->d2[j];
}

static double FN(deviations_all)(const cf_line *L, cf_sight *s) {
    const cf_lattice *g = &L->g;
    const ptrdiff_t pad = g->pad, R = g->R;
    float *radial = s->corner, *observer = s->corner + 8 * pad, *live = s->corner + 9 * pad;
    for (ptrdiff_t k = 0; k < pad; k++) {
        observer[k] = k < R ? (float)FN(radial_of_observer)(L, s->n, k) : 0.0f;
        live[k] = k < R ? 1.0f : 0.0f;
    }
    int32_t node = -1;
    double least = 1e300;
    batch b;
    FN(corners) c;
    for (ptrdiff_t j = s->lo; j < s->hi; j++) {
        const int inside = j >= s->in_lo && j < s->in_hi;
        if (inside) {
            const ptrdiff_t l = (j - s->in_lo) % BATCH;
            if (l == 0)
                FN(sight_cells)(g, s->n, L->dr, j, &b);
            FN(corners_of)(g, &b, l, &c);
            if (b.node[l] != node)
                FN(radial_corners)(&c, s->n, R, pad, observer, radial);
            node = b.node[l];
        }
        if (L->density) {
            float *density = s->v_rad + j * pad;
            if (inside)
                FN(densities)(&c, pad, density);
            else
                for (ptrdiff_t k = 0; k < pad; k++)
                    density[k] = 1.0f;
        }
        const double variance = 1.0 / (L->use_sigma ? s->s2 + s->sig[j] * s->sig[j] : s->s2);
        const double here = FN(compare)(L, s, j, inside ? c.w : NULL, radial, live, variance);
        least = here < least ? here : least;
    }
    FN(overhang)(s, pad, L->density ? pad : 0);
    return least;
}

static void FN(normalise_all)(const cf_line *L, cf_sight *s) {
    const ptrdiff_t pad = L->g.pad, R = L->g.R;
    double *restrict norm = s->norm;
    memset(norm, 0, (size_t)pad * sizeof *norm);
    for (ptrdiff_t j = 0; j < L->m; j++) { /* the caller has sampled the whole line */
        const double weight = L->trap[j] * L->prior[j];
        const float *restrict density = s->v_rad + j * pad;
        if (L->alpha == 1.0)
            for (ptrdiff_t k = 0; k < pad; k++)
                norm[k] += weight * (double)(density[k] > 0.01f ? density[k] : 0.01f);
        else
            for (ptrdiff_t k = 0; k < R; k++)
                norm[k] += weight * FN(density_prior)(L, (double)density[k]);
    }
    for (ptrdiff_t k = 0; k < pad; k++)
        norm[k] = k < R ? 1.0 / ((double)R * norm[k]) : 0.0;
}

/* Weights of the realisations of one sample; returns their sum, and that of weight x velocity^2. */
STEP double FN(weigh)(const cf_line *L, const cf_sight *s, ptrdiff_t j, double least, double s2,
                      const float *restrict norm, const float *restrict frame, float *restrict weight, double *vv) {
    const ptrdiff_t pad = L->g.pad;
    const float rest = (float)(CF_C_KMS * (s->z_obs - L->zb[j])), stretch = (float)(1.0 + L->zb[j]),
                variance = (float)(1.0 / s2), base = (float)least;
    const float *restrict v = s->values + j * pad, *restrict density = s->v_rad + j * pad;
    const f8 zero = {0.0f};
    f8 sum = zero, sum2 = zero;
    for (ptrdiff_t k = 0; k < pad; k += 8) {
        const f8 u = F8(v + k), x = rest - stretch * u, own = u + F8(frame + k);
        f8 w = FN(exp8)((x * x * variance - base) * -0.5f) * F8(norm + k);
        if (L->density) {
            f8 d = F8(density + k);
            if (L->alpha == 1.0) {
                const i8 thin = d < 0.01f;
                d = (f8)(((i8)(zero + 0.01f) & thin) | ((i8)d & ~thin));
            } else
                for (int l = 0; l < 8; l++)
                    d[l] = (float)FN(density_prior)(L, (double)d[l]);
            w *= d;
        }
        *(f8 *)(weight + k) = w;
        sum += w;
        sum2 += w * own * own;
    }
    *vv = FN(total8)(sum2);
    return FN(total8)(sum);
}

/* A sample's weights belong to the corners of its cell in the shares its place gives them. */
STEP void FN(deal)(const float *restrict w, double unit, const float *restrict weight, ptrdiff_t pad,
                   float *restrict share) {
    for (int m = 0; m < 8; m++) {
        const float part = w[m] * (float)unit;
        float *restrict to = share + m * pad;
        for (ptrdiff_t k = 0; k < pad; k += 8)
            *(f8 *)(to + k) = F8(to + k) + part * F8(weight + k);
    }
}

/* When the line leaves a cell, the weights its corners have collected meet their values. */
STEP void FN(collect)(const FN(corners) *c, ptrdiff_t pad, const float *restrict share, double *sums) {
    const f8 zero = {0.0f};
    for (int q = 0; q < 4; q++) {
        f8 sum[4] = {zero, zero, zero, zero};
        for (int m = 0; m < 8; m += 4)
            for (ptrdiff_t k = 0; k < pad; k += 8)
                for (int i = 0; i < 4; i++)
                    sum[i] += F8(share + (m + i) * pad + k) * F8(c->at[m + i] + q * pad + k);
        sums[CF_VX + q] += FN(total8)((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

static void FN(moments_all)(const cf_line *L, cf_sight *s, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre,
                            double *sums) {
    const cf_lattice *g = &L->g;
    const ptrdiff_t pad = g->pad;
    float *share = s->corner, *observer = s->corner + 8 * pad, *norm = s->corner + 9 * pad, *zeros = s->corner + 10 * pad,
          *weight = s->corner + 11 * pad;
    int32_t node = -1;
    ptrdiff_t first = -1;
    batch cells;
    FN(corners) c;
    for (ptrdiff_t k = 0; k < pad; k++)
        norm[k] = (float)(s->norm[k] / s->norm[0]), zeros[k] = 0.0f;
    memset(sums, 0, CF_N_SUMS * sizeof *sums);
    memset(share, 0, (size_t)(8 * pad) * sizeof *share);
    for (ptrdiff_t j = a; j < b; j++) {
        if (j < s->lo || j >= s->hi || L->prior[j] == 0.0) {
            s->p[j] = 0.0;
            continue;
        }
        const int inside = j >= s->in_lo && j < s->in_hi;
        if (inside) {
            if (first < 0 || j - first >= BATCH)
                FN(sight_cells)(g, s->n, L->dr, first = j, &cells);
            if (cells.node[j - first] != node && node >= 0) {
                FN(collect)(&c, pad, share, sums);
                memset(share, 0, (size_t)(8 * pad) * sizeof *share);
            }
            node = cells.node[j - first];
            FN(corners_of)(g, &cells, j - first, &c);
        }
        const double s2 = L->use_sigma ? s->s2 + s->sig[j] * s->sig[j] : s->s2;
        const double scale = L->prior[j] * (L->use_sigma ? sqrt(s->s2 / s2) : 1.0), unit = scale * L->trap[j];
        double vv;
        const double p = FN(weigh)(L, s, j, least, s2, norm, inside ? observer : zeros, weight, &vv) * scale;
        const double q = p * L->trap[j], pe = p * L->inv_e[j];
        const double r = (double)(j - centre) * L->dr, z = L->zb[j], mu = L->mu[j];
        s->p[j] = p;
        if ((s->x[j] > 0.0) != (s->x[j + 1] > 0.0))
            sums[CF_FLIPS] += 1.0, sums[CF_FLIP_AT] = (double)j;
        sums[CF_AREA] += q;
        sums[CF_R1] += q * r, sums[CF_R2] += q * r * r;
        sums[CF_Z1] += q * z, sums[CF_Z2] += q * z * z;
        sums[CF_MU1] += q * mu, sums[CF_MU2] += q * mu * mu;
        sums[CF_VR2] += vv * unit;
        if (p > sums[CF_PMAX])
            sums[CF_PMAX] = p, sums[CF_PAT] = (double)j;
        if (pe > sums[CF_PEMAX])
            sums[CF_PEMAX] = pe, sums[CF_PEAT] = (double)j;
        if (inside)
            FN(deal)(c.w, unit, weight, pad, share);
        else
            sums[CF_DELTA] += q; /* 1 + delta = 1 out there */
    }
    if (node >= 0)
        FN(collect)(&c, pad, share, sums);
    sums[CF_DELTA] -= sums[CF_AREA];
}

/* The hot loops behind `_kernels.pyx`: types, and the table of their copies, one per instruction set.

   A *line* is what all objects of one call share; a *sight* is one object's scratch along it. Two steps per object:
   `deviations` samples the field along the line and compares each sample's redshift with the observed one, `moments`
   turns that into weights and their sums. What follows (quantiles, modes, roots) is scalar and lives in Cython. */
#ifndef CF_HOT_H
#define CF_HOT_H

#include <stddef.h>
#include <stdint.h>

#define CF_C_KMS 299792.458
/* A node coordinate computed in floating point may miss its own face by a few ulp; a billionth of a cell forgives that. */
#define CF_FACE 1e-9
/* Samples whose likelihood is below exp(-CF_CUT) of the greatest weigh nothing: r^2 grows by 1e7 at most. */
#define CF_CUT 28.125
/* Tables along the line are this much longer than the line, so that vectors may overhang; `trap` is 0 there. */
#define CF_OVERHANG 8
/* Most realisations as stored; rows of scratch on the stack are this long. */
#define CF_PAD_MAX 1024

typedef struct {
    const float *cells;           /* (nx, ny, nz, 4, pad): vx, vy, vz [km/s], 1 + delta; realisation innermost */
    const float *sigma;           /* (nx, ny, nz) km/s, or NULL */
    ptrdiff_t nx, ny, nz;
    ptrdiff_t R, pad;             /* realisations, and realisations as stored (the rest are zeros) */
    double origin[3], inverse[3]; /* of node (0, 0, 0), h^-1 Mpc; 1 / spacing */
} cf_lattice;

typedef struct {
    cf_lattice g;
    ptrdiff_t m;                  /* samples at r = j dr, 0 <= j < m */
    double dr;
    const double *zb;             /* (m + overhang) cosmological redshift */
    const double *inv_e;          /* 1 / E(z) */
    const double *mu;             /* 5 log10 r */
    const double *trap;           /* weights of the trapezoid rule, dr or dr/2 */
    const double *prior;          /* r^2 or 1 */
    int density;                  /* multiply the prior by (1 + delta)^alpha */
    double alpha;
    int use_sigma;                /* add the field's own error in quadrature */
    const float *v0;              /* (3, pad) velocity of the observer, subtracted from predictions; or NULL */
} cf_line;

typedef struct {
    double n[3], z_obs, s2;       /* direction on the field's axes, redshift, variance in (km/s)^2 */
    ptrdiff_t lo, hi;             /* samples looked at */
    ptrdiff_t in_lo, in_hi;       /* those of them inside the lattice */
    double *x;                    /* (m) c (z_obs - z_pred) of the mean field, km/s */
    double *d2;                   /* (m) squared deviation in sigmas, the least of the realisations */
    double *p;                    /* (m) posterior in r, not normalised */
    double *sig;                  /* (m) field error, km/s; filled by the caller */
    float *values;                /* (m, 4) values of the samples; of an ensemble (m, pad) radial velocities */
    float *v_rad;                 /* (m) radial velocity; of an ensemble (m, pad) densities */
    float *corner;                /* ensembles: (12, pad) */
    double *norm;                 /* ensembles: (pad) 1 / (R x integral of the prior), 0 beyond R */
} cf_sight;

enum { CF_AREA, CF_R1, CF_R2, CF_Z1, CF_Z2, CF_MU1, CF_MU2, CF_VX, CF_VY, CF_VZ, CF_DELTA, CF_VR2, CF_PMAX, CF_PAT,
       CF_PEMAX, CF_PEAT, CF_FLIPS, CF_FLIP_AT, CF_N_SUMS };

typedef struct {
    const char *name;
    /* Mean field at points: (n, 3) or (n, 4) with delta; `outside` is written where there is no field. */
    void (*points)(const cf_lattice *, const double *xyz, ptrdiff_t n, int columns, double outside, double *out,
                   uint8_t *inside);
    /* Every realisation at points: (n, 4, R). */
    void (*points_all)(const cf_lattice *, const double *xyz, ptrdiff_t n, float *row, double *out, uint8_t *inside);
    /* Mean field along a direction at increasing distances: v_rad and delta. */
    void (*along)(const cf_lattice *, const double *n, const double *r, ptrdiff_t count, float *row, double *v_rad,
                  double *delta, uint8_t *inside);
    /* Fill x, d2 (or the ensemble's velocities and densities); return the least squared deviation, in sigmas. */
    double (*deviations)(const cf_line *, cf_sight *);
    /* Integral of the density prior of each realisation over the whole line, into norm. */
    void (*normalise)(const cf_line *, cf_sight *);
    /* Weights p of samples a <= j < b (a a multiple of 4) and their sums, distances counted from sample `centre`; the
       greatest p and p/E, and at which sample; how often x changes sign there, and after which sample last. */
    void (*moments)(const cf_line *, cf_sight *, ptrdiff_t a, ptrdiff_t b, double least, ptrdiff_t centre, double *sums);
} cf_level;

/* The copies this machine can run, best last; none where the compiler has no vector extensions. */
int cf_levels(const cf_level **table);

double cf_exp(double x);
double cf_log(double x);
void cf_sincos_deg(double degrees, double *sine, double *cosine);

#endif

/* Scalar functions that give the same bits on every machine, and the hot loops compiled per instruction set.

   The C library's sin, cos, exp and log differ in the last bit between machines with and without fused multiply-add;
   ours do not. Nothing here may be contracted: build with -ffp-contract=off. */
#include "_hot.h"


#include <math.h>
#include <string.h>

static double power_of_two(int64_t k) {
    const int64_t bits = (k + 1023) << 52;
    double out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

double cf_exp(double x) {
    /* exp(x) = 2^k exp(t), |t| <= ln2 / 2, by the Taylor series: its 13th term is below one ulp. */
    if (!(x > -708.0))
        return x != x ? x : 0.0;
    if (x > 709.0)
        return HUGE_VAL;
    const double k = floor(x * 1.4426950408889634 + 0.5);
    const double t = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    static const double inverse[] = {1 / 6227020800.0, 1 / 479001600.0, 1 / 39916800.0, 1 / 3628800.0, 1 / 362880.0,
                                     1 / 40320.0, 1 / 5040.0, 1 / 720.0, 1 / 120.0, 1 / 24.0, 1 / 6.0, 0.5, 1.0, 1.0};
    double p = inverse[0];
    for (int i = 1; i < 14; i++)
        p = p * t + inverse[i];
    return p * power_of_two((int64_t)k - 1) * 2.0;
}

double cf_log(double x) {
    /* log(x) = k ln2 + 2 artanh(s), s = (f - 1)/(f + 1), sqrt(1/2) <= f < sqrt(2). */
    if (!(x > 0.0))
        return x == 0.0 ? -HUGE_VAL : NAN;
    int k;
    double f = frexp(x, &k);
    if (f < 0.7071067811865476) {
        f *= 2.0;
        k -= 1;
    }
    const double s = (f - 1.0) / (f + 1.0), q = s * s;
    static const double inverse[] = {1 / 21.0, 1 / 19.0, 1 / 17.0, 1 / 15.0, 1 / 13.0, 1 / 11.0, 1 / 9.0, 1 / 7.0, 1 / 5.0, 1 / 3.0};
    double sum = 0.0;
    for (int i = 0; i < 10; i++)
        sum = (sum + inverse[i]) * q;
    return k * 0.6931471803691238 + (k * 1.9082149292705877e-10 + 2.0 * s * sum) + 2.0 * s;
}

void cf_sincos_deg(double degrees, double *sine, double *cosine) {
    /* The reduction to |a| <= 45 degrees is exact, so the poles and the axes come out exact too. */
    static const double odd[] = {1 / 355687428096000.0, -1 / 1307674368000.0, 1 / 6227020800.0, -1 / 39916800.0,
                                 1 / 362880.0, -1 / 5040.0, 1 / 120.0, -1 / 6.0};
    static const double even[] = {-1 / 6402373705728000.0, 1 / 20922789888000.0, -1 / 87178291200.0, 1 / 479001600.0,
                                  -1 / 3628800.0, 1 / 40320.0, -1 / 720.0, 1 / 24.0, -0.5};
    const double quarter = floor(degrees / 90.0 + 0.5);
    const double a = (degrees - quarter * 90.0) * 0.017453292519943295, q = a * a;
    double s = 0.0, c = 0.0;
    for (int i = 0; i < 8; i++)
        s = (s + odd[i]) * q;
    for (int i = 0; i < 9; i++)
        c = (c + even[i]) * q;
    s = a + a * s;
    c = 1.0 + c;
    switch ((int)quarter & 3) {
    case 0: *sine = s; *cosine = c; break;
    case 1: *sine = c; *cosine = -s; break;
    case 2: *sine = -s; *cosine = -c; break;
    default: *sine = -c; *cosine = s;
    }
}

#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors cross no boundary: all helpers are inlined */
#define CF_JOIN(a, b) a##_##b
#define CF_NAME(a, b) CF_JOIN(a, b)
#define FN(name) CF_NAME(name, LEVEL)
#define CF_QUOTE(a) #a
#define CF_TEXT(a) CF_QUOTE(a)

#define LEVEL base
#include "_hot_loops.h"
#undef LEVEL

#if defined(__x86_64__)
/* Targets by pragma, not by attribute: GCC lowers vectors before it inlines, so the helpers need the target as well. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define LEVEL avx2
#include "_hot_loops.h"
#undef LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif
#define LEVEL avx512
#include "_hot_loops.h"
#undef LEVEL
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

int cf_levels(const cf_level **table) {
    static cf_level known[3];
    int count = 0;
    known[count++] = level_base;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        known[count++] = level_avx2;
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            known[count++] = level_avx512;
    }
#endif
    *table = known;
    return count;
}
#else
int cf_levels(const cf_level **table) {
    *table = NULL;
    return 0;
}
#endif

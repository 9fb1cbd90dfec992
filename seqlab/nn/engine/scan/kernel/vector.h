// Vectors of VL numbers, and the functions that a step's code calls. REAL_IS_DOUBLE is defined before this text.
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <sched.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

#if REAL_IS_DOUBLE
typedef double real;
typedef int64_t integer;
#else
typedef float real;
typedef int32_t integer;
#endif
constexpr long VL = VECTOR_BYTES / sizeof(real);
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef integer mask __attribute__((vector_size(VECTOR_BYTES)));
typedef real loose __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(real x) { return x - vec{}; }  // x - 0 is x itself; x + 0 would cost an addition for -0
INLINE vec vec_of(real x) { return splat(x); }
INLINE vec vec_of(vec x) { return x; }
INLINE mask mask_of(bool x) { return mask{} - integer(x); }
INLINE vec load(const real* p) { return *(const loose*)p; }
INLINE void store(real* p, vec v) { *(loose*)p = v; }
INLINE vec choose(mask m, vec yes, vec no) { return m ? yes : no; }
// The mask of the lanes i with begin <= j + i < end.
INLINE mask lanes(long j, long begin, long end) {
  mask m{};
  for (long i = 0; i < VL; ++i) m[i] = -integer(j + i >= begin && j + i < end);
  return m;
}
INLINE vec number_of(mask m) { return choose(m, splat(1), vec{}); }
INLINE vec vec_of(mask m) { return number_of(m); }
INLINE vec keep_all(vec v, real) { return v; }
INLINE vec greater(vec a, vec b) { return choose((a > b) | (a != a), a, b); }  // NaN wins, as in maximum()
INLINE vec less(vec a, vec b) { return choose((a < b) | (a != a), a, b); }
INLINE vec greater(vec a, real b) { return greater(a, splat(b)); }
INLINE vec less(vec a, real b) { return less(a, splat(b)); }

INLINE vec load_some(long count, const real* p) {
#if defined(__AVX512F__) && !REAL_IS_DOUBLE
  return (vec)_mm512_maskz_loadu_ps(__mmask16((1u << count) - 1), p);
#else
  vec v{};
  for (long i = 0; i < count; ++i) v[i] = p[i];
  return v;
#endif
}
INLINE void store_some(long count, real* p, vec v) {
#if defined(__AVX512F__) && !REAL_IS_DOUBLE
  _mm512_mask_storeu_ps(p, __mmask16((1u << count) - 1), (__m512)v);
#else
  for (long i = 0; i < count; ++i) p[i] = v[i];
#endif
}
// p[offset + j + i] in the lanes i with begin <= j + i < end, and 0 in the other lanes, which may lie outside of p.
INLINE vec load_lanes(const real* p, long offset, long j, long begin, long end) {
  if (begin <= j && j + VL <= end) return load(p + offset + j);
  vec v{};
  for (long i = 0; i < VL; ++i)
    if (begin <= j + i && j + i < end) v[i] = p[offset + j + i];
  return v;
}
INLINE void store_lanes(real* p, long offset, long j, long end, vec v) {
  for (long i = 0; i < VL && j + i < end; ++i) p[offset + j + i] = v[i];
}
INLINE vec keep_some(long count, vec v, real edge) {
  for (long i = 0; i < VL; ++i) v[i] = i < count ? v[i] : edge;
  return v;
}
INLINE real sum_of(vec v) {
  real total = 0;
  for (long width = VL / 2; width; width /= 2)
    for (long i = 0; i < width; ++i) v[i] += v[i + width];
  total = v[0];
  return total;
}
INLINE real max_of(vec v) {
  real best = v[0];
  for (long i = 1; i < VL; ++i) best = v[i] > best || v[i] != v[i] ? v[i] : best;
  return best;
}
INLINE real min_of(vec v) {
  real best = v[0];
  for (long i = 1; i < VL; ++i) best = v[i] < best || v[i] != v[i] ? v[i] : best;
  return best;
}
template <class F>
INLINE vec each(vec x, F f) {
  for (long i = 0; i < VL; ++i) x[i] = f(x[i]);
  return x;
}
template <class F>
INLINE vec both(vec x, vec y, F f) {
  for (long i = 0; i < VL; ++i) x[i] = f(x[i], y[i]);
  return x;
}
// The remainder with the sign of the divisor, as in Python.
INLINE real modulo(real x, real y) {
  const real rest = std::fmod(x, y);
  return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}
INLINE vec square_root(vec x) { return each(x, [](real v) { return std::sqrt(v); }); }

#if REAL_IS_DOUBLE
INLINE vec inverse(vec x) { return real(1) / x; }
INLINE vec exponential(vec x) { return each(x, [](real v) { return std::exp(v); }); }
INLINE vec exponential_less_one(vec x) { return each(x, [](real v) { return std::expm1(v); }); }
INLINE vec logarithm(vec x) { return each(x, [](real v) { return std::log(v); }); }
INLINE vec logarithm_of_one_plus(vec x) { return each(x, [](real v) { return std::log1p(v); }); }
INLINE vec hyperbolic_tangent(vec x) { return each(x, [](real v) { return std::tanh(v); }); }
#else
INLINE vec inverse(vec x) {
#if defined(__AVX512F__)
  // A division takes 16 cycles. An estimate of 14 bits and one Newton step take 5, and are off by a rounding or two.
  const vec guess = (vec)_mm512_rcp14_ps((__m512)x);
  return guess + guess * (real(1) - x * guess);
#else
  return real(1) / x;
#endif
}
// x clamped to [low, high]; NaN stays NaN.
INLINE vec bounded(vec x, real low, real high) {
#if defined(__AVX512F__)
  return (vec)_mm512_min_ps((__m512)splat(high), _mm512_max_ps((__m512)splat(low), (__m512)x));
#else
  x = choose(x < low, splat(low), x);
  return choose(x > high, splat(high), x);
#endif
}
INLINE vec rounded(vec x) { return (x + real(12582912)) - real(12582912); }  // 1.5 * 2^23 leaves no fraction bits
// x * 2^n for a whole n in [-252, 252].
INLINE vec scaled(vec x, vec n) {
#if defined(__AVX512F__)
  return (vec)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
  const mask whole = __builtin_convertvector(n, mask), half = whole >> 1;
  return x * (vec)((half + 127) << 23) * (vec)((whole - half + 127) << 23);
#endif
}
// e^r - 1 for |r| <= ln(2) / 2: r + r^2 q(r), with q a least-squares fit at Chebyshev points, off by 2e-8 of the result.
INLINE vec small_expm1(vec r) {
  vec q = r * real(0.00139336452) + real(0.00836317667);
  q = q * r + real(0.0416664650);
  q = q * r + real(0.166665770);
  q = q * r + real(0.500000001);
  return q * (r * r) + r;
}
// x = n ln 2 + r, with ln 2 in two parts.
INLINE vec remainder_of(vec x, vec n) { return (x - n * real(0.693359375)) - n * real(-2.12194440e-4); }
INLINE vec exponential(vec x) {
  const vec t = bounded(x, real(-104), real(89)), n = rounded(t * real(1.44269504));
  return scaled(small_expm1(remainder_of(t, n)) + real(1), n);
}
INLINE vec exponential_less_one(vec x) {
  const vec t = bounded(x, real(-104), real(88.7)), n = rounded(t * real(1.44269504)), power = scaled(splat(1), n);
  const vec y = small_expm1(remainder_of(t, n)) * power + (power - real(1));  // exact to its last bits near 0
  return choose(x > real(80), exponential(x), y);  // beyond 80, the power could overflow where the result does not
}
INLINE vec logarithm(vec x) {
  const mask tiny = x < real(1.17549435e-38);
  const mask bits = (mask)choose(tiny, x * real(16777216), x);
  const mask e = (bits - 0x3f3504f3) >> 23;  // m = x / 2^e lies in [sqrt(1/2), sqrt(2))
  const vec m = (vec)(bits - (e << 23)), f = m - real(1), s = f / (f + real(2)), z = s * s;
  vec p = z * real(2.0 / 9) + real(2.0 / 7);
  p = p * z + real(2.0 / 5);
  p = p * z + real(2.0 / 3);
  p = p * z * s + s * real(2);
  const vec n = __builtin_convertvector(e, vec) - choose(tiny, splat(24), vec{});
  const vec y = n * real(0.693359375) + (p + n * real(-2.12194440e-4));
  const vec special = choose(x == real(0), splat(-INFINITY), choose(x == splat(INFINITY), x, splat(NAN)));
  return choose((x > real(0)) & (x < splat(INFINITY)), y, special);
}
INLINE vec logarithm_of_one_plus(vec x) {
  const vec w = x + real(1);  // the factor x / (w - 1) corrects the rounding of w
  return choose(w == real(1), x, choose(w == splat(INFINITY), w, logarithm(w) * (x / (w - real(1)))));
}
INLINE vec hyperbolic_tangent(vec x) {
  const vec t = bounded(x, real(-9.1), real(9.1)) * real(2), n = rounded(t * real(1.44269504));
  const vec power = scaled(splat(1), n), e = small_expm1(remainder_of(t, n)) * power + (power - real(1));
  return e * inverse(e + real(2));
}
INLINE vec sigmoid(vec x) {
  const vec t = bounded(-x, real(-87), real(87)), n = rounded(t * real(1.44269504));
  return inverse(real(1) + scaled(small_expm1(remainder_of(t, n)) + real(1), n));
}
#endif
#if REAL_IS_DOUBLE
INLINE vec sigmoid(vec x) { return real(1) / (real(1) + exponential(-x)); }
#endif

// Eight patients side by side, in GCC's vector extensions.
#pragma once
#include <cstring>
#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

enum { LANES = 8 };
typedef double v8 __attribute__((vector_size(8 * LANES)));
typedef long i8 __attribute__((vector_size(8 * LANES)));
#define INLINE static inline __attribute__((always_inline))

INLINE v8 all(double x) { return v8{} + x; }
INLINE v8 smaller(v8 a, v8 b) { return a < b ? a : b; }
INLINE v8 larger(v8 a, v8 b) { return a > b ? a : b; }
INLINE v8 absolute(v8 a) { return (v8)((i8)a & 0x7fffffffffffffffL); }

INLINE unsigned bits(i8 mask) {
#ifdef __AVX512DQ__
  return _mm512_movepi64_mask((__m512i)mask);
#else
  unsigned found = 0;
  for (int l = 0; l < LANES; l++) found |= (mask[l] != 0) << l;
  return found;
#endif
}

INLINE v8 root(v8 x) {
#ifdef __AVX512F__
  return (v8)_mm512_sqrt_pd((__m512d)x);
#else
  v8 y;
  for (int l = 0; l < LANES; l++) y[l] = __builtin_sqrt(x[l]);
  return y;
#endif
}

static const double ROUNDS = 6755399441055744.0; // 1.5 x 2^52: adding it rounds to a whole number

INLINE v8 whole(v8 x) { return (x + ROUNDS) - ROUNDS; }

// exp(x) for |x| < 700, to 7e-12 of itself.
INLINE v8 exponential(v8 x) {
  const v8 shifted = x * 1.4426950408889634 + ROUNDS;
  const v8 r = x - (shifted - ROUNDS) * 0.6931471805599453;
  const v8 r2 = r * r, r4 = r2 * r2;
  const v8 low = (1.0 + r) + r2 * (1.0 / 2 + r * (1.0 / 6));
  const v8 middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
  const v8 high = 1.0 / 40320 + r * (1.0 / 362880);
  const v8 poly = low + r4 * (middle + r4 * high);
  return (v8)((i8)poly + ((i8)shifted << 52));
}

// x^(-1/10) for positive x, to a few per cent: enough to choose a step.
INLINE v8 tenth_root_inverse(v8 x) {
  const v8 one = all(1023.0 * 4503599627370496.0);
  const v8 as_log = __builtin_convertvector((i8)x, v8) - one;
  return (v8)__builtin_convertvector(one - 0.1 * as_log, i8);
}

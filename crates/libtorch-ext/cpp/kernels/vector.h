// Sixteen floats at a time, in plain C++: the compiler turns each operation into one AVX-512, two AVX2 or four SSE or
// NEON instructions. A kernel marked FEWSTEP_CLONES is compiled once for each x86-64 level; the loader takes the best one.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define FEWSTEP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FEWSTEP_CLONES
#endif
#define FEWSTEP_INLINE __attribute__((always_inline)) inline

namespace fewstep {

constexpr int64_t LANES = 16;
typedef float Lanes __attribute__((vector_size(64)));
typedef int32_t IntLanes __attribute__((vector_size(64)));

static FEWSTEP_INLINE Lanes load(const float* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

static FEWSTEP_INLINE void store(float* to, Lanes lanes) { std::memcpy(to, &lanes, sizeof lanes); }

static FEWSTEP_INLINE Lanes all(float value) { return value - Lanes{}; }

// Rows of a 16x16 matrix to its columns: blocks of 1, 2, 4 and 8 change places.
static FEWSTEP_INLINE void transpose(Lanes* rows) {
  const IntLanes place = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#pragma GCC unroll 4
  for (int step = 1; step < LANES; step *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; ++i) {
      if (i & step) continue;
      const Lanes upper = rows[i], lower = rows[i + step];
#ifdef __clang__
      for (int lane = 0; lane < LANES; ++lane) {
        rows[i][lane] = lane & step ? lower[lane - step] : upper[lane];
        rows[i + step][lane] = lane & step ? lower[lane] : upper[lane + step];
      }
#else
      const IntLanes odd = (place & step) != 0;
      rows[i] = __builtin_shuffle(upper, lower, odd ? place + (16 - step) : place);
      rows[i + step] = __builtin_shuffle(upper, lower, odd ? place + 16 : place + step);
#endif
    }
  }
}

// exp to within two units in the last place; 0 far below and about 1e38 far above what a float holds.
// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor polynomial, 2^n by its exponent bits.
static FEWSTEP_INLINE Lanes exp(Lanes x) {
  const Lanes low = all(-87.3f), high = all(88.0f);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Lanes shift = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to the nearest integer
  const Lanes n = (x * 1.44269504f + shift) - shift;
  const Lanes r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Lanes p = all(1.0f / 5040.0f);
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const IntLanes bits = (__builtin_convertvector(n, IntLanes) + 127) << 23;
  Lanes power;
  std::memcpy(&power, &bits, sizeof power);
  return p * power;
}

static FEWSTEP_INLINE Lanes sigmoid(Lanes x) { return 1.0f / (1.0f + exp(-x)); }

}  // namespace fewstep

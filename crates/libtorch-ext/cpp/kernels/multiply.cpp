// A product is cut into tiles of `ROWS` rows and one or two vectors of columns whose sums stay in registers: 28 vectors of
// 16 floats with AVX-512, 12 registers of 8 with AVX2.
#include "multiply.h"

#include <algorithm>

#include "vector.h"

namespace fewstep {
namespace {

template <int ROWS, int VECTORS>
static FEWSTEP_INLINE void tile(const Product& p, int64_t row) {
  Lanes sums[ROWS][VECTORS];
  float* c = p.c + row * p.c_row;
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) sums[i][v] = p.add ? load(c + i * p.c_row + v * LANES) : Lanes{};
  }
  const float *a = p.a + row * p.a_row, *b = p.b;
  for (int64_t k = 0; k < p.depth; ++k, a += p.a_column, b += p.b_row) {
    Lanes columns[VECTORS];
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) columns[v] = load(b + v * LANES);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < VECTORS; ++v) sums[i][v] += a[i * p.a_row] * columns[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 2
    for (int v = 0; v < VECTORS; ++v) store(c + i * p.c_row + v * LANES, sums[i][v]);
  }
}

// The tile of `rows` rows, at most ROWS.
template <int ROWS, int VECTORS>
static FEWSTEP_INLINE void tile_of(const Product& p, int64_t row, int64_t rows) {
  if (rows == ROWS) return tile<ROWS, VECTORS>(p, row);
  if constexpr (ROWS > 1) tile_of<ROWS - 1, VECTORS>(p, row, rows);
}

// Tiles of nearly equal height.
template <int ROWS, int VECTORS>
static FEWSTEP_INLINE void rows_of(const Product& p) {
  const int64_t tiles = (p.rows + ROWS - 1) / ROWS;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t first = p.rows * t / tiles, last = p.rows * (t + 1) / tiles;
    tile_of<ROWS, VECTORS>(p, first, last - first);
  }
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("arch=x86-64-v4"))) void multiply_avx512(const Product& p) {
  p.columns > LANES ? rows_of<14, 2>(p) : rows_of<14, 1>(p);
}

__attribute__((target("arch=x86-64-v3"))) void multiply_avx2(const Product& p) {
  Product half = p;
  for (half.columns = LANES; half.b < p.b + p.columns; half.b += LANES, half.c += LANES) rows_of<6, 1>(half);
}
#endif

void multiply_anywhere(const Product& p) {
  Product half = p;
  for (half.columns = LANES; half.b < p.b + p.columns; half.b += LANES, half.c += LANES) rows_of<2, 1>(half);
}

using Multiply = void (*)(const Product&);
Multiply best() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
    return multiply_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    return multiply_avx2;
#endif
  return multiply_anywhere;
}

}  // namespace

void multiply(const Product& product) {
  static const Multiply chosen = best();
  chosen(product);
}

}  // namespace fewstep

#include "winograd_transforms.h"

#include <algorithm>

#include "vector.h"

namespace fewstep {
namespace {

constexpr float a = 0.75f, b = 1.5f, a2 = a * a, b2 = b * b, s2 = a2 + b2, p2 = a2 * b2;
constexpr float da = 2 * a2 * (a2 - b2), db = 2 * b2 * (b2 - a2);

// One axis of B' x: six numbers `step` apart.
static FEWSTEP_INLINE void input_axis(const Lanes* x, Lanes* y, int step) {
  const Lanes x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step];
  const Lanes even_a = (x4 - b2 * x2) * (1 / da), odd_a = (x3 - b2 * x1) * (a / da);
  const Lanes even_b = (x4 - a2 * x2) * (1 / db), odd_b = (x3 - a2 * x1) * (b / db);
  const Lanes first = x[0] + (x4 - s2 * x2) * (1 / p2), last = x[5 * step] - s2 * x3 + p2 * x1;
  y[0] = first;
  y[step] = even_a + odd_a;
  y[2 * step] = even_a - odd_a;
  y[3 * step] = even_b + odd_b;
  y[4 * step] = even_b - odd_b;
  y[5 * step] = last;
}

// One axis of A' m: six numbers `from` apart to four, `to` apart.
static FEWSTEP_INLINE void output_axis(const Lanes* m, Lanes* y, int from, int to) {
  const Lanes sum_a = m[from] + m[2 * from], difference_a = m[from] - m[2 * from];
  const Lanes sum_b = m[3 * from] + m[4 * from], difference_b = m[3 * from] - m[4 * from];
  y[0] = m[0] + sum_a + sum_b;
  y[to] = a * difference_a + b * difference_b;
  y[2 * to] = a2 * sum_a + b2 * sum_b;
  y[3 * to] = a2 * a * difference_a + b2 * b * difference_b + m[5 * from];
}

// One axis of A g, the transpose of the above: four numbers `from` apart to six, `to` apart.
static FEWSTEP_INLINE void gradient_axis(const Lanes* g, Lanes* z, int from, int to) {
  const Lanes g1 = g[from], g2 = g[2 * from], g3 = g[3 * from];
  const Lanes even_a = g[0] + a2 * g2, odd_a = a * g1 + (a2 * a) * g3;
  const Lanes even_b = g[0] + b2 * g2, odd_b = b * g1 + (b2 * b) * g3;
  z[0] = g[0];
  z[to] = even_a + odd_a;
  z[2 * to] = even_a - odd_a;
  z[3 * to] = even_b + odd_b;
  z[4 * to] = even_b - odd_b;
  z[5 * to] = g3;
}

// One axis of G w: three numbers `from` apart to six, `to` apart.
static FEWSTEP_INLINE void weight_axis(const Lanes* w, Lanes* u, int from, int to) {
  const Lanes even_a = w[0] + a2 * w[2 * from], odd_a = a * w[from];
  const Lanes even_b = w[0] + b2 * w[2 * from], odd_b = b * w[from];
  u[0] = w[0];
  u[to] = even_a + odd_a;
  u[2 * to] = even_a - odd_a;
  u[3 * to] = even_b + odd_b;
  u[4 * to] = even_b - odd_b;
  u[5 * to] = w[2 * from];
}

// One axis of G' s: six numbers `from` apart to three, `to` apart.
static FEWSTEP_INLINE void weight_gradient_axis(const Lanes* s, Lanes* w, int from, int to) {
  const Lanes sum_a = s[from] + s[2 * from], sum_b = s[3 * from] + s[4 * from];
  w[0] = s[0] + sum_a + sum_b;
  w[to] = a * (s[from] - s[2 * from]) + b * (s[3 * from] - s[4 * from]);
  w[2 * to] = a2 * sum_a + b2 * sum_b + s[5 * from];
}

}  // namespace

FEWSTEP_CLONES void transform_input(const float* x, const Tiles& tiles, int64_t C, Range range, float* v) {
  for (int64_t tile = range.first; tile < range.last; ++tile, v += C) {
    const float* image = x + tiles.image(tile) * tiles.height * tiles.width * C;
    const int64_t top = tiles.top(tile) - 1, left = tiles.left(tile) - 1;
    for (int64_t c = 0; c < C; c += LANES) {
      Lanes patch[POSITIONS], half[POSITIONS];
      for (int64_t i = 0; i < PATCH; ++i) {
        for (int64_t j = 0; j < PATCH; ++j) {
          const int64_t y = top + i, z = left + j;
          const bool inside = y >= 0 && y < tiles.height && z >= 0 && z < tiles.width;
          patch[i * PATCH + j] = inside ? load(image + (y * tiles.width + z) * C + c) : Lanes{};
        }
      }
      for (int j = 0; j < PATCH; ++j) input_axis(patch + j, half + j, PATCH);
      for (int i = 0; i < PATCH; ++i) input_axis(half + i * PATCH, patch + i * PATCH, 1);
      for (int64_t k = 0; k < POSITIONS; ++k) store(v + k * range.stride + c, patch[k]);
    }
  }
}

FEWSTEP_CLONES void transform_output(const float* m, const Tiles& tiles, int64_t K, Range range, const Added& added,
                                     float* y) {
  for (int64_t tile = range.first; tile < range.last; ++tile, m += K) {
    const int64_t image = tiles.image(tile), top = tiles.top(tile), left = tiles.left(tile);
    for (int64_t k = 0; k < K; k += LANES) {
      Lanes product[POSITIONS], half[TILE * PATCH], result[TILE * TILE];
      for (int64_t p = 0; p < POSITIONS; ++p) product[p] = load(m + p * range.stride + k);
      for (int j = 0; j < PATCH; ++j) output_axis(product + j, half + j, PATCH, PATCH);
      for (int i = 0; i < TILE; ++i) output_axis(half + i * PATCH, result + i * TILE, 1, 1);
      Lanes constant{};
      if (added.bias) constant += load(added.bias + k);
      if (added.shift) constant += load(added.shift + image * K + k);
      for (int64_t i = 0; i < std::min(TILE, tiles.height - top); ++i) {
        for (int64_t j = 0; j < std::min(TILE, tiles.width - left); ++j) {
          const int64_t at = ((image * tiles.height + top + i) * tiles.width + left + j) * K + k;
          Lanes value = result[i * TILE + j] + constant;
          if (added.residual) value += load(added.residual + at);
          store(y + at, value * added.scale);
        }
      }
    }
  }
}

FEWSTEP_CLONES void transform_gradient(const float* g, const Tiles& tiles, int64_t K, Range range, float* z) {
  for (int64_t tile = range.first; tile < range.last; ++tile, z += K) {
    const int64_t image = tiles.image(tile), top = tiles.top(tile), left = tiles.left(tile);
    for (int64_t k = 0; k < K; k += LANES) {
      Lanes patch[TILE * TILE], half[PATCH * TILE], result[POSITIONS];
      for (int64_t i = 0; i < TILE; ++i) {
        for (int64_t j = 0; j < TILE; ++j) {
          const bool inside = top + i < tiles.height && left + j < tiles.width;
          const int64_t at = ((image * tiles.height + top + i) * tiles.width + left + j) * K + k;
          patch[i * TILE + j] = inside ? load(g + at) : Lanes{};
        }
      }
      for (int j = 0; j < TILE; ++j) gradient_axis(patch + j, half + j, TILE, TILE);
      for (int i = 0; i < PATCH; ++i) gradient_axis(half + i * TILE, result + i * PATCH, 1, 1);
      for (int64_t p = 0; p < POSITIONS; ++p) store(z + p * range.stride + k, result[p]);
    }
  }
}

// One axis of the transforms below for each of nine numbers: 3x3 to 6x6.
static FEWSTEP_INLINE void spread_kernel(const Lanes* kernel, Lanes* result) {
  Lanes half[18];
  for (int j = 0; j < 3; ++j) weight_axis(kernel + j, half + j, 3, 3);
  for (int i = 0; i < PATCH; ++i) weight_axis(half + i * 3, result + i * PATCH, 1, 1);
}

FEWSTEP_CLONES void transform_weight(const float* w, const WeightBlock& block, int64_t first, int64_t last, float* u) {
  const int64_t C = block.inputs;
  for (int64_t half = 0; half < block.width; half += LANES) {
    for (int64_t c = first; c < last; c += LANES) {
      Lanes kernels[9][LANES];  // by place and input, the outputs side by side
      for (int64_t p = 0; p < 9; ++p) {
        for (int64_t k = 0; k < LANES; ++k) kernels[p][k] = load(w + ((block.start + half + k) * 9 + p) * C + c);
        transpose(kernels[p]);
      }
      for (int64_t i = 0; i < LANES; ++i) {
        Lanes kernel[9], result[POSITIONS];
        for (int64_t p = 0; p < 9; ++p) kernel[p] = kernels[p][i];
        spread_kernel(kernel, result);
        for (int64_t p = 0; p < POSITIONS; ++p) store(u + (p * C + c + i) * block.width + half, result[p]);
      }
    }
  }
}

FEWSTEP_CLONES void transform_turned_weight(const float* w, const WeightBlock& block, int64_t first, int64_t last,
                                            float* u) {
  const int64_t K = block.outputs, C = block.inputs;
  for (int64_t k = first; k < last; ++k) {
    for (int64_t half = 0; half < block.width; half += LANES) {
      Lanes kernel[9], result[POSITIONS];
      for (int64_t p = 0; p < 9; ++p) kernel[p] = load(w + (k * 9 + 8 - p) * C + block.start + half);
      spread_kernel(kernel, result);
      for (int64_t p = 0; p < POSITIONS; ++p) store(u + (p * K + k) * block.width + half, result[p]);
    }
  }
}

FEWSTEP_CLONES void transform_weight_gradient(const float* s, const WeightBlock& block, int64_t first, int64_t last,
                                              float scale, float* w) {
  const int64_t K = block.outputs, C = block.inputs;
  for (int64_t k = first; k < last; ++k) {
    for (int64_t half = 0; half < block.width; half += LANES) {
      Lanes product[POSITIONS], part[18], kernel[9];
      for (int64_t p = 0; p < POSITIONS; ++p) product[p] = load(s + (p * K + k) * block.width + half);
      for (int j = 0; j < PATCH; ++j) weight_gradient_axis(product + j, part + j, PATCH, PATCH);
      for (int i = 0; i < 3; ++i) weight_gradient_axis(part + i * PATCH, kernel + i * 3, 1, 1);
      for (int64_t p = 0; p < 9; ++p) store(w + (k * 9 + p) * C + block.start + half, kernel[p] * scale);
    }
  }
}

}  // namespace fewstep

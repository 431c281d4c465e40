// Winograd's F(4x4, 3x3): a tile of 4x4 results costs 36 multiplications per pair of channels instead of 144.
//
//   Y = A' [ (G w G') . (B' x B) ] A        A' = transpose of A; the dot is a product per position
//
// With the polynomial x (x^2 - a^2) (x^2 - b^2): rows of A' and G evaluate at 0, a, -a, b, -b and infinity, B' is the
// interpolation. The points a = 3/4, b = 3/2 keep rounding errors at a third of those of the usual 1 and 2.
// The 36 products over channels are matrix products and left to libtorch; tiles are taken in chunks that fit the cache.
//
// Source: Lavin & Gray 2016, arXiv:1509.09308; points: Alam et al. 2022, "Winograd convolution for deep neural networks:
// efficient point selection".
#include "winograd.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/baddbmm.h>

#include <algorithm>

#include "parallel.h"
#include "vector.h"

namespace fewstep {
namespace {

constexpr int64_t TILE = 4, PATCH = 6, POSITIONS = PATCH * PATCH;
constexpr float a = 0.75f, b = 1.5f, a2 = a * a, b2 = b * b, s2 = a2 + b2, p2 = a2 * b2;
constexpr float da = 2 * a2 * (a2 - b2), db = 2 * b2 * (b2 - a2);
// Floats of a chunk's transformed inputs and outputs: 8 MiB.
constexpr int64_t CHUNK = 2 << 20;

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

// Where the tiles of a batch of images lie.
struct Tiles {
  int64_t height, width, rows, columns, count;

  explicit Tiles(const at::Tensor& images)
      : height(images.size(2)),
        width(images.size(3)),
        rows((height + TILE - 1) / TILE),
        columns((width + TILE - 1) / TILE),
        count(images.size(0) * rows * columns) {}

  int64_t image(int64_t tile) const { return tile / (rows * columns); }
  int64_t top(int64_t tile) const { return tile / columns % rows * TILE; }
  int64_t left(int64_t tile) const { return tile % columns * TILE; }
};

// B' x B of the tiles first..last of `x` ([N, H, W, C]) to `v` ([36, last - first, C]).
FEWSTEP_CLONES void transform_input(const float* x, const Tiles& tiles, int64_t C, int64_t first, int64_t last,
                                    int64_t stride, float* v) {
  for (int64_t tile = first; tile < last; ++tile, v += C) {
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
      for (int64_t k = 0; k < POSITIONS; ++k) store(v + k * stride + c, patch[k]);
    }
  }
}

// (A' m A + what is added) * scale of the tiles first..last of `m` ([36, last - first, K]) to `y` ([N, H, W, K]).
struct Added {
  const float *bias, *shift, *residual;
  float scale;
};
FEWSTEP_CLONES void transform_output(const float* m, const Tiles& tiles, int64_t K, int64_t first, int64_t last,
                                     int64_t stride, Added added, float* y) {
  for (int64_t tile = first; tile < last; ++tile, m += K) {
    const int64_t image = tiles.image(tile), top = tiles.top(tile), left = tiles.left(tile);
    for (int64_t k = 0; k < K; k += LANES) {
      Lanes product[POSITIONS], half[TILE * PATCH], result[TILE * TILE];
      for (int64_t p = 0; p < POSITIONS; ++p) product[p] = load(m + p * stride + k);
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

// A g A' of the tiles first..last of `g` ([N, H, W, K]) to `z` ([36, last - first, K]).
FEWSTEP_CLONES void transform_gradient(const float* g, const Tiles& tiles, int64_t K, int64_t first, int64_t last,
                                       int64_t stride, float* z) {
  for (int64_t tile = first; tile < last; ++tile, z += K) {
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
      for (int64_t p = 0; p < POSITIONS; ++p) store(z + p * stride + k, result[p]);
    }
  }
}

// G w G' for the outputs first..last of `w`, [out, 3, 3, in], to `u`, [36, out, in]; `flipped` turns the kernel by 180
// degrees.
FEWSTEP_CLONES void transform_weight(const float* w, int64_t in, int64_t first, int64_t last, int64_t out, bool flipped,
                                     float* u) {
  for (int64_t k = first; k < last; ++k) {
    for (int64_t c = 0; c < in; c += LANES) {
      Lanes kernel[9], half[18], result[POSITIONS];
      for (int64_t p = 0; p < 9; ++p) kernel[p] = load(w + (k * 9 + (flipped ? 8 - p : p)) * in + c);
      for (int j = 0; j < 3; ++j) weight_axis(kernel + j, half + j, 3, 3);
      for (int i = 0; i < PATCH; ++i) weight_axis(half + i * 3, result + i * PATCH, 1, 1);
      for (int64_t p = 0; p < POSITIONS; ++p) store(u + (p * out + k) * in + c, result[p]);
    }
  }
}

// G' s G for the outputs first..last of `s`, [36, out, in], to `w`, [out, 3, 3, in], times `scale`.
FEWSTEP_CLONES void transform_weight_gradient(const float* s, int64_t in, int64_t first, int64_t last, int64_t out,
                                              float scale, float* w) {
  for (int64_t k = first; k < last; ++k) {
    for (int64_t c = 0; c < in; c += LANES) {
      Lanes product[POSITIONS], half[18], kernel[9];
      for (int64_t p = 0; p < POSITIONS; ++p) product[p] = load(s + (p * out + k) * in + c);
      for (int j = 0; j < PATCH; ++j) weight_gradient_axis(product + j, half + j, PATCH, PATCH);
      for (int i = 0; i < 3; ++i) weight_gradient_axis(half + i * PATCH, kernel + i * 3, 1, 1);
      for (int64_t p = 0; p < 9; ++p) store(w + (k * 9 + p) * in + c, kernel[p] * scale);
    }
  }
}

const float* data(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
const float* data(const std::optional<at::Tensor>& tensor) { return tensor ? data(*tensor) : nullptr; }

// Tiles per chunk for so many channels on both sides.
int64_t tiles_per_chunk(int64_t channels) { return std::max<int64_t>(16, CHUNK / (POSITIONS * channels)); }

}  // namespace

bool winograd_takes(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && x.dim() == 4 &&
         weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 && x.size(1) == weight.size(1) &&
         weight.size(0) % LANES == 0 && weight.size(1) % LANES == 0 && x.numel() > 0;
}

at::Tensor winograd_weight(const at::Tensor& weight, bool transposed) {
  const auto w = weight.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t K = w.size(0), C = w.size(1);
  auto u = at::empty({POSITIONS, K, C}, w.options().memory_format(at::MemoryFormat::Contiguous));
  float* to = u.mutable_data_ptr<float>();
  parallel(K, [&](int64_t first, int64_t last) { transform_weight(data(w), C, first, last, K, transposed, to); });
  return transposed ? u : u.transpose(1, 2);
}

at::Tensor winograd_forward(const at::Tensor& x, const at::Tensor& weight, const Epilogue& epilogue) {
  const Tiles tiles(x);
  const int64_t C = x.size(1), K = weight.size(2);
  auto y = at::empty({x.size(0), K, tiles.height, tiles.width}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const Added added{data(epilogue.bias), data(epilogue.shift), data(epilogue.residual), epilogue.scale};
  float* result = y.mutable_data_ptr<float>();
  const int64_t chunk = std::min(tiles.count, tiles_per_chunk(C + K));
  auto v = at::empty({POSITIONS * chunk * C}, x.options().memory_format(at::MemoryFormat::Contiguous));
  auto m = at::empty({POSITIONS * chunk * K}, v.options());
  float *in = v.mutable_data_ptr<float>(), *out = m.mutable_data_ptr<float>();
  for (int64_t start = 0; start < tiles.count; start += chunk) {
    const int64_t n = std::min(chunk, tiles.count - start);
    parallel(n, [&](int64_t first, int64_t last) {
      transform_input(data(x), tiles, C, start + first, start + last, n * C, in + first * C);
    });
    auto products = at::from_blob(out, {POSITIONS, n, K}, m.options());
    at::bmm_out(products, at::from_blob(in, {POSITIONS, n, C}, v.options()), weight);
    parallel(n, [&](int64_t first, int64_t last) {
      transform_output(out + first * K, tiles, K, start + first, start + last, n * K, added, result);
    });
  }
  return y;
}

at::Tensor winograd_weight_gradient(const at::Tensor& x, const at::Tensor& gradient, float scale) {
  const Tiles tiles(x);
  const int64_t C = x.size(1), K = gradient.size(1);
  const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
  const int64_t chunk = std::min(tiles.count, tiles_per_chunk(C + K));
  auto v = at::empty({POSITIONS * chunk * C}, options), z = at::empty({POSITIONS * chunk * K}, options);
  auto sum = at::empty({POSITIONS, K, C}, options);
  float *in = v.mutable_data_ptr<float>(), *out = z.mutable_data_ptr<float>();
  for (int64_t start = 0; start < tiles.count; start += chunk) {
    const int64_t n = std::min(chunk, tiles.count - start);
    parallel(n, [&](int64_t first, int64_t last) {
      transform_input(data(x), tiles, C, start + first, start + last, n * C, in + first * C);
      transform_gradient(data(gradient), tiles, K, start + first, start + last, n * K, out + first * K);
    });
    const auto left = at::from_blob(out, {POSITIONS, n, K}, options).transpose(1, 2);
    const auto right = at::from_blob(in, {POSITIONS, n, C}, options);
    if (start == 0) {
      at::bmm_out(sum, left, right);
    } else {
      sum.baddbmm_(left, right);
    }
  }
  auto w = at::empty({K, C, 3, 3}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  float* to = w.mutable_data_ptr<float>();
  parallel(K, [&](int64_t first, int64_t last) {
    transform_weight_gradient(data(sum), C, first, last, K, scale, to);
  });
  return w;
}

}  // namespace fewstep

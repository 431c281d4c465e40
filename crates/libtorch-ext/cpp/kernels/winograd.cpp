// Three-by-three convolutions: transforms of tiles and weights around 36 products over the channels.
//
// Tiles are taken in chunks that fit the cache. Where one chunk is all there is, the weight is transformed block by block
// right before its product: it is four times as large afterwards and would only travel to memory and back.
#include "winograd.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "multiply.h"
#include "parallel.h"
#include "vector.h"
#include "winograd_transforms.h"

namespace fewstep {
namespace {

// Floats of a chunk's transformed inputs and outputs: 8 MiB.
constexpr int64_t CHUNK = 2 << 20;

const float* data(const at::Tensor& tensor) { return tensor.const_data_ptr<float>(); }
const float* data(const std::optional<at::Tensor>& tensor) { return tensor ? data(*tensor) : nullptr; }

at::TensorOptions flat(const at::Tensor& like) { return like.options().memory_format(at::MemoryFormat::Contiguous); }

Tiles tiles_of(const at::Tensor& images) { return {images.size(0), images.size(2), images.size(3)}; }

// A number of channels cut into blocks of columns.
struct Blocks {
  int64_t channels;
  int64_t count() const { return (channels + BLOCK - 1) / BLOCK; }
  int64_t start(int64_t block) const { return block * BLOCK; }
  int64_t width(int64_t block) const { return std::min(BLOCK, channels - start(block)); }
};

// Chunks of tiles for so many channels on both sides.
struct Chunks {
  int64_t tiles, size;
  Chunks(int64_t tiles, int64_t channels)
      : tiles(tiles), size(std::min(tiles, std::max<int64_t>(16, CHUNK / (POSITIONS * channels)))) {}
  bool one() const { return size == tiles; }
};

// A transformed weight, made when it is needed or long before.
class Factor {
 public:
  Factor(const at::Tensor& weight, Direction direction, const float* prepared, bool whole)
      : weight_(weight), direction_(direction), prepared_(prepared), whole_(whole) {
    if (prepared_) return;
    const int64_t columns = whole ? outputs().channels : outputs().width(0);
    memory_ = at::empty({POSITIONS * inputs() * columns}, flat(weight));
    if (whole)
      for (int64_t block = 0; block < outputs().count(); ++block) transform(block, place(block));
  }

  int64_t inputs() const { return weight_.size(direction_ == Direction::Forward ? 1 : 0); }
  Blocks outputs() const { return {weight_.size(direction_ == Direction::Forward ? 0 : 1)}; }
  const at::Tensor& memory() const { return memory_; }

  // The block as [36, inputs, width].
  const float* block(int64_t block) {
    if (prepared_) return prepared_ + offset(block);
    float* to = place(block);
    if (!whole_) transform(block, to);
    return to;
  }

 private:
  int64_t offset(int64_t block) const { return POSITIONS * inputs() * outputs().start(block); }
  float* place(int64_t block) { return memory_.mutable_data_ptr<float>() + (whole_ ? offset(block) : 0); }

  void transform(int64_t block, float* to) const {
    const WeightBlock part{weight_.size(0), weight_.size(1), outputs().start(block), outputs().width(block)};
    parallel(inputs() / LANES, [&](int64_t first, int64_t last) {
      const auto apply = direction_ == Direction::Forward ? transform_weight : transform_turned_weight;
      apply(data(weight_), part, first * LANES, last * LANES, to);
    });
  }

  at::Tensor weight_, memory_;
  Direction direction_;
  const float* prepared_;
  bool whole_;
};

}  // namespace

bool winograd_takes(const at::Tensor& x, const at::Tensor& weight) {
  return x.is_cpu() && x.scalar_type() == at::kFloat && weight.scalar_type() == at::kFloat && x.dim() == 4 &&
         weight.dim() == 4 && weight.size(2) == 3 && weight.size(3) == 3 && x.size(1) == weight.size(1) &&
         weight.size(0) % LANES == 0 && weight.size(1) % LANES == 0 && x.numel() > 0;
}

at::Tensor winograd_weight(const at::Tensor& weight) {
  const auto w = weight.contiguous(at::MemoryFormat::ChannelsLast);
  return Factor(w, Direction::Forward, nullptr, true).memory();
}

at::Tensor winograd(const at::Tensor& x, const at::Tensor& weight, Direction direction,
                    const std::optional<at::Tensor>& prepared, const Epilogue& epilogue) {
  const auto tiles = tiles_of(x);
  const auto w = weight.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t C = x.size(1), K = weight.size(direction == Direction::Forward ? 0 : 1);
  const Chunks chunks(tiles.count, C + K);
  Factor factor(w, direction, data(prepared), !chunks.one());
  auto y = at::empty({x.size(0), K, tiles.height, tiles.width}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  auto v = at::empty({POSITIONS * chunks.size * C}, flat(x)), m = at::empty({POSITIONS * chunks.size * K}, flat(x));
  float *in = v.mutable_data_ptr<float>(), *out = m.mutable_data_ptr<float>(), *result = y.mutable_data_ptr<float>();
  const Added added{data(epilogue.bias), data(epilogue.shift), data(epilogue.residual), epilogue.scale};
  for (int64_t start = 0; start < tiles.count; start += chunks.size) {
    const int64_t n = std::min(chunks.size, tiles.count - start);
    parallel(n, [&](int64_t first, int64_t last) {
      transform_input(data(x), tiles, C, {start + first, start + last, n * C}, in + first * C);
    });
    for (int64_t block = 0; block < factor.outputs().count(); ++block) {
      const float* u = factor.block(block);
      const int64_t column = factor.outputs().start(block), width = factor.outputs().width(block);
      parallel(POSITIONS, [&](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p)
          multiply({in + p * n * C, C, 1, u + p * C * width, width, out + p * n * K + column, K, n, width, C, false});
      });
    }
    parallel(n, [&](int64_t first, int64_t last) {
      transform_output(out + first * K, tiles, K, {start + first, start + last, n * K}, added, result);
    });
  }
  return y;
}

at::Tensor winograd_weight_gradient(const at::Tensor& x, const at::Tensor& gradient, float scale) {
  const auto tiles = tiles_of(x);
  const int64_t C = x.size(1), K = gradient.size(1);
  const Blocks inputs{C};
  const Chunks chunks(tiles.count, C + K);
  auto w = at::empty({K, C, 3, 3}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  auto v = at::empty({POSITIONS * chunks.size * C}, flat(x)), z = at::empty({POSITIONS * chunks.size * K}, flat(x));
  auto s = at::empty({POSITIONS * K * (chunks.one() ? inputs.width(0) : C)}, flat(x));
  float *in = v.mutable_data_ptr<float>(), *out = z.mutable_data_ptr<float>(), *sums = s.mutable_data_ptr<float>();
  for (int64_t start = 0; start < tiles.count; start += chunks.size) {
    const int64_t n = std::min(chunks.size, tiles.count - start);
    parallel(n, [&](int64_t first, int64_t last) {
      transform_input(data(x), tiles, C, {start + first, start + last, n * C}, in + first * C);
      transform_gradient(data(gradient), tiles, K, {start + first, start + last, n * K}, out + first * K);
    });
    for (int64_t block = 0; block < inputs.count(); ++block) {
      const int64_t column = inputs.start(block), width = inputs.width(block);
      float* sum = sums + (chunks.one() ? 0 : POSITIONS * K * column);
      parallel(POSITIONS, [&](int64_t first, int64_t last) {
        for (int64_t p = first; p < last; ++p)
          multiply({out + p * n * K, 1, K, in + p * n * C + column, C, sum + p * K * width, width, K, width, n, start > 0});
      });
      if (start + n < tiles.count) continue;
      parallel(K, [&](int64_t first, int64_t last) {
        transform_weight_gradient(sum, {K, C, column, width}, first, last, scale, w.mutable_data_ptr<float>());
      });
    }
  }
  return w;
}

}  // namespace fewstep

// From images and weights to the positions of Winograd's F(4x4, 3x3), and back.
//
//   Y = A' [ (G w G') . (B' x B) ] A        A' = transpose of A; the dot is a product per position
//
// With the polynomial x (x^2 - a^2) (x^2 - b^2): rows of A' and G evaluate at 0, a, -a, b, -b and infinity, B' is the
// interpolation. The points a = 3/4, b = 3/2 keep rounding errors at a third of those of the usual 1 and 2.
//
// Source: Lavin & Gray 2016, arXiv:1509.09308; points: Alam et al. 2022, "Winograd convolution for deep neural networks:
// efficient point selection".
#pragma once

#include <cstdint>

namespace fewstep {

constexpr int64_t TILE = 4, PATCH = 6, POSITIONS = PATCH * PATCH;

// How a batch of images, [N, H, W, channels], is cut into tiles of 4x4.
struct Tiles {
  int64_t height, width, rows, columns, count;

  Tiles(int64_t images, int64_t height, int64_t width)
      : height(height),
        width(width),
        rows((height + TILE - 1) / TILE),
        columns((width + TILE - 1) / TILE),
        count(images * rows * columns) {}

  int64_t image(int64_t tile) const { return tile / (rows * columns); }
  int64_t top(int64_t tile) const { return tile / columns % rows * TILE; }
  int64_t left(int64_t tile) const { return tile % columns * TILE; }
};

// Some tiles, first..last, and the distance between two positions in the transformed data.
struct Range {
  int64_t first, last, stride;
};

// What is added to a result, and what the sum is multiplied with; see Epilogue.
struct Added {
  const float *bias, *shift, *residual;
  float scale;
};

// B' x B: images to [36, tiles, channels].
void transform_input(const float* x, const Tiles& tiles, int64_t channels, Range range, float* v);
// (A' m A + what is added) * scale: [36, tiles, channels] to images.
void transform_output(const float* m, const Tiles& tiles, int64_t channels, Range range, const Added& added, float* y);
// A g A', the transpose of the above: gradients of images to [36, tiles, channels].
void transform_gradient(const float* g, const Tiles& tiles, int64_t channels, Range range, float* z);

// A weight [K, 3, 3, C], seen as a block of `width` (16 or 32) of its outputs, or of its inputs.
struct WeightBlock {
  int64_t outputs, inputs;  // K, C
  int64_t start, width;
};

// G w G' for outputs start.. of the block and inputs first..last (whole vectors): [36, C, width].
void transform_weight(const float* w, const WeightBlock& block, int64_t first, int64_t last, float* u);
// The same of the kernel turned by 180 degrees, for inputs start.. of the block and outputs first..last: [36, K, width].
void transform_turned_weight(const float* w, const WeightBlock& block, int64_t first, int64_t last, float* u);
// G' s G times scale, for inputs start.. of the block and outputs first..last: [36, K, width] to [K, 3, 3, C].
void transform_weight_gradient(const float* s, const WeightBlock& block, int64_t first, int64_t last, float scale, float* w);

}  // namespace fewstep

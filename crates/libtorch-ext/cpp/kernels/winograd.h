// Three-by-three convolutions with a quarter of the multiplications.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace fewstep {

// What is added to a convolution, and what the sum is multiplied with: (x * w + bias + shift + residual) * scale.
struct Epilogue {
  std::optional<at::Tensor> bias;      // [K]
  std::optional<at::Tensor> shift;     // [N, K]
  std::optional<at::Tensor> residual;  // [N, K, H, W], channels last
  float scale = 1;
};

// Whether the kernels below take these: f32 on the CPU, 3x3, channels in whole vectors.
bool winograd_takes(const at::Tensor& x, const at::Tensor& weight);

// The convolution itself, or the one that takes gradients of its output to gradients of its input.
enum class Direction { Forward, Backward };

// A weight [K, C, 3, 3] in the form that products take, for `prepared` of a forward convolution.
at::Tensor winograd_weight(const at::Tensor& weight);

// x: [N, C, H, W] (backward: K channels), channels last; weight: [K, C, 3, 3]. Returns [N, K, H, W] (backward: C), channels
// last.
at::Tensor winograd(const at::Tensor& x, const at::Tensor& weight, Direction direction,
                    const std::optional<at::Tensor>& prepared, const Epilogue& epilogue);

// The gradient of the weight, [K, C, 3, 3], from x and the gradient of the output, both channels last, times scale.
at::Tensor winograd_weight_gradient(const at::Tensor& x, const at::Tensor& gradient, float scale);

}  // namespace fewstep

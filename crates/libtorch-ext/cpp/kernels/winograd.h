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

// [K, C, 3, 3] to [36, C, K]; `transposed` for the gradient with respect to the input: [36, K, C].
at::Tensor winograd_weight(const at::Tensor& weight, bool transposed);

// x: [N, C, H, W], channels last; weight: [36, C, K]. Returns [N, K, H, W], channels last.
at::Tensor winograd_forward(const at::Tensor& x, const at::Tensor& weight, const Epilogue& epilogue);

// The gradient of the weight, [K, C, 3, 3], from x and the gradient of the output, both channels last, times scale.
at::Tensor winograd_weight_gradient(const at::Tensor& x, const at::Tensor& gradient, float scale);

}  // namespace fewstep

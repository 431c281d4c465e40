// A 3x3 convolution with what surrounds it in a residual block, as one differentiable operation.
#include "../shim.h"
#include "winograd.h"

#include <ATen/core/grad_mode.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Maybe = std::optional<Tensor>;

// Fewer tiles than this are not worth transforming the weight for; a weight that is transformed already is.
constexpr int64_t FEWEST_TILES = 12;

Tensor nhwc(const Tensor& images) { return images.contiguous(at::MemoryFormat::ChannelsLast); }

// What is added to the products; see fewstep::Epilogue.
struct Added {
  Maybe bias, shift, residual;
};

Tensor run(const Tensor& x, const Tensor& weight, const Maybe& prepared, const Added& added, double scale) {
  fewstep::Epilogue epilogue;
  if (added.bias) epilogue.bias = added.bias->contiguous();
  if (added.shift) epilogue.shift = added.shift->contiguous();
  if (added.residual) epilogue.residual = nhwc(*added.residual);
  epilogue.scale = static_cast<float>(scale);
  return fewstep::winograd(x, weight, fewstep::Direction::Forward, prepared, epilogue);
}

struct Winograd : torch::autograd::Function<Winograd> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& weight, const Maybe& bias,
                        const Maybe& shift, const Maybe& residual, double scale, const Maybe& prepared) {
    context->save_for_backward({x, weight});
    context->saved_data["scale"] = scale;
    context->saved_data["present"] = std::vector<bool>{bias.has_value(), shift.has_value(), residual.has_value()};
    return run(x, weight, prepared, {bias, shift, residual}, scale);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &weight = saved[1];
    const double scale = context->saved_data["scale"].toDouble();
    const auto g = nhwc(gradients[0]);
    auto [dx, dweight] = of_product(context, x, weight, g, scale);
    // Only arguments that are there have an edge of the graph.
    const auto present = context->saved_data["present"].toBoolList();
    size_t edge = 2;
    const auto needs = [&](size_t argument) { return present[argument] && context->needs_input_grad(edge++); };
    const bool of_bias = needs(0), of_shift = needs(1), of_residual = needs(2);
    Tensor dbias, dshift, dresidual;
    if (of_shift) dshift = g.sum({2, 3}) * scale;
    if (of_bias) dbias = of_shift ? dshift.sum(0) : g.sum({0, 2, 3}) * scale;
    if (of_residual) dresidual = scale == 1 ? g : g * scale;
    return {dx, dweight, dbias, dshift, dresidual, Tensor(), Tensor()};
  }

  static std::pair<Tensor, Tensor> of_product(AutogradContext* context, const Tensor& x, const Tensor& weight,
                                              const Tensor& g, double scale) {
    const bool of_x = context->needs_input_grad(0), of_weight = context->needs_input_grad(1);
    if (at::GradMode::is_enabled()) {  // somebody wants to differentiate once more: through operations that can
      const auto [dx, dweight, dbias] =
          at::convolution_backward(g * scale, x, weight, std::nullopt, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1,
                                   {of_x, of_weight, false});
      return {dx, dweight};
    }
    c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
    Tensor dx, dweight;
    if (of_x) {
      fewstep::Epilogue scaled;
      scaled.scale = static_cast<float>(scale);
      dx = fewstep::winograd(g, weight, fewstep::Direction::Backward, std::nullopt, scaled);
    }
    if (of_weight) dweight = fewstep::winograd_weight_gradient(x, g, static_cast<float>(scale));
    return {dx, dweight};
  }
};

Tensor composed(const Tensor& x, const Tensor& weight, const Added& added, double scale) {
  auto y = at::conv2d(x, weight, added.bias, 1, weight.size(2) / 2);
  if (added.shift) y = y + added.shift->unsqueeze(-1).unsqueeze(-1);
  if (added.residual) y = y + *added.residual;
  return scale == 1 ? y : y * scale;
}

bool has_tangent(const Maybe& tensor) { return tensor && tensor->_fw_grad(0).defined(); }
bool wants_gradient(const Maybe& tensor) { return tensor && tensor->requires_grad(); }

int64_t tiles(const Tensor& x) { return x.size(0) * ((x.size(2) + 3) / 4) * ((x.size(3) + 3) / 4); }

Tensor convolve(const Tensor& images, const Tensor& weight, const Maybe& prepared, Added added, double scale) {
  // Reduced precision would be slower here: the kernel has a quarter of the work to do.
  const auto as_float = [](const Tensor& tensor) { return tensor.is_cpu() && tensor.is_floating_point() && tensor.scalar_type() != at::kDouble ? tensor.to(at::kFloat) : tensor; };
  const auto x = as_float(images);
  const bool worthwhile = x.dim() == 4 && (prepared || tiles(x) >= FEWEST_TILES);
  const std::array<Maybe, 5> tensors{x, weight, added.bias, added.shift, added.residual};
  if (!worthwhile || !fewstep::winograd_takes(x, weight) || std::any_of(tensors.begin(), tensors.end(), has_tangent))
    return composed(images, weight, added, scale);
  if (added.shift) added.shift = as_float(*added.shift);
  if (added.residual) added.residual = as_float(*added.residual);
  c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastCPU);
  if (at::GradMode::is_enabled() && std::any_of(tensors.begin(), tensors.end(), wants_gradient))
    return Winograd::apply(nhwc(x), weight, added.bias, added.shift, added.residual, scale, prepared);
  return run(nhwc(x), weight, prepared, added, scale);
}

Maybe maybe(const Tensor* tensor) { return tensor ? Maybe(*tensor) : std::nullopt; }

}  // namespace

extern "C" char* fewstep_convolve(at::Tensor* x, at::Tensor* weight, at::Tensor* prepared, at::Tensor* bias,
                                  at::Tensor* shift, at::Tensor* residual, double scale, at::Tensor** result) {
  return fewstep::guarded([&] {
    *result = new Tensor(
        convolve(*x, *weight, maybe(prepared), {maybe(bias), maybe(shift), maybe(residual)}, scale));
  });
}

// Null where the kernel does not take such a weight.
extern "C" char* fewstep_prepare_weight(at::Tensor* weight, at::Tensor** prepared) {
  return fewstep::guarded([&] {
    at::NoGradGuard no_grad;
    const bool takes = weight->dim() == 4 && weight->is_cpu() && weight->scalar_type() == at::kFloat &&
                       weight->size(2) == 3 && weight->size(3) == 3 && weight->size(0) % 16 == 0 &&
                       weight->size(1) % 16 == 0;
    *prepared = takes ? new Tensor(fewstep::winograd_weight(*weight)) : nullptr;
  });
}

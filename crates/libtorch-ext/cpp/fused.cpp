// Updates of whole parameter lists in a handful of kernels, none of which waits for the device.
#include "shim.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>

#include <optional>

using fewstep::guarded;
using fewstep::tensors;

namespace {

// Whether element i of the one lies at the same offset as element i of the other. The strides of axes of length one
// do not matter.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return false;
  for (int64_t axis = 0; axis < a.dim(); ++axis)
    if (a.size(axis) > 1 && a.stride(axis) != b.stride(axis)) return false;
  return true;
}

// The fused kernels walk raw memory, so whatever they are given must lie as the parameter does.
void check_moment(const char* name, size_t i, const at::Tensor& parameter, const at::Tensor& moment) {
  TORCH_CHECK(same_layout(parameter, moment), name, "[", i, "] has sizes ", moment.sizes(), " and strides ",
              moment.strides(), ", its parameter ", parameter.sizes(), " and ", parameter.strides(),
              "; make it with zeros_like(parameter)");
}

}  // namespace

// Mirrored by `ffi::AdamStep`.
struct AdamStep {
  double lr;
  double beta1;
  double beta2;
  double eps;
  double weight_decay;
  bool decoupled;
};

extern "C" char* fewstep_adam_step(at::Tensor* const* parameters, at::Tensor* const* gradients,
                                   at::Tensor* const* exp_avg, at::Tensor* const* exp_avg_sq, size_t count,
                                   at::Tensor* updates, const AdamStep* step, const at::Tensor* divisor,
                                   const at::Tensor* skip) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const auto p = tensors(parameters, count);
    auto g = tensors(gradients, count);
    const auto m = tensors(exp_avg, count);
    const auto v = tensors(exp_avg_sq, count);
    for (size_t i = 0; i < count; ++i) {
      TORCH_CHECK(p[i].is_non_overlapping_and_dense(), "parameter ", i, " with sizes ", p[i].sizes(), " and strides ",
                  p[i].strides(), " has gaps in memory; optimise the whole tensor instead of a strided view");
      TORCH_CHECK(g[i].sizes() == p[i].sizes(), "gradient ", i, " has sizes ", g[i].sizes(), ", its parameter ",
                  p[i].sizes());
      if (!same_layout(p[i], g[i])) g[i] = at::empty_like(p[i]).copy_(g[i]);
      check_moment("exp_avg", i, p[i], m[i]);
      check_moment("exp_avg_sq", i, p[i], v[i]);
    }
    TORCH_CHECK(updates->numel() == 1 && updates->scalar_type() == at::kFloat, "the count of updates has sizes ",
                updates->sizes(), " and type ", updates->scalar_type(), "; it must be an f32 scalar");
    if (skip) {
      updates->add_(skip->neg().add_(1));
    } else {
      updates->add_(1);
    }
    const std::vector<at::Tensor> t(count, *updates);
    const auto scale = divisor ? std::optional<at::Tensor>(*divisor) : std::nullopt;
    const auto found = skip ? std::optional<at::Tensor>(*skip) : std::nullopt;
    // The two differ only in where the weight decay enters.
    if (step->decoupled) {
      at::_fused_adamw_(p, g, m, v, {}, t, step->lr, step->beta1, step->beta2, step->weight_decay, step->eps,
                        /*amsgrad=*/false, /*maximize=*/false, scale, found);
    } else {
      at::_fused_adam_(p, g, m, v, {}, t, step->lr, step->beta1, step->beta2, step->weight_decay, step->eps,
                       /*amsgrad=*/false, /*maximize=*/false, scale, found);
    }
  });
}

extern "C" char* fewstep_lerp(at::Tensor* const* targets, at::Tensor* const* sources, size_t count,
                              const double* weights) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    const std::vector<at::Scalar> each(weights, weights + count);
    at::_foreach_lerp_(tensors(targets, count), tensors(sources, count), at::ArrayRef<at::Scalar>(each));
  });
}

extern "C" char* fewstep_scale(at::Tensor* const* targets, size_t count, at::Tensor* factor) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    at::_foreach_mul_(tensors(targets, count), *factor);
  });
}

extern "C" char* fewstep_norms(at::Tensor* const* values, size_t count, at::Tensor** norms) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    *norms = new at::Tensor(at::stack(at::_foreach_norm(tensors(values, count), 2)));
  });
}

// `gradients[i]` becomes a new handle, or null where there is no gradient.
extern "C" char* fewstep_grads(at::Tensor* const* parameters, size_t count, at::Tensor** gradients) {
  return guarded([&] {
    for (size_t i = 0; i < count; ++i) {
      const auto& gradient = parameters[i]->grad();
      gradients[i] = gradient.defined() ? new at::Tensor(gradient) : nullptr;
    }
  });
}

extern "C" char* fewstep_bind_grads(at::Tensor* const* parameters, at::Tensor* const* gradients, size_t count) {
  return guarded([&] {
    for (size_t i = 0; i < count; ++i)
      TORCH_CHECK(parameters[i]->sizes() == gradients[i]->sizes(), "gradient ", i, " has sizes ",
                  gradients[i]->sizes(), ", its parameter ", parameters[i]->sizes());
    for (size_t i = 0; i < count; ++i) parameters[i]->mutable_grad() = *gradients[i];
  });
}

extern "C" char* fewstep_zero_grads(at::Tensor* const* parameters, size_t count) {
  return guarded([&] {
    for (size_t i = 0; i < count; ++i) parameters[i]->mutable_grad().reset();
  });
}

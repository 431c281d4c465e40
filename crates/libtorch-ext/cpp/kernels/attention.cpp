// Fused attention that can be differentiated twice: libtorch's fused kernels have one derivative only.
#include "../shim.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Tensor composed(const Tensor& query, const Tensor& key, const Tensor& value) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(query.size(-1)));
  const auto weights = at::softmax(at::matmul(query, (key * scale).transpose(-2, -1)), -1, at::kFloat);
  return at::matmul(weights.to(value.scalar_type()), value);
}

struct Attention : torch::autograd::Function<Attention> {
  // The fused operation keeps what its derivative needs in a graph of its own, from `leaves` to `result`.
  static Tensor forward(AutogradContext* context, const Tensor& query, const Tensor& key, const Tensor& value) {
    context->save_for_backward({query, key, value});
    variable_list leaves;
    for (const auto& input : {query, key, value}) leaves.push_back(input.detach().set_requires_grad(true));
    at::AutoGradMode with_graph(true);
    const auto result = at::scaled_dot_product_attention(leaves[0], leaves[1], leaves[2]);
    context->saved_data["leaves"] = leaves;
    context->saved_data["result"] = result;
    return result.detach();
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    if (!at::GradMode::is_enabled()) {
      const auto leaves = context->saved_data["leaves"].toTensorVector();
      const auto result = context->saved_data["result"].toTensor();
      return torch::autograd::grad({result}, leaves, gradients, /*retain_graph=*/true);
    }
    const auto saved = context->get_saved_variables();
    variable_list inputs, all(3);
    std::vector<size_t> places;
    for (size_t i = 0; i < saved.size(); ++i) {
      if (!saved[i].requires_grad()) continue;
      inputs.push_back(saved[i]);
      places.push_back(i);
    }
    const auto result = composed(saved[0], saved[1], saved[2]);
    const auto found = torch::autograd::grad({result}, inputs, gradients, /*retain_graph=*/true, /*create_graph=*/true);
    for (size_t i = 0; i < places.size(); ++i) all[places[i]] = found[i];
    return all;
  }
};

}  // namespace

extern "C" char* fewstep_attention(at::Tensor* query, at::Tensor* key, at::Tensor* value, at::Tensor** result) {
  return fewstep::guarded([&] {
    const auto tangent = [](const Tensor* tensor) { return tensor->_fw_grad(0).defined(); };
    if (tangent(query) || tangent(key) || tangent(value)) {
      *result = new Tensor(composed(*query, *key, *value));
      return;
    }
    const bool wanted = query->requires_grad() || key->requires_grad() || value->requires_grad();
    *result = new Tensor(at::GradMode::is_enabled() && wanted ? Attention::apply(*query, *key, *value)
                                                              : at::scaled_dot_product_attention(*query, *key, *value));
  });
}

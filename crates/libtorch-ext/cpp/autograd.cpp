// Gradients with explicit cotangents, and the levels of forward-mode differentiation.
#include "casting.h"
#include "shim.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

using fewstep::guarded;
using fewstep::tensors;
using torch::autograd::ForwardADLevel;

// `gradients[i]` becomes a new handle, or null where the outputs do not depend on input i.
extern "C" char* fewstep_vjp(at::Tensor* const* outputs, at::Tensor* const* cotangents, size_t count,
                             at::Tensor* const* inputs, size_t input_count, bool keep_graph, bool create_graph,
                             at::Tensor** gradients) {
  return guarded([&] {
    // The types of a backward pass are those of the forward pass.
    const fewstep::CastingScope no_casts(fewstep::Casting::off());
    const auto found = torch::autograd::grad(tensors(outputs, count), tensors(inputs, input_count),
                                             tensors(cotangents, count), keep_graph, create_graph,
                                             /*allow_unused=*/true);
    for (size_t i = 0; i < input_count; ++i) gradients[i] = found[i].defined() ? new at::Tensor(found[i]) : nullptr;
  });
}

extern "C" char* fewstep_forward_level_enter(uint64_t* level) {
  return guarded([&] { *level = ForwardADLevel::get_next_idx(); });
}

extern "C" char* fewstep_forward_level_exit(uint64_t level) {
  return guarded([&] { ForwardADLevel::release_idx(level); });
}

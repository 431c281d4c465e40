// A function whose intermediate values are thrown away after the forward pass and computed again in the backward pass.
#include "casting.h"
#include "shim.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <unordered_set>

using fewstep::guarded;
using torch::autograd::AutogradContext;
using torch::autograd::Edge;
using torch::autograd::Function;
using torch::autograd::Node;
using torch::autograd::variable_list;

// A Rust closure. `call` stores a new handle of the result, or returns a message from malloc. Mirrored in Rust.
struct Closure {
  void* data;
  char* (*call)(void* data, at::Tensor* const* inputs, size_t count, at::Tensor** output);
  void (*release)(void* data);
};

namespace {

// The closure and what else the second evaluation must have in common with the first.
struct Segment : torch::CustomClassHolder {
  Segment(const Closure& closure, int64_t input_count) : closure(closure), input_count(input_count) {}
  ~Segment() override { closure.release(closure.data); }

  at::Tensor run(const variable_list& inputs) const {
    const fewstep::CastingScope scope(casting);
    std::vector<at::Tensor> handles(inputs);
    std::vector<at::Tensor*> pointers;
    for (auto& handle : handles) pointers.push_back(&handle);
    at::Tensor* output = nullptr;
    if (char* message = closure.call(closure.data, pointers.data(), pointers.size(), &output)) {
      const std::string text(message);
      free(message);
      TORCH_CHECK(false, text);
    }
    const std::unique_ptr<at::Tensor> owned(output);
    TORCH_CHECK(owned && owned->defined(), "the closure returned an undefined tensor");
    return *owned;
  }

  const Closure closure;
  const int64_t input_count;
  const fewstep::Casting casting;
};

// A leaf that the closure captured and the caller did not list would silently get no gradient.
void refuse_unlisted(const at::Tensor& output, const variable_list& listed) {
  std::vector<Edge> edges;  // keeps the nodes below alive
  std::unordered_set<const Node*> seen;
  for (const auto& tensor : listed) {
    edges.push_back(torch::autograd::impl::gradient_edge(tensor));
    seen.insert(edges.back().function.get());
  }
  edges.push_back(torch::autograd::impl::gradient_edge(output));
  std::vector<const Node*> open{edges.back().function.get()};
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    if (!node || !seen.insert(node).second) continue;
    const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(node);
    TORCH_CHECK(!leaf, "the closure uses a tensor of sizes ", leaf->variable.sizes(),
                " that requires a gradient but is neither among `inputs` nor among `params`; list it");
    for (const auto& edge : node->next_edges()) open.push_back(edge.function.get());
  }
}

struct Checkpoint : Function<Checkpoint> {
  static at::Tensor forward(AutogradContext* context, const c10::intrusive_ptr<Segment>& segment,
                            at::TensorList inputs_and_params) {
    const auto inputs = inputs_and_params.slice(0, segment->input_count).vec();
    context->saved_data["segment"] = c10::IValue::make_capsule(segment);
    context->save_for_backward(inputs_and_params.vec());
    return segment->run(inputs);
  }

  static variable_list backward(AutogradContext* context, const variable_list& cotangents) {
    TORCH_CHECK(!at::GradMode::is_enabled(),
                "a checkpointed segment cannot be differentiated twice; "
                "call the function without a checkpoint where `create_graph` is needed");
    const auto capsule = context->saved_data["segment"].toCapsule();
    const auto& segment = static_cast<const Segment&>(*capsule);
    const auto saved = context->get_saved_variables();
    variable_list inputs, sources;
    std::vector<size_t> places;
    for (size_t i = 0; i < saved.size(); ++i) {
      const bool is_input = static_cast<int64_t>(i) < segment.input_count;
      const bool wanted = saved[i].requires_grad();
      // Detached, so that the inner backward pass ends here and does not run into what made the input.
      auto source = is_input ? saved[i].detach().set_requires_grad(wanted) : saved[i];
      if (is_input) inputs.push_back(source);
      if (!wanted) continue;
      sources.push_back(std::move(source));
      places.push_back(i);
    }
    variable_list gradients(1 + saved.size());  // the first belongs to the segment itself
    at::AutoGradMode record(true);
    const auto output = segment.run(inputs);
    if (!output.requires_grad()) return gradients;
    refuse_unlisted(output, sources);
    auto found = torch::autograd::grad({output}, sources, {cotangents[0]}, /*retain_graph=*/false,
                                       /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < places.size(); ++i) gradients[1 + places[i]] = std::move(found[i]);
    return gradients;
  }
};

}  // namespace

// Takes the closure over, also if it fails.
extern "C" char* fewstep_checkpoint(const Closure* closure, at::Tensor* const* inputs, size_t input_count,
                                    at::Tensor* const* params, size_t param_count, at::Tensor** output) {
  return guarded([&] {
    const auto segment = c10::make_intrusive<Segment>(*closure, static_cast<int64_t>(input_count));
    auto all = fewstep::tensors(inputs, input_count);
    for (const auto& param : fewstep::tensors(params, param_count)) all.push_back(param);
    *output = new at::Tensor(Checkpoint::apply(segment, at::TensorList(all)));
  });
}

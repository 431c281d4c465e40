// Tensors that move into memory of another one.
#include "shim.h"

#include <torch/csrc/autograd/variable.h>

using fewstep::guarded;

extern "C" char* fewstep_rebase(const at::Tensor* tensor, const at::Tensor* view) {
  return guarded([&] {
    TORCH_CHECK(tensor->scalar_type() == view->scalar_type() && tensor->sizes() == view->sizes(), "a tensor of ",
                tensor->scalar_type(), tensor->sizes(), " cannot lie in a view of ", view->scalar_type(), view->sizes());
    tensor->set_data(*view);
    // `set_data` leaves the tensor its own count of changes; a write through the view has to count for both.
    torch::autograd::impl::set_version_counter(*tensor, torch::autograd::impl::version_counter(*view));
  });
}

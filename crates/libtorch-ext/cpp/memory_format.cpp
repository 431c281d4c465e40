// The order in which the elements of a tensor lie in memory.
#include "shim.h"

using fewstep::guarded;

extern "C" char* fewstep_contiguous(const at::Tensor* tensor, int8_t format, at::Tensor** result) {
  return guarded([&] { *result = new at::Tensor(tensor->contiguous(static_cast<at::MemoryFormat>(format))); });
}

extern "C" char* fewstep_is_contiguous(const at::Tensor* tensor, int8_t format, bool* result) {
  return guarded([&] { *result = tensor->is_contiguous(static_cast<at::MemoryFormat>(format)); });
}

extern "C" char* fewstep_suggest_format(const at::Tensor* tensor, int8_t* format) {
  return guarded([&] { *format = static_cast<int8_t>(tensor->suggest_memory_format()); });
}

// What every file of the shim shares: no C++ exception may cross into Rust, so each function returns its message.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <cstring>
#include <exception>
#include <vector>

namespace fewstep {

// Runs `body`; null on success, otherwise the message in memory from malloc, which the caller frees.
template <typename Body>
char* guarded(Body&& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const c10::Error& error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

// Handles to the same tensors (no data is copied).
inline std::vector<at::Tensor> tensors(at::Tensor* const* pointers, size_t count) {
  std::vector<at::Tensor> handles;
  handles.reserve(count);
  for (size_t i = 0; i < count; ++i) handles.push_back(*pointers[i]);
  return handles;
}

// The CPU for a negative index, otherwise the CUDA device of that number.
inline at::Device device_of(int index) {
  if (index < 0) return {at::kCPU};
  return {at::kCUDA, static_cast<at::DeviceIndex>(index)};
}

}  // namespace fewstep

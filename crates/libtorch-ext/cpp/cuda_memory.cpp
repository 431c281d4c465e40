// What libtorch's allocator holds on a CUDA device.
#include "shim.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

using fewstep::guarded;

namespace {
// The allocator knows its devices only after CUDA has been started.
c10::DeviceAllocator& allocator() {
  at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
  return *c10::getDeviceAllocator(c10::DeviceType::CUDA);
}
}  // namespace

// Bytes. Mirrored in Rust.
struct MemoryStats {
  int64_t allocated;
  int64_t allocated_peak;
  int64_t reserved;
  int64_t reserved_peak;
  int64_t free;
  int64_t total;
};

extern "C" char* fewstep_cuda_memory(int device, MemoryStats* stats) {
  return guarded([&] {
    auto& source = allocator();
    const auto index = static_cast<c10::DeviceIndex>(device);
    const auto found = source.getDeviceStats(index);
    // The first of each group is the sum over the pools of small and of large blocks.
    const auto& allocated = found.allocated_bytes[0];
    const auto& reserved = found.reserved_bytes[0];
    const auto [free, total] = source.getMemoryInfo(index);
    *stats = {allocated.current, allocated.peak, reserved.current, reserved.peak, static_cast<int64_t>(free),
              static_cast<int64_t>(total)};
  });
}

extern "C" char* fewstep_cuda_reset_peak(int device) {
  return guarded([&] { allocator().resetPeakStats(static_cast<c10::DeviceIndex>(device)); });
}

extern "C" char* fewstep_cuda_empty_cache() {
  return guarded([&] { allocator().emptyCache(); });
}

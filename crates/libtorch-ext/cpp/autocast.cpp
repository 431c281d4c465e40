// Autocast with an explicit type on an explicit kind of device.
#include "shim.h"

#include <ATen/autocast_mode.h>

namespace {
c10::DeviceType kind_of(bool cuda) { return cuda ? c10::DeviceType::CUDA : c10::DeviceType::CPU; }
}  // namespace

// What has to be put back when a guard ends. Mirrored by `ffi::AutocastState`.
struct AutocastState {
  bool cuda;
  bool enabled;
  bool cache_enabled;
  int8_t dtype;
};

extern "C" char* fewstep_autocast_enter_bf16(bool cuda, AutocastState* previous) {
  return fewstep::guarded([&] {
    const auto kind = kind_of(cuda);
    *previous = {cuda, at::autocast::is_autocast_enabled(kind), at::autocast::is_autocast_cache_enabled(),
                 static_cast<int8_t>(at::autocast::get_autocast_dtype(kind))};
    at::autocast::set_autocast_enabled(kind, true);
    at::autocast::set_autocast_dtype(kind, at::kBFloat16);
    at::autocast::set_autocast_cache_enabled(true);
    at::autocast::increment_nesting();
  });
}

extern "C" char* fewstep_autocast_exit(const AutocastState* previous) {
  return fewstep::guarded([&] {
    const auto kind = kind_of(previous->cuda);
    // The outermost guard drops the casted copies of the weights: they are stale after the next update.
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(kind, previous->enabled);
    at::autocast::set_autocast_dtype(kind, static_cast<at::ScalarType>(previous->dtype));
    at::autocast::set_autocast_cache_enabled(previous->cache_enabled);
  });
}

// A parallel loop on the threads that libtorch's own kernels use.
#pragma once

#include <cstdint>
#include <functional>

namespace fewstep {

// Splits 0..count into one range per thread and waits for all. Serial for fewer than two items of work, inside of
// another parallel loop, or where libtorch's OpenMP cannot be found. `body` must not throw.
void parallel(int64_t count, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace fewstep

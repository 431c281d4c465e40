#include "parallel.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>

namespace {

// The entry point of the OpenMP that libtorch has loaded. A second OpenMP, linked by the shim, would have threads of its own.
using GompParallel = void (*)(void (*)(void*), void*, unsigned, unsigned);
GompParallel gomp_parallel() {
  static const auto entry = reinterpret_cast<GompParallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return entry;
}

struct Work {
  const std::function<void(int64_t, int64_t)>* body;
  int64_t count;
  int64_t share;
  std::atomic<int64_t> next;
};

// The runtime may start fewer threads than it was asked for, so ranges are taken, not given.
void take_ranges(void* pointer) {
  auto& work = *static_cast<Work*>(pointer);
  for (;;) {
    const int64_t begin = work.next.fetch_add(work.share);
    if (begin >= work.count) return;
    (*work.body)(begin, std::min(begin + work.share, work.count));
  }
}

}  // namespace

void fewstep::parallel(int64_t count, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), count);
  if (threads < 2 || at::in_parallel_region() || !gomp_parallel()) {
    if (count > 0) body(0, count);
    return;
  }
  Work work{&body, count, (count + threads - 1) / threads, {0}};
  gomp_parallel()(take_ranges, &work, static_cast<unsigned>(threads), 0);
}

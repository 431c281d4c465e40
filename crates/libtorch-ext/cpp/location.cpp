// Where the libtorch of this process lies.
#include <dlfcn.h>

namespace at {
class Context;
// Lives in libtorch_cpu; declared here because only its address is needed.
Context& globalContext();
}  // namespace at

extern "C" const char* fewstep_libtorch_cpu_path() {
  Dl_info info;
  return dladdr(reinterpret_cast<void*>(&at::globalContext), &info) ? info.dli_fname : nullptr;
}

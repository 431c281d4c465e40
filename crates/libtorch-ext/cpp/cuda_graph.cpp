// CUDA graphs: `at::cuda::CUDAGraph`, found by name in the CUDA half of libtorch after that has been loaded.
//
// Its header needs CUDA's, and linking to it would tie the program to machines with CUDA. So the functions are looked up
// at run time, and the object lives in memory whose size is computed here.
#include "shim.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>
#include <c10/util/flat_hash_map.h>
#include <c10/util/intrusive_ptr.h>
#include <dlfcn.h>

#include <memory>
#include <new>

using fewstep::guarded;

namespace {

// The members of `at::cuda::CUDAGraph` in libtorch 2.11, in order, with every pointer type replaced by another. Only
// its size is used.
struct Members {
  void* graph;
  void* graph_exec;
  bool has_graph, capture_ended, has_graph_exec;
  c10::CaptureId_t capture_id;
  c10::MempoolId_t mempool;
  c10::Stream capture_stream;
  ska::flat_hash_map<c10::intrusive_ptr<c10::intrusive_ptr_target>, uint64_t> generator_states;
  c10::DeviceIndex capture_device;
  bool keep_graph;
};

// More than is needed, should a patch release add a member.
constexpr size_t kSize = 512;
static_assert(sizeof(Members) <= kSize / 2, "at::cuda::CUDAGraph has grown");

template <typename Function>
Function resolve(const char* name) {
  void* address = dlsym(RTLD_DEFAULT, name);
  TORCH_CHECK(address, "the CUDA half of libtorch has no ", name, "; it is not of the 2.11 series");
  return reinterpret_cast<Function>(address);
}

// Member functions as C++ compilers on Unix call them: the object is the first argument.
struct Calls {
  void (*construct)(void*, bool) = resolve<void (*)(void*, bool)>("_ZN2at4cuda9CUDAGraphC1Eb");
  void (*destroy)(void*) = resolve<void (*)(void*)>("_ZN2at4cuda9CUDAGraphD1Ev");
  // The last is a `cudaStreamCaptureMode`.
  void (*begin)(void*, c10::MempoolId_t, unsigned) = resolve<void (*)(void*, c10::MempoolId_t, unsigned)>(
      "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
  void (*end)(void*) = resolve<void (*)(void*)>("_ZN2at4cuda9CUDAGraph11capture_endEv");
  void (*replay)(void*) = resolve<void (*)(void*)>("_ZN2at4cuda9CUDAGraph6replayEv");
  void (*reset)(void*) = resolve<void (*)(void*)>("_ZN2at4cuda9CUDAGraph5resetEv");
};

const Calls& calls() {
  static const Calls found;
  return found;
}

constexpr unsigned kThreadLocal = 1;  // cudaStreamCaptureModeThreadLocal

}  // namespace

struct FewstepGraph {
  FewstepGraph() { calls().construct(memory, /*keep_graph=*/false); }
  ~FewstepGraph() { calls().destroy(memory); }
  FewstepGraph(const FewstepGraph&) = delete;
  FewstepGraph& operator=(const FewstepGraph&) = delete;
  alignas(std::max_align_t) unsigned char memory[kSize] = {};
};

// Whether all the functions can be found.
extern "C" char* fewstep_graph_supported() {
  return guarded([&] { calls(); });
}

extern "C" char* fewstep_graph_new(FewstepGraph** graph) {
  return guarded([&] { *graph = new FewstepGraph(); });
}

extern "C" void fewstep_graph_free(FewstepGraph* graph) { delete graph; }

extern "C" char* fewstep_graph_begin(FewstepGraph* graph) {
  return guarded([&] { calls().begin(graph->memory, {0, 0}, kThreadLocal); });
}

extern "C" char* fewstep_graph_end(FewstepGraph* graph) {
  return guarded([&] { calls().end(graph->memory); });
}

extern "C" char* fewstep_graph_replay(FewstepGraph* graph) {
  return guarded([&] { calls().replay(graph->memory); });
}

extern "C" char* fewstep_graph_reset(FewstepGraph* graph) {
  return guarded([&] { calls().reset(graph->memory); });
}

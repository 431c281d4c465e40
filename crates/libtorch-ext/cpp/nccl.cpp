// NCCL through its C interface, found at run time beside the CUDA half of libtorch, which needs it itself.
#include "shim.h"

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <chrono>
#include <thread>

using c10::impl::VirtualGuardImpl;
using fewstep::device_of;
using fewstep::guarded;

namespace {
// Types and numbers of nccl.h; its interface has kept them since version 2.
struct UniqueId {
  char bytes[128];
};
using Comm = void*;
using Status = int;
constexpr Status kSuccess = 0, kInProgress = 7;
constexpr int kSum = 0;

int type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kChar: return 0;
    case at::kByte: return 1;
    case at::kInt: return 2;
    case at::kLong: return 4;
    case at::kHalf: return 6;
    case at::kFloat: return 7;
    case at::kDouble: return 8;
    case at::kBFloat16: return 9;
    default: TORCH_CHECK(false, "NCCL has no type for ", tensor.scalar_type());
  }
}

struct Library {
  Status (*get_unique_id)(UniqueId*);
  Status (*comm_init_rank)(Comm*, int, UniqueId, int);
  Status (*all_reduce)(const void*, void*, size_t, int, int, Comm, void*);
  Status (*broadcast)(const void*, void*, size_t, int, int, Comm, void*);
  Status (*async_error)(Comm, Status*);
  Status (*abort)(Comm);
  const char* (*error_string)(Status);
};

template <typename F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  TORCH_CHECK(function != nullptr, "libnccl.so.2 has no ", name);
}

const Library& library() {
  static const Library loaded = [] {
    void* handle = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    TORCH_CHECK(handle != nullptr, "NCCL cannot be loaded: ", dlerror());
    Library functions{};
    find(handle, "ncclGetUniqueId", functions.get_unique_id);
    find(handle, "ncclCommInitRank", functions.comm_init_rank);
    find(handle, "ncclAllReduce", functions.all_reduce);
    find(handle, "ncclBroadcast", functions.broadcast);
    find(handle, "ncclCommGetAsyncError", functions.async_error);
    find(handle, "ncclCommAbort", functions.abort);
    find(handle, "ncclGetErrorString", functions.error_string);
    return functions;
  }();
  return loaded;
}

void check(Status status) {
  TORCH_CHECK(status == kSuccess || status == kInProgress, "NCCL: ", library().error_string(status));
}

// Waits for the queue, and looks meanwhile whether another process is gone: NCCL itself would wait for ever.
void finish(Comm comm, const c10::Stream& stream, int64_t timeout_ms) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!stream.query()) {
    Status status = kSuccess;
    check(library().async_error(comm, &status));
    check(status);
    TORCH_CHECK(std::chrono::steady_clock::now() < end, "NCCL: not finished in the time-out");
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

template <typename Operation>
char* run(const at::Tensor* tensor, Comm comm, int64_t timeout_ms, Operation operation) {
  return guarded([&] {
    const c10::DeviceGuard guard(tensor->device());
    const auto stream = VirtualGuardImpl(at::kCUDA).getStream(tensor->device());
    check(operation(tensor->data_ptr(), static_cast<size_t>(tensor->numel()), type_of(*tensor), stream.native_handle()));
    finish(comm, stream, timeout_ms);
  });
}
}  // namespace

extern "C" char* fewstep_nccl_unique_id(uint8_t* id) {
  return guarded([&] {
    UniqueId unique{};
    check(library().get_unique_id(&unique));
    std::copy_n(unique.bytes, sizeof(unique.bytes), id);
  });
}

extern "C" char* fewstep_nccl_connect(const uint8_t* id, int device, int rank, int size, void** comm) {
  return guarded([&] {
    const c10::DeviceGuard guard(device_of(device));
    UniqueId unique{};
    std::copy_n(id, sizeof(unique.bytes), unique.bytes);
    check(library().comm_init_rank(comm, size, unique, rank));
  });
}

extern "C" char* fewstep_nccl_all_reduce_sum(void* comm, const at::Tensor* tensor, int64_t timeout_ms) {
  return run(tensor, comm, timeout_ms, [&](void* data, size_t count, int type, void* stream) {
    return library().all_reduce(data, data, count, type, kSum, comm, stream);
  });
}

extern "C" char* fewstep_nccl_broadcast(void* comm, const at::Tensor* tensor, int root, int64_t timeout_ms) {
  return run(tensor, comm, timeout_ms, [&](void* data, size_t count, int type, void* stream) {
    return library().broadcast(data, data, count, type, root, comm, stream);
  });
}

// Also ends operations that hang.
extern "C" void fewstep_nccl_free(void* comm) {
  std::free(guarded([&] { check(library().abort(comm)); }));
}

// Processes that compute together: libtorch's own store and its collectives over Gloo.
#include "shim.h"

#ifdef FEWSTEP_C10D

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <cstdlib>

namespace {
using Gloo = c10d::ProcessGroupGloo;
using Store = c10::intrusive_ptr<c10d::Store>;
using Group = c10::intrusive_ptr<Gloo>;

const Store& store_at(const void* store) { return *static_cast<const Store*>(store); }
Group& group_at(void* group) { return *static_cast<Group*>(group); }
}  // namespace

extern "C" char* fewstep_store_connect(const char* host, uint16_t port, bool serve, const char* prefix,
                                       int64_t timeout_ms, void** store) {
  return fewstep::guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serve;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    Store tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    *store = new Store(c10::make_intrusive<c10d::PrefixStore>(prefix, tcp));
  });
}

extern "C" void fewstep_store_free(void* store) { delete static_cast<Store*>(store); }

extern "C" char* fewstep_store_set(const void* store, const char* key, const uint8_t* value, size_t length) {
  return fewstep::guarded([&] { store_at(store)->set(key, std::vector<uint8_t>(value, value + length)); });
}

// The value lies in memory from malloc, which the caller frees.
extern "C" char* fewstep_store_get(const void* store, const char* key, uint8_t** value, size_t* length) {
  return fewstep::guarded([&] {
    const auto found = store_at(store)->get(key);
    *value = static_cast<uint8_t*>(std::malloc(found.size() + 1));
    TORCH_CHECK(*value != nullptr, "out of memory");
    if (!found.empty()) std::memcpy(*value, found.data(), found.size());
    *length = found.size();
  });
}

// `address` is the name of a network interface if `interface`, else a host name or number of this machine.
extern "C" char* fewstep_gloo_connect(const void* store, int32_t rank, int32_t size, const char* address, bool interface,
                                      int64_t timeout_ms, void** group) {
  return fewstep::guarded([&] {
    auto options = Gloo::Options::create(std::chrono::milliseconds(timeout_ms));
    options->devices.push_back(interface ? Gloo::createDeviceForInterface(address)
                                         : Gloo::createDeviceForHostname(address));
    *group = new Group(c10::make_intrusive<Gloo>(store_at(store), rank, size, options));
  });
}

extern "C" void fewstep_group_free(void* group) { delete static_cast<Group*>(group); }

extern "C" char* fewstep_all_reduce_sum(void* group, at::Tensor* tensor) {
  return fewstep::guarded([&] {
    std::vector<at::Tensor> tensors{*tensor};
    group_at(group)->allreduce(tensors, c10d::AllreduceOptions())->wait();
  });
}

extern "C" char* fewstep_broadcast(void* group, at::Tensor* tensor, int32_t root) {
  return fewstep::guarded([&] {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    std::vector<at::Tensor> tensors{*tensor};
    group_at(group)->broadcast(tensors, options)->wait();
  });
}

extern "C" char* fewstep_all_gather(void* group, at::Tensor* const* gathered, size_t count, at::Tensor* tensor) {
  return fewstep::guarded([&] {
    std::vector<std::vector<at::Tensor>> outputs{fewstep::tensors(gathered, count)};
    std::vector<at::Tensor> inputs{*tensor};
    group_at(group)->allgather(outputs, inputs, c10d::AllgatherOptions())->wait();
  });
}

extern "C" char* fewstep_barrier(void* group) {
  return fewstep::guarded([&] { group_at(group)->barrier(c10d::BarrierOptions())->wait(); });
}

#else  // Rust refuses before it gets here; the names must exist for the linker. With C linkage they take any arguments.

namespace {
char* absent() noexcept { return strdup("this libtorch was built without c10d"); }
}  // namespace

extern "C" char* fewstep_store_connect() { return absent(); }
extern "C" void fewstep_store_free() {}
extern "C" char* fewstep_store_set() { return absent(); }
extern "C" char* fewstep_store_get() { return absent(); }
extern "C" char* fewstep_gloo_connect() { return absent(); }
extern "C" void fewstep_group_free() {}
extern "C" char* fewstep_all_reduce_sum() { return absent(); }
extern "C" char* fewstep_broadcast() { return absent(); }
extern "C" char* fewstep_all_gather() { return absent(); }
extern "C" char* fewstep_barrier() { return absent(); }

#endif

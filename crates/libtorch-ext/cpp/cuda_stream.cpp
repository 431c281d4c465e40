// Queues of work on a device and marks in them, through interfaces that need no CUDA headers.
#include "shim.h"

#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

using c10::impl::VirtualGuardImpl;
using fewstep::device_of;
using fewstep::guarded;

namespace {
c10::Stream stream_of(int device, int64_t id) { return c10::Stream(c10::Stream::UNSAFE, device_of(device), id); }
}  // namespace

extern "C" char* fewstep_stream_new(int device, bool high_priority, int64_t* id) {
  return guarded([&] {
    *id = VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(device_of(device), high_priority).id();
  });
}

extern "C" char* fewstep_stream_default(int device, int64_t* id) {
  return guarded([&] { *id = VirtualGuardImpl(at::kCUDA).getDefaultStream(device_of(device)).id(); });
}

extern "C" char* fewstep_stream_current(int device, int64_t* id) {
  return guarded([&] { *id = VirtualGuardImpl(at::kCUDA).getStream(device_of(device)).id(); });
}

extern "C" char* fewstep_stream_query(int device, int64_t id, bool* idle) {
  return guarded([&] { *idle = stream_of(device, id).query(); });
}

extern "C" char* fewstep_stream_synchronize(int device, int64_t id) {
  return guarded([&] { stream_of(device, id).synchronize(); });
}

// The memory of `tensor` is reused only after what is queued on the stream now has run.
extern "C" char* fewstep_stream_record(int device, int64_t id, const at::Tensor* tensor) {
  return guarded([&] {
    VirtualGuardImpl(at::kCUDA).recordDataPtrOnStream(tensor->storage().data_ptr(), stream_of(device, id));
  });
}

// What has to be put back when a scope ends. Mirrored in Rust.
struct StreamScope {
  int device;
  int previous_device;
  int64_t previous_stream;
};

extern "C" char* fewstep_stream_enter(int device, int64_t id, StreamScope* scope) {
  return guarded([&] {
    const VirtualGuardImpl guard(at::kCUDA);
    const auto previous_device = guard.exchangeDevice(device_of(device));
    *scope = {device, static_cast<int>(previous_device.index()), guard.exchangeStream(stream_of(device, id)).id()};
  });
}

extern "C" char* fewstep_stream_exit(const StreamScope* scope) {
  return guarded([&] {
    const VirtualGuardImpl guard(at::kCUDA);
    guard.exchangeStream(stream_of(scope->device, scope->previous_stream));
    guard.setDevice(device_of(scope->previous_device));
  });
}

extern "C" char* fewstep_event_new(bool timing, c10::Event** event) {
  return guarded([&] {
    const auto flag = timing ? c10::EventFlag::BACKEND_DEFAULT : c10::EventFlag::PYTORCH_DEFAULT;
    *event = new c10::Event(at::kCUDA, flag);
  });
}

extern "C" void fewstep_event_free(c10::Event* event) { delete event; }

extern "C" char* fewstep_event_record(c10::Event* event, int device, int64_t id) {
  return guarded([&] { event->record(stream_of(device, id)); });
}

extern "C" char* fewstep_event_block(const c10::Event* event, int device, int64_t id) {
  return guarded([&] { event->block(stream_of(device, id)); });
}

extern "C" char* fewstep_event_query(const c10::Event* event, bool* reached) {
  return guarded([&] { *reached = event->query(); });
}

extern "C" char* fewstep_event_synchronize(const c10::Event* event) {
  return guarded([&] { event->synchronize(); });
}

extern "C" char* fewstep_event_elapsed(const c10::Event* from, const c10::Event* to, double* milliseconds) {
  return guarded([&] { *milliseconds = from->elapsedTime(*to); });
}

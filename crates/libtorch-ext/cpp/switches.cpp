// Settings of libtorch that change how operations compute.
#include "shim.h"

#include <ATen/Context.h>
#include <ATen/cpu/Utils.h>
#include <c10/core/InferenceMode.h>

using fewstep::guarded;

// 0: highest, 1: high, 2: medium.
extern "C" char* fewstep_set_matmul_precision(int precision) {
  return guarded([&] {
    static const char* const names[] = {"highest", "high", "medium"};
    at::globalContext().setFloat32MatmulPrecision(names[precision]);
  });
}

extern "C" char* fewstep_matmul_precision(int* precision) {
  return guarded([&] { *precision = static_cast<int>(at::globalContext().float32MatmulPrecision()); });
}

extern "C" char* fewstep_set_tf32_convolutions(bool allowed) {
  return guarded([&] { at::globalContext().setAllowTF32CuDNN(allowed); });
}

extern "C" char* fewstep_set_deterministic(bool on, bool warn_only) {
  return guarded([&] {
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(on, warn_only);
    context.setDeterministicCuDNN(on);
    context.setDeterministicMkldnn(on);
  });
}

extern "C" char* fewstep_set_flush_denormal(bool on, bool* supported) {
  return guarded([&] { *supported = at::globalContext().setFlushDenormal(on); });
}

extern "C" char* fewstep_set_onednn(bool on, bool* previous) {
  return guarded([&] {
    auto& context = at::globalContext();
    *previous = context.userEnabledMkldnn();
    context.setUserEnabledMkldnn(on);
  });
}

// Which implementations attention may choose from. Mirrored in Rust.
struct AttentionKernels {
  bool flash;
  bool memory_efficient;
  bool cudnn;
  bool math;
};

extern "C" char* fewstep_set_attention_kernels(const AttentionKernels* allowed, AttentionKernels* previous) {
  return guarded([&] {
    auto& context = at::globalContext();
    *previous = {context.userEnabledFlashSDP(), context.userEnabledMemEfficientSDP(), context.userEnabledCuDNNSDP(),
                 context.userEnabledMathSDP()};
    context.setSDPUseFlash(allowed->flash);
    context.setSDPUseMemEfficient(allowed->memory_efficient);
    context.setSDPUseCuDNN(allowed->cudnn);
    context.setSDPUseMath(allowed->math);
  });
}

extern "C" char* fewstep_inference_mode_enter(c10::InferenceMode** guard) {
  return guarded([&] { *guard = new c10::InferenceMode(true); });
}

extern "C" void fewstep_inference_mode_exit(c10::InferenceMode* guard) { delete guard; }

// Whether the processor has the instruction set of this name, such as `avx512_bf16`.
extern "C" char* fewstep_cpu_has(const char* name, bool* present) {
  return guarded([&] {
    const auto capabilities = at::cpu::get_cpu_capabilities();
    const auto entry = capabilities.find(name);
    *present = entry != capabilities.end() && entry->second.isBool() && entry->second.toBool();
  });
}

// Random number generators with a seed of their own.
#include "shim.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randperm.h>

using fewstep::guarded;

namespace {
at::Generator make(int device, uint64_t seed) {
  if (device < 0) return at::make_generator<at::CPUGeneratorImpl>(seed);
  const auto& hooks = at::globalContext().getAcceleratorHooksInterface(at::kCUDA);
  auto generator = hooks.getNewGenerator(static_cast<at::DeviceIndex>(device));
  generator.set_current_seed(seed);
  return generator;
}
}  // namespace

extern "C" char* fewstep_generator_new(int device, uint64_t seed, at::Generator** generator) {
  return guarded([&] { *generator = new at::Generator(make(device, seed)); });
}

extern "C" void fewstep_generator_free(at::Generator* generator) { delete generator; }

extern "C" char* fewstep_generator_state(at::Generator* generator, at::Tensor** state) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(generator->mutex());
    *state = new at::Tensor(generator->get_state());
  });
}

extern "C" char* fewstep_generator_set_state(at::Generator* generator, const at::Tensor* state) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(generator->mutex());
    generator->set_state(*state);
  });
}

extern "C" char* fewstep_generator_normal(at::Generator* generator, at::Tensor* target, double mean, double std) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    target->normal_(mean, std, *generator);
  });
}

extern "C" char* fewstep_generator_uniform(at::Generator* generator, at::Tensor* target, double low, double high) {
  return guarded([&] {
    at::NoGradGuard no_grad;
    target->uniform_(low, high, *generator);
  });
}

extern "C" char* fewstep_generator_randperm(at::Generator* generator, int64_t n, at::Tensor** order) {
  return guarded([&] {
    const auto options = at::TensorOptions().dtype(at::kLong).device(generator->device());
    *order = new at::Tensor(at::randperm(n, *generator, options));
  });
}

// Autocast, saved and restored.
#pragma once

#include <ATen/autocast_mode.h>

#include <array>
#include <utility>

namespace fewstep {

// How a thread casts; at first, as this thread does now.
class Casting {
 public:
  Casting() {
    for (size_t i = 0; i < kinds.size(); ++i)
      settings_[i] = {at::autocast::is_autocast_enabled(kinds[i]), at::autocast::get_autocast_dtype(kinds[i])};
  }

  // No casts at all.
  static Casting off() {
    Casting casting;
    for (auto& setting : casting.settings_) setting.first = false;
    return casting;
  }

  void apply() const {
    for (size_t i = 0; i < kinds.size(); ++i) {
      at::autocast::set_autocast_enabled(kinds[i], settings_[i].first);
      at::autocast::set_autocast_dtype(kinds[i], settings_[i].second);
    }
  }

 private:
  static constexpr std::array<c10::DeviceType, 2> kinds{c10::DeviceType::CPU, c10::DeviceType::CUDA};
  std::array<std::pair<bool, at::ScalarType>, 2> settings_;
};

// Casts in another way for as long as it lives, and without the cache of casted weights: it is emptied when the outermost
// autocast guard ends, so copies that are made outside of one would outlive the next update of the weights.
class CastingScope {
 public:
  explicit CastingScope(const Casting& casting) : cached_(at::autocast::is_autocast_cache_enabled()) {
    at::autocast::set_autocast_cache_enabled(false);
    casting.apply();
  }
  ~CastingScope() {
    previous_.apply();
    at::autocast::set_autocast_cache_enabled(cached_);
  }
  CastingScope(const CastingScope&) = delete;
  CastingScope& operator=(const CastingScope&) = delete;

 private:
  const Casting previous_;
  const bool cached_;
};

}  // namespace fewstep

// What c10d/ProcessGroupGloo.hpp names of gloo. libtorch's packages ship that header but not gloo's; the code is in
// libtorch_cpu, and the classes of c10d hold gloo's only by pointer, so declarations are enough.
#pragma once

#include <chrono>

namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

}  // namespace gloo

// A Context on the CPU in one line, for tests: plain loops in double, the library in float.
#pragma once

#include <memory>

#include "runtime/context.h"

namespace bev::test {

struct CpuContext {
  explicit CpuContext(DType dtype = DType::f64, size_t capacity = size_t{8} << 30)
      : context({.kind = DeviceKind::cpu}, Arena::on_host(capacity), make_cpu_matmul(), make_cpu_convolution(), &state,
                dtype) {
    state.seed = 7;
  }
  StepState state;
  Context context;
};

}  // namespace bev::test

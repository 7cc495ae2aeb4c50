// Products in bf16 on the CPU that are wrong in one way: for showing that a check of bf16 finds it.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/matmul.h"

namespace bev::test {

enum class Fault : uint8_t {
  none,
  truncated,    // the low bits of factors are cut off, not rounded
  narrow_sums,  // sums are kept in bf16, rounded every 16 terms
  lost,         // one product of a hundred is not computed: what it adds to is left as it is
  unrounded,    // factors are not rounded at all
};

std::unique_ptr<MatmulEngine> make_faulty_matmul(Fault fault);

}  // namespace bev::test

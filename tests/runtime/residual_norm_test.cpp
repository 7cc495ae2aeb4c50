#include <doctest/doctest.h>

#include "tests/runtime/residual_norm_case.h"

namespace bev::test {

TEST_CASE("a gated residual fused with the norm behind it equals the two ops") {
  const GradientResult difference = compare_cases(residual_norm_case(true), residual_norm_case(false));
  INFO(difference.worst_place);
  CHECK(difference.worst_error < 1e-12);
}

}  // namespace bev::test

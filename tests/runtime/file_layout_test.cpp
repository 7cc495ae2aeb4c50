#include "runtime/file_layout.h"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

namespace bev {

TEST_CASE("filters are filed as [out, in, height, width] and come back") {
  ParameterStore store;
  const Parameter& filter = store.declare("filter", {2, 2, 3, 4}, Init::constant(0), FileLayout::filter);
  CHECK(filter.file_shape() == Shape{2, 4, 2, 3});
  std::vector<double> computed(48), filed(48), back(48);
  std::iota(computed.begin(), computed.end(), 0.0);
  to_file_layout<double>(filter, computed, filed);
  // Filter 1, channel 2, row 1, column 0: element [1, 1, 0, 2] as computed.
  CHECK(filed[((1 * 4 + 2) * 2 + 1) * 3 + 0] == computed[((1 * 2 + 1) * 3 + 0) * 4 + 2]);
  from_file_layout<double>(filter, filed, back);
  CHECK(back == computed);
}

TEST_CASE("everything else is filed as it is computed with") {
  ParameterStore store;
  const Parameter& weight = store.declare("weight", {2, 3}, Init::constant(0));
  std::vector<float> computed(6), filed(6);
  std::iota(computed.begin(), computed.end(), 0.0f);
  to_file_layout<float>(weight, computed, filed);
  CHECK(filed == computed);
}

}  // namespace bev

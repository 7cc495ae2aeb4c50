// Masks from token data: what counts as a row that holds something, in every stored type.
#include "runtime/ops/tokens.h"

#include <doctest/doctest.h>

#include "tests/support/cpu_context.h"

namespace bev::test {

namespace {

template <class Stored>
std::vector<int> mask_of_rows(const std::vector<std::vector<Stored>>& rows, int64_t samples, bool alone) {
  CpuContext cpu;
  const auto width = static_cast<int64_t>(rows.front().size()), tokens = static_cast<int64_t>(rows.size()) / samples;
  const Tensor x = cpu.context.empty({samples, tokens, width}, dtype_of<Stored>());
  for (size_t row = 0; row < rows.size(); ++row)
    std::copy(rows[row].begin(), rows[row].end(), x.data<Stored>() + static_cast<int64_t>(row) * width);
  std::vector<MaskedSet> sets = {{.tokens = tokens, .data = x, .valid = {}}};
  if (!alone) sets.insert(sets.begin(), {.tokens = 1, .data = {}, .valid = {}});
  const Tensor mask = valid_tokens(cpu.context, samples, sets);
  return {mask.data<uint8_t>(), mask.data<uint8_t>() + mask.size()};
}

}  // namespace

TEST_CASE_TEMPLATE("a token is valid where any element is not zero, and where none is, none is masked", T, float,
                   double) {
  const std::vector<std::vector<T>> rows = {{1, 0, 0}, {0, 0, T(-1e-30)}, {0, T(-0.0), 0},  //
                                            {0, 0, 0}, {0, 0, 0},         {0, 0, 0}};
  CHECK(mask_of_rows<T>(rows, 2, true) == std::vector{1, 1, 0, 1, 1, 1});
  // Beside a set without data, whose one token is valid, padding stays masked.
  CHECK(mask_of_rows<T>(rows, 2, false) == std::vector{1, 1, 1, 0, 1, 0, 0, 0});
}

TEST_CASE("bf16 tokens: minus zero is zero, the smallest number is not") {
  const std::vector<std::vector<uint16_t>> rows = {{0x3f80, 0}, {0, 0x0001}, {0, 0x8000}, {0x8000, 0x8001}};
  CHECK(mask_of_rows<uint16_t>(rows, 1, false) == std::vector{1, 1, 1, 0, 1});
}

}  // namespace bev::test

// What the build asks of its compiler: a flaw of one version, avoided by options in cmake/targets.cmake.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

template <class T>
struct Eight {
  T numbers[8];
};

/// A copy of a constant, which compilers turn into vector stores.
template <class T>
[[gnu::noinline]] void write_constant(void* out) {
  constexpr Eight<T> constant = {{1, 1, 1, 1, 0, 0, 0, 0}};
  std::memcpy(out, &constant, sizeof constant);
}

template <class T>
void check_constants() {
  Eight<T> out;
  write_constant<T>(&out);
  for (int i = 0; i < 8; ++i) CHECK(out.numbers[i] == (i < 4 ? 1 : 0));
  const std::vector<T> copied{3, 3, 3, 3, 0, 0, 0, 0};
  for (size_t i = 0; i < 8; ++i) CHECK(copied[i] == (i < 4 ? 3 : 0));
}

}  // namespace

TEST_CASE("constants arrive as they are written") {
  check_constants<int>();
  check_constants<float>();
  check_constants<double>();
  check_constants<int64_t>();
}

#include "runtime/autotune_cache.h"

#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/temporary_folder.h"

namespace bev {

TEST_CASE("choices outlive the engine that made them, and engines do not lose each other's") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("deeper/cublaslt.json");
  AutotuneCache first(path), second(path);
  first.remember("8 x 8", "a");
  second.remember("16 x 16", "b");
  const AutotuneCache later(path);
  CHECK(later.find("8 x 8") == "a");
  CHECK(later.find("16 x 16") == "b");
  CHECK(!later.find("32 x 32"));
}

TEST_CASE("a file that is no cache, or a place that cannot be written, costs time and nothing else") {
  const test::TemporaryFolder folder;
  const std::string path = folder.file("broken.json");
  std::ofstream(path) << "{\"8 x 8\": [1, 2";
  AutotuneCache cache(path);
  CHECK(!cache.find("8 x 8"));
  AutotuneCache nowhere("/proc/nothing/here.json");
  nowhere.remember("8 x 8", "a");
  CHECK(nowhere.find("8 x 8") == "a");
}

TEST_CASE("the file's name says what its choices depend on") {
  CHECK(autotune_path("d", "cudnn", "9.19.0", "NVIDIA H200", "tf32") == "d/cudnn-9_19_0-NVIDIA_H200-tf32.json");
  CHECK(autotune_path("", "cudnn", "9", "x", "tf32").empty());
}

}  // namespace bev

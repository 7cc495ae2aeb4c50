// The tests that need a GPU. Without one they are skipped, all of them, and the reason is said: CTest counts 77 as
// that.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/core.h>

#include "runtime/device.h"

int main(int argc, char** argv) {
  const bev::CudaSurvey survey = bev::survey_cuda();
  if (survey.count == 0) {
    fmt::print("skipped: {}\n", survey.reason);
    return 77;
  }
  return doctest::Context(argc, argv).run();
}

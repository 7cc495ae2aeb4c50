// The end of every program: what went wrong becomes one line on stderr and an exit status.
#pragma once

#include <fmt/core.h>

#include <cstdio>

#include "runtime/error.h"

namespace bev {

/// What `run` returns; or, if it throws, the status of the error, which is printed behind the program's name.
template <class Run>
int exit_status_of(const char* program, const Run& run) {
  try {
    return run();
  } catch (const Error& error) {
    fmt::print(stderr, "{}: {}\n", program, error.what());
    return error.exit_status();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", program, error.what());
    return static_cast<int>(ErrorKind::runtime);
  }
}

}  // namespace bev

// The one exception type of the program. Its kind decides the exit status, so that a scheduler knows what is worth
// retrying. A message is one line: what was wrong, where, and what was expected.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace bev {

enum class ErrorKind : int {
  runtime = 1,       // a library call failed, a disk is full, memory ran out
  usage = 2,         // command line or configuration
  data = 3,          // a data set or checkpoint is damaged, or does not fit the model
  diverged = 4,      // loss or gradient is not finite
  hang = 5,          // a replica did not arrive at a collective in time
  disagreement = 6,  // replicas do not hold the same weights, or summed their gradients wrong
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind), message_(message) {}
  ErrorKind kind() const { return kind_; }
  int exit_status() const { return static_cast<int>(kind_); }
  const char* what() const noexcept override { return message_.c_str(); }

  /// Says where it happened, in front; for who catches an error by reference and lets it go on: it stays what it is.
  void prepend(const std::string& where) { message_ = where + message_; }

 private:
  ErrorKind kind_;
  std::string message_;
};

/// Throws Error with a message made as by fmt::format.
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace bev

// Reads Python pickles (protocols 2 to 5) without running anything: constructors are not called but kept as what they
// are, a name with arguments, for the caller to interpret. Only names that the caller lists may occur; every other, and
// every opcode that plain data does not need, is refused by name. Bounded by the size of the input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"

namespace bev {

/// A value of a pickle. Lists and dicts may contain themselves: never walk one without a bound.
struct PickleValue {
  enum class Kind : uint8_t { none, boolean, integer, real, text, bytes, list, tuple, dict, global, call, persistent };
  Kind kind = Kind::none;
  int64_t integer = 0;  // of a boolean too
  double real = 0;
  std::string_view text;                  // text, bytes: in the pickle's memory. Of a global: "module.name"
  std::vector<const PickleValue*> items;  // list, tuple; dict and call: key, value, key, value ...
  const PickleValue* callee = nullptr;    // call: a global
  const PickleValue* argument = nullptr;  // call: a tuple; persistent: its identity
  const PickleValue* state = nullptr;     // call: what BUILD gave it, or null

  /// Of a dict, or of a call that was filled as one: the value under a text key, or null.
  const PickleValue* find(std::string_view key) const;
  bool is_call(std::string_view name) const { return kind == Kind::call && callee->text == name; }
};

std::string_view name_of(PickleValue::Kind kind);

class Pickle {
 public:
  /// `bytes` must outlive the pickle; `where` starts the message of every error. Throws Error(ErrorKind::data):
  /// truncated, malformed, an opcode or global that is not allowed.
  Pickle(std::span<const std::byte> bytes, const std::string& where, std::span<const std::string_view> globals);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& root() const { return *root_; }

 private:
  friend class PickleMachine;
  std::deque<PickleValue> values_;  // addresses stay
  std::deque<std::string> names_;   // of globals
  const PickleValue* root_ = nullptr;
};

}  // namespace bev

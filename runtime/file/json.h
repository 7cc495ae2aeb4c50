// JSON from files that may be damaged or hostile: strict where the library is lenient. A key twice in an object,
// nesting deeper than the format needs and text that is not UTF-8 are errors, never a crash.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "runtime/error.h"

namespace bev {

/// Parses `text`. Throws Error(kind) that starts with `where` (a file's name) and says what is wrong.
nlohmann::json parse_json(std::string_view text, const std::string& where, int max_depth = 8,
                          ErrorKind kind = ErrorKind::data);

/// The value as JSON text for a message: quoted, control characters escaped, at most about a hundred characters.
std::string brief(const nlohmann::json& value);

}  // namespace bev

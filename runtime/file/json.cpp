#include "runtime/file/json.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

namespace bev {

using nlohmann::json;

namespace {

std::string shortened(std::string text) {
  constexpr size_t most = 100;
  if (text.size() > most) text.replace(most, std::string::npos, "...");
  return text;
}

}  // namespace

std::string brief(const json& value) {
  return shortened(value.dump(-1, ' ', /*ensure_ascii=*/true, json::error_handler_t::replace));
}

json parse_json(std::string_view text, const std::string& where, int max_depth, ErrorKind kind) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open, innermost last
  const auto watch = [&](int depth, json::parse_event_t event, json& value) {
    // The depth of an opening bracket is that of what encloses it.
    if (depth >= max_depth &&
        (event == json::parse_event_t::object_start || event == json::parse_event_t::array_start)) {
      fail(kind, "{}: JSON nested deeper than {} levels", where, max_depth);
    }
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      fail(kind, "{}: the JSON key {} occurs twice in one object", where, brief(value));
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& error) {
    fail(kind, "{}: not valid JSON: {}", where, shortened(error.what()));
  }
}

}  // namespace bev

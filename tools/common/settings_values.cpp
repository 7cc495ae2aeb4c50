// How the types that settings bind are written in YAML.
#include <yaml-cpp/yaml.h>

#include <cmath>

#include "tools/common/settings.h"

namespace bev::settings_detail {

namespace {

/// Text that YAML reads back as the same string.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <class Sequence>
std::string sequence_text(const Sequence& values) {
  std::string out = "[";
  for (size_t i = 0; i < values.size(); ++i) out += (i ? ", " : "") + text(values[i]);
  return out + "]";
}

template <class T>
std::vector<T> sequence(const YAML::Node& node) {
  if (!node.IsSequence()) throw YAML::TypedBadConversion<std::vector<T>>(node.Mark());
  std::vector<T> out;
  for (const auto& entry : node) out.push_back(parse<T>(entry));
  return out;
}

template <class T, size_t n>
std::array<T, n> array_of(const YAML::Node& node) {
  const std::vector<T> values = sequence<T>(node);
  if (values.size() != n) fail(ErrorKind::usage, "{} values were given, expected {}", values.size(), n);
  std::array<T, n> out = {};
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

template <class T>
std::optional<T> optional_of(const YAML::Node& node) {
  if (node.IsNull() || (node.IsScalar() && node.Scalar() == "auto")) return std::nullopt;
  return parse<T>(node);
}

}  // namespace

std::string scalar(const YAML::Node& node) { return node.as<std::string>(); }

void bad_choice(const std::string& given, const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
  fail(ErrorKind::usage, "{} is not known: expected one of {}", given, all);
}

template <>
bool parse(const YAML::Node& node) {
  return node.as<bool>();
}
template <>
int64_t parse(const YAML::Node& node) {
  return node.as<int64_t>();
}
template <>
int parse(const YAML::Node& node) {
  return node.as<int>();
}
template <>
double parse(const YAML::Node& node) {
  const double value = node.as<double>();
  if (std::isnan(value)) fail(ErrorKind::usage, "not a number");
  return value;
}
template <>
std::string parse(const YAML::Node& node) {
  return node.IsNull() ? "" : node.as<std::string>();
}
template <>
std::vector<int> parse(const YAML::Node& node) {
  return sequence<int>(node);
}
template <>
std::vector<double> parse(const YAML::Node& node) {
  return sequence<double>(node);
}
template <>
std::array<double, 2> parse(const YAML::Node& node) {
  return array_of<double, 2>(node);
}
template <>
std::array<int64_t, 2> parse(const YAML::Node& node) {
  return array_of<int64_t, 2>(node);
}
template <>
std::optional<int64_t> parse(const YAML::Node& node) {
  return optional_of<int64_t>(node);
}
template <>
std::optional<std::array<double, 2>> parse(const YAML::Node& node) {
  return optional_of<std::array<double, 2>>(node);
}

template <>
std::string text(const bool& value) {
  return value ? "true" : "false";
}
template <>
std::string text(const int64_t& value) {
  return fmt::format("{}", value);
}
template <>
std::string text(const int& value) {
  return fmt::format("{}", value);
}
template <>
std::string text(const double& value) {
  return fmt::format("{}", value);  // the shortest text that reads back as the same number
}
template <>
std::string text(const std::string& value) {
  return quoted(value);
}
template <>
std::string text(const std::vector<int>& value) {
  return sequence_text(value);
}
template <>
std::string text(const std::vector<double>& value) {
  return sequence_text(value);
}
template <>
std::string text(const std::array<double, 2>& value) {
  return sequence_text(value);
}
template <>
std::string text(const std::array<int64_t, 2>& value) {
  return sequence_text(value);
}
template <>
std::string text(const std::optional<int64_t>& value) {
  return value ? text(*value) : "auto";
}
template <>
std::string text(const std::optional<std::array<double, 2>>& value) {
  return value ? text(*value) : "auto";
}

}  // namespace bev::settings_detail

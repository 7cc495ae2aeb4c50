#include "tools/common/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <numeric>

namespace bev {

namespace {

/// Levenshtein's edit distance.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('.') + 1); }

/// Whether `key` is `pattern`, or below it where the pattern ends in '.'.
bool covers(const std::string& pattern, const std::string& key) {
  return pattern.ends_with('.') ? (key + ".").starts_with(pattern) : key == pattern;
}

std::string flow_text(const YAML::Node& node) {
  YAML::Emitter out;
  out << YAML::Flow << node;
  return out.c_str();
}

std::string place(const std::string& source, const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? source : fmt::format("{}, line {}", source, mark.line + 1);
}

}  // namespace

void Settings::add(Key key) {
  if (!by_name_.emplace(key.name, keys_.size()).second) fail(ErrorKind::runtime, "key {} is bound twice", key.name);
  keys_.push_back(std::move(key));
}

void Settings::alias(const std::string& key, const std::string& target) { aliases_[key] = target; }
void Settings::legacy(const std::string& key, const std::string& why) { legacy_.push_back({key, why}); }
void Settings::refuse(const std::string& key, const std::string& why) { refused_.push_back({key, why}); }
void Settings::fixed(const std::string& key, const std::string& value, const std::string& why) {
  fixed_[key] = {value, why};
}

const Settings::Key* Settings::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &keys_[found->second];
}

std::string Settings::nearest(const std::string& name) const {
  std::string best;
  size_t best_distance = std::string::npos;
  for (const Key& key : keys_) {
    // A right key in a wrong section is as likely as a slip of the finger.
    const size_t apart = std::min(distance(name, key.name), 2 + distance(last_part(name), last_part(key.name)));
    if (apart < best_distance) {
      best = key.name;
      best_distance = apart;
    }
  }
  return best;
}

void Settings::read_file(const std::string& path) {
  YAML::Node root;
  try {
    root = YAML::LoadFile(path);
  } catch (const YAML::BadFile&) {
    fail(ErrorKind::usage, "{}: cannot be read: is the path right?", path);
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::usage, "{}, line {}: not valid YAML: {}", path, error.mark.line + 1, error.msg);
  }
  read_node("", root, path);
}

void Settings::read_text(const std::string& text, const std::string& source) {
  try {
    read_node("", YAML::Load(text), source);
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::usage, "{}, line {}: not valid YAML: {}", source, error.mark.line + 1, error.msg);
  }
}

void Settings::override_with(const std::string& assignment) {
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail(ErrorKind::usage, "--set {}: expected KEY=VALUE, such as dataloader.batch_size=32", assignment);
  }
  std::string key = assignment.substr(0, equals);
  if (const auto found = aliases_.find(key); found != aliases_.end()) key = found->second;
  given_.erase(key);  // the command line may contradict the file
  try {
    read_node(key, YAML::Load(assignment.substr(equals + 1)), "--set");
  } catch (const YAML::Exception& error) {
    fail(ErrorKind::usage, "--set {}: not valid YAML: {}", assignment, error.msg);
  }
}

bool Settings::read_special(const std::string& path, const YAML::Node& node, const std::string& where) {
  for (const Note& note : refused_) {
    if (covers(note.key, path)) fail(ErrorKind::usage, "{}: {}: {}", where, path, note.why);
  }
  if (const auto found = fixed_.find(path); found != fixed_.end()) {
    const auto& [value, why] = found->second;
    const std::string given = flow_text(node);
    if (given != value)
      fail(ErrorKind::usage, "{}: {} is {}, but only {} is known: {}", where, path, given, value, why);
    return true;
  }
  for (const Note& note : legacy_) {
    if (!covers(note.key, path)) continue;
    legacy_values_[path] = flow_text(node);
    notes_.push_back(fmt::format("{}: {}", path, note.why));
    return true;
  }
  return false;
}

void Settings::read_node(const std::string& path, const YAML::Node& node, const std::string& source) {
  const std::string where = place(source, node);
  if (!path.empty()) {
    if (read_special(path, node, where)) return;
    const auto alias = aliases_.find(path);
    if (const Key* key = find(alias == aliases_.end() ? path : alias->second)) return assign(*key, path, node, where);
  }
  if (node.IsMap()) {
    for (const auto& entry : node) {
      const auto name = entry.first.as<std::string>();
      read_node(path.empty() ? name : path + "." + name, entry.second, source);
    }
    return;
  }
  if (path.empty()) {
    if (node.IsNull()) return;  // an empty file: all defaults
    fail(ErrorKind::usage, "{}: expected a map of keys at the top", source);
  }
  const bool is_section =
      std::any_of(keys_.begin(), keys_.end(), [&](const Key& key) { return key.name.starts_with(path + "."); });
  if (is_section && node.IsNull()) return;
  if (is_section) fail(ErrorKind::usage, "{}: {} is a section of keys, not a value", where, path);
  fail(ErrorKind::usage, "{}: unknown key {}: the nearest known one is {}", where, path, nearest(path));
}

void Settings::assign(const Key& key, const std::string& spelling, const YAML::Node& node, const std::string& where) {
  const std::string value = flow_text(node);
  try {
    key.read(node);
  } catch (const YAML::Exception&) {
    fail(ErrorKind::usage, "{}: {} is {}: expected a value like {} ({})", where, spelling, value, key.print(),
         key.meaning);
  } catch (const Error& error) {
    fail(ErrorKind::usage, "{}: {}: {}", where, spelling, error.what());
  }
  const std::string record = spelling + " = " + key.print();
  const auto [before, is_first] = given_.emplace(key.name, record);
  const auto value_of = [](const std::string& text) { return text.substr(text.find(" = ")); };
  if (!is_first && value_of(before->second) != value_of(record)) {
    fail(ErrorKind::usage, "{}: {} contradicts {}: they mean the same here", where, record, before->second);
  }
}

std::string Settings::print() const {
  std::string out;
  std::vector<std::string> open;  // the sections that the last line was in
  for (const Key& key : keys_) {
    std::vector<std::string> parts;
    for (size_t start = 0; start <= key.name.size();) {
      const size_t dot = std::min(key.name.find('.', start), key.name.size());
      parts.push_back(key.name.substr(start, dot - start));
      start = dot + 1;
    }
    const std::vector<std::string> sections(parts.begin(), parts.end() - 1);
    size_t common = 0;
    while (common < std::min(open.size(), sections.size()) && open[common] == sections[common]) ++common;
    for (size_t i = common; i < sections.size(); ++i) {
      out += fmt::format("{}{}:\n", std::string(2 * i, ' '), sections[i]);
    }
    open = sections;
    out +=
        fmt::format("{}{}: {}  # {}\n", std::string(2 * sections.size(), ' '), parts.back(), key.print(), key.meaning);
  }
  return out;
}

}  // namespace bev

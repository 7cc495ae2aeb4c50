// A configuration as a table of keys: each is bound once to a variable, with its meaning. From that one table come
// reading YAML, command-line overrides, the advice on a mistyped key, and the print-out of the resolved tree. A key
// that is in no table is an error; there is no key that nothing reads.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "runtime/error.h"

namespace YAML {
class Node;
}

namespace bev {

/// The names of an enum's values, as users write them.
template <class E>
using Choices = std::vector<std::pair<std::string, E>>;

class Settings {
 public:
  /// Binds `key` ("dataloader.batch_size") to `value`, which holds the default and outlives the settings. T: bool,
  /// int64_t, int, double, std::string, std::vector or std::array of numbers, or std::optional of one of these.
  template <class T>
  void bind(const std::string& key, T& value, const std::string& meaning);
  template <class E>
  void bind(const std::string& key, E& value, const Choices<E>& choices, const std::string& meaning);

  /// Another spelling of a bound key. Given both with different values, reading fails.
  void alias(const std::string& key, const std::string& target);
  /// A key of the reference's files that has no counterpart here: read, named in one line of notes, otherwise without
  /// effect. A key that ends in '.' stands for all below it.
  void legacy(const std::string& key, const std::string& why);
  /// A key for which only one value is known; any other is an error saying why.
  void fixed(const std::string& key, const std::string& value, const std::string& why);
  /// A key that is refused, with advice.
  void refuse(const std::string& key, const std::string& why);

  /// Reads a file. Throws Error(usage) naming file, line and key.
  void read_file(const std::string& path);
  void read_text(const std::string& text, const std::string& source);
  /// "a.b=c", from the command line: wins over what was read.
  void override_with(const std::string& assignment);

  /// What the legacy keys that occurred mean here, a line each, in the order of reading.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Whether a key was given by a file or an override.
  bool given(const std::string& key) const { return given_.count(key) > 0; }
  /// Values of legacy keys as they were given, for the run's record: key -> text.
  const std::map<std::string, std::string>& legacy_values() const { return legacy_values_; }
  /// The resolved tree as YAML, each key with its meaning; reading it back gives the same.
  std::string print() const;

 private:
  struct Key {
    std::string name, meaning;
    std::function<void(const YAML::Node&)> read;
    std::function<std::string()> print;
  };
  struct Note {
    std::string key, why;
  };

  void add(Key key);
  void read_node(const std::string& path, const YAML::Node& node, const std::string& source);
  void assign(const Key& key, const std::string& spelling, const YAML::Node& node, const std::string& where);
  bool read_special(const std::string& path, const YAML::Node& node, const std::string& where);
  const Key* find(const std::string& name) const;
  std::string nearest(const std::string& name) const;

  std::vector<Key> keys_;
  std::map<std::string, size_t> by_name_;
  std::map<std::string, std::string> aliases_;
  std::vector<Note> legacy_, refused_;
  std::map<std::string, std::pair<std::string, std::string>> fixed_;  // key -> (value, why)
  std::map<std::string, std::string> given_;                          // key -> the spelling and value it was given by
  std::map<std::string, std::string> legacy_values_;
  std::vector<std::string> notes_;
};

namespace settings_detail {

/// Scalars, and sequences of them, to and from YAML nodes; defined for the types that bind() takes.
template <class T>
T parse(const YAML::Node& node);
template <class T>
std::string text(const T& value);
std::string scalar(const YAML::Node& node);
[[noreturn]] void bad_choice(const std::string& given, const std::vector<std::string>& names);

}  // namespace settings_detail

template <class T>
void Settings::bind(const std::string& key, T& value, const std::string& meaning) {
  add({key, meaning, [&value](const YAML::Node& node) { value = settings_detail::parse<T>(node); },
       [&value] { return settings_detail::text(value); }});
}

template <class E>
void Settings::bind(const std::string& key, E& value, const Choices<E>& choices, const std::string& meaning) {
  std::vector<std::string> names;
  std::string all;
  for (const auto& choice : choices) {
    names.push_back(choice.first);
    all += (all.empty() ? "" : " | ") + choice.first;
  }
  add({key, all + (meaning.empty() ? "" : ": " + meaning),
       [&value, choices, names](const YAML::Node& node) {
         const std::string given = settings_detail::scalar(node);
         for (const auto& [name, choice] : choices) {
           if (name == given) {
             value = choice;
             return;
           }
         }
         settings_detail::bad_choice(given, names);
       },
       [&value, choices] {
         for (const auto& [name, choice] : choices) {
           if (choice == value) return name;
         }
         return std::string("?");
       }});
}

}  // namespace bev

#include "runtime/autotune_cache.h"

#include <cctype>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/file/atomic_file.h"

namespace bev {

namespace {

std::map<std::string, std::string> read_choices(const std::string& path) {
  std::ifstream file(path);
  if (!file) return {};
  const nlohmann::json parsed = nlohmann::json::parse(file, nullptr, false);
  std::map<std::string, std::string> out;
  if (!parsed.is_object()) return out;
  for (const auto& [key, choice] : parsed.items()) {
    if (choice.is_string()) out[key] = choice.get<std::string>();
  }
  return out;
}

}  // namespace

AutotuneCache::AutotuneCache(std::string path) : path_(std::move(path)), choices_(read_choices(path_)) {}

std::optional<std::string> AutotuneCache::find(const std::string& key) const {
  const auto found = choices_.find(key);
  if (found == choices_.end()) return std::nullopt;
  return found->second;
}

void AutotuneCache::remember(const std::string& key, const std::string& choice) {
  choices_[key] = choice;
  if (path_.empty()) return;
  try {
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path());
    std::map<std::string, std::string> all = read_choices(path_);
    for (const auto& [known, its_choice] : choices_) all[known] = its_choice;
    write_text_file(path_, nlohmann::json(all).dump(1));
  } catch (const std::exception&) {
    path_.clear();  // not worth a second try
  }
}

std::string autotune_path(const std::string& directory, const std::string& library, const std::string& version,
                          const std::string& device, const std::string& precision) {
  if (directory.empty()) return "";
  std::string name = library + "-" + version + "-" + device + "-" + precision;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  }
  return directory + "/" + name + ".json";
}

}  // namespace bev

#include "runtime/train/checkpoint_files.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "runtime/file/atomic_file.h"

namespace bev {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view prefix = "step_";
constexpr size_t digits = 8;

/// Carries out a call of std::filesystem that reports by an error code.
template <class Call>
void require(const std::string& path, const char* what, Call&& call) {
  std::error_code error;
  call(error);
  if (error) fail(ErrorKind::runtime, "{}: {}: {}", path, what, error.message());
}

void remove_all(const std::string& path) {
  require(path, "cannot be removed", [&](std::error_code& error) { fs::remove_all(path, error); });
}

void rename(const std::string& from, const std::string& to) {
  require(to, "cannot be put in place", [&](std::error_code& error) { fs::rename(from, to, error); });
}

}  // namespace

std::string checkpoint_name(int64_t step) { return fmt::format("{}{:08}", prefix, step); }

std::vector<CheckpointEntry> list_checkpoints(const std::string& folder) {
  std::vector<CheckpointEntry> out;
  std::error_code ignored;  // no folder: no checkpoints
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) || name.size() < prefix.size() + digits) continue;
    int64_t step = 0;
    const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), step);
    if (error == std::errc{} && end == name.data() + name.size()) out.push_back({step, name});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return out;
}

bool file_exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

void make_directory(const std::string& path) {
  require(path, "cannot be created", [&](std::error_code& error) { fs::create_directories(path, error); });
}

PartialDirectory::PartialDirectory(const std::string& folder, const std::string& name)
    : folder_(folder), place_(folder + "/" + name), partial_(place_ + ".partial") {
  remove_all(partial_);
  make_directory(partial_);
}

PartialDirectory::~PartialDirectory() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(partial_, ignored);
}

void PartialDirectory::commit() {
  flush_directory(partial_);
  const std::string old = place_ + ".old";
  if (file_exists(place_)) {
    remove_all(old);
    rename(place_, old);
  }
  rename(partial_, place_);
  committed_ = true;
  flush_directory(folder_);
  remove_all(old);
}

void point_link(const std::string& folder, const std::string& name, const std::string& target) {
  const std::string place = folder + "/" + name, partial = place + ".partial";
  remove_all(partial);
  require(place, "cannot be linked", [&](std::error_code& error) { fs::create_symlink(target, partial, error); });
  rename(partial, place);
  flush_directory(folder);
}

std::string link_target(const std::string& folder, const std::string& name) {
  std::error_code error;
  const fs::path target = fs::read_symlink(folder + "/" + name, error);
  return error ? std::string() : target.string();
}

void remove_checkpoint(const std::string& folder, const std::string& name) {
  const std::string place = folder + "/" + name, old = place + ".old";
  remove_all(old);
  rename(place, old);
  remove_all(old);
}

}  // namespace bev

// Directories that appear whole or not at all, and the names of checkpoints in their folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace bev {

/// "step_00000040".
std::string checkpoint_name(int64_t step);

struct CheckpointEntry {
  int64_t step = 0;
  std::string name;
};
/// The checkpoints of a folder by name, oldest first, whatever is in them; none if there is no such folder.
std::vector<CheckpointEntry> list_checkpoints(const std::string& folder);

bool file_exists(const std::string& path);

/// With its parents; fine if it is there. Throws Error(runtime) with path and reason.
void make_directory(const std::string& path);

/// A directory that is filled under another name and then put in its place.
class PartialDirectory {
 public:
  /// Creates FOLDER/NAME.partial, empty: what an interrupted run left is removed. All functions throw Error(runtime)
  /// with path and reason.
  PartialDirectory(const std::string& folder, const std::string& name);
  /// Without commit(): removes it.
  ~PartialDirectory();
  PartialDirectory(const PartialDirectory&) = delete;
  PartialDirectory& operator=(const PartialDirectory&) = delete;

  const std::string& path() const { return partial_; }
  /// Flushes its names, puts it in its place, over an older one, and flushes that.
  void commit();

 private:
  std::string folder_, place_, partial_;
  bool committed_ = false;
};

/// Points the symbolic link FOLDER/NAME to `target`, in one step where it pointed elsewhere.
void point_link(const std::string& folder, const std::string& name, const std::string& target);
/// Where it points; empty if there is none.
std::string link_target(const std::string& folder, const std::string& name);

/// Removes FOLDER/NAME so that no moment leaves half of it under that name.
void remove_checkpoint(const std::string& folder, const std::string& name);

}  // namespace bev

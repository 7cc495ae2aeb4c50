// Which algorithm was fastest for which shape, kept in a file: timing happens once a machine, not once a run. A choice
// is text under a text key; what the two say is the business of who asks. Choices of another library version or device
// lie in another file, since both are part of its name.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace bev {

class AutotuneCache {
 public:
  /// Reads `path` if it is there; a file that cannot be understood counts as empty, since all it costs is time. Empty
  /// path: nothing is kept.
  explicit AutotuneCache(std::string path);

  std::optional<std::string> find(const std::string& key) const;
  /// Remembers a choice and writes the file anew, keeping what other engines added to it meanwhile. A disk that cannot
  /// be written to is no error: the choice then lives as long as the process.
  void remember(const std::string& key, const std::string& choice);

 private:
  std::string path_;
  std::map<std::string, std::string> choices_;
};

/// "DIRECTORY/LIBRARY-VERSION-DEVICE-PRECISION.json" with everything but letters and digits in the parts replaced by
/// '_'; empty for an empty directory.
std::string autotune_path(const std::string& directory, const std::string& library, const std::string& version,
                          const std::string& device, const std::string& precision);

}  // namespace bev

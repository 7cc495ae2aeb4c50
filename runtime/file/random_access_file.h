// A file that is read in pieces, wherever they lie, for as long as the program runs. Unlike a mapping (mapped_file.h)
// it makes an exception of what goes wrong meanwhile, a file that is cut short or a disk that fails, and not a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "runtime/error.h"

namespace bev {

class RandomAccessFile {
 public:
  /// Whether a descriptor is held, or one opened for each call. A process has few (1,024 as a rule), a data set may
  /// have thousands of shards; opening a file takes microseconds.
  enum class Descriptor : uint8_t { held, for_each_call };

  /// Throws Error(ErrorKind::data) with the file's name and the system's reason.
  static RandomAccessFile open(const std::string& path, Descriptor descriptor);

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // bytes, when it was opened

  /// Copies `bytes` bytes from `offset` on. Throws Error(ErrorKind::data) that names the file and says what was
  /// expected where it has become shorter, or cannot be read, or another file has its name. From any thread.
  void read(uint64_t offset, void* to, size_t bytes) const;

  /// Asks the system to have these bytes in memory soon. Only a hint: its failure changes nothing. From any thread.
  void will_need(uint64_t offset, size_t bytes) const;

 private:
  class Handle;

  RandomAccessFile() = default;
  std::shared_ptr<const Handle> handle() const;  // held, or opened, which may have failed

  std::string path_;
  uint64_t size_ = 0, device_ = 0, inode_ = 0;
  std::shared_ptr<const Handle> held_;
};

}  // namespace bev

// The safetensors format, read and written strictly: an 8-byte little-endian header length, a JSON header (name ->
// {dtype, shape, data_offsets}, and a string map "__metadata__"), then the raw tensors. Shards, checkpoints and parity
// cases are such files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor.h"

namespace bev {

/// A file opened for reading, mapped into memory. Copies share the mapping. Thread-safe.
class SafetensorsFile {
 public:
  struct Entry {
    std::string name;
    DType dtype = DType::f32;
    Shape shape;
    size_t begin = 0, end = 0;  // bytes within the data part
  };

  /// Throws Error(ErrorKind::data) naming the file and what is wrong: missing, truncated, header not valid JSON or
  /// larger than 100 MiB, an unknown dtype, offsets that overlap, leave holes or do not fit the shape, a name twice.
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of the file's data
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Where in the file the data part begins.
  size_t data_offset() const { return static_cast<size_t>(data_ - static_cast<const std::byte*>(mapping_.get())); }
  /// Null if there is none of that name.
  const Entry* find(std::string_view name) const;
  /// The tensor, sharing the mapped memory (read-only: writing to it faults). Throws Error naming file and tensor if it
  /// is missing.
  Tensor tensor(std::string_view name) const;
  Tensor tensor(const Entry& entry) const;

 private:
  SafetensorsFile() = default;
  std::string path_;
  std::shared_ptr<void> mapping_;
  const std::byte* data_ = nullptr;
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> by_name_;
  std::map<std::string, std::string> metadata_;
};

struct NamedTensor {
  std::string name;
  Tensor value;  // in host memory
};

/// Writes the file so that it is there whole or not at all: into PATH.partial, flushed to disk, renamed. Data is
/// aligned to 64 bytes by padding the header. The same arguments give the same bytes. Throws Error naming the path and
/// the system's reason (disk full); then PATH is as it was and no partial file is left.
void write_safetensors(const std::string& path, std::span<const NamedTensor> tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace bev

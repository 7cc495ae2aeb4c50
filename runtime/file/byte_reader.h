// Little-endian numbers out of bytes that may be damaged: reading past the end is an Error with the file's name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "runtime/error.h"

namespace bev {

class ByteReader {
 public:
  /// `where` starts the message of every error.
  ByteReader(std::span<const std::byte> bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::string& where() const { return where_; }

  void seek(uint64_t position) {
    if (position > bytes_.size())
      fail(ErrorKind::data, "{}: truncated: byte {} of {}", where_, position, bytes_.size());
    position_ = static_cast<size_t>(position);
  }
  std::span<const std::byte> bytes(uint64_t count) {
    if (count > remaining()) {
      fail(ErrorKind::data, "{}: truncated: {} bytes at {} of {}", where_, count, position_, bytes_.size());
    }
    const auto part = bytes_.subspan(position_, static_cast<size_t>(count));
    position_ += static_cast<size_t>(count);
    return part;
  }
  std::string_view text(uint64_t count) {
    const auto part = bytes(count);
    return {reinterpret_cast<const char*>(part.data()), part.size()};
  }
  /// A number of type T (integers and floating-point), little-endian as this machine is.
  template <class T>
  T number() {
    static_assert(std::is_arithmetic_v<T>);
    T value;
    std::memcpy(&value, bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }
  /// What stands before the next newline, which is passed over.
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + position_, remaining());
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos)
      fail(ErrorKind::data, "{}: truncated: a line at {} has no end", where_, position_);
    position_ += end + 1;
    return rest.substr(0, end);
  }

 private:
  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  std::string where_;
};

}  // namespace bev

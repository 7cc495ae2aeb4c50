// Operations that have been prepared, by what identifies them: a handful of numbers. Looking one up costs some tens of
// nanoseconds, and products of small models take but a few microseconds.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

namespace bev::onednn {

template <class Operation, size_t Numbers>
class Prepared {
 public:
  using Key = std::array<int64_t, Numbers>;

  /// The operation of `key`; `prepare` constructs it in place the first time.
  template <class Prepare>
  Operation& get(const Key& key, const Prepare& prepare) {
    const auto found = operations_.find(key);
    return found != operations_.end() ? found->second : operations_.emplace(key, prepare()).first->second;
  }

 private:
  struct Hash {
    size_t operator()(const Key& key) const {
      uint64_t hash = 0;
      for (const int64_t number : key) {
        hash = (hash ^ static_cast<uint64_t>(number)) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
      }
      return hash;
    }
  };
  std::unordered_map<Key, Operation, Hash> operations_;
};

}  // namespace bev::onednn
